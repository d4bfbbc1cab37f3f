//! A gen_init_cpio list; one that is sound is printed, and then says the same.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tree::{Provenance, Tree, spec};

fn parsed(text: &[u8]) -> Option<Tree> {
    // Locations lead nowhere: what a file of this machine is must not matter.
    spec::parse("list", text, Path::new("/nonexistent"), |_| None, &Provenance::new("fuzzing")).ok()
}

fuzz_target!(|data: &[u8]| {
    let Some(tree) = parsed(data) else { return };
    let Ok(text) = spec::print(&tree, |path| path.to_string().into()) else { return };
    if !tree.walk().any(|item| item.content().is_some()) {
        let again = parsed(&text).expect("what was printed can be read");
        assert_eq!(again.len(), tree.len());
    }
});
