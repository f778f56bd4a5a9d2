//! The log as preallocated segment files: one positioned write and one `fdatasync` a batch.

mod checkpoints;
mod frame;
mod reader;
mod recover;
mod scan;
mod spare;
mod verify;

#[cfg(test)]
mod tests;

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use trade_actors::ports::log::{Checkpoint, Entry, Head, Log, LogError, Records};
use uuid::Uuid;

use checkpoints::Book;
use frame::{HEADER_BYTES, Header};
use spare::{Blank, Make, Spare};

pub(super) use spare::create_dir as create_private_dir;

pub use reader::SegmentReader;
pub use verify::{Verified, verify, verify_after};

/// The smallest segment worth a file.
const SEGMENT_BYTES_MIN: u64 = 512;

/// How the log is laid out on the disk.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Length of a segment file in bytes; a batch that is longer gets a segment of its own.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20 }
    }
}

/// What opening found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Where the log ends.
    pub head: Head,
    /// Bytes of an unfinished write that were cut off; 0 after an orderly end.
    pub torn_bytes: u64,
}

/// The one writer of a log directory.
///
/// The log ends behind its last whole record; everything after it in the newest segment is zeros. After a failed write
/// or sync nobody knows what the medium holds, so every later append is refused until the log is opened again.
#[derive(Debug)]
pub struct SegmentLog {
    dir: PathBuf,
    segment_bytes: u64,
    log_id: Uuid,
    head: Head,
    file: File,
    at: u64,
    capacity: u64,
    spare: Spare,
    make: Make,
    buffer: Vec<u8>,
    book: Book,
    signed: Option<u64>,
    broken: bool,
    /// Held, never read: the lock on the directory ends with it.
    _lock: File,
}

impl SegmentLog {
    /// Opens the log in `dir`, or begins one there; `key` signs its checkpoints.
    ///
    /// Checks the newest segment, cuts an unfinished write off its end and locks the directory against other writers.
    ///
    /// # Errors
    /// [`LogError::Damaged`] when the log ends before, or differs from, what a checkpoint proves: then nothing is
    /// changed. [`LogError::Full`] when there is no room for a first segment. [`LogError::Broken`] when the medium
    /// fails or another process writes this log.
    pub fn open(dir: &Path, options: Options, key: SigningKey) -> Result<(Self, Opened), LogError> {
        Self::open_with(dir, options, key, spare::zeros)
    }

    fn open_with(
        dir: &Path,
        options: Options,
        key: SigningKey,
        make: Make,
    ) -> Result<(Self, Opened), LogError> {
        spare::create_dir(dir).map_err(LogError::Broken)?;
        let lock = lock(dir).map_err(LogError::Broken)?;
        // A spare from before may hold a batch that was never part of the log.
        for left in ["spare", "spare.tmp"] {
            spare::discard(&dir.join(left)).map_err(LogError::Broken)?;
        }
        let segment_bytes = options.segment_bytes.max(SEGMENT_BYTES_MIN);
        let stored = checkpoints::load(dir).map_err(LogError::Broken)?;
        let mut keys = checkpoints::load_keys(dir).map_err(LogError::Broken)?;
        let newest = recover::newest(&stored, &keys);
        let found = scan::segments(dir).map_err(LogError::Broken)?;
        let tail = match found.last_key_value() {
            Some((first, path)) => recover::recover(path, *first, newest)?,
            None => recover::begin(dir, segment_bytes, make, newest)?,
        };
        let book = Book::open(dir, &stored, &mut keys, key).map_err(LogError::Broken)?;
        let log = Self {
            dir: dir.to_owned(),
            segment_bytes,
            log_id: tail.log_id,
            head: tail.head,
            file: tail.file,
            at: tail.at,
            capacity: tail.capacity,
            spare: Spare::Missing { retry_at: 0 },
            make,
            buffer: Vec::new(),
            book,
            signed: newest.map(|signed| signed.checkpoint.head.seq),
            broken: false,
            _lock: lock,
        };
        Ok((log, Opened { head: tail.head, torn_bytes: tail.torn_bytes }))
    }

    /// Returns the name of this log that its checkpoints carry.
    #[must_use]
    pub fn log_id(&self) -> Uuid {
        self.log_id
    }

    /// Writes the buffer behind the last record.
    fn write(&mut self) -> Result<(), LogError> {
        if let Err(error) = self.file.write_all_at(&self.buffer, self.at) {
            return Err(self.refused(error, |log| {
                // A file system may need room even inside a file that is there; what it did take must not stay.
                let blank = vec![0; log.buffer.len()];
                log.file.write_all_at(&blank, log.at)?;
                log.file.sync_data()
            }));
        }
        self.file.sync_data().map_err(|error| self.fail(error))?;
        self.at += self.buffer.len() as u64;
        Ok(())
    }

    /// Makes a new segment with the buffer as its first records the one that is written.
    fn roll(&mut self) -> Result<(), LogError> {
        let header = Header { log_id: self.log_id, after: self.head }.encode();
        let needed = (HEADER_BYTES + self.buffer.len()) as u64;
        let blank = match self.spare.take().filter(|blank| blank.bytes >= needed) {
            Some(blank) => blank,
            None => match spare::blank(&self.dir, self.segment_bytes.max(needed), self.make) {
                Ok(blank) => blank,
                Err(error) => return Err(self.refused(error, |_| Ok(()))),
            },
        };
        let Blank { file, path, bytes } = blank;
        let named = segment_path(&self.dir, self.head.seq + 1);
        let written = file
            .write_all_at(&header, 0)
            .and_then(|()| file.write_all_at(&self.buffer, HEADER_BYTES as u64))
            .and_then(|()| file.sync_data())
            .and_then(|()| fs::rename(&path, &named));
        if let Err(error) = written {
            return Err(self.refused(error, |_| spare::discard(&path)));
        }
        spare::sync_dir(&self.dir).map_err(|error| self.fail(error))?;
        (self.file, self.at, self.capacity) = (file, needed, bytes);
        Ok(())
    }

    /// Names a failed write: `Full` when that was all and `undo` worked, else the log is broken.
    fn refused(&mut self, error: io::Error, undo: impl FnOnce(&Self) -> io::Result<()>) -> LogError {
        if !is_no_space(&error) {
            return self.fail(error);
        }
        match undo(self) {
            Ok(()) => LogError::Full,
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: io::Error) -> LogError {
        self.broken = true;
        LogError::Broken(error)
    }
}

impl Log for SegmentLog {
    fn head(&self) -> Head {
        self.head
    }

    fn append(&mut self, batch: &[Entry<'_>]) -> Result<Head, LogError> {
        if self.broken {
            let why =
                "an earlier write failed; nothing was appended; open the log again to see what it holds";
            return Err(LogError::Broken(io::Error::other(why)));
        }
        if batch.is_empty() {
            return Ok(self.head);
        }
        self.buffer.clear();
        let mut head = self.head;
        for entry in batch {
            // Nothing is written yet, so the log is as it was.
            head = frame::push(&mut self.buffer, head, entry).map_err(LogError::Broken)?;
        }
        if self.at + self.buffer.len() as u64 <= self.capacity {
            self.write()?;
        } else {
            self.roll()?;
        }
        self.head = head;
        self.spare.prepare(&self.dir, self.segment_bytes, self.make, self.at, self.capacity);
        Ok(head)
    }

    fn checkpoint(&mut self, time: &str) -> Result<Option<Checkpoint>, LogError> {
        if self.head.seq == 0 || self.signed == Some(self.head.seq) {
            return Ok(None);
        }
        let log_id = self.log_id.to_string();
        let checkpoint = self
            .book
            .sign(&log_id, self.head, time)
            .map_err(|error| if is_no_space(&error) { LogError::Full } else { LogError::Broken(error) })?;
        self.signed = Some(self.head.seq);
        Ok(Some(checkpoint))
    }

    fn read(&self, from: u64) -> Result<Records, LogError> {
        if from > self.head.seq {
            return Ok(Box::new(std::iter::empty()));
        }
        reader::read(&self.dir, from, Some(self.head.seq))
    }
}

impl Drop for SegmentLog {
    /// Waits for a segment in the making: once the lock is gone, another writer may be making its own.
    fn drop(&mut self) {
        drop(self.spare.take());
    }
}

fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.seg"))
}

fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn lock(dir: &Path) -> io::Result<File> {
    let file = spare::private().write(true).create(true).truncate(false).open(dir.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::WouldBlock,
            format!(
                "another process writes the log in {}; it was not opened; stop that process first",
                dir.display()
            ),
        )),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
