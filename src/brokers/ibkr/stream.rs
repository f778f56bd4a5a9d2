//! The websocket's frames. News of orders are sparse: what is not told again has not changed. A total and its executions
//! come in frames of their own, so that an order is reported when both agree, commissions included.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::map::{self, Stands};
use super::wire;
use crate::brokers::venue::{Ear, Heard};

/// What stands before an order's id among what is known.
const ORDER: &str = "order ";
/// What stands before an order's id, and an execution's, among what is known.
const TRADE: &str = "trade ";
/// How much of an order was told, among its own fields.
const TOLD: &str = "our_told";

/// Reads a frame.
pub(super) fn heard(
    ear: &mut Ear,
    frame: &str,
    canceled: impl Fn(&str) -> bool,
    now: DateTime<Utc>,
) -> Vec<Heard> {
    let Ok(frame) = serde_json::from_str::<wire::Frame>(frame) else { return vec![Heard::Gap] };
    if frame.message == "waiting for session" {
        return vec![Heard::Over("its session is another one".to_owned())];
    }
    let is_failed = !frame.error.is_null();
    match frame.topic.as_str() {
        "sts" => match frame.args.get("authenticated").and_then(Value::as_bool) {
            Some(true) => vec![Heard::Ready],
            Some(false) => vec![Heard::Over("the session ended".to_owned())],
            None => Vec::new(),
        },
        "sor" | "str" if is_failed => vec![Heard::Over(format!("it tells no orders: {}", frame.error))],
        "sor" => orders(ear, frame.args, canceled, now),
        "str" => trades(ear, frame.args, canceled, now),
        // By now what belongs together has come together; what has not is told without its executions.
        "system" if frame.hb.is_some() => {
            let ids: Vec<_> =
                ear.known.keys().filter_map(|key| key.strip_prefix(ORDER)).map(str::to_owned).collect();
            ids.iter().filter_map(|id| report(ear, id, true, &canceled, now)).collect()
        }
        _ => Vec::new(),
    }
}

fn orders(ear: &mut Ear, args: Value, canceled: impl Fn(&str) -> bool, now: DateTime<Utc>) -> Vec<Heard> {
    let Value::Array(all) = args else { return Vec::new() };
    let mut heard = Vec::new();
    for news in all {
        let Value::Object(news) = news else { continue };
        let Some(id) = word(&news, "orderId") else { continue };
        let known = ear.known.entry(format!("{ORDER}{id}")).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(known) = known {
            known.extend(news);
            // The state is news even where the total is not.
            known.remove(TOLD);
        }
        heard.extend(report(ear, &id, false, &canceled, now));
    }
    heard
}

fn trades(ear: &mut Ear, args: Value, canceled: impl Fn(&str) -> bool, now: DateTime<Utc>) -> Vec<Heard> {
    let Value::Array(all) = args else { return Vec::new() };
    let mut heard = Vec::new();
    for trade in all {
        let Value::Object(news) = trade else { continue };
        let (Some(order), Some(execution)) = (word(&news, "order_id"), word(&news, "execution_id")) else {
            // Without the order's number it belongs to nothing here.
            heard.push(Heard::Gap);
            continue;
        };
        let key = format!("{TRADE}{order} {execution}");
        let known = ear.known.entry(key).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(known) = known {
            known.extend(news);
        }
        heard.extend(report(ear, &order, false, &canceled, now));
    }
    heard
}

fn word(fields: &Map<String, Value>, name: &str) -> Option<String> {
    match fields.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Reports an order, once: when its total is that of its executions, or at last without them.
fn report(
    ear: &mut Ear,
    id: &str,
    at_last: bool,
    canceled: impl Fn(&str) -> bool,
    now: DateTime<Utc>,
) -> Option<Heard> {
    let prefix = format!("{TRADE}{id} ");
    let own = ear.known.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
    let own: Vec<_> = own.filter_map(|(_, trade)| wire::Trade::deserialize(trade).ok()).collect();
    let known = ear.known.get_mut(&format!("{ORDER}{id}"))?;
    let told = wire::Listed::deserialize(&*known).ok()?;
    let (mut report, stands) = map::listed(&told, canceled(id), now)?;
    let total = told.filled_quantity.or_zero();
    let seen: Decimal = own.iter().map(|trade| trade.size.or_zero()).sum();
    let is_whole = seen == total && own.iter().all(|trade| trade.commission.0.is_some());
    let fields = known.as_object_mut()?;
    let is_told = fields.get(TOLD).is_some_and(|told| told.as_str() == Some(&total.to_string()));
    if is_told || !(is_whole || at_last) {
        return None;
    }
    fields.insert(TOLD.to_owned(), Value::String(total.to_string()));
    if stands == Stands::Perhaps {
        // Only the order's own state says whether it was refused, and why.
        return Some(Heard::Gap);
    }
    if is_whole {
        report.fills = own.iter().filter_map(|trade| map::fill(trade, now)).collect();
    }
    Some(Heard::Report(Box::new(report)))
}
