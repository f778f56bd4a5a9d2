//! Settings that are secret: read, compared and used, never shown.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// What stands for it wherever settings are shown.
const MASK: &str = "********";

/// A setting that is secret.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(SecretString);

impl Secret {
    /// Returns it, for whoever uses it.
    #[must_use]
    pub const fn get(&self) -> &SecretString {
        &self.0
    }

    /// Returns whether a header can carry it.
    pub(super) fn is_sendable(&self) -> bool {
        let text = self.0.expose_secret();
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_and_never_shown() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").unwrap();
        assert_eq!(secret.get().expose_secret(), "hunter2");
        assert_eq!(
            (secret.clone() == Secret::from("hunter2"), secret == Secret::from("other")),
            (true, false)
        );
        let shown = format!("{secret:?} {}", serde_json::to_string(&secret).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(secret.is_sendable());
        for bad in ["", "two words", "k\u{e9}y"] {
            assert!(!Secret::from(bad).is_sendable(), "{bad:?}");
        }
    }
}
