//! Cash, equity and profit of an account.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::instrument::Symbol;
use super::money::{Money, Percent, Price};
use super::position::Position;

/// What a broker says an account holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Settled cash; may be negative on margin.
    pub cash: Money,
    /// Cash and positions at market.
    pub equity: Money,
    /// What orders may cost altogether, before what our open ones hold back.
    ///
    /// A venue that has taken them off already has them added again by its adapter: Risk takes them off itself,
    /// and must not do so twice.
    pub buying_power: Money,
    /// When the broker said so.
    pub at: DateTime<Utc>,
}

/// The latest price of a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// Of what.
    pub symbol: Symbol,
    /// Last price.
    pub price: Price,
    /// Best price a seller gets.
    pub bid: Price,
    /// Best price a buyer pays.
    pub ask: Price,
    /// Change since the day's opening.
    pub change_pct: Percent,
    /// When.
    pub at: DateTime<Utc>,
}

/// A user's money at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Cash.
    pub cash: Money,
    /// Cash and positions at the latest prices.
    pub equity: Money,
    /// What new orders may cost.
    pub buying_power: Money,
    /// Positions at the latest prices.
    pub positions_value: Money,
    /// What the open positions would gain if closed now.
    pub unrealized: Money,
    /// What the closed parts gained.
    pub realized: Money,
    /// Equity less the day's opening equity.
    pub day_pnl: Money,
}

/// Adds an account up at the latest prices; a position without a price counts at cost.
///
/// Cash comes from the broker; what open orders hold back (`reserved`) is taken off buying power.
#[must_use]
pub fn summarize<'a>(
    balance: Option<&Balance>,
    reserved: Money,
    positions: impl Iterator<Item = &'a Position>,
    realized: Money,
    opening_equity: Option<Money>,
    mut price_of: impl FnMut(Symbol) -> Option<Price>,
) -> Summary {
    let cash = balance.map_or(Money::ZERO, |balance| balance.cash);
    let (mut value, mut unrealized) = (Money::ZERO, Money::ZERO);
    for position in positions {
        match price_of(position.symbol) {
            Some(price) => {
                value += position.net.value(price);
                unrealized += position.unrealized(price);
            }
            None => value += position.cost,
        }
    }
    let equity = cash + value;
    Summary {
        cash,
        equity,
        buying_power: balance.map_or(Money::ZERO, |balance| balance.buying_power - reserved),
        positions_value: value,
        unrealized,
        realized,
        day_pnl: opening_equity.map_or(Money::ZERO, |opening| equity - opening),
    }
}
