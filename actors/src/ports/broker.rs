//! What the engine asks of a broker. Every venue, and the paper broker, is one implementation.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

use crate::domain::ids::{BrokerOrderId, ConnectionId, UserId};
use crate::domain::instrument::Symbol;
use crate::domain::money::Quantity;
use crate::domain::order::{Order, Ticket};
use crate::domain::portfolio::{Balance, Quote};
use crate::domain::position::Position;
use crate::domain::report::{OrderReport, Refusal, RefusalCode};
use crate::domain::signal::OrderKind;
use crate::ports::market::Market;

/// Why a request to a broker has no good answer; each variant is what the caller may do next.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The broker provably never received it: send again after the delay.
    #[error("the broker was not reached")]
    NotReceived {
        /// Why: too many requests, or nobody there.
        code: RefusalCode,
        /// How long to wait.
        retry_after: Duration,
    },
    /// It was held back here: half of what the broker allows in a while is used up (FR-016), or the broker said that it
    /// had too much. Send it later.
    #[error("it was held back, as the broker is asked no more for now")]
    HeldBack {
        /// When it may be sent, if nothing else is before it.
        wait: Duration,
        /// How far apart requests are sent after that.
        pace: Duration,
    },
    /// The broker may have acted: look the order up, never send it again.
    #[error("the broker's answer was lost: {0}")]
    Unknown(String),
    /// The broker says that it has an order of this id, and does not show it: look it up, never send it again. What it
    /// said is final if it never shows one.
    #[error(transparent)]
    Taken(Refusal),
    /// The broker documents that it did nothing: final.
    #[error(transparent)]
    Refused(Refusal),
}

/// What a broker tells by itself.
#[derive(Clone, Debug)]
pub enum Told {
    /// News of an order.
    Report(Box<OrderReport>),
    /// The stream of reports is open again after a gap: what was missed has to be asked for.
    Resumed,
}

/// Hears what a broker tells by itself; returns at once.
pub type Listener = Box<dyn Fn(Told) + Send + Sync>;

/// How long an order id of ours stays taken at a venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdScope {
    /// For ever: the same id sent again can never be a second order.
    Forever,
    /// Only while the order is open: the same id sent again may be a second order.
    WhileOpen,
    /// The venue takes no ids of ours.
    Absent,
}

/// What a venue promises about orders and their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promises {
    /// Whether a look-up that finds nothing proves that the broker has nothing.
    ///
    /// Most venues show an order only a moment after they took it.
    pub shows_orders_at_once: bool,
    /// How long an id of ours stays taken.
    pub ids: IdScope,
}

/// An order of ours that a broker may have.
///
/// Some venues find an order only by symbol and id, and some take no ids of ours: those find it by what it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// What was sent.
    pub ticket: Ticket,
    /// The broker's id of it, as far as it told one.
    pub known_as: Option<BrokerOrderId>,
    /// When it was decided: the broker cannot have it from an earlier time.
    pub created_at: DateTime<Utc>,
}

impl Placed {
    /// Returns what is known of an order that may have been sent.
    #[must_use]
    pub fn of(order: &Order) -> Self {
        Self {
            ticket: order.ticket.clone(),
            known_as: order.broker_order.clone(),
            created_at: order.created_at,
        }
    }
}

/// One account at one broker.
pub trait Broker: Send + Sync + std::fmt::Debug {
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
    fn cancel(&self, order: Placed) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// Looks an order up; `None`: the broker has never seen it.
    ///
    /// # Errors
    /// See [`BrokerError`]; a failed look-up says nothing about the order.
    fn order(&self, order: Placed) -> BoxFuture<'_, Result<Option<OrderReport>, BrokerError>>;

    /// Returns every open order that carries an id of ours.
    ///
    /// # Errors
    /// See [`BrokerError`]; a failed query says nothing about any order.
    fn open_orders(&self) -> BoxFuture<'_, Result<Vec<OrderReport>, BrokerError>>;

    /// Returns what the venue promises about orders and their ids.
    fn promises(&self) -> Promises;

    /// Returns whether the venue can hold such an order by itself; one it cannot hold is watched by us.
    fn holds(&self, symbol: Symbol, kind: OrderKind, quantity: Quantity) -> bool;

    /// Asks the venue for a symbol's price; `None`: it has none.
    ///
    /// # Errors
    /// See [`BrokerError`].
    fn quote(&self, symbol: Symbol) -> BoxFuture<'_, Result<Option<Quote>, BrokerError>>;

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

    /// Asks until when the account can be traded at unless its owner does something; `None`: no end is known.
    ///
    /// # Errors
    /// See [`BrokerError`].
    fn runway(&self) -> BoxFuture<'_, Result<Option<DateTime<Utc>>, BrokerError>> {
        Box::pin(async { Ok(None) })
    }

    /// Tells `to` all that happens at this account from now on; a second call replaces the first.
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
    ) -> Result<Arc<dyn Broker>, UnknownBroker>;

    /// Returns what can be traded at a broker, with prices and hours; `None`: there is no such broker here.
    fn market(&self, broker: &str) -> Option<Arc<dyn Market>>;
}

/// No such broker here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no broker is called {0:?} here")]
pub struct UnknownBroker(pub String);
