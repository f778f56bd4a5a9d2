//! Bybit's JSON as it travels. Unknown fields and words are tolerated; a number that cannot be read is not.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::brokers::venue::number::Num;

/// What an order that repeats another one's name is rejected with.
const REPEAT: &str = "EC_DuplicatedClOrdID";

/// What is around every answer.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<T> {
    pub(super) result: T,
    pub(super) time: Option<i64>,
}

/// The envelope of an answer, whatever is in it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Judged {
    pub(super) ret_code: i64,
    #[serde(default)]
    pub(super) ret_msg: String,
    pub(super) time: Option<i64>,
}

/// A list.
#[derive(Debug, Deserialize)]
pub(super) struct List<T> {
    pub(super) list: Vec<T>,
}

/// A part of a list.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page<T> {
    pub(super) list: Vec<T>,
    /// Where the next part begins; empty: there is none.
    #[serde(default)]
    pub(super) next_page_cursor: String,
}

/// `GET /v5/market/time`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Time {
    pub(super) time_nano: String,
}

/// `GET /v5/user/query-api`: what a key may do.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Key {
    pub(super) read_only: i64,
    pub(super) permissions: Permissions,
    /// Whether the account is a unified one.
    pub(super) uta: Option<i64>,
    /// The account's number.
    #[serde(rename = "userID")]
    pub(super) user_id: Option<u64>,
    /// The addresses that it is good from; `*`: any.
    #[serde(default)]
    pub(super) ips: Vec<String>,
    /// When it ends, if it is good from any address.
    #[serde(rename = "expiredAt")]
    pub(super) expires_at: Option<String>,
}

/// What a key may do, by room.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Permissions {
    #[serde(default)]
    pub(super) spot: Vec<String>,
    #[serde(default)]
    pub(super) wallet: Vec<String>,
}

/// One account of `GET /v5/account/wallet-balance`.
#[derive(Debug, Deserialize)]
pub(super) struct Wallet {
    #[serde(default)]
    pub(super) coin: Vec<Coin>,
}

/// What there is of one coin.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Coin {
    pub(super) coin: String,
    pub(super) wallet_balance: Num,
    /// What open orders hold back.
    #[serde(default)]
    pub(super) locked: Num,
}

/// The answer to a new order: it arrived, and no more.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Taken {
    pub(super) order_id: String,
    pub(super) order_link_id: String,
}

/// An order, as it is shown and as the stream tells it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Order {
    pub(super) order_id: String,
    #[serde(default)]
    pub(super) order_link_id: String,
    pub(super) order_status: String,
    #[serde(rename = "cumExecQty")]
    pub(super) executed: Num,
    #[serde(default)]
    pub(super) reject_reason: String,
    /// Of the stream, which tells of all markets.
    #[serde(default)]
    pub(super) category: String,
}

impl Order {
    /// Returns whether it was rejected because it has the name of another one.
    pub(super) fn is_repeat(&self) -> bool {
        self.reject_reason == REPEAT
    }
}

/// One execution, as it is shown and as the stream tells it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Execution {
    pub(super) symbol: String,
    pub(super) order_id: String,
    #[serde(default)]
    pub(super) order_link_id: String,
    pub(super) side: String,
    pub(super) exec_id: String,
    pub(super) exec_price: Num,
    pub(super) exec_qty: Num,
    #[serde(default)]
    pub(super) exec_fee: Num,
    /// What the fee was taken in; empty: as is usual.
    #[serde(default)]
    pub(super) fee_currency: String,
    #[serde(default)]
    pub(super) exec_type: String,
    pub(super) exec_time: String,
    /// Of the stream, which tells of all markets.
    #[serde(default)]
    pub(super) category: String,
}

/// Something that is traded.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    pub(super) base_coin: String,
    pub(super) quote_coin: String,
    pub(super) status: String,
    pub(super) price_filter: PriceFilter,
    pub(super) lot_size_filter: LotSizeFilter,
}

/// The steps of prices.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PriceFilter {
    pub(super) tick_size: Num,
}

/// The steps of quantities, and the least an order may be worth.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LotSizeFilter {
    pub(super) base_precision: Num,
    #[serde(default)]
    pub(super) min_order_amt: Num,
}

/// One row of `GET /v5/market/tickers`.
#[derive(Debug, Deserialize)]
pub(super) struct Ticker {
    pub(super) symbol: String,
    #[serde(default, rename = "bid1Price")]
    pub(super) bid: Num,
    #[serde(default, rename = "ask1Price")]
    pub(super) ask: Num,
    #[serde(default, rename = "lastPrice")]
    pub(super) last: Num,
}

/// A frame of a stream: an answer or news.
#[derive(Debug, Deserialize)]
pub(super) struct Frame {
    pub(super) op: Option<String>,
    pub(super) success: Option<bool>,
    #[serde(default)]
    pub(super) ret_msg: String,
    pub(super) topic: Option<String>,
    /// Of prices: whether all is told, or what changed.
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) data: Option<Box<RawValue>>,
}

/// What the stream of prices tells of one symbol: rows of price and size. A side that is not there did not change.
#[derive(Debug, Deserialize)]
pub(super) struct Best {
    pub(super) s: String,
    #[serde(default)]
    pub(super) b: Vec<(Num, Num)>,
    #[serde(default)]
    pub(super) a: Vec<(Num, Num)>,
}
