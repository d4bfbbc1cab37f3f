//! One .xz stream a block, with the check that the kernel's decoder knows.

use std::io;

use xz2::stream::{Action, Check, Filters, LzmaOptions, Status, Stream};

use crate::squashfs::options::{self, BlockSize, Filter};

pub(in crate::squashfs) struct Xz {
    /// Without a filter first, and then each one to be tried.
    chains: Vec<Filters>,
    other: Vec<u8>,
}

impl Xz {
    pub(super) fn new(settings: options::Xz, block_size: BlockSize) -> io::Result<Self> {
        let mut lzma = LzmaOptions::new_preset(settings.preset)?;
        lzma.dict_size(dictionary(settings, block_size));
        let mut chains = vec![chain(None, &lzma)];
        chains.extend(settings.filters.iter().map(|filter| chain(Some(filter), &lzma)));
        Ok(Self { chains, other: Vec::new() })
    }

    pub(super) fn encode(&mut self, block: &[u8], out: &mut [u8]) -> io::Result<Option<usize>> {
        let mut best = encode(&self.chains[0], block, out)?;
        self.other.resize(out.len(), 0);
        for chain in &self.chains[1..] {
            let limit = best.unwrap_or(block.len());
            if let Some(len) = encode(chain, block, &mut self.other[..limit])?.filter(|len| *len < limit) {
                out[..len].copy_from_slice(&self.other[..len]);
                best = Some(len);
            }
        }
        Ok(best)
    }
}

pub(super) fn dictionary(settings: options::Xz, block_size: BlockSize) -> u32 {
    settings.dictionary.unwrap_or(u32::MAX).min(block_size.bytes() as u32).max(8 << 10)
}

fn chain(filter: Option<Filter>, lzma: &LzmaOptions) -> Filters {
    let mut chain = Filters::new();
    match filter {
        None => &mut chain,
        Some(Filter::X86) => chain.x86(),
        Some(Filter::PowerPc) => chain.powerpc(),
        Some(Filter::Arm) => chain.arm(),
        Some(Filter::ArmThumb) => chain.arm_thumb(),
        Some(Filter::Sparc) => chain.sparc(),
        Some(Filter::Arm64) => chain.arm64(),
        Some(Filter::RiscV) => chain.riscv(),
    };
    chain.lzma2(lzma);
    chain
}

fn encode(chain: &Filters, block: &[u8], out: &mut [u8]) -> io::Result<Option<usize>> {
    let mut stream = Stream::new_stream_encoder(chain, Check::Crc32)?;
    loop {
        let done = (stream.total_in() as usize, stream.total_out() as usize);
        match stream.process(&block[done.0..], &mut out[done.1..], Action::Finish)? {
            Status::StreamEnd => return Ok(Some(stream.total_out() as usize)),
            // No progress without room: the block is no smaller packed.
            _ if stream.total_out() as usize == out.len() => return Ok(None),
            _ => {}
        }
    }
}
