//! Orders: placed, canceled and shown, and their executions.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::calls::{Call, Params};
use super::errors::Error;
use super::{checks, wire};
use crate::book::{Order, Refusal, Status, Trade};
use crate::world::State;

/// How long an order that ended is shown among the open ones.
const LATELY: TimeDelta = TimeDelta::minutes(10);

/// Answers `POST /v5/order/create`: it has arrived.
pub(super) fn create(state: &mut State, call: &Call<'_>) -> Result<Value, Error> {
    let ticket = checks::ticket(state, call)?;
    let id = state.book.place(call.now, ticket).map_err(|refusal| Error::of(&refusal))?;
    let name = call.params.text("orderLinkId").unwrap_or_default();
    Ok(json!({"orderId": wire::order_id(id), "orderLinkId": name}))
}

/// Answers `POST /v5/order/cancel`: it has arrived.
pub(super) fn cancel(state: &mut State, call: &Call<'_>) -> Result<Value, Error> {
    checks::spot(&call.params)?;
    let symbol = checks::find(state, call.params.need("symbol")?).ok_or_else(Error::symbol)?.symbol.clone();
    let wanted = Wanted::of(&call.params)?;
    let filter = call.params.text("orderFilter").unwrap_or(checks::PLAIN);
    let is_it = |order: &&Order| {
        order.ticket.account == call.account && wanted.is(order) && order.ticket.symbol == symbol
    };
    let order = state.book.orders().find(is_it).ok_or_else(Error::no_order)?;
    if !order.status.is_open() {
        return Err(Error::over(order.status));
    }
    if checks::filter_of(order) != filter {
        return Err(Error::no_order());
    }
    let (id, name) = (order.id, order.client_order_id.clone());
    match state.book.cancel(call.now, id) {
        // A cancel that is on its way already is one.
        Ok(()) | Err(Refusal::NotOpen(Status::PendingCancel)) => {}
        Err(refusal) => return Err(Error::of(&refusal)),
    }
    Ok(json!({"orderId": wire::order_id(id), "orderLinkId": name}))
}

/// Which order is meant.
struct Wanted<'a> {
    id: Option<&'a str>,
    name: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn any(params: &'a Params) -> Self {
        Self { id: params.text("orderId"), name: params.text("orderLinkId") }
    }

    fn of(params: &'a Params) -> Result<Self, Error> {
        let wanted = Self::any(params);
        if wanted.id.is_none() && wanted.name.is_none() {
            return Err(Error::params("orderId or orderLinkId is required"));
        }
        Ok(wanted)
    }

    /// Returns whether it is this one. Where both are given, the venue's number decides.
    fn is(&self, order: &Order) -> bool {
        match (self.id, self.name) {
            (Some(id), _) => wire::order_id(order.id) == id,
            (None, Some(name)) => order.client_order_id == name,
            (None, None) => true,
        }
    }
}

/// Returns an account's orders, the newest first.
fn shown(state: &State, call: &Call<'_>, is_shown: impl Fn(&Order) -> bool) -> Result<Value, Error> {
    checks::spot(&call.params)?;
    let wanted = Wanted::any(&call.params);
    let symbol = call.params.text("symbol");
    let found: Vec<Value> = state
        .book
        .orders()
        .rev()
        .filter(|order| order.ticket.account == call.account && wanted.is(order) && is_shown(order))
        .filter(|order| symbol.is_none_or(|symbol| wire::symbol(&order.ticket.symbol) == symbol))
        .map(wire::order)
        .collect();
    page(&call.params, found, (20, 50))
}

/// Answers `GET /v5/order/realtime`: what is open, and what ended lately.
pub(super) fn realtime(state: &mut State, call: &Call<'_>) -> Result<Value, Error> {
    let since = call.now - LATELY;
    let lately = |order: &Order| order.times.updated.unwrap_or(order.created_at) >= since;
    shown(state, call, |order| order.status.is_open() || lately(order))
}

/// Answers `GET /v5/order/history`: what ended. What was canceled or rejected without a fill is kept for a day.
pub(super) fn history(state: &mut State, call: &Call<'_>) -> Result<Value, Error> {
    let since = call.now - TimeDelta::hours(24);
    let kept = |order: &Order| {
        !order.filled_qty.is_zero() || order.times.updated.unwrap_or(order.created_at) >= since
    };
    shown(state, call, |order| !order.status.is_open() && kept(order))
}

/// Answers `GET /v5/execution/list`, the newest first.
pub(super) fn executions(state: &mut State, call: &Call<'_>) -> Result<Value, Error> {
    checks::spot(&call.params)?;
    let wanted = Wanted::any(&call.params);
    let symbol = call.params.text("symbol");
    let since = call.params.text("startTime").and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
    let is_it = |trade: &&Trade, order: &Order| {
        order.ticket.account == call.account
            && wanted.is(order)
            && trade.at.timestamp_millis() >= since
            && symbol.is_none_or(|symbol| wire::symbol(&order.ticket.symbol) == symbol)
    };
    let read = |trade: &Trade| {
        let order = state.book.order(trade.order)?;
        is_it(&trade, order).then(|| wire::execution(order, &trade.execution, trade.at))
    };
    let found = state.book.trades().iter().rev().filter_map(read).collect();
    page(&call.params, found, (50, 100))
}

/// Returns a part of a list, and where the next one begins.
fn page(params: &Params, found: Vec<Value>, (usual, most): (usize, usize)) -> Result<Value, Error> {
    let number = |name: &str, otherwise: usize| match params.text(name) {
        Some(text) => text.parse::<usize>().map_err(|_| Error::params(format!("{name} invalid"))),
        None => Ok(otherwise),
    };
    let limit = number("limit", usual)?;
    if !(1..=most).contains(&limit) {
        return Err(Error::params("limit invalid"));
    }
    let from = number("cursor", 0)?;
    let next = from.saturating_add(limit);
    let cursor = if next < found.len() { next.to_string() } else { String::new() };
    let list: Vec<Value> = found.into_iter().skip(from).take(limit).collect();
    Ok(json!({"category": "spot", "nextPageCursor": cursor, "list": list}))
}
