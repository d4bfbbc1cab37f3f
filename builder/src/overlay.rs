//! Overlays: `NAME/root/…` laid over a tree, with `NAME/overlay.toml` for what
//! a source tree cannot hold.
//!
//! Owners are root's, and modes follow the executable bit alone (0755 or
//! 0644), so that a user's umask never reaches an image; `[[entry]]` says
//! otherwise for one path.
//!
//! ```toml
//! [[entry]]            # another mode or owner for a path of this overlay
//! path = "/etc/shadow"
//! mode = "0640"
//! gid  = 42
//! [[link]]             # a symlink
//! path   = "/etc/localtime"
//! target = "/usr/share/zoneinfo/UTC"
//! [[dir]]              # an empty directory
//! path = "/var/spool/mail"
//! mode = "1777"
//! ```

use std::path::Path;

use tree::{Conflict, Content, Meta, Provenance, Tree, TreePath};

use crate::builtin;
use crate::plan::OverlaySource;
use crate::profile::{Decoded, Located, Place, Problem, Problems, Section, decode_file};
use crate::provenance::role::words;

#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    #[error("{place}: the overlay {name} cannot be read")]
    Read {
        place: Place,
        name: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error(transparent)]
    Wrong(#[from] Problems),
    #[error("{place}: the overlay {name} contradicts itself: take one of the two out")]
    Conflict { place: Place, name: String, source: Conflict },
}

/// The overlay as a tree, every date at `epoch`.
pub fn load(overlay: &Located<OverlaySource>, epoch: i64) -> Result<Tree, OverlayError> {
    let place = &overlay.place;
    let name = match &overlay.value {
        OverlaySource::Builtin(name) => name.clone(),
        OverlaySource::Dir(dir) => dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let from = Provenance::new(format!("{} {name}", words::OVERLAY)).because(format!("profile {}", place.short()));
    let read = |source: Box<dyn std::error::Error + Send + Sync>| OverlayError::Read {
        place: place.clone(),
        name: name.clone(),
        source,
    };
    let (mut tree, settings) = match &overlay.value {
        OverlaySource::Builtin(builtin) => {
            let (tree, settings) = load_builtin(builtin, &from).map_err(|e| read(e.into()))?;
            (tree, settings.map(|text| (Path::new(builtin).join("overlay.toml"), text)))
        }
        OverlaySource::Dir(dir) => {
            let tree = match dir.join("root") {
                root if root.is_dir() => {
                    tree::host::load(&root, tree::host::Owners::Root, &from).map_err(|e| read(e.into()))?
                }
                _ => Tree::new(),
            };
            let file = dir.join("overlay.toml");
            if tree.is_empty() && !file.exists() {
                let problem =
                    Problem::new(place, format!("{}: neither root/ nor overlay.toml is in it", dir.display()));
                return Err(Problems(vec![problem.remedy("an overlay's files stand below its folder root/")]).into());
            }
            let text = match std::fs::read_to_string(&file) {
                Ok(text) => Some(text),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
                Err(e) => return Err(read(e.into())),
            };
            (tree, text.map(|text| (file, text)))
        }
    };
    plain_modes(&mut tree);
    if let Some((file, text)) = settings {
        let settings = decode_file(&file, &text, decode)?;
        settings.apply(&mut tree, &from).map_err(|error| match error {
            Applied::Problem(problem) => OverlayError::Wrong(Problems(vec![problem])),
            Applied::Conflict(source) => OverlayError::Conflict { place: place.clone(), name: name.clone(), source },
        })?;
    }
    tree.for_each_meta(|meta| meta.mtime = epoch);
    Ok(tree)
}

fn load_builtin(name: &str, from: &Provenance) -> Result<(Tree, Option<String>), Conflict> {
    let mut tree = Tree::new();
    let mut settings = None;
    for (path, file) in builtin::overlay(name) {
        if path == "overlay.toml" {
            settings = Some(String::from_utf8_lossy(file.bytes).into_owned());
        }
        if let Some(path) = path.strip_prefix("root/") {
            let mode = if file.executable { 0o755 } else { 0o644 };
            let path = TreePath::new(path).expect("a path of our source tree");
            tree.insert_file(path, mode, Content::from(file.bytes), from.clone())?;
        }
    }
    Ok((tree, settings))
}

fn plain_modes(tree: &mut Tree) {
    let modes: Vec<(TreePath, u32)> = tree
        .walk()
        .filter(|item| item.is_dir() || item.content().is_some())
        .map(|item| (item.path.clone(), if item.is_dir() || item.meta.mode & 0o100 != 0 { 0o755 } else { 0o644 }))
        .collect();
    for (path, mode) in modes {
        if let Some(meta) = tree.meta_mut(&path) {
            meta.mode = mode;
            meta.xattrs.clear();
        }
    }
}

#[derive(Default)]
struct Settings {
    entries: Vec<(Located<TreePath>, Owner)>,
    links: Vec<(TreePath, String)>,
    dirs: Vec<(TreePath, Owner)>,
}

#[derive(Clone, Copy)]
struct Owner {
    mode: Option<u32>,
    uid: u32,
    gid: u32,
}

enum Applied {
    Problem(Problem),
    Conflict(Conflict),
}

fn decode(top: &mut Section<'_>) -> Decoded<Settings> {
    let mut settings = Settings::default();
    for mut section in top.sections("entry") {
        let path = tree_path(&mut section);
        let owner = owner(&mut section);
        section.finish();
        settings.entries.push((path?, owner?));
    }
    for mut section in top.sections("link") {
        let path = tree_path(&mut section);
        let target = section.string("target");
        let target = section.require("target", target, "what the symlink points to");
        section.finish();
        settings.links.push((path?.value, target?.value));
    }
    for mut section in top.sections("dir") {
        let path = tree_path(&mut section);
        let owner = owner(&mut section);
        section.finish();
        settings.dirs.push((path?.value, owner?));
    }
    Some(settings)
}

fn tree_path(section: &mut Section<'_>) -> Option<Located<TreePath>> {
    let written = section.string("path");
    let written = section.require("path", written, "an absolute path in the image")?;
    match TreePath::new(&written.value) {
        Ok(path) => Some(Located { value: path, place: written.place }),
        Err(e) => {
            section.report(Problem::new(&written.place, e.to_string()));
            None
        }
    }
}

fn owner(section: &mut Section<'_>) -> Option<Owner> {
    let mode = match section.string("mode") {
        None => None,
        Some(written) => match u32::from_str_radix(&written.value, 8) {
            Ok(mode) if mode <= 0o7777 => Some(mode),
            _ => {
                let problem = Problem::new(&written.place, format!("`{}` is not a mode", written.value));
                section.report(problem.remedy("up to four octal digits in quotes: \"0640\""));
                return None;
            }
        },
    };
    let mut id = |key| section.integer(key, 0..=i64::from(u32::MAX - 1)).map_or(0, |id| id.value as u32);
    Some(Owner { mode, uid: id("uid"), gid: id("gid") })
}

impl Settings {
    fn apply(self, tree: &mut Tree, from: &Provenance) -> Result<(), Applied> {
        for (path, target) in self.links {
            tree.insert_symlink(path, target, from.clone()).map_err(Applied::Conflict)?;
        }
        for (path, owner) in self.dirs {
            let meta = Meta { uid: owner.uid, gid: owner.gid, ..Meta::new(owner.mode.unwrap_or(0o755)) };
            tree.insert_dir(path, meta, from.clone()).map_err(Applied::Conflict)?;
        }
        for (path, owner) in self.entries {
            let Some(meta) = tree.meta_mut(&path.value) else {
                let problem = Problem::new(&path.place, format!("{} is not in this overlay", path.value));
                return Err(Applied::Problem(problem.remedy("add the file below root/, or say `[[dir]]`")));
            };
            (meta.uid, meta.gid) = (owner.uid, owner.gid);
            meta.mode = owner.mode.unwrap_or(meta.mode);
        }
        Ok(())
    }
}
