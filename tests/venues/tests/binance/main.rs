//! The simulated Binance by its public doors: REST, the WebSocket API, the market streams.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and looks only at what its promise is about"
)]

mod faults;
mod limits;
mod orders;
mod streams;
mod strictness;
mod support;
