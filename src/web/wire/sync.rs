//! `state.sync`: all that a screen shows, at one point of the log.

use chrono::{DateTime, Utc};
use serde::Serialize;
use trade_actors::domain::instrument::Symbol;
use trade_actors::domain::order::Mode;
use trade_actors::domain::portfolio;
use trade_actors::domain::user::UserState;
use trade_actors::engine::Engine;
use trade_actors::ports::store::StoreError;
use utoipa::ToSchema;

use super::{Halt, Portfolio, Position, Quote, Signal, Source, Trade, User, envelope};
use crate::keys::MasterKey;

/// Trades in a full sync.
const TRADES: usize = 50;
/// Signals in a full sync.
const SIGNALS: usize = 30;
/// Prices in a full sync, besides those of positions.
const QUOTES: usize = 12;

/// All that a screen shows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StateSync<'a> {
    user: User<'a>,
    mode: &'static str,
    trading: Halt<'a>,
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
    let (views, market) = (engine.views(), engine.market());
    let mut trades = views.orders(user.id, None, TRADES)?.items;
    // However old they are, open orders are shown.
    for id in user.working.keys() {
        if trades.iter().all(|order| order.ticket.id != *id) {
            trades.extend(views.order(*id)?);
        }
    }
    let signals = views.feed(user.id, None, SIGNALS)?.items;
    let mut sources = views.sources_of(user.id)?;
    let quotes = quotes(engine, user);
    let live = user.connections.iter().any(|connection| connection.mode == Mode::Live);
    let data = StateSync {
        user: User::of(user),
        mode: if live { Mode::Live.as_str() } else { Mode::Paper.as_str() },
        trading: Halt::of(user.trading_at(now)),
        global_halt: engine.global_halt().is_some(),
        portfolio: Portfolio::now(user, market, now),
        positions: Position::all(user, market),
        trades: trades.iter().map(Trade::of).collect(),
        signals: signals.iter().map(Signal::of).collect(),
        sources: Source::all(&mut sources, user, keys, base_url),
        quotes: quotes.iter().map(Quote::of).collect(),
        server: Server { version: env!("CARGO_PKG_VERSION") },
    };
    Ok(envelope("state.sync", user.pushed, now, &data))
}

fn quotes(engine: &Engine, user: &UserState) -> Vec<portfolio::Quote> {
    let market = engine.market();
    let held = user.positions.iter().map(|held| held.symbol);
    let listed = market.instruments().into_iter().map(|instrument| instrument.symbol).take(QUOTES);
    let mut symbols: Vec<Symbol> = listed.chain(held).collect();
    symbols.sort_unstable();
    symbols.dedup();
    symbols.into_iter().filter_map(|symbol| market.quote(symbol)).collect()
}
