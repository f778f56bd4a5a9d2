//! One user: supervises risk, execution, broker connections, positions and portfolio.
//!
//! Woken by the first message, stopped when nothing is open. Whatever fails below is rebuilt from the log.

mod accounts;
mod command;
mod family;
pub mod lines;
mod resuming;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};

use crate::arrival::{Arrival, Refused, acknowledge};
use crate::domain::event::{Event, Fact, HaltCause, Scope};
use crate::domain::ids::{ConnectionId, UserId};
use crate::domain::intent::Intent;
use crate::domain::portfolio::Balance;
use crate::domain::restart::{Failures, Verdict};
use crate::domain::risk::{Denial, DenialCode};
use crate::domain::routing::route;
use crate::domain::signal::{Action, Instruction};
use crate::domain::stages::Stamp;
use crate::domain::user::UserState;
use crate::engine::Shared;
use crate::execution::ExecutionMsg;
use crate::fault;
use crate::ports::journal::{CommitError, Journal};
use crate::risk::RiskMsg;
use crate::router::RouterMsg;
pub use command::Command;
use family::Family;

/// How long signals wait for the broker's session before they are acknowledged ahead of their verdict.
const PATIENCE: Duration = Duration::from_millis(300);

/// What a user's actor is told.
#[derive(Debug)]
pub enum UserMsg {
    /// Read the log's state and start the children.
    Load,
    /// A signal; `true`: it was handed over before and may be decided already.
    Signal(Arc<Arrival>, bool),
    /// A command.
    Command(Command, RpcReplyPort<Result<(), Refused>>),
    /// A broker account is ready.
    Connected(ConnectionId, Balance),
    /// A broker account answered.
    Reached(ConnectionId),
    /// A broker account could not be reached for a while, and why.
    Lost(ConnectionId, String),
    /// Until when a broker account can be traded at, as its broker told; absent: no end is known.
    Runway(ConnectionId, Option<DateTime<Utc>>),
    /// Facts that the children committed.
    Facts(Arc<[Arc<Event>]>),
    /// The broker's session takes longer: acknowledge what waits.
    Impatient,
    /// Start a broker connection again.
    Reconnect(ConnectionId),
    /// Trading is stopped for everybody.
    HaltedByOperator,
    /// Look whether there is anything to do.
    Quiet,
}

/// The actor.
#[derive(Debug)]
pub struct User;

/// What a user's actor needs.
#[derive(Debug)]
pub struct UserArgs {
    /// Who.
    pub id: UserId,
    /// What actors share.
    pub shared: Arc<Shared>,
    /// Who woke it.
    pub router: ActorRef<RouterMsg>,
    /// Whether its former life failed, so that facts may still be on their way into the log.
    pub after_failure: bool,
}

/// What a user's actor holds.
#[derive(Debug)]
pub struct State {
    args: UserArgs,
    phase: Phase,
    waiting: Vec<(Arc<Arrival>, bool)>,
    /// Accounts whose session has been open since this actor started: what can be traded there is known.
    met: Vec<ConnectionId>,
    family: Family,
    failures: Failures,
    busy_at: Stamp,
}

#[derive(Debug)]
enum Phase {
    /// The state is being read.
    Loading,
    /// The default account's session is being opened.
    Connecting(Box<UserState>),
    /// Signals are decided.
    Running(Box<UserState>),
}

impl Phase {
    fn user(&mut self) -> Option<&mut UserState> {
        match self {
            Self::Loading => None,
            Self::Connecting(user) | Self::Running(user) => Some(user),
        }
    }
}

/// Returns whether a signal can be decided: not before the account that it goes to was there once, as what is traded at
/// a broker is known only then.
fn may_decide(user: &UserState, told: &Instruction, met: &[ConnectionId]) -> bool {
    user.suspended.is_some() || route(user, told).map_or(true, |account| met.contains(&account.id))
}

/// Returns whether the account was there once that most signals go to.
fn is_settled(user: &UserState, met: &[ConnectionId]) -> bool {
    user.suspended.is_some() || user.default_connection().is_none_or(|account| met.contains(&account.id))
}

impl Actor for User {
    type Msg = UserMsg;
    type State = State;
    type Arguments = UserArgs;

    async fn pre_start(&self, me: ActorRef<UserMsg>, args: UserArgs) -> Result<State, ActorProcessingErr> {
        me.cast(UserMsg::Load)?;
        me.send_after(args.shared.passivate_after, || UserMsg::Quiet);
        let busy_at = args.shared.clock.stamp();
        let family = Family::new(args.id, Arc::clone(&args.shared), me, args.router.clone());
        let failures = Failures::default();
        let (phase, waiting, met) = (Phase::Loading, Vec::new(), Vec::new());
        Ok(State { args, phase, waiting, met, family, failures, busy_at })
    }

    async fn handle(
        &self,
        me: ActorRef<UserMsg>,
        msg: UserMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        if !matches!(msg, UserMsg::Quiet) {
            state.busy_at = state.args.shared.clock.stamp();
        }
        // Boxed where it is not every signal's way: an actor holds room for its largest future as long as it lives.
        match msg {
            UserMsg::Load => Box::pin(state.load(&me)).await?,
            UserMsg::Signal(arrival, again) => state.signal(arrival, again).await?,
            UserMsg::Command(command, reply) => {
                let result = Box::pin(state.command(command)).await?;
                if reply.send(result).is_err() {
                    tracing::debug!("nobody waited for a command's answer");
                }
            }
            UserMsg::Connected(connection, balance) => {
                state.family.is_back(connection);
                state.family.tell_risk(RiskMsg::Balance(connection, balance));
                if !state.met.contains(&connection) {
                    state.met.push(connection);
                }
                Box::pin(state.run()).await?;
            }
            UserMsg::Reached(connection) => Box::pin(state.reached(connection)).await,
            UserMsg::Runway(connection, until) => Box::pin(state.runway(connection, until)).await,
            UserMsg::Lost(connection, reason) => Box::pin(state.lost(connection, reason)).await,
            UserMsg::Facts(events) => {
                let now = state.args.shared.clock.now();
                if let Some(user) = state.phase.user() {
                    for event in &*events {
                        user.apply(event, now);
                    }
                    Box::pin(state.family.follow(user, &events)).await?;
                }
            }
            UserMsg::Impatient => Box::pin(state.impatient(&me)).await?,
            UserMsg::Reconnect(connection) => {
                if let Some(user) = state.phase.user() {
                    Box::pin(state.family.connect(user, connection)).await?;
                }
            }
            UserMsg::HaltedByOperator => state.family.tell_execution(ExecutionMsg::CancelEntries(
                "trading was halted for everybody".to_owned(),
                None,
            )),
            UserMsg::Quiet => state.look_for_work(&me),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<UserMsg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, why) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, error.to_string()),
            SupervisionEvent::ActorTerminated(..)
            | SupervisionEvent::ActorStarted(_)
            | SupervisionEvent::ProcessGroupChanged(_) => return Ok(()),
        };
        let Some(kin) = state.family.kin(cell.get_id()) else { return Ok(()) };
        tracing::error!(user.id = %state.args.id, actor = kin.name(), why, "an actor failed and is restarted");
        metrics::counter!("trade_executor_actor_restarts_total", "actor" => kin.name()).increment(1);
        if state.failures.count(state.args.shared.clock.stamp()) == Verdict::Suspend {
            state.failures.clear();
            Box::pin(state.suspend(kin.name())).await?;
        }
        match kin {
            family::Kin::Deciding => Box::pin(state.rebuild(&me)).await?,
            family::Kin::Connection(connection) => state.family.reconnect_later(connection),
            family::Kin::Position(..) | family::Kin::Portfolio => {
                if let Some(user) = state.phase.user() {
                    Box::pin(state.family.restart(kin, user)).await?;
                }
            }
        }
        Ok(())
    }
}

impl State {
    /// Reads the user's state. After a failure a barrier goes first: what was sent to the ledger is decided then.
    ///
    /// Log and index are everybody's: while they fail this waits, for it is no failure of this user.
    async fn read(&self, barrier: bool) -> Result<Option<UserState>, ActorProcessingErr> {
        let shared = &self.args.shared;
        while barrier && let Err(error) = shared.ledger.commit(Vec::new()).await {
            tracing::warn!(%error, "waiting for the ledger");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        while let Err(error) = shared.views.settled().await {
            tracing::warn!(%error, "waiting for the index");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(shared.views.user(self.args.id)?)
    }

    async fn load(&mut self, me: &ActorRef<UserMsg>) -> Result<(), ActorProcessingErr> {
        fault::point("user.load");
        let Some(user) = self.read(self.args.after_failure).await? else {
            tracing::error!(user.id = %self.args.id, "a message for a user who does not exist");
            for (arrival, _) in std::mem::take(&mut self.waiting) {
                self.settle(&arrival, Err(Refused::Unanswered));
            }
            me.stop(None);
            return Ok(());
        };
        self.family.start(&user).await?;
        let ready = is_settled(&user, &self.met);
        self.phase = Phase::Connecting(Box::new(user));
        if ready {
            self.run().await?;
        } else {
            self.family.remind(PATIENCE);
        }
        if self.args.after_failure {
            self.tell_router(RouterMsg::Again(self.args.id));
        }
        Ok(())
    }

    /// Risk or Execution failed: both start again on what the log says, and what was under way comes again.
    async fn rebuild(&mut self, me: &ActorRef<UserMsg>) -> Result<(), ActorProcessingErr> {
        self.family.stop_deciding().await;
        let Some(user) = self.read(true).await? else { return Ok(()) };
        self.revive(&user).await?;
        let running = matches!(self.phase, Phase::Running(_));
        self.phase = if running { Phase::Running(Box::new(user)) } else { Phase::Connecting(Box::new(user)) };
        tracing::debug!(actor = ?me.get_id(), "risk and execution are back");
        Ok(())
    }

    /// Starts Risk and Execution on what the log says, and has what was under way come again.
    async fn revive(&mut self, user: &UserState) -> Result<(), ActorProcessingErr> {
        self.family.start_deciding(user).await?;
        for connection in user.connections.iter().map(|connection| connection.id) {
            self.family.resync(connection);
        }
        self.tell_router(RouterMsg::Again(self.args.id));
        Ok(())
    }

    /// Decides what waits, as far as the accounts are there that it goes to.
    async fn run(&mut self) -> Result<(), ActorProcessingErr> {
        let Some(user) = self.phase.user() else { return Ok(()) };
        let settled = is_settled(user, &self.met);
        match std::mem::replace(&mut self.phase, Phase::Loading) {
            Phase::Connecting(user) if settled => self.phase = Phase::Running(user),
            phase @ (Phase::Loading | Phase::Connecting(_) | Phase::Running(_)) => self.phase = phase,
        }
        for (arrival, again) in std::mem::take(&mut self.waiting) {
            self.signal(arrival, again).await?;
        }
        Ok(())
    }

    async fn signal(&mut self, arrival: Arc<Arrival>, again: bool) -> Result<(), ActorProcessingErr> {
        fault::point("user.signal");
        let instruction = &arrival.signal.instruction;
        let known = match &self.phase {
            Phase::Loading => None,
            Phase::Connecting(user) | Phase::Running(user) => Some(user),
        };
        let Some(user) = known.filter(|user| may_decide(user, instruction, &self.met)) else {
            if self.waiting.is_empty() {
                self.family.remind(PATIENCE);
            }
            self.waiting.push((arrival, again));
            return Ok(());
        };
        match user.suspended.as_deref().map(Denial::suspended) {
            None => {
                self.family.tell_risk(RiskMsg::Review(arrival, again));
                Ok(())
            }
            Some(denial) => self.refuse(user, &arrival, denial).await,
        }
    }

    /// Records a denial when there is nobody below who could.
    async fn refuse(
        &self,
        user: &UserState,
        arrival: &Arrival,
        denial: Denial,
    ) -> Result<(), ActorProcessingErr> {
        let intent = Intent::refused(user, &arrival.signal);
        let shared = &self.args.shared;
        if shared.views.is_decided(arrival.signal.id, user.id)? {
            self.settle(arrival, Ok(shared.views.progress().applied()));
            return Ok(());
        }
        let instruction = &arrival.signal.instruction;
        let event = if instruction.action == Action::Modify {
            Event::SignalDenied { signal: arrival.signal.id, symbol: instruction.symbol, denial }
        } else {
            Event::OrderDenied {
                ticket: intent.ticket,
                broker: user
                    .default_connection()
                    .map_or_else(String::new, |connection| connection.broker.clone()),
                mode: crate::domain::order::Mode::Paper,
                denial,
                decision: intent.decision,
                stages: crate::domain::stages::Stages {
                    received: Some(arrival.received),
                    ..Default::default()
                },
            }
        };
        let facts = arrival.opening_fact().into_iter().chain([Fact::new(Some(user.id), event)]).collect();
        let result = shared.ledger.commit(facts).await;
        self.settle(arrival, result.map(|receipt| receipt.last).map_err(refused));
        Ok(())
    }

    /// Looks after the signals that wait while the broker's session is being opened.
    async fn impatient(&mut self, me: &ActorRef<UserMsg>) -> Result<(), ActorProcessingErr> {
        self.acknowledge_waiting().await?;
        self.give_up_waiting().await?;
        if !self.waiting.is_empty() {
            me.send_after(PATIENCE, || UserMsg::Impatient);
        }
        Ok(())
    }

    /// Records signals whose verdict takes longer, so that their senders get their answer in time.
    async fn acknowledge_waiting(&mut self) -> Result<(), ActorProcessingErr> {
        for (arrival, again) in std::mem::take(&mut self.waiting) {
            let kept = acknowledge(arrival, &self.args.shared, &self.args.router).await?;
            self.waiting.extend(kept.map(|arrival| (arrival, again)));
        }
        Ok(())
    }

    /// Refuses the signals that have waited too long for the broker: at any other time their price would be gone.
    async fn give_up_waiting(&mut self) -> Result<(), ActorProcessingErr> {
        let Some(most_s) = self.phase.user().map(|user| i64::from(user.limits.signal_max_age_s)) else {
            return Ok(());
        };
        let now = self.args.shared.clock.now();
        let (late, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(arrival, _)| (now - arrival.signal.received_at).num_seconds() > most_s);
        self.waiting = waiting;
        let Some(user) = self.phase.user().filter(|_| !late.is_empty()).map(|user| user.clone()) else {
            return Ok(());
        };
        for (arrival, _) in late {
            let message = "Broker offline - order not submitted. Nothing was sent; send the signal again if you \
                           still want it.";
            self.refuse(&user, &arrival, Denial::new(DenialCode::BrokerOffline, message)).await?;
        }
        Ok(())
    }

    /// Carries a command out; the outer error is a failure of this actor.
    async fn command(&mut self, command: Command) -> Result<Result<(), Refused>, ActorProcessingErr> {
        let id = self.args.id;
        let (event, caller) = match command {
            Command::Cancel { order, reason } => {
                self.family.tell_execution(ExecutionMsg::Cancel(order, reason));
                return Ok(Ok(()));
            }
            Command::Amend { order, change, reply } => {
                self.family.tell_execution(ExecutionMsg::Amend(order, change, reply));
                return Ok(Ok(()));
            }
            Command::Protect { position, change, reply } => {
                self.family.tell_execution(ExecutionMsg::Protect(position, change, reply));
                return Ok(Ok(()));
            }
            Command::Switch { halt: Some(reason), by, caller } => {
                let (cause, until) = (HaltCause::Person, None);
                (Event::TradingHalted { scope: Scope::User, by, reason, cause, until }, caller)
            }
            Command::Switch { halt: None, by, caller } => return Ok(self.resume(by, caller).await),
            Command::Lift { by, caller } => return Ok(self.lift(by, caller).await),
            Command::SetSourceLimits { source, limits, caller } => {
                (Event::SourceLimitsChanged { source, limits }, caller)
            }
            Command::SetLimits { limits, caller } => (Event::LimitsChanged { limits: *limits }, caller),
            Command::Connect { connection, caller } => return self.connect(*connection, &caller).await,
            Command::Disconnect { connection, caller } => return self.disconnect(connection, &caller).await,
            Command::GoLive { connection, is_on, caller } => {
                return self.go_live(connection, is_on, &caller).await;
            }
            Command::Route { class, connection, caller } => {
                return self.direct(class, connection, &caller).await;
            }
            Command::Choose { connection, caller } => return self.choose(connection, &caller).await,
        };
        let event = Arc::new(event);
        let commit = || self.args.shared.ledger.commit(vec![Fact::by(Some(id), Arc::clone(&event), &caller)]);
        // Stopped before it is durable: stopping must not wait for a disk.
        let queued = if let Event::TradingHalted { reason, .. } = &*event {
            self.family.kill_switch().stop(reason, commit)
        } else {
            commit()
        };
        let receipt = match queued.await {
            Ok(receipt) => receipt,
            Err(error) => return Ok(Err(refused(error))),
        };
        if let Event::TradingHalted { reason, .. } = &*event {
            self.family.cancel_entries(format!("trading was halted: {reason}")).await;
        }
        self.told(vec![event], receipt.at);
        Ok(Ok(()))
    }

    async fn suspend(&mut self, actor: &str) -> Result<(), ActorProcessingErr> {
        tracing::error!(user.id = %self.args.id, "suspended after repeated failures");
        let reason = format!("its {actor} actor failed three times within a minute");
        let event = Event::UserSuspended { reason };
        let fact = Fact::new(Some(self.args.id), event.clone());
        let receipt = self.args.shared.ledger.commit(vec![fact]).await?;
        if let Some(user) = self.phase.user() {
            user.apply(&event, receipt.at);
        }
        Ok(())
    }

    fn look_for_work(&mut self, me: &ActorRef<UserMsg>) {
        if let Some(user) = self.phase.user() {
            self.family.stop_flat(user);
        }
        let shared = &self.args.shared;
        let quiet_us = shared.clock.stamp().since(self.busy_at);
        let quiet = u128::from(quiet_us) >= shared.passivate_after.as_micros();
        let idle = match &self.phase {
            Phase::Running(user) => user.is_idle() && self.waiting.is_empty(),
            Phase::Loading | Phase::Connecting(_) => false,
        };
        if quiet && idle {
            self.tell_router(RouterMsg::Idle(self.args.id, me.get_id()));
        }
        me.send_after(shared.passivate_after, || UserMsg::Quiet);
    }

    fn settle(&self, arrival: &Arrival, result: Result<u64, Refused>) {
        self.tell_router(RouterMsg::Settled(arrival.signal.id, self.args.id, result));
    }

    fn tell_router(&self, msg: RouterMsg) {
        if self.args.router.cast(msg).is_err() {
            tracing::debug!("the router is restarting; it resumes from the log");
        }
    }
}

/// What a sender is told when a commit failed.
#[expect(clippy::needless_pass_by_value, reason = "used as a function value")]
pub(crate) fn refused(error: CommitError) -> Refused {
    match error {
        CommitError::Full => Refused::DiskFull,
        CommitError::Down(_) => Refused::Unanswered,
    }
}
