//! What Bybit takes as an order, and what it says about the rest.

use rust_decimal::Decimal;

use super::calls::{Call, Params};
use super::errors::Error;
use super::wire;
use crate::book::{Class, Exits, Kind, Order, Side, Size, Terms, Ticket, Tif};
use crate::instrument::{Instrument, Misfit};
use crate::world::State;

/// What `POST /v5/order/create` knows.
pub(super) const NAMES: [&str; 12] = [
    "category",
    "symbol",
    "side",
    "orderType",
    "qty",
    "price",
    "timeInForce",
    "orderLinkId",
    "marketUnit",
    "triggerPrice",
    "orderFilter",
    "isLeverage",
];
/// The filter of orders that are in the market.
pub(super) const PLAIN: &str = "Order";
/// The filter of orders that wait for a price, and hold back what they will trade.
pub(super) const WAITING: &str = "tpslOrder";

/// Checks that a call is about the spot market.
pub(super) fn spot(params: &Params) -> Result<(), Error> {
    match params.need("category")? {
        "spot" => Ok(()),
        other => Err(Error::params(format!("category {other} is not simulated"))),
    }
}

/// Returns the instrument of a symbol as Bybit writes it.
pub(super) fn find<'a>(state: &'a State, symbol: &str) -> Option<&'a Instrument> {
    state.instruments.values().find(|listed| wire::symbol(&listed.symbol) == symbol)
}

/// Returns the filter that an order is found by: once its price was reached it is in the market.
pub(super) fn filter_of(order: &Order) -> &'static str {
    if order.is_awake() { PLAIN } else { WAITING }
}

fn amount(params: &Params, name: &str) -> Result<Option<Decimal>, Error> {
    let Some(text) = params.text(name) else { return Ok(None) };
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let amount = Decimal::from_str_exact(text).ok().filter(|amount| plain && *amount > Decimal::ZERO);
    amount
        .map(Some)
        .ok_or_else(|| Error::new(170_130, format!("Data sent for parameter '{name}' is not valid.")))
}

fn name(params: &Params) -> Result<Option<String>, Error> {
    let Some(name) = params.text("orderLinkId") else { return Ok(None) };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.len() <= 36 && name.bytes().all(fits) {
        return Ok(Some(name.to_owned()));
    }
    Err(Error::new(170_130, "Data sent for parameter 'orderLinkId' is not valid."))
}

fn tif(params: &Params, is_limit: bool) -> Result<(Tif, bool), Error> {
    match params.text("timeInForce") {
        // Orders at the market are always for at once.
        _ if !is_limit => Ok((Tif::Ioc, false)),
        None | Some("GTC") => Ok((Tif::Gtc, false)),
        Some("IOC") => Ok((Tif::Ioc, false)),
        Some("FOK") => Ok((Tif::Fok, false)),
        Some("PostOnly") => Ok((Tif::Gtc, true)),
        Some(_) => Err(Error::params("timeInForce invalid")),
    }
}

/// Returns the order that a call asks for.
///
/// # Errors
///
/// Says what is wrong with it: first what cannot be read, then what does not fit its symbol.
pub(super) fn ticket(state: &State, call: &Call<'_>) -> Result<Ticket, Error> {
    let params = &call.params;
    spot(params)?;
    let instrument = find(state, params.need("symbol")?).ok_or_else(Error::symbol)?;
    let side = match params.need("side")? {
        "Buy" => Side::Buy,
        "Sell" => Side::Sell,
        _ => return Err(Error::params("side invalid")),
    };
    if params.text("isLeverage").is_some_and(|borrows| borrows != "0") {
        return Err(Error::params("isLeverage is not simulated"));
    }
    let limit = match params.need("orderType")? {
        "Market" => None,
        "Limit" => Some(amount(params, "price")?.ok_or_else(|| Error::params("price is missing"))?),
        _ => return Err(Error::params("orderType invalid")),
    };
    let qty = amount(params, "qty")?.ok_or_else(|| Error::params("qty is missing"))?;
    let size = match (limit, side, params.text("marketUnit")) {
        (Some(_), _, _) | (None, _, Some("baseCoin")) | (None, Side::Sell, None) => Size::Qty(qty),
        (None, Side::Buy, None | Some("quoteCoin")) => Size::Notional(qty),
        (None, ..) => return Err(Error::params("marketUnit invalid")),
    };
    let trigger = amount(params, "triggerPrice")?;
    match (trigger, params.text("orderFilter")) {
        (None, None | Some(PLAIN)) | (Some(_), Some(WAITING)) => {}
        _ => return Err(Error::params("orderFilter invalid")),
    }
    let last = state.book.feed().quote(&instrument.symbol).map(|quote| quote.last);
    let closed = || Error::new(170_151, "This trading pair is not available at the moment.");
    let last = last.filter(|_| is_trading(state, instrument)).ok_or_else(closed)?;
    if trigger == Some(last) {
        return Err(Error::new(170_130, "Data sent for parameter 'triggerPrice' is not valid."));
    }
    let (tif, post_only) = tif(params, limit.is_some())?;
    // Which way the price has to go follows from where it is.
    let rises = trigger.is_some_and(|trigger| trigger > last);
    let on_gain = trigger.is_some() && rises == (side == Side::Sell);
    fits(instrument, size, [limit, trigger], limit.or(trigger).unwrap_or(last))?;
    Ok(Ticket {
        account: call.account.to_owned(),
        client_order_id: name(params)?,
        symbol: instrument.symbol.clone(),
        side,
        kind: match (trigger, limit) {
            (None, None) => Kind::Market,
            (None, Some(limit)) => Kind::Limit { limit },
            (Some(stop), None) => Kind::Stop { stop },
            (Some(stop), Some(limit)) => Kind::StopLimit { stop, limit },
        },
        // A stop at the market waits before it is for at once.
        tif: if trigger.is_some() && limit.is_none() { Tif::Gtc } else { tif },
        size,
        extended_hours: false,
        class: Class::Simple,
        exits: Exits::default(),
        terms: Terms { on_gain, post_only, ..Terms::default() },
    })
}

/// Returns whether something is traded at the moment.
pub(super) fn is_trading(state: &State, instrument: &Instrument) -> bool {
    instrument.active && instrument.tradable && !state.book.is_halted(&instrument.symbol)
}

fn fits(
    instrument: &Instrument,
    size: Size,
    prices: [Option<Decimal>; 2],
    reference: Decimal,
) -> Result<(), Error> {
    let steps = &instrument.increments;
    let checked = || -> Result<(), Misfit> {
        prices.into_iter().flatten().try_for_each(|price| steps.check_price(price))?;
        match size {
            Size::Qty(qty) => {
                steps.check_qty(qty)?;
                steps.check_notional(qty * reference)
            }
            Size::Notional(money) => steps.check_notional(money),
        }
    };
    checked().map_err(Error::misfit)
}
