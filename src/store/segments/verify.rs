//! Proves a whole log: every record, every link, every segment, every checkpoint.

use std::collections::BTreeMap;
use std::path::Path;

use trade_actors::domain::record::Hash;
use trade_actors::ports::log::{Checkpoint, Head, LogError};
use uuid::Uuid;

use super::checkpoints::{self, Keys, Signed, Stored};
use super::scan::{Scan, Step, segments};

/// How many bytes may pass between two reports of progress.
const REPORT_BYTES: u64 = 1 << 20;

/// What was proven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// The log's name; absent: no log was begun here.
    pub log_id: Option<Uuid>,
    /// How many records were checked.
    pub records: u64,
    /// Where the log ends.
    pub head: Head,
    /// How many checkpoints were checked.
    pub checkpoints: u64,
    /// Up to which record signatures prove that none was changed or cut off; absent: none does.
    pub proven_to: Option<u64>,
    /// The checkpoint that proves it.
    pub last_checkpoint: Option<Checkpoint>,
    /// Ids of the keys that signed, to compare with those noted outside the store.
    pub key_ids: Vec<String>,
    /// What a reader should know although nothing is wrong.
    pub warnings: Vec<String>,
}

/// Verifies the whole log in `dir`, also while another process writes it.
///
/// `progress` is called with the bytes done and the bytes in all.
///
/// # Errors
/// [`LogError::Damaged`] names the first record that is changed, missing, out of place or other than what was signed;
/// [`LogError::Broken`] when the directory cannot be read.
pub fn verify(dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified, LogError> {
    verify_after(dir, Head::default(), progress)
}

/// Verifies a log whose records up to `start` are kept elsewhere.
///
/// Checkpoints older than `start` are not checked.
///
/// # Errors
/// As [`verify`].
pub fn verify_after(
    dir: &Path,
    start: Head,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Verified, LogError> {
    // Before the records: a writer may sign more of them at any time.
    let stored = checkpoints::load(dir).map_err(LogError::Broken)?;
    let keys = checkpoints::load_keys(dir).map_err(LogError::Broken)?;
    let mut chain = Chain { start, head: start, log_id: None, seen: BTreeMap::new() };
    chain.seen.extend(stored.lines.iter().flatten().map(|signed| (signed.checkpoint.head.seq, None)));
    chain.note();
    let broke = match chain.walk(dir, progress) {
        Ok(()) => None,
        Err(LogError::Damaged { seq, why }) => Some((seq, why)),
        Err(failure @ (LogError::Broken(_) | LogError::Full)) => return Err(failure),
    };
    // Also when the chain broke: what is said of the records before the break must be true.
    let (mut verified, fault) = chain.prove(&stored, &keys, broke.is_none());
    if let Some((seq, why)) = fault.or(broke) {
        let why = format!("{why}{}", before(seq, verified.proven_to.unwrap_or(start.seq)));
        return Err(LogError::Damaged { seq, why });
    }
    if stored.torn {
        verified.warnings.push("the last checkpoint was not written to its end and was ignored".to_owned());
    }
    Ok(verified)
}

/// The walk along the records, and the hashes at the places that were signed.
#[derive(Debug)]
struct Chain {
    start: Head,
    head: Head,
    log_id: Option<Uuid>,
    seen: BTreeMap<u64, Option<Hash>>,
}

impl Chain {
    fn walk(&mut self, dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(), LogError> {
        let found = segments(dir).map_err(LogError::Broken)?;
        let sizes = found.values().map(|path| path.metadata().map(|data| data.len()));
        let total = sizes.sum::<std::io::Result<u64>>().map_err(LogError::Broken)?;
        let last = found.keys().next_back().copied();
        let mut done = 0;
        for (first, path) in &found {
            let next = self.head.seq + 1;
            if *first > next {
                return Err(damaged(next, &format!("it is missing, as is all up to record {}", first - 1)));
            }
            let mut scan = Scan::open(path, *first).map_err(|error| match error {
                LogError::Damaged { seq, why } => damaged(seq.min(next), &why),
                other @ (LogError::Full | LogError::Broken(_)) => other,
            })?;
            let header = scan.header();
            if header.after != self.head || self.log_id.is_some_and(|id| id != header.log_id) {
                return Err(damaged(next, "its segment does not follow from the one before it"));
            }
            self.log_id = Some(header.log_id);
            self.records(&mut scan, last == Some(*first), &mut |at| progress(done + at, total))?;
            done += scan.len();
            progress(done, total);
        }
        Ok(())
    }

    fn records(
        &mut self,
        scan: &mut Scan,
        last: bool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), LogError> {
        let mut report_at = REPORT_BYTES;
        loop {
            let mut step = scan.step().map_err(LogError::Broken)?;
            let rest_used =
                matches!(step, Step::End) && scan.used_rest().map_err(LogError::Broken)?.is_some();
            if last && (rest_used || matches!(step, Step::Bad(_))) {
                step = scan.settle().map_err(LogError::Broken)?;
            }
            match step {
                Step::Record(_) => {
                    self.head = scan.head();
                    self.note();
                }
                Step::End if !rest_used => return Ok(()),
                Step::End => return Err(tail(self.head, last, "nothing is written there, but bytes follow")),
                Step::Bad(why) => return Err(tail(self.head, last, &why)),
            }
            if scan.at() >= report_at {
                progress(scan.at());
                report_at = scan.at() + REPORT_BYTES;
            }
        }
    }

    /// Keeps the hash of the head if a checkpoint speaks of it.
    fn note(&mut self) {
        if let Some(hash) = self.seen.get_mut(&self.head.seq) {
            *hash = Some(self.head.hash);
        }
    }

    /// Checks the checkpoints of what was walked; of all that was ever signed when the walk is `whole`.
    ///
    /// Returns what is proven up to the first fault, and the fault with the first record that it touches.
    fn prove(&self, stored: &Stored, keys: &Keys, whole: bool) -> (Verified, Option<(u64, String)>) {
        let records = self.head.seq - self.start.seq;
        let mut verified = Verified { log_id: self.log_id, records, head: self.head, ..Verified::default() };
        let mut signed: Vec<&Signed> = stored.lines.iter().flatten().collect();
        signed.sort_by_key(|signed| signed.checkpoint.head.seq);
        for signed in signed {
            let size = signed.checkpoint.head.seq;
            if size < self.start.seq || (!whole && size > self.head.seq) {
                continue;
            }
            if let Some(fault) = self.fault(signed, keys) {
                // Records that are missing are all behind the head; others may be any since the last proof.
                let after = verified.proven_to.unwrap_or(self.start.seq);
                let first =
                    if size > self.head.seq { self.head.seq + 1 } else { (after + 1).min(size.max(1)) };
                let why = format!("the checkpoint for record {size} of {} {fault}", signed.checkpoint.time);
                return (verified, Some((first, why)));
            }
            verified.checkpoints += 1;
            verified.proven_to = Some(size);
            verified.last_checkpoint = Some(signed.checkpoint.clone());
            if !verified.key_ids.contains(&signed.key_id) {
                verified.key_ids.push(signed.key_id.clone());
            }
        }
        if whole && let Some(at) = stored.lines.iter().position(Option::is_none) {
            let why = format!("line {} of the checkpoints is not a checkpoint", at + 1);
            let first = verified.proven_to.unwrap_or(self.start.seq) + 1;
            return (verified, Some((first, why)));
        }
        match verified.proven_to {
            None if records > 0 => verified.warnings.push("tail unproven: nothing was signed yet".to_owned()),
            Some(size) if size < self.head.seq => {
                verified.warnings.push(format!("the records after {size} are chained but not signed yet"));
            }
            None | Some(_) => {}
        }
        (verified, None)
    }

    fn fault(&self, signed: &Signed, keys: &Keys) -> Option<String> {
        let Checkpoint { log_id, head, .. } = &signed.checkpoint;
        if let Some(fault) = signed.fault(keys) {
            return Some(fault);
        }
        if self.log_id.is_some_and(|own| own.to_string() != *log_id) {
            return Some(format!("is of another log ({log_id})"));
        }
        match self.seen.get(&head.seq).copied().flatten() {
            None => Some(format!("proves more records than are there: the log ends at {}", self.head.seq)),
            Some(hash) if hash != head.hash => Some(format!("names another hash ({})", head.hash)),
            Some(_) => None,
        }
    }
}

fn damaged(seq: u64, why: &str) -> LogError {
    LogError::Damaged { seq, why: why.to_owned() }
}

/// Says what is known of the records before `seq` when signatures prove those up to `proven`.
///
/// A chain alone proves nothing: whoever rewrites a record can rewrite all links up to the one that breaks.
fn before(seq: u64, proven: u64) -> String {
    match proven {
        _ if seq <= 1 => String::new(),
        0 => "; the records before it are linked, but no signature proves them".to_owned(),
        proven if proven + 1 >= seq => "; everything before it is proven".to_owned(),
        proven => format!(
            "; everything up to record {proven} is proven, from there to record {} only linked",
            seq - 1
        ),
    }
}

/// Names the record behind `head`, and what to do if it is only the remains of a crash.
fn tail(head: Head, last: bool, why: &str) -> LogError {
    let crash = if last {
        " (if a power cut stopped the program, start it once: it cuts off an unfinished write)"
    } else {
        ""
    };
    damaged(head.seq + 1, &format!("{why}{crash}"))
}
