//! What Binance's JSON looks like.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use crate::book::{Balance, Class, Event, Kind, Order, OrderId, Side, Status, Tif, Trade, Trail, What};
use crate::feed::Quote;
use crate::instrument::Instrument;
use crate::limits::{Bound, REQUESTS};

/// The pool of weight by address: the one that everything is in.
pub(crate) const WEIGHT: &str = REQUESTS;
/// The pool of requests by address, whatever they weigh.
pub(crate) const RAW: &str = "raw";
/// The pool of orders by account.
pub(crate) const ORDERS: &str = "orders";
/// How much there is at every price: the book does not count it.
const DEPTH: &str = "100.00000000";
/// How many parts an iceberg may have.
pub(crate) const ICEBERG_PARTS: u32 = 10;
/// How many orders an account may have open in a symbol.
pub(crate) const ORDERS_MAX: usize = 200;
/// How many of them may wait for a stop.
pub(crate) const STOPS_MAX: usize = 5;
/// How far a trailing stop may stay behind, in hundredths of a percent.
pub(crate) const DELTA: (u64, u64) = (10, 2000);
/// How many times the last price a limit may be, and what part of it.
pub(crate) const MULTIPLIERS: (Decimal, Decimal) =
    (Decimal::from_parts(5, 0, 0, false, 0), Decimal::from_parts(2, 0, 0, false, 1));

/// The order types every symbol takes.
const TYPES: [&str; 7] =
    ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"];

/// Returns an amount with its eight digits.
pub(crate) fn amount(number: Decimal) -> String {
    format!("{number:.8}")
}

fn maybe(number: Option<Decimal>) -> String {
    amount(number.unwrap_or_default())
}

/// Returns a time as Binance writes it.
pub(crate) fn time(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}

/// Returns a symbol as Binance writes it.
pub(crate) fn symbol(symbol: &str) -> String {
    symbol.replace('/', "")
}

/// Returns a side as Binance writes it.
pub(crate) fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

/// Returns what kind of order it is.
pub(crate) fn kind(order: &Order) -> &'static str {
    let terms = &order.ticket.terms;
    let limited = order.ticket.kind.limit().is_some() || terms.trail_limit.is_some();
    match (order.ticket.kind, terms.on_gain, limited) {
        (Kind::Market, ..) => "MARKET",
        (Kind::Limit { .. }, ..) if terms.post_only => "LIMIT_MAKER",
        (Kind::Limit { .. }, ..) => "LIMIT",
        (_, false, false) => "STOP_LOSS",
        (_, false, true) => "STOP_LOSS_LIMIT",
        (_, true, false) => "TAKE_PROFIT",
        (_, true, true) => "TAKE_PROFIT_LIMIT",
    }
}

/// Returns where an order is in its life.
pub(crate) fn status(order: &Order) -> &'static str {
    match order.status {
        Status::Accepted | Status::Held => "PENDING_NEW",
        Status::New | Status::PendingCancel if order.filled_qty.is_zero() => "NEW",
        Status::New | Status::PartiallyFilled | Status::PendingCancel => "PARTIALLY_FILLED",
        Status::Filled => "FILLED",
        Status::Canceled | Status::Replaced => "CANCELED",
        Status::Expired => "EXPIRED",
        Status::Rejected => "REJECTED",
    }
}

fn tif(tif: Tif) -> &'static str {
    match tif {
        Tif::Ioc => "IOC",
        Tif::Fok => "FOK",
        Tif::Gtc | Tif::Day | Tif::Opg | Tif::Cls => "GTC",
    }
}

/// Returns the number of the list an order is in; below zero if it is in none.
pub(crate) fn list_id(order: &Order) -> i64 {
    let first = match order.ticket.class {
        Class::Oco => Some(order.parent.unwrap_or(order.id)),
        Class::Simple | Class::Bracket | Class::Oto => None,
    };
    first.and_then(|id| i64::try_from(id.0).ok()).unwrap_or(-1)
}

/// Returns the worst price of an order.
fn price(order: &Order) -> Decimal {
    order.limit().unwrap_or_default()
}

/// Returns the stop its owner gave it: a trailing one has none, or where it begins to follow.
fn stop(order: &Order) -> Option<Decimal> {
    order.ticket.kind.stop().or(order.ticket.terms.trails_from)
}

fn delta(order: &Order) -> Option<Decimal> {
    match order.ticket.kind {
        Kind::TrailingStop { trail: Trail::Percent(percent) } => {
            Some((percent * Decimal::ONE_HUNDRED).normalize())
        }
        Kind::TrailingStop { trail: Trail::Price(_) }
        | Kind::Market
        | Kind::Limit { .. }
        | Kind::Stop { .. }
        | Kind::StopLimit { .. } => None,
    }
}

fn memo<'a>(order: &'a Order, name: &str) -> Option<&'a Value> {
    order.ticket.terms.memo.get(name)
}

/// Returns why an order expired, if it did.
fn expiry(order: &Order) -> Option<&'static str> {
    match (order.status, order.ticket.tif, order.ticket.class) {
        (Status::Expired, Tif::Ioc, _) => Some("UNFILLED_IOC_QUANTITY_EXPIRED"),
        (Status::Expired, Tif::Fok, _) => Some("UNFILLED_FOK_ORDER_EXPIRED"),
        (Status::Expired, _, Class::Oco) => Some("OCO_TRIGGER"),
        (Status::Expired, ..) if order.is_awake() => Some("REJECTED"),
        (Status::Expired, ..) => Some("EXCHANGE_CANCELED"),
        _ => None,
    }
}

/// Returns since when an order is at work; below zero if it is not yet.
fn working_since(order: &Order) -> i64 {
    if order.is_awake() { time(order.created_at) } else { -1 }
}

fn whole_money(order: &Order) -> Decimal {
    match order.ticket.size {
        crate::book::Size::Notional(money) => money,
        crate::book::Size::Qty(_) => Decimal::ZERO,
    }
}

/// Returns the shortest answer to a new order.
pub(crate) fn ack(order: &Order, at: DateTime<Utc>) -> Value {
    json!({
        "symbol": symbol(&order.ticket.symbol),
        "orderId": order.id,
        "orderListId": list_id(order),
        "clientOrderId": order.client_order_id,
        "transactTime": time(at),
    })
}

/// Returns the answer to a new order that says what became of it at once.
pub(crate) fn result(order: &Order, at: DateTime<Utc>) -> Value {
    let mut shown = ack(order, at);
    merge(&mut shown, state(order));
    merge(&mut shown, json!({"workingTime": working_since(order)}));
    shown
}

/// Returns the answer to a new order with its trades.
pub(crate) fn full(order: &Order, at: DateTime<Utc>, trades: &[&Trade]) -> Value {
    let mut shown = result(order, at);
    let fills: Vec<Value> = trades
        .iter()
        .map(|trade| {
            let fee = trade.execution.fee.as_ref();
            json!({
                "price": amount(trade.execution.price),
                "qty": amount(trade.execution.qty),
                "commission": maybe(fee.map(|fee| fee.amount)),
                "commissionAsset": fee.map(|fee| fee.asset.as_str()).unwrap_or_default(),
                "tradeId": trade.execution.id,
            })
        })
        .collect();
    merge(&mut shown, json!({"fills": fills}));
    shown
}

/// Returns the answer to a cancel.
pub(crate) fn canceled(order: &Order, at: DateTime<Utc>) -> Value {
    let mut shown = ack(order, at);
    let name = order.canceled_as.as_deref().unwrap_or_default();
    merge(&mut shown, json!({"origClientOrderId": order.client_order_id, "clientOrderId": name}));
    merge(&mut shown, state(order));
    shown
}

/// Returns an order that was asked for.
pub(crate) fn order(order: &Order) -> Value {
    let mut shown = json!({
        "symbol": symbol(&order.ticket.symbol),
        "orderId": order.id,
        "orderListId": list_id(order),
        "clientOrderId": order.client_order_id,
        "stopPrice": "0.00000000",
        "icebergQty": "0.00000000",
        "time": time(order.created_at),
        "updateTime": time(order.times.updated.unwrap_or(order.created_at)),
        "isWorking": order.is_awake(),
        "workingTime": working_since(order),
    });
    merge(&mut shown, state(order));
    shown
}

/// Returns what all that is said of an order has in common, and what is said only if there is something to say.
fn state(order: &Order) -> Value {
    let mut shown = json!({
        "price": amount(price(order)),
        "origQty": maybe(order.qty),
        "executedQty": amount(order.filled_qty),
        "origQuoteOrderQty": amount(whole_money(order)),
        "cummulativeQuoteQty": amount(order.filled_value),
        "status": status(order),
        "timeInForce": tif(order.ticket.tif),
        "type": kind(order),
        "side": side(order.ticket.side),
        "selfTradePreventionMode": memo(order, "selfTradePreventionMode").cloned().unwrap_or_else(|| json!("NONE")),
    });
    let waits = !matches!(order.ticket.kind, Kind::Market | Kind::Limit { .. });
    if waits {
        merge(&mut shown, json!({"stopPrice": maybe(stop(order))}));
    }
    if let Some(delta) = delta(order) {
        let since = if order.best.is_some() { time(order.created_at) } else { -1 };
        merge(&mut shown, json!({"trailingDelta": whole(delta), "trailingTime": since}));
    }
    for name in ["icebergQty", "strategyId", "strategyType"] {
        if let Some(value) = memo(order, name) {
            merge(&mut shown, json!({name: value}));
        }
    }
    if let Some(reason) = expiry(order) {
        merge(&mut shown, json!({"expiryReason": reason}));
    }
    shown
}

fn whole(number: Decimal) -> Value {
    number.to_string().parse::<i64>().map_or(Value::Null, |number| json!(number))
}

/// Adds the fields of an object to another.
fn merge(into: &mut Value, more: Value) {
    if let (Some(into), Value::Object(more)) = (into.as_object_mut(), more) {
        into.extend(more);
    }
}

/// Returns a trade of an account.
pub(crate) fn trade(trade: &Trade, of: &Order) -> Value {
    let execution = &trade.execution;
    let fee = execution.fee.as_ref();
    json!({
        "symbol": symbol(&of.ticket.symbol),
        "id": execution.id,
        "orderId": of.id,
        "orderListId": list_id(of),
        "price": amount(execution.price),
        "qty": amount(execution.qty),
        "quoteQty": amount(execution.price * execution.qty),
        "commission": maybe(fee.map(|fee| fee.amount)),
        "commissionAsset": fee.map(|fee| fee.asset.as_str()).unwrap_or_default(),
        "time": time(trade.at),
        "isBuyer": of.ticket.side == Side::Buy,
        "isMaker": execution.maker,
        "isBestMatch": true,
    })
}

/// Returns an `executionReport`, if the event makes one.
pub(crate) fn report(event: &Event) -> Option<Value> {
    let order = &event.order;
    let what = match event.what {
        What::New => "NEW",
        What::PartialFill(_) | What::Fill(_) => "TRADE",
        What::Canceled => "CANCELED",
        What::Expired => "EXPIRED",
        What::Rejected => "REJECTED",
        What::Accepted | What::Held | What::PendingCancel | What::Replaced | What::Restated => return None,
    };
    // Of a cancel the first name is the cancel's own; the venue makes one up for its own cancels.
    let made_up = || format!("web_{}", event.number);
    let (name, of) = if event.what == What::Canceled {
        (order.canceled_as.clone().unwrap_or_else(made_up), order.client_order_id.as_str())
    } else {
        (order.client_order_id.clone(), "")
    };
    let execution = event.what.execution();
    let fee = execution.and_then(|execution| execution.fee.as_ref());
    let last = execution.map(|execution| (execution.qty, execution.price));
    let mut shown = json!({
        "e": "executionReport", "E": time(event.at), "s": symbol(&order.ticket.symbol),
        "c": name, "C": of,
        "S": side(order.ticket.side), "o": kind(order), "f": tif(order.ticket.tif),
        "q": maybe(order.qty), "p": amount(price(order)), "P": maybe(stop(order)),
        "F": memo(order, "icebergQty").cloned().unwrap_or_else(|| json!("0.00000000")),
        "g": list_id(order),
        "x": what, "X": status(order),
        "r": if event.what == What::Rejected { "INSUFFICIENT_BALANCES" } else { "NONE" },
        "i": order.id,
        "l": maybe(last.map(|last| last.0)), "z": amount(order.filled_qty), "L": maybe(last.map(|last| last.1)),
        "n": fee.map_or_else(|| "0".to_owned(), |fee| amount(fee.amount)),
        "N": fee.map(|fee| fee.asset.as_str()),
        "T": time(event.at), "t": execution.map_or_else(|| json!(-1), |execution| json!(execution.id)),
        "I": event.number,
        "w": order.status.is_live() && order.is_awake(),
        "m": execution.is_some_and(|execution| execution.maker), "M": execution.is_some(),
        "O": time(order.created_at),
        "Z": amount(order.filled_value), "Y": maybe(last.map(|(qty, price)| qty * price)),
        "Q": amount(whole_money(order)),
        "V": memo(order, "selfTradePreventionMode").cloned().unwrap_or_else(|| json!("NONE")),
    });
    if order.is_awake() {
        merge(&mut shown, json!({"W": time(order.created_at)}));
    }
    if let Some(delta) = delta(order) {
        merge(&mut shown, json!({"d": whole(delta)}));
    }
    if let Some(reason) = expiry(order) {
        merge(&mut shown, json!({"eR": reason}));
    }
    Some(shown)
}

/// Returns an `outboundAccountPosition`.
pub(crate) fn account_position(at: DateTime<Utc>, balances: &[Balance]) -> Value {
    let shown: Vec<Value> = balances
        .iter()
        .map(|has| json!({"a": has.asset, "f": amount(has.free), "l": amount(has.locked)}))
        .collect();
    json!({"e": "outboundAccountPosition", "E": time(at), "u": time(at), "B": shown})
}

/// Returns a `listStatus`.
pub(crate) fn list_status(at: DateTime<Utc>, list: &Value) -> Value {
    let field = |name: &str| list.get(name).cloned().unwrap_or_default();
    let orders = list.get("orders").and_then(Value::as_array).into_iter().flatten();
    let orders: Vec<Value> = orders
        .map(|order| json!({"s": order.get("symbol"), "i": order.get("orderId"), "c": order.get("clientOrderId")}))
        .collect();
    json!({
        "e": "listStatus", "E": time(at), "s": field("symbol"), "g": field("orderListId"), "c": "OCO",
        "l": field("listStatusType"), "L": field("listOrderStatus"), "r": "NONE",
        "C": field("listClientOrderId"), "T": time(at), "O": orders,
    })
}

/// Returns a list of two orders.
pub(crate) fn list(pair: &[Order], at: DateTime<Utc>) -> Value {
    let open = pair.iter().any(|order| order.status.is_open());
    let (kind, status) = if open { ("EXEC_STARTED", "EXECUTING") } else { ("ALL_DONE", "ALL_DONE") };
    let orders: Vec<Value> = pair
        .iter()
        .map(|order| {
            json!({
                "symbol": symbol(&order.ticket.symbol),
                "orderId": order.id,
                "clientOrderId": order.client_order_id,
            })
        })
        .collect();
    let first = pair.first();
    json!({
        "orderListId": first.map_or(-1, list_id),
        "contingencyType": "OCO",
        "listStatusType": kind,
        "listOrderStatus": status,
        "listClientOrderId": first.and_then(|order| memo(order, "listClientOrderId")),
        "transactionTime": time(at),
        "symbol": first.map(|order| symbol(&order.ticket.symbol)),
        "orders": orders,
    })
}

/// Returns a list with what became of its orders.
pub(crate) fn list_with(mut list: Value, reports: Vec<Value>) -> Value {
    merge(&mut list, json!({"orderReports": reports}));
    list
}

/// Returns the best prices of a symbol.
pub(crate) fn ticker(of: &str, quote: &Quote) -> Value {
    json!({
        "symbol": symbol(of),
        "bidPrice": amount(quote.bid), "bidQty": DEPTH,
        "askPrice": amount(quote.ask), "askQty": DEPTH,
    })
}

/// Returns the best prices of a symbol as a stream tells them.
pub(crate) fn ticker_event(of: &str, quote: &Quote, number: u64) -> Value {
    json!({
        "u": number, "s": symbol(of),
        "b": amount(quote.bid), "B": DEPTH, "a": amount(quote.ask), "A": DEPTH,
    })
}

/// Returns a symbol's rules.
pub(crate) fn instrument(instrument: &Instrument, status: &str) -> Value {
    let steps = &instrument.increments;
    let (min, max, step) = (maybe(steps.qty_min), maybe(steps.qty_max.or(Some(MAX))), steps.qty_step);
    json!({
        "symbol": symbol(&instrument.symbol),
        "status": status,
        "baseAsset": instrument.base(), "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote(), "quotePrecision": 8, "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8, "quoteCommissionPrecision": 8,
        "orderTypes": TYPES,
        "icebergAllowed": true, "ocoAllowed": true, "otoAllowed": false, "opoAllowed": false,
        "quoteOrderQtyMarketAllowed": true, "allowTrailingStop": true, "cancelReplaceAllowed": false,
        "amendAllowed": false, "pegInstructionsAllowed": false,
        "isSpotTradingAllowed": true, "isMarginTradingAllowed": false,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": maybe(steps.price_tick), "maxPrice": amount(MAX),
                "tickSize": maybe(steps.price_tick)},
            {"filterType": "LOT_SIZE", "minQty": min, "maxQty": max, "stepSize": maybe(step.or(Some(FINEST)))},
            {"filterType": "MARKET_LOT_SIZE", "minQty": amount(Decimal::ZERO), "maxQty": max,
                "stepSize": amount(Decimal::ZERO)},
            {"filterType": "ICEBERG_PARTS", "limit": ICEBERG_PARTS},
            {"filterType": "NOTIONAL", "minNotional": maybe(steps.notional_min), "applyMinToMarket": true,
                "maxNotional": amount(MAX), "applyMaxToMarket": false, "avgPriceMins": 0},
            {"filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": MULTIPLIERS.0.to_string(), "bidMultiplierDown": MULTIPLIERS.1.to_string(),
                "askMultiplierUp": MULTIPLIERS.0.to_string(), "askMultiplierDown": MULTIPLIERS.1.to_string(),
                "avgPriceMins": 0},
            {"filterType": "TRAILING_DELTA", "minTrailingAboveDelta": DELTA.0, "maxTrailingAboveDelta": DELTA.1,
                "minTrailingBelowDelta": DELTA.0, "maxTrailingBelowDelta": DELTA.1},
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": ORDERS_MAX},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": STOPS_MAX},
        ],
        "permissions": [], "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    })
}

/// What stands for no bound.
const MAX: Decimal = Decimal::from_parts(900_000_000, 0, 0, false, 0);
/// The finest step there is.
const FINEST: Decimal = Decimal::from_parts(1, 0, 0, false, 8);

/// Returns a bound of a pool, and how much of it is used if that is to be told.
pub(crate) fn rate_limit(pool: &str, bound: Bound, used: Option<Decimal>) -> Option<Value> {
    let kind = match pool {
        WEIGHT => "REQUEST_WEIGHT",
        RAW => "RAW_REQUESTS",
        ORDERS => "ORDERS",
        _ => return None,
    };
    let Bound::Window { seconds, most } = bound else { return None };
    let (unit, number) = match seconds {
        day if day % 86_400 == 0 => ("DAY", day / 86_400),
        hour if hour % 3600 == 0 => ("HOUR", hour / 3600),
        minute if minute % 60 == 0 => ("MINUTE", minute / 60),
        second => ("SECOND", second),
    };
    let mut shown = Map::new();
    shown.insert("rateLimitType".to_owned(), json!(kind));
    shown.insert("interval".to_owned(), json!(unit));
    shown.insert("intervalNum".to_owned(), json!(number));
    shown.insert("limit".to_owned(), json!(most));
    if let Some(used) = used {
        shown.insert("count".to_owned(), whole(used));
    }
    Some(Value::Object(shown))
}

/// Returns the order of the book that Binance shows under a number.
pub(crate) fn order_id(number: u64) -> OrderId {
    OrderId(number)
}
