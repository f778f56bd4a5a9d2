//! Rows that are not in sled yet: what was applied lately, and what is being written right now.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use trade_actors::ports::store::{Cell, Key};

/// Rows by key; `None` hides a row of sled's.
pub(super) type Rows = BTreeMap<Key, Option<Cell>>;

/// What a value that is not encoded yet counts as, in bytes.
const LIVE_BYTES: usize = 1 << 10;

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
    pub(super) fn put(&mut self, rows: Vec<(Key, Option<Cell>)>, applied: u64) {
        for (key, cell) in rows {
            let (key_bytes, bytes) = (key.len(), weight(cell.as_ref()));
            let former = self.newest.insert(key, cell);
            self.bytes += bytes;
            self.bytes = match former {
                Some(former) => self.bytes.saturating_sub(weight(former.as_ref())),
                None => self.bytes + key_bytes,
            };
        }
        self.applied = Some(applied);
    }

    /// Returns about how much waits to be sealed, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns what is known of a key here; `Some(None)`: it is removed.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Cell>> {
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

fn weight(cell: Option<&Cell>) -> usize {
    match cell {
        Some(Cell::Stored(bytes)) => bytes.len(),
        Some(Cell::Live(_)) => LIVE_BYTES,
        None => 0,
    }
}
