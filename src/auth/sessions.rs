//! Browser sessions: 256 random bits in a cookie, bound to the browser and the network it came from.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use trade_actors::domain::ids::UserId;
use trade_actors::ports::store::StoreError;

use super::{Auth, AuthError, Principal, Scope, Via};
use crate::config::web::Network;
use crate::keys::{random_token, token_hash};

/// How long a session lasts.
pub const SESSION_LIFE: TimeDelta = TimeDelta::days(7);
/// Most copies of sessions in memory; past it they are read again.
const KNOWN_MAX: usize = 100_000;

/// What a session is bound to: used elsewhere, its cookie is worth nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// SHA-256 of the browser's name for itself.
    agent: String,
    /// The network: /24 of an IPv4 address, /64 of an IPv6 address, since phones change addresses.
    network: String,
}

impl Binding {
    /// Describes a caller.
    #[must_use]
    pub fn new(agent: &str, address: IpAddr) -> Self {
        let network = match address.to_canonical() {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                format!("{a}.{b}.{c}.0/24")
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
            }
        };
        Self { agent: token_hash(agent), network }
    }

    /// Returns the network in words, for the person's list of sessions.
    #[must_use]
    pub fn network(&self) -> &str {
        &self.network
    }

    /// Returns whether an address is in the bound network.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        Network::parse(&self.network).is_some_and(|network| network.contains(address))
    }
}

/// A session just opened; its secret goes into the cookie.
#[derive(Clone)]
pub struct NewSession {
    /// Its id.
    pub id: String,
    /// The cookie's value.
    pub secret: String,
}

impl std::fmt::Debug for NewSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSession").field("id", &self.id).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Session {
    user: UserId,
    until: DateTime<Utc>,
    binding: Binding,
}

/// Sessions by their id, as far as they were asked for.
#[derive(Debug, Default)]
pub(super) struct Known(RwLock<BTreeMap<String, Session>>);

impl Auth {
    /// Opens a session for a person who proved who they are.
    ///
    /// # Errors
    /// When the vault fails.
    pub fn open_session(&self, user: UserId, binding: Binding) -> Result<NewSession, AuthError> {
        self.forget_old_sessions()?;
        let secret = random_token();
        let id = token_hash(&secret);
        let session = Session { user, until: self.clock.now() + SESSION_LIFE, binding };
        let row = serde_json::to_vec(&session).map_err(|error| StoreError(error.to_string()))?;
        self.vault.put(key(&id).as_bytes(), Some(&row))?;
        Ok(NewSession { id, secret })
    }

    /// Returns who sends this cookie, if they send it from where it was given.
    #[must_use]
    pub fn session(&self, secret: &str, binding: &Binding) -> Option<Principal> {
        let id = token_hash(secret);
        let known = self.sessions.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        let session = known.or_else(|| self.recall_session(&id))?;
        if session.until <= self.clock.now() || session.binding != *binding {
            return None;
        }
        let scopes = Scope::ALL.to_vec();
        Some(Principal { user: session.user, scopes, via: Via::Session { id }, until: Some(session.until) })
    }

    /// Ends a session, at once.
    ///
    /// # Errors
    /// When the vault fails; then it may still be open.
    pub fn close_session(&self, id: &str) -> Result<(), AuthError> {
        self.vault.take(key(id).as_bytes())?;
        self.sessions.0.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.revoke_seen();
        Ok(())
    }

    pub(super) fn session_exists(&self, id: &str) -> bool {
        matches!(self.vault.get(key(id).as_bytes()), Ok(Some(_)))
    }

    fn recall_session(&self, id: &str) -> Option<Session> {
        // Under the lock, so that closing it cannot come between reading the row and keeping its copy.
        let mut known = self.sessions.0.write().unwrap_or_else(PoisonError::into_inner);
        let row = self.vault.get(key(id).as_bytes()).ok()??;
        let session: Session = serde_json::from_slice(&row).ok()?;
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(id.to_owned(), session.clone());
        Some(session)
    }

    fn forget_old_sessions(&self) -> Result<(), AuthError> {
        let now = self.clock.now();
        for (key, row) in self.vault.scan(b"session/")? {
            if serde_json::from_slice::<Session>(&row).map_or(true, |session| session.until <= now) {
                self.vault.put(&key, None)?;
            }
        }
        Ok(())
    }
}

fn key(id: &str) -> String {
    format!("session/{id}")
}

#[cfg(test)]
mod tests {
    use super::super::fakes::{fixture, user};
    use super::*;

    fn binding(agent: &str, address: &str) -> Binding {
        Binding::new(agent, address.parse().unwrap())
    }

    #[test]
    fn a_session_lasts_its_time_and_across_a_restart() {
        let it = fixture();
        let here = binding("Firefox", "203.0.113.7");
        let session = it.auth.open_session(user(1), here.clone()).unwrap();
        assert!(!it.vault_text().contains(&session.secret));
        assert_eq!(it.auth.session(&session.secret, &here).unwrap().user, user(1));
        assert_eq!(it.restarted().session(&session.secret, &here).unwrap().user, user(1));
        assert_eq!(it.auth.session("guess", &here), None);
        it.pass(SESSION_LIFE.num_seconds());
        assert_eq!(it.auth.session(&session.secret, &here), None);
    }

    #[test]
    fn a_stolen_cookie_is_worth_nothing_elsewhere() {
        let it = fixture();
        let session = it.auth.open_session(user(1), binding("Firefox", "203.0.113.7")).unwrap();
        let from = |agent, address| it.auth.session(&session.secret, &binding(agent, address));
        assert!(from("Firefox", "203.0.113.99").is_some(), "a phone that changed its address");
        assert!(from("Firefox", "::ffff:203.0.113.7").is_some(), "the same address in its other form");
        assert_eq!(from("Firefox", "198.51.100.7"), None);
        assert_eq!(from("curl", "203.0.113.7"), None);
    }

    #[test]
    fn a_closed_session_is_dead_at_once() {
        let it = fixture();
        let here = binding("Firefox", "2001:db8::1");
        let session = it.auth.open_session(user(1), here.clone()).unwrap();
        let who = it.auth.session(&session.secret, &here).unwrap();
        let mut told = it.auth.revocations();
        it.auth.close_session(&session.id).unwrap();
        assert!(told.has_changed().unwrap() && *told.borrow_and_update() == 1);
        assert!(!it.auth.still_holds(&who));
        assert_eq!(it.auth.session(&session.secret, &here), None);
    }
}
