//! An order's life (`DESIGN` 4): one table of legal steps, shared by live running and replay.

mod history;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{BrokerOrderId, ClientOrderId, ConnectionId, ExecutionId, SignalId, UserId};
use super::instrument::Symbol;
use super::money::{Money, Net, Price, Quantity};
use super::report::RefusalCode;
use super::risk::{Decision, Denial};
use super::signal::{Level, OrderKind, Origin, Side};
use super::stages::Stages;

pub use history::{Attempt, AttemptOutcome, HistoryLine, attempts};

/// Where an order stands; the letters are FIX tag 39.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Decided and durable, not yet answered by the broker (A).
    Pending,
    /// Waiting for the market to open (A).
    Queued,
    /// Sent, outcome not known; the venue is being asked.
    Unknown,
    /// The broker has it (0).
    Accepted,
    /// Part of it is done (1).
    PartiallyFilled,
    /// We asked to cancel it (6).
    PendingCancel,
    /// All of it is done (2).
    Filled,
    /// Ended before it was done (4).
    Canceled,
    /// Refused, by us or by the broker (8).
    Rejected,
    /// Its time ran out (C).
    Expired,
    /// It could not be sent.
    Failed,
}

impl OrderStatus {
    /// Returns whether nothing more can happen to the order.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Filled | Self::Canceled | Self::Rejected | Self::Expired | Self::Failed)
    }
}

/// One execution of an order, or a part of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fill {
    /// The broker's id of it.
    pub execution: ExecutionId,
    /// How much.
    pub quantity: Quantity,
    /// At what price.
    pub price: Price,
    /// What the broker charged in money.
    pub fee: Money,
    /// How much of what was bought the broker kept as its fee, as venues for coins do.
    #[serde(default, skip_serializing_if = "Fill::keeps_nothing")]
    pub kept: Quantity,
    /// When, by the broker's clock.
    pub at: DateTime<Utc>,
}

impl Fill {
    const fn keeps_nothing(kept: &Quantity) -> bool {
        kept.is_zero()
    }
}

/// What can happen to an order after it was created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum OrderStep {
    /// The broker has it under this id.
    Accepted {
        /// The broker's id.
        broker_order: BrokerOrderId,
    },
    /// A part, or the rest, was executed.
    Filled {
        /// The execution.
        fill: Fill,
    },
    /// The broker refused it for good.
    Rejected {
        /// Stable code, e.g. `INSUFFICIENT_FUNDS`.
        code: String,
        /// What the user reads.
        reason: String,
    },
    /// We asked the broker to cancel it.
    CancelRequested {
        /// Why.
        reason: String,
    },
    /// It ended before it was done.
    Canceled {
        /// Why.
        reason: String,
    },
    /// Its time ran out.
    Expired {
        /// Stable code, where its time ran out because of the broker.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<RefusalCode>,
        /// Why.
        reason: String,
    },
    /// It waits before it is sent.
    Queued {
        /// For what.
        cause: QueueCause,
        /// When it is looked at again, as far as that is known.
        until: Option<DateTime<Utc>>,
        /// What the user reads.
        reason: String,
    },
    /// It waits no longer: it is sent now.
    Released,
    /// It was changed while it waited.
    Amended {
        /// How much it is for now.
        quantity: Quantity,
        /// How it executes now.
        kind: OrderKind,
        /// Why.
        reason: String,
    },
    /// It is sent again, as the broker provably does not have it.
    Retried {
        /// Which attempt this is; the first was 1.
        attempt: u32,
        /// Why the one before did not count.
        reason: String,
    },
    /// The broker provably did not take it: it is sent again after a pause.
    Deferred {
        /// Stable code: too many requests, or nobody there.
        code: RefusalCode,
        /// When it is sent again.
        until: DateTime<Utc>,
        /// What the user reads.
        reason: String,
    },
    /// It was sent and the answer was lost.
    OutcomeLost {
        /// What was seen instead of an answer.
        reason: String,
    },
    /// It could not be sent; the broker provably never had it.
    Failed {
        /// Stable code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<RefusalCode>,
        /// Why.
        reason: String,
    },
}

impl OrderStep {
    /// Returns whether the broker did not take the order.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Rejected { .. } | Self::Failed { .. })
    }
}

/// What a queued order waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueCause {
    /// The market to open.
    MarketClosed,
    /// The exchange to lift its halt.
    MarketHalted,
    /// The end of the window in which signals are merged.
    Merging,
    /// Protective orders to be cancelled, which hold what it is to sell.
    Room,
}

/// A step that the table of [`OrderStatus::after`] does not know.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("an order that is {from:?} cannot take the step {step:?}")]
pub struct IllegalStep {
    /// The status before.
    pub from: OrderStatus,
    /// The step refused.
    pub step: Box<OrderStep>,
}

impl OrderStatus {
    /// Returns the status after `step`; `complete` says that the step's fill was the last one.
    ///
    /// A fill may overtake its acknowledgement, or arrive after a cancel was asked for or reported: money moved,
    /// so it counts in every status but those in which the broker never had the order.
    ///
    /// # Errors
    /// When the step is illegal; the order is unchanged.
    pub fn after(self, step: &OrderStep, complete: bool) -> Result<Self, IllegalStep> {
        use OrderStatus as S;
        use OrderStep as E;
        Ok(match (self, step) {
            (S::Pending | S::Queued, E::Queued { .. }) | (S::Queued, E::Amended { .. }) => S::Queued,
            (S::Queued, E::Released)
            | (S::Pending, E::Deferred { .. })
            | (S::Pending | S::Unknown, E::Retried { .. }) => S::Pending,
            (S::Pending | S::Unknown | S::Accepted, E::Accepted { .. }) => S::Accepted,
            (S::PartiallyFilled, E::Accepted { .. }) => S::PartiallyFilled,
            (S::PendingCancel, E::Accepted { .. }) => S::PendingCancel,
            (
                S::Pending
                | S::Unknown
                | S::Accepted
                | S::PartiallyFilled
                | S::PendingCancel
                | S::Canceled
                | S::Expired,
                E::Filled { .. },
            ) if complete => S::Filled,
            (S::Pending | S::Unknown | S::Accepted | S::PartiallyFilled, E::Filled { .. }) => {
                S::PartiallyFilled
            }
            (S::PendingCancel, E::Filled { .. }) => S::PendingCancel,
            (S::Canceled, E::Filled { .. }) => S::Canceled,
            (S::Expired, E::Filled { .. }) => S::Expired,
            (S::Pending | S::Queued | S::Unknown | S::Accepted | S::PendingCancel, E::Rejected { .. }) => {
                S::Rejected
            }
            (S::Pending | S::Unknown | S::Accepted | S::PartiallyFilled, E::CancelRequested { .. }) => {
                S::PendingCancel
            }
            (
                S::Pending | S::Queued | S::Unknown | S::Accepted | S::PartiallyFilled | S::PendingCancel,
                E::Canceled { .. },
            ) => S::Canceled,
            (
                S::Pending | S::Queued | S::Unknown | S::Accepted | S::PartiallyFilled | S::PendingCancel,
                E::Expired { .. },
            ) => S::Expired,
            (S::Pending | S::Unknown, E::OutcomeLost { .. }) => S::Unknown,
            (S::Pending | S::Queued, E::Failed { .. }) => S::Failed,
            (from, step) => return Err(IllegalStep { from, step: Box::new(step.clone()) }),
        })
    }
}

/// Whether money is at stake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Simulated money.
    Paper,
    /// Real money.
    Live,
}

impl Mode {
    /// Returns the word the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Paper => "paper",
            Self::Live => "live",
        }
    }
}

/// How long an order stands (FIX 59).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeInForce {
    /// Until the session ends.
    #[default]
    Day,
    /// Until it is cancelled.
    Gtc,
    /// What executes at once; the rest is cancelled.
    Ioc,
    /// All of it at once, or nothing.
    Fok,
}

impl TimeInForce {
    const fn is_day(&self) -> bool {
        matches!(self, Self::Day)
    }

    /// Returns the word the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Gtc => "gtc",
            Self::Ioc => "ioc",
            Self::Fok => "fok",
        }
    }
}

/// What an order is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "for", rename_all = "snake_case")]
pub enum Purpose {
    /// Does what a signal or a person said.
    #[default]
    Signal,
    /// Protects a position: a stop, alone or with the target of that number.
    Protection {
        /// Which target; absent: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<u8>,
    },
    /// Leaves a position because a level that we watch ourselves was reached, or because it must not stay open.
    Exit {
        /// Which target was reached; absent: a stop, or a limit of the account.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target: Option<u8>,
    },
}

impl Purpose {
    const fn is_signal(&self) -> bool {
        matches!(self, Self::Signal)
    }

    /// Returns whether the order rests at the broker to protect a position.
    #[must_use]
    pub const fn is_protection(self) -> bool {
        matches!(self, Self::Protection { .. })
    }

    /// Returns which target's share of the position it takes.
    #[must_use]
    pub const fn target(self) -> Option<u8> {
        match self {
            Self::Signal => None,
            Self::Protection { target } | Self::Exit { target } => target,
        }
    }
}

/// An order as it was decided. Quantity and kind may change while it is queued, and never afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    /// Our id; the same one at every attempt.
    pub id: ClientOrderId,
    /// Whose it is.
    pub user: UserId,
    /// Which signal asked for it.
    pub signal: SignalId,
    /// By which door the signal came.
    pub origin: Origin,
    /// At which account.
    pub connection: ConnectionId,
    /// In what.
    pub symbol: Symbol,
    /// Which way.
    pub side: Side,
    /// How much.
    pub quantity: Quantity,
    /// How.
    pub kind: OrderKind,
    /// How long it stands.
    #[serde(default, skip_serializing_if = "TimeInForce::is_day")]
    pub time_in_force: TimeInForce,
    /// Whether it may execute before and after the regular session.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extended_hours: bool,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Purpose::is_signal")]
    pub purpose: Purpose,
    /// Whether it may only reduce a position.
    pub reduces: bool,
    /// Where the position is to be left with a loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_loss: Option<Level>,
    /// Where the position is to be left with a profit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub take_profits: Vec<Level>,
}

impl Ticket {
    /// Returns the change of position that `quantity` of this order makes.
    #[must_use]
    pub fn signed(&self, quantity: Quantity) -> Net {
        match self.side {
            Side::Buy => Net::new(quantity.get()),
            Side::Sell => Net::new(-quantity.get()),
        }
    }
}

/// What an order waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// For what.
    pub cause: QueueCause,
    /// When it is looked at again, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

/// An order and all that happened to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// What was decided.
    pub ticket: Ticket,
    /// At which broker.
    pub broker: String,
    /// With which money.
    pub mode: Mode,
    /// The numbers of the decision.
    pub decision: Decision,
    /// Where it stands.
    pub status: OrderStatus,
    /// What it waits for, while it is queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued: Option<Queued>,
    /// The broker's id.
    pub broker_order: Option<BrokerOrderId>,
    /// How much is done (`cum_qty`).
    pub cum_qty: Quantity,
    /// What the done part cost.
    pub cum_cost: Money,
    /// Executions already counted.
    pub executions: Vec<ExecutionId>,
    /// Stable code of a refusal.
    pub code: Option<String>,
    /// Why it ended as it did, in words.
    pub reason: Option<String>,
    /// When it was decided.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// The flight recorder.
    pub stages: Stages,
    /// All that happened, oldest first.
    pub history: Vec<HistoryLine>,
}

impl Order {
    /// Returns the order as it was decided, or, with a denial, as it was denied.
    #[must_use]
    pub fn new(
        ticket: Ticket,
        broker: String,
        mode: Mode,
        decision: Decision,
        stages: Stages,
        denial: Option<&Denial>,
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            ticket,
            broker,
            mode,
            decision,
            status: if denial.is_some() { OrderStatus::Rejected } else { OrderStatus::Pending },
            queued: None,
            broker_order: None,
            cum_qty: Quantity::ZERO,
            cum_cost: Money::ZERO,
            executions: Vec::new(),
            code: denial.map(|denial| denial.code.as_str().to_owned()),
            reason: denial.map(|denial| denial.message.clone()),
            created_at: at,
            updated_at: at,
            stages,
            history: Vec::new(),
        }
    }

    /// Returns its position's place.
    #[must_use]
    pub const fn key(&self) -> (ConnectionId, Symbol) {
        (self.ticket.connection, self.ticket.symbol)
    }

    /// Returns what is still open (`leaves_qty`); zero once final.
    #[must_use]
    pub fn leaves_qty(&self) -> Quantity {
        if self.status.is_final() { Quantity::ZERO } else { self.ticket.quantity.less(self.cum_qty) }
    }

    /// Returns the average price of what is done.
    #[must_use]
    pub fn avg_px(&self) -> Option<Price> {
        let px = self.cum_cost.get().checked_div(self.cum_qty.get())?;
        Price::new(px.round_dp(8)).ok()
    }

    /// Returns whether the execution is already counted.
    #[must_use]
    pub fn knows(&self, execution: &ExecutionId) -> bool {
        self.executions.contains(execution)
    }

    /// Takes note of the stages that were passed with a step.
    ///
    /// An answer that did not settle the order is not the broker's acknowledgement of it.
    pub fn pass(&mut self, step: &OrderStep, stages: &Stages) {
        let unsettled = matches!(step, OrderStep::Deferred { .. } | OrderStep::OutcomeLost { .. });
        let acknowledged = stages.acknowledged.filter(|_| !unsettled);
        self.stages.merge(&Stages { acknowledged, ..*stages });
    }

    /// Takes one step.
    ///
    /// # Errors
    /// When the step is illegal or a fill would exceed the order; the order is unchanged.
    pub fn apply(&mut self, step: &OrderStep, at: DateTime<Utc>) -> Result<(), IllegalStep> {
        let mut cum = self.cum_qty;
        if let OrderStep::Filled { fill } = step {
            cum += fill.quantity;
            if cum > self.ticket.quantity || self.knows(&fill.execution) {
                return Err(IllegalStep { from: self.status, step: Box::new(step.clone()) });
            }
        }
        let before = self.status;
        self.status = self.status.after(step, cum == self.ticket.quantity)?;
        self.updated_at = at;
        if !matches!(step, OrderStep::Amended { .. }) {
            self.queued = None;
        }
        match step {
            OrderStep::Queued { cause, until, reason } => {
                self.queued = Some(Queued { cause: *cause, until: *until });
                self.reason = Some(reason.clone());
            }
            OrderStep::Released => self.reason = None,
            OrderStep::Amended { quantity, kind, reason } => {
                self.ticket.quantity = *quantity;
                self.ticket.kind = *kind;
                self.reason = Some(reason.clone());
            }
            OrderStep::Accepted { broker_order } => {
                self.broker_order = Some(broker_order.clone());
                // What was wrong with earlier attempts is history; why it is cancelled is not.
                if before != OrderStatus::PendingCancel {
                    (self.code, self.reason) = (None, None);
                }
            }
            OrderStep::Filled { fill } => {
                self.cum_qty = cum;
                self.cum_cost += fill.price.notional(fill.quantity);
                self.executions.push(fill.execution.clone());
            }
            OrderStep::Rejected { code, reason } => {
                self.code = Some(code.clone());
                self.reason = Some(reason.clone());
            }
            OrderStep::Deferred { code, reason, .. } => {
                self.code = Some(code.as_str().to_owned());
                self.reason = Some(reason.clone());
            }
            OrderStep::Expired { code, reason } => {
                self.code = Some(code.map_or("ORDER_EXPIRED", RefusalCode::as_str).to_owned());
                self.reason = Some(reason.clone());
            }
            OrderStep::Failed { code, reason } => {
                self.code = Some(code.unwrap_or(RefusalCode::BrokerUnavailable).as_str().to_owned());
                self.reason = Some(reason.clone());
            }
            OrderStep::CancelRequested { reason }
            | OrderStep::Canceled { reason }
            | OrderStep::OutcomeLost { reason }
            | OrderStep::Retried { reason, .. } => {
                self.code = None;
                self.reason = Some(reason.clone());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
