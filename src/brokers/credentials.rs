//! What opens an account at a broker. It is sealed at rest and never shown.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::de::Deserializer;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use trade_actors::domain::order::Mode;

/// The longest part of credentials, in bytes.
pub const SECRET_MAX: usize = 512;
/// How much of a key's name is shown; shorter names are not shown at all.
const HINT: usize = 4;

/// The ways in that brokers know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The name of a key and its secret.
    ApiKey,
    /// A token that was given to this program.
    OAuth,
    /// A token from a login that gives others for as long as that lasts.
    Login,
    /// The account's number alone: the way to it is open already.
    Account,
}

impl Kind {
    /// Returns the parts with the names that the API gives them.
    #[must_use]
    pub const fn parts(self) -> &'static [&'static str] {
        match self {
            Self::ApiKey => &["key_id", "secret"],
            Self::OAuth => &["access_token"],
            Self::Login => &["refresh_token"],
            Self::Account => &["account"],
        }
    }
}

/// What opens an account.
#[derive(Clone, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// A key, made at the broker.
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
    /// A login that ends, and gives bearer tokens until then.
    Login {
        /// What bearer tokens are asked for with.
        #[serde(serialize_with = "expose", deserialize_with = "hide")]
        refresh_token: SecretString,
    },
    /// An account to which a way is open already.
    Account {
        /// Its number.
        #[serde(serialize_with = "expose", deserialize_with = "hide")]
        account: SecretString,
    },
}

/// Writes the secret itself: only what is sealed at once is ever serialised.
fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

fn hide<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

impl Auth {
    /// Returns which way in it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::ApiKey { .. } => Kind::ApiKey,
            Self::OAuth { .. } => Kind::OAuth,
            Self::Login { .. } => Kind::Login,
            Self::Account { .. } => Kind::Account,
        }
    }

    /// Makes it of its parts, in the order of [`Kind::parts`]; `None`: there are too few or too many.
    #[must_use]
    pub fn of(kind: Kind, parts: Vec<SecretString>) -> Option<Self> {
        let mut parts = parts.into_iter();
        let first = parts.next()?;
        let made = match kind {
            Kind::ApiKey => Self::ApiKey { key_id: first, secret: parts.next()? },
            Kind::OAuth => Self::OAuth { access_token: first },
            Kind::Login => Self::Login { refresh_token: first },
            Kind::Account => Self::Account { account: first },
        };
        parts.next().is_none().then_some(made)
    }

    fn values(&self) -> Vec<&str> {
        match self {
            Self::ApiKey { key_id, secret } => vec![key_id.expose_secret(), secret.expose_secret()],
            Self::OAuth { access_token: one }
            | Self::Login { refresh_token: one }
            | Self::Account { account: one } => vec![one.expose_secret()],
        }
    }

    /// Returns its parts with the names that the API gives them.
    fn parts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.kind().parts().iter().copied().zip(self.values())
    }

    /// Returns the part that is no secret, where there is one: by it people know the key or the account.
    #[must_use]
    pub(super) fn public(&self) -> String {
        let shown = self.parts().find(|(name, _)| ["key_id", "account"].contains(name));
        shown.map_or_else(String::new, |(_, part)| part.to_owned())
    }

    /// Returns what tells two credentials apart without holding them.
    #[must_use]
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let parts = self.parts().fold(Sha256::new(), |digest, (name, value)| {
            digest.chain_update(name).chain_update([0]).chain_update(value).chain_update([0])
        });
        parts.finalize().into()
    }

    /// Returns the first part that cannot be sent to a broker: nothing but visible ASCII can, and, in a secret, the
    /// blanks and line ends of a key in PEM.
    #[must_use]
    pub fn unsendable(&self) -> Option<&'static str> {
        let fits = |(name, value): &(&str, &str)| {
            let is_pem = *name == "secret" && value.starts_with("-----BEGIN ");
            (1..=SECRET_MAX).contains(&value.len())
                && value.bytes().all(|byte| byte.is_ascii_graphic() || is_pem && b" \r\n".contains(&byte))
        };
        self.parts().find(|part| !fits(part)).map(|(name, _)| name)
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}(..)", self.kind())
    }
}

/// The credentials of one account at one broker.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerSecret {
    /// The broker's name.
    pub broker: String,
    /// With which money.
    pub mode: Mode,
    /// What opens it.
    pub auth: Auth,
}

impl BrokerSecret {
    /// Returns the end of the key's name, by which its owner recognises it; empty when it has none that may be shown.
    #[must_use]
    pub fn hint(&self) -> String {
        let shown = Some(self.auth.public()).filter(|part| part.len() >= 3 * HINT && part.is_ascii());
        shown.map_or_else(String::new, |part| part.chars().skip(part.len() - HINT).collect())
    }

    /// Returns a text without any part of the credentials.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let parts = self.auth.values().into_iter().filter(|part| !part.is_empty());
        parts.fold(text.to_owned(), |text, part| text.replace(part, "***"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_alpaca(mode: Mode, auth: Auth) -> BrokerSecret {
        BrokerSecret { broker: "alpaca".to_owned(), mode, auth }
    }

    fn keys(key_id: &str, secret: &str) -> BrokerSecret {
        at_alpaca(Mode::Paper, Auth::ApiKey { key_id: key_id.into(), secret: secret.into() })
    }

    fn token(access_token: &str) -> BrokerSecret {
        at_alpaca(Mode::Live, Auth::OAuth { access_token: access_token.into() })
    }

    #[test]
    fn nothing_of_it_is_shown() {
        for secret in [keys("PKHUNTER2", "hunter2"), token("hunter2")] {
            let shown = format!("{secret:?} {secret:#?}").to_ascii_lowercase();
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn it_comes_back_as_it_was_and_no_unknown_field_is_taken() {
        let text = serde_json::to_string(&keys("PKTEST", "s")).unwrap();
        let expected =
            r#"{"broker":"alpaca","mode":"paper","auth":{"kind":"api_key","key_id":"PKTEST","secret":"s"}}"#;
        assert_eq!(text, expected);
        let back: BrokerSecret = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (back.broker.as_str(), back.mode, back.auth.values()),
            ("alpaca", Mode::Paper, vec!["PKTEST", "s"])
        );
        let text = serde_json::to_string(&token("t")).unwrap();
        assert_eq!(text, r#"{"broker":"alpaca","mode":"live","auth":{"kind":"oauth","access_token":"t"}}"#);
        for bad in [
            r#"{"broker":"alpaca","mode":"live","auth":{"kind":"oauth","access_token":"t","x":1}}"#,
            r#"{"broker":"alpaca","mode":"live","x":1,"auth":{"kind":"oauth","access_token":"t"}}"#,
            r#"{"broker":"alpaca","mode":"live","auth":{"kind":"magic","access_token":"t"}}"#,
        ] {
            assert!(serde_json::from_str::<BrokerSecret>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_way_in_is_made_of_its_parts_and_told_from_the_others() {
        let mut prints = Vec::new();
        for kind in [Kind::ApiKey, Kind::OAuth, Kind::Login, Kind::Account] {
            let given = |count| vec![SecretString::from("same"); count];
            let auth = Auth::of(kind, given(kind.parts().len())).unwrap();
            assert_eq!(auth.kind(), kind);
            assert!(Auth::of(kind, given(kind.parts().len() + 1)).is_none());
            assert!(Auth::of(kind, given(kind.parts().len() - 1)).is_none());
            let again: Auth = serde_json::from_slice(&serde_json::to_vec(&auth).unwrap()).unwrap();
            assert_eq!(again.fingerprint(), auth.fingerprint());
            prints.push(auth.fingerprint());
        }
        prints.sort_unstable();
        prints.dedup();
        assert_eq!(prints.len(), 4);
        assert_ne!(keys("ab", "c").auth.fingerprint(), keys("a", "bc").auth.fingerprint());
    }

    #[test]
    fn only_what_a_header_can_carry_is_sendable() {
        assert_eq!(keys("PKTEST", "abc/DEF+1=").auth.unsendable(), None);
        for bad in ["", "two words", "line\nbreak", "k\u{e9}y", &"x".repeat(SECRET_MAX + 1)] {
            assert_eq!(keys("PKTEST", bad).auth.unsendable(), Some("secret"), "{bad:?}");
            assert_eq!(keys(bad, "s").auth.unsendable(), Some("key_id"), "{bad:?}");
            assert_eq!(token(bad).auth.unsendable(), Some("access_token"), "{bad:?}");
        }
        let pem = "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\n";
        assert_eq!(keys("organizations/1/apiKeys/2", pem).auth.unsendable(), None);
        assert_eq!(keys(pem, "s").auth.unsendable(), Some("key_id"));
    }

    #[test]
    fn the_hint_is_the_end_of_a_long_name_and_never_of_a_secret() {
        assert_eq!(keys("PKABCDEFGHIJKLMN1234", "s").hint(), "1234");
        assert_eq!(keys("PK1234", "s").hint(), "");
        assert_eq!(token("abcdefghijklmnopqrstuvwxyz").hint(), "");
    }

    #[test]
    fn words_that_quote_it_are_cleaned() {
        let words = keys("PKTEST", "hunter2").redact("key PKTEST with hunter2 is wrong");
        assert_eq!(words, "key *** with *** is wrong");
    }
}
