//! Positions over HTTP.

use hyper::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::checks;
use super::errors::Error;
use super::orders;
use super::rest::Call;
use super::wire::{self, Ids};
use crate::account::Holding;
use crate::book::{Class, Exits, Kind, OrderId, Side, Size, Terms, Ticket, Tif};
use crate::http::Answer;
use crate::world::State;

/// Answers what is below `/v2/positions`.
pub(super) fn answer(state: &mut State, call: Call<'_>) -> Result<Answer, Error> {
    let segments = call.request.segments();
    match (&call.request.method, segments.as_slice()) {
        (&Method::GET, [_, "positions"]) => {
            let owned = state.book.account(call.account).ok_or_else(Error::unauthorized)?;
            let all = owned.holdings.iter().map(|(symbol, holding)| shown(state, call, symbol, holding));
            Ok(Answer::json(200, &all.collect::<Vec<_>>()))
        }
        (&Method::GET, [_, "positions", name]) => {
            let (symbol, holding) = find(state, call, name)?;
            Ok(Answer::json(200, &shown(state, call, &symbol, &holding)))
        }
        (&Method::DELETE, [_, "positions"]) => close_all(state, call),
        (&Method::DELETE, [_, "positions", name]) => {
            let (symbol, holding) = find(state, call, name)?;
            let qty = part(call, holding.qty.abs())?;
            let id = close(state, call, &symbol, &holding, qty)?;
            Ok(Answer::json(200, &orders::taken(state, call, id)))
        }
        _ => Err(Error::not_found("endpoint not found")),
    }
}

fn shown(state: &State, call: Call<'_>, symbol: &str, holding: &Holding) -> Value {
    let (held, _) = state.book.held(call.account, symbol);
    wire::position(symbol, holding, held, state.book.feed().quote(symbol))
}

fn find(state: &State, call: Call<'_>, name: &str) -> Result<(String, Holding), Error> {
    let owned = state.book.account(call.account).ok_or_else(Error::unauthorized)?;
    let mut all = owned.holdings.iter();
    let found = all.find(|(symbol, _)| *symbol == name || Ids::asset(symbol).to_string() == name);
    let (symbol, holding) =
        found.ok_or_else(|| Error::not_found(format!("position does not exist: {name}")))?;
    Ok((symbol.clone(), *holding))
}

fn part(call: Call<'_>, whole: Decimal) -> Result<Decimal, Error> {
    let number = |name: &str| -> Result<Option<Decimal>, Error> {
        let Some(text) = call.request.param(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| *number > Decimal::ZERO);
        number.map(Some).ok_or_else(|| Error::invalid(format!("{name} must be > 0")))
    };
    match (number("qty")?, number("percentage")?) {
        (None, None) => Ok(whole),
        (Some(qty), None) => Ok(qty),
        (None, Some(percent)) if percent <= Decimal::ONE_HUNDRED => {
            Ok((whole * percent / Decimal::ONE_HUNDRED).trunc_with_scale(9))
        }
        (None, Some(_)) => Err(Error::invalid("percentage must be between 0 and 100")),
        (Some(_), Some(_)) => Err(Error::invalid("only one of qty or percentage is accepted")),
    }
}

fn close(
    state: &mut State,
    call: Call<'_>,
    symbol: &str,
    holding: &Holding,
    qty: Decimal,
) -> Result<OrderId, Error> {
    checks::standing(state, call.account)?;
    let ticket = Ticket {
        account: call.account.to_owned(),
        client_order_id: None,
        symbol: symbol.to_owned(),
        side: if holding.qty.is_sign_negative() { Side::Buy } else { Side::Sell },
        kind: Kind::Market,
        tif: Tif::Day,
        size: Size::Qty(qty),
        extended_hours: false,
        class: Class::Simple,
        exits: Exits::default(),
        terms: Terms::default(),
    };
    state.book.place(call.now, ticket).map_err(|refusal| Error::of(refusal, symbol, call.ids))
}

fn close_all(state: &mut State, call: Call<'_>) -> Result<Answer, Error> {
    if call.flag("cancel_orders")? {
        orders::cancel_each(state, call);
    }
    let owned = state.book.account(call.account).ok_or_else(Error::unauthorized)?;
    let all: Vec<(String, Holding)> =
        owned.holdings.iter().map(|(symbol, holding)| (symbol.clone(), *holding)).collect();
    let closed = all.into_iter().map(|(symbol, holding)| {
        match close(state, call, &symbol, &holding, holding.qty.abs()) {
            Ok(id) => {
                let body = orders::taken(state, call, id);
                json!({"symbol": symbol, "order_id": call.ids.order(id), "status": 200, "body": body})
            }
            Err(error) => json!({"symbol": symbol, "status": error.status, "body": error.body()}),
        }
    });
    Ok(Answer::json(207, &closed.collect::<Vec<_>>()))
}
