//! What a boot loader leaves in a machine's firmware for the system that it starts.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

#[derive(Debug, Clone)]
pub enum Handed {
    /// By its signature; with the bytes that stand behind the table's header.
    AcpiTable([u8; 4], Vec<u8>),
    /// Of UEFI: its name, its vendor's GUID as it stands in memory, its value.
    Variable(&'static str, [u8; 16], Vec<u8>),
}

/// EDK II, MdeModulePkg/Include/Guid/VariableFormat.h: where the store begins in OVMF's
/// volume, and the variables in the store.
const STORE: usize = 0x48;
const FIRST: usize = STORE + 28;
const AUTHENTICATED: [u8; 16] =
    [0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92];
const VARIABLE: u16 = 0x55aa;
const ADDED: u8 = 0x3f;
/// Non-volatile, seen by boot services and by the running system.
const ATTRIBUTES: u32 = 7;
const HEADER: usize = 60;

impl Handed {
    /// The machine with it; its files are in `dir`.
    pub(super) fn to(&self, qemu: &Command, dir: &Path) -> Result<Command> {
        let mut with = Command::new(qemu.get_program());
        match self {
            Self::AcpiTable(signature, bytes) => {
                let file = dir.join("table");
                fs::write(&file, bytes)?;
                with.args(qemu.get_args());
                with.arg("-acpitable");
                with.arg(format!("sig={},data={}", String::from_utf8_lossy(signature), file.display()));
            }
            Self::Variable(name, guid, value) => {
                for argument in qemu.get_args() {
                    let text = argument.to_str().context("QEMU takes names that are text")?;
                    let template = text.strip_prefix("if=pflash,unit=1,").and_then(|text| text.split_once("file="));
                    let Some((how, template)) = template else {
                        with.arg(argument);
                        continue;
                    };
                    let file = dir.join("variables");
                    fs::write(&file, with_variable(fs::read(template)?, name, guid, value)?)?;
                    with.arg(format!("if=pflash,unit=1,{how}file={}", file.display()));
                }
            }
        }
        Ok(with)
    }
}

/// A store of variables that has one more.
fn with_variable(mut flash: Vec<u8>, name: &str, guid: &[u8; 16], value: &[u8]) -> Result<Vec<u8>> {
    ensure!(flash.get(STORE..STORE + 16) == Some(&AUTHENTICATED), "this firmware keeps its variables in another form");
    let mut at = FIRST;
    while flash.get(at..at + 2).context("no room for another variable")? == VARIABLE.to_le_bytes() {
        let size = |field: usize| u32::from_le_bytes(flash[at + field..at + field + 4].try_into().expect("four bytes"));
        at = (at + HEADER + (size(36) + size(40)) as usize).next_multiple_of(4);
    }
    let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    let mut variable = VARIABLE.to_le_bytes().to_vec();
    variable.extend([ADDED, 0]);
    variable.extend(ATTRIBUTES.to_le_bytes());
    // A count, a time and a key's number: of variables that somebody signed.
    variable.resize(36, 0);
    variable.extend((name.len() as u32).to_le_bytes());
    variable.extend((value.len() as u32).to_le_bytes());
    for part in [&guid[..], &name, value] {
        variable.extend(part);
    }
    flash.get_mut(at..at + variable.len()).context("no room for another variable")?.copy_from_slice(&variable);
    Ok(flash)
}
