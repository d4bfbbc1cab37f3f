//! What this `liveroot` carries: its `/init`, perhaps a toybox, and the
//! overlays and profiles of the source tree, so that the one binary works
//! anywhere.

use crate::arch::Arch;

static INIT_X86_64: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init-x86_64"));
static INIT_AARCH64: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init-aarch64"));

static TOYBOX: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/toybox"));
static TOYBOX_APPLETS: &str = include_str!(concat!(env!("OUT_DIR"), "/toybox.applets"));

/// The static `/init` of the same version; `None` if this `liveroot` was built
/// without one for that machine.
pub fn init(arch: Arch) -> Option<&'static [u8]> {
    let init = match arch {
        Arch::X86_64 => INIT_X86_64,
        Arch::Aarch64 => INIT_AARCH64,
    };
    (!init.is_empty()).then_some(init)
}

/// One file of `overlays/` or `profiles/`, its path relative to the source tree.
#[derive(Debug)]
pub struct BuiltinFile {
    pub path: &'static str,
    pub executable: bool,
    pub bytes: &'static [u8],
}

mod files {
    use super::BuiltinFile;
    include!(concat!(env!("OUT_DIR"), "/builtin_files.rs"));
}

/// A static toybox and what `toybox --long` prints.
#[derive(Debug)]
pub struct Toybox {
    pub bytes: &'static [u8],
    pub applets: &'static str,
}

/// `None` if this `liveroot` was built without one.
pub fn toybox() -> Option<Toybox> {
    (!TOYBOX.is_empty()).then_some(Toybox { bytes: TOYBOX, applets: TOYBOX_APPLETS })
}

/// The files of the overlay, their paths relative to it; empty for an unknown name.
pub fn overlay(name: &str) -> Vec<(&'static str, &'static BuiltinFile)> {
    let prefix = format!("overlays/{name}/");
    files::FILES.iter().filter_map(|file| Some((file.path.strip_prefix(&prefix)?, file))).collect()
}

pub fn overlay_names() -> Vec<&'static str> {
    names("overlays/", |rest| rest.split_once('/').map(|(name, _)| name))
}

/// The text of `profiles/NAME.toml`.
pub fn profile(name: &str) -> Option<&'static str> {
    let path = format!("profiles/{name}.toml");
    let file = files::FILES.iter().find(|file| file.path == path)?;
    std::str::from_utf8(file.bytes).ok()
}

pub fn profile_names() -> Vec<&'static str> {
    names("profiles/", |rest| rest.strip_suffix(".toml"))
}

fn names(prefix: &str, name: impl Fn(&'static str) -> Option<&'static str>) -> Vec<&'static str> {
    let mut names: Vec<_> = files::FILES.iter().filter_map(|file| name(file.path.strip_prefix(prefix)?)).collect();
    names.dedup();
    names
}
