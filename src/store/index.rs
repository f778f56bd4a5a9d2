//! The index of the log in sled: disposable, so it is never synced on the way of an order.

use std::fs;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use trade_actors::ports::store::{Key, RowBatch, Store, StoreError, Value};

/// Where `applied` is kept, in the tree of the rows so that one batch holds both.
const APPLIED: &[u8] = b"\0trade-executor/applied";
/// The index may lose its newest rows, the log has them; a rare flush leaves the disk to the log.
const FLUSH_EVERY_MS: u64 = 2_000;

/// Projections in one sled tree.
#[derive(Debug)]
pub struct SledIndex {
    path: PathBuf,
    cache_bytes: u64,
    /// `None` while it is opened again: sled takes no more writes once one has failed.
    db: RwLock<Option<sled::Db>>,
}

impl SledIndex {
    /// Opens the index in `path`, or begins an empty one; `cache_bytes` bounds sled's cache.
    ///
    /// # Errors
    /// When sled cannot open or read it; [`SledIndex::rebuild`] then begins anew.
    pub fn open(path: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let db = open_db(path, cache_bytes, Some(FLUSH_EVERY_MS))?;
        let index = Self { path: path.to_owned(), cache_bytes, db: RwLock::new(Some(db)) };
        index.applied()?;
        Ok(index)
    }

    fn db(&self) -> Result<sled::Db, StoreError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        db.clone().ok_or_else(|| StoreError("the index is being opened again".to_owned()))
    }

    /// Moves an index that does not open aside (`<name>.broken-1`, …) and begins an empty one in its place.
    ///
    /// # Errors
    /// When the directory cannot be moved, or an empty index cannot be opened.
    pub fn rebuild(path: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        if path.exists() {
            let aside = unused_name(path);
            fs::rename(path, &aside).map_err(|error| {
                StoreError(format!(
                    "{} could not be moved aside, nothing was changed: {error}",
                    path.display()
                ))
            })?;
        }
        Self::open(path, cache_bytes)
    }
}

impl Store for SledIndex {
    fn applied(&self) -> Result<u64, StoreError> {
        let Some(bytes) = self.db()?.get(APPLIED).map_err(failed)? else { return Ok(0) };
        let bytes = <[u8; 8]>::try_from(bytes.as_ref())
            .map_err(|_| StoreError("the index does not say what it contains; rebuild it".to_owned()))?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        if key == APPLIED {
            return Ok(None);
        }
        Ok(self.db()?.get(key).map_err(failed)?.map(|value| value.to_vec()))
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>, StoreError> {
        let from = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        let range = self.db()?.range::<&[u8], _>((from, Bound::Unbounded));
        take_prefix(range.filter(|row| !matches!(row, Ok((key, _)) if key == APPLIED)), prefix, limit)
    }

    fn recover(&self) -> Result<(), StoreError> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        // The former one is let go first: it holds the lock on the files.
        *db = None;
        *db = Some(open_db(&self.path, self.cache_bytes, Some(FLUSH_EVERY_MS))?);
        Ok(())
    }

    fn apply(&self, batch: RowBatch) -> Result<(), StoreError> {
        let mut rows = sled::Batch::default();
        for (key, value) in batch.rows {
            if key == APPLIED {
                return Err(StoreError("a row has the key that is reserved; nothing was written".to_owned()));
            }
            match value {
                Some(value) => rows.insert(key, value),
                None => rows.remove(key),
            }
        }
        rows.insert(APPLIED, &batch.applied.to_be_bytes());
        self.db()?.apply_batch(rows).map_err(failed)
    }
}

/// Opens sled in a directory that the owner alone may enter.
///
/// sled panics on some kinds of damage where an error is due.
///
/// # Errors
/// When it does not open.
pub(super) fn open_db(path: &Path, cache_bytes: u64, flush_ms: Option<u64>) -> Result<sled::Db, StoreError> {
    let told = |why: &str| StoreError(format!("{} could not be opened: {why}", path.display()));
    super::segments::create_private_dir(path).map_err(|error| told(&error.to_string()))?;
    let config = sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(flush_ms);
    catch_unwind(AssertUnwindSafe(|| config.open()))
        .map_err(|_| told("its files are damaged"))?
        .map_err(|error| told(&error.to_string()))
}

/// Collects the rows of a range while their keys start with `prefix`.
///
/// # Errors
/// When the medium fails.
pub(super) fn take_prefix(
    range: impl Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>,
    prefix: &[u8],
    limit: usize,
) -> Result<Vec<(Key, Value)>, StoreError> {
    let mut rows = Vec::new();
    for row in range.take(limit) {
        let (key, value) = row.map_err(failed)?;
        if !key.starts_with(prefix) {
            break;
        }
        rows.push((key.to_vec(), value.to_vec()));
    }
    Ok(rows)
}

/// Says what sled said.
pub(super) fn failed(error: sled::Error) -> StoreError {
    StoreError(error.to_string())
}

fn unused_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut number = 1_u64;
    loop {
        let aside = path.with_file_name(format!("{name}.broken-{number}"));
        if !aside.exists() {
            return aside;
        }
        number += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CACHE: u64 = 1 << 20;

    fn row(key: &str, value: &str) -> (Key, Option<Value>) {
        (key.into(), Some(value.into()))
    }

    #[test]
    fn the_marker_is_no_row() {
        let dir = tempfile::tempdir().unwrap();
        let index = SledIndex::open(&dir.path().join("index"), CACHE).unwrap();
        index.apply(RowBatch { rows: vec![row("\0a", "1"), row("\0z", "2")], applied: 7 }).unwrap();
        assert_eq!(index.applied().unwrap(), 7);
        assert_eq!(index.get(APPLIED).unwrap(), None);
        let keys: Vec<_> = index.scan(b"", None, 10).unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"\0a", b"\0z"]);
        assert_eq!(index.scan(b"", None, 2).unwrap().len(), 2);
        assert!(index.apply(RowBatch { rows: vec![(APPLIED.to_vec(), None)], applied: 8 }).is_err());
        assert_eq!(index.applied().unwrap(), 7);
    }

    #[test]
    fn an_index_that_is_opened_again_holds_what_it_held() {
        let dir = tempfile::tempdir().unwrap();
        let index = SledIndex::open(&dir.path().join("index"), CACHE).unwrap();
        index.apply(RowBatch { rows: vec![row("a", "1")], applied: 3 }).unwrap();
        index.recover().unwrap();
        assert_eq!((index.applied().unwrap(), index.get(b"a").unwrap()), (3, Some(b"1".to_vec())));
    }

    #[test]
    fn an_index_that_does_not_open_is_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        for round in 1..=2 {
            drop(SledIndex::open(&path, CACHE));
            fs::write(path.join("conf"), "segment_size: nonsense").unwrap();
            assert!(SledIndex::open(&path, CACHE).is_err(), "round {round}");
            let index = SledIndex::rebuild(&path, CACHE).unwrap();
            assert_eq!((index.applied().unwrap(), index.scan(b"", None, 9).unwrap()), (0, Vec::new()));
            assert!(dir.path().join(format!("index.broken-{round}")).is_dir());
        }
    }
}
