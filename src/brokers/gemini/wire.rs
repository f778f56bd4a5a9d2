//! Gemini's JSON as it travels. Unknown fields and words are tolerated; a number that cannot be read is not.

use serde::Deserialize;

use crate::brokers::venue::number::Num;
use crate::brokers::venue::verdict::Verdict;
use crate::brokers::venue::way::Way;

/// What is said instead of what was asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    pub(super) reason: String,
    #[serde(default)]
    pub(super) message: String,
}

/// `POST /v1/roles`: what a key may do. Absent is not allowed to trade, and allowed to manage funds.
#[derive(Debug, Deserialize)]
pub(super) struct Roles {
    #[serde(default, rename = "isTrader")]
    pub(super) is_trader: bool,
    #[serde(default = "yes", rename = "isFundManager")]
    pub(super) is_fund_manager: bool,
}

fn yes() -> bool {
    true
}

/// What there is of one currency.
#[derive(Debug, Deserialize)]
pub(super) struct Balance {
    pub(super) currency: String,
    pub(super) amount: Num,
    pub(super) available: Num,
}

/// `GET /v1/pubticker/...`.
#[derive(Debug, Deserialize)]
pub(super) struct Ticker {
    #[serde(default)]
    pub(super) bid: Num,
    #[serde(default)]
    pub(super) ask: Num,
    #[serde(default)]
    pub(super) last: Num,
}

/// The rules of a symbol.
#[derive(Debug, Deserialize)]
pub(super) struct Details {
    pub(super) base_currency: String,
    pub(super) quote_currency: String,
    /// The step of quantities, in spite of its name.
    pub(super) tick_size: Num,
    /// The step of prices.
    pub(super) quote_increment: Num,
    pub(super) min_order_size: Num,
    pub(super) status: String,
    #[serde(default)]
    pub(super) product_type: Option<String>,
}

/// An order, as an answer to placing it and as it is shown.
#[derive(Debug, Deserialize)]
pub(super) struct Order {
    pub(super) order_id: String,
    pub(super) client_order_id: Option<String>,
    pub(super) symbol: String,
    pub(super) is_live: bool,
    pub(super) is_cancelled: bool,
    #[serde(default)]
    pub(super) avg_execution_price: Num,
    pub(super) executed_amount: Num,
    #[serde(default)]
    pub(super) original_amount: Option<Num>,
    #[serde(default)]
    pub(super) remaining_amount: Option<Num>,
    #[serde(default)]
    pub(super) trades: Vec<Trade>,
}

/// One execution, of an order and in `POST /v1/mytrades`.
#[derive(Debug, Deserialize)]
pub(super) struct Trade {
    pub(super) tid: u64,
    pub(super) price: Num,
    pub(super) amount: Num,
    pub(super) fee_amount: Num,
    pub(super) fee_currency: String,
    pub(super) timestampms: Option<i64>,
    #[serde(default)]
    pub(super) order_id: Option<String>,
    #[serde(default)]
    pub(super) client_order_id: Option<String>,
}

/// Reads one order, or a list of them: what a question by our id is answered with is not documented.
///
/// # Errors
/// When it is neither.
pub(super) fn orders(way: &Way, body: &[u8]) -> Result<Vec<Order>, Verdict> {
    if body.trim_ascii_start().starts_with(b"[") { way.read(body) } else { Ok(vec![way.read(body)?]) }
}

/// A frame of the WebSocket that answers something.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) id: serde_json::Value,
    pub(super) status: u16,
    pub(super) error: Option<SocketError>,
}

/// Why something was refused there.
#[derive(Debug, Deserialize)]
pub(super) struct SocketError {
    pub(super) code: i64,
    #[serde(default)]
    pub(super) msg: String,
}

/// News of an order; what is empty or zero is left out.
#[derive(Debug, Deserialize)]
pub(super) struct News {
    #[serde(rename = "i")]
    pub(super) order_id: u64,
    #[serde(default, rename = "c")]
    pub(super) client_order_id: String,
    #[serde(rename = "X")]
    pub(super) status: String,
    #[serde(default, rename = "q")]
    pub(super) quantity: Num,
    /// What is left, unlike at venues that speak alike.
    #[serde(default, rename = "z")]
    pub(super) remaining: Num,
    /// Of an execution, its size; of a cancel, all that was executed.
    #[serde(default, rename = "Z")]
    pub(super) executed: Num,
    #[serde(default, rename = "L")]
    pub(super) price: Num,
    #[serde(default, rename = "t")]
    pub(super) trade: Option<u64>,
    /// In nanoseconds.
    #[serde(default, rename = "T")]
    pub(super) at: Option<i64>,
    #[serde(default, rename = "r")]
    pub(super) reason: String,
}

/// Best prices.
#[derive(Debug, Deserialize)]
pub(super) struct Best {
    pub(super) s: String,
    #[serde(default)]
    pub(super) b: Num,
    #[serde(default)]
    pub(super) a: Num,
}
