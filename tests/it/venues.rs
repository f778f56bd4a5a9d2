//! Every venue's adapter against that venue's simulator: the same promises, in each venue's own words.

mod alpaca;
mod binance;
mod binance_usdm;
mod bybit;
mod coinbase;
mod desk;
mod gemini;
mod hurry;
mod ibkr;
mod kraken;
mod place;
mod schwab;
mod twelve;
