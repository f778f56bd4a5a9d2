//! Keeps the index behind the log, on a thread of its own, and tells the screens what the log holds.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use actix::{Actor, AsyncContext, Context, Handler, Message, Supervised};

use super::projection::Projection;
use crate::domain::event::Committed;
use crate::domain::ids::UserId;
use crate::domain::push::Push;
use crate::ports::store::Store;
use crate::views::Progress;

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

/// The actor.
pub struct Projector {
    store: Arc<dyn Store>,
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
        progress: Arc<Progress>,
        watched: Arc<Watched>,
        publish: Publish,
    ) -> Self {
        Self { store, progress, watched, publish, queue: Vec::new(), scheduled: false }
    }

    fn flush(&mut self) {
        if self.queue.is_empty() {
            return;
        }
        let started = Instant::now();
        let store = Arc::clone(&self.store);
        let mut projection = Projection::new(Arc::clone(&store));
        let mut pushes = Vec::new();
        for committed in &self.queue {
            let applied = projection.apply(committed, &mut |push: Push| {
                if self.watched.contains(push.user) {
                    pushes.push(push);
                }
            });
            if let Err(error) = applied {
                tracing::error!(%error, seq = committed.seq, "the index cannot be read; it stays behind the log");
                return;
            }
        }
        let batch = match projection.into_batch() {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(%error, "the index cannot be built; it stays behind the log");
                return;
            }
        };
        let applied = batch.applied;
        if let Err(error) = store.apply(batch) {
            tracing::error!(%error, "the index cannot be written; it stays behind the log");
            return;
        }
        self.queue.clear();
        metrics::histogram!("trade_executor_index_apply_seconds").record(started.elapsed().as_secs_f64());
        if !pushes.is_empty() {
            (self.publish)(pushes);
        }
        self.progress.advance_applied(applied);
    }
}

impl Actor for Projector {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(usize::MAX >> 4);
        // A failed write is tried again even when nothing new arrives.
        ctx.run_interval(std::time::Duration::from_secs(1), |projector, _| projector.flush());
    }
}

impl Supervised for Projector {}

impl Handler<Apply> for Projector {
    type Result = ();

    fn handle(&mut self, apply: Apply, ctx: &mut Self::Context) {
        self.queue.extend(apply.0);
        if !self.scheduled {
            self.scheduled = true;
            ctx.notify(Flush);
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
