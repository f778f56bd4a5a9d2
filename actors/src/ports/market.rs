//! Instruments, prices and opening hours.

use std::fmt::Debug;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

use crate::domain::calendar::MarketStatus;
use crate::domain::instrument::{Instrument, Symbol};
use crate::domain::portfolio::Quote;

/// What is known of the market right now. Reads never wait.
pub trait Market: Send + Sync + Debug {
    /// Returns the rules of a symbol; `None`: it is not traded here.
    fn instrument(&self, symbol: Symbol) -> Option<Instrument>;

    /// Returns every instrument, by symbol.
    fn instruments(&self) -> Vec<Instrument>;

    /// Returns how many instruments there are, without the copy of thousands that [`Market::instruments`] makes.
    ///
    /// Zero: the list is not loaded yet, so that nothing is known of any symbol.
    fn listed(&self) -> usize;

    /// Returns whether it is not known yet if a symbol is traded here: what is not an instrument may still be one.
    fn is_unsure_of(&self, _symbol: Symbol) -> bool {
        self.listed() == 0
    }

    /// Returns the latest price.
    fn quote(&self, symbol: Symbol) -> Option<Quote>;

    /// Returns whether the instrument can be traded at `now`.
    fn status(&self, instrument: &Instrument, now: DateTime<Utc>) -> MarketStatus;

    /// Asks that a symbol's prices be streamed from now on; returns at once.
    fn watch(&self, _symbol: Symbol) {}
}

/// The market of a broker that is not built in: nothing is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Nowhere;

impl Market for Nowhere {
    fn instrument(&self, _: Symbol) -> Option<Instrument> {
        None
    }

    fn instruments(&self) -> Vec<Instrument> {
        Vec::new()
    }

    fn listed(&self) -> usize {
        0
    }

    fn quote(&self, _: Symbol) -> Option<Quote> {
        None
    }

    fn status(&self, _: &Instrument, _: DateTime<Utc>) -> MarketStatus {
        MarketStatus::Halted
    }
}

/// A venue's stream of prices.
pub trait Feed: Send + Debug {
    /// Returns the name of the broker whose prices these are.
    fn venue(&self) -> &'static str;

    /// Waits for the next prices; all that changed since the last call, the latest of each symbol.
    fn next(&mut self) -> BoxFuture<'_, Vec<Quote>>;
}
