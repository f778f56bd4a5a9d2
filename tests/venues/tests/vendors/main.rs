//! The vendors' own client libraries trade with the simulated venues as they would with the real ones.
//!
//! Skipped, with the reason printed, only where there is no Python or its `venv` cannot be made.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alpaca;
mod binance;
mod binance_usdm;
mod bybit;
mod coinbase;
mod gemini;
mod kraken;
mod python;
mod schwab;
