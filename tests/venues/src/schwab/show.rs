//! Orders as Schwab shows them.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::desk::{Desk, Ids, account_number, hashed};
use super::wire::{LinkType, OrderType, Strategy, double, time};
use crate::book::{Book, Class, Kind, Order, OrderId, Side, Status, Trail};
use crate::world::State;

/// All that is looked at to show something.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) state: &'a State,
    pub(super) desk: &'a Desk,
    pub(super) ids: Ids,
}

/// What stands at the top of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// An order.
    Single,
    /// An order with what waits for it.
    Trigger,
    /// Two orders of which one ends the other, behind a wrapper.
    Pair,
}

/// Returns what an order is the top of; none if it is shown inside another.
pub(super) fn shape(book: &Book, order: &Order) -> Option<Shape> {
    if let Some(parent) = order.parent {
        // What was replaced has left its family.
        let inside = book.order(parent).is_some_and(|parent| parent.legs.contains(&order.id));
        return if inside { None } else { Some(Shape::Single) };
    }
    Some(match (order.ticket.class, order.legs.is_empty()) {
        (Class::Oco, false) => Shape::Pair,
        (Class::Bracket | Class::Oto, false) => Shape::Trigger,
        (Class::Simple | Class::Bracket | Class::Oto | Class::Oco, _) => Shape::Single,
    })
}

/// Returns an order's status in Schwab's words.
pub(super) fn status(order: &Order) -> &'static str {
    let waits_for_stop = match order.ticket.kind {
        Kind::Stop { .. } | Kind::StopLimit { .. } | Kind::TrailingStop { .. } => !order.triggered,
        Kind::Market | Kind::Limit { .. } => false,
    };
    match order.status {
        Status::Accepted if order.why.is_some() => "PENDING_ACKNOWLEDGEMENT",
        Status::Accepted => "PENDING_ACTIVATION",
        Status::Held => "AWAITING_PARENT_ORDER",
        Status::New if waits_for_stop => "AWAITING_STOP_CONDITION",
        Status::New | Status::PartiallyFilled => "WORKING",
        Status::PendingCancel => "PENDING_CANCEL",
        Status::Filled => "FILLED",
        Status::Canceled => "CANCELED",
        Status::Expired => "EXPIRED",
        Status::Replaced => "REPLACED",
        Status::Rejected => "REJECTED",
    }
}

/// Every word for a status that a list can be asked for.
pub(super) const STATUSES: [&str; 21] = [
    "AWAITING_PARENT_ORDER",
    "AWAITING_CONDITION",
    "AWAITING_STOP_CONDITION",
    "AWAITING_MANUAL_REVIEW",
    "ACCEPTED",
    "AWAITING_UR_OUT",
    "PENDING_ACTIVATION",
    "QUEUED",
    "WORKING",
    "REJECTED",
    "PENDING_CANCEL",
    "CANCELED",
    "PENDING_REPLACE",
    "REPLACED",
    "FILLED",
    "EXPIRED",
    "NEW",
    "AWAITING_RELEASE_TIME",
    "PENDING_ACKNOWLEDGEMENT",
    "PENDING_RECALL",
    "UNKNOWN",
];

/// Returns a security's number: the real one of Apple, a made-up one of others.
pub(super) fn cusip(symbol: &str) -> String {
    match symbol {
        "AAPL" => "037833100".to_owned(),
        _ => format!("{:09}", hashed(symbol) % 1_000_000_000),
    }
}

impl View<'_> {
    /// Returns what stands at the top with this order, with all that belongs to it.
    pub(super) fn whole(self, order: &Order) -> Value {
        let book = &self.state.book;
        let legs = book.legs(order);
        match (shape(book, order), legs.as_slice()) {
            (Some(Shape::Pair), [other]) => self.pair(order, other),
            (Some(Shape::Trigger), [one, other]) => self.trigger(order, self.pair(one, other)),
            (Some(Shape::Trigger), [only]) => self.trigger(order, self.single(only).into()),
            _ => self.single(order).into(),
        }
    }

    /// Returns the order that began a pair, whatever has taken its place since.
    pub(super) fn root(self, order: &Order) -> OrderId {
        let earlier = order.replaces.and_then(|id| self.state.book.order(id));
        earlier.map_or(order.id, |earlier| self.root(earlier))
    }

    /// Returns the order that stands now where this one stood.
    pub(super) fn newest(self, id: OrderId) -> OrderId {
        let later = self.state.book.order(id).and_then(|order| order.replaced_by);
        later.map_or(id, |later| self.newest(later))
    }

    fn trigger(self, order: &Order, child: Value) -> Value {
        let mut shown = self.single(order);
        shown.insert("orderStrategyType".to_owned(), json!(Strategy::Trigger));
        shown.insert("childOrderStrategies".to_owned(), json!([child]));
        shown.into()
    }

    /// Returns two orders behind the wrapper of their pair. That it has an id is known, of its other fields no more.
    pub(super) fn pair(self, one: &Order, other: &Order) -> Value {
        json!({
            "orderStrategyType": Strategy::Oco,
            "orderId": self.ids.pair(self.root(one)),
            "cancelable": one.status.is_open(),
            "editable": false,
            "accountNumber": account_number(&one.ticket.account),
            "childOrderStrategies": [self.single(one), self.single(other)],
        })
    }

    /// Returns what is traded.
    pub(super) fn instrument(self, symbol: &str) -> Value {
        let known = self.state.instruments.get(symbol);
        let fund = known.is_some_and(|known| known.name.ends_with(" ETF"));
        let asset_type = if fund { "COLLECTIVE_INVESTMENT" } else { "EQUITY" };
        json!({"assetType": asset_type, "cusip": cusip(symbol), "symbol": symbol})
    }

    /// Returns one order by itself.
    ///
    /// That nothing remains of one that is over is decided here.
    pub(super) fn single(self, order: &Order) -> Map<String, Value> {
        let ticket = &order.ticket;
        let words = self.desk.words.get(&order.id);
        let open = order.status.is_open();
        let (qty, filled) = (order.qty.unwrap_or_default(), order.filled_qty);
        let free = open && order.status != Status::PendingCancel && order.why.is_none();
        let opens = words.is_some_and(|words| words.instruction.opens());
        let instruction = words.map_or_else(|| json!(ticket.side), |words| json!(words.instruction));
        let leg = json!({
            "legId": 1,
            "instrument": self.instrument(&ticket.symbol),
            "instruction": instruction,
            "positionEffect": if opens { "OPENING" } else { "CLOSING" },
            "quantity": double(qty),
        });
        let whole = json!({
            "session": words.map(|words| words.session),
            "duration": words.map(|words| words.duration),
            "orderType": words.map(|words| words.order_type),
            "quantity": double(qty),
            "filledQuantity": double(filled),
            "remainingQuantity": double(if open { order.leaves() } else { Decimal::ZERO }),
            "orderLegCollection": [leg],
            "orderStrategyType": Strategy::Single,
            "orderId": self.ids.order(order.id),
            "cancelable": free,
            "editable": free,
            "status": status(order),
            "enteredTime": time(order.created_at),
            "tag": "API",
            "accountNumber": account_number(&ticket.account),
        });
        let mut shown = if let Value::Object(fields) = whole { fields } else { Map::new() };
        let mut add = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        if let Some(limit) = ticket.kind.limit() {
            add("price", double(limit));
        }
        if let Some(stop) = order.stop_price() {
            add("stopPrice", double(stop.round_dp(4)));
        }
        if let Kind::TrailingStop { trail } = ticket.kind {
            let (link, offset) = match trail {
                Trail::Price(offset) => (LinkType::Value, offset),
                Trail::Percent(offset) => (LinkType::Percent, offset),
            };
            add("stopPriceLinkBasis", json!(words.and_then(|words| words.basis)));
            add("stopPriceLinkType", json!(link));
            add("stopPriceOffset", double(offset));
        }
        if words.is_some_and(|words| words.order_type != OrderType::Market) && ticket.kind.stop().is_some() {
            add("stopType", json!("STANDARD"));
        }
        let times = order.times;
        let ends = [times.filled, times.canceled, times.expired, times.failed, times.replaced];
        if let Some(end) = ends.into_iter().flatten().next_back().filter(|_| !open) {
            add("closeTime", json!(time(end)));
        }
        if order.status == Status::Rejected {
            let why = order.why.as_deref().unwrap_or("Your order was rejected.");
            add("statusDescription", json!(why));
        }
        let activity = self.activity(order);
        if !activity.is_empty() {
            add("orderActivityCollection", activity.into());
        }
        shown
    }

    /// Returns an order's trades, and what was canceled of it: that one is no trade, and has a price of zero.
    fn activity(self, order: &Order) -> Vec<Value> {
        let trades = self.state.book.trades().iter().filter(|trade| trade.order == order.id);
        let entry = |id: i64, kind: &str, qty, left, price, at| {
            json!({
                "activityType": "EXECUTION",
                "activityId": id,
                "executionType": kind,
                "quantity": double(qty),
                "orderRemainingQuantity": double(left),
                "executionLegs": [{"legId": 1, "quantity": double(qty), "price": double(price), "time": time(at)}],
            })
        };
        let number = |id: u64| 900_000 + i64::try_from(id).unwrap_or_default();
        let mut shown: Vec<Value> = trades
            .map(|trade| {
                let execution = &trade.execution;
                entry(
                    number(execution.id),
                    "FILL",
                    execution.qty,
                    trade.leaves_qty,
                    execution.price,
                    trade.at,
                )
            })
            .collect();
        if let (Status::Canceled, Some(at)) = (order.status, order.times.canceled) {
            let id = self.ids.order(order.id);
            shown.push(entry(id, "CANCELED", order.leaves(), Decimal::ZERO, Decimal::ZERO, at));
        }
        shown
    }
}

/// Returns which way an order trades, in the words of account activity.
pub(super) fn buy_sell(side: Side) -> &'static str {
    match side {
        Side::Buy => "Buy",
        Side::Sell => "Sell",
    }
}
