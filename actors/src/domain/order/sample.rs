//! An order for tests: a test names the fields that it is about, and takes the rest from here.

use uuid::Uuid;

use super::{Purpose, Ticket, TimeInForce};
use crate::domain::ids::{ClientOrderId, ConnectionId, SignalId, UserId};
use crate::domain::money::Quantity;
use crate::domain::signal::{OrderKind, Origin, Side};

impl Ticket {
    /// Returns the simplest order there is: it buys 10 AAPL at the market.
    pub(crate) fn sample() -> Self {
        let nil = Uuid::nil();
        Self {
            id: ClientOrderId::new(Uuid::from_u128(7)),
            user: UserId::new(nil),
            signal: SignalId::new(nil),
            origin: Origin::Tradingview,
            connection: ConnectionId::new(nil),
            symbol: "AAPL".parse().unwrap(),
            side: Side::Buy,
            quantity: Quantity::at_least_zero(10.into()),
            kind: OrderKind::Market,
            time_in_force: TimeInForce::Day,
            extended_hours: false,
            purpose: Purpose::Signal,
            reduces: false,
            stop_loss: None,
            take_profits: Vec::new(),
        }
    }
}
