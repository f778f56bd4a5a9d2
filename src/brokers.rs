//! The brokers built in, by name.

use std::sync::Arc;

use trade_actors::domain::ids::{ConnectionId, UserId};
use trade_actors::ports::broker::{Broker, Brokers, UnknownBroker};
use trade_actors::ports::market::Market;

pub mod paper;

/// Makes the account of one connection at one broker.
pub type Constructor = fn(&BuiltIn, UserId, ConnectionId) -> Arc<dyn Broker>;

/// Returns what can be traded at one broker, with prices and hours.
pub type Prices = fn(&BuiltIn) -> Arc<dyn Market>;

/// Every broker's name, how its accounts are made, and its market.
pub const BROKERS: &[(&str, Constructor, Prices)] =
    &[(paper::NAME, |all, user, account| all.paper.account(user, account), |all| all.paper.market())];

/// The brokers built in, with what each needs.
#[derive(Debug)]
pub struct BuiltIn {
    /// The paper broker.
    pub paper: paper::PaperBrokers,
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
