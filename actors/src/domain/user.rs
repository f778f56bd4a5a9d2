//! One user's state, folded from events: what Risk, Execution and Portfolio start from.

mod working;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::account::PAPER;
use super::event::{Event, HaltCause, Scope};
use super::ids::{ClientOrderId, ConnectionId, SourceId, UserId};
use super::instrument::{AssetClass, Symbol};
use super::money::{Money, Price};
use super::order::{Mode, Purpose};
use super::portfolio::{Balance, Summary, summarize};
use super::position::Position;
use super::protection::{Protected, Protection};
use super::risk::day::{Standing, day_of};
use super::risk::{Limits, SourceLimits};
use super::runway::Runway;
pub use working::Working;

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the engine; the first account.
    Operator,
    /// Trades.
    User,
}

/// What a person pays for (FR-062).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// Paper trading only.
    #[default]
    Free,
    /// One broker connection.
    Basic,
    /// Three broker connections.
    Pro,
    /// No limit.
    Premium,
}

impl Plan {
    /// Returns what a new person has: whoever runs the engine pays nobody for it, so that nothing is kept from them.
    #[must_use]
    pub const fn at_first(role: Role) -> Self {
        match role {
            Role::Operator => Self::Premium,
            Role::User => Self::Free,
        }
    }
}

/// A broker account of the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Its id.
    pub id: ConnectionId,
    /// The broker's name, e.g. `paper`.
    pub broker: String,
    /// With which money.
    pub mode: Mode,
    /// Shown name; empty: it has none of its own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The end of its key's name, by which its owner recognises it; empty: it has none. Never of a secret.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// Tells the broker's accounts apart without naming one; empty: not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// Whether its owner switched trading with real money on; nothing at an account of made-up money.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_live_on: bool,
    /// When its owner last let this program in; absent in the event itself, whose time it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<DateTime<Utc>>,
    /// Until when it can be traded at, as its broker told; absent: it told no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<Runway>,
}

impl Connection {
    /// Returns a connection without a name or a hint.
    #[must_use]
    pub fn new(id: ConnectionId, broker: impl Into<String>, mode: Mode) -> Self {
        let (name, hint, account) = Default::default();
        let (is_live_on, opened_at, ends) = Default::default();
        Self { id, broker: broker.into(), mode, name, hint, account, is_live_on, opened_at, ends }
    }

    /// Returns its shown name, or words for one that was given none.
    #[must_use]
    pub fn title(&self) -> Cow<'_, str> {
        if !self.name.is_empty() {
            return Cow::Borrowed(&self.name);
        }
        if self.broker == PAPER {
            return Cow::Borrowed("Paper account");
        }
        let mut letters = self.broker.chars();
        let broker: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
        Cow::Owned(format!("{broker} {}", self.mode.as_str()))
    }
}

/// Whether new orders are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Trading {
    /// Yes.
    #[default]
    Active,
    /// No.
    Halted {
        /// Who stopped it.
        by: String,
        /// Why.
        reason: String,
        /// When.
        at: DateTime<Utc>,
        /// What made it necessary.
        #[serde(default)]
        cause: HaltCause,
        /// When it ends by itself; absent: when somebody resumes trading.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<DateTime<Utc>>,
    },
}

impl Trading {
    /// Returns what made a halt necessary, if there is one.
    #[must_use]
    pub const fn cause(&self) -> Option<HaltCause> {
        match self {
            Self::Active => None,
            Self::Halted { cause, .. } => Some(*cause),
        }
    }

    /// Returns the halt, if it is one that losses called for.
    #[must_use]
    pub fn by_rules(&self) -> Option<(HaltCause, &str)> {
        match self {
            Self::Active | Self::Halted { cause: HaltCause::Person, .. } => None,
            Self::Halted { cause, reason, .. } => Some((*cause, reason)),
        }
    }

    /// Returns when it ends by itself, if it does.
    #[must_use]
    pub const fn until(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Active => None,
            Self::Halted { until, .. } => *until,
        }
    }
}

/// A user and all that is open for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserState {
    /// Their id.
    pub id: UserId,
    /// Shown name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What they pay for.
    #[serde(default)]
    pub plan: Plan,
    /// When they joined.
    pub created_at: DateTime<Utc>,
    /// Whether new orders are taken.
    #[serde(default)]
    pub trading: Trading,
    /// Why their actors are stopped, if they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<String>,
    /// Their risk limits.
    pub limits: Limits,
    /// Their broker accounts; the first is the default.
    pub connections: Vec<Connection>,
    /// Accounts whose owner was told that they cannot be reached, and not yet that they can.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub lost: BTreeSet<ConnectionId>,
    /// The last warning about each session that ends: at most so many hours were left.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub runways: BTreeMap<ConnectionId, u32>,
    /// Which account the signals for a kind of market go to, where it is not the default one (FR-020).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub routes: BTreeMap<AssetClass, ConnectionId>,
    /// Open positions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub positions: Vec<Position>,
    /// What protects the open positions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protections: Vec<Protected>,
    /// How many orders no signal asked for by itself: stops, targets, exits. Numbers the next.
    #[serde(default)]
    pub exits: u64,
    /// Limits for the signals of single sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_limits: Vec<(SourceId, SourceLimits)>,
    /// Orders that are not final.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub working: BTreeMap<ClientOrderId, Working>,
    /// Last known balances. Boxed, as a map makes room for eleven values with the first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub balances: BTreeMap<ConnectionId, Box<Balance>>,
    /// Profit taken by all closed parts.
    #[serde(default)]
    pub realized: Option<Money>,
    /// Each account's equity at its first balance of the day, less what was withdrawn since and with what was
    /// deposited.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub openings: BTreeMap<ConnectionId, (NaiveDate, Money)>,
    /// The strictest halt that the day's loss called for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breached: Option<(NaiveDate, HaltCause)>,
    /// The person's own halt, while one that losses called for stands in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_halt: Option<Box<Trading>>,
    /// How many events were pushed to this user's sockets (the WebSocket `seq`).
    #[serde(default)]
    pub pushed: u64,
    /// The last record folded in.
    #[serde(default)]
    pub last_seq: u64,
}

impl UserState {
    /// Returns the state after `UserCreated`.
    #[must_use]
    pub const fn new(id: UserId, name: String, role: Role, limits: Limits, at: DateTime<Utc>) -> Self {
        Self {
            id,
            name,
            role,
            plan: Plan::at_first(role),
            created_at: at,
            trading: Trading::Active,
            suspended: None,
            limits,
            connections: Vec::new(),
            lost: BTreeSet::new(),
            runways: BTreeMap::new(),
            routes: BTreeMap::new(),
            positions: Vec::new(),
            protections: Vec::new(),
            exits: 0,
            source_limits: Vec::new(),
            working: BTreeMap::new(),
            balances: BTreeMap::new(),
            realized: None,
            openings: BTreeMap::new(),
            breached: None,
            own_halt: None,
            pushed: 0,
            last_seq: 0,
        }
    }

    /// Returns the account used when a signal names none.
    #[must_use]
    pub fn default_connection(&self) -> Option<&Connection> {
        self.connections.first()
    }

    /// Returns the broker that signals go to: of the default account, or paper where there is none.
    #[must_use]
    pub fn venue(&self) -> &str {
        self.default_connection().map_or(PAPER, |known| known.broker.as_str())
    }

    /// Returns the open position in `symbol` at an account.
    #[must_use]
    pub fn position(&self, connection: ConnectionId, symbol: Symbol) -> Option<&Position> {
        self.positions.iter().find(|held| held.connection == connection && held.symbol == symbol)
    }

    /// Returns where the user holds a symbol: at the default account, else wherever it is.
    #[must_use]
    pub fn held(&self, symbol: Symbol) -> Option<&Position> {
        let default = self.default_connection().and_then(|known| self.position(known.id, symbol));
        default.or_else(|| self.positions.iter().find(|held| held.symbol == symbol))
    }

    /// Returns whether nothing is open, no halt is to be ended and nothing lost is to be found, so that no actor is needed.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let waits = self.trading.until().is_some() || !self.lost.is_empty();
        self.working.is_empty() && self.positions.is_empty() && !waits
    }

    /// Returns whether new orders are taken at a moment: a halt whose time is over stops nothing.
    #[must_use]
    pub fn trading_at(&self, now: DateTime<Utc>) -> &Trading {
        if self.trading.until().is_none_or(|until| until > now) {
            return &self.trading;
        }
        self.own_halt.as_deref().unwrap_or(&Trading::Active)
    }

    /// Returns the trading day of a moment.
    #[must_use]
    pub fn day(&self, at: DateTime<Utc>) -> NaiveDate {
        day_of(at, self.limits.day_starts_min)
    }

    /// Returns an account's equity at the opening of the day, once it is known.
    #[must_use]
    pub fn day_opening(&self, connection: ConnectionId, now: DateTime<Utc>) -> Option<Money> {
        let (day, equity) = self.openings.get(&connection)?;
        (*day == self.day(now)).then_some(*equity)
    }

    /// Returns how an account's day stands with this equity, once its opening is known.
    #[must_use]
    pub fn standing(&self, connection: ConnectionId, equity: Money, now: DateTime<Utc>) -> Option<Standing> {
        let today = self.day(now);
        let breached = self.breached.filter(|(day, _)| *day == today).map(|(_, cause)| cause);
        // A breaker holds until an operator lifts it, however many days that takes.
        let holds = self.trading_at(now).by_rules().map(|(cause, _)| cause);
        let opening = self.day_opening(connection, now)?;
        Some(Standing { opening, equity, breached: breached.max(holds) })
    }

    /// Returns what limits a source's signals beside the user's own limits.
    #[must_use]
    pub fn source_limits(&self, source: SourceId) -> Option<&SourceLimits> {
        self.source_limits.iter().find(|(known, _)| *known == source).map(|(_, limits)| limits)
    }

    /// Returns what an account's cash and positions are worth at the latest prices.
    ///
    /// A position without a price counts at cost.
    #[must_use]
    pub fn equity(
        &self,
        connection: ConnectionId,
        cash: Money,
        mut price_of: impl FnMut(Symbol) -> Option<Price>,
    ) -> Money {
        let held = self.positions.iter().filter(|held| held.connection == connection);
        cash + held.map(|held| price_of(held.symbol).map_or(held.cost, |price| held.net.value(price))).sum()
    }

    /// Returns the profit taken by all closed parts.
    #[must_use]
    pub fn realized(&self) -> Money {
        self.realized.unwrap_or(Money::ZERO)
    }

    /// Returns the totals of the default account at the latest prices.
    #[must_use]
    pub fn summary(&self, now: DateTime<Utc>, price_of: impl FnMut(Symbol) -> Option<Price>) -> Summary {
        let account = self.default_connection().map(|known| known.id);
        let balance = account.and_then(|id| self.balances.get(&id)).map(Box::as_ref);
        let working = self.working.values().filter(|working| Some(working.connection) == account);
        let reserved = working.map(Working::reserved).sum();
        let held = self.positions.iter().filter(|held| Some(held.connection) == account);
        let opening = account.and_then(|id| self.day_opening(id, now));
        summarize(balance, reserved, held, self.realized(), opening, price_of)
    }

    /// Folds one event of this user.
    #[expect(
        clippy::too_many_lines,
        reason = "an arm an event, so that the compiler finds what a new one lacks"
    )]
    pub fn apply(&mut self, event: &Event, at: DateTime<Utc>) {
        match event {
            Event::UserSuspended { reason } => self.suspended = Some(reason.clone()),
            Event::UserResumed => self.suspended = None,
            Event::ConnectionAdded { connection } => {
                if self.connections.iter().all(|known| known.id != connection.id) {
                    self.connections.push(Connection { opened_at: Some(at), ..connection.clone() });
                }
            }
            Event::LimitsChanged { limits } => self.limit(limits.clone(), at),
            Event::ConnectionRemoved { connection } => {
                self.connections.retain(|known| known.id != *connection);
                self.lost.remove(connection);
                self.runways.remove(connection);
                self.routes.retain(|_, account| account != connection);
                self.balances.remove(connection);
                self.openings.remove(connection);
            }
            Event::DefaultConnectionSet { connection } => {
                self.connections.sort_by_key(|known| known.id != *connection);
            }
            Event::ConnectionLost { connection, .. } => {
                self.lost.insert(*connection);
            }
            Event::ConnectionRestored { connection, .. } => {
                self.lost.remove(connection);
            }
            Event::SessionEnding { connection, hours, .. } => {
                self.runways.insert(*connection, *hours);
            }
            Event::ConnectionRunway { connection, until } => {
                self.runways.remove(connection);
                for known in self.connections.iter_mut().filter(|known| known.id == *connection) {
                    known.ends = until.map(|until| Runway { from: at, until });
                }
            }
            Event::ConnectionRenewed { connection } => {
                self.runways.remove(connection);
                for known in self.connections.iter_mut().filter(|known| known.id == *connection) {
                    (known.opened_at, known.ends) = (Some(at), None);
                }
            }
            Event::RouteSet { class, connection: Some(connection) } => {
                self.routes.insert(*class, *connection);
            }
            Event::RouteSet { class, connection: None } => {
                self.routes.remove(class);
            }
            Event::LiveTradingSet { connection, is_on } => {
                for known in self.connections.iter_mut().filter(|known| known.id == *connection) {
                    known.is_live_on = *is_on;
                }
            }
            Event::SourceLimitsChanged { source, limits } => {
                self.source_limits.retain(|(known, _)| known != source);
                self.source_limits.extend(limits.clone().map(|limits| (*source, limits)));
            }
            Event::TradingHalted { scope: Scope::User, by, reason, cause, until } => {
                let (by, reason) = (by.clone(), reason.clone());
                self.halt(*cause, Trading::Halted { by, reason, at, cause: *cause, until: *until }, at);
            }
            Event::TradingResumed { scope: Scope::User, .. } => {
                self.trading = self.own_halt.take().map_or(Trading::Active, |own| *own);
            }
            Event::OrderCreated { ticket, decision, .. } => {
                if ticket.purpose != Purpose::Signal {
                    self.exits = self.exits.saturating_add(1);
                }
                if let Some(working) = Working::of(ticket, decision) {
                    self.working.insert(ticket.id, working);
                }
            }
            Event::OrderMoved { order, step, .. } => self.step(*order, step),
            Event::PositionChanged { position, realized, .. } => {
                self.realized = Some(self.realized() + *realized);
                self.pay(position, *realized);
                self.hold(position);
            }
            Event::DriftFound { ours, position, price } => {
                // What came or went outside is no profit and no loss, as cash is that no order moved.
                if let (Some(price), Some((_, opening))) =
                    (price, self.openings.get_mut(&position.connection))
                {
                    *opening += position.net.value(*price) - ours.value(*price);
                }
                self.hold(position);
            }
            Event::ProtectionChanged { connection, symbol, protection, .. } => {
                self.care(*connection, *symbol, protection.clone());
            }
            Event::CashMoved { connection, amount, balance } => {
                // A deposit is no profit, and a withdrawal no loss.
                if let Some((_, opening)) = self.openings.get_mut(connection) {
                    *opening += *amount;
                }
                self.told(*connection, balance, at);
            }
            Event::BalanceSeen { connection, balance } => self.told(*connection, balance, at),
            Event::EngineStarted { .. }
            | Event::EngineStopped
            | Event::MasterKeyRotated { .. }
            | Event::UserCreated { .. }
            | Event::SourceCreated { .. }
            | Event::SourceRotated { .. }
            | Event::SourceFollowed { .. }
            | Event::SourceUnfollowed { .. }
            | Event::SignalReceived { .. }
            | Event::SignalRepeated { .. }
            | Event::SignalRefused { .. }
            | Event::OrderDenied { .. }
            | Event::PositionUnprotected { .. }
            | Event::SignalApplied { .. }
            | Event::SignalDenied { .. }
            | Event::TradingHalted { .. }
            | Event::TradingResumed { .. }
            | Event::LoginSucceeded { .. }
            | Event::LoginFailed { .. }
            | Event::TokenCreated { .. }
            | Event::TokenRevoked { .. }
            | Event::PaperOpened { .. }
            | Event::PaperBooked { .. }
            | Event::PaperMoved { .. } => {}
        }
    }

    /// Returns what protects the position in `symbol` at an account.
    #[must_use]
    pub fn protection(&self, connection: ConnectionId, symbol: Symbol) -> Option<&Protection> {
        let cared =
            self.protections.iter().find(|cared| cared.connection == connection && cared.symbol == symbol);
        cared.map(|cared| &cared.protection)
    }

    /// Takes a balance over; the first one of a day is the day's opening.
    fn told(&mut self, connection: ConnectionId, balance: &Balance, at: DateTime<Utc>) {
        self.open_day(connection, balance.equity, at);
        self.balances.insert(connection, Box::new(*balance));
    }

    /// Opens an account's day with its first balance's equity; returns whether it was the first.
    pub fn open_day(&mut self, connection: ConnectionId, equity: Money, at: DateTime<Utc>) -> bool {
        let today = self.day(at);
        let first = self.openings.get(&connection).is_none_or(|(day, _)| *day < today);
        if first {
            self.openings.insert(connection, (today, equity));
        }
        first
    }

    /// Takes limits over. The day that runs goes on, whenever a day begins from now on: its loss is not forgotten.
    fn limit(&mut self, limits: Limits, at: DateTime<Utc>) {
        let before = self.day(at);
        self.limits = limits;
        let today = self.day(at);
        self.openings.retain(|_, (day, _)| *day == before);
        self.openings.values_mut().for_each(|(day, _)| *day = today);
        self.breached = self.breached.filter(|(day, _)| *day == before).map(|(_, cause)| (today, cause));
    }

    /// Takes a halt over. One that losses called for stands before the person's own, which goes on after it.
    fn halt(&mut self, cause: HaltCause, halt: Trading, at: DateTime<Utc>) {
        let known = self.trading.cause();
        if cause == HaltCause::Person {
            if known.is_some_and(|known| known != HaltCause::Person) {
                self.own_halt = Some(Box::new(halt));
                return;
            }
        } else {
            let today = self.day(at);
            let before = self.breached.filter(|(day, _)| *day == today).map(|(_, cause)| cause);
            self.breached = Some((today, before.map_or(cause, |before| before.max(cause))));
            if known == Some(HaltCause::Person) {
                self.own_halt = Some(Box::new(std::mem::take(&mut self.trading)));
            }
        }
        self.trading = halt;
    }

    /// Takes a position over; what protected one that is flat now is gone with it.
    fn hold(&mut self, position: &Position) {
        let before = self.position(position.connection, position.symbol).map(|held| held.net.is_short());
        // What protects a position protects no other: a stop on the wrong side would be reached at once.
        if position.net.is_flat() || before.is_some_and(|short| short != position.net.is_short()) {
            self.care(position.connection, position.symbol, None);
        }
        self.positions
            .retain(|held| held.connection != position.connection || held.symbol != position.symbol);
        if !position.net.is_flat() {
            self.positions.push(position.clone());
        }
    }

    /// Moves cash by what a fill cost or brought, until the broker tells the balance itself: what is not profit is the
    /// change of what the position cost. The order is not asked: a fill may come when it has ended already.
    fn pay(&mut self, position: &Position, realized: Money) {
        let before =
            self.position(position.connection, position.symbol).map_or(Money::ZERO, |held| held.cost);
        if let Some(balance) = self.balances.get_mut(&position.connection) {
            balance.cash += realized - (position.cost - before);
            let grown = Money::new(position.cost.get().abs() - before.get().abs());
            balance.buying_power -= grown.max(Money::ZERO);
        }
    }

    fn care(&mut self, connection: ConnectionId, symbol: Symbol, protection: Option<Protection>) {
        self.protections.retain(|cared| cared.connection != connection || cared.symbol != symbol);
        self.protections.extend(protection.map(|protection| Protected { connection, symbol, protection }));
    }
}
