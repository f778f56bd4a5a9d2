//! Alpaca's JSON as it travels: trading API v2, market data API v2 and both streams.
//!
//! Unknown fields and unknown words are tolerated, because the venue adds them without notice; a number that cannot
//! be read is not.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

/// A decimal that comes as a string (trading) or as a number (market data).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Num(pub Decimal);

impl<'de> Deserialize<'de> for Num {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = Num;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number, as a string or a number")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Num, E> {
                let read = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text));
                read.map(Num).map_err(|_| E::custom("not a decimal number"))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<Num, E> {
                Ok(Num(Decimal::from(number)))
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<Num, E> {
                Ok(Num(Decimal::from(number)))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<Num, E> {
                // The shortest text that reads back as the same number is what the venue wrote: it writes at most
                // 15 digits.
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Digits)
    }
}

/// `GET /v2/account`.
#[derive(Clone, Debug, Deserialize)]
pub struct Account {
    /// What people know the account by.
    pub account_number: String,
    /// `ACTIVE`, or why it is not.
    pub status: String,
    /// Settled cash.
    pub cash: Num,
    /// Cash and positions at market.
    pub equity: Num,
    /// What new orders may cost; what open orders hold back is taken off already.
    pub buying_power: Num,
    /// Alpaca stopped its trading.
    #[serde(default)]
    pub trading_blocked: bool,
    /// Alpaca stopped all its activity.
    #[serde(default)]
    pub account_blocked: bool,
    /// Its holder stopped its trading.
    #[serde(default)]
    pub trade_suspended_by_user: bool,
}

/// An order as Alpaca shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct Order {
    /// Alpaca's id.
    pub id: String,
    /// The sender's id; Alpaca makes one up for orders without.
    pub client_order_id: String,
    /// Units ordered; absent for orders by value.
    #[serde(default)]
    pub qty: Option<Num>,
    /// Units done.
    #[serde(default)]
    pub filled_qty: Option<Num>,
    /// Average price of what is done.
    #[serde(default)]
    pub filled_avg_price: Option<Num>,
    /// `simple`, empty, `bracket`, `oco` or `oto`.
    #[serde(default)]
    pub order_class: Option<String>,
    /// `buy` or `sell`; absent for orders of several options.
    #[serde(default)]
    pub side: Option<String>,
    /// Worst price.
    #[serde(default)]
    pub limit_price: Option<Num>,
    /// Price that wakes it.
    #[serde(default)]
    pub stop_price: Option<Num>,
    /// Where it stands: an open set of words.
    pub status: String,
    /// When it was done.
    #[serde(default)]
    pub filled_at: Option<DateTime<Utc>>,
    /// When it last changed.
    #[serde(default)]
    pub updated_at: Option<DateTime<Utc>>,
    /// When it was sent.
    #[serde(default)]
    pub submitted_at: Option<DateTime<Utc>>,
    /// The order that took its place.
    #[serde(default)]
    pub replaced_by: Option<String>,
    /// The orders that hang on it.
    #[serde(default)]
    pub legs: Option<Vec<Order>>,
}

/// `POST /v2/orders`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NewOrder {
    /// In what.
    pub symbol: String,
    /// Units.
    pub qty: String,
    /// `buy` or `sell`.
    pub side: &'static str,
    /// `market`, `limit`, `stop`, `stop_limit` or `trailing_stop`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `day`, `gtc`, `ioc` or `fok`.
    pub time_in_force: &'static str,
    /// Our id.
    pub client_order_id: String,
    /// Worst price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_price: Option<String>,
    /// Price that wakes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_price: Option<String>,
    /// Distance of a trailing stop, in dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trail_price: Option<String>,
    /// Distance of a trailing stop, in per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trail_percent: Option<String>,
    /// Whether it may execute before and after the regular session.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub extended_hours: bool,
    /// `oco`; absent: a simple order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_class: Option<&'static str>,
    /// The limit leg of a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub take_profit: Option<TakeProfit>,
    /// The stop leg of a pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_loss: Option<StopLoss>,
}

/// The limit leg of a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TakeProfit {
    /// Worst price.
    pub limit_price: String,
}

/// The stop leg of a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StopLoss {
    /// Price that wakes it.
    pub stop_price: String,
}

/// A position as Alpaca shows it.
#[derive(Clone, Debug, Deserialize)]
pub struct Position {
    /// In what.
    pub symbol: String,
    /// `us_equity`, `crypto` or `us_option`; absent in old replies.
    #[serde(default)]
    pub asset_class: Option<String>,
    /// Units, below zero when short.
    pub qty: Num,
    /// Average price paid.
    #[serde(default)]
    pub avg_entry_price: Option<Num>,
    /// `long` or `short`.
    #[serde(default)]
    pub side: Option<String>,
}

/// `GET /v2/assets`.
#[derive(Clone, Debug, Deserialize)]
pub struct Asset {
    /// `us_equity`, `crypto`, `us_option`.
    pub class: String,
    /// Its name.
    pub symbol: String,
    /// `active` or `inactive`.
    pub status: String,
    /// Whether Alpaca takes orders for it.
    pub tradable: bool,
    /// Whether parts of a unit are traded.
    #[serde(default)]
    pub fractionable: bool,
}

/// `GET /v2/clock`.
#[derive(Clone, Debug, Deserialize)]
pub struct MarketClock {
    /// When this was so.
    pub timestamp: DateTime<Utc>,
    /// Whether the regular session is on.
    pub is_open: bool,
    /// When the next regular session opens.
    pub next_open: DateTime<Utc>,
    /// When the present or next regular session closes.
    pub next_close: DateTime<Utc>,
}

/// A day of `GET /v2/calendar`; all times are New York's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CalendarDay {
    /// The day.
    pub date: NaiveDate,
    /// Opening of the regular session, `09:30`.
    pub open: String,
    /// Its close, `16:00`.
    pub close: String,
    /// Opening of the extended session, `0400`.
    #[serde(default)]
    pub session_open: Option<String>,
    /// Its close, `2000`.
    #[serde(default)]
    pub session_close: Option<String>,
}

/// The body of an error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Failure {
    /// HTTP status and a running number; sometimes absent.
    #[serde(default)]
    pub code: Option<i64>,
    /// What is wrong, in their words.
    pub message: String,
}

/// `GET /v2/stocks/quotes/latest`.
#[derive(Clone, Debug, Deserialize)]
pub struct LatestQuotes {
    /// The latest quote of each symbol that has one.
    #[serde(default)]
    pub quotes: BTreeMap<String, BestPrices>,
}

/// `GET /v2/stocks/trades/latest`.
#[derive(Clone, Debug, Deserialize)]
pub struct LatestTrades {
    /// The latest trade of each symbol that has one.
    #[serde(default)]
    pub trades: BTreeMap<String, LatestTrade>,
}

/// A trade.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LatestTrade {
    /// Its price.
    pub p: Num,
}

/// The best prices of a symbol.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct BestPrices {
    /// When.
    pub t: DateTime<Utc>,
    /// Best price a buyer pays; 0: nobody sells.
    pub ap: Num,
    /// Best price a seller gets; 0: nobody buys.
    pub bp: Num,
}

/// A frame of the trade updates stream.
#[derive(Clone, Debug, Deserialize)]
pub struct Frame {
    /// `authorization`, `listening` or `trade_updates`.
    pub stream: String,
    /// What it says.
    pub data: serde_json::Value,
}

/// The answer to `authenticate`.
#[derive(Clone, Debug, Deserialize)]
pub struct Authorization {
    /// `authorized` or `unauthorized`.
    pub status: String,
}

/// What happened to an order.
#[derive(Clone, Debug, Deserialize)]
pub struct TradeUpdate {
    /// `new`, `fill`, `partial_fill`, `canceled` and so on: an open set of words.
    pub event: String,
    /// The execution's id; only when something was executed.
    #[serde(default)]
    pub execution_id: Option<String>,
    /// When.
    #[serde(default)]
    pub timestamp: Option<DateTime<Utc>>,
    /// Price of this execution.
    #[serde(default)]
    pub price: Option<Num>,
    /// Units of this execution.
    #[serde(default)]
    pub qty: Option<Num>,
    /// The order after it.
    pub order: Order,
}

/// One message of the market data stream.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "T")]
pub enum Tick {
    /// Said at the session's start.
    #[serde(rename = "success")]
    Success {
        /// `connected` or `authenticated`.
        msg: String,
    },
    /// Refused.
    #[serde(rename = "error")]
    Error {
        /// Which: 402 credentials, 405 too many symbols, 406 too many connections, 409 no subscription.
        code: i64,
        /// In words.
        #[serde(default)]
        msg: String,
    },
    /// What is streamed now.
    #[serde(rename = "subscription")]
    Subscription {
        /// Symbols whose quotes are.
        #[serde(default)]
        quotes: Vec<String>,
    },
    /// New best prices.
    #[serde(rename = "q")]
    Quote {
        /// Of what.
        #[serde(rename = "S")]
        symbol: String,
        /// The prices.
        #[serde(flatten)]
        best: BestPrices,
    },
    /// A trade.
    #[serde(rename = "t")]
    Trade {
        /// Of what.
        #[serde(rename = "S")]
        symbol: String,
        /// Its price.
        p: Num,
        /// When.
        t: DateTime<Utc>,
    },
    /// Trading was halted or resumed.
    #[serde(rename = "s")]
    Status {
        /// Of what.
        #[serde(rename = "S")]
        symbol: String,
        /// Which: `H` and `2` halted, `T`, `3` and `5` resumed.
        #[serde(default)]
        sc: String,
    },
    /// Anything else.
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn num(json: &str) -> String {
        serde_json::from_str::<Num>(json).unwrap().0.to_string()
    }

    #[test]
    fn numbers_are_exact_whether_they_are_text_or_not() {
        assert_eq!(num("\"190.50\""), "190.50");
        assert_eq!(num("190.52"), "190.52");
        assert_eq!(num("0.1"), "0.1");
        assert_eq!(num("7"), "7");
        assert_eq!(num("-3"), "-3");
        assert_eq!(num("0.000000001"), "0.000000001");
        assert_eq!(num("\"1e-7\""), "0.0000001");
        for bad in ["\"\"", "\"abc\"", "\"NaN\"", "true", "[1]", "1e300"] {
            assert!(serde_json::from_str::<Num>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_data_message_of_an_unknown_kind_is_tolerated() {
        let text = r#"[{"T":"b","S":"AAPL","o":1},{"T":"q","S":"AAPL","bx":"V","bp":190.5,"bs":1,"ax":"V",
            "ap":190.52,"as":2,"c":["R"],"z":"C","t":"2024-06-06T13:46:03.123456789Z"}]"#;
        let ticks: Vec<Tick> = serde_json::from_str(text).unwrap();
        assert!(matches!(ticks[0], Tick::Other));
        let Tick::Quote { symbol, best } = &ticks[1] else { panic!("{ticks:?}") };
        assert_eq!((symbol.as_str(), best.ap.0.to_string()), ("AAPL", "190.52".to_owned()));
    }
}
