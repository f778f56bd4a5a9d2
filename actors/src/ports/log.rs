//! The append-only log. There is no way to change or remove a record: the trait has none.

use crate::domain::record::{Hash, Record, Statement};

/// Where the log ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Number of the last record; 0 when there is none.
    pub seq: u64,
    /// Its hash; zeros when there is none.
    pub hash: Hash,
}

/// What the log adds to a statement.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// When it is committed: RFC 3339, UTC, milliseconds.
    pub timestamp: &'a str,
    /// What is said.
    pub statement: &'a Statement,
}

/// Why the log refuses or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No room; nothing of the batch was kept, and a later append may succeed.
    #[error("the disk that holds the log is full")]
    Full,
    /// The medium failed. What the batch left behind is unknown until the log is opened again.
    #[error("the log could not be written: {0}")]
    Broken(#[source] std::io::Error),
    /// What is stored is not a valid log: changed, cut below a signed checkpoint, or not ours.
    #[error("the log is damaged at record {seq}: {why}")]
    Damaged {
        /// The first record that cannot be trusted.
        seq: u64,
        /// What is wrong with it.
        why: String,
    },
}

/// An append-only, hash-chained sequence of records. Written by one owner; any number may read.
pub trait Log: Send + std::fmt::Debug {
    /// Returns where the durable log ends.
    fn head(&self) -> Head;

    /// Appends all of `batch` and returns once it survives a power cut.
    ///
    /// All or nothing: after an error, none of it is part of the log, now or after a restart,
    /// unless the error is [`LogError::Broken`].
    ///
    /// # Errors
    /// See [`LogError`].
    fn append(&mut self, batch: &[Entry<'_>]) -> Result<Head, LogError>;

    /// Signs the head and keeps the signature (a checkpoint), if the head moved since the last one.
    ///
    /// # Errors
    /// When the checkpoint cannot be stored; the log itself is unharmed.
    fn checkpoint(&mut self, time: &str) -> Result<Option<Checkpoint>, LogError>;

    /// Reads records from `from` (a sequence number, from 1) to the end as it is now.
    ///
    /// # Errors
    /// When the stored log cannot be opened.
    fn read(&self, from: u64) -> Result<Records, LogError>;
}

/// Records in order; ends after the first error.
pub type Records = Box<dyn Iterator<Item = Result<Record, LogError>> + Send>;

/// A signed statement of where the log ended at a time (`SECURITY-BAR` 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub log_id: String,
    /// How many records it had.
    pub head: Head,
    /// When: RFC 3339, UTC, milliseconds.
    pub time: String,
    /// Ed25519 over [`Checkpoint::message`].
    pub signature: [u8; 64],
}

impl Checkpoint {
    /// Returns the text that is signed.
    #[must_use]
    pub fn message(log_id: &str, head: Head, time: &str) -> String {
        format!("trade-executor/checkpoint/v1\n{log_id}\n{}\n{}\n{time}\n", head.seq, head.hash)
    }
}
