//! The data directory: key, log, index and vault, opened in the order in which each relies on the one before.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use ed25519_dalek::SigningKey;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use trade_actors::domain::event::Fact;
use trade_actors::ledger::projector::ReadLog;
use trade_actors::ledger::{OpenLog, projection};
use trade_actors::ports::log::{Entry, Log, LogError};
use trade_actors::ports::store::Store;
use trade_actors::views::{Progress, Views};

use crate::config::StoreConfig;
use crate::keys::MasterKey;
use crate::store::index::SledIndex;
use crate::store::segments::{Options, SegmentLog, SegmentReader};
use crate::store::vault::SledVault;

/// Memory for the vault's cache: it is small and read rarely.
const VAULT_CACHE_BYTES: u64 = 4 << 20;
/// A rebuild is shown to a person when it takes longer than a moment.
const BAR_FROM_RECORDS: u64 = 20_000;

/// The data directory, open for writing.
#[derive(Debug)]
pub struct Disk {
    /// The master key.
    pub keys: Arc<MasterKey>,
    /// The log.
    pub log: SegmentLog,
    /// Its index.
    pub index: Arc<SledIndex>,
    /// What must not be in a log.
    pub vault: Arc<SledVault>,
    dir: PathBuf,
    options: Options,
    signing: SigningKey,
}

/// Another process uses the data directory.
#[derive(Debug, thiserror::Error)]
#[error("Trade Executor already runs on the data in {0}; nothing was started or changed")]
pub struct InUse(pub String);

impl Disk {
    /// Opens everything in `dir`, which is made when it is not there.
    ///
    /// An index that does not open, or is ahead of the log, is begun anew: [`Disk::catch_up`] then fills it.
    ///
    /// # Errors
    /// [`InUse`] when another process has it; else when the key, the log or the vault cannot be opened.
    pub fn open(dir: &Path, config: &StoreConfig) -> anyhow::Result<Self> {
        private_dir(dir).with_context(|| format!("the data directory {} cannot be used", dir.display()))?;
        let keys =
            MasterKey::load_or_create(&dir.join("master.key")).context("the master key cannot be used")?;
        let signing = SigningKey::from_bytes(&keys.derive("log-signing/v1"));
        let options = Options { segment_bytes: config.segment_bytes };
        let (log, opened) = match SegmentLog::open(&dir.join("log"), options, signing.clone()) {
            Ok(open) => open,
            Err(LogError::Broken(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(InUse(dir.display().to_string()).into());
            }
            Err(error) => return Err(error).context("the log was not opened"),
        };
        if opened.torn_bytes > 0 {
            tracing::warn!(
                bytes = opened.torn_bytes,
                head = opened.head.seq,
                "an unfinished write was cut off the log; nobody had been told that it was done"
            );
        }
        let index = open_index(&dir.join("index"), config.cache_bytes, opened.head.seq)?;
        let vault = SledVault::open(&dir.join("vault"), VAULT_CACHE_BYTES);
        let vault = vault.context("the vault was not opened; nothing else holds what is in it")?;
        Ok(Self {
            keys: Arc::new(keys),
            log,
            index: Arc::new(index),
            vault: Arc::new(vault),
            dir: dir.to_owned(),
            options,
            signing,
        })
    }

    /// Brings the index up to the log's end, with a progress bar when that takes long and one is wanted.
    ///
    /// # Errors
    /// When the log cannot be read or the index cannot be written.
    pub fn catch_up(self, progress: bool) -> anyhow::Result<Self> {
        let (from, to) = (self.index.applied()?, self.log.head().seq);
        let behind = to.saturating_sub(from);
        let target = if progress && behind > BAR_FROM_RECORDS {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(behind), target);
        bar.set_style(ProgressStyle::with_template(
            "reading the log {bar:40} {pos} of {len} records, {eta} left",
        )?);
        let store: Arc<dyn Store> = Arc::clone(&self.index) as Arc<dyn Store>;
        let mut show = |seq: u64| bar.set_position(seq.saturating_sub(from));
        let applied = projection::catch_up(&|from| self.log.read(from), &store, &mut show);
        bar.finish_and_clear();
        let applied = applied.context("the index could not be brought up to the log's end")?;
        if applied != to {
            bail!("the index ends at record {applied}, the log at {to}");
        }
        Ok(self)
    }

    /// Records facts while no engine runs, signs the log's head, and brings the index up to it.
    ///
    /// # Errors
    /// When the log or the index cannot be written.
    pub fn commit(mut self, facts: &[Fact], now: DateTime<Utc>) -> anyhow::Result<Self> {
        let timestamp = now.to_rfc3339_opts(SecondsFormat::Millis, true);
        let entries: Vec<_> =
            facts.iter().map(|fact| Entry { timestamp: &timestamp, statement: &fact.statement }).collect();
        self.log.append(&entries).context("nothing was recorded")?;
        self.log.checkpoint(&timestamp).context("it was recorded, but the log's head could not be signed")?;
        self.catch_up(false)
    }

    /// Returns what the index knows, while no engine runs.
    #[must_use]
    pub fn views(&self) -> Views {
        let index = Arc::clone(&self.index) as Arc<dyn Store>;
        Views::new(index, Arc::new(Progress::new(self.log.head().seq)))
    }

    /// Returns how the projector reads the log when it has to catch up.
    #[must_use]
    pub fn reader(&self) -> ReadLog {
        let dir = self.dir.join("log");
        Box::new(move |from| SegmentReader::open(&dir)?.read(from))
    }

    /// Returns how the ledger opens the log again after a failure.
    #[must_use]
    pub fn reopen(&self) -> OpenLog {
        let (dir, options, signing) = (self.dir.join("log"), self.options, self.signing.clone());
        Box::new(move || {
            let (log, _) = SegmentLog::open(&dir, options, signing.clone())?;
            Ok(Box::new(log) as Box<dyn Log>)
        })
    }
}

/// Opens the index, or begins it anew when it does not open or holds what the log does not.
fn open_index(path: &Path, cache_bytes: u64, head: u64) -> anyhow::Result<SledIndex> {
    let why = match SledIndex::open(path, cache_bytes) {
        Ok(index) => {
            let applied = index.applied()?;
            if applied <= head {
                return Ok(index);
            }
            format!("it holds {applied} records and the log {head}")
        }
        Err(error) => error.to_string(),
    };
    tracing::warn!(why, "the index is begun anew from the log; the old one is kept beside it");
    SledIndex::rebuild(path, cache_bytes).context("the index was not opened")
}

/// Makes the directory, for the owner alone, or refuses one that is a file.
fn private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    if dir.is_dir() {
        let mode = fs::metadata(dir)?.permissions().mode();
        if mode & 0o077 != 0 {
            // A mounted volume may belong to somebody else; the files inside are private in any case.
            if let Err(error) = fs::set_permissions(dir, fs::Permissions::from_mode(0o700)) {
                tracing::warn!(%error, dir = %dir.display(), "others may look into the data directory");
            }
        }
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use trade_actors::ports::store::RowBatch;

    fn config() -> StoreConfig {
        StoreConfig { segment_bytes: 64 << 10, cache_bytes: 1 << 20, ..StoreConfig::default() }
    }

    #[test]
    fn the_data_directory_is_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("deep/data");
        drop(Disk::open(&data, &config()).unwrap());
        assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_second_process_is_told_that_the_data_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Disk::open(dir.path(), &config()).unwrap();
        let error = Disk::open(dir.path(), &config()).unwrap_err();
        assert!(error.is::<InUse>(), "{error:?}");
    }

    #[test]
    fn an_index_ahead_of_the_log_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), &config()).unwrap();
        let rows = vec![(b"u/ghost".to_vec(), Some(b"{}".to_vec().into()))];
        disk.index.apply(RowBatch { rows, applied: 9 }).unwrap();
        drop(disk);
        let disk = Disk::open(dir.path(), &config()).unwrap().catch_up(false).unwrap();
        assert_eq!(disk.index.applied().unwrap(), 0);
        assert!(disk.index.get(b"u/ghost").unwrap().is_none());
    }
}
