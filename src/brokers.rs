//! The brokers built in, by name.

use std::sync::Arc;

use trade_actors::domain::ids::{ConnectionId, UserId};
use trade_actors::domain::order::Mode;
use trade_actors::ports::broker::{Broker, Brokers, UnknownBroker};
use trade_actors::ports::market::Market;
use trade_actors::ports::store::StoreError;

pub mod accounts;
pub mod alpaca;
pub mod bucket;
pub mod dial;
pub mod paper;
pub mod probe;
#[cfg(test)]
mod sample;

/// The sealed credentials of connections.
pub trait Secrets: Send + Sync + std::fmt::Debug {
    /// Returns the credentials of a connection at Alpaca, and whether they are for real money; `None`: there are none.
    ///
    /// # Errors
    /// When they cannot be read.
    fn alpaca(
        &self,
        user: UserId,
        connection: ConnectionId,
    ) -> Result<Option<(alpaca::AlpacaCredentials, Mode)>, StoreError>;
}

/// A program that keeps no credentials: every account outside asks to be connected.
#[derive(Clone, Copy, Debug)]
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn alpaca(
        &self,
        _: UserId,
        _: ConnectionId,
    ) -> Result<Option<(alpaca::AlpacaCredentials, Mode)>, StoreError> {
        Ok(None)
    }
}

/// Makes the account of one connection at one broker.
pub type Constructor = fn(&BuiltIn, UserId, ConnectionId) -> Arc<dyn Broker>;

/// Returns what can be traded at one broker, with prices and hours.
pub type Prices = fn(&BuiltIn) -> Arc<dyn Market>;

/// Every broker's name, how its accounts are made, and its market.
pub const BROKERS: &[(&str, Constructor, Prices)] = &[
    (paper::NAME, |all, user, account| all.paper.account(user, account), |all| all.paper.market()),
    (alpaca::NAME, |all, user, account| all.alpaca.account(user, account), |all| all.alpaca.market()),
];

/// The brokers built in, with what each needs.
#[derive(Debug)]
pub struct BuiltIn {
    /// The paper broker.
    pub paper: paper::PaperBrokers,
    /// Alpaca.
    pub alpaca: Arc<alpaca::Alpaca>,
}

impl Brokers for BuiltIn {
    fn open(
        &self,
        user: UserId,
        connection: ConnectionId,
        broker: &str,
    ) -> Result<Arc<dyn Broker>, UnknownBroker> {
        let known = BROKERS.iter().find(|(name, ..)| *name == broker);
        known.map(|(_, make, _)| make(self, user, connection)).ok_or_else(|| UnknownBroker(broker.to_owned()))
    }

    fn market(&self, broker: &str) -> Option<Arc<dyn Market>> {
        let known = BROKERS.iter().find(|(name, ..)| *name == broker);
        known.map(|(_, _, market)| market(self))
    }
}
