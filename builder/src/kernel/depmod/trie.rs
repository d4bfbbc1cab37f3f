//! The binary indexes that libkmod maps: a trie over keys, each with values
//! in order of their priority (kmod: libkmod/libkmod-index.c describes it).

use std::collections::BTreeMap;

const MAGIC: u32 = 0xB007_F457;
const VERSION: u32 = 0x0002_0001;

/// Flags in the high bits of a node's offset say what the node has.
const HAS_PREFIX: u32 = 0x8000_0000;
const HAS_VALUES: u32 = 0x4000_0000;
const HAS_CHILDREN: u32 = 0x2000_0000;
const MAX_OFFSET: usize = 0x0FFF_FFFF;

/// Nodes by number, so that no depth of keys is a depth of calls.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    /// Bytes that every key through here has next.
    prefix: Vec<u8>,
    values: Vec<(u32, Vec<u8>)>,
    children: BTreeMap<u8, usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrieError {
    #[error("`{0}` is not ASCII, which is all that an index holds")]
    NotAscii(String),
    #[error("the index is over 256 MiB")]
    TooLarge,
}

impl Trie {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    /// Values of one key stand by priority; of equal ones the last comes first.
    pub(super) fn insert(&mut self, key: &[u8], value: &[u8], priority: u32) -> Result<(), TrieError> {
        for text in [key, value] {
            // NUL ends a string, here as in every kmod.
            if !text.iter().all(|byte| matches!(byte, 1..=127)) {
                return Err(TrieError::NotAscii(String::from_utf8_lossy(text).into_owned()));
            }
        }
        let (mut at, mut rest) = (0, key);
        loop {
            let common = self.nodes[at].prefix.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if common < self.nodes[at].prefix.len() {
                self.split(at, common);
            }
            rest = &rest[common..];
            let Some((&first, after)) = rest.split_first() else { break };
            let known = self.nodes[at].children.get(&first).copied();
            let child = known.unwrap_or(self.nodes.len());
            if known.is_none() {
                self.nodes.push(Node { prefix: after.to_vec(), ..Node::default() });
                self.nodes[at].children.insert(first, child);
            }
            (at, rest) = (child, after);
        }
        let values = &mut self.nodes[at].values;
        let place = values.iter().position(|(other, _)| *other >= priority).unwrap_or(values.len());
        values.insert(place, (priority, value.to_vec()));
        Ok(())
    }

    /// Leaves the first `len` bytes of its prefix to a node; the rest of it
    /// goes to a new child.
    fn split(&mut self, at: usize, len: usize) {
        let mut child = std::mem::take(&mut self.nodes[at]);
        let prefix = child.prefix[..len].to_vec();
        let first = child.prefix[len];
        child.prefix.drain(..=len);
        self.nodes.push(child);
        let children = BTreeMap::from([(first, self.nodes.len() - 1)]);
        self.nodes[at] = Node { prefix, values: Vec::new(), children };
    }

    /// Children before their parents, so that each offset is known in time.
    pub(super) fn write(&self) -> Result<Vec<u8>, TrieError> {
        let mut out = [MAGIC, VERSION, 0].map(u32::to_be_bytes).concat();
        let mut offsets = vec![0; self.nodes.len()];
        let mut open = vec![(0, false)];
        while let Some((at, children_done)) = open.pop() {
            if children_done {
                offsets[at] = self.nodes[at].write(&offsets, &mut out)?;
            } else {
                open.push((at, true));
                open.extend(self.nodes[at].children.values().rev().map(|&child| (child, false)));
            }
        }
        out[8..12].copy_from_slice(&offsets[0].to_be_bytes());
        Ok(out)
    }
}

impl Node {
    fn write(&self, offsets: &[u32], out: &mut Vec<u8>) -> Result<u32, TrieError> {
        if out.len() > MAX_OFFSET {
            return Err(TrieError::TooLarge);
        }
        let mut offset = out.len() as u32;
        if !self.prefix.is_empty() {
            offset |= HAS_PREFIX;
            out.extend_from_slice(&self.prefix);
            out.push(0);
        }
        if let (Some((&first, _)), Some((&last, _))) = (self.children.first_key_value(), self.children.last_key_value())
        {
            offset |= HAS_CHILDREN;
            out.extend([first, last]);
            for byte in first..=last {
                let child = self.children.get(&byte).map_or(0, |&child| offsets[child]);
                out.extend(child.to_be_bytes());
            }
        }
        if !self.values.is_empty() {
            offset |= HAS_VALUES;
            out.extend((self.values.len() as u32).to_be_bytes());
            for (priority, value) in &self.values {
                out.extend(priority.to_be_bytes());
                out.extend_from_slice(value);
                out.push(0);
            }
        }
        Ok(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(entries: &[(&str, &str, u32)]) -> Vec<u8> {
        let mut trie = Trie::new();
        for (key, value, priority) in entries {
            trie.insert(key.as_bytes(), value.as_bytes(), *priority).unwrap();
        }
        trie.write().unwrap()
    }

    #[test]
    fn an_empty_index_is_a_root_with_nothing() {
        assert_eq!(written(&[]), b"\xb0\x07\xf4\x57\x00\x02\x00\x01\x00\x00\x00\x0c");
    }

    #[test]
    fn keys_share_what_they_have_in_common_in_any_order() {
        let entries = [("usb_storage", "1", 0), ("usb", "2", 0), ("usbcore", "3", 0), ("a", "4", 0)];
        let mut turned = entries;
        turned.reverse();
        assert_eq!(written(&entries), written(&turned));
        // Each name once, and `usb` once for all three.
        let bytes = written(&entries);
        let count = |text: &[u8]| bytes.windows(text.len()).filter(|window| window == &text).count();
        assert_eq!((count(b"sb\0"), count(b"storage\0"), count(b"ore\0")), (1, 1, 1));
    }

    #[test]
    fn values_stand_by_priority_and_the_last_of_equals_first() {
        let bytes = written(&[("k", "late", 9), ("k", "one", 1), ("k", "two", 1)]);
        let values = b"\0\0\0\x03\0\0\0\x01two\0\0\0\0\x01one\0\0\0\0\x09late\0";
        assert!(bytes.windows(values.len()).any(|window| window == values), "{bytes:?}");
    }

    #[test]
    fn what_is_not_ascii_is_refused() {
        assert!(matches!(Trie::new().insert("ä".as_bytes(), b"", 0), Err(TrieError::NotAscii(_))));
    }

    #[test]
    fn a_chain_of_keys_is_no_chain_of_calls() {
        let mut trie = Trie::new();
        let key = vec![b'a'; 3000];
        for len in 0..key.len() {
            trie.insert(&key[..len], b"", 0).unwrap();
        }
        assert!(trie.write().unwrap().len() > 3000 * 10);
    }
}
