//! Rows that are not in sled yet: what was applied lately, and what is being written right now.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use trade_actors::ports::store::{Key, Value};

/// Rows by key; `None` hides a row of sled's.
pub(super) type Rows = BTreeMap<Key, Option<Value>>;

/// Rows in memory in front of sled. The newer ones hide the older ones.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    newest: Rows,
    /// Taken for writing, and kept until it is written.
    sealed: Option<Arc<Rows>>,
    /// The last record that the rows contain; absent while nothing was applied since the index was opened.
    pub(super) applied: Option<u64>,
    bytes: usize,
}

impl Overlay {
    pub(super) fn put(&mut self, rows: Vec<(Key, Option<Value>)>, applied: u64) {
        for (key, value) in rows {
            self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
            self.newest.insert(key, value);
        }
        self.applied = Some(applied);
    }

    /// Returns about how much was put in since the last sealing, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns what is known of a key here; `Some(None)`: it is removed.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Value>> {
        let sealed = || self.sealed.as_ref().and_then(|rows| rows.get(key));
        self.newest.get(key).or_else(sealed).cloned()
    }

    /// Takes what is to be written; nothing while a former taking is not done.
    pub(super) fn seal(&mut self) -> Option<(Arc<Rows>, u64)> {
        if self.sealed.is_some() || self.newest.is_empty() {
            return None;
        }
        self.bytes = 0;
        let rows = Arc::new(std::mem::take(&mut self.newest));
        self.sealed = Some(Arc::clone(&rows));
        self.applied.map(|applied| (rows, applied))
    }

    /// What was taken is written.
    pub(super) fn written(&mut self) {
        self.sealed = None;
    }

    /// Returns the rows here whose keys are in the range and start with `prefix`.
    pub(super) fn range(&self, prefix: &[u8], from: Bound<&[u8]>) -> Rows {
        let within = |rows: &Rows| -> Rows {
            let range = rows.range::<[u8], _>((from, Bound::Unbounded));
            let range = range.take_while(|(key, _)| key.starts_with(prefix));
            range.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        let mut rows = self.sealed.as_deref().map(within).unwrap_or_default();
        rows.extend(within(&self.newest));
        rows
    }
}
