//! What every broker keeps of its accounts: those that somebody holds, and who hears their news.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use trade_actors::domain::ids::ConnectionId;
use trade_actors::ports::broker::{Listener, Told};

/// Fewest accounts that are looked through for forgotten ones.
const SWEPT_MIN: usize = 16;

/// The accounts of one broker, by connection. An account lives for as long as somebody holds it.
///
/// Whoever asks for a connection while somebody holds its account gets the same one: two accounts of one connection
/// would each miss what the other did.
#[derive(Debug)]
pub struct Accounts<T>(Mutex<Known<T>>);

#[derive(Debug)]
struct Known<T> {
    accounts: BTreeMap<ConnectionId, Weak<T>>,
    /// How many accounts it takes until forgotten ones are swept out.
    swept_at: usize,
}

impl<T> Default for Accounts<T> {
    fn default() -> Self {
        Self(Mutex::new(Known { accounts: BTreeMap::new(), swept_at: SWEPT_MIN }))
    }
}

impl<T> Accounts<T> {
    /// Returns the account of a connection, if somebody holds it.
    #[must_use]
    pub fn held(&self, connection: ConnectionId) -> Option<Arc<T>> {
        lock(&self.0).accounts.get(&connection).and_then(Weak::upgrade)
    }

    /// Returns the account of a connection; one that nobody holds is opened.
    ///
    /// Others wait meanwhile, so `open` only makes the account, and asks neither the broker nor for other accounts.
    pub fn open(&self, connection: ConnectionId, open: impl FnOnce() -> Arc<T>) -> Arc<T> {
        let mut known = lock(&self.0);
        if let Some(account) = known.accounts.get(&connection).and_then(Weak::upgrade) {
            return account;
        }
        known.sweep();
        let account = open();
        known.accounts.insert(connection, Arc::downgrade(&account));
        account
    }
}

impl<T> Known<T> {
    /// Forgets the accounts that nobody holds, once there may be as many of them as of those that are held.
    fn sweep(&mut self) {
        if self.accounts.len() >= self.swept_at {
            self.accounts.retain(|_, account| account.strong_count() > 0);
            self.swept_at = self.accounts.len().saturating_mul(2).max(SWEPT_MIN);
        }
    }
}

/// Who hears what happens at one account: the engine, once it has asked.
#[derive(Default)]
pub struct Hearing(Mutex<Option<Listener>>);

impl fmt::Debug for Hearing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hearing").field(&self.is_open()).finish()
    }
}

impl Hearing {
    /// Tells `to` from now on, in place of whoever heard before; returns whether it is the first one.
    pub fn open(&self, to: Listener) -> bool {
        lock(&self.0).replace(to).is_none()
    }

    /// Returns whether anybody hears.
    #[must_use]
    pub fn is_open(&self) -> bool {
        lock(&self.0).is_some()
    }

    /// Passes news on; without a listener they are lost, and whoever listens later asks for them.
    pub fn tell(&self, told: Told) {
        if let Some(hear) = &*lock(&self.0) {
            hear(told);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use uuid::Uuid;

    use super::*;

    fn connection(number: u128) -> ConnectionId {
        ConnectionId::new(Uuid::from_u128(number))
    }

    #[test]
    fn two_holders_of_a_connection_share_its_account() {
        let accounts = Accounts::default();
        let first = accounts.open(connection(1), || Arc::new("first"));
        assert!(Arc::ptr_eq(&first, &accounts.open(connection(1), || Arc::new("second"))));
        assert_eq!(*accounts.open(connection(2), || Arc::new("other")), "other");
        assert!(Arc::ptr_eq(&first, &accounts.held(connection(1)).unwrap()));
    }

    #[test]
    fn an_account_that_nobody_holds_is_opened_anew() {
        let accounts = Accounts::default();
        drop(accounts.open(connection(1), || Arc::new("first")));
        assert_eq!(accounts.held(connection(1)), None);
        assert_eq!(*accounts.open(connection(1), || Arc::new("second")), "second");
    }

    #[test]
    fn forgotten_accounts_never_outnumber_the_held_ones_for_long() {
        let accounts = Accounts::default();
        let held: Vec<_> =
            (0..100).map(|number| accounts.open(connection(number), || Arc::new(()))).collect();
        for number in 1_000..10_000 {
            drop(accounts.open(connection(number), || Arc::new(())));
            assert!(lock(&accounts.0).accounts.len() <= 2 * held.len() + SWEPT_MIN);
        }
        assert!((0..100).all(|number| accounts.held(connection(number)).is_some()));
    }

    #[test]
    fn the_one_who_asked_last_hears() {
        let (first, last) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let counted = |count: &Arc<AtomicUsize>| -> Listener {
            let count = Arc::clone(count);
            Box::new(move |_| {
                count.fetch_add(1, Ordering::SeqCst);
            })
        };
        let hearing = Hearing::default();
        hearing.tell(Told::Resumed);
        assert!(!hearing.is_open() && hearing.open(counted(&first)) && hearing.is_open());
        hearing.tell(Told::Resumed);
        assert!(!hearing.open(counted(&last)));
        hearing.tell(Told::Resumed);
        assert_eq!((first.load(Ordering::SeqCst), last.load(Ordering::SeqCst)), (1, 1));
    }
}
