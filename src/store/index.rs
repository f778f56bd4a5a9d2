//! The index of the log in sled: disposable, so it is never synced on the way of an order.
//!
//! Rows are readable the moment they are applied, from memory, and written to sled together, once a second: a row
//! that changes a hundred times is written once, and the disk is left to the log. What a crash loses follows from the log.

mod overlay;
mod redo;

use std::fs;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use overlay::Overlay;
use trade_actors::ports::store::{Cell, Key, RowBatch, Store, StoreError, Value};

/// Where `applied` is kept, in the tree of the rows.
const APPLIED: &[u8] = b"\0trade-executor/applied";
/// The index may lose its newest rows, the log has them; a rare flush leaves the disk to the log.
const FLUSH_EVERY_MS: u64 = 5_000;

/// How long rows wait in memory: long enough for an order to end, short enough that a write is no long stretch of work.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How many bytes of them wait at most.
const WAITING_MAX: usize = 16 << 20;

/// Projections in one sled tree.
#[derive(Debug)]
pub struct SledIndex {
    inner: Arc<Inner>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    cache_bytes: u64,
    /// `None` while it is opened again: sled takes no more writes once one has failed.
    db: RwLock<Option<sled::Db>>,
    overlay: RwLock<Overlay>,
    /// Why rows could not be written; the next [`Store::apply`] tells.
    failure: Mutex<Option<StoreError>>,
    bell: Bell,
}

/// Wakes the writer.
#[derive(Debug, Default)]
struct Bell {
    state: Mutex<Ring>,
    rung: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ring {
    #[default]
    Quiet,
    Write,
    Stop,
}

impl SledIndex {
    /// Opens the index in `path`, or begins an empty one; `cache_bytes` bounds sled's cache.
    ///
    /// # Errors
    /// When sled cannot open or read it; [`SledIndex::rebuild`] then begins anew.
    pub fn open(path: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let db = open_db(path, cache_bytes, Some(FLUSH_EVERY_MS))?;
        redo::finish(&db)?;
        let inner = Arc::new(Inner {
            path: path.to_owned(),
            cache_bytes,
            db: RwLock::new(Some(db)),
            overlay: RwLock::default(),
            failure: Mutex::default(),
            bell: Bell::default(),
        });
        let writing = Arc::clone(&inner);
        let writer = std::thread::Builder::new().name("index".to_owned()).spawn(move || writing.run());
        let writer =
            writer.map_err(|error| StoreError(format!("its writer could not be started: {error}")))?;
        Ok(Self { inner, writer: Some(writer) })
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

impl Inner {
    fn db(&self) -> Result<sled::Db, StoreError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        db.clone().ok_or_else(|| StoreError("the index is being opened again".to_owned()))
    }

    fn overlay(&self) -> RwLockReadGuard<'_, Overlay> {
        self.overlay.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn overlay_mut(&self) -> RwLockWriteGuard<'_, Overlay> {
        self.overlay.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self) -> MutexGuard<'_, Option<StoreError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what waits, again and again, until the index is closed.
    fn run(&self) {
        loop {
            let ring = self.bell.wait(WRITE_EVERY);
            // sled fails for good once its own flushing failed, reads too: asked for here, before somebody needs one.
            if let Err(error) = self.write().and_then(|()| stored(&self.db()?)) {
                *self.failure() = Some(error);
            }
            if ring == Ring::Stop {
                return;
            }
        }
    }

    fn write(&self) -> Result<(), StoreError> {
        let Some((rows, applied)) = self.overlay_mut().seal() else { return Ok(()) };
        let encoded = rows.iter().map(|(key, cell)| Ok((key, cell.clone().map(Cell::bytes).transpose()?)));
        redo::write(&self.db()?, &encoded.collect::<Result<Vec<_>, StoreError>>()?, applied)?;
        self.overlay_mut().written();
        Ok(())
    }
}

impl Bell {
    fn ring(&self, what: Ring) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state != Ring::Stop {
            *state = what;
        }
        self.rung.notify_one();
    }

    fn wait(&self, longest: Duration) -> Ring {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let quiet = |state: &mut Ring| *state == Ring::Quiet;
        let (mut state, _) =
            self.rung.wait_timeout_while(state, longest, quiet).unwrap_or_else(PoisonError::into_inner);
        let rung = *state;
        if rung == Ring::Write {
            *state = Ring::Quiet;
        }
        rung
    }
}

impl Drop for SledIndex {
    fn drop(&mut self) {
        self.inner.bell.ring(Ring::Stop);
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the index's writer panicked; what it lost follows from the log");
        }
    }
}

/// Returns the last record that sled's rows contain.
fn stored(db: &sled::Db) -> Result<u64, StoreError> {
    let Some(bytes) = db.get(APPLIED).map_err(failed)? else { return Ok(0) };
    let bytes = <[u8; 8]>::try_from(bytes.as_ref())
        .map_err(|_| StoreError("the index does not say what it contains; rebuild it".to_owned()))?;
    Ok(u64::from_be_bytes(bytes))
}

impl Store for SledIndex {
    fn applied(&self) -> Result<u64, StoreError> {
        let applied = self.inner.overlay().applied;
        applied.map_or_else(|| stored(&self.inner.db()?), Ok)
    }

    fn get(&self, key: &[u8]) -> Result<Option<Cell>, StoreError> {
        if key == APPLIED {
            return Ok(None);
        }
        let waiting = self.inner.overlay().get(key);
        match waiting {
            Some(row) => Ok(row),
            None => Ok(self.inner.db()?.get(key).map_err(failed)?.map(|value| Cell::Stored(value.to_vec()))),
        }
    }

    fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Key, Cell)>, StoreError> {
        let from = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded(after),
            None => Bound::Included(prefix),
        };
        // Memory first: what moves to sled in between is then seen twice, and never missed.
        let mut rows = self.inner.overlay().range(prefix, from);
        let hidden = rows.values().filter(|value| value.is_none()).count();
        let range = self.inner.db()?.range::<&[u8], _>((from, Bound::Unbounded));
        let range = range.filter(|row| !matches!(row, Ok((key, _)) if key == APPLIED));
        for (key, value) in take_prefix(range, prefix, limit.saturating_add(hidden))? {
            rows.entry(key).or_insert(Some(Cell::Stored(value)));
        }
        Ok(rows.into_iter().filter_map(|(key, value)| Some((key, value?))).take(limit).collect())
    }

    fn recover(&self) -> Result<(), StoreError> {
        let mut db = self.inner.db.write().unwrap_or_else(PoisonError::into_inner);
        // The former one is let go first: it holds the lock on the files.
        *db = None;
        let opened = open_db(&self.inner.path, self.inner.cache_bytes, Some(FLUSH_EVERY_MS))?;
        redo::finish(&opened)?;
        *db = Some(opened);
        // What waited here may rest on rows that sled lost: all of it is read from the log again.
        *self.inner.overlay_mut() = Overlay::default();
        *self.inner.failure() = None;
        Ok(())
    }

    fn apply(&self, batch: RowBatch) -> Result<(), StoreError> {
        if let Some(error) = self.inner.failure().clone() {
            return Err(error);
        }
        if batch.rows.iter().any(|(key, _)| key == APPLIED) {
            return Err(StoreError("a row has the key that is reserved; nothing was written".to_owned()));
        }
        let waiting = {
            let mut overlay = self.inner.overlay_mut();
            overlay.put(batch.rows, batch.applied);
            overlay.bytes()
        };
        if waiting > WAITING_MAX {
            self.inner.bell.ring(Ring::Write);
        }
        Ok(())
    }
}

/// Opens sled in a directory that the owner alone may enter.
///
/// sled's threads let go of the files a moment after the last handle was dropped: one that this process closed a moment
/// ago is waited for. The log's lock keeps other processes away. sled panics on some damage where an error is due.
///
/// # Errors
/// When it does not open.
pub(super) fn open_db(path: &Path, cache_bytes: u64, flush_ms: Option<u64>) -> Result<sled::Db, StoreError> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let told = |why: &str| StoreError(format!("{} could not be opened: {why}", path.display()));
    super::segments::create_private_dir(path).map_err(|error| told(&error.to_string()))?;
    let config = sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(flush_ms);
    let started = Instant::now();
    loop {
        let opened =
            catch_unwind(AssertUnwindSafe(|| config.open())).map_err(|_| told("its files are damaged"))?;
        match opened {
            Err(sled::Error::Io(error))
                if error.to_string().contains("acquire lock") && started.elapsed() < PATIENCE =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened.map_err(|error| told(&error.to_string())),
        }
    }
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
    use proptest::prelude::*;

    const CACHE: u64 = 1 << 20;

    fn row(key: &str, value: &str) -> (Key, Option<Cell>) {
        (key.into(), Some(Cell::Stored(value.into())))
    }

    fn get(index: &SledIndex, key: &[u8]) -> Option<Value> {
        index.get(key).unwrap().map(|cell| cell.bytes().unwrap())
    }

    fn scan(index: &SledIndex, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Vec<(Key, Value)> {
        let rows = index.scan(prefix, after, limit).unwrap();
        rows.into_iter().map(|(key, cell)| (key, cell.bytes().unwrap())).collect()
    }

    #[test]
    fn the_marker_is_no_row() {
        let dir = tempfile::tempdir().unwrap();
        let index = SledIndex::open(&dir.path().join("index"), CACHE).unwrap();
        index.apply(RowBatch { rows: vec![row("\0a", "1"), row("\0z", "2")], applied: 7 }).unwrap();
        assert_eq!(index.applied().unwrap(), 7);
        assert_eq!(get(&index, APPLIED), None);
        let keys: Vec<_> = index.scan(b"", None, 10).unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"\0a", b"\0z"]);
        assert_eq!(index.scan(b"", None, 2).unwrap().len(), 2);
        assert!(index.apply(RowBatch { rows: vec![(APPLIED.to_vec(), None)], applied: 8 }).is_err());
        assert_eq!(index.applied().unwrap(), 7);
    }

    #[test]
    fn an_index_that_is_opened_again_holds_what_was_written_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let index = SledIndex::open(&dir.path().join("index"), CACHE).unwrap();
        index.apply(RowBatch { rows: vec![row("a", "1")], applied: 3 }).unwrap();
        index.inner.write().unwrap();
        index.apply(RowBatch { rows: vec![row("a", "2")], applied: 4 }).unwrap();
        index.recover().unwrap();
        assert_eq!((index.applied().unwrap(), get(&index, b"a")), (3, Some(b"1".to_vec())));
    }

    #[test]
    fn closing_writes_what_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let index = SledIndex::open(&path, CACHE).unwrap();
        index.apply(RowBatch { rows: vec![row("a", "1")], applied: 3 }).unwrap();
        drop(index);
        let index = SledIndex::open(&path, CACHE).unwrap();
        assert_eq!((index.applied().unwrap(), get(&index, b"a")), (3, Some(b"1".to_vec())));
    }

    proptest! {
        /// Wherever rows are, in memory, on the way or in sled, reads see the last word on each.
        #[test]
        fn reads_see_the_last_word(steps in proptest::collection::vec((0_u8..20, any::<Option<u8>>(), any::<bool>()), 1..60), after in 0_u8..20, limit in 1_usize..25) {
            let dir = tempfile::tempdir().unwrap();
            let index = SledIndex::open(&dir.path().join("index"), CACHE).unwrap();
            let mut model = std::collections::BTreeMap::new();
            for (applied, (key, value, written)) in (1..).zip(steps) {
                let value = value.map(|value| vec![value]);
                let cell = value.clone().map(Cell::Stored);
                index.apply(RowBatch { rows: vec![(vec![b'k', key], cell)], applied }).unwrap();
                match value {
                    Some(value) => model.insert(vec![b'k', key], value),
                    None => model.remove(&vec![b'k', key]),
                };
                if written {
                    index.inner.write().unwrap();
                }
                prop_assert_eq!(get(&index, &[b'k', key]), model.get(&vec![b'k', key]).cloned());
            }
            let wanted: Vec<_> = model.clone().into_iter().take(limit).collect();
            prop_assert_eq!(scan(&index, b"k", None, limit), wanted);
            let later = model.into_iter().filter(|(key, _)| *key > vec![b'k', after]).take(limit);
            prop_assert_eq!(scan(&index, b"k", Some(&[b'k', after]), limit), later.collect::<Vec<_>>());
        }
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
            assert_eq!((index.applied().unwrap(), scan(&index, b"", None, 9)), (0, Vec::new()));
            assert!(dir.path().join(format!("index.broken-{round}")).is_dir());
        }
    }
}
