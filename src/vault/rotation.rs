//! Sealing what is here anew under the newest version of the master key, a row at a time.
//!
//! At every moment each row opens under the version it names: the new version is durable before anything is sealed under
//! it, each row is replaced whole, and a version is dropped only when no row needs it. So a rotation may end anywhere,
//! and goes on when it is begun again.

use std::io;

use chrono::{DateTime, Utc};
use trade_actors::domain::ids::{ConnectionId, UserId};
use trade_actors::fault;
use trade_actors::ports::store::StoreError;

use super::seal::{self, Place};
use super::{CredentialError, Credentials, PREFIX, key, parsed};
use crate::keys::schedule::{self, Blocked, Plan, Rows, Version};
use crate::keys::{FIRST_VERSION, random_nonce};

/// Why the master key has no new version.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The vault failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something could not be read any more.
    #[error(transparent)]
    Blocked(#[from] Blocked),
    /// The file was not written.
    #[error("the new version of the master key could not be kept: {0}")]
    File(#[from] io::Error),
}

/// Credentials that could not be sealed anew; they are as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whose.
    pub user: UserId,
    /// Of which account.
    pub connection: ConnectionId,
    /// Why.
    pub why: String,
}

/// What one pass over all rows came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Rows sealed anew.
    pub done: usize,
    /// Rows that could not be.
    pub failed: Vec<Failure>,
}

impl Credentials {
    /// Counts the rows by the version that they were sealed under.
    ///
    /// # Errors
    /// When the vault fails.
    pub fn rows(&self) -> Result<Rows, StoreError> {
        let mut rows = Rows::default();
        for (_, row) in self.vault.scan(PREFIX.as_bytes())? {
            match seal::version(&row) {
                Ok(version) => *rows.by_version.entry(version).or_default() += 1,
                Err(_) => rows.unknown += 1,
            }
        }
        Ok(rows)
    }

    /// Returns what is to be done about the master key's versions.
    ///
    /// # Errors
    /// When the vault fails.
    pub fn plan(&self, rotate_after_days: u32, now: DateTime<Utc>) -> Result<Plan, StoreError> {
        let rows = self.rows()?;
        let plan = schedule::plan(&self.keys.versions(), &rows, rotate_after_days, now);
        plan.ok_or_else(|| StoreError("the master key has no version at all".to_owned()))
    }

    /// Makes a new version of the master key; what is sealed from now on is sealed under it.
    ///
    /// # Errors
    /// When it could not be kept, or would leave rows behind that nothing reads; then nothing was changed.
    pub fn rotate(&self, now: DateTime<Utc>) -> Result<Version, RotateError> {
        let next = self.plan(0, now)?.next?;
        let made = self.keys.make(next, now)?;
        fault::point("keys.made");
        Ok(made)
    }

    /// Seals every row anew that is not under the newest version, each durably before the next.
    ///
    /// `broker_of` tells the broker of an account, `None` of one that is not there: its row is left to the next
    /// [`Credentials::sweep`]. `go_on` hears before each row how many are done and how many there were to do, and may
    /// end the pass.
    ///
    /// # Errors
    /// When the vault or `broker_of` fails. What was done until then stays done.
    pub fn reseal(
        &self,
        broker_of: &dyn Fn(UserId, ConnectionId) -> Result<Option<String>, StoreError>,
        go_on: &mut dyn FnMut(usize, usize) -> bool,
    ) -> Result<Pass, StoreError> {
        let newest = self.keys.newest();
        let rows = self.vault.scan(PREFIX.as_bytes())?.into_iter();
        let behind = rows.filter(|(_, row)| seal::version(row) != Ok(newest));
        let behind: Vec<_> = behind.filter_map(|(key, _)| parsed(&key)).collect();
        let mut pass = Pass::default();
        for (at, (user, connection)) in behind.iter().copied().enumerate() {
            if !go_on(at, behind.len()) {
                break;
            }
            let Some(broker) = broker_of(user, connection)? else { continue };
            match self.reseal_one(user, connection, &broker) {
                Ok(true) => pass.done += 1,
                Ok(false) => {}
                Err(CredentialError::Store(error)) => return Err(error),
                Err(CredentialError::Sealed(_, why)) => {
                    pass.failed.push(Failure { user, connection, why: why.to_string() });
                }
                Err(error @ CredentialError::Form(_)) => {
                    pass.failed.push(Failure { user, connection, why: error.to_string() });
                }
            }
            fault::point("keys.resealed");
        }
        Ok(pass)
    }

    /// Seals one row anew; `false`: it was removed or replaced meanwhile, which stands.
    fn reseal_one(
        &self,
        user: UserId,
        connection: ConnectionId,
        broker: &str,
    ) -> Result<bool, CredentialError> {
        let failed = |error| CredentialError::Sealed(connection, error);
        let (key, newest) = (key(user, connection), self.keys.newest());
        let Some(row) = self.vault.get(key.as_bytes())? else { return Ok(false) };
        if seal::version(&row).map_err(failed)? == newest {
            return Ok(false);
        }
        let place = Place { user, connection, broker };
        let plain = seal::open(&self.keys, place, &row).map_err(failed)?;
        let anew = seal::seal(&self.keys, newest, place, random_nonce(), plain).map_err(failed)?;
        fault::point("keys.resealing");
        Ok(self.vault.replace(key.as_bytes(), &row, &anew)?)
    }

    /// Drops the versions that nothing needs and whose time is over; returns them.
    ///
    /// # Errors
    /// When the vault fails or a file cannot be removed.
    pub fn drop_unneeded(&self, now: DateTime<Utc>) -> Result<Vec<u32>, RotateError> {
        let droppable = self.plan(0, now)?.droppable;
        for version in &droppable {
            self.keys.drop_version(*version)?;
            fault::point("keys.dropped");
        }
        Ok(droppable)
    }

    /// Returns what is worth a second copy elsewhere: the files of the root and of the newest version.
    #[must_use]
    pub fn key_files(&self) -> Vec<std::path::PathBuf> {
        let mut versions = vec![FIRST_VERSION, self.keys.newest()];
        versions.dedup();
        versions.into_iter().map(|version| self.keys.file(version)).collect()
    }
}

#[cfg(test)]
mod tests;
