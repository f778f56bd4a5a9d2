//! Venues that misbehave on purpose, for tests only.

pub mod account;
pub mod book;
pub mod feed;
pub mod flaky;
pub mod clock;
pub mod limits;
pub mod faults;
pub mod journal;
pub mod streams;
pub mod http;
pub mod world;
pub mod server;
pub mod admin;
