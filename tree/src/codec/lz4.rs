//! lz4's legacy frame (lz4: doc/lz4_Frame_format.md): a magic, then blocks with
//! their lengths in front. Nothing marks its end, so zeros and the end of the
//! input do, as for the kernel (lib/decompress_unlz4.c).

use std::io::{self, Read};

pub(super) const MAGIC: [u8; 4] = MAGIC_WORD.to_le_bytes();
const MAGIC_WORD: u32 = 0x184C_2102;

/// What a block decodes to at the most.
const BLOCK: usize = 8 << 20;

pub(super) struct LegacyFrame<R> {
    input: R,
    block: Vec<u8>,
    at: usize,
}

impl<R: Read> LegacyFrame<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, block: Vec::new(), at: 0 }
    }

    /// Another block, which may be empty, or a magic; false at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        let mut word = Vec::with_capacity(4);
        (&mut self.input).take(4).read_to_end(&mut word)?;
        let Ok(word) = <[u8; 4]>::try_from(word.as_slice()) else {
            // What is too short to be a length is padding, or a length that was cut.
            return if word.iter().all(|byte| *byte == 0) { Ok(false) } else { Err(cut()) };
        };
        match u32::from_le_bytes(word) {
            // The first one, or another frame as `cat` puts them together.
            MAGIC_WORD => {
                self.block.clear();
                self.at = 0;
                Ok(true)
            }
            0 => Ok(false),
            len => self.block_of_len(len),
        }
    }

    fn block_of_len(&mut self, len: u32) -> io::Result<bool> {
        let most = lz4::block::compress_bound(BLOCK)?;
        if len as usize > most {
            return Err(damaged(&format!("a block of {len} bytes, and none has more than {most}")));
        }
        let mut packed = Vec::new();
        (&mut self.input).take(len.into()).read_to_end(&mut packed)?;
        if packed.len() < len as usize {
            return Err(cut());
        }
        self.block = lz4::block::decompress(&packed, Some(BLOCK as i32)).map_err(|e| damaged(&e.to_string()))?;
        self.at = 0;
        Ok(true)
    }
}

impl<R: Read> Read for LegacyFrame<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let len = buf.len().min(self.block.len() - self.at);
        buf[..len].copy_from_slice(&self.block[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the lz4 frame is cut off")
}

fn damaged(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the lz4 frame is damaged: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(blocks: &[&[u8]]) -> Vec<u8> {
        let mut frame = MAGIC.to_vec();
        for block in blocks {
            let packed = lz4::block::compress(block, None, false).unwrap();
            frame.extend((packed.len() as u32).to_le_bytes());
            frame.extend(packed);
        }
        frame
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        LegacyFrame::new(bytes).read_to_end(&mut out).map(|_| out)
    }

    #[test]
    fn blocks_are_read_up_to_zeros_or_the_end_and_frames_behind_one_another() {
        let one = frame(&[&[1; 9000], b"two"]);
        let wanted = [&[1; 9000][..], b"two"].concat();
        assert_eq!(read(&one).unwrap(), wanted);
        for zeros in 1..9 {
            assert_eq!(read(&[&one[..], &vec![0; zeros]].concat()).unwrap(), wanted, "{zeros} zeros");
        }
        assert_eq!(read(&[&one[..], &one].concat()).unwrap(), wanted.repeat(2));
        assert_eq!(read(&frame(&[b""])).unwrap(), b"");
    }

    #[test]
    fn what_is_cut_or_damaged_is_an_error() {
        let whole = frame(&[b"some text to pack, some text to pack"]);
        for len in MAGIC.len() + 1..whole.len() {
            assert!(read(&whole[..len]).is_err(), "{len} of {} bytes", whole.len());
        }
        let error = read(&[&MAGIC[..], b"0707"].concat()).unwrap_err().to_string();
        assert!(error.contains("a block of 925906736 bytes"), "{error}");
        assert!(read(&[&MAGIC[..], &[3, 0, 0, 0, 0xff, 0xff, 0xff]].concat()).is_err());
    }
}
