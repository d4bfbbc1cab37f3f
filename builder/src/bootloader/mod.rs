//! Boot loaders: each turns the plan's boot entries into its own files and
//! tells the `iso` crate what the firmware shall start.

pub mod isolinux;
pub mod uki;
