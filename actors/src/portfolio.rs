//! A user's totals, and the 1 Hz throttle before their screens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::domain::event::Event;
use crate::domain::ids::ConnectionId;
use crate::domain::instrument::Symbol;
use crate::domain::money::Price;
use crate::domain::position::Position;
use crate::domain::push::{Body, Push, Shown};
use crate::domain::stages::Stamp;
use crate::domain::user::UserState;
use crate::fault;
use crate::hub::HubMsg;
use crate::user::lines::Lines;

/// Shortest time between two updates to a user's screens (US-003).
const EVERY: Duration = Duration::from_secs(1);

/// What a portfolio is told.
#[derive(Debug)]
pub enum PortfolioMsg {
    /// Facts that were committed.
    Facts(Arc<[Arc<Event>]>),
    /// A position has a new price.
    Marked(ConnectionId, Symbol, Price),
    /// Time to tell the screens.
    Flush,
}

/// The actor.
#[derive(Debug)]
pub struct Portfolio;

/// What a portfolio needs.
#[derive(Debug)]
pub struct PortfolioArgs {
    /// The lines to its kin.
    pub lines: Arc<Lines>,
    /// The user as the log has them.
    pub user: UserState,
}

/// What a portfolio holds.
#[derive(Debug)]
pub struct PortfolioState {
    lines: Arc<Lines>,
    user: UserState,
    prices: BTreeMap<(ConnectionId, Symbol), Price>,
    armed: bool,
    flushed: Option<Stamp>,
}

impl Actor for Portfolio {
    type Msg = PortfolioMsg;
    type State = PortfolioState;
    type Arguments = PortfolioArgs;

    async fn pre_start(
        &self,
        me: ActorRef<PortfolioMsg>,
        args: PortfolioArgs,
    ) -> Result<PortfolioState, ActorProcessingErr> {
        let PortfolioArgs { lines, user } = args;
        me.cast(PortfolioMsg::Flush)?;
        Ok(PortfolioState { lines, user, prices: BTreeMap::new(), armed: true, flushed: None })
    }

    async fn handle(
        &self,
        me: ActorRef<PortfolioMsg>,
        msg: PortfolioMsg,
        state: &mut PortfolioState,
    ) -> Result<(), ActorProcessingErr> {
        fault::point("portfolio");
        match msg {
            PortfolioMsg::Facts(events) => {
                let now = state.lines.shared.clock.now();
                for event in &*events {
                    state.user.apply(event, now);
                }
                state.arm(&me);
            }
            PortfolioMsg::Marked(connection, symbol, price) => {
                let known = state.prices.insert((connection, symbol), price);
                if known != Some(price) {
                    state.arm(&me);
                }
            }
            PortfolioMsg::Flush => state.flush(),
        }
        Ok(())
    }
}

impl PortfolioState {
    /// Sees to it that the screens are told, once, a second or more after the last time.
    fn arm(&mut self, me: &ActorRef<PortfolioMsg>) {
        if self.armed {
            return;
        }
        self.armed = true;
        let passed = self.flushed.map(|at| Duration::from_micros(self.lines.shared.clock.stamp().since(at)));
        let pause = passed.map_or(Duration::ZERO, |passed| EVERY.saturating_sub(passed));
        me.send_after(pause, || PortfolioMsg::Flush);
    }

    fn flush(&mut self) {
        self.armed = false;
        let shared = &self.lines.shared;
        self.flushed = Some(shared.clock.stamp());
        if !shared.watched.contains(self.user.id) {
            return;
        }
        let positions: Vec<_> = self.user.positions.iter().map(|held| self.shown(held)).collect();
        let account = self.user.default_connection().map(|known| known.id);
        let summary = self.user.summary(shared.clock.now(), |symbol| {
            let of_symbol = |shown: &&Shown| {
                shown.position.symbol == symbol && Some(shown.position.connection) == account
            };
            positions.iter().find(of_symbol)?.price
        });
        let body = Body::Portfolio { summary, positions };
        shared.hub.tell(HubMsg::Latest(Push { user: self.user.id, seq: 0, at: shared.clock.now(), body }));
    }

    /// Returns a position at its latest price, at its own broker's market until its actor has told one.
    fn shown(&self, held: &Position) -> Shown {
        let (connection, symbol) = (held.connection, held.symbol);
        let known = self.user.connections.iter().find(|known| known.id == connection);
        let broker = known.map(|known| known.broker.clone()).unwrap_or_default();
        let marked = self.prices.get(&(connection, symbol)).copied();
        let price = marked.or_else(|| {
            let market = self.lines.shared.brokers.market(&broker)?;
            Some(market.quote(symbol)?.price)
        });
        let protection = self.user.protection(connection, symbol).cloned();
        Shown { position: held.clone(), price, broker, protection }
    }
}
