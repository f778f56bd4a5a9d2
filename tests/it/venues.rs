//! Every venue's adapter against that venue's simulator: the same promises, in each venue's own words.

pub(crate) mod alpaca;
pub(crate) mod binance;
pub(crate) mod binance_usdm;
pub(crate) mod bybit;
pub(crate) mod coinbase;
mod desk;
pub(crate) mod gemini;
mod hurry;
pub(crate) mod ibkr;
pub(crate) mod kraken;
pub(crate) mod place;
pub(crate) mod schwab;
mod twelve;
