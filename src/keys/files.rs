//! The files of the master key: each is written once, whole or not at all, and never again.
//!
//! | file | bytes |
//! |---|---|
//! | `master.key` | the first version: 32 random ones. It counts as made when the file was last written |
//! | `master.key.N` | a later one: 32 random ones, and when it was made (seconds since 1970, 8 bytes, big-endian) |
//! | `master.key.1.dropped` | none: the first version opens no credentials any more, and stays as the root |
//!
//! The time stands in the file, as a copy put back from elsewhere has another one in the file system.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use secrecy::SecretBox;
use trade_actors::fault;
use zeroize::Zeroizing;

use super::{FIRST_VERSION, random_32, random_nonce};

/// Ends the name of a file that is not whole yet.
const UNFINISHED: &str = ".new";

/// A version as it was read.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) key: SecretBox<[u8; 32]>,
    pub(super) made: DateTime<Utc>,
}

/// Returns the file of a version.
pub(super) fn path_of(first: &Path, version: u32) -> PathBuf {
    if version == FIRST_VERSION { first.to_owned() } else { beside(first, &format!(".{version}")) }
}

/// Reads the first version, or makes it.
pub(super) fn read_or_make_first(path: &Path) -> io::Result<Held> {
    match read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        read => return read,
    }
    match write_new(path, &random_32()) {
        // Somebody else was first, and theirs counts.
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => read(path),
    }
}

/// Reads every later version that is here.
pub(super) fn read_later(first: &Path) -> io::Result<BTreeMap<u32, Held>> {
    let mut found = BTreeMap::new();
    for name in names(first)? {
        let Some(number) = number(&name) else { continue };
        found.insert(number, read(&path_of(first, number))?);
    }
    Ok(found)
}

/// Makes a later version.
pub(super) fn make_later(first: &Path, number: u32, now: DateTime<Utc>) -> io::Result<Held> {
    remove_unfinished(first)?;
    let path = path_of(first, number);
    let mut bytes = Zeroizing::new(Vec::with_capacity(40));
    bytes.extend_from_slice(&*Zeroizing::new(random_32()));
    bytes.extend_from_slice(&now.timestamp().to_be_bytes());
    write_new(&path, &bytes)?;
    read(&path)
}

/// Removes a later version, or marks the first as dropped; durable on return.
pub(super) fn remove(first: &Path, number: u32) -> io::Result<()> {
    remove_unfinished(first)?;
    if number == FIRST_VERSION {
        return write_new(&dropped_mark(first), &[])
            .or_else(|error| if error.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(error) });
    }
    match fs::remove_file(path_of(first, number)) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    sync_dir(first)
}

/// Returns whether the first version is no longer one that opens credentials.
pub(super) fn is_first_dropped(first: &Path) -> bool {
    dropped_mark(first).exists()
}

fn dropped_mark(first: &Path) -> PathBuf {
    beside(first, &format!(".{FIRST_VERSION}.dropped"))
}

fn beside(first: &Path, end: &str) -> PathBuf {
    let mut name = first.file_name().unwrap_or_default().to_owned();
    name.push(end);
    first.with_file_name(name)
}

fn dir_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Returns what follows the first version's name in the names of the files beside it.
fn names(first: &Path) -> io::Result<Vec<String>> {
    let start = format!("{}.", first.file_name().unwrap_or_default().to_string_lossy());
    let mut names = Vec::new();
    for entry in fs::read_dir(dir_of(first))? {
        let name = entry?.file_name();
        names.extend(name.to_string_lossy().strip_prefix(&start).map(str::to_owned));
    }
    Ok(names)
}

/// Reads the end of a name as the number of a later version, if it is written as one.
fn number(end: &str) -> Option<u32> {
    end.parse().ok().filter(|number: &u32| *number > FIRST_VERSION && number.to_string() == end)
}

fn read(path: &Path) -> io::Result<Held> {
    let mut file = File::open(path)?;
    let about = file.metadata()?;
    let shown = path.display();
    if about.mode() & 0o077 != 0 {
        return Err(io::Error::other(format!(
            "others may read {shown}; nothing was started; run: chmod 600 {shown}"
        )));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(64));
    file.read_to_end(&mut bytes)?;
    let held = match bytes.split_first_chunk::<32>() {
        Some((key, [])) if number_of(path).is_none() => Some((key, DateTime::from(about.modified()?))),
        Some((key, time)) if number_of(path).is_some() => {
            let seconds = <[u8; 8]>::try_from(time).map(i64::from_be_bytes).ok();
            seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).map(|made| (key, made))
        }
        Some(_) | None => None,
    };
    let Some((key, made)) = held else {
        let length = if number_of(path).is_some() { 40 } else { 32 };
        return Err(io::Error::other(format!(
            "{shown} is not a master key: it must be {length} bytes long; put the right one back from a backup"
        )));
    };
    let key = SecretBox::init_with_mut(|kept: &mut [u8; 32]| kept.copy_from_slice(key));
    Ok(Held { key, made })
}

/// Returns the number at the end of a file's name, if it is a later version's.
fn number_of(path: &Path) -> Option<u32> {
    number(path.extension()?.to_str()?)
}

/// Writes a file that was not there: after a crash it is there whole, or not at all.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let random = random_nonce().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let unfinished = beside(path, &format!(".{random}{UNFINISHED}"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let named = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| {
        fault::point("keys.written");
        name_it(&unfinished, path)
    });
    fault::point("keys.named");
    let removed = match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    };
    named.and(removed)?;
    sync_dir(path)
}

/// Gives a whole file its name, unless another has it.
fn name_it(unfinished: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(unfinished, path) {
        // Where files have one name only; nobody else makes one here, as the data directory has one user.
        Err(error) if error.kind() != ErrorKind::AlreadyExists && !path.exists() => {
            fs::rename(unfinished, path)
        }
        linked => linked,
    }
}

/// Removes what a crash left behind: it may be another name of a key that is to be dropped.
fn remove_unfinished(first: &Path) -> io::Result<()> {
    for name in names(first)?.iter().filter(|name| name.ends_with(UNFINISHED)) {
        fs::remove_file(beside(first, &format!(".{name}")))?;
    }
    Ok(())
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(dir_of(path))?.sync_all()
}
