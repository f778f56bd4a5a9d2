//! One open position: marks it to the market, and watches the levels that the broker cannot hold.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::domain::ids::ConnectionId;
use crate::domain::instrument::Symbol;
use crate::domain::money::Price;
use crate::domain::position::Position as Held;
use crate::domain::protection::{Guard, Protection, Reached};
use crate::domain::stages::Stamp;
use crate::execution::ExecutionMsg;
use crate::fault;
use crate::portfolio::PortfolioMsg;
use crate::ports::market::Market;
use crate::quote_feed::QuoteFeedMsg;
use crate::risk::RiskMsg;
use crate::user::lines::Lines;

/// How long Execution has to act on a level before it is told again, in microseconds.
const AGAIN_US: u64 = 2_000_000;

/// What a position is told.
#[derive(Debug)]
pub enum PositionMsg {
    /// It is another now, or something else protects it.
    Changed(Box<Changed>),
    /// Its symbol has a new price.
    Price(Price),
    /// Ask the feed for prices; again, because a feed that restarted forgot who asked.
    Subscribe,
}

/// A position as it is now.
#[derive(Debug)]
pub struct Changed {
    /// The position; absent: it is flat.
    pub held: Option<Held>,
    /// What protects it.
    pub protection: Option<Protection>,
}

/// The actor.
#[derive(Debug)]
pub struct Position;

/// What a position needs.
#[derive(Debug)]
pub struct PositionArgs {
    /// The lines to its kin.
    pub lines: Arc<Lines>,
    /// Whose prices count: the broker's name.
    pub venue: String,
    /// The broker's market.
    pub market: Option<Arc<dyn Market>>,
    /// At which account.
    pub connection: ConnectionId,
    /// In what.
    pub symbol: Symbol,
    /// The position; absent: it is flat.
    pub held: Option<Held>,
    /// What protects it.
    pub protection: Option<Protection>,
}

/// What a position holds.
#[derive(Debug)]
pub struct PositionState {
    args: PositionArgs,
    guard: Guard,
    /// The level last told to Execution, and when.
    told: Option<(Reached, Stamp)>,
}

impl Actor for Position {
    type Msg = PositionMsg;
    type State = PositionState;
    type Arguments = PositionArgs;

    async fn pre_start(
        &self,
        me: ActorRef<PositionMsg>,
        mut args: PositionArgs,
    ) -> Result<PositionState, ActorProcessingErr> {
        me.cast(PositionMsg::Subscribe)?;
        let guard = Guard::new(args.held.take(), args.protection.take());
        Ok(PositionState { args, guard, told: None })
    }

    async fn handle(
        &self,
        me: ActorRef<PositionMsg>,
        msg: PositionMsg,
        state: &mut PositionState,
    ) -> Result<(), ActorProcessingErr> {
        fault::point("position");
        match msg {
            PositionMsg::Changed(changed) => {
                state.guard = Guard::new(changed.held, changed.protection);
                state.told = None;
            }
            PositionMsg::Price(price) => state.price(price),
            PositionMsg::Subscribe => {
                // Kin that restarted forgot the price, and the market's rules may be others since.
                state.guard.unsettle();
                let PositionArgs { lines, venue, market, symbol, .. } = &state.args;
                if let Some(market) = market {
                    market.watch(*symbol);
                }
                lines.shared.quotes.tell(QuoteFeedMsg::Subscribe(venue.clone(), *symbol, me.clone()));
                me.send_after(Duration::from_secs(30), || PositionMsg::Subscribe);
            }
        }
        Ok(())
    }
}

impl PositionState {
    fn price(&mut self, price: Price) {
        let PositionArgs { lines, market, connection, symbol, .. } = &self.args;
        let rules = || market.as_ref().and_then(|market| market.instrument(*symbol));
        let Some(judged) = self.guard.judge(price, rules) else { return };
        let key = (*connection, *symbol);
        lines.portfolio.tell(PortfolioMsg::Marked(key.0, key.1, price));
        lines.risk.tell(RiskMsg::Marked(key.0, key.1, price));
        if let Some(stop) = judged.trailed {
            lines.execution.tell(ExecutionMsg::Trailed(key, stop));
        }
        let Some(level) = judged.reached else { return };
        let now = lines.shared.clock.stamp();
        let is_new = self.told.is_none_or(|(told, at)| told != level || now.since(at) >= AGAIN_US);
        if is_new {
            self.told = Some((level, now));
            lines.execution.tell(ExecutionMsg::Reached(key, level, price));
        }
    }
}
