//! `state.sync`: all that a screen shows, at one point of the log.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trade_actors::domain::instrument::Symbol;
use trade_actors::domain::order::{Mode, Order};
use trade_actors::domain::portfolio;
use trade_actors::domain::user::UserState;
use trade_actors::engine::Engine;
use trade_actors::ports::store::StoreError;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Halt, Portfolio, Position, Quote, Signal, Source, Trade, User, envelope};
use crate::keys::MasterKey;

/// Trades in a full sync.
const TRADES: usize = 50;
/// Signals in a full sync.
const SIGNALS: usize = 30;
/// Prices in a full sync, besides those of positions.
const QUOTES: usize = 12;
/// Symbols of a market that is shown by its first ones; a larger one by those that the user trades.
const LISTED_MAX: usize = 100;

/// All that a screen shows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StateSync<'a> {
    user: User<'a>,
    mode: &'static str,
    trading: Halt<'a>,
    /// The person's own halt, while one that losses called for stands before it.
    own_halt: Option<Halt<'a>>,
    /// The account that signals go to.
    account: Option<Uuid>,
    global_halt: bool,
    portfolio: Portfolio,
    positions: Vec<Position<'a>>,
    trades: Vec<Trade<'a>>,
    signals: Vec<Signal<'a>>,
    sources: Vec<Source<'a>>,
    quotes: Vec<Quote<'a>>,
    server: Server,
}

/// The program.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Server {
    /// Its version.
    version: &'static str,
}

/// Renders the full state of a user as the index has it.
///
/// # Errors
/// When the store fails.
pub(crate) fn state_sync(
    engine: &Engine,
    user: &UserState,
    keys: &MasterKey,
    base_url: &str,
    now: DateTime<Utc>,
) -> Result<String, StoreError> {
    let views = engine.views();
    let mut trades = views.orders(user.id, None, TRADES)?.items;
    // However old they are, open orders are shown.
    for id in user.working.keys() {
        if trades.iter().all(|order| order.ticket.id != *id) {
            trades.extend(views.order(*id)?);
        }
    }
    let signals = views.feed(user.id, None, SIGNALS)?.items;
    let mut sources = views.sources_of(user.id)?;
    let quotes = quotes(engine, user, &trades);
    let live = user.connections.iter().any(|connection| connection.mode == Mode::Live);
    let data = StateSync {
        user: User::of(user),
        mode: if live { Mode::Live.as_str() } else { Mode::Paper.as_str() },
        trading: Halt::of(user.trading_at(now)),
        own_halt: user.trading_at(now).by_rules().and(user.own_halt.as_deref()).map(Halt::of),
        account: user.default_connection().map(|known| known.id.uuid()),
        global_halt: engine.global_halt().is_some(),
        portfolio: Portfolio::now(user, engine, now),
        positions: Position::all(user, engine),
        trades: trades.iter().map(Trade::of).collect(),
        signals: signals.iter().map(Signal::of).collect(),
        sources: Source::all(&mut sources, user, keys, base_url),
        quotes: quotes.iter().map(Quote::of).collect(),
        server: Server { version: env!("CARGO_PKG_VERSION") },
    };
    Ok(envelope("state.sync", user.pushed, now, &data))
}

/// Returns prices of the market that the user's signals go to, and has it follow those that it does not know yet.
fn quotes(engine: &Engine, user: &UserState, trades: &[Order]) -> Vec<portfolio::Quote> {
    let market = engine.market_of(user);
    let account = user.default_connection().map(|known| known.id);
    let held = user.positions.iter().filter(|held| Some(held.connection) == account).map(|held| held.symbol);
    let mut symbols: Vec<Symbol> = if market.listed() > LISTED_MAX {
        let mut traded: Vec<Symbol> = Vec::new();
        for order in trades.iter().filter(|order| Some(order.ticket.connection) == account) {
            if traded.len() < QUOTES && !traded.contains(&order.ticket.symbol) {
                traded.push(order.ticket.symbol);
            }
        }
        traded
    } else {
        market.instruments().iter().map(|instrument| instrument.symbol).take(QUOTES).collect()
    };
    symbols.extend(held);
    symbols.sort_unstable();
    symbols.dedup();
    symbols.iter().for_each(|symbol| market.watch(*symbol));
    symbols.into_iter().filter_map(|symbol| market.quote(symbol)).collect()
}
