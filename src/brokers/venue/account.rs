//! One account at a venue, as the engine asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use rust_decimal::Decimal;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use trade_actors::domain::ids::{ClientOrderId, ConnectionId, ExecutionId, UserId};
use trade_actors::domain::instrument::Symbol;
use trade_actors::domain::money::{Money, Net, Price, Quantity};
use trade_actors::domain::order::Ticket;
use trade_actors::domain::portfolio::{Balance, Quote};
use trade_actors::domain::position::Position;
use trade_actors::domain::report::{OrderReport, RefusalCode, ReportedState};
use trade_actors::domain::signal::OrderKind;
use trade_actors::ports::broker::{Broker, BrokerError, Listener, Placed, Promises, Told};
use trade_actors::ports::market::Market as _;

use super::house::Shared;
use super::verdict::{Verdict, refusal};
use super::way::Way;
use super::{Facts, Holdings, streams};
use crate::brokers::accounts::Hearing;
use crate::brokers::credentials::BrokerSecret;

/// When to try again after the credentials could not be read.
const RETRY: Duration = Duration::from_secs(1);
/// How long the answer about positions is good for the balance, too, if nothing is known to have happened since.
const SAME: TimeDelta = TimeDelta::seconds(1);
/// How many orders are looked up at once.
const LOOK_UPS: usize = 2;

/// The way to the account, as far as it is known.
#[derive(Debug, Default)]
struct Known {
    way: Option<Arc<Way>>,
    /// Its credentials were refused or replaced.
    is_suspect: bool,
}

/// An order that works there, as far as this program knows.
#[derive(Clone, Debug)]
struct Working {
    placed: Placed,
    /// How much of it was told.
    told: Quantity,
    /// Executions that are counted in that.
    counted: BTreeSet<ExecutionId>,
    /// What one unit of it holds back.
    price: Decimal,
}

/// What was held when positions were last asked for: the question for the balance that comes with that one is answered
/// by it, for venues allow few questions.
#[derive(Debug, Default)]
struct Seen {
    /// How often something happened that may have changed it.
    changes: u64,
    /// When it was asked, and the answer.
    held: Option<(DateTime<Utc>, Holdings)>,
}

/// One account at a venue.
#[derive(Debug)]
pub struct Account {
    shared: Arc<Shared>,
    me: Weak<Self>,
    user: UserId,
    connection: ConnectionId,
    known: Mutex<Known>,
    working: Mutex<BTreeMap<ClientOrderId, Working>>,
    seen: Mutex<Seen>,
    looking: Semaphore,
    hearing: Hearing,
    /// Reads the stream; it ends with the account.
    updates: Mutex<JoinSet<()>>,
}

impl Account {
    pub(super) fn new(shared: Arc<Shared>, user: UserId, connection: ConnectionId) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            shared,
            me: me.clone(),
            user,
            connection,
            known: Mutex::default(),
            working: Mutex::default(),
            seen: Mutex::default(),
            looking: Semaphore::new(LOOK_UPS),
            hearing: Hearing::default(),
            updates: Mutex::default(),
        })
    }

    /// Returns the way to the account.
    ///
    /// # Errors
    /// When its credentials are missing or cannot be read.
    pub(super) fn way(&self) -> Result<Arc<Way>, BrokerError> {
        let mut known = lock(&self.known);
        if let Known { way: Some(way), is_suspect: false } = &*known {
            return Ok(Arc::clone(way));
        }
        let broker = self.name();
        let found = self.shared.secrets.of(self.user, self.connection, broker).map_err(|error| {
            tracing::warn!(connection.id = %self.connection, broker, %error, "an account's credentials cannot be read");
            error.told(self.facts().about.title, RETRY)
        })?;
        let Some(BrokerSecret { auth, mode, .. }) = found else {
            known.way = None;
            let title = self.facts().about.title;
            return Err(BrokerError::Refused(refusal(title, RefusalCode::AuthFailed, "there are none")));
        };
        // The same credentials lead to the same way, and with it to the count of what was asked.
        let way = self.shared.way(auth, mode);
        *known = Known { way: Some(Arc::clone(&way)), is_suspect: false };
        Ok(way)
    }

    pub(super) fn facts(&self) -> &'static Facts {
        self.shared.means.venue.facts()
    }

    pub(super) fn name(&self) -> &'static str {
        self.facts().about.name
    }

    /// Has the credentials read again at the next request: others may have taken their place.
    pub(super) fn suspect(&self) {
        lock(&self.known).is_suspect = true;
    }

    /// Has the credentials read again, and the stream opened and the market asked with them.
    pub(super) fn renew(&self) {
        self.suspect();
        if !self.hearing.is_open() {
            return;
        }
        let me = self.me.clone();
        let mut updates = lock(&self.updates);
        updates.abort_all();
        updates.spawn(streams::follow(self.me.clone(), self.connection));
        updates.spawn(async move {
            let Some(account) = me.upgrade() else { return };
            if let Ok(way) = account.way() {
                account.shared.market.join(&way).await;
            }
        });
    }

    pub(super) fn tell(&self, told: Told) {
        self.hearing.tell(told);
    }

    /// Takes news from the stream and passes it on.
    pub(super) fn hear(&self, report: OrderReport) {
        self.note(&report);
        self.tell(Told::Report(Box::new(report)));
    }

    /// Looks an order up that something happened to, and passes on what is found; what ended before has told it all.
    pub(super) fn look_again(&self, order: ClientOrderId) {
        let Some(known) = lock(&self.working).get(&order).cloned() else { return };
        let me = self.me.clone();
        let mut tasks = lock(&self.updates);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let Some(account) = me.upgrade() else { return };
            match Box::pin(account.order(known.placed)).await {
                Ok(Some(report)) => account.tell(Told::Report(Box::new(report))),
                // Not now: the engine asks for all that is open.
                Ok(None) | Err(_) => account.tell(Told::Resumed),
            }
        });
    }

    /// Runs a request; credentials that it shows to be refused are read again.
    async fn with<T>(
        &self,
        request: impl AsyncFnOnce(&Arc<Way>) -> Result<T, Verdict>,
    ) -> Result<T, BrokerError> {
        let way = self.way()?;
        let answer = request(&way).await.map_err(|verdict| verdict.into_error(self.facts().about.title));
        if let Err(BrokerError::Refused(refusal)) = &answer
            && refusal.code == RefusalCode::AuthFailed
        {
            self.suspect();
        }
        answer
    }

    async fn place(&self, ticket: &Ticket) -> Result<OrderReport, BrokerError> {
        let way = self.way()?;
        let placed = Placed { ticket: ticket.clone(), known_as: None, created_at: way.now() };
        self.works(&placed);
        let title = self.facts().about.title;
        match Box::pin(way.venue().place(&way, ticket)).await {
            Ok(report) => {
                self.note(&report);
                Ok(report)
            }
            Err(Verdict::Exists) => match Box::pin(self.look_up(&way, &placed)).await {
                Ok(Some(report)) => Ok(report),
                Ok(None) | Err(_) => Err(BrokerError::Taken(refusal(title, RefusalCode::DuplicateOrder, ""))),
            },
            Err(verdict) => {
                if matches!(verdict, Verdict::Halted(_)) {
                    self.shared.market.halt_for_now(ticket.symbol);
                }
                if !matches!(verdict, Verdict::Lost(_)) {
                    lock(&self.working).remove(&ticket.id);
                }
                self.with(async |_: &Arc<Way>| Err(verdict)).await
            }
        }
    }

    /// Looks an order up. A few at a time: one may take several questions, and where few are allowed, many look-ups would
    /// each have their first one answered and none its last.
    async fn look_up(&self, way: &Way, order: &Placed) -> Result<Option<OrderReport>, Verdict> {
        self.works(order);
        // It is never closed.
        let _turn = self.looking.acquire().await.ok();
        let found = Box::pin(way.venue().look_up(way, order)).await?;
        match &found {
            Some(report) if report.order != order.ticket.id => {
                let why = "it answered with another order than the one asked for";
                return Err(Verdict::Lost(why.to_owned()));
            }
            Some(report) => self.note(report),
            None => {
                lock(&self.working).remove(&order.ticket.id);
            }
        }
        Ok(found)
    }

    /// Lists what works there. Of those that did more than was told, the executions are asked for where fees hang on it.
    async fn list_open(&self, way: &Way) -> Result<Vec<OrderReport>, Verdict> {
        let mut open = Box::pin(way.venue().open_orders(way)).await?;
        for report in &mut open {
            let known = lock(&self.working).get(&report.order).cloned();
            let done = report.done.map_or(Quantity::ZERO, |done| done.quantity);
            let is_behind = known.as_ref().is_some_and(|known| done > known.told) && report.fills.is_empty();
            if let Some(known) = known.filter(|_| is_behind && self.facts().keeps_fees)
                && let Some(found) = Box::pin(way.venue().look_up(way, &known.placed)).await?
            {
                *report = found;
            }
            self.note(report);
        }
        Ok(open)
    }

    /// Notes that an order may work there.
    fn works(&self, placed: &Placed) {
        self.forget_holdings();
        let ticket = &placed.ticket;
        let last = self.shared.market.quote(ticket.symbol).map(|quote| quote.ask);
        let price = ticket.kind.limit().or(ticket.kind.trigger()).or(last);
        let holds = self.shared.means.venue.holds_back(ticket);
        let price = price.filter(|_| holds).map_or(Decimal::ZERO, Price::get);
        let mut working = lock(&self.working);
        let entry = working.entry(ticket.id);
        entry.or_insert_with(|| Working {
            placed: placed.clone(),
            told: Quantity::ZERO,
            counted: BTreeSet::new(),
            price,
        });
    }

    /// Notes what was told of an order.
    fn note(&self, report: &OrderReport) {
        self.forget_holdings();
        let mut working = lock(&self.working);
        if report.state != ReportedState::Open {
            working.remove(&report.order);
        } else if let Some(known) = working.get_mut(&report.order) {
            let counted = &mut known.counted;
            let new = report.fills.iter().filter(|fill| counted.insert(fill.execution.clone()));
            let filled: Quantity = new.map(|fill| fill.quantity).sum();
            let done = report.done.map_or(known.told + filled, |done| done.quantity);
            known.told = known.told.max(done);
            known.placed.known_as = Some(report.broker_order.clone());
        }
    }

    /// Returns what our open orders hold back of the money.
    fn held(&self) -> Decimal {
        let working = lock(&self.working);
        let all = working.values();
        all.map(|known| known.price * known.placed.ticket.quantity.less(known.told).get()).sum()
    }

    /// Asks what is held; returns it with the time at which it was asked.
    async fn holdings(&self, way: &Arc<Way>) -> Result<(DateTime<Utc>, Holdings), Verdict> {
        let asked = way.now();
        Ok((asked, Box::pin(way.venue().holdings(way)).await?))
    }

    /// Something happened: what was held before is of no more use.
    fn forget_holdings(&self) {
        let mut seen = lock(&self.seen);
        *seen = Seen { changes: seen.changes.wrapping_add(1), held: None };
    }

    /// Returns the balance. What our open orders hold back is added to what is free, for Risk takes it off itself; what
    /// others hold back is not.
    async fn count(&self, way: &Arc<Way>) -> Result<Balance, Verdict> {
        let held = self.held();
        let seen = lock(&self.seen).held.take().filter(|(at, _)| way.now() - *at < SAME);
        let (at, holdings) = match seen {
            Some(seen) => seen,
            None => self.holdings(way).await?,
        };
        let equity = match holdings.equity {
            Some(equity) => equity,
            None => {
                let symbols: Vec<_> = holdings.units.iter().map(|unit| unit.symbol).collect();
                let prices = self.shared.market.prices(way, &symbols).await?;
                let worth = |symbol: &Symbol, net: Decimal| prices.get(symbol).map(|price| price.get() * net);
                let units = holdings.units.iter();
                let worth: Decimal = units.filter_map(|unit| worth(&unit.symbol, unit.net)).sum();
                holdings.cash + worth
            }
        };
        let most = holdings.most.unwrap_or_else(|| holdings.cash.max(holdings.free));
        Ok(Balance {
            cash: Money::new(holdings.cash),
            equity: Money::new(equity),
            buying_power: Money::new((holdings.free + held).min(most)),
            at,
        })
    }

    /// Returns the positions. Where the venue does not tell what they cost, they count at their present prices.
    async fn hold(&self, way: &Arc<Way>) -> Result<Vec<Position>, Verdict> {
        let before = lock(&self.seen).changes;
        let (asked, holdings) = self.holdings(way).await?;
        {
            let mut seen = lock(&self.seen);
            seen.held = (seen.changes == before).then(|| (asked, holdings.clone()));
        }
        let market = &self.shared.market;
        let symbols: Vec<_> = holdings.units.iter().map(|unit| unit.symbol).collect();
        market.learn(way, &symbols).await?;
        let whole = |net: Decimal, symbol: Symbol| match market.board().instrument(symbol) {
            // Less than can be traded is no position: nothing could protect or close it.
            Some((instrument, _)) => !Net::new(net).size().floor_to(instrument.lot).is_zero(),
            None => false,
        };
        let units: Vec<_> = holdings.units.into_iter().filter(|unit| whole(unit.net, unit.symbol)).collect();
        let unpriced: Vec<_> =
            units.iter().filter(|unit| unit.average.is_none()).map(|unit| unit.symbol).collect();
        let prices = market.prices(way, &unpriced).await?;
        let now = way.now();
        let position = |unit: super::Unit| {
            let mut position = Position::flat(self.connection, unit.symbol, now);
            position.net = Net::new(unit.net.normalize());
            let price = unit.average.or_else(|| prices.get(&unit.symbol).copied());
            position.cost = price.map_or(Money::ZERO, |price| position.net.value(price));
            position
        };
        Ok(units.into_iter().map(position).collect())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Broker for Account {
    fn connect(&self) -> BoxFuture<'_, Result<Balance, BrokerError>> {
        Box::pin(self.with(async |way: &Arc<Way>| {
            if self.facts().checks_time {
                Box::pin(way.follow_time()).await?;
            }
            self.shared.market.join(way).await;
            Box::pin(self.list_open(way)).await?;
            Box::pin(self.count(way)).await
        }))
    }

    fn submit(&self, ticket: Ticket) -> BoxFuture<'_, Result<OrderReport, BrokerError>> {
        Box::pin(async move { self.place(&ticket).await })
    }

    fn cancel(&self, order: Placed) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(self.with(async move |way: &Arc<Way>| {
            self.forget_holdings();
            match Box::pin(way.venue().cancel(way, &order)).await {
                // It ended, or was never there: a look-up tells.
                Err(Verdict::Missing | Verdict::Ended) => Ok(()),
                answer => answer,
            }
        }))
    }

    fn order(&self, order: Placed) -> BoxFuture<'_, Result<Option<OrderReport>, BrokerError>> {
        Box::pin(self.with(async move |way: &Arc<Way>| Box::pin(self.look_up(way, &order)).await))
    }

    fn open_orders(&self) -> BoxFuture<'_, Result<Vec<OrderReport>, BrokerError>> {
        Box::pin(self.with(async |way: &Arc<Way>| Box::pin(self.list_open(way)).await))
    }

    fn promises(&self) -> Promises {
        self.facts().promises
    }

    fn holds(&self, symbol: Symbol, kind: OrderKind, _: Quantity) -> bool {
        self.shared.means.venue.holds(symbol, kind)
    }

    fn quote(&self, symbol: Symbol) -> BoxFuture<'_, Result<Option<Quote>, BrokerError>> {
        Box::pin(self.with(async move |way: &Arc<Way>| {
            let quote = Box::pin(self.shared.market.ask(way, &[symbol])).await?.into_iter().next();
            // Kept for whoever asks next: a row of signals would else spend the allowance on one price.
            if let Some(quote) = quote {
                self.shared.market.board().answered(quote, false);
            }
            Ok(quote)
        }))
    }

    fn runway(&self) -> BoxFuture<'_, Result<Option<DateTime<Utc>>, BrokerError>> {
        Box::pin(self.with(async |way: &Arc<Way>| Box::pin(way.venue().ends(way)).await))
    }

    fn balance(&self) -> BoxFuture<'_, Result<Balance, BrokerError>> {
        Box::pin(self.with(async |way: &Arc<Way>| Box::pin(self.count(way)).await))
    }

    fn positions(&self) -> BoxFuture<'_, Result<Vec<Position>, BrokerError>> {
        Box::pin(self.with(async |way: &Arc<Way>| Box::pin(self.hold(way)).await))
    }

    fn stream(&self, to: Listener) {
        if self.hearing.open(to) {
            let mut updates = lock(&self.updates);
            updates.spawn(streams::follow(self.me.clone(), self.connection));
        }
    }
}
