//! The futures market's words and ours.

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde_json::Value;

use trade_actors::domain::ids::{BrokerOrderId, ClientOrderId};
use trade_actors::domain::instrument::{Instrument, Symbol};
use trade_actors::domain::money::{Percent, Price};
use trade_actors::domain::order::{Fill, Ticket};
use trade_actors::domain::report::{OrderReport, ReportedState};
use trade_actors::domain::signal::{OrderKind, Side, Trail};

use super::{ABOUT, CALLBACK, wire};
use crate::brokers::binance::{map as spot, wire as told};
use crate::brokers::venue::call::Call;
use crate::brokers::venue::orders;
use crate::brokers::venue::pairs;
use crate::brokers::venue::verdict::Verdict;
use crate::brokers::venue::{Ear, Heard, Holdings, Unit};

/// What is said of an account whose positions do not net.
pub(super) const HEDGED: &str = "the account is in hedge mode; close its positions and switch \"Position Mode\" in the \
                                 preferences of its futures to \"One-way Mode\"";
/// What is said of an account whose margin is more than one asset.
const MULTI_ASSET: &str = "the account is in multi-assets mode; switch \"Asset Mode\" in the preferences of its futures to \
                           \"Single-Asset Mode\"";
/// When an order that ended is no longer only on its way to where it is shown.
const FORGOTTEN: TimeDelta = TimeDelta::days(1);
/// The side of all positions in one-way mode.
const NETTED: &str = "BOTH";

/// Returns why an account cannot be traded here; `None`: it can.
pub(super) fn unfit(account: &wire::Config) -> Option<&'static str> {
    if account.dual_side_position {
        return Some(HEDGED);
    }
    if account.multi_assets_margin {
        return Some(MULTI_ASSET);
    }
    (!account.can_trade).then_some("this account may not trade")
}

/// Returns whether an order is held by the algo service until its price is reached.
pub(super) const fn is_stop(kind: OrderKind) -> bool {
    match kind {
        OrderKind::Stop { .. } | OrderKind::StopLimit { .. } | OrderKind::TrailingStop { .. } => true,
        OrderKind::Market | OrderKind::Limit { .. } | OrderKind::Oco { .. } => false,
    }
}

/// Returns by how many per cent a trailing stop stays behind; `None`: Binance follows at no such distance.
pub(super) fn callback(distance: Percent) -> Option<Decimal> {
    let tenths = distance.get().checked_mul(Decimal::TEN)?;
    (tenths.is_integer() && CALLBACK.contains(&tenths)).then(|| distance.get().normalize())
}

/// Words an order. One that is to reduce a position can do nothing else there.
pub(super) fn new_order(ticket: &Ticket, symbol: String) -> Result<Call, Verdict> {
    let call = if is_stop(ticket.kind) {
        // The price that wakes it is the last one, which is also the one that is watched here.
        Call::post("/fapi/v1/algoOrder").with("algoType", "CONDITIONAL").with("workingType", "CONTRACT_PRICE")
    } else {
        Call::post("/fapi/v1/order")
    };
    let call = call.with("symbol", symbol).with("side", spot::side(ticket.side));
    let duration = spot::duration(ticket.time_in_force);
    let limited =
        |call: Call, limit: Price| call.with("timeInForce", duration).with("price", limit.get().normalize());
    let waiting = |call: Call, trigger: Price| call.with("triggerPrice", trigger.get().normalize());
    let lacks = |what, advice| Err(Verdict::not_here(ABOUT.title, what, advice));
    let call = match ticket.kind {
        OrderKind::Market => call.with("type", "MARKET"),
        OrderKind::Limit { limit } => limited(call.with("type", "LIMIT"), limit),
        OrderKind::Stop { trigger } => waiting(call.with("type", "STOP_MARKET"), trigger),
        OrderKind::StopLimit { trigger, limit } => {
            limited(waiting(call.with("type", "STOP"), trigger), limit)
        }
        OrderKind::TrailingStop { trail: Trail::Percent(pct) } => match callback(pct) {
            Some(rate) => call.with("type", "TRAILING_STOP_MARKET").with("callbackRate", rate),
            None => {
                let advice = "Choose one from 0.1 to 10 per cent, in steps of 0.1.";
                return lacks("trailing stop at this distance", advice);
            }
        },
        OrderKind::TrailingStop { trail: Trail::Amount(_) } => {
            return lacks("trailing stop by an amount", "Give the distance in per cent.");
        }
        OrderKind::Oco { .. } => return lacks("such pair of orders", "Send its parts one by one."),
    };
    let call = call
        .with("quantity", ticket.quantity.get().normalize())
        .with_some("reduceOnly", ticket.reduces.then_some(true))
        .as_pressing_as(orders::urgency(ticket));
    Ok(if is_stop(ticket.kind) {
        call.with("clientAlgoId", ticket.id)
    } else {
        call.with("newClientOrderId", ticket.id).with("newOrderRespType", "RESULT")
    })
}

/// Checks that an answer is about the order that was meant.
pub(super) fn check_name(name: &str, id: ClientOrderId) -> Result<(), Verdict> {
    if name == id.to_string() {
        return Ok(());
    }
    Err(Verdict::Lost("it answered with another order than the one meant".to_owned()))
}

fn time(millis: Option<i64>, now: DateTime<Utc>) -> DateTime<Utc> {
    millis.and_then(DateTime::from_timestamp_millis).unwrap_or(now)
}

/// Reads an order, by our id of it or of the stop that it was.
pub(super) fn report(
    order: &wire::Order,
    trades: &[told::Trade],
    ticket: &Ticket,
    settlement: &str,
    now: DateTime<Utc>,
) -> OrderReport {
    let at = time(order.update_time, now);
    let fills = trades.iter().filter_map(|trade| {
        let at = time(trade.time, at);
        let paid = (trade.commission.0, trade.commission_asset.as_str());
        fill(trade.trade_id, (trade.qty.0, trade.price.0), paid, settlement, at)
    });
    let seen = seen(order, ticket.id, at);
    // The answer to a new order does not tell its average price: its executions do.
    let told = seen.done.filter(|done| done.price.is_some() || done.quantity.is_zero());
    let done = told.or_else(|| {
        let all = trades.iter();
        let (quantity, money) = all.fold((Decimal::ZERO, Decimal::ZERO), |(quantity, money), trade| {
            (quantity + trade.qty.0, money + trade.qty.0 * trade.price.0)
        });
        (quantity == order.executed.0).then(|| orders::done(quantity, money, at))?
    });
    OrderReport { fills: fills.collect(), done, ..seen }
}

fn seen(order: &wire::Order, id: ClientOrderId, at: DateTime<Utc>) -> OrderReport {
    OrderReport {
        order: id,
        broker_order: BrokerOrderId::new(order.order_id.to_string()),
        state: spot::state(ABOUT.title, &order.status, ""),
        fills: Vec::new(),
        done: orders::done_at(order.executed.0, Some(order.avg_price.0), at),
        balance: None,
    }
}

/// Reads no more of the answer to an order than that it was taken.
pub(super) fn taken(order: &wire::Order, id: ClientOrderId) -> OrderReport {
    bare(order.order_id, id, ReportedState::Open)
}

fn bare(number: u64, id: ClientOrderId, state: ReportedState) -> OrderReport {
    let broker_order = BrokerOrderId::new(number.to_string());
    OrderReport { order: id, broker_order, state, fills: Vec::new(), done: None, balance: None }
}

/// Reads an execution. A commission in another asset than the margin moves neither the position nor what is counted.
fn fill(
    number: u64,
    (quantity, price): (Decimal, Decimal),
    commission: (Decimal, &str),
    settlement: &str,
    at: DateTime<Utc>,
) -> Option<Fill> {
    // Nothing is kept of what was bought: it is a contract.
    let paid = orders::fee(commission, Side::Sell, "", settlement);
    spot::fill(number, quantity, price, paid, at)
}

/// Reads an order from the list of open ones; `None`: it is none of ours.
pub(super) fn standing(order: &wire::Order, now: DateTime<Utc>) -> Option<OrderReport> {
    Some(seen(order, orders::ours(&order.client_order_id)?, time(order.update_time, now)))
}

/// Reads a stop from the list of open ones; `None`: it is none of ours.
pub(super) fn standing_stop(stop: &wire::Algo, now: DateTime<Utc>) -> Option<OrderReport> {
    Some(stop_report(stop, orders::ours(&stop.client_algo_id)?, now))
}

/// Reads a stop that became no order, or none that is shown: it did nothing yet. One that became an order which ended, and
/// which is not shown after a while, did nothing at all: Binance forgets no other.
pub(super) fn stop_report(stop: &wire::Algo, id: ClientOrderId, now: DateTime<Utc>) -> OrderReport {
    let at = time(stop.update_time, now);
    let is_forgotten = stop.algo_status == "FINISHED" && now - at >= FORGOTTEN;
    let state = if is_forgotten { ReportedState::Canceled } else { stop_state(&stop.algo_status, "") };
    OrderReport { done: orders::done_at(Decimal::ZERO, None, at), ..bare(stop.algo_id, id, state) }
}

/// Reads where a stop stands. While it becomes an order, and as one, it is open: only the order tells its end.
fn stop_state(status: &str, reason: &str) -> ReportedState {
    match status {
        "CANCELED" | "EXPIRED" | "REJECTED" => spot::state(ABOUT.title, status, reason),
        _ => ReportedState::Open,
    }
}

/// Reads the wallet and the positions, as if positions had been bought with money.
///
/// # Errors
/// When positions do not net.
pub(super) fn holdings(account: &wire::Account, settlement: &str) -> Result<Holdings, Verdict> {
    let held = || account.positions.iter().filter(|position| !position.amount.0.is_zero());
    if held().any(|position| position.position_side != NETTED) {
        return Err(super::BinanceUsdm::refused(HEDGED));
    }
    let wallet = account.assets.iter().find(|asset| asset.asset == settlement);
    let (money, free) =
        wallet.map_or_else(Default::default, |wallet| (wallet.wallet_balance.0, wallet.available_balance.0));
    let mut holdings = Holdings { cash: money, free, ..Holdings::default() };
    let (mut worth, mut invested) = (Decimal::ZERO, Decimal::ZERO);
    for position in held() {
        // `BTCUSDT_260327` is a contract that ends, whose margin is the same.
        let name = position.symbol.split('_').next().unwrap_or_default();
        if !name.ends_with(settlement) {
            continue;
        }
        invested += position.notional.0.abs();
        let cost = position.notional.0 - position.unrealized_profit.0;
        if let Some(symbol) = pairs::split(&position.symbol, settlement) {
            holdings.units.push(unit(symbol, position.amount.0, cost));
            holdings.cash -= cost;
            worth += position.notional.0;
        }
    }
    let equity = holdings.cash + worth;
    holdings.equity = Some(equity);
    holdings.most = Some((equity - invested).max(Decimal::ZERO));
    Ok(holdings)
}

fn unit(symbol: Symbol, net: Decimal, cost: Decimal) -> Unit {
    let average = cost.checked_div(net).and_then(|price| Price::new(price.round_dp(8).normalize()).ok());
    Unit { symbol, net, average }
}

/// Returns an instrument; `None`: it is no perpetual with this margin, or its rules cannot be read.
pub(super) fn instrument(row: &wire::Listed, settlement: &str) -> Option<Instrument> {
    let is_ours = row.contract_type == "PERPETUAL"
        && row.quote_asset == settlement
        && row.margin_asset == settlement
        && row.symbol.strip_suffix(settlement) == Some(row.base_asset.as_str());
    let symbol = pairs::pair(&row.base_asset, settlement).filter(|_| is_ours)?;
    spot::rules(symbol, &row.filters, row.status == "TRADING")
}

/// Reads a frame of the user stream.
pub(super) fn heard(ear: &mut Ear, frame: &str, settlement: &str) -> Vec<Heard> {
    let Ok(event) = serde_json::from_str::<wire::Event>(frame) else { return vec![Heard::Gap] };
    let body = event.o.as_deref().map(serde_json::value::RawValue::get).unwrap_or_default();
    match event.e.as_str() {
        "ORDER_TRADE_UPDATE" => match serde_json::from_str::<wire::OrderNews>(body) {
            Ok(news) => traded(ear, &news, settlement).into_iter().collect(),
            Err(_) => vec![Heard::Gap],
        },
        "ALGO_UPDATE" => match serde_json::from_str::<wire::AlgoNews>(body) {
            Ok(news) => changed(ear, &news, event.at).into_iter().collect(),
            Err(_) => vec![Heard::Gap],
        },
        "listenKeyExpired" => vec![Heard::Over(event.e)],
        _ => Vec::new(),
    }
}

/// Reads news of an order; `None`: it is none of ours.
fn traded(ear: &mut Ear, news: &wire::OrderNews, settlement: &str) -> Option<Heard> {
    let id = orders::ours(&news.client_order_id)?;
    let at = DateTime::from_timestamp_millis(news.at)?;
    let trade = u64::try_from(news.trade_id).ok().filter(|_| news.what == "TRADE");
    let fills = trade.and_then(|trade| {
        let commission = news.commission.unwrap_or_default().0;
        let paid = (commission, news.commission_asset.as_deref().unwrap_or_default());
        fill(trade, (news.last.0, news.price.0), paid, settlement, at)
    });
    let state = spot::state(ABOUT.title, &news.status, "");
    if state != ReportedState::Open {
        ear.known.insert(id.to_string(), Value::Null);
    }
    let done = orders::done_at(news.executed.0, Some(news.avg_price.0), at);
    let report = bare(news.order_id, id, state);
    Some(Heard::Report(Box::new(OrderReport { fills: fills.into_iter().collect(), done, ..report })))
}

/// Reads news of a stop; `None`: it is none of ours, or tells nothing. What a stop became tells its own news, if it kept the
/// stop's id; if it did not, it has to be looked up.
fn changed(ear: &mut Ear, news: &wire::AlgoNews, at: Option<i64>) -> Option<Heard> {
    let id = orders::ours(&news.client_algo_id)?;
    match news.status.as_str() {
        "TRIGGERED" => Some(Heard::Changed(id)),
        "FINISHED" => ear.known.remove(&id.to_string()).is_none().then_some(Heard::Gap),
        "TRIGGERING" => None,
        status => {
            let state = stop_state(status, news.reason.as_deref().unwrap_or_default());
            let at = at.and_then(DateTime::from_timestamp_millis)?;
            let report = bare(news.algo_id, id, state);
            let done = orders::done_at(Decimal::ZERO, None, at);
            Some(Heard::Report(Box::new(OrderReport { done, ..report })))
        }
    }
}
