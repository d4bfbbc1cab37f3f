use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

/// The first name of each file that has several, by its inode's number.
#[derive(Debug, Default)]
pub(crate) struct Linked(Vec<(u64, Vec<u8>)>);

impl Linked {
    /// The name that the file has already; this one is it if there is none.
    pub(crate) fn first(&mut self, inode: u64, name: &[u8]) -> Option<&[u8]> {
        match self.0.binary_search_by_key(&inode, |(inode, _)| *inode) {
            Ok(at) => Some(&self.0[at].1),
            Err(at) => {
                self.0.insert(at, (inode, name.to_vec()));
                None
            }
        }
    }
}

/// Of what is in a directory, the last one first: the same order everywhere.
pub(crate) fn names(dir: &Path, most: u64) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        if names.len() as u64 >= most {
            return Err(io::Error::other("there are more entries in it than anybody needs"));
        }
        names.push(entry?.file_name());
    }
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}
