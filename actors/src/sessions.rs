//! How the session of each broker account is, for screens: what the account's actor knows of it now.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::ids::ConnectionId;

/// How a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Session {
    /// It is being opened for the first time.
    Connecting,
    /// It is open.
    Open,
    /// It could not be opened, or broke; it is tried again and again.
    Failed {
        /// Why.
        reason: String,
    },
}

/// The sessions of the accounts whose actors live.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    begun: u64,
    sessions: BTreeMap<ConnectionId, (u64, Session)>,
}

impl Sessions {
    /// Returns how an account's session is; `None`: its actor sleeps, or there is none.
    #[must_use]
    pub fn of(&self, connection: ConnectionId) -> Option<Session> {
        self.lock().sessions.get(&connection).map(|(_, session)| session.clone())
    }

    /// Begins the session of an actor's life.
    pub(crate) fn begin(self: &Arc<Self>, connection: ConnectionId) -> Arc<Life> {
        let mut inner = self.lock();
        inner.begun = inner.begun.wrapping_add(1);
        let number = inner.begun;
        inner.sessions.insert(connection, (number, Session::Connecting));
        drop(inner);
        Arc::new(Life { sessions: Arc::clone(self), connection, number })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The life of a connection's actor. However it ends, its session ends with it.
#[derive(Debug)]
pub(crate) struct Life {
    sessions: Arc<Sessions>,
    connection: ConnectionId,
    /// Of which life: a life that ends late must not end the next one's session.
    number: u64,
}

impl Life {
    /// Says how the session is now.
    pub(crate) fn is(&self, now: Session) {
        if let Some((number, session)) = self.sessions.lock().sessions.get_mut(&self.connection)
            && *number == self.number
        {
            *session = now;
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let mut inner = self.sessions.lock();
        if inner.sessions.get(&self.connection).is_some_and(|(number, _)| *number == self.number) {
            inner.sessions.remove(&self.connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_with_the_life_it_belongs_to_and_no_other() {
        let sessions = Arc::new(Sessions::default());
        let account = ConnectionId::new(uuid::Uuid::from_u128(1));
        assert_eq!(sessions.of(account), None);
        let first = sessions.begin(account);
        assert_eq!(sessions.of(account), Some(Session::Connecting));
        first.is(Session::Open);
        assert_eq!(sessions.of(account), Some(Session::Open));
        let second = sessions.begin(account);
        first.is(Session::Open);
        drop(first);
        assert_eq!(sessions.of(account), Some(Session::Connecting));
        second.is(Session::Failed { reason: "no".to_owned() });
        drop(second);
        assert_eq!(sessions.of(account), None);
    }
}
