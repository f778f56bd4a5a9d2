//! Open positions: the list, what protects each, and leaving one.

use rust_decimal::Decimal;
use serde::Deserialize;
use trade_actors::domain::instrument::Symbol;
use trade_actors::domain::money::{Percent, Price};
use trade_actors::domain::position;
use trade_actors::domain::protection::{Protection, Target, level};
use trade_actors::domain::signal::{Action, Instruction, Level, OrderKind, Trail};
use trade_actors::domain::user::UserState;
use utoipa::ToSchema;

use super::trades;
use crate::web::body::Number;
use crate::web::call::{Answer, Call, ok};
use crate::web::problem::Problem;
use crate::web::wire::{Page, Position};

/// What is to protect a position from now on; what is absent stays, and `null` takes it away.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewProtection {
    /// Price at which to leave with a loss.
    #[schema(value_type = Option<String>)]
    #[serde(default, deserialize_with = "said")]
    stop_loss: Option<Option<Number>>,
    /// Moves the stop to the entry price.
    #[serde(default)]
    break_even: bool,
    /// Lets the stop follow the best price at this distance, in the account's currency.
    #[schema(value_type = Option<String>)]
    trail_amount: Option<Number>,
    /// Lets the stop follow the best price at this distance, in per cent.
    #[schema(value_type = Option<String>)]
    trail_percent: Option<Number>,
    /// Prices at which to leave equal parts with a profit.
    #[schema(value_type = Option<Vec<String>>)]
    take_profits: Option<Vec<Number>>,
}

/// How much of a position to leave.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Leave {
    /// Per cent of it; all of it when absent.
    #[schema(value_type = Option<String>)]
    percent: Option<Number>,
}

/// Tells "absent" from `null`.
fn said<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<Number>>, D::Error> {
    Option::<Number>::deserialize(from).map(Some)
}

/// Most places to take a profit at.
const TARGETS_MAX: usize = 8;

/// Lists the open positions.
pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let account = call.account().await?;
    ok(&Page::whole(Position::all(&account, call.engine()?)))
}

/// Changes what protects a position.
pub(crate) async fn protect(call: Call) -> Result<Answer, Problem> {
    let change: NewProtection = call.json()?;
    let account = call.account().await?;
    let held = held(&call, &account)?;
    let engine = call.engine()?;
    let known = account.protection(held.connection, held.symbol);
    if known.is_some_and(|known| known.leave.is_some()) {
        let detail = "the position is being closed; nothing was changed";
        return Err(Problem::new(warp::http::StatusCode::CONFLICT, "POSITION_CLOSING", detail));
    }
    let market = engine.shared().brokers.market(broker_of(&account, held));
    let (instrument, quote) = match &market {
        Some(market) => (market.instrument(held.symbol), market.quote(held.symbol)),
        None => (None, None),
    };
    let tick = instrument.map(|instrument| instrument.tick);
    let next = change.applied_to(known, held, tick, quote.map(|quote| quote.price))?;
    let reason = "changed by the user".to_owned();
    engine.protect(account.id, (held.connection, held.symbol), next, reason).await?;
    engine.views().settled().await?;
    let account = call.account().await?;
    let position = account.position(held.connection, held.symbol).ok_or_else(Problem::not_found)?;
    ok(&Position::with(position, quote.map(|quote| quote.price), &account))
}

/// Leaves a position, or a part of it, at the market.
pub(crate) async fn close(call: Call) -> Result<Answer, Problem> {
    let leave: Leave = if call.body.is_empty() { Leave::default() } else { call.json()? };
    let account = call.account().await?;
    let held = held(&call, &account)?;
    let fraction = match leave.percent {
        None => None,
        Some(Number(percent)) if percent > Decimal::ZERO && percent <= Decimal::ONE_HUNDRED => {
            Some(Percent::new(percent))
        }
        Some(_) => {
            let detail = "percent must be above 0 and at most 100; nothing was sent";
            return Err(Problem::invalid("/percent", detail));
        }
    };
    let instruction = Instruction {
        action: Action::Close { fraction, holding: None },
        symbol: held.symbol,
        quantity: None,
        kind: OrderKind::Market,
        reference: None,
        stop_loss: None,
        take_profits: Vec::new(),
        leverage: None,
    };
    trades::deliver(&call, instruction).await
}

/// Returns the caller's position in the path's symbol: at the default account, else wherever it is.
fn held<'a>(call: &Call, account: &'a UserState) -> Result<&'a position::Position, Problem> {
    let symbol: Symbol =
        call.params.first().and_then(|text| text.parse().ok()).ok_or_else(Problem::not_found)?;
    let default = account.default_connection().map(|known| known.id);
    let mut all = account.positions.iter().filter(|held| held.symbol == symbol);
    let at_default = all.clone().find(|held| Some(held.connection) == default);
    at_default.or_else(|| all.next()).ok_or_else(Problem::not_found)
}

fn broker_of<'a>(account: &'a UserState, held: &position::Position) -> &'a str {
    let known = account.connections.iter().find(|known| known.id == held.connection);
    known.map_or("", |known| known.broker.as_str())
}

impl NewProtection {
    fn applied_to(
        self,
        known: Option<&Protection>,
        held: &position::Position,
        tick: Option<Price>,
        price: Option<Price>,
    ) -> Result<Protection, Problem> {
        let nobody = trade_actors::domain::ids::SignalId::new(uuid::Uuid::nil());
        let mut next = known.cloned().unwrap_or_else(|| Protection::new(nobody, held.net.size()));
        let long = !held.net.is_short();
        let trail = match (self.trail_amount, self.trail_percent) {
            (Some(_), Some(_)) => {
                let detail = "name trail_amount or trail_percent, not both; nothing was changed";
                return Err(Problem::invalid("/trail_percent", detail));
            }
            (Some(far), None) => Some(Trail::Amount(at("/trail_amount", far, tick)?)),
            (None, Some(Number(far))) if far > Decimal::ZERO && far < Decimal::ONE_HUNDRED => {
                Some(Trail::Percent(Percent::new(far)))
            }
            (None, Some(_)) => {
                let detail = "trail_percent must be above 0 and below 100; nothing was changed";
                return Err(Problem::invalid("/trail_percent", detail));
            }
            (None, None) => None,
        };
        if self.break_even {
            next.trail = None;
            let side = trade_actors::domain::protection::exit_side(held.net).opposite();
            let (entry, tick) = (held.avg_px(), tick.or(price));
            next.stop =
                entry.zip(tick).and_then(|(entry, tick)| level(Level::BreakEven, side, entry, tick, true));
        }
        if let Some(stop) = self.stop_loss {
            next.trail = None;
            next.stop = stop.map(|stop| at("/stop_loss", stop, tick)).transpose()?;
        }
        if let Some(trail) = trail {
            next.trail = Some(trail);
            next.stop = None;
            if let (Some(price), Some(tick)) = (price, tick) {
                next.stop = next.trailed(held.net, price, tick);
            }
        }
        if let Some(targets) = self.take_profits {
            next.targets = targets_of(&targets, tick, price, long)?;
            // What is left of the position is shared out anew.
            next.opened = held.net.size();
        }
        let beyond = |stop: Price, price: Price| if long { stop >= price } else { stop <= price };
        if let (Some(stop), Some(price)) = (next.stop, price)
            && beyond(stop, price)
        {
            let side = if long { "below" } else { "above" };
            return Err(Problem::invalid(
                "/stop_loss",
                format!("the stop must be {side} the price, which is {price} now; nothing was changed"),
            ));
        }
        Ok(next)
    }
}

fn targets_of(
    said: &[Number],
    tick: Option<Price>,
    price: Option<Price>,
    long: bool,
) -> Result<Vec<Target>, Problem> {
    if said.len() > TARGETS_MAX {
        let detail = format!("at most {TARGETS_MAX} take_profits; nothing was changed");
        return Err(Problem::invalid("/take_profits", detail));
    }
    let mut targets = Vec::with_capacity(said.len());
    for (place, number) in said.iter().enumerate() {
        let pointer = format!("/take_profits/{place}");
        let target = at(&pointer, *number, tick)?;
        let behind = |price: Price| if long { target <= price } else { target >= price };
        if price.is_some_and(behind) {
            let side = if long { "above" } else { "below" };
            let detail = format!("a target must be {side} the price; nothing was changed");
            return Err(Problem::invalid(&pointer, detail));
        }
        targets.push(Target { price: target, done: trade_actors::domain::money::Quantity::ZERO });
    }
    Ok(targets)
}

fn at(pointer: &str, Number(value): Number, tick: Option<Price>) -> Result<Price, Problem> {
    let price = Price::new(value)
        .map_err(|why| Problem::invalid(pointer, format!("a price {why}; nothing was changed")))?;
    match tick {
        Some(tick) if !price.on_tick(tick) => {
            let detail = format!("prices move in steps of {tick}; nothing was changed");
            Err(Problem::invalid(pointer, detail))
        }
        Some(_) | None => Ok(price),
    }
}
