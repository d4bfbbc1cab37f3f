//! The early part of an x86 initramfs: processors' microcode, uncompressed and
//! in front of everything, where the kernel looks for it before it can unpack
//! (kernel: Documentation/arch/x86/microcode.rst).

use std::io::{self, Read};

use tree::{Content, Provenance, Tree, TreePath};

#[derive(Debug, thiserror::Error)]
pub enum MicrocodeError {
    #[error("no microcode in {0}: it should have intel-ucode/06-* or amd-ucode/microcode_amd*.bin in lib/firmware")]
    None(Provenance),
    #[error("microcode {path} cannot be read")]
    Read { path: TreePath, source: io::Error },
    #[error("the early part of the initramfs")]
    Conflict(#[from] tree::Conflict),
}

/// Where firmware stands in a root, in a package, and in a folder of firmware.
const FIRMWARE_DIRS: [&str; 3] = ["lib/firmware", "usr/lib/firmware", ""];

/// One vendor's files, and the name under which the kernel wants them in a row.
struct Vendor {
    folder: &'static str,
    target: &'static str,
    is_microcode: fn(&str) -> bool,
}

const VENDORS: [Vendor; 2] = [
    Vendor { folder: "intel-ucode", target: "kernel/x86/microcode/GenuineIntel.bin", is_microcode: is_intel },
    Vendor { folder: "amd-ucode", target: "kernel/x86/microcode/AuthenticAMD.bin", is_microcode: is_amd },
];

/// A signature in hexadecimal, `06-9e-0d`. Beside them distributions keep
/// what must not be loaded early, under names with an ending.
fn is_intel(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    parts.len() == 3 && parts.iter().all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn is_amd(name: &str) -> bool {
    name.starts_with("microcode_amd") && name.strip_suffix(".bin").is_some()
}

/// The tree of the early part, out of the firmware in `sources`.
pub fn early(sources: &[(Tree, Provenance)]) -> Result<Tree, MicrocodeError> {
    let mut early = Tree::new();
    for vendor in &VENDORS {
        let mut bytes = Vec::new();
        let mut from = None;
        for (tree, source) in sources {
            for (path, content) in files(tree, vendor) {
                let read = |source| MicrocodeError::Read { path: path.clone(), source };
                bytes.extend(plain(path, content).map_err(read)?);
                from.get_or_insert_with(|| source.nearer(format!("{} put together", vendor.folder)));
            }
        }
        if let Some(from) = from {
            let path = TreePath::new(vendor.target).expect("a plain path");
            early.insert_file(path, 0o644, Content::from(bytes), from)?;
        }
    }
    let bare = sources.iter().find(|(tree, _)| VENDORS.iter().all(|vendor| files(tree, vendor).is_empty()));
    bare.map_or(Ok(early), |(_, source)| Err(MicrocodeError::None(source.clone())))
}

/// Without its compression: the kernel takes none that early.
fn plain(path: &TreePath, content: &Content) -> io::Result<Vec<u8>> {
    /// All of Intel's together have 16 MiB.
    const MAX: u64 = 256 << 20;
    let packed = content.reader()?;
    let mut plain: Box<dyn Read> = match path.name() {
        name if name.ends_with(b".xz") => Box::new(xz2::read::XzDecoder::new(packed)),
        name if name.ends_with(b".zst") => Box::new(zstd::Decoder::new(packed)?),
        _ => Box::new(packed),
    };
    let mut bytes = Vec::new();
    (&mut plain).take(MAX).read_to_end(&mut bytes)?;
    match plain.read(&mut [0])? {
        0 => Ok(bytes),
        _ => Err(io::Error::other(format!("it is longer than {MAX} bytes"))),
    }
}

/// By name, so that the same files make the same bytes.
fn files<'t>(tree: &'t Tree, vendor: &Vendor) -> Vec<(&'t TreePath, &'t Content)> {
    let is_wanted = |name: &[u8]| {
        let Ok(name) = std::str::from_utf8(name) else { return false };
        let plain = [".xz", ".zst"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        (vendor.is_microcode)(plain)
    };
    let found = |dir: &str| -> Vec<_> {
        let dir = TreePath::new(format!("{dir}/{}", vendor.folder)).expect("a plain path");
        let listed = tree.children(&dir).filter(|item| is_wanted(item.path.name()));
        listed.filter_map(|item| Some((item.path, item.content()?))).collect()
    };
    FIRMWARE_DIRS.iter().map(|dir| found(dir)).find(|found| !found.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firmware(files: &[(&str, &[u8])]) -> (Tree, Provenance) {
        let from = Provenance::new("a package");
        let mut tree = Tree::new();
        for (path, bytes) in files {
            tree.insert_file(TreePath::new(path).unwrap(), 0o644, bytes.to_vec().into(), from.clone()).unwrap();
        }
        (tree, from)
    }

    fn read(tree: &Tree, path: &str) -> Vec<u8> {
        tree.get(&TreePath::new(path).unwrap()).unwrap().content().unwrap().read_all(99).unwrap()
    }

    #[test]
    fn each_vendors_files_stand_in_a_row_by_name() {
        let packed = zstd::bulk::compress(b"amd2", 1).unwrap();
        let intel = firmware(&[
            ("lib/firmware/intel-ucode/06-9e-0d", b"second"),
            ("lib/firmware/intel-ucode/06-0f-02", b"first"),
            ("lib/firmware/intel-ucode/06-4f-01.initramfs", b"not this"),
            ("lib/firmware/intel-ucode/list", b"nor this"),
        ]);
        let amd = firmware(&[
            ("amd-ucode/microcode_amd_fam15h.bin.zst", &packed),
            ("amd-ucode/microcode_amd.bin", b"amd1"),
            ("amd-ucode/microcode_amd.bin.asc", b"signature"),
        ]);
        let early = early(&[intel, amd]).unwrap();
        assert_eq!(read(&early, "kernel/x86/microcode/GenuineIntel.bin"), b"firstsecond");
        assert_eq!(read(&early, "kernel/x86/microcode/AuthenticAMD.bin"), b"amd1amd2");
        let from = &early.get(&TreePath::new("kernel/x86/microcode/AuthenticAMD.bin").unwrap()).unwrap().provenance;
        assert_eq!(from.to_string(), "amd-ucode put together <- a package");
    }

    #[test]
    fn a_source_without_microcode_is_an_error_that_names_it() {
        let some = firmware(&[("amd-ucode/microcode_amd.bin", b"amd")]);
        let none = firmware(&[("lib/firmware/intel-ucode/06-4f-01.initramfs", b"x")]);
        let error = early(&[some, none]).unwrap_err().to_string();
        assert!(error.contains("no microcode in a package"), "{error}");
    }
}
