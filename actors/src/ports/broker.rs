//! What the engine asks of a broker. Every venue, and the paper broker, is one implementation.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::domain::ids::{ClientOrderId, ConnectionId, UserId};
use crate::domain::order::{Mode, Ticket};
use crate::domain::portfolio::Balance;
use crate::domain::position::Position;
use crate::domain::report::{OrderReport, Refusal};

/// Why a request to a broker has no good answer; each variant is what the caller may do next.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The broker provably never received it: send again after the delay.
    #[error("the broker was not reached")]
    NotReceived {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The broker may have acted: look the order up, never send it again.
    #[error("the broker's answer was lost: {0}")]
    Unknown(String),
    /// The broker documents that it did nothing: final.
    #[error(transparent)]
    Refused(Refusal),
}

/// Hears reports; returns at once.
pub type Listener = Box<dyn Fn(OrderReport) + Send + Sync>;

/// One account at one broker.
pub trait Broker: Send + Sync + std::fmt::Debug {
    /// Returns the broker's name, e.g. `paper`.
    fn name(&self) -> &'static str;

    /// Returns whether its money is real.
    fn mode(&self) -> Mode;

    /// Opens the session, and returns the account's balance.
    ///
    /// # Errors
    /// See [`BrokerError`]; nothing was traded.
    fn connect(&self) -> BoxFuture<'_, Result<Balance, BrokerError>>;

    /// Places an order. The same id twice is one order.
    ///
    /// # Errors
    /// See [`BrokerError`].
    fn submit(&self, ticket: Ticket) -> BoxFuture<'_, Result<OrderReport, BrokerError>>;

    /// Asks to cancel an order; the outcome arrives as a report.
    ///
    /// # Errors
    /// See [`BrokerError`].
    fn cancel(&self, order: ClientOrderId) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Looks an order up by our id; `None`: the broker has never seen it.
    ///
    /// # Errors
    /// See [`BrokerError`]; a failed look-up says nothing about the order.
    fn order(&self, order: ClientOrderId) -> BoxFuture<'_, Result<Option<OrderReport>, BrokerError>>;

    /// Returns whether a look-up that finds nothing proves that the broker has nothing.
    ///
    /// Most venues show an order only a moment after they took it, so no.
    fn shows_orders_at_once(&self) -> bool {
        false
    }

    /// Returns the account's balance.
    ///
    /// # Errors
    /// See [`BrokerError`].
    fn balance(&self) -> BoxFuture<'_, Result<Balance, BrokerError>>;

    /// Returns the open positions as the broker sees them.
    ///
    /// # Errors
    /// See [`BrokerError`]; a failed query is not "flat".
    fn positions(&self) -> BoxFuture<'_, Result<Vec<Position>, BrokerError>>;

    /// Tells `to` every later report of this account; a second call replaces the first.
    fn stream(&self, to: Listener);
}

/// Opens broker accounts.
pub trait Brokers: Send + Sync + std::fmt::Debug {
    /// Returns the account of a connection, not yet connected.
    ///
    /// # Errors
    /// When the broker is not one of those built in, with its name.
    fn open(
        &self,
        user: UserId,
        connection: ConnectionId,
        broker: &str,
    ) -> Result<std::sync::Arc<dyn Broker>, UnknownBroker>;
}

/// No such broker here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no broker is called {0:?} here")]
pub struct UnknownBroker(pub String);
