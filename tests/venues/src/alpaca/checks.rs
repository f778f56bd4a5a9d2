//! What Alpaca takes as an order, and what it says about the rest.

use chrono::{DateTime, NaiveTime, Utc};
use rust_decimal::Decimal;

use super::errors::{Error, duplicate};
use super::wire::{Amount, OrderRequest, StopLossRequest, intent, word};
use crate::account::Standing;
use crate::book::{Class, Exits, Kind, Side, Size, StopLoss, Terms, Ticket, Tif, Trail};
use crate::world::{Instrument, State};

/// The most characters of a client's name for an order.
const NAME_MAX: usize = 128;
/// The smallest distance of an exit from the entry.
const TICK: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

/// Returns the order that a request asks for.
///
/// # Errors
///
/// Says what is wrong with it, in the order in which Alpaca looks.
pub(super) fn ticket(
    state: &State,
    now: DateTime<Utc>,
    account: &str,
    request: &OrderRequest,
) -> Result<Ticket, Error> {
    let standing = standing(state, account)?;
    // Before all that may have changed since the first time: a second attempt is told that it is one.
    let client_order_id = name(request.client_order_id.as_deref())?;
    if client_order_id.as_ref().is_some_and(|name| state.book.named(account, name).is_some()) {
        return Err(duplicate());
    }
    let symbol = request.symbol.as_deref().ok_or_else(|| Error::incomplete("symbol is required"))?;
    let instrument = instrument(state, symbol)?;
    let side = match request.side.as_deref() {
        Some(text) => word(text).ok_or_else(|| Error::invalid(format!("invalid side: {text}")))?,
        None => return Err(Error::incomplete("side is required")),
    };
    let tif = match request.time_in_force.as_deref() {
        Some(text) => tif(text)?,
        None => return Err(Error::incomplete("time_in_force is required")),
    };
    let class = match request.order_class.as_deref() {
        None | Some("" | "simple") => Class::Simple,
        Some(text) => word(text).ok_or_else(|| Error::invalid(format!("invalid order_class: {text}")))?,
    };
    let ticket = Ticket {
        account: account.to_owned(),
        client_order_id,
        symbol: symbol.to_owned(),
        side,
        kind: kind(request, class)?,
        tif,
        size: size(request)?,
        extended_hours: request.extended_hours.unwrap_or(false),
        class,
        exits: exits(request)?,
        terms: Terms::default(),
    };
    hours(state, now, &ticket)?;
    fractions(instrument, &ticket)?;
    family(state, &ticket, request)?;
    direction(state, standing, instrument, &ticket, request.position_intent.as_deref())?;
    Ok(ticket)
}

/// Returns how Alpaca stands to an account that is about to trade.
pub(super) fn standing<'a>(state: &'a State, account: &str) -> Result<&'a Standing, Error> {
    let standing = state.directory.standing(account).ok_or_else(Error::unauthorized)?;
    if standing.may_trade() { Ok(standing) } else { Err(Error::forbidden("account not authorized to trade")) }
}

fn instrument<'a>(state: &'a State, symbol: &str) -> Result<&'a Instrument, Error> {
    let found = state.instruments.get(symbol);
    let found = found.ok_or_else(|| Error::invalid(format!("asset \"{symbol}\" not found")))?;
    if !found.active {
        return Err(Error::invalid(format!("asset {symbol} is not active")));
    }
    if !found.tradable {
        return Err(Error::invalid(format!("asset {symbol} is not tradable")));
    }
    Ok(found)
}

/// Returns how long an order stands.
pub(super) fn tif(text: &str) -> Result<Tif, Error> {
    super::wire::tif(text).ok_or_else(|| Error::invalid(format!("invalid time_in_force: {text}")))
}

/// Returns the client's name for an order.
pub(super) fn name(text: Option<&str>) -> Result<Option<String>, Error> {
    match text {
        None | Some("") => Ok(None),
        Some(text) if text.chars().count() > NAME_MAX => {
            Err(Error::invalid(format!("client_order_id must be no more than {NAME_MAX} characters")))
        }
        Some(text) => Ok(Some(text.to_owned())),
    }
}

fn size(request: &OrderRequest) -> Result<Size, Error> {
    let size = match (request.qty, request.notional) {
        (Some(qty), None) => Size::Qty(positive("qty", qty)?),
        (None, Some(money)) => Size::Notional(positive("notional", money)?),
        (None, None) => return Err(Error::incomplete("qty or notional is required")),
        (Some(_), Some(_)) => return Err(Error::incomplete("only one of qty or notional is accepted")),
    };
    let (Size::Qty(amount) | Size::Notional(amount)) = size;
    if amount.normalize().scale() > 9 {
        return Err(Error::invalid("qty and notional must be limited to 9 decimal places"));
    }
    if matches!(size, Size::Notional(money) if money < Decimal::ONE) {
        return Err(Error::invalid("notional amount must be >= 1.00"));
    }
    Ok(size)
}

fn positive(what: &str, amount: Amount) -> Result<Decimal, Error> {
    if amount.0 > Decimal::ZERO { Ok(amount.0) } else { Err(Error::invalid(format!("{what} must be > 0"))) }
}

/// Returns a price that is positive and not finer than Alpaca's: a cent, or a hundredth of one below a dollar.
pub(super) fn price(what: &str, amount: Amount) -> Result<Decimal, Error> {
    let price = positive(what, amount)?;
    let finest = if price >= Decimal::ONE { 2 } else { 4 };
    if price.normalize().scale() > finest {
        return Err(Error::invalid(format!(
            "invalid {what} {price}. sub-penny increment does not fulfill minimum pricing criteria"
        )));
    }
    Ok(price)
}

fn kind(request: &OrderRequest, class: Class) -> Result<Kind, Error> {
    let text = request.kind.as_deref().ok_or_else(|| Error::incomplete("type is required"))?;
    let limit = request.limit_price.map(|amount| price("limit_price", amount)).transpose()?;
    let stop = request.stop_price.map(|amount| price("stop_price", amount)).transpose()?;
    let trail = match (request.trail_price, request.trail_percent) {
        (None, None) => None,
        (Some(amount), None) => Some(Trail::Price(price("trail_price", amount)?)),
        (None, Some(amount)) => Some(Trail::Percent(positive("trail_percent", amount)?)),
        (Some(_), Some(_)) => {
            return Err(Error::invalid("only one of trail_price or trail_percent must be specified"));
        }
    };
    // The limit of an order that is only an exit is its gain's.
    let limit = match (class, &request.take_profit) {
        (Class::Oco, Some(profit)) if limit.is_none() => {
            Some(price("take_profit.limit_price", profit.limit_price)?)
        }
        (Class::Oco | Class::Simple | Class::Bracket | Class::Oto, _) => limit,
    };
    match (text, limit, stop, trail) {
        ("market", None, None, None) => Ok(Kind::Market),
        ("market", ..) => Err(Error::invalid("market orders require no limit, stop or trail price")),
        ("limit", Some(limit), None, None) => Ok(Kind::Limit { limit }),
        ("limit", None, ..) => Err(Error::invalid("limit orders require a limit price")),
        ("limit", ..) => Err(Error::invalid("limit orders require only limit price")),
        ("stop", None, Some(stop), None) => Ok(Kind::Stop { stop }),
        ("stop", _, None, _) => Err(Error::invalid("stop orders require a stop price")),
        ("stop", ..) => Err(Error::invalid("stop orders require only stop price")),
        ("stop_limit", Some(limit), Some(stop), None) => Ok(Kind::StopLimit { stop, limit }),
        ("stop_limit", ..) => Err(Error::invalid("stop limit orders require both stop and limit price")),
        ("trailing_stop", None, None, Some(trail)) => Ok(Kind::TrailingStop { trail }),
        ("trailing_stop", ..) => {
            Err(Error::invalid("trailing stop orders must specify one of trail_price or trail_percent"))
        }
        _ => Err(Error::invalid(format!("invalid order type: {text}"))),
    }
}

fn exits(request: &OrderRequest) -> Result<Exits, Error> {
    let profit = request.take_profit.as_ref();
    let profit = profit.map(|profit| price("take_profit.limit_price", profit.limit_price)).transpose()?;
    Ok(Exits { profit, loss: request.stop_loss.as_ref().map(loss).transpose()? })
}

fn loss(loss: &StopLossRequest) -> Result<StopLoss, Error> {
    let stop = price("stop_loss.stop_price", loss.stop_price)?;
    let limit = loss.limit_price.map(|amount| price("stop_loss.limit_price", amount)).transpose()?;
    Ok(StopLoss { stop, limit })
}

fn hours(state: &State, now: DateTime<Utc>, ticket: &Ticket) -> Result<(), Error> {
    let day_or_gtc = matches!(ticket.tif, Tif::Day | Tif::Gtc);
    if ticket.extended_hours {
        if !matches!(ticket.kind, Kind::Limit { .. }) || !day_or_gtc {
            return Err(Error::invalid("extended hours order must be DAY or GTC limit orders"));
        }
        if ticket.class != Class::Simple {
            return Err(Error::invalid("extended hours order must be simple orders"));
        }
    }
    if matches!(ticket.kind, Kind::TrailingStop { .. }) && (!day_or_gtc || ticket.class != Class::Simple) {
        return Err(Error::invalid("trailing stop orders must be simple DAY or GTC orders"));
    }
    let auction = matches!(ticket.tif, Tif::Opg | Tif::Cls);
    if auction && !matches!(ticket.kind, Kind::Market | Kind::Limit { .. }) {
        return Err(Error::invalid("invalid time_in_force for this order type"));
    }
    let shut = match ticket.tif {
        Tif::Opg => Some((9, 28)),
        Tif::Cls => Some((15, 50)),
        Tif::Day | Tif::Gtc | Tif::Ioc | Tif::Fok => None,
    };
    let from = shut.and_then(|(hour, minute)| NaiveTime::from_hms_opt(hour, minute, 0));
    if let (Some(from), Some(time)) = (from, state.clock.time_of_day(now))
        && time >= from
        && NaiveTime::from_hms_opt(19, 0, 0).is_some_and(|until| time < until)
    {
        return Err(Error::invalid(format!(
            "invalid time_in_force: not accepted between {} and 19:00 ET",
            from.format("%H:%M")
        )));
    }
    Ok(())
}

fn fractions(instrument: &Instrument, ticket: &Ticket) -> Result<(), Error> {
    let fraction = match ticket.size {
        Size::Qty(qty) => !qty.fract().is_zero(),
        Size::Notional(_) => true,
    };
    if !fraction {
        return Ok(());
    }
    if !instrument.fractionable {
        return Err(Error::forbidden(format!("asset \"{}\" is not fractionable", instrument.symbol)));
    }
    if ticket.tif != Tif::Day {
        return Err(Error::invalid("fractional orders must be DAY orders"));
    }
    if ticket.class != Class::Simple || matches!(ticket.kind, Kind::TrailingStop { .. }) {
        return Err(Error::invalid("fractional orders must be simple orders"));
    }
    Ok(())
}

/// Checks what comes with the order against the order.
fn family(state: &State, ticket: &Ticket, request: &OrderRequest) -> Result<(), Error> {
    let Exits { profit, loss } = ticket.exits;
    match (ticket.class, profit, loss) {
        (Class::Simple, None, None) => return Ok(()),
        (Class::Simple, ..) => {
            return Err(Error::invalid("take_profit and stop_loss require an order_class"));
        }
        (Class::Bracket | Class::Oco, Some(_), Some(_)) => {}
        (Class::Bracket, None, _) => {
            return Err(Error::invalid("bracket orders require take_profit.limit_price"));
        }
        (Class::Bracket, _, None) => {
            return Err(Error::invalid("bracket orders require stop_loss.stop_price"));
        }
        (Class::Oco, None, _) => return Err(Error::invalid("oco orders require take_profit.limit_price")),
        (Class::Oco, _, None) => return Err(Error::invalid("oco orders require stop_loss.stop_price")),
        (Class::Oto, Some(_), None) | (Class::Oto, None, Some(_)) => {}
        (Class::Oto, ..) => {
            return Err(Error::invalid("oto orders require exactly one of take_profit or stop_loss"));
        }
    }
    if !matches!(ticket.tif, Tif::Day | Tif::Gtc) {
        return Err(Error::invalid("complex orders must be DAY or GTC orders"));
    }
    if ticket.class == Class::Oco {
        return oco(state, ticket, request);
    }
    let base = ticket
        .kind
        .limit()
        .or(ticket.kind.stop())
        .or_else(|| state.book.feed().quote(&ticket.symbol).map(|quote| quote.touch(ticket.side)));
    let up = ticket.side == Side::Buy;
    let (gain, loss) = (profit, loss.map(|loss| loss.stop));
    if let (Some(gain), Some(loss)) = (gain, loss)
        && ((up && gain <= loss) || (!up && gain >= loss))
    {
        return Err(Error::invalid(format!(
            "take_profit.limit_price must be {} than stop_loss.stop_price",
            if up { "greater" } else { "less" }
        )));
    }
    let Some(base) = base else { return Ok(()) };
    if loss.is_some_and(|loss| if up { loss > base - TICK } else { loss < base + TICK }) {
        let side = if up { "<= base_price - 0.01" } else { ">= base_price + 0.01" };
        return Err(Error::invalid(format!("stop_loss.stop_price must be {side}")));
    }
    if gain.is_some_and(|gain| if up { gain < base + TICK } else { gain > base - TICK }) {
        let side = if up { ">= base_price + 0.01" } else { "<= base_price - 0.01" };
        return Err(Error::invalid(format!("take_profit.limit_price must be {side}")));
    }
    Ok(())
}

fn oco(state: &State, ticket: &Ticket, request: &OrderRequest) -> Result<(), Error> {
    let Kind::Limit { limit } = ticket.kind else {
        return Err(Error::invalid("oco orders must be limit orders"));
    };
    if request.limit_price.is_some() && ticket.exits.profit != Some(limit) {
        return Err(Error::invalid("oco orders have the limit price of their take_profit"));
    }
    let position = state.book.account(&ticket.account).map(|account| account.qty(&ticket.symbol));
    if ticket.side.signed(position.unwrap_or_default()) >= Decimal::ZERO {
        return Err(Error::invalid("oco orders must be exit orders"));
    }
    let up = ticket.side == Side::Sell;
    if ticket.exits.loss.is_some_and(|loss| if up { limit <= loss.stop } else { limit >= loss.stop }) {
        return Err(Error::invalid("take_profit.limit_price must be beyond stop_loss.stop_price"));
    }
    Ok(())
}

/// Checks what the order would do to the position.
fn direction(
    state: &State,
    standing: &Standing,
    instrument: &Instrument,
    ticket: &Ticket,
    meant: Option<&str>,
) -> Result<(), Error> {
    let position = state.book.account(&ticket.account).map(|account| account.qty(&ticket.symbol));
    let opens = ticket.side.signed(position.unwrap_or_default()) >= Decimal::ZERO;
    let shorts = opens && ticket.side == Side::Sell;
    if meant.is_some_and(|meant| meant != intent(ticket.side, opens)) {
        return Err(Error::invalid("position intent mismatch"));
    }
    if shorts && !standing.shorting_enabled {
        return Err(Error::forbidden("account is not allowed to short"));
    }
    if shorts && !instrument.shortable {
        return Err(Error::invalid(format!("asset \"{}\" cannot be sold short", instrument.symbol)));
    }
    Ok(())
}
