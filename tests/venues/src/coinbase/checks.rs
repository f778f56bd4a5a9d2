//! What Coinbase takes as an order, and what it says about the rest.

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::errors::{Error, Failure};
use crate::book::{Class, Exits, Kind, Side, Size, Terms, Ticket, Tif};
use crate::instrument::Instrument;
use crate::world::State;

/// An order as it is asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    pub(super) client_order_id: String,
    pub(super) product_id: String,
    side: String,
    /// One kind of order, by its name.
    pub(super) order_configuration: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AtMarket {
    base_size: Option<String>,
    quote_size: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AtLimit {
    base_size: String,
    limit_price: String,
    #[serde(default)]
    post_only: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AfterStop {
    base_size: String,
    limit_price: String,
    stop_price: String,
    stop_direction: String,
}

/// What is wrong with an order: it cannot be read, or it is not taken.
#[derive(Debug)]
pub(super) enum Wrong {
    Unread(Error),
    Failed(Failure),
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self::Unread(error)
    }
}

/// Returns the instrument of a product.
pub(super) fn find<'a>(state: &'a State, product: &str) -> Option<&'a Instrument> {
    state.instruments.get(&product.replace('-', "/")).filter(|_| !product.contains('/'))
}

/// Returns whether orders are taken for an instrument now.
pub(super) fn trades(state: &State, instrument: &Instrument) -> bool {
    instrument.active && instrument.tradable && !state.book.is_halted(&instrument.symbol)
}

fn read<T: for<'de> Deserialize<'de>>(value: &Value) -> Result<T, Error> {
    serde_json::from_value(value.clone())
        .map_err(|error| Error::argument(format!("order_configuration: {error}")))
}

/// Reads an amount: decimal text, as all amounts are.
fn amount(text: &str) -> Result<Decimal, Error> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let read = text.parse().ok().filter(|_| digits && !text.is_empty());
    read.ok_or_else(|| Error::argument(format!("{text:?} is no decimal")))
}

/// How an order trades, how long, and for how much.
struct Shape {
    kind: Kind,
    tif: Tif,
    size: Size,
    terms: Terms,
}

fn shape(wanted: &Wanted, side: Side) -> Result<Shape, Wrong> {
    let mut all = wanted.order_configuration.iter();
    let (Some((name, fields)), None) = (all.next(), all.next()) else {
        return Err(Error::argument("order_configuration must have exactly one configuration").into());
    };
    let limited = |tif| -> Result<Shape, Wrong> {
        let AtLimit { base_size, limit_price, post_only } = read(fields)?;
        if post_only && tif != Tif::Gtc {
            return Err(Error::argument("post_only is not known here").into());
        }
        let (kind, size) = (Kind::Limit { limit: amount(&limit_price)? }, Size::Qty(amount(&base_size)?));
        Ok(Shape { kind, tif, size, terms: Terms { post_only, ..Terms::default() } })
    };
    match name.as_str() {
        "market_market_ioc" => {
            let size = match (read::<AtMarket>(fields)?, side) {
                (AtMarket { base_size: Some(size), quote_size: None }, _) => Size::Qty(amount(&size)?),
                (AtMarket { base_size: None, quote_size: Some(size) }, Side::Buy) => {
                    Size::Notional(amount(&size)?)
                }
                _ => {
                    let words = "a market order has one size, and a sale one of the base";
                    return Err(Failure::new("UNSUPPORTED_ORDER_CONFIGURATION", words).into());
                }
            };
            Ok(Shape { kind: Kind::Market, tif: Tif::Ioc, size, terms: Terms::default() })
        }
        "limit_limit_gtc" => limited(Tif::Gtc),
        "limit_limit_fok" => limited(Tif::Fok),
        "sor_limit_ioc" => limited(Tif::Ioc),
        "stop_limit_stop_limit_gtc" => {
            let AfterStop { base_size, limit_price, stop_price, stop_direction } = read(fields)?;
            let on_gain = match (stop_direction.as_str(), side) {
                ("STOP_DIRECTION_STOP_UP", Side::Buy) | ("STOP_DIRECTION_STOP_DOWN", Side::Sell) => false,
                ("STOP_DIRECTION_STOP_UP", Side::Sell) | ("STOP_DIRECTION_STOP_DOWN", Side::Buy) => true,
                _ => return Err(Error::argument("stop_direction is wrong").into()),
            };
            let kind = Kind::StopLimit { stop: amount(&stop_price)?, limit: amount(&limit_price)? };
            let terms = Terms { on_gain, ..Terms::default() };
            Ok(Shape { kind, tif: Tif::Gtc, size: Size::Qty(amount(&base_size)?), terms })
        }
        other => Err(Failure::new("UNSUPPORTED_ORDER_CONFIGURATION", format!("{other} is not taken")).into()),
    }
}

/// Returns the order that is asked for.
///
/// # Errors
///
/// Says what is wrong with it: first what cannot be read, then what does not fit its product.
pub(super) fn ticket(state: &State, account: &str, wanted: &Wanted) -> Result<Ticket, Wrong> {
    let side = match wanted.side.as_str() {
        "BUY" => Side::Buy,
        "SELL" => Side::Sell,
        _ => return Err(Failure::new("INVALID_SIDE", "side is wrong").into()),
    };
    let shape = shape(wanted, side)?;
    let unknown = || Failure::new("INVALID_PRODUCT_ID", "ProductID is invalid");
    let instrument = find(state, &wanted.product_id).ok_or_else(unknown)?;
    if !trades(state, instrument) {
        return Err(
            Failure::new("ORDER_ENTRY_DISABLED", "Orderbook is in limit only or cancel only mode").into()
        );
    }
    let empty = || Failure::new("INVALID_NO_LIQUIDITY", "No liquidity is available");
    let quote = state.book.feed().quote(&instrument.symbol).ok_or_else(empty)?;
    let price = shape.kind.limit().unwrap_or_else(|| quote.touch(side));
    let steps = &instrument.increments;
    let fits = match shape.size {
        Size::Qty(qty) => steps.check(Some(qty), Some(price)),
        Size::Notional(money) => steps.check_notional(money),
    };
    fits.map_err(Failure::misfit)?;
    if let Some(stop) = shape.kind.stop() {
        steps.check_price(stop).map_err(Failure::misfit)?;
        let upwards = (side == Side::Buy) != shape.terms.on_gain;
        if upwards && stop <= quote.last {
            let why = "PREVIEW_STOP_PRICE_BELOW_LAST_TRADE_PRICE";
            return Err(Failure::preview(why, "Stop price must be above the last price").into());
        }
        if !upwards && stop >= quote.last {
            let why = "PREVIEW_STOP_PRICE_ABOVE_LAST_TRADE_PRICE";
            return Err(Failure::preview(why, "Stop price must be below the last price").into());
        }
    }
    let name = &wanted.client_order_id;
    Ok(Ticket {
        account: account.to_owned(),
        // An empty name is one that Coinbase makes up.
        client_order_id: (!name.is_empty()).then(|| name.clone()),
        symbol: instrument.symbol.clone(),
        side,
        kind: shape.kind,
        tif: shape.tif,
        size: shape.size,
        extended_hours: false,
        class: Class::Simple,
        exits: Exits::default(),
        terms: Terms { memo: Value::Object(wanted.order_configuration.clone()), ..shape.terms },
    })
}
