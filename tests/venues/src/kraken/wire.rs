//! What Kraken's JSON looks like: amounts are text over REST, and numbers on the streams.

use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::{Value, json};

use super::names;
use crate::book::{Event, Execution, Kind, Order, OrderId, Side, Status, Ticket, Tif, Trade, Trail, What};
use crate::feed::Quote;
use crate::instrument::Instrument;
use crate::world::State;

/// Returns an amount with eight digits.
pub(super) fn amount(number: Decimal) -> String {
    format!("{number:.8}")
}

/// Returns a price with at least one digit.
fn price(number: Decimal) -> String {
    let number = number.normalize();
    if number.scale() == 0 { format!("{number:.1}") } else { number.to_string() }
}

fn cost(number: Decimal) -> String {
    format!("{number:.5}")
}

/// Returns an amount as a number.
fn number(number: Decimal) -> Value {
    json!(number.to_f64())
}

/// Returns a time as it stands on the streams and in deadlines.
pub(super) fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Returns a time as it stands in orders: seconds, and their parts.
pub(super) fn seconds(at: DateTime<Utc>) -> Decimal {
    Decimal::new(at.timestamp_micros(), 6)
}

fn numbered(letter: char, id: u64) -> String {
    let digits = format!("{id:016}");
    let (first, rest) = digits.split_at(5);
    let (second, third) = rest.split_at(5);
    format!("{letter}{first}-{second}-{third}")
}

/// Returns what Kraken calls an order.
pub(super) fn txid(id: OrderId) -> String {
    numbered('O', id.0)
}

/// Returns what Kraken calls a trade.
pub(super) fn trade_id(id: u64) -> String {
    numbered('T', id)
}

/// Returns the order of the book that Kraken calls so.
pub(super) fn order_id(txid: &str) -> Option<OrderId> {
    let number = txid.strip_prefix('O')?.replace('-', "").parse().ok()?;
    Some(OrderId(number)).filter(|id| self::txid(*id) == txid)
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

fn memo<'a>(ticket: &'a Ticket, name: &str) -> &'a str {
    ticket.terms.memo.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Returns what the pair of a symbol is called in requests.
fn named(state: &State, symbol: &str) -> String {
    state.instruments.get(symbol).map(names::pair).unwrap_or_default()
}

/// Returns an order in Kraken's prose.
pub(super) fn described(state: &State, ticket: &Ticket) -> String {
    let kind = memo(ticket, "ordertype");
    let (first, second) = (memo(ticket, "price"), memo(ticket, "price2"));
    let how = match ticket.kind {
        Kind::Market => "market".to_owned(),
        Kind::Limit { limit } => format!("limit {}", price(limit)),
        Kind::Stop { stop } => format!("{} {}", kind.replace('-', " "), price(stop)),
        Kind::StopLimit { stop, limit } => {
            let words = kind.trim_end_matches("-limit").replace('-', " ");
            format!("{words} {} -> limit {}", price(stop), price(limit))
        }
        Kind::TrailingStop { .. } if second.is_empty() => format!("trailing stop {first}"),
        Kind::TrailingStop { .. } => format!("trailing stop {first} -> limit {second}"),
    };
    let qty = match ticket.size {
        crate::book::Size::Qty(qty) | crate::book::Size::Notional(qty) => qty,
    };
    format!("{} {} {} @ {how}", side(ticket.side), amount(qty), named(state, &ticket.symbol))
}

/// Returns where an order is in its life, over REST.
fn status(order: &Order) -> &'static str {
    match order.status {
        Status::Accepted | Status::Held => "pending",
        Status::New | Status::PartiallyFilled | Status::PendingCancel => "open",
        Status::Filled => "closed",
        Status::Canceled | Status::Replaced | Status::Rejected => "canceled",
        Status::Expired => "expired",
    }
}

/// Returns why an order ended before all of it was done, if it did.
fn reason(order: &Order) -> Option<String> {
    let own = || match order.status {
        Status::Rejected => Some("Insufficient funds".to_owned()),
        Status::Canceled if order.ticket.tif == Tif::Ioc => Some("Immediate or cancel".to_owned()),
        Status::Canceled => Some("Unsolicited".to_owned()),
        Status::Accepted
        | Status::Held
        | Status::New
        | Status::PartiallyFilled
        | Status::PendingCancel
        | Status::Filled
        | Status::Expired
        | Status::Replaced => None,
    };
    if order.status.is_open() { None } else { order.canceled_as.clone().or_else(own) }
}

/// Returns the prices an order is described by: what it waits for, and its limit behind that.
fn prices(order: &Order) -> (String, String) {
    let zero = || "0".to_owned();
    match order.ticket.kind {
        Kind::Market => (zero(), zero()),
        Kind::Limit { limit } => (price(limit), zero()),
        Kind::Stop { stop } => (price(stop), zero()),
        Kind::StopLimit { stop, limit } => (price(stop), price(limit)),
        Kind::TrailingStop { trail } => {
            let second = memo(&order.ticket, "price2");
            let first = match trail {
                Trail::Price(far) => format!("+{}", price(far)),
                Trail::Percent(far) => format!("+{far:.4}%"),
            };
            (first, if second.is_empty() { zero() } else { second.to_owned() })
        }
    }
}

fn fee_of(execution: &Execution) -> Decimal {
    execution.fee.as_ref().map_or(Decimal::ZERO, |fee| fee.amount)
}

/// Returns an order.
pub(super) fn order(state: &State, order: &Order, with_trades: bool) -> Value {
    let ticket = &order.ticket;
    let trades: Vec<&Trade> = state.book.trades().iter().filter(|trade| trade.order == order.id).collect();
    let fee: Decimal = trades.iter().map(|trade| fee_of(&trade.execution)).sum();
    let (first, second) = prices(order);
    let or_zero = |number: Option<Decimal>| price(number.unwrap_or_default());
    let mut shown = json!({
        "refid": null, "userref": null, "cl_ord_id": ticket.client_order_id,
        "status": status(order), "reason": reason(order),
        "opentm": number(seconds(order.created_at)), "starttm": 0, "expiretm": 0,
        "descr": {
            "pair": named(state, &ticket.symbol), "type": side(ticket.side), "ordertype": memo(ticket, "ordertype"),
            "price": first, "price2": second, "leverage": "none", "order": described(state, ticket), "close": "",
        },
        "vol": amount(order.qty.unwrap_or_default()), "vol_exec": amount(order.filled_qty),
        "cost": cost(order.filled_value), "fee": cost(fee), "price": or_zero(order.average()),
        "stopprice": or_zero(order.stop_price()), "limitprice": or_zero(order.limit().filter(|_| order.triggered)),
        "misc": "", "oflags": "fciq",
    });
    if let Some(fields) = shown.as_object_mut() {
        let ended = order.times.updated.filter(|_| !order.status.is_open());
        if let Some(at) = ended {
            fields.insert("closetm".to_owned(), number(seconds(at)));
        }
        if with_trades && !trades.is_empty() {
            let ids: Vec<_> = trades.iter().map(|trade| trade_id(trade.execution.id)).collect();
            fields.insert("trades".to_owned(), json!(ids));
        }
    }
    shown
}

/// Returns a trade.
pub(super) fn trade(state: &State, trade: &Trade, of: &Order) -> Value {
    let execution = &trade.execution;
    let key = state.instruments.get(&of.ticket.symbol).map(names::key);
    json!({
        "ordertxid": txid(of.id), "postxid": "", "pair": key, "time": number(seconds(trade.at)),
        "type": side(of.ticket.side), "ordertype": memo(&of.ticket, "ordertype"),
        "price": price(execution.price), "cost": cost(execution.price * execution.qty),
        "fee": cost(fee_of(execution)), "vol": amount(execution.qty), "margin": "0.00000", "leverage": "0",
        "misc": "", "trade_id": execution.id, "maker": execution.maker,
    })
}

/// Returns a pair's rules.
pub(super) fn pair(instrument: &Instrument, status: &str) -> Value {
    let steps = &instrument.increments;
    let ((base, long_base), (quote, long_quote)) =
        (names::asset(instrument.base()), names::asset(instrument.quote()));
    let decimals = |step: Option<Decimal>| step.map_or(8, |step| step.normalize().scale());
    let text = |number: Option<Decimal>| number.map(|number| number.normalize().to_string());
    let mut shown = json!({
        "altname": names::pair(instrument), "wsname": format!("{base}/{quote}"),
        "aclass_base": "currency", "base": long_base, "aclass_quote": "currency", "quote": long_quote,
        "lot": "unit", "cost_decimals": 5, "pair_decimals": decimals(steps.price_tick),
        "lot_decimals": decimals(steps.qty_step), "lot_multiplier": 1, "leverage_buy": [], "leverage_sell": [],
        "fees": [[0, 0.25]], "fees_maker": [[0, 0.25]], "fee_volume_currency": "ZUSD",
        "margin_call": 80, "margin_stop": 40,
        "ordermin": text(steps.qty_min), "costmin": text(steps.notional_min), "tick_size": text(steps.price_tick),
        "status": status,
    });
    if let Some(fields) = shown.as_object_mut() {
        // A rule that a pair has not is left out.
        fields.retain(|_, value| !value.is_null());
    }
    shown
}

/// Returns the best prices of a pair.
pub(super) fn ticker(quote: &Quote) -> Value {
    let (bid, ask, last) = (price(quote.bid), price(quote.ask), price(quote.last));
    json!({
        "a": [ask, "100", "100.000"], "b": [bid, "100", "100.000"], "c": [last, "0.10000000"],
        "v": ["0.00000000", "0.00000000"], "p": [last, last], "t": [0, 0], "l": [last, last], "h": [last, last],
        "o": last,
    })
}

/// Returns the best prices of a pair as a stream tells them.
pub(super) fn tick(symbol: &str, quote: &Quote) -> Value {
    json!({
        "symbol": symbol, "bid": number(quote.bid), "bid_qty": 100.0, "ask": number(quote.ask), "ask_qty": 100.0,
        "last": number(quote.last), "volume": 0.0, "vwap": number(quote.last), "low": number(quote.last),
        "high": number(quote.last), "change": 0.0, "change_pct": 0.0,
    })
}

/// Returns where an order is in its life, on a stream.
fn told_status(order: &Order) -> &'static str {
    match order.status {
        Status::Accepted | Status::Held => "pending_new",
        Status::New | Status::PendingCancel if order.filled_qty.is_zero() => "new",
        Status::New | Status::PartiallyFilled | Status::PendingCancel => "partially_filled",
        Status::Filled => "filled",
        Status::Canceled | Status::Replaced | Status::Rejected => "canceled",
        Status::Expired => "expired",
    }
}

/// Returns an order as a stream tells it when it is new, or to those who begin to listen.
pub(super) fn told_whole(order: &Order, what: &str, status: Option<&str>) -> Value {
    let ticket = &order.ticket;
    let limit = order.limit().map(number);
    let mut shown = json!({
        "order_id": txid(order.id), "order_userref": 0, "symbol": ticket.symbol, "side": side(ticket.side),
        "order_type": memo(ticket, "ordertype"), "order_qty": number(order.qty.unwrap_or_default()),
        "time_in_force": if ticket.tif == Tif::Ioc { "IOC" } else { "GTC" },
        "exec_type": what, "order_status": status.unwrap_or_else(|| told_status(order)),
        "cum_qty": number(order.filled_qty), "cum_cost": number(order.filled_value),
        "avg_price": number(order.average().unwrap_or_default()), "fee_ccy_pref": "fciq", "fee_usd_equiv": 0.0,
        "timestamp": rfc3339(order.times.updated.unwrap_or(order.created_at)),
    });
    if let Some(fields) = shown.as_object_mut() {
        if let Some(name) = &ticket.client_order_id {
            fields.insert("cl_ord_id".to_owned(), json!(name));
        }
        if let Some(limit) = limit {
            fields.insert("limit_price".to_owned(), limit);
        }
    }
    shown
}

/// Returns news that say no more than where an order is now.
fn told_status_only(event: &Event, what: &str) -> Value {
    let order = &event.order;
    let mut shown = json!({
        "order_id": txid(order.id), "exec_type": what, "order_status": told_status(order),
        "timestamp": rfc3339(event.at),
    });
    if let (Some(fields), Some(reason)) = (shown.as_object_mut(), reason(order)) {
        fields.insert("reason".to_owned(), json!(reason));
    }
    shown
}

fn told_trade(event: &Event, execution: &Execution) -> Value {
    let order = &event.order;
    let fee = execution.fee.as_ref().map(|fee| json!([{"asset": fee.asset, "qty": number(fee.amount)}]));
    json!({
        "order_id": txid(order.id), "order_userref": 0, "exec_id": trade_id(execution.id), "exec_type": "trade",
        "trade_id": execution.id, "symbol": order.ticket.symbol, "side": side(order.ticket.side),
        "order_type": memo(&order.ticket, "ordertype"), "order_qty": number(order.qty.unwrap_or_default()),
        // That it was the last one is told by itself.
        "order_status": "partially_filled",
        "last_qty": number(execution.qty), "last_price": number(execution.price),
        "liquidity_ind": if execution.maker { "m" } else { "t" },
        "cost": number(execution.qty * execution.price),
        "cum_qty": number(order.filled_qty), "cum_cost": number(order.filled_value),
        "avg_price": number(order.average().unwrap_or_default()),
        "fees": fee.unwrap_or_else(|| json!([])), "fee_usd_equiv": number(fee_of(execution)),
        "timestamp": rfc3339(event.at),
    })
}

/// Returns what a stream tells of something that happened to an order, one message each.
pub(super) fn told(event: &Event) -> Vec<Value> {
    match &event.what {
        What::New => {
            vec![told_whole(&event.order, "pending_new", Some("pending_new")), told_status_only(event, "new")]
        }
        What::Accepted | What::Held => vec![told_whole(&event.order, "pending_new", Some("pending_new"))],
        What::PartialFill(execution) => vec![told_trade(event, execution)],
        What::Fill(execution) => {
            vec![told_trade(event, execution), told_status_only(event, "filled")]
        }
        What::Canceled | What::Rejected | What::Replaced => vec![told_status_only(event, "canceled")],
        What::Expired => vec![told_status_only(event, "expired")],
        What::Restated => vec![told_whole(&event.order, "restated", None)],
        What::PendingCancel => Vec::new(),
    }
}
