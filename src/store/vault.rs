//! The vault in a sled of its own: what is written is synced before the caller hears of it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use trade_actors::ports::store::{Key, StoreError, Value, Vault};

use super::index::{failed, open_db, take_prefix};

/// The longest value: credentials, sessions and tokens are far shorter.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// Sealed values in one sled tree.
#[derive(Debug)]
pub struct SledVault {
    db: sled::Db,
    /// sled's own file, to sync: its `flush` alone does not reach the medium.
    file: PathBuf,
    /// One writer at a time: flushes that overlap can hang sled.
    writing: Mutex<()>,
}

impl SledVault {
    /// Opens the vault in `path`, or begins an empty one; `cache_bytes` bounds sled's cache.
    ///
    /// # Errors
    /// When it does not open. A vault is never rebuilt: nothing else holds what is in it.
    pub fn open(path: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let db = open_db(path, cache_bytes, None)?;
        let vault = Self { db, file: path.join("db"), writing: Mutex::new(()) };
        vault.settle()?;
        make_durable_and_private(path).map_err(|error| StoreError(error.to_string()))?;
        Ok(vault)
    }

    fn lock(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        let poisoned =
            |_| StoreError("an earlier write did not end; restart to open the vault again".to_owned());
        self.writing.lock().map_err(poisoned)
    }

    /// Waits until everything written so far survives a power cut.
    fn settle(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(failed)?;
        let synced = File::open(&self.file).and_then(|file| file.sync_data());
        synced.map_err(|error| StoreError(format!("the vault could not be synced: {error}")))
    }
}

impl Vault for SledVault {
    fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        Ok(self.db.get(key).map_err(failed)?.map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8]) -> Result<Vec<(Key, Value)>, StoreError> {
        take_prefix(self.db.scan_prefix(prefix), prefix, usize::MAX)
    }

    fn put(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        if value.is_some_and(|value| value.len() > VALUE_BYTES_MAX) {
            return Err(StoreError(format!(
                "a value is longer than {VALUE_BYTES_MAX} bytes; it was not kept"
            )));
        }
        let _writing = self.lock()?;
        match value {
            Some(value) => self.db.insert(key, value).map_err(failed)?,
            None => self.db.remove(key).map_err(failed)?,
        };
        self.settle()
    }

    fn replace(&self, key: &[u8], from: &[u8], to: &[u8]) -> Result<bool, StoreError> {
        let _writing = self.lock()?;
        let swapped = self.db.compare_and_swap(key, Some(from), Some(to)).map_err(failed)?;
        if swapped.is_ok() {
            self.settle()?;
        }
        Ok(swapped.is_ok())
    }

    fn take(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
        let _writing = self.lock()?;
        let taken = self.db.remove(key).map_err(failed)?;
        if taken.is_some() {
            self.settle()?;
        }
        Ok(taken.map(|value| value.to_vec()))
    }
}

/// Makes new files survive a power cut by name too, and closes them to everyone but the owner.
fn make_durable_and_private(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let mode = if entry.file_type()?.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(entry.path(), Permissions::from_mode(mode))?;
    }
    File::open(dir)?.sync_all()?;
    match dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_may_read_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault");
        let vault = SledVault::open(&path, 1 << 20).unwrap();
        vault.put(b"k", Some(b"v")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("db")), 0o600);
        assert_eq!(mode(&path.join("conf")), 0o600);
    }

    #[test]
    fn a_value_is_replaced_only_while_it_is_the_one_that_was_read() {
        let dir = tempfile::tempdir().unwrap();
        let vault = SledVault::open(&dir.path().join("vault"), 1 << 20).unwrap();
        vault.put(b"k", Some(b"1")).unwrap();
        assert!(vault.replace(b"k", b"1", b"2").unwrap());
        assert!(!vault.replace(b"k", b"1", b"3").unwrap());
        assert_eq!(vault.get(b"k").unwrap().as_deref(), Some(&b"2"[..]));
        vault.put(b"k", None).unwrap();
        assert!(!vault.replace(b"k", b"2", b"3").unwrap(), "what is gone does not come back");
        assert_eq!(vault.get(b"k").unwrap(), None);
    }

    #[test]
    fn a_value_too_long_is_refused_and_nothing_kept() {
        let dir = tempfile::tempdir().unwrap();
        let vault = SledVault::open(&dir.path().join("vault"), 1 << 20).unwrap();
        assert!(vault.put(b"k", Some(&vec![0; VALUE_BYTES_MAX + 1])).is_err());
        assert_eq!(vault.get(b"k").unwrap(), None);
    }
}
