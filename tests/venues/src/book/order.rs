//! An order's words, and one order's life.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An order's number in this book, counted from one. The venue dresses it up as its own kind of id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub u64);

/// Which way an order trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Cash becomes position.
    Buy,
    /// Position becomes cash.
    Sell,
}

impl Side {
    /// Returns the other side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// Returns the quantity as it changes a position: negative for a sale.
    #[must_use]
    pub fn signed(self, qty: Decimal) -> Decimal {
        match self {
            Self::Buy => qty,
            Self::Sell => -qty,
        }
    }
}

/// How far a trailing stop stays behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trail {
    /// By an amount of money.
    Price(Decimal),
    /// By a percentage of the best price so far.
    Percent(Decimal),
}

/// At what price an order may trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// At any.
    Market,
    /// At this one or better.
    Limit {
        /// The worst price.
        limit: Decimal,
    },
    /// At any, once the last price has reached the stop.
    Stop {
        /// What wakes it.
        stop: Decimal,
    },
    /// At the limit or better, once the last price has reached the stop.
    StopLimit {
        /// What wakes it.
        stop: Decimal,
        /// The worst price.
        limit: Decimal,
    },
    /// At any, once the last price has come back from its best by the trail.
    TrailingStop {
        /// How far.
        trail: Trail,
    },
}

impl Kind {
    /// Returns the worst price it may trade at, if it has one.
    #[must_use]
    pub fn limit(self) -> Option<Decimal> {
        match self {
            Self::Limit { limit } | Self::StopLimit { limit, .. } => Some(limit),
            Self::Market | Self::Stop { .. } | Self::TrailingStop { .. } => None,
        }
    }

    /// Returns the fixed price that wakes it, if it has one.
    #[must_use]
    pub fn stop(self) -> Option<Decimal> {
        match self {
            Self::Stop { stop } | Self::StopLimit { stop, .. } => Some(stop),
            Self::Market | Self::Limit { .. } | Self::TrailingStop { .. } => None,
        }
    }
}

/// How long an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tif {
    /// Until the session it stood in ends.
    Day,
    /// Until canceled, or 90 days.
    Gtc,
    /// In the opening auction only.
    Opg,
    /// In the closing auction only.
    Cls,
    /// What trades at once; the rest is canceled.
    Ioc,
    /// All at once, or nothing.
    Fok,
}

/// How much an order is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// So many units.
    Qty(Decimal),
    /// As much as this amount of money is worth when it first trades.
    Notional(Decimal),
}

/// What an order is to others of its family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Nothing.
    #[default]
    Simple,
    /// An entry and its two exits.
    Bracket,
    /// Two exits of a position: one cancels the other.
    Oco,
    /// An entry and its one exit.
    Oto,
}

/// Where an order is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Taken; its market is closed.
    Accepted,
    /// Taken; its entry has not filled.
    Held,
    /// In the market.
    New,
    /// In the market, a part of it traded.
    PartiallyFilled,
    /// In the market still; a cancel is on its way.
    PendingCancel,
    /// All of it traded.
    Filled,
    /// Ended by its owner or its family.
    Canceled,
    /// Ended by time.
    Expired,
    /// Ended by another in its place.
    Replaced,
    /// Ended by the venue.
    Rejected,
}

impl Status {
    /// Returns whether it may still trade or change.
    #[must_use]
    pub fn is_open(self) -> bool {
        match self {
            Self::Accepted | Self::Held | Self::New | Self::PartiallyFilled | Self::PendingCancel => true,
            Self::Filled | Self::Canceled | Self::Expired | Self::Replaced | Self::Rejected => false,
        }
    }

    /// Returns whether it stands in the market.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::New | Self::PartiallyFilled | Self::PendingCancel)
    }

    /// Returns its usual name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Held => "held",
            Self::New => "new",
            Self::PartiallyFilled => "partially_filled",
            Self::PendingCancel => "pending_cancel",
            Self::Filled => "filled",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
            Self::Replaced => "replaced",
            Self::Rejected => "rejected",
        }
    }
}

/// What a stop-loss exit is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopLoss {
    /// What wakes it.
    pub stop: Decimal,
    /// The worst price, if it has one.
    pub limit: Option<Decimal>,
}

/// The exits that come with an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exits {
    /// The limit of the exit with a gain.
    pub profit: Option<Decimal>,
    /// The exit with a loss.
    pub loss: Option<StopLoss>,
}

/// The worst price of a trailing stop that is awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrailLimit {
    /// This one.
    At(Decimal),
    /// So far above what woke it, or below if it is negative.
    Off(Decimal),
}

/// Terms that only some venues have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// It is refused if it would trade with who waits.
    pub post_only: bool,
    /// Its fixed stop is a gain's: a sale wakes when the price has risen to it, a purchase when it has fallen.
    pub on_gain: bool,
    /// A trailing stop follows the price only once it has been here: down to it for a sale, up to it for a purchase,
    /// and the other way for a gain.
    pub trails_from: Option<Decimal>,
    /// It only ever makes a position smaller: it trades no more than there is of one, and ends when there is none.
    pub reduces: bool,
    /// What it is worth is looked at when its stop is reached, not before.
    pub unchecked: bool,
    /// The worst price of a trailing stop; any if it is none.
    pub trail_limit: Option<TrailLimit>,
    /// What the venue wants to remember of it.
    pub memo: Value,
}

/// An order as somebody asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// For which account.
    pub account: String,
    /// The client's own name for it; the book makes one up if there is none.
    pub client_order_id: Option<String>,
    /// What is traded.
    pub symbol: String,
    /// Which way.
    pub side: Side,
    /// At what price.
    pub kind: Kind,
    /// How long.
    pub tif: Tif,
    /// How much.
    pub size: Size,
    /// Whether it also trades before and after regular hours.
    pub extended_hours: bool,
    /// What it brings with it.
    pub class: Class,
    /// The exits that come with it.
    pub exits: Exits,
    /// What else was agreed.
    pub terms: Terms,
}

/// When what happened to an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// The last change.
    pub updated: Option<DateTime<Utc>>,
    /// All of it traded.
    pub filled: Option<DateTime<Utc>>,
    /// Its owner or its family ended it.
    pub canceled: Option<DateTime<Utc>>,
    /// Time ended it.
    pub expired: Option<DateTime<Utc>>,
    /// The venue ended it.
    pub failed: Option<DateTime<Utc>>,
    /// Another took its place.
    pub replaced: Option<DateTime<Utc>>,
}

/// An order in the book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its number.
    pub id: OrderId,
    /// What was asked for; the quantity and prices are the current ones.
    pub ticket: Ticket,
    /// The client's name for it, or the one made up.
    pub client_order_id: String,
    /// When it was taken.
    pub created_at: DateTime<Utc>,
    /// When what else happened to it.
    pub times: Times,
    /// Where it is in its life.
    pub status: Status,
    /// How many units it is for; none for an amount of money that has not met a price yet.
    pub qty: Option<Decimal>,
    /// How many units have traded.
    pub filled_qty: Decimal,
    /// What they cost or brought, together.
    pub filled_value: Decimal,
    /// Whether it opens or adds to a position.
    pub opens: bool,
    /// The order that brought it.
    pub parent: Option<OrderId>,
    /// The orders it brought.
    pub legs: Vec<OrderId>,
    /// The order that ends when this one fills.
    pub rival: Option<OrderId>,
    /// The order it took the place of.
    pub replaces: Option<OrderId>,
    /// The order that took its place.
    pub replaced_by: Option<OrderId>,
    /// Whether its stop was reached.
    pub triggered: bool,
    /// What its owner calls the cancel that ended it.
    pub canceled_as: Option<String>,
    /// The best last price a trailing stop has seen.
    pub best: Option<Decimal>,
    /// Why the venue ends it, if it says so.
    pub why: Option<String>,
    /// Not in the market before.
    pub(super) from: Option<DateTime<Utc>>,
    /// Over then.
    pub(super) until: Option<DateTime<Utc>>,
    /// Rejected then, without ever having been in the market.
    pub(super) doomed_at: Option<DateTime<Utc>>,
    /// Whether it waited in the market at its limit: from then on others trade with it.
    pub(super) rested: bool,
    /// How many parts have traded, where orders fill in parts.
    pub(super) parts: u32,
    /// Not to trade before.
    pub(super) next_part_at: Option<DateTime<Utc>>,
    /// When a cancel takes effect.
    pub(super) cancel_at: Option<DateTime<Utc>>,
}

impl Order {
    /// Returns how much is still to trade; zero where that is not known yet.
    #[must_use]
    pub fn leaves(&self) -> Decimal {
        self.qty.map_or(Decimal::ZERO, |qty| qty - self.filled_qty)
    }

    /// Makes it for so much more, or less.
    pub(super) fn resize(&mut self, more: Decimal) {
        if let Some(qty) = &mut self.qty {
            *qty += more;
            self.ticket.size = Size::Qty(*qty);
        }
    }

    /// Returns the average price of what has traded.
    #[must_use]
    pub fn average(&self) -> Option<Decimal> {
        (!self.filled_qty.is_zero()).then(|| (self.filled_value / self.filled_qty).normalize())
    }

    /// Returns the worst price it may trade at, if it has one; a trailing stop may have none before it is awake.
    #[must_use]
    pub fn limit(&self) -> Option<Decimal> {
        self.ticket.kind.limit().or_else(|| match self.ticket.terms.trail_limit? {
            TrailLimit::At(limit) => Some(limit),
            TrailLimit::Off(by) => Some(self.stop_price().filter(|_| self.triggered)? + by),
        })
    }

    /// Returns whether it has no stop to wait for, or not any more.
    #[must_use]
    pub fn is_awake(&self) -> bool {
        self.triggered || matches!(self.ticket.kind, Kind::Market | Kind::Limit { .. })
    }

    /// Returns the price that wakes it now: a trailing one moves.
    #[must_use]
    pub fn stop_price(&self) -> Option<Decimal> {
        let Kind::TrailingStop { trail } = self.ticket.kind else { return self.ticket.kind.stop() };
        let best = self.best?;
        let back = match trail {
            Trail::Price(amount) => amount,
            Trail::Percent(percent) => best * percent / Decimal::ONE_HUNDRED,
        };
        Some((best - self.ticket.side.other().signed(back)).normalize())
    }
}
