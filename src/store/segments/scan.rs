//! Reads one segment, record by record, checking each hash and its link to the record before.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use trade_actors::domain::record::Record;
use trade_actors::ports::log::{Head, LogError};

use super::frame::{HASH_BYTES, HEADER_BYTES, Header, LENGTH_BYTES};

const CHUNK: usize = 256 << 10;
const SETTLE_TRIES: u32 = 5;
const SETTLE_PAUSE: Duration = Duration::from_millis(10);

/// What comes next in a segment.
#[expect(clippy::large_enum_variant, reason = "one lives at a time, and a box would cost each record")]
#[derive(Debug)]
pub(super) enum Step {
    /// A record that follows from the one before.
    Record(Record),
    /// Nothing was written here.
    End,
    /// Something that is not the next record.
    Bad(String),
}

/// A place in a segment. Everything before it was checked.
#[derive(Debug)]
pub(super) struct Scan {
    file: File,
    len: u64,
    header: Header,
    at: u64,
    head: Head,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl Scan {
    /// Opens the segment at `path` and checks its header; `first` is the sequence number in its name.
    ///
    /// # Errors
    /// When the file cannot be read, or its header is not that of the named segment.
    pub(super) fn open(path: &Path, first: u64) -> Result<Self, LogError> {
        let file = File::open(path).map_err(LogError::Broken)?;
        let len = file.metadata().map_err(LogError::Broken)?.len();
        let mut bytes = vec![0; HEADER_BYTES];
        let got = read_full(&file, &mut bytes, 0).map_err(LogError::Broken)?;
        bytes.truncate(got);
        let damaged =
            |why: &str| LogError::Damaged { seq: first, why: format!("{why} ({})", path.display()) };
        let header = Header::decode(&bytes).map_err(damaged)?;
        if header.after.seq.checked_add(1) != Some(first) {
            return Err(damaged("the segment's header names another first record than its file name"));
        }
        let at = HEADER_BYTES as u64;
        Ok(Self { file, len, header, at, head: header.after, buffer: Vec::new(), buffer_at: at })
    }

    /// Returns what the segment says about itself.
    pub(super) fn header(&self) -> Header {
        self.header
    }

    /// Returns the last record that was checked.
    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// Returns the offset behind that record.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Returns the segment's length.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Takes the next record, or says what is there instead, without moving.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn step(&mut self) -> io::Result<Step> {
        let Some((length, _)) = self.window(LENGTH_BYTES)?.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(Step::End);
        };
        let length = u32::from_be_bytes(*length);
        if length == 0 {
            return Ok(Step::End);
        }
        let frame = u64::from(length) + (LENGTH_BYTES + HASH_BYTES) as u64;
        if frame > self.len - self.at {
            return Ok(Step::Bad("its length reaches past the end of the segment".to_owned()));
        }
        let head = self.head;
        let frame_bytes = usize::try_from(frame).map_err(io::Error::other)?;
        let record = match parse(self.window(frame_bytes)?.get(..frame_bytes)) {
            Ok(record) => record,
            Err(why) => return Ok(Step::Bad(why)),
        };
        if record.seq != head.seq + 1 {
            return Ok(Step::Bad(format!("record {} stands in its place", record.seq)));
        }
        if record.previous_hash != head.hash {
            return Ok(Step::Bad("it does not follow from the record before it".to_owned()));
        }
        self.at += frame;
        self.head = Head { seq: record.seq, hash: record.current_hash };
        Ok(Step::Record(record))
    }

    /// Takes the next record again, several times and from the file: a writer may be in the middle of it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn settle(&mut self) -> io::Result<Step> {
        let mut last = Step::End;
        for _ in 0..SETTLE_TRIES {
            std::thread::sleep(SETTLE_PAUSE);
            self.buffer.clear();
            last = self.step()?;
            if matches!(last, Step::Record(_)) {
                break;
            }
        }
        Ok(last)
    }

    /// Tells whether a whole record lies behind the bad one that comes next: then it is no unfinished write.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn whole_frame_follows(&mut self) -> io::Result<bool> {
        let at = self.at;
        let Some((length, _)) = self.window(LENGTH_BYTES)?.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(false);
        };
        self.at += u64::from(u32::from_be_bytes(*length)) + (LENGTH_BYTES + HASH_BYTES) as u64;
        let follows = self.at < self.len && self.whole_frame();
        self.at = at;
        self.buffer.clear();
        Ok(follows)
    }

    /// Returns the offset behind the last byte that is not zero, if there is one in the unused rest.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn used_rest(&self) -> io::Result<Option<u64>> {
        let mut chunk = vec![0; CHUNK];
        let (mut at, mut used) = (self.at, None);
        loop {
            let got = read_full(&self.file, &mut chunk, at)?;
            let read = chunk.get(..got).unwrap_or_default();
            if let Some(last) = read.iter().rposition(|byte| *byte != 0) {
                used = Some(at + last as u64 + 1);
            }
            at += got as u64;
            if got < CHUNK {
                return Ok(used);
            }
        }
    }

    fn whole_frame(&mut self) -> bool {
        self.buffer.clear();
        let Ok(bytes) = self.window(LENGTH_BYTES) else { return false };
        let Some((length, _)) = bytes.split_first_chunk::<LENGTH_BYTES>() else { return false };
        let frame = u64::from(u32::from_be_bytes(*length)) + (LENGTH_BYTES + HASH_BYTES) as u64;
        if frame > self.len - self.at {
            return false;
        }
        let Ok(frame) = usize::try_from(frame) else { return false };
        self.window(frame).is_ok_and(|bytes| parse(bytes.get(..frame)).is_ok())
    }

    /// Returns at least `need` bytes from the current place, or what there is up to the end.
    fn window(&mut self, need: usize) -> io::Result<&[u8]> {
        let skip = self.at.checked_sub(self.buffer_at).and_then(|skip| usize::try_from(skip).ok());
        let have = skip.and_then(|skip| self.buffer.len().checked_sub(skip));
        if have.is_some_and(|have| have >= need) {
            return Ok(self.buffer.get(skip.unwrap_or_default()..).unwrap_or_default());
        }
        let left = usize::try_from(self.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        self.buffer.resize(need.max(CHUNK).min(left), 0);
        let got = read_full(&self.file, &mut self.buffer, self.at)?;
        self.buffer.truncate(got);
        self.buffer_at = self.at;
        Ok(&self.buffer)
    }
}

/// Returns the segments of `dir` by the sequence number of their first record.
///
/// # Errors
/// When the directory cannot be read.
pub(super) fn segments(dir: &Path) -> io::Result<BTreeMap<u64, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "seg") {
            continue;
        }
        if let Some(first) = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()) {
            found.insert(first, path);
        }
    }
    Ok(found)
}

fn parse(frame: Option<&[u8]>) -> Result<Record, String> {
    let body = frame.and_then(|bytes| bytes.split_at_checked(LENGTH_BYTES));
    let Some((encoding, hash)) = body.and_then(|(_, body)| body.split_last_chunk::<HASH_BYTES>()) else {
        return Err("it is cut off".to_owned());
    };
    let record = Record::decode(encoding).map_err(|error| error.to_string())?;
    if record.current_hash.0 == *hash {
        Ok(record)
    } else {
        Err("its hash does not match what it says".to_owned())
    }
}

fn read_full(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut got = 0;
    while let Some(rest) = buffer.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + got as u64) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
