//! Images made to harm whoever looks at them: `inspect` ends with an error,
//! inside 5 seconds of work and 256 MiB of memory.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use harness::builder::{Image, liveroot, succeed};
use harness::oracle::Tool;

/// In KiB, and seconds of processor time, which a busy machine does not stretch.
const LIMITS: &str = "ulimit -v 262144 && ulimit -t 5 && exec \"$0\" \"$@\"";

fn inspect(liveroot: &Path, verb: &str, image: &Path) -> Result<(Option<i32>, String)> {
    let mut command = Command::new("sh");
    command.args(["-c", LIMITS]).arg(liveroot).arg(verb).arg(image).env("MALLOC_ARENA_MAX", "1");
    let output = command.stdin(Stdio::null()).output().context("sh cannot be started")?;
    Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// Name, and whether reading it may succeed: not every bit of an image is
/// checked by anything.
struct Hostile {
    name: String,
    may_pass: bool,
    bytes: Vec<u8>,
}

fn hostile(name: impl Into<String>, bytes: Vec<u8>) -> Hostile {
    Hostile { name: name.into(), may_pass: false, bytes }
}

#[test]
fn hostile_images_end_in_an_error_within_bounds() -> Result<()> {
    let Some(liveroot) = liveroot()? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let Some(good) = good_images(dir.path())? else { return Ok(()) };
    let mut rows = vec![
        hostile("nothing", Vec::new()),
        hostile("noise", (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        hostile("a cpio of one name as deep as it can be, again and again", deep_cpio()),
        hostile("a cpio whose name has 4 GB", cpio_entry("a", 0xffff_fff0, 0)),
        hostile("a cpio whose file has 4 GB", cpio_entry("a", 2, 0xffff_fff0)),
        hostile("a cpio of a million entries", many_entries()),
        hostile("a tar of one name of 4 MB", long_tar()),
    ];
    for codec in ["gzip", "xz", "zstd"] {
        if let Some(bomb) = bomb(codec)? {
            rows.push(hostile(format!("2 GiB of zeros in {codec}"), bomb));
        }
    }
    for (name, bytes) in &good {
        for part in 1..16 {
            rows.push(hostile(format!("{part}/16 of {name}"), bytes[..bytes.len() / 16 * part].to_vec()));
        }
        rows.extend(flipped(name, bytes));
    }
    let squashfs = &good.iter().find(|(name, _)| name.ends_with("squashfs")).context("a squashfs")?.1;
    rows.extend(wild_tables(squashfs));
    let mut wrong = Vec::new();
    for Hostile { name, may_pass, bytes } in rows {
        let image = dir.path().join("hostile");
        fs::write(&image, bytes)?;
        let (code, errors) = inspect(&liveroot, "inspect", &image)?;
        let ended = code == Some(1) && errors.starts_with("error: ") || may_pass && code == Some(0);
        if !ended || errors.contains("panicked") {
            wrong.push(format!("{name}: {code:?} {errors}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The twin: the bounds are wide enough for sound images of a real size.
#[test]
fn sound_images_are_inspected_within_the_same_bounds() -> Result<()> {
    let (Some(liveroot), Some(live)) = (liveroot()?, Image::of("live")?) else { return Ok(()) };
    for inner in ["", "/live/root.squashfs", "/boot/initramfs.img"] {
        let image = PathBuf::from(format!("{}{inner}", live.iso.display()));
        assert_eq!(inspect(&liveroot, "inspect", &image)?, (Some(0), String::new()), "{inner}");
    }
    Ok(())
}

/// What it is, and its bytes.
type Named = (String, Vec<u8>);

fn good_images(dir: &Path) -> Result<Option<Vec<Named>>> {
    let (Some(mksquashfs), Some(xorriso)) = (Tool::find("mksquashfs")?, Tool::find("xorriso")?) else {
        return Ok(None);
    };
    let root = dir.join("root");
    for n in 0..40 {
        fs::create_dir_all(root.join(format!("dir-{n}/below")))?;
        fs::write(root.join(format!("dir-{n}/{}", "long".repeat(50))), vec![n; 3000])?;
    }
    std::os::unix::fs::symlink("target/".repeat(100), root.join("link"))?;
    let mut images = Vec::new();
    for codec in ["gzip", "xz", "zstd"] {
        let image = dir.join("good");
        let options = ["-quiet", "-no-progress", "-all-root", "-noappend", "-comp", codec];
        succeed(mksquashfs.command().arg(&root).arg(&image).args(options))?;
        // Without what pads it to 4 KiB, of which nothing is missed.
        let mut bytes = fs::read(&image)?;
        bytes.truncate(u64::from_le_bytes(bytes[40..48].try_into()?) as usize);
        images.push((format!("a {codec} squashfs"), bytes));
    }
    let image = dir.join("good.iso");
    succeed(xorriso.command().args(["-as", "mkisofs", "-quiet", "-R", "-J", "-o"]).arg(&image).arg(&root))?;
    // xorriso pads by 300 KiB, of which nothing is missed.
    let mut bytes = fs::read(&image)?;
    bytes.truncate(bytes.len() - 150 * 2048);
    images.push(("an ISO".into(), bytes));
    Ok(Some(images))
}

/// Sixteen images, each with every 97th byte of another stretch inverted.
fn flipped<'a>(name: &'a str, good: &'a [u8]) -> impl Iterator<Item = Hostile> + 'a {
    (0..16).map(move |n| {
        let mut bytes = good.to_vec();
        let len = bytes.len() / 16;
        bytes[n * len..(n + 1) * len].iter_mut().step_by(97).for_each(|b| *b ^= 0xff);
        Hostile { may_pass: true, ..hostile(format!("{name}, stretch {n} inverted"), bytes) }
    })
}

/// Every field of the superblock, as large as it can be, half of that, and zero.
fn wild_tables(good: &[u8]) -> Vec<Hostile> {
    let mut rows = Vec::new();
    for (at, len) in
        [(4, 4), (12, 4), (16, 4), (20, 2), (26, 2), (32, 8), (40, 8), (48, 8), (56, 8), (64, 8), (72, 8), (80, 8)]
    {
        for fill in [0xff, 0x7f, 0x00] {
            let mut bytes = good.to_vec();
            bytes[at..at + len].fill(fill);
            rows.push(Hostile {
                may_pass: true,
                ..hostile(format!("superblock byte {at} filled with {fill:#x}"), bytes)
            });
        }
    }
    rows
}

fn cpio_entry(name: &str, name_len: u32, len: u32) -> Vec<u8> {
    let fields: [u32; 13] = [1, 0o100_644, 0, 0, 1, 0, len, 0, 0, 0, 0, name_len, 0];
    let mut bytes = b"070701".to_vec();
    for field in fields {
        bytes.extend(format!("{field:08X}").bytes());
    }
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn deep_cpio() -> Vec<u8> {
    let entry = |n: u32| {
        let name = format!("{n}/{}", "d/".repeat(2000));
        cpio_entry(&name, name.len() as u32 + 1, 0)
    };
    (0..500).flat_map(entry).collect()
}

fn many_entries() -> Vec<u8> {
    let entry = |n: u32| {
        let name = format!("{n:x}");
        cpio_entry(&name, name.len() as u32 + 1, 0)
    };
    (0..1_000_000).flat_map(entry).collect()
}

/// A GNU long name, which the reader has to take before it can judge it.
fn long_tar() -> Vec<u8> {
    let block = |name: &str, kind: u8, len: usize| {
        let mut block = [0; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..107].copy_from_slice(b"0000644");
        block[108..115].copy_from_slice(b"0000000");
        block[116..123].copy_from_slice(b"0000000");
        block[124..135].copy_from_slice(format!("{len:011o}").as_bytes());
        block[136..147].copy_from_slice(b"00000000000");
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar  \0");
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
        block[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        block[154] = 0;
        block
    };
    let name = "d/".repeat(2_000_000);
    let mut bytes = block("././@LongLink", b'L', name.len()).to_vec();
    bytes.extend_from_slice(name.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.extend_from_slice(&block("a", b'0', 0));
    bytes.extend_from_slice(&[0; 1024]);
    bytes
}

fn bomb(codec: &str) -> Result<Option<Vec<u8>>> {
    let Some(tool) = Tool::find(codec)? else { return Ok(None) };
    let mut packer = tool.command().arg("-1c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = packer.stdin.take().context("its input")?;
    let feeder = std::thread::spawn(move || {
        let mut bytes = cpio_entry("a", 2, 0x7000_0000);
        bytes.resize(1 << 20, 0);
        input.write_all(&bytes)?;
        (0..2047).try_for_each(|_| input.write_all(&vec![0; 1 << 20]))
    });
    let output = packer.wait_with_output()?;
    feeder.join().map_err(|_| anyhow::anyhow!("the feeder panicked"))??;
    Ok(Some(output.stdout))
}
