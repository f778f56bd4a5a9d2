//! Where things are kept: the log in segment files, its index and the vault in sled.

pub mod index;
pub mod segments;
pub mod vault;
