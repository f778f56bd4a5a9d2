//! People who were sent to a broker's page and are to come back: once, within minutes, to who they were.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use trade_actors::domain::order::Mode;

use super::{Auth, Principal, Via};
use crate::brokers::consent::Verifier;
use crate::keys::{random_token, token_hash};

/// How long a person may take.
pub const CONSENT_LIFE: TimeDelta = TimeDelta::minutes(10);
/// Most of one person under way; past it their oldest is worth nothing.
const EACH_MAX: usize = 8;
/// Most of all people under way; past it nobody is sent, so that nobody's is pushed out by others.
const ALL_MAX: usize = 4_096;

/// What a person was sent to a broker for.
#[derive(Clone, Debug)]
pub struct Consent {
    /// Who began it, and by what they proved it.
    pub principal: Principal,
    /// The broker's name.
    pub broker: &'static str,
    /// With which money.
    pub mode: Mode,
    /// Shown name of the account; empty: none.
    pub name: String,
    /// What proves that the code was asked for here.
    pub verifier: Verifier,
}

impl Consent {
    /// Returns whether whoever comes back is who began it: the same session. A program that began it with an API token
    /// has none; then it is any session of the same person.
    #[must_use]
    pub fn is_of(&self, came: &Principal) -> bool {
        let same = match &self.principal.via {
            Via::Session { .. } => came.via == self.principal.via,
            Via::Token { .. } => matches!(came.via, Via::Session { .. }),
        };
        same && came.user == self.principal.user
    }
}

/// By the hash of the secret that comes back with the person.
#[derive(Debug, Default)]
pub(super) struct Consents(Mutex<BTreeMap<String, (DateTime<Utc>, Consent)>>);

impl Auth {
    /// Remembers why a person is sent to a broker; returns the secret that they are to come back with, and until when.
    /// `None`: too many people are under way.
    #[must_use]
    pub fn begin_consent(&self, consent: Consent) -> Option<(String, DateTime<Utc>)> {
        let (state, now) = (random_token(), self.clock.now());
        let until = now + CONSENT_LIFE;
        let mut known = self.consents.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (until, _)| *until > now);
        let user = consent.principal.user;
        let theirs = || known.iter().filter(|(_, (_, other))| other.principal.user == user);
        let oldest = theirs().min_by_key(|(_, (until, _))| *until).map(|(hash, _)| hash.clone());
        match oldest {
            Some(oldest) if theirs().count() >= EACH_MAX => {
                known.remove(&oldest);
            }
            Some(_) | None if known.len() >= ALL_MAX => return None,
            Some(_) | None => {}
        }
        known.insert(token_hash(&state), (until, consent));
        Some((state, until))
    }

    /// Uses a secret up and returns what it was for, if it is not too late and who began it is still who they were.
    #[must_use]
    pub fn end_consent(&self, state: &str) -> Option<Consent> {
        let hash = token_hash(state);
        let (until, consent) =
            self.consents.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash)?;
        (until > self.clock.now() && self.still_holds(&consent.principal)).then_some(consent)
    }
}

#[cfg(test)]
mod tests {
    use trade_actors::ports::clock::Clock as _;

    use super::super::fakes::{Fixture, fixture, user};
    use super::super::{Binding, Scope};
    use super::*;

    fn consent(principal: &Principal) -> Consent {
        let (principal, verifier) = (principal.clone(), Verifier::random());
        Consent { principal, broker: "alpaca", mode: Mode::Paper, name: String::new(), verifier }
    }

    fn in_browser(it: &Fixture, number: u128) -> Principal {
        let here = Binding::new("Firefox", "203.0.113.7".parse().unwrap());
        let session = it.auth.open_session(user(number), here.clone()).unwrap();
        it.auth.session(&session.secret, &here).unwrap()
    }

    #[test]
    fn a_person_comes_back_once_and_within_ten_minutes() {
        let it = fixture();
        let who = in_browser(&it, 1);
        let (state, _) = it.auth.begin_consent(consent(&who)).unwrap();
        assert_eq!(state.len(), 43, "256 bits");
        assert!(it.auth.end_consent("guess").is_none());
        assert_eq!(it.auth.end_consent(&state).unwrap().broker, "alpaca");
        assert!(it.auth.end_consent(&state).is_none());
        let (late, until) = it.auth.begin_consent(consent(&who)).unwrap();
        it.pass(600);
        assert_eq!(until, it.clock.now());
        assert!(it.auth.end_consent(&late).is_none());
    }

    #[test]
    fn what_began_it_must_still_hold() {
        let it = fixture();
        let token = it.auth.create_token(user(1), "t", &Scope::ALL).unwrap();
        let who = it.auth.bearer(&token.secret).unwrap();
        let (state, _) = it.auth.begin_consent(consent(&who)).unwrap();
        it.auth.revoke_token(user(1), &token.id).unwrap();
        assert!(it.auth.end_consent(&state).is_none());
    }

    #[test]
    fn it_is_of_the_session_that_began_it_or_of_the_person_whose_token_did() {
        let it = fixture();
        let (here, there, other) = (in_browser(&it, 1), in_browser(&it, 1), in_browser(&it, 2));
        let begun = consent(&here);
        assert!(begun.is_of(&here) && !begun.is_of(&there) && !begun.is_of(&other));
        let token = it.auth.create_token(user(1), "t", &Scope::ALL).unwrap();
        let program = it.auth.bearer(&token.secret).unwrap();
        let begun = consent(&program);
        assert!(begun.is_of(&here) && begun.is_of(&there) && !begun.is_of(&other) && !begun.is_of(&program));
    }

    #[test]
    fn a_person_who_never_comes_back_costs_little_and_nobody_else_anything() {
        let it = fixture();
        let (mine, theirs) = (in_browser(&it, 1), in_browser(&it, 2));
        let (kept, _) = it.auth.begin_consent(consent(&theirs)).unwrap();
        let states: Vec<_> = (0..=EACH_MAX)
            .map(|_| {
                it.pass(1);
                it.auth.begin_consent(consent(&mine)).unwrap().0
            })
            .collect();
        assert_eq!(it.auth.consents.0.lock().unwrap().len(), EACH_MAX + 1);
        assert!(it.auth.end_consent(&states[0]).is_none(), "the oldest gave way");
        assert!(it.auth.end_consent(&states[1]).is_some() && it.auth.end_consent(&kept).is_some());
        it.pass(600);
        assert!(it.auth.begin_consent(consent(&mine)).is_some());
        assert_eq!(it.auth.consents.0.lock().unwrap().len(), 1, "what is over is forgotten");
    }

    #[test]
    fn all_together_are_no_more_than_so_many() {
        let it = fixture();
        let one = in_browser(&it, 1);
        for number in 0..ALL_MAX as u128 {
            let who = Principal { user: user(100 + number), ..one.clone() };
            assert!(it.auth.begin_consent(consent(&who)).is_some());
        }
        assert!(it.auth.begin_consent(consent(&one)).is_none());
        it.pass(600);
        assert!(it.auth.begin_consent(consent(&one)).is_some());
    }
}
