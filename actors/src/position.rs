//! One open position: marks it to the market.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::domain::money::Price;
use crate::domain::position::Position as Held;
use crate::fault;
use crate::portfolio::PortfolioMsg;
use crate::quote_feed::QuoteFeedMsg;
use crate::risk::RiskMsg;
use crate::user::lines::Lines;

/// What a position is told.
#[derive(Debug)]
pub enum PositionMsg {
    /// A fill changed it.
    Changed(Held),
    /// Its symbol has a new price.
    Price(Price),
    /// Ask the feed for prices; again, because a feed that restarted forgot who asked.
    Subscribe,
}

/// The actor.
#[derive(Debug)]
pub struct Position;

/// What a position needs.
#[derive(Debug)]
pub struct PositionArgs {
    /// The lines to its kin.
    pub lines: Arc<Lines>,
    /// The position.
    pub held: Held,
}

impl Actor for Position {
    type Msg = PositionMsg;
    type State = PositionArgs;
    type Arguments = PositionArgs;

    async fn pre_start(
        &self,
        me: ActorRef<PositionMsg>,
        args: PositionArgs,
    ) -> Result<PositionArgs, ActorProcessingErr> {
        me.cast(PositionMsg::Subscribe)?;
        Ok(args)
    }

    async fn handle(
        &self,
        me: ActorRef<PositionMsg>,
        msg: PositionMsg,
        state: &mut PositionArgs,
    ) -> Result<(), ActorProcessingErr> {
        fault::point("position");
        match msg {
            PositionMsg::Changed(held) => state.held = held,
            // Flat ones live on for a while, in case the strategy comes back.
            PositionMsg::Price(_) if state.held.net.is_flat() => {}
            PositionMsg::Price(price) => {
                let (connection, symbol) = (state.held.connection, state.held.symbol);
                state.lines.portfolio.tell(PortfolioMsg::Marked(connection, symbol, price));
                state.lines.risk.tell(RiskMsg::Marked(connection, symbol, price));
            }
            PositionMsg::Subscribe => {
                let symbol = state.held.symbol;
                state.lines.shared.quotes.tell(QuoteFeedMsg::Subscribe(symbol, me.clone()));
                me.send_after(std::time::Duration::from_secs(30), || PositionMsg::Subscribe);
            }
        }
        Ok(())
    }
}
