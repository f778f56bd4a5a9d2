//! Coinbase's JSON as it travels. Unknown fields and words are tolerated; a number that cannot be read is not.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::brokers::venue::number::Num;

/// `GET /time`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Time {
    pub(super) epoch_millis: String,
}

/// What is said instead of what was asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Failure {
    pub(super) error: String,
    pub(super) error_details: String,
    pub(super) message: String,
    pub(super) new_order_failure_reason: String,
    pub(super) preview_failure_reason: String,
}

/// `GET /key_permissions`: what a key may do.
#[derive(Debug, Deserialize)]
pub(super) struct Permissions {
    pub(super) can_view: bool,
    pub(super) can_trade: bool,
    pub(super) can_transfer: bool,
    #[serde(default)]
    pub(super) portfolio_uuid: String,
}

/// A page of `GET /accounts`.
#[derive(Debug, Deserialize)]
pub(super) struct Accounts {
    pub(super) accounts: Vec<Account>,
    #[serde(default)]
    pub(super) has_next: bool,
    #[serde(default)]
    pub(super) cursor: String,
}

/// What there is of one currency.
#[derive(Debug, Deserialize)]
pub(super) struct Account {
    pub(super) currency: String,
    pub(super) available_balance: Amount,
    #[serde(default)]
    pub(super) hold: Amount,
}

/// An amount of a currency.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Amount {
    pub(super) value: Num,
}

/// The answer to an order; it comes with status 200 whether the order was taken or not.
#[derive(Debug, Deserialize)]
pub(super) struct Placed {
    pub(super) success: bool,
    #[serde(default)]
    pub(super) failure_reason: String,
    pub(super) success_response: Option<Taken>,
    #[serde(default)]
    pub(super) error_response: Option<Failure>,
}

/// An order that was taken.
#[derive(Debug, Deserialize)]
pub(super) struct Taken {
    pub(super) order_id: String,
    #[serde(default)]
    pub(super) client_order_id: String,
}

/// `POST /orders/batch_cancel`.
#[derive(Debug, Deserialize)]
pub(super) struct Canceled {
    pub(super) results: Vec<CancelResult>,
}

/// What became of one cancel.
#[derive(Debug, Deserialize)]
pub(super) struct CancelResult {
    pub(super) success: bool,
    #[serde(default)]
    pub(super) failure_reason: String,
    pub(super) order_id: String,
}

/// `GET /orders/historical/{order_id}`.
#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    pub(super) order: Order,
}

/// A page of `GET /orders/historical/batch`.
#[derive(Debug, Deserialize)]
pub(super) struct Orders {
    pub(super) orders: Vec<Order>,
    #[serde(default)]
    pub(super) has_next: bool,
    #[serde(default)]
    pub(super) cursor: String,
}

/// An order, as it is shown and as the stream tells of it.
#[derive(Debug, Deserialize)]
pub(super) struct Order {
    pub(super) order_id: String,
    #[serde(default)]
    pub(super) client_order_id: String,
    pub(super) status: String,
    #[serde(rename = "filled_size", alias = "cumulative_quantity")]
    pub(super) filled: Num,
    #[serde(default, rename = "average_filled_price", alias = "avg_price")]
    pub(super) average: Num,
    #[serde(default, rename = "filled_value")]
    pub(super) value: Num,
    #[serde(default, rename = "total_fees")]
    pub(super) fees: Num,
    #[serde(default)]
    pub(super) reject_reason: String,
    #[serde(default)]
    pub(super) reject_message: String,
}

/// A page of `GET /orders/historical/fills`.
#[derive(Debug, Deserialize)]
pub(super) struct Trades {
    pub(super) fills: Vec<Trade>,
    #[serde(default)]
    pub(super) cursor: String,
}

/// One execution.
#[derive(Debug, Deserialize)]
pub(super) struct Trade {
    pub(super) trade_id: String,
    pub(super) order_id: String,
    pub(super) trade_time: String,
    #[serde(default)]
    pub(super) trade_type: String,
    pub(super) price: Num,
    pub(super) size: Num,
    #[serde(default)]
    pub(super) commission: Num,
    #[serde(default)]
    pub(super) size_in_quote: bool,
}

/// `GET /products`.
#[derive(Debug, Deserialize)]
pub(super) struct Products {
    pub(super) products: Vec<Product>,
}

/// Something that is traded.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Product {
    pub(super) product_id: String,
    pub(super) product_type: String,
    pub(super) base_currency_id: String,
    pub(super) quote_currency_id: String,
    pub(super) base_increment: Num,
    pub(super) quote_increment: Num,
    pub(super) price_increment: Num,
    pub(super) quote_min_size: Num,
    pub(super) status: String,
    pub(super) is_disabled: bool,
    pub(super) trading_disabled: bool,
    pub(super) cancel_only: bool,
    pub(super) limit_only: bool,
    pub(super) post_only: bool,
    pub(super) auction_mode: bool,
    pub(super) view_only: bool,
}

/// `GET /best_bid_ask`.
#[derive(Debug, Deserialize)]
pub(super) struct Books {
    pub(super) pricebooks: Vec<Book>,
}

/// The best offers for one product.
#[derive(Debug, Deserialize)]
pub(super) struct Book {
    pub(super) product_id: String,
    #[serde(default)]
    pub(super) bids: Vec<Offer>,
    #[serde(default)]
    pub(super) asks: Vec<Offer>,
}

/// One offer.
#[derive(Debug, Deserialize)]
pub(super) struct Offer {
    pub(super) price: Num,
}

/// A frame of a stream.
#[derive(Debug, Deserialize)]
pub(super) struct Frame {
    #[serde(default, rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) channel: String,
    #[serde(default)]
    pub(super) timestamp: String,
    pub(super) sequence_num: Option<u64>,
    #[serde(default)]
    pub(super) events: Vec<Box<RawValue>>,
}

/// An event of the user channel.
#[derive(Debug, Deserialize)]
pub(super) struct UserEvent {
    #[serde(default)]
    pub(super) orders: Vec<Order>,
}

/// An event of the ticker channel.
#[derive(Debug, Deserialize)]
pub(super) struct TickerEvent {
    #[serde(default)]
    pub(super) tickers: Vec<Ticker>,
}

/// The best prices of one product, and the last one.
#[derive(Debug, Deserialize)]
pub(super) struct Ticker {
    pub(super) product_id: String,
    #[serde(default)]
    pub(super) price: Num,
    #[serde(default)]
    pub(super) best_bid: Num,
    #[serde(default)]
    pub(super) best_ask: Num,
}

/// What was told of an order so far, kept while its stream is open.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Before {
    pub(super) filled: rust_decimal::Decimal,
    pub(super) value: rust_decimal::Decimal,
    pub(super) fees: rust_decimal::Decimal,
}
