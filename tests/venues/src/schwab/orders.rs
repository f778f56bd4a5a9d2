//! Orders over HTTP.

use chrono::{DateTime, NaiveDateTime, SubsecRound, TimeDelta, Utc};
use hyper::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::checks::{self, Doubt, Plan};
use super::desk::{Desk, Named};
use super::errors::Error;
use super::rest::Call;
use super::show::{STATUSES, Shape, View, shape, status};
use super::wire::{OrderRequest, Strategy, double};
use crate::book::{Ask, Class, Doom, Order, OrderId, Refusal, Size};
use crate::http::Answer;
use crate::world::State;

/// Where the real one lives: answers say so, wherever this one listens.
const HOME: &str = "https://api.schwabapi.com";
/// The most orders of a list.
const RESULTS_MAX: usize = 3000;

/// Answers what is about orders.
pub(super) fn answer(state: &mut State, desk: &mut Desk, call: &Call<'_>) -> Result<Answer, Error> {
    let segments = call.request.segments();
    match (&call.request.method, segments.as_slice()) {
        (&Method::GET, [_, _, "orders"]) => list(state, desk, call, None),
        (&Method::GET, [_, _, _, hash, "orders"]) => list(state, desk, call, Some(call.account(hash)?)),
        (&Method::POST, [_, _, _, hash, "orders"]) => place(state, desk, call, hash),
        (&Method::POST, [_, _, _, hash, "previewOrder"]) => preview(state, call, hash),
        (&Method::GET, [_, _, _, hash, "orders", id]) => {
            let named = find(state, call, hash, id)?;
            let view = View { state, desk, ids: call.ids };
            let shown = found(view, named).ok_or_else(|| no_order(id))?;
            Ok(Answer::json(200, &shown))
        }
        (&Method::PUT, [_, _, _, hash, "orders", id]) => replace(state, desk, call, hash, id),
        (&Method::DELETE, [_, _, _, hash, "orders", id]) => cancel(state, desk, call, hash, id),
        _ => Err(Error::not_found("Not found")),
    }
}

fn read(call: &Call<'_>) -> Result<OrderRequest, Error> {
    call.request.object().map_err(|error| Error::invalid(error.to_string()))
}

fn no_order(id: &str) -> Error {
    Error::not_found(&format!("Order not found: {id}"))
}

/// Answers a new order: taken, wherever it goes from there, with its place in a header and nothing else.
fn place(state: &mut State, desk: &mut Desk, call: &Call<'_>, hash: &str) -> Result<Answer, Error> {
    let account = call.account(hash)?;
    let plan = checks::plan(state, call.now, account, &read(call)?)?;
    let pair = plan.first.ask.ticket.class == Class::Oco;
    let id = take(state, desk, call, account, plan)?;
    Ok(created(hash, if pair { call.ids.pair(id) } else { call.ids.order(id) }))
}

fn created(hash: &str, id: i64) -> Answer {
    Answer::empty(201).with("location", format!("{HOME}/trader/v1/accounts/{hash}/orders/{id}"))
}

fn take(
    state: &mut State,
    desk: &mut Desk,
    call: &Call<'_>,
    account: &str,
    plan: Plan,
) -> Result<OrderId, Error> {
    let asks = || -> (Ask, Vec<Ask>) {
        (plan.first.ask.clone(), plan.rest.iter().map(|member| member.ask.clone()).collect())
    };
    let mut doubt = checks::doubt(state, account, &plan);
    let mut taken = None;
    if doubt.is_none() {
        let (first, rest) = asks();
        match state.book.take(call.now, first, rest, None) {
            Ok(id) => taken = Some(id),
            Err(refusal) => doubt = Some(Doubt::of(&refusal)),
        }
    }
    let id = match (taken, &doubt) {
        (Some(id), _) => id,
        (None, doubt) => {
            let after = TimeDelta::milliseconds(state.settings.number("reject_after_ms").into());
            let why = doubt.as_ref().map(|doubt| doubt.why.clone()).unwrap_or_default();
            let (first, rest) = asks();
            let doomed = state.book.take(call.now, first, rest, Some(Doom { at: call.now + after, why }));
            doomed.map_err(|refusal| Error::invalid(refusal.to_string()))?
        }
    };
    let legs = state.book.order(id).map(|order| order.legs.clone()).unwrap_or_default();
    let members = std::iter::once(&plan.first).chain(&plan.rest);
    for (id, member) in std::iter::once(id).chain(legs).zip(members) {
        let mut words = member.words;
        words.rule = doubt.as_ref().and_then(|doubt| doubt.rule);
        desk.words.insert(id, words);
    }
    Ok(id)
}

/// Answers a replacement: another order, for all that it asks. One that is rejected leaves the old one as it was.
///
/// Both that and the refusal of one that comes too late are decided here. Only single orders are replaced.
fn replace(
    state: &mut State,
    desk: &mut Desk,
    call: &Call<'_>,
    hash: &str,
    id: &str,
) -> Result<Answer, Error> {
    let account = call.account(hash)?;
    let Named::Order(old) = find(state, call, hash, id)? else {
        return Err(Error::invalid("the orders of an OCO are replaced one by one here"));
    };
    let request = read(call)?;
    if request.order_strategy_type != Some(Strategy::Single) {
        return Err(Error::invalid("orderStrategyType must be SINGLE here"));
    }
    let plan = checks::plan(state, call.now, account, &request)?;
    let before = state.book.order(old).map(|order| (order.ticket.class, order.parent));
    let family = before.is_some_and(|(class, parent)| class == Class::Oco || parent.is_some());
    let doubt = if family { None } else { checks::doubt(state, account, &plan) };
    let replaced = match doubt {
        Some(_) => None,
        None => match state.book.supersede(call.now, old, plan.first.ask.clone()) {
            Ok(new) => Some(new),
            Err(Refusal::BuyingPower { .. } | Refusal::Quantity { .. }) => None,
            Err(refusal) => return Err(Error::invalid(format!("the order cannot be replaced: {refusal}"))),
        },
    };
    let new = match replaced {
        Some(new) => {
            desk.words.insert(new, plan.first.words);
            new
        }
        None => take(state, desk, call, account, plan)?,
    };
    Ok(created(hash, call.ids.order(new)))
}

/// Answers a cancel: asked for, not done. One that comes too late is a 400, which is decided here.
fn cancel(state: &mut State, desk: &Desk, call: &Call<'_>, hash: &str, id: &str) -> Result<Answer, Error> {
    let target = match find(state, call, hash, id)? {
        Named::Order(order) => order,
        Named::Pair(pair) => {
            let view = View { state, desk, ids: call.ids };
            pair_of(view, pair).ok_or_else(|| no_order(id))?.0.id
        }
    };
    state
        .book
        .cancel(call.now, target)
        .map_err(|refusal| Error::invalid(format!("the order cannot be canceled: {refusal}")))?;
    Ok(Answer::empty(200))
}

/// Returns what an id names, if it is the account's.
fn find(state: &State, call: &Call<'_>, hash: &str, id: &str) -> Result<Named, Error> {
    let account = call.account(hash)?;
    let named = call.ids.read(id).filter(|named| {
        let order = state.book.order(named.first());
        order.is_some_and(|order| {
            let pair = order.ticket.class == Class::Oco || order.parent.is_some();
            order.ticket.account == account && (pair || matches!(named, Named::Order(_)))
        })
    });
    named.ok_or_else(|| no_order(id))
}

fn found(view: View<'_>, named: Named) -> Option<Value> {
    let book = &view.state.book;
    match named {
        Named::Order(id) => {
            let order = book.order(id)?;
            Some(match shape(book, order) {
                Some(Shape::Trigger) => view.whole(order),
                // One of a pair by itself.
                Some(Shape::Pair | Shape::Single) | None => view.single(order).into(),
            })
        }
        Named::Pair(id) => pair_of(view, id).map(|(one, other)| view.pair(&one, &other)),
    }
}

/// Returns the two orders that stand now for the pair that an order began.
fn pair_of(view: View<'_>, id: OrderId) -> Option<(Order, Order)> {
    let book = &view.state.book;
    let first = book.order(view.newest(id)).filter(|first| view.root(first) == id)?;
    let members = match first.parent {
        Some(parent) => book.legs(book.order(parent)?),
        None => std::iter::once(first.clone()).chain(book.legs(first)).collect(),
    };
    match <[Order; 2]>::try_from(members) {
        Ok([one, other]) if one.id == first.id => Some((one, other)),
        Ok(_) | Err(_) => None,
    }
}

/// Answers a list of what was entered between two times, the newest first.
fn list(state: &State, desk: &Desk, call: &Call<'_>, account: Option<&str>) -> Result<Answer, Error> {
    let days = if account.is_some() { 366 } else { 60 };
    let (from, to) = (entered(call, "fromEnteredTime")?, entered(call, "toEnteredTime")?);
    if to < from || to - from > TimeDelta::days(days) {
        return Err(Error::invalid(format!("the range must not be longer than {days} days")));
    }
    let most = match call.request.param("maxResults") {
        Some(text) => text.parse().ok().filter(|most| (1..=RESULTS_MAX).contains(most)),
        None => Some(RESULTS_MAX),
    };
    let most = most.ok_or_else(|| Error::invalid("maxResults must be a number up to 3000"))?;
    let wanted = call.request.param("status");
    if wanted.as_ref().is_some_and(|wanted| !STATUSES.contains(&wanted.as_str())) {
        return Err(Error::invalid("status is not one of an order's"));
    }
    let lag = TimeDelta::milliseconds(state.settings.number("list_lag_ms").into());
    let view = View { state, desk, ids: call.ids };
    let listed = |order: &&Order| {
        let mine = match account {
            Some(account) => order.ticket.account == account,
            None => call.login.accounts.contains(&order.ticket.account),
        };
        mine && order.created_at + lag <= call.now
            && from <= order.created_at
            // It ends with the second, for that is all an order shows.
            && order.created_at.trunc_subsecs(0) <= to
            && wanted.as_ref().is_none_or(|wanted| status(order) == wanted)
            && shape(&state.book, order).is_some()
    };
    let orders = state.book.orders().rev().filter(listed).take(most);
    Ok(Answer::json(200, &orders.map(|order| view.whole(order)).collect::<Vec<_>>()))
}

/// Returns a time of the query, which must be there, in UTC; its milliseconds may be missing.
fn entered(call: &Call<'_>, name: &str) -> Result<DateTime<Utc>, Error> {
    let text = call.request.param(name).ok_or_else(|| Error::invalid(format!("{name} must not be null")))?;
    let read = |format| NaiveDateTime::parse_from_str(&text, format).ok();
    let time = read("%Y-%m-%dT%H:%M:%S%.3fZ").or_else(|| read("%Y-%m-%dT%H:%M:%SZ"));
    let time = time.ok_or_else(|| Error::invalid(format!("{name} must be yyyy-MM-dd'T'HH:mm:ss.SSSZ")))?;
    Ok(time.and_utc())
}

/// Answers what would become of an order.
fn preview(state: &mut State, call: &Call<'_>, hash: &str) -> Result<Answer, Error> {
    let account = call.account(hash)?;
    let plan = checks::plan(state, call.now, account, &read(call)?)?;
    let doubt = checks::doubt(state, account, &plan).or_else(|| {
        let mut trial = state.book.clone();
        let rest = plan.rest.iter().map(|member| member.ask.clone()).collect();
        let refused = trial.take(call.now, plan.first.ask.clone(), rest, None).err()?;
        Some(Doubt::of(&refused))
    });
    let ticket = &plan.first.ask.ticket;
    let touch = state.book.feed().quote(&ticket.symbol).map(|quote| quote.touch(ticket.side));
    let price = ticket.kind.limit().or(ticket.kind.stop()).or(touch).unwrap_or_default();
    let Size::Qty(qty) = ticket.size else { return Err(Error::invalid("quantity must not be null")) };
    let value = price * qty;
    let power = state.book.buying_power(account);
    let cost = if plan.first.words.instruction.opens() { value } else { Decimal::ZERO };
    let multiplier = state.book.account(account).map_or(Decimal::ONE, |owned| owned.multiplier);
    let left = (power - cost).max(Decimal::ZERO);
    let free = left.checked_div(multiplier).unwrap_or_default();
    let rejects: Vec<Value> = doubt
        .iter()
        .map(|doubt| json!({"activityMessage": doubt.why, "originalSeverity": "REJECT"}))
        .collect();
    let balance = json!({
        "orderValue": double(value),
        "projectedAvailableFund": double(free),
        "projectedBuyingPower": double(left),
    });
    let validation = json!({"alerts": [], "accepts": [], "rejects": rejects, "reviews": [], "warns": []});
    let status = if doubt.is_some() { "REJECTED" } else { "ACCEPTED" };
    Ok(Answer::json(
        200,
        &json!({
            "orderId": 0,
            "orderStrategy": {"status": status, "orderBalance": balance},
            "orderValidationResult": validation,
            "commissionAndFee": {},
        }),
    ))
}
