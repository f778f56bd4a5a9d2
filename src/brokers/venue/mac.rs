//! The signatures that venues ask for.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::digest::KeyInit;
use hmac::{Hmac, Mac};
use sha2::{Sha256, Sha384, Sha512};

macro_rules! mac {
    ($(#[$doc:meta])* $name:ident, $hash:ty) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
            // HMAC takes keys of any length, so that there is always one.
            let Ok(mut mac) = Hmac::<$hash>::new_from_slice(key) else { return Vec::new() };
            for part in parts {
                mac.update(part);
            }
            mac.finalize().into_bytes().to_vec()
        }
    };
}

mac!(
    /// Returns the HMAC-SHA256 of the parts, one after the other.
    sha256,
    Sha256
);
mac!(
    /// Returns the HMAC-SHA384 of the parts, one after the other.
    sha384,
    Sha384
);
mac!(
    /// Returns the HMAC-SHA512 of the parts, one after the other.
    sha512,
    Sha512
);

/// Returns bytes in lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| DIGITS.get(usize::from(half)).copied().map_or('0', char::from);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Returns bytes in the usual base64, with padding.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Reads the usual base64; `None`: it is none.
#[must_use]
pub fn unbase64(text: &str) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    BASE64_STANDARD.decode(text.trim()).ok().map(zeroize::Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn the_published_vectors_hold() {
        let of =
            |mac: fn(&[u8], &[&[u8]]) -> Vec<u8>| hex(&mac(b"Jefe", &[b"what do ya want ", b"for nothing?"]));
        assert_eq!(of(sha256), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(of(sha384).starts_with("af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e"));
        assert!(of(sha512).starts_with("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"));
        assert_eq!(unbase64(&base64(b"any")).unwrap().as_slice(), b"any");
    }
}
