//! CSRF tokens: in a cookie and in a header, bound to the session by a MAC (`SECURITY-BAR` 2).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::keys::random_token;

/// Makes and judges CSRF tokens.
pub struct Csrf([u8; 32]);

impl std::fmt::Debug for Csrf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Csrf")
    }
}

impl Csrf {
    pub(super) const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// Makes a token for a session.
    #[must_use]
    pub fn token(&self, session: &str) -> String {
        self.token_of(session, &random_token())
    }

    /// Returns whether `header` and `cookie` are the same token and it was made for this session.
    #[must_use]
    pub fn holds(&self, session: &str, header: &str, cookie: &str) -> bool {
        let Some((_, random)) = header.rsplit_once('.') else { return false };
        let ours = self.token_of(session, random);
        let same = header.as_bytes().ct_eq(cookie.as_bytes()) & ours.as_bytes().ct_eq(header.as_bytes());
        same.into()
    }

    fn token_of(&self, session: &str, random: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{}!{session}!{}!{random}", session.len(), random.len()).as_bytes());
        let mut token = String::with_capacity(64 + 1 + random.len());
        for byte in mac.finalize().into_bytes() {
            token.extend(
                [byte >> 4, byte & 15].iter().filter_map(|digit| char::from_digit((*digit).into(), 16)),
            );
        }
        token.push('.');
        token.push_str(random);
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_token_holds_for_its_session_alone() {
        let csrf = Csrf::new([7; 32]);
        let token = csrf.token("session-1");
        assert!(csrf.holds("session-1", &token, &token));
        assert!(!csrf.holds("session-2", &token, &token));
        assert!(!Csrf::new([8; 32]).holds("session-1", &token, &token));
        assert!(!csrf.holds("session-1", &token, &csrf.token("session-1")), "header and cookie must agree");
        assert!(!csrf.holds("session-1", "", ""));
        assert!(!csrf.holds("session-1", ".", "."));
    }

    #[test]
    fn the_token_is_the_mac_of_lengths_session_and_random() {
        // HMAC-SHA256 of `2!ab!1!c` under 32 zero bytes.
        let csrf = Csrf::new([0; 32]);
        let mac = "baa07156718df596a0fc59463a68aa9823c8670820a66a8ba29691566895b7ba";
        assert_eq!(csrf.token_of("ab", "c"), format!("{mac}.c"));
        assert_ne!(csrf.token_of("ab", "c"), csrf.token_of("a", "bc"));
    }

    proptest! {
        /// A token with any byte changed holds no more.
        #[test]
        fn a_changed_token_is_refused(at in 0_usize..60, with in "[0-9a-zA-Z._-]") {
            let csrf = Csrf::new([7; 32]);
            let token = csrf.token("s");
            let changed: String =
                token.chars().enumerate().map(|(i, c)| if i == at { with.chars().next().unwrap() } else { c }).collect();
            prop_assume!(changed != token);
            prop_assert!(!csrf.holds("s", &changed, &changed));
        }
    }
}
