//! What to do about an order when the broker has not confirmed it: send again, look it up, or end it (`DESIGN` 4).
//!
//! The rule behind all of it: an order may only be sent again when it is certain that the broker does not have it.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Found, Search, resend_after};
use crate::domain::order::{Order, OrderStatus, OrderStep, Purpose};
use crate::domain::report::{Refusal, RefusalCode};

/// How soon the state of an order that the broker has is asked for again after a question without an answer.
const ASK_AGAIN: TimeDelta = TimeDelta::seconds(5);

/// Longest until it is looked again whether an order's turn has come: those before it may be gone.
const HELD_MAX: TimeDelta = TimeDelta::seconds(5);

/// Why a submission has no good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// The broker provably never received it.
    NotReceived {
        /// Why: too many requests, or nobody there.
        code: RefusalCode,
        /// How long the broker asks to wait.
        retry_after: TimeDelta,
    },
    /// It was held back here, for too much was asked of the broker.
    HeldBack {
        /// When it may be sent, if nothing else is before it.
        wait: TimeDelta,
        /// How far apart requests are sent after that.
        pace: TimeDelta,
    },
    /// The broker may have it.
    Lost(String),
    /// The broker says that it has it, and does not show it.
    Taken(Refusal),
    /// The broker documents that it did nothing.
    Refused(Refusal),
}

/// What went before a submission without a good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before {
    /// The moment.
    pub now: DateTime<Utc>,
    /// How many submissions in a row were not received before this one.
    pub failures: u32,
    /// How many other orders wait until the broker takes requests again.
    pub waiting: usize,
    /// How many of these are to be sent before this one.
    pub ahead: usize,
    /// Oldest a signal may be when its order is sent, in seconds.
    pub max_age_s: u32,
}

/// What is known beside the order itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// The moment.
    pub now: DateTime<Utc>,
    /// Whether the same id sent twice can never be two orders at this venue.
    pub repeats_are_safe: bool,
    /// Whether a look-up that finds nothing proves that the broker has nothing.
    pub proof: bool,
    /// Oldest a signal may be when its order is sent, in seconds.
    pub max_age_s: u32,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Record this, and no more.
    Step(OrderStep),
    /// Record this, if anything, and look the order up after a pause.
    LookUp(Option<OrderStep>, TimeDelta),
    /// Record this, if anything, and decide again after a pause whether it is sent again.
    TryAgain(Option<OrderStep>, TimeDelta),
    /// Send it, unless trading was stopped meanwhile.
    Send,
    /// Nothing: it is over, or somebody else has the next move.
    Nothing,
}

/// Decides what a submission without a good answer means.
#[must_use]
pub fn unanswered(order: &Order, before: &Before, answer: Unanswered) -> Next {
    match answer {
        Unanswered::NotReceived { .. } | Unanswered::HeldBack { .. }
            if order.status == OrderStatus::PendingCancel =>
        {
            Next::Step(never_sent())
        }
        Unanswered::HeldBack { wait, pace } => held_back(order, before, wait, pace),
        Unanswered::NotReceived { code, retry_after } => match resend_after(before.failures) {
            Some(pause) => {
                let pause = pause.max(retry_after);
                Next::TryAgain(deferred(order, code, pause, before), pause)
            }
            None => {
                Next::Step(OrderStep::Failed { code: Some(code), reason: not_submitted(&order.broker, code) })
            }
        },
        Unanswered::Refused(Refusal { code, message }) => {
            Next::Step(OrderStep::Rejected { code: code.as_str().to_owned(), reason: message })
        }
        Unanswered::Lost(reason) => {
            Next::LookUp(Some(OrderStep::OutcomeLost { reason }), TimeDelta::seconds(1))
        }
        Unanswered::Taken(refusal) => {
            Next::LookUp(Some(OrderStep::OutcomeLost { reason: refusal.message }), TimeDelta::seconds(1))
        }
    }
}

/// Decides what becomes of an order that its turn has not come for: it waits, and is nobody's failed attempt. An entry
/// waits no longer than its signal may be old; what leaves a position waits as long as it takes.
fn held_back(order: &Order, before: &Before, wait: TimeDelta, pace: TimeDelta) -> Next {
    let code = RefusalCode::RateLimitExceeded;
    let was_held = order.code.as_deref() == Some(code.as_str());
    let held = if was_held { before.now - order.updated_at } else { TimeDelta::zero() };
    if held.num_seconds() > i64::from(before.max_age_s) && !order.ticket.reduces {
        return Next::Step(OrderStep::Failed {
            code: Some(code),
            reason: not_submitted(&order.broker, code),
        });
    }
    let ahead = i32::try_from(before.ahead).unwrap_or(i32::MAX);
    let turn = pace.checked_mul(ahead).and_then(|others| wait.checked_add(&others)).unwrap_or(HELD_MAX);
    let step = (!was_held && order.status == OrderStatus::Pending).then(|| {
        let queued = queued(&order.broker, before);
        let seconds = turn.num_milliseconds().saturating_add(999) / 1_000;
        let reason = format!("{queued} It is expected to be sent within {seconds} s.");
        OrderStep::Deferred { code, until: before.now + turn, reason }
    });
    Next::TryAgain(step, turn.min(HELD_MAX))
}

/// Words how many orders wait for a broker's limit (US-010.3).
fn queued(broker: &str, before: &Before) -> String {
    let orders = before.waiting.saturating_add(1);
    let plural = if orders == 1 { "" } else { "s" };
    format!("{} rate limit: {orders} order{plural} queued, processing...", title(broker))
}

/// Words the pause before an order is sent again. One that is not simply on its way has said what it waits for.
fn deferred(order: &Order, code: RefusalCode, pause: TimeDelta, before: &Before) -> Option<OrderStep> {
    if order.status != OrderStatus::Pending {
        return None;
    }
    let reason = if code == RefusalCode::RateLimitExceeded {
        queued(&order.broker, before)
    } else {
        let broker = title(&order.broker);
        format!("{broker} temporarily unavailable. The order is sent again in {} s.", pause.num_seconds())
    };
    Some(OrderStep::Deferred { code, until: before.now + pause, reason })
}

/// Words the end of an order that the broker never took (US-002.3).
fn not_submitted(broker: &str, code: RefusalCode) -> String {
    let broker = title(broker);
    if code == RefusalCode::RateLimitExceeded {
        format!("{broker} rate limit reached. Order not submitted. Send the signal again in a minute.")
    } else {
        format!("{broker} temporarily unavailable. Order not submitted.")
    }
}

/// Returns a broker's name as a sentence begins with it.
fn title(broker: &str) -> String {
    let mut letters = broker.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Decides what a look-up without a find means; `answered`: the broker said that it knows no such order.
#[must_use]
pub fn not_found(order: &Order, search: &mut Search, answered: bool, seen: &Circumstances) -> Next {
    match order.status {
        OrderStatus::Pending | OrderStatus::Unknown | OrderStatus::PendingCancel => {}
        // It is there; how far it is, is asked again where nobody answered.
        OrderStatus::Accepted | OrderStatus::PartiallyFilled if !answered => {
            return Next::LookUp(None, ASK_AGAIN);
        }
        OrderStatus::Accepted
        | OrderStatus::PartiallyFilled
        | OrderStatus::Queued
        | OrderStatus::Filled
        | OrderStatus::Canceled
        | OrderStatus::Rejected
        | OrderStatus::Expired
        | OrderStatus::Failed => return Next::Nothing,
    }
    match search.unseen(answered, seen.proof, seen.now) {
        Found::AskAgain(pause) => Next::LookUp(None, pause),
        Found::NeverSeen => match search.taken.take() {
            Some(Refusal { code, message }) => {
                Next::Step(OrderStep::Rejected { code: code.as_str().to_owned(), reason: message })
            }
            None => never_seen(order, seen),
        },
    }
}

/// The broker never had the order: it is sent while its signal is fresh, and where that is safe; else it expires.
fn never_seen(order: &Order, seen: &Circumstances) -> Next {
    if order.status == OrderStatus::PendingCancel {
        return Next::Step(never_sent());
    }
    // One that is pending may have been sent as well, by a life of the engine that ended before the answer.
    if !seen.repeats_are_safe {
        let why = "this broker does not tell a repeat from a second order; look at the account there";
        return Next::Step(expired(why));
    }
    let age_s = (seen.now - order.created_at).num_seconds();
    if age_s > i64::from(seen.max_age_s) {
        // Sent in time, and lost: what was too slow is the broker.
        if order.status == OrderStatus::Unknown {
            let code = RefusalCode::BrokerUnavailable;
            let reason = not_submitted(&order.broker, code);
            return Next::Step(OrderStep::Expired { code: Some(code), reason });
        }
        let what = if order.ticket.purpose == Purpose::Signal { "its signal" } else { "its decision" };
        return Next::Step(expired(&format!("{what} is {age_s} s old")));
    }
    Next::Send
}

/// Decides whether an order that the broker does not have is sent, when a pause is over.
#[must_use]
pub fn tried_again(order: &Order) -> Next {
    match order.status {
        OrderStatus::PendingCancel => Next::Step(never_sent()),
        OrderStatus::Pending => Next::Send,
        // Whether the broker has it is being found out: a pause that began before that sends nothing.
        OrderStatus::Unknown
        | OrderStatus::Queued
        | OrderStatus::Accepted
        | OrderStatus::PartiallyFilled
        | OrderStatus::Filled
        | OrderStatus::Canceled
        | OrderStatus::Rejected
        | OrderStatus::Expired
        | OrderStatus::Failed => Next::Nothing,
    }
}

/// Words the end of an order that the broker never had and that is not sent again.
#[must_use]
pub fn expired(why: &str) -> OrderStep {
    let reason = format!("The broker never had this order, and it was not sent again: {why}.");
    OrderStep::Expired { code: None, reason }
}

fn never_sent() -> OrderStep {
    OrderStep::Canceled { reason: "Cancelled before the broker had it.".to_owned() }
}

#[cfg(test)]
mod tests;
