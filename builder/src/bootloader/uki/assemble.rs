//! Sections in their places behind the stub's own.
//!
//! Kernel and initramfs begin at whole sectors of the file, so that the ISO's
//! directory can name them where they stand.

use iso::SECTOR;
use tree::Content;

use super::pe::{Kernel, Machine, NewSection, PeError, Stub};

/// systemd's stubs have 80 to 140 KiB.
const STUB_MAX: u64 = 16 << 20;

#[derive(Debug, thiserror::Error)]
pub enum UkiError {
    #[error("the stub of the unified kernel image")]
    Stub(#[source] PeError),
    #[error("a unified kernel image starts the kernel as an EFI application, and this kernel cannot be one")]
    Kernel(#[source] PeError),
    #[error("the stub is made for {stub} and the kernel for {kernel}")]
    Machine { stub: String, kernel: String },
}

/// What goes into the image beside the stub.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    /// In the words of os-release(5): boot menus show it.
    pub(super) os_release: String,
    pub(super) release: &'a str,
    pub(super) cmdline: &'a str,
    pub(super) initramfs: &'a Content,
    pub(super) kernel: &'a Content,
}

/// The file, and what the ISO's records can point at in it.
#[derive(Debug)]
pub(super) struct Uki {
    pub(super) content: Content,
    /// Where the two stand, at multiples of [`SECTOR`].
    pub(super) initramfs_at: u64,
    pub(super) kernel_at: u64,
}

impl Uki {
    /// Reads the headers of stub and kernel, and nothing else of the parts.
    pub(super) fn lay_out(stub: &Content, parts: &Parts<'_>) -> Result<Self, UkiError> {
        let stub = stub.read_all(STUB_MAX).map_err(|e| UkiError::Stub(e.into()))?;
        let stub = Stub::parse(&stub).map_err(UkiError::Stub)?;
        let kernel = Kernel::parse(parts.kernel).map_err(UkiError::Kernel)?;
        if stub.machine != kernel.machine {
            let [stub, kernel] = [stub.machine, kernel.machine].map(|machine: Machine| machine.to_string());
            return Err(UkiError::Machine { stub, kernel });
        }
        // The kernel stands last: stubs that start it where it lies let it run
        // over the end of its section.
        let text = |text: &str| Content::from(text.as_bytes().to_vec());
        let wanted = [
            Wanted::small(".osrel", text(&parts.os_release)),
            Wanted::small(".uname", text(parts.release)),
            Wanted::small(".cmdline", text(parts.cmdline)),
            Wanted { align: SECTOR as u64, ..Wanted::small(".initrd", parts.initramfs.clone()) },
            Wanted {
                align: SECTOR as u64,
                memory: kernel.size_of_image,
                ..Wanted::small(".linux", parts.kernel.clone())
            },
        ];
        let sections = place(&stub, &wanted);
        let [.., initramfs_at, kernel_at] = sections.each_ref().map(|section| section.raw_offset);
        let head = stub.with_sections(&sections).map_err(UkiError::Stub)?;
        let mut joined = Joined { len: head.len() as u64, parts: vec![head.into()] };
        for (section, wanted) in sections.iter().zip(wanted) {
            joined.pad(section.raw_offset);
            joined.push(wanted.content);
        }
        joined.pad(sections.last().map_or(0, |last| last.raw_offset + last.raw_size));
        Ok(Self { content: Content::joined(joined.parts), initramfs_at, kernel_at })
    }
}

struct Joined {
    parts: Vec<Content>,
    len: u64,
}

impl Joined {
    fn push(&mut self, part: Content) {
        self.len += part.len();
        self.parts.push(part);
    }

    /// Zeros up to `end`: less than the largest alignment.
    fn pad(&mut self, end: u64) {
        self.push(vec![0; (end - self.len) as usize].into());
    }
}

/// A section before it has its place.
struct Wanted {
    name: &'static str,
    content: Content,
    /// What its place in the file is a multiple of, beyond the stub's rule.
    align: u64,
    /// Bytes of memory, if more than the content has.
    memory: u64,
}

impl Wanted {
    fn small(name: &'static str, content: Content) -> Self {
        Self { name, content, align: 1, memory: 0 }
    }
}

/// Each behind the one before, in memory and in the file. One that is followed
/// by a larger alignment is lengthened up to it: signers warn of gaps.
fn place<const N: usize>(stub: &Stub, wanted: &[Wanted; N]) -> [NewSection; N] {
    let mut virtual_address = stub.image_end;
    let mut raw_offset = stub.len().next_multiple_of(stub.file_alignment.max(wanted[0].align));
    std::array::from_fn(|n| {
        let Wanted { name, content, memory, .. } = &wanted[n];
        virtual_address = virtual_address.next_multiple_of(stub.section_alignment);
        let next = wanted.get(n + 1).map_or(1, |next| next.align).max(stub.file_alignment);
        let raw_end = (raw_offset + content.len()).next_multiple_of(next);
        let section = NewSection {
            name,
            virtual_size: content.len().max(*memory),
            virtual_address,
            raw_size: raw_end - raw_offset,
            raw_offset,
        };
        virtual_address += section.virtual_size.max(section.raw_size);
        raw_offset = raw_end;
        section
    })
}

#[cfg(test)]
mod tests {
    use goblin::pe::header::Header;
    use goblin::pe::section_table::SectionTable;

    use super::super::fake::{self, Fake};
    use super::*;

    /// As the image's own headers have them, read by goblin.
    fn sections(uki: &[u8]) -> Vec<SectionTable> {
        let header = Header::parse_without_dos(&uki[fake::SIGNATURE_AT..]).unwrap();
        let mut at = fake::TABLE_AT;
        header.coff_header.sections(uki, &mut at).unwrap()
    }

    fn content(bytes: &[u8]) -> Content {
        bytes.to_vec().into()
    }

    fn lay_out(stub: &[u8], kernel: &[u8]) -> Result<Uki, UkiError> {
        let (initramfs, kernel) = (content(&[7; 5000]), content(kernel));
        let os_release = "ID=test\n".to_owned();
        let parts =
            Parts { os_release, release: "6.1.0-9-x", cmdline: "quiet", initramfs: &initramfs, kernel: &kernel };
        Uki::lay_out(&content(stub), &parts)
    }

    fn written(uki: &Uki) -> Vec<u8> {
        uki.content.read_all(1 << 20).unwrap()
    }

    #[test]
    fn every_part_is_a_section_behind_the_stubs_own() {
        let kernel = Fake { sections: 1, size_of_image: 0x9000, ..Fake::default() }.bytes();
        let uki = lay_out(&Fake::default().bytes(), &kernel).unwrap();
        let bytes = written(&uki);
        let sections = sections(&bytes);
        let names: Vec<_> = sections.iter().map(|section| section.name().unwrap()).collect();
        assert_eq!(names, [".s0", ".s1", ".osrel", ".uname", ".cmdline", ".initrd", ".linux"]);
        let data = |n: usize, len: usize| {
            let start = sections[n].pointer_to_raw_data as usize;
            &bytes[start..start + len]
        };
        assert_eq!(data(2, 8), b"ID=test\n");
        assert_eq!((data(3, 9), data(4, 5)), (&b"6.1.0-9-x"[..], &b"quiet"[..]));
        assert_eq!(data(5, 5000), [7; 5000]);
        assert_eq!(data(6, kernel.len()), kernel);
        let [initramfs, kernel_section] = [&sections[5], &sections[6]];
        assert_eq!(u64::from(initramfs.pointer_to_raw_data), uki.initramfs_at);
        assert_eq!(u64::from(kernel_section.pointer_to_raw_data), uki.kernel_at);
        assert_eq!(initramfs.virtual_size, 5000, "the stub hands on what is in memory");
        assert_eq!(kernel_section.virtual_size, 0x9000, "what the kernel runs over must be there");
    }

    #[test]
    fn sections_follow_each_other_without_gap_or_overlap() {
        for (section_alignment, file_alignment) in [(512, 512), (4096, 512), (4096, 4096)] {
            let fake = Fake { section_alignment, file_alignment, ..Fake::default() };
            let uki = lay_out(&fake.bytes(), &fake.bytes()).unwrap();
            assert_eq!((uki.initramfs_at % 2048, uki.kernel_at % 2048), (0, 0));
            let bytes = written(&uki);
            let header = Header::parse_without_dos(&bytes[fake::SIGNATURE_AT..]).unwrap();
            let fields = header.optional_header.unwrap().windows_fields;
            let sections = sections(&bytes);
            for pair in sections.windows(2) {
                let (one, next) = (&pair[0], &pair[1]);
                assert_eq!(one.pointer_to_raw_data + one.size_of_raw_data, next.pointer_to_raw_data);
                assert!(one.virtual_address + one.virtual_size.max(one.size_of_raw_data) <= next.virtual_address);
                assert_eq!(next.virtual_address % section_alignment, 0);
                assert_eq!(next.pointer_to_raw_data % file_alignment, 0);
            }
            let last = sections.last().unwrap();
            assert_eq!((last.pointer_to_raw_data + last.size_of_raw_data) as usize, bytes.len());
            let end = last.virtual_address + last.virtual_size.max(last.size_of_raw_data);
            assert_eq!(fields.size_of_image, end.next_multiple_of(section_alignment));
        }
    }

    #[test]
    fn symbols_and_signatures_of_the_stub_are_left_behind() {
        let mut stub = Fake::default().bytes();
        let whole = stub.len();
        stub.extend([0xee; 900]);
        let with_symbols = fake::put(&stub, fake::SIGNATURE_AT + 12, whole as u32);
        let signed = fake::put(&with_symbols, fake::OPTIONAL_AT + 144, whole as u32);
        let kernel = Fake::default().bytes();
        let uki = written(&lay_out(&signed, &kernel).unwrap());
        assert_eq!(uki, written(&lay_out(&stub[..whole], &kernel).unwrap()));
    }

    #[test]
    fn what_cannot_be_put_together_is_told_in_words() {
        let good = Fake::default().bytes();
        let chain =
            |stub: &[u8], kernel: &[u8]| format!("{:#}", anyhow::Error::from(lay_out(stub, kernel).unwrap_err()));
        let arm = Fake { machine: 0xaa64, ..Fake::default() }.bytes();
        let full = Fake { sections: fake::ROOM - 4, ..Fake::default() }.bytes();
        let twice = written(&lay_out(&Fake { file_alignment: 512, ..Fake::default() }.bytes(), &good).unwrap());
        for (stub, kernel, words) in [
            (&good[..], &arm[..], "the stub is made for x86_64 and the kernel for aarch64"),
            (&full, &good, "room for 4 more sections, and 5 are needed"),
            (&twice, &good, "it has a section .osrel already: take the bare stub"),
            (&good[..100], &good, "the stub of the unified kernel image: no PE image"),
            (&good, b"\x1f\x8b\x08", "cannot be one: no PE image: it does not begin with MZ"),
            (&fake::put(&good, fake::OPTIONAL_AT + 68, 1), &good, "no EFI application"),
            (&fake::put(&good, fake::OPTIONAL_AT + 36, 3), &good, "alignments of 4096 bytes in memory and 3"),
            (&fake::put(&good, fake::TABLE_AT + 20, u32::MAX), &good, "the section .s0 lies outside of the file"),
            (&fake::put(&good, fake::OPTIONAL_AT + 56, u32::MAX), &good, "more than 4 GiB"),
        ] {
            let error = chain(stub, kernel);
            assert!(error.contains(words), "{words:?} is not in: {error}");
        }
    }

    #[test]
    fn a_damaged_stub_is_never_a_panic() {
        let good = Fake::default().bytes();
        for len in 0..good.len() {
            let _ = lay_out(&good[..len], &good);
            let _ = lay_out(&good, &good[..len]);
        }
        for at in 0..fake::HEADERS {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                let _ = lay_out(&bad, &good);
                let _ = lay_out(&fake::put(&good, at.min(fake::HEADERS - 4), u32::MAX), &good);
            }
        }
    }
}
