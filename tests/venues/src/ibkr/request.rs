//! What the gateway takes as orders, and what it says about the rest.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::Value;

use super::contracts;
use super::errors::{Error, duplicate};
use super::gateway::Gateway;
use super::wire::Number;
use crate::book::{Class, Exits, Kind, Side, Size, Terms, Ticket, Tif, Trail};
use crate::world::{Instrument, State};

/// The most orders that may hang on one: they are rivals of one another.
const CHILDREN_MAX: usize = 2;

/// A body of `POST /iserver/account/{account}/orders`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrdersRequest {
    pub(super) orders: Vec<OrderRequest>,
}

/// One order as it is asked for. What begins with an underscore is taken, and of no effect here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct OrderRequest {
    acct_id: Option<String>,
    conid: Option<i64>,
    conidex: Option<String>,
    sec_type: Option<String>,
    #[serde(rename = "cOID")]
    pub(super) coid: Option<String>,
    parent_id: Option<String>,
    order_type: Option<String>,
    side: Option<String>,
    tif: Option<String>,
    quantity: Option<Number>,
    cash_qty: Option<Number>,
    price: Option<Number>,
    aux_price: Option<Number>,
    trailing_type: Option<String>,
    trailing_amt: Option<Number>,
    #[serde(rename = "outsideRTH")]
    outside_rth: Option<bool>,
    is_single_group: Option<bool>,
    all_or_none: Option<bool>,
    strategy: Option<String>,
    #[serde(rename = "listingExchange")]
    _listing_exchange: Option<String>,
    #[serde(rename = "ticker")]
    _ticker: Option<String>,
    #[serde(rename = "referrer")]
    _referrer: Option<String>,
    #[serde(rename = "useAdaptive")]
    _use_adaptive: Option<bool>,
    #[serde(rename = "manualIndicator")]
    _manual_indicator: Option<bool>,
    #[serde(rename = "extOperator")]
    _ext_operator: Option<String>,
    #[serde(rename = "isClose")]
    _is_close: Option<bool>,
    #[serde(rename = "strategyParameters")]
    _strategy_parameters: Option<Value>,
}

/// One order, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) ticket: Ticket,
    pub(super) coid: Option<String>,
    /// The name of the order it hangs on.
    pub(super) parent: Option<String>,
    /// Its size came as an amount of money.
    pub(super) by_cash: bool,
    /// One of the others cancels it.
    single_group: bool,
}

/// Orders that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Batch {
    /// One order.
    One(Box<Wanted>),
    /// An order, and those that wait for it; one that could not be read says why.
    Family(Box<Wanted>, Vec<Result<Wanted, Error>>),
    /// Orders that wait for one that was placed before.
    Children(String, Vec<Result<Wanted, Error>>),
    /// Two orders of which one cancels the other.
    Rivals(Box<(Wanted, Wanted)>),
}

impl Batch {
    /// Returns its orders, as far as they could be read.
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        let read = |children: &[Result<Wanted, Error>]| -> Vec<Wanted> {
            children.iter().filter_map(|child| child.as_ref().ok().cloned()).collect()
        };
        match self {
            Self::One(one) => vec![(**one).clone()],
            Self::Family(parent, children) => {
                std::iter::once((**parent).clone()).chain(read(children)).collect()
            }
            Self::Children(_, children) => read(children),
            Self::Rivals(both) => vec![both.0.clone(), both.1.clone()],
        }
    }

    /// Returns the name of its first order.
    pub(super) fn coid(&self) -> Option<&str> {
        match self {
            Self::One(first) | Self::Family(first, _) => first.coid.as_deref(),
            Self::Rivals(both) => both.0.coid.as_deref(),
            Self::Children(parent, _) => Some(parent),
        }
    }
}

/// Returns the orders that a request asks for.
///
/// # Errors
///
/// Says what is wrong with them. What is wrong with an order that hangs on another ends only that one.
pub(super) fn batch(
    state: &State,
    gateway: &Gateway,
    now: DateTime<Utc>,
    orders: &[OrderRequest],
) -> Result<Batch, Error> {
    let mut names: Vec<&str> = Vec::new();
    for coid in orders.iter().filter_map(|order| order.coid.as_deref()) {
        if gateway.is_taken(coid, now) || names.contains(&coid) {
            return Err(duplicate(coid));
        }
        names.push(coid);
    }
    let unrelated =
        || Error::reject("Order couldn't be submitted: unrelated orders cannot be placed in bulk");
    let read = |order: &OrderRequest| wanted(state, gateway, order);
    match orders {
        [] => Err(Error::bad("orders is required")),
        [one] => {
            let one = read(one)?;
            Ok(match one.parent.clone() {
                Some(parent) => Batch::Children(known(state, gateway, parent)?, vec![Ok(one)]),
                None => Batch::One(Box::new(one)),
            })
        }
        [first, rest @ ..] if rest.iter().all(|order| order.parent_id.is_some()) => {
            let children = |all: &[OrderRequest]| -> Result<Vec<Result<Wanted, Error>>, Error> {
                if all.len() > CHILDREN_MAX {
                    return Err(Error::reject("Order couldn't be submitted: too many attached orders"));
                }
                Ok(all.iter().map(read).collect())
            };
            let ours = first.parent_id.as_deref().or(first.coid.as_deref());
            if rest.iter().any(|order| order.parent_id.as_deref() != ours) {
                return Err(Error::reject("Order couldn't be submitted: parent order not found"));
            }
            match &first.parent_id {
                Some(parent) => {
                    Ok(Batch::Children(known(state, gateway, parent.clone())?, children(orders)?))
                }
                None => {
                    let parent = read(first)?;
                    let side = parent.ticket.side;
                    let opposite = |child: Result<Wanted, Error>| {
                        child.and_then(|child| {
                            let words = "an attached order must be on the other side of its parent";
                            if child.ticket.side == side { Err(Error::reject(words)) } else { Ok(child) }
                        })
                    };
                    let children = children(rest)?.into_iter().map(opposite).collect();
                    Ok(Batch::Family(Box::new(parent), children))
                }
            }
        }
        [one, other] => {
            let (one, other) = (read(one)?, read(other)?);
            let grouped = one.single_group && other.single_group;
            let alone = one.parent.is_none() && other.parent.is_none();
            let alike = one.ticket.symbol == other.ticket.symbol;
            if grouped && alone && alike {
                Ok(Batch::Rivals(Box::new((one, other))))
            } else {
                Err(unrelated())
            }
        }
        _ => Err(unrelated()),
    }
}

fn known(state: &State, gateway: &Gateway, parent: String) -> Result<String, Error> {
    let found = gateway.named(&parent).and_then(|id| state.book.order(id));
    let found = found.filter(|order| order.status.is_open());
    found.map(|_| parent).ok_or_else(|| Error::reject("Order couldn't be submitted: parent order not found"))
}

/// Returns the order that a request asks for.
pub(super) fn wanted(state: &State, gateway: &Gateway, request: &OrderRequest) -> Result<Wanted, Error> {
    let account = gateway.account.as_str();
    if let Some(other) = request.acct_id.as_deref().filter(|named| *named != account) {
        return Err(Error::bad(&format!("accountId is not valid: {other}")));
    }
    let standing = state.directory.standing(account);
    if !standing.is_some_and(crate::account::Standing::may_trade) {
        return Err(Error::reject("No trading permissions."));
    }
    let instrument = instrument(state, request)?;
    let side = match request.side.as_deref() {
        Some("BUY") => Side::Buy,
        Some("SELL") => Side::Sell,
        Some(other) => return Err(Error::bad(&format!("side is not valid: {other}"))),
        None => return Err(Error::bad("side is required")),
    };
    let tif = match request.tif.as_deref() {
        Some("DAY") => Tif::Day,
        Some("GTC") => Tif::Gtc,
        Some("IOC") => Tif::Ioc,
        Some("OPG") => Tif::Opg,
        Some(other @ ("PAX" | "OVT" | "OND")) => {
            return Err(Error::reject(format!("Time in force {other} is not supported for this contract.")));
        }
        Some(other) => return Err(Error::bad(&format!("tif is not valid: {other}"))),
        None => return Err(Error::bad("tif is required")),
    };
    if request.all_or_none == Some(true) || request.strategy.is_some() {
        return Err(Error::reject("This order attribute is not supported for this contract."));
    }
    if request.coid.is_some() && request.parent_id.is_some() {
        return Err(Error::reject("Order couldn't be submitted: an attached order takes no cOID"));
    }
    if request.coid.as_deref() == Some("") {
        return Err(Error::bad("cOID is not valid"));
    }
    let kind = kind(request)?;
    let outside = request.outside_rth.unwrap_or(false);
    if outside && matches!(kind, Kind::Stop { .. } | Kind::TrailingStop { .. }) {
        return Err(Error::reject("Outside RTH is not supported for this order type."));
    }
    let size = size(state, gateway, instrument, request, side)?;
    if side == Side::Sell && !instrument.shortable {
        let owned =
            state.book.account(account).map(|owned| owned.qty(&instrument.symbol)).unwrap_or_default();
        if size > owned && request.parent_id.is_none() {
            return Err(Error::reject("The contract is not available for short sale."));
        }
    }
    let ticket = Ticket {
        account: account.to_owned(),
        client_order_id: request.coid.clone(),
        symbol: instrument.symbol.clone(),
        side,
        kind,
        tif,
        size: Size::Qty(size),
        // A market order does not care, and trades in regular hours only.
        extended_hours: outside && kind != Kind::Market,
        class: Class::Simple,
        exits: Exits::default(),
        terms: Terms::default(),
    };
    Ok(Wanted {
        ticket,
        coid: request.coid.clone(),
        parent: request.parent_id.clone(),
        by_cash: request.cash_qty.is_some(),
        single_group: request.is_single_group.unwrap_or(false),
    })
}

fn instrument<'a>(state: &'a State, request: &OrderRequest) -> Result<&'a Instrument, Error> {
    let conid = match (request.conid, request.conidex.as_deref()) {
        (Some(conid), None) => conid,
        (None, Some(text)) => {
            let number = text.split_once('@').map_or(text, |(number, _)| number);
            number.parse().map_err(|_| Error::bad(&format!("conidex is not valid: {text}")))?
        }
        (Some(_), Some(_)) => return Err(Error::bad("only one of conid and conidex is taken")),
        (None, None) => return Err(Error::bad("conid is required")),
    };
    if let Some(text) = request.sec_type.as_deref()
        && text != "STK"
        && text != format!("{conid}:STK")
    {
        return Err(Error::bad(&format!("secType is not valid: {text}")));
    }
    let found = contracts::of_conid(state, conid).filter(|found| found.active);
    let found = found.ok_or_else(|| Error::reject(format!("Contract not found: {conid}")))?;
    if found.tradable { Ok(found) } else { Err(Error::reject("No trading permissions.")) }
}

fn kind(request: &OrderRequest) -> Result<Kind, Error> {
    let text = request.order_type.as_deref().ok_or_else(|| Error::bad("orderType is required"))?;
    let price = request.price.map(price).transpose()?;
    let aux = request.aux_price.map(self::price).transpose()?;
    let trail = trail(request)?;
    let missing = |what: &str| Error::bad(&format!("{what} is required for {text}"));
    let needless = || Error::bad(&format!("price, auxPrice or trailingAmt is not taken for {text}"));
    match (text, price, aux, trail) {
        ("MKT", None, None, None) => Ok(Kind::Market),
        ("LMT", Some(limit), None, None) => Ok(Kind::Limit { limit }),
        ("STP", Some(stop), None, None) => Ok(Kind::Stop { stop }),
        ("STOP_LIMIT", Some(limit), Some(stop), None) => Ok(Kind::StopLimit { stop, limit }),
        // Where it first stands follows from the last price, whatever the request says.
        ("TRAIL", _, None, Some(trail)) => Ok(Kind::TrailingStop { trail }),
        ("LMT" | "STP" | "STOP_LIMIT", None, ..) => Err(missing("price")),
        ("STOP_LIMIT", _, None, _) => Err(missing("auxPrice")),
        ("TRAIL", _, _, None) => Err(missing("trailingAmt")),
        ("MKT" | "LMT" | "STP" | "STOP_LIMIT" | "TRAIL", ..) => Err(needless()),
        ("TRAILLMT" | "MIDPRICE" | "LOC" | "MOC" | "LIT" | "MIT" | "REL", ..) => {
            Err(Error::reject(format!("Order type {text} is not supported for this contract.")))
        }
        _ => Err(Error::bad(&format!("orderType is not valid: {text}"))),
    }
}

fn price(number: Number) -> Result<Decimal, Error> {
    let price = number.0.normalize();
    let steps = price.checked_rem(contracts::increment(price));
    if price > Decimal::ZERO && steps.is_some_and(|rest| rest.is_zero()) {
        Ok(price)
    } else {
        Err(Error::reject("The price does not conform to the minimum price variation for this contract."))
    }
}

fn trail(request: &OrderRequest) -> Result<Option<Trail>, Error> {
    let amount = match request.trailing_amt {
        Some(amount) if amount.0 > Decimal::ZERO => amount.0,
        Some(_) => return Err(Error::bad("trailingAmt is not valid")),
        None if request.trailing_type.is_some() => return Err(Error::bad("trailingAmt is required")),
        None => return Ok(None),
    };
    match request.trailing_type.as_deref() {
        Some("amt") => Ok(Some(Trail::Price(amount))),
        Some("%") if amount < Decimal::ONE_HUNDRED => Ok(Some(Trail::Percent(amount))),
        Some(other) => Err(Error::bad(&format!("trailingType is not valid: {other}"))),
        None => Err(Error::bad("trailingType is required")),
    }
}

fn size(
    state: &State,
    gateway: &Gateway,
    instrument: &Instrument,
    request: &OrderRequest,
    side: Side,
) -> Result<Decimal, Error> {
    let fractions = gateway.fractions && instrument.fractionable;
    let size = match (request.quantity, request.cash_qty) {
        (Some(qty), None) => qty.0,
        (None, Some(money)) => {
            let quote = state.book.feed().quote(&instrument.symbol);
            let qty = quote.and_then(|quote| money.0.checked_div(quote.touch(side)));
            // Down to whole shares, as documented.
            qty.map(|qty| qty.trunc()).unwrap_or_default()
        }
        (Some(_), Some(_)) => return Err(Error::bad("only one of quantity and cashQty is taken")),
        (None, None) => return Err(Error::bad("quantity is required")),
    };
    let size = size.normalize();
    if size <= Decimal::ZERO {
        return Err(Error::reject("The order size must be greater than zero."));
    }
    if size.scale() > if fractions { 4 } else { 0 } {
        return Err(Error::reject(
            "The order size does not conform to the minimum size variation for this contract.",
        ));
    }
    Ok(size)
}
