//! The gateway's words and ours.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::value::RawValue;

use trade_actors::domain::calendar::MarketStatus;
use trade_actors::domain::ids::{BrokerOrderId, ClientOrderId, ExecutionId};
use trade_actors::domain::instrument::{AssetClass, Instrument, Symbol};
use trade_actors::domain::money::{Money, Price, Quantity};
use trade_actors::domain::order::{Fill, Ticket, TimeInForce};
use trade_actors::domain::portfolio::Quote;
use trade_actors::domain::report::{OrderReport, RefusalCode, ReportedState};
use trade_actors::domain::signal::{OrderKind, Side, Trail};

use super::{ABOUT, FACTS, wire};
use crate::brokers::venue::market::quote;
use crate::brokers::venue::number;
use crate::brokers::venue::orders;
use crate::brokers::venue::verdict::{Verdict, refusal};

/// Questions that are about what this program has decided already, or tell a risk that everybody knows: the price band
/// (ours was checked), what market and stop orders are, and that prices may be capped.
const TOLD: [&str; 5] = ["o163", "o10151", "o10152", "o10153", "o10331"];
/// Questions that must not keep anybody in a position: no market data, size and value limits, a trigger that is passed,
/// an order of one's own on the other side.
const OF_EXITS: [&str; 5] = ["o354", "o383", "o403", "o451", "o2137"];

/// Returns whether a question about an order may be answered with yes. One that is not known never is.
pub(super) fn may_confirm(ids: &[String], ticket: &Ticket) -> bool {
    let is_fine =
        |id: &String| TOLD.contains(&id.as_str()) || ticket.reduces && OF_EXITS.contains(&id.as_str());
    !ids.is_empty() && ids.iter().all(is_fine)
}

/// Returns their name of one of our symbols: classes of shares are told by a blank. `None`: it is no share.
pub(super) fn theirs(symbol: Symbol) -> Option<String> {
    let name = symbol.as_str();
    let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    fits.then(|| name.replace('.', " "))
}

/// Returns our name of one of their symbols.
pub(super) fn ours(name: &str) -> Option<Symbol> {
    name.trim().replace(' ', ".").parse().ok()
}

/// Returns the listing to trade: the one in the United States.
pub(super) fn conid(companies: &[wire::Stock]) -> Option<i64> {
    let shares = companies.iter().filter(|company| company.asset_class == "STK");
    shares
        .flat_map(|company| &company.contracts)
        .find(|contract| contract.is_us)
        .map(|contract| contract.conid)
}

/// Returns the rules of a share: whole shares, and cents, which are a step below a dollar, too.
pub(super) fn share(symbol: Symbol) -> Option<Instrument> {
    let one = Quantity::new(Decimal::ONE).ok()?;
    Some(Instrument {
        symbol,
        class: AssetClass::Equity,
        tick: Price::CENT,
        lot: one,
        size_step: one,
        min_notional: Money::ZERO,
        tradable: true,
    })
}

fn raw(number: Decimal) -> Option<Box<RawValue>> {
    RawValue::from_string(number.normalize().to_string()).ok()
}

/// Words an order.
pub(super) fn new_order<'a>(
    ticket: &Ticket,
    conid: i64,
    account: &'a str,
) -> Result<wire::NewOrder<'a>, Verdict> {
    let lacks = |what, advice| Err(Verdict::not_here(ABOUT.title, what, advice));
    let quantity = ticket.quantity.get();
    if !quantity.is_integer() {
        return lacks("fractions of shares", "Send whole shares.");
    }
    let mut order = wire::NewOrder {
        acct_id: account,
        conid,
        sec_type: format!("{conid}:STK"),
        coid: ticket.id.to_string(),
        side: match ticket.side {
            Side::Buy => "BUY",
            Side::Sell => "SELL",
        },
        tif: match ticket.time_in_force {
            TimeInForce::Day => "DAY",
            TimeInForce::Gtc => "GTC",
            TimeInForce::Ioc => "IOC",
            TimeInForce::Fok => return lacks("order for all or nothing", "Send it without that."),
        },
        quantity: raw(quantity),
        ..wire::NewOrder::default()
    };
    match ticket.kind {
        OrderKind::Market => order.order_type = "MKT",
        OrderKind::Limit { limit } => {
            (order.order_type, order.price) = ("LMT", raw(limit.get()));
            order.outside_rth = ticket.extended_hours;
        }
        OrderKind::Stop { trigger } => (order.order_type, order.price) = ("STP", raw(trigger.get())),
        OrderKind::StopLimit { trigger, limit } => {
            (order.order_type, order.price) = ("STOP_LIMIT", raw(limit.get()));
            order.aux_price = raw(trigger.get());
            order.outside_rth = ticket.extended_hours;
        }
        OrderKind::TrailingStop { trail } => {
            let (kind, distance) = match trail {
                Trail::Amount(amount) => ("amt", amount.get()),
                Trail::Percent(percent) => ("%", percent.get()),
            };
            (order.order_type, order.trailing_type, order.trailing_amt) =
                ("TRAIL", Some(kind), raw(distance));
        }
        OrderKind::Oco { .. } => return lacks("such pair of orders here", "Send its parts one by one."),
    }
    Ok(order)
}

/// Where an order stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// As this says.
    So(ReportedState),
    /// Perhaps refused: only the order's own state tells.
    Perhaps,
}

/// Reads a status; a word that is not known leaves the order open, which a later look-up corrects.
///
/// An order for the day that ended after the session, and not by a cancel of ours, has expired.
pub(super) fn stands(status: &str, ccp: &str, is_day: bool, at: DateTime<Utc>, by_us: bool) -> Stands {
    Stands::So(match status {
        "Filled" => ReportedState::Filled,
        "Cancelled" => {
            let is_over = !matches!(FACTS.hours.status(at), MarketStatus::Open);
            if is_day && is_over && !by_us { ReportedState::Expired } else { ReportedState::Canceled }
        }
        "Failed" => ReportedState::Rejected(refusal(ABOUT.title, RefusalCode::OrderRejected, "")),
        // The first news of an order can be that it is inactive while it is on its way.
        "Inactive" if ccp != "Pending Submit" => return Stands::Perhaps,
        _ => ReportedState::Open,
    })
}

/// Returns whether an order is for the day: lists call that by its end.
pub(super) fn is_day(tif: &str) -> bool {
    tif == "DAY" || tif == "CLOSE"
}

/// Reads an order's own state.
pub(super) fn one(told: &wire::One, id: ClientOrderId, by_us: bool, now: DateTime<Utc>) -> OrderReport {
    let said = told.description.as_deref().unwrap_or_default();
    let no = || {
        let is_poor = said.to_ascii_lowercase().contains("insufficient");
        let code = if is_poor { RefusalCode::InsufficientFunds } else { RefusalCode::OrderRejected };
        ReportedState::Rejected(refusal(ABOUT.title, code, said))
    };
    let ccp = told.ccp_status.as_deref().unwrap_or_default();
    let state = match stands(&told.order_status, ccp, is_day(&told.tif), now, by_us) {
        Stands::Perhaps => no(),
        Stands::So(ReportedState::Canceled) if said.to_ascii_lowercase().contains("reject") => no(),
        Stands::So(state) => state,
    };
    OrderReport {
        order: id,
        broker_order: BrokerOrderId::new(told.order_id.0.clone()),
        state,
        fills: Vec::new(),
        done: orders::done_at(told.cum_fill.or_zero(), told.average_price.0, now),
        balance: None,
    }
}

/// Reads an order of a list; `None`: it is none of ours.
pub(super) fn listed(told: &wire::Listed, by_us: bool, now: DateTime<Utc>) -> Option<(OrderReport, Stands)> {
    let at = time(told.last_at).unwrap_or(now);
    let stands = stands(&told.status, &told.ccp_status, is_day(&told.time_in_force), at, by_us);
    let state = match &stands {
        Stands::So(state) => state.clone(),
        Stands::Perhaps => ReportedState::Open,
    };
    let report = OrderReport {
        order: orders::ours(&told.order_ref)?,
        broker_order: BrokerOrderId::new(told.order_id.0.clone()),
        state,
        fills: Vec::new(),
        done: orders::done_at(told.filled_quantity.or_zero(), told.avg_price.0, at),
        balance: None,
    };
    Some((report, stands))
}

fn time(millis: wire::Loose) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(millis.0?.to_i64()?)
}

/// Reads an execution; its commission is money.
pub(super) fn fill(trade: &wire::Trade, now: DateTime<Utc>) -> Option<Fill> {
    Some(Fill {
        execution: ExecutionId::new(trade.execution_id.clone()),
        quantity: Quantity::new(trade.size.0?).ok()?,
        price: Price::new(trade.price.0?).ok()?,
        fee: Money::new(trade.commission.or_zero()),
        kept: Quantity::ZERO,
        at: time(trade.at).unwrap_or(now),
    })
}

/// Returns what became of an order of which only executions are left: it ended on an earlier day.
pub(super) fn from_trades(
    ticket: &Ticket,
    trades: &[wire::Trade],
    now: DateTime<Utc>,
) -> Option<OrderReport> {
    let name = ticket.id.to_string();
    let own: Vec<_> = trades.iter().filter(|trade| trade.order_ref == name).collect();
    let broker_order = BrokerOrderId::new(own.first()?.order_id.0.clone());
    let fills: Vec<_> = own.iter().filter_map(|trade| fill(trade, now)).collect();
    let quantity: Decimal = fills.iter().map(|fill| fill.quantity.get()).sum();
    let money: Decimal = fills.iter().map(|fill| fill.quantity.get() * fill.price.get()).sum();
    let state = if quantity >= ticket.quantity.get() {
        ReportedState::Filled
    } else if ticket.time_in_force == TimeInForce::Day {
        ReportedState::Expired
    } else {
        ReportedState::Canceled
    };
    let done = orders::done(quantity, money, now);
    Some(OrderReport { order: ticket.id, broker_order, state, fills, done, balance: None })
}

/// Reads prices; `None`: there are none in real time. Delayed ones are not for trading.
pub(super) fn price(symbol: Symbol, told: &wire::Snapshot, now: DateTime<Utc>) -> Option<Quote> {
    if !told.availability.starts_with(['R', 'Z']) {
        return None;
    }
    // `C` marks the close before, `H` a halt.
    let read =
        |word: &wire::Word| number::parse(word.0.trim_start_matches(['C', 'H']).replace(',', "").trim());
    let side = |word| read(word).unwrap_or_default();
    let (bid, ask, last) = (side(&told.bid), side(&told.ask), read(&told.last));
    if bid.is_zero() && ask.is_zero() {
        let only = last?;
        return quote(symbol, only, only, last, now);
    }
    quote(symbol, bid, ask, last, now)
}
