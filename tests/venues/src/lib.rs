//! Venues that misbehave on purpose, for tests only.
//!
//! [`flaky`] stands between the engine and any broker: it loses requests and answers, refuses and delays by script, and
//! keeps a journal of what the engine asked: the other half of every "exactly once" test.
//!
//! The rest is a broker of its own, behind a socket. [`book`] is where orders meet prices ([`feed`]) and become cash and
//! positions ([`account`]); it is pure. [`world`] puts it behind one lock, with [`instrument`]s, a [`clock`], [`faults`]
//! by request and by stream message ([`streams`]), [`limits`] and a [`journal`]. [`server`] carries bytes, a [`mod@line`] what
//! is said on a stream, and [`admin`] is what tests do from another process. A venue adds its own words, [`settings`]
//! where it has some, [`signed`] requests where it wants them, and a line in the [`table`]: [`alpaca`],
//! [`binance`], [`binance_usdm`], [`bybit`], [`coinbase`], [`gemini`], [`ibkr`], [`kraken`], [`schwab`].

pub mod account;
pub mod admin;
pub mod alpaca;
pub mod binance;
pub mod binance_usdm;
pub mod book;
pub mod bybit;
pub mod clock;
pub mod coinbase;
pub mod faults;
pub mod feed;
pub mod flaky;
pub mod gemini;
pub mod http;
pub mod ibkr;
pub mod instrument;
pub mod journal;
pub mod kraken;
pub mod limits;
pub mod line;
pub mod schwab;
pub mod server;
pub mod settings;
pub mod signed;
pub mod streams;
pub mod table;
pub mod world;
