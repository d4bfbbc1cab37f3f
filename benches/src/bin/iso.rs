//! Writing a payload as ISO 9660 with Rock Ridge and Joliet, until it is on
//! the disk.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use benches::{Payload, Report, is_installed, ours, run, shell};
use builder::publish::Draft;
use clap::{Parser, Subcommand};
use iso::{Image, VolumeId};
use tree::Provenance;
use tree::host::{self, Owners};

#[derive(Parser)]
struct Args {
    /// How much to pack.
    #[arg(long, default_value_t = 1200)]
    mib: u64,
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Where payload and images go: on the disk that is to be measured.
    #[arg(long, default_value = "target/bench")]
    dir: PathBuf,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// Our contestant.
    Ours { from: PathBuf, to: PathBuf },
    /// Takes memory, and gives it back.
    Touch { mib: usize },
}

fn main() -> Result<()> {
    let args = Args::parse();
    match args.part {
        Some(Part::Ours { from, to }) => write(&from, &to),
        Some(Part::Touch { mib }) => {
            drop(black_box(vec![1_u8; mib << 20]));
            Ok(())
        }
        None => compare(&args),
    }
}

fn write(from: &Path, to: &Path) -> Result<()> {
    let tree = host::load(from, Owners::Root, &Provenance::new("the payload"))?;
    let image = Image { joliet: true, ..Image::new(&tree, VolumeId::new("BENCH")?, 0) };
    let mut draft = Draft::create(to)?;
    iso::layout(&image)?.write(&mut draft.appender(), &mut |_| {})?;
    Ok(draft.publish()?)
}

/// A contestant's command, made anew for each round.
type Start = Box<dyn Fn() -> Result<Command>>;

fn compare(args: &Args) -> Result<()> {
    fs::create_dir_all(&args.dir)?;
    let payload = Payload { mib: args.mib, noise_percent: 100 }.make(&args.dir)?;
    let (image, copy, out) = (args.dir.join("image.iso"), args.dir.join("copy"), args.dir.join("out"));
    // Not in this process: what it takes here, the kernel counts for whoever
    // is started next.
    run(ours()?.arg("ours").args([&payload, &image]))?;

    let mut contestants: Vec<(&str, Start)> = Vec::new();
    let to_shell = |line: &'static str, from: &Path, to: &Path| -> Start {
        let (from, to) = (from.to_owned(), to.to_owned());
        Box::new(move || Ok(shell(line, &[&from, &to])))
    };
    contestants
        .push(("cp of the image, sync", to_shell("cp --reflink=never \"$1\" \"$2\"; sync \"$2\"", &image, &out)));
    let (from, to) = (payload.clone(), out.clone());
    contestants.push((
        "liveroot-iso",
        Box::new(move || {
            let mut command = ours()?;
            command.arg("ours").args([&from, &to]);
            Ok(command)
        }),
    ));
    for (program, name, line) in [
        ("xorriso", "xorriso", "xorriso -as mkisofs -quiet -r -J -o \"$2\" \"$1\" 2>/dev/null; sync \"$2\""),
        ("grub-mkrescue", "grub-mkrescue", "grub-mkrescue -o \"$2\" \"$1\" 2>/dev/null; sync \"$2\""),
    ] {
        if is_installed(program) {
            contestants.push((name, to_shell(line, &payload, &out)));
        } else {
            println!("{program} is not installed and left out");
        }
    }

    // By itself at the end: the removal of that many files is felt by whoever
    // comes next.
    let copy_files = to_shell("cp -r \"$1\" \"$2\"; sync -f \"$2\"", &payload, &copy);
    let files = [("cp -r of the files, sync", copy_files)];

    let mut report = Report::default();
    for contestants in [&contestants[..], &files] {
        for (round, (name, command)) in
            (1..=args.rounds).flat_map(|round| contestants.iter().map(move |one| (round, one)))
        {
            remove(&out)?;
            remove(&copy)?;
            // What earlier ones left in memory is not this one's to write.
            run(&mut Command::new("sync"))?;
            // In a virtual machine the memory for the page cache may have to
            // come from its host first: in no contestant's time.
            run(ours()?.args(["touch", &(args.mib * 3 / 2).to_string()]))?;
            let cost = run(&mut command()?)?;
            let size = fs::metadata(&out).map_or(args.mib << 20, |out| out.len());
            eprintln!("round {round}: {name}: {:.2} s, cpu {:.2} s", cost.wall.as_secs_f64(), cost.cpu.as_secs_f64());
            report.add(name, cost, size);
        }
    }
    remove(&out)?;
    remove(&copy)?;
    remove(&image)?;
    print!("{report}");
    Ok(())
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
