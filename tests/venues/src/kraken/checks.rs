//! What Kraken takes as an order, and what it says about the rest.

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use super::calls::Call;
use super::errors::Error;
use super::names;
use super::params::Params;
use crate::book::{Class, Exits, Kind, Session, Side, Size, Terms, Ticket, Tif, Trail, TrailLimit};
use crate::instrument::Instrument;
use crate::world::State;

/// What `AddOrder` knows.
pub(super) const NAMES: [&str; 12] = [
    "ordertype",
    "type",
    "pair",
    "volume",
    "price",
    "price2",
    "timeinforce",
    "oflags",
    "trigger",
    "cl_ord_id",
    "deadline",
    "validate",
];

/// Returns whether a pair is traded at the moment, in Kraken's words.
pub(super) fn status(state: &State, instrument: &Instrument) -> &'static str {
    let open = state.book.session() == Session::Regular && instrument.active && instrument.tradable;
    if open && !state.book.is_halted(&instrument.symbol) { "online" } else { "cancel_only" }
}

/// Returns the order that parameters ask for.
///
/// # Errors
///
/// Says what is wrong with it: first what cannot be read, then what does not fit the pair, then what comes too late.
pub(super) fn ticket(state: &State, call: Call<'_>) -> Result<Ticket, Error> {
    let params = call.params;
    let instrument = names::find(state, params.need("pair")?).ok_or(Error::Pair)?;
    let side = match params.need("type")? {
        "buy" => Side::Buy,
        "sell" => Side::Sell,
        _ => return Err(Error::argument("type")),
    };
    let (kind, terms) = kind(params)?;
    let qty = params.amount("volume")?.ok_or_else(|| Error::argument("volume"))?;
    let ticket = Ticket {
        account: call.account.to_owned(),
        client_order_id: name(params)?.map(str::to_owned),
        symbol: instrument.symbol.clone(),
        side,
        kind,
        tif: duration(params, kind)?,
        size: Size::Qty(qty),
        extended_hours: false,
        class: Class::Simple,
        exits: Exits::default(),
        terms: Terms {
            memo: json!({"ordertype": params.raw("ordertype"), "price": params.raw("price"), "price2": params.raw("price2")}),
            ..terms
        },
    };
    flags(params)?;
    fits(state, instrument, &ticket, qty)?;
    if status(state, instrument) != "online" {
        return Err(Error::Closed);
    }
    in_time(params, call.now)?;
    Ok(ticket)
}

/// Returns the client's name for an order, if it has one: a UUID, its digits, or up to 18 small letters and digits.
fn name(params: &Params) -> Result<Option<&str>, Error> {
    let Some(name) = params.raw("cl_ord_id") else { return Ok(None) };
    let is_id = matches!(name.len(), 32 | 36) && Uuid::try_parse(name).is_ok();
    let small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_text = (1..=18).contains(&name.len()) && name.bytes().all(small);
    if is_id || is_text { Ok(Some(name)) } else { Err(Error::argument("cl_ord_id")) }
}

fn kind(params: &Params) -> Result<(Kind, Terms), Error> {
    let named = params.need("ordertype")?;
    let price = |name: &str| params.amount(name)?.ok_or_else(|| Error::argument(name));
    let none = |names: &[&str]| match names.iter().find(|name| params.raw(name).is_some()) {
        Some(name) => Err(Error::argument(name)),
        None => Ok(()),
    };
    let on_gain = named.starts_with("take-profit");
    let mut terms = Terms { on_gain, ..Terms::default() };
    let kind = match named {
        "market" => {
            none(&["price", "price2", "trigger"])?;
            Kind::Market
        }
        "limit" => {
            none(&["price2", "trigger"])?;
            Kind::Limit { limit: price("price")? }
        }
        "stop-loss" | "take-profit" => {
            none(&["price2"])?;
            Kind::Stop { stop: price("price")? }
        }
        "stop-loss-limit" | "take-profit-limit" => {
            Kind::StopLimit { stop: price("price")?, limit: price("price2")? }
        }
        "trailing-stop" => {
            none(&["price2"])?;
            Kind::TrailingStop { trail: trail(params.need("price")?)? }
        }
        "trailing-stop-limit" => {
            terms.trail_limit = Some(TrailLimit::Off(offset(params.need("price2")?)?));
            Kind::TrailingStop { trail: trail(params.need("price")?)? }
        }
        _ => return Err(Error::argument("ordertype")),
    };
    match params.raw("trigger") {
        None | Some("last") => Ok((kind, terms)),
        // Nothing here has an index.
        Some(_) => Err(Error::argument("trigger")),
    }
}

/// Reads how far a trailing stop stays behind: `+500`, or `+1.5%`.
fn trail(text: &str) -> Result<Trail, Error> {
    let wrong = || Error::argument("price");
    let far = text.strip_prefix('+').ok_or_else(wrong)?;
    let (far, is_pct) = far.strip_suffix('%').map_or((far, false), |far| (far, true));
    let far: Decimal = far.parse().map_err(|_| wrong())?;
    let good =
        far > Decimal::ZERO && (!is_pct || (far < Decimal::ONE_HUNDRED && far.normalize().scale() <= 2));
    match (good, is_pct) {
        (false, _) => Err(wrong()),
        (true, true) => Ok(Trail::Percent(far)),
        (true, false) => Ok(Trail::Price(far)),
    }
}

/// Reads how far a limit is from what woke its order: `+0`, or `-10`.
fn offset(text: &str) -> Result<Decimal, Error> {
    let signed = text.starts_with(['+', '-']);
    text.parse().ok().filter(|_| signed).ok_or_else(|| Error::argument("price2"))
}

fn duration(params: &Params, kind: Kind) -> Result<Tif, Error> {
    match params.raw("timeinforce") {
        None | Some("GTC") => Ok(Tif::Gtc),
        Some("IOC") if kind.limit().is_some() => Ok(Tif::Ioc),
        Some(_) => Err(Error::argument("timeinforce")),
    }
}

fn flags(params: &Params) -> Result<(), Error> {
    match params.raw("oflags") {
        // Fees are paid in money here.
        None | Some("" | "fciq") => Ok(()),
        Some(_) => Err(Error::argument("oflags")),
    }
}

fn fits(state: &State, instrument: &Instrument, ticket: &Ticket, qty: Decimal) -> Result<(), Error> {
    let steps = &instrument.increments;
    for price in [ticket.kind.stop(), ticket.kind.limit()].into_iter().flatten() {
        if price.is_zero() {
            return Err(Error::Other("EOrder:Invalid price".to_owned()));
        }
        steps.check_price(price).map_err(Error::misfit)?;
    }
    steps.check_qty(qty).map_err(Error::misfit)?;
    let last = state.book.feed().quote(&instrument.symbol).map(|quote| quote.last);
    let price = ticket.kind.limit().or(ticket.kind.stop()).or(last);
    price.map_or(Ok(()), |price| steps.check_notional(qty * price)).map_err(Error::misfit)
}

/// Checks that an order is not later than it may be.
fn in_time(params: &Params, now: DateTime<Utc>) -> Result<(), Error> {
    let Some(text) = params.raw("deadline") else { return Ok(()) };
    let wrong = || Error::argument("deadline");
    let deadline = DateTime::parse_from_rfc3339(text).map_err(|_| wrong())?.with_timezone(&Utc);
    let left = deadline - now;
    if left <= TimeDelta::zero() {
        return Err(Error::TooLate);
    }
    if (TimeDelta::seconds(2)..=TimeDelta::seconds(60)).contains(&left) { Ok(()) } else { Err(wrong()) }
}
