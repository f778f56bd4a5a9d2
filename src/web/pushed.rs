//! When a fill was first written to a screen: the last stage of the flight recorder, kept in memory only.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use trade_actors::domain::ids::ClientOrderId;
use trade_actors::domain::stages::Stamp;

/// Orders remembered; the oldest goes first.
const ORDERS: usize = 65_536;

/// The first time an order's fill was written to a socket.
#[derive(Debug, Default)]
pub(crate) struct Pushed(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    at: HashMap<ClientOrderId, Stamp>,
    order: VecDeque<ClientOrderId>,
}

impl Pushed {
    /// Remembers a write; returns whether it was the first for the order.
    pub(crate) fn record(&self, order: ClientOrderId, at: Stamp) -> bool {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.at.contains_key(&order) {
            return false;
        }
        if inner.order.len() >= ORDERS
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.at.remove(&oldest);
        }
        inner.order.push_back(order);
        inner.at.insert(order, at);
        true
    }

    /// Returns when an order's fill was first written.
    #[must_use]
    pub(crate) fn get(&self, order: ClientOrderId) -> Option<Stamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).at.get(&order).copied()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_first_write_counts_and_the_oldest_order_goes() {
        let pushed = Pushed::default();
        let id = |number: usize| ClientOrderId::new(Uuid::from_u128(number as u128));
        assert!(pushed.record(id(0), Stamp(5)) && !pushed.record(id(0), Stamp(9)));
        assert_eq!(pushed.get(id(0)), Some(Stamp(5)));
        for number in 1..=ORDERS {
            assert!(pushed.record(id(number), Stamp(1)));
        }
        assert_eq!(pushed.get(id(0)), None);
        assert_eq!(pushed.get(id(ORDERS)), Some(Stamp(1)));
    }
}
