//! What Schwab takes as an order: what makes no sense is refused at once, what it does not like is taken and rejected.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::desk::Words;
use super::errors::Error;
use super::hours;
use super::wire::{Duration, Instruction, LinkType, OrderRequest, OrderType, Session, Strategy};
use crate::alpaca::wire::Amount;
use crate::book::{Ask, Class, Exits, Kind, Refusal, Side, Size, Terms, Ticket, Tif, Trail};
use crate::world::State;

/// One order that is asked for.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) words: Words,
    pub(super) ask: Ask,
}

/// All that one request asks for.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) first: Member,
    pub(super) rest: Vec<Member>,
}

/// Why an order that was taken is rejected. Of the rules, only those of stops and of positions are known by their
/// meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    pub(super) rule: Option<&'static str>,
    pub(super) why: String,
}

impl Doubt {
    fn new(rule: Option<&'static str>, why: &str) -> Self {
        Self { rule, why: why.to_owned() }
    }

    fn oversold() -> Self {
        let why = "This order may result in an oversold/overbought position in your account.";
        Self::new(Some("Position_Sys_0001"), why)
    }

    /// Returns the book's refusal as the rejection it becomes.
    pub(super) fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::BuyingPower { .. } => {
                Self::new(None, "You do not have enough available cash/buying power for this order.")
            }
            Refusal::Quantity { .. } => Self::oversold(),
            Refusal::UnknownAccount
            | Refusal::UnknownOrder
            | Refusal::DuplicateName
            | Refusal::WashTrade { .. }
            | Refusal::WouldTake
            | Refusal::FractionalShort
            | Refusal::NothingToReduce
            | Refusal::NotOpen(_)
            | Refusal::NotReplaceable(_)
            | Refusal::Unchanged
            | Refusal::Unfitting => Self::new(None, "Your order could not be accepted."),
        }
    }
}

/// Returns what a request asks for.
///
/// A trigger brings one exit, or a pair of them; what else the real one allows is refused.
///
/// # Errors
///
/// Says what makes no sense.
pub(super) fn plan(
    state: &State,
    now: DateTime<Utc>,
    account: &str,
    request: &OrderRequest,
) -> Result<Plan, Error> {
    let one = |request: &OrderRequest, class| member(state, now, account, request, class);
    let children = request.child_order_strategies.as_deref().unwrap_or_default();
    match request.order_strategy_type {
        Some(Strategy::Single) if children.is_empty() => {
            Ok(Plan { first: one(request, Class::Simple)?, rest: Vec::new() })
        }
        Some(Strategy::Single) => Err(Error::invalid("childOrderStrategies does not fit SINGLE")),
        Some(Strategy::Oco) => {
            let [gain, loss] = pair(request)?;
            let (first, other) = (one(gain, Class::Oco)?, one(loss, Class::Oco)?);
            together(&first, &other)?;
            Ok(Plan { first, rest: vec![other] })
        }
        Some(Strategy::Trigger) => {
            let [child] = children else {
                return Err(Error::invalid("TRIGGER needs exactly one child order strategy here"));
            };
            let (class, exits) = match child.order_strategy_type {
                Some(Strategy::Oco) => (Class::Bracket, Vec::from(pair(child)?)),
                Some(Strategy::Single) => (Class::Oto, vec![child]),
                Some(Strategy::Trigger) | None => {
                    return Err(Error::invalid("a child of TRIGGER must be SINGLE or OCO here"));
                }
            };
            let first = one(request, class)?;
            let rest: Vec<Member> =
                exits.into_iter().map(|exit| one(exit, class)).collect::<Result<_, _>>()?;
            if let [one, other] = rest.as_slice() {
                together(one, other)?;
            }
            for exit in &rest {
                let (entry, exit) = (&first.ask.ticket, &exit.ask.ticket);
                if exit.symbol != entry.symbol || exit.side == entry.side || qty(exit) > qty(entry) {
                    return Err(Error::invalid("a child of TRIGGER must be an exit of its entry here"));
                }
            }
            Ok(Plan { first, rest })
        }
        None => Err(Error::invalid("orderStrategyType must not be null")),
    }
}

/// Returns the two orders of a pair, which has no other field.
fn pair(request: &OrderRequest) -> Result<[&OrderRequest; 2], Error> {
    let bare = request.session.is_none()
        && request.duration.is_none()
        && request.order_type.is_none()
        && request.price.is_none()
        && request.stop_price.is_none()
        && request.order_leg_collection.is_none();
    match request.child_order_strategies.as_deref() {
        Some([one, other]) if bare => Ok([one, other]),
        Some(_) | None => Err(Error::invalid("OCO is two child order strategies and nothing else")),
    }
}

fn together(one: &Member, other: &Member) -> Result<(), Error> {
    let (one, other) = (&one.ask.ticket, &other.ask.ticket);
    let fits = one.symbol == other.symbol && one.side == other.side && qty(one) == qty(other);
    if fits { Ok(()) } else { Err(Error::invalid("the orders of an OCO must be for the same here")) }
}

fn qty(ticket: &Ticket) -> Decimal {
    match ticket.size {
        Size::Qty(qty) => qty,
        Size::Notional(_) => Decimal::ZERO,
    }
}

/// Returns one order without its children.
pub(super) fn member(
    state: &State,
    now: DateTime<Utc>,
    account: &str,
    request: &OrderRequest,
    class: Class,
) -> Result<Member, Error> {
    let strategy = request.order_strategy_type;
    if !matches!(strategy, Some(Strategy::Single | Strategy::Trigger)) {
        return Err(Error::invalid("orderStrategyType must be SINGLE here"));
    }
    if strategy == Some(Strategy::Single) && request.child_order_strategies.is_some() {
        return Err(Error::invalid("childOrderStrategies does not fit SINGLE"));
    }
    let session = request.session.ok_or_else(|| missing("session"))?;
    let duration = request.duration.ok_or_else(|| missing("duration"))?;
    let order_type = request.order_type.ok_or_else(|| missing("orderType"))?;
    let legs = request.order_leg_collection.as_deref().unwrap_or_default();
    let [leg] = legs else { return Err(Error::invalid("orderLegCollection must have exactly one leg")) };
    let symbol = leg.instrument.symbol.as_str();
    if !state.instruments.get(symbol).is_some_and(|instrument| instrument.active) {
        return Err(Error::invalid(format!("Invalid symbol: {symbol}")));
    }
    let whole = leg.quantity.0;
    if whole <= Decimal::ZERO || !whole.fract().is_zero() {
        return Err(Error::invalid("quantity must be a whole number of shares above zero"));
    }
    if request.quantity.is_some_and(|quantity| quantity.0 != whole) {
        return Err(Error::invalid("quantity must be that of the leg"));
    }
    let kind = kind(request, order_type)?;
    if session != Session::Normal && order_type != OrderType::Limit {
        return Err(Error::invalid("orders outside normal hours must be LIMIT orders"));
    }
    if matches!(session, Session::Am | Session::Pm) && duration != Duration::Day {
        return Err(Error::invalid("AM and PM orders must be DAY orders here"));
    }
    let (from, until) = hours::window(&state.clock, now, session, duration);
    let ticket = Ticket {
        account: account.to_owned(),
        client_order_id: None,
        symbol: symbol.to_owned(),
        side: leg.instruction.side(),
        kind,
        tif: tif(duration),
        size: Size::Qty(whole.normalize()),
        extended_hours: session != Session::Normal,
        class,
        exits: Exits::default(),
        terms: Terms::default(),
    };
    let basis = request.stop_price_link_basis;
    let words = Words { session, duration, order_type, instruction: leg.instruction, basis, rule: None };
    Ok(Member { words, ask: Ask { ticket, from, until } })
}

fn missing(field: &str) -> Error {
    Error::invalid(format!("{field} must not be null"))
}

fn tif(duration: Duration) -> Tif {
    match duration {
        Duration::Day => Tif::Day,
        Duration::GoodTillCancel | Duration::EndOfWeek | Duration::EndOfMonth => Tif::Gtc,
        Duration::FillOrKill => Tif::Fok,
        Duration::ImmediateOrCancel => Tif::Ioc,
    }
}

fn kind(request: &OrderRequest, order_type: OrderType) -> Result<Kind, Error> {
    let positive = |what: &str, amount: Option<Amount>| match amount {
        Some(Amount(amount)) if amount <= Decimal::ZERO => {
            Err(Error::invalid(format!("{what} must be above zero")))
        }
        Some(Amount(amount)) => Ok(Some(amount)),
        None => Ok(None),
    };
    let limit = positive("price", request.price)?;
    let stop = positive("stopPrice", request.stop_price)?;
    let offset = positive("stopPriceOffset", request.stop_price_offset)?;
    let trail = match (offset, request.stop_price_link_basis, request.stop_price_link_type) {
        (None, None, None) => None,
        (Some(offset), Some(_), Some(LinkType::Value)) => Some(Trail::Price(offset)),
        (Some(offset), Some(_), Some(LinkType::Percent)) => Some(Trail::Percent(offset)),
        _ => {
            return Err(Error::invalid(
                "stopPriceOffset, stopPriceLinkBasis and stopPriceLinkType come together",
            ));
        }
    };
    if request.stop_type.is_some() && matches!(order_type, OrderType::Market | OrderType::Limit) {
        return Err(Error::invalid("stopType does not fit the orderType"));
    }
    match (order_type, limit, stop, trail) {
        (OrderType::Market, None, None, None) => Ok(Kind::Market),
        (OrderType::Limit, Some(limit), None, None) => Ok(Kind::Limit { limit }),
        (OrderType::Stop, None, Some(stop), None) => Ok(Kind::Stop { stop }),
        (OrderType::StopLimit, Some(limit), Some(stop), None) => Ok(Kind::StopLimit { stop, limit }),
        (OrderType::TrailingStop, None, None, Some(trail)) => Ok(Kind::TrailingStop { trail }),
        (
            OrderType::Market
            | OrderType::Limit
            | OrderType::Stop
            | OrderType::StopLimit
            | OrderType::TrailingStop,
            ..,
        ) => Err(Error::invalid("the prices do not fit the orderType")),
    }
}

/// Returns why a request that makes sense is rejected all the same, if it is, before the book looks at it.
pub(super) fn doubt(state: &State, account: &str, plan: &Plan) -> Option<Doubt> {
    if !state.directory.standing(account).is_some_and(|standing| standing.may_trade()) {
        return Some(Doubt::new(Some("Account_Sys_0005"), "Your account is restricted from trading."));
    }
    let waits = matches!(plan.first.ask.ticket.class, Class::Bracket | Class::Oto);
    let all = std::iter::once(&plan.first).chain(&plan.rest);
    let fine = all.clone().all(|member| is_fine(member.ask.ticket.kind));
    if !fine {
        let why = "Limit and stop prices must have no more than two decimals, or four below one dollar.";
        return Some(Doubt::new(None, why));
    }
    // Exits that wait for their entry are looked at when it has filled.
    let mut now = all.take(if waits { 1 } else { 2 });
    now.find_map(|member| direction(state, account, member))
}

fn direction(state: &State, account: &str, member: &Member) -> Option<Doubt> {
    let ticket = &member.ask.ticket;
    let instrument = state.instruments.get(&ticket.symbol)?;
    let standing = state.directory.standing(account)?;
    let position = state.book.account(account).map_or(Decimal::ZERO, |owned| owned.qty(&ticket.symbol));
    let long = position > Decimal::ZERO;
    let short = position < Decimal::ZERO;
    if !instrument.tradable {
        return Some(Doubt::new(None, "This security cannot be traded."));
    }
    let fits = match member.words.instruction {
        Instruction::Buy => !short,
        Instruction::Sell => long,
        Instruction::SellShort => !long,
        Instruction::BuyToCover => short,
    };
    if !fits {
        return Some(Doubt::oversold());
    }
    let may_short = standing.shorting_enabled && instrument.shortable;
    if member.words.instruction == Instruction::SellShort && !may_short {
        return Some(Doubt::new(Some("Regulatory_Sys_0006"), "This security cannot be sold short."));
    }
    let last = state.book.feed().quote(&ticket.symbol)?.last;
    let wrong = ticket.kind.stop().is_some_and(|stop| match ticket.side {
        Side::Buy => stop <= last,
        Side::Sell => stop >= last,
    });
    wrong.then(|| {
        let why = "The stop price is on the wrong side of the market.";
        Doubt::new(Some("Order_Sys_0002"), why)
    })
}

/// Returns whether the prices have no more decimals than they may.
fn is_fine(kind: Kind) -> bool {
    let offset = match kind {
        Kind::TrailingStop { trail: Trail::Price(offset) } => Some(offset),
        Kind::TrailingStop { trail: Trail::Percent(_) }
        | Kind::Market
        | Kind::Limit { .. }
        | Kind::Stop { .. }
        | Kind::StopLimit { .. } => None,
    };
    let mut prices = kind.limit().into_iter().chain(kind.stop()).chain(offset);
    prices.all(|price| price.normalize().scale() <= if price >= Decimal::ONE { 2 } else { 4 })
}
