//! Coinbase's two streams: what is done of an account's orders, and best prices.
//!
//! Every message is numbered. Whether a number counts all messages or those of one channel is unconfirmed, so that a
//! message is missed when its number follows neither the last one nor the last one of its channel. Then the stream is
//! opened again, and what happened meanwhile is asked for.

use chrono::{DateTime, Utc};
use serde_json::Value;
use trade_actors::domain::report::ReportedState;

use super::{map, wire};
use crate::brokers::venue::{Ear, Heard, Tick};

/// What keeps a stream open: Coinbase closes those on which nothing happens.
pub(super) const HEARTBEATS: &str = r#"{"type":"subscribe","channel":"heartbeats"}"#;
/// Where the ear notes that the stream is ready.
const READY: &str = "ready";

/// Reads a frame and counts it.
fn read(ear: &mut Ear, frame: &str) -> Result<wire::Frame, String> {
    let frame: wire::Frame =
        serde_json::from_str(frame).map_err(|_| "a message cannot be read".to_owned())?;
    if let Some(number) = frame.sequence_num {
        let channel = format!("channel {}", frame.channel);
        let last = ear.known.insert(channel, number.into());
        let follows = |last: Option<u64>| last.is_some_and(|last| number <= last.saturating_add(1));
        let is_first = last.is_none() && (ear.number.is_none() || number == 0);
        if !is_first && !follows(ear.number) && !follows(last.as_ref().and_then(Value::as_u64)) {
            return Err("a message was missed".to_owned());
        }
        ear.number = Some(number);
    }
    Ok(frame)
}

/// Reads a frame of the stream of orders.
pub(super) fn heard(ear: &mut Ear, frame: &str, now: DateTime<Utc>) -> Vec<Heard> {
    let frame = match read(ear, frame) {
        Ok(frame) => frame,
        Err(why) => return vec![Heard::Over(why)],
    };
    if frame.kind == "error" {
        let said = frame.message.to_ascii_lowercase();
        let is_refused = ["auth", "jwt", "permission"].iter().any(|word| said.contains(word));
        return vec![if is_refused { Heard::Refused } else { Heard::Over(frame.message) }];
    }
    if frame.channel != "user" {
        return Vec::new();
    }
    let mut heard = Vec::new();
    // The first message is what is open now: from here on nothing is missed.
    if ear.known.insert(READY.to_owned(), true.into()).is_none() {
        heard.push(Heard::Ready);
    }
    let at = map::time(&frame.timestamp).unwrap_or(now);
    for event in &frame.events {
        match serde_json::from_str::<wire::UserEvent>(event.get()) {
            Ok(event) => heard.extend(event.orders.iter().filter_map(|order| news(ear, order, at))),
            Err(_) => heard.push(Heard::Gap),
        }
    }
    heard
}

/// Reads news of an order; `None`: it is none of ours.
fn news(ear: &mut Ear, order: &wire::Order, at: DateTime<Utc>) -> Option<Heard> {
    let name = format!("order {}", order.order_id);
    let before = ear.known.get(&name).and_then(|before| serde_json::from_value(before.clone()).ok());
    let before: wire::Before = before.unwrap_or_default();
    let report = map::news(order, &before, at)?;
    if report.state != ReportedState::Open {
        ear.known.remove(&name);
    } else if order.filled.0 >= before.filled
        && let Ok(told) = serde_json::to_value(map::totals(order))
    {
        ear.known.insert(name, told);
    }
    Some(Heard::Report(Box::new(report)))
}

/// Reads a frame of the stream of prices.
pub(super) fn ticks(ear: &mut Ear, frame: &str, settlement: &str) -> Vec<Tick> {
    let frame = match read(ear, frame) {
        Ok(frame) if frame.kind == "error" => return vec![Tick::Over(frame.message)],
        Ok(frame) if frame.channel == "ticker" => frame,
        Ok(_) => return Vec::new(),
        Err(why) => return vec![Tick::Over(why)],
    };
    let events = frame.events.iter().filter_map(|event| serde_json::from_str(event.get()).ok());
    let tickers = events.flat_map(|event: wire::TickerEvent| event.tickers);
    let best = |ticker: wire::Ticker| {
        let symbol = map::ours(&ticker.product_id, settlement)?;
        let (bid, ask) = (ticker.best_bid.0, ticker.best_ask.0);
        Some(Tick::Best { symbol, bid, ask, last: Some(ticker.price.0).filter(|last| !last.is_zero()) })
    };
    tickers.filter_map(best).collect()
}
