//! What Coinbase's JSON looks like. All amounts are text.

use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::checks;
use super::errors::UNKNOWN;
use crate::book::{Kind, Order, OrderId, Side, Size, Status, Tif, Trade};
use crate::feed::Quote;
use crate::instrument::Instrument;
use crate::world::State;

/// What the numbers of orders begin with, as the ids that Coinbase gives them.
const ORDERS: u128 = 0x0c01_bace_0000_4000_8000_0000_0000_0000;
/// The same of wallets.
const WALLETS: u128 = 0x0c01_bace_0000_4001_8000_0000_0000_0000;

/// Every status an order can have.
pub(super) const STATUSES: [&str; 9] = [
    "PENDING",
    "QUEUED",
    "OPEN",
    "FILLED",
    "CANCEL_QUEUED",
    "CANCELLED",
    "EXPIRED",
    "FAILED",
    "UNKNOWN_ORDER_STATUS",
];

/// Returns an amount without needless digits.
pub(super) fn amount(number: Decimal) -> String {
    number.normalize().to_string()
}

fn maybe(number: Option<Decimal>) -> String {
    amount(number.unwrap_or_default())
}

/// Returns a time as Coinbase writes it.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Returns a symbol as Coinbase writes it.
pub(super) fn product_id(symbol: &str) -> String {
    symbol.replace('/', "-")
}

/// Returns the id of an order.
pub(super) fn order_id(id: OrderId) -> String {
    Uuid::from_u128(ORDERS | u128::from(id.0)).to_string()
}

/// Reads the id of an order.
pub(super) fn read_id(text: &str) -> Option<OrderId> {
    let number = text.parse::<Uuid>().ok()?.as_u128().checked_sub(ORDERS)?;
    number.try_into().ok().map(OrderId)
}

/// Returns the id of the wallet of a currency.
pub(super) fn wallet_id(currency: &str) -> String {
    let number = currency.bytes().take(7).fold(0_u128, |number, byte| number << 8 | u128::from(byte));
    Uuid::from_u128(WALLETS | number).to_string()
}

/// Returns a side as Coinbase writes it.
fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

/// Returns where an order is in its life.
pub(super) fn status(order: &Order) -> &'static str {
    match order.status {
        Status::Accepted | Status::Held => "PENDING",
        Status::New | Status::PartiallyFilled => "OPEN",
        Status::PendingCancel => "CANCEL_QUEUED",
        Status::Filled => "FILLED",
        Status::Canceled | Status::Replaced => "CANCELLED",
        Status::Expired => "EXPIRED",
        Status::Rejected => "FAILED",
    }
}

fn tif(order: &Order) -> &'static str {
    match order.ticket.tif {
        Tif::Ioc => "IMMEDIATE_OR_CANCEL",
        Tif::Fok => "FILL_OR_KILL",
        Tif::Gtc | Tif::Day | Tif::Opg | Tif::Cls => "GOOD_UNTIL_CANCELLED",
    }
}

fn trigger_status(order: &Order) -> &'static str {
    match (order.ticket.kind.stop(), order.triggered) {
        (None, _) => "INVALID_ORDER_TYPE",
        (Some(_), false) => "STOP_PENDING",
        (Some(_), true) => "STOP_TRIGGERED",
    }
}

fn reject_reason(order: &Order) -> &'static str {
    if order.status == Status::Rejected { "HOLD_FAILURE" } else { "REJECT_REASON_UNSPECIFIED" }
}

/// How often an order traded, and what that cost beside the prices.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums {
    trades: usize,
    fees: Decimal,
}

/// Returns the sums of an order's trades, as far as they had come when it was so.
pub(super) fn sums(state: &State, order: &Order) -> Sums {
    let trades = state.book.trades().iter();
    let so_far = trades.filter(|trade| trade.order == order.id && trade.cum_qty <= order.filled_qty);
    let fees = so_far.clone().filter_map(|trade| trade.execution.fee.as_ref()).map(|fee| fee.amount).sum();
    Sums { trades: so_far.count(), fees }
}

/// Returns the answer to a new order. A reason stands beside the success, too.
pub(super) fn placed(order: &Order) -> Value {
    let id = order_id(order.id);
    json!({
        "success": true,
        "failure_reason": UNKNOWN,
        "order_id": id,
        "success_response": {
            "order_id": id,
            "product_id": product_id(&order.ticket.symbol),
            "side": side(order.ticket.side),
            "client_order_id": order.client_order_id,
        },
        "order_configuration": order.ticket.terms.memo,
    })
}

/// Returns an order as it is shown.
pub(super) fn order(order: &Order, sums: Sums) -> Value {
    let (value, sign) = (order.filled_value, if order.ticket.side == Side::Buy { 1 } else { -1 });
    let kind = match order.ticket.kind {
        Kind::Market => "MARKET",
        Kind::Limit { .. } => "LIMIT",
        Kind::Stop { .. } | Kind::StopLimit { .. } | Kind::TrailingStop { .. } => "STOP_LIMIT",
    };
    json!({
        "order_id": order_id(order.id),
        "product_id": product_id(&order.ticket.symbol),
        "user_id": order.ticket.account,
        "order_configuration": order.ticket.terms.memo,
        "side": side(order.ticket.side),
        "client_order_id": order.client_order_id,
        "status": status(order),
        "time_in_force": tif(order),
        "created_time": time(order.created_at),
        "filled_size": amount(order.filled_qty),
        "average_filled_price": maybe(order.average()),
        "number_of_fills": sums.trades.to_string(),
        "filled_value": amount(value),
        "pending_cancel": order.status == Status::PendingCancel,
        "size_in_quote": matches!(order.ticket.size, Size::Notional(_)),
        "total_fees": amount(sums.fees),
        "size_inclusive_of_fees": false,
        "total_value_after_fees": amount(value + sums.fees * Decimal::from(sign)),
        "trigger_status": trigger_status(order),
        "order_type": kind,
        "reject_reason": reject_reason(order),
        "reject_message": "",
        "cancel_message": "",
        "settled": order.status == Status::Filled,
        "product_type": "SPOT",
    })
}

/// Returns an order as the stream tells of it.
pub(super) fn told(order: &Order, sums: Sums) -> Value {
    let limit = order.limit().map(|limit| ("limit_price", amount(limit)));
    let stop = order.stop_price().map(|stop| ("stop_price", amount(stop)));
    let kind = match order.ticket.kind {
        Kind::Market => "Market",
        Kind::Limit { .. } => "Limit",
        Kind::Stop { .. } | Kind::StopLimit { .. } | Kind::TrailingStop { .. } => "Stop Limit",
    };
    let mut told = json!({
        "order_id": order_id(order.id),
        "client_order_id": order.client_order_id,
        "product_id": product_id(&order.ticket.symbol),
        "product_type": "SPOT",
        "order_side": side(order.ticket.side),
        "order_type": kind,
        "status": status(order),
        "cumulative_quantity": amount(order.filled_qty),
        "leaves_quantity": amount(order.leaves()),
        "avg_price": maybe(order.average()),
        "filled_value": amount(order.filled_value),
        "number_of_fills": sums.trades.to_string(),
        "total_fees": amount(sums.fees),
        "time_in_force": tif(order),
        "cancel_reason": "",
        "reject_reason": reject_reason(order),
        "trigger_status": trigger_status(order),
        "creation_time": time(order.created_at),
    });
    if let Some(fields) = told.as_object_mut() {
        let prices = limit.into_iter().chain(stop);
        fields.extend(
            prices.map(|(name, price)| (name.to_owned(), Value::String(price))).collect::<Map<_, _>>(),
        );
    }
    told
}

/// Returns one trade of an order.
pub(super) fn fill(trade: &Trade, order: &Order) -> Value {
    let execution = &trade.execution;
    json!({
        "entry_id": format!("entry-{}", execution.id),
        "trade_id": format!("{:012}", execution.id),
        "order_id": order_id(order.id),
        "trade_time": time(trade.at),
        "trade_type": "FILL",
        "price": amount(execution.price),
        "size": amount(execution.qty),
        "commission": maybe(execution.fee.as_ref().map(|fee| fee.amount)),
        "product_id": product_id(&order.ticket.symbol),
        "sequence_timestamp": time(trade.at),
        "liquidity_indicator": if execution.maker { "MAKER" } else { "TAKER" },
        "size_in_quote": false,
        "user_id": order.ticket.account,
        "side": side(order.ticket.side),
    })
}

/// Returns the rules of a product.
pub(super) fn product(state: &State, listed: &Instrument) -> Value {
    let steps = &listed.increments;
    let price = state.book.feed().quote(&listed.symbol).map(|quote| quote.last);
    let id = product_id(&listed.symbol);
    json!({
        "product_id": id,
        "price": maybe(price),
        "base_increment": maybe(steps.qty_step),
        "quote_increment": maybe(steps.price_tick),
        "price_increment": maybe(steps.price_tick),
        "base_min_size": maybe(steps.qty_min),
        "base_max_size": maybe(steps.qty_max),
        "quote_min_size": maybe(steps.notional_min),
        "quote_max_size": "150000000",
        "base_name": listed.base(),
        "quote_name": listed.quote(),
        "status": if listed.active { "online" } else { "delisted" },
        "is_disabled": !listed.active,
        "trading_disabled": !checks::trades(state, listed),
        "cancel_only": false,
        "limit_only": false,
        "post_only": false,
        "auction_mode": false,
        "view_only": false,
        "alias": "",
        "alias_to": [],
        "product_type": "SPOT",
        "base_currency_id": listed.base(),
        "quote_currency_id": listed.quote(),
        "display_name": id,
    })
}

/// Returns the best offers for a product, if there are any.
pub(super) fn best(id: &str, quote: Option<&Quote>) -> Value {
    let offer = |price: Decimal| json!([{"price": amount(price), "size": "100"}]);
    json!({
        "product_id": id,
        "bids": quote.map_or_else(|| json!([]), |quote| offer(quote.bid)),
        "asks": quote.map_or_else(|| json!([]), |quote| offer(quote.ask)),
        "time": quote.map(|quote| time(quote.at)),
    })
}

/// Returns a price as the stream tells it.
pub(super) fn ticker(symbol: &str, quote: &Quote) -> Value {
    json!({
        "type": "ticker",
        "product_id": product_id(symbol),
        "price": amount(quote.last),
        "volume_24_h": "0",
        "low_24_h": amount(quote.last),
        "high_24_h": amount(quote.last),
        "best_bid": amount(quote.bid),
        "best_bid_quantity": "100",
        "best_ask": amount(quote.ask),
        "best_ask_quantity": "100",
    })
}
