//! Socket tickets: 256 random bits that open one socket within seconds, so that no lasting secret is in its address.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Auth, Principal};
use crate::keys::{random_token, token_hash};

/// How long a ticket may be used.
pub const TICKET_LIFE: TimeDelta = TimeDelta::seconds(30);
/// Most tickets at once; past it the oldest are worth nothing.
const TICKETS_MAX: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Tickets(Mutex<BTreeMap<String, (DateTime<Utc>, Principal)>>);

impl Auth {
    /// Makes a ticket for a caller who proved who they are.
    #[must_use]
    pub fn ticket(&self, principal: Principal) -> String {
        let ticket = random_token();
        let now = self.clock.now();
        let mut tickets = self.tickets.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.len() >= TICKETS_MAX {
            tickets.retain(|_, (until, _)| *until > now);
        }
        if tickets.len() >= TICKETS_MAX {
            tickets.clear();
        }
        tickets.insert(token_hash(&ticket), (now + TICKET_LIFE, principal));
        ticket
    }

    /// Uses a ticket up and returns who got it, if they are still who they were.
    #[must_use]
    pub fn redeem(&self, ticket: &str) -> Option<Principal> {
        let hash = token_hash(ticket);
        let (until, principal) =
            self.tickets.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash)?;
        (until > self.clock.now() && self.still_holds(&principal)).then_some(principal)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fakes::{fixture, user};
    use super::super::{Principal, Scope};

    #[test]
    fn a_ticket_opens_one_socket_within_half_a_minute() {
        let it = fixture();
        let token = it.auth.create_token(user(1), "t", &Scope::ALL).unwrap();
        let who: Principal = it.auth.bearer(&token.secret).unwrap();
        let ticket = it.auth.ticket(who.clone());
        assert_eq!(it.auth.redeem(&ticket), Some(who.clone()));
        assert_eq!(it.auth.redeem(&ticket), None);
        let late = it.auth.ticket(who.clone());
        it.pass(30);
        assert_eq!(it.auth.redeem(&late), None);
        let orphan = it.auth.ticket(who);
        it.auth.revoke_token(user(1), &token.id).unwrap();
        assert_eq!(it.auth.redeem(&orphan), None, "what proved it is revoked");
    }
}
