//! What Gemini's JSON looks like.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::{Map, Number, Value, json};

use crate::book::{Balance, Event, Kind, Order, OrderId, Side, Status, Tif, Trade, What};
use crate::feed::Quote;
use crate::instrument::Instrument;

/// The number before the first order's: so large that no float can carry it.
const ORDERS: u64 = 73_797_746_498_585_286;
/// The number before the first trade's.
const TRADES: u64 = 2_840_140_956_529_622;
/// How much there is at every price: the book does not count it.
const DEPTH: &str = "100";

/// Returns an amount as Gemini writes it.
pub(super) fn amount(number: Decimal) -> String {
    number.normalize().to_string()
}

/// Returns a symbol as Gemini writes it.
pub(super) fn symbol(symbol: &str) -> String {
    symbol.replace('/', "").to_lowercase()
}

/// Returns the number that an order is shown under.
pub(super) fn number(id: OrderId) -> u64 {
    ORDERS + id.0
}

/// Returns the order of the book that is shown under a number.
pub(super) fn order_id(number: u64) -> Option<OrderId> {
    number.checked_sub(ORDERS).map(OrderId)
}

fn options(tif: Tif) -> Vec<&'static str> {
    match tif {
        Tif::Ioc => vec!["immediate-or-cancel"],
        Tif::Fok => vec!["fill-or-kill"],
        Tif::Gtc | Tif::Day | Tif::Opg | Tif::Cls => Vec::new(),
    }
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    }
}

/// Returns why an order ended that its owner did not cancel.
fn reason(order: &Order) -> Option<&'static str> {
    match (order.status, order.ticket.tif) {
        (Status::Canceled, Tif::Ioc) => Some("ImmediateOrCancelWouldPost"),
        (Status::Canceled, Tif::Fok) => Some("FillOrKillWouldNotFill"),
        (Status::Rejected, _) => Some("InsufficientFunds"),
        _ => None,
    }
}

/// Returns an order.
pub(super) fn order(order: &Order) -> Value {
    let id = number(order.id).to_string();
    let stops = matches!(order.ticket.kind, Kind::StopLimit { .. });
    let mut shown = json!({
        "order_id": id, "id": id,
        "symbol": symbol(&order.ticket.symbol),
        "exchange": "gemini",
        "avg_execution_price": amount(order.average().unwrap_or_default()),
        "side": side(order.ticket.side),
        "type": if stops { "stop-limit" } else { "exchange limit" },
        "timestamp": order.created_at.timestamp().to_string(),
        "timestampms": order.created_at.timestamp_millis(),
        "is_live": order.status.is_open(),
        "is_cancelled": !order.status.is_open() && order.status != Status::Filled,
        "is_hidden": false,
        "was_forced": false,
        "executed_amount": amount(order.filled_qty),
        "client_order_id": order.client_order_id,
        "options": options(order.ticket.tif),
        "price": amount(order.limit().unwrap_or_default()),
        "original_amount": amount(order.qty.unwrap_or_default()),
        "remaining_amount": amount(order.leaves()),
    });
    if let Some(fields) = shown.as_object_mut() {
        if let Some(stop) = order.ticket.kind.stop() {
            fields.insert("stop_price".to_owned(), json!(amount(stop)));
        }
        if let Some(reason) = reason(order) {
            fields.insert("reason".to_owned(), json!(reason));
        }
    }
    shown
}

/// Returns a trade of an account.
pub(super) fn trade(trade: &Trade, of: &Order) -> Value {
    let execution = &trade.execution;
    let fee = execution.fee.as_ref();
    json!({
        "price": amount(execution.price),
        "amount": amount(execution.qty),
        "timestamp": trade.at.timestamp(),
        "timestampms": trade.at.timestamp_millis(),
        "type": if of.ticket.side == Side::Buy { "Buy" } else { "Sell" },
        "aggressor": !execution.maker,
        "fee_currency": fee.map(|fee| fee.asset.as_str()).unwrap_or_default(),
        "fee_amount": amount(fee.map(|fee| fee.amount).unwrap_or_default()),
        "tid": TRADES + execution.id,
        "order_id": number(of.id).to_string(),
        "client_order_id": of.client_order_id,
        "exchange": "gemini",
        "is_auction_fill": false,
    })
}

/// Returns what an account has of one currency.
pub(super) fn balance(has: &Balance) -> Value {
    json!({
        "type": "exchange",
        "currency": has.asset,
        "amount": amount(has.free + has.locked),
        "available": amount(has.free),
        "availableForWithdrawal": amount(has.free),
    })
}

/// Returns a symbol's rules.
pub(super) fn details(listed: &Instrument, status: &str) -> Value {
    let steps = &listed.increments;
    // Numbers, as Gemini writes them.
    let step = |step: Option<Decimal>| step.unwrap_or(Decimal::ONE).to_string().parse::<Number>().ok();
    json!({
        "symbol": symbol(&listed.symbol).to_uppercase(),
        "base_currency": listed.base(),
        "quote_currency": listed.quote(),
        "tick_size": step(steps.qty_step),
        "quote_increment": step(steps.price_tick),
        "min_order_size": amount(steps.qty_min.or(steps.qty_step).unwrap_or(Decimal::ONE)),
        "status": status,
        "wrap_enabled": false,
        "product_type": "spot",
    })
}

/// Returns the best prices of a symbol.
pub(super) fn ticker(listed: &Instrument, quote: &Quote) -> Value {
    let volume = json!({
        listed.base(): DEPTH, listed.quote(): amount(Decimal::ONE_HUNDRED * quote.last),
        "timestamp": quote.at.timestamp_millis(),
    });
    json!({"bid": amount(quote.bid), "ask": amount(quote.ask), "last": amount(quote.last), "volume": volume})
}

/// Returns the best prices of a symbol as the stream tells them.
pub(super) fn best(of: &str, quote: &Quote, number: u64) -> Value {
    json!({
        "u": number, "E": nanos(quote.at), "s": symbol(of),
        "b": amount(quote.bid), "B": DEPTH, "a": amount(quote.ask), "A": DEPTH,
    })
}

fn nanos(at: DateTime<Utc>) -> i64 {
    at.timestamp_nanos_opt().unwrap_or_default()
}

/// Returns the news that something that happened to an order makes.
pub(super) fn news(event: &Event) -> Vec<Value> {
    let words: &[&str] = match event.what {
        What::Accepted | What::Held => &["NEW"],
        What::New => &["NEW", "OPEN"],
        What::PartialFill(_) => &["PARTIALLY_FILLED"],
        What::Fill(_) => &["FILLED"],
        What::Canceled | What::Expired | What::Replaced => &["CANCELED"],
        What::Rejected => &["REJECTED"],
        What::Restated => &["MODIFIED"],
        What::PendingCancel => &[],
    };
    words.iter().map(|word| one_news(event, word)).collect()
}

/// What is empty or zero is left out.
fn one_news(event: &Event, status: &str) -> Value {
    let order = &event.order;
    let execution = event.what.execution();
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    put("E", json!(nanos(event.at)));
    put("s", json!(symbol(&order.ticket.symbol)));
    put("i", json!(number(order.id)));
    put("c", json!(order.client_order_id));
    put("S", json!(side(order.ticket.side).to_uppercase()));
    put("o", json!("LIMIT"));
    put("X", json!(status));
    put("T", json!(nanos(event.at)));
    // Of an execution, its size; of a cancel, all that was executed.
    let executed = match execution {
        Some(execution) => execution.qty,
        None if status == "CANCELED" => order.filled_qty,
        None => Decimal::ZERO,
    };
    let amounts = [
        ("p", order.limit()),
        ("P", order.ticket.kind.stop()),
        ("q", order.qty),
        ("z", Some(order.leaves())),
        ("Z", Some(executed)),
        ("L", execution.map(|execution| execution.price)),
    ];
    for (name, number) in amounts {
        if let Some(number) = number.filter(|number| !number.is_zero()) {
            put(name, json!(amount(number)));
        }
    }
    if let Some(execution) = execution {
        put("t", json!(TRADES + execution.id));
    }
    if let Some(reason) = reason(order) {
        put("r", json!(reason));
    }
    Value::Object(shown)
}
