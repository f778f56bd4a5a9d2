//! From a source to its followers: recognises repeats, bounds what is under way, wakes and passivates users.

mod in_flight;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::task::JoinSet;

use crate::arrival::{Arrival, Delivered, Delivery, Opening, Refused};
use crate::domain::event::{Event, Fact};
use crate::domain::feed::SignalEntry;
use crate::domain::ids::{SignalId, UserId};
use crate::domain::restart::{Failures, Verdict};
use crate::domain::signal::Signal;
use crate::engine::Shared;
use crate::fault;
use crate::ports::journal::{CommitError, Journal, Receipt};
use crate::ports::store::StoreError;
use crate::user::{Command, User, UserArgs, UserMsg};
use crate::views::Seen;
use in_flight::{InFlight, Reply, Table};

/// Followers a signal is handed to in one go; other signals pass between two goes.
const CHUNK: usize = 256;

/// What the router is told.
#[derive(Debug)]
pub enum RouterMsg {
    /// A delivery; `Some`: the index knows it as a repeat.
    Deliver(Box<Delivery>, Option<Seen>, RpcReplyPort<Result<Delivered, Refused>>),
    /// A signal for many followers is recorded (or not).
    Recorded(SignalId, Vec<UserId>, Result<Receipt, CommitError>),
    /// Hands a signal to the next followers.
    Dispatch(SignalId),
    /// A follower's verdict is durable (or was refused).
    Settled(SignalId, UserId, Result<u64, Refused>),
    /// A follower recorded the signal ahead of the verdict, which takes longer.
    Acknowledged(SignalId, u64),
    /// A follower's actors were rebuilt: what was under way is handed over again.
    Again(UserId),
    /// A command for one user.
    Command(UserId, Command, RpcReplyPort<Result<(), Refused>>),
    /// Starts a user's actors, if they are not.
    Wake(UserId),
    /// A user's actors have nothing to do.
    Idle(UserId, ActorId),
    /// What a former router, or process, left unfinished.
    Unfinished(Vec<SignalEntry>, Vec<UserId>),
    /// Trading is stopped for everybody: open entries are cancelled.
    HaltAll,
    /// Answers once nothing is under way.
    Drain(RpcReplyPort<()>),
}

/// The actor.
#[derive(Debug)]
pub struct Router;

/// What the router needs.
#[derive(Debug)]
pub struct RouterArgs {
    /// What actors share.
    pub shared: Arc<Shared>,
}

/// What the router holds.
#[derive(Debug)]
pub struct RouterState {
    shared: Arc<Shared>,
    table: Table,
    users: HashMap<UserId, Slot>,
    actors: HashMap<ActorId, UserId>,
    failures: BTreeMap<UserId, Failures>,
    tasks: JoinSet<()>,
    draining: Vec<RpcReplyPort<()>>,
}

/// A user who is awake.
#[derive(Debug)]
struct Slot {
    actor: ActorRef<UserMsg>,
    unsettled: Vec<SignalId>,
}

impl Actor for Router {
    type Msg = RouterMsg;
    type State = RouterState;
    type Arguments = RouterArgs;

    async fn pre_start(
        &self,
        me: ActorRef<RouterMsg>,
        args: RouterArgs,
    ) -> Result<RouterState, ActorProcessingErr> {
        let mut tasks = JoinSet::new();
        tasks.spawn(find_unfinished(Arc::clone(&args.shared), me));
        Ok(RouterState {
            shared: args.shared,
            table: Table::default(),
            users: HashMap::new(),
            actors: HashMap::new(),
            failures: BTreeMap::new(),
            tasks,
            draining: Vec::new(),
        })
    }

    async fn handle(
        &self,
        me: ActorRef<RouterMsg>,
        msg: RouterMsg,
        state: &mut RouterState,
    ) -> Result<(), ActorProcessingErr> {
        fault::point("router");
        match msg {
            RouterMsg::Deliver(delivery, known, reply) => state.deliver(&me, *delivery, known, reply).await?,
            RouterMsg::Recorded(signal, followers, result) => state.recorded(&me, signal, followers, result),
            RouterMsg::Dispatch(signal) => state.dispatch(&me, signal).await?,
            RouterMsg::Settled(signal, user, result) => state.settled(signal, user, result),
            RouterMsg::Acknowledged(signal, seq) => state.table.acknowledged_early(signal, seq),
            RouterMsg::Again(user) => state.again(user)?,
            RouterMsg::Command(user, command, reply) => {
                let actor = state.wake(&me, user).await?;
                if actor.cast(UserMsg::Command(command, reply)).is_err() {
                    tracing::warn!(%user, "a command was lost: the user's actor is restarting");
                }
            }
            RouterMsg::Wake(user) => {
                state.wake(&me, user).await?;
            }
            RouterMsg::Idle(user, actor) => state.passivate(user, actor),
            RouterMsg::Unfinished(signals, users) => state.resume(&me, signals, users).await?,
            RouterMsg::HaltAll => {
                for slot in state.slots() {
                    if slot.actor.cast(UserMsg::HaltedByOperator).is_err() {
                        tracing::debug!("a stopping user needs no halt");
                    }
                }
            }
            RouterMsg::Drain(reply) => state.draining.push(reply),
        }
        while state.tasks.try_join_next().is_some() {}
        state.finish_draining();
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<RouterMsg>,
        event: SupervisionEvent,
        state: &mut RouterState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                if let Some(user) = state.actors.remove(&cell.get_id()) {
                    state.user_failed(&me, user, &error.to_string()).await?;
                }
            }
            SupervisionEvent::ActorTerminated(cell, ..) => {
                state.actors.remove(&cell.get_id());
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

/// Reads what a former router left: signals not decided for all followers, users with open orders or positions.
async fn find_unfinished(shared: Arc<Shared>, router: ActorRef<RouterMsg>) {
    // Facts that a former router's users sent may still be on their way into the log.
    while let Err(error) = shared.ledger.commit(Vec::new()).await {
        tracing::error!(%error, "waiting for the ledger");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    loop {
        let read = match shared.views.settled().await {
            Ok(()) => shared.views.undecided().and_then(|signals| Ok((signals, shared.views.busy_users()?))),
            Err(error) => Err(error),
        };
        match read {
            Ok((signals, users)) => {
                if router.cast(RouterMsg::Unfinished(signals, users)).is_err() {
                    tracing::debug!("the router stopped while it was starting");
                }
                return;
            }
            Err(error) => tracing::error!(%error, "the index cannot be read; trying again"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

impl RouterState {
    async fn deliver(
        &mut self,
        me: &ActorRef<RouterMsg>,
        delivery: Delivery,
        known: Option<Seen>,
        reply: Reply,
    ) -> Result<(), ActorProcessingErr> {
        fault::point("router.deliver");
        let (source, key, at) = (delivery.source, delivery.key, delivery.received_at);
        let repeated = self.table.repeat(source, key, at).or(known.map(|seen| seen.signal));
        if let Some(signal) = repeated {
            let fact =
                Fact::by(Some(delivery.owner), Event::SignalRepeated { signal, source }, &delivery.caller);
            self.in_background(vec![fact]);
            self.table.join(signal, reply);
            return Ok(());
        }
        if let Err(refused) = self.admit(&delivery) {
            answer(reply, Err(refused));
            return Ok(());
        }
        let follower = match self.shared.views.sole_follower(source) {
            Ok(follower) => follower,
            Err(error) => {
                tracing::error!(%error, "a source's followers cannot be read");
                answer(reply, Err(Refused::Unavailable));
                return Ok(());
            }
        };
        let signal = Signal {
            id: SignalId::new(uuid::Uuid::now_v7()),
            source,
            origin: delivery.origin,
            received_at: at,
            delivery: key,
            instruction: delivery.instruction,
        };
        let id = signal.id;
        let opening = Opening {
            owner: delivery.owner,
            recipients: 1,
            excerpt: delivery.excerpt,
            caller: delivery.caller,
        };
        if follower == Some(opening.owner) {
            let owner = opening.owner;
            let arrival = Arc::new(Arrival { signal, received: delivery.received, opening: Some(opening) });
            self.table.begin(InFlight::single(Arc::clone(&arrival), owner, reply));
            self.hand_over(me, owner, arrival).await?;
        } else {
            let arrival =
                Arc::new(Arrival { signal: signal.clone(), received: delivery.received, opening: None });
            self.table.begin(InFlight::fan_out(arrival, reply));
            self.tasks.spawn(record(Arc::clone(&self.shared), signal, opening, me.clone()));
        }
        self.shared.meters.in_flight(self.table.len());
        debug_assert!(self.table.contains(id));
        Ok(())
    }

    /// Refuses new work where it enters when too much is under way: mailboxes have no bound.
    fn admit(&self, delivery: &Delivery) -> Result<(), Refused> {
        let progress = self.shared.views.progress();
        let lag = progress.committed().saturating_sub(progress.applied());
        if progress.is_full(self.shared.clock.stamp()) {
            return Err(Refused::DiskFull);
        }
        let admission = &self.shared.admission;
        if self.table.len() >= admission.process || lag >= admission.index_lag {
            return Err(Refused::Overloaded);
        }
        let under_way = self.users.get(&delivery.owner).map_or(0, |slot| slot.unsettled.len());
        if under_way >= admission.user { Err(Refused::UserBusy) } else { Ok(()) }
    }

    fn recorded(
        &mut self,
        me: &ActorRef<RouterMsg>,
        signal: SignalId,
        followers: Vec<UserId>,
        result: Result<Receipt, CommitError>,
    ) {
        match result {
            Ok(receipt) => {
                self.table.acknowledge(signal, receipt.last);
                if followers.is_empty() {
                    self.table.finish(signal);
                } else {
                    self.table.expect(signal, followers);
                    tell(me, RouterMsg::Dispatch(signal));
                }
            }
            Err(error) => {
                let refused = match error {
                    CommitError::Full => Refused::DiskFull,
                    CommitError::Down(_) => Refused::Unanswered,
                };
                self.table.abandon(signal, refused);
            }
        }
    }

    async fn dispatch(
        &mut self,
        me: &ActorRef<RouterMsg>,
        signal: SignalId,
    ) -> Result<(), ActorProcessingErr> {
        let Some((arrival, chunk, more)) = self.table.next_chunk(signal, CHUNK) else { return Ok(()) };
        for user in chunk {
            self.hand_over(me, user, Arc::clone(&arrival)).await?;
        }
        if more {
            tell(me, RouterMsg::Dispatch(signal));
        }
        Ok(())
    }

    async fn hand_over(
        &mut self,
        me: &ActorRef<RouterMsg>,
        user: UserId,
        arrival: Arc<Arrival>,
    ) -> Result<(), ActorProcessingErr> {
        let actor = self.wake(me, user).await?;
        if let Some(slot) = self.users.get_mut(&user) {
            slot.unsettled.push(arrival.signal.id);
        }
        if actor.cast(UserMsg::Signal(arrival, false)).is_err() {
            tracing::debug!(%user, "the user's actor is restarting; the signal is handed over again then");
        }
        Ok(())
    }

    fn settled(&mut self, signal: SignalId, user: UserId, result: Result<u64, Refused>) {
        if let Some(slot) = self.users.get_mut(&user)
            && let Some(at) = slot.unsettled.iter().position(|id| *id == signal)
        {
            slot.unsettled.swap_remove(at);
        }
        self.table.settle(signal, user, result);
        self.table.forget_old(self.shared.clock.now(), self.shared.views.progress().applied());
        self.shared.meters.in_flight(self.table.len());
    }

    fn again(&mut self, user: UserId) -> Result<(), StoreError> {
        let Some(slot) = self.users.get(&user) else { return Ok(()) };
        for signal in &slot.unsettled {
            // It may have been recorded just before what came after it failed.
            if let Some(entry) = self.shared.views.signal(*signal)? {
                self.table.acknowledged_early(*signal, entry.seq);
            }
            if let Some(arrival) = self.table.arrival(*signal)
                && slot.actor.cast(UserMsg::Signal(arrival, true)).is_err()
            {
                tracing::debug!(%user, "the user's actor is restarting once more");
            }
        }
        Ok(())
    }

    async fn wake(
        &mut self,
        me: &ActorRef<RouterMsg>,
        user: UserId,
    ) -> Result<ActorRef<UserMsg>, ActorProcessingErr> {
        if let Some(slot) = self.users.get(&user) {
            return Ok(slot.actor.clone());
        }
        self.start(me, user, false, Vec::new()).await
    }

    async fn start(
        &mut self,
        me: &ActorRef<RouterMsg>,
        user: UserId,
        after_failure: bool,
        unsettled: Vec<SignalId>,
    ) -> Result<ActorRef<UserMsg>, ActorProcessingErr> {
        let args = UserArgs { id: user, shared: Arc::clone(&self.shared), router: me.clone(), after_failure };
        let (actor, _) = Actor::spawn_linked(None, User, args, me.get_cell()).await?;
        self.actors.insert(actor.get_id(), user);
        self.users.insert(user, Slot { actor: actor.clone(), unsettled });
        self.gauge();
        Ok(actor)
    }

    fn passivate(&mut self, user: UserId, actor: ActorId) {
        let idle = self.users.get(&user).is_some_and(|slot| {
            // Another actor of the same user may have taken over since.
            slot.unsettled.is_empty() && slot.actor.get_id() == actor
        });
        if idle && let Some(slot) = self.users.remove(&user) {
            slot.actor.stop(None);
            self.gauge();
        }
    }

    async fn user_failed(
        &mut self,
        me: &ActorRef<RouterMsg>,
        user: UserId,
        why: &str,
    ) -> Result<(), ActorProcessingErr> {
        tracing::error!(user.id = %user, why, "a user's actor failed");
        metrics::counter!("trade_executor_actor_restarts_total", "actor" => "user").increment(1);
        let unsettled = self.users.remove(&user).map(|slot| slot.unsettled).unwrap_or_default();
        let failures = self.failures.entry(user).or_default();
        if failures.count(self.shared.clock.stamp()) == Verdict::Suspend {
            failures.clear();
            tracing::error!(user.id = %user, "suspended after repeated failures");
            let reason = "its actors failed three times within a minute".to_owned();
            let fact = Fact::new(Some(user), Event::UserSuspended { reason });
            // Awaited, so that the user's next life begins suspended.
            if let Err(error) = self.shared.ledger.commit(vec![fact]).await {
                tracing::error!(%error, "the suspension was not recorded");
            }
        }
        self.start(me, user, true, unsettled).await?;
        Ok(())
    }

    async fn resume(
        &mut self,
        me: &ActorRef<RouterMsg>,
        signals: Vec<SignalEntry>,
        users: Vec<UserId>,
    ) -> Result<(), ActorProcessingErr> {
        if !signals.is_empty() || !users.is_empty() {
            tracing::info!(signals = signals.len(), users = users.len(), "resuming what was unfinished");
        }
        for user in users {
            self.wake(me, user).await?;
        }
        for entry in signals {
            let id = entry.signal.id;
            if self.table.contains(id) {
                continue;
            }
            let followers = self.shared.views.followers(entry.signal.source, None, usize::MAX)?;
            let received = self.shared.clock.stamp();
            let arrival = Arc::new(Arrival { signal: entry.signal, received, opening: None });
            self.table.begin(InFlight::resumed(Arc::clone(&arrival)));
            self.table.expect(id, followers);
            // A follower who is decided already says so; the others decide now, or find the signal too old.
            tell(me, RouterMsg::Dispatch(id));
        }
        Ok(())
    }

    fn in_background(&mut self, facts: Vec<Fact>) {
        let commit = self.shared.ledger.commit(facts);
        self.tasks.spawn(async move {
            if let Err(error) = commit.await {
                tracing::warn!(%error, "a repeat was not recorded");
            }
        });
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.users.values()
    }

    fn finish_draining(&mut self) {
        if self.table.is_empty() {
            for reply in self.draining.drain(..) {
                if reply.send(()).is_err() {
                    tracing::debug!("nobody waited for the end of draining");
                }
            }
        }
    }

    fn gauge(&self) {
        let awake = u32::try_from(self.users.len()).unwrap_or(u32::MAX);
        metrics::gauge!("trade_executor_users_awake").set(f64::from(awake));
    }
}

/// Records a signal for many followers ahead of their verdicts.
async fn record(shared: Arc<Shared>, signal: Signal, mut opening: Opening, router: ActorRef<RouterMsg>) {
    let (views, source) = (shared.views.clone(), signal.source);
    let followers = tokio::task::spawn_blocking(move || views.followers(source, None, usize::MAX)).await;
    let followers = match followers {
        Ok(Ok(followers)) => followers,
        Ok(Err(error)) => {
            tracing::error!(%error, "the followers cannot be read");
            tell(
                &router,
                RouterMsg::Recorded(signal.id, Vec::new(), Err(CommitError::Down(error.to_string()))),
            );
            return;
        }
        Err(error) => {
            tell(
                &router,
                RouterMsg::Recorded(signal.id, Vec::new(), Err(CommitError::Down(error.to_string()))),
            );
            return;
        }
    };
    opening.recipients = u32::try_from(followers.len()).unwrap_or(u32::MAX);
    let result = shared.ledger.commit(vec![opening.fact(&signal)]).await;
    tell(&router, RouterMsg::Recorded(signal.id, followers, result));
}

fn tell(router: &ActorRef<RouterMsg>, msg: RouterMsg) {
    if router.cast(msg).is_err() {
        tracing::debug!("the router is restarting; it resumes from the log");
    }
}

fn answer(reply: Reply, result: Result<Delivered, Refused>) {
    if reply.send(result).is_err() {
        tracing::debug!("the sender did not wait for the answer");
    }
}
