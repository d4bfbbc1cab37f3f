//! A static toybox from Debian's source package, built against musl.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::run::{self, say};
use crate::{debian, target};

/// Past `make defconfig`: commands that toybox holds back as unfinished and a
/// RAM system needs, and those that need crypt(), which Debian's musl has not.
const CONFIG: &[(&str, bool)] = &[
    ("DD", true),
    ("DHCP", true),
    ("DIFF", true),
    ("EXPR", true),
    ("FSCK", true),
    ("GETTY", true),
    ("HEXDUMP", true),
    ("INIT", true),
    ("IP", true),
    ("LOGIN", false),
    ("MDEV", true),
    ("MKPASSWD", false),
    ("MODPROBE", true),
    ("MORE", true),
    ("PASSWD", false),
    ("ROUTE", true),
    ("SH", true),
    ("STTY", true),
    ("SU", false),
    ("TR", true),
    ("VI", true),
    ("XZCAT", true),
];

/// The finished program: the one named by LIVEROOT_TOYBOX, or our own, built
/// once per configuration.
pub(crate) fn build() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("LIVEROOT_TOYBOX").map(PathBuf::from) {
        ensure!(path.is_file(), "LIVEROOT_TOYBOX names {}, and that is no file", path.display());
        return Ok(path);
    }
    let home = target().join("cache/toybox");
    let from_source = "toybox is built from source: or set LIVEROOT_TOYBOX to a static toybox with `sh` and `init`";
    let headers = kernel_headers(&home)?;
    let flags = format!("-Os -I{}", headers.display());
    let compiler = [("CC", "musl-gcc"), ("CFLAGS", &flags)];
    // The builder asks no program what it can do: it may be for another machine.
    let commands = |program: &Path| run::output(Command::new(program).arg("--long"));
    build_at(&home, "musl", &compiler, commands).context(from_source)
}

/// One for the aarch64 image of the tests. Debian has no musl for another
/// machine, so this one has glibc in it; its commands are `own`'s.
pub(crate) fn build_for_aarch64(own: &Path) -> Result<PathBuf> {
    let home = target().join("cache/toybox/aarch64");
    let compiler = [("CROSS_COMPILE", "aarch64-linux-gnu-"), ("CC", "gcc"), ("CFLAGS", "-Os")];
    let list = own.with_extension("applets");
    build_at(&home, "glibc for aarch64", &compiler, |_| Ok(fs::read_to_string(&list)?.trim_end().to_owned()))
}

fn build_at(
    home: &Path,
    libc: &str,
    compiler: &[(&str, &str)],
    list_commands: impl Fn(&Path) -> Result<String>,
) -> Result<PathBuf> {
    let (program, commands, stamp) = (home.join("toybox"), home.join("toybox.applets"), home.join("built-from"));
    let recipe = recipe(libc);
    if program.is_file() && fs::read_to_string(&stamp).is_ok_and(|built| built == recipe) {
        return Ok(program);
    }
    fs::create_dir_all(home)?;
    let source = debian::source("toybox", home)?;
    configure(&source)?;
    say(&format!("building toybox against {libc}; the compiler's output goes to {}", home.join("make.log").display()));
    compile(&source, compiler, &home.join("make.log"))?;
    // The stamp goes first and comes last: an interrupted build must not pass for
    // a finished one. make left the old program read-only.
    for old in [&stamp, &program].into_iter().filter(|old| old.exists()) {
        fs::remove_file(old)?;
    }
    fs::copy(source.join("toybox"), &program).context("make left no toybox")?;
    fs::write(commands, list_commands(&program)? + "\n")?;
    fs::write(&stamp, recipe)?;
    Ok(program)
}

fn recipe(libc: &str) -> String {
    let options = CONFIG.iter().map(|(name, on)| format!("{name}={on}\n"));
    std::iter::once(format!("Debian's source, {libc}, -Os, static\n")).chain(options).collect()
}

fn configure(source: &Path) -> Result<()> {
    run::output(Command::new("make").arg("defconfig").current_dir(source))?;
    let file = source.join(".config");
    let config = set_options(&fs::read_to_string(&file)?)?;
    fs::write(file, config)?;
    Ok(())
}

/// `defconfig` with [`CONFIG`]'s lines in place of its own.
fn set_options(defconfig: &str) -> Result<String> {
    let mut config = defconfig.to_owned();
    for (name, on) in CONFIG {
        let (set, unset) = (format!("CONFIG_{name}=y\n"), format!("# CONFIG_{name} is not set\n"));
        let (old, new) = if *on { (&unset, &set) } else { (&set, &unset) };
        ensure!(config.contains(old) || config.contains(new), "this toybox has no option {name}");
        config = config.replace(old, new);
    }
    Ok(config)
}

/// musl-gcc sees musl's headers alone, and toybox asks for the kernel's too.
/// Only these directories of /usr/include: the rest is glibc's.
fn kernel_headers(home: &Path) -> Result<PathBuf> {
    let dir = home.join("headers");
    fs::create_dir_all(&dir)?;
    let machine = format!("/usr/include/{}-linux-gnu/asm", std::env::consts::ARCH);
    let asm = if Path::new(&machine).exists() { machine.as_str() } else { "/usr/include/asm" };
    for (name, headers) in [
        ("linux", "/usr/include/linux"),
        ("asm-generic", "/usr/include/asm-generic"),
        ("asm", asm),
        ("mtd", "/usr/include/mtd"),
    ] {
        let link = dir.join(name);
        if link.symlink_metadata().is_err() {
            symlink(headers, &link).with_context(|| format!("cannot make {}", link.display()))?;
        }
    }
    Ok(dir)
}

fn compile(source: &Path, compiler: &[(&str, &str)], log: &Path) -> Result<()> {
    let output = File::create(log)?;
    let mut make = Command::new("make");
    make.current_dir(source)
        .envs(compiler.iter().copied())
        .env("LDFLAGS", "--static")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let status = make.status().context("cannot start make")?;
    if !status.success() {
        let text = fs::read_to_string(log)?;
        let last: Vec<&str> = text.lines().rev().take(15).collect();
        bail!("make ended with {status}:\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defconfig(flipped: bool) -> String {
        let line = |(name, on): &(&str, bool)| {
            if *on == flipped { format!("CONFIG_{name}=y\n") } else { format!("# CONFIG_{name} is not set\n") }
        };
        CONFIG.iter().map(line).collect::<String>() + "CONFIG_CAT=y\n"
    }

    #[test]
    fn options_end_as_asked_whatever_they_were() {
        assert_eq!(set_options(&defconfig(false)).unwrap(), defconfig(true));
        assert_eq!(set_options(&defconfig(true)).unwrap(), defconfig(true));
    }

    #[test]
    fn an_option_that_toybox_lost_is_named() {
        let error = set_options(&defconfig(false).replace("CONFIG_SH ", "CONFIG_SHELL ")).unwrap_err();
        assert!(error.to_string().contains("option SH"), "{error}");
    }
}
