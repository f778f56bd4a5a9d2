//! What Alpaca's JSON looks like.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use rust_decimal::Decimal;
use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::account::Holding;
use crate::book::{Class, Event, Kind, Order, OrderId, Side, Size, Status, Tif, Trade, Trail, What};
use crate::feed::Quote;
use crate::world::Instrument;

/// A number that came as a JSON string or a JSON number: exact either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount(pub Decimal);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal number, or a string that holds one")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Amount, E> {
                let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-');
                let number = Decimal::from_str_exact(text).ok().filter(|_| plain);
                number.map(Amount).ok_or_else(|| E::custom("no decimal number"))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Amount, E> {
                Ok(Amount(number.into()))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Amount, E> {
                Ok(Amount(number.into()))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Amount, E> {
                // The shortest text that reads as this number is what the sender wrote.
                Decimal::from_str(&number.to_string()).map(Amount).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// A body of `POST /v2/orders`. What may be missing is checked afterwards, for Alpaca names what it misses.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct OrderRequest {
    pub(super) symbol: Option<String>,
    pub(super) qty: Option<Amount>,
    pub(super) notional: Option<Amount>,
    pub(super) side: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) time_in_force: Option<String>,
    pub(super) limit_price: Option<Amount>,
    pub(super) stop_price: Option<Amount>,
    pub(super) trail_price: Option<Amount>,
    pub(super) trail_percent: Option<Amount>,
    pub(super) extended_hours: Option<bool>,
    pub(super) client_order_id: Option<String>,
    pub(super) order_class: Option<String>,
    pub(super) take_profit: Option<TakeProfit>,
    pub(super) stop_loss: Option<StopLossRequest>,
    pub(super) position_intent: Option<String>,
}

/// The exit with a gain.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TakeProfit {
    pub(super) limit_price: Amount,
}

/// The exit with a loss.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StopLossRequest {
    pub(super) stop_price: Amount,
    #[serde(default)]
    pub(super) limit_price: Option<Amount>,
}

/// A body of `PATCH /v2/orders/{id}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ReplaceRequest {
    pub(super) qty: Option<Amount>,
    pub(super) time_in_force: Option<String>,
    pub(super) limit_price: Option<Amount>,
    pub(super) stop_price: Option<Amount>,
    pub(super) trail: Option<Amount>,
    pub(super) client_order_id: Option<String>,
}

/// Reads one of Alpaca's lower-case words.
pub(super) fn word<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(json!(text)).ok()
}

/// How numbers of the book look as Alpaca's ids: version 4 in form, and readable back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids(u64);

impl Ids {
    /// Returns ids that are another venue's if the salt is another.
    #[must_use]
    pub fn new(salt: u64) -> Self {
        Self(salt)
    }

    fn make(self, sort: u64, number: u64) -> Uuid {
        let high = (self.0.rotate_left(17) ^ sort.wrapping_mul(0x9e37_79b9_7f4a_7c15)) & !0xf000 | 0x4000;
        Uuid::from_u64_pair(high, number & (u64::MAX >> 2) | 1 << 63)
    }

    /// Returns an order's id.
    #[must_use]
    pub fn order(self, id: OrderId) -> Uuid {
        self.make(1, id.0)
    }

    /// Returns the order of an id, if it could be one.
    #[must_use]
    pub fn read_order(self, text: &str) -> Option<OrderId> {
        let uuid = Uuid::parse_str(text).ok()?;
        let id = OrderId(uuid.as_u64_pair().1 & (u64::MAX >> 2));
        (self.order(id) == uuid).then_some(id)
    }

    /// Returns a trade's id.
    #[must_use]
    pub fn execution(self, number: u64) -> Uuid {
        self.make(2, number)
    }

    /// Returns an instrument's id: the same at every venue.
    #[must_use]
    pub fn asset(symbol: &str) -> Uuid {
        Self(0).make(3, hashed(symbol))
    }

    /// Returns an account's id: the same at every venue.
    #[must_use]
    pub fn account(name: &str) -> Uuid {
        Self(0).make(4, hashed(name))
    }
}

/// FNV-1a.
fn hashed(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

fn amount(number: Decimal) -> String {
    number.normalize().to_string()
}

/// Returns an amount as the JSON number that market data is made of.
pub(super) fn number(value: Decimal) -> Value {
    let text = amount(value);
    if let Ok(whole) = text.parse::<i64>() {
        return json!(whole);
    }
    text.parse::<f64>().map_or(Value::Null, |number| json!(number))
}

/// Returns an order, with its legs if they are to be shown.
pub(super) fn order(ids: Ids, order: &Order, legs: Option<&[Order]>) -> Value {
    let ticket = &order.ticket;
    let kind = kind_name(ticket.kind);
    let (trail_price, trail_percent) = match ticket.kind {
        Kind::TrailingStop { trail: Trail::Price(price) } => (Some(amount(price)), None),
        Kind::TrailingStop { trail: Trail::Percent(percent) } => (None, Some(amount(percent))),
        Kind::Market | Kind::Limit { .. } | Kind::Stop { .. } | Kind::StopLimit { .. } => (None, None),
    };
    let (qty, notional) = match ticket.size {
        Size::Qty(_) => (order.qty.map(amount), None),
        Size::Notional(money) => (None, Some(amount(money))),
    };
    let legs = legs.filter(|legs| !legs.is_empty()).map(|legs| {
        let shown = legs.iter().map(|leg| self::order(ids, leg, None));
        shown.collect::<Vec<_>>()
    });
    let at = |time: Option<DateTime<Utc>>| time.map(self::time);
    json!({
        "id": ids.order(order.id),
        "client_order_id": order.client_order_id,
        "created_at": time(order.created_at),
        "updated_at": time(order.times.updated.unwrap_or(order.created_at)),
        "submitted_at": time(order.created_at),
        "filled_at": at(order.times.filled),
        "expired_at": at(order.times.expired),
        "expires_at": null,
        "canceled_at": at(order.times.canceled),
        "failed_at": at(order.times.failed),
        "replaced_at": at(order.times.replaced),
        "replaced_by": order.replaced_by.map(|id| ids.order(id)),
        "replaces": order.replaces.map(|id| ids.order(id)),
        "asset_id": Ids::asset(&ticket.symbol),
        "symbol": ticket.symbol,
        "asset_class": "us_equity",
        "notional": notional,
        "qty": qty,
        "filled_qty": amount(order.filled_qty),
        "filled_avg_price": order.average().map(|price| amount(price.round_dp(6))),
        "order_class": class_name(ticket.class),
        "order_type": kind,
        "type": kind,
        "side": ticket.side,
        "position_intent": intent(ticket.side, order.opens),
        "time_in_force": ticket.tif,
        "limit_price": ticket.kind.limit().map(amount),
        "stop_price": order.stop_price().map(|price| amount(price.round_dp(4))),
        "status": order.status.name(),
        "extended_hours": ticket.extended_hours,
        "legs": legs,
        "trail_percent": trail_percent,
        "trail_price": trail_price,
        "hwm": order.best.map(amount),
    })
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Market => "market",
        Kind::Limit { .. } => "limit",
        Kind::Stop { .. } => "stop",
        Kind::StopLimit { .. } => "stop_limit",
        Kind::TrailingStop { .. } => "trailing_stop",
    }
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Simple => "",
        Class::Bracket => "bracket",
        Class::Oco => "oco",
        Class::Oto => "oto",
    }
}

/// Returns what an order means to do with the position.
pub(super) fn intent(side: Side, opens: bool) -> &'static str {
    match (side, opens) {
        (Side::Buy, true) => "buy_to_open",
        (Side::Buy, false) => "buy_to_close",
        (Side::Sell, true) => "sell_to_open",
        (Side::Sell, false) => "sell_to_close",
    }
}

/// Returns the reply to a new order: what it was when it was taken, before it met a price.
pub(super) fn taken(ids: Ids, taken: &Order, legs: &[Order]) -> Value {
    let mut shown = order(ids, taken, Some(legs));
    if taken.status == Status::New
        && let Some(status) = shown.get_mut("status")
    {
        *status = json!("pending_new");
    }
    shown
}

/// Returns a `trade_updates` message, if the event makes one.
pub(super) fn update(ids: Ids, event: &Event) -> Option<Value> {
    if event.what == What::Held {
        return None;
    }
    let execution = event.what.execution();
    let id = match execution {
        Some(execution) => ids.execution(execution.id),
        None => ids.make(5, event.number),
    };
    let mut data = json!({
        "event": event.what.name(),
        "execution_id": id,
        "timestamp": time(event.at),
        "order": order(ids, &event.order, Some(&event.legs)),
    });
    if let (Some(execution), Some(data)) = (execution, data.as_object_mut()) {
        data.insert("price".to_owned(), json!(amount(execution.price)));
        data.insert("qty".to_owned(), json!(amount(execution.qty)));
        data.insert("position_qty".to_owned(), json!(amount(execution.position_qty)));
    }
    Some(json!({"stream": "trade_updates", "data": data}))
}

/// Returns a position.
pub(super) fn position(symbol: &str, holding: &Holding, held: Decimal, quote: Option<Quote>) -> Value {
    let short = holding.qty.is_sign_negative();
    let value = quote.map(|quote| quote.last * holding.qty);
    let gain = value.map(|value| value - holding.cost);
    let part = gain.and_then(|gain| gain.checked_div(holding.cost.abs())).map(|part| part.round_dp(6));
    let free = (holding.qty.abs() - held).max(Decimal::ZERO);
    let (gain, part, last) = (gain.map(amount), part.map(amount), quote.map(|quote| amount(quote.last)));
    json!({
        "asset_id": Ids::asset(symbol),
        "symbol": symbol,
        "exchange": "NASDAQ",
        "asset_class": "us_equity",
        "asset_marginable": true,
        "qty": amount(holding.qty),
        "qty_available": amount(if short { -free } else { free }),
        "avg_entry_price": amount(holding.average().round_dp(9)),
        "side": if short { "short" } else { "long" },
        "market_value": value.map(amount),
        "cost_basis": amount(holding.cost.round_dp(9)),
        "unrealized_pl": gain,
        "unrealized_plpc": part,
        "unrealized_intraday_pl": gain,
        "unrealized_intraday_plpc": part,
        "current_price": last,
        "lastday_price": last,
        "change_today": last.as_ref().map(|_| "0"),
    })
}

/// Returns an instrument.
pub(super) fn asset(instrument: &Instrument) -> Value {
    json!({
        "id": Ids::asset(&instrument.symbol),
        "class": "us_equity",
        "exchange": "NASDAQ",
        "symbol": instrument.symbol,
        "name": if instrument.name.is_empty() { &instrument.symbol } else { &instrument.name },
        "status": if instrument.active { "active" } else { "inactive" },
        "tradable": instrument.tradable && instrument.active,
        "marginable": true,
        "shortable": instrument.shortable,
        "easy_to_borrow": instrument.shortable,
        "fractionable": instrument.fractionable,
        "attributes": [],
    })
}

/// Returns a trade's id among the account's activities.
pub(super) fn activity_id(ids: Ids, trade: &Trade) -> String {
    format!("{}::{}", trade.at.format("%Y%m%d%H%M%S%3f"), ids.execution(trade.execution.id))
}

/// Returns a trade as an activity of its account.
pub(super) fn activity(ids: Ids, trade: &Trade, of: &Order) -> Value {
    let over = trade.leaves_qty.is_zero();
    json!({
        "id": activity_id(ids, trade),
        "account_id": Ids::account(&of.ticket.account),
        "activity_type": "FILL",
        "transaction_time": time(trade.at),
        "type": if over { "fill" } else { "partial_fill" },
        "price": amount(trade.execution.price),
        "qty": amount(trade.execution.qty),
        "side": of.ticket.side,
        "symbol": of.ticket.symbol,
        "leaves_qty": amount(trade.leaves_qty),
        "cum_qty": amount(trade.cum_qty),
        "order_id": ids.order(of.id),
        "order_status": if over { "filled" } else { "partially_filled" },
    })
}

/// Returns a quote as market data shows it.
pub(super) fn quote(quote: &Quote) -> Value {
    json!({
        "t": time(quote.at),
        "ax": "V", "ap": number(quote.ask), "as": 2,
        "bx": "V", "bp": number(quote.bid), "bs": 1,
        "c": ["R"], "z": "C",
    })
}

/// Returns how long an order stands, if Alpaca has that word.
pub(super) fn tif(text: &str) -> Option<Tif> {
    word(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_and_foreign_ones_are_not() {
        let ids = Ids::new(7);
        let uuid = ids.order(OrderId(12));
        assert_eq!(uuid.get_version_num(), 4);
        assert_eq!(ids.read_order(&uuid.to_string()), Some(OrderId(12)));
        assert_eq!(Ids::new(8).read_order(&uuid.to_string()), None);
        assert_eq!(ids.read_order("61e69015-8549-4bfd-b9c3-01e75843f47d"), None);
        assert_ne!(ids.execution(12), uuid);
    }

    #[test]
    fn numbers_are_exact_as_strings_and_as_numbers() {
        let read = |json: &str| serde_json::from_str::<Amount>(json).ok().map(|amount| amount.0.to_string());
        assert_eq!(read("\"190.50\"").as_deref(), Some("190.50"));
        assert_eq!(read("190.51").as_deref(), Some("190.51"));
        assert_eq!(read("0.1").as_deref(), Some("0.1"));
        assert_eq!(read("1e-7").as_deref(), Some("0.0000001"));
        assert_eq!(read("12").as_deref(), Some("12"));
        for wrong in ["\"1e3\"", "\"\"", "\"1_000\"", "\" 1\"", "true", "null", "[1]", "\"NaN\""] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(number(Decimal::new(19052, 2)).to_string(), "190.52");
        assert_eq!(number(Decimal::new(19000, 2)).to_string(), "190");
    }
}
