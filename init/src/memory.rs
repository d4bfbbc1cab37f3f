//! How much memory there is to use.

use std::fs;

/// Bytes; None where the kernel does not tell.
pub(crate) fn available() -> Option<u64> {
    parse(&fs::read_to_string("/proc/meminfo").ok()?)
}

/// MemAvailable: MemFree leaves out what the kernel can take back, and Cached
/// counts a tmpfs's files as if it could.
fn parse(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_the_kernels_own_estimate() {
        let meminfo = "MemTotal:  2048 kB\nMemFree:  1 kB\nMemAvailable:    1024 kB\nCached: 5 kB\n";
        assert_eq!(parse(meminfo), Some(1 << 20));
        assert_eq!(parse("MemTotal: 2048 kB\n"), None);
    }
}
