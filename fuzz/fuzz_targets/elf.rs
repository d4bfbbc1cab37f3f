//! A program that is its own loader and every library it asks for by the name `a`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tree::{Provenance, Tree, TreePath};

fuzz_target!(|data: &[u8]| {
    let path = TreePath::new("lib/a").expect("a plain path");
    let mut root = Tree::new();
    root.insert_file(path.clone(), 0o755, data.to_vec().into(), Provenance::new("fuzzing")).expect("the tree is empty");
    if let Ok(deps) = builder::elf::deps(&root, &path) {
        let _ = (deps.list(), deps.tree());
    }
    if let Ok(Some(less)) = builder::elf::stripped(&data.to_vec().into()) {
        assert!(less.len() < data.len());
        assert_eq!(builder::elf::stripped(&less.into()).ok(), Some(None), "nothing is left to drop");
    }
    let _ = builder::elf::closure(&root, &[path], &Provenance::new("fuzzing"));
});
