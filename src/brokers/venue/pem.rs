//! Private keys as people are given them: text with a begin and an end.

use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use super::mac;

/// What such a text begins with.
const BEGIN: &str = "-----BEGIN ";
/// What a private Ed25519 key begins with in DER (RFC 8410).
const ED25519: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Reads the bytes of a key in PEM; `None`: it is no PEM. Line ends may be written as `\n`, as in a key's JSON file.
#[must_use]
pub fn der(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let text = Zeroizing::new(text.replace("\\n", "\n"));
    if !text.starts_with(BEGIN) {
        return None;
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    mac::unbase64(&Zeroizing::new(lines.collect::<String>()))
}

/// Returns the Ed25519 key that bytes in DER are; `None`: they are none.
#[must_use]
pub fn ed25519(der: &[u8]) -> Option<SigningKey> {
    let seed: &[u8; 32] = der.strip_prefix(ED25519.as_slice())?.try_into().ok()?;
    Some(SigningKey::from_bytes(seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIIJEYWtGBrhACmb9Dvy+qa8WEf0lQOl1s4CLIAB9m89u\n\
                       -----END PRIVATE KEY-----\n";

    #[test]
    fn a_key_is_read_however_its_line_ends_are_written() {
        let key = ed25519(&der(PEM).unwrap()).unwrap();
        for other in [PEM.replace('\n', "\\n"), PEM.replace('\n', "\r\n")] {
            assert_eq!(ed25519(&der(&other).unwrap()).unwrap().to_bytes(), key.to_bytes());
        }
        assert!(der("NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP").is_none());
        assert!(ed25519(b"short").is_none());
    }
}
