//! What Alpaca trades, at what prices and when: one for all its accounts, asked with the credentials of any of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use chrono::{DateTime, Days, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use rust_decimal::Decimal;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use trade_actors::domain::calendar::MarketStatus;
use trade_actors::domain::instrument::{Instrument, Symbol};
use trade_actors::domain::money::{Percent, Price};
use trade_actors::domain::portfolio::Quote;
use trade_actors::domain::report::RefusalCode;
use trade_actors::ports::broker::BrokerError;
use trade_actors::ports::clock::Clock;
use trade_actors::ports::market::{Feed, Market};

use super::hours::Hours;
use super::session::{Service, Session};
use super::{NAME, map, prices, wire};
use crate::brokers::bucket::Urgency;

/// How often the hours are asked for.
const HOURS: Duration = Duration::from_secs(60);
/// How often prices that are not streamed are asked for.
const POLL: Duration = Duration::from_secs(5);
/// How long after one answer the feed gives the next; a price after a longer silence is told at once.
const PACE: Duration = Duration::from_millis(100);
/// How often they are asked for while nothing is traded.
const POLL_CLOSED: Duration = Duration::from_secs(60);
/// How long a streamed price may stay the same before it is asked for.
const SILENT: TimeDelta = TimeDelta::seconds(20);
/// How long newly watched symbols are collected before they are asked for.
const GATHER: Duration = Duration::from_millis(500);
/// Symbols of one request.
const CHUNK: usize = 100;
/// Most symbols that are watched at once; of more, those asked for last.
const WATCHED_MAX: usize = 500;
/// How long a halt is believed of which only a refused order told.
const HALT: TimeDelta = TimeDelta::minutes(5);
/// Widest spread, in per cent of the bid, whose middle is taken for the price.
const SPREAD_PCT: Decimal = Decimal::ONE;
/// How far the calendar is asked for, in days.
const AHEAD: Days = Days::new(14);

/// What Alpaca trades, at what prices and when.
#[derive(Debug)]
pub struct AlpacaMarket {
    board: RwLock<Board>,
    clock: Arc<dyn Clock>,
    /// Wakes the feed: a price changed.
    fresh: Notify,
    /// Wakes the readers of prices: a symbol is watched that was not, or an account joined.
    wanted: watch::Sender<()>,
    sessions: Mutex<Vec<Weak<Session>>>,
    /// Ends with the market.
    readers: Mutex<JoinSet<()>>,
}

#[derive(Debug, Default)]
struct Board {
    instruments: BTreeMap<Symbol, Instrument>,
    listed_at: Option<DateTime<Utc>>,
    hours: Hours,
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

impl AlpacaMarket {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            board: RwLock::default(),
            clock,
            fresh: Notify::new(),
            wanted: watch::Sender::new(()),
            sessions: Mutex::default(),
            readers: Mutex::default(),
        })
    }

    /// Returns the stream of prices; one at a time is to be read.
    #[must_use]
    pub fn feed(self: &Arc<Self>) -> Box<dyn Feed> {
        Box::new(Prices { market: Arc::clone(self), is_first: true, told: None })
    }

    /// Has the market ask with an account's credentials, too; waits for what is traded and when, if that is not known.
    pub(super) async fn join(self: &Arc<Self>, session: &Arc<Session>) {
        {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.retain(|known| known.strong_count() > 0);
            if !sessions.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(session))) {
                sessions.push(Arc::downgrade(session));
            }
        }
        if self.read().instruments.is_empty() {
            self.list(session).await;
        }
        if self.read().hours.is_unknown()
            && let Err(error) = self.learn_hours(session).await
        {
            tracing::debug!(broker = NAME, %error, "the hours are not known");
        }
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.is_empty() {
            readers.spawn(keep_hours(Arc::downgrade(self)));
            readers.spawn(poll(Arc::downgrade(self), self.wanted.subscribe()));
            readers.spawn(prices::follow(Arc::downgrade(self), self.wanted.subscribe()));
        }
        drop(readers);
        self.wanted.send_replace(());
    }

    /// Returns the way of any account that is held.
    pub(super) fn session(&self) -> Option<Arc<Session>> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.iter().find_map(Weak::upgrade)
    }

    /// Has the next one asked with another account's credentials, if there is one: these are refused.
    pub(super) fn pass_on(&self) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|session| session.strong_count() > 0);
        if !sessions.is_empty() {
            sessions.rotate_left(1);
        }
    }

    /// Passes on when an answer says that the credentials are refused.
    fn judge(&self, error: &BrokerError) {
        if matches!(error, BrokerError::Refused(refusal) if refusal.code == RefusalCode::AuthFailed) {
            self.pass_on();
        }
    }

    /// Asks what is traded; what cannot be had now is asked for again.
    async fn list(&self, session: &Session) {
        let query = [("status", "active"), ("asset_class", "us_equity")];
        let answer: Result<Option<Vec<wire::Asset>>, _> =
            session.get(Service::Trading, "/v2/assets", &query, Urgency::Normal).await;
        match answer {
            Ok(Some(assets)) if !assets.is_empty() => {
                let instruments: BTreeMap<_, _> =
                    assets.iter().filter_map(map::instrument).map(|row| (row.symbol, row)).collect();
                let now = self.clock.now();
                let mut board = self.write();
                board.instruments = instruments;
                board.listed_at = Some(now);
            }
            Ok(_) => tracing::warn!(broker = NAME, "Alpaca lists nothing that is traded"),
            Err(error) => tracing::warn!(broker = NAME, %error, "what Alpaca trades is not known"),
        }
    }

    async fn learn_hours(&self, session: &Session) -> Result<(), BrokerError> {
        let clock: Option<wire::MarketClock> =
            session.get(Service::Trading, "/v2/clock", &[], Urgency::Normal).await?;
        let now = self.clock.now();
        if let Some(clock) = clock {
            self.write().hours.set_clock(clock, now);
        }
        let from = now.date_naive().checked_sub_days(Days::new(2)).unwrap_or_default();
        let to = now.date_naive().checked_add_days(AHEAD).unwrap_or_default();
        let (start, end) = (from.to_string(), to.to_string());
        let query = [("start", start.as_str()), ("end", end.as_str())];
        let days: Option<Vec<wire::CalendarDay>> =
            session.get(Service::Trading, "/v2/calendar", &query, Urgency::Normal).await?;
        if let Some(days) = days.filter(|days| !days.is_empty()) {
            self.write().hours.set_days(&days, (from, to));
        }
        Ok(())
    }

    /// Returns whose prices to stream: the latest asked for, at most `most`.
    pub(super) fn to_stream(&self, most: usize) -> BTreeSet<Symbol> {
        let board = self.read();
        let mut all: Vec<_> = board.watched.iter().map(|(symbol, asked)| (*asked, *symbol)).collect();
        drop(board);
        all.sort_unstable_by(|left, right| right.cmp(left));
        all.into_iter().take(most).map(|(_, symbol)| symbol).collect()
    }

    /// Notes whose prices are streamed; all others are asked for.
    pub(super) fn set_streamed(&self, symbols: BTreeSet<Symbol>) {
        let mut board = self.write();
        let new: BTreeSet<_> = symbols.difference(&board.streamed).copied().collect();
        let is_unsure = !new.is_empty();
        board.unsure = board.unsure.intersection(&symbols).copied().chain(new).collect();
        board.streamed = symbols;
        drop(board);
        if is_unsure {
            self.wanted.send_replace(());
        }
    }

    /// Asks once for the prices that are watched and not streamed.
    async fn ask(&self) {
        let Some(session) = self.session() else { return };
        for chunk in self.to_poll().chunks(CHUNK) {
            let unsure = self.read().unsure.clone();
            match latest(&session, chunk).await {
                Ok(quotes) => {
                    for quote in quotes {
                        self.answered(quote, unsure.contains(&quote.symbol));
                    }
                }
                Err(error) => {
                    tracing::debug!(broker = NAME, %error, "prices are not known");
                    self.judge(&error);
                    return;
                }
            }
        }
    }

    /// Returns whose prices are not streamed, or have not changed for a while.
    fn to_poll(&self) -> Vec<Symbol> {
        let now = self.clock.now();
        let board = self.read();
        let is_silent = |symbol: &&Symbol| {
            let quote = board.quotes.get(*symbol);
            let is_streamed = board.streamed.contains(*symbol) && !board.unsure.contains(*symbol);
            !is_streamed || quote.is_none_or(|quote| now - quote.at > SILENT)
        };
        board.watched.keys().filter(is_silent).copied().collect()
    }

    /// Returns how long to wait before prices are asked for again: longer while nothing is traded.
    fn pace(&self) -> Duration {
        match self.read().hours.status(self.clock.now()) {
            MarketStatus::Open | MarketStatus::Extended { .. } | MarketStatus::Halted => POLL,
            MarketStatus::Closed { .. } => POLL_CLOSED,
        }
    }

    /// Takes the best prices.
    pub(super) fn show(&self, symbol: Symbol, best: &wire::BestPrices) {
        let mut board = self.write();
        board.unsure.remove(&symbol);
        let last = board.trades.get(&symbol).copied();
        if let Some(quote) = map::quote(symbol, best, last) {
            board.show(quote);
            drop(board);
            self.fresh.notify_one();
        }
    }

    /// Takes a trade.
    pub(super) fn traded(&self, symbol: Symbol, price: Price, at: DateTime<Utc>) {
        let mut board = self.write();
        board.halted.remove(&symbol);
        board.unsure.remove(&symbol);
        board.trades.insert(symbol, price);
        let before = board.quotes.get(&symbol).copied();
        let zero = Percent::new(Decimal::ZERO);
        let quote = match before {
            Some(quote) => Quote { price, at: at.max(quote.at), ..quote },
            None => Quote { symbol, price, bid: price, ask: price, change_pct: zero, at },
        };
        board.show(quote);
        drop(board);
        self.fresh.notify_one();
    }

    /// Takes a quote that was asked for; `sure` says that its symbol was streamed already when it was.
    fn answered(&self, quote: Quote, sure: bool) {
        let mut board = self.write();
        if sure {
            board.unsure.remove(&quote.symbol);
        }
        let is_newer = board.quotes.get(&quote.symbol).is_none_or(|known| known.at <= quote.at);
        if is_newer {
            board.show(quote);
            drop(board);
            self.fresh.notify_one();
        }
    }

    /// Notes that trading in a symbol was halted or goes on.
    pub(super) fn halt(&self, symbol: Symbol, is_halted: bool) {
        let mut board = self.write();
        if is_halted {
            board.halted.insert(symbol, None);
        } else {
            board.halted.remove(&symbol);
        }
    }

    /// Notes that an order was refused because of a halt. Nothing may tell its end, so it is believed for a while.
    pub(super) fn halt_for_now(&self, symbol: Symbol) {
        let until = self.clock.now() + HALT;
        self.write().halted.entry(symbol).or_insert(Some(until));
    }

    fn take_fresh(&self) -> Vec<Quote> {
        let mut board = self.write();
        let symbols = std::mem::take(&mut board.fresh);
        symbols.into_iter().filter_map(|symbol| board.quotes.get(&symbol).copied()).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Board> {
        // Every write leaves whole rows behind, so the board is good even after a panic.
        self.board.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Board> {
        self.board.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Board {
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

    /// Returns an instrument with the tick of its present price.
    fn priced(&self, instrument: &Instrument) -> Instrument {
        let price = self.quotes.get(&instrument.symbol).map(|quote| quote.price.get());
        let tick = price.and_then(|price| Price::new(map::tick_at(price)).ok());
        Instrument { tick: tick.unwrap_or(instrument.tick), ..*instrument }
    }
}

impl Market for AlpacaMarket {
    fn instrument(&self, symbol: Symbol) -> Option<Instrument> {
        let board = self.read();
        board.instruments.get(&symbol).map(|instrument| board.priced(instrument))
    }

    fn instruments(&self) -> Vec<Instrument> {
        let board = self.read();
        board.instruments.values().map(|instrument| board.priced(instrument)).collect()
    }

    fn listed(&self) -> usize {
        self.read().instruments.len()
    }

    fn quote(&self, symbol: Symbol) -> Option<Quote> {
        self.read().quotes.get(&symbol).copied()
    }

    fn status(&self, instrument: &Instrument, now: DateTime<Utc>) -> MarketStatus {
        let board = self.read();
        if board.halted.get(&instrument.symbol).is_some_and(|until| until.is_none_or(|until| now < until)) {
            return MarketStatus::Halted;
        }
        board.hours.status(now)
    }

    fn watch(&self, symbol: Symbol) {
        let mut board = self.write();
        let is_traded = board.instruments.is_empty() || board.instruments.contains_key(&symbol);
        if !is_traded || !map::is_share(symbol) {
            return;
        }
        board.asked += 1;
        let asked = board.asked;
        let is_new = board.watched.insert(symbol, asked).is_none();
        if board.watched.len() > WATCHED_MAX {
            board.unwatch_oldest();
        }
        let is_streamed = board.streamed.contains(&symbol);
        drop(board);
        if is_new || !is_streamed {
            self.wanted.send_replace(());
        }
    }
}

/// Asks for the latest best prices of symbols; a symbol that nobody buys or sells has no answer.
///
/// They hold when they are asked for, however long nothing has changed them.
///
/// # Errors
/// See [`BrokerError`].
pub async fn latest(session: &Session, symbols: &[Symbol]) -> Result<Vec<Quote>, BrokerError> {
    let shares: Vec<_> = symbols.iter().filter(|symbol| map::is_share(**symbol)).collect();
    if shares.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<_> = shares.iter().map(|symbol| symbol.as_str()).collect();
    let names = names.join(",");
    let query = [("symbols", names.as_str()), ("feed", session.hosts().feed.as_str())];
    let now = session.clock().now();
    let found: Option<wire::LatestQuotes> =
        session.get(Service::Data, "/v2/stocks/quotes/latest", &query, Urgency::Normal).await?;
    let quotes = found.map(|found| found.quotes).unwrap_or_default();
    let trades = last_trades(session, &quotes).await;
    let quote = |symbol: &Symbol| {
        let last = trades.get(symbol.as_str()).and_then(|trade| Price::new(trade.p.0).ok());
        let quote = map::quote(*symbol, quotes.get(symbol.as_str())?, last)?;
        Some(Quote { at: now, ..quote })
    };
    Ok(shares.into_iter().filter_map(quote).collect())
}

/// Asks for the last trades of symbols whose bid and ask are far apart, as one exchange's are at night: their middle
/// says little. What cannot be had is left out.
async fn last_trades(
    session: &Session,
    quotes: &BTreeMap<String, wire::BestPrices>,
) -> BTreeMap<String, wire::LatestTrade> {
    let is_wide = |best: &wire::BestPrices| {
        let apart = (best.ap.0 - best.bp.0).checked_div(best.bp.0);
        apart.is_none_or(|apart| apart.saturating_mul(Decimal::ONE_HUNDRED) > SPREAD_PCT)
    };
    let wide: Vec<_> =
        quotes.iter().filter(|(_, best)| is_wide(best)).map(|(name, _)| name.as_str()).collect();
    if wide.is_empty() {
        return BTreeMap::new();
    }
    let names = wide.join(",");
    let query = [("symbols", names.as_str()), ("feed", session.hosts().feed.as_str())];
    let found: Result<Option<wire::LatestTrades>, _> =
        session.get(Service::Data, "/v2/stocks/trades/latest", &query, Urgency::Normal).await;
    found.ok().flatten().map(|found| found.trades).unwrap_or_default()
}

/// Asks for the hours each minute, and each day for what is traded, while anybody is connected.
async fn keep_hours(market: Weak<AlpacaMarket>) {
    let mut pace = interval(HOURS);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let Some(market) = market.upgrade() else { return };
        let Some(session) = market.session() else { continue };
        if let Err(error) = market.learn_hours(&session).await {
            tracing::debug!(broker = NAME, %error, "the hours are not known");
            market.judge(&error);
        }
        let now = market.clock.now();
        let listed_at = market.read().listed_at;
        if listed_at.is_none_or(|at| now - at >= TimeDelta::days(1)) {
            market.list(&session).await;
        }
    }
}

/// Asks for the prices that are watched and not streamed.
async fn poll(market: Weak<AlpacaMarket>, mut wanted: watch::Receiver<()>) {
    loop {
        let Some(held) = market.upgrade() else { return };
        wanted.mark_unchanged();
        held.ask().await;
        let pace = held.pace();
        drop(held);
        // A symbol that is newly watched does not wait for the next round; a crowd of them waits for one.
        if timeout(pace, wanted.changed()).await.is_ok() {
            sleep(GATHER).await;
        }
    }
}

/// The stream of prices.
#[derive(Debug)]
struct Prices {
    market: Arc<AlpacaMarket>,
    is_first: bool,
    /// When the last answer was given.
    told: Option<Instant>,
}

impl Feed for Prices {
    fn venue(&self) -> &'static str {
        NAME
    }

    fn next(&mut self) -> BoxFuture<'_, Vec<Quote>> {
        Box::pin(async move {
            if std::mem::take(&mut self.is_first) {
                self.market.take_fresh();
                let all: Vec<_> = self.market.read().quotes.values().copied().collect();
                if !all.is_empty() {
                    self.told = Some(Instant::now());
                    return all;
                }
            }
            loop {
                self.market.fresh.notified().await;
                if let Some(told) = self.told {
                    sleep_until(told + PACE).await;
                }
                let fresh = self.market.take_fresh();
                if !fresh.is_empty() {
                    self.told = Some(Instant::now());
                    return fresh;
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
