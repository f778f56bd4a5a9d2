//! The index of the log (projections) and the vault (what must not be in a log).

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A key of the index.
pub type Key = Vec<u8>;
/// A value of the index.
pub type Value = Vec<u8>;

/// A value that is encoded only when a store writes it: most rows change several times before that.
pub trait Row: Any + Debug + Send + Sync {
    /// Returns the bytes to store.
    ///
    /// # Errors
    /// When it cannot be encoded.
    fn encode(&self) -> Result<Value, StoreError>;
}

impl<T: Serialize + Any + Debug + Send + Sync> Row for T {
    fn encode(&self) -> Result<Value, StoreError> {
        serde_json::to_vec(self).map_err(|error| StoreError(format!("a row cannot be encoded: {error}")))
    }
}

/// What is under a key.
#[derive(Clone, Debug)]
pub enum Cell {
    /// The bytes that are, or are to be, stored.
    Stored(Value),
    /// A value that a store has not written yet.
    Live(Arc<dyn Row>),
}

impl Cell {
    /// Wraps a value.
    pub fn of<T: Serialize + Any + Debug + Send + Sync>(value: Arc<T>) -> Self {
        Self::Live(value)
    }

    /// Returns the value.
    ///
    /// # Errors
    /// When the bytes are not one of this type.
    pub fn read<T: DeserializeOwned + Any + Send + Sync>(self) -> Result<Arc<T>, StoreError> {
        match self {
            Self::Stored(bytes) => serde_json::from_slice(&bytes)
                .map(Arc::new)
                .map_err(|error| StoreError(format!("a row of the index is unreadable: {error}"))),
            Self::Live(row) => (row as Arc<dyn Any + Send + Sync>)
                .downcast()
                .map_err(|_| StoreError("a row of the index is of another type".to_owned())),
        }
    }

    /// Returns the bytes to store.
    ///
    /// # Errors
    /// When the value cannot be encoded.
    pub fn bytes(self) -> Result<Value, StoreError> {
        match self {
            Self::Stored(bytes) => Ok(bytes),
            Self::Live(row) => row.encode(),
        }
    }
}

impl From<Value> for Cell {
    fn from(bytes: Value) -> Self {
        Self::Stored(bytes)
    }
}

/// Why the store failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct StoreError(pub String);

/// Rows to write with the sequence number of the last record they contain.
#[derive(Debug, Default)]
pub struct RowBatch {
    /// Rows: a value replaces, `None` removes. A row is derived from records; a record itself is in the log alone.
    pub rows: Vec<(Key, Option<Cell>)>,
    /// The index now contains the log up to here.
    pub applied: u64,
}

/// Projections by key. Disposable: everything in it follows from the log.
///
/// Reads may come from any thread; one owner writes.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Returns the sequence number up to which the index contains the log; 0 when new.
    ///
    /// # Errors
    /// When the medium fails.
    fn applied(&self) -> Result<u64, StoreError>;

    /// Returns one row.
    ///
    /// # Errors
    /// When the medium fails.
    fn get(&self, key: &[u8]) -> Result<Option<Cell>, StoreError>;

    /// Returns at most `limit` rows whose keys start with `prefix`, in key order, after `after` when given.
    ///
    /// # Errors
    /// When the medium fails.
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize)
    -> Result<Vec<(Key, Cell)>, StoreError>;

    /// Opens the index again after a failed [`Store::apply`]; [`Store::applied`] then says what is left of it.
    ///
    /// # Errors
    /// When it cannot be opened yet; it may be tried again.
    fn recover(&self) -> Result<(), StoreError>;

    /// Writes all rows and `applied` in one atomic step. Need not be durable: the log is.
    ///
    /// # Errors
    /// When the medium fails; then nothing of the batch was written.
    fn apply(&self, batch: RowBatch) -> Result<(), StoreError>;
}

/// Sealed credentials, sessions and tokens: by key, durable on return, and removable.
pub trait Vault: Send + Sync + std::fmt::Debug {
    /// Returns one value.
    ///
    /// # Errors
    /// When the medium fails.
    fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError>;

    /// Returns every pair whose key starts with `prefix`, in key order.
    ///
    /// # Errors
    /// When the medium fails.
    fn scan(&self, prefix: &[u8]) -> Result<Vec<(Key, Value)>, StoreError>;

    /// Writes or removes one value and returns once that survives a power cut.
    ///
    /// # Errors
    /// When the medium fails; then the outcome is unknown.
    fn put(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError>;

    /// Writes `to` in the place of `from`, if that is still there; returns whether it was. Durable on return.
    ///
    /// # Errors
    /// When the medium fails; then the outcome is unknown.
    fn replace(&self, key: &[u8], from: &[u8], to: &[u8]) -> Result<bool, StoreError>;

    /// Removes a value and returns it: of any number of callers, one gets it. Durable on return.
    ///
    /// # Errors
    /// When the medium fails; then the outcome is unknown.
    fn take(&self, key: &[u8]) -> Result<Option<Value>, StoreError>;
}
