//! Building the initramfs of a live medium, beside mkinitramfs and dracut for
//! the same kernel.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use benches::{Report, ours, run};
use builder::plan::{Plan, Request};
use builder::profile::Profile;
use builder::progress::Progress;
use builder::source::Cache;
use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Args {
    /// A Debian root with a kernel, and with initramfs-tools and live-boot to be measured.
    root: Option<PathBuf>,
    /// The same root with dracut instead.
    #[arg(long)]
    dracut: Option<PathBuf>,
    /// What `compress` and `kmods` of our contestants are.
    #[arg(long, value_delimiter = ',', default_value = "zstd:19/auto,zstd:1/zstd:1,zstd:19/plain,zstd:1/plain")]
    forms: Vec<String>,
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Our rescue shell: `toybox` where this program was built with one, or `toybox:PATH`.
    #[arg(long, default_value = "")]
    userland: String,
    /// Where images go.
    #[arg(long, default_value = "target/bench")]
    dir: PathBuf,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// Our contestant.
    #[command(name = "build-as-liveroot")]
    Ours { root: PathBuf, form: String, userland: String, to: PathBuf },
}

/// In the root, with what programs of early boot look at. Needs root, which ours does not.
const CHROOT: &str = r#"for dir in proc sys dev; do mount --bind "/$dir" "$1/$dir"; done; exec chroot "$@""#;
const IMAGE: &str = "/tmp/bench.img";

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(Part::Ours { root, form, userland, to }) = args.part {
        return build(&root, &form, &userland, &to);
    }
    let root = args.root.context("the Debian root to build for")?;
    fs::create_dir_all(&args.dir)?;
    let release = release(&root)?;
    let out = args.dir.join("out.img");
    let mut report = Report::default();
    let mut add = |round: u32, name: &str, mut command: Command, image: &Path| {
        let cost = run(&mut command)?;
        let size = fs::metadata(image).with_context(|| format!("{name} left no {}", image.display()))?.len();
        let (wall, cpu) = (cost.wall.as_secs_f64(), cost.cpu.as_secs_f64());
        eprintln!("round {round}: {name}: {wall:.2} s, cpu {cpu:.2} s, {size} bytes");
        report.add(name, cost, size);
        fs::remove_file(image).with_context(|| format!("cannot remove {}", image.display()))
    };
    for round in 1..=args.rounds {
        let made = |root: &Path| root.join(IMAGE.trim_start_matches('/'));
        let mkinitramfs = in_chroot(&root, &["mkinitramfs", "-c", "zstd", "-o", IMAGE, &release]);
        add(round, "mkinitramfs", mkinitramfs, &made(&root))?;
        if let Some(root) = &args.dracut {
            let asked = ["--force", "--quiet", "--no-hostonly", "--add", "dmsquash-live", "--zstd", IMAGE, &release];
            let dracut = in_chroot(root, &[&["dracut"], &asked[..]].concat());
            add(round, "dracut", dracut, &made(root))?;
        }
        for form in &args.forms {
            let mut command = ours()?;
            command.arg("build-as-liveroot").arg(&root).args([form, &args.userland]).arg(&out);
            add(round, &format!("liveroot {form}"), command, &out)?;
        }
    }
    println!("\nThe initramfs for {release}");
    print!("{report}");
    Ok(())
}

fn in_chroot(root: &Path, program: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec", CHROOT, "sh"]).arg(root).args(program);
    command
}

fn release(root: &Path) -> Result<String> {
    let dir = root.join("usr/lib/modules");
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    ensure!(names.len() == 1, "{} holds {} kernels, and one is measured", dir.display(), names.len());
    Ok(names.remove(0))
}

/// As `liveroot initramfs` does, for the profile of a live medium.
fn build(root: &Path, form: &str, userland: &str, to: &Path) -> Result<()> {
    let (compress, kmods) = form.split_once('/').context("COMPRESS/KMODS")?;
    let root = root.canonicalize()?;
    let userland = if userland.is_empty() { String::new() } else { format!("userland = {userland:?}\n") };
    let text = format!(
        "name = \"bench\"\nlabel = \"BENCH\"\nmode = \"overlay\"\n\
         [kernel]\nfrom = \"root\"\nmodules = [\"@live\"]\n\
         [initramfs]\ncompress = {compress:?}\nkmods = {kmods:?}\n{userland}\
         [root]\nfrom = {:?}\n",
        format!("dir:{}", root.display())
    );
    let profile = Profile::parse(Path::new("bench.toml"), &text, |_| unreachable!("it has no base"))?;
    let plan = Plan::resolve(&profile, &Request::default())?;
    let cache = Cache::new(to.with_extension("cache"));
    builder::build_initramfs(&plan, &cache, to, &Progress::for_stderr(true))?;
    Ok(())
}
