//! A user's children and the lines between them. A line always leads to the child that lives now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, ActorStatus};

use super::UserMsg;
use super::lines::Lines;
use crate::broker_connection::{BrokerConnection, ConnectionArgs, ConnectionMsg};
use crate::domain::event::Event;
use crate::domain::ids::{ConnectionId, UserId};
use crate::domain::instrument::Symbol;
use crate::domain::position::Position as Held;
use crate::domain::restart::backoff;
use crate::domain::user::UserState;
use crate::engine::{Door, Shared};
use crate::execution::{Execution, ExecutionArgs, ExecutionMsg};
use crate::kill_switch::KillSwitch;
use crate::portfolio::{Portfolio, PortfolioArgs, PortfolioMsg};
use crate::ports::broker::UnknownBroker;
use crate::position::{Changed, Position, PositionArgs, PositionMsg};
use crate::risk::{Risk, RiskArgs, RiskMsg};
use crate::router::RouterMsg;

/// A child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kin {
    /// Risk or Execution: they fail together.
    Deciding,
    Connection(ConnectionId),
    Position(ConnectionId, Symbol),
    Portfolio,
}

impl Kin {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Deciding => "decision",
            Self::Connection(_) => "broker_connection",
            Self::Position(..) => "position",
            Self::Portfolio => "portfolio",
        }
    }
}

/// All children of a user.
#[derive(Debug)]
pub(super) struct Family {
    lines: Arc<Lines>,
    connections: BTreeMap<ConnectionId, ActorRef<ConnectionMsg>>,
    positions: BTreeMap<(ConnectionId, Symbol), ActorRef<PositionMsg>>,
    portfolio: bool,
    members: Vec<(ActorId, Kin)>,
    /// How often a connection was started again without coming back.
    attempts: BTreeMap<ConnectionId, u32>,
}

impl Family {
    pub(super) fn new(
        id: UserId,
        shared: Arc<Shared>,
        user: ActorRef<UserMsg>,
        router: ActorRef<RouterMsg>,
    ) -> Self {
        let lines = Lines {
            id,
            shared,
            user,
            router,
            risk: Door::default(),
            execution: Door::default(),
            portfolio: Door::default(),
            halt: KillSwitch::default(),
        };
        Self {
            lines: Arc::new(lines),
            connections: BTreeMap::new(),
            positions: BTreeMap::new(),
            portfolio: false,
            members: Vec::new(),
            attempts: BTreeMap::new(),
        }
    }

    /// Returns who a failed actor was, and forgets it.
    pub(super) fn kin(&mut self, actor: ActorId) -> Option<Kin> {
        let at = self.members.iter().position(|(id, _)| *id == actor)?;
        Some(self.members.swap_remove(at).1)
    }

    pub(super) async fn start(&mut self, user: &UserState) -> Result<(), ActorProcessingErr> {
        self.start_deciding(user).await?;
        for connection in &user.connections {
            self.connect(user, connection.id).await?;
        }
        for held in &user.positions {
            self.watch(user, held).await?;
        }
        if !user.positions.is_empty() {
            self.total(user).await?;
        }
        Ok(())
    }

    pub(super) async fn start_deciding(&mut self, user: &UserState) -> Result<(), ActorProcessingErr> {
        self.lines.halt.take_over(&user.trading, user.own_halt.as_deref());
        let parent = self.lines.user.get_cell();
        let args = RiskArgs { lines: Arc::clone(&self.lines), user: user.clone() };
        let (risk, _) = Actor::spawn_linked(None, Risk, args, parent.clone()).await?;
        let args = ExecutionArgs { lines: Arc::clone(&self.lines), user: user.clone() };
        let (execution, _) = Actor::spawn_linked(None, Execution, args, parent).await?;
        self.members.push((risk.get_id(), Kin::Deciding));
        self.members.push((execution.get_id(), Kin::Deciding));
        self.lines.risk.set(risk);
        self.lines.execution.set(execution);
        Ok(())
    }

    /// Stops Risk and Execution once they have dealt with all that was handed to them.
    pub(super) async fn finish_deciding(&mut self) {
        // Before they end: an end that was asked for is no failure.
        self.members.retain(|(_, kin)| *kin != Kin::Deciding);
        let limit = Some(ractor::concurrency::Duration::from_secs(2));
        if let Some(risk) = self.lines.risk.get()
            && risk.drain_and_wait(limit).await.is_err()
        {
            tracing::debug!("risk did not finish in time");
        }
        if let Some(execution) = self.lines.execution.get()
            && execution.drain_and_wait(limit).await.is_err()
        {
            tracing::debug!("execution did not finish in time");
        }
        self.stop_deciding().await;
    }

    /// Stops Risk and Execution, letting a commit that is under way finish. They are gone when this returns: two of a
    /// kind would decide the same signal twice.
    pub(super) async fn stop_deciding(&mut self) {
        self.members.retain(|(_, kin)| *kin != Kin::Deciding);
        if let Some(risk) = self.lines.risk.get() {
            end(&risk).await;
        }
        if let Some(execution) = self.lines.execution.get() {
            end(&execution).await;
        }
    }

    pub(super) async fn connect(
        &mut self,
        user: &UserState,
        connection: ConnectionId,
    ) -> Result<(), ActorProcessingErr> {
        let Some(known) = user.connections.iter().find(|known| known.id == connection) else { return Ok(()) };
        let brokers = &self.lines.shared.brokers;
        let broker = brokers.open(user.id, connection, &known.broker)?;
        let market = brokers.market(&known.broker).ok_or_else(|| UnknownBroker(known.broker.clone()))?;
        let args = ConnectionArgs { lines: Arc::clone(&self.lines), connection, broker, market };
        let parent = self.lines.user.get_cell();
        let (actor, _) = Actor::spawn_linked(None, BrokerConnection, args, parent).await?;
        self.members.push((actor.get_id(), Kin::Connection(connection)));
        self.connections.insert(connection, actor);
        Ok(())
    }

    /// Closes an account's session for good, with all that is on its way there.
    pub(super) async fn disconnect(&mut self, connection: ConnectionId) {
        let Some(actor) = self.connections.remove(&connection) else { return };
        self.members.retain(|(id, _)| *id != actor.get_id());
        if actor.stop_and_wait(None, Some(ractor::concurrency::Duration::from_secs(5))).await.is_err() {
            tracing::debug!(%connection, "the connection was gone already");
        }
    }

    /// Tells a rebuilt Execution of an account that is connected already.
    pub(super) fn resync(&self, connection: ConnectionId) {
        let told = self.connections.get(&connection).map(|actor| actor.cast(ConnectionMsg::Resync));
        if !matches!(told, Some(Ok(()))) {
            tracing::debug!("the connection is restarting and tells by itself");
        }
    }

    pub(super) fn reconnect_later(&mut self, connection: ConnectionId) {
        self.connections.remove(&connection);
        let attempts = self.attempts.entry(connection).or_default();
        let pause = backoff(*attempts);
        *attempts = attempts.saturating_add(1);
        self.lines.user.send_after(pause, move || UserMsg::Reconnect(connection));
    }

    /// Takes note that a connection's session is open.
    pub(super) fn is_back(&mut self, connection: ConnectionId) {
        self.attempts.remove(&connection);
    }

    /// Has the user's actor look after a while at what waits.
    pub(super) fn remind(&self, after: Duration) {
        self.lines.user.send_after(after, || UserMsg::Impatient);
    }

    /// Starts, feeds and stops the position actors that facts call for, and passes the facts on.
    pub(super) async fn follow(
        &mut self,
        user: &UserState,
        events: &Arc<[Arc<Event>]>,
    ) -> Result<(), ActorProcessingErr> {
        for event in &**events {
            let Some(key) = position_of(event) else { continue };
            let held = user.position(key.0, key.1);
            if let Some(actor) = self.positions.get(&key) {
                let protection = user.protection(key.0, key.1).cloned();
                let changed = Box::new(Changed { held: held.cloned(), protection });
                if actor.cast(PositionMsg::Changed(changed)).is_err() {
                    tracing::debug!("the position's actor is restarting");
                }
            } else if let Some(held) = held {
                self.watch(user, held).await?;
            }
        }
        if self.portfolio {
            self.lines.portfolio.tell(PortfolioMsg::Facts(Arc::clone(events)));
        } else if !user.positions.is_empty() || self.lines.shared.watched.contains(user.id) {
            self.total(user).await?;
        }
        Ok(())
    }

    pub(super) async fn restart(&mut self, kin: Kin, user: &UserState) -> Result<(), ActorProcessingErr> {
        match kin {
            Kin::Position(connection, symbol) => {
                self.positions.remove(&(connection, symbol));
                match user.position(connection, symbol) {
                    Some(held) => self.watch(user, held).await,
                    None => Ok(()),
                }
            }
            Kin::Portfolio => self.total(user).await,
            Kin::Deciding | Kin::Connection(_) => Ok(()),
        }
    }

    /// Stops the actors of positions that are flat. Not at once: a strategy is often back in a moment.
    pub(super) fn stop_flat(&mut self, user: &UserState) {
        let members = &mut self.members;
        self.positions.retain(|(connection, symbol), actor| {
            let open = user.position(*connection, *symbol).is_some();
            if !open {
                members.retain(|(id, _)| *id != actor.get_id());
                actor.stop(None);
            }
            open
        });
    }

    pub(super) fn tell_risk(&self, msg: RiskMsg) {
        self.lines.risk.tell(msg);
    }

    /// Passes facts on that the totals depend on, such as when a day begins.
    pub(super) fn tell_portfolio(&self, events: &Arc<[Arc<Event>]>) {
        if self.portfolio {
            self.lines.portfolio.tell(PortfolioMsg::Facts(Arc::clone(events)));
        }
    }

    pub(super) fn tell_execution(&self, msg: ExecutionMsg) {
        self.lines.execution.tell(msg);
    }

    pub(super) fn kill_switch(&self) -> &KillSwitch {
        &self.lines.halt
    }

    /// Cancels the open entries, and returns once nothing is on its way that was decided before, or after a second.
    pub(super) async fn cancel_entries(&self, reason: String) {
        const PATIENCE_MS: u64 = 1_000;
        let Some(execution) = self.lines.execution.get() else { return };
        let canceled =
            ractor::call_t!(execution, |done| ExecutionMsg::CancelEntries(reason, Some(done)), PATIENCE_MS);
        if canceled.is_err() {
            tracing::warn!(user.id = %self.lines.id, "the open entries were not all cancelled within a second; that goes on");
        }
    }

    async fn watch(&mut self, user: &UserState, held: &Held) -> Result<(), ActorProcessingErr> {
        let key = (held.connection, held.symbol);
        let known = user.connections.iter().find(|known| known.id == key.0);
        let venue = known.map(|known| known.broker.clone()).unwrap_or_default();
        let market = self.lines.shared.brokers.market(&venue);
        let args = PositionArgs {
            lines: Arc::clone(&self.lines),
            venue,
            market,
            connection: key.0,
            symbol: key.1,
            held: Some(held.clone()),
            protection: user.protection(key.0, key.1).cloned(),
        };
        let parent = self.lines.user.get_cell();
        let (actor, _) = Actor::spawn_linked(None, Position, args, parent).await?;
        self.members.push((actor.get_id(), Kin::Position(key.0, key.1)));
        self.positions.insert(key, actor);
        Ok(())
    }

    async fn total(&mut self, user: &UserState) -> Result<(), ActorProcessingErr> {
        let args = PortfolioArgs { lines: Arc::clone(&self.lines), user: user.clone() };
        let parent = self.lines.user.get_cell();
        let (actor, _) = Actor::spawn_linked(None, Portfolio, args, parent).await?;
        self.members.push((actor.get_id(), Kin::Portfolio));
        self.lines.portfolio.set(actor);
        self.portfolio = true;
        Ok(())
    }
}

/// Stops an actor after its message, or in the middle of one that takes too long.
async fn end<M: ractor::Message>(actor: &ActorRef<M>) {
    let limit = Some(ractor::concurrency::Duration::from_secs(5));
    if actor.stop_and_wait(None, limit).await.is_err() && actor.get_status() != ActorStatus::Stopped {
        tracing::warn!(actor = %actor.get_id(), "it did not stop in time; it is cut off");
        if actor.kill_and_wait(limit).await.is_err() {
            tracing::debug!("it was gone already");
        }
    }
}

/// Returns the place of the position that an event changes.
#[expect(clippy::wildcard_enum_match_arm, reason = "most events concern no position")]
fn position_of(event: &Event) -> Option<(ConnectionId, Symbol)> {
    match event {
        Event::PositionChanged { position, .. } | Event::DriftFound { position, .. } => {
            Some((position.connection, position.symbol))
        }
        Event::ProtectionChanged { connection, symbol, .. } => Some((*connection, *symbol)),
        _ => None,
    }
}
