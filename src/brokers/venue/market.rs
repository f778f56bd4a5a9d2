//! What a venue trades, at what prices and when: one for all its accounts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use trade_actors::domain::calendar::MarketStatus;
use trade_actors::domain::instrument::{Instrument, Symbol};
use trade_actors::domain::money::{Percent, Price};
use trade_actors::domain::portfolio::Quote;
use trade_actors::ports::clock::Clock;
use trade_actors::ports::market::{Feed, Market};

use super::verdict::Verdict;
use super::way::{Hosts, Means, Way};
use super::{Facts, Tick, streams};
use crate::brokers::board::Board;

/// How often prices that are not streamed are asked for.
const POLL: Duration = Duration::from_secs(5);
/// How often they are asked for while nothing is traded.
const POLL_CLOSED: Duration = Duration::from_secs(60);
/// How long newly watched symbols are collected before they are asked for.
const GATHER: Duration = Duration::from_millis(500);
/// Symbols of one request.
const CHUNK: usize = 50;
/// How long a halt is believed of which only a refused order told.
const HALT: TimeDelta = TimeDelta::minutes(5);
/// How long the list of all that is traded is good.
const LISTED: TimeDelta = TimeDelta::hours(6);

/// What a venue trades, at what prices and when.
#[derive(Debug)]
pub struct VenueMarket {
    board: Arc<Board>,
    clock: Arc<dyn Clock>,
    facts: &'static Facts,
    /// Whether symbols are asked for one by one, for the venue lists nothing.
    learns: bool,
    /// The way that needs no credentials, where the venue has one.
    anybodys: Option<Arc<Way>>,
    ways: Mutex<Vec<Weak<Way>>>,
    /// One list at a time is asked for.
    listing: tokio::sync::Mutex<()>,
    /// Ends with the market.
    readers: Mutex<JoinSet<()>>,
}

impl VenueMarket {
    pub(super) fn new(means: Means, hosts: Hosts) -> Arc<Self> {
        let facts = means.venue.facts();
        Arc::new(Self {
            board: Arc::clone(&means.board),
            clock: Arc::clone(&means.clock),
            facts,
            learns: means.venue.lists_nothing(),
            anybodys: facts.is_open.then(|| Arc::new(Way::new(means, hosts, None))),
            ways: Mutex::default(),
            listing: tokio::sync::Mutex::default(),
            readers: Mutex::default(),
        })
    }

    /// Returns what is known of prices.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Returns the stream of prices; one at a time is to be read.
    #[must_use]
    pub fn feed(&self) -> Box<dyn Feed> {
        self.board.feed(self.facts.about.name)
    }

    /// Has the market ask over an account's way, too; waits for what is traded, if that is not known.
    pub(super) async fn join(self: &Arc<Self>, way: &Arc<Way>) {
        {
            let mut ways = lock(&self.ways);
            ways.retain(|known| known.strong_count() > 0);
            if !ways.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(way))) {
                ways.push(Arc::downgrade(way));
            }
        }
        if self.board.listed() == 0 && !self.learns {
            self.list().await;
        }
        let mut readers = lock(&self.readers);
        if readers.is_empty() {
            readers.spawn(poll(Arc::downgrade(self), self.board.wanted()));
            readers.spawn(streams::follow_prices(Arc::downgrade(self), self.board.wanted()));
        }
        drop(readers);
        self.board.wake();
    }

    /// Returns the way to ask over, while any account is held.
    pub(super) fn way(&self) -> Option<Arc<Way>> {
        let held = lock(&self.ways).iter().find_map(Weak::upgrade)?;
        Some(self.anybodys.as_ref().map_or(held, Arc::clone))
    }

    /// Has the next one asked over another account's way, if there is one: these credentials are refused.
    pub(super) fn pass_on(&self) {
        let mut ways = lock(&self.ways);
        ways.retain(|way| way.strong_count() > 0);
        if !ways.is_empty() {
            ways.rotate_left(1);
        }
    }

    /// Asks what is traded, if that was not learned lately; what cannot be had now is asked for again.
    async fn list(&self) {
        let _one = self.listing.lock().await;
        let now = self.clock.now();
        let is_old = |at: DateTime<Utc>| now - at >= LISTED;
        if !self.board.listed_at().is_none_or(is_old) {
            return;
        }
        let (Some(way), broker) = (self.way(), self.facts.about.name) else { return };
        match Box::pin(way.venue().instruments(&way)).await {
            Ok(all) if !all.is_empty() => self.board.list(all, self.clock.now()),
            Ok(_) => tracing::warn!(broker, "the broker lists nothing that is traded"),
            Err(verdict) => {
                tracing::warn!(broker, ?verdict, "what the broker trades is not known");
                self.judge(&verdict);
            }
        }
    }

    /// Asks for symbols that are not known, of a venue that lists nothing.
    ///
    /// # Errors
    /// When one cannot be asked for.
    pub(super) async fn learn(&self, way: &Way, symbols: &[Symbol]) -> Result<(), Verdict> {
        for symbol in symbols.iter().filter(|symbol| self.learns && self.is_unsure_of(**symbol)) {
            let found = Box::pin(way.venue().instrument(way, *symbol)).await?;
            self.board.learn(*symbol, found, self.clock.now());
        }
        Ok(())
    }

    /// Asks for what somebody wants to know; what cannot be had now is wanted again by whoever asks again.
    async fn learn_wondered(&self) {
        let wondered: Vec<_> = self.board.take_wondered().into_iter().collect();
        let Some(way) = self.way().filter(|_| !wondered.is_empty()) else { return };
        if let Err(verdict) = self.learn(&way, &wondered).await {
            tracing::debug!(broker = self.facts.about.name, ?verdict, "a symbol is not known");
            self.judge(&verdict);
        }
    }

    /// Passes on when an answer says that the credentials are refused.
    fn judge(&self, verdict: &Verdict) {
        if verdict.is_of_credentials() {
            self.pass_on();
        }
    }

    /// Returns the prices of symbols, asked for where they are not known or old. What is not traded here has none.
    ///
    /// # Errors
    /// When one is missing and cannot be had: an account must not seem to have lost what only has no price now.
    pub(super) async fn prices(
        &self,
        way: &Way,
        symbols: &[Symbol],
    ) -> Result<BTreeMap<Symbol, Price>, Verdict> {
        let now = self.clock.now();
        let fresh = |quote: &Quote| now - quote.at < TimeDelta::minutes(1);
        let known =
            |symbol: &Symbol| self.board.quote(*symbol).filter(fresh).map(|quote| (*symbol, quote.price));
        let mut prices: BTreeMap<_, _> = symbols.iter().filter_map(known).collect();
        // What is not traded here has no price: asked for, it would spoil the answer for all others.
        let is_traded =
            |symbol: &Symbol| self.board.listed() == 0 || self.board.instrument(*symbol).is_some();
        let is_unknown = |symbol: &&Symbol| !prices.contains_key(symbol) && is_traded(symbol);
        let unknown: Vec<_> = symbols.iter().filter(is_unknown).copied().collect();
        for chunk in unknown.chunks(CHUNK) {
            for quote in Box::pin(self.ask(way, chunk)).await? {
                prices.insert(quote.symbol, quote.price);
                self.board.answered(quote, false);
            }
        }
        for symbol in unknown {
            // Better the last price there was than none.
            let known =
                prices.get(&symbol).copied().or_else(|| self.board.quote(symbol).map(|quote| quote.price));
            let price = known.ok_or_else(|| Verdict::Lost(format!("it tells no price of {symbol}")))?;
            prices.insert(symbol, price);
        }
        Ok(prices)
    }

    /// Asks for prices, over the way that needs no credentials where there is one.
    pub(super) async fn ask(&self, way: &Way, symbols: &[Symbol]) -> Result<Vec<Quote>, Verdict> {
        let way = self.anybodys.as_deref().unwrap_or(way);
        Box::pin(way.venue().quotes(way, symbols)).await
    }

    /// Asks once for the prices that are watched and not streamed.
    async fn poll(&self) {
        let Some(way) = self.way() else { return };
        for chunk in self.board.to_poll(self.clock.now()).chunks(CHUNK) {
            let unsure = self.board.unsure();
            match Box::pin(self.ask(&way, chunk)).await {
                Ok(quotes) => {
                    for quote in quotes {
                        self.board.answered(quote, unsure.contains(&quote.symbol));
                    }
                }
                Err(verdict) => {
                    tracing::debug!(broker = self.facts.about.name, ?verdict, "prices are not known");
                    self.judge(&verdict);
                    return;
                }
            }
        }
    }

    /// Takes what a frame of the stream of prices said; returns what to say back, or why it is over.
    pub(super) fn take(&self, tick: Tick) -> Result<Option<String>, String> {
        match tick {
            Tick::Best { symbol, bid, ask, last } => {
                if let Some(quote) = quote(symbol, bid, ask, last, self.clock.now()) {
                    self.board.show(quote);
                }
                Ok(None)
            }
            Tick::Reply(frame) => Ok(Some(frame)),
            Tick::Over(why) => Err(why),
        }
    }

    /// Returns whose prices to stream.
    pub(super) fn to_stream(&self) -> BTreeSet<Symbol> {
        self.board.to_stream(self.facts.streamed_max)
    }

    pub(super) const fn facts(&self) -> &'static Facts {
        self.facts
    }

    /// Notes that an order was refused because of a halt. Nothing may tell its end, so it is believed for a while.
    pub(super) fn halt_for_now(&self, symbol: Symbol) {
        self.board.halt_until(symbol, self.clock.now() + HALT);
    }
}

impl Market for VenueMarket {
    fn instrument(&self, symbol: Symbol) -> Option<Instrument> {
        let known = self.board.instrument(symbol).map(|(instrument, _)| instrument);
        if known.is_none() && self.learns && self.is_unsure_of(symbol) {
            self.board.wonder(symbol);
        }
        known
    }

    fn instruments(&self) -> Vec<Instrument> {
        self.board.instruments().into_iter().map(|(instrument, _)| instrument).collect()
    }

    fn listed(&self) -> usize {
        self.board.listed()
    }

    fn is_unsure_of(&self, symbol: Symbol) -> bool {
        if !self.learns {
            return self.listed() == 0;
        }
        self.board.instrument(symbol).is_none() && !self.board.is_untraded(symbol, self.clock.now())
    }

    fn quote(&self, symbol: Symbol) -> Option<Quote> {
        self.board.quote(symbol)
    }

    fn status(&self, instrument: &Instrument, now: DateTime<Utc>) -> MarketStatus {
        if self.board.is_halted(instrument.symbol, now) {
            return MarketStatus::Halted;
        }
        self.facts.hours.status(now)
    }

    fn watch(&self, symbol: Symbol) {
        self.board.watch(symbol);
    }
}

/// Returns a quote: its price is the last trade's where that is told and lies between bid and ask, else their middle.
///
/// `None`: nobody buys or sells.
#[must_use]
pub fn quote(
    symbol: Symbol,
    bid: Decimal,
    ask: Decimal,
    last: Option<Decimal>,
    at: DateTime<Utc>,
) -> Option<Quote> {
    let side = |number: Decimal| Price::new(number).ok();
    let (bid, ask) = match (side(bid), side(ask)) {
        (Some(bid), Some(ask)) => (bid, ask),
        (Some(only), None) | (None, Some(only)) => (only, only),
        (None, None) => return None,
    };
    let between = |last: &Price| (bid..=ask).contains(last);
    let middle = || side(bid.get().checked_add(ask.get())?.checked_div(Decimal::TWO)?.normalize());
    let price = last.and_then(side).filter(between).or_else(middle)?;
    Some(Quote { symbol, price, bid, ask, change_pct: Percent::new(Decimal::ZERO), at })
}

/// Asks for the prices that are watched and not streamed, and now and then for what is traded.
async fn poll(market: Weak<VenueMarket>, mut wanted: watch::Receiver<()>) {
    loop {
        let Some(held) = market.upgrade() else { return };
        wanted.mark_unchanged();
        if held.learns {
            held.learn_wondered().await;
        } else {
            held.list().await;
        }
        held.poll().await;
        let pace = match held.facts.hours.status(held.clock.now()) {
            MarketStatus::Open | MarketStatus::Extended { .. } | MarketStatus::Halted => POLL,
            MarketStatus::Closed { .. } => POLL_CLOSED,
        };
        drop(held);
        // A symbol that is newly watched does not wait for the next round; a crowd of them waits for one.
        if timeout(pace, wanted.changed()).await.is_ok() {
            sleep(GATHER).await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_the_last_trades_if_that_is_where_the_market_is() {
        let symbol: Symbol = "BTC/USDT".parse().unwrap();
        let dec = |text: &str| -> Decimal { text.parse().unwrap() };
        let of = |bid, ask, last: Option<&str>| {
            let at = DateTime::UNIX_EPOCH;
            quote(symbol, dec(bid), dec(ask), last.map(dec), at).map(|quote| quote.price.to_string())
        };
        assert_eq!(of("100", "102", None).as_deref(), Some("101"));
        assert_eq!(of("100", "102", Some("101.5")).as_deref(), Some("101.5"));
        assert_eq!(of("100", "102", Some("90")).as_deref(), Some("101"), "it is of another time");
        assert_eq!(of("0", "102", None).as_deref(), Some("102"));
        assert_eq!(of("0", "0", Some("90")), None);
    }
}
