//! The paper broker's book: an account folded from events, and the decisions that make new ones.

mod dealing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

pub use dealing::{Listing, Terms, Trails};

use super::event::Event;
use super::ids::{BrokerOrderId, ClientOrderId, ConnectionId};
use super::instrument::Symbol;
use super::money::{Money, Net, Price, Quantity};
use super::order::Fill;
use super::portfolio::Balance;
use super::position::Position;
use super::report::{OrderReport, ReportedState};
use super::signal::{OrderKind, Side};

/// An account at the paper broker. The same events always make the same account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PaperAccount {
    /// Whose.
    pub connection: ConnectionId,
    /// Cash; negative on margin.
    pub cash: Money,
    /// Open positions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub positions: Vec<Position>,
    /// Orders in the book.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub open: BTreeMap<ClientOrderId, Resting>,
}

/// An order in the book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resting {
    /// In what.
    pub symbol: Symbol,
    /// Which way.
    pub side: Side,
    /// How much in all.
    pub quantity: Quantity,
    /// How.
    pub kind: OrderKind,
    /// How much is done.
    pub cum_qty: Quantity,
    /// In how many executions.
    pub fills: u32,
    /// Whether the trigger was passed; only stop orders have one.
    pub triggered: bool,
}

impl Resting {
    /// Returns what is still to be done.
    #[must_use]
    pub fn leaves_qty(&self) -> Quantity {
        self.quantity.less(self.cum_qty)
    }

    /// Returns the price at which the rest is reserved: the worst it names, else the last price.
    fn reserve_price(&self, last: Option<Price>) -> Option<Price> {
        let named = self.kind.limit().or(self.kind.trigger());
        match self.side {
            Side::Buy => named.or(last),
            Side::Sell => named.max(last),
        }
    }
}

/// Returns the paper broker's id of an order; it follows from ours.
#[must_use]
pub fn broker_order_id(order: ClientOrderId) -> BrokerOrderId {
    let hex = order.uuid().simple().to_string();
    BrokerOrderId::new(format!("paper-{}", hex.get(..12).unwrap_or(&hex)))
}

/// Returns what the paper broker says of an order once `event` is folded in, with all executions so far.
///
/// An event that is not about a paper order changes nothing. The balance is left out: it is of the moment of asking.
#[must_use]
pub fn report(event: &Event, before: Option<OrderReport>) -> Option<OrderReport> {
    if let Event::PaperBooked { order, broker_order, state, fills, .. } = event {
        return Some(OrderReport {
            order: *order,
            broker_order: broker_order.clone(),
            state: state.clone(),
            fills: fills.clone(),
            done: None,
            balance: None,
        });
    }
    let Event::PaperMoved { order, state, fills, .. } = event else { return before };
    let mut all = before.map(|before| before.fills).unwrap_or_default();
    all.extend(fills.iter().cloned());
    Some(OrderReport {
        order: *order,
        broker_order: broker_order_id(*order),
        state: state.clone(),
        fills: all,
        done: None,
        balance: None,
    })
}

impl PaperAccount {
    /// Returns an account that is not yet opened: without cash.
    #[must_use]
    pub const fn new(connection: ConnectionId) -> Self {
        Self { connection, cash: Money::ZERO, positions: Vec::new(), open: BTreeMap::new() }
    }

    /// Folds one event; those of other accounts, and of other kinds, change nothing.
    pub fn apply(&mut self, event: &Event, at: DateTime<Utc>) {
        if let Event::PaperOpened { connection, cash } = event
            && *connection == self.connection
        {
            self.cash += *cash;
        }
        if let Event::PaperBooked { connection, order, symbol, side, quantity, kind, state, fills, .. } =
            event
            && *connection == self.connection
        {
            let resting = Resting {
                symbol: *symbol,
                side: *side,
                quantity: *quantity,
                kind: *kind,
                cum_qty: Quantity::ZERO,
                fills: 0,
                triggered: false,
            };
            self.execute(*order, resting, state, fills, at);
        }
        if let Event::PaperMoved { connection, order, state, fills } = event
            && *connection == self.connection
            && let Some(mut resting) = self.open.remove(order)
        {
            // A move that neither ends nor fills an order says that its trigger was passed.
            resting.triggered |= fills.is_empty();
            self.execute(*order, resting, state, fills, at);
        }
    }

    fn execute(
        &mut self,
        order: ClientOrderId,
        mut resting: Resting,
        state: &ReportedState,
        fills: &[Fill],
        at: DateTime<Utc>,
    ) {
        for fill in fills {
            resting.cum_qty += fill.quantity;
            resting.fills = resting.fills.saturating_add(1);
            resting.triggered = true;
            self.settle(resting.symbol, resting.side, fill, at);
        }
        if *state == ReportedState::Open {
            self.open.insert(order, resting);
        }
    }

    fn settle(&mut self, symbol: Symbol, side: Side, fill: &Fill, at: DateTime<Utc>) {
        let cost = fill.price.notional(fill.quantity);
        self.cash -= fill.fee;
        match side {
            Side::Buy => self.cash -= cost,
            Side::Sell => self.cash += cost,
        }
        let held = self.positions.iter().position(|position| position.symbol == symbol);
        let before = match held {
            Some(index) => self.positions.remove(index),
            None => Position::flat(self.connection, symbol, at),
        };
        let after = before.after(side, fill);
        if !after.net.is_flat() {
            self.positions.push(after);
        }
    }

    /// Returns how much of a symbol is held.
    #[must_use]
    pub fn net(&self, symbol: Symbol) -> Net {
        self.positions
            .iter()
            .find(|position| position.symbol == symbol)
            .map_or(Net::FLAT, |position| position.net)
    }

    /// Returns the balance at the latest prices; a position without a price counts at cost.
    ///
    /// Buying power is leverage times equity, less what positions and open entry orders take of it; at least zero.
    #[must_use]
    pub fn balance(
        &self,
        price_of: &dyn Fn(Symbol) -> Option<Price>,
        terms: &Terms,
        now: DateTime<Utc>,
    ) -> Balance {
        let headroom = self.headroom(price_of, terms) + self.reserved(price_of);
        let buying_power = if headroom > Money::ZERO { headroom } else { Money::ZERO };
        Balance { cash: self.cash, equity: self.equity(price_of), buying_power, at: now }
    }

    fn equity(&self, price_of: &dyn Fn(Symbol) -> Option<Price>) -> Money {
        self.cash + self.positions.iter().map(|position| worth(position, price_of)).sum()
    }

    /// Returns buying power before it is floored: below zero once losses have eaten into the margin.
    fn headroom(&self, price_of: &dyn Fn(Symbol) -> Option<Price>, terms: &Terms) -> Money {
        let power = terms.leverage.saturating_mul(self.equity(price_of).get());
        let exposure: Money =
            self.positions.iter().map(|position| Money::new(worth(position, price_of).get().abs())).sum();
        Money::new(power) - exposure - self.reserved(price_of)
    }

    /// Returns what open orders would add to the exposure. What closes a position reserves nothing, and of several
    /// orders only as much closes as is held.
    fn reserved(&self, price_of: &dyn Fn(Symbol) -> Option<Price>) -> Money {
        let mut closing: BTreeMap<(Symbol, bool), Quantity> = BTreeMap::new();
        let mut reserved = Money::ZERO;
        for resting in self.open.values() {
            let symbol = resting.symbol;
            let room = closing
                .entry((symbol, resting.side == Side::Buy))
                .or_insert_with(|| against(self.net(symbol), resting.side));
            let opens = resting.leaves_qty().less(*room);
            *room = room.less(resting.leaves_qty());
            if let Some(price) = resting.reserve_price(price_of(symbol)) {
                reserved += price.notional(opens);
            }
        }
        reserved
    }

    /// Returns how much of a position an order of `side` can still close beside the orders already open.
    fn closable(&self, symbol: Symbol, side: Side) -> Quantity {
        let same = self.open.values().filter(|resting| resting.symbol == symbol && resting.side == side);
        same.fold(against(self.net(symbol), side), |room, resting| room.less(resting.leaves_qty()))
    }
}

fn worth(position: &Position, price_of: &dyn Fn(Symbol) -> Option<Price>) -> Money {
    price_of(position.symbol).map_or(position.cost, |price| position.net.value(price))
}

/// Returns how much of a position `side` closes.
fn against(net: Net, side: Side) -> Quantity {
    let closes = match side {
        Side::Buy => net.is_short(),
        Side::Sell => net.get() > Decimal::ZERO,
    };
    if closes { net.size() } else { Quantity::ZERO }
}
