//! Cut and flipped archives, unpacked as the kernel does it
//! (init/initramfs.c): what stands before the damage is kept, and it goes on.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use super::*;
use crate::arch::Arch;
use crate::builtin;
use crate::compress::{Codec, Decoder, threads};
use init::contents;

const POINTS: usize = 50;

type Unpacked = BTreeMap<Vec<u8>, (Inode, Vec<u8>)>;

fn own_init() -> &'static [u8] {
    [Arch::X86_64, Arch::Aarch64].into_iter().find_map(builtin::init).unwrap()
}

/// The shape of ours: /init, devices, links, a few hundred files of different sizes.
fn archive() -> Vec<u8> {
    let mut tree = Tree::new();
    let path = |written: &str| TreePath::new(written).unwrap();
    let from = Provenance::new("test");
    tree.insert_file(path("init"), 0o755, own_init().into(), from.clone()).unwrap();
    for n in 0..200_usize {
        let content: Vec<u8> = (0..n * 40).map(|at| (at * at / 7 * (n + 1)) as u8).collect();
        tree.insert_file(path(&format!("lib/modules/{n}.ko")), 0o644, content.into(), from.clone()).unwrap();
    }
    let console = Leaf { meta: Meta::new(0o600), kind: Kind::CharDevice { major: 5, minor: 1 } };
    tree.insert_leaf(path("dev/console"), console, from.clone()).unwrap();
    tree.insert_symlink(path("bin/sh"), "toybox", from.clone()).unwrap();
    tree.insert_dir(path("tmp"), Meta::new(0o1777), from).unwrap();
    add(&mut tree, 7).unwrap();
    let mut out = Vec::new();
    newc::write(&tree, &mut out).unwrap();
    out
}

/// One or more archives behind one another, as far as they go.
fn unpack(mut bytes: &[u8]) -> Unpacked {
    let mut found = Unpacked::new();
    let total = bytes.len();
    loop {
        let zeros = bytes.iter().take_while(|&&b| b == 0).count();
        bytes = &bytes[zeros..];
        let number = |n: usize| {
            let digits = bytes.get(6 + n * 8..14 + n * 8)?;
            u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        let fields: Option<Vec<u32>> = (0..13).map(number).collect();
        let (Some(fields), true, true) =
            (fields, bytes.starts_with(b"070701"), (total - bytes.len()).is_multiple_of(4))
        else {
            return found;
        };
        let (mode, len, name_len) = (fields[1], fields[6] as usize, fields[11] as usize);
        let at = |end: usize| (total - bytes.len() + end).next_multiple_of(4) - (total - bytes.len());
        let body = at(110 + name_len);
        let Some(name) = bytes.get(110..(110 + name_len).saturating_sub(1)) else { return found };
        let name = name.split(|&b| b == 0).next().unwrap_or_default().to_vec();
        let content = &bytes[body.min(bytes.len())..(body + len).min(bytes.len())];
        if name != b"TRAILER!!!" {
            let holds = match mode & 0o170_000 {
                0o100_000 | 0o120_000 => Holds::content(content).unwrap(),
                0o020_000 | 0o060_000 => Holds::Device { major: fields[9], minor: fields[10] },
                _ => Holds::Nothing,
            };
            let inode = Inode { mode, uid: fields[2], gid: fields[3], holds };
            found.insert(name, (inode, content.to_vec()));
        }
        match bytes.get(at(body + len)..) {
            Some(rest) => bytes = rest,
            None => return found,
        }
    }
}

/// What `/init` says of it.
fn check(found: &Unpacked) -> Result<(), String> {
    let list = found.get(at::CONTENTS.trim_start_matches('/').as_bytes()).ok_or("no list")?;
    let text = std::str::from_utf8(&list.1).map_err(|e| e.to_string())?;
    let entries = contents::parse(text).map_err(|e| e.to_string())?;
    let find = |entry: &Entry| found.get(&entry.path).map(|(inode, _)| *inode).ok_or(io::ErrorKind::NotFound.into());
    contents::check(&entries, find)
}

/// As far as the decoder gets.
fn decompress(codec: &str, bytes: &[u8]) -> Vec<u8> {
    let mut decoder: Box<dyn Read> = match codec.split(':').next() {
        Some("zstd") => Box::new(zstd::Decoder::new(bytes).unwrap()),
        Some("xz") => Box::new(xz2::read::XzDecoder::new(bytes)),
        Some("bzip2") => Box::new(bzip2::read::BzDecoder::new(bytes)),
        Some("gzip") => Box::new(flate2::read::GzDecoder::new(bytes)),
        _ => Box::new(bytes),
    };
    let (mut out, mut buffer) = (Vec::new(), vec![0; 4096]);
    while let Ok(got @ 1..) = decoder.read(&mut buffer) {
        out.extend_from_slice(&buffer[..got]);
    }
    out
}

/// Evenly over the whole, at places that are no multiple of anything.
fn points(len: usize) -> impl Iterator<Item = usize> {
    (0..POINTS).map(move |n| (len - 1) * (2 * n + 1) / (2 * POINTS))
}

#[test]
fn no_cut_and_no_flip_that_changes_anything_passes_the_check() {
    let whole = archive();
    let intact = unpack(&whole);
    assert_eq!(check(&intact), Ok(()));
    for codec in ["none", "zstd:3", "xz:1", "gzip:6", "bzip2:9"] {
        let len = whole.len() as u64;
        let mut encoder = codec.parse::<Codec>().unwrap().encoder(Decoder::Kernel, threads(), len, Vec::new()).unwrap();
        encoder.write_all(&whole).unwrap();
        let packed = encoder.finish().unwrap();
        assert!(decompress(codec, &packed) == whole, "{codec}");
        let mut refused = 0;
        for at in points(packed.len()) {
            let mut flipped = packed.clone();
            flipped[at] ^= 1 << (at % 8);
            for (how, damaged) in [("cut", &packed[..at]), ("flipped", &flipped[..])] {
                let found = unpack(&decompress(codec, damaged));
                match check(&found) {
                    Ok(()) => assert!(found == intact, "{codec}, {how} at {at} of {}", packed.len()),
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused >= 2 * POINTS - 2, "{codec}: {refused} were refused, and hardly any place means nothing");
    }
}

#[test]
fn init_alone_is_not_enough() {
    let whole = archive();
    let found = unpack(&whole[..own_init().len() + 200]);
    assert_eq!(found.keys().next().map(Vec::as_slice), Some(&b"init"[..]));
    assert_eq!(check(&found), Err("no list".into()));
}

#[test]
fn other_archives_before_and_behind_ours_are_nobodys_business() {
    let mut other = Tree::new();
    let meta = Meta { uid: 1000, ..Meta::new(0o700) };
    other.insert_dir(TreePath::new("lib").unwrap(), meta, Provenance::new("test")).unwrap();
    let microcode = TreePath::new("kernel/x86/microcode/GenuineIntel.bin").unwrap();
    other.insert_file(microcode, 0o644, b"x".to_vec().into(), Provenance::new("test")).unwrap();
    let mut foreign = Vec::new();
    newc::write(&other, &mut foreign).unwrap();
    let ours = archive();
    for parts in [[&foreign, &ours], [&ours, &foreign]] {
        let found = unpack(&parts.map(Vec::as_slice).concat());
        assert!(found.contains_key(&b"kernel/x86/microcode/GenuineIntel.bin"[..]));
        assert_eq!(check(&found), Ok(()));
    }
}
