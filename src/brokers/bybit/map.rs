//! Bybit's words and ours.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use trade_actors::domain::ids::{BrokerOrderId, ClientOrderId, ExecutionId};
use trade_actors::domain::instrument::{AssetClass, Instrument};
use trade_actors::domain::money::{Money, Price, Quantity};
use trade_actors::domain::order::{Fill, Ticket, TimeInForce};
use trade_actors::domain::report::{OrderReport, RefusalCode, ReportedState};
use trade_actors::domain::signal::{OrderKind, Side};

use super::{ABOUT, wire};
use crate::brokers::venue::call::Call;
use crate::brokers::venue::number::Num;
use crate::brokers::venue::orders;
use crate::brokers::venue::pairs;
use crate::brokers::venue::verdict::{Verdict, refusal};
use crate::brokers::venue::{Ear, Heard, Holdings, Tick, Unit};

/// What the names of streams of best prices begin with.
pub(super) const BEST: &str = "orderbook.1.";
/// The filter of orders that are in the market.
const PLAIN: &str = "Order";
/// The filter of stops that hold back what they will trade, so that they can trade when they are triggered.
const HOLDING: &str = "tpslOrder";
/// What an ear keeps the whole of a filled order under, whose executions it has not all heard; the others have ids.
const ALL_OF_IT: &str = "all";

/// Reads nanoseconds since 1970.
pub(super) fn nanos(text: &str) -> Option<DateTime<Utc>> {
    text.parse().ok().map(DateTime::from_timestamp_nanos)
}

/// Returns why a key is not one to trade with; `None`: it is.
pub(super) fn unfit(key: &wire::Key) -> Option<String> {
    let may = key.permissions.wallet.join(", ");
    if !may.is_empty() {
        return Some(format!(
            "this key may withdraw or transfer money (Wallet: {may}); make one that may only trade spot"
        ));
    }
    if key.read_only != 0 || !key.permissions.spot.iter().any(|may| may == "SpotTrade") {
        return Some(
            "this key may not trade spot; allow reading and writing and Spot, and nothing else".to_owned(),
        );
    }
    (key.uta == Some(0)).then(|| "this account is no unified one; have it upgraded there".to_owned())
}

/// Words an order. Without `isLeverage` nothing is borrowed for it.
pub(super) fn new_order(ticket: &Ticket, symbol: &str) -> Result<Call, Verdict> {
    let side = match ticket.side {
        Side::Buy => "Buy",
        Side::Sell => "Sell",
    };
    let duration = match ticket.time_in_force {
        // Bybit has no sessions that an order for the day could end with.
        TimeInForce::Day | TimeInForce::Gtc => "GTC",
        TimeInForce::Ioc => "IOC",
        TimeInForce::Fok => "FOK",
    };
    let lacks = |what, advice| Err(Verdict::not_here(ABOUT.title, what, advice));
    let (limit, trigger) = match ticket.kind {
        OrderKind::Market => (None, None),
        OrderKind::Limit { limit } => (Some(limit), None),
        OrderKind::Stop { trigger } => (None, Some(trigger)),
        OrderKind::StopLimit { trigger, limit } => (Some(limit), Some(trigger)),
        OrderKind::TrailingStop { .. } => {
            return lacks("trailing stop on its spot market", "Use a stop at a fixed price.");
        }
        OrderKind::Oco { .. } => return lacks("such pair of orders here", "Send its parts one by one."),
    };
    let mut body = json!({
        "category": "spot",
        "symbol": symbol,
        "side": side,
        "qty": ticket.quantity.get().normalize().to_string(),
        "orderLinkId": ticket.id.to_string(),
    });
    if let Some(fields) = body.as_object_mut() {
        let mut put = |name: &str, value: String| drop(fields.insert(name.to_owned(), value.into()));
        match limit {
            Some(limit) => {
                put("orderType", "Limit".to_owned());
                put("price", limit.to_string());
                put("timeInForce", duration.to_owned());
            }
            None => {
                put("orderType", "Market".to_owned());
                // Else the quantity of a purchase is one of money.
                put("marketUnit", "baseCoin".to_owned());
            }
        }
        if let Some(trigger) = trigger {
            put("triggerPrice", trigger.to_string());
            put("orderFilter", HOLDING.to_owned());
        }
    }
    Ok(Call::post("/v5/order/create").with_json(&body).as_pressing_as(orders::urgency(ticket)))
}

/// Returns the filters that an order is to be found by, the likeliest first.
pub(super) const fn filters(kind: OrderKind) -> &'static [&'static str] {
    match kind {
        OrderKind::Market | OrderKind::Limit { .. } => &[PLAIN],
        OrderKind::Stop { .. }
        | OrderKind::StopLimit { .. }
        | OrderKind::TrailingStop { .. }
        | OrderKind::Oco { .. } => &[HOLDING, PLAIN],
    }
}

/// Reads the answer to a new order: it arrived.
pub(super) fn taken(taken: &wire::Taken, id: ClientOrderId) -> Result<OrderReport, Verdict> {
    if taken.order_link_id != id.to_string() {
        return Err(Verdict::Lost("it answered with another order than the one sent".to_owned()));
    }
    Ok(told(id, &taken.order_id, ReportedState::Open, Vec::new()))
}

/// Returns what is told of an order. Its total is never told, for executions come apart from it: they alone count.
fn told(id: ClientOrderId, number: &str, state: ReportedState, fills: Vec<Fill>) -> OrderReport {
    let broker_order = BrokerOrderId::new(number);
    OrderReport { order: id, broker_order, state, fills, done: None, balance: None }
}

/// Reads where an order stands; a word that is not known leaves it open, which a later look-up corrects.
pub(super) fn state(order: &wire::Order) -> ReportedState {
    match order.order_status.as_str() {
        "Filled" => ReportedState::Filled,
        "Cancelled" | "PartiallyFilledCanceled" | "Deactivated" => ReportedState::Canceled,
        "Rejected" => {
            ReportedState::Rejected(refusal(ABOUT.title, RefusalCode::OrderRejected, &order.reject_reason))
        }
        _ => ReportedState::Open,
    }
}

/// Returns whether this program placed an order.
pub(super) fn is_ours(order: &wire::Order) -> bool {
    orders::ours(&order.order_link_id).is_some()
}

/// Reads an order that was looked up, with its executions; `None`: it is none of ours.
///
/// Executions may be shown later than the order that they are of: until all are there it counts as open, so that it is
/// asked for again.
pub(super) fn report(
    order: &wire::Order,
    executions: &[wire::Execution],
    settlement: &str,
) -> Option<OrderReport> {
    let fills: Vec<_> = executions.iter().filter_map(|execution| fill(execution, settlement)).collect();
    let shown: Quantity = fills.iter().map(|fill| fill.quantity).sum();
    let state = if shown.get() < order.executed.0 { ReportedState::Open } else { state(order) };
    Some(told(orders::ours(&order.order_link_id)?, &order.order_id, state, fills))
}

/// Reads an execution; `None`: it is no trade.
fn fill(execution: &wire::Execution, settlement: &str) -> Option<Fill> {
    if !matches!(execution.exec_type.as_str(), "" | "Trade") {
        return None;
    }
    let side = if execution.side == "Buy" { Side::Buy } else { Side::Sell };
    let base = execution.symbol.strip_suffix(settlement).unwrap_or_default();
    let asset = match (execution.fee_currency.as_str(), side) {
        ("", Side::Buy) => base,
        ("", Side::Sell) => settlement,
        (named, _) => named,
    };
    let (fee, kept) = orders::fee((execution.exec_fee.0, asset), side, base, settlement);
    Some(Fill {
        execution: ExecutionId::new(&execution.exec_id),
        quantity: Quantity::new(execution.exec_qty.0).ok()?,
        price: Price::new(execution.exec_price.0).ok()?,
        fee,
        kept,
        at: execution.exec_time.parse().ok().and_then(DateTime::from_timestamp_millis)?,
    })
}

/// Counts what an account holds. What the rest of it is worth Bybit tells in dollars, which are other money.
pub(super) fn holdings(wallets: &[wire::Wallet], settlement: &str) -> Holdings {
    let mut holdings = Holdings::default();
    for coin in wallets.iter().flat_map(|wallet| &wallet.coin) {
        let all = coin.wallet_balance.0;
        if coin.coin == settlement {
            (holdings.cash, holdings.free) = (all, all - coin.locked.0);
        } else if let Some(symbol) = pairs::pair(&coin.coin, settlement)
            && !all.is_zero()
        {
            holdings.units.push(Unit { symbol, net: all, average: None });
        }
    }
    holdings
}

/// Returns an instrument; `None`: it trades against other money, or its rules cannot be read.
pub(super) fn instrument(row: &wire::Listed, settlement: &str) -> Option<Instrument> {
    if row.quote_coin != settlement {
        return None;
    }
    let step = Quantity::new(row.lot_size_filter.base_precision.0.normalize()).ok()?;
    Some(Instrument {
        symbol: pairs::pair(&row.base_coin, settlement)?,
        class: AssetClass::Crypto,
        tick: Price::new(row.price_filter.tick_size.0.normalize()).ok()?,
        lot: step,
        size_step: step,
        min_notional: Money::new(row.lot_size_filter.min_order_amt.0.normalize()),
        tradable: row.status == "Trading",
    })
}

/// Reads a frame of the stream of orders.
pub(super) fn heard(ear: &mut Ear, frame: &str, settlement: &str) -> Vec<Heard> {
    let Ok(frame) = serde_json::from_str::<wire::Frame>(frame) else { return vec![Heard::Gap] };
    if let Some(op) = &frame.op {
        return answered(op, &frame).into_iter().collect();
    }
    let data = frame.data.as_deref().map_or("[]", |data| data.get());
    match frame.topic.as_deref() {
        Some("order") => read(data, |order: &wire::Order| moved(ear, order)),
        Some("execution") => read(data, |execution: &wire::Execution| executed(ear, execution, settlement)),
        _ => Vec::new(),
    }
}

/// Reads an answer to what was said on the stream.
fn answered(op: &str, frame: &wire::Frame) -> Option<Heard> {
    let why = || format!("{op}: {}", frame.ret_msg);
    match (op, frame.success) {
        ("auth", Some(true)) => {
            Some(Heard::Reply(json!({"op": "subscribe", "args": ["order", "execution"]}).to_string()))
        }
        // What is too late or too early is no fault of the key.
        ("auth", _) if frame.ret_msg.to_ascii_lowercase().contains("expire") => Some(Heard::Over(why())),
        ("auth", _) => Some(Heard::Refused),
        ("subscribe", Some(true)) => Some(Heard::Ready),
        ("subscribe", _) => Some(Heard::Over(why())),
        _ => None,
    }
}

/// Reads news, one by one.
fn read<T: DeserializeOwned>(data: &str, mut one: impl FnMut(&T) -> Option<Heard>) -> Vec<Heard> {
    match serde_json::from_str::<Vec<T>>(data) {
        Ok(all) => all.iter().filter_map(&mut one).collect(),
        Err(_) => vec![Heard::Gap],
    }
}

/// Reads news of an order; `None`: it is none of ours, or of another market.
///
/// An order that ended before all its executions were heard is to be asked for: those that were missed would be lost. One
/// that is filled needs no asking: it has not ended before they are known.
fn moved(ear: &mut Ear, order: &wire::Order) -> Option<Heard> {
    if order.category != "spot" || order.is_repeat() {
        return None;
    }
    let id = orders::ours(&order.order_link_id)?;
    let state = state(order);
    let is_heard = sum_of(ear, &order.order_link_id) >= order.executed.0;
    match &state {
        ReportedState::Open => {}
        ReportedState::Filled if !is_heard => {
            note(ear, &order.order_link_id, ALL_OF_IT, order.executed.0);
        }
        ReportedState::Filled => drop(ear.known.remove(&order.order_link_id)),
        ReportedState::Canceled | ReportedState::Expired | ReportedState::Rejected(_) => {
            ear.known.remove(&order.order_link_id);
            if !is_heard {
                return Some(Heard::Gap);
            }
        }
    }
    Some(Heard::Report(Box::new(told(id, &order.order_id, state, Vec::new()))))
}

/// Reads news of an execution; `None`: it is none of ours, or of another market. Whether it was the last one, the news
/// of the order says.
fn executed(ear: &mut Ear, execution: &wire::Execution, settlement: &str) -> Option<Heard> {
    if execution.category != "spot" {
        return None;
    }
    let name = &execution.order_link_id;
    let id = orders::ours(name)?;
    let fill = fill(execution, settlement)?;
    note(ear, name, &execution.exec_id, fill.quantity.get());
    let all = ear.known.get(name).and_then(|heard| amount(heard.get(ALL_OF_IT)?));
    if all.is_some_and(|all| sum_of(ear, name) >= all) {
        ear.known.remove(name);
    }
    let report = told(id, &execution.order_id, ReportedState::Open, vec![fill]);
    Some(Heard::Report(Box::new(report)))
}

/// Notes an amount of an order: what one execution did, or what all will have done.
fn note(ear: &mut Ear, name: &str, what: &str, much: Decimal) {
    let heard = ear.known.entry(name.to_owned()).or_insert_with(|| json!({}));
    if let Some(heard) = heard.as_object_mut() {
        heard.insert(what.to_owned(), Value::String(much.to_string()));
    }
}

/// Returns how much of an order the executions did that were heard, each counted once.
fn sum_of(ear: &Ear, name: &str) -> Decimal {
    let heard = ear.known.get(name).and_then(Value::as_object).into_iter().flatten();
    heard.filter(|(what, _)| *what != ALL_OF_IT).filter_map(|(_, much)| amount(much)).sum()
}

/// Reads an amount that an ear keeps.
fn amount(kept: &Value) -> Option<Decimal> {
    kept.as_str()?.parse().ok()
}

/// Reads a frame of the stream of prices; `None`: it tells none.
pub(super) fn tick(ear: &mut Ear, frame: &str, settlement: &str) -> Option<Tick> {
    let frame: wire::Frame = serde_json::from_str(frame).ok()?;
    if frame.op.as_deref() == Some("subscribe") && frame.success == Some(false) {
        return Some(Tick::Over(frame.ret_msg));
    }
    frame.topic.as_deref().filter(|topic| topic.starts_with(BEST))?;
    let best: wire::Best = serde_json::from_str(frame.data?.get()).ok()?;
    let symbol = pairs::split(&best.s, settlement)?;
    let is_whole = frame.kind.as_deref() == Some("snapshot");
    let mut side = |name: &str, rows: &[(Num, Num)]| {
        let key = format!("{name} {}", best.s);
        // A row of size zero is gone; a side without rows is as it was, but in a snapshot.
        if let Some((price, _)) = rows.iter().find(|(_, size)| !size.0.is_zero()) {
            ear.known.insert(key.clone(), Value::String(price.0.to_string()));
        } else if is_whole || !rows.is_empty() {
            ear.known.remove(&key);
        }
        ear.known.get(&key).and_then(amount).unwrap_or_default()
    };
    let (bid, ask) = (side("bid", &best.b), side("ask", &best.a));
    Some(Tick::Best { symbol, bid, ask, last: None })
}
