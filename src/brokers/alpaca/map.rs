//! Alpaca's words and ours: orders out; positions, instruments, balances and prices in.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use trade_actors::domain::ids::ConnectionId;
use trade_actors::domain::instrument::{AssetClass, Instrument, Symbol};
use trade_actors::domain::money::{Money, Net, Percent, Price, Quantity};
use trade_actors::domain::order::{Ticket, TimeInForce};
use trade_actors::domain::portfolio::{Balance, Quote};
use trade_actors::domain::position::Position;
use trade_actors::domain::report::{Refusal, RefusalCode};
use trade_actors::domain::signal::{OrderKind, Trail};

use super::wire;
use crate::brokers::venue::number::Num;

/// Most decimals of a quantity.
const QUANTITY_DP: u32 = 9;
/// Longest ticker of a US share, class included.
const TICKER_MAX: usize = 10;

/// Returns whether Alpaca could trade such a symbol as a US share: `AAPL`, `BRK.B`.
///
/// Letters, and one dot before a class; pairs such as `BTC/USDT` and exchange prefixes are none.
#[must_use]
pub fn is_share(symbol: Symbol) -> bool {
    let text = symbol.as_str();
    let (name, class) = text.split_once('.').unwrap_or((text, "A"));
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
    text.len() <= TICKER_MAX && is_word(name) && is_word(class)
}

/// Returns the smallest price step at a price: a cent, below a dollar a hundredth of one.
#[must_use]
pub fn tick_at(price: Decimal) -> Decimal {
    if price >= Decimal::ONE { Decimal::new(1, 2) } else { Decimal::new(1, 4) }
}

/// Returns whether a quantity is of whole shares.
#[must_use]
pub fn is_whole(quantity: Quantity) -> bool {
    quantity.get().fract().is_zero()
}

/// Returns an order as Alpaca takes it (Alpaca Trading API v2, orders).
///
/// Fractions are day orders, because Alpaca takes them no other way.
///
/// # Errors
/// When Alpaca documents that it takes no such order; nothing was sent.
pub fn new_order(ticket: &Ticket) -> Result<wire::NewOrder, Refusal> {
    check(ticket)?;
    let is_fraction = !is_whole(ticket.quantity);
    let mut order = wire::NewOrder {
        symbol: ticket.symbol.to_string(),
        qty: ticket.quantity.get().normalize().to_string(),
        side: ticket.side.as_str(),
        kind: ticket.kind.as_str(),
        time_in_force: if is_fraction { TimeInForce::Day } else { ticket.time_in_force }.as_str(),
        client_order_id: ticket.id.to_string(),
        extended_hours: ticket.extended_hours,
        ..wire::NewOrder::default()
    };
    match ticket.kind {
        OrderKind::Market => {}
        OrderKind::Limit { limit } => order.limit_price = Some(text(limit)),
        OrderKind::Stop { trigger } => order.stop_price = Some(text(trigger)),
        OrderKind::StopLimit { trigger, limit } => {
            order.limit_price = Some(text(limit));
            order.stop_price = Some(text(trigger));
        }
        OrderKind::TrailingStop { trail: Trail::Amount(amount) } => order.trail_price = Some(text(amount)),
        OrderKind::TrailingStop { trail: Trail::Percent(percent) } => {
            order.trail_percent = Some(percent.get().normalize().to_string());
        }
        OrderKind::Oco { limit, trigger } => {
            order.kind = "limit";
            order.order_class = Some("oco");
            order.take_profit = Some(wire::TakeProfit { limit_price: text(limit) });
            order.stop_loss = Some(wire::StopLoss { stop_price: text(trigger) });
        }
    }
    Ok(order)
}

fn text(price: Price) -> String {
    price.get().normalize().to_string()
}

/// Refuses what Alpaca documents that it refuses.
fn check(ticket: &Ticket) -> Result<(), Refusal> {
    use TimeInForce as T;
    let symbol = ticket.symbol;
    if !is_share(symbol) {
        let why = format!("{symbol} is not a US share or fund, and Alpaca trades only these here");
        return Err(unsent(
            RefusalCode::InvalidSymbol,
            &why,
            "Use the exchange's ticker, such as AAPL or BRK.B.",
        ));
    }
    let refuse = |why: &str, advice: &str| Err(unsent(RefusalCode::OrderRejected, why, advice));
    if ticket.quantity.get().normalize().scale() > QUANTITY_DP {
        return refuse("Alpaca takes quantities of at most 9 decimals", "Round the quantity.");
    }
    for price in [ticket.kind.limit(), ticket.kind.trigger()].into_iter().flatten() {
        if !Price::new(tick_at(price.get())).is_ok_and(|tick| price.on_tick(tick)) {
            let why = format!("Alpaca takes no price of {price}: steps are $0.01, below $1 they are $0.0001");
            return refuse(&why, "Round the price.");
        }
    }
    let is_limit = matches!(ticket.kind, OrderKind::Limit { .. });
    let rests = matches!(ticket.time_in_force, T::Day | T::Gtc);
    if ticket.extended_hours && !(is_limit && rests) {
        let why =
            "outside the regular session Alpaca takes only limit orders that last the day or until cancelled";
        return refuse(why, "Send a limit order, or send it in the regular session.");
    }
    let is_simple = matches!(ticket.kind, OrderKind::Market | OrderKind::Limit { .. });
    if !rests && !is_simple {
        return refuse(
            "Alpaca takes this kind of order only for the day or until cancelled",
            "Change its duration.",
        );
    }
    let whole_only = matches!(ticket.kind, OrderKind::TrailingStop { .. } | OrderKind::Oco { .. });
    if whole_only && !is_whole(ticket.quantity) {
        return refuse("Alpaca takes this kind of order only for whole shares", "Round the quantity.");
    }
    Ok(())
}

/// Returns a refusal of ours: why, that nothing was sent, and what to do.
fn unsent(code: RefusalCode, why: &str, advice: &str) -> Refusal {
    Refusal { code, message: format!("{why}. Nothing was sent. {advice}") }
}

/// Returns why an account cannot trade; `None`: it can.
#[must_use]
pub fn closed(account: &wire::Account) -> Option<Refusal> {
    let because = if account.account_blocked {
        "Alpaca has blocked this account"
    } else if account.trading_blocked {
        "Alpaca has blocked trading in this account"
    } else if account.trade_suspended_by_user {
        "Trading is suspended in the settings of this Alpaca account"
    } else if account.status != "ACTIVE" {
        "This Alpaca account is not active yet, or not any more"
    } else {
        return None;
    };
    let message = format!(
        "{because}. Nothing was sent. Look into the account at alpaca.markets, then connect it again."
    );
    Some(Refusal { code: RefusalCode::AuthFailed, message })
}

/// Returns the account's balance.
///
/// Alpaca takes off buying power what open orders hold back; `held`, what our open orders hold, is added again, for
/// Risk takes it off itself.
#[must_use]
pub fn balance(account: &wire::Account, held: Money, at: DateTime<Utc>) -> Balance {
    Balance {
        cash: Money::new(account.cash.0),
        equity: Money::new(account.equity.0),
        buying_power: Money::new(account.buying_power.0) + held,
        at,
    }
}

/// Returns a position; `None`: it is not one of ours to trade, such as an option.
#[must_use]
pub fn position(theirs: &wire::Position, connection: ConnectionId, at: DateTime<Utc>) -> Option<Position> {
    if theirs.asset_class.as_deref().is_some_and(|class| class != "us_equity") {
        return None;
    }
    let symbol = theirs.symbol.parse().ok()?;
    let is_short = theirs.side.as_deref() == Some("short");
    let units = if is_short { -theirs.qty.0.abs() } else { theirs.qty.0 };
    let net = Net::new(units.normalize());
    let price = theirs.avg_entry_price.and_then(|price| Price::new(price.0).ok());
    let mut position = Position::flat(connection, symbol, at);
    position.net = net;
    position.cost = price.map_or(Money::ZERO, |price| net.value(price));
    (!net.is_flat()).then_some(position)
}

/// Returns an instrument with the tick of prices from a dollar up; `None`: it is no share.
#[must_use]
pub fn instrument(asset: &wire::Asset) -> Option<Instrument> {
    let symbol: Symbol = asset.symbol.parse().ok()?;
    if asset.class != "us_equity" || !is_share(symbol) {
        return None;
    }
    let lot = if asset.fractionable { Decimal::new(1, QUANTITY_DP) } else { Decimal::ONE };
    let min_notional = if asset.fractionable { Decimal::ONE } else { Decimal::ZERO };
    Some(Instrument {
        symbol,
        class: AssetClass::Equity,
        tick: Price::new(tick_at(Decimal::ONE)).ok()?,
        lot: Quantity::new(lot).ok()?,
        size_step: Quantity::new(Decimal::ONE).ok()?,
        min_notional: Money::new(min_notional),
        tradable: asset.tradable && asset.status == "active",
    })
}

/// Returns a quote: its price is the last trade's, without one the middle of bid and ask, on its tick.
///
/// `None`: nobody buys or sells.
#[must_use]
pub fn quote(symbol: Symbol, best: &wire::BestPrices, last: Option<Price>) -> Option<Quote> {
    let side = |number: Num| Price::new(number.0).ok();
    let (bid, ask) = match (side(best.bp), side(best.ap)) {
        (Some(bid), Some(ask)) => (bid, ask),
        (Some(only), None) | (None, Some(only)) => (only, only),
        (None, None) => return None,
    };
    let price = match last {
        Some(last) => last,
        None => {
            let middle = (bid.get().checked_add(ask.get())?).checked_div(Decimal::TWO)?;
            let tick = Price::new(tick_at(middle)).ok()?;
            Price::new(middle).ok()?.shifted(Percent::new(Decimal::ZERO), tick)
        }
    };
    Some(Quote { symbol, price, bid, ask, change_pct: Percent::new(Decimal::ZERO), at: best.t })
}
