//! Reads the log across segments, beside its writer or without one.

use std::path::{Path, PathBuf};

use trade_actors::domain::record::Record;
use trade_actors::ports::log::{LogError, Records};

use super::checkpoints;
use super::scan::{Scan, Step, segments};

/// Reads the log of a directory, also while another process writes it.
#[derive(Clone, Debug)]
pub struct SegmentReader {
    dir: PathBuf,
}

impl SegmentReader {
    /// Opens the log in `dir` for reading.
    ///
    /// # Errors
    /// [`LogError::Broken`] when the directory cannot be read.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        segments(dir).map_err(LogError::Broken)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Returns the sequence number of the first record that is here; 1 unless older segments were archived.
    ///
    /// # Errors
    /// [`LogError::Broken`] when the directory cannot be read.
    pub fn first(&self) -> Result<u64, LogError> {
        let found = segments(&self.dir).map_err(LogError::Broken)?;
        Ok(found.keys().next().copied().unwrap_or(1))
    }

    /// Reads records from `from` (a sequence number, from 1) to the last one that is whole.
    ///
    /// # Errors
    /// When the log cannot be read, or `from` is older than what is here.
    pub fn read(&self, from: u64) -> Result<Records, LogError> {
        read(&self.dir, from, None)
    }
}

/// Reads from `from`, to `bound` when given; then everything up to it must be there.
pub(super) fn read(dir: &Path, from: u64, bound: Option<u64>) -> Result<Records, LogError> {
    let from = from.max(1);
    let found = segments(dir).map_err(LogError::Broken)?;
    let Some((first, path)) = found.range(..=from).next_back() else {
        return match found.keys().next() {
            None => Ok(Box::new(std::iter::empty())),
            Some(first) => Err(LogError::Damaged {
                seq: from,
                why: format!("the records before {first} are not in {}; look in the archive", dir.display()),
            }),
        };
    };
    let scan = Scan::open(path, *first)?;
    Ok(Box::new(Reading { dir: dir.to_owned(), from, bound, scan: Some(scan) }))
}

/// The iterator; `scan` is gone after the end or an error.
#[derive(Debug)]
struct Reading {
    dir: PathBuf,
    from: u64,
    bound: Option<u64>,
    scan: Option<Scan>,
}

impl Iterator for Reading {
    type Item = Result<Record, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut scan = self.scan.take()?;
        let item = self.pull(&mut scan);
        if let Ok(Some(_)) = item {
            self.scan = Some(scan);
        }
        item.transpose()
    }
}

impl Reading {
    fn pull(&self, scan: &mut Scan) -> Result<Option<Record>, LogError> {
        loop {
            let next = scan.head().seq + 1;
            if self.bound.is_some_and(|bound| next > bound) {
                return Ok(None);
            }
            let step = match scan.step().map_err(LogError::Broken)? {
                Step::Record(record) => Some(record),
                end @ (Step::End | Step::Bad(_)) => match self.beyond(scan, end)? {
                    Beyond::Record(record) => Some(record),
                    Beyond::NextSegment => None,
                    Beyond::Nothing => return Ok(None),
                },
            };
            if let Some(record) = step.filter(|record| record.seq >= self.from) {
                return Ok(Some(record));
            }
        }
    }

    /// Decides what the end of a segment's records means.
    fn beyond(&self, scan: &mut Scan, end: Step) -> Result<Beyond, LogError> {
        let next = scan.head().seq + 1;
        let found = segments(&self.dir).map_err(LogError::Broken)?;
        // An empty segment begins with the next record itself.
        let own = scan.header().after.seq + 1;
        let later = found.range(next.max(own + 1)..).next();
        if let (Step::End, Some((first, path))) = (&end, later)
            && *first == next
        {
            let opened = Scan::open(path, next)?;
            if opened.header().after != scan.head() || opened.header().log_id != scan.header().log_id {
                let why = "its segment does not follow from the one before it".to_owned();
                return Err(LogError::Damaged { seq: next, why });
            }
            *scan = opened;
            return Ok(Beyond::NextSegment);
        }
        if matches!(end, Step::End) && later.is_none() && self.bound.is_none() {
            return Ok(Beyond::Nothing);
        }
        // A writer may be in the middle of this place, or have filled it and begun a new segment since.
        let why = match scan.settle().map_err(LogError::Broken)? {
            Step::Record(record) => return Ok(Beyond::Record(record)),
            Step::End => "it is missing".to_owned(),
            Step::Bad(why) if self.is_unfinished(scan, later.is_some())? => {
                tracing::warn!(
                    record.seq = next,
                    why,
                    "the log ends in an unfinished write, which was not read"
                );
                return Ok(Beyond::Nothing);
            }
            Step::Bad(why) => why,
        };
        Err(LogError::Damaged { seq: next, why })
    }

    /// Tells whether the bad bytes that come next can be a write that a crash cut short.
    fn is_unfinished(&self, scan: &mut Scan, later: bool) -> Result<bool, LogError> {
        if later || self.bound.is_some() || scan.whole_frame_follows().map_err(LogError::Broken)? {
            return Ok(false);
        }
        let stored = checkpoints::load(&self.dir).map_err(LogError::Broken)?;
        let signed = stored.lines.iter().flatten().map(|line| line.checkpoint.head.seq).max();
        Ok(signed.is_none_or(|size| size <= scan.head().seq))
    }
}

/// What follows where a segment's records end.
#[expect(clippy::large_enum_variant, reason = "one lives at a time, and a box would cost each record")]
enum Beyond {
    /// One more record, which was just being written.
    Record(Record),
    /// The scan stands at the beginning of the next segment.
    NextSegment,
    /// The log ends here.
    Nothing,
}
