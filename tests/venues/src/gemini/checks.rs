//! What Gemini takes as an order, and what it says about the rest.

use rust_decimal::Decimal;
use serde_json::Value;

use super::errors::Error;
use super::signing::Params;
use super::wire;
use crate::account::Standing;
use crate::book::{Class, Exits, Kind, Session, Side, Size, Terms, Ticket, Tif};
use crate::instrument::Instrument;
use crate::world::State;

/// Returns the text of a parameter.
pub(super) fn text<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params.get(name).and_then(Value::as_str)
}

/// Returns the instrument of a symbol as Gemini writes it.
///
/// # Errors
///
/// There is none.
pub(super) fn instrument<'a>(state: &'a State, name: &str) -> Result<&'a Instrument, Error> {
    let found =
        state.instruments.values().find(|listed| listed.active && wire::symbol(&listed.symbol) == name);
    found.ok_or_else(|| Error::symbol(name))
}

/// Returns what is done with a symbol at the moment.
pub(super) fn status(state: &State, listed: &Instrument) -> &'static str {
    match (listed.tradable && state.book.session() == Session::Regular, state.book.is_halted(&listed.symbol))
    {
        (true, false) => "open",
        (true, true) => "cancel_only",
        (false, _) => "closed",
    }
}

/// Returns an amount, which is text.
fn decimal(params: &Params, name: &str, reason: &str) -> Result<Decimal, Error> {
    let invalid = || Error::bad(reason, format!("Invalid value for {name}"));
    text(params, name).and_then(|text| text.parse().ok()).ok_or_else(invalid)
}

fn tif(params: &Params, stops: bool) -> Result<Tif, Error> {
    let options = match params.get("options") {
        None => return Ok(Tif::Gtc),
        Some(Value::Array(options)) => options,
        Some(_) => return Err(Error::bad("OptionsMustBeArray", "The options parameter must be an array")),
    };
    match options.as_slice() {
        [] => Ok(Tif::Gtc),
        [_] if stops => Err(Error::bad("ConflictingOptions", "A stop takes no option")),
        [Value::String(option)] => match option.as_str() {
            "immediate-or-cancel" => Ok(Tif::Ioc),
            "fill-or-kill" => Ok(Tif::Fok),
            other => Err(Error::bad("UnsupportedOption", format!("Option {other} is not supported"))),
        },
        [_] => Err(Error::bad("UnsupportedOption", "An option is a text")),
        [..] => Err(Error::bad("ConflictingOptions", "Only one option is supported")),
    }
}

/// Returns the order that a request asks for.
///
/// # Errors
///
/// Says what is wrong with it.
pub(super) fn ticket(state: &State, account: &str, params: &Params) -> Result<Ticket, Error> {
    let listed = instrument(state, text(params, "symbol").unwrap_or_default())?;
    let side = match text(params, "side") {
        Some("buy") => Side::Buy,
        Some("sell") => Side::Sell,
        Some(_) | None => return Err(Error::bad("InvalidSide", "Invalid side for symbol")),
    };
    let stops = match text(params, "type") {
        Some("exchange limit") => false,
        Some("exchange stop limit") => true,
        Some(_) | None => return Err(Error::bad("InvalidOrderType", "Invalid order type")),
    };
    let qty = decimal(params, "amount", "InvalidQuantity")?;
    let steps = &listed.increments;
    let words = format!("Invalid quantity for symbol {}: {qty}", listed.symbol);
    steps.check_qty(qty).map_err(|_| Error::bad("InvalidQuantity", words))?;
    let limit = decimal(params, "price", "InvalidPrice")?;
    let words = format!("Invalid price for symbol {}: {limit}", listed.symbol);
    steps.check_price(limit).map_err(|_| Error::bad("InvalidPrice", words))?;
    let kind = match (stops, params.contains_key("stop_price")) {
        (false, false) => Kind::Limit { limit },
        (false, true) => return Err(Error::bad("InvalidStopPrice", "Only a stop has a stop price")),
        (true, _) => {
            let stop = decimal(params, "stop_price", "InvalidStopPrice")?;
            let beyond = if side == Side::Buy { stop < limit } else { stop > limit };
            if !beyond || steps.check_price(stop).is_err() {
                return Err(Error::bad("InvalidStopPrice", "Invalid stop price"));
            }
            Kind::StopLimit { stop, limit }
        }
    };
    let tif = tif(params, stops)?;
    let name = match params.get("client_order_id") {
        None => None,
        Some(Value::String(name)) if name.len() < 100 => Some(name.clone()),
        Some(Value::String(_)) => {
            return Err(Error::bad(
                "ClientOrderIdTooLong",
                "The Client Order ID must be under 100 characters",
            ));
        }
        Some(_) => {
            return Err(Error::bad("ClientOrderIdMustBeString", "The Client Order ID must be a string"));
        }
    };
    let may = state.directory.standing(account).is_some_and(Standing::may_trade);
    if !may || status(state, listed) != "open" || state.book.feed().quote(&listed.symbol).is_none() {
        return Err(Error::bad("MarketNotOpen", "The market is not accepting new orders"));
    }
    Ok(Ticket {
        account: account.to_owned(),
        client_order_id: name,
        symbol: listed.symbol.clone(),
        side,
        kind,
        tif,
        size: Size::Qty(qty),
        extended_hours: false,
        class: Class::Simple,
        exits: Exits::default(),
        terms: Terms::default(),
    })
}
