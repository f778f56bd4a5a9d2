//! Sealed broker credentials: what opens a person's broker accounts, at rest only as ciphertext.
//!
//! A row is sealed with a key of its person's own and bound to its person, connection and broker: moved elsewhere it
//! opens nothing. It names the version of the master key it was sealed under; a rotation seals one row after another
//! anew, and at every moment each of them opens under the version it names.

mod rotation;
mod seal;

use std::sync::Arc;

use serde::Deserialize as _;
use trade_actors::domain::ids::{ConnectionId, UserId};
use trade_actors::ports::store::{StoreError, Vault};
use zeroize::Zeroizing;

pub use rotation::{Failure, Pass, RotateError};
pub use seal::SealError;

use crate::brokers::credentials::BrokerSecret;
use crate::brokers::{Secrets, SecretsError};
use crate::keys::{MasterKey, random_nonce};
use seal::Place;

/// Begins the key of every row.
const PREFIX: &str = "credential/";
/// Room for any credentials as JSON with their tag, so that no copy is left behind by growing.
const ROOM: usize = 8 << 10;

/// Why credentials could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The vault failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The row is not what was sealed there.
    #[error("the credentials of connection {0} cannot be opened: {1}")]
    Sealed(ConnectionId, #[source] SealError),
    /// The row opened, and is of no form known here.
    #[error("the credentials of connection {0} are of a form that this version does not know")]
    Form(ConnectionId),
}

impl From<CredentialError> for SecretsError {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Store(error) => Self::Store(error),
            CredentialError::Sealed(_, why) => Self::Sealed(why.to_string()),
            CredentialError::Form(_) => {
                Self::Sealed("they are of a form that this version does not know".to_owned())
            }
        }
    }
}

/// The credentials of everybody. Its calls wait for the disk: never from where one must not block.
#[derive(Clone, Debug)]
pub struct Credentials {
    vault: Arc<dyn Vault>,
    keys: Arc<MasterKey>,
}

impl Credentials {
    /// Keeps credentials in `vault`, sealed under `keys`.
    #[must_use]
    pub const fn new(vault: Arc<dyn Vault>, keys: Arc<MasterKey>) -> Self {
        Self { vault, keys }
    }

    /// Seals the credentials of a connection; on return they survive a power cut. Earlier ones are replaced.
    ///
    /// # Errors
    /// When they cannot be sealed, or the vault fails; then whether they were kept is not known.
    pub fn put(
        &self,
        user: UserId,
        connection: ConnectionId,
        secret: &BrokerSecret,
    ) -> Result<(), CredentialError> {
        let mut plain = Zeroizing::new(Vec::with_capacity(ROOM));
        if serde_json::to_writer(&mut *plain, secret).is_err() {
            return Err(CredentialError::Form(connection));
        }
        let place = Place { user, connection, broker: &secret.broker };
        let row = seal::seal(&self.keys, self.keys.newest(), place, random_nonce(), plain)
            .map_err(|error| CredentialError::Sealed(connection, error))?;
        Ok(self.vault.put(key(user, connection).as_bytes(), Some(&row))?)
    }

    /// Returns the credentials of a connection to `broker`; `None`: there are none.
    ///
    /// # Errors
    /// When the vault fails, or the row is not what was sealed for this person, connection and broker.
    pub fn get(
        &self,
        user: UserId,
        connection: ConnectionId,
        broker: &str,
    ) -> Result<Option<BrokerSecret>, CredentialError> {
        let Some(row) = self.vault.get(key(user, connection).as_bytes())? else { return Ok(None) };
        let plain = seal::open(&self.keys, Place { user, connection, broker }, &row)
            .map_err(|error| CredentialError::Sealed(connection, error))?;
        // What the reader would say of it could quote it.
        let mut reader = serde_json::Deserializer::from_slice(&plain);
        let read = BrokerSecret::deserialize(&mut reader).map_err(|_| CredentialError::Form(connection))?;
        Ok(Some(read).filter(|secret| secret.broker == broker))
    }

    /// Removes the credentials of a connection; on return they are gone for good.
    ///
    /// # Errors
    /// When the vault fails; then whether they are gone is not known.
    pub fn remove(&self, user: UserId, connection: ConnectionId) -> Result<(), StoreError> {
        self.vault.put(key(user, connection).as_bytes(), None)
    }

    /// Returns whose connections have credentials here.
    ///
    /// # Errors
    /// When the vault fails.
    pub fn list(&self) -> Result<Vec<(UserId, ConnectionId)>, StoreError> {
        let rows = self.vault.scan(PREFIX.as_bytes())?;
        Ok(rows.iter().filter_map(|(key, _)| parsed(key)).collect())
    }

    /// Removes the credentials of connections that are not there, as a crash between two steps leaves them behind;
    /// returns of how many.
    ///
    /// # Errors
    /// When the vault fails, or `is_there` does.
    pub fn sweep(
        &self,
        is_there: impl Fn(UserId, ConnectionId) -> Result<bool, StoreError>,
    ) -> Result<usize, StoreError> {
        let mut removed = 0;
        for (user, connection) in self.list()? {
            if !is_there(user, connection)? {
                self.remove(user, connection)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

impl Secrets for Credentials {
    fn of(
        &self,
        user: UserId,
        connection: ConnectionId,
        broker: &str,
    ) -> Result<Option<BrokerSecret>, SecretsError> {
        Ok(self.get(user, connection, broker)?)
    }
}

fn key(user: UserId, connection: ConnectionId) -> String {
    format!("{PREFIX}{user}/{connection}")
}

fn parsed(key: &[u8]) -> Option<(UserId, ConnectionId)> {
    let rest = std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?;
    let (user, connection) = rest.split_once('/')?;
    Some((user.parse().ok()?, connection.parse().ok()?))
}

#[cfg(test)]
mod tests;
