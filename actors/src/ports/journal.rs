//! Committing facts: the door to the ledger.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

use crate::domain::event::Fact;

/// Where and when facts were committed. They are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Number of the first record.
    pub first: u64,
    /// Number of the last record.
    pub last: u64,
    /// The records' time.
    pub at: DateTime<Utc>,
}

/// Why facts were not committed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The disk is full: nothing was recorded, nothing may be done.
    #[error("the disk that holds the log is full; nothing was recorded")]
    Full,
    /// The ledger is down: whether it was recorded is not known until the log is read again.
    #[error("the ledger is not available; whether this was recorded is not known: {0}")]
    Down(String),
}

/// Commits facts.
pub trait Journal: Send + Sync + std::fmt::Debug {
    /// Commits all facts, in order and together, and returns once they are durable.
    ///
    /// # Errors
    /// See [`CommitError`]; a step that depends on the facts must not be taken.
    fn commit(&self, facts: Vec<Fact>) -> BoxFuture<'static, Result<Receipt, CommitError>>;
}
