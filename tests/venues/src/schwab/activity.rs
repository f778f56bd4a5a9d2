//! Account activity: what happens to an order, in the many small steps that Schwab tells.
//!
//! The names are known, of what each brings only a part: a client must take it as a sign to look at the order.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::desk::account_number;
use super::show::{View, buy_sell};
use super::wire::odd_decimal;
use crate::book::{Event, Execution, Kind, Order, OrderId, Status, What};

/// What one stream was told: the same event is told again under the same numbers.
#[derive(Debug, Default)]
pub(super) struct Teller {
    label: String,
    last: u64,
    told: BTreeMap<u64, Vec<Value>>,
    created: BTreeSet<OrderId>,
    cancels: BTreeSet<OrderId>,
}

impl Teller {
    /// Returns one that calls what it tells by the key its listener chose.
    pub(super) fn new(label: &str) -> Self {
        Self { label: label.to_owned(), ..Self::default() }
    }

    /// Returns what is told first. That its number is zero is decided here.
    pub(super) fn subscribed(&self, account: &str) -> Value {
        let number = account_number(account).to_string();
        json!({"seq": 0, "key": self.label, "1": number, "2": "SUBSCRIBED", "3": ""})
    }

    /// Returns what is told of an event, in order.
    pub(super) fn tell(&mut self, view: View<'_>, event: &Event) -> Vec<Value> {
        if let Some(told) = self.told.get(&event.number) {
            return told.clone();
        }
        let account = account_number(&event.order.ticket.account).to_string();
        let id = view.ids.order(event.order.id).to_string();
        let mut told = Vec::new();
        for (name, field, mut body) in self.steps(view, event) {
            if let Some(body) = body.as_object_mut() {
                body.insert("EventType".to_owned(), json!(name));
            }
            let base = json!({"EventType": name, (field): body});
            let payload = json!({"SchwabOrderID": id, "AccountNumber": account, "BaseEvent": base});
            self.last += 1;
            told.push(json!({
                "seq": self.last,
                "key": self.label,
                "1": account,
                "2": name,
                "3": payload.to_string(),
            }));
        }
        self.told.insert(event.number, told.clone());
        told
    }

    fn steps(&mut self, view: View<'_>, event: &Event) -> Vec<(&'static str, &'static str, Value)> {
        let order = &event.order;
        let at = event.at;
        match &event.what {
            What::Accepted | What::Held => {
                self.created.insert(order.id);
                let mut steps = vec![created(view, order, at)];
                if order.why.is_none() {
                    steps.push(accepted(order, at));
                }
                steps
            }
            What::New => {
                // One that had waited was created and accepted before.
                let waited = at != order.created_at || self.created.contains(&order.id);
                let mut steps = match order.replaces {
                    _ if waited => Vec::new(),
                    Some(old) => changed(view, order, old, at),
                    None => vec![created(view, order, at), accepted(order, at)],
                };
                if waits_for_stop(order) {
                    steps.push(monitor("OrderMonitorCreated", "OrderMonitorCreatedEvent", view, order));
                } else {
                    steps.extend(routed(view, order, at));
                }
                steps
            }
            What::PartialFill(execution) | What::Fill(execution) => {
                let first = order.filled_qty == execution.qty;
                let mut steps = Vec::new();
                if first && has_stop(order) {
                    steps.push(monitor("OrderMonitorCompleted", "OrderMonitorCompletedEvent", view, order));
                    steps.extend(routed(view, order, at));
                }
                steps.push(executed(view, order, at, "Fill", execution.qty, Some(execution.price)));
                steps.push(filled(view, order, at, execution));
                steps
            }
            What::PendingCancel => {
                self.cancels.insert(order.id);
                vec![cancel_accepted(view, order, at)]
            }
            What::Canceled => {
                let mut steps = Vec::new();
                if !self.cancels.contains(&order.id) {
                    steps.push(cancel_accepted(view, order, at));
                }
                steps.push(executed(view, order, at, "UROut", order.leaves(), None));
                steps.push(out(view, order, at, "ClientCancel"));
                steps
            }
            What::Rejected => vec![out(view, order, at, "SystemReject")],
            What::Expired => {
                let body = json!({"LegId": leg(view, order), "ExpiryTimeStamp": stamp(at)});
                vec![("OrderExpired", "OrderExpiredEvent", body)]
            }
            // The order in its place tells of it.
            What::Replaced | What::Restated => Vec::new(),
        }
    }
}

type Step = (&'static str, &'static str, Value);

fn stamp(at: DateTime<Utc>) -> Value {
    json!({"DateTimeString": at.format("%Y-%m-%d %H:%M:%S%.3f").to_string()})
}

fn leg(view: View<'_>, order: &Order) -> String {
    view.ids.order(order.id).to_string()
}

fn has_stop(order: &Order) -> bool {
    match order.ticket.kind {
        Kind::Stop { .. } | Kind::StopLimit { .. } | Kind::TrailingStop { .. } => true,
        Kind::Market | Kind::Limit { .. } => false,
    }
}

fn waits_for_stop(order: &Order) -> bool {
    has_stop(order) && !order.triggered
}

/// Returns an order as its creation and its change tell of it.
fn described(view: View<'_>, order: &Order, at: DateTime<Utc>) -> Value {
    let ticket = &order.ticket;
    let kind = match ticket.kind {
        Kind::Market => "Market",
        Kind::Limit { .. } => "Limit",
        Kind::Stop { .. } => "Stop",
        Kind::StopLimit { .. } => "StopLimit",
        Kind::TrailingStop { .. } => "TrailingStop",
    };
    let mut strategy = json!({"Type": format!("ES_{kind}")});
    if let (Some(limit), Some(fields)) = (ticket.kind.limit(), strategy.as_object_mut()) {
        let body = json!({"Type": format!("ES_{kind}"), "LimitPrice": odd_decimal(limit)});
        fields.insert("LimitExecutionStrategy".to_owned(), body);
    }
    let id = leg(view, order);
    let leg = json!({
        "LegID": id,
        "LegParentSchwabOrderID": id,
        "Quantity": odd_decimal(order.qty.unwrap_or_default()),
        "LeavesQuantity": odd_decimal(order.leaves()),
        "BuySellCode": buy_sell(ticket.side),
        "Security": {"Symbol": ticket.symbol, "MajorAssetType": "MajorAssetType_Equity"},
    });
    let equity = json!({
        "OrderInstruction": {"ExecutionStrategy": strategy},
        "AssetType": "MajorAssetType_Equity",
        "OrderTypeCode": kind,
        "OrderLegs": [leg],
    });
    let account = account_number(&ticket.account).to_string();
    let inner = json!({
        "AccountInfo": {"AccountNumber": account},
        "LifecycleCreatedTimestamp": stamp(order.created_at),
        "LifecycleSchwabOrderID": id,
        "EntryTimestamp": stamp(at),
        "AssetOrderEquityOrderLeg": equity,
    });
    json!({"SchwabOrderID": id, "AccountNumber": account, "Order": inner})
}

fn created(view: View<'_>, order: &Order, at: DateTime<Utc>) -> Step {
    ("OrderCreated", "OrderCreatedEventEquityOrder", json!({"Order": described(view, order, at)}))
}

fn accepted(order: &Order, at: DateTime<Utc>) -> Step {
    let session = if order.ticket.extended_hours { "EXTO" } else { "REG" };
    let status = if order.status == Status::Accepted { "Pending" } else { "Open" };
    let body = json!({
        "CreatedTimeStamp": stamp(at),
        "Status": status,
        "TradingSessionCodeOnOrderEntry": session,
    });
    ("OrderAccepted", "OrderAcceptedEvent", body)
}

/// Returns how an order that takes another's place is told of: it names that one.
fn changed(view: View<'_>, order: &Order, old: OrderId, at: DateTime<Utc>) -> Vec<Step> {
    let parent = view.ids.order(old).to_string();
    let body = json!({"ParentSchwabOrderID": parent, "Order": described(view, order, at)});
    let accepted = json!({"ParentSchwabOrderID": parent, "CreatedTimeStamp": stamp(at), "Status": "Open"});
    vec![
        ("ChangeCreated", "ChangeCreatedEventEquityOrder", body),
        ("ChangeAccepted", "ChangeAcceptedEvent", accepted),
    ]
}

fn monitor(name: &'static str, field: &'static str, view: View<'_>, order: &Order) -> Step {
    let stop = order.stop_price().map(odd_decimal);
    (name, field, json!({"LegId": leg(view, order), "StopPrice": stop}))
}

fn routed(view: View<'_>, order: &Order, at: DateTime<Utc>) -> Vec<Step> {
    let leg = leg(view, order);
    let info = json!({
        "RouteName": "SIM",
        "RouteRequestedType": "New",
        "RoutedQuantity": odd_decimal(order.qty.unwrap_or_default()),
        "RoutedPrice": order.ticket.kind.limit().map(odd_decimal),
        "RouteStatus": "RouteCreated",
        "RoutedTime": stamp(at),
    });
    vec![
        ("ExecutionRequested", "ExecutionRequestedEventRoutedInfo", json!({"RouteInfo": info, "LegId": leg})),
        (
            "ExecutionRequestCreated",
            "ExecutionRequestCreatedEvent",
            json!({"LegId": leg, "RouteName": "SIM", "RouteStatus": "RouteFixAcknowledged"}),
        ),
        (
            "ExecutionRequestCompleted",
            "ExecutionRequestCompletedEvent",
            json!({"LegId": leg, "ResponseType": "Accepted", "RouteStatus": "RouteVenueAccepted"}),
        ),
    ]
}

fn executed(
    view: View<'_>,
    order: &Order,
    at: DateTime<Utc>,
    kind: &str,
    qty: Decimal,
    price: Option<Decimal>,
) -> Step {
    let info = json!({
        "ExecutionQuantity": odd_decimal(qty),
        "ExecutionPrice": price.map(odd_decimal),
        "ExecutionTimeStamp": stamp(at),
        "ExecutionTransType": kind,
    });
    let body = json!({"LegId": leg(view, order), "ExecutionInfo": info});
    ("ExecutionCreated", "ExecutionCreatedEventExecutionInfo", body)
}

/// Returns what is told of a trade: the same name for a part and for the last one.
fn filled(view: View<'_>, order: &Order, at: DateTime<Utc>, execution: &Execution) -> Step {
    let over = order.status == Status::Filled;
    let quantities = json!({
        "ExecutionID": execution.id.to_string(),
        "CumulativeQuantity": odd_decimal(order.filled_qty),
        "LeavesQuantity": odd_decimal(order.leaves()),
        "AveragePrice": odd_decimal(order.average().unwrap_or_default()),
    });
    let info = json!({
        "ExecutionId": execution.id.to_string(),
        "ExecutionQuantity": odd_decimal(execution.qty),
        "ExecutionPrice": odd_decimal(execution.price),
        "ExecutionTimeStamp": stamp(at),
        "ExecutionTransType": "Fill",
    });
    let posting = json!({
        "BuySellCode": buy_sell(order.ticket.side),
        "Quantity": odd_decimal(order.qty.unwrap_or_default()),
        "Symbol": order.ticket.symbol,
    });
    let body = json!({
        "LegId": leg(view, order),
        "LegStatus": if over { "LegClosed" } else { "LegOpen" },
        "LegSubStatus": if over { "LegSubStatusFilled" } else { "LegSubStatusPartiallyFilled" },
        "QuantityInfo": quantities,
        "ExecutionInfo": info,
        "OrderInfoForTransactionPosting": posting,
    });
    ("OrderFillCompleted", "OrderFillCompletedEventOrderLegQuantityInfo", body)
}

fn cancel_accepted(view: View<'_>, order: &Order, at: DateTime<Utc>) -> Step {
    let request = json!({
        "LegID": leg(view, order),
        "IntendedOrderQuantity": odd_decimal(order.qty.unwrap_or_default()),
        "RequestedAmount": odd_decimal(order.leaves()),
        "CancelAcceptedTime": stamp(at),
    });
    let body = json!({
        "LifecycleSchwabOrderID": view.ids.order(order.id).to_string(),
        "CancelTimeStamp": stamp(at),
        "LegCancelRequestInfoList": [request],
        "CancelRequestType": "ClientCancel",
    });
    ("CancelAccepted", "CancelAcceptedEvent", body)
}

fn out(view: View<'_>, order: &Order, at: DateTime<Utc>, kind: &str) -> Step {
    let mut body = json!({
        "LegId": leg(view, order),
        "LeavesQuantity": odd_decimal(Decimal::ZERO),
        "CancelQuantity": odd_decimal(order.leaves()),
        "LegStatus": "LegClosed",
        "OutCancelType": kind,
        "ExecutionTimeStamp": stamp(at),
    });
    if let (Some(why), Some(fields)) = (&order.why, body.as_object_mut()) {
        let rule = view.desk.words.get(&order.id).and_then(|words| words.rule);
        let id = view.ids.order(order.id).to_string();
        let detail = json!({"SchwabOrderID": id, "NgOMSRuleName": rule, "NgOMSRuleDescription": why});
        fields.insert("ValidationDetail".to_owned(), json!([detail]));
    }
    ("OrderUROutCompleted", "OrderUROutCompletedEvent", body)
}
