//! Gemini's words and ours.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use trade_actors::domain::ids::{BrokerOrderId, ClientOrderId, ExecutionId};
use trade_actors::domain::instrument::{AssetClass, Instrument, Symbol};
use trade_actors::domain::money::{Money, Price, Quantity};
use trade_actors::domain::order::{Fill, Ticket, TimeInForce};
use trade_actors::domain::report::{OrderReport, ReportedState};
use trade_actors::domain::signal::{OrderKind, Side};

use super::{ABOUT, errors, wire};
use crate::brokers::venue::orders;
use crate::brokers::venue::pairs;
use crate::brokers::venue::verdict::{Verdict, refusal};
use crate::brokers::venue::{Ear, Heard, Tick};

/// What the answer to the subscription to an account's orders is called.
pub(super) const ORDERS: &str = "orders";
/// The code of a subscription that its credentials do not allow.
const UNAUTHORIZED: i64 = -1002;

/// Returns their name of one of our symbols; `None`: it trades against other money.
pub(super) fn theirs(symbol: Symbol, settlement: &str) -> Option<String> {
    pairs::joined(symbol, settlement).map(|name| name.to_ascii_lowercase())
}

/// Returns our name of one of their symbols that was asked for; `None`: it trades against other money.
fn ours(name: &str, settlement: &str) -> Option<Symbol> {
    pairs::split(&name.to_ascii_uppercase(), settlement)
}

/// Words an order; one at the market takes the price that it may trade at.
///
/// # Errors
/// When Gemini has no such order.
pub(super) fn new_order(ticket: &Ticket, symbol: &str, collar: Option<Price>) -> Result<Value, Verdict> {
    let lacks = |what, advice| Err(Verdict::not_here(ABOUT.title, what, advice));
    let (price, stop, option) = match (ticket.kind, collar) {
        (OrderKind::Market, Some(collar)) => (collar, None, Some("immediate-or-cancel")),
        (OrderKind::Market, None) => return lacks("price for a market order", "Try again later."),
        (OrderKind::Limit { limit }, _) => (limit, None, option(ticket.time_in_force)),
        (OrderKind::StopLimit { trigger, limit }, _) => {
            if trigger == limit {
                return lacks("stop whose limit is the stop itself", "Move the limit past the stop.");
            }
            if option(ticket.time_in_force).is_some() {
                return lacks("stop that ends at once", "Let it stand until it is cancelled.");
            }
            (limit, Some(trigger), None)
        }
        (OrderKind::Stop { .. }, _) => {
            return lacks("stop order that trades at any price", "Give it a limit, too.");
        }
        (OrderKind::TrailingStop { .. }, _) => {
            return lacks("trailing stop", "Send a stop with a limit instead.");
        }
        (OrderKind::Oco { .. }, _) => return lacks("pair of orders", "Send its parts one by one."),
    };
    let mut order = Map::new();
    let mut set = |name: &str, value: Value| order.insert(name.to_owned(), value);
    set("client_order_id", json!(ticket.id.to_string()));
    set("symbol", json!(symbol));
    set("amount", json!(ticket.quantity.get().normalize().to_string()));
    set("price", json!(price.get().normalize().to_string()));
    set("side", json!(if ticket.side == Side::Buy { "buy" } else { "sell" }));
    match stop {
        Some(stop) => {
            set("type", json!("exchange stop limit"));
            set("stop_price", json!(stop.get().normalize().to_string()));
        }
        None => {
            set("type", json!("exchange limit"));
            set("options", option.into_iter().collect());
        }
    }
    Ok(Value::Object(order))
}

/// Returns the option of an order that does not stand until it is cancelled; there are no sessions that one could end
/// with.
const fn option(duration: TimeInForce) -> Option<&'static str> {
    match duration {
        TimeInForce::Day | TimeInForce::Gtc => None,
        TimeInForce::Ioc => Some("immediate-or-cancel"),
        TimeInForce::Fok => Some("fill-or-kill"),
    }
}

/// Reads where an order stands; one that is neither on nor over is taken for open, which a later look-up corrects.
fn state(order: &wire::Order) -> ReportedState {
    let all = order.original_amount.map(|all| all.0 - order.executed_amount.0);
    let left = order.remaining_amount.map(|left| left.0).or(all);
    match (order.is_live, order.is_cancelled, left) {
        (false, false, Some(left)) if left.is_zero() => ReportedState::Filled,
        (false, true, _) => ReportedState::Canceled,
        (true, ..) | (false, false, _) => ReportedState::Open,
    }
}

fn summed(order: &wire::Order, id: ClientOrderId, at: DateTime<Utc>) -> OrderReport {
    OrderReport {
        order: id,
        broker_order: BrokerOrderId::new(order.order_id.clone()),
        state: state(order),
        fills: Vec::new(),
        done: orders::done_at(order.executed_amount.0, Some(order.avg_execution_price.0), at),
        balance: None,
    }
}

/// Reads an order that was looked up or has just been placed.
///
/// # Errors
/// When it is another order.
pub(super) fn report(
    order: &wire::Order,
    ticket: &Ticket,
    settlement: &str,
    now: DateTime<Utc>,
) -> Result<OrderReport, Verdict> {
    if order.client_order_id.as_deref() != Some(ticket.id.to_string().as_str()) {
        return Err(Verdict::Lost("it answered with another order than the one sent".to_owned()));
    }
    let base = order.symbol.to_ascii_uppercase();
    let base = base.strip_suffix(settlement).unwrap_or_default();
    let fills = order.trades.iter().filter_map(|trade| {
        let at = trade.timestampms.and_then(DateTime::from_timestamp_millis).unwrap_or(now);
        let paid = (trade.fee_amount.0, trade.fee_currency.as_str());
        fill(trade.tid, trade.amount.0, trade.price.0, orders::fee(paid, ticket.side, base, settlement), at)
    });
    Ok(OrderReport { fills: fills.collect(), ..summed(order, ticket.id, now) })
}

/// Reads an order from the list of open ones; `None`: it is none of ours.
pub(super) fn standing(order: &wire::Order, now: DateTime<Utc>) -> Option<OrderReport> {
    let id = orders::ours(order.client_order_id.as_deref()?)?;
    Some(summed(order, id, now))
}

fn fill(
    id: u64,
    quantity: Decimal,
    price: Decimal,
    (fee, kept): (Money, Quantity),
    at: DateTime<Utc>,
) -> Option<Fill> {
    let (quantity, price) = (Quantity::new(quantity).ok()?, Price::new(price).ok()?);
    Some(Fill { execution: ExecutionId::new(id.to_string()), quantity, price, fee, kept, at })
}

/// Returns an instrument; `None`: it trades against other money, is no coin, or its rules cannot be read.
///
/// The least quantity is the step of what we choose ourselves; what is to be sold may be in finer steps.
pub(super) fn instrument(row: &wire::Details, settlement: &str) -> Option<Instrument> {
    let is_spot = row.product_type.as_deref().is_none_or(|kind| kind == "spot");
    if !is_spot || row.quote_currency != settlement {
        return None;
    }
    let lot = Quantity::new(row.tick_size.0.normalize()).ok()?;
    Some(Instrument {
        symbol: pairs::pair(&row.base_currency, settlement)?,
        class: AssetClass::Crypto,
        tick: Price::new(row.quote_increment.0.normalize()).ok()?,
        lot,
        size_step: Quantity::new(row.min_order_size.0.normalize()).unwrap_or(lot).max(lot),
        min_notional: Money::ZERO,
        tradable: matches!(row.status.as_str(), "open" | "limit_only"),
    })
}

/// Words a subscription, or its end.
pub(super) fn subscription(id: &str, is_wanted: bool, streams: &[String]) -> Value {
    let method = if is_wanted { "subscribe" } else { "unsubscribe" };
    json!({"id": id, "method": method, "params": streams})
}

/// What a stream told of one order so far.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Told {
    done: Decimal,
    paid: Decimal,
}

/// Reads a frame of the stream of orders.
pub(super) fn heard(ear: &mut Ear, frame: &str, now: DateTime<Utc>) -> Vec<Heard> {
    if let Ok(answer) = serde_json::from_str::<wire::Answer>(frame) {
        return answered(&answer);
    }
    let Ok(fields) = serde_json::from_str::<Map<String, Value>>(frame) else { return vec![Heard::Gap] };
    // The name of the event may be absent.
    if !(fields.contains_key("X") && fields.contains_key("i")) {
        return Vec::new();
    }
    match serde_json::from_str::<wire::News>(frame) {
        Ok(news) => changed(ear, &news, now).into_iter().collect(),
        Err(_) => vec![Heard::Gap],
    }
}

fn answered(answer: &wire::Answer) -> Vec<Heard> {
    if answer.id.as_str() != Some(ORDERS) {
        return Vec::new();
    }
    match (&answer.error, answer.status) {
        (None, 200) => vec![Heard::Ready],
        (Some(error), _) if error.code == UNAUTHORIZED => vec![Heard::Refused],
        (_, 401 | 403) => vec![Heard::Refused],
        (Some(error), _) => vec![Heard::Over(error.msg.clone())],
        (None, status) => vec![Heard::Over(format!("status {status}"))],
    }
}

/// Reads news of an order; `None`: it is none of ours, or was told before.
///
/// A total needs an average price, which the stream tells piece by piece: what does not continue what it told so far is
/// asked for.
fn changed(ear: &mut Ear, news: &wire::News, now: DateTime<Utc>) -> Option<Heard> {
    let order = orders::ours(&news.client_order_id)?;
    let key = news.order_id.to_string();
    let at = news.at.map_or(now, DateTime::from_timestamp_nanos);
    let known = ear.known.get(&key).cloned().and_then(|told| serde_json::from_value(told).ok());
    let before: Told = known.unwrap_or_default();
    let (state, done) = match news.status.as_str() {
        "FILLED" => (ReportedState::Filled, news.quantity.0),
        "PARTIALLY_FILLED" => (ReportedState::Open, news.quantity.0 - news.remaining.0),
        "CANCELED" => (ReportedState::Canceled, news.executed.0),
        "REJECTED" => {
            let refused = refusal(ABOUT.title, errors::code(&news.reason), &news.reason);
            (ReportedState::Rejected(refused), before.done)
        }
        // NEW, OPEN, MODIFIED, and words that are not known: a later look-up corrects them.
        _ => (ReportedState::Open, before.done),
    };
    let is_execution = matches!(news.status.as_str(), "FILLED" | "PARTIALLY_FILLED");
    let size = if is_execution { news.executed.0 } else { Decimal::ZERO };
    if is_execution && done <= before.done && state == ReportedState::Open {
        return None;
    }
    let repeated = is_execution && done == before.done;
    if done != before.done && (!is_execution || done - size != before.done) {
        return Some(Heard::Gap);
    }
    let paid = if repeated { before.paid } else { before.paid + size * news.price.0 };
    let fills = match news.trade {
        Some(trade) if is_execution && !repeated => {
            fill(trade, size, news.price.0, (Money::ZERO, Quantity::ZERO), at)
        }
        Some(_) | None => None,
    };
    let told = Told { done, paid };
    if state == ReportedState::Open {
        ear.known.insert(key.clone(), serde_json::to_value(&told).unwrap_or_default());
    } else {
        ear.known.remove(&key);
    }
    Some(Heard::Report(Box::new(OrderReport {
        order,
        broker_order: BrokerOrderId::new(key),
        state,
        fills: fills.into_iter().collect(),
        done: orders::done(done, paid, at),
        balance: None,
    })))
}

/// Reads a frame of the stream of prices; `None`: it tells none.
pub(super) fn tick(frame: &str, settlement: &str) -> Option<Tick> {
    let best: wire::Best = serde_json::from_str(frame).ok()?;
    let symbol = ours(&best.s, settlement)?;
    Some(Tick::Best { symbol, bid: best.b.0, ask: best.a.0, last: None })
}
