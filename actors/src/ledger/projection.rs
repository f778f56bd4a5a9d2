//! Folds committed events into rows of the index; live running and rebuilding run this same code.

use std::collections::BTreeMap;
use std::sync::Arc;

use std::any::Any;
use std::fmt::Debug;

use serde::Serialize;
use uuid::Uuid;

use crate::domain::event::{Committed, Event, HaltCause, Scope};
use crate::domain::feed::{FeedRow, Outcome, SignalEntry, Source};
use crate::domain::ids::{ClientOrderId, ConnectionId, SignalId, UserId};
use crate::domain::order::{HistoryLine, Order, OrderStep, Purpose, Ticket};
use crate::domain::paper::{self, PaperAccount};
use crate::domain::push::{Body, Push, bodies, under_review};
use crate::domain::report::OrderReport;
use crate::domain::signal::Origin;
use crate::domain::stages::Stages;
use crate::domain::user::{Role, Trading, UserState};
use crate::ports::log::{LogError, Records};
use crate::ports::store::{Cell, Key, RowBatch, Store, StoreError};
use crate::views::{GLOBAL, Progress, Seen, Views, key, newest_first, pair, seen_key, token_key};

/// Rows touched by a run of events, read once and written once.
#[derive(Debug)]
pub struct Projection {
    store: Arc<dyn Store>,
    views: Views,
    users: BTreeMap<UserId, Option<Arc<UserState>>>,
    orders: BTreeMap<ClientOrderId, Option<Arc<Order>>>,
    signals: BTreeMap<SignalId, Option<Arc<SignalEntry>>>,
    feed: BTreeMap<Key, Option<Arc<FeedRow>>>,
    papers: BTreeMap<ConnectionId, Arc<PaperAccount>>,
    reports: BTreeMap<ClientOrderId, Option<Arc<OrderReport>>>,
    undecided: BTreeMap<SignalId, bool>,
    busy: BTreeMap<UserId, bool>,
    rows: Vec<(Key, Option<Cell>)>,
    /// Operators whose rows are not written yet.
    new_operators: Vec<UserId>,
    applied: u64,
}

/// Brings the index up to the log's end, reading records from the number that `read` is given, and returns the last record it contains.
///
/// # Errors
/// When the log is damaged or the store fails; the index then contains the log up to some earlier record.
pub fn catch_up(
    read: &dyn Fn(u64) -> Result<Records, LogError>,
    store: &Arc<dyn Store>,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, CatchUpError> {
    const CHUNK: usize = 4_096;
    let mut applied = store.applied()?;
    let mut records = read(applied + 1)?.peekable();
    while records.peek().is_some() {
        let mut projection = Projection::new(Arc::clone(store));
        for record in records.by_ref().take(CHUNK) {
            let record = record?;
            if let Some(committed) = super::read_back(&record) {
                projection.apply(&committed, &mut |_| {})?;
            }
            projection.applied = record.seq;
        }
        let batch = projection.into_batch();
        applied = batch.applied;
        store.apply(batch)?;
        progress(applied);
    }
    Ok(applied)
}

/// Why the index could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum CatchUpError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The index cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Projection {
    /// Starts a run on a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        let views = Views::new(Arc::clone(&store), Arc::new(Progress::new(0)));
        Self {
            store,
            views,
            users: BTreeMap::new(),
            orders: BTreeMap::new(),
            signals: BTreeMap::new(),
            feed: BTreeMap::new(),
            papers: BTreeMap::new(),
            reports: BTreeMap::new(),
            undecided: BTreeMap::new(),
            busy: BTreeMap::new(),
            rows: Vec::new(),
            new_operators: Vec::new(),
            applied: 0,
        }
    }

    /// Folds one event; `push` gets what the user's screens are told.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn apply(&mut self, committed: &Committed, push: &mut dyn FnMut(Push)) -> Result<(), StoreError> {
        let Committed { seq, event, user, .. } = committed;
        let event = &**event;
        self.applied = *seq;
        self.fold_shared(committed)?;
        let order = self.fold_order(committed)?;
        let row = self.fold_feed(committed, order.as_deref())?;
        let Some(user) = *user else { return Ok(()) };
        if let Event::UserCreated { name, role, limits } = event {
            let state = UserState::new(user, name.clone(), *role, limits.clone(), committed.at);
            self.users.insert(user, Some(Arc::new(state)));
            if *role == Role::Operator {
                self.rows.push((key(b"r/", user.uuid()), Some(Cell::Stored(Vec::new()))));
                self.new_operators.push(user);
            }
        }
        let Some(state) = self.user(user)? else { return Ok(()) };
        let was_idle = state.is_idle();
        state.apply(event, committed.at);
        state.last_seq = *seq;
        let turned = (state.is_idle() != was_idle).then(|| !state.is_idle());
        for body in bodies(event, order.as_ref(), row.as_ref()) {
            if body.is_numbered() {
                state.pushed += 1;
            }
            push(Push { user, seq: state.pushed, at: committed.at, body });
        }
        if let Some(busy) = turned {
            self.busy.insert(user, busy);
        }
        self.alert_operators(user, committed, push)
    }

    /// Tells every operator of an account that the circuit breaker locked.
    fn alert_operators(
        &mut self,
        about: UserId,
        committed: &Committed,
        push: &mut dyn FnMut(Push),
    ) -> Result<(), StoreError> {
        let Event::TradingHalted { cause: HaltCause::CircuitBreaker, reason, .. } = &*committed.event else {
            return Ok(());
        };
        let Some(name) = self.user(about)?.map(|user| user.name.clone()) else { return Ok(()) };
        let mut operators = self.views.operators()?;
        operators.extend_from_slice(&self.new_operators);
        operators.sort_unstable();
        operators.dedup();
        for operator in operators {
            let Some(state) = self.user(operator)? else { continue };
            state.pushed += 1;
            let body = Body::Notification(under_review(&name, about, reason));
            push(Push { user: operator, seq: state.pushed, at: committed.at, body });
        }
        Ok(())
    }

    /// Returns all rows touched, ready to be written in one step.
    #[must_use]
    pub fn into_batch(self) -> RowBatch {
        let mut rows = self.rows;
        put_all(&mut rows, b"u/", self.users.into_iter().map(|(id, row)| (id.uuid(), row)));
        put_all(&mut rows, b"o/", self.orders.into_iter().map(|(id, row)| (id.uuid(), row)));
        put_all(&mut rows, b"s/", self.signals.into_iter().map(|(id, row)| (id.uuid(), row)));
        put_all(&mut rows, b"p/", self.papers.into_iter().map(|(id, row)| (id.uuid(), Some(row))));
        put_all(&mut rows, b"q/", self.reports.into_iter().map(|(id, row)| (id.uuid(), row)));
        rows.extend(self.feed.into_iter().filter_map(|(key, row)| Some((key, Some(Cell::of(row?))))));
        let flag = |set: bool| set.then(|| Cell::Stored(Vec::new()));
        rows.extend(self.undecided.into_iter().map(|(id, open)| (key(b"x/", id.uuid()), flag(open))));
        rows.extend(self.busy.into_iter().map(|(id, busy)| (key(b"b/", id.uuid()), flag(busy))));
        RowBatch { rows, applied: self.applied }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "an arm an event, so that the compiler finds what a new one lacks"
    )]
    fn fold_shared(&mut self, committed: &Committed) -> Result<(), StoreError> {
        let Committed { at, user, event, .. } = committed;
        let event = &**event;
        match event {
            Event::SourceCreated { source, name, token_hash } => {
                let Some(owner) = *user else { return Ok(()) };
                let row = Source {
                    id: *source,
                    owner,
                    name: name.clone(),
                    version: 0,
                    token_hash: token_hash.clone(),
                    created_at: *at,
                };
                put(&mut self.rows, key(b"c/", source.uuid()), row);
                if let Some(hash) = token_hash {
                    put(&mut self.rows, token_key(hash), *source);
                }
            }
            Event::SourceRotated { source, version, token_hash } => {
                // The row may be among those not yet written.
                let source_key = key(b"c/", source.uuid());
                let unwritten = self.rows.iter().rev().find(|(key, _)| *key == source_key);
                let cell = match unwritten {
                    Some((_, cell)) => cell.clone(),
                    None => self.store.get(&source_key)?,
                };
                let Some(row) = cell.map(Cell::read::<Source>).transpose()? else { return Ok(()) };
                let mut row = Arc::unwrap_or_clone(row);
                if let Some(old) = row.token_hash.replace(token_hash.clone()) {
                    self.rows.push((token_key(&old), None));
                }
                row.version = *version;
                put(&mut self.rows, source_key, row);
                put(&mut self.rows, token_key(token_hash), *source);
            }
            Event::SourceFollowed { source } => self.follow(*source, *user, Some(Cell::Stored(Vec::new()))),
            Event::SourceUnfollowed { source } => self.follow(*source, *user, None),
            Event::TradingHalted { scope: Scope::Global, by, reason, cause, until } => {
                let (by, reason) = (by.clone(), reason.clone());
                let halted = Trading::Halted { by, reason, at: *at, cause: *cause, until: *until };
                put(&mut self.rows, GLOBAL.to_vec(), halted);
            }
            Event::TradingResumed { scope: Scope::Global, .. } => {
                put(&mut self.rows, GLOBAL.to_vec(), Trading::Active);
            }
            Event::PaperOpened { connection, .. }
            | Event::PaperBooked { connection, .. }
            | Event::PaperMoved { connection, .. } => self.fold_paper(*connection, committed)?,
            Event::EngineStarted { .. }
            | Event::EngineStopped
            | Event::MasterKeyRotated { .. }
            | Event::UserCreated { .. }
            | Event::UserSuspended { .. }
            | Event::UserResumed
            | Event::ConnectionAdded { .. }
            | Event::ConnectionRemoved { .. }
            | Event::ConnectionRenewed { .. }
            | Event::DefaultConnectionSet { .. }
            | Event::ConnectionLost { .. }
            | Event::ConnectionRestored { .. }
            | Event::ConnectionRunway { .. }
            | Event::SessionEnding { .. }
            | Event::RouteSet { .. }
            | Event::LiveTradingSet { .. }
            | Event::SourceLimitsChanged { .. }
            | Event::ProtectionChanged { .. }
            | Event::DriftFound { .. }
            | Event::PositionUnprotected { .. }
            | Event::SignalApplied { .. }
            | Event::SignalDenied { .. }
            | Event::CashMoved { .. }
            | Event::LimitsChanged { .. }
            | Event::SignalReceived { .. }
            | Event::SignalRepeated { .. }
            | Event::SignalRefused { .. }
            | Event::OrderCreated { .. }
            | Event::OrderDenied { .. }
            | Event::OrderMoved { .. }
            | Event::PositionChanged { .. }
            | Event::BalanceSeen { .. }
            | Event::TradingHalted { .. }
            | Event::TradingResumed { .. }
            | Event::LoginSucceeded { .. }
            | Event::LoginFailed { .. }
            | Event::TokenCreated { .. }
            | Event::TokenRevoked { .. } => {}
        }
        Ok(())
    }

    fn follow(&mut self, source: crate::domain::ids::SourceId, user: Option<UserId>, value: Option<Cell>) {
        let Some(user) = user else { return };
        self.rows.push((pair(b"f/", source.uuid(), user.uuid()), value.clone()));
        self.rows.push((pair(b"F/", user.uuid(), source.uuid()), value));
    }

    fn fold_paper(&mut self, connection: ConnectionId, committed: &Committed) -> Result<(), StoreError> {
        if !self.papers.contains_key(&connection) {
            let known = self.views.shared(&key(b"p/", connection.uuid()))?;
            self.papers.insert(connection, known.unwrap_or_else(|| Arc::new(PaperAccount::new(connection))));
        }
        if let Some(account) = self.papers.get_mut(&connection) {
            Arc::make_mut(account).apply(&committed.event, committed.at);
        }
        if let Event::PaperBooked { order, .. } | Event::PaperMoved { order, .. } = &*committed.event {
            if !self.reports.contains_key(order) {
                self.reports.insert(*order, self.views.shared(&key(b"q/", order.uuid()))?);
            }
            let before = self.reports.remove(order).flatten().map(Arc::unwrap_or_clone);
            self.reports.insert(*order, paper::report(&committed.event, before).map(Arc::new));
        }
        Ok(())
    }

    /// Folds what concerns one order and returns it as it is then.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most events concern no order")]
    fn fold_order(&mut self, committed: &Committed) -> Result<Option<Arc<Order>>, StoreError> {
        let Committed { seq, at, event, .. } = committed;
        let event = &**event;
        let id = match event {
            Event::OrderCreated { ticket, .. } | Event::OrderDenied { ticket, .. } => {
                let order = Self::new_order(ticket, committed);
                self.orders.insert(ticket.id, order.map(Arc::new));
                let listed = newest_first(b"t/", ticket.user, *seq);
                put(&mut self.rows, listed, ticket.id);
                ticket.id
            }
            Event::OrderMoved { order, step, stages } => {
                if !self.orders.contains_key(order) {
                    self.orders.insert(*order, self.views.shared(&key(b"o/", order.uuid()))?);
                }
                if let Some(Some(row)) = self.orders.get_mut(order) {
                    let row = Arc::make_mut(row);
                    if let Err(illegal) = row.apply(step, *at) {
                        tracing::error!(%order, seq, %illegal, "a recorded step does not fit its order");
                        return Ok(None);
                    }
                    row.pass(step, stages);
                    let line = history(*seq, committed, describe(step));
                    row.history.push(HistoryLine { step: Some(step.clone()), stages: *stages, ..line });
                }
                *order
            }
            _ => return Ok(None),
        };
        Ok(self.orders.get(&id).cloned().flatten())
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "called for these two events only")]
    fn new_order(ticket: &Ticket, committed: &Committed) -> Option<Order> {
        let (broker, mode, decision, stages, denial) = match &*committed.event {
            Event::OrderCreated { broker, mode, decision, stages, .. } => {
                (broker, mode, decision, stages, None)
            }
            Event::OrderDenied { broker, mode, decision, stages, denial, .. } => {
                (broker, mode, decision, stages, Some(denial))
            }
            _ => return None,
        };
        let detail = denial.map_or_else(|| decision.notes.join("; "), |denial| denial.message.clone());
        let (broker, decision) = (broker.clone(), decision.clone());
        let mut order = Order::new(ticket.clone(), broker, *mode, decision, *stages, denial, committed.at);
        order.history.push(history(committed.seq, committed, detail));
        Some(order)
    }

    /// Folds what concerns a delivery and returns the feed's row as it is then.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most events concern no delivery")]
    fn fold_feed(
        &mut self,
        committed: &Committed,
        order: Option<&Order>,
    ) -> Result<Option<Arc<FeedRow>>, StoreError> {
        let Committed { seq, at, user, event } = committed;
        let event = &**event;
        let Some(user) = *user else { return Ok(None) };
        match event {
            Event::SignalReceived { signal, recipients, excerpt } => {
                let entry = SignalEntry {
                    signal: signal.clone(),
                    owner: user,
                    seq: *seq,
                    recipients: *recipients,
                    decided: 0,
                    excerpt: excerpt.clone(),
                };
                let seen = Seen { signal: signal.id, at: signal.received_at };
                put(&mut self.rows, seen_key(signal.source, signal.delivery), seen);
                self.undecided.insert(signal.id, *recipients > 0);
                let row = feed_row(&entry, *seq, Outcome::Pending);
                self.signals.insert(signal.id, Some(Arc::new(entry)));
                Ok(Some(self.put_feed(user, *seq, row)))
            }
            Event::SignalRepeated { signal, .. } => {
                let Some(began) = self.signal(*signal)?.map(|entry| entry.seq) else { return Ok(None) };
                self.update_feed(user, began, |row| row.repeats += 1)
            }
            Event::SignalRefused { source, code, message, excerpt, .. } => {
                let row = FeedRow {
                    seq: *seq,
                    signal: None,
                    source: *source,
                    origin: Origin::Tradingview,
                    received_at: *at,
                    instruction: None,
                    outcome: Outcome::Refused { code: code.clone(), reason: message.clone() },
                    repeats: 0,
                    excerpt: excerpt.clone(),
                };
                Ok(Some(self.put_feed(user, *seq, row)))
            }
            Event::OrderCreated { .. } | Event::OrderDenied { .. } => {
                order.map_or(Ok(None), |order| self.decided(order, user, *seq))
            }
            Event::OrderMoved { .. } => order.map_or(Ok(None), |order| self.ended(order, user)),
            Event::SignalApplied { signal, detail, .. } => {
                self.became(*signal, user, *seq, Outcome::Applied { detail: detail.clone() })
            }
            Event::SignalDenied { signal, denial, .. } => {
                let (code, reason) = (denial.code.as_str().to_owned(), denial.message.clone());
                self.became(*signal, user, *seq, Outcome::Rejected { order: None, code, reason })
            }
            _ => Ok(None),
        }
    }

    fn decided(&mut self, order: &Order, user: UserId, seq: u64) -> Result<Option<Arc<FeedRow>>, StoreError> {
        // A stop, a target or an exit follows from a position: it is not what became of the signal that opened it.
        if order.ticket.purpose != Purpose::Signal {
            return Ok(None);
        }
        self.became(order.ticket.signal, user, seq, Outcome::of(order))
    }

    /// Counts a follower's decision on a signal, and puts it into their feed.
    fn became(
        &mut self,
        signal: SignalId,
        user: UserId,
        seq: u64,
        outcome: Outcome,
    ) -> Result<Option<Arc<FeedRow>>, StoreError> {
        let Some(entry) = self.signal(signal)? else { return Ok(None) };
        entry.decided += 1;
        let entry = entry.clone();
        if entry.decided >= entry.recipients {
            self.undecided.insert(signal, false);
        }
        if entry.recipients > 1 {
            self.rows.push((pair(b"y/", signal.uuid(), user.uuid()), Some(Cell::Stored(Vec::new()))));
        }
        if entry.owner == user {
            return self.update_feed(user, entry.seq, |row| row.outcome = outcome);
        }
        Ok(Some(self.put_feed(user, seq, feed_row(&entry, seq, outcome))))
    }

    /// Says what became of a signal in the end, where that is another thing than was said when it was decided.
    fn ended(&mut self, order: &Order, user: UserId) -> Result<Option<Arc<FeedRow>>, StoreError> {
        let ticket = &order.ticket;
        if ticket.purpose != Purpose::Signal || !order.status.is_final() {
            return Ok(None);
        }
        let Some(entry) = self.signal(ticket.signal)? else { return Ok(None) };
        // A follower's row is where their decision is, which is the order's first record.
        let decided = order.history.first().map(|line| line.seq);
        let place = if entry.owner == user { Some(entry.seq) } else { decided };
        let Some(place) = place else { return Ok(None) };
        let outcome = Outcome::of(order);
        let mut changed = false;
        let row = self.update_feed(user, place, |row| {
            changed = row.outcome != outcome;
            row.outcome = outcome;
        })?;
        Ok(row.filter(|_| changed))
    }

    fn put_feed(&mut self, user: UserId, seq: u64, row: FeedRow) -> Arc<FeedRow> {
        let row = Arc::new(row);
        self.feed.insert(newest_first(b"g/", user, seq), Some(Arc::clone(&row)));
        row
    }

    fn update_feed(
        &mut self,
        user: UserId,
        seq: u64,
        change: impl FnOnce(&mut FeedRow),
    ) -> Result<Option<Arc<FeedRow>>, StoreError> {
        let feed_key = newest_first(b"g/", user, seq);
        if !self.feed.contains_key(&feed_key) {
            self.feed.insert(feed_key.clone(), self.views.shared(&feed_key)?);
        }
        let Some(Some(row)) = self.feed.get_mut(&feed_key) else { return Ok(None) };
        change(Arc::make_mut(row));
        Ok(Some(Arc::clone(row)))
    }

    fn user(&mut self, user: UserId) -> Result<Option<&mut UserState>, StoreError> {
        if !self.users.contains_key(&user) {
            self.users.insert(user, self.views.shared(&key(b"u/", user.uuid()))?);
        }
        Ok(self.users.get_mut(&user).and_then(Option::as_mut).map(Arc::make_mut))
    }

    fn signal(&mut self, signal: SignalId) -> Result<Option<&mut SignalEntry>, StoreError> {
        if !self.signals.contains_key(&signal) {
            self.signals.insert(signal, self.views.shared(&key(b"s/", signal.uuid()))?);
        }
        Ok(self.signals.get_mut(&signal).and_then(Option::as_mut).map(Arc::make_mut))
    }
}

fn feed_row(entry: &SignalEntry, seq: u64, outcome: Outcome) -> FeedRow {
    FeedRow {
        seq,
        signal: Some(entry.signal.id),
        source: entry.signal.source,
        origin: entry.signal.origin,
        received_at: entry.signal.received_at,
        instruction: Some(entry.signal.instruction.clone()),
        outcome,
        repeats: 0,
        excerpt: entry.excerpt.clone(),
    }
}

fn history(seq: u64, committed: &Committed, detail: String) -> HistoryLine {
    let (at, event) = (committed.at, committed.event.action().to_owned());
    HistoryLine { seq, at, event, detail, step: None, stages: Stages::default() }
}

fn describe(step: &OrderStep) -> String {
    match step {
        OrderStep::Accepted { broker_order } => format!("the broker has it as {broker_order}"),
        OrderStep::Filled { fill } => format!("{} at {}", fill.quantity, fill.price),
        OrderStep::Rejected { reason, .. }
        | OrderStep::CancelRequested { reason }
        | OrderStep::Canceled { reason }
        | OrderStep::Expired { reason, .. }
        | OrderStep::Deferred { reason, .. }
        | OrderStep::OutcomeLost { reason }
        | OrderStep::Queued { reason, .. }
        | OrderStep::Failed { reason, .. } => reason.clone(),
        OrderStep::Released => "sent now".to_owned(),
        OrderStep::Amended { quantity, reason, .. } => format!("{quantity}: {reason}"),
        OrderStep::Retried { attempt, reason } => format!("attempt {attempt}: {reason}"),
    }
}

fn put<T: Serialize + Any + Debug + Send + Sync>(rows: &mut Vec<(Key, Option<Cell>)>, key: Key, row: T) {
    rows.push((key, Some(Cell::of(Arc::new(row)))));
}

/// Puts the rows of one kind that exist.
fn put_all<T: Serialize + Any + Debug + Send + Sync>(
    rows: &mut Vec<(Key, Option<Cell>)>,
    prefix: &[u8; 2],
    all: impl Iterator<Item = (Uuid, Option<Arc<T>>)>,
) {
    rows.extend(all.filter_map(|(id, row)| Some((key(prefix, id), Some(Cell::of(row?))))));
}
