//! Who is asking, and what they may do: API tokens, one-time login links, browser sessions, socket tickets,
//! and who was sent to a broker's page.
//!
//! Secrets are kept as their SHA-256 alone, in the vault. Each way to prove who one is ends in one [`Principal`],
//! so that what a caller may do never depends on how they came in.

mod consents;
mod csrf;
mod links;
mod sessions;
mod tickets;
mod tokens;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use trade_actors::domain::ids::UserId;
use trade_actors::ports::clock::Clock;
use trade_actors::ports::store::{StoreError, Vault};

pub use consents::{CONSENT_LIFE, Consent};
pub use csrf::Csrf;
pub use links::LINK_LIFE;
pub use sessions::{Binding, NewSession, SESSION_LIFE};
pub use tickets::TICKET_LIFE;
pub use tokens::{NewToken, TokenInfo};

use crate::keys::MasterKey;

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// See everything of the account.
    Read,
    /// Place and cancel orders, and use the kill switch.
    Trade,
    /// Change limits, sources, tokens and people.
    Manage,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Read, Self::Trade, Self::Manage];

    /// Returns the word the API uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Trade => "trade",
            Self::Manage => "manage",
        }
    }
}

/// By what a caller proved who they are; names the stored row, never the secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// A browser session.
    Session {
        /// Its id.
        id: String,
    },
    /// An API token.
    Token {
        /// Its id.
        id: String,
    },
}

/// A caller who proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub user: UserId,
    /// What they may do.
    pub scopes: Vec<Scope>,
    /// How they proved it.
    pub via: Via,
    /// Until when the proof holds, if it ends by itself.
    pub until: Option<DateTime<Utc>>,
}

impl Principal {
    /// Returns whether they may do something.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }
}

/// Why somebody could not be let in, or a secret not be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The vault failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are too many of them already.
    #[error("there are {0} already, which is the most allowed; nothing was made; remove one first")]
    TooMany(usize),
}

/// Proves and remembers who is who.
#[derive(Debug)]
pub struct Auth {
    vault: Arc<dyn Vault>,
    clock: Arc<dyn Clock>,
    keys: Arc<MasterKey>,
    tokens: tokens::Known,
    sessions: sessions::Known,
    tickets: tickets::Tickets,
    consents: consents::Consents,
    csrf: Csrf,
    revoked: watch::Sender<u64>,
}

impl Auth {
    /// Keeps what it must remember in `vault`.
    #[must_use]
    pub fn new(vault: Arc<dyn Vault>, clock: Arc<dyn Clock>, keys: Arc<MasterKey>) -> Self {
        let csrf = Csrf::new(keys.derive("csrf/v1"));
        Self {
            vault,
            clock,
            keys,
            tokens: tokens::Known::default(),
            sessions: sessions::Known::default(),
            tickets: tickets::Tickets::default(),
            consents: consents::Consents::default(),
            csrf,
            revoked: watch::Sender::new(0),
        }
    }

    /// Returns the maker and judge of CSRF tokens.
    #[must_use]
    pub const fn csrf(&self) -> &Csrf {
        &self.csrf
    }

    /// Returns whether what a caller once proved still holds.
    #[must_use]
    pub fn still_holds(&self, principal: &Principal) -> bool {
        if principal.until.is_some_and(|until| until <= self.clock.now()) {
            return false;
        }
        match &principal.via {
            Via::Session { id } => self.session_exists(id),
            Via::Token { id } => self.token_exists(principal.user, id),
        }
    }

    /// Returns a signal that changes whenever a session or token is revoked.
    #[must_use]
    pub fn revocations(&self) -> watch::Receiver<u64> {
        self.revoked.subscribe()
    }

    fn revoke_seen(&self) {
        self.revoked.send_modify(|count| *count = count.wrapping_add(1));
    }
}

#[cfg(test)]
pub(crate) mod fakes {
    //! A vault in memory and a clock that stands still.

    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicI64, Ordering};

    use trade_actors::domain::stages::Stamp;
    use trade_actors::ports::store::{Key, Value};

    use super::*;

    #[derive(Debug, Default)]
    pub(crate) struct MemoryVault(pub(crate) Mutex<BTreeMap<Key, Value>>);

    impl Vault for MemoryVault {
        fn get(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
            Ok(self.0.lock().unwrap().get(key).cloned())
        }

        fn scan(&self, prefix: &[u8]) -> Result<Vec<(Key, Value)>, StoreError> {
            let rows = self.0.lock().unwrap();
            let rows = rows.iter().filter(|(key, _)| key.starts_with(prefix));
            Ok(rows.map(|(key, value)| (key.clone(), value.clone())).collect())
        }

        fn put(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
            let mut rows = self.0.lock().unwrap();
            match value {
                Some(value) => rows.insert(key.to_vec(), value.to_vec()),
                None => rows.remove(key),
            };
            Ok(())
        }

        fn replace(&self, key: &[u8], from: &[u8], to: &[u8]) -> Result<bool, StoreError> {
            let mut rows = self.0.lock().unwrap();
            let found = rows.get_mut(key).filter(|value| value.as_slice() == from);
            Ok(found.map(|value| *value = to.to_vec()).is_some())
        }

        fn take(&self, key: &[u8]) -> Result<Option<Value>, StoreError> {
            Ok(self.0.lock().unwrap().remove(key))
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct StillClock(pub(crate) AtomicI64);

    impl Clock for StillClock {
        fn now(&self) -> DateTime<Utc> {
            DateTime::from_timestamp(1_767_600_000 + self.0.load(Ordering::Relaxed), 0).unwrap()
        }

        fn stamp(&self) -> Stamp {
            Stamp(0)
        }
    }

    #[derive(Debug)]
    pub(crate) struct Fixture {
        pub(crate) vault: Arc<MemoryVault>,
        pub(crate) clock: Arc<StillClock>,
        pub(crate) keys: Arc<MasterKey>,
        pub(crate) auth: Auth,
    }

    pub(crate) fn fixture() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let keys = Arc::new(MasterKey::load_or_create(&dir.path().join("master.key")).unwrap());
        let (vault, clock) = (Arc::new(MemoryVault::default()), Arc::new(StillClock::default()));
        let auth = Auth::new(vault.clone(), clock.clone(), keys.clone());
        Fixture { vault, clock, keys, auth }
    }

    impl Fixture {
        /// The same vault seen by a process that has just started.
        pub(crate) fn restarted(&self) -> Auth {
            Auth::new(self.vault.clone(), self.clock.clone(), self.keys.clone())
        }

        pub(crate) fn pass(&self, seconds: i64) {
            self.clock.0.fetch_add(seconds, Ordering::Relaxed);
        }

        pub(crate) fn vault_text(&self) -> String {
            let rows = self.vault.scan(b"").unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            rows.iter().map(|(key, value)| format!("{} {}\n", text(key), text(value))).collect()
        }
    }

    pub(crate) fn user(number: u128) -> UserId {
        UserId::new(uuid::Uuid::from_u128(number))
    }
}
