//! What Binance takes as an order, and what it says about the rest.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::errors::Error;
use super::params::Params;
use super::wire;
use crate::book::{Class, Exits, Kind, Order, Session, Side, Size, Terms, Ticket, Tif, Trail, TrailLimit};
use crate::feed::Quote;
use crate::instrument::{Instrument, Misfit};
use crate::world::State;

/// What `POST /api/v3/order` knows.
pub(super) const NAMES: [&str; 18] = [
    "symbol",
    "side",
    "type",
    "timeInForce",
    "quantity",
    "quoteOrderQty",
    "price",
    "newClientOrderId",
    "strategyId",
    "strategyType",
    "stopPrice",
    "trailingDelta",
    "icebergQty",
    "newOrderRespType",
    "selfTradePreventionMode",
    "pegPriceType",
    "pegOffsetValue",
    "pegOffsetType",
];

/// What one order is asked to be, before anybody looked whether that can be.
#[derive(Debug)]
struct Wanted<'a> {
    kind: &'a str,
    tif: Option<Tif>,
    qty: Option<Decimal>,
    money: Option<Decimal>,
    price: Option<Decimal>,
    stop: Option<Decimal>,
    delta: Option<u64>,
    iceberg: Option<Decimal>,
}

/// Returns the instrument of a symbol, if it is listed.
///
/// # Errors
///
/// There is none.
pub(crate) fn instrument<'a>(state: &'a State, params: &Params) -> Result<&'a Instrument, Error> {
    find(state, params.symbol()?).ok_or_else(Error::symbol)
}

/// Returns the instrument of a symbol as Binance writes it.
pub(crate) fn find<'a>(state: &'a State, symbol: &str) -> Option<&'a Instrument> {
    state.instruments.values().find(|listed| wire::symbol(&listed.symbol) == symbol)
}

/// Returns whether a symbol is traded at the moment, in Binance's words.
pub(crate) fn trading_status(state: &State, instrument: &Instrument) -> &'static str {
    let open = state.book.session() == Session::Regular && instrument.active && instrument.tradable;
    match (open, state.book.is_halted(&instrument.symbol)) {
        (true, false) => "TRADING",
        (true, true) => "HALT",
        (false, _) => "BREAK",
    }
}

/// Returns which way an order goes.
pub(crate) fn side(params: &Params) -> Result<Side, Error> {
    match params.need("side")? {
        "BUY" => Ok(Side::Buy),
        "SELL" => Ok(Side::Sell),
        _ => Err(Error::word(-1117)),
    }
}

/// Checks that an account may trade.
pub(super) fn may_trade(state: &State, account: &str) -> Result<(), Error> {
    let may = state.directory.standing(account).is_some_and(crate::account::Standing::may_trade);
    if may { Ok(()) } else { Err(Error::rejected("This account may not place or cancel orders.")) }
}

/// Returns the order that parameters ask for.
///
/// # Errors
///
/// Says what is wrong with it: first what cannot be read, then what does not fit the type, then what the filters do
/// not let through, then what the matching engine does not take.
pub(super) fn ticket(state: &State, account: &str, params: &Params) -> Result<Ticket, Error> {
    let ticket = leg(state, account, params)?;
    check_sleeps(state, &ticket)?;
    Ok(ticket)
}

/// Returns an order that parameters ask for, wherever its stop lies.
///
/// # Errors
///
/// Says what is wrong with it, as [`ticket`] does.
pub(super) fn leg(state: &State, account: &str, params: &Params) -> Result<Ticket, Error> {
    let instrument = instrument(state, params)?;
    let side = side(params)?;
    let wanted = wanted(params)?;
    let (kind, terms) = kind(&wanted)?;
    let size = size(&wanted)?;
    let name = params.name("newClientOrderId")?;
    may_trade(state, account)?;
    if wanted.price.is_none() && params.raw("pegPriceType").is_some() {
        return Err(Error::rejected("Pegged orders are not supported for this symbol."));
    }
    let ticket = Ticket {
        account: account.to_owned(),
        client_order_id: name.map(str::to_owned),
        symbol: instrument.symbol.clone(),
        side,
        kind,
        tif: wanted.tif.unwrap_or(Tif::Gtc),
        size,
        extended_hours: false,
        class: Class::Simple,
        exits: Exits::default(),
        terms: Terms { memo: memo(params, &wanted)?, ..terms },
    };
    let quote = state.book.feed().quote(&ticket.symbol);
    filters(state, instrument, &ticket, &wanted, quote)?;
    let trades = quote.is_some() && trading_status(state, instrument) == "TRADING";
    if trades { Ok(ticket) } else { Err(Error::rejected("Market is closed.")) }
}

fn wanted(params: &Params) -> Result<Wanted<'_>, Error> {
    let tif = match params.text("timeInForce")? {
        None => None,
        Some("GTC") => Some(Tif::Gtc),
        Some("IOC") => Some(Tif::Ioc),
        Some("FOK") => Some(Tif::Fok),
        Some(_) => return Err(Error::word(-1115)),
    };
    let delta = params.whole("trailingDelta")?;
    Ok(Wanted {
        kind: params.need("type")?,
        tif,
        qty: params.amount("quantity")?,
        money: params.amount("quoteOrderQty")?,
        price: params.amount("price")?,
        stop: params.amount("stopPrice")?,
        delta,
        iceberg: params.amount("icebergQty")?.filter(|qty| !qty.is_zero()),
    })
}

fn kind(wanted: &Wanted<'_>) -> Result<(Kind, Terms), Error> {
    let (limited, stops) = match wanted.kind {
        "MARKET" => (false, false),
        "LIMIT" | "LIMIT_MAKER" => (true, false),
        "STOP_LOSS" | "TAKE_PROFIT" => (false, true),
        "STOP_LOSS_LIMIT" | "TAKE_PROFIT_LIMIT" => (true, true),
        _ => return Err(Error::word(-1116)),
    };
    let takes_tif = limited && wanted.kind != "LIMIT_MAKER";
    match (takes_tif, wanted.tif) {
        (true, None) => return Err(Error::mandatory("timeInForce")),
        (false, Some(_)) => return Err(Error::not_required("timeInForce")),
        (true, Some(_)) | (false, None) => {}
    }
    match (limited, wanted.price) {
        (true, None) => return Err(Error::mandatory("price")),
        (false, Some(_)) => return Err(Error::not_required("price")),
        (true, Some(_)) | (false, None) => {}
    }
    if !stops && wanted.stop.is_some() {
        return Err(Error::not_required("stopPrice"));
    }
    if !stops && wanted.delta.is_some() {
        return Err(Error::not_required("trailingDelta"));
    }
    let on_gain = wanted.kind.starts_with("TAKE_PROFIT");
    let terms = Terms { on_gain, post_only: wanted.kind == "LIMIT_MAKER", ..Terms::default() };
    let kind = match (stops, wanted.stop, wanted.delta, wanted.price) {
        (false, .., None) => Kind::Market,
        (false, .., Some(limit)) => Kind::Limit { limit },
        (true, None, None, _) => return Err(Error::either("stopPrice", "trailingDelta")),
        (true, Some(stop), None, None) => Kind::Stop { stop },
        (true, Some(stop), None, Some(limit)) => Kind::StopLimit { stop, limit },
        (true, from, Some(delta), limit) => {
            let trail = Trail::Percent(Decimal::from(delta) / Decimal::ONE_HUNDRED);
            let trail_limit = limit.map(TrailLimit::At);
            return Ok((Kind::TrailingStop { trail }, Terms { trails_from: from, trail_limit, ..terms }));
        }
    };
    Ok((kind, terms))
}

fn size(wanted: &Wanted<'_>) -> Result<Size, Error> {
    match (wanted.qty, wanted.money, wanted.kind) {
        (Some(qty), None, _) => Ok(Size::Qty(qty)),
        (None, Some(money), "MARKET") => Ok(Size::Notional(money)),
        (None, None, "MARKET") => Err(Error::either("quantity", "quoteOrderQty")),
        (None, None, _) => Err(Error::mandatory("quantity")),
        (Some(_), Some(_), "MARKET") => {
            Err(Error::new(400, -1128, "Combination of optional parameters invalid."))
        }
        (_, Some(_), _) => Err(Error::not_required("quoteOrderQty")),
    }
}

fn memo(params: &Params, wanted: &Wanted<'_>) -> Result<Value, Error> {
    let mut memo = Map::new();
    if let Some(iceberg) = wanted.iceberg {
        let limited =
            matches!(wanted.kind, "LIMIT" | "LIMIT_MAKER" | "STOP_LOSS_LIMIT" | "TAKE_PROFIT_LIMIT");
        if !limited || wanted.tif.is_some_and(|tif| tif != Tif::Gtc) {
            return Err(Error::not_required("icebergQty"));
        }
        memo.insert("icebergQty".to_owned(), json!(wire::amount(iceberg)));
    }
    for name in ["strategyId", "strategyType"] {
        if let Some(number) = params.whole(name)? {
            if name == "strategyType" && number < 1_000_000 {
                return Err(Error::new(400, -1134, "`strategyType` was less than 1000000."));
            }
            memo.insert(name.to_owned(), json!(number));
        }
    }
    match params.text("selfTradePreventionMode")? {
        None => {}
        Some(mode @ ("NONE" | "EXPIRE_TAKER" | "EXPIRE_MAKER" | "EXPIRE_BOTH")) => {
            memo.insert("selfTradePreventionMode".to_owned(), json!(mode));
        }
        Some(_) => return Err(Error::value("selfTradePreventionMode")),
    }
    Ok(Value::Object(memo))
}

fn filters(
    state: &State,
    instrument: &Instrument,
    ticket: &Ticket,
    wanted: &Wanted<'_>,
    quote: Option<Quote>,
) -> Result<(), Error> {
    let steps = &instrument.increments;
    for price in [wanted.price, wanted.stop].into_iter().flatten() {
        steps.check_price(price).map_err(Error::misfit)?;
    }
    if let (Some(price), Some(quote)) = (wanted.price, quote) {
        let (most, least) = wire::MULTIPLIERS;
        if price > quote.last * most || price < quote.last * least {
            return Err(Error::filter("PERCENT_PRICE_BY_SIDE"));
        }
    }
    if let Some(qty) = wanted.qty {
        steps.check_qty(qty).map_err(Error::misfit)?;
        check_iceberg(instrument, wanted.iceberg, qty)?;
    }
    let last = quote.map(|quote| quote.last);
    let reference = wanted.price.or(wanted.stop).or(last);
    let worth = wanted.money.or_else(|| Some(wanted.qty? * reference?));
    worth.map_or(Ok(()), |worth| steps.check_notional(worth)).map_err(Error::misfit)?;
    let bought = wanted.money.zip(last).and_then(|(money, last)| money.checked_div(last));
    if bought.is_some_and(|qty| steps.qty_min.is_some_and(|min| qty < min)) {
        return Err(Error::misfit(Misfit::QtyMin));
    }
    if let Some(delta) = wanted.delta {
        let (least, most) = wire::DELTA;
        if !(least..=most).contains(&delta) {
            return Err(Error::filter("TRAILING_DELTA"));
        }
    }
    let mine = |order: &&Order| {
        order.ticket.account == ticket.account
            && order.ticket.symbol == ticket.symbol
            && order.status.is_open()
    };
    let open: Vec<&Order> = state.book.orders().filter(mine).collect();
    let waits = |kind: Kind| !matches!(kind, Kind::Market | Kind::Limit { .. });
    if open.len() >= wire::ORDERS_MAX {
        return Err(Error::filter("MAX_NUM_ORDERS"));
    }
    let stops = open.iter().filter(|order| waits(order.ticket.kind)).count();
    if waits(ticket.kind) && stops >= wire::STOPS_MAX {
        return Err(Error::filter("MAX_NUM_ALGO_ORDERS"));
    }
    Ok(())
}

fn check_iceberg(instrument: &Instrument, shown: Option<Decimal>, qty: Decimal) -> Result<(), Error> {
    let Some(shown) = shown else { return Ok(()) };
    instrument.increments.check_qty(shown).map_err(Error::misfit)?;
    if shown >= qty {
        return Err(Error::rejected("IcebergQty exceeds QTY."));
    }
    if qty > shown * Decimal::from(wire::ICEBERG_PARTS) {
        return Err(Error::filter("ICEBERG_PARTS"));
    }
    Ok(())
}

/// Checks that the last price has not reached an order's stop yet.
fn check_sleeps(state: &State, ticket: &Ticket) -> Result<(), Error> {
    let rising = (ticket.side == Side::Buy) != ticket.terms.on_gain;
    let stop = ticket.kind.stop().or(ticket.terms.trails_from);
    let last = state.book.feed().quote(&ticket.symbol).map(|quote| quote.last);
    let reached = stop.zip(last).is_some_and(|(stop, last)| if rising { last >= stop } else { last <= stop });
    if reached { Err(Error::rejected("Order would trigger immediately.")) } else { Ok(()) }
}

/// Checks that of two orders of which one ends the other, each is on its side.
///
/// # Errors
///
/// Says which is not.
pub(super) fn check_pair(side: Side, above: &str, below: &str) -> Result<(), Error> {
    let (is_stop, is_gain) = (
        |kind: &str| matches!(kind, "STOP_LOSS" | "STOP_LOSS_LIMIT"),
        |kind: &str| matches!(kind, "TAKE_PROFIT" | "TAKE_PROFIT_LIMIT"),
    );
    let known = |kind: &str| kind == "LIMIT_MAKER" || is_stop(kind) || is_gain(kind);
    if !known(above) || !known(below) {
        return Err(Error::word(-1158));
    }
    if above == "LIMIT_MAKER" && below == "LIMIT_MAKER" {
        return Err(Error::word(-1168));
    }
    match side {
        Side::Buy if above == "LIMIT_MAKER" => Err(Error::word(-1165)),
        Side::Buy if is_gain(above) => Err(Error::word(-1198)),
        Side::Buy if is_stop(below) => Err(Error::word(-1196)),
        Side::Sell if below == "LIMIT_MAKER" => Err(Error::word(-1166)),
        Side::Sell if is_gain(below) => Err(Error::word(-1199)),
        Side::Sell if is_stop(above) => Err(Error::word(-1197)),
        Side::Buy | Side::Sell => Ok(()),
    }
}

/// Checks that the prices of two orders lie around the last one.
///
/// # Errors
///
/// They do not, or nobody knows the last price.
pub(super) fn check_around(state: &State, above: &Ticket, below: &Ticket) -> Result<(), Error> {
    let price = |ticket: &Ticket| match ticket.kind {
        Kind::Limit { limit } => Some(limit),
        Kind::StopLimit { limit, .. } if ticket.terms.on_gain => Some(limit),
        Kind::Stop { .. } | Kind::StopLimit { .. } | Kind::Market | Kind::TrailingStop { .. } => {
            ticket.kind.stop().or(ticket.terms.trails_from)
        }
    };
    let last = state.book.feed().quote(&above.symbol).map(|quote| quote.last);
    let last = last.ok_or_else(|| Error::rejected("Market is closed."))?;
    let good = price(above).is_none_or(|above| above > last) && price(below).is_none_or(|below| below < last);
    let words = "The relationship of the prices for the orders is not correct.";
    if good { Ok(()) } else { Err(Error::rejected(words)) }
}
