//! What the futures market's JSON looks like.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::DUAL;
use crate::account::{Account, Holding};
use crate::binance::wire::{amount, side, symbol, time};
use crate::book::{Event, Kind, Order, Status, Tif, Trade, What};
use crate::feed::Quote;
use crate::instrument::Instrument;
use crate::world::State;

/// How much there is at every price: the book does not count it.
const DEPTH: &str = "100.000";
/// What is added to an order's number as a stop's.
const ALGO: u64 = 1_000_000_000;
/// What stands for no bound.
const MAX: Decimal = Decimal::from_parts(900_000_000, 0, 0, false, 0);

/// Returns whether an order is a stop.
pub(super) fn is_algo(order: &Order) -> bool {
    !matches!(order.ticket.kind, Kind::Market | Kind::Limit { .. })
}

/// Returns whether an order is one, and no longer a stop, or never was.
pub(super) fn is_order(order: &Order) -> bool {
    !is_algo(order) || (order.triggered && order.status != Status::Rejected)
}

/// Returns a stop's number.
pub(super) fn algo_id(order: &Order) -> u64 {
    ALGO + order.id.0
}

/// Returns the number in the book of what has a stop's number.
pub(super) fn of_algo(number: u64) -> Option<u64> {
    number.checked_sub(ALGO)
}

/// Returns where an order is in its life.
fn status(order: &Order) -> &'static str {
    crate::binance::wire::status(order)
}

/// Returns where a stop is in its life.
fn algo_status(order: &Order) -> &'static str {
    match (order.triggered, order.status) {
        (_, Status::Rejected) => "REJECTED",
        (false, Status::Canceled | Status::Replaced) => "CANCELED",
        (false, Status::Expired) => "EXPIRED",
        (false, _) => "NEW",
        (true, status) if status.is_open() => "TRIGGERED",
        (true, _) => "FINISHED",
    }
}

fn tif(order: &Order) -> &'static str {
    match order.ticket.tif {
        Tif::Ioc => "IOC",
        Tif::Fok => "FOK",
        Tif::Gtc | Tif::Day | Tif::Opg | Tif::Cls if order.ticket.terms.post_only => "GTX",
        Tif::Gtc | Tif::Day | Tif::Opg | Tif::Cls => "GTC",
    }
}

fn plain(number: Option<Decimal>) -> String {
    number.unwrap_or_default().normalize().to_string()
}

/// Returns what kind of order it is: a stop that was reached is one without.
fn kind(order: &Order) -> &'static str {
    if order.ticket.kind.limit().is_some() { "LIMIT" } else { "MARKET" }
}

fn memo<'a>(order: &'a Order, name: &str) -> Option<&'a str> {
    order.ticket.terms.memo.get(name).and_then(Value::as_str)
}

/// Returns what a stop was asked to be.
fn algo_kind(order: &Order) -> &str {
    memo(order, "type").unwrap_or("STOP_MARKET")
}

/// Returns the answer to a new order: without its average price, which only a question tells.
pub(super) fn placed(of: &Order, name: &str) -> Value {
    let mut shown = order(of, name);
    if let Some(fields) = shown.as_object_mut() {
        for name in ["avgPrice", "cumQuote", "time"] {
            fields.remove(name);
        }
        fields.insert("cumQty".to_owned(), json!(plain(Some(of.filled_qty))));
    }
    shown
}

/// Returns an order.
pub(super) fn order(order: &Order, name: &str) -> Value {
    json!({
        "symbol": symbol(&order.ticket.symbol),
        "orderId": order.id,
        "clientOrderId": name,
        "status": status(order),
        "price": plain(order.limit()),
        "avgPrice": plain(order.average()),
        "origQty": plain(order.qty),
        "executedQty": plain(Some(order.filled_qty)),
        "cumQuote": plain(Some(order.filled_value)),
        "timeInForce": tif(order),
        "type": kind(order), "origType": kind(order),
        "reduceOnly": order.ticket.terms.reduces,
        "closePosition": false,
        "side": side(order.ticket.side),
        "positionSide": "BOTH",
        "stopPrice": "0", "workingType": "CONTRACT_PRICE", "priceProtect": false, "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER", "goodTillDate": 0,
        "time": time(order.created_at),
        "updateTime": time(order.times.updated.unwrap_or(order.created_at)),
    })
}

/// Returns the answer to a new stop.
pub(super) fn algo_placed(order: &Order) -> Value {
    json!({
        "algoId": algo_id(order),
        "clientAlgoId": order.client_order_id,
        "algoType": "CONDITIONAL",
        "orderType": algo_kind(order),
        "symbol": symbol(&order.ticket.symbol),
        "side": side(order.ticket.side),
        "positionSide": "BOTH",
        "timeInForce": tif(order),
        "quantity": plain(order.qty),
        "algoStatus": algo_status(order),
        "triggerPrice": plain(order.ticket.kind.stop()),
        "price": plain(order.ticket.kind.limit()),
        "icebergQuantity": null, "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": memo(order, "workingType"),
        "priceMatch": "NONE", "closePosition": false, "priceProtect": false,
        "reduceOnly": order.ticket.terms.reduces,
        "activatePrice": plain(order.ticket.terms.trails_from),
        "callbackRate": memo(order, "callbackRate").unwrap_or_default(),
        "createTime": time(order.created_at),
        "updateTime": time(order.times.updated.unwrap_or(order.created_at)),
        "triggerTime": 0, "goodTillDate": 0,
    })
}

/// Returns a stop, with the number of the order that it became.
pub(super) fn algo(order: &Order) -> Value {
    let mut shown = algo_placed(order);
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("actualOrderId".to_owned(), json!(child(order)));
        fields.insert("actualPrice".to_owned(), json!(plain(order.average())));
    }
    shown
}

/// Returns the number of the order that a stop became, as a text; empty if it became none.
fn child(order: &Order) -> String {
    if is_order(order) { order.id.0.to_string() } else { String::new() }
}

/// Returns a trade of an account.
pub(super) fn trade(trade: &Trade, of: &Order) -> Value {
    let execution = &trade.execution;
    let fee = execution.fee.as_ref();
    json!({
        "symbol": symbol(&of.ticket.symbol), "id": execution.id, "orderId": of.id,
        "side": side(of.ticket.side), "positionSide": "BOTH",
        "price": plain(Some(execution.price)), "qty": plain(Some(execution.qty)),
        "quoteQty": plain(Some(execution.price * execution.qty)), "realizedPnl": "0",
        "commission": plain(fee.map(|fee| fee.amount)),
        "commissionAsset": fee.map(|fee| fee.asset.as_str()).unwrap_or_default(),
        "time": time(trade.at), "buyer": side(of.ticket.side) == "BUY", "maker": execution.maker,
        "marginAsset": fee.map(|fee| fee.asset.as_str()).unwrap_or_default(),
    })
}

/// Returns an `ORDER_TRADE_UPDATE`, if the event makes one.
pub(super) fn order_update(event: &Event, name: &str) -> Option<Value> {
    let order = &event.order;
    let what = match event.what {
        What::New => "NEW",
        What::PartialFill(_) | What::Fill(_) => "TRADE",
        What::Canceled => "CANCELED",
        What::Expired | What::Rejected => "EXPIRED",
        What::Accepted | What::Held | What::PendingCancel | What::Replaced | What::Restated => return None,
    };
    let execution = event.what.execution();
    let fee = execution.and_then(|execution| execution.fee.as_ref());
    let mut shown = json!({
        "s": symbol(&order.ticket.symbol), "c": name, "S": side(order.ticket.side), "o": kind(order),
        "f": tif(order), "q": plain(order.qty), "p": plain(order.limit()), "ap": plain(order.average()),
        "sp": "0", "x": what, "X": status(order), "i": order.id,
        "l": plain(execution.map(|execution| execution.qty)), "z": plain(Some(order.filled_qty)),
        "L": plain(execution.map(|execution| execution.price)),
        "T": time(event.at), "t": execution.map_or(0, |execution| execution.id),
        "b": "0", "a": "0", "m": execution.is_some_and(|execution| execution.maker),
        "R": order.ticket.terms.reduces, "wt": "CONTRACT_PRICE", "ot": kind(order), "ps": "BOTH", "cp": false,
        "rp": "0", "pP": false, "si": 0, "ss": 0, "V": "EXPIRE_MAKER", "pm": "NONE", "gtd": 0,
        "er": "0",
    });
    if let (Some(fields), Some(fee)) = (shown.as_object_mut(), fee) {
        fields.insert("n".to_owned(), json!(plain(Some(fee.amount))));
        fields.insert("N".to_owned(), json!(fee.asset));
    }
    Some(json!({"e": "ORDER_TRADE_UPDATE", "E": time(event.at), "T": time(event.at), "o": shown}))
}

/// Returns an `ALGO_UPDATE` that says this of a stop.
pub(super) fn algo_update(event: &Event, says: &str) -> Value {
    let order = &event.order;
    let mut shown = json!({
        "caid": order.client_order_id, "aid": algo_id(order), "at": "CONDITIONAL", "o": algo_kind(order),
        "s": symbol(&order.ticket.symbol), "S": side(order.ticket.side), "ps": "BOTH", "f": tif(order),
        "q": plain(order.qty), "X": says, "ai": child(order), "ap": plain(order.average()),
        "aq": plain(Some(order.filled_qty)), "act": if is_order(order) { kind(order) } else { "0" },
        "tp": plain(order.ticket.kind.stop()), "p": plain(order.ticket.kind.limit()), "V": "EXPIRE_MAKER",
        "wt": memo(order, "workingType"), "pm": "NONE", "cp": false, "pP": false,
        "R": order.ticket.terms.reduces, "tt": 0, "gtd": 0,
    });
    if let (Some(fields), Status::Rejected) = (shown.as_object_mut(), order.status) {
        let words = if order.ticket.terms.reduces { "Reduce Only reject" } else { "Margin is insufficient" };
        fields.insert("rm".to_owned(), json!(words));
    }
    json!({"e": "ALGO_UPDATE", "E": time(event.at), "T": time(event.at), "o": shown})
}

/// Returns what is said of a stop beside what is said of it as an order.
pub(super) fn algo_says(event: &Event) -> Vec<&'static str> {
    let order = &event.order;
    match event.what {
        What::New => vec!["NEW"],
        What::Rejected => vec!["REJECTED"],
        What::Canceled | What::Expired if !order.triggered => vec![algo_status(order)],
        What::Canceled | What::Expired => vec!["FINISHED"],
        What::PartialFill(ref execution) | What::Fill(ref execution) => {
            let is_first = execution.qty == order.filled_qty;
            let first = is_first.then_some("TRIGGERED");
            first.into_iter().chain((!order.status.is_open()).then_some("FINISHED")).collect()
        }
        What::Accepted | What::Held | What::PendingCancel | What::Replaced | What::Restated => Vec::new(),
    }
}

/// Returns an `ACCOUNT_UPDATE` after a trade of a symbol.
pub(super) fn account_update(event: &Event, state: &State, account: &Account) -> Value {
    let cost: Decimal = account.holdings.values().map(|holding| holding.cost).sum();
    let balance = amount(account.cash + cost);
    let of = &event.order.ticket.symbol;
    let holding = account.holdings.get(of).copied().unwrap_or_default();
    let held = Held::of(state, account, of, holding);
    json!({
        "e": "ACCOUNT_UPDATE", "E": time(event.at), "T": time(event.at),
        "a": {
            "m": "ORDER",
            "B": [{"a": account.settlement, "wb": balance, "cw": balance, "bc": "0"}],
            "P": [{"s": held.symbol, "pa": plain(Some(holding.qty)), "ep": holding.average().to_string(),
                "cr": "0", "up": amount(held.profit), "mt": "cross", "iw": "0", "ps": held.side}],
        },
    })
}

/// A position as Binance shows it.
pub(super) struct Held {
    pub(super) symbol: String,
    pub(super) side: &'static str,
    pub(super) mark: Decimal,
    pub(super) notional: Decimal,
    pub(super) profit: Decimal,
    pub(super) margin: Decimal,
}

impl Held {
    /// Returns what there is of a symbol, at the last price.
    pub(super) fn of(state: &State, account: &Account, of: &str, holding: Holding) -> Self {
        let mark = state.book.feed().quote(of).map_or_else(|| holding.average(), |quote| quote.last);
        let notional = mark * holding.qty;
        let side = match (state.settings.number(DUAL), holding.qty.is_sign_negative()) {
            (0, _) => "BOTH",
            (_, true) => "SHORT",
            (_, false) => "LONG",
        };
        let margin = notional.abs() / account.multiplier;
        Self { symbol: symbol(of), side, mark, notional, profit: notional - holding.cost, margin }
    }
}

/// Returns the best prices of a symbol.
pub(super) fn ticker(of: &str, quote: &Quote) -> Value {
    json!({
        "symbol": symbol(of),
        "bidPrice": plain(Some(quote.bid)), "bidQty": DEPTH,
        "askPrice": plain(Some(quote.ask)), "askQty": DEPTH,
        "time": time(quote.at),
    })
}

/// Returns the best prices of a symbol as a stream tells them.
pub(super) fn ticker_event(of: &str, quote: &Quote, number: u64) -> Value {
    json!({
        "e": "bookTicker", "u": number, "s": symbol(of),
        "b": plain(Some(quote.bid)), "B": DEPTH, "a": plain(Some(quote.ask)), "A": DEPTH,
        "T": time(quote.at), "E": time(quote.at),
    })
}

/// Returns a contract's rules.
pub(super) fn instrument(instrument: &Instrument, status: &str) -> Value {
    let steps = &instrument.increments;
    let maybe = |number: Option<Decimal>| plain(number);
    let (min, max, step) = (maybe(steps.qty_min), maybe(steps.qty_max.or(Some(MAX))), maybe(steps.qty_step));
    let rule = |kind: &str, more: Value| {
        let mut rule = Map::new();
        rule.insert("filterType".to_owned(), json!(kind));
        rule.extend(more.as_object().cloned().unwrap_or_default());
        Value::Object(rule)
    };
    let size = json!({"minQty": min, "maxQty": max, "stepSize": step});
    let price = json!({
        "minPrice": maybe(steps.price_tick), "maxPrice": plain(Some(MAX)), "tickSize": maybe(steps.price_tick),
    });
    json!({
        "symbol": symbol(&instrument.symbol), "pair": symbol(&instrument.symbol),
        "contractType": "PERPETUAL", "deliveryDate": 4_133_404_800_000_i64, "onboardDate": 1_569_398_400_000_i64,
        "status": status, "maintMarginPercent": "2.5000", "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base(), "quoteAsset": instrument.quote(), "marginAsset": instrument.quote(),
        // As on the real market, where this is not the step of prices.
        "pricePrecision": 2, "quantityPrecision": 3, "baseAssetPrecision": 8, "quotePrecision": 8,
        "underlyingType": "COIN", "underlyingSubType": ["PoW"], "triggerProtect": "0.0500",
        "liquidationFee": "0.012500", "marketTakeBound": "0.05", "maxMoveOrderLimit": 10000,
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET",
            "TRAILING_STOP_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        "filters": [
            rule("PRICE_FILTER", price),
            rule("LOT_SIZE", size.clone()),
            rule("MARKET_LOT_SIZE", size),
            rule("MAX_NUM_ORDERS", json!({"limit": 200})),
            rule("MAX_NUM_ALGO_ORDERS", json!({"limit": 10})),
            rule("MIN_NOTIONAL", json!({"notional": maybe(steps.notional_min)})),
            rule("PERCENT_PRICE", json!({"multiplierUp": "1.0500", "multiplierDown": "0.9500", "multiplierDecimal": "4"})),
        ],
    })
}
