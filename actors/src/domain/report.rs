//! What a broker says of an order.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{BrokerOrderId, ClientOrderId};
use super::money::{Price, Quantity};
use super::order::Fill;
use super::portfolio::Balance;

/// What a broker says of one order, as an answer, in its stream or when asked.
///
/// The same fill may be told any number of times, in any order; its execution id tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderReport {
    /// Our id of it.
    pub order: ClientOrderId,
    /// The broker's id of it.
    pub broker_order: BrokerOrderId,
    /// Where it stands there.
    pub state: ReportedState,
    /// Executions told with this report.
    pub fills: Vec<Fill>,
    /// How much is done in all, for venues that tell that and not every execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Done>,
    /// The account after it, when the broker tells.
    pub balance: Option<Balance>,
}

/// How much of an order is done in all (`cum_qty` and `avg_px`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Executed so far.
    pub quantity: Quantity,
    /// At what average price; absent while nothing is executed.
    pub price: Option<Price>,
    /// When the venue said so.
    pub at: DateTime<Utc>,
}

/// Where an order stands at the broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportedState {
    /// Working, perhaps partly filled.
    Open,
    /// Done.
    Filled,
    /// Ended by a cancel.
    Canceled,
    /// Ended by its time in force.
    Expired,
    /// Refused after it was taken.
    Rejected(Refusal),
}

/// A broker's documented "no" (FR-018).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// One of the standard codes.
    pub code: RefusalCode,
    /// What the user reads.
    pub message: String,
}

/// Standard codes of brokers' refusals (FR-018).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RefusalCode {
    /// Not enough cash or units.
    InsufficientFunds,
    /// Unknown or untradable.
    InvalidSymbol,
    /// Closed, and the broker does not queue.
    MarketClosed,
    /// Too many requests; documented as not accepted.
    RateLimitExceeded,
    /// The credentials do not work.
    AuthFailed,
    /// The id exists.
    DuplicateOrder,
    /// Anything else the venue documents as a refusal.
    OrderRejected,
    /// The venue is down.
    BrokerUnavailable,
}

impl RefusalCode {
    /// Returns the stable code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "INSUFFICIENT_FUNDS",
            Self::InvalidSymbol => "INVALID_SYMBOL",
            Self::MarketClosed => "MARKET_CLOSED",
            Self::RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
            Self::AuthFailed => "AUTH_FAILED",
            Self::DuplicateOrder => "DUPLICATE_ORDER",
            Self::OrderRejected => "ORDER_REJECTED",
            Self::BrokerUnavailable => "BROKER_UNAVAILABLE",
        }
    }
}
