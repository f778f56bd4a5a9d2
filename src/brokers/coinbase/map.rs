//! Coinbase's words and ours.
//!
//! Executions are named by what of their order is done after them. The stream tells totals and never executions, and so
//! the stream and a look-up give the same execution the same name, and it counts once.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use trade_actors::domain::ids::{BrokerOrderId, ClientOrderId, ExecutionId};
use trade_actors::domain::instrument::{AssetClass, Instrument, Symbol};
use trade_actors::domain::money::{Money, Price, Quantity};
use trade_actors::domain::order::{Fill, Ticket, TimeInForce};
use trade_actors::domain::report::{Done, OrderReport, ReportedState};
use trade_actors::domain::signal::{OrderKind, Side};

use super::{ABOUT, errors, wire};
use crate::brokers::venue::orders;
use crate::brokers::venue::pairs;
use crate::brokers::venue::verdict::{Verdict, refusal};

/// Decimals of a price that is worked out.
const PRICE_DP: u32 = 10;

/// Returns our name of one of their products; `None`: it trades against other money.
pub(super) fn ours(product: &str, settlement: &str) -> Option<Symbol> {
    let (base, quote) = product.split_once('-')?;
    pairs::pair(Some(base).filter(|base| !base.is_empty() && quote == settlement)?, settlement)
}

/// Returns their name of one of our symbols; `None`: it trades against other money.
pub(super) fn theirs(symbol: Symbol, settlement: &str) -> Option<String> {
    pairs::coin(&symbol, settlement).map(|coin| format!("{coin}-{settlement}"))
}

/// Words an order.
pub(super) fn new_order(ticket: &Ticket, product: &str) -> Result<Value, Verdict> {
    let (side, direction) = match ticket.side {
        Side::Buy => ("BUY", "STOP_DIRECTION_STOP_UP"),
        Side::Sell => ("SELL", "STOP_DIRECTION_STOP_DOWN"),
    };
    let lacks = |what, advice| Err(Verdict::not_here(ABOUT.title, what, advice));
    let size = ticket.quantity.get().normalize().to_string();
    let text = |price: Price| price.get().normalize().to_string();
    let configuration = match (ticket.kind, ticket.time_in_force) {
        (OrderKind::Market, _) => json!({"market_market_ioc": {"base_size": size}}),
        // Coinbase has no sessions that an order for the day could end with.
        (OrderKind::Limit { limit }, TimeInForce::Day | TimeInForce::Gtc) => json!({
            "limit_limit_gtc": {"base_size": size, "limit_price": text(limit), "post_only": false},
        }),
        (OrderKind::Limit { limit }, TimeInForce::Ioc) => {
            json!({"sor_limit_ioc": {"base_size": size, "limit_price": text(limit)}})
        }
        (OrderKind::Limit { limit }, TimeInForce::Fok) => {
            json!({"limit_limit_fok": {"base_size": size, "limit_price": text(limit)}})
        }
        (OrderKind::StopLimit { trigger, limit }, TimeInForce::Day | TimeInForce::Gtc) => json!({
            "stop_limit_stop_limit_gtc": {
                "base_size": size,
                "limit_price": text(limit),
                "stop_price": text(trigger),
                "stop_direction": direction,
            },
        }),
        (OrderKind::StopLimit { .. }, TimeInForce::Ioc | TimeInForce::Fok) => {
            return lacks("stop-limit order that ends at once", "Let it stand until it is cancelled.");
        }
        (OrderKind::Stop { .. }, _) => {
            return lacks("stop order that ends at the market", "Send a stop-limit order.");
        }
        (OrderKind::TrailingStop { .. }, _) => {
            return lacks("trailing stop", "Send a stop-limit order, or let us watch the stop.");
        }
        (OrderKind::Oco { .. }, _) => {
            return lacks("such pair of orders here", "Send its parts one by one.");
        }
    };
    Ok(json!({
        "client_order_id": ticket.id.to_string(),
        "product_id": product,
        "side": side,
        "order_configuration": configuration,
    }))
}

/// Reads the answer to an order that was taken; what is done of it is told later.
pub(super) fn placed(told: wire::Placed, ticket: &Ticket) -> Result<OrderReport, Verdict> {
    let taken = told.success_response.filter(|taken| {
        !taken.order_id.is_empty()
            && (taken.client_order_id.is_empty() || taken.client_order_id == ticket.id.to_string())
    });
    let Some(taken) = taken else {
        return Err(Verdict::Lost("it answered with another order than the one sent".to_owned()));
    };
    Ok(OrderReport {
        order: ticket.id,
        broker_order: BrokerOrderId::new(taken.order_id),
        state: ReportedState::Open,
        fills: Vec::new(),
        done: None,
        balance: None,
    })
}

/// Reads a status; a word that is not known leaves the order open, which a later look-up corrects.
fn state(order: &wire::Order) -> ReportedState {
    match order.status.as_str() {
        "FILLED" => ReportedState::Filled,
        "CANCELLED" => ReportedState::Canceled,
        "EXPIRED" => ReportedState::Expired,
        "FAILED" => {
            let words = [&order.reject_message, &order.reject_reason];
            let said = words.into_iter().find(|text| !text.is_empty() && !text.ends_with("_UNSPECIFIED"));
            let code = errors::code(&order.reject_reason);
            ReportedState::Rejected(refusal(ABOUT.title, code, said.map_or("", String::as_str)))
        }
        _ => ReportedState::Open,
    }
}

/// Returns what an order's totals are worth: what was paid for all of it.
fn value(order: &wire::Order) -> Decimal {
    if order.value.0.is_zero() { order.filled.0.saturating_mul(order.average.0) } else { order.value.0 }
}

fn done(order: &wire::Order, at: DateTime<Utc>) -> Option<Done> {
    orders::done(order.filled.0.normalize(), value(order), at)
}

/// Makes an execution that leaves so much of its order done; `None`: it is none.
fn fill(after: Decimal, quantity: Decimal, price: Decimal, fee: Decimal, at: DateTime<Utc>) -> Option<Fill> {
    Some(Fill {
        execution: ExecutionId::new(format!("total-{}", after.normalize())),
        quantity: Quantity::new(quantity.normalize()).ok()?,
        price: Price::new(price.round_dp(PRICE_DP).normalize()).ok()?,
        fee: Money::new(fee.normalize()),
        kept: Quantity::ZERO,
        at,
    })
}

/// Returns what was executed of an order since its totals were told last; `None`: nothing.
pub(super) fn since(order: &wire::Order, before: &wire::Before, at: DateTime<Utc>) -> Option<Fill> {
    let quantity = order.filled.0.checked_sub(before.filled)?;
    let price = value(order).checked_sub(before.value)?.checked_div(quantity)?;
    fill(order.filled.0, quantity, price, order.fees.0.checked_sub(before.fees)?, at)
}

/// Returns what is told of an order now.
pub(super) fn totals(order: &wire::Order) -> wire::Before {
    wire::Before { filled: order.filled.0, value: value(order), fees: order.fees.0 }
}

/// Reads an order; its executions are what was done in all unless they are known.
fn read(id: ClientOrderId, order: &wire::Order, fills: Vec<Fill>, at: DateTime<Utc>) -> OrderReport {
    OrderReport {
        order: id,
        broker_order: BrokerOrderId::new(order.order_id.clone()),
        state: state(order),
        fills,
        done: done(order, at),
        balance: None,
    }
}

/// Reads an order that was looked up, with its executions.
pub(super) fn report(
    order: &wire::Order,
    mut trades: Vec<wire::Trade>,
    now: DateTime<Utc>,
) -> Result<OrderReport, Verdict> {
    let unknown = || Verdict::Lost("it answered with another order than the one asked for".to_owned());
    let id = orders::ours(&order.client_order_id).ok_or_else(unknown)?;
    trades.retain(|trade| trade.order_id == order.order_id && matches!(&*trade.trade_type, "" | "FILL"));
    trades.sort_by(|a, b| (&a.trade_time, &a.trade_id).cmp(&(&b.trade_time, &b.trade_id)));
    let mut after = Decimal::ZERO;
    let fills = trades.iter().filter_map(|trade| {
        let (size, price) = (trade.size.0, trade.price.0);
        let quantity = if trade.size_in_quote { size.checked_div(price)? } else { size };
        after = after.checked_add(quantity)?;
        fill(after, quantity, price, trade.commission.0, time(&trade.trade_time).unwrap_or(now))
    });
    let fills = fills.collect();
    Ok(read(id, order, fills, now))
}

/// Reads an order from the list of open ones, what is done of it as one execution; `None`: it is none of ours.
pub(super) fn standing(order: &wire::Order, now: DateTime<Utc>) -> Option<OrderReport> {
    news(order, &wire::Before::default(), now)
}

/// Reads news of an order, what is done since the last as one execution; `None`: it is none of ours.
pub(super) fn news(order: &wire::Order, before: &wire::Before, at: DateTime<Utc>) -> Option<OrderReport> {
    let id = orders::ours(&order.client_order_id)?;
    Some(read(id, order, since(order, before, at).into_iter().collect(), at))
}

/// Reads a time; `None`: it is none.
pub(super) fn time(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc())
}

/// Returns an instrument; `None`: it is no spot market, trades against other money, or its rules cannot be read.
///
/// A market in which only some orders are taken counts as none: what is bought there could not be sold at once.
pub(super) fn instrument(row: &wire::Product, settlement: &str) -> Option<Instrument> {
    if row.quote_currency_id != settlement || row.product_type != "SPOT" {
        return None;
    }
    let symbol = pairs::pair(&row.base_currency_id, settlement)?;
    if theirs(symbol, settlement)? != row.product_id {
        return None;
    }
    let tick = if row.price_increment.0.is_zero() { row.quote_increment.0 } else { row.price_increment.0 };
    let lot = Quantity::new(row.base_increment.0.normalize()).ok()?;
    let is_limited = row.is_disabled
        || row.trading_disabled
        || row.cancel_only
        || row.limit_only
        || row.post_only
        || row.auction_mode
        || row.view_only;
    Some(Instrument {
        symbol,
        class: AssetClass::Crypto,
        tick: Price::new(tick.normalize()).ok()?,
        lot,
        size_step: lot,
        min_notional: Money::new(row.quote_min_size.0.normalize()),
        tradable: row.status == "online" && !is_limited,
    })
}
