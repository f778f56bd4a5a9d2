//! What protects a position: where to leave it with a loss, where with a profit.

use serde::{Deserialize, Serialize};

use super::ids::{ConnectionId, SignalId};
use super::instrument::Symbol;
use super::money::{Price, Quantity};
use super::signal::Trail;

/// What protects it for one open position. Whatever of it the broker cannot hold is watched by us.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Protection {
    /// The signal that opened the position.
    pub signal: SignalId,
    /// How much was opened under this plan in all; targets take their shares of it.
    pub opened: Quantity,
    /// Where the position is left with a loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Price>,
    /// How far the stop stays behind the best price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trail: Option<Trail>,
    /// Where parts of it are left with a profit, in order; each takes an equal share.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// Why the position is to be left now, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leave: Option<String>,
}

/// One place to take a profit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// At this price or better.
    pub price: Price,
    /// How much of its share is gone, by the target or by the stop beside it.
    #[serde(default)]
    pub done: Quantity,
}

/// A plan with the position it is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Protected {
    /// At which account.
    pub connection: ConnectionId,
    /// In what.
    pub symbol: Symbol,
    /// What protects it.
    pub protection: Protection,
}
