//! The bytes of a segment: its header and the frames that hold its records.

use std::io;

use sha2::{Digest, Sha256};
use trade_actors::domain::record::{Hash, Record};
use trade_actors::ports::log::{Entry, Head};
use uuid::Uuid;

const MAGIC: [u8; 8] = *b"TEXECLOG";
const VERSION: u32 = 1;
const DOMAIN: &[u8] = b"trade-executor/segment/v1\0";

/// Bytes of a header: magic, version, log id, first sequence number, previous hash, SHA-256 of those.
pub(super) const HEADER_BYTES: usize = 100;
/// Bytes of a frame's length.
pub(super) const LENGTH_BYTES: usize = 4;
/// Bytes of a frame's hash.
pub(super) const HASH_BYTES: usize = 32;

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The log it is a part of.
    pub(super) log_id: Uuid,
    /// Where the log ended when this segment began.
    pub(super) after: Head,
}

impl Header {
    /// Returns the stored form.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(self.log_id.as_bytes());
        out.extend_from_slice(&(self.after.seq + 1).to_be_bytes());
        out.extend_from_slice(&self.after.hash.0);
        let check = check(&out);
        out.extend_from_slice(&check);
        out
    }

    /// Reads the stored form from the beginning of `bytes`.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        const CUT: &str = "the segment's header is cut off";
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(CUT)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or(CUT)?;
        let (log_id, rest) = rest.split_first_chunk::<16>().ok_or(CUT)?;
        let (first, rest) = rest.split_first_chunk::<8>().ok_or(CUT)?;
        let (previous, rest) = rest.split_first_chunk::<32>().ok_or(CUT)?;
        let (stored, _) = rest.split_first_chunk::<32>().ok_or(CUT)?;
        if *magic != MAGIC {
            return Err("the file is not a segment of a log");
        }
        if u32::from_be_bytes(*version) != VERSION {
            return Err("the segment has a format that this version cannot read");
        }
        let said = bytes.get(..HEADER_BYTES - HASH_BYTES).ok_or(CUT)?;
        if check(said) != *stored {
            return Err("the segment's header was changed");
        }
        let seq = u64::from_be_bytes(*first).checked_sub(1).ok_or("the segment's header was changed")?;
        Ok(Self { log_id: Uuid::from_bytes(*log_id), after: Head { seq, hash: Hash(*previous) } })
    }
}

fn check(said: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(DOMAIN).chain_update(said).finalize().into()
}

/// Appends the frame of record `after.seq + 1` to `out` and returns the new head.
///
/// # Errors
/// When the record is longer than a frame can say (4 GiB).
pub(super) fn push(out: &mut Vec<u8>, after: Head, entry: &Entry<'_>) -> io::Result<Head> {
    let seq = after.seq + 1;
    let from = out.len();
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    let hash = Record::encode(seq, entry.timestamp, entry.statement, after.hash, out);
    let length = u32::try_from(out.len() - from - LENGTH_BYTES).map_err(io::Error::other)?;
    if let Some(slot) = out.get_mut(from..from + LENGTH_BYTES) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
    out.extend_from_slice(&hash.0);
    Ok(Head { seq, hash })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A header is read back as written, and no byte of it can change unseen.
        #[test]
        fn a_header_round_trips_and_shows_any_change(id: u128, seq in 0..u64::MAX, hash: [u8; 32], at in 0..HEADER_BYTES, flip in 1_u8..=255) {
            let header = Header { log_id: Uuid::from_u128(id), after: Head { seq, hash: Hash(hash) } };
            let mut bytes = header.encode();
            prop_assert_eq!(bytes.len(), HEADER_BYTES);
            prop_assert_eq!(Header::decode(&bytes), Ok(header));
            bytes[at] ^= flip;
            prop_assert!(Header::decode(&bytes).is_err());
        }

        /// No bytes at all make the decoder panic.
        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>) {
            prop_assert!(Header::decode(&bytes).is_err());
        }
    }
}
