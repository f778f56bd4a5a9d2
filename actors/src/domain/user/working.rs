//! What open orders may still do, and what they hold back.

use serde::{Deserialize, Serialize};

use super::UserState;
use crate::domain::ids::{ClientOrderId, ConnectionId};
use crate::domain::instrument::Symbol;
use crate::domain::money::{Money, Net, Price, Quantity};
use crate::domain::order::{OrderStep, Purpose, Ticket};
use crate::domain::risk::Decision;

/// What a working order may still do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Working {
    /// At which account.
    pub connection: ConnectionId,
    /// In what.
    pub symbol: Symbol,
    /// Change of position still to come.
    pub leaves: Net,
    /// Price at which the rest is reserved.
    pub price: Price,
    /// Whether it may only reduce a position.
    pub reduces: bool,
    /// What it is for.
    #[serde(default)]
    pub purpose: Purpose,
}

impl Working {
    /// Returns what a new order may still do.
    #[must_use]
    pub fn of(ticket: &Ticket, decision: &Decision) -> Option<Self> {
        Some(Self {
            connection: ticket.connection,
            symbol: ticket.symbol,
            leaves: ticket.signed(ticket.quantity),
            price: decision.price?,
            reduces: ticket.reduces,
            purpose: ticket.purpose,
        })
    }

    /// Returns the buying power it holds back.
    #[must_use]
    pub fn reserved(&self) -> Money {
        if self.reduces { Money::ZERO } else { self.price.notional(self.leaves.size()) }
    }
}

impl UserState {
    /// Folds a step of one of the user's orders.
    pub(super) fn step(&mut self, order: ClientOrderId, step: &OrderStep) {
        match step {
            OrderStep::Amended { quantity, kind, .. } => {
                let Some(working) = self.working.get_mut(&order) else { return };
                working.leaves = signed_like(working.leaves, *quantity);
                working.price = kind.limit().or(kind.trigger()).unwrap_or(working.price);
            }
            OrderStep::Filled { fill } => {
                let Some(working) = self.working.get_mut(&order) else { return };
                let (connection, symbol) = (working.connection, working.symbol);
                if let Some(target) = working.purpose.target()
                    && let Some(cared) = self
                        .protections
                        .iter_mut()
                        .find(|cared| cared.connection == connection && cared.symbol == symbol)
                    && let Some(target) = cared.protection.targets.get_mut(usize::from(target))
                {
                    target.done += fill.quantity;
                }
                let left = working.leaves.size().less(fill.quantity);
                if left.is_zero() {
                    self.working.remove(&order);
                } else {
                    working.leaves = signed_like(working.leaves, left);
                }
            }
            OrderStep::Rejected { .. }
            | OrderStep::Canceled { .. }
            | OrderStep::Expired { .. }
            | OrderStep::Failed { .. } => {
                self.working.remove(&order);
            }
            OrderStep::Accepted { .. }
            | OrderStep::Queued { .. }
            | OrderStep::Released
            | OrderStep::Retried { .. }
            | OrderStep::CancelRequested { .. }
            | OrderStep::Deferred { .. }
            | OrderStep::OutcomeLost { .. } => {}
        }
    }
}

/// Returns `size` in the direction of `sign`.
fn signed_like(sign: Net, size: Quantity) -> Net {
    if sign.is_short() { Net::new(-size.get()) } else { Net::new(size.get()) }
}
