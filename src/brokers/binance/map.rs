//! Binance's words and ours.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::json;

use trade_actors::domain::ids::{BrokerOrderId, ClientOrderId, ExecutionId};
use trade_actors::domain::instrument::{AssetClass, Instrument, Symbol};
use trade_actors::domain::money::{Money, Price, Quantity};
use trade_actors::domain::order::{Fill, Ticket, TimeInForce};
use trade_actors::domain::report::{OrderReport, RefusalCode, ReportedState};
use trade_actors::domain::signal::{OrderKind, Side, Trail};

use super::{ABOUT, bips, wire};
use crate::brokers::venue::call::Call;
use crate::brokers::venue::orders;
use crate::brokers::venue::pairs;
use crate::brokers::venue::verdict::{Verdict, refusal};
use crate::brokers::venue::{Heard, Tick};

/// Returns what to say so that the best prices of symbols are told, or no longer.
pub(in crate::brokers) fn wish(symbols: &[Symbol], is_wanted: bool, settlement: &str) -> String {
    let names = symbols.iter().filter_map(|symbol| pairs::joined(*symbol, settlement));
    let streams: Vec<_> = names.map(|name| format!("{}@bookTicker", name.to_ascii_lowercase())).collect();
    let method = if is_wanted { "SUBSCRIBE" } else { "UNSUBSCRIBE" };
    json!({"method": method, "params": streams, "id": 1}).to_string()
}

/// Returns their word for a side.
pub(in crate::brokers) const fn side(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

/// Returns their word for how long an order stands. They have no sessions that an order for the day could end with.
pub(in crate::brokers) const fn duration(time_in_force: TimeInForce) -> &'static str {
    match time_in_force {
        TimeInForce::Day | TimeInForce::Gtc => "GTC",
        TimeInForce::Ioc => "IOC",
        TimeInForce::Fok => "FOK",
    }
}

/// Words an order.
pub(super) fn new_order(ticket: &Ticket, symbol: String) -> Result<Call, Verdict> {
    let call = Call::post("/api/v3/order").with("symbol", symbol).with("side", side(ticket.side));
    let duration = duration(ticket.time_in_force);
    let lacks = |what, advice| Err(Verdict::not_here(ABOUT.title, what, advice));
    let call = match ticket.kind {
        OrderKind::Market => call.with("type", "MARKET"),
        OrderKind::Limit { limit } => {
            call.with("type", "LIMIT").with("timeInForce", duration).with("price", limit)
        }
        OrderKind::Stop { trigger } => call.with("type", "STOP_LOSS").with("stopPrice", trigger),
        OrderKind::StopLimit { trigger, limit } => call
            .with("type", "STOP_LOSS_LIMIT")
            .with("timeInForce", duration)
            .with("price", limit)
            .with("stopPrice", trigger),
        OrderKind::TrailingStop { trail: Trail::Percent(pct) } => match bips(pct) {
            Some(bips) => call.with("type", "STOP_LOSS").with("trailingDelta", bips),
            None => return lacks("trailing stop at this distance", "Choose one from 0.1 to 20 per cent."),
        },
        OrderKind::TrailingStop { trail: Trail::Amount(_) } => {
            return lacks("trailing stop by an amount", "Give the distance in per cent.");
        }
        OrderKind::Oco { .. } => return lacks("such pair of orders here", "Send its parts one by one."),
    };
    Ok(call
        .with("quantity", ticket.quantity.get().normalize())
        .with("newClientOrderId", ticket.id)
        .with("newOrderRespType", "FULL")
        .as_pressing_as(orders::urgency(ticket)))
}

/// Reads a status; a word that is not known leaves the order open, which a later look-up corrects.
pub(in crate::brokers) fn state(title: &str, status: &str, reason: &str) -> ReportedState {
    match status {
        "FILLED" => ReportedState::Filled,
        "CANCELED" => ReportedState::Canceled,
        "EXPIRED" | "EXPIRED_IN_MATCH" => ReportedState::Expired,
        "REJECTED" => ReportedState::Rejected(refusal(title, RefusalCode::OrderRejected, reason)),
        _ => ReportedState::Open,
    }
}

/// Reads an order that was looked up or has just been placed.
pub(super) fn report(
    order: &wire::Order,
    id: ClientOrderId,
    trades: &[wire::Trade],
    ticket: &Ticket,
    settlement: &str,
    now: DateTime<Utc>,
) -> Result<OrderReport, Verdict> {
    if order.client_order_id != id.to_string() {
        return Err(Verdict::Lost("it answered with another order than the one sent".to_owned()));
    }
    let at = order.at.and_then(DateTime::from_timestamp_millis).unwrap_or(now);
    let base = order.symbol.strip_suffix(settlement).unwrap_or_default();
    let fills = trades.iter().filter_map(|trade| {
        let at = trade.time.and_then(DateTime::from_timestamp_millis).unwrap_or(at);
        let paid = (trade.commission.0, trade.commission_asset.as_str());
        let (fee, kept) = orders::fee(paid, ticket.side, base, settlement);
        fill(trade.trade_id, trade.qty.0, trade.price.0, (fee, kept), at)
    });
    Ok(OrderReport {
        order: id,
        broker_order: BrokerOrderId::new(order.order_id.to_string()),
        state: state(ABOUT.title, &order.status, ""),
        fills: fills.collect(),
        done: orders::done(order.executed.0, order.executed_quote.0, at),
        balance: None,
    })
}

/// Reads an order from the list of open ones; `None`: it is none of ours.
pub(super) fn standing(order: &wire::Order, now: DateTime<Utc>) -> Option<OrderReport> {
    let at = order.at.and_then(DateTime::from_timestamp_millis).unwrap_or(now);
    Some(OrderReport {
        order: orders::ours(&order.client_order_id)?,
        broker_order: BrokerOrderId::new(order.order_id.to_string()),
        state: state(ABOUT.title, &order.status, ""),
        fills: Vec::new(),
        done: orders::done(order.executed.0, order.executed_quote.0, at),
        balance: None,
    })
}

/// Reads an execution; `None`: nothing was traded.
pub(in crate::brokers) fn fill(
    id: u64,
    quantity: Decimal,
    price: Decimal,
    (fee, kept): (Money, Quantity),
    at: DateTime<Utc>,
) -> Option<Fill> {
    let (quantity, price) = (Quantity::new(quantity).ok()?, Price::new(price).ok()?);
    Some(Fill { execution: ExecutionId::new(id.to_string()), quantity, price, fee, kept, at })
}

/// Returns an instrument; `None`: it trades against other money, or its rules cannot be read.
pub(super) fn instrument(row: &wire::Listed, settlement: &str) -> Option<Instrument> {
    if row.quote_asset != settlement {
        return None;
    }
    rules(pairs::pair(&row.base_asset, settlement)?, &row.filters, row.status == "TRADING")
}

/// Returns the rules of a symbol; `None`: they cannot be read.
pub(in crate::brokers) fn rules(
    symbol: Symbol,
    filters: &[wire::Filter],
    tradable: bool,
) -> Option<Instrument> {
    let rule = |kinds: &[&str]| filters.iter().find(|rule| kinds.contains(&rule.filter_type.as_str()));
    let step = rule(&["LOT_SIZE"])?.step_size?.0.normalize();
    let notional = rule(&["NOTIONAL", "MIN_NOTIONAL"]).and_then(|rule| rule.min_notional);
    Some(Instrument {
        symbol,
        class: AssetClass::Crypto,
        tick: Price::new(rule(&["PRICE_FILTER"])?.tick_size?.0.normalize()).ok()?,
        lot: Quantity::new(step).ok()?,
        size_step: Quantity::new(step).ok()?,
        min_notional: Money::new(notional.unwrap_or_default().0.normalize()),
        tradable,
    })
}

/// Reads a frame of the stream of orders.
pub(super) fn heard(frame: &str, settlement: &str) -> Vec<Heard> {
    let Ok(frame) = serde_json::from_str::<wire::Frame>(frame) else { return vec![Heard::Gap] };
    if let Some(error) = frame.error {
        let is_refused = super::errors::failure(&error).is_of_credentials();
        return vec![if is_refused { Heard::Refused } else { Heard::Over(error.msg) }];
    }
    if frame.status == Some(200) {
        return vec![Heard::Ready];
    }
    let Some(event) = frame.event else { return Vec::new() };
    let name = serde_json::from_str::<wire::Named>(event.get()).map(|named| named.e).unwrap_or_default();
    match name.as_str() {
        "executionReport" => match serde_json::from_str::<wire::Execution>(event.get()) {
            Ok(execution) => executed(&execution, settlement)
                .map(|report| Heard::Report(Box::new(report)))
                .into_iter()
                .collect(),
            Err(_) => vec![Heard::Gap],
        },
        "eventStreamTerminated" | "serverShutdown" => vec![Heard::Over(name)],
        _ => Vec::new(),
    }
}

/// Reads news of an order; `None`: it is none of ours.
fn executed(news: &wire::Execution, settlement: &str) -> Option<OrderReport> {
    let name = if news.original_id.is_empty() { &news.client_order_id } else { &news.original_id };
    let at = DateTime::from_timestamp_millis(news.at)?;
    let side = if news.side == "BUY" { Side::Buy } else { Side::Sell };
    let base = news.symbol.strip_suffix(settlement).unwrap_or_default();
    let trade = u64::try_from(news.trade_id).ok().filter(|_| news.what == "TRADE");
    let fills = trade.and_then(|trade| {
        let commission = news.commission.unwrap_or_default().0;
        let asset = news.commission_asset.as_deref().unwrap_or_default();
        let paid = orders::fee((commission, asset), side, base, settlement);
        fill(trade, news.last.0, news.price.0, paid, at)
    });
    Some(OrderReport {
        order: orders::ours(name)?,
        broker_order: BrokerOrderId::new(news.order_id.to_string()),
        state: state(ABOUT.title, &news.status, &news.reason),
        fills: fills.into_iter().collect(),
        done: orders::done(news.executed.0, news.executed_quote.0, at),
        balance: None,
    })
}

/// Reads a frame of the stream of prices; `None`: it tells none.
pub(in crate::brokers) fn tick(frame: &str, settlement: &str) -> Option<Tick> {
    let best: wire::BestTick = serde_json::from_str(frame).ok()?;
    let symbol = pairs::split(&best.s, settlement)?;
    Some(Tick::Best { symbol, bid: best.b.0, ask: best.a.0, last: None })
}
