//! Orders: commits every verdict before anything is done, sends what was approved, follows it to its end.

mod answers;
mod book;
pub mod breach;
mod commands;
mod deciding;
mod draft;
mod queue;
mod survey;
mod tend;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::arrival::{Arrival, Refused};
use crate::broker_connection::ConnectionMsg;
use crate::domain::event::{Event, Fact};
use crate::domain::execution::Search;
use crate::domain::ids::{ClientOrderId, ConnectionId};
use crate::domain::instrument::Symbol;
use crate::domain::intent::Intent;
use crate::domain::money::{Price, Quantity};
use crate::domain::order::{Mode, OrderStatus, OrderStep, Ticket};
use crate::domain::portfolio::Balance;
use crate::domain::position::Position;
use crate::domain::protection::{ProtectionChange, Reached, Unfit};
use crate::domain::report::OrderReport;
use crate::domain::risk::{Approved, Denial, DenialCode};
use crate::domain::signal::{OrderKind, Origin};
use crate::domain::stages::{Stages, Stamp};
use crate::domain::user::UserState;
use crate::domain::waiting::Wait;
use crate::fault;
use crate::ports::broker::{Broker, BrokerError, Placed};
use crate::ports::journal::{CommitError, Journal, Receipt};
use crate::ports::market::Market;
use crate::risk::RiskMsg;
use crate::router::RouterMsg;
use crate::user::UserMsg;
use crate::user::lines::Lines;
use book::Book;
use breach::Ruling;
use draft::halted;
use watch::Watch;

/// How long after a failed cancel the order's state is asked for.
const CANCEL_AGAIN: Duration = Duration::from_secs(1);

/// Risk's word on a signal.
#[derive(Debug)]
pub struct Verdict {
    /// Approved, or denied with what was asked for.
    pub outcome: Result<Approved, (Denial, Box<Intent>)>,
    /// What an approved order waits for before it is sent.
    pub wait: Option<Wait>,
    /// At which broker.
    pub broker: String,
    /// With which money.
    pub mode: Mode,
    /// When.
    pub decided: Stamp,
}

/// What Execution is told.
#[derive(Debug)]
pub enum ExecutionMsg {
    /// A verdict; `true`: the signal was handed over before.
    Decided(Arc<Arrival>, Box<Verdict>, bool),
    /// An account is connected: open orders are looked up there.
    Connected(Box<Connected>),
    /// The broker answered a submission.
    Answered(Box<Answer>),
    /// The broker told of an order by itself.
    Reported(Box<OrderReport>),
    /// A look-up was answered.
    LookedUp(ClientOrderId, Result<Option<Box<OrderReport>>, BrokerError>),
    /// Time to look an order up again.
    LookUp(ClientOrderId),
    /// Time to send an order again that was provably not received.
    SendAgain(ClientOrderId),
    /// A person cancels an order.
    Cancel(ClientOrderId, String),
    /// All open entries are cancelled; exits stay. The answer follows once that is recorded and asked for.
    CancelEntries(String, Option<RpcReplyPort<()>>),
    /// Risk ruled on the day.
    Ruled(Box<Ruling>),
    /// The broker refused to cancel, or could not be asked.
    CancelFailed(ClientOrderId, BrokerError),
    /// Facts that the user's own actor committed: limits, halts, accounts.
    Learned(Arc<[Arc<Event>]>),
    /// A person changes an order that waits.
    Amend(ClientOrderId, Change, RpcReplyPort<bool>),
    /// Risk's word on an order that waited.
    Rechecked(ClientOrderId, Box<Result<Approved, Denial>>),
    /// A price has reached a level of a position that we watch.
    Reached(Key, Reached, Price),
    /// A stop that we trail has moved.
    Trailed(Key, Price),
    /// A person changes what protects a position.
    Protect(Key, ProtectionChange, RpcReplyPort<Result<(), Unfit>>),
    /// A signal that changes what protects a position; `true`: it was handed over before.
    Modify(Arc<Arrival>, bool),
    /// What the broker says it has.
    Surveyed(Box<Survey>),
    /// Look at what waits, and at what has waited long enough.
    Tick,
    /// Risk needs the price of a symbol that nobody follows.
    Ask(ConnectionId, Symbol),
}

/// A position's place: the account and the symbol.
pub type Key = (ConnectionId, Symbol);

/// What is changed about an order that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// How much it is for now.
    pub quantity: Quantity,
    /// How it executes now.
    pub kind: OrderKind,
}

/// What a broker says it has, all asked for at one moment.
#[derive(Debug)]
pub struct Survey {
    /// At which account.
    pub connection: ConnectionId,
    /// When it was asked.
    pub asked: DateTime<Utc>,
    /// Its open orders of ours.
    pub orders: Vec<OrderReport>,
    /// Its positions.
    pub positions: Vec<Position>,
    /// Its balance.
    pub balance: Balance,
}

/// A broker account whose session is open.
#[derive(Debug)]
pub struct Connected {
    /// Which account.
    pub connection: ConnectionId,
    /// Who talks to it.
    pub actor: ActorRef<ConnectionMsg>,
    /// What the venue promises, and what it can hold.
    pub broker: Arc<dyn Broker>,
    /// What can be traded there, with prices and hours.
    pub market: Arc<dyn Market>,
    /// Its balance.
    pub balance: Balance,
}

/// A broker's answer to a submission.
#[derive(Debug)]
pub struct Answer {
    /// To which order.
    pub order: ClientOrderId,
    /// When it was sent.
    pub sent: Stamp,
    /// When the answer came.
    pub acknowledged: Stamp,
    /// The answer.
    pub result: Result<OrderReport, BrokerError>,
}

/// The actor.
#[derive(Debug)]
pub struct Execution;

/// What Execution needs.
#[derive(Debug)]
pub struct ExecutionArgs {
    /// The lines to its kin.
    pub lines: Arc<Lines>,
    /// The user as the log has them.
    pub user: UserState,
}

/// What Execution holds.
#[derive(Debug)]
pub struct ExecutionState {
    lines: Arc<Lines>,
    book: Book,
    connections: BTreeMap<ConnectionId, Box<Connected>>,
    searches: BTreeMap<ClientOrderId, Search>,
    attempts: BTreeMap<ClientOrderId, u32>,
    /// When each order was handed over that is not answered for.
    sent: BTreeMap<ClientOrderId, Stamp>,
    /// Positions whose exits are to be looked at.
    due: BTreeSet<Key>,
    /// What is under way besides orders.
    watch: Watch,
}

impl Actor for Execution {
    type Msg = ExecutionMsg;
    type State = ExecutionState;
    type Arguments = ExecutionArgs;

    async fn pre_start(
        &self,
        _: ActorRef<ExecutionMsg>,
        args: ExecutionArgs,
    ) -> Result<ExecutionState, ActorProcessingErr> {
        let book = Book::open(args.user, &args.lines.shared.views)?;
        Ok(ExecutionState {
            lines: args.lines,
            book,
            connections: BTreeMap::new(),
            searches: BTreeMap::new(),
            attempts: BTreeMap::new(),
            sent: BTreeMap::new(),
            due: BTreeSet::new(),
            watch: Watch::default(),
        })
    }

    async fn handle(
        &self,
        me: ActorRef<ExecutionMsg>,
        msg: ExecutionMsg,
        state: &mut ExecutionState,
    ) -> Result<(), ActorProcessingErr> {
        Box::pin(state.handle(&me, msg)).await?;
        Box::pin(state.tend_all()).await?;
        state.arm(&me);
        Ok(())
    }
}

impl ExecutionState {
    async fn handle(
        &mut self,
        me: &ActorRef<ExecutionMsg>,
        msg: ExecutionMsg,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            ExecutionMsg::Decided(arrival, verdict, again) => {
                Box::pin(self.decided(&arrival, *verdict, again)).await
            }
            ExecutionMsg::Connected(account) => Box::pin(self.connected(account)).await,
            ExecutionMsg::Answered(answer) => Box::pin(self.answered(me, *answer)).await,
            ExecutionMsg::Reported(report) => Box::pin(self.report(&report, Stages::default())).await,
            ExecutionMsg::LookedUp(order, result) => Box::pin(self.looked_up(me, order, result)).await,
            ExecutionMsg::LookUp(order) => {
                self.look_up(order);
                Ok(())
            }
            ExecutionMsg::Ruled(ruling) => Box::pin(self.ruled(*ruling)).await,
            ExecutionMsg::SendAgain(order) => Box::pin(self.send_again(me, order)).await,
            ExecutionMsg::Cancel(order, reason) => Box::pin(self.cancel(order, reason)).await,
            ExecutionMsg::CancelEntries(reason, done) => Box::pin(self.cancel_entries(reason, done)).await,
            ExecutionMsg::CancelFailed(order, error) => {
                // It may be done already, or gone: the broker's own word decides.
                tracing::warn!(%order, %error, "the cancel was not taken; asking for the order's state");
                me.send_after(CANCEL_AGAIN, move || ExecutionMsg::LookUp(order));
                Ok(())
            }
            ExecutionMsg::Learned(events) => {
                let now = self.lines.shared.clock.now();
                for event in &*events {
                    self.book.apply(event, now, None);
                }
                Ok(())
            }
            ExecutionMsg::Amend(order, change, done) => Box::pin(self.amend(order, change, done)).await,
            ExecutionMsg::Rechecked(order, outcome) => Box::pin(self.rechecked(order, *outcome)).await,
            ExecutionMsg::Reached(key, level, price) => Box::pin(self.reached(key, level, price)).await,
            ExecutionMsg::Trailed(key, stop) => Box::pin(self.trailed(key, stop)).await,
            ExecutionMsg::Protect(key, change, done) => Box::pin(self.protect(key, &change, done)).await,
            ExecutionMsg::Modify(arrival, again) => Box::pin(self.modify(me, arrival, again)).await,
            ExecutionMsg::Surveyed(survey) => Box::pin(self.surveyed(*survey)).await,
            ExecutionMsg::Tick => {
                self.watch.armed = false;
                Box::pin(self.tick()).await
            }
            ExecutionMsg::Ask(connection, symbol) => {
                self.tell_broker(connection, ConnectionMsg::Quote(symbol));
                Ok(())
            }
        }
    }

    async fn cancel_entries(
        &mut self,
        reason: String,
        done: Option<RpcReplyPort<()>>,
    ) -> Result<(), ActorProcessingErr> {
        for order in self.book.open_entries() {
            Box::pin(self.cancel(order, reason.clone())).await?;
        }
        if done.is_some_and(|done| done.send(()).is_err()) {
            tracing::debug!("nobody waited until the open entries were cancelled");
        }
        Ok(())
    }

    /// Runs `queue` with what both kill switches say of an order; neither is thrown meanwhile.
    fn pass<T>(&self, ticket: &Ticket, queue: impl FnOnce(Option<Denial>) -> T) -> T {
        self.lines
            .shared
            .halt
            .pass(|everybody| self.lines.halt.pass(|own| queue(halted(ticket, everybody, own))))
    }

    async fn connected(&mut self, account: Box<Connected>) -> Result<(), ActorProcessingErr> {
        let (connection, balance) = (account.connection, account.balance);
        self.connections.insert(connection, account);
        // What was sent while nobody could hear the answer, or was never sent at all, is found out now; how far the
        // others are comes with the survey.
        for order in self.book.unanswered_at(connection) {
            self.look_up(order);
        }
        self.due.extend(self.book.keys_at(connection));
        self.watch.resume(&self.book);
        // What moved the cash while nobody listened is asked for first: orders, then positions, then the rest.
        self.tell_broker(connection, ConnectionMsg::Survey);
        if self.book.balance(connection).is_none() {
            self.record(vec![Event::BalanceSeen { connection, balance }]).await?;
        }
        self.cancel_if_halted(connection).await
    }

    /// Cancels the open entries at an account if trading is stopped: a crash, or a rebuilt actor, may have come between
    /// the halt and that.
    async fn cancel_if_halted(&mut self, connection: ConnectionId) -> Result<(), ActorProcessingErr> {
        for id in self.book.open_entries() {
            let Some(order) = self.book.order(id).filter(|order| order.ticket.connection == connection)
            else {
                continue;
            };
            if let Some(denial) = self.pass(&order.ticket, |halted| halted) {
                Box::pin(self.cancel(id, denial.message)).await?;
            }
        }
        Ok(())
    }

    /// Takes note of what an event asks to be looked at.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most events concern no position")]
    fn note(&mut self, event: &Event) {
        match event {
            Event::OrderMoved { order, step, .. } => {
                let Some(order) = self.book.order(*order) else { return };
                let (id, key) = (order.ticket.id, order.key());
                self.due.insert(key);
                self.watch.moved(order, step, self.lines.shared.clock.now());
                if order.ticket.purpose.is_protection() && step.is_refusal() {
                    tracing::error!(order = %id, symbol = %key.1, "a protective order was not taken");
                    metrics::counter!("trade_executor_protection_refused_total").increment(1);
                }
            }
            Event::PositionChanged { position, .. } | Event::DriftFound { position, .. } => {
                self.due.insert((position.connection, position.symbol));
            }
            Event::ProtectionChanged { connection, symbol, .. } => {
                self.due.insert((*connection, *symbol));
            }
            _ => {}
        }
    }

    async fn step(
        &mut self,
        order: ClientOrderId,
        step: OrderStep,
        stages: Stages,
    ) -> Result<(), ActorProcessingErr> {
        let legal = self.book.order(order).is_some_and(|order| order.status.after(&step, false).is_ok());
        if !legal {
            tracing::debug!(%order, ?step, "a step came too late");
            return Ok(());
        }
        self.record(vec![Event::OrderMoved { order, step, stages }]).await
    }

    /// Commits facts about orders that exist, applies them, and tells the kin.
    async fn record(&mut self, events: Vec<Event>) -> Result<(), ActorProcessingErr> {
        let queue = |state: &Self, facts| Ok(state.lines.shared.ledger.commit(facts));
        self.record_by(events, queue).await.map(|_: Option<Denial>| ())
    }

    /// Commits facts that send an order, unless a kill switch stops it: then nothing is recorded, and the denial is
    /// returned. The log has them ahead of a halt, or does not have them.
    async fn record_passing(
        &mut self,
        ticket: &Ticket,
        events: Vec<Event>,
    ) -> Result<Option<Denial>, ActorProcessingErr> {
        let queue = |state: &Self, facts| {
            state.pass(ticket, |halted| match halted {
                None => Ok(state.lines.shared.ledger.commit(facts)),
                Some(denial) => Err(denial),
            })
        };
        self.record_by(events, queue).await
    }

    async fn record_by<C>(
        &mut self,
        events: Vec<Event>,
        queue: impl Fn(&Self, Vec<Fact>) -> Result<C, Denial>,
    ) -> Result<Option<Denial>, ActorProcessingErr>
    where
        C: Future<Output = Result<Receipt, CommitError>>,
    {
        if events.is_empty() {
            return Ok(None);
        }
        fault::point("execution.record");
        let events: Vec<_> = events.into_iter().map(Arc::new).collect();
        let receipt = loop {
            let facts =
                events.iter().map(|event| Fact::new(Some(self.lines.id), Arc::clone(event))).collect();
            let committed = match queue(self, facts) {
                Ok(committed) => committed,
                Err(denial) => return Ok(Some(denial)),
            };
            match committed.await {
                Ok(receipt) => break receipt,
                // It happened and has to be recorded: nothing else is decided for this user until there is room.
                Err(CommitError::Full) => tokio::time::sleep(Duration::from_millis(200)).await,
                // This actor falls, and comes back with what the log holds and the broker says.
                Err(error @ CommitError::Down(_)) => return Err(error.into()),
            }
        };
        fault::point("execution.recorded");
        for event in &events {
            self.book.apply(event, receipt.at, None);
            self.note(event);
            if let Event::OrderMoved { order, .. } = &**event
                && let Some(order) = self.book.order(*order)
            {
                metrics::counter!(
                    "trade_executor_orders_total",
                    "broker" => order.broker.clone(),
                    "type" => order.ticket.kind.as_str(),
                    "state" => book::state_name(order.status)
                )
                .increment(1);
                if order.status == OrderStatus::Filled {
                    self.lines.shared.meters.finished(&order.stages);
                }
            }
        }
        self.book.tidy();
        self.tell(events);
        Ok(None)
    }

    fn send(&mut self, mut ticket: Ticket) {
        fault::point("execution.send");
        self.sent.insert(ticket.id, self.lines.shared.clock.stamp());
        if fault::is_off("same_id") {
            ticket.id = ClientOrderId::new(uuid::Uuid::now_v7());
        }
        self.tell_broker(ticket.connection, ConnectionMsg::Submit(Box::new(ticket)));
    }

    fn look_up(&self, order: ClientOrderId) {
        if let Some(order) = self.book.order(order) {
            self.tell_broker(order.ticket.connection, ConnectionMsg::LookUp(Box::new(Placed::of(order))));
        }
    }

    fn tell_broker(&self, connection: ConnectionId, msg: ConnectionMsg) {
        // A connection that restarts looks every open order up when it is back.
        let told = self.connections.get(&connection).map(|account| account.actor.cast(msg));
        if !matches!(told, Some(Ok(()))) {
            tracing::debug!(%connection, "the broker connection is restarting");
        }
    }

    fn tell(&self, events: Vec<Arc<Event>>) {
        let events: Arc<[Arc<Event>]> = events.into();
        self.lines.risk.tell(RiskMsg::Facts(Arc::clone(&events)));
        if self.lines.user.cast(UserMsg::Facts(events)).is_err() {
            tracing::debug!("the user's actor is restarting");
        }
    }

    fn settle(&self, arrival: &Arrival, result: Result<u64, Refused>) {
        let settled = RouterMsg::Settled(arrival.signal.id, self.lines.id, result);
        if self.lines.router.cast(settled).is_err() {
            tracing::debug!("the router is restarting; it resumes from the log");
        }
    }
}

fn count(origin: Origin, denied: Option<DenialCode>) {
    let outcome = if denied.is_some() { "denied" } else { "ordered" };
    metrics::counter!("trade_executor_decisions_total", "source" => origin.as_str(), "outcome" => outcome)
        .increment(1);
    if let Some(code) = denied {
        metrics::counter!("trade_executor_denials_total", "code" => code.as_str()).increment(1);
    }
}
