//! Directories: the tree in the order of the path tables, and the records
//! and path tables as bytes.

use std::collections::HashMap;

use tree::{Item, LeafId, Node, Tree, TreePath};

use crate::date;
use crate::format::{self, PARENT, RECORD_HEADER, RECORD_MAX, SECTION_MAX, SECTOR, SELF, both16, both32, flag};
use crate::joliet::WideNames;
use crate::layout::Extent;
use crate::name::{Naming, PlainNames};
use crate::rock_ridge::{self, Continuations, Numbers};

/// Which of an image's hierarchies: they differ in names, in what has a
/// place in them, and in Rock Ridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// ISO 9660's own, with Rock Ridge.
    Primary,
    Joliet,
}

/// All directories, a parent before its children and each generation by
/// parent and name: the order of ECMA-119 6.9.1. The first is the root.
#[derive(Debug, Clone)]
pub(crate) struct Hierarchy<'a> {
    namespace: Namespace,
    directories: Vec<Directory<'a>>,
}

#[derive(Debug, Clone)]
struct Directory<'a> {
    parent: usize,
    identifier: Vec<u8>,
    item: Item<'a>,
    numbers: Numbers,
    children: Vec<Child<'a>>,
}

#[derive(Debug, Clone)]
struct Child<'a> {
    identifier: Vec<u8>,
    item: Item<'a>,
    numbers: Numbers,
    /// Its place among the directories, if it is one.
    directory: Option<usize>,
}

/// Where one directory stands: its records, and behind them the continuation
/// areas.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DirectoryExtent {
    pub(crate) lba: u32,
    pub(crate) sectors: u32,
    pub(crate) continuation_sectors: u32,
}

impl DirectoryExtent {
    fn bytes(self) -> u32 {
        self.sectors * SECTOR as u32
    }
}

/// Where everything stands that a record points at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places<'p> {
    pub(crate) directories: &'p [DirectoryExtent],
    pub(crate) leaves: &'p HashMap<LeafId, Extent>,
    /// The sector that the volume counts from.
    pub(crate) base: u32,
}

impl Places<'_> {
    /// A directory as its volume sees it.
    fn directory(&self, n: usize) -> DirectoryExtent {
        let absolute = self.directories[n];
        DirectoryExtent { lba: absolute.lba - self.base, ..absolute }
    }

    fn leaf(&self, id: LeafId) -> Extent {
        let absolute = self.leaves.get(&id).copied().unwrap_or_default();
        Extent { lba: absolute.lba.saturating_sub(self.base), ..absolute }
    }
}

impl<'a> Hierarchy<'a> {
    pub(crate) fn new(tree: &'a Tree, namespace: Namespace) -> Self {
        let grouped = Grouped::new(tree);
        let directories = match namespace {
            Namespace::Primary => numbered::<PlainNames>(&grouped, |_| true),
            Namespace::Joliet => numbered::<WideNames>(&grouped, |item| item.is_dir() || item.content().is_some()),
        };
        Self { namespace, directories }
    }

    /// The same directories without the files that `outside` names.
    pub(crate) fn without(&self, outside: &HashMap<LeafId, Extent>) -> Self {
        let mut left = self.clone();
        for directory in &mut left.directories {
            let is_outside = |child: &Child<'_>| match child.item.node {
                Node::Leaf { id, .. } => outside.contains_key(&id),
                Node::Dir => false,
            };
            directory.children.retain(|child| !is_outside(child));
        }
        left
    }

    pub(crate) fn len(&self) -> usize {
        self.directories.len()
    }

    /// How many sectors each directory takes; where things stand makes no
    /// difference to that.
    pub(crate) fn measure(&self, leaves: &HashMap<LeafId, Extent>) -> Vec<DirectoryExtent> {
        let nowhere = vec![DirectoryExtent::default(); self.len()];
        let places = Places { directories: &nowhere, leaves, base: 0 };
        let sectors = |bytes: &[u8]| (bytes.len() / SECTOR) as u32;
        let measured = |at| {
            let (records, continuations) = self.records(at, places);
            DirectoryExtent { lba: 0, sectors: sectors(&records), continuation_sectors: sectors(&continuations) }
        };
        (0..self.len()).map(measured).collect()
    }

    /// Directory `at` as bytes: its records, then its continuation areas.
    pub(crate) fn render(&self, at: usize, places: Places<'_>) -> Vec<u8> {
        let (records, continuations) = self.records(at, places);
        [records, continuations].concat()
    }

    fn records(&self, at: usize, places: Places<'_>) -> (Vec<u8>, Vec<u8>) {
        let this = &self.directories[at];
        let parent = &self.directories[this.parent];
        let here = places.directory(at);
        let mut out = Vec::new();
        let mut continuations = Continuations::starting_at(here.lba + here.sectors);

        let attributes = |item, numbers| match self.namespace {
            Namespace::Primary => rock_ridge::attributes(item, numbers),
            Namespace::Joliet => Vec::new(),
        };
        let mut own = attributes(&this.item, this.numbers);
        if at == 0 && self.namespace == Namespace::Primary {
            own.insert(0, rock_ridge::sp());
            own.push(rock_ridge::er());
        }
        let section = |extent: DirectoryExtent| (extent.lba, extent.bytes());
        push(&mut out, &mut continuations, SELF, section(here), flag::DIRECTORY, this.item.meta.mtime, &own);
        let up = attributes(&parent.item, parent.numbers);
        let mtime = parent.item.meta.mtime;
        push(&mut out, &mut continuations, PARENT, section(places.directory(this.parent)), flag::DIRECTORY, mtime, &up);

        for child in &this.children {
            let mut entries = attributes(&child.item, child.numbers);
            if self.namespace == Namespace::Primary {
                entries.splice(0..0, rock_ridge::nm(child.item.path.name()));
            }
            let mtime = child.item.meta.mtime;
            let mut add = |section, flags| {
                push(&mut out, &mut continuations, &child.identifier, section, flags, mtime, &entries);
            };
            match (child.directory, child.item.node) {
                (Some(directory), _) => add(section(places.directory(directory)), flag::DIRECTORY),
                (None, Node::Leaf { id, .. }) => {
                    let extent = places.leaf(id);
                    for (section, last) in sections(extent) {
                        add(section, if last { 0 } else { flag::MORE_EXTENTS });
                    }
                }
                (None, Node::Dir) => unreachable!("every directory has its place"),
            }
        }
        format::pad_to_sector(&mut out);
        let mut continuations = continuations.into_bytes();
        format::pad_to_sector(&mut continuations);
        (out, continuations)
    }

    /// ECMA-119 9.1 for the root, as the volume descriptors hold it (8.4.18).
    pub(crate) fn root_record(&self, places: Places<'_>) -> Vec<u8> {
        let root = places.directory(0);
        record(SELF, (root.lba, root.bytes()), flag::DIRECTORY, self.directories[0].item.meta.mtime, &[])
    }

    /// ECMA-119 9.4 for all directories.
    pub(crate) fn path_table(&self, order: ByteOrder, places: Places<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.path_table_len());
        for (n, directory) in self.directories.iter().enumerate() {
            let lba = places.directory(n).lba;
            let parent = u16::try_from(directory.parent + 1).expect("the layout refuses more directories");
            out.extend([directory.identifier.len() as u8, 0]);
            match order {
                ByteOrder::Little => {
                    out.extend(lba.to_le_bytes());
                    out.extend(parent.to_le_bytes());
                }
                ByteOrder::Big => {
                    out.extend(lba.to_be_bytes());
                    out.extend(parent.to_be_bytes());
                }
            }
            out.extend_from_slice(&directory.identifier);
            out.resize(out.len().next_multiple_of(2), 0);
        }
        out
    }

    pub(crate) fn path_table_len(&self) -> usize {
        self.directories.iter().map(|directory| (8 + directory.identifier.len()).next_multiple_of(2)).sum()
    }
}

/// The directories in their final order, with names and children.
fn numbered<'a, N: Naming>(grouped: &Grouped<'a>, has_place: impl Fn(&Item<'a>) -> bool) -> Vec<Directory<'a>> {
    let root = &grouped.directories[0];
    let mut directories = vec![Directory {
        parent: 0,
        identifier: SELF.to_vec(),
        item: root.item,
        numbers: root.numbers(),
        children: Vec::new(),
    }];
    // The groups are in the order of the walk; this tells each directory's.
    let mut groups = vec![0];
    let mut next = 0;
    while next < directories.len() {
        let mut names = N::default();
        let members = grouped.directories[groups[next]].members.iter().filter(|member| has_place(&member.item));
        let mut children: Vec<_> = members
            .map(|member| {
                let name = member.item.path.name();
                (if member.group.is_some() { names.directory(name) } else { names.file(name) }, member)
            })
            .collect();
        children.sort_by(|(a, _), (b, _)| N::sort_key(a).cmp(N::sort_key(b)));
        for (identifier, member) in children {
            let numbers = member.numbers(grouped);
            let directory = member.group.map(|group| {
                groups.push(group);
                let (identifier, children) = (identifier.clone(), Vec::new());
                directories.push(Directory { parent: next, identifier, item: member.item, numbers, children });
                directories.len() - 1
            });
            directories[next].children.push(Child { identifier, item: member.item, numbers, directory });
        }
        next += 1;
    }
    directories
}

/// ECMA-119 6.9.2: a path table is written once in either order.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ByteOrder {
    Little,
    Big,
}

/// The (LBA, length) pairs a file is recorded in, and whether each is the last.
fn sections(extent: Extent) -> impl Iterator<Item = ((u32, u32), bool)> {
    let step = u64::from(SECTION_MAX);
    (0..extent.len.div_ceil(step).max(1)).map(move |n| {
        let done = n * step;
        let len = (extent.len - done).min(step);
        let lba = extent.lba + (done / SECTOR as u64) as u32;
        ((lba, len as u32), done + len == extent.len)
    })
}

/// Appends a record; one that would cross a sector begins the next
/// (ECMA-119 6.8.1.1).
fn push(
    out: &mut Vec<u8>,
    continuations: &mut Continuations,
    identifier: &[u8],
    section: (u32, u32),
    flags: u8,
    mtime: i64,
    entries: &[Vec<u8>],
) {
    let room = RECORD_MAX - (RECORD_HEADER + identifier.len()).next_multiple_of(2);
    let record = record(identifier, section, flags, mtime, &continuations.pack(entries, room));
    if out.len() % SECTOR + record.len() > SECTOR {
        format::pad_to_sector(out);
    }
    out.extend(record);
}

/// ECMA-119 9.1.
fn record(identifier: &[u8], (lba, len): (u32, u32), flags: u8, mtime: i64, system_use: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 0];
    out.extend(both32(lba));
    out.extend(both32(len));
    out.extend(date::short(mtime));
    out.extend([flags, 0, 0]);
    out.extend(both16(1));
    out.push(identifier.len() as u8);
    out.extend_from_slice(identifier);
    out.resize(out.len().next_multiple_of(2), 0);
    out.extend_from_slice(system_use);
    out.resize(out.len().next_multiple_of(2), 0);
    out[0] = u8::try_from(out.len()).expect("what is longer went to a continuation area");
    out
}

/// The tree's entries by the directory they stand in.
struct Grouped<'a> {
    directories: Vec<Group<'a>>,
    serials: HashMap<LeafId, u32>,
}

struct Group<'a> {
    item: Item<'a>,
    members: Vec<Member<'a>>,
    subdirectories: u32,
    serial: u32,
}

struct Member<'a> {
    item: Item<'a>,
    group: Option<usize>,
}

impl<'a> Grouped<'a> {
    fn new(tree: &'a Tree) -> Self {
        let mut directories: Vec<Group<'a>> = Vec::new();
        let mut of: HashMap<TreePath, usize> = HashMap::new();
        let mut serials = HashMap::new();
        let mut serial = 0;
        for item in tree.walk() {
            let parent = item.path.parent().map(|parent| of[&parent]);
            let group = match item.node {
                Node::Dir => {
                    serial += 1;
                    of.insert(item.path.clone(), directories.len());
                    directories.push(Group { item, members: Vec::new(), subdirectories: 0, serial });
                    Some(directories.len() - 1)
                }
                Node::Leaf { id, .. } => {
                    serials.entry(id).or_insert_with(|| {
                        serial += 1;
                        serial
                    });
                    None
                }
            };
            if let Some(parent) = parent {
                directories[parent].subdirectories += u32::from(group.is_some());
                directories[parent].members.push(Member { item, group });
            }
        }
        Self { directories, serials }
    }
}

impl Group<'_> {
    /// A directory has its name, its own `.` and the `..` of each child.
    fn numbers(&self) -> Numbers {
        Numbers { links: 2 + self.subdirectories, serial: self.serial }
    }
}

impl Member<'_> {
    fn numbers(&self, grouped: &Grouped<'_>) -> Numbers {
        match (self.group, self.item.node) {
            (Some(group), _) => grouped.directories[group].numbers(),
            (None, Node::Leaf { id, links, .. }) => Numbers { links, serial: grouped.serials[&id] },
            (None, Node::Dir) => unreachable!("every directory has its group"),
        }
    }
}
