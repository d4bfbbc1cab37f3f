//! Packing a folder as a squashfs, codec by codec, beside mksquashfs and
//! gensquashfs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use benches::{Report, is_installed, ours, run};
use builder::squashfs::{self, Compression, Options};
use clap::{Parser, Subcommand};
use tree::Provenance;
use tree::host::{self, Owners};

#[derive(Parser)]
struct Args {
    /// The folders to pack, each a table of its own.
    trees: Vec<PathBuf>,
    #[arg(long, value_delimiter = ',', default_value = "lz4,zstd:3,gzip:9,zstd:15,zstd:19,xz")]
    codecs: Vec<String>,
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Where images go.
    #[arg(long, default_value = "target/bench")]
    dir: PathBuf,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// Our contestant.
    #[command(name = "pack-as-liveroot")]
    Ours { from: PathBuf, to: PathBuf, codec: Compression, jobs: usize },
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(Part::Ours { from, to, codec, jobs }) = args.part {
        return write(&from, &to, codec, jobs);
    }
    fs::create_dir_all(&args.dir)?;
    for tree in &args.trees {
        for codec in &args.codecs {
            compare(&args, tree, codec)?;
        }
    }
    Ok(())
}

fn write(from: &Path, to: &Path, codec: Compression, jobs: usize) -> Result<()> {
    let tree = host::load(from, Owners::AsIs, &Provenance::new("the payload"))?;
    let mut out = File::create(to).with_context(|| format!("cannot create {}", to.display()))?;
    squashfs::write(&tree, &Options { jobs, ..Options::new(codec) }, &mut out)?;
    Ok(())
}

fn compare(args: &Args, tree: &Path, codec: &str) -> Result<()> {
    let out = args.dir.join("out.squashfs");
    let (name, level) = codec.split_once(':').unwrap_or((codec, ""));
    let jobs = args.jobs.to_string();
    let mksquashfs = || {
        let mut command = Command::new("mksquashfs");
        command.arg(tree).arg(&out).args(["-comp", name, "-processors", &jobs]);
        command.args(["-noappend", "-no-progress", "-quiet"]);
        match level {
            "" => {}
            "hc" => drop(command.arg("-Xhc")),
            level => drop(command.args(["-Xcompression-level", level])),
        }
        Ok(command)
    };
    let liveroot = || {
        let mut command = ours()?;
        command.arg("pack-as-liveroot").args([tree, &out]).args([codec, &jobs]);
        Ok(command)
    };
    let gensquashfs = || {
        let mut command = Command::new("gensquashfs");
        command.arg("--pack-dir").arg(tree).args(["-c", name, "-j", &jobs, "-q", "-f", "--keep-time", "-x"]).arg(&out);
        match level {
            "" => {}
            "hc" => drop(command.args(["-X", "hc"])),
            level => drop(command.args(["-X", &format!("level={level}")])),
        }
        Ok(command)
    };
    let contestants: [(&str, &dyn Fn() -> Result<Command>); 3] =
        [("mksquashfs", &mksquashfs), ("liveroot", &liveroot), ("gensquashfs", &gensquashfs)];
    let mut report = Report::default();
    for round in 1..=args.rounds {
        for (name, command) in contestants {
            if name != "liveroot" && !is_installed(name) {
                println!("{name} is not installed and left out");
                continue;
            }
            if let Err(error) = fs::remove_file(&out)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(error).with_context(|| format!("cannot remove {}", out.display()));
            }
            let cost = run(&mut command()?)?;
            let size = fs::metadata(&out)?.len();
            eprintln!(
                "round {round}: {name} {codec}: {:.2} s, cpu {:.2} s, {size} bytes",
                cost.wall.as_secs_f64(),
                cost.cpu.as_secs_f64()
            );
            report.add(name, cost, size);
        }
    }
    fs::remove_file(&out)?;
    println!("\n{} as {codec}, {} threads", tree.display(), args.jobs);
    print!("{report}");
    Ok(())
}
