//! One kernel module from a file into the kernel.

use std::ffi::CString;
use std::fs::{self, File};
use std::path::Path;

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module, init_module};

use crate::decompress;

/// The largest module of any distribution (amdgpu with debug data) is half of it.
const MAX_SIZE: usize = 256 << 20;

/// `options` as modprobe.d writes them. There already is as good.
pub(crate) fn insert(path: &Path, options: &str) -> Result<(), String> {
    let options = CString::new(options).unwrap_or_default();
    let plain = path.extension().is_some_and(|extension| extension == "ko");
    let inserted = if plain {
        let file = File::open(path).map_err(|e| e.to_string())?;
        finit_module(&file, &options, ModuleInitFlags::empty())
    } else {
        let bytes = fs::read(path).map_err(|e| e.to_string())?;
        let module = decompress::kmod(&bytes, MAX_SIZE).map_err(|e| e.to_string())?;
        init_module(&module, &options)
    };
    match inserted {
        // A driver that looks for its device and finds none has not failed.
        Ok(()) | Err(Errno::EEXIST | Errno::ENODEV) => Ok(()),
        Err(e) => Err(explain(e).into()),
    }
}

fn explain(error: Errno) -> &'static str {
    match error {
        Errno::ENOEXEC => "it is damaged, or for another kernel",
        Errno::EKEYREJECTED | Errno::ENOKEY => "its signature is not one this kernel trusts",
        Errno::ENOENT => "a symbol it needs is missing: the image's kmod index is wrong",
        other => other.desc(),
    }
}
