//! Open positions: the list, what protects each, and leaving one.

use rust_decimal::Decimal;
use serde::Deserialize;
use trade_actors::domain::instrument::Symbol;
use trade_actors::domain::money::{Percent, Price};
use trade_actors::domain::position;
use trade_actors::domain::protection::{ProtectionChange, Unfit};
use trade_actors::domain::signal::{Action, Instruction, Level, OrderKind};
use trade_actors::domain::user::UserState;
use utoipa::ToSchema;

use super::trades;
use crate::web::amount::{amount, trail};
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
    let place = (held.connection, held.symbol);
    engine.protect(account.id, place, change.read()?).await?.map_err(unfit)?;
    engine.views().settled().await?;
    let market = engine.shared().brokers.market(broker_of(&account, held));
    let price = market.and_then(|market| Some(market.quote(held.symbol)?.price));
    let account = call.account().await?;
    let position = account.position(place.0, place.1).ok_or_else(Problem::not_found)?;
    ok(&Position::with(position, price, &account))
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
        account: Some(held.connection),
        via: None,
        leverage: None,
    };
    trades::deliver(&call, instruction).await
}

/// Returns the caller's position in the path's symbol: at the default account, else wherever it is.
fn held<'a>(call: &Call, account: &'a UserState) -> Result<&'a position::Position, Problem> {
    let symbol: Symbol =
        call.params.first().and_then(|text| text.parse().ok()).ok_or_else(Problem::not_found)?;
    account.held(symbol).ok_or_else(Problem::not_found)
}

fn broker_of<'a>(account: &'a UserState, held: &position::Position) -> &'a str {
    let known = account.connections.iter().find(|known| known.id == held.connection);
    known.map_or("", |known| known.broker.as_str())
}

fn unfit(unfit: Unfit) -> Problem {
    let detail = unfit.to_string();
    match unfit {
        Unfit::NoPosition => Problem::not_found(),
        Unfit::Closing => Problem::new(warp::http::StatusCode::CONFLICT, "POSITION_CLOSING", detail),
        Unfit::Stop(_) => Problem::invalid("/stop_loss", detail),
        Unfit::Target(place, _) => Problem::invalid(&format!("/take_profits/{place}"), detail),
    }
}

impl NewProtection {
    /// Reads the change; a trailing stop goes before a price, and a price before the entry.
    fn read(self) -> Result<ProtectionChange, Problem> {
        let trail = trail(self.trail_amount, self.trail_percent)?;
        let at = |place: &str, number| amount(place, number, Price::new).map(Level::At);
        let stop = match (trail, self.stop_loss) {
            (Some(trail), _) => Some(Some(Level::Trailing(trail))),
            (None, Some(stop)) => Some(stop.map(|stop| at("/stop_loss", stop)).transpose()?),
            (None, None) => self.break_even.then_some(Some(Level::BreakEven)),
        };
        let targets = self.take_profits.map(|targets| {
            let numbered = targets.into_iter().enumerate();
            numbered.map(|(place, number)| at(&format!("/take_profits/{place}"), number)).collect()
        });
        Ok(ProtectionChange { stop, targets: targets.transpose()? })
    }
}
