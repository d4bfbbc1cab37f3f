//! From staged trees to the finished image: parts are encoded, named by a
//! boot-id, put on the medium's tree, and written as an ISO.

mod budget;
mod initramfs;
mod medium;
mod payload;
mod provenance;
mod scratch;

pub use budget::OverBudget;
pub use initramfs::encode_initramfs;
pub use medium::{boot_id, medium_tree, write_iso};
pub use payload::{EncodedPart, Request, bound_to, encode_payload};
pub use provenance::{add_provenance, initramfs_provenance};
