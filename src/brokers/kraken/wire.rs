//! Kraken's JSON as it travels. Unknown fields and words are tolerated; a number that cannot be read is not.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::brokers::venue::number::Num;

/// What went wrong, if anything did.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope {
    #[serde(default)]
    pub(super) error: Vec<String>,
}

/// What was asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Answer<T> {
    pub(super) result: T,
}

/// `GET /0/public/Time`.
#[derive(Debug, Deserialize)]
pub(super) struct Time {
    pub(super) unixtime: i64,
}

/// One of `GET /0/public/AssetPairs`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Pair {
    pub(super) altname: String,
    pub(super) wsname: Option<String>,
    pub(super) base: String,
    pub(super) quote: String,
    pub(super) pair_decimals: u32,
    pub(super) lot_decimals: u32,
    pub(super) tick_size: Option<Num>,
    pub(super) ordermin: Option<Num>,
    pub(super) costmin: Option<Num>,
    pub(super) status: Option<String>,
}

/// One of `GET /0/public/Ticker`: prices come first in each list.
#[derive(Debug, Deserialize)]
pub(super) struct Ticker {
    pub(super) a: Vec<Num>,
    pub(super) b: Vec<Num>,
    pub(super) c: Vec<Num>,
}

/// `GetApiKeyInfo`.
#[derive(Debug, Deserialize)]
pub(super) struct KeyInfo {
    #[serde(default)]
    pub(super) permissions: Vec<String>,
    /// The account's public number.
    pub(super) iban: Option<String>,
}

/// One of `BalanceEx`.
#[derive(Debug, Deserialize)]
pub(super) struct Balance {
    pub(super) balance: Num,
    #[serde(default)]
    pub(super) hold_trade: Num,
    #[serde(default)]
    pub(super) credit: Num,
    #[serde(default)]
    pub(super) credit_used: Num,
}

/// `AddOrder`.
#[derive(Debug, Deserialize)]
pub(super) struct Added {
    #[serde(default)]
    pub(super) txid: Vec<String>,
}

/// `CancelOrder`.
#[derive(Debug, Deserialize)]
pub(super) struct Canceled {
    pub(super) count: u32,
}

/// `OpenOrders`.
#[derive(Debug, Deserialize)]
pub(super) struct Open {
    pub(super) open: BTreeMap<String, Order>,
}

/// `ClosedOrders`.
#[derive(Debug, Deserialize)]
pub(super) struct Closed {
    pub(super) closed: BTreeMap<String, Order>,
}

/// An order as it is shown.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Order {
    pub(super) cl_ord_id: Option<String>,
    pub(super) status: String,
    pub(super) opentm: Num,
    pub(super) closetm: Option<Num>,
    pub(super) vol: Num,
    pub(super) vol_exec: Num,
    pub(super) cost: Num,
    #[serde(default)]
    pub(super) trades: Vec<String>,
}

/// One of `QueryTrades`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Trade {
    pub(super) ordertxid: String,
    pub(super) time: Num,
    pub(super) price: Num,
    pub(super) fee: Num,
    pub(super) vol: Num,
}

/// `GetWebSocketsToken`.
#[derive(Deserialize)]
pub(super) struct Token {
    pub(super) token: String,
}

/// A frame of a stream, as far as it says what it is.
#[derive(Debug, Deserialize)]
pub(super) struct Frame {
    pub(super) channel: Option<String>,
    pub(super) method: Option<String>,
    pub(super) success: Option<bool>,
    pub(super) error: Option<String>,
    pub(super) sequence: Option<u64>,
}

/// What a frame tells.
#[derive(Debug, Deserialize)]
pub(super) struct Told<T> {
    pub(super) data: Vec<T>,
}

/// News of an order. What does not change is told once.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct News {
    pub(super) order_id: String,
    pub(super) cl_ord_id: Option<String>,
    pub(super) symbol: Option<String>,
    pub(super) side: Option<String>,
    pub(super) exec_id: Option<String>,
    pub(super) exec_type: String,
    pub(super) order_status: Option<String>,
    pub(super) last_qty: Option<Num>,
    pub(super) last_price: Option<Num>,
    pub(super) cum_qty: Option<Num>,
    pub(super) cum_cost: Option<Num>,
    #[serde(default)]
    pub(super) fees: Vec<Fee>,
    pub(super) timestamp: Option<String>,
}

/// What an execution cost.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Fee {
    pub(super) asset: String,
    pub(super) qty: Num,
}

/// The best prices of a pair.
#[derive(Debug, Deserialize)]
pub(super) struct Best {
    pub(super) symbol: String,
    pub(super) bid: Num,
    pub(super) ask: Num,
    pub(super) last: Option<Num>,
}
