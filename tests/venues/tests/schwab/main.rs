//! The simulated Schwab by its public doors: HTTP, the streamer, administration.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and looks only at what its promise is about"
)]

mod accounts;
mod admin;
mod faults;
mod hours;
mod login;
mod orders;
mod streamer;
mod strictness;
mod support;
