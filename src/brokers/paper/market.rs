//! A simulated market: prices walk at random from a seed, so that the same seed always makes the same day.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::BoxFuture;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rust_decimal::Decimal;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use trade_actors::domain::calendar::{MarketStatus, nyse};
use trade_actors::domain::instrument::{AssetClass, Instrument, Symbol};
use trade_actors::domain::money::{Percent, Price};
use trade_actors::domain::paper::Listing;
use trade_actors::domain::portfolio::Quote;
use trade_actors::ports::clock::Clock;
use trade_actors::ports::market::{Feed, Market};

pub use super::config::{PaperConfig, PaperSymbol};

/// How many times its first price a price walks up, or down to that part of it.
const REACH: Decimal = Decimal::from_parts(4, 0, 0, false, 0);

/// A market whose prices are made up.
#[derive(Debug)]
pub struct SimulatedMarket {
    board: RwLock<Board>,
    clock: Arc<dyn Clock>,
    always_open: bool,
    tick: Duration,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Board {
    rows: BTreeMap<Symbol, Row>,
    dice: ChaCha8Rng,
}

#[derive(Debug)]
struct Row {
    instrument: Instrument,
    quote: Quote,
    first: Price,
    opening: (NaiveDate, Price),
    volatility_bp: u32,
    spread_bp: u32,
    /// Whether the price changed since the feed last told it.
    fresh: bool,
}

impl SimulatedMarket {
    /// Opens the market at the configured prices. Symbols with unusable numbers are left out:
    /// [`PaperConfig::problems`] names them.
    #[must_use]
    pub fn new(config: &PaperConfig, clock: Arc<dyn Clock>) -> Arc<Self> {
        let now = clock.now();
        let rows = config.symbols.iter().filter_map(|row| Some((row.symbol, Row::new(row, now)?))).collect();
        let board = Board { rows, dice: ChaCha8Rng::seed_from_u64(config.seed) };
        Arc::new(Self {
            board: RwLock::new(board),
            clock,
            always_open: config.always_open,
            tick: Duration::from_millis(config.tick_ms.max(1)),
            changes: watch::Sender::new(0),
        })
    }

    /// Returns the stream of prices. It is what moves the market: one at a time is to be read.
    ///
    /// Its first answer is every price, at once.
    #[must_use]
    pub fn feed(self: &Arc<Self>) -> Box<dyn Feed> {
        Box::new(Walk { market: Arc::clone(self), changes: self.changes(), pace: None })
    }

    /// Returns a receiver that wakes whenever prices changed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Takes one step of the walk: every price moves by a random number of its own.
    pub fn step(&self, now: DateTime<Utc>) {
        let mut board = self.write();
        let Board { rows, dice } = &mut *board;
        for row in rows.values_mut() {
            row.walk(dice.next_u32(), now);
        }
        drop(board);
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Sets a price, from which the walk goes on. Returns whether the symbol is traded here.
    pub fn set_price(&self, symbol: Symbol, price: Price) -> bool {
        let now = self.clock.now();
        let mut board = self.write();
        let known = board.rows.get_mut(&symbol).map(|row| row.show(price, now)).is_some();
        drop(board);
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
        known
    }

    /// Returns all that the paper broker's book needs to know of a symbol.
    #[must_use]
    pub fn listing(&self, symbol: Symbol, now: DateTime<Utc>) -> Option<Listing> {
        let (instrument, quote) = self.read().rows.get(&symbol).map(|row| (row.instrument, row.quote))?;
        Some(Listing { instrument, quote, market: self.status(&instrument, now) })
    }

    #[cfg(test)]
    pub(super) fn listeners(&self) -> usize {
        self.changes.receiver_count()
    }

    fn take_fresh(&self) -> Vec<Quote> {
        let mut board = self.write();
        let fresh =
            board.rows.values_mut().filter_map(|row| std::mem::take(&mut row.fresh).then_some(row.quote));
        fresh.collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Board> {
        // Every write leaves whole rows behind, so the board is good even after a panic.
        self.board.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Board> {
        self.board.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Market for SimulatedMarket {
    fn instrument(&self, symbol: Symbol) -> Option<Instrument> {
        self.read().rows.get(&symbol).map(|row| row.instrument)
    }

    fn instruments(&self) -> Vec<Instrument> {
        self.read().rows.values().map(|row| row.instrument).collect()
    }

    fn listed(&self) -> usize {
        self.read().rows.len()
    }

    fn quote(&self, symbol: Symbol) -> Option<Quote> {
        self.read().rows.get(&symbol).map(|row| row.quote)
    }

    fn status(&self, instrument: &Instrument, now: DateTime<Utc>) -> MarketStatus {
        match instrument.class {
            AssetClass::Crypto => MarketStatus::Open,
            AssetClass::Equity if self.always_open => MarketStatus::Open,
            AssetClass::Equity => nyse(now),
        }
    }
}

impl Row {
    fn new(config: &PaperSymbol, now: DateTime<Utc>) -> Option<Self> {
        let price = Price::new(config.price).ok()?;
        let change_pct = Percent::new(Decimal::ZERO);
        let mut row = Self {
            instrument: config.instrument()?,
            quote: Quote { symbol: config.symbol, price, bid: price, ask: price, change_pct, at: now },
            first: price,
            opening: (now.date_naive(), price),
            volatility_bp: config.volatility_bp,
            spread_bp: config.spread_bp,
            fresh: false,
        };
        row.show(price, now);
        Some(row)
    }

    /// Moves the price by at most the volatility, either way with the same chance.
    fn walk(&mut self, dice: u32, now: DateTime<Utc>) {
        let sides = u64::from(self.volatility_bp) * 2 + 1;
        let face = u64::from(dice) % sides;
        let moved_bp = Decimal::from(face) - Decimal::from(self.volatility_bp);
        let before = self.quote.price;
        let next = before.shifted(Percent::new(moved_bp / Decimal::ONE_HUNDRED), self.instrument.tick);
        let (last, first) = (next.get(), self.first.get());
        // A walk of months would end anywhere: beyond its reach only steps back are taken.
        let strays =
            (next > before && last > first.saturating_mul(REACH)) || (next < before && last < first / REACH);
        self.show(if strays { before } else { next }, now);
    }

    fn show(&mut self, price: Price, now: DateTime<Utc>) {
        if self.opening.0 != now.date_naive() {
            self.opening = (now.date_naive(), self.quote.price);
        }
        let tick = self.instrument.tick;
        let half = Percent::new(Decimal::from(self.spread_bp) / Decimal::from(200));
        let apart = (price.shifted(half, tick).get() - price.get()).max(Decimal::ZERO);
        let opening = self.opening.1.get();
        let change = (price.get() - opening).checked_div(opening).unwrap_or_default();
        let quote = Quote {
            symbol: self.quote.symbol,
            price,
            bid: price.moved(-apart, tick),
            ask: price.moved(apart, tick),
            change_pct: Percent::new((change.saturating_mul(Decimal::ONE_HUNDRED)).round_dp(2)),
            at: now,
        };
        self.fresh |= quote.price != self.quote.price || quote.change_pct != self.quote.change_pct;
        self.quote = quote;
    }
}

/// The market's clockwork.
#[derive(Debug)]
struct Walk {
    market: Arc<SimulatedMarket>,
    changes: watch::Receiver<u64>,
    pace: Option<Interval>,
}

impl Feed for Walk {
    fn venue(&self) -> &'static str {
        super::NAME
    }

    fn next(&mut self) -> BoxFuture<'_, Vec<Quote>> {
        Box::pin(async move {
            let Some(pace) = &mut self.pace else {
                let tick = self.market.tick;
                let mut pace = interval_at(Instant::now() + tick, tick);
                pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
                self.pace = Some(pace);
                self.market.take_fresh();
                return self.market.read().rows.values().map(|row| row.quote).collect();
            };
            loop {
                tokio::select! {
                    _ = pace.tick() => self.market.step(self.market.clock.now()),
                    // A price that was set by hand; the sender lives as long as the market.
                    _ = self.changes.changed() => {}
                }
                self.changes.mark_unchanged();
                let fresh = self.market.take_fresh();
                if !fresh.is_empty() {
                    return fresh;
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use trade_actors::domain::stages::Stamp;

    #[derive(Debug)]
    struct Stopped(DateTime<Utc>);

    impl Clock for Stopped {
        fn now(&self) -> DateTime<Utc> {
            self.0
        }

        fn stamp(&self) -> Stamp {
            Stamp(0)
        }
    }

    fn market(config: &PaperConfig) -> Arc<SimulatedMarket> {
        SimulatedMarket::new(config, Arc::new(Stopped(at(0))))
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_735_916_400 + seconds, 0).unwrap() // Friday, 2025-01-03, 15:00 UTC
    }

    fn aapl() -> Symbol {
        "AAPL".parse().unwrap()
    }

    fn price(text: &str) -> Price {
        Price::new(text.parse().unwrap()).unwrap()
    }

    fn walk(config: &PaperConfig, steps: i64) -> Vec<Quote> {
        let market = market(config);
        (0..steps)
            .flat_map(|second| {
                market.step(at(second));
                market
                    .instruments()
                    .into_iter()
                    .filter_map(|row| market.quote(row.symbol))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_prices() {
        let config = PaperConfig::default();
        let first = walk(&config, 200);
        assert_eq!(first, walk(&config, 200));
        assert_ne!(first, walk(&PaperConfig { seed: 2, ..config }, 200));
    }

    #[test]
    fn without_a_spread_bid_and_ask_are_the_price() {
        let mut config = PaperConfig::default();
        config.symbols[0].spread_bp = 0;
        let quote = market(&config).quote(aapl()).unwrap();
        assert_eq!((quote.bid, quote.price, quote.ask), (price("190"), price("190"), price("190")));
        let quote = market(&PaperConfig::default()).quote(aapl()).unwrap();
        assert_eq!((quote.bid, quote.ask), (price("189.98"), price("190.02")));
    }

    #[test]
    fn the_change_is_against_the_first_price_of_the_day() {
        let mut config = PaperConfig::default();
        config.symbols.truncate(1);
        config.symbols[0].volatility_bp = 0;
        let market = market(&config);
        market.set_price(aapl(), price("209"));
        assert_eq!(market.quote(aapl()).unwrap().change_pct, Percent::new(Decimal::TEN));
        market.step(at(86_400));
        assert_eq!(market.quote(aapl()).unwrap().change_pct, Percent::new(Decimal::ZERO));
    }

    #[test]
    fn coins_always_trade_and_shares_keep_the_exchange_s_hours_when_told() {
        let sunday = "2025-01-05T15:00:00Z".parse().unwrap();
        let strict = market(&PaperConfig { always_open: false, ..PaperConfig::default() });
        let status = |market: &SimulatedMarket, name: &str, now| {
            market.status(&market.instrument(name.parse().unwrap()).unwrap(), now)
        };
        assert_eq!(status(&strict, "BTC/USDT", sunday), MarketStatus::Open);
        assert_eq!(status(&strict, "AAPL", at(0)), MarketStatus::Open);
        let opens_at = "2025-01-06T14:30:00Z".parse().unwrap();
        assert_eq!(status(&strict, "AAPL", sunday), MarketStatus::Closed { opens_at });
        assert_eq!(status(&market(&PaperConfig::default()), "AAPL", sunday), MarketStatus::Open);
    }

    #[test]
    fn an_unknown_symbol_has_no_price() {
        let market = market(&PaperConfig::default());
        assert_eq!(market.quote("NOPE".parse().unwrap()), None);
        assert!(!market.set_price("NOPE".parse().unwrap(), price("1")));
        assert!(market.instruments().is_sorted_by_key(|instrument| instrument.symbol));
        assert_eq!(market.listed(), market.instruments().len());
    }

    #[tokio::test]
    async fn the_feed_tells_all_prices_first_and_then_what_changed() {
        let market = market(&PaperConfig { tick_ms: 86_400_000, ..PaperConfig::default() });
        let mut feed = market.feed();
        assert_eq!(feed.next().await.len(), 12);
        market.set_price(aapl(), price("191"));
        market.set_price(aapl(), price("192"));
        let told = feed.next().await;
        assert_eq!(told.iter().map(|quote| quote.price).collect::<Vec<_>>(), [price("192")]);
    }

    #[tokio::test]
    async fn the_feed_moves_the_market() {
        let market = market(&PaperConfig { tick_ms: 1, ..PaperConfig::default() });
        let mut feed = market.feed();
        feed.next().await;
        let told = feed.next().await;
        assert!(!told.is_empty());
        assert!(told.iter().all(|quote| market.quote(quote.symbol) == Some(*quote)));
    }

    proptest! {
        /// However wild the settings: prices stay on their ticks and in reach, and bid, price and ask in order.
        #[test]
        fn prices_stay_sane(seed: u64, volatility in 0_u32..1_000, spread in 0_u32..1_000, start in 1_i64..100_000) {
            let mut config = PaperConfig { seed, ..PaperConfig::default() };
            config.symbols.truncate(1);
            config.symbols[0].price = Decimal::new(start, 2);
            config.symbols[0].volatility_bp = volatility;
            config.symbols[0].spread_bp = spread;
            for quote in walk(&config, 300) {
                prop_assert!(quote.price.on_tick(price("0.01")));
                prop_assert!(quote.bid <= quote.price && quote.price <= quote.ask);
                prop_assert!(quote.bid.get() > Decimal::ZERO);
                prop_assert!(quote.price.get() <= Decimal::new(start, 2) * REACH);
            }
        }
    }
}
