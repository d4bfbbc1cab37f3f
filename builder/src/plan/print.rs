//! The plan as text: what `liveroot plan` shows and tests pin.

use std::fmt::{self, Formatter};
use std::path::Path;

use super::{
    FirmwareSource, KernelSource, LayerPlan, OverlaySource, PackageSource, Parts, Payload, Plan, ProgramFile,
    ProgramSource, RootSource, Userland,
};
use crate::exclusion;
use crate::profile::Located;

pub(super) fn plan(plan: &Plan, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "name       {}", plan.name)?;
    writeln!(f, "label      {}", plan.label.as_str())?;
    writeln!(f, "mode       {}", plan.mode)?;
    writeln!(f, "arch       {}", plan.arch)?;
    writeln!(f, "epoch      {}{}", plan.epoch, if plan.clamp { ", and nothing later" } else { "" })?;
    writeln!(f, "\nkernel")?;
    line(f, "from", &kernel(&plan.kernel.value), Some(&plan.kernel))?;
    for module in &plan.modules {
        line(f, "modules", &module.value, Some(module))?;
    }
    for source in &plan.firmware {
        line(f, "firmware", &firmware(&source.value), Some(source))?;
    }
    writeln!(f, "\ninitramfs")?;
    line::<()>(f, "compress", &plan.initramfs.compress.to_string(), None)?;
    line::<()>(f, "kmods", &plan.initramfs.kmods.to_string(), None)?;
    if plan.initramfs.strip {
        line::<()>(f, "strip", "yes", None)?;
    }
    if let Some(max) = plan.initramfs.max_size {
        line::<()>(f, "max_size", &crate::progress::bytes(max), None)?;
    }
    if let Some(password) = &plan.initramfs.shell_password {
        line(f, "shell_password", "yes", Some(password))?;
    }
    for source in &plan.initramfs.microcode {
        line(f, "microcode", &firmware(&source.value), Some(source))?;
    }
    parts(f, &plan.initramfs.parts)?;
    payload(f, &plan.payload)?;
    writeln!(f, "\nboot")?;
    line::<()>(f, "bios", plan.boot.bios.name(), None)?;
    let signed = if plan.boot.signed { ", signed" } else { "" };
    line::<()>(f, "uefi", &format!("{}{signed}", plan.boot.uefi.name()), None)?;
    line::<()>(f, "layout", plan.boot.layout.name(), None)?;
    line::<()>(f, "timeout", &format!("{} s", plan.boot.timeout), None)?;
    if let Some(files) = &plan.boot.files {
        line(f, "files", &shown(&files.value), Some(files))?;
    }
    for (key, program) in [("memtest", &plan.boot.memtest), ("shell", &plan.boot.shell)] {
        if let Some(program) = program {
            line(f, key, &program_file(&program.value), Some(program))?;
        }
    }
    for entry in &plan.boot.entries {
        line::<()>(f, "entry", &format!("{:?} {:?}", entry.title, entry.cmdline), None)?;
    }
    writeln!(f, "\nimage")?;
    line::<()>(f, "media_sum", if plan.media_sum { "yes" } else { "no" }, None)?;
    for advice in &plan.advice {
        writeln!(f, "\nadvice     {advice}")?;
    }
    Ok(())
}

fn payload(f: &mut Formatter<'_>, payload: &Payload) -> fmt::Result {
    match payload {
        Payload::Root(root) => {
            writeln!(f, "\nroot")?;
            line(f, "from", &root_source(&root.from.value), Some(&root.from))?;
            if root.exclude_usual {
                line::<()>(f, "exclude", exclusion::NAME, None)?;
            }
            for exclude in &root.exclude {
                line(f, "exclude", &exclude.value, Some(exclude))?;
            }
            line::<()>(f, "compress", &root.compress.to_string(), None)?;
            line::<()>(f, "block", &root.block.to_string(), None)?;
            if root.tail_packing {
                line::<()>(f, "pack_tails", "yes", None)?;
            }
            if let Some(order) = &root.order {
                line(f, "order", &shown(&order.value), Some(order))?;
            }
            if root.verity {
                line::<()>(f, "verity", "yes", None)?;
            }
            overlays(f, &root.overlays)?;
            root.layers.iter().try_for_each(|over| layer(f, over))
        }
        Payload::Packages(packages) => packages.iter().try_for_each(|package| {
            let need = if package.required { "required" } else { "optional" };
            let rights = if package.privileged { ", privileged" } else { "" };
            let extra = if package.extra { ", extra" } else { "" };
            writeln!(f, "\npackage {} ({need}{rights}{extra})", package.name)?;
            match &package.source {
                PackageSource::Archive(path) => line::<()>(f, "from", &shown(path), None),
                PackageSource::Parts(made_of) => parts(f, made_of),
            }
        }),
    }
}

fn layer(f: &mut Formatter<'_>, layer: &LayerPlan) -> fmt::Result {
    let extra = if layer.extra { " (where it is asked for)" } else { "" };
    writeln!(f, "\nlayer {}{extra}", layer.name.value)?;
    if let Some(from) = &layer.from {
        line(f, "from", &root_source(&from.value), Some(from))?;
    }
    for exclude in &layer.exclude {
        line(f, "exclude", &exclude.value, Some(exclude))?;
    }
    line::<()>(f, "compress", &layer.compress.to_string(), None)?;
    overlays(f, &layer.overlays)
}

fn parts(f: &mut Formatter<'_>, parts: &Parts) -> fmt::Result {
    if let Some(userland) = &parts.userland {
        let text = match &userland.value {
            Userland::BuiltinToybox => "toybox, built in".into(),
            Userland::Toybox(path) => format!("toybox, {}", shown(path)),
        };
        line(f, "userland", &text, Some(userland))?;
    }
    for program in &parts.programs {
        let text = match &program.value {
            ProgramSource::Root(path) => format!("{path} of the root"),
            ProgramSource::Host(path) => format!("{path} of this system"),
        };
        line(f, "program", &text, Some(program))?;
    }
    overlays(f, &parts.overlays)
}

fn overlays(f: &mut Formatter<'_>, overlays: &[Located<OverlaySource>]) -> fmt::Result {
    overlays.iter().try_for_each(|overlay| {
        let text = match &overlay.value {
            OverlaySource::Builtin(name) => format!("{name}, built in"),
            OverlaySource::Dir(path) => shown(path),
        };
        line(f, "overlay", &text, Some(overlay))
    })
}

fn firmware(source: &FirmwareSource) -> String {
    match source {
        FirmwareSource::Root => "the root".into(),
        FirmwareSource::Host => "this system".into(),
        FirmwareSource::Dir(path) => format!("folder {}", shown(path)),
        FirmwareSource::DebFile(path) => format!("Debian package {}", shown(path)),
    }
}

fn kernel(source: &KernelSource) -> String {
    match source {
        KernelSource::Dir(path) => format!("folder {}", shown(path)),
        KernelSource::Host => "this system".into(),
        KernelSource::Root => "the root".into(),
        KernelSource::DebFile(path) => format!("Debian package {}", shown(path)),
        KernelSource::Deb(name) => format!("Debian package {name}, from the cache"),
    }
}

fn program_file(source: &ProgramFile) -> String {
    match source {
        ProgramFile::File(path) => shown(path),
        ProgramFile::DebFile(path) => format!("Debian package {}", shown(path)),
        ProgramFile::Deb(name) => format!("Debian package {name}, from the cache"),
    }
}

fn root_source(source: &RootSource) -> String {
    match source {
        RootSource::Dir(path) => format!("folder {}", shown(path)),
        RootSource::Tar(path) => format!("archive {}", shown(path)),
        RootSource::Mmdebstrap { suite, include } => format!("mmdebstrap {suite}, with {}", include.join(" ")),
    }
}

/// One line, with the profile's line behind it where there is one.
fn line<T>(f: &mut Formatter<'_>, key: &str, text: &str, place: Option<&Located<T>>) -> fmt::Result {
    match place {
        Some(located) => writeln!(f, "  {key:8} {text}  # {}", located.place.short()),
        None => writeln!(f, "  {key:8} {text}"),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
