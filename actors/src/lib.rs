//! The engine of Trade Executor: what is decided, and the actors that carry it out.
//!
//! # The map
//!
//! A signal goes down one street, and facts come back up it:
//!
//! ```text
//! signal -> risk -> execution -> broker -> fill -> position -> portfolio -> hub
//! ```
//!
//! - [`domain`] is all that is true without a computer: nouns, rules and state machines, as pure functions.
//! - [`ports`] are the traits for the outside: brokers, market, log, store, clock.
//! - [`ledger`] commits facts to the log, many at a time, and keeps the index ([`views`]) behind it.
//! - [`engine`] is the top of the actor tree: [`router`] wakes a [`user`] for a signal; the user's `risk` judges it,
//!   `execution` commits the verdict and sees the order through, `broker_connection` talks to the broker,
//!   `position` and `portfolio` follow what came of it, and the [`hub`] tells the screens.
//!
//! Nothing is done before the log holds it, and nothing is shown that the log does not hold.

pub mod arrival;
pub mod broker_connection;
pub mod domain;
pub mod engine;
pub mod execution;
pub mod fault;
pub mod hasher;
pub mod hub;
pub mod kill_switch;
pub mod ledger;
pub mod meters;
pub mod portfolio;
pub mod ports;
pub mod position;
pub mod quote_feed;
pub mod risk;
pub mod router;
pub mod sessions;
pub mod user;
pub mod views;
