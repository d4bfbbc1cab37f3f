//! What follows the files' blocks: inodes, directories and the other tables,
//! in the order that Linux checks them to have, and the superblock, which can
//! only be written last.

use std::io::{self, SeekFrom};
use std::io::{Seek, Write};

use tree::Tree;

use super::blocks::{self, Passed};
use super::cache::{self, BlockCache, Used};
use super::codecs::{self, Encoder};
use super::directories::{self, Entry, Listing};
use super::files::{self, Packed};
use super::format::{ALIGNMENT, METADATA_RAW, NO_TABLE, Position, SUPERBLOCK_LEN, Superblock, flags};
use super::ids::Ids;
use super::inodes::{self, Header};
use super::inventory::{Inode, Inventory, What};
use super::metadata::{MetadataWriter, lookup};
use super::options::{CacheAt, Compression};
use super::packer::Packer;
use super::xattrs::Xattrs;
use super::{Options, SquashfsError, Written, seconds};

pub(super) fn write(
    tree: &Tree,
    options: &Options,
    out: &mut (impl Write + Seek),
    watch: &mut dyn FnMut(Passed),
) -> Result<Written, SquashfsError> {
    let inventory = Inventory::take(tree)?;
    let codec_options = codec_options(options);
    out.write_all(&[0; SUPERBLOCK_LEN as usize]).map_err(SquashfsError::Write)?;
    out.write_all(&codec_options).map_err(SquashfsError::Write)?;
    let data_start = SUPERBLOCK_LEN + codec_options.len() as u64;

    let pack = |feed: &mut blocks::Feed| files::pack(&inventory.files, options, feed);
    let (cache, closed) = open_cache(options);
    let packer = || Packer::new(options, cache.as_ref());
    let (packed, words) = blocks::run(options, out, packer, pack, watch)?;
    let starts = files::starts(&words, data_start);
    let data_end = data_start + words.iter().map(|word| blocks::len_on_disk(*word)).sum::<u64>();

    let nodes = Nodes::new(&inventory, &packed, &words, &starts, options)?;
    let tail = nodes.write()?.tables(options, &packed, &words, &starts, data_end).map_err(SquashfsError::Codec)?;
    finish(out, &tail).map_err(SquashfsError::Write)?;
    Ok(Written {
        len: tail.superblock.bytes_used.next_multiple_of(ALIGNMENT),
        inodes: tail.superblock.inodes,
        content: tree.content_len(),
        duplicate: packed.duplicate,
        blocks: data_end - data_start,
        count: words.len() as u64,
        cache: cache.map_or(closed, |cache| close_cache(cache, options.cache.as_ref())),
    })
}

/// An image can be had without the cache: who asked for it only hears why.
fn open_cache(options: &Options) -> (Option<BlockCache>, Used) {
    let open = |at: &CacheAt| BlockCache::open(&at.dir, options.compression, options.block_size);
    match options.cache.as_ref().map(open).transpose() {
        Ok(cache) => (cache.flatten(), Used::default()),
        Err(error) => (None, Used { failure: Some(error.to_string()), ..Used::default() }),
    }
}

fn close_cache(cache: BlockCache, at: Option<&CacheAt>) -> Used {
    let mut used = cache.used();
    if let (Some(at), true) = (at, used.kept > 0)
        && let Err(error) = cache::trim(&at.dir, at.max)
    {
        used.failure.get_or_insert(error.to_string());
    }
    used
}

fn finish(out: &mut (impl Write + Seek), tail: &Tail) -> io::Result<()> {
    out.write_all(&tail.bytes)?;
    let used = tail.superblock.bytes_used;
    out.write_all(&vec![0; (used.next_multiple_of(ALIGNMENT) - used) as usize])?;
    out.rewind()?;
    out.write_all(&tail.superblock.bytes())?;
    out.seek(SeekFrom::End(0))?;
    out.flush()
}

/// A metadata block that is never packed: readers need it to unpack anything.
fn codec_options(options: &Options) -> Vec<u8> {
    let Some(bytes) = codecs::options(options.compression, options.block_size) else { return Vec::new() };
    [&(bytes.len() as u16 | METADATA_RAW).to_le_bytes()[..], &bytes].concat()
}

fn table_encoder(options: &Options) -> io::Result<Encoder> {
    let compression = if options.pack_tables { options.compression } else { Compression::None };
    Encoder::new(compression, options.block_size)
}

/// The inode and directory tables on their way: a directory's inode names
/// where its listing is, and its listing where the inodes of its entries are.
struct Nodes<'a> {
    inventory: &'a Inventory<'a>,
    packed: &'a Packed,
    words: &'a [u32],
    starts: &'a [u64],
    inodes: MetadataWriter,
    listings: MetadataWriter,
    ids: Ids,
    xattrs: Xattrs,
    /// Where each inode of the inventory is, once it is written.
    positions: Vec<Option<Position>>,
}

impl<'a> Nodes<'a> {
    fn new(
        inventory: &'a Inventory<'a>,
        packed: &'a Packed,
        words: &'a [u32],
        starts: &'a [u64],
        options: &Options,
    ) -> Result<Self, SquashfsError> {
        let encoder = || table_encoder(options).map(MetadataWriter::new).map_err(SquashfsError::Codec);
        Ok(Self {
            inventory,
            packed,
            words,
            starts,
            inodes: encoder()?,
            listings: encoder()?,
            ids: Ids::default(),
            xattrs: Xattrs::default(),
            positions: vec![None; inventory.inodes.len()],
        })
    }

    /// Directories from the last to the first: each comes after everything
    /// below it, and the inodes of its entries stand in a row.
    fn write(mut self) -> Result<Finished, SquashfsError> {
        let inventory = self.inventory;
        let mut listings: Vec<Option<Listing<'a>>> = Vec::new();
        listings.resize_with(inventory.dirs.len(), || None);
        for (n, dir) in inventory.dirs.iter().enumerate().rev() {
            let mut entries = Vec::with_capacity(dir.children.len());
            for (name, child) in &dir.children {
                let inode = &inventory.inodes[*child];
                let position = match self.positions[*child] {
                    Some(position) => position,
                    None => self.inode(*child, &mut listings)?,
                };
                entries.push(Entry { name, kind: inode.what.kind(), inode: position, number: inode.number });
            }
            listings[n] = Some(directories::write(&mut self.listings, &entries)?);
        }
        let root = self.inode(inventory.dirs[0].inode, &mut listings)?;
        let mut references = vec![0; inventory.inodes.len()];
        for (inode, position) in inventory.inodes.iter().zip(&self.positions) {
            let position = position.expect("every inode has a name or is the root");
            references[inode.number as usize - 1] = position.reference();
        }
        Ok(Finished {
            inodes: self.inodes.finish().map_err(SquashfsError::Codec)?,
            listings: self.listings.finish().map_err(SquashfsError::Codec)?,
            ids: self.ids,
            xattrs: self.xattrs,
            references,
            root,
        })
    }

    fn inode(&mut self, place: usize, listings: &mut [Option<Listing<'a>>]) -> Result<Position, SquashfsError> {
        let inode = &self.inventory.inodes[place];
        let header = self.header(inode)?;
        let bytes = match inode.what {
            What::Dir(n) => {
                let listing = listings[n].take().expect("a directory's listing comes before its inode");
                // The root's `..` is outside; a number that nothing has says so.
                let outside = self.inventory.inodes.len() as u32 + 1;
                let parent = self.inventory.dirs[n].parent.map_or(outside, |dir| self.inventory.inodes[dir].number);
                inodes::dir(&header, &listing, parent)
            }
            What::File(n) => {
                let stored = &self.packed.stored[self.packed.places[n]];
                let start = stored.first().map_or(0, |number| self.starts[number]);
                inodes::file(&header, self.inventory.files[n].content.len(), start, stored, self.words)
            }
            What::Symlink(target) => inodes::symlink(&header, target),
            What::Device { kind, number } => inodes::device(&header, kind, number),
            What::Fifo | What::Socket => inodes::ipc(&header, inode.what.kind()),
        };
        let position = self.inodes.position().map_err(SquashfsError::Codec)?;
        self.inodes.write(&bytes).map_err(SquashfsError::Codec)?;
        self.positions[place] = Some(position);
        Ok(position)
    }

    fn header(&mut self, inode: &Inode<'_>) -> Result<Header, SquashfsError> {
        let meta = inode.meta;
        Ok(Header {
            mode: (meta.mode & 0o7777) as u16,
            uid: self.ids.place(meta.uid)?,
            gid: self.ids.place(meta.gid)?,
            mtime: seconds(meta.mtime),
            number: inode.number,
            links: inode.links,
            xattrs: self.xattrs.place(&meta.xattrs),
        })
    }
}

/// The tables before it is known where they will stand.
struct Finished {
    inodes: Vec<u8>,
    listings: Vec<u8>,
    ids: Ids,
    xattrs: Xattrs,
    /// Of each inode, by number.
    references: Vec<u64>,
    root: Position,
}

struct Tail {
    superblock: Superblock,
    bytes: Vec<u8>,
}

impl Finished {
    fn tables(self, options: &Options, packed: &Packed, words: &[u32], starts: &[u64], at: u64) -> io::Result<Tail> {
        let encoder = || table_encoder(options);
        let mut superblock = Superblock {
            inodes: self.references.len() as u32,
            mkfs_time: seconds(options.epoch),
            block_size: options.block_size.bytes() as u32,
            fragments: packed.fragments.len() as u32,
            codec: codecs::number(options.compression),
            flags: superblock_flags(options),
            ids: self.ids.list().len() as u16,
            root_inode: self.root.reference(),
            inode_table: at,
            directory_table: at + self.inodes.len() as u64,
            fragment_table: NO_TABLE,
            ..Superblock::default()
        };
        let mut bytes = self.inodes;
        bytes.extend(self.listings);

        let mut fragments = Vec::with_capacity(packed.fragments.len() * 16);
        for number in &packed.fragments {
            fragments.extend(starts[*number].to_le_bytes());
            fragments.extend(words[*number].to_le_bytes());
            fragments.extend([0; 4]);
        }
        let references: Vec<u8> = self.references.iter().flat_map(|reference| reference.to_le_bytes()).collect();
        let ids: Vec<u8> = self.ids.list().iter().flat_map(|id| id.to_le_bytes()).collect();
        let mut table = |records: &[u8]| -> io::Result<u64> {
            let table = lookup(records, at + bytes.len() as u64, encoder()?)?;
            bytes.extend(table.bytes);
            Ok(table.start)
        };
        if !fragments.is_empty() {
            superblock.fragment_table = table(&fragments)?;
        }
        superblock.export_table = table(&references)?;
        superblock.id_table = table(&ids)?;
        let (xattrs, start) = self.xattrs.tables(at + bytes.len() as u64, encoder)?;
        if xattrs.is_empty() {
            superblock.flags |= flags::NO_XATTRS;
        }
        superblock.xattr_table = start;
        bytes.extend(xattrs);
        superblock.bytes_used = at + bytes.len() as u64;
        Ok(Tail { superblock, bytes })
    }
}

fn superblock_flags(options: &Options) -> u16 {
    let mut set = flags::DEDUPLICATED | flags::EXPORTABLE;
    if options.compression == Compression::None {
        set |= flags::RAW_DATA | flags::RAW_FRAGMENTS;
    } else {
        set |= flags::CODEC_OPTIONS;
    }
    if options.compression == Compression::None || !options.pack_tables {
        set |= flags::RAW_INODES | flags::RAW_IDS | flags::RAW_XATTRS;
    }
    if options.tail_packing {
        set |= flags::ALWAYS_FRAGMENTS;
    }
    set
}
