//! A kmod, plain or compressed, among those of a kernel that is sound otherwise.

#![no_main]

use builder::kernel::depmod::{Config, index};
use libfuzzer_sys::fuzz_target;
use tree::{Provenance, Tree, TreePath};

fuzz_target!(|data: &[u8]| {
    let dir = TreePath::new("lib/modules/1").expect("a plain path");
    let mut root = Tree::new();
    let path = dir.join("a.ko").expect("a plain name");
    root.insert_file(path, 0o644, data.to_vec().into(), Provenance::new("fuzzing")).expect("the tree is empty");
    let _ = index(&root, &dir, &Config::default());
});
