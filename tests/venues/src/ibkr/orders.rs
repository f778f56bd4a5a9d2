//! Orders over HTTP: new ones with the questions they raise, changes, cancels, lists.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use chrono_tz::America::New_York;
use hyper::Method;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::errors::Error;
use super::gateway::{Desk, Gateway};
use super::placing;
use super::portfolio;
use super::questions::{self, Deed, Pending, Prompt, Question};
use super::request::{self, Batch, OrderRequest, OrdersRequest};
use super::rest::Call;
use super::wire;
use crate::book::{Change, Kind, Order, OrderId, Refusal, Size, Trail};
use crate::world::State;

/// Answers what is below `/iserver/account`, and the answers to questions.
pub(super) fn answer(state: &mut State, desk: &mut Desk<'_>, call: Call<'_>) -> Result<Value, Error> {
    match (&call.request.method, call.path) {
        (&Method::GET, [_, "account", "orders"]) => list(state, desk, call),
        (&Method::GET, [_, "account", "trades"]) => trades(state, desk, call),
        (&Method::GET, [_, "account", "order", "status", id]) => status(state, desk, call, id),
        (&Method::POST, [_, "reply", id]) => reply(state, desk, call, id),
        (&Method::POST, [_, "notification"]) => notification(state, desk, call),
        (&Method::POST, [_, "account", account, "orders"]) => {
            call.own(account)?;
            let OrdersRequest { orders } = call.body()?;
            forget(desk);
            let batch = request::batch(state, desk.gateway, call.now, &orders)?;
            let asked = about(state, desk, &batch.wanted());
            proceed(state, desk, call, Deed::Place(batch), asked)
        }
        (&Method::POST, [_, "account", account, "orders", "whatif"]) => {
            call.own(account)?;
            what_if(state, desk, call)
        }
        (&Method::POST, [_, "account", account, "order", id]) => {
            call.own(account)?;
            modify(state, desk, call, id)
        }
        (&Method::DELETE, [_, "account", account, "order", id]) => {
            call.own(account)?;
            cancel(state, call, id)
        }
        _ => Err(Error::nowhere()),
    }
}

/// Drops what waits for an answer: there is something new.
fn forget(desk: &mut Desk<'_>) {
    desk.gateway.session.pending = None;
    desk.gateway.session.prompt = None;
}

fn about(state: &State, desk: &mut Desk<'_>, wanted: &[request::Wanted]) -> VecDeque<Question> {
    questions::about(state, desk.policy, desk.asks, desk.availability, wanted)
}

/// Asks the next question, or does what was to be done.
fn proceed(
    state: &mut State,
    desk: &mut Desk<'_>,
    call: Call<'_>,
    deed: Deed,
    mut next: VecDeque<Question>,
) -> Result<Value, Error> {
    while let Some(question) = next.pop_front() {
        let session = &mut desk.gateway.session;
        if session.suppressed.contains(&question.id) {
            continue;
        }
        session.asked += 1;
        if question.prompt {
            let number = match &deed {
                Deed::Modify(id, _) => *id,
                Deed::Place(_) => OrderId(state.book.orders().next_back().map_or(1, |order| order.id.0 + 1)),
            };
            let (order_id, req_id) = (call.ids.order(number), session.asked.to_string());
            let shown = questions::shown_prompt(order_id, &req_id, &question);
            session.prompt = Some(Prompt { order_id, req_id, deed, next });
            return Ok(shown);
        }
        let salt = session.since.timestamp_millis().unsigned_abs();
        let reply_id = Uuid::from_u64_pair(0x07a1_3a5a_0000_4000 ^ salt, session.asked).to_string();
        let shown = questions::shown(&reply_id, &question);
        session.pending = Some(Pending { reply_id, deed, next });
        return Ok(shown);
    }
    match deed {
        Deed::Place(batch) => placing::place(state, desk, call, batch),
        Deed::Modify(id, change) => amend(state, desk, call, id, &change),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reply {
    confirmed: bool,
}

fn reply(state: &mut State, desk: &mut Desk<'_>, call: Call<'_>, id: &str) -> Result<Value, Error> {
    let Reply { confirmed } = call.body()?;
    let pending = desk.gateway.session.pending.take_if(|pending| pending.reply_id == id);
    let pending = pending.ok_or_else(|| Error::new(400, format!("reply id not found: '{id}'")))?;
    if !confirmed {
        // The words are unconfirmed; that nothing is transmitted is not.
        return Err(Error::reject("Order was not confirmed and has been discarded."));
    }
    proceed(state, desk, call, pending.deed, pending.next)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Notification {
    order_id: u64,
    req_id: String,
    text: String,
}

/// Takes the answer to a prompt. What becomes of the order it does not say.
fn notification(state: &mut State, desk: &mut Desk<'_>, call: Call<'_>) -> Result<Value, Error> {
    let Notification { order_id, req_id, text } = call.body()?;
    let waits = |prompt: &mut Prompt| prompt.order_id == order_id && prompt.req_id == req_id;
    let prompt = desk.gateway.session.prompt.take_if(waits);
    let prompt = prompt.ok_or_else(|| Error::bad("no such prompt"))?;
    if text == "Yes" {
        match proceed(state, desk, call, prompt.deed, prompt.next) {
            Ok(_) | Err(_) => {}
        }
    }
    Ok(json!("Request was submitted"))
}

fn what_if(state: &State, desk: &mut Desk<'_>, call: Call<'_>) -> Result<Value, Error> {
    let OrdersRequest { orders } = call.body()?;
    forget(desk);
    let wanted = request::batch(state, desk.gateway, call.now, &orders)?.wanted();
    let mut value = Decimal::ZERO;
    let first = wanted.first().ok_or_else(|| Error::bad("orders is required"))?;
    if let Size::Qty(qty) = first.ticket.size {
        let quote = state.book.feed().quote(&first.ticket.symbol);
        let price = first.ticket.kind.limit().or(quote.map(|quote| quote.touch(first.ticket.side)));
        value = price.unwrap_or_default() * qty;
    }
    let mut shown = portfolio::preview(state, call.account, value, desk.policy.commission);
    let asked = about(state, desk, &wanted);
    let warned = asked.front().map(|question| question.text.clone());
    if let (Some(warned), Some(fields)) = (warned, shown.as_object_mut()) {
        fields.insert("warn".to_owned(), json!(warned));
    }
    Ok(shown)
}

fn modify(state: &mut State, desk: &mut Desk<'_>, call: Call<'_>, id: &str) -> Result<Value, Error> {
    let request: OrderRequest = call.body()?;
    forget(desk);
    let missing = || Error::reject(format!("OrderID {id} doesn't exist"));
    let order = find(state, call, id).filter(|order| order.status.is_open()).ok_or_else(missing)?;
    let (order_id, old) = (order.id, order.ticket.clone());
    let mut wanted = request::wanted(state, desk.gateway, &request)?;
    let coid = desk.gateway.meta(order_id).and_then(|meta| meta.coid.clone());
    let renamed = wanted.coid.is_some() && wanted.coid != coid;
    let same_kind = wire::kind_names(wanted.ticket.kind) == wire::kind_names(old.kind);
    if renamed || !same_kind || wanted.ticket.symbol != old.symbol || wanted.ticket.side != old.side {
        return Err(Error::reject("Order cannot be modified: the original fields must be repeated"));
    }
    let Size::Qty(qty) = wanted.ticket.size else { return Err(Error::bad("quantity is required")) };
    let change = Change {
        qty: Some(qty),
        tif: Some(wanted.ticket.tif),
        limit: wanted.ticket.kind.limit(),
        stop: wanted.ticket.kind.stop(),
        trail: match wanted.ticket.kind {
            Kind::TrailingStop { trail: Trail::Price(trail) | Trail::Percent(trail) } => Some(trail),
            Kind::Market | Kind::Limit { .. } | Kind::Stop { .. } | Kind::StopLimit { .. } => None,
        },
        client_order_id: None,
    };
    wanted.coid = coid;
    let asked = about(state, desk, &[wanted]);
    proceed(state, desk, call, Deed::Modify(order_id, change), asked)
}

fn amend(
    state: &mut State,
    desk: &mut Desk<'_>,
    call: Call<'_>,
    id: OrderId,
    change: &Change,
) -> Result<Value, Error> {
    let meta = desk.gateway.meta(id);
    let coid = meta.and_then(|meta| meta.coid.as_deref());
    let before = state.book.order(id).map(wire::status).unwrap_or_default();
    state.book.amend(call.now, id, change).map_err(|refusal| Error::of(&refusal, coid))?;
    Ok(json!([placing::entry(call, id, meta, before)]))
}

fn cancel(state: &mut State, call: Call<'_>, id: &str) -> Result<Value, Error> {
    if id == "-1" {
        let mine = state.book.orders().filter(|order| order.ticket.account == call.account);
        let open: Vec<OrderId> = mine.filter(|order| order.status.is_open()).map(|order| order.id).collect();
        for id in open {
            // One that went with another of its family is gone already.
            match state.book.cancel(call.now, id) {
                Ok(()) | Err(_) => {}
            }
        }
        return Ok(ack(json!(-1), json!(-1), call));
    }
    let missing = || Error::reject(format!("OrderID {id} doesn't exist"));
    let order = find(state, call, id).ok_or_else(missing)?;
    let (order_id, symbol) = (order.id, order.ticket.symbol.clone());
    let open = order.status.is_open();
    match state.book.cancel(call.now, order_id) {
        Err(Refusal::NotOpen(_)) if !open => Err(missing()),
        // A second request for the same cancel is acknowledged like the first.
        Ok(()) | Err(_) => {
            let conid = super::contracts::conid(&symbol);
            Ok(ack(json!(call.ids.order(order_id)), json!(conid), call))
        }
    }
}

fn ack(order_id: Value, conid: Value, call: Call<'_>) -> Value {
    json!({"msg": "Request was submitted", "order_id": order_id, "conid": conid, "account": call.account})
}

fn find<'a>(state: &'a State, call: Call<'_>, id: &str) -> Option<&'a Order> {
    let order = call.ids.read_order(id).and_then(|id| state.book.order(id));
    order.filter(|order| order.ticket.account == call.account)
}

fn day(at: DateTime<Utc>) -> chrono::NaiveDate {
    at.with_timezone(&New_York).date_naive()
}

/// Returns whether an order is of today: open, or over since this day began.
pub(super) fn is_current(order: &Order, now: DateTime<Utc>) -> bool {
    order.status.is_open() || day(order.times.updated.unwrap_or(order.created_at)) == day(now)
}

/// Answers one order's state. One that was over before this session is known only once the orders were listed.
fn status(state: &State, desk: &Desk<'_>, call: Call<'_>, id: &str) -> Result<Value, Error> {
    let session = &desk.gateway.session;
    let cached = |order: &&Order| {
        order.status.is_open()
            || (is_current(order, call.now)
                && (session.listed || order.times.updated.is_some_and(|at| at >= session.since)))
    };
    let order = find(state, call, id).filter(cached);
    let order = order.ok_or_else(|| Error::new(503, "Service Unavailable"))?;
    Ok(wire::order_status(call.ids, order, desk.gateway.meta(order.id)))
}

/// Answers the orders of today. The first time a session asks there are none yet.
fn list(state: &State, desk: &mut Desk<'_>, call: Call<'_>) -> Result<Value, Error> {
    if let Some(account) = call.request.param("accountId") {
        call.own(&account)?;
    }
    let folded = |text: &str| text.to_lowercase().replace('_', "");
    let filters = call.request.param("filters").filter(|filters| !filters.is_empty());
    let filters: Option<Vec<String>> =
        filters.map(|filters| filters.split(',').map(folded).filter(|it| it != "sortbytime").collect());
    let session = &mut desk.gateway.session;
    if filters.is_some() {
        session.filtered = true;
    } else if call.flag("force") {
        session.filtered = false;
    }
    if !std::mem::replace(&mut session.listed, true) {
        return Ok(json!({"orders": [], "snapshot": false}));
    }
    let wanted = |order: &Order| {
        let status = folded(wire::status(order));
        filters.as_ref().is_none_or(|filters| filters.is_empty() || filters.contains(&status))
    };
    let mut orders = current(state, desk.gateway, call, wanted);
    orders.reverse();
    Ok(json!({"orders": orders, "snapshot": true}))
}

fn current(state: &State, gateway: &Gateway, call: Call<'_>, wanted: impl Fn(&Order) -> bool) -> Vec<Value> {
    let mine = state
        .book
        .orders()
        .filter(|order| order.ticket.account == call.account && is_current(order, call.now) && wanted(order));
    mine.map(|order| wire::order(call.ids, order, gateway.meta(order.id))).collect()
}

/// The most days of trades that can be asked for.
const DAYS_MAX: u8 = 7;

/// Answers the trades of the last days. The first time a session asks there are none yet.
fn trades(state: &State, desk: &mut Desk<'_>, call: Call<'_>) -> Result<Value, Error> {
    if let Some(account) = call.request.param("accountId") {
        call.own(&account)?;
    }
    let days = match call.request.param("days") {
        None => 1,
        Some(text) => {
            let days = text.parse::<u8>().ok().filter(|days| (1..=DAYS_MAX).contains(days));
            days.ok_or_else(|| Error::bad(&format!("days is not valid: {text}")))?
        }
    };
    if !std::mem::replace(&mut desk.gateway.session.traded, true) {
        return Ok(json!([]));
    }
    let mut shown = past_trades(state, desk.gateway, call.ids, call.now, days, desk.policy.commission);
    shown.reverse();
    Ok(shown.into())
}

/// Returns the trades of the last days, the oldest first.
pub(super) fn past_trades(
    state: &State,
    gateway: &Gateway,
    ids: wire::Ids,
    now: DateTime<Utc>,
    days: u8,
    commission: Decimal,
) -> Vec<Value> {
    let first = day(now) - chrono::Days::new(u64::from(days.saturating_sub(1)));
    let mine = state.book.trades().iter().filter(|trade| day(trade.at) >= first);
    let shown = mine.filter_map(|trade| {
        let order = state.book.order(trade.order)?;
        let ours = order.ticket.account == gateway.account;
        ours.then(|| wire::past_trade(ids, trade, order, gateway.meta(order.id), commission))
    });
    shown.collect()
}

/// Returns the name of the first order that waits for the answer to this question.
pub(super) fn asked_about(gateway: &Gateway, reply_id: &str) -> Option<String> {
    let pending = gateway.session.pending.as_ref().filter(|pending| pending.reply_id == reply_id)?;
    match &pending.deed {
        Deed::Place(batch) => Batch::coid(batch).map(str::to_owned),
        Deed::Modify(id, _) => gateway.meta(*id).and_then(|meta| meta.coid.clone()),
    }
}
