//! Blocks that are packed once: the same bytes cold, warm and beside others.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use harness::builder::{liveroot, succeed};

/// A folder whose files have blocks of their own and share one.
fn source(dir: &Path) -> Result<()> {
    for (name, len) in [("large", 700_000_usize), ("larger", 900_000), ("small", 300), ("tiny", 3)] {
        let bytes: Vec<u8> = (0..len).map(|n| (n * n / 977 + name.len()) as u8).collect();
        fs::create_dir_all(dir)?;
        fs::write(dir.join(name), bytes)?;
    }
    Ok(())
}

#[test]
fn a_second_build_takes_its_blocks_from_the_cache_until_that_is_emptied() -> Result<()> {
    let Some(liveroot) = liveroot()? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let (tree, cache) = (dir.path().join("tree"), dir.path().join("cache"));
    source(&tree)?;
    let run = |words: &[&str], more: &[&Path]| -> Result<(String, String)> {
        let ran = succeed(Command::new(&liveroot).env("LIVEROOT_CACHE", &cache).args(words).args(more))?;
        Ok((String::from_utf8(ran.stdout)?, String::from_utf8(ran.stderr)?))
    };
    let pack = |name: &str, words: &[&str]| -> Result<(Vec<u8>, String)> {
        let image = dir.path().join(name);
        let (_, told) =
            run(&[&["squashfs", "--compress", "zstd:3"], words].concat(), &[&tree, Path::new("-o"), &image])?;
        Ok((fs::read(image)?, told))
    };
    let cached = ", 14 of 14 blocks from the cache";
    let (cold, told) = pack("cold", &[])?;
    assert!(!told.contains("from the cache"), "{told}");
    let (warm, told) = pack("warm", &[])?;
    assert!(warm == cold && told.contains(cached), "{told}");
    let (anew, told) = pack("anew", &["--repack"])?;
    assert!(anew == cold && !told.contains("from the cache"), "{told}");

    let (listed, _) = run(&["cache", "ls"], &[])?;
    assert!(listed.starts_with("zstd:3-128K-") && listed.contains(" 14 blocks "), "{listed}");
    fs::write(tree.join("small"), "something else")?;
    let (why, _) = run(&["cache", "why", "--compress", "zstd:3"], &[&tree])?;
    assert_eq!(why, "a block that is not there holds /small /tiny\n1 of 14 blocks would be packed\n");
    let (why, _) = run(&["cache", "why", "--compress", "zstd:4"], &[&tree])?;
    assert!(why.contains("14 of 14") && why.contains("packed in another way: zstd:3-128K-"), "{why}");

    let (removed, _) = run(&["cache", "gc", "--max", "0"], &[])?;
    assert!(removed.starts_with("14 blocks removed, "), "{removed}");
    let (_, told) = pack("after", &[])?;
    assert!(!told.contains("from the cache"), "{told}");
    Ok(())
}

#[test]
fn eight_builds_at_once_share_the_cache_and_make_the_same_image() -> Result<()> {
    let Some(liveroot) = liveroot()? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let (tree, cache) = (dir.path().join("tree"), dir.path().join("cache"));
    source(&tree)?;
    let image = |n: u32| dir.path().join(format!("{n}.squashfs"));
    let start = |n: u32| {
        let mut pack = Command::new(&liveroot);
        pack.args(["squashfs", "--compress", "zstd:1", "--block", "4K", "--cache"]).arg(&cache).arg(&tree);
        pack.arg("-o").arg(image(n)).spawn().context("cannot start liveroot")
    };
    let trim = || {
        let mut trim = Command::new(&liveroot);
        trim.args(["cache", "gc", "--max", "0", "--cache"]).arg(&cache).output().context("cannot start liveroot")
    };
    let mut running = (0..8).map(start).collect::<Result<Vec<_>>>()?;
    // Entries go while others read them.
    while running.iter_mut().any(|build| matches!(build.try_wait(), Ok(None))) {
        trim()?;
    }
    for build in &mut running {
        assert!(build.wait()?.success());
    }
    let first = fs::read(image(0))?;
    for n in 1..8 {
        assert!(fs::read(image(n))? == first, "{n}");
    }
    Ok(())
}
