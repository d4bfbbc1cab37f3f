//! The kernel's command line; there is never more to be told of it than it has words.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let notes = init::cmdline_notes(&text);
    assert!(notes.len() <= text.split_ascii_whitespace().count().max(1), "{text:?}: {notes:?}");
});
