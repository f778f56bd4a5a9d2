//! What Bybit's JSON looks like. Amounts are text, and an empty one is none.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use crate::book::{Balance, Event, Execution, Order, OrderId, Side, Size, Status, Tif, What};
use crate::feed::Quote;
use crate::instrument::Instrument;

/// What the numbers of orders begin above.
const FIRST_ID: u64 = 1_321_052_653_536_515_000;
/// How much there is at every price: the book does not count it.
const DEPTH: &str = "100";
/// The finest step there is.
const FINEST: Decimal = Decimal::from_parts(1, 0, 0, false, 8);

/// Returns an answer with what is around it.
pub(super) fn envelope(code: i64, words: &str, result: Value, now: DateTime<Utc>) -> Value {
    json!({"retCode": code, "retMsg": words, "result": result, "retExtInfo": {}, "time": now.timestamp_millis()})
}

/// Returns an amount as Bybit writes it.
pub(super) fn amount(number: Decimal) -> String {
    number.normalize().to_string()
}

fn maybe(number: Option<Decimal>) -> String {
    number.map_or_else(String::new, amount)
}

fn time(at: DateTime<Utc>) -> String {
    at.timestamp_millis().to_string()
}

/// Returns a symbol as Bybit writes it.
pub(super) fn symbol(symbol: &str) -> String {
    symbol.replace('/', "")
}

/// Returns the number of an order.
pub(super) fn order_id(id: OrderId) -> String {
    FIRST_ID.saturating_add(id.0).to_string()
}

/// Reads the number of an order.
pub(super) fn read_id(text: &str) -> Option<OrderId> {
    text.parse::<u64>().ok()?.checked_sub(FIRST_ID).map(OrderId)
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "Buy",
        Side::Sell => "Sell",
    }
}

fn is_market(order: &Order) -> bool {
    order.limit().is_none()
}

fn tif(order: &Order) -> &'static str {
    match order.ticket.tif {
        _ if is_market(order) => "IOC",
        Tif::Ioc => "IOC",
        Tif::Fok => "FOK",
        Tif::Gtc | Tif::Day | Tif::Opg | Tif::Cls if order.ticket.terms.post_only => "PostOnly",
        Tif::Gtc | Tif::Day | Tif::Opg | Tif::Cls => "GTC",
    }
}

/// Returns where an order is in its life.
fn status(order: &Order) -> &'static str {
    match order.status {
        Status::Filled => "Filled",
        Status::Rejected => "Rejected",
        Status::Canceled | Status::Expired | Status::Replaced if !order.filled_qty.is_zero() => {
            "PartiallyFilledCanceled"
        }
        Status::Canceled | Status::Expired | Status::Replaced if !order.is_awake() => "Deactivated",
        Status::Canceled | Status::Expired | Status::Replaced => "Cancelled",
        Status::Accepted | Status::Held | Status::New | Status::PartiallyFilled | Status::PendingCancel => {
            match (order.is_awake(), order.filled_qty.is_zero()) {
                (false, _) => "Untriggered",
                (true, true) => "New",
                (true, false) => "PartiallyFilled",
            }
        }
    }
}

fn reject_reason(order: &Order) -> &'static str {
    match (order.status, order.ticket.tif) {
        (Status::Rejected, _) => "EC_Others",
        (Status::Canceled, Tif::Fok) => "EC_NoEnoughQtyToFill",
        (Status::Canceled, Tif::Ioc) => "EC_NoImmediateQtyToFill",
        _ => "EC_NoError",
    }
}

/// Returns what was asked for: units, or money where that was the unit.
fn asked(order: &Order) -> Decimal {
    match order.ticket.size {
        Size::Qty(qty) => qty,
        Size::Notional(money) => money,
    }
}

/// Returns an order as it is shown.
pub(super) fn order(order: &Order) -> Value {
    let trigger = order.ticket.kind.stop();
    json!({
        "orderId": order_id(order.id),
        "orderLinkId": order.client_order_id,
        "symbol": symbol(&order.ticket.symbol),
        "side": side(order.ticket.side),
        "orderType": if is_market(order) { "Market" } else { "Limit" },
        "price": amount(order.limit().unwrap_or_default()),
        "qty": amount(asked(order)),
        "orderStatus": status(order),
        "avgPrice": maybe(order.average()),
        "cumExecQty": amount(order.filled_qty),
        "cumExecValue": amount(order.filled_value),
        "leavesQty": amount(if order.status.is_open() { order.leaves() } else { Decimal::ZERO }),
        "cumExecFee": "",
        "timeInForce": tif(order),
        "rejectReason": reject_reason(order),
        "cancelType": if order.status == Status::Canceled { "CancelByUser" } else { "UNKNOWN" },
        "triggerPrice": maybe(trigger),
        "stopOrderType": if trigger.is_some() { "tpslOrder" } else { "" },
        "createdTime": time(order.created_at),
        "updatedTime": time(order.times.updated.unwrap_or(order.created_at)),
    })
}

/// Returns an execution as it is shown.
pub(super) fn execution(order: &Order, execution: &Execution, at: DateTime<Utc>) -> Value {
    let fee = execution.fee.as_ref();
    json!({
        "symbol": symbol(&order.ticket.symbol),
        "orderId": order_id(order.id),
        "orderLinkId": order.client_order_id,
        "execId": FIRST_ID.saturating_add(execution.id).to_string(),
        "execPrice": amount(execution.price),
        "execQty": amount(execution.qty),
        "execValue": amount(execution.price * execution.qty),
        "execFee": maybe(fee.map(|fee| fee.amount)),
        "feeCurrency": fee.map(|fee| fee.asset.as_str()).unwrap_or_default(),
        "side": side(order.ticket.side),
        "isMaker": execution.maker,
        "execType": "Trade",
        "execTime": time(at),
        "seq": execution.id,
    })
}

/// Returns the topics and frames that an event makes. Which of an execution and its order comes first changes.
pub(super) fn news(event: &Event) -> Vec<(&'static str, Value)> {
    if matches!(event.what, What::PendingCancel | What::Restated) {
        return Vec::new();
    }
    let frame = |topic: &'static str, row: Value| (topic, framed(event, topic, row));
    let mut told = vec![frame("order", order(&event.order))];
    if let Some(done) = event.what.execution() {
        told.push(frame("execution", execution(&event.order, done, event.at)));
        if event.number.is_multiple_of(2) {
            told.reverse();
        }
    }
    told
}

fn framed(event: &Event, topic: &str, row: Value) -> Value {
    let mut fields = Map::new();
    fields.insert("category".to_owned(), json!("spot"));
    if let Value::Object(row) = row {
        fields.extend(row);
    }
    json!({
        "id": format!("{}-{topic}", event.number),
        "topic": topic,
        "creationTime": event.at.timestamp_millis(),
        "data": [fields],
    })
}

/// Returns what an account has of one coin.
pub(super) fn coin(has: &Balance) -> Value {
    let all = has.free + has.locked;
    json!({
        "coin": has.asset,
        "equity": amount(all),
        "walletBalance": amount(all),
        "locked": amount(has.locked),
        "unrealisedPnl": "0",
        "usdValue": "",
        "availableToWithdraw": "",
    })
}

/// Returns the best prices of a symbol.
pub(super) fn ticker(of: &str, quote: &Quote) -> Value {
    json!({
        "symbol": symbol(of),
        "bid1Price": amount(quote.bid), "bid1Size": DEPTH,
        "ask1Price": amount(quote.ask), "ask1Size": DEPTH,
        "lastPrice": amount(quote.last),
    })
}

/// Returns the best prices of a symbol as the stream tells them.
pub(super) fn best(of: &str, quote: &Quote, number: u64) -> Value {
    let name = symbol(of);
    json!({
        "topic": format!("orderbook.1.{name}"),
        "type": "snapshot",
        "ts": quote.at.timestamp_millis(),
        "data": {
            "s": name,
            "b": [[amount(quote.bid), DEPTH]],
            "a": [[amount(quote.ask), DEPTH]],
            "u": number,
            "seq": number,
        },
    })
}

/// Returns a symbol's rules.
pub(super) fn instrument(instrument: &Instrument, is_trading: bool) -> Value {
    let steps = &instrument.increments;
    json!({
        "symbol": symbol(&instrument.symbol),
        "baseCoin": instrument.base(),
        "quoteCoin": instrument.quote(),
        "innovation": "0",
        "status": if is_trading { "Trading" } else { "Closed" },
        "marginTrading": "none",
        "lotSizeFilter": {
            "basePrecision": amount(steps.qty_step.unwrap_or(FINEST)),
            "quotePrecision": amount(FINEST),
            "minOrderQty": amount(steps.qty_min.or(steps.qty_step).unwrap_or(FINEST)),
            "maxOrderQty": maybe(steps.qty_max),
            "minOrderAmt": amount(steps.notional_min.unwrap_or_default()),
            "maxOrderAmt": "",
            "maxLimitOrderQty": maybe(steps.qty_max),
            "maxMarketOrderQty": maybe(steps.qty_max),
        },
        "priceFilter": {"tickSize": amount(steps.price_tick.unwrap_or(FINEST))},
    })
}
