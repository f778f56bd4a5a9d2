//! All that is true without a computer: values and the rules between them.

pub mod ids;
pub mod instrument;
pub mod money;
pub mod record;
pub mod signal;
