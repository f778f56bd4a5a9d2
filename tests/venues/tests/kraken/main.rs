//! The simulated Kraken by its public doors: REST and both addresses of the WebSocket API.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and looks only at what its promise is about"
)]

mod faults;
mod orders;
mod streams;
mod strictness;
mod support;
