//! Numbers of the disc, each with the clause that fixes it. Reader, writer
//! and tests have them from here.

/// Logical sector and logical block alike (ECMA-119 6.1.2, 6.2.2).
pub const SECTOR: usize = 2048;

/// Sectors before the volume descriptors (ECMA-119 6.2.1).
pub(crate) const SYSTEM_AREA_SECTORS: u32 = 16;

/// Where the ISO 9660 partition of a GPT begins. Behind a second system area
/// it has descriptors of its own, so that it can be mounted by itself.
pub(crate) const PARTITION_OFFSET: u32 = 16;

/// ECMA-119 8.1.1: volume descriptor types.
pub(crate) mod descriptor_type {
    pub(crate) const BOOT_RECORD: u8 = 0;
    pub(crate) const PRIMARY: u8 = 1;
    pub(crate) const SUPPLEMENTARY: u8 = 2;
    pub(crate) const TERMINATOR: u8 = 255;
}

/// ECMA-119 8.1.2.
pub(crate) const STANDARD_ID: &[u8; 5] = b"CD001";

/// ECMA-119 8.4.32: a primary descriptor's bytes for whoever wrote it.
pub(crate) const APPLICATION_USE: std::ops::Range<usize> = 883..1395;

/// ECMA-119 9.1.6: file flags.
pub(crate) mod flag {
    pub(crate) const DIRECTORY: u8 = 0x02;
    /// Another record with the same name continues the file (6.5.1).
    pub(crate) const MORE_EXTENTS: u8 = 0x80;
}

/// ECMA-119 9.1: bytes of a directory record before the identifier.
pub(crate) const RECORD_HEADER: usize = 33;

/// ECMA-119 9.1.1 has one byte for the length, and 9.1.13 makes it even.
pub(crate) const RECORD_MAX: usize = 254;

/// The largest section of a file that is a whole number of sectors: a data
/// length has 32 bits (ECMA-119 9.1.4), and all sections but the last must
/// end with a block.
pub(crate) const SECTION_MAX: u32 = 0xFFFF_F800;

/// ECMA-119 9.4.4: a parent number has 16 bits.
pub(crate) const DIRECTORIES_MAX: usize = 65_535;

/// ECMA-119 6.8.2.2: identifiers of a directory's first two records.
pub(crate) const SELF: &[u8] = &[0];
pub(crate) const PARENT: &[u8] = &[1];

/// ECMA-119 7.2.3: little-endian, then big-endian.
pub(crate) fn both16(value: u16) -> [u8; 4] {
    let mut out = [0; 4];
    put(&mut out, 0, &value.to_le_bytes());
    put(&mut out, 2, &value.to_be_bytes());
    out
}

/// ECMA-119 7.3.3.
pub(crate) fn both32(value: u32) -> [u8; 8] {
    let mut out = [0; 8];
    put(&mut out, 0, &value.to_le_bytes());
    put(&mut out, 4, &value.to_be_bytes());
    out
}

/// How many sectors `bytes` need.
pub(crate) fn sectors(bytes: u64) -> u64 {
    bytes.div_ceil(SECTOR as u64)
}

/// Lengthens `bytes` with zeros to the next sector.
pub(crate) fn pad_to_sector(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
}

/// Writes `field` at `offset`; the callers' offsets are constants.
pub(crate) fn put(bytes: &mut [u8], offset: usize, field: &[u8]) {
    bytes[offset..offset + field.len()].copy_from_slice(field);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_both_orders() {
        assert_eq!(both16(0x1234), [0x34, 0x12, 0x12, 0x34]);
        assert_eq!(both32(0x1234_5678), [0x78, 0x56, 0x34, 0x12, 0x12, 0x34, 0x56, 0x78]);
    }
}
