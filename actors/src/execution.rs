//! Orders: commits every verdict before anything is done, sends what was approved, follows it to its end.

mod book;
pub mod breach;
mod draft;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::arrival::{Arrival, Refused};
use crate::broker_connection::ConnectionMsg;
use crate::domain::event::{Event, Fact};
use crate::domain::execution::{Found, Search, reported, resend_after};
use crate::domain::ids::{ClientOrderId, ConnectionId};
use crate::domain::intent::Intent;
use crate::domain::order::{Mode, Order, OrderStatus, OrderStep, Ticket};
use crate::domain::portfolio::Balance;
use crate::domain::report::OrderReport;
use crate::domain::risk::{Approved, Denial, DenialCode};
use crate::domain::signal::Origin;
use crate::domain::stages::{Stages, Stamp};
use crate::domain::user::UserState;
use crate::fault;
use crate::ports::broker::BrokerError;
use crate::ports::journal::{CommitError, Journal, Receipt};
use crate::risk::RiskMsg;
use crate::router::RouterMsg;
use crate::user::UserMsg;
use crate::user::lines::Lines;
use book::Book;
use breach::Ruling;
use draft::{Draft, halted};

/// How long after a failed cancel the order's state is asked for.
const CANCEL_AGAIN: Duration = Duration::from_secs(1);

/// Risk's word on a signal.
#[derive(Debug)]
pub struct Verdict {
    /// Approved, or denied with what was asked for.
    pub outcome: Result<Approved, (Denial, Box<Intent>)>,
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
}

/// A broker account whose session is open.
#[derive(Debug)]
pub struct Connected {
    /// Which account.
    pub connection: ConnectionId,
    /// Who talks to it.
    pub actor: ActorRef<ConnectionMsg>,
    /// Whether a look-up that finds nothing proves that the broker has nothing.
    pub shows_at_once: bool,
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
        })
    }

    async fn handle(
        &self,
        me: ActorRef<ExecutionMsg>,
        msg: ExecutionMsg,
        state: &mut ExecutionState,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            ExecutionMsg::Decided(arrival, verdict, again) => {
                Box::pin(state.decided(&arrival, *verdict, again)).await
            }
            ExecutionMsg::Connected(account) => Box::pin(state.connected(account)).await,
            ExecutionMsg::Answered(answer) => Box::pin(state.answered(&me, *answer)).await,
            ExecutionMsg::Reported(report) => Box::pin(state.report(&report, Stages::default())).await,
            ExecutionMsg::LookedUp(order, result) => Box::pin(state.looked_up(&me, order, result)).await,
            ExecutionMsg::LookUp(order) => {
                state.look_up(order);
                Ok(())
            }
            ExecutionMsg::SendAgain(order) => Box::pin(state.send_again(order)).await,
            ExecutionMsg::Cancel(order, reason) => Box::pin(state.cancel(order, reason)).await,
            ExecutionMsg::CancelEntries(reason, done) => {
                for order in state.book.open_entries() {
                    Box::pin(state.cancel(order, reason.clone())).await?;
                }
                if done.is_some_and(|done| done.send(()).is_err()) {
                    tracing::debug!("nobody waited until the open entries were cancelled");
                }
                Ok(())
            }
            ExecutionMsg::Ruled(ruling) => Box::pin(state.ruled(*ruling)).await,
            ExecutionMsg::CancelFailed(order, error) => {
                // It may be done already, or gone: the broker's own word decides.
                tracing::warn!(%order, %error, "the cancel was not taken; asking for the order's state");
                me.send_after(CANCEL_AGAIN, move || ExecutionMsg::LookUp(order));
                Ok(())
            }
        }
    }
}

impl ExecutionState {
    async fn decided(
        &mut self,
        arrival: &Arrival,
        verdict: Verdict,
        again: bool,
    ) -> Result<(), ActorProcessingErr> {
        fault::point("execution.decided");
        let Verdict { outcome, broker, mode, decided } = verdict;
        let (intent, denial) = match outcome {
            Ok(approved) => (approved.into_intent(), None),
            Err((denial, intent)) => (*intent, Some(denial)),
        };
        let id = intent.ticket.id;
        if self.book.knows(id) || (again && self.lines.shared.views.order(id)?.is_some()) {
            self.settle(arrival, Ok(self.lines.shared.views.progress().committed()));
            return Ok(());
        }
        let stages = Stages { received: Some(arrival.received), decided: Some(decided), ..Stages::default() };
        let draft = Draft { intent, denial, broker, mode, stages };
        let (event, receipt) = match self.commit_once(arrival, &draft).await {
            Ok(committed) => committed,
            Err(CommitError::Full) => {
                self.lines.risk.tell(RiskMsg::Release(id));
                self.settle(arrival, Err(Refused::DiskFull));
                return Ok(());
            }
            Err(error @ CommitError::Down(_)) => return Err(error.into()),
        };
        fault::point("execution.committed");
        let committed = self.lines.shared.clock.stamp();
        self.settle(arrival, Ok(receipt.last));
        let denied = if let Event::OrderDenied { denial, .. } = &*event { Some(denial.code) } else { None };
        count(arrival.signal.origin, denied);
        self.book.apply(&event, receipt.at, Some(committed));
        self.tell(vec![event]);
        if denied.is_none() {
            self.send(draft.intent.ticket);
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

    /// Commits the verdict on a new order exactly once, even when the ledger fails on the way.
    ///
    /// After a lost answer the log itself is asked whether it holds the order, before anything is tried again.
    async fn commit_once(
        &self,
        arrival: &Arrival,
        draft: &Draft,
    ) -> Result<(Arc<Event>, Receipt), CommitError> {
        let (shared, order) = (&self.lines.shared, draft.intent.ticket.id);
        for _ in 0..50 {
            let (event, commit) = self.pass(&draft.intent.ticket, |halted| {
                let event = Arc::new(draft.event(halted));
                let fact = Fact::new(Some(self.lines.id), Arc::clone(&event));
                let facts = arrival.opening_fact().into_iter().chain([fact]).collect();
                (event, shared.ledger.commit(facts))
            });
            match commit.await {
                Ok(receipt) => return Ok((event, receipt)),
                Err(CommitError::Full) => return Err(CommitError::Full),
                Err(CommitError::Down(why)) => {
                    tracing::warn!(%order, why, "the ledger did not answer; asking the log")
                }
            }
            while shared.ledger.commit(Vec::new()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let settled = shared.views.settled().await.and_then(|()| shared.views.order(order));
            match settled {
                Ok(Some(found)) => {
                    let seq = found.history.first().map_or(0, |line| line.seq);
                    return Ok((event, Receipt { first: seq, last: seq, at: found.created_at }));
                }
                Ok(None) => {}
                Err(error) => return Err(CommitError::Down(error.to_string())),
            }
        }
        Err(CommitError::Down("the ledger failed again and again".to_owned()))
    }

    async fn connected(&mut self, account: Box<Connected>) -> Result<(), ActorProcessingErr> {
        let (connection, balance) = (account.connection, account.balance);
        self.connections.insert(connection, account);
        // What was sent while nobody could hear the answer, or was never sent at all, is found out now.
        for order in self.book.open_at(connection) {
            self.look_up(order);
        }
        if self.book.balance(connection).is_none_or(|known| known.cash != balance.cash) {
            self.record(vec![Event::BalanceSeen { connection, balance }]).await?;
        }
        Ok(())
    }

    async fn answered(
        &mut self,
        me: &ActorRef<ExecutionMsg>,
        answer: Answer,
    ) -> Result<(), ActorProcessingErr> {
        fault::point("execution.answered");
        let Answer { order, sent, acknowledged, result } = answer;
        let committed = self.book.committed(order);
        let mut stages =
            Stages { committed, sent: Some(sent), acknowledged: Some(acknowledged), ..Stages::default() };
        match result {
            Ok(report) => {
                self.attempts.remove(&order);
                if !report.fills.is_empty() {
                    stages.filled = Some(acknowledged);
                }
                self.report(&report, stages).await?;
                self.pursue_cancel(order);
                Ok(())
            }
            Err(BrokerError::NotReceived { .. }) if self.is_canceling(order) => self.never_sent(order).await,
            Err(BrokerError::NotReceived { retry_after }) => {
                let attempts = self.attempts.entry(order).or_default();
                let pause = resend_after(*attempts).and_then(|pause| pause.to_std().ok());
                *attempts += 1;
                let Some(pause) = pause else {
                    self.attempts.remove(&order);
                    let broker = self.book.order(order).map_or("the broker", |order| order.broker.as_str());
                    let reason = format!("{broker} temporarily unavailable. Order not submitted.");
                    return self.step(order, OrderStep::Failed { reason }, stages).await;
                };
                me.send_after(pause.max(retry_after), move || ExecutionMsg::SendAgain(order));
                Ok(())
            }
            Err(BrokerError::Refused(refusal)) => {
                self.attempts.remove(&order);
                let (code, reason) = (refusal.code.as_str().to_owned(), refusal.message);
                self.step(order, OrderStep::Rejected { code, reason }, stages).await
            }
            Err(BrokerError::Unknown(reason)) => {
                self.step(order, OrderStep::OutcomeLost { reason }, stages).await?;
                self.searches.entry(order).or_insert_with(|| Search::new(self.lines.shared.clock.now()));
                me.send_after(Duration::from_secs(1), move || ExecutionMsg::LookUp(order));
                Ok(())
            }
        }
    }

    async fn looked_up(
        &mut self,
        me: &ActorRef<ExecutionMsg>,
        id: ClientOrderId,
        result: Result<Option<Box<OrderReport>>, BrokerError>,
    ) -> Result<(), ActorProcessingErr> {
        let Some(order) = self.book.order(id) else { return Ok(()) };
        if let Ok(Some(report)) = result {
            self.searches.remove(&id);
            self.report(&report, Stages::default()).await?;
            self.pursue_cancel(id);
            return Ok(());
        }
        if !matches!(order.status, OrderStatus::Pending | OrderStatus::Unknown | OrderStatus::PendingCancel) {
            return Ok(());
        }
        let now = self.lines.shared.clock.now();
        let proof =
            self.connections.get(&order.ticket.connection).is_some_and(|account| account.shows_at_once);
        let search = self.searches.entry(id).or_insert_with(|| Search::new(order.created_at));
        match search.unseen(result.is_ok(), proof, now) {
            Found::AskAgain(pause) => {
                let pause = pause.to_std().unwrap_or(Duration::from_secs(1));
                me.send_after(pause, move || ExecutionMsg::LookUp(id));
                Ok(())
            }
            Found::NeverSeen => {
                self.searches.remove(&id);
                self.never_seen(id).await
            }
        }
    }

    /// The broker never had the order: it is sent while its signal is fresh, else it expires (`DESIGN` 4.4).
    async fn never_seen(&mut self, id: ClientOrderId) -> Result<(), ActorProcessingErr> {
        if self.is_canceling(id) {
            return self.never_sent(id).await;
        }
        let Some(order) = self.book.order(id) else { return Ok(()) };
        let age = self.lines.shared.clock.now() - order.created_at;
        let limit_s = i64::from(self.book.user().limits.signal_max_age_s);
        if age.num_seconds() <= limit_s {
            return self.send_again(id).await;
        }
        self.expire(id, &format!("its signal is {} s old", age.num_seconds())).await
    }

    /// Sends an order that the broker does not have, unless it is no longer wanted.
    async fn send_again(&mut self, id: ClientOrderId) -> Result<(), ActorProcessingErr> {
        if self.is_canceling(id) {
            return self.never_sent(id).await;
        }
        let unsent = |order: &&Order| matches!(order.status, OrderStatus::Pending | OrderStatus::Unknown);
        let Some(order) = self.book.order(id).filter(unsent) else { return Ok(()) };
        let ticket = order.ticket.clone();
        match self.pass(&ticket, |halted| halted) {
            Some(denial) => self.expire(id, &denial.message).await,
            None => {
                self.send(ticket);
                Ok(())
            }
        }
    }

    async fn expire(&mut self, id: ClientOrderId, why: &str) -> Result<(), ActorProcessingErr> {
        let reason = format!("The broker never had this order, and it was not sent again: {why}.");
        self.step(id, OrderStep::Expired { reason }, Stages::default()).await
    }

    async fn never_sent(&mut self, id: ClientOrderId) -> Result<(), ActorProcessingErr> {
        let reason = "Cancelled before the broker had it.".to_owned();
        self.step(id, OrderStep::Canceled { reason }, Stages::default()).await
    }

    async fn cancel(&mut self, id: ClientOrderId, reason: String) -> Result<(), ActorProcessingErr> {
        let open = self
            .book
            .order(id)
            .filter(|order| !order.status.is_final() && order.status != OrderStatus::PendingCancel);
        let Some(order) = open else { return Ok(()) };
        let answered = !matches!(order.status, OrderStatus::Pending | OrderStatus::Unknown);
        self.step(id, OrderStep::CancelRequested { reason }, Stages::default()).await?;
        // A cancel must not overtake its order: until the broker has answered for that, the cancel waits.
        if answered {
            self.pursue_cancel(id);
        }
        Ok(())
    }

    fn is_canceling(&self, id: ClientOrderId) -> bool {
        self.book.order(id).is_some_and(|order| order.status == OrderStatus::PendingCancel)
    }

    /// Asks the broker to cancel an order that it has and that is to be cancelled.
    fn pursue_cancel(&self, id: ClientOrderId) {
        if self.is_canceling(id)
            && let Some(order) = self.book.order(id)
        {
            let known_as = order.broker_order.clone();
            self.tell_broker(order.ticket.connection, ConnectionMsg::Cancel(id, known_as));
        }
    }

    /// Takes in what a broker says of an order.
    async fn report(&mut self, report: &OrderReport, stages: Stages) -> Result<(), ActorProcessingErr> {
        let id = report.order;
        if self.book.order(id).is_none() && !self.book.recall(id, &self.lines.shared.views)? {
            tracing::warn!(order = %id, "the broker tells of an order that is not ours");
            return Ok(());
        }
        let Some(order) = self.book.order(id) else { return Ok(()) };
        let ticket = &order.ticket;
        let held = self.book.user().position(ticket.connection, ticket.symbol);
        let balance = self.book.balance(ticket.connection);
        let now = self.lines.shared.clock.now();
        let mut stages = stages;
        if stages.filled.is_none() && !report.fills.is_empty() {
            stages.filled = Some(self.lines.shared.clock.stamp());
        }
        let connection = ticket.connection;
        let events = reported(order, held, balance, report, stages, now);
        // A balance that is recorded reaches Risk with the other facts.
        let recorded = events.iter().any(|event| matches!(event, Event::BalanceSeen { .. }));
        self.record(events).await?;
        if let Some(balance) = report.balance.filter(|_| !recorded) {
            self.lines.risk.tell(RiskMsg::Balance(connection, balance));
        }
        Ok(())
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
        if events.is_empty() {
            return Ok(());
        }
        let events: Vec<_> = events.into_iter().map(Arc::new).collect();
        let receipt = loop {
            let facts =
                events.iter().map(|event| Fact::new(Some(self.lines.id), Arc::clone(event))).collect();
            match self.lines.shared.ledger.commit(facts).await {
                Ok(receipt) => break receipt,
                // It happened and has to be recorded: nothing else is decided for this user until there is room.
                Err(CommitError::Full) => tokio::time::sleep(Duration::from_millis(200)).await,
                // This actor falls, and comes back with what the log holds and the broker says.
                Err(error @ CommitError::Down(_)) => return Err(error.into()),
            }
        };
        for event in &events {
            self.book.apply(event, receipt.at, None);
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
        Ok(())
    }

    fn send(&self, ticket: Ticket) {
        fault::point("execution.send");
        self.tell_broker(ticket.connection, ConnectionMsg::Submit(Box::new(ticket)));
    }

    fn look_up(&self, order: ClientOrderId) {
        if let Some(connection) = self.book.order(order).map(|order| order.ticket.connection) {
            self.tell_broker(connection, ConnectionMsg::LookUp(order));
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
