//! The futures market's JSON as it travels. Unknown fields and words are tolerated; a number that cannot be read is not.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::brokers::binance::wire::Filter;
use crate::brokers::venue::number::Num;

/// `GET /fapi/v1/accountConfig`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    pub(super) can_trade: bool,
    /// Whether long and short positions of one symbol stand beside each other.
    pub(super) dual_side_position: bool,
    /// Whether all assets are margin for all positions.
    pub(super) multi_assets_margin: bool,
}

/// One row of `GET /fapi/v3/balance`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Balance {
    /// What Binance knows the account by.
    #[serde(default)]
    pub(super) account_alias: String,
}

/// `GET /fapi/v3/account`.
#[derive(Debug, Deserialize)]
pub(super) struct Account {
    pub(super) assets: Vec<Asset>,
    pub(super) positions: Vec<Position>,
}

/// The wallet of one margin asset.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asset {
    pub(super) asset: String,
    pub(super) wallet_balance: Num,
    pub(super) available_balance: Num,
}

/// A position. Its value and its quantity are below zero where it is short.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Position {
    pub(super) symbol: String,
    /// `BOTH` in one-way mode.
    pub(super) position_side: String,
    #[serde(rename = "positionAmt")]
    pub(super) amount: Num,
    /// At the mark price.
    pub(super) notional: Num,
    pub(super) unrealized_profit: Num,
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
    #[serde(default)]
    pub(super) avg_price: Num,
    pub(super) update_time: Option<i64>,
}

/// A stop at the algo service, as an answer to placing it and as it is shown.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Algo {
    pub(super) algo_id: u64,
    pub(super) client_algo_id: String,
    pub(super) algo_status: String,
    /// The number of the order that it became; a text, empty where it became none.
    #[serde(default)]
    pub(super) actual_order_id: Value,
    pub(super) update_time: Option<i64>,
}

impl Algo {
    /// Returns the number of the order that it became.
    pub(super) fn became(&self) -> Option<u64> {
        let number = self.actual_order_id.as_u64();
        number.or_else(|| self.actual_order_id.as_str()?.parse().ok()).filter(|number| *number > 0)
    }
}

/// A contract.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    pub(super) symbol: String,
    #[serde(default)]
    pub(super) contract_type: String,
    pub(super) status: String,
    pub(super) base_asset: String,
    pub(super) quote_asset: String,
    pub(super) margin_asset: String,
    pub(super) filters: Vec<Filter>,
}

/// `POST /fapi/v1/listenKey`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListenKey {
    pub(super) listen_key: String,
}

/// A frame of the user stream.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    pub(super) e: String,
    #[serde(rename = "T")]
    pub(super) at: Option<i64>,
    pub(super) o: Option<Box<RawValue>>,
}

/// `o` of `ORDER_TRADE_UPDATE`.
#[derive(Debug, Deserialize)]
pub(super) struct OrderNews {
    #[serde(rename = "c")]
    pub(super) client_order_id: String,
    #[serde(rename = "x")]
    pub(super) what: String,
    #[serde(rename = "X")]
    pub(super) status: String,
    #[serde(rename = "i")]
    pub(super) order_id: u64,
    #[serde(rename = "l")]
    pub(super) last: Num,
    #[serde(rename = "L")]
    pub(super) price: Num,
    #[serde(rename = "z")]
    pub(super) executed: Num,
    #[serde(default, rename = "ap")]
    pub(super) avg_price: Num,
    #[serde(default, rename = "n")]
    pub(super) commission: Option<Num>,
    #[serde(default, rename = "N")]
    pub(super) commission_asset: Option<String>,
    #[serde(rename = "t")]
    pub(super) trade_id: i64,
    #[serde(rename = "T")]
    pub(super) at: i64,
}

/// `o` of `ALGO_UPDATE`.
#[derive(Debug, Deserialize)]
pub(super) struct AlgoNews {
    #[serde(rename = "caid")]
    pub(super) client_algo_id: String,
    #[serde(rename = "aid")]
    pub(super) algo_id: u64,
    #[serde(rename = "X")]
    pub(super) status: String,
    /// Why it became no order.
    #[serde(default, rename = "rm")]
    pub(super) reason: Option<String>,
}
