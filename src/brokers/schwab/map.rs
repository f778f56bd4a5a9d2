//! Schwab's words and ours.

use chrono::{DateTime, SubsecRound, Utc};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use trade_actors::domain::ids::{BrokerOrderId, ClientOrderId, ExecutionId};
use trade_actors::domain::instrument::{AssetClass, Instrument, Symbol};
use trade_actors::domain::money::{Money, Price, Quantity};
use trade_actors::domain::order::{Fill, Ticket, TimeInForce};
use trade_actors::domain::portfolio::Quote;
use trade_actors::domain::report::{OrderReport, RefusalCode, ReportedState};
use trade_actors::domain::signal::{OrderKind, Side, Trail};

use super::{ABOUT, errors, wire};
use crate::brokers::venue::market::quote;
use crate::brokers::venue::orders;
use crate::brokers::venue::verdict::Verdict;
use crate::brokers::venue::{Holdings, Unit};

/// What is traded here: shares, and funds that are traded like them.
const TRADED: [&str; 2] = ["EQUITY", "COLLECTIVE_INVESTMENT"];

/// Returns their name of one of our symbols; `None`: it is no share's.
///
/// That classes of shares have a slash there, `BRK/B`, is unconfirmed; what is wrong is an unknown symbol and no more.
pub(super) fn theirs(symbol: Symbol) -> Option<String> {
    let text = symbol.as_str();
    (!text.contains(['/', '!', ':'])).then(|| text.replace('.', "/"))
}

/// Returns our name of one of their symbols.
pub(super) fn ours(name: &str) -> Option<Symbol> {
    name.replace('/', ".").parse().ok()
}

/// An order in Schwab's words: what is sent, and by what it is known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words {
    session: &'static str,
    duration: &'static str,
    order_type: &'static str,
    instruction: &'static str,
    symbol: String,
    quantity: Decimal,
    price: Option<Decimal>,
    stop: Option<Decimal>,
    trail: Option<(&'static str, Decimal)>,
}

/// Words an order.
pub(super) fn words(ticket: &Ticket) -> Result<Words, Verdict> {
    let lacks = |what, advice| Err(Verdict::not_here(ABOUT.title, what, advice));
    let symbol = theirs(ticket.symbol).ok_or_else(|| {
        let said = format!("{} is no share's symbol", ticket.symbol);
        Verdict::refused(ABOUT.title, RefusalCode::InvalidSymbol, &said)
    })?;
    if !ticket.quantity.get().fract().is_zero() {
        return lacks("fractions of shares", "Send a whole number of them.");
    }
    let is_limit = matches!(ticket.kind, OrderKind::Limit { .. });
    if ticket.extended_hours && !is_limit {
        return lacks("such order outside regular hours", "Send a limit order.");
    }
    let (mut price, mut stop, mut trail) = (None, None, None);
    let order_type = match ticket.kind {
        OrderKind::Market => "MARKET",
        OrderKind::Limit { limit } => {
            price = Some(limit.get());
            "LIMIT"
        }
        OrderKind::Stop { trigger } => {
            stop = Some(trigger.get());
            "STOP"
        }
        OrderKind::StopLimit { trigger, limit } => {
            (price, stop) = (Some(limit.get()), Some(trigger.get()));
            "STOP_LIMIT"
        }
        OrderKind::TrailingStop { trail: distance } => {
            trail = Some(match distance {
                Trail::Amount(amount) => ("VALUE", amount.get()),
                Trail::Percent(pct) => ("PERCENT", pct.get()),
            });
            "TRAILING_STOP"
        }
        OrderKind::Oco { .. } => return lacks("such pair of orders here", "Send its parts one by one."),
    };
    let duration = match ticket.time_in_force {
        TimeInForce::Day => "DAY",
        // It is done at once, or when the market opens: nothing is left of it for another day.
        TimeInForce::Gtc if ticket.kind == OrderKind::Market => "DAY",
        TimeInForce::Gtc => "GOOD_TILL_CANCEL",
        TimeInForce::Ioc => "IMMEDIATE_OR_CANCEL",
        TimeInForce::Fok => "FILL_OR_KILL",
    };
    let instruction = match (ticket.side, ticket.reduces) {
        (Side::Buy, false) => "BUY",
        (Side::Buy, true) => "BUY_TO_COVER",
        (Side::Sell, true) => "SELL",
        (Side::Sell, false) => "SELL_SHORT",
    };
    let session = if ticket.extended_hours { "SEAMLESS" } else { "NORMAL" };
    let quantity = ticket.quantity.get().normalize();
    Ok(Words { session, duration, order_type, instruction, symbol, quantity, price, stop, trail })
}

impl Words {
    /// Returns the order as it is sent: amounts as text, which Schwab takes too, for a float holds no decimals.
    pub(super) fn json(&self) -> Value {
        let text = |number: Decimal| json!(number.normalize().to_string());
        let mut order = json!({
            "session": self.session,
            "duration": self.duration,
            "orderType": self.order_type,
            "orderStrategyType": "SINGLE",
            "orderLegCollection": [{
                "instruction": self.instruction,
                "quantity": text(self.quantity),
                "instrument": {"symbol": self.symbol, "assetType": "EQUITY"},
            }],
        });
        let Some(fields) = order.as_object_mut() else { return order };
        if let Some(price) = self.price {
            fields.insert("price".to_owned(), text(price));
        }
        if let Some(stop) = self.stop {
            fields.insert("stopPrice".to_owned(), text(stop));
        }
        if let Some((link, offset)) = self.trail {
            fields.insert("stopPriceLinkBasis".to_owned(), json!("LAST"));
            fields.insert("stopPriceLinkType".to_owned(), json!(link));
            fields.insert("stopPriceOffset".to_owned(), text(offset));
            fields.insert("stopType".to_owned(), json!("STANDARD"));
        }
        order
    }

    /// Returns whether one of their orders, entered then or later, is what these words ask for.
    pub(super) fn fits(&self, order: &wire::Order, since: DateTime<Utc>) -> bool {
        let [leg] = order.order_leg_collection.as_slice() else { return false };
        let is_same = |ours: Option<Decimal>, theirs: Option<&crate::brokers::venue::number::Num>| {
            ours.is_none_or(|ours| theirs.is_some_and(|theirs| theirs.0 == ours))
        };
        // It shows no more than the second.
        let entered = order.entered_time.as_deref().and_then(wire::time);
        leg.instrument.symbol == self.symbol
            && leg.instruction == self.instruction
            && leg.quantity.0 == self.quantity
            && order.order_type == self.order_type
            && order.duration == self.duration
            && is_same(self.price, order.price.as_ref())
            // The stop of one that trails moves.
            && is_same(self.stop, order.stop_price.as_ref())
            && is_same(self.trail.map(|(_, offset)| offset), order.stop_price_offset.as_ref())
            && entered.is_some_and(|entered| entered >= since.trunc_subsecs(0))
    }
}

/// Reads a status; a word that is not known leaves the order open, which a later look-up corrects.
///
/// Schwab queues what comes while it is closed, so that all that waits is open. One that a person replaced there has
/// ended: what took its place is that person's.
fn state(order: &wire::Order) -> ReportedState {
    match order.status.as_str() {
        "FILLED" => ReportedState::Filled,
        "CANCELED" | "REPLACED" => ReportedState::Canceled,
        "EXPIRED" => ReportedState::Expired,
        "REJECTED" => {
            ReportedState::Rejected(errors::rejected(order.status_description.as_deref().unwrap_or_default()))
        }
        _ => ReportedState::Open,
    }
}

/// Reads an order that was looked up.
pub(super) fn report(order: &wire::Order, ours: ClientOrderId, now: DateTime<Utc>) -> OrderReport {
    let time = |text: &Option<String>| text.as_deref().and_then(wire::time);
    let at = time(&order.close_time).or_else(|| time(&order.entered_time)).unwrap_or(now);
    let is_trade = |activity: &&wire::Activity| {
        activity.activity_type == "EXECUTION" && activity.execution_type == "FILL"
    };
    let trades = order.order_activity_collection.iter().filter(is_trade);
    let fills: Vec<Fill> = trades
        .flat_map(|trade| trade.execution_legs.iter().filter_map(|leg| fill(trade.activity_id, leg, at)))
        .collect();
    let quantity: Decimal = fills.iter().map(|fill| fill.quantity.get()).sum();
    let money: Decimal = fills.iter().map(|fill| fill.price.notional(fill.quantity).get()).sum();
    // Trades may be shown a moment after what they add up to: then there is no average yet.
    let done = if quantity == order.filled_quantity.0 {
        orders::done(quantity, money, at)
    } else {
        orders::done_at(order.filled_quantity.0, None, at)
    };
    let broker_order = BrokerOrderId::new(order.order_id.to_string());
    OrderReport { order: ours, broker_order, state: state(order), fills, done, balance: None }
}

fn fill(activity: i64, leg: &wire::Execution, at: DateTime<Utc>) -> Option<Fill> {
    Some(Fill {
        execution: ExecutionId::new(format!("{activity}-{}", leg.leg_id)),
        quantity: Quantity::new(leg.quantity.0.normalize()).ok()?,
        price: Price::new(leg.price.0.normalize()).ok()?,
        // Shares cost none.
        fee: Money::ZERO,
        kept: Quantity::ZERO,
        at: leg.time.as_deref().and_then(wire::time).unwrap_or(at),
    })
}

/// Returns what is said of an order of which no more is known than that it was taken.
pub(super) fn taken(id: i64, ours: ClientOrderId) -> OrderReport {
    let broker_order = BrokerOrderId::new(id.to_string());
    let state = ReportedState::Open;
    OrderReport { order: ours, broker_order, state, fills: Vec::new(), done: None, balance: None }
}

/// Reads what an account holds; `None`: its money is not told. What is no share is left out.
pub(super) fn holdings(account: &wire::Account) -> Option<Holdings> {
    let balances = &account.current_balances;
    let cash = balances.cash_balance.or(balances.total_cash)?.0;
    let free = balances.buying_power.or(balances.cash_available_for_trading)?.0;
    let equity = Some(balances.liquidation_value?.0);
    let held = account.positions.iter();
    let held = held.filter(|held| TRADED.contains(&held.instrument.asset_type.as_str()));
    let unit = |held: &wire::Position| {
        let average = held.average_price.and_then(|price| Price::new(price.0.normalize()).ok());
        let net = (held.long_quantity.0 - held.short_quantity.0).normalize();
        Some(Unit { symbol: ours(&held.instrument.symbol)?, net, average })
    };
    Some(Holdings { cash, free, equity, units: held.filter_map(unit).collect(), most: None })
}

/// Reads what was told of symbols.
pub(super) fn quoted(all: &wire::Quotes) -> impl Iterator<Item = (Symbol, wire::Quoted)> {
    let read = all.iter().filter_map(|(name, told)| {
        let told = serde_json::from_str::<wire::Quoted>(told.get()).ok()?;
        Some((ours(name)?, told))
    });
    read.filter(|(_, told)| TRADED.contains(&told.asset_main_type.as_str()))
}

/// Returns a quote; `None`: there is none, or it is a quarter of an hour old, which is no price to trade by.
///
/// Outside hours nobody may offer anything: then the last trade's price is all there is.
pub(super) fn price(symbol: Symbol, told: &wire::Quoted, now: DateTime<Utc>) -> Option<Quote> {
    let wire::Prices { bid_price: bid, ask_price: ask, last_price: last } = told.quote;
    let found = quote(symbol, bid.0, ask.0, Some(last.0), now);
    found.or_else(|| quote(symbol, last.0, last.0, Some(last.0), now)).filter(|_| told.realtime)
}

/// Returns the rules of a share: whole ones, at prices of two decimals, or of four below one dollar.
pub(super) fn instrument(symbol: Symbol, told: &wire::Quoted) -> Option<Instrument> {
    let is_cheap = told.quote.last_price.0 > Decimal::ZERO && told.quote.last_price.0 < Decimal::ONE;
    let tick = if is_cheap { Price::new(Decimal::new(1, 4)).ok()? } else { Price::CENT };
    let one = Quantity::new(Decimal::ONE).ok()?;
    Some(Instrument {
        symbol,
        class: AssetClass::Equity,
        tick,
        lot: one,
        size_step: one,
        min_notional: Money::ZERO,
        tradable: true,
    })
}
