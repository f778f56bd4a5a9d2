//! What an order's answers and reports mean: pure decisions, from an order and a report to events.

pub mod life;

use chrono::{DateTime, TimeDelta, Utc};

use super::event::Event;
use super::ids::ExecutionId;
use super::money::{Money, Net, Price, Quantity};
use super::order::{Fill, Order, OrderStep};
use super::portfolio::Balance;
use super::position::Position;
use super::protection::after_fill;
use super::report::{OrderReport, Refusal, ReportedState};
use super::stages::Stages;
use super::user::UserState;

/// Returns what a report adds to what is known of an order.
///
/// Reports may repeat, overtake each other and overlap: only what is new becomes an event, each execution once.
#[must_use]
pub fn reported(
    order: &Order,
    held: Option<&Position>,
    known_balance: Option<&Balance>,
    report: &OrderReport,
    stages: Stages,
    now: DateTime<Utc>,
) -> Vec<Event> {
    if is_known(order, known_balance, report) {
        return Vec::new();
    }
    let mut events = Vec::new();
    let mut after = order.clone();
    let mut step = |after: &mut Order, step: OrderStep| {
        let taken = after.apply(&step, now);
        match taken {
            Ok(()) => {
                let stages = if events.is_empty() {
                    stages
                } else {
                    Stages { filled: stages.filled, ..Stages::default() }
                };
                events.push(Event::OrderMoved { order: order.ticket.id, step, stages });
                true
            }
            Err(illegal) => {
                tracing::debug!(order = %order.ticket.id, %illegal, "a report repeats what is known");
                false
            }
        }
    };
    let refused = matches!(report.state, ReportedState::Rejected(_)) && report.fills.is_empty();
    if order.broker_order.is_none() && !order.status.is_final() && !refused {
        step(&mut after, OrderStep::Accepted { broker_order: report.broker_order.clone() });
    }
    let mut changes = Vec::new();
    let mut position = held.cloned();
    for fill in caught_up(&after, report) {
        if after.knows(&fill.execution) || !step(&mut after, OrderStep::Filled { fill: fill.clone() }) {
            continue;
        }
        let fill = &fill;
        let before = position
            .take()
            .unwrap_or_else(|| Position::flat(order.ticket.connection, order.ticket.symbol, fill.at));
        let opened = before.net.is_flat();
        let taken = before.realized;
        let now_held = before.after(order.ticket.side, fill);
        let realized = now_held.realized - taken;
        changes.push(Event::PositionChanged { position: now_held.clone(), realized, opened });
        position = Some(now_held).filter(|held| !held.net.is_flat());
    }
    match &report.state {
        ReportedState::Open | ReportedState::Filled => {}
        ReportedState::Canceled => {
            let reason = after.reason.clone().unwrap_or_else(|| "cancelled at the broker".to_owned());
            step(&mut after, OrderStep::Canceled { reason });
        }
        ReportedState::Expired => {
            step(&mut after, OrderStep::Expired { code: None, reason: "its time in force ended".to_owned() });
        }
        ReportedState::Rejected(refusal) => {
            let (code, reason) = (refusal.code.as_str().to_owned(), refusal.message.clone());
            step(&mut after, OrderStep::Rejected { code, reason });
        }
    }
    events.extend(changes);
    let balance = report.balance.filter(|told| known_balance.is_none_or(|known| moved(known, told)));
    events.extend(balance.map(|balance| Event::BalanceSeen { connection: order.ticket.connection, balance }));
    events
}

/// Returns whether a report tells nothing new, as most of those do that a survey brings.
fn is_known(order: &Order, known_balance: Option<&Balance>, report: &OrderReport) -> bool {
    let same_total = report.done.is_none_or(|done| done.quantity <= order.cum_qty);
    let same_cash = report.balance.is_none_or(|told| known_balance.is_some_and(|known| !moved(known, &told)));
    report.state == ReportedState::Open
        && order.broker_order.is_some()
        && same_total
        && same_cash
        && report.fills.iter().all(|fill| order.knows(&fill.execution))
}

/// Returns the executions that a report tells, made up from its total where it does not tell each.
///
/// A total only grows, so that reports may come in any order and any number of times: what one adds to the total known
/// is those executions of it that were not told before, or one, at the price that makes the average right.
fn caught_up(order: &Order, report: &OrderReport) -> Vec<Fill> {
    let Some(done) = report.done else { return report.fills.clone() };
    let new = done.quantity.min(order.ticket.quantity).less(order.cum_qty);
    let Some(average) = done.price.filter(|_| !new.is_zero()) else { return Vec::new() };
    let told = report.fills.iter().filter(|fill| !order.knows(&fill.execution));
    if told.clone().map(|fill| fill.quantity).sum::<Quantity>() == new {
        return told.cloned().collect();
    }
    let cost = average.notional(order.cum_qty + new) - order.cum_cost;
    let exact = cost.get().checked_div(new.get()).and_then(|price| Price::new(price).ok());
    let execution = ExecutionId::new(format!("total-{}", order.cum_qty + new));
    vec![Fill {
        execution,
        quantity: new,
        price: exact.unwrap_or(average),
        fee: Money::ZERO,
        kept: Quantity::ZERO,
        at: done.at,
    }]
}

/// Returns what the fills among `events` change about the protection of the order's position.
#[must_use]
#[expect(clippy::wildcard_enum_match_arm, reason = "only fills count")]
pub fn protected(order: &Order, user: &UserState, tick: Price, events: &[Event]) -> Option<Event> {
    let (connection, symbol) = (order.ticket.connection, order.ticket.symbol);
    let mut before = user.position(connection, symbol).map_or(Net::FLAT, |held| held.net);
    let mut protection = user.protection(connection, symbol).cloned();
    let filled = |event: &Event| match event {
        Event::OrderMoved { step: OrderStep::Filled { fill }, .. } => fill.quantity,
        _ => Quantity::ZERO,
    };
    let done = events.iter().map(filled).fold(order.cum_qty, |sum, quantity| sum + quantity);
    let complete = done == order.ticket.quantity;
    let mut changed = false;
    for event in events {
        let Event::PositionChanged { position, .. } = event else { continue };
        let next =
            after_fill(&order.ticket, before, position, protection.as_ref(), &user.limits, tick, complete);
        changed |= next.is_some();
        protection = if position.net.is_flat() { None } else { next.or(protection) };
        before = position.net;
    }
    let protection = protection.filter(|_| changed)?;
    let reason = "the position was opened or grew".to_owned();
    Some(Event::ProtectionChanged { connection, symbol, protection: Some(protection), reason })
}

/// Returns whether a balance says something the log should hold: equity drifts with prices, cash does not.
#[must_use]
pub fn moved(known: &Balance, told: &Balance) -> bool {
    told.at >= known.at && known.cash != told.cash
}

/// The search for an order whose answer was lost (`SECURITY-BAR` 5.4).
#[derive(Clone, Debug)]
pub struct Search {
    sent_at: DateTime<Utc>,
    asked: u32,
    unseen: Vec<DateTime<Utc>>,
    /// What the broker said when it took the order for a repeat.
    taken: Option<Refusal>,
}

/// What a search has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing yet: ask again after this time.
    AskAgain(TimeDelta),
    /// The broker has never seen it.
    NeverSeen,
}

impl Search {
    /// Starts the search for an order sent at `sent_at`.
    #[must_use]
    pub const fn new(sent_at: DateTime<Utc>) -> Self {
        Self { sent_at, asked: 0, unseen: Vec::new(), taken: None }
    }

    /// Notes that the broker took the order for a repeat of one that it does not show.
    pub fn says_taken(&mut self, refusal: Refusal) {
        self.taken = Some(refusal);
    }

    /// Counts an answer that said "never seen" (`Some`) or a question without an answer (`None`).
    ///
    /// "Never seen" takes three answers over ten seconds, the first five seconds or more after sending, unless
    /// the venue shows its orders at once (`proof`), as the paper broker's book does.
    pub fn unseen(&mut self, answered: bool, proof: bool, now: DateTime<Utc>) -> Found {
        self.asked += 1;
        if answered && proof {
            return Found::NeverSeen;
        }
        if answered && now - self.sent_at >= TimeDelta::seconds(5) {
            self.unseen.push(now);
        }
        let span = self.unseen.first().zip(self.unseen.last()).map(|(first, last)| *last - *first);
        if self.unseen.len() >= 3 && span >= Some(TimeDelta::seconds(10)) {
            return Found::NeverSeen;
        }
        Found::AskAgain(TimeDelta::seconds(1_i64 << self.asked.saturating_sub(1).min(5)))
    }
}

/// Returns the pause before an order that was provably not received is sent again (FR-009), or `None`: give up.
#[must_use]
pub const fn resend_after(attempts: u32) -> Option<TimeDelta> {
    match attempts {
        0 => Some(TimeDelta::seconds(1)),
        1 => Some(TimeDelta::seconds(2)),
        2 => Some(TimeDelta::seconds(4)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
