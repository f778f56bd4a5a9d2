//! Keeps the index behind the log, on a thread of its own, and tells the screens what the log holds.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use actix::{Actor, AsyncContext, Context, Handler, Message, Supervised};

use super::projection::{CatchUpError, Projection, catch_up};
use crate::domain::event::Committed;
use crate::domain::ids::UserId;
use crate::domain::push::Push;
use crate::ports::log::{LogError, Records};
use crate::ports::store::{RowBatch, Store, StoreError};
use crate::views::Progress;

/// How long events are gathered: what an order's steps change within it is folded and encoded once.
const GATHER: Duration = Duration::from_millis(8);

/// Users whose screens are connected: only for them are messages made.
#[derive(Debug, Default)]
pub struct Watched(RwLock<std::collections::HashSet<UserId>>);

impl Watched {
    /// Returns whether a screen of the user is connected.
    #[must_use]
    pub fn contains(&self, user: UserId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&user)
    }

    /// Notes that a screen of the user is connected, or that none is.
    pub fn set(&self, user: UserId, watched: bool) {
        let mut users = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if watched {
            users.insert(user);
        } else {
            users.remove(&user);
        }
    }
}

/// Takes the messages for screens.
pub type Publish = Arc<dyn Fn(Vec<Push>) + Send + std::marker::Sync>;

/// Reads the log from a record on, to its end.
pub type ReadLog = Box<dyn Fn(u64) -> Result<Records, LogError> + Send>;

/// The actor.
pub struct Projector {
    store: Arc<dyn Store>,
    read: ReadLog,
    /// A write failed: the index is opened again and brought up from the log before anything else.
    failed: bool,
    progress: Arc<Progress>,
    watched: Arc<Watched>,
    publish: Publish,
    queue: Vec<Committed>,
    scheduled: bool,
}

impl std::fmt::Debug for Projector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Projector").field("queue", &self.queue.len()).finish_non_exhaustive()
    }
}

/// Committed events, in order.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Apply(pub Vec<Committed>);

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Flush;

impl Projector {
    /// Makes a projector behind an index that is up to date.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        read: ReadLog,
        progress: Arc<Progress>,
        watched: Arc<Watched>,
        publish: Publish,
    ) -> Self {
        Self { store, read, failed: false, progress, watched, publish, queue: Vec::new(), scheduled: false }
    }

    /// Opens the index again and reads from the log what it lost. Screens see the gap and sync in full.
    fn recover(&mut self) -> Result<(), CatchUpError> {
        self.store.recover()?;
        let applied = catch_up(&self.read, &self.store, &mut |_| {})?;
        self.queue.retain(|committed| committed.seq > applied);
        self.failed = false;
        self.progress.sources_changed();
        self.progress.set_index_failed(false);
        self.progress.advance_applied(applied);
        tracing::info!(applied, "the index is back");
        Ok(())
    }

    fn flush(&mut self) {
        if self.failed
            && let Err(error) = self.recover()
        {
            tracing::error!(%error, "the index is not back yet");
            return;
        }
        if let Err(error) = self.write() {
            tracing::error!(%error, "the index cannot be written; it stays behind the log until it can");
            self.failed = true;
            self.progress.set_index_failed(true);
        }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        if self.queue.is_empty() {
            // Nothing to write, and still a word on whether it could be.
            return self.store.apply(RowBatch { rows: Vec::new(), applied: self.store.applied()? });
        }
        let started = Instant::now();
        let mut projection = Projection::new(Arc::clone(&self.store));
        let mut pushes = Vec::new();
        for committed in &self.queue {
            projection.apply(committed, &mut |push: Push| {
                if self.watched.contains(push.user) {
                    pushes.push(push);
                }
            })?;
        }
        let batch = projection.into_batch();
        let applied = batch.applied;
        self.store.apply(batch)?;
        if self.queue.iter().any(|committed| committed.event.concerns_sources()) {
            self.progress.sources_changed();
        }
        self.queue.clear();
        metrics::histogram!("trade_executor_index_apply_seconds").record(started.elapsed().as_secs_f64());
        // Told before it can be read, and read only after it was told: a screen that attaches in between misses nothing.
        if !pushes.is_empty() {
            (self.publish)(pushes);
        }
        self.progress.advance_applied(applied);
        Ok(())
    }
}

impl Actor for Projector {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(usize::MAX >> 4);
        // A failed write is tried again even when nothing new arrives.
        ctx.run_interval(Duration::from_secs(1), |projector, _| projector.flush());
    }
}

impl Supervised for Projector {}

impl Handler<Apply> for Projector {
    type Result = ();

    fn handle(&mut self, apply: Apply, ctx: &mut Self::Context) {
        self.queue.extend(apply.0);
        // While the index is broken only the clock tries again.
        if !self.scheduled && !self.failed {
            self.scheduled = true;
            ctx.notify_later(Flush, GATHER);
        }
    }
}

impl Handler<Flush> for Projector {
    type Result = ();

    fn handle(&mut self, _: Flush, _: &mut Self::Context) {
        self.scheduled = false;
        self.flush();
    }
}
