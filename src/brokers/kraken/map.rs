//! Kraken's words and ours.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use trade_actors::domain::ids::{BrokerOrderId, ClientOrderId, ExecutionId};
use trade_actors::domain::instrument::{AssetClass, Instrument};
use trade_actors::domain::money::{Money, Percent, Price, Quantity};
use trade_actors::domain::order::{Fill, Ticket, TimeInForce};
use trade_actors::domain::report::{OrderReport, ReportedState};
use trade_actors::domain::signal::{OrderKind, Side, Trail};

use super::{ABOUT, ORDERS, PLACE, names, wire};
use crate::brokers::venue::call::Call;
use crate::brokers::venue::orders;
use crate::brokers::venue::verdict::Verdict;

/// Decimals of the per cent that a trailing stop may follow at.
const TRAIL_DP: u32 = 2;

/// Words an order. Its deadline is set when it is signed.
///
/// Fees are always paid in money, so that what is bought is what is held.
pub(super) fn new_order(ticket: &Ticket, pair: &str) -> Result<Call, Verdict> {
    let side = match ticket.side {
        Side::Buy => "buy",
        Side::Sell => "sell",
    };
    let lacks = |what, advice| Err(Verdict::not_here(ABOUT.title, what, advice));
    let (kind, price, price2) = match ticket.kind {
        OrderKind::Market => ("market", None, None),
        OrderKind::Limit { limit } => ("limit", Some(limit.to_string()), None),
        OrderKind::Stop { trigger } => ("stop-loss", Some(trigger.to_string()), None),
        OrderKind::StopLimit { trigger, limit } => {
            ("stop-loss-limit", Some(trigger.to_string()), Some(limit.to_string()))
        }
        OrderKind::TrailingStop { trail } => match offset(trail) {
            Some(offset) => ("trailing-stop", Some(offset), None),
            None => {
                let advice = "Give the distance in whole hundredths of a per cent, below 100 per cent.";
                return lacks("trailing stop at this distance", advice);
            }
        },
        OrderKind::Oco { .. } => return lacks("such pair of orders", "Send its parts one by one."),
    };
    let duration = match ticket.time_in_force {
        // Kraken has no sessions that an order for the day could end with.
        TimeInForce::Day | TimeInForce::Gtc => "GTC",
        TimeInForce::Ioc => "IOC",
        // Whether Kraken takes these is not confirmed.
        TimeInForce::Fok => {
            return lacks("order that is filled whole or not at all", "Send it without that.");
        }
    };
    let is_limited = matches!(ticket.kind, OrderKind::Limit { .. } | OrderKind::StopLimit { .. });
    let waits = !matches!(ticket.kind, OrderKind::Market | OrderKind::Limit { .. });
    Ok(Call::post(PLACE)
        .with("ordertype", kind)
        .with("type", side)
        .with("pair", pair)
        .with("volume", ticket.quantity.get().normalize())
        .with_some("price", price)
        .with_some("price2", price2)
        .with_some("timeinforce", is_limited.then_some(duration))
        .with_some("trigger", waits.then_some("last"))
        .with("oflags", "fciq")
        .with("cl_ord_id", ticket.id)
        .costing(&[(ORDERS, 1)])
        .as_pressing_as(orders::urgency(ticket)))
}

/// Returns the distance of a trailing stop in Kraken's words; `None`: it follows at no such distance.
pub(super) fn offset(trail: Trail) -> Option<String> {
    match trail {
        Trail::Amount(amount) => Some(format!("+{}", amount.get().normalize())),
        Trail::Percent(distance) => {
            let pct = Percent::get(distance).normalize();
            let fits = pct > Decimal::ZERO && pct < Decimal::ONE_HUNDRED && pct.scale() <= TRAIL_DP;
            fits.then(|| format!("+{pct}%"))
        }
    }
}

/// Returns what to add to the count of orders for a cancel: the younger the order, the more.
///
/// It is half of what Kraken adds. The count stays below half of what Kraken allows, and what leaves must not wait for
/// that: cancels may use the other half, too.
pub(super) fn cancel_cost(age_s: i64) -> u32 {
    match age_s {
        ..5 => 4,
        5..15 => 3,
        15..45 => 2,
        45.. => 1,
    }
}

/// Reads seconds since 1970.
pub(super) fn time(seconds: Decimal) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(seconds.checked_mul(Decimal::from(1_000_000))?.to_i64()?)
}

/// Reads a status; a word that is not known leaves the order open, which a later look-up corrects.
fn state(order: &wire::Order) -> ReportedState {
    match order.status.as_str() {
        "closed" if order.vol_exec >= order.vol => ReportedState::Filled,
        // What is closed before all of it was done was ended by somebody.
        "closed" | "canceled" => ReportedState::Canceled,
        "expired" => ReportedState::Expired,
        _ => ReportedState::Open,
    }
}

/// Reads an order, with its executions as far as they were asked for.
pub(super) fn report(
    id: ClientOrderId,
    (txid, order): (&str, &wire::Order),
    trades: &[(String, wire::Trade)],
    now: DateTime<Utc>,
) -> OrderReport {
    let at = order.closetm.and_then(|at| time(at.0)).unwrap_or(now);
    let fills = trades.iter().filter(|(_, trade)| trade.ordertxid == txid).filter_map(|(name, trade)| {
        let at = time(trade.time.0).unwrap_or(at);
        fill(name, (trade.vol.0, trade.price.0), (Money::new(trade.fee.0), Quantity::ZERO), at)
    });
    OrderReport {
        order: id,
        broker_order: BrokerOrderId::new(txid.to_owned()),
        state: state(order),
        fills: fills.collect(),
        done: orders::done(order.vol_exec.0, order.cost.0, at),
        balance: None,
    }
}

/// Reads an execution; `None`: it is of nothing.
pub(super) fn fill(
    name: &str,
    (quantity, price): (Decimal, Decimal),
    (fee, kept): (Money, Quantity),
    at: DateTime<Utc>,
) -> Option<Fill> {
    let (quantity, price) = (Quantity::new(quantity).ok()?, Price::new(price).ok()?);
    Some(Fill { execution: ExecutionId::new(name.to_owned()), quantity, price, fee, kept, at })
}

/// Returns an instrument; `None`: it trades against other money, or its rules cannot be read.
pub(super) fn instrument(key: &str, row: &wire::Pair, settlement: &str) -> Option<Instrument> {
    let step = |decimals: u32| Decimal::try_new(1, decimals).ok();
    let tick = match row.tick_size {
        Some(tick) => tick.0.normalize(),
        None => step(row.pair_decimals)?,
    };
    let lot = Quantity::new(step(row.lot_decimals)?).ok()?;
    Some(Instrument {
        symbol: names::symbol(key, row, settlement)?,
        class: AssetClass::Crypto,
        tick: Price::new(tick).ok()?,
        lot,
        size_step: lot,
        min_notional: Money::new(row.costmin.unwrap_or_default().0.normalize()),
        tradable: row.status.as_deref().is_none_or(|status| status == "online"),
    })
}
