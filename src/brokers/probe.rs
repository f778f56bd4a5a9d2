//! Trying credentials out before they are kept (FR-015): one question about the account, nothing to the market.

use std::fmt::Debug;

use futures_util::future::BoxFuture;
use trade_actors::domain::ids::ConnectionId;
use trade_actors::ports::broker::{BrokerError, UnknownBroker};

use super::Venues;
use super::credentials::BrokerSecret;

/// What a test of credentials found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What the broker knows the account by.
    pub account: String,
}

/// Tries credentials out.
pub trait Prober: Send + Sync + Debug {
    /// Asks the broker for the account that the credentials open.
    ///
    /// # Errors
    /// When they do not work, the account may not trade, or the broker cannot be asked.
    fn probe<'a>(&'a self, secret: &'a BrokerSecret) -> BoxFuture<'a, Result<Probed, BrokerError>>;

    /// Has a connection to `broker` read its credentials again: others, which were tried out, took their place.
    fn renewed(&self, _broker: &str, _connection: ConnectionId) {}
}

impl Prober for Venues {
    fn probe<'a>(&'a self, secret: &'a BrokerSecret) -> BoxFuture<'a, Result<Probed, BrokerError>> {
        match self.get(&secret.broker) {
            Some(house) => house.probe(secret.clone()),
            None => {
                let unknown = UnknownBroker(secret.broker.clone()).to_string();
                Box::pin(async { Err(BrokerError::Unknown(unknown)) })
            }
        }
    }

    fn renewed(&self, broker: &str, connection: ConnectionId) {
        if let Some(house) = self.get(broker) {
            house.renew(connection);
        }
    }
}

#[cfg(test)]
pub(crate) mod fakes {
    //! A broker that nobody may ask.

    use super::*;

    #[derive(Debug)]
    pub(crate) struct Unasked;

    impl Prober for Unasked {
        fn probe<'a>(&'a self, secret: &'a BrokerSecret) -> BoxFuture<'a, Result<Probed, BrokerError>> {
            panic!("{} was asked", secret.broker);
        }
    }
}
