//! A squashfs from a folder or a tar: what a script would call mksquashfs for.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tree::{Content, Provenance, Tree, TreePath};

use crate::exclusion;
use crate::progress::{self, Progress};
use crate::publish::Draft;
use crate::space;
use crate::squashfs::{self, Missing, Options, Written};

/// The source that is standard input.
pub const STDIN: &str = "-";

#[derive(Debug)]
pub struct Request {
    /// A folder, or a tar file; [`STDIN`] is a tar too.
    pub source: PathBuf,
    /// Globs over whole paths, as in a profile.
    pub exclude: Vec<String>,
    /// A file with one path a line: what is read first at boot, in that order.
    pub sort: Option<PathBuf>,
    pub options: Options,
    /// Dates after this one become this one.
    pub epoch: Option<i64>,
    /// Read it back, and compare it with what went in.
    pub verify: bool,
}

/// Packs what `request` says into `target`, which shows the old image until
/// the new one is whole.
pub fn build(request: Request, target: &Path, progress: &Progress) -> Result<Written> {
    let is_verified = request.verify;
    let (tree, options) = prepare(request, progress)?;
    for advice in squashfs::advise(&tree) {
        progress.note(&format!("note: {advice}"));
    }
    let mut draft = Draft::create(target)?;
    let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Some(warning) = space::warning(dir, tree.content_len()) {
        progress.note(&format!("note: {warning}"));
    }
    let step = progress.step(format!("squashfs {}", options.compression), Some(tree.content_len()));
    let start = Instant::now();
    let written =
        squashfs::write_watched(&tree, &options, draft.file(), &mut |passed| step.packed(passed.read, passed.written));
    let written = written.map_err(|error| space::told(error, dir))?;
    step.done(&summary(&written, start.elapsed()));
    if is_verified {
        let image = draft.file().try_clone()?;
        verify(&tree, &Content::span(Arc::new(image), "the squashfs", 0, written.len), progress)?;
    }
    draft.publish()?;
    note_cache(&written, progress);
    Ok(written)
}

/// Reads the image back, and compares it with the tree that it was made from.
pub(crate) fn verify(tree: &Tree, image: &Content, progress: &Progress) -> Result<()> {
    let step = progress.step("reading it back", None);
    squashfs::compare(tree, image)?;
    step.done("it is what was packed");
    Ok(())
}

/// What [`build`] would pack anew for `request`; see [`squashfs::missing`].
pub fn missing(request: Request, progress: &Progress) -> Result<Option<Missing>> {
    let (tree, options) = prepare(request, progress)?;
    Ok(squashfs::missing(&tree, &options)?)
}

/// The image is whole without the cache; the next build will miss it.
pub(crate) fn note_cache(written: &Written, progress: &Progress) {
    if let Some(failure) = &written.cache.failure {
        progress.note(&format!("note: packed blocks could not be kept for the next build: {failure}"));
    }
}

/// `, 11,003 of 12,100 blocks from the cache`, where there were any.
fn from_cache(written: &Written) -> String {
    match written.cache.taken {
        0 => String::new(),
        taken => format!(", {taken} of {} blocks from the cache", written.count),
    }
}

fn prepare(request: Request, progress: &Progress) -> Result<(Tree, Options)> {
    let mut tree = load(&request.source).with_context(|| request.source.display().to_string())?;
    for glob in &request.exclude {
        exclusion::exclude(&mut tree, glob);
    }
    if let Some(epoch) = request.epoch {
        tree.clamp_mtimes(epoch);
    }
    // No clock: without a date from outside, the image is as old as what is in it.
    let newest = || tree.walk().map(|item| item.meta.mtime).max().unwrap_or_default();
    let mut options = Options { epoch: request.epoch.unwrap_or_else(newest), ..request.options };
    if let Some(list) = &request.sort {
        options.first = sort_list(list)?;
        let unknown = options.first.iter().filter(|path| !tree.contains(path)).count();
        if unknown > 0 {
            progress.note(&format!("note: {}: {unknown} of its paths are not in the tree", list.display()));
        }
    }
    Ok((tree, options))
}

fn load(source: &Path) -> Result<Tree> {
    if source == Path::new(STDIN) {
        let name = "standard input";
        return Ok(tree::tar::read(name, io::stdin(), tree::Limits::default(), &Provenance::new(name))?);
    }
    let from = Provenance::new(source.display().to_string());
    if source.is_dir() {
        return Ok(tree::host::load(source, tree::host::Owners::AsIs, &from)?);
    }
    Ok(tree::tar::load(source, &from)?)
}

/// One path a line, as a boot read them; lines that begin with `#` are for people.
pub(crate) fn sort_list(list: &Path) -> Result<Vec<TreePath>> {
    let file = File::open(list).with_context(|| list.display().to_string())?;
    let mut paths = Vec::new();
    for line in BufReader::new(file).split(b'\n') {
        let line = line.with_context(|| list.display().to_string())?;
        if !line.is_empty() && line[0] != b'#' {
            paths.push(TreePath::new(&line).with_context(|| list.display().to_string())?);
        }
    }
    Ok(paths)
}

/// `31.2 MiB of 96.0 MiB, 32.5% (1.5 MiB of it twice), 48.0 MiB/s`
pub(crate) fn summary(written: &Written, time: Duration) -> String {
    let ratio = progress::percent(written.len, written.content);
    let rate = u128::from(written.content) * 1000 / time.as_millis().max(1);
    let rate = progress::bytes(u64::try_from(rate).unwrap_or(u64::MAX));
    let (len, content) = (progress::bytes(written.len), progress::bytes(written.content));
    let twice = match written.duplicate {
        0 => String::new(),
        duplicate => format!(" ({} of it twice)", progress::bytes(duplicate)),
    };
    format!("{len} of {content}, {ratio}{twice}, {rate}/s{}", from_cache(written))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Show;

    #[test]
    fn a_folder_becomes_an_image_without_what_is_excluded() {
        let scratch = tempfile::tempdir().unwrap();
        let (source, target) = (scratch.path().join("root"), scratch.path().join("root.squashfs"));
        std::fs::create_dir_all(source.join("var/cache")).unwrap();
        for name in ["a", "b", "var/cache/c"] {
            std::fs::write(source.join(name), name.repeat(3000)).unwrap();
        }
        let list = scratch.path().join("order");
        std::fs::write(&list, "# read at boot\n/b\n/gone\n").unwrap();
        let request = || Request {
            source: source.clone(),
            exclude: vec!["/var/cache/*".into()],
            sort: Some(list.clone()),
            options: Options::new("none".parse().unwrap()),
            epoch: Some(7),
            verify: true,
        };
        let progress = Progress::new(Show::Nothing);
        let written = build(request(), &target, &progress).unwrap();
        let image = std::fs::read(&target).unwrap();
        assert_eq!((image.len() as u64, written.inodes), (written.len, 5));
        let at = |text: &[u8]| image.windows(text.len()).position(|window| window == text).unwrap();
        assert!(at(b"bbbb") < at(b"aaaa"), "the list says which comes first");
        build(request(), &target, &progress).unwrap();
        assert!(image == std::fs::read(&target).unwrap(), "twice the same");
    }

    #[test]
    fn what_came_of_it_is_told_with_ratio_and_rate() {
        let mut written = Written {
            len: 32 << 20,
            inodes: 9,
            content: 96 << 20,
            duplicate: 0,
            blocks: 0,
            count: 12_100,
            cache: squashfs::cache::Used::default(),
        };
        assert_eq!(summary(&written, Duration::from_secs(2)), "32.00 MiB of 96.00 MiB, 33.3%, 48.00 MiB/s");
        (written.duplicate, written.cache.taken) = (1 << 20, 11_003);
        let told = summary(&written, Duration::ZERO);
        assert!(told.contains("33.3% (1.00 MiB of it twice), "), "{told}");
        assert!(told.ends_with(", 11003 of 12100 blocks from the cache"), "{told}");
    }

    /// An entry that is sound by its own sum, and yet another block's.
    #[test]
    fn verifying_finds_a_wrong_block_and_the_old_image_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let (source, target, home) =
            (scratch.path().join("root"), scratch.path().join("root.squashfs"), scratch.path().join("cache"));
        std::fs::create_dir(&source).unwrap();
        for (name, byte) in [("a", 1), ("b", 2)] {
            std::fs::write(source.join(name), vec![byte; 4096]).unwrap();
        }
        let cache = Some(squashfs::CacheAt { dir: home.clone(), max: u64::MAX });
        let defaults = Options::new("zstd:1".parse().unwrap());
        let options = Options { cache, block_size: "4K".parse().unwrap(), ..defaults };
        let request = |verify| Request {
            source: source.clone(),
            exclude: Vec::new(),
            sort: None,
            options: options.clone(),
            epoch: Some(7),
            verify,
        };
        let progress = Progress::new(Show::Nothing);
        build(request(true), &target, &progress).unwrap();
        let image = std::fs::read(&target).unwrap();

        squashfs::cache::swap_entries(&home);
        let told = build(request(true), &target, &progress).unwrap_err().to_string();
        assert!(told.starts_with("/a: the squashfs holds other bytes"), "{told}");
        assert!(image == std::fs::read(&target).unwrap(), "the old image");
        build(request(false), &target, &progress).unwrap();
        assert!(image != std::fs::read(&target).unwrap(), "nobody looked");
    }
}
