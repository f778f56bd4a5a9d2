//! One line of the log: what happened, to what, by whom, chained to the line before by its hash.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A SHA-256 value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Hash(pub [u8; 32]);

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl std::str::FromStr for Hash {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<Self, DecodeError> {
        let mut hash = Self::default();
        if text.len() != 64 || !text.is_ascii() {
            return Err(DecodeError("a hash is 64 hexadecimal digits"));
        }
        for (at, byte) in hash.0.iter_mut().enumerate() {
            *byte = text
                .get(at * 2..at * 2 + 2)
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or(DecodeError("a hash is 64 hexadecimal digits"))?;
        }
        Ok(hash)
    }
}

/// Whether what the record tells of succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It did.
    Success,
    /// It did not; the record's error message says why.
    Failure,
}

impl Status {
    /// Returns the word that is hashed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// Everything of a record that its writer says; the log adds place, time and hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Whose it is; absent: the engine's own.
    pub user_id: Option<String>,
    /// What happened, e.g. `ORDER_CREATED`.
    pub action: String,
    /// What kind of thing it happened to.
    pub resource_type: String,
    /// Which one.
    pub resource_id: Option<String>,
    /// The caller's address, if a caller asked for it.
    pub ip_address: Option<String>,
    /// The caller's software.
    pub user_agent: Option<String>,
    /// How it ended.
    pub status: Status,
    /// Why it failed.
    pub error_message: Option<String>,
    /// The event itself as canonical JSON (RFC 8785); never a secret.
    pub payload: Option<String>,
}

/// A record of the log (`SECURITY-BAR` 4, FR-054, FR-055).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place, from 1, without gaps.
    pub seq: u64,
    /// When it was committed: RFC 3339, UTC, milliseconds.
    pub timestamp: String,
    /// What it says.
    pub statement: Statement,
    /// The hash of the record before; zeros for the first.
    pub previous_hash: Hash,
    /// The hash of this one, over all fields above.
    pub current_hash: Hash,
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a record: {0}")]
pub struct DecodeError(pub &'static str);

const DOMAIN: &[u8] = b"trade-executor/audit/v1\0";
const ABSENT: u32 = u32::MAX;

impl Record {
    /// Appends the canonical encoding of all fields but the current hash to `out` and returns the hash over it.
    ///
    /// Each field is a big-endian `u32` length and its bytes; an absent one is the length `ffffffff` alone.
    pub fn encode(seq: u64, timestamp: &str, said: &Statement, previous: Hash, out: &mut Vec<u8>) -> Hash {
        let from = out.len();
        put(out, Some(&seq.to_be_bytes()));
        put(out, Some(timestamp.as_bytes()));
        for field in [
            said.user_id.as_deref(),
            Some(said.action.as_str()),
            Some(said.resource_type.as_str()),
            said.resource_id.as_deref(),
            said.ip_address.as_deref(),
            said.user_agent.as_deref(),
            Some(said.status.as_str()),
            said.error_message.as_deref(),
            said.payload.as_deref(),
        ] {
            put(out, field.map(str::as_bytes));
        }
        put(out, Some(&previous.0));
        Self::hash(out.get(from..).unwrap_or_default())
    }

    /// Returns the hash of an encoding.
    #[must_use]
    pub fn hash(encoding: &[u8]) -> Hash {
        Hash(Sha256::new().chain_update(DOMAIN).chain_update(encoding).finalize().into())
    }

    /// Reads an encoding back; the hash is computed, not trusted.
    ///
    /// # Errors
    /// When the bytes are not exactly one encoding.
    pub fn decode(encoding: &[u8]) -> Result<Self, DecodeError> {
        let mut rest = encoding;
        let seq = required(&mut rest)?;
        let seq =
            u64::from_be_bytes(seq.try_into().map_err(|_| DecodeError("the sequence number is 8 bytes"))?);
        let timestamp = text(required(&mut rest)?)?;
        let user_id = optional_text(&mut rest)?;
        let action = text(required(&mut rest)?)?;
        let resource_type = text(required(&mut rest)?)?;
        let resource_id = optional_text(&mut rest)?;
        let ip_address = optional_text(&mut rest)?;
        let user_agent = optional_text(&mut rest)?;
        let status = match required(&mut rest)? {
            b"success" => Status::Success,
            b"failure" => Status::Failure,
            _ => return Err(DecodeError("the status is neither success nor failure")),
        };
        let error_message = optional_text(&mut rest)?;
        let payload = optional_text(&mut rest)?;
        let previous = required(&mut rest)?;
        let previous_hash = Hash(previous.try_into().map_err(|_| DecodeError("a hash is 32 bytes"))?);
        if !rest.is_empty() {
            return Err(DecodeError("bytes follow the last field"));
        }
        let statement = Statement {
            user_id,
            action,
            resource_type,
            resource_id,
            ip_address,
            user_agent,
            status,
            error_message,
            payload,
        };
        Ok(Self { seq, timestamp, statement, previous_hash, current_hash: Self::hash(encoding) })
    }
}

fn put(out: &mut Vec<u8>, field: Option<&[u8]>) {
    // A field longer than u32 cannot exist: the largest body taken from outside is 64 KiB.
    let len = field.map_or(ABSENT, |bytes| u32::try_from(bytes.len()).unwrap_or(ABSENT - 1));
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(field.unwrap_or_default());
}

fn take<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, DecodeError> {
    let (len, after) = rest.split_first_chunk::<4>().ok_or(DecodeError("a field's length is cut off"))?;
    let len = u32::from_be_bytes(*len);
    if len == ABSENT {
        *rest = after;
        return Ok(None);
    }
    let len = usize::try_from(len).map_err(|_| DecodeError("a field is too long"))?;
    let (field, after) = after.split_at_checked(len).ok_or(DecodeError("a field is cut off"))?;
    *rest = after;
    Ok(Some(field))
}

fn required<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], DecodeError> {
    take(rest)?.ok_or(DecodeError("a required field is absent"))
}

fn text(bytes: &[u8]) -> Result<String, DecodeError> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| DecodeError("a field is not UTF-8"))
}

fn optional_text(rest: &mut &[u8]) -> Result<Option<String>, DecodeError> {
    take(rest)?.map(text).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> Statement {
        Statement {
            user_id: Some("u1".into()),
            action: "TRADE_EXECUTED".into(),
            resource_type: "Trade".into(),
            resource_id: Some("t1".into()),
            ip_address: Some("203.0.113.7".into()),
            user_agent: Some("curl/8".into()),
            status: Status::Success,
            error_message: None,
            payload: Some(r#"{"price":"175.00","qty":"50","symbol":"AAPL"}"#.into()),
        }
    }

    #[test]
    fn the_published_vector_hashes_as_published() {
        let hash = Record::encode(1, "2026-01-05T14:30:00.000Z", &sample(), Hash::default(), &mut Vec::new());
        assert_eq!(hash.to_string(), "d2789d29f9f40ab5e686152f159cac7e73192a40cd1ac1d0ff2ef5aeb1eaba67");
    }

    proptest! {
        /// What is written is what is read.
        #[test]
        fn an_encoding_round_trips(seq: u64, user in any::<Option<String>>(), agent in any::<Option<String>>(), payload in any::<Option<String>>(), failed: bool) {
            let statement = Statement {
                user_id: user,
                user_agent: agent,
                payload,
                status: if failed { Status::Failure } else { Status::Success },
                ..sample()
            };
            let mut bytes = Vec::new();
            let hash = Record::encode(seq, "2026-01-05T14:30:00.000Z", &statement, Hash([7; 32]), &mut bytes);
            let record = Record::decode(&bytes).unwrap();
            prop_assert_eq!(record.current_hash, hash);
            prop_assert_eq!(record.seq, seq);
            prop_assert_eq!(record.statement, statement);
        }

        /// Changing any one byte changes the hash or makes the bytes unreadable.
        #[test]
        fn no_byte_can_change_unseen(at in 0_usize..200, flip in 1_u8..=255) {
            let mut bytes = Vec::new();
            let hash = Record::encode(9, "2026-01-05T14:30:00.000Z", &sample(), Hash::default(), &mut bytes);
            let at = at % bytes.len();
            bytes[at] ^= flip;
            prop_assert!(Record::decode(&bytes).map_or(true, |record| record.current_hash != hash));
        }

        /// No bytes at all make the decoder panic.
        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>) {
            let answer = Record::decode(&bytes);
            prop_assert!(answer.is_err() || answer.is_ok());
        }
    }
}
