//! The gateway's JSON as it travels. Unknown fields and words are tolerated; what is a number here is text there.

use rust_decimal::Decimal;
use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::brokers::venue::number;

/// What a gateway says of the login.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Login {
    /// When a person logged in, in milliseconds since 1970.
    #[serde(rename = "AUTH_TIME")]
    pub(super) at: Option<i64>,
}

/// A number, a text with one, or nothing readable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loose(pub(super) Option<Decimal>);

impl Loose {
    pub(super) fn or_zero(self) -> Decimal {
        self.0.unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::Number(number) => number::parse(&number.to_string()),
            Value::String(text) => number::parse(text.replace(',', "").trim()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }))
    }
}

/// A text, or a number as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word(pub(super) String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
        }))
    }
}

/// What is said instead of what was asked for, also with a 200.
#[derive(Debug, Deserialize)]
pub(super) struct Failure {
    pub(super) error: String,
}

/// How the session stands.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) authenticated: bool,
    pub(super) competing: bool,
    pub(super) connected: bool,
}

/// `POST /tickle`.
#[derive(Debug, Deserialize)]
pub(super) struct Tickle {
    #[serde(default)]
    pub(super) session: Word,
}

/// `GET /iserver/accounts`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Accounts {
    pub(super) accounts: Vec<String>,
    #[serde(default)]
    pub(super) selected_account: String,
    /// Absent is unconfirmed, and counts as neither.
    pub(super) is_paper: Option<bool>,
}

/// A part of `GET /portfolio/{account}/summary`.
#[derive(Debug, Deserialize)]
pub(super) struct Amount {
    #[serde(default)]
    pub(super) amount: Loose,
}

/// `GET /portfolio/{account}/summary`.
#[derive(Debug, Deserialize)]
pub(super) struct Summary {
    pub(super) netliquidation: Amount,
    pub(super) totalcashvalue: Amount,
    pub(super) availablefunds: Amount,
}

/// One of `GET /portfolio2/{account}/positions`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Held {
    pub(super) conid: Word,
    pub(super) description: String,
    pub(super) position: Loose,
    pub(super) avg_cost: Loose,
    pub(super) currency: String,
    pub(super) sec_type: String,
}

/// One company of `GET /trsrv/stocks`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Stock {
    pub(super) asset_class: String,
    pub(super) contracts: Vec<Contract>,
}

/// One listing of a company's shares.
#[derive(Debug, Deserialize)]
pub(super) struct Contract {
    pub(super) conid: i64,
    #[serde(default, rename = "isUS")]
    pub(super) is_us: bool,
}

/// The prices of one contract, as far as they are known.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Snapshot {
    pub(super) conid: Word,
    #[serde(rename = "31")]
    pub(super) last: Word,
    #[serde(rename = "84")]
    pub(super) bid: Word,
    #[serde(rename = "86")]
    pub(super) ask: Word,
    #[serde(rename = "6509")]
    pub(super) availability: String,
}

/// `POST /iserver/account/{account}/orders`.
#[derive(Debug, Serialize)]
pub(super) struct NewOrders<'a> {
    pub(super) orders: [NewOrder<'a>; 1],
}

/// One order; amounts are JSON numbers, written digit by digit.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewOrder<'a> {
    pub(super) acct_id: &'a str,
    pub(super) conid: i64,
    pub(super) sec_type: String,
    #[serde(rename = "cOID")]
    pub(super) coid: String,
    pub(super) order_type: &'static str,
    pub(super) side: &'static str,
    pub(super) tif: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) quantity: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) price: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) aux_price: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trailing_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trailing_amt: Option<Box<RawValue>>,
    #[serde(rename = "outsideRTH", skip_serializing_if = "std::ops::Not::not")]
    pub(super) outside_rth: bool,
}

/// What a submission, or the answer to a question, comes to.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Outcome {
    /// Orders that were taken, or questions: told apart by their fields.
    List(Vec<Taken>),
    /// A question of another kind, which is answered elsewhere.
    Prompt(Prompt),
}

/// An order that was taken, or a question about it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Taken {
    pub(super) order_id: Word,
    pub(super) local_order_id: String,
    pub(super) order_status: String,
    pub(super) id: String,
    pub(super) message: Vec<String>,
    #[serde(rename = "messageIds")]
    pub(super) message_ids: Vec<String>,
}

/// A question of another kind.
#[derive(Debug, Deserialize)]
pub(super) struct Prompt {
    pub(super) text: String,
}

/// `GET /iserver/account/orders`.
#[derive(Debug, Deserialize)]
pub(super) struct Orders {
    #[serde(default)]
    pub(super) orders: Vec<Listed>,
    #[serde(default)]
    pub(super) snapshot: bool,
}

/// An order as lists and the stream show it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Listed {
    pub(super) acct: String,
    pub(super) order_id: Word,
    #[serde(rename = "order_ref")]
    pub(super) order_ref: String,
    pub(super) status: String,
    #[serde(rename = "order_ccp_status")]
    pub(super) ccp_status: String,
    pub(super) filled_quantity: Loose,
    pub(super) avg_price: Loose,
    pub(super) time_in_force: String,
    #[serde(rename = "lastExecutionTime_r")]
    pub(super) last_at: Loose,
}

/// `GET /iserver/account/order/status/{id}`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct One {
    pub(super) order_id: Word,
    pub(super) order_ref: Option<String>,
    pub(super) order_status: String,
    #[serde(rename = "order_ccp_status")]
    pub(super) ccp_status: Option<String>,
    #[serde(rename = "order_status_description")]
    pub(super) description: Option<String>,
    pub(super) cum_fill: Loose,
    pub(super) average_price: Loose,
    pub(super) tif: String,
}

/// One execution, of `GET /iserver/account/trades` or the stream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Trade {
    pub(super) execution_id: String,
    pub(super) order_ref: String,
    pub(super) order_id: Word,
    pub(super) size: Loose,
    pub(super) price: Loose,
    /// Known a moment later.
    pub(super) commission: Loose,
    #[serde(rename = "trade_time_r")]
    pub(super) at: Loose,
}

/// A frame of the stream.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Frame {
    pub(super) topic: String,
    pub(super) args: Value,
    pub(super) message: String,
    pub(super) error: Value,
    pub(super) hb: Option<i64>,
}
