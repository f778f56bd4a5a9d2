//! What opens an Alpaca account. It is sealed at rest and never shown.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::de::Deserializer;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// The credentials of one account.
#[derive(Clone, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum AlpacaCredentials {
    /// A pair of keys, made at alpaca.markets.
    ApiKey {
        /// Its name.
        #[serde(serialize_with = "expose", deserialize_with = "hide")]
        key_id: SecretString,
        /// Its secret.
        #[serde(serialize_with = "expose", deserialize_with = "hide")]
        secret: SecretString,
    },
    /// A permission given to this program.
    #[serde(rename = "oauth")]
    OAuth {
        /// The bearer token.
        #[serde(serialize_with = "expose", deserialize_with = "hide")]
        access_token: SecretString,
    },
}

/// Writes the secret itself: only what is sealed at once is ever serialised.
fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

fn hide<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

impl AlpacaCredentials {
    /// Returns what tells two credentials apart without holding them.
    #[must_use]
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let (tag, first, second) = match self {
            Self::ApiKey { key_id, secret } => (b'k', key_id.expose_secret(), secret.expose_secret()),
            Self::OAuth { access_token } => (b't', access_token.expose_secret(), ""),
        };
        let digest =
            Sha256::new().chain_update([tag]).chain_update(first).chain_update([0]).chain_update(second);
        digest.finalize().into()
    }

    /// Returns whether they can be sent at all: in a header, nothing but visible ASCII can.
    #[must_use]
    pub fn is_sendable(&self) -> bool {
        let visible = |secret: &SecretString| {
            let text = secret.expose_secret();
            !text.is_empty() && text.len() <= 512 && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        match self {
            Self::ApiKey { key_id, secret } => visible(key_id) && visible(secret),
            Self::OAuth { access_token } => visible(access_token),
        }
    }
}

impl fmt::Debug for AlpacaCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ApiKey { .. } => "ApiKey(..)",
            Self::OAuth { .. } => "OAuth(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown_and_survive_sealing() {
        let keys: AlpacaCredentials =
            serde_json::from_str(r#"{"kind":"api_key","key_id":"PKTEST","secret":"hunter2"}"#).unwrap();
        assert!(!format!("{keys:?}").contains("hunter2") && !format!("{keys:?}").contains("PKTEST"));
        let again: AlpacaCredentials = serde_json::from_slice(&serde_json::to_vec(&keys).unwrap()).unwrap();
        assert_eq!(again.fingerprint(), keys.fingerprint());
        let token: AlpacaCredentials =
            serde_json::from_str(r#"{"kind":"oauth","access_token":"hunter2"}"#).unwrap();
        assert_ne!(token.fingerprint(), keys.fingerprint());
        assert!(token.is_sendable());
    }

    #[test]
    fn what_no_header_can_carry_is_not_sent() {
        for bad in ["", "two words", "line\nbreak", "k\u{e9}y"] {
            let token = AlpacaCredentials::OAuth { access_token: SecretString::from(bad.to_owned()) };
            assert!(!token.is_sendable(), "{bad:?}");
        }
    }
}
