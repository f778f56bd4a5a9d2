//! What the engine needs of the outside, as narrow traits.

pub mod log;
pub mod store;
