//! The simulated gateway of Interactive Brokers by its public doors: HTTP, websocket, administration.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and looks only at what its promise is about"
)]

mod account;
mod admin;
mod faults;
mod market;
mod orders;
mod pacing;
mod questions;
mod session;
mod streams;
mod strictness;
mod support;
