//! An order for the brokers' tests: a test names the fields that it is about, and takes the rest from here.

use uuid::Uuid;

use trade_actors::domain::ids::{ClientOrderId, ConnectionId, SignalId, UserId};
use trade_actors::domain::money::Quantity;
use trade_actors::domain::order::{Purpose, Ticket, TimeInForce};
use trade_actors::domain::signal::{OrderKind, Origin, Side};

/// Returns the simplest order there is: user 1 buys 10 AAPL at the market, at account 2.
pub(super) fn ticket() -> Ticket {
    let id = Uuid::from_u128;
    let (user, connection, signal) = (UserId::new(id(1)), ConnectionId::new(id(2)), SignalId::new(id(3)));
    Ticket {
        id: ClientOrderId::derive(user, connection, signal, 0),
        user,
        signal,
        origin: Origin::Manual,
        connection,
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
