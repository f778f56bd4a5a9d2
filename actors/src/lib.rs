//! The engine of Trade Executor.

pub mod domain;
pub mod ports;
