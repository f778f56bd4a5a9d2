//! How a row is sealed: AES-256-GCM under a person's key, bound to the place it is kept in.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the row's format: 1 |
//! | 4 | version of the master key, big-endian |
//! | 12 | the nonce |
//! | rest | ciphertext and tag |
//!
//! Authenticated with it, each as its length (u32, big-endian) and its bytes: the version, person, connection, broker.

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit, Nonce};
use trade_actors::domain::ids::{ConnectionId, UserId};
use zeroize::Zeroizing;

use crate::keys::{MasterKey, NoKey};

/// The format of the rows written here.
const FORMAT: u8 = 1;
/// Length of the tag at a row's end.
const TAG: usize = 16;

/// Why a row was not sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is of a format that this version does not know.
    #[error("its format is not known to this version")]
    Format,
    /// There is no key to it.
    #[error("it was sealed under {0}")]
    NoKey(#[from] NoKey),
    /// It was changed, belongs elsewhere, or the master key is another one.
    #[error("it was changed, belongs to another place, or the master key is not the one it was sealed under")]
    Refused,
}

/// Where a row belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) user: UserId,
    pub(super) connection: ConnectionId,
    pub(super) broker: &'a str,
}

impl Place<'_> {
    /// Returns what is authenticated with a row of this place.
    fn bound(&self, version: u32) -> Result<Vec<u8>, SealError> {
        let (user, connection) = (self.user.uuid(), self.connection.uuid());
        let version = version.to_be_bytes();
        let parts: [&[u8]; 4] = [&version, user.as_bytes(), connection.as_bytes(), self.broker.as_bytes()];
        let mut bound = Vec::with_capacity(64);
        for part in parts {
            let length = u32::try_from(part.len()).map_err(|_| SealError::Refused)?;
            bound.extend_from_slice(&length.to_be_bytes());
            bound.extend_from_slice(part);
        }
        Ok(bound)
    }
}

/// Seals what belongs in a place; `nonce` is for this one time.
pub(super) fn seal(
    keys: &MasterKey,
    version: u32,
    place: Place<'_>,
    nonce: [u8; 12],
    mut plain: Zeroizing<Vec<u8>>,
) -> Result<Vec<u8>, SealError> {
    // Encrypted where it lies; without room for the tag it would move, and leave a copy behind.
    if plain.capacity() < plain.len() + TAG {
        let mut roomy = Zeroizing::new(Vec::with_capacity(plain.len() + TAG));
        roomy.extend_from_slice(&plain);
        plain = roomy;
    }
    let cipher = cipher(keys, version, place.user)?;
    let bound = place.bound(version)?;
    cipher.encrypt_in_place(&Nonce::from(nonce), &bound, &mut *plain).map_err(|_| SealError::Refused)?;
    let mut row = Vec::with_capacity(1 + 4 + nonce.len() + plain.len());
    row.push(FORMAT);
    row.extend_from_slice(&version.to_be_bytes());
    row.extend_from_slice(&nonce);
    row.extend_from_slice(&plain);
    Ok(row)
}

/// Opens a row found in a place.
pub(super) fn open(keys: &MasterKey, place: Place<'_>, row: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (version, rest) = split(row)?;
    let (nonce, sealed) = rest.split_first_chunk::<12>().ok_or(SealError::Format)?;
    let cipher = cipher(keys, version, place.user)?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    cipher
        .decrypt_in_place(&Nonce::from(*nonce), &place.bound(version)?, &mut *plain)
        .map_err(|_| SealError::Refused)?;
    Ok(plain)
}

/// Returns the version of the master key that a row says it was sealed under. Only opening it proves that.
pub(super) fn version(row: &[u8]) -> Result<u32, SealError> {
    split(row).map(|(version, _)| version)
}

fn split(row: &[u8]) -> Result<(u32, &[u8]), SealError> {
    let (&[FORMAT], rest) = row.split_first_chunk::<1>().ok_or(SealError::Format)? else {
        return Err(SealError::Format);
    };
    let (version, rest) = rest.split_first_chunk::<4>().ok_or(SealError::Format)?;
    Ok((u32::from_be_bytes(*version), rest))
}

fn cipher(keys: &MasterKey, version: u32, user: UserId) -> Result<Aes256Gcm, SealError> {
    let key = keys.credential_key(version, user)?;
    Ok(Aes256Gcm::new((&*key).into()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const PLAIN: &[u8] = br#"{"broker":"alpaca","mode":"paper","auth":{"kind":"api_key","key_id":"PKTEST","secret":"hunter2"}}"#;
    const NONCE: [u8; 12] = [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab];

    fn keys(bytes: impl IntoIterator<Item = u8>) -> MasterKey {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        fs::write(&path, bytes.into_iter().collect::<Vec<_>>()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        MasterKey::load_or_create(&path).unwrap()
    }

    fn place() -> Place<'static> {
        Place {
            user: "00112233-4455-6677-8899-aabbccddeeff".parse().unwrap(),
            connection: "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0".parse().unwrap(),
            broker: "alpaca",
        }
    }

    fn sealed(keys: &MasterKey) -> Vec<u8> {
        seal(keys, 1, place(), NONCE, Zeroizing::new(PLAIN.to_vec())).unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Computed with Python's `cryptography` 48: HKDF and AESGCM over the parameters of the module's head.
    #[test]
    fn a_row_is_what_an_independent_program_makes_of_it() {
        let keys = keys(0..32);
        let key = keys.credential_key(1, place().user).unwrap();
        assert_eq!(hex(&*key), "57a5382ade1f8e57fc91542c80d8aa0821bce5e8369f9723d22f302ab4e7fdf5");
        let bound = "00000004000000010000001000112233445566778899aabbccddeeff\
                     000000100f1e2d3c4b5a69788796a5b4c3d2e1f000000006616c70616361";
        assert_eq!(hex(&place().bound(1).unwrap()), bound);
        let row = "0100000001a0a1a2a3a4a5a6a7a8a9aaabd8d58868c364bb5dbfbfeb3db1eba0e77361731badb7fc0b28481493f0dd\
                   95911d76128ed5da0fb77c4cdaf302e5fa554dd0d133de5a9652132bd23f2e834ca5e51cb9b94774ceb415b7dee7e1\
                   91f1de70e964099f0fd52391ed48f7553c156599129268f9345ff091e98c7e04332deaaa";
        assert_eq!(hex(&sealed(&keys)), row);
        assert_eq!(*open(&keys, place(), &sealed(&keys)).unwrap(), PLAIN);
    }

    #[test]
    fn a_row_with_any_bit_flipped_does_not_open() {
        let keys = keys(0..32);
        let row = sealed(&keys);
        for at in 0..row.len() {
            for bit in 0..8 {
                let mut flipped = row.clone();
                flipped[at] ^= 1 << bit;
                assert!(open(&keys, place(), &flipped).is_err(), "bit {bit} of byte {at}");
            }
            assert!(open(&keys, place(), &row[..at]).is_err(), "cut at {at}");
        }
        assert!(open(&keys, place(), &[row.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn a_row_opens_in_its_own_place_and_under_its_own_key_alone() {
        let ours = keys(0..32);
        let row = sealed(&ours);
        let other = uuid::Uuid::from_u128(7);
        for elsewhere in [
            Place { user: UserId::new(other), ..place() },
            Place { connection: ConnectionId::new(other), ..place() },
            Place { broker: "alpac", ..place() },
            Place { broker: "kraken", ..place() },
        ] {
            assert_eq!(open(&ours, elsewhere, &row).unwrap_err(), SealError::Refused, "{elsewhere:?}");
        }
        assert_eq!(open(&keys(1..33), place(), &row).unwrap_err(), SealError::Refused);
    }

    #[test]
    fn a_row_of_a_key_or_format_that_is_not_here_says_so() {
        let keys = keys(0..32);
        let mut row = sealed(&keys);
        row[4] = 2;
        assert_eq!(open(&keys, place(), &row).unwrap_err(), SealError::NoKey(NoKey::Absent(2)));
        row[0] = 2;
        assert_eq!(open(&keys, place(), &row).unwrap_err(), SealError::Format);
        let plain = Zeroizing::new(PLAIN.to_vec());
        assert_eq!(seal(&keys, 2, place(), NONCE, plain).unwrap_err(), SealError::NoKey(NoKey::Absent(2)));
    }
}
