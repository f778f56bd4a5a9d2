//! Makes segment files ahead of their use: full length, zeros really written, so that later writes need no room.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// Bytes written before they are synced: a sync of the log itself waits for no more than these.
const CHUNK: usize = 256 << 10;

/// How a file of zeros comes to be; tests put a full disk here.
pub(super) type Make = fn(&Path, u64) -> io::Result<File>;

/// A finished file of zeros that has no place in the log yet.
#[derive(Debug)]
pub(super) struct Blank {
    /// Open for reading and writing.
    pub(super) file: File,
    /// Where it is until it is renamed.
    pub(super) path: PathBuf,
    /// Its length.
    pub(super) bytes: u64,
}

/// The next segment, made on a thread of its own while the current one fills.
#[derive(Debug)]
pub(super) enum Spare {
    /// None is there; the next try is when the current segment has filled to here.
    Missing { retry_at: u64 },
    /// One is being made.
    Making(JoinHandle<io::Result<Blank>>),
    /// One is there.
    Ready(Blank),
}

impl Spare {
    /// Starts or finishes the making when the current segment, filled to `at` of `capacity`, has passed half.
    pub(super) fn prepare(&mut self, dir: &Path, bytes: u64, make: Make, at: u64, capacity: u64) {
        if at <= capacity / 2 {
            return;
        }
        *self = match std::mem::replace(self, Self::Missing { retry_at: 0 }) {
            Self::Missing { retry_at } if at >= retry_at => {
                let dir = dir.to_owned();
                let name = "log-spare".to_owned();
                match std::thread::Builder::new().name(name).spawn(move || blank(&dir, bytes, make)) {
                    Ok(handle) => Self::Making(handle),
                    Err(_) => Self::Missing { retry_at: at + capacity / 8 },
                }
            }
            Self::Making(handle) if handle.is_finished() => match handle.join() {
                Ok(Ok(blank)) => Self::Ready(blank),
                // No room now is not an error yet: there is half a segment left, and room may come back.
                Ok(Err(_)) | Err(_) => Self::Missing { retry_at: at + capacity / 8 },
            },
            same @ (Self::Missing { .. } | Self::Making(_) | Self::Ready(_)) => same,
        };
    }

    /// Hands the spare out, waiting for one in the making.
    pub(super) fn take(&mut self) -> Option<Blank> {
        match std::mem::replace(self, Self::Missing { retry_at: 0 }) {
            Self::Missing { .. } => None,
            Self::Making(handle) => handle.join().ok().and_then(Result::ok),
            Self::Ready(blank) => Some(blank),
        }
    }
}

/// Makes a blank of `bytes`, whole and durable under a name that no reader looks at, or leaves nothing behind.
///
/// # Errors
/// When there is no room or the medium fails.
pub(super) fn blank(dir: &Path, bytes: u64, make: Make) -> io::Result<Blank> {
    let unfinished = dir.join("spare.tmp");
    let path = dir.join("spare");
    let made = make(&unfinished, bytes).and_then(|file| {
        fs::rename(&unfinished, &path)?;
        sync_dir(dir)?;
        Ok(file)
    });
    match made {
        Ok(file) => Ok(Blank { file, path, bytes }),
        Err(error) => {
            discard(&unfinished)?;
            Err(error)
        }
    }
}

/// Writes `bytes` zeros to a new file and syncs it, bit by bit: the log is written on the same disk meanwhile.
///
/// # Errors
/// When there is no room or the medium fails.
pub(super) fn zeros(path: &Path, bytes: u64) -> io::Result<File> {
    let mut file = private().read(true).write(true).create(true).truncate(true).open(path)?;
    let chunk = vec![0; CHUNK];
    let mut left = bytes;
    while left > 0 {
        let part = chunk.get(..usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)).unwrap_or_default();
        file.write_all(part)?;
        file.sync_data()?;
        left -= part.len() as u64;
    }
    file.sync_all()?;
    Ok(file)
}

/// Removes a file; one that is not there is removed already.
pub(super) fn discard(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes a rename in `dir` survive a power cut.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Creates `dir` and what is above it, readable by the owner alone.
pub(in crate::store) fn create_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Returns options for files that the owner alone may read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}
