//! Binance's JSON as it travels. Unknown fields and words are tolerated; a number that cannot be read is not.

use serde::Deserialize;

use crate::brokers::venue::number::Num;

/// `GET /api/v3/time`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Time {
    pub(super) server_time: i64,
}

/// What is said instead of what was asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    pub(super) code: i64,
    #[serde(default)]
    pub(super) msg: String,
}

/// `GET /sapi/v1/account/apiRestrictions`: what a key may do.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Restrictions {
    pub(super) enable_reading: bool,
    pub(super) enable_spot_and_margin_trading: bool,
    pub(super) enable_withdrawals: bool,
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
pub(super) struct Trade {
    #[serde(alias = "id")]
    pub(super) trade_id: u64,
    pub(super) price: Num,
    pub(super) qty: Num,
    pub(super) commission: Num,
    pub(super) commission_asset: String,
    pub(super) time: Option<i64>,
}

/// `GET /api/v3/exchangeInfo`.
#[derive(Debug, Deserialize)]
pub(super) struct ExchangeInfo {
    pub(super) symbols: Vec<Listed>,
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
pub(super) struct Filter {
    pub(super) filter_type: String,
    pub(super) tick_size: Option<Num>,
    pub(super) step_size: Option<Num>,
    pub(super) min_qty: Option<Num>,
    pub(super) min_notional: Option<Num>,
}

/// `GET /api/v3/ticker/bookTicker`.
#[derive(Debug, Deserialize)]
pub(super) struct Best {
    pub(super) symbol: String,
    #[serde(rename = "bidPrice")]
    pub(super) bid: Num,
    #[serde(rename = "askPrice")]
    pub(super) ask: Num,
}

/// A frame of the stream of prices.
#[derive(Debug, Deserialize)]
pub(super) struct BestTick {
    pub(super) s: String,
    pub(super) b: Num,
    pub(super) a: Num,
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
pub(super) struct Named {
    pub(super) e: String,
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
