//! Keeps watch over the day: equity as it is now, and what its loss calls for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ractor::ActorRef;

use super::{RiskMsg, RiskState};
use crate::domain::event::{Event, HaltCause};
use crate::domain::ids::ConnectionId;
use crate::domain::instrument::Symbol;
use crate::domain::money::{Money, Price};
use crate::domain::portfolio::Balance;
use crate::domain::risk::day::{self, Standing, Verdict};
use crate::domain::stages::Stamp;
use crate::execution::ExecutionMsg;
use crate::execution::breach::{Breach, Ruling};
use crate::ports::market::Market;

/// Shortest time between two looks that prices call for.
const EVERY: Duration = Duration::from_millis(200);
/// How often the end of a halt is looked for.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// How long a loss is doubted that may be cash spent on a fill we were not told of yet.
const DOUBT: Duration = Duration::from_secs(2);

/// What the watch holds.
#[derive(Debug, Default)]
pub(super) struct Watch {
    prices: BTreeMap<Symbol, Price>,
    /// Cash as the log explains it: what came or went without a record is no profit and no loss.
    cash: Option<Money>,
    /// When cash was last told to be other than the fills explain, with orders out that may explain it.
    doubted: Option<Stamp>,
    /// Since when the day's loss is past a limit.
    breached: Option<Stamp>,
    /// Told to Execution, and not yet heard back.
    ruled: Option<HaltCause>,
    leaving: bool,
    armed: bool,
    looked: Option<Stamp>,
    ticking: bool,
}

impl Watch {
    /// Starts with the cash that the log knows.
    pub(super) fn new(cash: Option<Money>) -> Self {
        Self { cash, ..Self::default() }
    }
}

impl RiskState {
    /// Looks for the end of a halt every second while there is one that ends by itself.
    pub(super) fn keep_ticking(&mut self, me: &ActorRef<RiskMsg>) {
        if self.user.trading.until().is_some() && !self.watch.ticking {
            self.watch.ticking = true;
            me.send_after(TICK, || RiskMsg::Tick);
        }
    }

    pub(super) fn tick(&mut self, me: &ActorRef<RiskMsg>) {
        self.watch.ticking = false;
        self.judge(me);
        self.keep_ticking(me);
    }

    pub(super) fn marked(
        &mut self,
        me: &ActorRef<RiskMsg>,
        connection: ConnectionId,
        symbol: Symbol,
        price: Price,
    ) {
        let counts = self.is_default(connection) && self.user.position(connection, symbol).is_some();
        if counts && self.watch.prices.insert(symbol, price) != Some(price) {
            self.arm(me);
        }
    }

    /// Sees to it that equity is looked at, a fifth of a second or more after the last time.
    pub(super) fn arm(&mut self, me: &ActorRef<RiskMsg>) {
        if self.watch.armed {
            return;
        }
        let now = self.lines.shared.clock.stamp();
        let passed = self.watch.looked.map(|at| Duration::from_micros(now.since(at)));
        let pause = passed.map_or(Duration::ZERO, |passed| EVERY.saturating_sub(passed));
        if pause.is_zero() {
            self.judge(me);
        } else {
            self.watch.armed = true;
            me.send_after(pause, || RiskMsg::Judge);
        }
    }

    /// Takes a balance over that the broker told. The first of a day opens it, and is recorded as that.
    pub(super) fn balance(&mut self, me: &ActorRef<RiskMsg>, connection: ConnectionId, balance: Balance) {
        // A connection that announces itself again tells the balance it began with.
        if self.user.balances.get(&connection).is_some_and(|known| known.at > balance.at) {
            return;
        }
        self.user.balances.insert(connection, Box::new(balance));
        if !self.is_default(connection) {
            return;
        }
        let now = self.lines.shared.clock.now();
        if self.is_fresh(&balance, now) && self.user.open_day(balance.equity, now) {
            self.watch.cash = Some(balance.cash);
            self.rule(Ruling::Opened(connection, balance));
        }
        self.arm(me);
    }

    /// Returns the default account's cash.
    pub(super) fn cash(&self) -> Option<Money> {
        let account = self.user.default_connection()?.id;
        self.user.balances.get(&account).map(|balance| balance.cash)
    }

    /// Takes over what a committed fact did to cash (`before` it was folded), positions and halts.
    pub(super) fn count(&mut self, event: &Event, before: Option<Money>) {
        if let Event::PositionChanged { position, .. } | Event::DriftFound { position, .. } = event {
            self.watch.leaving = false;
            if position.net.is_flat() && self.is_default(position.connection) {
                self.watch.prices.remove(&position.symbol);
            }
        }
        if let Event::ProtectionChanged { .. } = event {
            self.watch.leaving = false;
        }
        if let Event::TradingHalted { cause, .. } = event
            && *cause != HaltCause::Person
        {
            self.watch.ruled = None;
        }
        if let Event::DefaultConnectionSet { .. } | Event::ConnectionRemoved { .. } = event {
            self.watch.prices.clear();
            self.watch.cash = self.cash();
            return;
        }
        if let Event::BalanceSeen { connection, balance } | Event::CashMoved { connection, balance, .. } =
            event
            && self.is_default(*connection)
        {
            if self.watch.cash.is_some_and(|known| known != balance.cash) && !self.user.working.is_empty() {
                self.watch.doubted = Some(self.lines.shared.clock.stamp());
            }
            self.watch.cash = Some(balance.cash);
            return;
        }
        // A fill moves cash as it moves the position, whatever balance the broker told last.
        if let (Some(cash), Some(before), Some(after)) = (self.watch.cash, before, self.cash()) {
            self.watch.cash = Some(cash + (after - before));
        }
    }

    /// Tells Execution what the time and the day's loss call for.
    pub(super) fn judge(&mut self, me: &ActorRef<RiskMsg>) {
        self.watch.armed = false;
        self.watch.looked = Some(self.lines.shared.clock.stamp());
        let now = self.lines.shared.clock.now();
        self.end_halt(now);
        self.leave_latecomers(now);
        let Some(day) = self.standing(now) else { return };
        let breach = match day::judge(&self.user.limits, &day, now) {
            Verdict::Fine => {
                self.watch.breached = None;
                return;
            }
            Verdict::DailyLoss { message, until } => {
                Breach { cause: HaltCause::DailyLoss, reason: message, until: Some(until) }
            }
            Verdict::Breaker { message } => {
                Breach { cause: HaltCause::CircuitBreaker, reason: message, until: None }
            }
        };
        if self.is_doubtful() {
            self.watch.armed = true;
            me.send_after(EVERY, || RiskMsg::Judge);
            return;
        }
        tracing::warn!(
            user.id = %self.user.id, opening = %day.opening, equity = %day.equity, reason = breach.reason,
            "the day's loss has come to a limit"
        );
        self.watch.ruled = Some(breach.cause);
        self.rule(Ruling::Halt(breach));
    }

    /// Returns whether a loss may only seem to be one: a balance can tell of a fill before the fill itself is told.
    ///
    /// New orders are refused meanwhile; what waits is the halt, and the closing of all positions.
    fn is_doubtful(&mut self) -> bool {
        let now = self.lines.shared.clock.stamp();
        let within = |since: Stamp| Duration::from_micros(now.since(since)) < DOUBT;
        let breached = *self.watch.breached.get_or_insert(now);
        self.watch.doubted.is_some_and(within) && within(breached)
    }

    /// Ends a halt whose time is over; asked again until the log says so.
    pub(super) fn end_halt(&self, now: DateTime<Utc>) {
        if self.user.trading.until().is_some_and(|until| until <= now) {
            self.rule(Ruling::Resume);
        }
    }

    /// An order that could not be cancelled any more may open a position after the halt: that one is left too.
    fn leave_latecomers(&mut self, now: DateTime<Utc>) {
        let Some((_, reason)) = self.user.trading_at(now).by_rules() else { return };
        let stays = self.user.positions.iter().any(|held| {
            let protection = self.user.protection(held.connection, held.symbol);
            protection.is_none_or(|protection| protection.leave.is_none())
        });
        if stays && !self.watch.leaving {
            self.rule(Ruling::Leave(reason.to_owned()));
            self.watch.leaving = true;
        }
    }

    /// Returns how the day stands; absent while its opening is not known, or equity is too old to judge by.
    pub(super) fn standing(&self, now: DateTime<Utc>) -> Option<Standing> {
        let connection = self.user.default_connection()?.id;
        self.user.balances.get(&connection).filter(|balance| self.is_fresh(balance, now))?;
        let market = self.market();
        let price = |symbol| {
            let marked = self.watch.prices.get(&symbol).copied();
            marked.or_else(|| Some(market.as_ref()?.quote(symbol)?.price))
        };
        let equity = self.user.equity(self.watch.cash?, price);
        let mut day: Standing = self.user.standing(equity, now)?;
        day.breached = day.breached.max(self.watch.ruled);
        Some(day)
    }

    fn is_fresh(&self, balance: &Balance, now: DateTime<Utc>) -> bool {
        now - balance.at <= TimeDelta::seconds(i64::from(self.user.limits.balance_max_age_s))
    }

    fn is_default(&self, connection: ConnectionId) -> bool {
        self.user.default_connection().is_some_and(|known| known.id == connection)
    }

    /// Returns the default account's market.
    fn market(&self) -> Option<Arc<dyn Market>> {
        self.lines.shared.brokers.market(&self.user.default_connection()?.broker)
    }

    fn rule(&self, ruling: Ruling) {
        self.lines.execution.tell(ExecutionMsg::Ruled(Box::new(ruling)));
    }
}
