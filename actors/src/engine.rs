//! The top of the actor tree, and the door through which edges enter it.

mod accounts;
mod venues;

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent, call_t};
use tokio::sync::oneshot;

use crate::arrival::{Delivered, Delivery, Refused};
use crate::domain::event::{Caller, Event, Fact, HaltCause, Scope};
use crate::domain::ids::{ClientOrderId, SourceId, UserId};
use crate::domain::protection::{ProtectionChange, Unfit};
use crate::domain::restart::backoff;
use crate::domain::risk::{Limits, SourceLimits};
use crate::domain::stages::Stamp;
use crate::execution::{Change, Key};
use crate::hub::{Attached, Hub, HubArgs, HubMsg, Place};
use crate::kill_switch::KillSwitch;
use crate::ledger::Ledger;
use crate::ledger::projector::Watched;
use crate::meters::Meters;
use crate::ports::broker::Brokers;
use crate::ports::clock::Clock;
use crate::ports::journal::{CommitError, Journal, Receipt};
use crate::ports::market::Feed;
use crate::quote_feed::{QuoteFeed, QuoteFeedArgs, QuoteFeedMsg};
use crate::router::{Router, RouterArgs, RouterMsg};
use crate::sessions::Sessions;
use crate::user::Command;
use crate::views::Views;

/// Waits for Execution's answer to a command that the user's actor passed on.
async fn answered<T>(answer: oneshot::Receiver<T>) -> Result<T, Refused> {
    let patience = Duration::from_millis(ANSWER_MS);
    tokio::time::timeout(patience, answer).await.ok().and_then(Result::ok).ok_or(Refused::Unanswered)
}

/// How long an edge waits for an answer; TradingView gives up after three seconds.
const ANSWER_MS: u64 = 2_700;

/// Whether the engine takes signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet: it recovers.
    Starting,
    /// It does.
    Ready,
    /// No longer: it stops.
    Draining,
}

/// How much may be under way.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    /// Signals under way altogether; past it, HTTP 503.
    pub process: usize,
    /// Signals under way for one user; past it, HTTP 429.
    pub user: usize,
    /// Records the index may be behind the log; past it, HTTP 503.
    pub index_lag: u64,
}

impl Default for Admission {
    fn default() -> Self {
        Self { process: 16_384, user: 1_024, index_lag: 200_000 }
    }
}

/// What the engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// The ledger.
    pub ledger: Ledger,
    /// The projections.
    pub views: Views,
    /// For whom messages are worth making.
    pub watched: Arc<Watched>,
    /// Opens broker accounts.
    pub brokers: Arc<dyn Brokers>,
    /// Streams of prices, one a venue.
    pub feeds: Vec<Box<dyn Feed>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How much may be under way.
    pub admission: Admission,
    /// After how long without work a user's actors are stopped.
    pub passivate_after: Duration,
    /// How long a broker account cannot be reached before its owner is told.
    pub offline_after: Duration,
}

/// What actors share; fixed for the life of the engine.
#[derive(Debug)]
pub struct Shared {
    /// The ledger.
    pub ledger: Ledger,
    /// The projections.
    pub views: Views,
    /// For whom messages are worth making.
    pub watched: Arc<Watched>,
    /// Opens broker accounts.
    pub brokers: Arc<dyn Brokers>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How much may be under way.
    pub admission: Admission,
    /// After how long without work a user's actors are stopped.
    pub passivate_after: Duration,
    /// How long a broker account cannot be reached before its owner is told.
    pub offline_after: Duration,
    /// Everybody's kill switch.
    pub halt: KillSwitch,
    /// What is measured of every signal.
    pub meters: Meters,
    /// How the sessions of broker accounts are.
    pub sessions: Arc<Sessions>,
    /// The hub as it is now.
    pub hub: Door<HubMsg>,
    /// The price feed as it is now.
    pub quotes: Door<QuoteFeedMsg>,
}

/// A reference that the supervisor replaces after a restart.
#[derive(Debug)]
pub struct Door<M>(RwLock<Option<ActorRef<M>>>);

impl<M> Default for Door<M> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}

impl<M: ractor::Message> Door<M> {
    /// Returns the actor as it is now.
    #[must_use]
    pub fn get(&self) -> Option<ActorRef<M>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a message whose loss the recipient's restart makes good.
    pub fn tell(&self, msg: M) {
        let sent = self.get().map(|actor| actor.cast(msg));
        if !matches!(sent, Some(Ok(()))) {
            tracing::debug!("a message was dropped: its actor is restarting");
        }
    }

    pub(crate) fn set(&self, actor: ActorRef<M>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(actor);
    }
}

/// The engine's door. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    router: Arc<Door<RouterMsg>>,
    top: ActorRef<TopMsg>,
    readiness: Arc<AtomicU8>,
}

impl Engine {
    /// Starts the tree: hub, price feed, router; downstream first. Not ready until [`Engine::ready`].
    ///
    /// # Errors
    /// When an actor cannot start or the projections cannot be read.
    pub async fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts { ledger, views, watched, brokers, feeds, clock, admission, .. } = parts;
        let shared = Arc::new(Shared {
            ledger,
            views,
            watched,
            brokers,
            clock,
            admission,
            passivate_after: parts.passivate_after,
            offline_after: parts.offline_after,
            halt: KillSwitch::default(),
            meters: Meters::default(),
            sessions: Arc::default(),
            hub: Door::default(),
            quotes: Door::default(),
        });
        if let crate::domain::user::Trading::Halted { reason, .. } = shared.views.global_trading()? {
            shared.halt.restore(&reason);
        }
        let router = Arc::new(Door::default());
        let args = TopArgs { shared: Arc::clone(&shared), router: Arc::clone(&router), feeds };
        let (top, _) = Actor::spawn(None, Top, args).await?;
        Ok(Self { shared, router, top, readiness: Arc::new(AtomicU8::new(0)) })
    }

    /// Returns what actors share.
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Returns the projections.
    #[must_use]
    pub fn views(&self) -> &Views {
        &self.shared.views
    }

    /// Returns the clock.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.shared.clock
    }

    /// Returns why trading is stopped for everybody, if it is.
    #[must_use]
    pub fn global_halt(&self) -> Option<Arc<str>> {
        self.shared.halt.reason()
    }

    /// Returns whether signals are taken.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        match self.readiness.load(Ordering::Acquire) {
            0 => Readiness::Starting,
            1 => Readiness::Ready,
            _ => Readiness::Draining,
        }
    }

    /// Takes signals from now on.
    pub fn ready(&self) {
        self.readiness.store(1, Ordering::Release);
    }

    /// Records facts that concern no running order: people, sources, tokens, logins.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn commit(&self, facts: Vec<Fact>) -> Result<Receipt, CommitError> {
        self.shared.ledger.commit(facts).await
    }

    /// Hands a delivery to every follower of its source and returns once it is durable.
    ///
    /// # Errors
    /// See [`Refused`]; the same delivery may be sent again in every case.
    pub async fn deliver(&self, delivery: Delivery) -> Result<Delivered, Refused> {
        self.open()?;
        let (source, key) = (delivery.source, delivery.key);
        let known = self.shared.views.seen(source, key).unwrap_or_default();
        let known = known.filter(|seen| key.repeats(seen.at, delivery.received_at));
        let router = self.router.get().ok_or(Refused::Starting)?;
        let delivery = Box::new(delivery);
        call_t!(router, RouterMsg::Deliver, ANSWER_MS, delivery, known).unwrap_or(Err(Refused::Unanswered))
    }

    /// Asks to cancel a user's order; the outcome is pushed.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn cancel(&self, user: UserId, order: ClientOrderId, reason: String) -> Result<(), Refused> {
        self.command(user, Command::Cancel { order, reason }).await
    }

    /// Changes an order that waits; `false`: it does not wait any more.
    ///
    /// # Errors
    /// See [`Refused`]; whether it was changed is not known then.
    pub async fn amend(&self, user: UserId, order: ClientOrderId, change: Change) -> Result<bool, Refused> {
        let (reply, changed) = oneshot::channel();
        self.command(user, Command::Amend { order, change, reply: reply.into() }).await?;
        answered(changed).await
    }

    /// Changes what protects a position, unless that is not possible.
    ///
    /// # Errors
    /// See [`Refused`]; whether it was changed is not known then.
    pub async fn protect(
        &self,
        user: UserId,
        position: Key,
        change: ProtectionChange,
    ) -> Result<Result<(), Unfit>, Refused> {
        let (reply, changed) = oneshot::channel();
        self.command(user, Command::Protect { position, change, reply: reply.into() }).await?;
        answered(changed).await
    }

    /// Stops (`Some(reason)`) or resumes trading of one user. Stopping cancels the open entries.
    ///
    /// # Errors
    /// See [`Refused`]; then nothing changed.
    pub async fn switch(
        &self,
        user: UserId,
        halt: Option<String>,
        by: String,
        caller: Caller,
    ) -> Result<(), Refused> {
        self.command(user, Command::Switch { halt, by, caller }).await
    }

    /// Stops (`Some(reason)`) or resumes trading for everybody. New orders are refused at once.
    ///
    /// # Errors
    /// See [`CommitError`]; stopping holds in this process even then.
    pub async fn switch_all(
        &self,
        halt: Option<String>,
        by: String,
        caller: Caller,
    ) -> Result<(), CommitError> {
        let Shared { ledger, halt: switch, .. } = &*self.shared;
        let commit = |event| ledger.commit(vec![Fact::by(None, event, &caller)]);
        let mut ended = None;
        let queued = match &halt {
            Some(reason) => {
                let (cause, until) = (HaltCause::Person, None);
                let event =
                    Event::TradingHalted { scope: Scope::Global, by, reason: reason.clone(), cause, until };
                switch.stop(reason, || commit(event))
            }
            None => {
                let resume = || commit(Event::TradingResumed { scope: Scope::Global, by });
                let Some((before, queued)) = switch.resume(resume) else { return Ok(()) };
                ended = before;
                queued
            }
        };
        queued.await?;
        if halt.is_none() {
            switch.resumed(ended.as_ref());
        } else if let Some(router) = self.router.get()
            && router.cast(RouterMsg::HaltAll).is_err()
        {
            tracing::warn!("the router is restarting; it reads the halt when it is back");
        }
        Ok(())
    }

    /// Changes a user's risk limits.
    ///
    /// # Errors
    /// See [`Refused`]; then nothing changed.
    pub async fn set_limits(&self, user: UserId, limits: Limits, caller: Caller) -> Result<(), Refused> {
        self.command(user, Command::SetLimits { limits: Box::new(limits), caller }).await
    }

    /// Limits the signals of one source for a user; `None`: no longer.
    ///
    /// # Errors
    /// See [`Refused`]; then nothing changed.
    pub async fn set_source_limits(
        &self,
        user: UserId,
        source: SourceId,
        limits: Option<SourceLimits>,
        caller: Caller,
    ) -> Result<(), Refused> {
        self.command(user, Command::SetSourceLimits { source, limits, caller }).await
    }

    /// Lifts a suspension, and a halt that losses called for.
    ///
    /// # Errors
    /// See [`Refused`]; then nothing changed.
    pub async fn lift(&self, user: UserId, by: String, caller: Caller) -> Result<(), Refused> {
        self.command(user, Command::Lift { by, caller }).await
    }

    /// Starts a user's actors ahead of their first signal, so that their balance is known.
    pub fn wake(&self, user: UserId) {
        if let Some(router) = self.router.get()
            && router.cast(RouterMsg::Wake(user)).is_err()
        {
            tracing::debug!("the router is restarting; the user is woken by the first signal");
        }
    }

    /// Opens a socket's queue.
    ///
    /// # Errors
    /// When the hub does not answer.
    pub async fn attach(&self, user: UserId, since: Option<u64>) -> Result<Attached, Refused> {
        let hub = self.shared.hub.get().ok_or(Refused::Starting)?;
        let known = self.shared.views.glance(user).ok().flatten();
        if known.as_ref().is_some_and(|user| user.balances.is_empty()) {
            self.wake(user);
        }
        let place = known.as_deref().map_or_else(Place::default, Place::of);
        let answer = hub.call(
            |reply| HubMsg::Attach { user, place, since, reply },
            Some(ractor::concurrency::Duration::from_millis(ANSWER_MS)),
        );
        match answer.await {
            Ok(ractor::rpc::CallResult::Success(attached)) => Ok(attached),
            _ => Err(Refused::Unanswered),
        }
    }

    /// Tells the hub something.
    pub fn hub(&self, msg: HubMsg) {
        self.shared.hub.tell(msg);
    }

    /// Stops taking signals, lets what is under way finish, and stops the tree.
    pub async fn stop(&self) {
        self.readiness.store(2, Ordering::Release);
        if let Some(router) = self.router.get()
            && call_t!(router, RouterMsg::Drain, 10_000).is_err()
        {
            tracing::warn!("not all signals under way were finished; they are resumed at the next start");
        }
        if self.top.stop_and_wait(None, Some(ractor::concurrency::Duration::from_secs(5))).await.is_err() {
            tracing::warn!("the actors did not stop in time");
        }
        let facts = vec![Fact::new(None, Event::EngineStopped)];
        if let Err(error) = self.commit(facts).await {
            tracing::error!(%error, "the stop was not recorded");
        }
        self.shared.ledger.close().await;
    }

    fn open(&self) -> Result<(), Refused> {
        match self.readiness() {
            Readiness::Starting => Err(Refused::Starting),
            Readiness::Draining => Err(Refused::Draining),
            Readiness::Ready => Ok(()),
        }
    }

    async fn command(&self, user: UserId, command: Command) -> Result<(), Refused> {
        self.open()?;
        let router = self.router.get().ok_or(Refused::Starting)?;
        call_t!(router, RouterMsg::Command, ANSWER_MS, user, command).unwrap_or(Err(Refused::Unanswered))
    }
}

/// Why the engine did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An actor did not start.
    #[error("an actor did not start: {0}")]
    Spawn(#[from] ractor::SpawnErr),
    /// The projections cannot be read.
    #[error(transparent)]
    Store(#[from] crate::ports::store::StoreError),
}

/// The supervisor of hub, price feeds and router.
#[derive(Debug)]
struct Top;

#[derive(Debug)]
enum TopMsg {
    Restart(Child),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Child {
    Hub,
    Quotes,
    Router,
}

#[derive(Debug)]
struct TopArgs {
    shared: Arc<Shared>,
    router: Arc<Door<RouterMsg>>,
    feeds: Vec<Box<dyn Feed>>,
}

struct TopState {
    shared: Arc<Shared>,
    router: Arc<Door<RouterMsg>>,
    feeds: crate::quote_feed::Feeds,
    children: Vec<(ractor::ActorId, Child)>,
    failed: Vec<(Child, Stamp)>,
}

impl Actor for Top {
    type Msg = TopMsg;
    type State = TopState;
    type Arguments = TopArgs;

    async fn pre_start(&self, me: ActorRef<TopMsg>, args: TopArgs) -> Result<TopState, ActorProcessingErr> {
        let feeds = crate::quote_feed::Feeds::new(args.feeds);
        let mut state = TopState {
            shared: args.shared,
            router: args.router,
            feeds,
            children: Vec::new(),
            failed: Vec::new(),
        };
        for child in [Child::Hub, Child::Quotes, Child::Router] {
            state.spawn(&me, child).await?;
        }
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<TopMsg>,
        TopMsg::Restart(child): TopMsg,
        state: &mut TopState,
    ) -> Result<(), ActorProcessingErr> {
        if let Err(error) = state.spawn(&me, child).await {
            tracing::error!(%error, ?child, "an actor could not be started; trying again");
            me.send_after(Duration::from_secs(1), move || TopMsg::Restart(child));
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<TopMsg>,
        event: SupervisionEvent,
        state: &mut TopState,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, why) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, error.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, reason) => (cell, reason.unwrap_or_default()),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let Some(at) = state.children.iter().position(|(id, _)| *id == cell.get_id()) else { return Ok(()) };
        let (_, child) = state.children.swap_remove(at);
        tracing::error!(?child, why, "an actor failed and is restarted");
        metrics::counter!("trade_executor_actor_restarts_total", "actor" => child.name()).increment(1);
        me.send_after(state.pause_before(child), move || TopMsg::Restart(child));
        Ok(())
    }
}

impl Child {
    const fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Quotes => "quote_feed",
            Self::Router => "router",
        }
    }
}

impl TopState {
    /// Returns no pause for a first failure, and a growing one for those that follow it within ten seconds.
    fn pause_before(&mut self, child: Child) -> Duration {
        const RECENT_US: u64 = 10_000_000;
        let now = self.shared.clock.stamp();
        self.failed.retain(|(_, at)| now.since(*at) < RECENT_US);
        let before = self.failed.iter().filter(|(failed, _)| *failed == child).count();
        self.failed.push((child, now));
        u32::try_from(before).ok().and_then(|before| before.checked_sub(1)).map_or(Duration::ZERO, backoff)
    }

    async fn spawn(&mut self, me: &ActorRef<TopMsg>, child: Child) -> Result<(), ractor::SpawnErr> {
        let shared = &self.shared;
        let id = match child {
            Child::Hub => {
                let args = HubArgs { watched: Arc::clone(&shared.watched), clock: Arc::clone(&shared.clock) };
                let (hub, _) = Actor::spawn_linked(None, Hub, args, me.get_cell()).await?;
                let id = hub.get_id();
                shared.hub.set(hub);
                id
            }
            Child::Quotes => {
                let args = QuoteFeedArgs { feeds: self.feeds.clone(), shared: Arc::clone(shared) };
                let (feed, _) = Actor::spawn_linked(None, QuoteFeed, args, me.get_cell()).await?;
                let id = feed.get_id();
                shared.quotes.set(feed);
                id
            }
            Child::Router => {
                let args = RouterArgs { shared: Arc::clone(shared) };
                let (router, _) = Actor::spawn_linked(None, Router, args, me.get_cell()).await?;
                let id = router.get_id();
                self.router.set(router);
                id
            }
        };
        self.children.push((id, child));
        Ok(())
    }
}
