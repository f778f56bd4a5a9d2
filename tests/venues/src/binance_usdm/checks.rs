//! What the futures market takes as an order, and what it says about the rest.

use rust_decimal::Decimal;
use serde_json::json;

use super::{DUAL, errors};
use crate::binance::calls::Call;
use crate::binance::checks;
use crate::binance::errors::Error;
use crate::binance::params::Params;
use crate::book::{Class, Exits, Kind, Side, Size, Terms, Ticket, Tif, Trail, TrailLimit};
use crate::instrument::Instrument;
use crate::world::State;

/// What `POST /fapi/v1/order` knows.
pub(super) const NAMES: [&str; 11] = [
    "symbol",
    "side",
    "positionSide",
    "type",
    "timeInForce",
    "quantity",
    "reduceOnly",
    "price",
    "newClientOrderId",
    "newOrderRespType",
    "selfTradePreventionMode",
];
/// What `POST /fapi/v1/algoOrder` knows.
pub(super) const ALGO_NAMES: [&str; 17] = [
    "algoType",
    "symbol",
    "side",
    "positionSide",
    "type",
    "timeInForce",
    "quantity",
    "price",
    "triggerPrice",
    "workingType",
    "priceProtect",
    "reduceOnly",
    "activatePrice",
    "callbackRate",
    "clientAlgoId",
    "newOrderRespType",
    "selfTradePreventionMode",
];
/// What a client's name for an order looks like.
const NAME: &str = "^[\\.A-Z\\:/a-z0-9_-]{1,36}$";

/// Returns a client's name for an order, if it is there.
fn name(params: &Params, name: &str) -> Result<Option<String>, Error> {
    let Some(text) = params.text(name)? else { return Ok(None) };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".:/_-".contains(&byte);
    let good = text.len() <= 36 && text.bytes().all(fits);
    if good { Ok(Some(text.to_owned())) } else { Err(Error::characters(name, NAME)) }
}

/// Checks that an order is meant for the mode that the account is in.
fn check_mode(state: &State, params: &Params) -> Result<(), Error> {
    let nets = state.settings.number(DUAL) == 0;
    let good = match params.text("positionSide")? {
        None | Some("BOTH") => nets,
        Some("LONG" | "SHORT") => false,
        Some(_) => return Err(Error::value("positionSide")),
    };
    if good { Ok(()) } else { Err(errors::code(-4061)) }
}

fn tif(params: &Params) -> Result<Option<(Tif, bool)>, Error> {
    Ok(match params.text("timeInForce")? {
        None => None,
        Some("GTC") => Some((Tif::Gtc, false)),
        Some("IOC") => Some((Tif::Ioc, false)),
        Some("FOK") => Some((Tif::Fok, false)),
        Some("GTX") => Some((Tif::Gtc, true)),
        Some(_) => return Err(Error::word(-1115)),
    })
}

/// Returns the order that parameters ask for.
///
/// # Errors
///
/// Says what is wrong with it.
pub(super) fn order(state: &State, call: Call<'_>) -> Result<Ticket, Error> {
    let params = call.params;
    let instrument = checks::instrument(state, params)?;
    let side = checks::side(params)?;
    check_mode(state, params)?;
    let price = params.amount("price")?;
    let tif = tif(params)?;
    let kind = match (params.need("type")?, price) {
        ("MARKET", None) if tif.is_none() => Kind::Market,
        ("MARKET", None) => return Err(Error::not_required("timeInForce")),
        ("MARKET", Some(_)) => return Err(Error::not_required("price")),
        ("LIMIT", Some(limit)) => Kind::Limit { limit },
        ("LIMIT", None) => return Err(Error::mandatory("price")),
        ("STOP" | "STOP_MARKET" | "TAKE_PROFIT" | "TAKE_PROFIT_MARKET" | "TRAILING_STOP_MARKET", _) => {
            return Err(errors::code(-4120));
        }
        _ => return Err(Error::word(-1116)),
    };
    let (tif, post_only) = match (kind, tif) {
        (Kind::Limit { .. }, None) => return Err(Error::mandatory("timeInForce")),
        (_, tif) => tif.unwrap_or((Tif::Gtc, false)),
    };
    let terms = Terms { post_only, reduces: params.flag("reduceOnly", false)?, ..Terms::default() };
    let ticket =
        finish(state, call, instrument, (side, kind, tif), terms, name(params, "newClientOrderId")?)?;
    let last = state.book.feed().quote(&instrument.symbol).map(|quote| quote.last);
    let worth = price.or(last).zip(params.amount("quantity")?).map(|(price, qty)| price * qty);
    let is_free = ticket.terms.reduces;
    worth
        .filter(|_| !is_free)
        .map_or(Ok(()), |worth| instrument.increments.check_notional(worth))
        .map_err(errors::misfit)?;
    Ok(ticket)
}

/// Returns the stop that parameters ask for.
///
/// # Errors
///
/// Says what is wrong with it.
pub(super) fn algo(state: &State, call: Call<'_>) -> Result<Ticket, Error> {
    let params = call.params;
    if params.need("algoType")? != "CONDITIONAL" {
        return Err(Error::value("algoType"));
    }
    let instrument = checks::instrument(state, params)?;
    let side = checks::side(params)?;
    check_mode(state, params)?;
    match params.text("workingType")? {
        None | Some("MARK_PRICE" | "CONTRACT_PRICE") => {}
        Some(_) => return Err(Error::value("workingType")),
    }
    params.flag("priceProtect", false)?;
    let word = params.need("type")?;
    let (kind, terms) = waiting(params, word)?;
    let reduces = params.flag("reduceOnly", false)?;
    let memo = json!({
        "type": word,
        "workingType": params.text("workingType")?.unwrap_or("CONTRACT_PRICE"),
        "callbackRate": params.text("callbackRate")?,
    });
    let terms = Terms { reduces, unchecked: true, memo, ..terms };
    let (tif, _) = tif(params)?.unwrap_or((Tif::Gtc, false));
    let ticket = finish(state, call, instrument, (side, kind, tif), terms, name(params, "clientAlgoId")?)?;
    check_sleeps(state, &ticket)?;
    Ok(ticket)
}

/// Returns what kind of stop it is to be.
fn waiting(params: &Params, word: &str) -> Result<(Kind, Terms), Error> {
    let (trigger, limit) = (params.amount("triggerPrice")?, params.amount("price")?);
    let (from, rate) = (params.amount("activatePrice")?, params.amount("callbackRate")?);
    let on_gain = word.starts_with("TAKE_PROFIT");
    let terms = Terms { on_gain, ..Terms::default() };
    let trails = word == "TRAILING_STOP_MARKET";
    if !trails && (from.is_some() || rate.is_some()) {
        return Err(Error::not_required(if rate.is_some() { "callbackRate" } else { "activatePrice" }));
    }
    match word {
        "STOP_MARKET" | "TAKE_PROFIT_MARKET" => {
            let stop = trigger.ok_or_else(|| Error::mandatory("triggerPrice"))?;
            if limit.is_some() { Err(Error::not_required("price")) } else { Ok((Kind::Stop { stop }, terms)) }
        }
        "STOP" | "TAKE_PROFIT" => {
            let stop = trigger.ok_or_else(|| Error::mandatory("triggerPrice"))?;
            let limit = limit.ok_or_else(|| Error::mandatory("price"))?;
            Ok((Kind::StopLimit { stop, limit }, terms))
        }
        "TRAILING_STOP_MARKET" => {
            let rate = rate.ok_or_else(|| Error::mandatory("callbackRate"))?;
            if !(Decimal::new(1, 1)..=Decimal::TEN).contains(&rate) || rate.normalize().scale() > 1 {
                return Err(Error::new(400, -2007, "Invalid callBack rate."));
            }
            let trail_limit: Option<TrailLimit> = None;
            let terms = Terms { trails_from: from, trail_limit, ..terms };
            Ok((Kind::TrailingStop { trail: Trail::Percent(rate) }, terms))
        }
        _ => Err(Error::word(-1116)),
    }
}

/// Checks what all orders have in common, and puts one together.
fn finish(
    state: &State,
    call: Call<'_>,
    instrument: &Instrument,
    (side, kind, tif): (Side, Kind, Tif),
    terms: Terms,
    client_order_id: Option<String>,
) -> Result<Ticket, Error> {
    let qty = call.params.amount("quantity")?.ok_or_else(|| Error::mandatory("quantity"))?;
    let steps = &instrument.increments;
    for price in [kind.limit(), kind.stop(), terms.trails_from].into_iter().flatten() {
        steps.check_price(price).map_err(errors::misfit)?;
    }
    if qty.is_zero() {
        return Err(errors::code(-4003));
    }
    steps.check_qty(qty).map_err(errors::misfit)?;
    let may = state.directory.standing(call.account).is_some_and(crate::account::Standing::may_trade);
    if !may {
        return Err(Error::new(400, -2015, "Invalid API-key, IP, or permissions for action"));
    }
    let is_priced = state.book.feed().quote(&instrument.symbol).is_some();
    if !is_priced || checks::trading_status(state, instrument) != "TRADING" {
        return Err(errors::code(-4140));
    }
    Ok(Ticket {
        account: call.account.to_owned(),
        client_order_id,
        symbol: instrument.symbol.clone(),
        side,
        kind,
        tif,
        size: Size::Qty(qty),
        extended_hours: false,
        class: Class::Simple,
        exits: Exits::default(),
        terms,
    })
}

/// Checks that the last price has not reached a stop yet.
fn check_sleeps(state: &State, ticket: &Ticket) -> Result<(), Error> {
    let rising = (ticket.side == Side::Buy) != ticket.terms.on_gain;
    let last = state.book.feed().quote(&ticket.symbol).map(|quote| quote.last);
    let reached = |(stop, last)| if rising { last >= stop } else { last <= stop };
    if ticket.kind.stop().zip(last).is_some_and(reached) { Err(errors::code(-2021)) } else { Ok(()) }
}
