//! Extracting a set of `.tar.xz` packages into memory, as ram mode does,
//! beside what scripts do.

use std::convert::identity;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

use anyhow::{Context, Result, ensure};
use benches::{Report, ours, run, shell};
use clap::{Parser, Subcommand};
use init::in_turn::{Ahead, Inlet, Outlet, in_turn};
use init::unpack::{self, Limits};
use init::xz::{self, Piece};
use sha2::{Digest, Sha256};

#[derive(Parser)]
struct Args {
    /// The folder whose files are packed.
    tree: Option<PathBuf>,
    #[arg(long, default_value_t = 20)]
    packages: usize,
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Where packages and trees go: in memory.
    #[arg(long, default_value = "/dev/shm/bench-ram")]
    dir: PathBuf,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// Our contestant.
    #[command(name = "extract-as-liveroot")]
    Ours { packages: PathBuf, to: PathBuf },
}

/// In blocks as long as those of the packages that `liveroot` packs.
const PACK: &str = r#"cd "$1"
find . -mindepth 1 | LC_ALL=C sort > "$2/list"
for n in $(seq 1 "$3"); do
    awk -v of="$3" -v n="$n" 'NR % of == n % of' "$2/list" | tar -c --no-recursion --owner=0 --group=0 -T - | xz -6 -T1 --block-size=8MiB > "$2/$n.tar.xz"
done"#;

fn main() -> Result<()> {
    let args = Args::parse();
    match (&args.part, &args.tree) {
        (Some(Part::Ours { packages, to }), _) => extract(packages, to),
        (None, Some(tree)) => compare(&args, &fs::canonicalize(tree)?),
        (None, None) => anyhow::bail!("which folder is to be packed?"),
    }
}

fn compare(args: &Args, tree: &Path) -> Result<()> {
    let (packages, to) = (args.dir.join("packages"), args.dir.join("tree"));
    remove(&args.dir)?;
    fs::create_dir_all(&packages)?;
    let count = PathBuf::from(args.packages.to_string());
    run(&mut shell(PACK, &[tree, &packages, &count]))?;
    let packed: u64 = paths(&packages)?.iter().map(|path| fs::metadata(path).map_or(0, |meta| meta.len())).sum();
    println!("{} packages, {} MB", args.packages, packed / 1_000_000);

    let rows: [(&str, &dyn Fn() -> Result<Command>); 4] = [
        ("xz -dc | tar x, one by one", &|| {
            Ok(shell(r#"for p in "$1"/*.xz; do xz -dc "$p" | tar -x -C "$2"; done"#, &[&packages, &to]))
        }),
        ("liveroot", &|| {
            let mut command = ours()?;
            command.arg("extract-as-liveroot").args([&packages, &to]);
            Ok(command)
        }),
        ("xz -dc alone, two at a time", &|| {
            Ok(shell(r#"ls "$1"/*.xz | xargs -P2 -n1 xz -dc > /dev/null"#, &[&packages]))
        }),
        ("tar xJ, two at a time", &|| {
            Ok(shell(r#"ls "$1"/*.xz | xargs -P2 -I{} tar -xJf {} -C "$2""#, &[&packages, &to]))
        }),
    ];
    let mut report = Report::default();
    for round in 1..=args.rounds {
        for (name, command) in rows {
            remove(&to)?;
            fs::create_dir(&to)?;
            let cost = run(&mut command()?)?;
            eprintln!("round {round}: {name}: {:.2} s, cpu {:.2} s", cost.wall.as_secs_f64(), cost.cpu.as_secs_f64());
            report.add(name, cost, packed);
            if name == "liveroot" {
                let same = Command::new("diff").args(["-r", "--no-dereference"]).args([tree, &to]).status();
                ensure!(same.context("cannot start diff")?.success(), "what was extracted is not what was packed");
            }
        }
    }
    remove(&args.dir)?;
    print!("{report}");
    Ok(())
}

/// A package, or the piece of it that one thread decodes.
struct Job<'p> {
    package: &'p Package,
    piece: Option<&'p Piece>,
}

struct Package {
    path: PathBuf,
    pieces: Vec<Piece>,
    hash: OnceLock<io::Result<()>>,
}

impl Package {
    fn new(path: PathBuf) -> io::Result<Self> {
        Ok(Self { pieces: xz::pieces(File::open(&path)?)?, path, hash: OnceLock::new() })
    }

    fn jobs(&self) -> impl Iterator<Item = Job<'_>> {
        let whole = self.pieces.is_empty().then_some(None);
        whole.into_iter().chain(self.pieces.iter().map(Some)).map(|piece| Job { package: self, piece })
    }

    fn read(&self) -> io::Result<()> {
        let (mut file, mut hasher, mut buffer) = (File::open(&self.path)?, Sha256::new(), vec![0; 128 << 10]);
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                read => hasher.update(&buffer[..read]),
            }
        }
        std::hint::black_box(hasher.finalize());
        Ok(())
    }
}

/// As /init does it: each package is hashed whole before any of it is decoded.
fn extract(packages: &Path, to: &Path) -> Result<()> {
    let ahead = Ahead { threads: thread::available_parallelism()?.get(), waiting: usize::MAX };
    let make = |job: &Job<'_>, out: &mut Outlet<'_, io::Error>| {
        let Job { package, piece } = job;
        if let Err(error) = package.hash.get_or_init(|| package.read()) {
            return Err(error.kind().into());
        }
        let file = File::open(&package.path)?;
        match piece {
            None => out.pour(unpack::decoded(file)?),
            Some(piece) => out.pour(unpack::decoded(piece.reader(file)?)?),
        }
    };
    let take = |path: &PathBuf, from: &mut Inlet<'_, io::Error>| {
        let limits = Limits { unpacked: u64::MAX, privileged: true };
        let extracted = unpack::archive(from, to, &limits);
        extracted.map(drop).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
    };
    let packages = paths(packages)?.into_iter().map(Package::new).collect::<io::Result<Vec<_>>>()?;
    let jobs: Vec<_> = packages.iter().flat_map(Package::jobs).collect();
    Ok(in_turn(&jobs, |job| &job.package.path, ahead, make, take, identity)?)
}

fn paths(packages: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(packages)? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|it| it == "xz"));
    paths.sort();
    Ok(paths)
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}
