//! What a source said: one instruction, read but not yet judged for anybody.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::ids::{ConnectionId, SignalId, SourceId};
use super::instrument::Symbol;
use super::money::{Percent, Price, Quantity};

/// Buy or sell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Takes units for cash.
    Buy,
    /// Gives units for cash.
    Sell,
}

impl Side {
    /// Returns the other side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// Returns the word the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }
}

/// What the source wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Buy.
    Buy,
    /// Sell; the broker decides whether it closes a long or opens a short.
    Sell,
    /// Leave the position in the symbol, wholly or in part.
    Close {
        /// The part to close; absent: all of it (or the instruction's quantity).
        fraction: Option<Percent>,
        /// The direction the source believes it holds; a different one is refused.
        holding: Option<Holding>,
    },
    /// Give the open position in the symbol the instruction's stop or targets.
    Modify,
}

impl Action {
    /// Returns the word the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
            Self::Close { .. } => "close",
            Self::Modify => "modify",
        }
    }
}

/// The direction of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holding {
    /// Owned.
    Long,
    /// Owed.
    Short,
}

/// How an order executes (FR-004).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OrderKind {
    /// At the market's price.
    Market,
    /// At `limit` or better.
    Limit {
        /// Worst price.
        limit: Price,
    },
    /// A market order once `trigger` trades.
    Stop {
        /// Price that wakes the order.
        trigger: Price,
    },
    /// A limit order once `trigger` trades.
    StopLimit {
        /// Price that wakes the order.
        trigger: Price,
        /// Worst price.
        limit: Price,
    },
    /// A stop that follows the best price at a distance.
    TrailingStop {
        /// The distance.
        trail: Trail,
    },
    /// Two exits of which only one can happen: at `limit` or better, or at the market once `trigger` trades.
    Oco {
        /// Where to leave with a profit.
        limit: Price,
        /// Where to leave with a loss.
        trigger: Price,
    },
}

impl OrderKind {
    /// Returns the word the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Market => "market",
            Self::Limit { .. } => "limit",
            Self::Stop { .. } => "stop",
            Self::StopLimit { .. } => "stop_limit",
            Self::TrailingStop { .. } => "trailing_stop",
            Self::Oco { .. } => "oco",
        }
    }

    /// Returns the worst price named, if any.
    #[must_use]
    pub const fn limit(self) -> Option<Price> {
        match self {
            Self::Limit { limit } | Self::StopLimit { limit, .. } | Self::Oco { limit, .. } => Some(limit),
            Self::Market | Self::Stop { .. } | Self::TrailingStop { .. } => None,
        }
    }

    /// Returns the trigger price, if any.
    #[must_use]
    pub const fn trigger(self) -> Option<Price> {
        match self {
            Self::Stop { trigger } | Self::StopLimit { trigger, .. } | Self::Oco { trigger, .. } => {
                Some(trigger)
            }
            Self::Market | Self::Limit { .. } | Self::TrailingStop { .. } => None,
        }
    }
}

/// How far a trailing stop stays behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trail {
    /// In the account's currency.
    Amount(Price),
    /// In per cent of the best price.
    Percent(Percent),
}

impl Trail {
    /// Returns where the stop stands behind the best price: a sale's below it, a purchase's above.
    ///
    /// A share of the price is rounded to `tick`, and no stop stands below one.
    #[must_use]
    pub fn behind(self, best: Price, side: Side, tick: Price) -> Price {
        match (self, side) {
            (Self::Amount(far), Side::Sell) => best.moved(-far.get(), tick),
            (Self::Amount(far), Side::Buy) => best.moved(far.get(), tick),
            (Self::Percent(far), Side::Sell) => best.shifted(far.negated(), tick),
            (Self::Percent(far), Side::Buy) => best.shifted(far, tick),
        }
    }
}

/// A protective price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// At this price.
    At(Price),
    /// This far from the entry.
    Distance(Percent),
    /// At the entry.
    BreakEven,
    /// So far behind the best price since.
    Trailing(Trail),
}

/// One instruction as a careful human would read it; nothing in it is guessed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instruction {
    /// What to do.
    pub action: Action,
    /// In what.
    pub symbol: Symbol,
    /// How much; absent: the risk settings size the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// How.
    pub kind: OrderKind,
    /// The price the sender saw; never a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Price>,
    /// Where to leave with a loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_loss: Option<Level>,
    /// Where to leave with a profit, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub take_profits: Vec<Level>,
    /// At which of the follower's accounts; absent: see [`super::routing`]. Only a person's own order names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<ConnectionId>,
    /// At which broker, or account by its name; absent: the follower's own choice counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Leverage asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leverage: Option<Decimal>,
}

/// Where a signal came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A webhook.
    Tradingview,
    /// The API or the dashboard: a person's own order.
    Manual,
    /// The engine itself: a stop, a target, an exit.
    Engine,
}

impl Origin {
    /// Every origin of signals, for metrics that start at zero.
    pub const ALL: [Self; 2] = [Self::Tradingview, Self::Manual];

    /// Returns the word used in the API and as a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tradingview => "tradingview",
            Self::Manual => "manual",
            Self::Engine => "engine",
        }
    }
}

/// What makes two deliveries the same one (`DESIGN` 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryKey {
    /// The body named itself (an id or a bar time): the same one is a repeat however late.
    Named(#[serde(with = "hex16")] u128),
    /// Nothing but the bytes: identical bytes within 60 s are a repeat.
    Bytes(#[serde(with = "hex16")] u128),
}

impl DeliveryKey {
    /// Seconds within which identical bytes are a repeat.
    pub const WINDOW_S: i64 = 60;

    /// Returns whether a delivery at `now` repeats the one first seen at `first`.
    #[must_use]
    pub fn repeats(self, first: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        match self {
            Self::Named(_) => true,
            Self::Bytes(_) => (now - first).num_seconds() <= Self::WINDOW_S,
        }
    }

    /// Returns the key as index bytes.
    #[must_use]
    pub fn bytes(self) -> [u8; 17] {
        let (tag, hash) = match self {
            Self::Named(hash) => (b'n', hash),
            Self::Bytes(hash) => (b'b', hash),
        };
        let mut key = [tag; 17];
        if let Some(rest) = key.get_mut(1..) {
            rest.copy_from_slice(&hash.to_be_bytes());
        }
        key
    }
}

mod hex16 {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
    }
}

/// One accepted delivery.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Its id; told to the sender.
    pub id: SignalId,
    /// Who said it.
    pub source: SourceId,
    /// By which door.
    pub origin: Origin,
    /// When its last byte was read.
    pub received_at: DateTime<Utc>,
    /// What recognises a repeat.
    pub delivery: DeliveryKey,
    /// What it said.
    pub instruction: Instruction,
}
