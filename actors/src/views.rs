//! Reading the projections: the keys of the index, and typed rows.
//!
//! | key | row |
//! |---|---|
//! | `u/` user | [`UserState`] |
//! | `r/` user | nothing: the user is an operator |
//! | `o/` order | [`Order`] |
//! | `t/` user, newest first | the order's id |
//! | `s/` signal | [`SignalEntry`] |
//! | `x/` signal | nothing: the signal is not decided for all its followers |
//! | `y/` signal, user | nothing: the signal is decided for that one of its followers |
//! | `b/` user | nothing: the user has working orders, positions, or a halt that ends by itself |
//! | `g/` user, newest first | [`FeedRow`] |
//! | `d/` source, delivery key | [`Seen`] |
//! | `c/` source | [`Source`] |
//! | `w/` hash of a URL's secret | the source's id |
//! | `f/` source, user | nothing: the user follows the source |
//! | `F/` user, source | nothing: the same, the other way round |
//! | `p/` connection | [`PaperAccount`] |
//! | `q/` order | [`OrderReport`] of the paper broker |
//! | `h` | [`Trading`] of everybody |

use std::any::Any;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

use crate::domain::feed::{FeedRow, SignalEntry, Source};
use crate::domain::ids::{ClientOrderId, ConnectionId, SignalId, SourceId, UserId};
use crate::domain::order::Order;
use crate::domain::paper::PaperAccount;
use crate::domain::report::OrderReport;
use crate::domain::signal::DeliveryKey;
use crate::domain::stages::Stamp;
use crate::domain::user::{Trading, UserState};
use crate::ports::store::{Cell, Key, Store, StoreError};

/// The first delivery under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The signal it became.
    pub signal: SignalId,
    /// When.
    pub at: DateTime<Utc>,
}

/// How far the log and its index are.
#[derive(Debug)]
pub struct Progress {
    committed: AtomicU64,
    /// When the log was last found full, in microseconds of the monotonic time line; 0: it is not.
    full: AtomicU64,
    /// Whether the index cannot be written or read at present.
    index_failed: AtomicBool,
    /// How often sources, or who follows them, changed.
    sources: AtomicU64,
    applied: watch::Sender<u64>,
}

impl Progress {
    /// Starts with both at `seq`.
    #[must_use]
    pub fn new(seq: u64) -> Self {
        Self {
            committed: AtomicU64::new(seq),
            full: AtomicU64::new(0),
            index_failed: AtomicBool::new(false),
            sources: AtomicU64::new(0),
            applied: watch::Sender::new(seq),
        }
    }

    /// Returns the last durable record.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.committed.load(Ordering::Acquire)
    }

    /// Returns the last record in the index.
    #[must_use]
    pub fn applied(&self) -> u64 {
        *self.applied.borrow()
    }

    /// Returns whether the log was found full within the last second. After that one signal may try again.
    #[must_use]
    pub fn is_full(&self, now: Stamp) -> bool {
        const RETRY_US: u64 = 1_000_000;
        let full = self.full.load(Ordering::Acquire);
        full != 0 && now.since(Stamp(full)) < RETRY_US
    }

    /// Returns whether the index cannot be written or read at present.
    #[must_use]
    pub fn index_failed(&self) -> bool {
        self.index_failed.load(Ordering::Acquire)
    }

    pub(crate) fn set_index_failed(&self, failed: bool) {
        self.index_failed.store(failed, Ordering::Release);
    }

    pub(crate) fn set_full(&self, at: Option<Stamp>) {
        self.full.store(at.map_or(0, |at| at.0), Ordering::Release);
    }

    /// Makes readers look sources up anew.
    pub(crate) fn sources_changed(&self) {
        self.sources.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn advance_committed(&self, seq: u64) {
        self.committed.fetch_max(seq, Ordering::AcqRel);
    }

    pub(crate) fn advance_applied(&self, seq: u64) {
        self.applied.send_if_modified(|applied| {
            let moved = seq > *applied;
            *applied = (*applied).max(seq);
            moved
        });
    }
}

/// Typed reads of the index. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Views {
    store: Arc<dyn Store>,
    progress: Arc<Progress>,
    kept: Arc<Kept>,
}

/// Answers that hold until a source changes: every delivery asks for them.
#[derive(Debug, Default)]
struct Kept {
    by_token: Answers<String, Option<Source>>,
    sole_followers: Answers<SourceId, Option<UserId>>,
}

/// Answers with the count of changes under which they were found.
#[derive(Debug)]
struct Answers<K, V>(RwLock<(u64, HashMap<K, V>)>);

impl<K, V> Default for Answers<K, V> {
    fn default() -> Self {
        Self(RwLock::new((0, HashMap::new())))
    }
}

impl<K: Hash + Eq, V: Clone> Answers<K, V> {
    /// Answers kept at most; then it is begun anew.
    const MAX: usize = 4_096;

    /// Returns the kept answer, or finds it; `keep` says which are worth the room.
    fn get<Q>(
        &self,
        changes: &AtomicU64,
        question: &Q,
        keep: impl FnOnce(&V) -> bool,
        find: impl FnOnce() -> Result<V, StoreError>,
    ) -> Result<V, StoreError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        // Read ahead of the rows: an answer found while they change is thrown away with the others.
        let now = changes.load(Ordering::Acquire);
        {
            let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if kept.0 == now
                && let Some(answer) = kept.1.get(question)
            {
                return Ok(answer.clone());
            }
        }
        let answer = find()?;
        if keep(&answer) {
            let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if kept.0 < now || kept.1.len() >= Self::MAX {
                *kept = (now, HashMap::new());
            }
            if kept.0 == now {
                kept.1.insert(question.to_owned(), answer.clone());
            }
        }
        Ok(answer)
    }
}

/// A page of a list and where the next one starts.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// Rows, newest first.
    pub items: Vec<T>,
    /// Opaque; absent on the last page.
    pub next: Option<u64>,
}

/// How long a read waits for the index to contain what is committed.
const SETTLE: Duration = Duration::from_secs(5);

impl Views {
    /// Reads from `store`, whose progress is `progress`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, progress: Arc<Progress>) -> Self {
        Self { store, progress, kept: Arc::default() }
    }

    /// Returns how far log and index are.
    #[must_use]
    pub const fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Waits until the index contains all that is committed now, so that a caller reads its own writes.
    ///
    /// # Errors
    /// When the index does not get there within seconds.
    pub async fn settled(&self) -> Result<(), StoreError> {
        let target = self.progress.committed();
        let mut applied = self.progress.applied.subscribe();
        match tokio::time::timeout(SETTLE, applied.wait_for(|applied| *applied >= target)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(StoreError(format!("the index is behind record {target}"))),
        }
    }

    /// Returns a user.
    ///
    /// # Errors
    /// When the store fails.
    pub fn user(&self, user: UserId) -> Result<Option<UserState>, StoreError> {
        self.row(&key(b"u/", user.uuid()))
    }

    /// Returns a user for a look: what is held in memory is not copied.
    ///
    /// # Errors
    /// When the store fails.
    pub fn glance(&self, user: UserId) -> Result<Option<Arc<UserState>>, StoreError> {
        self.shared(&key(b"u/", user.uuid()))
    }

    /// Returns every user's id, at most `limit`, after `after`.
    ///
    /// # Errors
    /// When the store fails.
    pub fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<UserState>, StoreError> {
        let after = after.map(|user| key(b"u/", user.uuid()));
        let rows = self.store.scan(b"u/", after.as_deref(), limit)?;
        rows.into_iter().map(|(_, cell)| cell.read().map(Arc::unwrap_or_clone)).collect()
    }

    /// Returns the operators.
    ///
    /// # Errors
    /// When the store fails.
    pub fn operators(&self) -> Result<Vec<UserId>, StoreError> {
        let rows = self.store.scan(b"r/", None, usize::MAX)?;
        Ok(rows.iter().filter_map(|(key, _)| trailing_uuid(key).map(UserId::new)).collect())
    }

    /// Returns the users with working orders, positions, or a halt that is to be ended.
    ///
    /// # Errors
    /// When the store fails.
    pub fn busy_users(&self) -> Result<Vec<UserId>, StoreError> {
        let rows = self.store.scan(b"b/", None, usize::MAX)?;
        Ok(rows.iter().filter_map(|(key, _)| trailing_uuid(key).map(UserId::new)).collect())
    }

    /// Returns an order.
    ///
    /// # Errors
    /// When the store fails.
    pub fn order(&self, order: ClientOrderId) -> Result<Option<Order>, StoreError> {
        self.row(&key(b"o/", order.uuid()))
    }

    /// Returns whether a signal is decided for one of its followers.
    ///
    /// # Errors
    /// When the store fails.
    pub fn is_decided(&self, signal: SignalId, user: UserId) -> Result<bool, StoreError> {
        if self.store.get(&key(b"s/", signal.uuid()))?.is_none() {
            return Ok(false);
        }
        let open = self.store.get(&key(b"x/", signal.uuid()))?.is_some();
        Ok(!open || self.store.get(&pair(b"y/", signal.uuid(), user.uuid()))?.is_some())
    }

    /// Returns a user's orders, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub fn orders(&self, user: UserId, after: Option<u64>, limit: usize) -> Result<Page<Order>, StoreError> {
        let page = self.list(b"t/", user, after, limit)?;
        let orders = page.items.into_iter().map(|cell| {
            let id = *cell.read::<ClientOrderId>()?;
            self.order(id)?.ok_or_else(|| StoreError(format!("order {id} is listed but missing")))
        });
        Ok(Page { items: orders.collect::<Result<_, _>>()?, next: page.next })
    }

    /// Returns a user's feed, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub fn feed(&self, user: UserId, after: Option<u64>, limit: usize) -> Result<Page<FeedRow>, StoreError> {
        let page = self.list(b"g/", user, after, limit)?;
        let rows = page.items.into_iter().map(|cell| cell.read().map(Arc::unwrap_or_clone));
        let rows = rows.collect::<Result<_, _>>()?;
        Ok(Page { items: rows, next: page.next })
    }

    /// Returns a signal.
    ///
    /// # Errors
    /// When the store fails.
    pub fn signal(&self, signal: SignalId) -> Result<Option<SignalEntry>, StoreError> {
        self.row(&key(b"s/", signal.uuid()))
    }

    /// Returns the signals that are not decided for all their followers.
    ///
    /// # Errors
    /// When the store fails.
    pub fn undecided(&self) -> Result<Vec<SignalEntry>, StoreError> {
        let rows = self.store.scan(b"x/", None, usize::MAX)?;
        let ids = rows.iter().filter_map(|(key, _)| trailing_uuid(key).map(SignalId::new));
        ids.filter_map(|id| self.signal(id).transpose()).collect()
    }

    /// Returns the first delivery under a key.
    ///
    /// # Errors
    /// When the store fails.
    pub fn seen(&self, source: SourceId, delivery: DeliveryKey) -> Result<Option<Seen>, StoreError> {
        self.row(&seen_key(source, delivery))
    }

    /// Returns a source.
    ///
    /// # Errors
    /// When the store fails.
    pub fn source(&self, source: SourceId) -> Result<Option<Source>, StoreError> {
        self.row(&key(b"c/", source.uuid()))
    }

    /// Returns the source whose URL's secret has this SHA-256 (hexadecimal).
    ///
    /// # Errors
    /// When the store fails.
    pub fn source_by_token(&self, token_hash: &str) -> Result<Option<Source>, StoreError> {
        // An address that does not exist is not kept: anybody can make those up.
        self.kept.by_token.get(&self.progress.sources, token_hash, Option::is_some, || {
            match self.row::<SourceId>(&token_key(token_hash))? {
                Some(id) => self.source(id),
                None => Ok(None),
            }
        })
    }

    /// Returns the only follower of a source; `None` when there are more, or none.
    ///
    /// # Errors
    /// When the store fails.
    pub fn sole_follower(&self, source: SourceId) -> Result<Option<UserId>, StoreError> {
        self.kept.sole_followers.get(
            &self.progress.sources,
            &source,
            |_| true,
            || {
                Ok(match self.followers(source, None, 2)?.as_slice() {
                    [only] => Some(*only),
                    _ => None,
                })
            },
        )
    }

    /// Returns the sources a user follows (one's own included).
    ///
    /// # Errors
    /// When the store fails.
    pub fn sources_of(&self, user: UserId) -> Result<Vec<Source>, StoreError> {
        let rows = self.store.scan(&key(b"F/", user.uuid()), None, usize::MAX)?;
        let ids = rows.iter().filter_map(|(key, _)| trailing_uuid(key).map(SourceId::new));
        ids.filter_map(|id| self.source(id).transpose()).collect()
    }

    /// Returns at most `limit` followers of a source, after `after`.
    ///
    /// # Errors
    /// When the store fails.
    pub fn followers(
        &self,
        source: SourceId,
        after: Option<UserId>,
        limit: usize,
    ) -> Result<Vec<UserId>, StoreError> {
        let after = after.map(|user| pair(b"f/", source.uuid(), user.uuid()));
        let rows = self.store.scan(&key(b"f/", source.uuid()), after.as_deref(), limit)?;
        Ok(rows.iter().filter_map(|(key, _)| trailing_uuid(key).map(UserId::new)).collect())
    }

    /// Returns a paper account.
    ///
    /// # Errors
    /// When the store fails.
    pub fn paper_account(&self, connection: ConnectionId) -> Result<Option<PaperAccount>, StoreError> {
        self.row(&key(b"p/", connection.uuid()))
    }

    /// Returns what the paper broker's book says of an order.
    ///
    /// # Errors
    /// When the store fails.
    pub fn paper_order(&self, order: ClientOrderId) -> Result<Option<OrderReport>, StoreError> {
        self.row(&key(b"q/", order.uuid()))
    }

    /// Returns whether everybody's trading is stopped.
    ///
    /// # Errors
    /// When the store fails.
    pub fn global_trading(&self) -> Result<Trading, StoreError> {
        Ok(self.row(GLOBAL)?.unwrap_or_default())
    }

    fn row<T>(&self, key: &[u8]) -> Result<Option<T>, StoreError>
    where
        T: DeserializeOwned + Any + Clone + Send + Sync,
    {
        Ok(self.shared(key)?.map(Arc::unwrap_or_clone))
    }

    /// Returns a row that others may hold as well.
    pub(crate) fn shared<T>(&self, key: &[u8]) -> Result<Option<Arc<T>>, StoreError>
    where
        T: DeserializeOwned + Any + Send + Sync,
    {
        self.store.get(key)?.map(Cell::read).transpose()
    }

    fn list(
        &self,
        prefix: &[u8; 2],
        user: UserId,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page<Cell>, StoreError> {
        let after = after.map(|seq| newest_first(prefix, user, seq));
        let mut rows =
            self.store.scan(&key(prefix, user.uuid()), after.as_deref(), limit.saturating_add(1))?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let last = rows.last().and_then(|(key, _)| key.last_chunk::<8>().copied());
        let next = last.filter(|_| more).map(|seq| !u64::from_be_bytes(seq));
        Ok(Page { items: rows.into_iter().map(|(_, cell)| cell).collect(), next })
    }
}

/// Key of the row that says whether everybody's trading is stopped.
pub(crate) const GLOBAL: &[u8] = b"h";

/// Builds a key of one id.
pub(crate) fn key(prefix: &[u8; 2], id: Uuid) -> Key {
    [prefix.as_slice(), id.as_bytes()].concat()
}

/// Builds a key of two ids.
pub(crate) fn pair(prefix: &[u8; 2], first: Uuid, second: Uuid) -> Key {
    [prefix.as_slice(), first.as_bytes(), second.as_bytes()].concat()
}

/// Builds a key that sorts a user's rows newest first.
pub(crate) fn newest_first(prefix: &[u8; 2], user: UserId, seq: u64) -> Key {
    [prefix.as_slice(), user.uuid().as_bytes(), &(!seq).to_be_bytes()].concat()
}

pub(crate) fn seen_key(source: SourceId, delivery: DeliveryKey) -> Key {
    [b"d/".as_slice(), source.uuid().as_bytes(), &delivery.bytes()].concat()
}

pub(crate) fn token_key(token_hash: &str) -> Key {
    [b"w/".as_slice(), token_hash.as_bytes()].concat()
}

fn trailing_uuid(key: &[u8]) -> Option<Uuid> {
    key.last_chunk::<16>().map(|bytes| Uuid::from_bytes(*bytes))
}
