//! What the engine needs of the outside, as narrow traits.

pub mod broker;
pub mod clock;
pub mod journal;
pub mod log;
pub mod market;
pub mod store;
