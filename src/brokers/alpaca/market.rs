//! What Alpaca trades, at what prices and when: one for all its accounts, asked with the credentials of any of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use chrono::{DateTime, Days, TimeDelta, Utc};
use rust_decimal::Decimal;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use trade_actors::domain::calendar::MarketStatus;
use trade_actors::domain::instrument::{Instrument, Symbol};
use trade_actors::domain::money::Price;
use trade_actors::domain::portfolio::Quote;
use trade_actors::domain::report::RefusalCode;
use trade_actors::ports::broker::BrokerError;
use trade_actors::ports::clock::Clock;
use trade_actors::ports::market::{Feed, Market};

use super::hours::Hours;
use super::session::{Service, Session};
use super::{NAME, map, prices, wire};
use crate::brokers::board::Board;
use crate::brokers::bucket::Urgency;

/// How often the hours are asked for.
const HOURS: Duration = Duration::from_secs(60);
/// How often prices that are not streamed are asked for.
const POLL: Duration = Duration::from_secs(5);
/// How often they are asked for while nothing is traded.
const POLL_CLOSED: Duration = Duration::from_secs(60);
/// How long newly watched symbols are collected before they are asked for.
const GATHER: Duration = Duration::from_millis(500);
/// Symbols of one request.
const CHUNK: usize = 100;
/// How long a halt is believed of which only a refused order told.
const HALT: TimeDelta = TimeDelta::minutes(5);
/// Widest spread, in per cent of the bid, whose middle is taken for the price.
const SPREAD_PCT: Decimal = Decimal::ONE;
/// How far the calendar is asked for, in days.
const AHEAD: Days = Days::new(14);

/// What Alpaca trades, at what prices and when.
#[derive(Debug)]
pub struct AlpacaMarket {
    board: Arc<Board>,
    hours: RwLock<Hours>,
    clock: Arc<dyn Clock>,
    sessions: Mutex<Vec<Weak<Session>>>,
    /// Ends with the market.
    readers: Mutex<JoinSet<()>>,
}

impl AlpacaMarket {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            board: Arc::default(),
            hours: RwLock::default(),
            clock,
            sessions: Mutex::default(),
            readers: Mutex::default(),
        })
    }

    /// Returns the stream of prices; one at a time is to be read.
    #[must_use]
    pub fn feed(&self) -> Box<dyn Feed> {
        self.board.feed(NAME)
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
        if self.board.listed() == 0 {
            self.list(session).await;
        }
        if self.hours().is_unknown()
            && let Err(error) = self.learn_hours(session).await
        {
            tracing::debug!(broker = NAME, %error, "the hours are not known");
        }
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.is_empty() {
            readers.spawn(keep_hours(Arc::downgrade(self)));
            readers.spawn(poll(Arc::downgrade(self), self.board.wanted()));
            readers.spawn(prices::follow(Arc::downgrade(self), self.board.wanted()));
        }
        drop(readers);
        self.board.wake();
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
                self.board.list(assets.iter().filter_map(map::instrument), self.clock.now());
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
            self.hours_mut().set_clock(clock, now);
        }
        let from = now.date_naive().checked_sub_days(Days::new(2)).unwrap_or_default();
        let to = now.date_naive().checked_add_days(AHEAD).unwrap_or_default();
        let (start, end) = (from.to_string(), to.to_string());
        let query = [("start", start.as_str()), ("end", end.as_str())];
        let days: Option<Vec<wire::CalendarDay>> =
            session.get(Service::Trading, "/v2/calendar", &query, Urgency::Normal).await?;
        if let Some(days) = days.filter(|days| !days.is_empty()) {
            self.hours_mut().set_days(&days, (from, to));
        }
        Ok(())
    }

    /// Returns what is known of prices.
    pub(super) fn board(&self) -> &Board {
        &self.board
    }

    /// Asks once for the prices that are watched and not streamed.
    async fn ask(&self) {
        let Some(session) = self.session() else { return };
        for chunk in self.board.to_poll(self.clock.now()).chunks(CHUNK) {
            let unsure = self.board.unsure();
            match latest(&session, chunk).await {
                Ok(quotes) => {
                    for quote in quotes {
                        self.board.answered(quote, unsure.contains(&quote.symbol));
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

    /// Returns how long to wait before prices are asked for again: longer while nothing is traded.
    fn pace(&self) -> Duration {
        match self.hours().status(self.clock.now()) {
            MarketStatus::Open | MarketStatus::Extended { .. } | MarketStatus::Halted => POLL,
            MarketStatus::Closed { .. } => POLL_CLOSED,
        }
    }

    /// Takes the best prices.
    pub(super) fn show(&self, symbol: Symbol, best: &wire::BestPrices) {
        if let Some(quote) = map::quote(symbol, best, self.board.last(symbol)) {
            self.board.show(quote);
        }
    }

    /// Notes that an order was refused because of a halt.
    pub(super) fn halt_for_now(&self, symbol: Symbol) {
        self.board.halt_until(symbol, self.clock.now() + HALT);
    }

    fn hours(&self) -> RwLockReadGuard<'_, Hours> {
        // Every write leaves whole hours behind, so they are good even after a panic.
        self.hours.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn hours_mut(&self) -> RwLockWriteGuard<'_, Hours> {
        self.hours.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns an instrument with the tick of its present price.
fn priced((instrument, price): (Instrument, Option<Price>)) -> Instrument {
    let tick = price.and_then(|price| Price::new(map::tick_at(price.get())).ok());
    Instrument { tick: tick.unwrap_or(instrument.tick), ..instrument }
}

impl Market for AlpacaMarket {
    fn instrument(&self, symbol: Symbol) -> Option<Instrument> {
        self.board.instrument(symbol).map(priced)
    }

    fn instruments(&self) -> Vec<Instrument> {
        self.board.instruments().into_iter().map(priced).collect()
    }

    fn listed(&self) -> usize {
        self.board.listed()
    }

    fn quote(&self, symbol: Symbol) -> Option<Quote> {
        self.board.quote(symbol)
    }

    fn status(&self, instrument: &Instrument, now: DateTime<Utc>) -> MarketStatus {
        if self.board.is_halted(instrument.symbol, now) {
            return MarketStatus::Halted;
        }
        self.hours().status(now)
    }

    fn watch(&self, symbol: Symbol) {
        if map::is_share(symbol) {
            self.board.watch(symbol);
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
        let listed_at = market.board.listed_at();
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

#[cfg(test)]
mod tests;
