//! The codecs at work, each so that the kernel's decoder reads it: that takes
//! one stream of xz, one frame of zstd, one member of gzip, and ends a segment
//! of the initramfs with it (kernel: init/initramfs.c, `unpack_to_rootfs`).

use std::io::{self, Write};
use std::num::NonZero;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use lz4::block::CompressionMode;
use xz2::stream::{Check, Filters, LzmaOptions, MtStreamBuilder, Stream};
use zstd::zstd_safe::CParameter;

use super::blocks::Blocks;
use super::{Codec, CodecKind, Decoder};

/// What one thread takes at a time. Smaller costs size (zstd's and gzip's look
/// back across the cut, xz's do not), larger leaves threads without work.
const ZSTD_JOB: u32 = 4 << 20;
const GZIP_BLOCK: usize = 512 << 10;
/// Of level 6 and those below it; xz's dictionaries double with each level above.
const XZ_BLOCK: u64 = 8 << 20;
/// liblzma's own least.
const XZ_LEAST_DICTIONARY: u32 = 4 << 10;
/// Where less than this is unpacked, the window is a small one; see [`window_log`].
const SMALL: u64 = 16 << 20;
const LEAST_WINDOW_LOG: u32 = 16;
const SMALL_WINDOW_LOG: u32 = 20;
/// For the threads of xz together: at level 9 one takes 870 MiB.
const XZ_MEMORY: u64 = 2 << 30;

/// The legacy frame (lz4: doc/lz4_Frame_format.md): magic, then blocks that
/// decode to 8 MiB each but the last, their lengths in front.
const LZ4_MAGIC: u32 = 0x184C_2102;
const LZ4_BLOCK: usize = 8 << 20;

/// RFC 1952: magic, deflate, no flags, no date, no hint, of no known system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// RFC 1951: how far back deflate looks.
const GZIP_WINDOW: usize = 32 << 10;
/// RFC 1951: a last block, of fixed codes, with nothing in it.
const DEFLATE_END: [u8; 2] = [3, 0];

/// Finished by [`Encoder::finish`] alone: dropping it leaves a cut stream.
#[allow(missing_debug_implementations)] // the encoders inside have none
pub struct Encoder<W: Write>(Inner<W>);

enum Inner<W: Write> {
    None(W),
    Gzip { blocks: Blocks<W>, crc: Crc },
    Bzip2(bzip2::write::BzEncoder<W>),
    Xz(xz2::write::XzEncoder<W>),
    Lz4(Blocks<W>),
    Zstd(zstd::Encoder<'static, W>),
}

impl Codec {
    /// The same bytes come out for any number of threads. `len` is what will be written,
    /// or about that.
    pub fn encoder<W: Write>(
        self,
        decoder: Decoder,
        threads: NonZero<usize>,
        len: u64,
        mut out: W,
    ) -> io::Result<Encoder<W>> {
        let blocks = |out, pack, len, behind| {
            let level = self.level;
            Blocks { out, threads, len, behind, level, pack, pending: Vec::new(), dictionary: 0 }
        };
        Ok(Encoder(match self.kind {
            CodecKind::None => Inner::None(out),
            CodecKind::Gzip => {
                out.write_all(&GZIP_HEADER)?;
                Inner::Gzip { blocks: blocks(out, gzip_block, GZIP_BLOCK, GZIP_WINDOW), crc: Crc::new() }
            }
            // The kernel's decoder takes one stream, and in that each block goes on at a bit of the last.
            CodecKind::Bzip2 => Inner::Bzip2(bzip2::write::BzEncoder::new(out, bzip2::Compression::new(self.level))),
            CodecKind::Xz => {
                let mut stream = MtStreamBuilder::new();
                stream.preset(self.level).check(check(decoder)).block_size(XZ_BLOCK << self.level.saturating_sub(6));
                if let Some(log) = window_log(decoder, len) {
                    let mut options = LzmaOptions::new_preset(self.level)?;
                    options.dict_size(1 << log);
                    let mut filters = Filters::new();
                    filters.lzma2(&options);
                    stream.filters(filters);
                }
                let mut workers = threads.get() as u32;
                while stream.threads(workers).memusage() > XZ_MEMORY && workers > 1 {
                    workers -= 1;
                }
                Inner::Xz(xz2::write::XzEncoder::new_stream(out, stream.encoder()?))
            }
            CodecKind::Lz4 => {
                out.write_all(&LZ4_MAGIC.to_le_bytes())?;
                Inner::Lz4(blocks(out, lz4_block, LZ4_BLOCK, 0))
            }
            CodecKind::Zstd => {
                let mut encoder = zstd::Encoder::new(out, self.level as i32)?;
                // A tenth of what unpacking costs the kernel, which runs /init whatever
                // it comes to; /init looks at every file itself.
                encoder.include_checksum(decoder == Decoder::Userland)?;
                // One worker too: without any, zstd does not cut into jobs.
                encoder.multithread(threads.get() as u32)?;
                encoder.set_parameter(CParameter::JobSize(ZSTD_JOB))?;
                if let Some(log) = window_log(decoder, len) {
                    encoder.set_parameter(CParameter::WindowLog(log))?;
                }
                Inner::Zstd(encoder)
            }
        }))
    }
}

impl Codec {
    /// What is all at hand, so that its decoder is told how much that is, and
    /// needs no more memory for it.
    pub fn pack(self, decoder: Decoder, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self.kind {
            CodecKind::Zstd => zstd::bulk::compress(bytes, self.level as i32),
            CodecKind::Xz => {
                let dictionary = u32::try_from(bytes.len()).unwrap_or(u32::MAX).clamp(XZ_LEAST_DICTIONARY, 64 << 20);
                let mut options = LzmaOptions::new_preset(self.level)?;
                options.dict_size(dictionary);
                let stream = Stream::new_stream_encoder(Filters::new().lzma2(&options), check(decoder))?;
                let mut encoder = xz2::write::XzEncoder::new_stream(Vec::new(), stream);
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            _ => {
                let mut encoder = self.encoder(decoder, NonZero::<usize>::MIN, bytes.len() as u64, Vec::new())?;
                encoder.write_all(bytes)?;
                encoder.finish()
            }
        }
    }
}

/// The kernel takes memory for as much as it may have to look back on, beside what it
/// unpacks. In a machine of 96 MiB there is none for the 8 MiB of zstd:19, and within 1 the
/// initramfs of `@live` becomes 0.3% larger; where much is unpacked, 96 MiB are not enough
/// by far, and the level's own window is worth its memory.
fn window_log(decoder: Decoder, len: u64) -> Option<u32> {
    let log = len.max(1).next_power_of_two().ilog2();
    (decoder == Decoder::Kernel && len < SMALL).then(|| log.clamp(LEAST_WINDOW_LOG, SMALL_WINDOW_LOG))
}

/// The kernel's decoder knows no other check, or none.
fn check(decoder: Decoder) -> Check {
    match decoder {
        Decoder::Kernel => Check::Crc32,
        Decoder::Userland => Check::Crc64,
    }
}

impl<W: Write> Encoder<W> {
    pub fn finish(self) -> io::Result<W> {
        match self.0 {
            Inner::None(out) => Ok(out),
            Inner::Gzip { blocks, crc } => {
                let mut out = blocks.finish()?;
                out.write_all(&DEFLATE_END)?;
                out.write_all(&crc.sum().to_le_bytes())?;
                out.write_all(&crc.amount().to_le_bytes())?;
                Ok(out)
            }
            Inner::Bzip2(encoder) => encoder.finish(),
            Inner::Xz(encoder) => encoder.finish(),
            Inner::Lz4(blocks) => blocks.finish(),
            Inner::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::None(out) => out.write(buf),
            Inner::Gzip { blocks, crc } => {
                let taken = blocks.write(buf)?;
                crc.update(&buf[..taken]);
                Ok(taken)
            }
            Inner::Bzip2(encoder) => encoder.write(buf),
            Inner::Xz(encoder) => encoder.write(buf),
            Inner::Lz4(blocks) => blocks.write(buf),
            Inner::Zstd(encoder) => encoder.write(buf),
        }
    }

    /// What is still being packed stays: a flush within a stream would cut it
    /// at another place than the codec does.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Deflate's blocks up to a byte's end (RFC 1951 as zlib's `Z_SYNC_FLUSH`), with no last one.
fn gzip_block(level: u32, before: &[u8], block: &[u8]) -> io::Result<Vec<u8>> {
    let mut deflate = Compress::new(Compression::new(level), false);
    if !before.is_empty() {
        deflate.set_dictionary(before)?;
    }
    // What cannot be compressed grows by 5 bytes for each 64 KiB at the most.
    let mut packed = Vec::with_capacity(block.len() + block.len() / 1024 + 64);
    loop {
        let rest = &block[deflate.total_in() as usize..];
        let status = deflate.compress_vec(rest, &mut packed, FlushCompress::Sync)?;
        if packed.len() < packed.capacity() && deflate.total_in() as usize == block.len() {
            return Ok(packed);
        }
        if status == Status::BufError && packed.len() < packed.capacity() {
            return Err(io::Error::other("deflate makes no progress"));
        }
        packed.reserve(1 << 10);
    }
}

fn lz4_block(level: u32, _: &[u8], block: &[u8]) -> io::Result<Vec<u8>> {
    // As `lz4 -1` to `-12` mean it.
    let mode = if level < 3 { CompressionMode::DEFAULT } else { CompressionMode::HIGHCOMPRESSION(level as i32) };
    let packed = lz4::block::compress(block, Some(mode), false)?;
    let len = u32::try_from(packed.len()).map_err(io::Error::other)?;
    Ok([&len.to_le_bytes()[..], &packed].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    const CODECS: [&str; 8] = ["none", "gzip:6", "bzip2:1", "xz:0", "lz4:1", "lz4:4", "zstd:1", "zstd:6"];

    fn threads(threads: usize) -> NonZero<usize> {
        NonZero::new(threads).unwrap()
    }

    /// Longer than any block, of what packs well and what does not.
    fn input(len: usize) -> Vec<u8> {
        let mut seed = 7_u32;
        let mut noise = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        (0..len).map(|n| if n % 4096 < 1024 { noise() } else { (n / 4096) as u8 ^ (n % 61) as u8 }).collect()
    }

    fn packed(codec: &str, threads: NonZero<usize>, input: &[u8], piece: usize) -> Vec<u8> {
        let codec: Codec = codec.parse().unwrap();
        let mut encoder = codec.encoder(Decoder::Kernel, threads, input.len() as u64, Vec::new()).unwrap();
        for piece in input.chunks(piece) {
            encoder.write_all(piece).unwrap();
        }
        encoder.finish().unwrap()
    }

    fn unpacked(codec: &str, packed: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        match codec.parse::<Codec>().unwrap().kind {
            CodecKind::None => output.extend(packed),
            // One member, one stream, one frame, as the kernel takes it.
            CodecKind::Gzip => {
                flate2::read::GzDecoder::new(packed).read_to_end(&mut output).unwrap();
            }
            CodecKind::Bzip2 => {
                bzip2::read::BzDecoder::new(packed).read_to_end(&mut output).unwrap();
            }
            CodecKind::Xz => {
                xz2::read::XzDecoder::new(packed).read_to_end(&mut output).unwrap();
            }
            CodecKind::Zstd => {
                let mut frame = zstd::Decoder::new(packed).unwrap().single_frame();
                frame.read_to_end(&mut output).unwrap();
            }
            CodecKind::Lz4 => {
                let mut rest = packed.strip_prefix(b"\x02\x21\x4c\x18").unwrap();
                while let Some((len, tail)) = rest.split_first_chunk() {
                    let (block, tail) = tail.split_at(u32::from_le_bytes(*len) as usize);
                    output.extend(lz4::block::decompress(block, Some(LZ4_BLOCK as i32)).unwrap());
                    rest = tail;
                }
            }
        }
        output
    }

    #[test]
    fn what_goes_in_comes_out_and_the_same_for_any_number_of_threads() {
        let input = input(9 << 20);
        for codec in CODECS {
            let one = packed(codec, threads(1), &input, 1 << 20);
            assert!(unpacked(codec, &one) == input, "{codec}");
            for more in [2, 4, 16] {
                assert!(packed(codec, threads(more), &input, 1 << 20) == one, "{codec} with {more} threads");
            }
        }
    }

    #[test]
    fn what_is_packed_as_a_whole_comes_out_too_and_tells_how_long_it_is() {
        let input = input(300_000);
        for codec in CODECS {
            for input in [&input[..], b"", b"x"] {
                let packed = codec.parse::<Codec>().unwrap().pack(Decoder::Kernel, input).unwrap();
                assert!(unpacked(codec, &packed) == input, "{codec}");
            }
        }
        let packed = "zstd:3".parse::<Codec>().unwrap().pack(Decoder::Kernel, &input).unwrap();
        assert_eq!(zstd::zstd_safe::get_frame_content_size(&packed).unwrap(), Some(300_000));
        let packed = "xz:9".parse::<Codec>().unwrap().pack(Decoder::Kernel, &input).unwrap();
        let modest = Stream::new_stream_decoder(1 << 20, 0).unwrap();
        let mut output = Vec::new();
        xz2::read::XzDecoder::new_stream(&packed[..], modest).read_to_end(&mut output).unwrap();
        assert!(output == input, "within a mebibyte, where level 9 would have had 65");
    }

    #[test]
    fn init_finds_the_blocks_of_what_is_packed_in_xz() {
        let input = input(3 * XZ_BLOCK as usize + 1);
        let file = packed("xz:0", threads(2), &input, 1 << 20);
        let pieces = init::xz::pieces(io::Cursor::new(&file)).unwrap();
        assert_eq!(pieces.len(), 4);
        let unpacked = pieces.iter().flat_map(|piece| {
            let mut packed = Vec::new();
            piece.reader(io::Cursor::new(&file)).unwrap().read_to_end(&mut packed).unwrap();
            unpacked("xz:0", &packed)
        });
        assert!(unpacked.eq(input));
    }

    #[test]
    fn it_does_not_matter_in_what_pieces_it_comes() {
        let input = input(2 << 20);
        for codec in CODECS {
            let whole = packed(codec, threads(2), &input, input.len());
            assert!(packed(codec, threads(2), &input, 4099) == whole, "{codec}");
        }
    }

    #[test]
    fn the_kernel_is_asked_for_a_small_window_where_it_unpacks_little() {
        let input = input(SMALL as usize / 8);
        for (decoder, len, wanted) in [
            (Decoder::Kernel, 0, 16),
            (Decoder::Kernel, 200_000, 18),
            (Decoder::Kernel, SMALL - 1, 20),
            (Decoder::Kernel, SMALL, 22),
            (Decoder::Userland, 200_000, 22),
        ] {
            let packed = |codec: &str| {
                let mut encoder =
                    codec.parse::<Codec>().unwrap().encoder(decoder, threads(2), len, Vec::new()).unwrap();
                encoder.write_all(&input).unwrap();
                encoder.finish().unwrap()
            };
            let zstd = packed("zstd:9");
            assert!(unpacked("zstd", &zstd) == input);
            // RFC 8878, 3.1.1.1.2: exponent and mantissa, behind magic and descriptor.
            assert_eq!(10 + (zstd[5] >> 3), wanted, "{decoder:?}, {len}");
            // xz:4 looks back on 4 MiB, and its decoder takes little beside that.
            let modest = Stream::new_stream_decoder(5 << 18, 0).unwrap();
            let ended = xz2::read::XzDecoder::new_stream(&packed("xz:4")[..], modest).read_to_end(&mut Vec::new());
            assert_eq!(ended.is_ok(), wanted < 22, "{decoder:?}, {len}: {ended:?}");
        }
    }

    #[test]
    fn nothing_and_a_little_are_packed_too() {
        for codec in CODECS {
            for input in [&b""[..], b"x", &[0xa5; 5000]] {
                assert_eq!(unpacked(codec, &packed(codec, threads(3), input, 1 << 20)), input, "{codec}");
            }
        }
    }

    #[test]
    fn an_xz_stream_for_the_kernel_is_checked_by_crc32() {
        // .xz file format 2.1.1.2: the check's id in the stream flags; 1 is CRC32.
        assert_eq!(packed("xz:2", threads(2), b"x", 1)[7], 1, "the kernel reads no other check");
    }
}
