//! The ledger: the only writer of the log, on a thread of its own.
//!
//! What queues while one sync runs is the next batch; one `fdatasync`, then all are answered (group commit).
//! Committed events go on to the [`projector`], on a second thread, which keeps the index.

pub mod projection;
pub mod projector;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, Supervised, Supervisor};
use actix_rt::Arbiter;
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use crate::domain::event::{Committed, Event, Fact};
use crate::fault;
use crate::ports::clock::Clock;
use crate::ports::journal::{CommitError, Journal, Receipt};
use crate::ports::log::{Checkpoint, Entry, Head, Log, LogError};
use crate::views::Progress;
use projector::{Apply, Projector};

/// Opens the log; called again after a failure.
pub type OpenLog = Box<dyn Fn() -> Result<Box<dyn Log>, LogError> + Send>;

/// Records after which a checkpoint is signed.
const CHECKPOINT_RECORDS: u64 = 1_000;
/// Time after which a checkpoint is signed.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
/// Facts after which a batch is written without waiting for more.
const BATCH_MAX: usize = 8_192;
/// Commits in a batch from which on the next one is gathered: a sync costs the processor as much as several orders do.
const BUSY: usize = 4;
/// How long a batch is gathered then.
const GATHER: Duration = Duration::from_millis(1);

type Reply = oneshot::Sender<Result<Receipt, CommitError>>;

/// The ledger's door. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger {
    writer: Addr<Writer>,
    progress: Arc<Progress>,
}

impl Ledger {
    /// Starts the ledger on the thread of `arbiter`, behind a log that is open already.
    ///
    /// `log` and the index behind `projector` are at the same record ([`projection::catch_up`]).
    #[must_use]
    pub fn start(
        arbiter: &Arbiter,
        log: Box<dyn Log>,
        open: OpenLog,
        projector: Addr<Projector>,
        progress: Arc<Progress>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let shared = Arc::clone(&progress);
        let writer = Supervisor::start_in_arbiter(&arbiter.handle(), move |_| {
            let handed_on = log.head();
            Writer {
                log: Some(log),
                open,
                projector,
                progress: shared,
                clock,
                pending: Vec::new(),
                facts: 0,
                scheduled: false,
                busy: false,
                handed_on,
                checkpointed: 0,
                announced: None,
            }
        });
        Self { writer, progress }
    }

    /// Returns how far log and index are.
    #[must_use]
    pub const fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Writes what is queued, signs the head and closes the log.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        self.writer.do_send(Close(done));
        if closed.await.is_err() {
            tracing::warn!("the ledger was gone before it could sign its last checkpoint");
        }
    }
}

impl Journal for Ledger {
    fn commit(&self, facts: Vec<Fact>) -> BoxFuture<'static, Result<Receipt, CommitError>> {
        let (reply, answer) = oneshot::channel();
        self.writer.do_send(Commit { facts, reply });
        answer
            .map(|answer| {
                answer.unwrap_or_else(|_| Err(CommitError::Down("the ledger restarted".to_owned())))
            })
            .boxed()
    }
}

/// The actor behind [`Ledger`].
pub struct Writer {
    log: Option<Box<dyn Log>>,
    open: OpenLog,
    projector: Addr<Projector>,
    progress: Arc<Progress>,
    clock: Arc<dyn Clock>,
    pending: Vec<Commit>,
    facts: usize,
    scheduled: bool,
    /// Whether the last batch was large.
    busy: bool,
    /// The last record the projector was given.
    handed_on: Head,
    checkpointed: u64,
    announced: Option<Instant>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("log", &self.log)
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Commit {
    facts: Vec<Fact>,
    reply: Reply,
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Sync;

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Close(oneshot::Sender<()>);

impl Actor for Writer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(usize::MAX >> 4);
        ctx.run_interval(CHECKPOINT_EVERY, |writer, _| writer.checkpoint());
    }
}

impl Supervised for Writer {
    fn restarting(&mut self, _: &mut Self::Context) {
        metrics::counter!("trade_executor_actor_restarts_total", "actor" => "ledger").increment(1);
        tracing::error!("the ledger restarts");
        self.scheduled = false;
    }
}

impl Handler<Commit> for Writer {
    type Result = ();

    fn handle(&mut self, commit: Commit, ctx: &mut Self::Context) {
        self.facts += commit.facts.len();
        self.pending.push(commit);
        if self.facts >= BATCH_MAX {
            self.sync_guarded(ctx);
        } else if !self.scheduled {
            self.scheduled = true;
            if self.busy {
                ctx.notify_later(Sync, GATHER);
            } else {
                // Queued behind every commit that is waiting already: together they are the batch.
                ctx.notify(Sync);
            }
        }
    }
}

impl Handler<Sync> for Writer {
    type Result = ();

    fn handle(&mut self, _: Sync, ctx: &mut Self::Context) {
        self.scheduled = false;
        self.sync_guarded(ctx);
    }
}

impl Handler<Close> for Writer {
    type Result = ();

    fn handle(&mut self, close: Close, ctx: &mut Self::Context) {
        self.sync_guarded(ctx);
        self.announced = None;
        self.checkpoint();
        self.log = None;
        if close.0.send(()).is_err() {
            tracing::debug!("nobody waited for the ledger to close");
        }
    }
}

impl Writer {
    /// Writes the batch; a panic costs its callers their answer and this actor its state, never the thread.
    fn sync_guarded(&mut self, ctx: &mut Context<Self>) {
        if catch_unwind(AssertUnwindSafe(|| self.sync())).is_err() {
            self.pending.clear();
            self.facts = 0;
            self.log = None;
            actix::ActorContext::stop(ctx);
        }
    }

    fn sync(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.pending);
        self.busy = batch.len() >= BUSY;
        let size = std::mem::take(&mut self.facts);
        if let Err(error) = self.reopen() {
            tracing::error!(%error, "the log cannot be opened; nothing is recorded");
            refuse(batch, &CommitError::Down(error.to_string()));
            return;
        }
        let now = self.clock.now();
        let timestamp = now.to_rfc3339_opts(SecondsFormat::Millis, true);
        let entries: Vec<_> = batch
            .iter()
            .flat_map(|commit| &commit.facts)
            .map(|fact| Entry { timestamp: &timestamp, statement: &fact.statement })
            .collect();
        let Some(log) = self.log.as_mut() else { return };
        let first = log.head().seq + 1;
        if entries.is_empty() {
            // A barrier: what was queued before it is decided, and the log is open.
            let head = log.head();
            self.answer(batch, first, head, now);
            return;
        }
        let started = Instant::now();
        fault::point("ledger.append");
        let appended = log.append(&entries);
        fault::point("ledger.appended");
        metrics::histogram!("trade_executor_log_append_seconds").record(started.elapsed().as_secs_f64());
        metrics::histogram!("trade_executor_log_batch_records")
            .record(f64::from(u32::try_from(size).unwrap_or(u32::MAX)));
        let full = matches!(appended, Err(LogError::Full));
        self.progress.set_full(full.then(|| self.clock.stamp()));
        match appended {
            Ok(head) => self.answer(batch, first, head, now),
            Err(LogError::Full) => {
                tracing::error!(
                    "the disk that holds the log is full: new signals are refused until there is room"
                );
                refuse(batch, &CommitError::Full);
            }
            Err(error @ (LogError::Broken(_) | LogError::Damaged { .. })) => {
                tracing::error!(%error, "the log could not be written; it will be opened again");
                self.log = None;
                refuse(batch, &CommitError::Down(error.to_string()));
            }
        }
    }

    fn answer(&mut self, batch: Vec<Commit>, first: u64, head: Head, now: DateTime<Utc>) {
        self.progress.advance_committed(head.seq);
        self.handed_on = head;
        metrics::gauge!("trade_executor_log_head_seq").set(as_gauge(head.seq));
        let at = truncated(now);
        let mut seq = first;
        let mut committed = Vec::with_capacity(batch.len());
        for commit in batch {
            let from = seq;
            for fact in commit.facts {
                committed.push(Committed { seq, at, user: fact.user, event: fact.event });
                seq += 1;
            }
            let receipt = Receipt { first: from, last: seq.saturating_sub(1), at };
            if commit.reply.send(Ok(receipt)).is_err() {
                tracing::trace!("nobody waited for records {from}..");
            }
        }
        self.projector.do_send(Apply(committed));
        if head.seq >= self.checkpointed + CHECKPOINT_RECORDS {
            self.checkpoint();
        }
    }

    /// Opens the log again after a failure, and hands on what turned out to be durable after all.
    fn reopen(&mut self) -> Result<(), LogError> {
        if self.log.is_some() {
            return Ok(());
        }
        let log = (self.open)()?;
        let head = log.head();
        let mut committed = Vec::new();
        for record in log.read(self.handed_on.seq + 1)? {
            committed.extend(read_back(&record?));
        }
        self.handed_on = head;
        self.progress.advance_committed(head.seq);
        self.projector.do_send(Apply(committed));
        self.log = Some(log);
        Ok(())
    }

    fn checkpoint(&mut self) {
        let Some(log) = self.log.as_mut() else { return };
        let time = self.clock.now().to_rfc3339_opts(SecondsFormat::Millis, true);
        match log.checkpoint(&time) {
            Ok(Some(checkpoint)) => {
                self.checkpointed = checkpoint.head.seq;
                self.announce(&checkpoint);
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the log's head could not be signed"),
        }
    }

    /// Tells the process log and the metrics, which are outside the store, where the log ends.
    fn announce(&mut self, checkpoint: &Checkpoint) {
        metrics::gauge!("trade_executor_log_checkpoint_seq").set(as_gauge(checkpoint.head.seq));
        if self.announced.is_none_or(|at| at.elapsed() >= CHECKPOINT_EVERY) {
            self.announced = Some(Instant::now());
            tracing::info!(seq = checkpoint.head.seq, head = %checkpoint.head.hash, "log head signed");
        }
    }
}

fn refuse(batch: Vec<Commit>, error: &CommitError) {
    for commit in batch {
        if commit.reply.send(Err(error.clone())).is_err() {
            tracing::trace!("nobody waited for a refused commit");
        }
    }
}

/// Turns a stored record back into its event; records without one (of a later version) are passed over.
pub(crate) fn read_back(record: &crate::domain::record::Record) -> Option<Committed> {
    let at = DateTime::parse_from_rfc3339(&record.timestamp).ok()?.with_timezone(&Utc);
    let user = match record.statement.user_id.as_deref() {
        Some(user) => Some(user.parse().ok()?),
        None => None,
    };
    let event = record.statement.payload.as_deref().and_then(|payload| Event::parse(payload).ok());
    if event.is_none() {
        tracing::warn!(
            seq = record.seq,
            action = record.statement.action,
            "a record's payload is not known here"
        );
    }
    Some(Committed { seq: record.seq, at, user, event: Arc::new(event?) })
}

/// Cuts to milliseconds, as the record's text has it: replay must see the same time.
fn truncated(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap_or(at)
}

/// A sequence number as a gauge; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53")]
pub(crate) const fn as_gauge(seq: u64) -> f64 {
    seq as f64
}
