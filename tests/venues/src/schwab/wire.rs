//! What Schwab's JSON is made of: its words, its numbers, its times, and an order as it is asked for.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::alpaca::wire::Amount;
use crate::book::Side;

/// When of the day an order trades.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Session {
    Normal,
    Am,
    Pm,
    Seamless,
}

/// How long an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Duration {
    Day,
    GoodTillCancel,
    FillOrKill,
    ImmediateOrCancel,
    EndOfWeek,
    EndOfMonth,
}

/// At what price an order may trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum OrderType {
    Market,
    Limit,
    Stop,
    StopLimit,
    TrailingStop,
}

/// What an order does to a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Instruction {
    Buy,
    Sell,
    SellShort,
    BuyToCover,
}

impl Instruction {
    /// Returns which way it trades.
    pub(super) fn side(self) -> Side {
        match self {
            Self::Buy | Self::BuyToCover => Side::Buy,
            Self::Sell | Self::SellShort => Side::Sell,
        }
    }

    /// Returns whether it opens a position.
    pub(super) fn opens(self) -> bool {
        matches!(self, Self::Buy | Self::SellShort)
    }
}

/// What orders are to one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Strategy {
    Single,
    Oco,
    Trigger,
}

/// The price that a trailing stop trails. The book trails the last price, whichever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum LinkBasis {
    Bid,
    Ask,
    Last,
    Mark,
}

/// How a trailing stop's distance is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum LinkType {
    Value,
    Percent,
}

/// Which price wakes a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum StopType {
    Standard,
}

/// The one kind of complex order that is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Complex {
    None,
}

/// What can be traded here. Exchange traded funds are answered as collective investments, and taken as shares too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum AssetType {
    Equity,
    CollectiveInvestment,
}

/// An order as it is asked for. What may be missing is checked afterwards, for that depends on the rest.
///
/// A field that is not known is refused; that of `requestedDestination` is reported, of others decided here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OrderRequest {
    pub(super) session: Option<Session>,
    pub(super) duration: Option<Duration>,
    pub(super) order_type: Option<OrderType>,
    pub(super) complex_order_strategy_type: Option<Complex>,
    pub(super) quantity: Option<Amount>,
    pub(super) price: Option<Amount>,
    pub(super) stop_price: Option<Amount>,
    pub(super) stop_price_link_basis: Option<LinkBasis>,
    pub(super) stop_price_link_type: Option<LinkType>,
    pub(super) stop_price_offset: Option<Amount>,
    pub(super) stop_type: Option<StopType>,
    pub(super) order_strategy_type: Option<Strategy>,
    pub(super) order_leg_collection: Option<Vec<LegRequest>>,
    pub(super) child_order_strategies: Option<Vec<OrderRequest>>,
}

/// What an order trades.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LegRequest {
    pub(super) instruction: Instruction,
    pub(super) quantity: Amount,
    pub(super) instrument: InstrumentRequest,
}

/// What is traded.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct InstrumentRequest {
    pub(super) symbol: String,
    #[expect(dead_code, reason = "read so that anything else is refused")]
    pub(super) asset_type: AssetType,
}

/// Returns an amount as the JSON double that Schwab makes of it: `10.0`, never `10`.
pub(super) fn double(value: Decimal) -> Value {
    value.normalize().to_string().parse::<f64>().map_or(Value::Null, |number| json!(number))
}

/// Returns a time as orders show it: not RFC 3339, for the offset has no colon.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S+0000").to_string()
}

/// Returns an amount as account activity shows it: `lo` over ten to half of `signScale`, which is odd below zero.
///
/// Zero has no `lo`.
pub(super) fn odd_decimal(value: Decimal) -> Value {
    let sign_scale = if value < Decimal::ZERO { 13 } else { 12 };
    let lo = (value.abs() * Decimal::from(1_000_000)).trunc().normalize();
    if lo.is_zero() {
        return json!({"signScale": 12});
    }
    json!({"lo": lo.to_string(), "signScale": sign_scale})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_doubles_and_odd_decimals() {
        let d = |text: &str| text.parse::<Decimal>().unwrap();
        let shown = ["10", "190.50", "0.1234", "0"].map(|text| double(d(text)).to_string());
        assert_eq!(shown, ["10.0", "190.5", "0.1234", "0.0"]);
        assert_eq!(odd_decimal(d("213.4091")), json!({"lo": "213409100", "signScale": 12}));
        assert_eq!(odd_decimal(d("-220.47")), json!({"lo": "220470000", "signScale": 13}));
        assert_eq!(odd_decimal(Decimal::ZERO), json!({"signScale": 12}));
    }

    #[test]
    fn times_have_no_colon_in_their_offset() {
        let at = "2024-06-06T13:46:03.999Z".parse().unwrap();
        assert_eq!(time(at), "2024-06-06T13:46:03+0000");
    }
}
