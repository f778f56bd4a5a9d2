//! What opens an account at a broker. It is sealed at rest and never shown.

use std::fmt;

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use trade_actors::domain::order::Mode;

use crate::brokers::alpaca::AlpacaCredentials;

/// The longest part of credentials, in bytes.
pub const SECRET_MAX: usize = 512;
/// How much of a key's name is shown; shorter names are not shown at all.
const HINT: usize = 4;

/// The credentials of one account at one broker.
#[derive(Clone, Deserialize, Serialize)]
#[serde(tag = "broker", rename_all = "snake_case", deny_unknown_fields)]
pub enum BrokerSecret {
    /// At Alpaca.
    Alpaca {
        /// With which money.
        mode: Mode,
        /// What opens it.
        auth: AlpacaCredentials,
    },
}

impl BrokerSecret {
    /// Returns the broker's name.
    #[must_use]
    pub const fn broker(&self) -> &'static str {
        match self {
            Self::Alpaca { .. } => "alpaca",
        }
    }

    /// Returns whether the account's money is real.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        match self {
            Self::Alpaca { mode, .. } => *mode,
        }
    }

    /// Returns its parts with the names that the API gives them.
    fn parts(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Alpaca { auth: AlpacaCredentials::ApiKey { key_id, secret }, .. } => {
                vec![("key_id", key_id.expose_secret()), ("secret", secret.expose_secret())]
            }
            Self::Alpaca { auth: AlpacaCredentials::OAuth { access_token }, .. } => {
                vec![("access_token", access_token.expose_secret())]
            }
        }
    }

    /// Returns the first part that cannot be sent to a broker: in a header, nothing but visible ASCII can.
    #[must_use]
    pub fn unsendable(&self) -> Option<&'static str> {
        let visible = |part: &str| {
            (1..=SECRET_MAX).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_graphic())
        };
        self.parts().into_iter().find(|(_, part)| !visible(part)).map(|(name, _)| name)
    }

    /// Returns the end of the key's name, by which its owner recognises it; empty when it has none that may be shown.
    #[must_use]
    pub fn hint(&self) -> String {
        let shown = self.parts().into_iter().find(|(name, _)| *name == "key_id").map(|(_, part)| part);
        let shown = shown.filter(|part| part.len() >= 3 * HINT && part.is_ascii());
        shown.map_or_else(String::new, |part| part.chars().skip(part.len() - HINT).collect())
    }

    /// Returns a text without any part of the credentials.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let parts = self.parts().into_iter().map(|(_, part)| part).filter(|part| !part.is_empty());
        parts.fold(text.to_owned(), |text, part| text.replace(part, "***"))
    }
}

impl fmt::Debug for BrokerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alpaca { mode, auth } => {
                f.debug_struct("Alpaca").field("mode", mode).field("auth", auth).finish()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(key_id: &str, secret: &str) -> BrokerSecret {
        let auth = AlpacaCredentials::ApiKey { key_id: key_id.into(), secret: secret.into() };
        BrokerSecret::Alpaca { mode: Mode::Paper, auth }
    }

    fn token(access_token: &str) -> BrokerSecret {
        BrokerSecret::Alpaca {
            mode: Mode::Live,
            auth: AlpacaCredentials::OAuth { access_token: access_token.into() },
        }
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
            (back.broker(), back.mode(), back.parts()),
            ("alpaca", Mode::Paper, keys("PKTEST", "s").parts())
        );
        let text = serde_json::to_string(&token("t")).unwrap();
        assert_eq!(text, r#"{"broker":"alpaca","mode":"live","auth":{"kind":"oauth","access_token":"t"}}"#);
        for bad in [
            r#"{"broker":"alpaca","mode":"live","auth":{"kind":"oauth","access_token":"t","x":1}}"#,
            r#"{"broker":"alpaca","mode":"live","x":1,"auth":{"kind":"oauth","access_token":"t"}}"#,
            r#"{"broker":"nobody","mode":"live","auth":{"kind":"oauth","access_token":"t"}}"#,
        ] {
            assert!(serde_json::from_str::<BrokerSecret>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_a_header_can_carry_is_sendable() {
        assert_eq!(keys("PKTEST", "abc/DEF+1=").unsendable(), None);
        for bad in ["", "two words", "line\nbreak", "k\u{e9}y", &"x".repeat(SECRET_MAX + 1)] {
            assert_eq!(keys("PKTEST", bad).unsendable(), Some("secret"), "{bad:?}");
            assert_eq!(keys(bad, "s").unsendable(), Some("key_id"), "{bad:?}");
            assert_eq!(token(bad).unsendable(), Some("access_token"), "{bad:?}");
        }
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
