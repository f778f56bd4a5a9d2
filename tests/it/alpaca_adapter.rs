//! The Alpaca adapter against a venue that speaks Alpaca's protocol and fails when told to.

mod desk;
mod engine;
mod faults;
mod market;
mod orders;
