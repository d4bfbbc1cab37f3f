//! Packages, friendly and hostile, extracted over a root.

mod archive;
mod hostile;
mod image;
#[path = "../oracle/mod.rs"]
mod oracle;
mod peers;
mod snapshot;
mod truncated;

use init::unpack::Limits;

/// Neither large nor privileged.
const PLAIN: Limits = Limits { unpacked: 1 << 20, privileged: false };
