//! What the reading verbs do: images looked at, taken apart, compared and judged.

pub mod diff;
pub mod explain;
pub mod extract;
pub mod inspect;
pub mod loader;
pub mod ls;
pub mod ours;
pub mod reasons;
pub mod treemap;
pub mod verify;
