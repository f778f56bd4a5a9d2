//! Binance's JSON as it travels. Unknown fields and words are tolerated; a number that cannot be read is not.

use serde::Deserialize;

use crate::brokers::venue::number::Num;

/// `GET /api/v3/time`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::brokers) struct Time {
    pub(in crate::brokers) server_time: i64,
}

/// What is said instead of what was asked for.
#[derive(Debug, Deserialize)]
pub(in crate::brokers) struct Failure {
    pub(in crate::brokers) code: i64,
    #[serde(default)]
    pub(in crate::brokers) msg: String,
}

/// `GET /sapi/v1/account/apiRestrictions`: what a key may do.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::brokers) struct Restrictions {
    pub(in crate::brokers) enable_reading: bool,
    pub(in crate::brokers) enable_spot_and_margin_trading: bool,
    pub(in crate::brokers) enable_withdrawals: bool,
    #[serde(default)]
    pub(in crate::brokers) enable_futures: bool,
}

/// `GET /api/v3/account`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Account {
    pub(super) can_trade: bool,
    pub(super) uid: Option<u64>,
    #[serde(default)]
    pub(super) balances: Vec<Balance>,
}

/// What there is of one asset.
#[derive(Debug, Deserialize)]
pub(super) struct Balance {
    pub(super) asset: String,
    pub(super) free: Num,
    pub(super) locked: Num,
}

/// An order, as an answer to placing it and as it is shown.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Order {
    pub(super) symbol: String,
    pub(super) order_id: u64,
    pub(super) client_order_id: String,
    pub(super) status: String,
    #[serde(rename = "executedQty")]
    pub(super) executed: Num,
    /// Spelled so.
    #[serde(rename = "cummulativeQuoteQty")]
    pub(super) executed_quote: Num,
    #[serde(rename = "transactTime", alias = "updateTime")]
    pub(super) at: Option<i64>,
    #[serde(default)]
    pub(super) fills: Vec<Trade>,
}

/// One execution, in the answer to an order and in `GET /api/v3/myTrades`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::brokers) struct Trade {
    #[serde(alias = "id")]
    pub(in crate::brokers) trade_id: u64,
    pub(in crate::brokers) price: Num,
    pub(in crate::brokers) qty: Num,
    pub(in crate::brokers) commission: Num,
    pub(in crate::brokers) commission_asset: String,
    pub(in crate::brokers) time: Option<i64>,
}

/// `GET /api/v3/exchangeInfo`, and the futures market's.
#[derive(Debug, Deserialize)]
pub(in crate::brokers) struct ExchangeInfo<Row> {
    pub(in crate::brokers) symbols: Vec<Row>,
}

/// Something that is traded.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    pub(super) status: String,
    pub(super) base_asset: String,
    pub(super) quote_asset: String,
    pub(super) filters: Vec<Filter>,
}

/// A rule of a symbol.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(in crate::brokers) struct Filter {
    pub(in crate::brokers) filter_type: String,
    pub(in crate::brokers) tick_size: Option<Num>,
    pub(in crate::brokers) step_size: Option<Num>,
    pub(in crate::brokers) min_qty: Option<Num>,
    #[serde(alias = "notional")]
    pub(in crate::brokers) min_notional: Option<Num>,
}

/// `GET /api/v3/ticker/bookTicker`.
#[derive(Debug, Deserialize)]
pub(in crate::brokers) struct Best {
    pub(in crate::brokers) symbol: String,
    #[serde(rename = "bidPrice")]
    pub(in crate::brokers) bid: Num,
    #[serde(rename = "askPrice")]
    pub(in crate::brokers) ask: Num,
}

/// A frame of the stream of prices.
#[derive(Debug, Deserialize)]
pub(in crate::brokers) struct BestTick {
    pub(in crate::brokers) s: String,
    pub(in crate::brokers) b: Num,
    pub(in crate::brokers) a: Num,
}

/// A frame of the stream of orders: an answer or an event.
#[derive(Debug, Deserialize)]
pub(super) struct Frame {
    pub(super) status: Option<u16>,
    pub(super) error: Option<Failure>,
    pub(super) event: Option<Box<serde_json::value::RawValue>>,
}

/// What an event is.
#[derive(Debug, Deserialize)]
pub(in crate::brokers) struct Named {
    pub(in crate::brokers) e: String,
}

/// `executionReport`.
#[derive(Debug, Deserialize)]
pub(super) struct Execution {
    #[serde(rename = "s")]
    pub(super) symbol: String,
    /// The order's name; of a cancel: the cancel's.
    #[serde(rename = "c")]
    pub(super) client_order_id: String,
    /// The name of the order that was cancelled.
    #[serde(default, rename = "C")]
    pub(super) original_id: String,
    #[serde(rename = "S")]
    pub(super) side: String,
    #[serde(rename = "x")]
    pub(super) what: String,
    #[serde(rename = "X")]
    pub(super) status: String,
    #[serde(default, rename = "r")]
    pub(super) reason: String,
    #[serde(rename = "i")]
    pub(super) order_id: u64,
    #[serde(rename = "l")]
    pub(super) last: Num,
    #[serde(rename = "L")]
    pub(super) price: Num,
    #[serde(rename = "z")]
    pub(super) executed: Num,
    #[serde(rename = "Z")]
    pub(super) executed_quote: Num,
    #[serde(default, rename = "n")]
    pub(super) commission: Option<Num>,
    #[serde(default, rename = "N")]
    pub(super) commission_asset: Option<String>,
    #[serde(rename = "t")]
    pub(super) trade_id: i64,
    #[serde(rename = "T")]
    pub(super) at: i64,
}
