//! Directories: entries counted first, then written when it is known where
//! everything stands.

use tree::{Item, Kind, Node, Tree, TreePath};

use super::FatError;
use super::format::{ENTRY, attribute};
use super::names::{self, NameFault, Names};
use crate::date;
use crate::format::put;

/// fatgen103: a directory has less than 2 MiB, which 16 bits can count.
const ENTRIES_MAX: usize = 65_535;

pub(super) const NO_LABEL: &[u8; 11] = b"NO NAME    ";

/// One directory and what stands in it, by their places among a tree's
/// directories and files.
#[derive(Debug)]
pub(super) struct Directory<'a> {
    pub(super) item: Item<'a>,
    pub(super) parent: usize,
    members: Vec<Member<'a>>,
}

#[derive(Debug)]
struct Member<'a> {
    item: Item<'a>,
    names: Names,
    target: Target,
}

#[derive(Debug, Clone, Copy)]
enum Target {
    Directory(usize),
    File(usize),
}

/// The tree in its own order: directories, the root first, and files.
#[derive(Debug)]
pub(super) struct Hierarchy<'a> {
    pub(super) directories: Vec<Directory<'a>>,
    pub(super) files: Vec<Item<'a>>,
    has_label: bool,
}

impl<'a> Hierarchy<'a> {
    pub(super) fn new(tree: &'a Tree, has_label: bool) -> Result<Self, FatError> {
        let mut hierarchy = Self { directories: Vec::new(), files: Vec::new(), has_label };
        hierarchy.add(tree)?;
        Ok(hierarchy)
    }

    fn add(&mut self, tree: &'a Tree) -> Result<(), FatError> {
        let mut at = std::collections::HashMap::<TreePath, usize>::new();
        let mut found: Vec<Vec<(Item<'a>, Target)>> = Vec::new();
        for item in tree.walk() {
            let parent = item.path.parent().map(|parent| at[&parent]);
            let target = match item.node {
                Node::Dir => {
                    at.insert(item.path.clone(), self.directories.len());
                    found.push(Vec::new());
                    self.directories.push(Directory { item, parent: parent.unwrap_or(0), members: Vec::new() });
                    Target::Directory(self.directories.len() - 1)
                }
                Node::Leaf { kind: Kind::File(content), .. } => {
                    if u32::try_from(content.len()).is_err() {
                        return Err(FatError::FileTooLarge { path: item.path.clone(), len: content.len() });
                    }
                    self.files.push(item);
                    Target::File(self.files.len() - 1)
                }
                Node::Leaf { .. } => return Err(FatError::Kind { path: item.path.clone() }),
            };
            if let Some(parent) = parent {
                found[parent].push((item, target));
            }
        }
        for (directory, members) in self.directories.iter_mut().zip(found) {
            let written: Vec<&[u8]> = members.iter().map(|(item, _)| item.path.name()).collect();
            let names = names::assign(&written).map_err(|(n, fault)| {
                let path = members[n].0.path.clone();
                match fault {
                    NameFault::Text(problem) => FatError::Name { path, problem },
                    NameFault::SameAs(other) => FatError::SameName { path, other },
                }
            })?;
            let named = members.into_iter().zip(names);
            directory.members = named.map(|((item, target), names)| Member { item, names, target }).collect();
        }
        for (n, directory) in self.directories.iter().enumerate() {
            let entries = self.entries(n);
            if entries > ENTRIES_MAX {
                return Err(FatError::DirectoryTooLarge { path: directory.item.path.clone(), entries });
            }
        }
        Ok(())
    }

    /// The root has a label, and every other directory itself and its parent.
    pub(super) fn entries(&self, directory: usize) -> usize {
        let own = if directory == 0 { usize::from(self.has_label) } else { 2 };
        own + self.directories[directory].members.iter().map(|member| member.names.entries()).sum::<usize>()
    }

    /// Directory `at` as bytes, not filled up.
    pub(super) fn render(&self, at: usize, places: &Places<'_>) -> Vec<u8> {
        let this = &self.directories[at];
        let mut out = Vec::with_capacity(self.entries(at) * ENTRY);
        if at > 0 {
            // The root is told as 0, wherever it stands.
            let parent = if this.parent == 0 { 0 } else { places.directories[this.parent] };
            let parent_mtime = self.directories[this.parent].item.meta.mtime;
            let here = places.directories[at];
            out.extend(entry(b".          ", attribute::DIRECTORY, here, 0, this.item.meta.mtime));
            out.extend(entry(b"..         ", attribute::DIRECTORY, parent, 0, parent_mtime));
        } else if self.has_label {
            out.extend(entry(places.label, attribute::VOLUME, 0, 0, places.epoch));
        }
        for Member { item, names, target } in &this.members {
            out.extend(names.long_entries().concat());
            let (attributes, cluster, len) = match *target {
                Target::Directory(n) => (attribute::DIRECTORY, places.directories[n], 0),
                Target::File(n) => (attribute::ARCHIVE, places.files[n], item.content().map_or(0, tree::Content::len)),
            };
            out.extend(entry(&names.short, attributes, cluster, len as u32, item.meta.mtime));
        }
        out
    }
}

/// First clusters.
pub(super) struct Places<'p> {
    pub(super) directories: &'p [u32],
    pub(super) files: &'p [u32],
    pub(super) label: &'p [u8; 11],
    pub(super) epoch: i64,
}

/// "FAT 32 Byte Directory Entry Structure".
fn entry(name: &[u8; 11], attributes: u8, cluster: u32, len: u32, mtime: i64) -> [u8; ENTRY] {
    let mut out = [0; ENTRY];
    let (date, time) = date::fat(mtime);
    put(&mut out, 0, name);
    out[11] = attributes;
    if attributes != attribute::VOLUME {
        put(&mut out, 14, &time.to_le_bytes());
        put(&mut out, 16, &date.to_le_bytes());
        put(&mut out, 18, &date.to_le_bytes());
    }
    put(&mut out, 20, &((cluster >> 16) as u16).to_le_bytes());
    put(&mut out, 22, &time.to_le_bytes());
    put(&mut out, 24, &date.to_le_bytes());
    put(&mut out, 26, &(cluster as u16).to_le_bytes());
    put(&mut out, 28, &len.to_le_bytes());
    out
}
