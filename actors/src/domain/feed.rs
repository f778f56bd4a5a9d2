//! The signal feed: what arrived and what became of it, for one user.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{ClientOrderId, SignalId, SourceId, UserId};
use super::order::{Order, OrderStatus};
use super::signal::{Instruction, Origin, Signal};

/// A row of a user's feed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedRow {
    /// The record that began it; orders the feed.
    pub seq: u64,
    /// The signal; absent when the delivery could not be read.
    pub signal: Option<SignalId>,
    /// From where.
    pub source: SourceId,
    /// By which door.
    pub origin: Origin,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// What it said; absent when it could not be read.
    pub instruction: Option<Instruction>,
    /// What became of it.
    pub outcome: Outcome,
    /// How often the same delivery came again.
    #[serde(default)]
    pub repeats: u32,
    /// The body, shortened, secrets masked.
    #[serde(default)]
    pub excerpt: String,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Not decided yet.
    Pending,
    /// It became an order.
    Accepted {
        /// The order.
        order: ClientOrderId,
    },
    /// It changed what protects a position.
    Applied {
        /// What protects the position now, in words.
        detail: String,
    },
    /// It was read, and denied by a rule or ended undone at the broker.
    Rejected {
        /// The order; absent: it was to become none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        order: Option<ClientOrderId>,
        /// Stable code.
        code: String,
        /// Why.
        reason: String,
    },
    /// It could not be read.
    Refused {
        /// Stable code.
        code: String,
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// Returns what became of a signal whose order stands as `order` does: one that ended without any fill for another
    /// reason than a cancel came to nothing.
    #[must_use]
    pub fn of(order: &Order) -> Self {
        let id = order.ticket.id;
        let ended =
            matches!(order.status, OrderStatus::Rejected | OrderStatus::Expired | OrderStatus::Failed);
        match (&order.code, &order.reason) {
            (Some(code), Some(reason)) if ended && order.cum_qty.is_zero() => {
                Self::Rejected { order: Some(id), code: code.clone(), reason: reason.clone() }
            }
            _ => Self::Accepted { order: id },
        }
    }

    /// Returns whether nothing was or will be traded.
    #[must_use]
    pub const fn is_negative(&self) -> bool {
        matches!(self, Self::Rejected { .. } | Self::Refused { .. })
    }
}

/// A signal and how far its followers are decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SignalEntry {
    /// The signal.
    pub signal: Signal,
    /// Who owns the source.
    pub owner: UserId,
    /// The record that began it.
    pub seq: u64,
    /// For how many followers it is to be decided.
    pub recipients: u32,
    /// For how many it is.
    pub decided: u32,
    /// The body, shortened, secrets masked.
    pub excerpt: String,
}

/// Where signals come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its id.
    pub id: SourceId,
    /// Whose it is.
    pub owner: UserId,
    /// Shown name.
    pub name: String,
    /// How often its URL was replaced.
    pub version: u32,
    /// SHA-256 of the URL's secret, in hexadecimal; absent for a source without a URL.
    pub token_hash: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}
