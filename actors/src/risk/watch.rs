//! Keeps watch over the day: equity as it is now, and what its loss calls for.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use ractor::ActorRef;

use super::{RiskMsg, RiskState};
use crate::domain::event::{Event, HaltCause};
use crate::domain::ids::ConnectionId;
use crate::domain::instrument::Symbol;
use crate::domain::money::{Money, Price};
use crate::domain::order::Mode;
use crate::domain::portfolio::Balance;
use crate::domain::risk::day::{self, Standing, Verdict};
use crate::domain::stages::Stamp;
use crate::domain::user::{Connection, UserState};
use crate::execution::ExecutionMsg;
use crate::execution::breach::{Breach, Ruling};

/// Shortest time between two looks that prices call for.
const EVERY: Duration = Duration::from_millis(200);
/// How often the end of a halt is looked for.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// How long a loss is doubted that may be cash spent on a fill we were not told of yet.
const DOUBT: Duration = Duration::from_secs(2);

/// What the watch knows of one account.
#[derive(Debug, Default)]
struct Account {
    prices: BTreeMap<Symbol, Price>,
    /// Cash as the log explains it: what came or went without a record is no profit and no loss.
    cash: Option<Money>,
    /// When cash was last told to be other than the fills explain, with orders out that may explain it.
    doubted: Option<Stamp>,
}

/// What the watch holds.
#[derive(Debug, Default)]
pub(super) struct Watch {
    accounts: BTreeMap<ConnectionId, Account>,
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
    pub(super) fn new(user: &UserState) -> Self {
        let mut watch = Self::default();
        for (id, balance) in &user.balances {
            watch.account(*id).cash = Some(balance.cash);
        }
        watch
    }

    fn account(&mut self, connection: ConnectionId) -> &mut Account {
        self.accounts.entry(connection).or_default()
    }
}

/// Which loss is judged: that of an account, or of all of a person's accounts with such money together.
#[derive(Clone, Copy, Debug)]
enum Purse<'a> {
    Account(&'a Connection),
    All(Mode),
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
        let counts = self.user.position(connection, symbol).is_some();
        if counts && self.watch.account(connection).prices.insert(symbol, price) != Some(price) {
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
        let now = self.lines.shared.clock.now();
        if self.is_fresh(&balance, now) && self.user.open_day(connection, balance.equity, now) {
            self.watch.account(connection).cash = Some(balance.cash);
            self.rule(Ruling::Opened(connection, balance));
        }
        self.arm(me);
    }

    /// Returns the cash of the account whose position an event changes.
    pub(super) fn cash_at(&self, event: &Event) -> Option<Money> {
        let Event::PositionChanged { position, .. } = event else { return None };
        self.user.balances.get(&position.connection).map(|balance| balance.cash)
    }

    /// Takes over what a committed fact did to cash (`before` it was folded), positions and halts.
    pub(super) fn count(&mut self, event: &Event, before: Option<Money>) {
        if let Event::PositionChanged { position, .. } | Event::DriftFound { position, .. } = event {
            self.watch.leaving = false;
            let after = self.cash_at(event);
            let account = self.watch.account(position.connection);
            if position.net.is_flat() {
                account.prices.remove(&position.symbol);
            }
            // A fill moves cash as it moves the position, whatever balance the broker told last.
            if let (Some(cash), Some(before), Some(after)) = (account.cash, before, after) {
                account.cash = Some(cash + (after - before));
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
        if let Event::ConnectionRemoved { connection } = event {
            self.watch.accounts.remove(connection);
        }
        if let Event::BalanceSeen { connection, balance } | Event::CashMoved { connection, balance, .. } =
            event
        {
            let unsettled = self.user.working.values().any(|working| working.connection == *connection);
            let now = self.lines.shared.clock.stamp();
            let account = self.watch.account(*connection);
            if unsettled && account.cash.is_some_and(|known| known != balance.cash) {
                account.doubted = Some(now);
            }
            account.cash = Some(balance.cash);
        }
    }

    /// Tells Execution what the time and the day's loss call for.
    pub(super) fn judge(&mut self, me: &ActorRef<RiskMsg>) {
        self.watch.armed = false;
        self.watch.looked = Some(self.lines.shared.clock.stamp());
        let now = self.lines.shared.clock.now();
        self.end_halt(now);
        self.leave_latecomers(now);
        let Some(breach) = self.breach(now) else {
            self.watch.breached = None;
            return;
        };
        if self.is_doubtful() {
            self.watch.armed = true;
            me.send_after(EVERY, || RiskMsg::Judge);
            return;
        }
        tracing::warn!(
            user.id = %self.user.id, reason = breach.reason, "the day's loss has come to a limit"
        );
        self.watch.ruled = Some(breach.cause);
        self.rule(Ruling::Halt(breach));
    }

    /// Returns whether a loss may only seem to be one: a balance can tell of a fill before the fill itself is told.
    ///
    /// New orders are refused meanwhile; what waits is the halt, and the closing of all positions.
    fn is_doubtful(&mut self) -> bool {
        let now = self.lines.shared.clock.stamp();
        let breached = *self.watch.breached.get_or_insert(now);
        let doubted = self.watch.accounts.values().filter_map(|account| account.doubted).max();
        is_doubted(breached, doubted, now)
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

    /// Returns the strictest of what the losses of the day call for.
    fn breach(&self, now: DateTime<Utc>) -> Option<Breach> {
        let worst = self.standings(now).into_iter().map(|(purse, day)| {
            let verdict = day::judge(&self.user.limits, &day, now);
            (verdict, purse)
        });
        let (verdict, purse) = worst.max_by(|(one, _), (other, _)| one.cmp(other))?;
        let at = self.words(purse);
        match verdict {
            Verdict::Fine => None,
            Verdict::DailyLoss { message, until } => {
                let reason = format!("{message}{at}");
                Some(Breach { cause: HaltCause::DailyLoss, reason, until: Some(until) })
            }
            Verdict::Breaker { message } => {
                let reason = format!("{message}{at}");
                Some(Breach { cause: HaltCause::CircuitBreaker, reason, until: None })
            }
        }
    }

    /// Says which account's loss it is, where it is not the default one's.
    fn words(&self, purse: Purse<'_>) -> String {
        match purse {
            Purse::Account(known) if self.is_default(known.id) => String::new(),
            Purse::Account(known) if known.name.is_empty() => {
                format!(" The loss is at {} ({}).", known.broker, known.mode.as_str())
            }
            Purse::Account(known) => format!(" The loss is at {}.", known.name),
            Purse::All(mode) => format!(" The loss is that of all {} accounts together.", mode.as_str()),
        }
    }

    /// Returns how the day stands at every account of which that is known, and at those of real and those of made-up
    /// money together: an amount that may be lost is one amount, however many accounts it is lost at.
    fn standings(&self, now: DateTime<Utc>) -> Vec<(Purse<'_>, Standing)> {
        let known = self.user.connections.iter();
        let mut standings: Vec<_> =
            known.filter_map(|known| Some((Purse::Account(known), self.standing(known.id, now)?))).collect();
        for mode in [Mode::Live, Mode::Paper] {
            standings.extend(self.together(mode, now).map(|day| (Purse::All(mode), day)));
        }
        standings
    }

    /// Returns how the day stands at all accounts with such money together; absent when that says no more than one does.
    pub(super) fn together(&self, mode: Mode, now: DateTime<Utc>) -> Option<Standing> {
        let known = self.user.connections.iter().filter(|known| known.mode == mode);
        let days: Vec<_> = known.filter_map(|known| self.standing(known.id, now)).collect();
        if days.len() < 2 {
            return None;
        }
        let sum = |one: Standing, other: Standing| Standing {
            opening: one.opening + other.opening,
            equity: one.equity + other.equity,
            breached: one.breached.max(other.breached),
        };
        days.into_iter().reduce(sum)
    }

    /// Returns how an account's day stands; absent while its opening is not known, or equity is too old to judge by.
    pub(super) fn standing(&self, connection: ConnectionId, now: DateTime<Utc>) -> Option<Standing> {
        self.user.balances.get(&connection).filter(|balance| self.is_fresh(balance, now))?;
        let known = self.user.connections.iter().find(|known| known.id == connection)?;
        let account = self.watch.accounts.get(&connection)?;
        let market = self.lines.shared.brokers.market(&known.broker);
        let price = |symbol| {
            let marked = account.prices.get(&symbol).copied();
            marked.or_else(|| Some(market.as_ref()?.quote(symbol)?.price))
        };
        let equity = self.user.equity(connection, account.cash?, price);
        let mut day: Standing = self.user.standing(connection, equity, now)?;
        day.breached = day.breached.max(self.watch.ruled);
        Some(day)
    }

    fn is_fresh(&self, balance: &Balance, now: DateTime<Utc>) -> bool {
        now - balance.at <= TimeDelta::seconds(i64::from(self.user.limits.balance_max_age_s))
    }

    fn is_default(&self, connection: ConnectionId) -> bool {
        self.user.default_connection().is_some_and(|known| known.id == connection)
    }

    fn rule(&self, ruling: Ruling) {
        self.lines.execution.tell(ExecutionMsg::Ruled(Box::new(ruling)));
    }
}

/// Returns whether a breach is doubted: a balance changed a moment ago while an order was under way, and neither that
/// nor the breach is older than a doubt lasts.
fn is_doubted(breached: Stamp, doubted: Option<Stamp>, now: Stamp) -> bool {
    let within = |since: Stamp| Duration::from_micros(now.since(since)) < DOUBT;
    doubted.is_some_and(within) && within(breached)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_doubted_for_a_while_after_a_balance_changed() {
        let at = |ms: u64| Stamp(ms * 1_000);
        let doubt = u64::try_from(DOUBT.as_millis()).unwrap();
        assert!(!is_doubted(at(0), None, at(0)), "nothing changed: it is believed at once");
        assert!(is_doubted(at(10), Some(at(0)), at(20)));
        assert!(!is_doubted(at(10), Some(at(0)), at(doubt)), "the fill would have been told by now");
        let again = Some(at(doubt + 5));
        assert!(!is_doubted(at(10), again, at(doubt + 10)), "balances that go on changing put nothing off");
    }
}
