//! Identifiers: each its own type, so that one can never stand in for another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps an existing UUID.
            #[must_use]
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// Returns the UUID.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::from_str(text).map(Self)
            }
        }
    )*};
}

uuid_id! {
    /// A person (or the owner) who follows sources and owns broker connections.
    UserId;
    /// Where signals come from: a webhook URL, a channel, the dashboard of one user.
    SourceId;
    /// One thing a source said.
    SignalId;
    /// One account of one user at one broker.
    ConnectionId;
    /// The order's identity, chosen by us and told to the broker; also the trade's id in the API.
    ClientOrderId;
}

impl ClientOrderId {
    /// Returns the id of a signal's leg for one user's connection: always the same one.
    ///
    /// A repeat of the same order therefore carries the same id, and the broker (or our own book)
    /// recognises it (`SECURITY-BAR` 5.2).
    #[must_use]
    pub fn derive(user: UserId, connection: ConnectionId, signal: SignalId, leg: u16) -> Self {
        Self::hashed(&[
            b"trade-executor/client-order-id/v1\0",
            user.0.as_bytes(),
            connection.0.as_bytes(),
            signal.0.as_bytes(),
            &leg.to_be_bytes(),
        ])
    }

    /// Returns the id of a user's `nth` order that no signal asked for by itself: a stop, a target, an exit.
    ///
    /// The count is kept in the log, so that after a crash the same order gets the same id, and the next another.
    #[must_use]
    pub fn of_exit(user: UserId, connection: ConnectionId, nth: u64) -> Self {
        Self::hashed(&[
            b"trade-executor/exit-order-id/v1\0",
            user.0.as_bytes(),
            connection.0.as_bytes(),
            &nth.to_be_bytes(),
        ])
    }

    fn hashed(parts: &[&[u8]]) -> Self {
        let digest = parts.iter().fold(Sha256::new(), Sha256::chain_update).finalize();
        let mut bytes = [0_u8; 16];
        for (to, from) in bytes.iter_mut().zip(digest.iter()) {
            *to = *from;
        }
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

macro_rules! text_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps the venue's text.
            #[must_use]
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// Returns the venue's text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

text_id! {
    /// The broker's own id of an order.
    BrokerOrderId;
    /// The broker's id of one execution; the same one never counts twice.
    ExecutionId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_leg_of_a_signal_always_has_the_same_order_id() {
        let user = UserId::new(Uuid::from_u128(1));
        let account = ConnectionId::new(Uuid::from_u128(2));
        let signal = SignalId::new(Uuid::from_u128(3));
        let id = ClientOrderId::derive(user, account, signal, 0);
        assert_eq!(id, ClientOrderId::derive(user, account, signal, 0));
        assert_ne!(id, ClientOrderId::derive(user, account, signal, 1));
        assert_eq!(id.uuid().get_version_num(), 8);
    }
}
