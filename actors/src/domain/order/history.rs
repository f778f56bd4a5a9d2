//! An order's history, and what it says of each attempt to send the order.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::OrderStep;
use crate::domain::stages::Stages;

/// A line of an order's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// The record that holds it.
    pub seq: u64,
    /// When.
    pub at: DateTime<Utc>,
    /// What happened.
    pub event: String,
    /// In words.
    pub detail: String,
    /// The step it tells of; absent for the decision, with which it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<OrderStep>,
    /// The stages that the record tells of.
    #[serde(default, skip_serializing_if = "Stages::is_empty")]
    pub stages: Stages,
}

/// One attempt to hand an order to its broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Which it is; the first is 1.
    pub number: u32,
    /// When the order was handed over, by our clock; absent where the engine ended before that was recorded.
    pub sent_at: Option<DateTime<Utc>>,
    /// When the answer came, or what came instead of one; absent as `sent_at`.
    pub answered_at: Option<DateTime<Utc>>,
    /// From one to the other, in microseconds.
    pub latency_us: Option<u64>,
    /// What came of it.
    pub outcome: AttemptOutcome,
    /// Stable code of a refusal.
    pub code: Option<String>,
    /// The answer, in words.
    pub detail: String,
    /// When the fate of an attempt without an answer was known.
    pub settled_at: Option<DateTime<Utc>>,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// The broker took the order.
    Accepted,
    /// The broker refused it for good.
    Rejected,
    /// The broker provably never received it.
    NotReceived,
    /// The answer was lost, and the broker is being asked.
    Unknown,
    /// The answer was lost, and the order was found at the broker.
    Found,
    /// The answer was lost, and the broker does not have the order.
    NotFound,
}

impl AttemptOutcome {
    /// Returns the word the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::NotReceived => "not_received",
            Self::Unknown => "unknown",
            Self::Found => "found",
            Self::NotFound => "not_found",
        }
    }
}

/// Returns the attempts to send an order, oldest first, as its history tells them.
#[must_use]
pub fn attempts(history: &[HistoryLine]) -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = Vec::new();
    for line in history {
        let Some(step) = &line.step else { continue };
        if let Some(outcome) = answer(step).filter(|_| line.stages.sent.is_some()) {
            attempts.push(attempt(attempts.len(), line, outcome));
        } else if let Some(last) = attempts.last_mut().filter(|last| last.outcome == AttemptOutcome::Unknown)
        {
            settle(last, line, step);
        } else if matches!(step, OrderStep::Accepted { .. }) {
            attempts.push(attempt(attempts.len(), line, AttemptOutcome::Accepted));
        }
    }
    attempts
}

fn attempt(before: usize, line: &HistoryLine, outcome: AttemptOutcome) -> Attempt {
    let (sent, answered) = (line.stages.sent, line.stages.acknowledged);
    Attempt {
        number: u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1),
        sent_at: sent.and_then(|stamp| stamp.time()),
        answered_at: answered.and_then(|stamp| stamp.time()),
        latency_us: sent.zip(answered).map(|(sent, answered)| answered.since(sent)),
        outcome,
        code: line.step.as_ref().and_then(code),
        detail: line.detail.clone(),
        settled_at: None,
    }
}

/// Returns what a step says of the attempt that it answers; `None`: it answers none.
const fn answer(step: &OrderStep) -> Option<AttemptOutcome> {
    match step {
        OrderStep::Accepted { .. } => Some(AttemptOutcome::Accepted),
        OrderStep::Rejected { .. } => Some(AttemptOutcome::Rejected),
        OrderStep::Deferred { .. } | OrderStep::Failed { .. } => Some(AttemptOutcome::NotReceived),
        OrderStep::OutcomeLost { .. } => Some(AttemptOutcome::Unknown),
        OrderStep::Filled { .. }
        | OrderStep::CancelRequested { .. }
        | OrderStep::Canceled { .. }
        | OrderStep::Expired { .. }
        | OrderStep::Queued { .. }
        | OrderStep::Released
        | OrderStep::Amended { .. }
        | OrderStep::Retried { .. } => None,
    }
}

/// Notes what became of an attempt whose answer was lost.
fn settle(last: &mut Attempt, line: &HistoryLine, step: &OrderStep) {
    let outcome = match step {
        OrderStep::Accepted { .. } | OrderStep::Filled { .. } => AttemptOutcome::Found,
        OrderStep::Rejected { .. } => AttemptOutcome::Rejected,
        OrderStep::Retried { .. }
        | OrderStep::Canceled { .. }
        | OrderStep::Expired { .. }
        | OrderStep::Failed { .. } => AttemptOutcome::NotFound,
        OrderStep::CancelRequested { .. }
        | OrderStep::Queued { .. }
        | OrderStep::Released
        | OrderStep::Amended { .. }
        | OrderStep::Deferred { .. }
        | OrderStep::OutcomeLost { .. } => return,
    };
    (last.outcome, last.code, last.settled_at) = (outcome, code(step), Some(line.at));
}

fn code(step: &OrderStep) -> Option<String> {
    match step {
        OrderStep::Rejected { code, .. } => Some(code.clone()),
        OrderStep::Deferred { code, .. } => Some(code.as_str().to_owned()),
        OrderStep::Failed { code, .. } | OrderStep::Expired { code, .. } => {
            code.map(|code| code.as_str().to_owned())
        }
        OrderStep::Accepted { .. }
        | OrderStep::Filled { .. }
        | OrderStep::CancelRequested { .. }
        | OrderStep::Canceled { .. }
        | OrderStep::Queued { .. }
        | OrderStep::Released
        | OrderStep::Amended { .. }
        | OrderStep::Retried { .. }
        | OrderStep::OutcomeLost { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::BrokerOrderId;
    use crate::domain::report::RefusalCode;
    use crate::domain::stages::Stamp;

    const MS: u64 = 1_000;

    /// A line at a second; `sent`: the step answers a request sent then, two milliseconds before.
    fn line(second: i64, step: OrderStep, sent: bool) -> HistoryLine {
        let at = DateTime::from_timestamp(second, 0).unwrap();
        let stamp = |ms: u64| Some(Stamp(second.unsigned_abs() * 1_000 * MS - ms * MS)).filter(|_| sent);
        let stages = Stages { sent: stamp(2), acknowledged: stamp(0), ..Stages::default() };
        HistoryLine { seq: 0, at, event: String::new(), detail: "said".to_owned(), step: Some(step), stages }
    }

    fn accepted() -> OrderStep {
        OrderStep::Accepted { broker_order: BrokerOrderId::new("b") }
    }

    fn lost() -> OrderStep {
        OrderStep::OutcomeLost { reason: "504".to_owned() }
    }

    fn told(lines: &[HistoryLine]) -> Vec<(u32, &'static str)> {
        attempts(lines).iter().map(|attempt| (attempt.number, attempt.outcome.as_str())).collect()
    }

    #[test]
    fn each_request_is_an_attempt_with_its_answer_and_its_time() {
        let deferred = OrderStep::Deferred {
            code: RefusalCode::RateLimitExceeded,
            until: DateTime::UNIX_EPOCH,
            reason: String::new(),
        };
        let again = OrderStep::Retried { attempt: 2, reason: String::new() };
        let lines = [line(1, deferred, true), line(2, again, false), line(3, accepted(), true)];
        assert_eq!(told(&lines), [(1, "not_received"), (2, "accepted")]);
        let first = &attempts(&lines)[0];
        assert_eq!((first.code.as_deref(), first.latency_us), (Some("RATE_LIMIT_EXCEEDED"), Some(2 * MS)));
        assert_eq!(first.answered_at, DateTime::from_timestamp(1, 0));
    }

    #[test]
    fn an_attempt_without_an_answer_is_settled_by_what_is_found() {
        let again = OrderStep::Retried { attempt: 2, reason: String::new() };
        let lines = [line(1, lost(), true), line(12, again, false), line(13, lost(), true)];
        assert_eq!(told(&lines), [(1, "not_found"), (2, "unknown")]);
        let found = [&lines[..], &[line(15, accepted(), false)]].concat();
        assert_eq!(told(&found), [(1, "not_found"), (2, "found")]);
        assert_eq!(attempts(&found)[1].settled_at, DateTime::from_timestamp(15, 0));
    }

    #[test]
    fn an_order_found_after_a_restart_was_sent_once_and_a_queued_one_that_is_refused_never() {
        assert_eq!(told(&[line(1, accepted(), false)]), [(1, "accepted")]);
        let refused = OrderStep::Rejected { code: "TRADING_HALTED".to_owned(), reason: String::new() };
        assert_eq!(told(&[line(1, refused.clone(), false)]), []);
        // What is refused after it was taken was still taken.
        assert_eq!(told(&[line(1, accepted(), true), line(2, refused, false)]), [(1, "accepted")]);
    }
}
