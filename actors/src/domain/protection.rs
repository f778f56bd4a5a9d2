//! What protects a position: where to leave it with a loss, where with a profit.
//!
//! [`Protection`] is the plan, kept in the log. [`converge`] compares it with the orders that are out and says what to
//! do next; it is asked again after every event, so that it needs no memory and a crash costs nothing.

mod change;
mod converge;
mod entry;
mod guard;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use change::{Held, ProtectionChange, Unfit};
pub use converge::{Exit, Move, View, converge, covered, live, waiting};
pub use entry::{after_fill, level};
pub use guard::{Guard, Judged};

use super::ids::{ConnectionId, SignalId};
use super::instrument::Symbol;
use super::money::{Net, Price, Quantity};
use super::signal::{Side, Trail};

/// What protects one open position. Whatever of it the broker cannot hold is watched by us.
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

/// A position's protection, with the position it is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Protected {
    /// At which account.
    pub connection: ConnectionId,
    /// In what.
    pub symbol: Symbol,
    /// What protects it.
    pub protection: Protection,
}

/// A level that a price has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The stop.
    Stop,
    /// The target of that number.
    Target(u8),
}

impl std::fmt::Display for Protection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.stop, self.trail) {
            (Some(stop), None) => write!(f, "stop {stop}")?,
            (Some(stop), Some(_)) => write!(f, "trailing stop, now {stop}")?,
            (None, Some(_)) => f.write_str("trailing stop")?,
            (None, None) => f.write_str("no stop")?,
        }
        let mut before = "; targets ";
        for target in &self.targets {
            write!(f, "{before}{}", target.price)?;
            before = ", ";
        }
        Ok(())
    }
}

impl Protection {
    /// Returns a plan without any level.
    #[must_use]
    pub const fn new(signal: SignalId, opened: Quantity) -> Self {
        Self { signal, opened, stop: None, trail: None, targets: Vec::new(), leave: None }
    }

    /// Returns whether the position is to be left at a loss somewhere.
    #[must_use]
    pub const fn has_stop(&self) -> bool {
        self.stop.is_some() || self.trail.is_some()
    }

    /// Returns how much of each target's share is still to be taken from a position of `size`, in order.
    ///
    /// Shares are equal and whole lots, and the last takes what is left over; a position that was trimmed since takes
    /// it off the last targets first.
    #[must_use]
    pub fn shares(&self, size: Quantity, lot: Quantity) -> Vec<Quantity> {
        let count = rust_decimal::Decimal::from(self.targets.len());
        let each = self.opened.get().checked_div(count).map_or(Quantity::ZERO, Quantity::at_least_zero);
        let each = each.floor_to(lot);
        let mut left = size;
        let mut unassigned = self.opened;
        let last = self.targets.len().saturating_sub(1);
        let mut shares = Vec::with_capacity(self.targets.len());
        for (place, target) in self.targets.iter().enumerate() {
            let share = if place == last { unassigned } else { each };
            unassigned = unassigned.less(share);
            let open = share.less(target.done).min(left);
            left = left.less(open);
            shares.push(open);
        }
        shares
    }

    /// Returns the first level that `price` has reached, for a position of direction `net`: stops go first.
    ///
    /// `shares` are what [`Protection::shares`] returns: a target whose share is gone is none any more.
    #[must_use]
    pub fn reached(&self, net: Net, price: Price, shares: &[Quantity]) -> Option<Reached> {
        let long = !net.is_short();
        if self.stop.is_some_and(|stop| if long { price <= stop } else { price >= stop }) {
            return Some(Reached::Stop);
        }
        let mut open = self.targets.iter().zip(shares).zip(0_u8..).filter(|((_, share), _)| !share.is_zero());
        open.find(|((target, _), _)| if long { price >= target.price } else { price <= target.price })
            .map(|(_, number)| Reached::Target(number))
    }

    /// Returns where a trailing stop stands after `price`; `None`: it has not moved, or there is none.
    ///
    /// It only ever moves in the position's favour.
    #[must_use]
    pub fn trailed(&self, net: Net, price: Price, tick: Price) -> Option<Price> {
        let stop = self.trail?.behind(price, exit_side(net), tick);
        let better = self.stop.is_none_or(|known| if net.is_short() { stop < known } else { stop > known });
        better.then_some(stop)
    }
}

/// Returns the side of an order that leaves a position.
#[must_use]
pub fn exit_side(net: Net) -> Side {
    if net.is_short() { Side::Buy } else { Side::Sell }
}
