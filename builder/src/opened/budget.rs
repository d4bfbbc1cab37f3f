//! How much memory a foreign image may make us keep.

/// What an entry costs in a tree, without its path: a bit more than was measured.
const ENTRY: u64 = 320;
/// What a map of extended attributes costs, without what is in it.
const XATTRS: u64 = 512;
/// Half a million entries with paths of common length.
const BYTES: u64 = 176 << 20;
/// Linux can open nothing below a longer path.
const PATH_MAX: usize = 4096;

#[derive(Debug)]
pub(super) struct Budget {
    left: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: BYTES }
    }
}

impl Budget {
    pub(super) fn entry(&mut self, path_len: usize) -> Result<(), &'static str> {
        if path_len > PATH_MAX {
            return Err("it has deeper directories");
        }
        self.spend(ENTRY + path_len as u64)
    }

    pub(super) fn xattrs(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.spend(XATTRS + bytes as u64)
    }

    pub(super) fn spend(&mut self, bytes: u64) -> Result<(), &'static str> {
        self.left = self.left.checked_sub(bytes).ok_or("it has more entries, or longer files,")?;
        Ok(())
    }
}
