//! The signed heads beside the segments, a JSON line each, and the public keys they are checked with.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use trade_actors::ports::log::{Checkpoint, Head};

use super::spare::private;

const FILE: &str = "checkpoints";
const KEYS: &str = "public-keys";

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Line {
    log_id: String,
    size: u64,
    head: String,
    time: String,
    key_id: String,
    signature: String,
}

/// A checkpoint as it was read: its signature is not checked yet.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) checkpoint: Checkpoint,
    pub(super) key_id: String,
}

impl Signed {
    /// Returns what is wrong with the signature, if anything.
    pub(super) fn fault(&self, keys: &Keys) -> Option<String> {
        let Some(key) = keys.get(&self.key_id) else {
            return Some(format!("is signed by a key that is not known ({})", self.key_id));
        };
        let Checkpoint { log_id, head, time, signature } = &self.checkpoint;
        let message = Checkpoint::message(log_id, *head, time);
        match key.verify_strict(message.as_bytes(), &Signature::from_bytes(signature)) {
            Ok(()) => None,
            Err(_) => Some("has a signature that does not match".to_owned()),
        }
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let line: Line = serde_json::from_slice(line).ok()?;
        let head = Head { seq: line.size, hash: line.head.parse().ok()? };
        let signature = unhex::<64>(&line.signature)?;
        let checkpoint = Checkpoint { log_id: line.log_id, head, time: line.time, signature };
        Some(Self { checkpoint, key_id: line.key_id })
    }
}

/// Known keys by id.
pub(super) type Keys = BTreeMap<String, VerifyingKey>;

/// What the checkpoint file holds.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// One item a whole line, in order; `None` is a line that is no checkpoint.
    pub(super) lines: Vec<Option<Signed>>,
    /// Length of the whole lines.
    pub(super) whole_bytes: u64,
    /// Whether an unfinished line follows them: the file is not synced line by line.
    pub(super) torn: bool,
}

/// Reads the checkpoint file of `dir`.
///
/// # Errors
/// When the file is there and cannot be read.
pub(super) fn load(dir: &Path) -> io::Result<Stored> {
    let bytes = read_or_empty(&dir.join(FILE))?;
    let mut stored = Stored::default();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if line.ends_with(b"\n") {
            stored.lines.push(Signed::parse(line));
            stored.whole_bytes += line.len() as u64;
        } else {
            stored.torn = true;
        }
    }
    Ok(stored)
}

/// Reads the known public keys of `dir`.
///
/// # Errors
/// When the file is there and cannot be read.
pub(super) fn load_keys(dir: &Path) -> io::Result<Keys> {
    let bytes = read_or_empty(&dir.join(KEYS))?;
    let text = String::from_utf8_lossy(&bytes);
    let keys = text.lines().filter_map(|line| VerifyingKey::from_bytes(&unhex::<32>(line.trim())?).ok());
    Ok(keys.map(|key| (key_id(&key), key)).collect())
}

/// The checkpoint file, open for one writer.
#[derive(Debug)]
pub(super) struct Book {
    file: File,
    len: u64,
    key: SigningKey,
}

impl Book {
    /// Opens the file of `dir`, drops an unfinished last line and makes the key known.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) fn open(dir: &Path, stored: &Stored, keys: &mut Keys, key: SigningKey) -> io::Result<Self> {
        let public = key.verifying_key();
        if keys.insert(key_id(&public), public).is_none() {
            let before = read_or_empty(&dir.join(KEYS))?;
            let mut file = private().append(true).create(true).open(dir.join(KEYS))?;
            let gap = if before.is_empty() || before.ends_with(b"\n") { "" } else { "\n" };
            writeln!(file, "{gap}{}", hex(public.as_bytes()))?;
            file.sync_all()?;
        }
        let file = private().append(true).create(true).open(dir.join(FILE))?;
        if stored.torn {
            file.set_len(stored.whole_bytes)?;
        }
        Ok(Self { file, len: stored.whole_bytes, key })
    }

    /// Signs `head` and appends the checkpoint.
    ///
    /// # Errors
    /// When it cannot be written; then the file is as before.
    pub(super) fn sign(&mut self, log_id: &str, head: Head, time: &str) -> io::Result<Checkpoint> {
        let signature = self.key.sign(Checkpoint::message(log_id, head, time).as_bytes()).to_bytes();
        let line = Line {
            log_id: log_id.to_owned(),
            size: head.seq,
            head: head.hash.to_string(),
            time: time.to_owned(),
            key_id: key_id(&self.key.verifying_key()),
            signature: hex(&signature),
        };
        let mut bytes = serde_json::to_vec(&line)?;
        bytes.push(b'\n');
        if let Err(error) = self.file.write_all(&bytes) {
            self.file.set_len(self.len)?;
            return Err(error);
        }
        self.len += bytes.len() as u64;
        Ok(Checkpoint { log_id: log_id.to_owned(), head, time: time.to_owned(), signature })
    }
}

/// Returns the short name of a key: the first 16 hexadecimal digits of its SHA-256.
fn key_id(key: &VerifyingKey) -> String {
    let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
    hex(digest.first_chunk::<8>().unwrap_or(&[0; 8]))
}

fn read_or_empty(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        answer => answer,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != N * 2 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trade_actors::domain::record::Hash;

    fn head(seq: u64) -> Head {
        Head { seq, hash: Hash([9; 32]) }
    }

    fn book(dir: &Path, seed: u8) -> Book {
        let (stored, mut keys) = (load(dir).unwrap(), load_keys(dir).unwrap());
        Book::open(dir, &stored, &mut keys, SigningKey::from_bytes(&[seed; 32])).unwrap()
    }

    #[test]
    fn checkpoints_of_rotated_keys_all_verify() {
        let dir = tempfile::tempdir().unwrap();
        book(dir.path(), 1).sign("log", head(1), "t1").unwrap();
        book(dir.path(), 2).sign("log", head(2), "t2").unwrap();
        let (stored, keys) = (load(dir.path()).unwrap(), load_keys(dir.path()).unwrap());
        assert_eq!(keys.len(), 2);
        let sizes: Vec<_> = stored.lines.iter().flatten().map(|line| line.checkpoint.head.seq).collect();
        assert_eq!(sizes, [1, 2]);
        assert!(stored.lines.iter().all(|line| line.as_ref().unwrap().fault(&keys).is_none()));
    }

    #[test]
    fn any_changed_field_of_a_checkpoint_shows() {
        let dir = tempfile::tempdir().unwrap();
        book(dir.path(), 1).sign("log", head(7), "t").unwrap();
        let keys = load_keys(dir.path()).unwrap();
        let good = load(dir.path()).unwrap().lines.remove(0).unwrap();
        let with = |change: fn(&mut Signed)| {
            let mut changed = good.clone();
            change(&mut changed);
            changed.fault(&keys)
        };
        assert_eq!(with(|_| ()), None);
        assert!(with(|c| c.checkpoint.head.seq = 6).is_some());
        assert!(with(|c| c.checkpoint.head.hash.0[0] ^= 1).is_some());
        assert!(with(|c| c.checkpoint.time.push('x')).is_some());
        assert!(with(|c| c.checkpoint.log_id.push('x')).is_some());
        assert!(with(|c| c.checkpoint.signature[3] ^= 1).is_some());
        assert!(with(|c| c.key_id = "0".repeat(16)).unwrap().contains("not known"));
    }

    #[test]
    fn a_torn_last_line_is_dropped_at_every_length() {
        let dir = tempfile::tempdir().unwrap();
        book(dir.path(), 1).sign("log", head(1), "t").unwrap();
        let path = dir.path().join(FILE);
        let first = fs::read(&path).unwrap();
        book(dir.path(), 1).sign("log", head(2), "t").unwrap();
        let both = fs::read(&path).unwrap();
        for cut in first.len() + 1..both.len() {
            fs::write(&path, &both[..cut]).unwrap();
            let stored = load(dir.path()).unwrap();
            assert_eq!((stored.lines.len(), stored.torn), (1, true), "cut at {cut}");
        }
        book(dir.path(), 1).sign("log", head(2), "t").unwrap();
        assert_eq!(fs::read(&path).unwrap(), both);
    }
}
