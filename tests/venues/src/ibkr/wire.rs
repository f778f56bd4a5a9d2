//! How the book's numbers, orders and trades look on the gateway's wire.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::contracts;
use super::gateway::Meta;
use crate::book::{Kind, Order, OrderId, Side, Size, Status, Tif, Trade, Trail};

/// A number that came as a JSON number: a string is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(pub Decimal);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(number.into()))
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Number, E> {
                Ok(Number(number.into()))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Number, E> {
                // The shortest text that reads as this number is what the sender wrote.
                Decimal::from_str(&number.to_string()).map(Number).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// How numbers of the book look as the gateway's order ids: another venue's are others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids(u64);

impl Ids {
    /// Returns ids that are another venue's if the salt is another.
    #[must_use]
    pub fn new(salt: u64) -> Self {
        Self((1 + salt % 1000) * 1_000_000)
    }

    /// Returns an order's id.
    #[must_use]
    pub fn order(self, id: OrderId) -> u64 {
        self.0 + id.0
    }

    /// Returns the order of an id, if it could be one.
    #[must_use]
    pub fn read_order(self, text: &str) -> Option<OrderId> {
        let number: u64 = text.parse().ok()?;
        number.checked_sub(self.0).filter(|id| (1..1_000_000).contains(id)).map(OrderId)
    }

    /// Returns a trade's id.
    #[must_use]
    pub fn execution(self, number: u64) -> String {
        format!("{:08x}.{:08x}.01.01", self.0, number)
    }
}

/// Returns an amount as a JSON number with a point, as the gateway writes them.
#[must_use]
pub fn float(amount: Decimal) -> Value {
    amount.normalize().to_string().parse::<f64>().map_or(Value::Null, |number| json!(number))
}

/// Returns a quantity as text: always with a point.
#[must_use]
pub fn size_text(amount: Decimal) -> String {
    let text = amount.normalize().to_string();
    if text.contains('.') { text } else { text + ".0" }
}

/// Returns a price as text: two digits, four below a dollar.
#[must_use]
pub fn price_text(price: Decimal) -> String {
    if price.abs() < Decimal::ONE { format!("{price:.4}") } else { format!("{price:.2}") }
}

/// Returns a number as text without needless zeros.
#[must_use]
pub fn plain(amount: Decimal) -> String {
    amount.normalize().to_string()
}

/// Returns what the gateway calls an order's state.
#[must_use]
pub fn status(order: &Order) -> &'static str {
    let sleeps = order.ticket.kind.stop().is_some() || matches!(order.ticket.kind, Kind::TrailingStop { .. });
    match order.status {
        Status::Accepted | Status::Held => "PreSubmitted",
        Status::New | Status::PartiallyFilled if sleeps && !order.triggered => "PreSubmitted",
        Status::New | Status::PartiallyFilled => "Submitted",
        Status::PendingCancel => "PendingCancel",
        Status::Filled => "Filled",
        Status::Canceled | Status::Expired | Status::Replaced => "Cancelled",
        Status::Rejected => "Inactive",
    }
}

/// Returns an order's type as it is asked for, as lists show it, and in words.
#[must_use]
pub fn kind_names(kind: Kind) -> (&'static str, &'static str, &'static str) {
    match kind {
        Kind::Market => ("MKT", "MARKET", "Market"),
        Kind::Limit { .. } => ("LMT", "LIMIT", "Limit"),
        Kind::Stop { .. } => ("STP", "STOP", "Stop"),
        Kind::StopLimit { .. } => ("STOP_LIMIT", "STOP_LIMIT", "Stop Limit"),
        Kind::TrailingStop { .. } => ("TRAIL", "TRAILING_STOP", "Trailing Stop"),
    }
}

/// Returns how long an order stands, in the gateway's words; nothing else comes in.
#[must_use]
pub fn tif_name(tif: Tif) -> &'static str {
    match tif {
        Tif::Day => "DAY",
        Tif::Gtc => "GTC",
        Tif::Ioc => "IOC",
        Tif::Opg => "OPG",
        Tif::Cls | Tif::Fok => "CLS",
    }
}

/// Returns a side as orders show it.
#[must_use]
pub fn side_name(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

/// Returns a side as trades and states show it.
#[must_use]
pub fn side_letter(side: Side) -> &'static str {
    match side {
        Side::Buy => "B",
        Side::Sell => "S",
    }
}

/// Returns what an order is for, as shares.
#[must_use]
pub fn total(order: &Order) -> Decimal {
    match order.ticket.size {
        Size::Qty(qty) => order.qty.unwrap_or(qty),
        Size::Notional(_) => order.qty.unwrap_or_default(),
    }
}

/// Returns an order in a few words.
#[must_use]
pub fn described(order: &Order) -> String {
    let ticket = &order.ticket;
    let (done, qty) = match (ticket.side, order.status == Status::Filled) {
        (Side::Buy, true) => ("Bought", total(order)),
        (Side::Sell, true) => ("Sold", total(order)),
        (side, false) => (if side == Side::Buy { "Buy" } else { "Sell" }, total(order)),
    };
    let price = shown_price(ticket.kind).map_or_else(String::new, |price| format!(" {}", price_text(price)));
    let symbol = contracts::symbol(&ticket.symbol);
    let (_, _, kind) = kind_names(ticket.kind);
    format!("{done} {} {symbol} {kind}{price}, {}", plain(qty), tif_name(ticket.tif))
}

/// Returns what lists show as an order's price.
fn shown_price(kind: Kind) -> Option<Decimal> {
    kind.limit().or_else(|| kind.stop())
}

/// Returns when something last happened to an order.
fn touched(order: &Order) -> DateTime<Utc> {
    order.times.updated.unwrap_or(order.created_at)
}

/// Returns an order as lists and streams show it, whole.
#[must_use]
pub fn order(ids: Ids, order: &Order, meta: Option<&Meta>) -> Value {
    let ticket = &order.ticket;
    let state = status(order);
    let at = touched(order);
    let (_, original, kind) = kind_names(ticket.kind);
    let conid = contracts::conid(&ticket.symbol);
    let symbol = contracts::symbol(&ticket.symbol);
    let price = shown_price(ticket.kind).map(plain).unwrap_or_default();
    // A day's order is shown as one that ends with it.
    let tif = if ticket.tif == Tif::Day { "CLOSE" } else { tif_name(ticket.tif) };
    let mut shown = json!({
        "acct": ticket.account,
        "account": ticket.account,
        "conid": conid,
        "conidex": conid.to_string(),
        "orderId": ids.order(order.id),
        "cashCcy": "USD",
        "sizeAndFills": format!("{}/{}", plain(order.filled_qty), plain(total(order))),
        "orderDesc": described(order),
        "description1": symbol,
        "ticker": symbol,
        "secType": "STK",
        "listingExchange": "NASDAQ.NMS",
        "remainingQuantity": float(order.leaves()),
        "filledQuantity": float(order.filled_qty),
        "totalSize": float(total(order)),
        "companyName": symbol,
        "status": state,
        "order_ccp_status": state,
        "origOrderType": original,
        "orderType": kind,
        "supportsTaxOpt": "1",
        "lastExecutionTime": at.format("%y%m%d%H%M%S").to_string(),
        "lastExecutionTime_r": at.timestamp_millis(),
        "bgColor": "#FFFFFF",
        "fgColor": "#000000",
        "price": price,
        "timeInForce": tif,
        "side": side_name(ticket.side),
        "outsideRTH": ticket.extended_hours,
    });
    if let Some(fields) = shown.as_object_mut() {
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value);
            }
        };
        add("avgPrice", order.average().map(|price| json!(plain(price))));
        add("order_ref", meta.and_then(|meta| meta.coid.as_ref()).map(|coid| json!(coid)));
        add("parentId", order.parent.map(|parent| json!(ids.order(parent))));
        let stop = matches!(ticket.kind, Kind::StopLimit { .. } | Kind::TrailingStop { .. });
        let stop = order.stop_price().filter(|_| stop);
        add("auxPrice", stop.map(|stop| json!(price_text(stop))));
        add("stop_price", order.stop_price().map(|stop| json!(price_text(stop))));
    }
    shown
}

/// Returns an order as its own state shows it: sizes and prices as text.
#[must_use]
pub fn order_status(ids: Ids, order: &Order, meta: Option<&Meta>) -> Value {
    let ticket = &order.ticket;
    let over = !order.status.is_open();
    let (kind, _, words) = kind_names(ticket.kind);
    let average = order.average().map(plain).unwrap_or_default();
    let reason = meta.and_then(|meta| meta.reason.clone());
    let description = if order.status == Status::Rejected {
        reason.unwrap_or_else(|| "Order Rejected".to_owned())
    } else {
        format!("Order {}", status(order))
    };
    let (trail, trail_kind) = match ticket.kind {
        Kind::TrailingStop { trail: Trail::Price(amount) } => (Some(plain(amount)), Some("amt")),
        Kind::TrailingStop { trail: Trail::Percent(percent) } => (Some(plain(percent)), Some("%")),
        Kind::Market | Kind::Limit { .. } | Kind::Stop { .. } | Kind::StopLimit { .. } => (None, None),
    };
    let conid = contracts::conid(&ticket.symbol);
    json!({
        "sub_type": null,
        "request_id": order.id.0.to_string(),
        "order_id": ids.order(order.id),
        "conid": conid,
        "conidex": conid.to_string(),
        "symbol": contracts::symbol(&ticket.symbol),
        "side": side_letter(ticket.side),
        "contract_description_1": contracts::symbol(&ticket.symbol),
        "listing_exchange": "NASDAQ.NMS",
        "currency": "USD",
        "account": ticket.account,
        "order_type": kind,
        "order_ref": meta.and_then(|meta| meta.coid.clone()),
        "size": size_text(order.leaves()),
        "total_size": size_text(total(order)),
        "cum_fill": size_text(order.filled_qty),
        "order_status": status(order),
        "order_ccp_status": status(order),
        "order_status_description": description,
        "average_price": average,
        "limit_price": ticket.kind.limit().map(plain),
        "stop_price": order.stop_price().map(plain),
        "trailing_amount": trail,
        "trailing_amount_unit": trail_kind,
        "tif": tif_name(ticket.tif),
        "order_not_editable": over,
        "cannot_cancel_order": over,
        "deactivate_order": false,
        "sec_type": "STK",
        "order_description": described(order),
        "order_description_with_contract": format!("{} ({words})", described(order)),
        "outside_rth": ticket.extended_hours,
        "order_clearing_account": ticket.account,
        "size_and_fills": format!("{}/{}", plain(order.filled_qty), plain(total(order))),
        "order_time": order.created_at.format("%y%m%d%H%M%S").to_string(),
    })
}

/// Returns a trade; its commission may not be known yet.
#[must_use]
pub fn trade(
    ids: Ids,
    at: DateTime<Utc>,
    execution: &crate::book::Execution,
    of: &Order,
    meta: Option<&Meta>,
    commission: Option<Decimal>,
) -> Value {
    let ticket = &of.ticket;
    let conid = contracts::conid(&ticket.symbol);
    let symbol = contracts::symbol(&ticket.symbol);
    let mut shown = json!({
        "execution_id": ids.execution(execution.id),
        "symbol": symbol,
        "side": side_letter(ticket.side),
        "order_description": described(of),
        "trade_time": at.format("%Y%m%d-%H:%M:%S").to_string(),
        "trade_time_r": at.timestamp_millis(),
        "size": float(execution.qty),
        "price": price_text(execution.price),
        "exchange": "NASDAQ",
        "net_amount": float(execution.price * execution.qty),
        "account": ticket.account,
        "accountCode": ticket.account,
        "account_allocation_name": ticket.account,
        "company_name": symbol,
        "contract_description_1": symbol,
        "sec_type": "STK",
        "listing_exchange": "NASDAQ.NMS",
        "conid": conid,
        "conidEx": conid.to_string(),
        "clearing_id": "IB",
        "clearing_name": "IB",
        "order_id": ids.order(of.id),
    });
    if let Some(fields) = shown.as_object_mut() {
        if let Some(coid) = meta.and_then(|meta| meta.coid.as_ref()) {
            fields.insert("order_ref".to_owned(), json!(coid));
        }
        if let Some(commission) = commission {
            fields.insert("commission".to_owned(), json!(size_text(commission)));
        }
    }
    shown
}

/// Returns a trade of the book, with its commission.
#[must_use]
pub fn past_trade(ids: Ids, trade: &Trade, of: &Order, meta: Option<&Meta>, commission: Decimal) -> Value {
    self::trade(ids, trade.at, &trade.execution, of, meta, Some(commission))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_numbers() {
        let read = |json: &str| serde_json::from_str::<Number>(json).ok().map(|number| number.0.to_string());
        assert_eq!(read("190.51").as_deref(), Some("190.51"));
        assert_eq!(read("12").as_deref(), Some("12"));
        assert_eq!(read("-1").as_deref(), Some("-1"));
        for wrong in ["\"190.51\"", "true", "[1]", "{}"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        assert_eq!(float(Decimal::from(10)).to_string(), "10.0");
        assert_eq!(size_text(Decimal::from(10)), "10.0");
        assert_eq!(price_text(Decimal::new(1905, 1)), "190.50");
        assert_eq!(price_text(Decimal::new(12345, 5)), "0.1234");
    }

    #[test]
    fn order_ids_are_read_back_and_foreign_ones_are_not() {
        let ids = Ids::new(7);
        assert_eq!(ids.read_order(&ids.order(OrderId(12)).to_string()), Some(OrderId(12)));
        assert_eq!(Ids::new(8).read_order(&ids.order(OrderId(12)).to_string()), None);
        for foreign in ["", "-1", "x", "12"] {
            assert_eq!(ids.read_order(foreign), None);
        }
    }
}
