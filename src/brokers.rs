//! The brokers built in, by name.

use std::sync::Arc;

use trade_actors::domain::ids::{ConnectionId, UserId};
use trade_actors::ports::broker::{Broker, Brokers, UnknownBroker};

pub mod paper;

/// Makes the account of one connection at one broker.
pub type Constructor = fn(&BuiltIn, UserId, ConnectionId) -> Arc<dyn Broker>;

/// Every broker's name and how its accounts are made.
pub const BROKERS: &[(&str, Constructor)] =
    &[(paper::NAME, |all, user, account| all.paper.account(user, account))];

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
        let known = BROKERS.iter().find(|(name, _)| *name == broker);
        known.map(|(_, make)| make(self, user, connection)).ok_or_else(|| UnknownBroker(broker.to_owned()))
    }
}
