//! Schwab's JSON as it travels. Unknown fields and words are tolerated, and so are missing ones, for what is shown drifts;
//! a number that cannot be read is not.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::brokers::venue::number::Num;

/// `POST /token`.
#[derive(Debug, Deserialize)]
pub(super) struct Token {
    pub(super) access_token: SecretString,
    pub(super) expires_in: u32,
}

/// What is said instead of what was asked for, by whoever says it: the trader, the gateway, the proxy, the login.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Failure {
    pub(super) message: String,
    pub(super) errors: Vec<serde_json::Value>,
    pub(super) fault: Fault,
    pub(super) error: String,
    pub(super) error_description: String,
}

/// What the proxy says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Fault {
    pub(super) faultstring: String,
}

/// `GET /accounts/accountNumbers`, one of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Numbered {
    pub(super) account_number: String,
    pub(super) hash_value: String,
}

/// `GET /accounts/{hash}`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wrapped {
    pub(super) securities_account: Account,
}

/// An account.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Account {
    #[serde(default)]
    pub(super) is_closing_only_restricted: bool,
    #[serde(default)]
    pub(super) positions: Vec<Position>,
    pub(super) current_balances: Balances,
}

/// What there is of money; a cash account has other words for it than one that borrows.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Balances {
    pub(super) cash_balance: Option<Num>,
    pub(super) total_cash: Option<Num>,
    pub(super) buying_power: Option<Num>,
    pub(super) cash_available_for_trading: Option<Num>,
    pub(super) liquidation_value: Option<Num>,
}

/// What is held of one thing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Position {
    pub(super) short_quantity: Num,
    pub(super) long_quantity: Num,
    pub(super) average_price: Option<Num>,
    pub(super) instrument: Instrument,
}

/// A thing that is held or traded.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Instrument {
    pub(super) asset_type: String,
    pub(super) symbol: String,
}

/// An order as it is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Order {
    pub(super) order_id: i64,
    pub(super) status: String,
    pub(super) status_description: Option<String>,
    pub(super) duration: String,
    pub(super) order_type: String,
    pub(super) filled_quantity: Num,
    pub(super) price: Option<Num>,
    pub(super) stop_price: Option<Num>,
    pub(super) stop_price_offset: Option<Num>,
    pub(super) entered_time: Option<String>,
    pub(super) close_time: Option<String>,
    pub(super) order_leg_collection: Vec<Leg>,
    pub(super) order_activity_collection: Vec<Activity>,
}

/// What an order trades.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Leg {
    pub(super) instruction: String,
    pub(super) quantity: Num,
    pub(super) instrument: Instrument,
}

/// What happened to an order.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Activity {
    pub(super) activity_type: String,
    pub(super) activity_id: i64,
    pub(super) execution_type: String,
    pub(super) execution_legs: Vec<Execution>,
}

/// A trade.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Execution {
    pub(super) leg_id: i64,
    pub(super) quantity: Num,
    pub(super) price: Num,
    pub(super) time: Option<String>,
}

/// `GET /quotes`: by symbol, and `errors` beside them.
pub(super) type Quotes = BTreeMap<String, Box<RawValue>>;

/// What is told of one symbol.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Quoted {
    pub(super) asset_main_type: String,
    /// Whether the prices are of now, not of a quarter of an hour ago.
    #[serde(default)]
    pub(super) realtime: bool,
    pub(super) quote: Prices,
}

/// The prices of one symbol.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Prices {
    pub(super) bid_price: Num,
    pub(super) ask_price: Num,
    pub(super) last_price: Num,
}

/// `GET /userPreference`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Preference {
    pub(super) streamer_info: Vec<Streamer>,
}

/// Where the streamer is, and who one is there.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Streamer {
    pub(super) streamer_socket_url: String,
    pub(super) schwab_client_customer_id: String,
    pub(super) schwab_client_correl_id: String,
    pub(super) schwab_client_channel: String,
    pub(super) schwab_client_function_id: String,
}

/// A frame of the streamer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Frame {
    pub(super) response: Vec<Response>,
    pub(super) notify: Vec<Notice>,
    pub(super) data: Vec<Data>,
}

/// An answer to what was said.
#[derive(Debug, Deserialize)]
pub(super) struct Response {
    pub(super) service: String,
    pub(super) command: String,
    #[serde(default, rename = "SchwabClientCorrelId")]
    pub(super) correl: String,
    pub(super) content: Told,
}

/// What the streamer says of itself: a heartbeat, or why it ends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Notice {
    pub(super) content: Option<Told>,
}

/// A code and its words.
#[derive(Debug, Deserialize)]
pub(super) struct Told {
    pub(super) code: i64,
    #[serde(default)]
    pub(super) msg: String,
}

/// News of one service.
#[derive(Debug, Deserialize)]
pub(super) struct Data {
    pub(super) service: String,
    #[serde(default)]
    pub(super) content: Vec<News>,
}

/// One piece of news of an account.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct News {
    pub(super) seq: Option<u64>,
    #[serde(rename = "1")]
    pub(super) account: String,
    #[serde(rename = "2")]
    pub(super) what: String,
    #[serde(rename = "3")]
    pub(super) payload: String,
}

/// What a payload is about. Nothing else of it is documented.
#[derive(Debug, Deserialize)]
pub(super) struct Payload {
    #[serde(rename = "SchwabOrderID")]
    pub(super) order: serde_json::Value,
}

/// Reads a time, whose offset has no colon: `2024-06-06T13:46:03+0000`.
pub(super) fn time(text: &str) -> Option<DateTime<Utc>> {
    let read = DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z");
    read.or_else(|_| DateTime::parse_from_rfc3339(text)).ok().map(|at| at.to_utc())
}

/// Returns a time as lists are asked for with.
pub(super) fn stamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
