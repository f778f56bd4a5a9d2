//! Orders that only make positions smaller, and stops that nobody looks at before they are reached.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::{Book, Order, OrderId, Refusal, Side, Status, Ticket};
use crate::account::Account;

impl Book {
    /// Checks an order whose own terms say how; none where what it is worth says it.
    pub(super) fn check_terms(&self, account: &Account, ticket: &Ticket) -> Option<Result<(), Refusal>> {
        if ticket.terms.unchecked {
            return Some(Ok(()));
        }
        let room = closable(account, &ticket.symbol, ticket.side);
        let checked = if room.is_zero() { Err(Refusal::NothingToReduce) } else { Ok(()) };
        ticket.terms.reduces.then_some(checked)
    }

    /// Looks at what an order is worth whose stop was just reached. Returns whether it goes on.
    pub(super) fn check_awake(&mut self, now: DateTime<Utc>, id: OrderId) -> bool {
        let Some(order) = self.orders.get_mut(&id).filter(|order| order.ticket.terms.unchecked) else {
            return true;
        };
        order.ticket.terms.unchecked = false;
        let ticket = order.ticket.clone();
        let checked = self.check_worth(&ticket);
        let Some(order) = self.orders.get_mut(&id) else { return false };
        match checked {
            Ok(opens) => order.opens = opens,
            Err(refusal) => {
                order.why = Some(refusal.to_string());
                self.end(now, id, Status::Rejected);
                return false;
            }
        }
        true
    }

    /// Returns how much of an order may trade now; none: as much as is left.
    pub(super) fn room(&self, order: &Order) -> Option<Decimal> {
        let account = self.accounts.get(&order.ticket.account)?;
        order.ticket.terms.reduces.then(|| closable(account, &order.ticket.symbol, order.ticket.side))
    }

    /// Ends an order that is to reduce a position of which nothing is left.
    pub(super) fn end_if_idle(&mut self, now: DateTime<Utc>, id: OrderId) {
        let idle = self.orders.get(&id).is_some_and(|order| {
            order.status.is_open() && self.room(order).is_some_and(|room| room.is_zero())
        });
        if idle {
            self.end(now, id, Status::Expired);
        }
    }
}

/// Returns how many units an order of a side could close.
fn closable(account: &Account, symbol: &str, side: Side) -> Decimal {
    (-side.signed(account.qty(symbol))).max(Decimal::ZERO)
}
