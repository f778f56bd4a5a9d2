//! What Kraken's streams say: of orders, told piece by piece and counted, and of prices.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use trade_actors::domain::ids::BrokerOrderId;
use trade_actors::domain::money::{Money, Quantity};
use trade_actors::domain::order::Fill;
use trade_actors::domain::report::{OrderReport, RefusalCode, ReportedState};
use trade_actors::domain::signal::Side;

use super::{errors, map, wire};
use crate::brokers::venue::number::parse;
use crate::brokers::venue::orders;
use crate::brokers::venue::{Ear, Heard, Tick};

/// The stream of an account's orders.
pub(super) const EXECUTIONS: &str = "executions";
/// The stream of prices.
pub(super) const TICKER: &str = "ticker";

fn read<T: DeserializeOwned>(frame: &str) -> Option<Vec<T>> {
    serde_json::from_str::<wire::Told<T>>(frame).ok().map(|told| told.data)
}

/// Reads a frame of the stream of orders.
///
/// Every frame of orders has the number after the last one's: where one is missing, the stream is opened again.
pub(super) fn heard(ear: &mut Ear, frame: &str, settlement: &str, now: DateTime<Utc>) -> Vec<Heard> {
    let Ok(head) = serde_json::from_str::<wire::Frame>(frame) else { return vec![Heard::Gap] };
    if head.method.as_deref() == Some("subscribe") {
        return vec![answered(head)];
    }
    if head.channel.as_deref() != Some(EXECUTIONS) {
        return Vec::new();
    }
    let expected = ear.number.map(|last| last.saturating_add(1));
    if expected.is_some() && head.sequence != expected {
        return vec![Heard::Over("news of orders were missed".to_owned())];
    }
    ear.number = head.sequence;
    let Some(all) = read::<wire::News>(frame) else { return vec![Heard::Gap] };
    let reports = all.iter().filter_map(|news| report(ear, news, settlement, now));
    reports.map(|report| Heard::Report(Box::new(report))).collect()
}

/// Reads the answer to a subscription.
fn answered(head: wire::Frame) -> Heard {
    if head.success == Some(true) {
        return Heard::Ready;
    }
    let why = head.error.unwrap_or_default();
    if errors::refused(&why) == Some(RefusalCode::AuthFailed) { Heard::Refused } else { Heard::Over(why) }
}

/// Reads news of an order; `None`: it is none of ours.
///
/// What was told before and is not told again is kept by the order's id there.
fn report(ear: &mut Ear, news: &wire::News, settlement: &str, now: DateTime<Utc>) -> Option<OrderReport> {
    let known = ear.known.remove(&news.order_id).unwrap_or_default();
    let text = |name: &str| known.get(name).and_then(Value::as_str);
    let number = |name: &str| text(name).and_then(parse);
    let name = news.cl_ord_id.as_deref().or(text("name")).and_then(orders::ours)?;
    let symbol = news.symbol.as_deref().or(text("symbol")).unwrap_or_default().to_owned();
    let side = news.side.as_deref().or(text("side")).unwrap_or_default().to_owned();
    let status = news.order_status.as_deref().or(text("status")).unwrap_or_default().to_owned();
    let quantity = news.cum_qty.map(|num| num.0).or_else(|| number("quantity")).unwrap_or_default();
    let money = news.cum_cost.map(|num| num.0).or_else(|| number("money")).unwrap_or_default();
    let at = news.timestamp.as_deref().and_then(|at| DateTime::parse_from_rfc3339(at).ok());
    let at = at.map_or(now, |at| at.with_timezone(&Utc));
    let state = state(&status);
    if state == ReportedState::Open {
        let known = json!({
            "name": name.to_string(), "symbol": symbol, "side": side, "status": status,
            "quantity": quantity.to_string(), "money": money.to_string(),
        });
        ear.known.insert(news.order_id.clone(), known);
    }
    let base = symbol.split_once('/').map(|(base, _)| base).unwrap_or_default();
    let side = if side == "sell" { Side::Sell } else { Side::Buy };
    Some(OrderReport {
        order: name,
        broker_order: BrokerOrderId::new(news.order_id.clone()),
        state,
        fills: execution(news, (side, base, settlement), at).into_iter().collect(),
        done: orders::done(quantity, money, at),
        balance: None,
    })
}

/// Reads the execution that news tell of, if they tell of one.
fn execution(
    news: &wire::News,
    (side, base, settlement): (Side, &str, &str),
    at: DateTime<Utc>,
) -> Option<Fill> {
    let name = news.exec_id.as_deref().filter(|_| news.exec_type == "trade")?;
    let paid = news.fees.iter().map(|fee| orders::fee((fee.qty.0, &fee.asset), side, base, settlement));
    let paid = paid.reduce(|sum, one| (sum.0 + one.0, sum.1 + one.1));
    let traded = (news.last_qty?.0, news.last_price?.0);
    map::fill(name, traded, paid.unwrap_or((Money::ZERO, Quantity::ZERO)), at)
}

/// Reads a status; a word that is not known leaves the order open, which a later look-up corrects.
fn state(status: &str) -> ReportedState {
    match status {
        "filled" => ReportedState::Filled,
        "canceled" => ReportedState::Canceled,
        "expired" => ReportedState::Expired,
        _ => ReportedState::Open,
    }
}

/// Reads a frame of the stream of prices.
pub(super) fn ticks(frame: &str, settlement: &str) -> Vec<Tick> {
    let head = serde_json::from_str::<wire::Frame>(frame).ok();
    if head.and_then(|head| head.channel).as_deref() != Some(TICKER) {
        return Vec::new();
    }
    let tick = |best: wire::Best| {
        let is_ours = best.symbol.split_once('/').is_some_and(|(_, quote)| quote == settlement);
        let symbol = best.symbol.parse().ok().filter(|_| is_ours)?;
        let last = best.last.map(|last| last.0).filter(|last| *last > Decimal::ZERO);
        Some(Tick::Best { symbol, bid: best.bid.0, ask: best.ask.0, last })
    };
    read::<wire::Best>(frame).unwrap_or_default().into_iter().filter_map(tick).collect()
}
