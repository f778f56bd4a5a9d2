//! What signatures are made of: keyed hashes, and the two ways they are written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// A hash that a key can be mixed into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// 32 bytes.
    Sha256,
    /// 48 bytes.
    Sha384,
    /// 64 bytes.
    Sha512,
}

/// The bytes of a signature or of a hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed(pub Vec<u8>);

impl Signed {
    /// Returns the keyed hash of a text.
    #[must_use]
    pub fn hmac(hash: Hash, key: &[u8], text: &[u8]) -> Self {
        macro_rules! keyed {
            ($hash:ty) => {
                // A key of any length is taken.
                Hmac::<$hash>::new_from_slice(key)
                    .map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec())
            };
        }
        let bytes = match hash {
            Hash::Sha256 => keyed!(Sha256),
            Hash::Sha384 => keyed!(Sha384),
            Hash::Sha512 => keyed!(Sha512),
        };
        Self(bytes.unwrap_or_default())
    }

    /// Returns the hash of a text, which anybody can make.
    #[must_use]
    pub fn sha256(text: &[u8]) -> Self {
        Self(Sha256::digest(text).to_vec())
    }

    /// Returns it in lower-case hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns it in base64, padded.
    #[must_use]
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.0)
    }

    /// Reads base64, padded.
    #[must_use]
    pub fn read_base64(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second case of RFC 4231.
    #[test]
    fn hashes_are_those_of_the_standard() {
        let of = |hash| Signed::hmac(hash, b"Jefe", b"what do ya want for nothing?");
        assert_eq!(
            of(Hash::Sha256).hex(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            of(Hash::Sha384).hex(),
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e\
             8e2240ca5e69e2c78b3239ecfab21649"
        );
        assert_eq!(
            of(Hash::Sha512).hex(),
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
        );
        assert_eq!(Signed::sha256(b"").base64(), "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
        assert_eq!(Signed::read_base64("AP8="), Some(Signed(vec![0, 255])));
        assert_eq!(Signed::read_base64("AP8"), None);
    }
}
