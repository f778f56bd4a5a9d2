//! Finds the end of a log after any kind of stop: an unfinished write is cut off, a lost record is never accepted.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use trade_actors::ports::log::{Checkpoint, Head, LogError};
use uuid::Uuid;

use super::checkpoints::{Keys, Signed, Stored};
use super::frame::{HEADER_BYTES, Header};
use super::scan::{Scan, Step};
use super::spare::{self, Blank, Make};
use super::{is_no_space, segment_path};

const ADVICE: &str = "nothing was changed; keep the directory as evidence and restore a backup";

/// The end of the newest segment.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) log_id: Uuid,
    pub(super) head: Head,
    pub(super) file: File,
    pub(super) at: u64,
    pub(super) capacity: u64,
    pub(super) torn_bytes: u64,
}

/// Returns the checkpoint of the longest log among those whose signature holds.
pub(super) fn newest<'a>(stored: &'a Stored, keys: &Keys) -> Option<&'a Signed> {
    let good = stored.lines.iter().flatten().filter(|signed| signed.fault(keys).is_none());
    good.max_by_key(|signed| signed.checkpoint.head.seq)
}

/// Begins a log in an empty directory.
///
/// # Errors
/// When a checkpoint shows that the directory should not be empty, or the first segment cannot be made.
pub(super) fn begin(dir: &Path, bytes: u64, make: Make, newest: Option<&Signed>) -> Result<Tail, LogError> {
    if let Some(signed) = newest {
        let size = signed.checkpoint.head.seq;
        let why = format!("no segment is there, but a signed checkpoint proves {size} records; {ADVICE}");
        return Err(LogError::Damaged { seq: 1, why });
    }
    let log_id = Uuid::new_v4();
    let header = Header { log_id, after: Head::default() }.encode();
    let begun = spare::blank(dir, bytes, make).and_then(|Blank { file, path, bytes }| {
        file.write_all_at(&header, 0)?;
        file.sync_data()?;
        fs::rename(path, segment_path(dir, 1))?;
        spare::sync_dir(dir)?;
        let at = HEADER_BYTES as u64;
        Ok(Tail { log_id, head: Head::default(), file, at, capacity: bytes, torn_bytes: 0 })
    });
    begun.map_err(|error| if is_no_space(&error) { LogError::Full } else { LogError::Broken(error) })
}

/// Checks the newest segment against the newest checkpoint and cuts an unfinished write off its end.
///
/// # Errors
/// [`LogError::Damaged`] when the checkpoint proves more or other records than are there; nothing is changed then.
pub(super) fn recover(path: &Path, first: u64, newest: Option<&Signed>) -> Result<Tail, LogError> {
    let mut scan = Scan::open(path, first)?;
    let proof = newest.map(|signed| &signed.checkpoint);
    let log_id = scan.header().log_id;
    if let Some(other) = proof.filter(|proof| proof.log_id != log_id.to_string()) {
        let why =
            format!("the segments are of log {log_id}, the checkpoints of log {}; {ADVICE}", other.log_id);
        return Err(LogError::Damaged { seq: first, why });
    }
    compare(proof, scan.head())?;
    let end = loop {
        match scan.step().map_err(LogError::Broken)? {
            Step::Record(_) => compare(proof, scan.head())?,
            Step::End => break "nothing was written there".to_owned(),
            Step::Bad(why) => break why,
        }
    };
    let head = scan.head();
    if let Some(proof) = proof.filter(|proof| proof.head.seq > head.seq) {
        let size = proof.head.seq;
        let why = format!("{end}, but a checkpoint of {} proves {size} records; {ADVICE}", proof.time);
        return Err(LogError::Damaged { seq: head.seq + 1, why });
    }
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(LogError::Broken)?;
    let used = scan.used_rest().map_err(LogError::Broken)?;
    let torn_bytes = used.map_or(0, |used| used - scan.at());
    if torn_bytes > 0 {
        clear(&file, scan.at(), torn_bytes).map_err(LogError::Broken)?;
    }
    Ok(Tail { log_id, head, file, at: scan.at(), capacity: scan.len(), torn_bytes })
}

/// Refuses a head that is not the one that was signed.
fn compare(proof: Option<&Checkpoint>, head: Head) -> Result<(), LogError> {
    match proof.filter(|proof| proof.head.seq == head.seq && proof.head.hash != head.hash) {
        None => Ok(()),
        Some(proof) => Err(LogError::Damaged {
            seq: head.seq,
            why: format!("its hash is not the one that was signed at {}; {ADVICE}", proof.time),
        }),
    }
}

/// Overwrites the remains of an unfinished write, so that they can never look like a record.
fn clear(file: &File, at: u64, bytes: u64) -> io::Result<()> {
    let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
    file.write_all_at(&vec![0; bytes], at)?;
    file.sync_data()
}
