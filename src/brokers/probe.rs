//! Trying credentials out before they are kept (FR-015): one question about the account, nothing to the market.

use std::fmt::Debug;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use trade_actors::ports::broker::BrokerError;

use super::alpaca::Alpaca;
use crate::vault::BrokerSecret;

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
}

/// The brokers themselves.
#[derive(Clone, Debug)]
pub struct Live {
    /// Alpaca.
    pub alpaca: Arc<Alpaca>,
}

impl Prober for Live {
    fn probe<'a>(&'a self, secret: &'a BrokerSecret) -> BoxFuture<'a, Result<Probed, BrokerError>> {
        match secret {
            BrokerSecret::Alpaca { mode, auth } => {
                async move { Ok(Probed { account: self.alpaca.probe(auth.clone(), *mode).await? }) }.boxed()
            }
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
            panic!("{} was asked", secret.broker());
        }
    }
}
