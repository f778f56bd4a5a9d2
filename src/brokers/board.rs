//! What is known of a market right now: what is traded, at what prices, what is halted, and whose prices are wanted.
//!
//! Reads never wait. Who fills it, by a stream or by asking, is each broker's affair.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use rust_decimal::Decimal;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use trade_actors::domain::instrument::{Instrument, Symbol};
use trade_actors::domain::money::{Percent, Price};
use trade_actors::domain::portfolio::Quote;
use trade_actors::ports::market::Feed;

/// How long after one answer the feed gives the next; a price after a longer silence is told at once.
pub const PACE: Duration = Duration::from_millis(100);
/// How long a streamed price may stay the same before it is asked for.
const SILENT: TimeDelta = TimeDelta::seconds(20);
/// How long it is believed that a symbol is not traded, where each is asked for by itself.
const UNTRADED: TimeDelta = TimeDelta::minutes(10);
/// Most symbols that are watched at once; of more, those asked for last.
pub const WATCHED_MAX: usize = 500;

/// What is known of a market right now.
#[derive(Debug)]
pub struct Board {
    rows: RwLock<Rows>,
    /// Wakes the feed: a price changed.
    fresh: Notify,
    /// Wakes the readers of prices: a symbol is watched that was not, or somebody who can ask joined.
    wanted: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Rows {
    instruments: BTreeMap<Symbol, Instrument>,
    listed_at: Option<DateTime<Utc>>,
    /// Symbols that somebody wants to know, where there is no list.
    wondered: BTreeSet<Symbol>,
    /// Symbols that are not traded, and when that was learned.
    untraded: BTreeMap<Symbol, DateTime<Utc>>,
    quotes: BTreeMap<Symbol, Quote>,
    trades: BTreeMap<Symbol, Price>,
    fresh: BTreeSet<Symbol>,
    /// Who is halted, and until when that is believed; without an end: until the stream says otherwise.
    halted: BTreeMap<Symbol, Option<DateTime<Utc>>>,
    /// Who is watched, and when that was last asked for, counted.
    watched: BTreeMap<Symbol, u64>,
    asked: u64,
    /// Whose prices are streamed now.
    streamed: BTreeSet<Symbol>,
    /// Who has been streamed since a moment ago: what changed just before was not told.
    unsure: BTreeSet<Symbol>,
}

impl Default for Board {
    fn default() -> Self {
        Self { rows: RwLock::default(), fresh: Notify::new(), wanted: watch::Sender::new(()) }
    }
}

/// What is traded.
impl Board {
    /// Takes a new list of all that is traded.
    pub fn list(&self, instruments: impl IntoIterator<Item = Instrument>, now: DateTime<Utc>) {
        let mut rows = self.write();
        rows.instruments = instruments.into_iter().map(|row| (row.symbol, row)).collect();
        rows.listed_at = Some(now);
    }

    /// Notes that somebody wants to know whether a symbol is traded here, where there is no list of all that is.
    pub fn wonder(&self, symbol: Symbol) {
        let mut rows = self.write();
        let is_new = rows.wondered.len() < WATCHED_MAX && rows.wondered.insert(symbol);
        drop(rows);
        if is_new {
            self.wake();
        }
    }

    /// Takes the symbols that somebody wants to know.
    #[must_use]
    pub fn take_wondered(&self) -> BTreeSet<Symbol> {
        std::mem::take(&mut self.write().wondered)
    }

    /// Takes what was learned of one symbol; `None`: it is not traded here.
    pub fn learn(&self, symbol: Symbol, instrument: Option<Instrument>, now: DateTime<Utc>) {
        let mut rows = self.write();
        rows.untraded.retain(|_, at| now - *at < UNTRADED);
        match instrument {
            Some(instrument) => {
                rows.instruments.insert(symbol, instrument);
            }
            None => {
                rows.untraded.insert(symbol, now);
            }
        }
    }

    /// Returns whether it was learned lately that a symbol is not traded here.
    #[must_use]
    pub fn is_untraded(&self, symbol: Symbol, now: DateTime<Utc>) -> bool {
        self.read().untraded.get(&symbol).is_some_and(|at| now - *at < UNTRADED)
    }

    /// Returns when the list was taken; `None`: it never was.
    #[must_use]
    pub fn listed_at(&self) -> Option<DateTime<Utc>> {
        self.read().listed_at
    }

    /// Returns how many instruments there are.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.read().instruments.len()
    }

    /// Returns an instrument with its last price; `None`: it is not traded here.
    #[must_use]
    pub fn instrument(&self, symbol: Symbol) -> Option<(Instrument, Option<Price>)> {
        let rows = self.read();
        Some((*rows.instruments.get(&symbol)?, rows.quotes.get(&symbol).map(|quote| quote.price)))
    }

    /// Returns every instrument with its last price.
    #[must_use]
    pub fn instruments(&self) -> Vec<(Instrument, Option<Price>)> {
        let rows = self.read();
        let priced = |row: &Instrument| (*row, rows.quotes.get(&row.symbol).map(|quote| quote.price));
        rows.instruments.values().map(priced).collect()
    }

    /// Returns whether trading in a symbol is halted.
    #[must_use]
    pub fn is_halted(&self, symbol: Symbol, now: DateTime<Utc>) -> bool {
        self.read().halted.get(&symbol).is_some_and(|until| until.is_none_or(|until| now < until))
    }

    /// Notes that trading in a symbol was halted or goes on.
    pub fn halt(&self, symbol: Symbol, is_halted: bool) {
        let mut rows = self.write();
        if is_halted {
            rows.halted.insert(symbol, None);
        } else {
            rows.halted.remove(&symbol);
        }
    }

    /// Notes that an order was refused because of a halt. Nothing may tell its end, so it is believed for a while.
    pub fn halt_until(&self, symbol: Symbol, until: DateTime<Utc>) {
        self.write().halted.entry(symbol).or_insert(Some(until));
    }
}

/// Whose prices are wanted.
impl Board {
    /// Asks that a symbol's prices be told from now on, if it is traded here as far as that is known.
    pub fn watch(&self, symbol: Symbol) {
        let mut rows = self.write();
        if !rows.instruments.is_empty() && !rows.instruments.contains_key(&symbol) {
            return;
        }
        rows.asked += 1;
        let asked = rows.asked;
        let is_new = rows.watched.insert(symbol, asked).is_none();
        if rows.watched.len() > WATCHED_MAX {
            rows.unwatch_oldest();
        }
        let is_streamed = rows.streamed.contains(&symbol);
        drop(rows);
        if is_new || !is_streamed {
            self.wake();
        }
    }

    /// Returns what rings when somebody is to look at [`Board::to_stream`] and [`Board::to_poll`].
    #[must_use]
    pub fn wanted(&self) -> watch::Receiver<()> {
        self.wanted.subscribe()
    }

    /// Wakes the readers of prices.
    pub fn wake(&self) {
        self.wanted.send_replace(());
    }

    /// Returns whose prices to stream: the latest asked for, at most `most`.
    #[must_use]
    pub fn to_stream(&self, most: usize) -> BTreeSet<Symbol> {
        let rows = self.read();
        let mut all: Vec<_> = rows.watched.iter().map(|(symbol, asked)| (*asked, *symbol)).collect();
        drop(rows);
        all.sort_unstable_by(|left, right| right.cmp(left));
        all.into_iter().take(most).map(|(_, symbol)| symbol).collect()
    }

    /// Notes whose prices are streamed; all others are asked for.
    pub fn set_streamed(&self, symbols: BTreeSet<Symbol>) {
        let mut rows = self.write();
        let new: BTreeSet<_> = symbols.difference(&rows.streamed).copied().collect();
        let is_unsure = !new.is_empty();
        rows.unsure = rows.unsure.intersection(&symbols).copied().chain(new).collect();
        rows.streamed = symbols;
        drop(rows);
        if is_unsure {
            self.wake();
        }
    }

    /// Returns whose prices are not streamed, or have not changed for a while.
    #[must_use]
    pub fn to_poll(&self, now: DateTime<Utc>) -> Vec<Symbol> {
        let rows = self.read();
        let is_silent = |symbol: &&Symbol| {
            let quote = rows.quotes.get(*symbol);
            let is_streamed = rows.streamed.contains(*symbol) && !rows.unsure.contains(*symbol);
            !is_streamed || quote.is_none_or(|quote| now - quote.at > SILENT)
        };
        rows.watched.keys().filter(is_silent).copied().collect()
    }

    /// Returns who has been streamed since a moment ago.
    #[must_use]
    pub fn unsure(&self) -> BTreeSet<Symbol> {
        self.read().unsure.clone()
    }
}

/// Prices.
impl Board {
    /// Returns the latest price.
    #[must_use]
    pub fn quote(&self, symbol: Symbol) -> Option<Quote> {
        self.read().quotes.get(&symbol).copied()
    }

    /// Returns the last trade's price.
    #[must_use]
    pub fn last(&self, symbol: Symbol) -> Option<Price> {
        self.read().trades.get(&symbol).copied()
    }

    /// Takes best prices that a stream told.
    pub fn show(&self, quote: Quote) {
        let mut rows = self.write();
        rows.unsure.remove(&quote.symbol);
        rows.show(quote);
        drop(rows);
        self.fresh.notify_one();
    }

    /// Takes a trade that a stream told.
    pub fn traded(&self, symbol: Symbol, price: Price, at: DateTime<Utc>) {
        let mut rows = self.write();
        rows.halted.remove(&symbol);
        rows.unsure.remove(&symbol);
        rows.trades.insert(symbol, price);
        let before = rows.quotes.get(&symbol).copied();
        let zero = Percent::new(Decimal::ZERO);
        let quote = match before {
            Some(quote) => Quote { price, at: at.max(quote.at), ..quote },
            None => Quote { symbol, price, bid: price, ask: price, change_pct: zero, at },
        };
        rows.show(quote);
        drop(rows);
        self.fresh.notify_one();
    }

    /// Takes a quote that was asked for; `sure` says that its symbol was streamed already when it was.
    pub fn answered(&self, quote: Quote, sure: bool) {
        let mut rows = self.write();
        if sure {
            rows.unsure.remove(&quote.symbol);
        }
        let is_newer = rows.quotes.get(&quote.symbol).is_none_or(|known| known.at <= quote.at);
        if is_newer {
            rows.show(quote);
            drop(rows);
            self.fresh.notify_one();
        }
    }

    /// Returns the prices that changed since they were last taken.
    #[must_use]
    pub fn take_fresh(&self) -> Vec<Quote> {
        let mut rows = self.write();
        let symbols = std::mem::take(&mut rows.fresh);
        symbols.into_iter().filter_map(|symbol| rows.quotes.get(&symbol).copied()).collect()
    }

    /// Returns the stream of prices; one at a time is to be read.
    #[must_use]
    pub fn feed(self: &Arc<Self>, venue: &'static str) -> Box<dyn Feed> {
        Box::new(Prices { venue, board: Arc::clone(self), is_first: true, told: None })
    }

    fn read(&self) -> RwLockReadGuard<'_, Rows> {
        // Every write leaves whole rows behind, so they are good even after a panic.
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Rows> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn show(&mut self, quote: Quote) {
        let before = self.quotes.insert(quote.symbol, quote);
        let same =
            |before: &Quote| (before.price, before.bid, before.ask) == (quote.price, quote.bid, quote.ask);
        if !before.as_ref().is_some_and(same) {
            self.fresh.insert(quote.symbol);
        }
    }

    fn unwatch_oldest(&mut self) {
        let oldest = self.watched.iter().min_by_key(|(_, asked)| **asked).map(|(symbol, _)| *symbol);
        if let Some(oldest) = oldest {
            self.watched.remove(&oldest);
        }
    }
}

/// The stream of prices.
#[derive(Debug)]
struct Prices {
    venue: &'static str,
    board: Arc<Board>,
    is_first: bool,
    /// When the last answer was given.
    told: Option<Instant>,
}

impl Feed for Prices {
    fn venue(&self) -> &'static str {
        self.venue
    }

    fn next(&mut self) -> BoxFuture<'_, Vec<Quote>> {
        Box::pin(async move {
            if std::mem::take(&mut self.is_first) {
                drop(self.board.take_fresh());
                let all: Vec<_> = self.board.read().quotes.values().copied().collect();
                if !all.is_empty() {
                    self.told = Some(Instant::now());
                    return all;
                }
            }
            loop {
                self.board.fresh.notified().await;
                if let Some(told) = self.told {
                    sleep_until(told + PACE).await;
                }
                let fresh = self.board.take_fresh();
                if !fresh.is_empty() {
                    self.told = Some(Instant::now());
                    return fresh;
                }
            }
        })
    }
}
