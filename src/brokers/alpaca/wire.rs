//! Alpaca's JSON as it travels: trading API v2, market data API v2 and both streams.
//!
//! Unknown fields and unknown words are tolerated, because the venue adds them without notice; a number that cannot
//! be read is not.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::brokers::venue::number::Num;

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
    pub data: Box<RawValue>,
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
#[derive(Clone, Debug)]
pub enum Tick {
    /// Said at the session's start.
    Success(Said),
    /// Refused.
    Error(Error),
    /// What is streamed now.
    Subscription(Subscription),
    /// New best prices.
    Quote(Of, BestPrices),
    /// A trade.
    Trade(Of, Trade),
    /// Trading was halted or resumed.
    Status(Of, Status),
    /// Anything else.
    Other,
}

/// What a message of the market data stream is.
#[derive(Debug, Deserialize)]
struct Kind {
    #[serde(rename = "T")]
    name: String,
}

/// What a message is about.
#[derive(Clone, Debug, Deserialize)]
pub struct Of {
    /// The symbol.
    #[serde(rename = "S")]
    pub symbol: String,
}

/// A word of the greeting.
#[derive(Clone, Debug, Deserialize)]
pub struct Said {
    /// `connected` or `authenticated`.
    pub msg: String,
}

/// A wish that was refused.
#[derive(Clone, Debug, Deserialize)]
pub struct Error {
    /// Which: 402 credentials, 405 too many symbols, 406 too many connections, 409 no subscription.
    pub code: i64,
    /// In words.
    #[serde(default)]
    pub msg: String,
}

/// What is streamed.
#[derive(Clone, Debug, Deserialize)]
pub struct Subscription {
    /// Symbols whose quotes are.
    #[serde(default)]
    pub quotes: Vec<String>,
}

/// A trade on the stream.
#[derive(Clone, Debug, Deserialize)]
pub struct Trade {
    /// Its price.
    pub p: Num,
    /// When.
    pub t: DateTime<Utc>,
}

/// Whether a symbol is traded.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// Which: `H` and `2` halted, `T`, `3` and `5` resumed.
    #[serde(default)]
    pub sc: String,
}

impl Tick {
    /// Reads a frame of the market data stream, which holds several messages.
    ///
    /// Each is read from its own text: what serde reads by a tag, or flattens, goes through a buffer in which numbers
    /// are floats.
    ///
    /// # Errors
    /// When it is no list of messages, or one of a known kind cannot be read.
    pub fn all(frame: &str) -> serde_json::Result<Vec<Self>> {
        let messages: Vec<&RawValue> = serde_json::from_str(frame)?;
        messages.into_iter().map(|message| Self::read(message.get())).collect()
    }

    fn read(text: &str) -> serde_json::Result<Self> {
        use serde_json::from_str as read;
        let kind: Kind = read(text)?;
        Ok(match kind.name.as_str() {
            "success" => Self::Success(read(text)?),
            "error" => Self::Error(read(text)?),
            "subscription" => Self::Subscription(read(text)?),
            "q" => Self::Quote(read(text)?, read(text)?),
            "t" => Self::Trade(read(text)?, read(text)?),
            "s" => Self::Status(read(text)?, read(text)?),
            _ => Self::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty digits, more than a float holds.
    const AMOUNT: &str = "1234567890.1234567891";

    #[test]
    fn amounts_on_both_streams_are_exact_whether_they_are_text_or_not() {
        for said in [AMOUNT.to_owned(), format!("\"{AMOUNT}\"")] {
            let frame = format!(
                r#"{{"stream":"trade_updates","data":{{"event":"fill","qty":{said},"price":{said},
                "order":{{"id":"a","client_order_id":"b","status":"filled","filled_qty":{said},
                "legs":[{{"id":"c","client_order_id":"d","status":"held","stop_price":{said}}}]}}}}}}"#
            );
            let frame: Frame = serde_json::from_str(&frame).unwrap();
            let update: TradeUpdate = serde_json::from_str(frame.data.get()).unwrap();
            let leg = update.order.legs.unwrap().remove(0);
            for told in [update.qty, update.price, update.order.filled_qty, leg.stop_price] {
                assert_eq!(told.unwrap().0.to_string(), AMOUNT);
            }
            let ticks = Tick::all(&format!(
                r#"[{{"T":"t","S":"AAPL","p":{said},"t":"2024-06-06T13:46:03Z"}},
                {{"T":"q","S":"AAPL","bp":{said},"ap":{said},"t":"2024-06-06T13:46:03Z"}}]"#
            ));
            let [Tick::Trade(_, trade), Tick::Quote(_, best)] = &ticks.unwrap()[..] else {
                panic!("a trade and a quote")
            };
            for told in [trade.p, best.bp, best.ap] {
                assert_eq!(told.0.to_string(), AMOUNT);
            }
        }
    }

    #[test]
    fn a_data_message_of_an_unknown_kind_is_tolerated() {
        let text = r#"[{"T":"b","S":"AAPL","o":1},{"T":"q","S":"AAPL","bx":"V","bp":190.5,"bs":1,"ax":"V",
            "ap":190.52,"as":2,"c":["R"],"z":"C","t":"2024-06-06T13:46:03.123456789Z"}]"#;
        let ticks = Tick::all(text).unwrap();
        assert!(matches!(ticks[0], Tick::Other));
        let Tick::Quote(of, best) = &ticks[1] else { panic!("{ticks:?}") };
        assert_eq!((of.symbol.as_str(), best.ap.0.to_string()), ("AAPL", "190.52".to_owned()));
    }

    #[test]
    fn a_data_message_that_cannot_be_read_is_an_error() {
        for bad in [r#"{"T":"q"}"#, r#"[{"S":"AAPL"}]"#, r#"[{"T":"q","S":"AAPL"}]"#, r#"[{"T":"t","p":1}]"#]
        {
            assert!(Tick::all(bad).is_err(), "{bad}");
        }
    }
}
