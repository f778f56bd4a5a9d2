//! Orders: placed, shown, listed and canceled, with what they traded.

use serde::Deserialize;
use serde_json::{Value, json};

use super::calls::Call;
use super::checks::{self, Wanted, Wrong};
use super::errors::{Error, Failure};
use super::wire;
use crate::book::{Order, OrderId, Refusal, Status};
use crate::world::State;

/// Answers `POST /orders`. A name that was used before is answered with the order that has it, whatever is asked for
/// now.
pub(super) fn place(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let wanted: Wanted = call.request.object().map_err(|error| Error::argument(error.to_string()))?;
    let configuration = Value::Object(wanted.order_configuration.clone());
    if let Some(first) = state.book.named(call.account, &wanted.client_order_id) {
        return Ok(wire::placed(first));
    }
    let placed = checks::ticket(state, call.account, &wanted).and_then(|ticket| {
        state.book.place(call.now, ticket).map_err(|refusal| Failure::of(&refusal).into())
    });
    match placed {
        Ok(id) => Ok(state.book.order(id).map(wire::placed).unwrap_or_default()),
        Err(Wrong::Failed(failure)) => Ok(failure.body(&configuration)),
        Err(Wrong::Unread(error)) => Err(error),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToCancel {
    order_ids: Vec<String>,
}

/// Answers `POST /orders/batch_cancel`.
pub(super) fn cancel(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let asked: ToCancel = call.request.object().map_err(|error| Error::argument(error.to_string()))?;
    if asked.order_ids.is_empty() {
        return Err(Error::argument("order_ids is empty"));
    }
    let results = asked.order_ids.iter().map(|id| {
        let found = mine(state, call, id).map(|order| order.id);
        let reason = match found.map(|id| state.book.cancel(call.now, id)) {
            None => Some("UNKNOWN_CANCEL_ORDER"),
            Some(Ok(())) => None,
            Some(Err(Refusal::NotOpen(Status::PendingCancel))) => Some("DUPLICATE_CANCEL_REQUEST"),
            Some(Err(_)) => Some("INVALID_CANCEL_REQUEST"),
        };
        json!({
            "success": reason.is_none(),
            "failure_reason": reason.unwrap_or("UNKNOWN_CANCEL_FAILURE_REASON"),
            "order_id": id,
        })
    });
    Ok(json!({"results": results.collect::<Vec<_>>()}))
}

/// Returns an account's order by its number.
fn mine<'a>(state: &'a State, call: Call<'_>, id: &str) -> Option<&'a Order> {
    let order = state.book.order(wire::read_id(id)?)?;
    (order.ticket.account == call.account).then_some(order)
}

/// Answers `GET /orders/historical/{order_id}`.
pub(super) fn one(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let unknown = || Error::not_found("order with this orderID was not found");
    let order = mine(state, call, call.id).ok_or_else(unknown)?;
    Ok(json!({"order": wire::order(order, wire::sums(state, order))}))
}

/// Returns whether a list names something, or nothing and means all.
fn among(list: &[&str], one: &str) -> bool {
    list.is_empty() || list.contains(&one)
}

/// Answers `GET /orders/historical/batch`: the latest first.
pub(super) fn list(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let query = call.query;
    let statuses = query.all("order_status");
    if let Some(status) = statuses.iter().find(|status| !wire::STATUSES.contains(status)) {
        return Err(Error::argument(format!("order_status {status} is unknown")));
    }
    if statuses.len() > 1 && statuses.contains(&"OPEN") {
        return Err(Error::argument("OPEN orders are listed by themselves"));
    }
    let products = [query.all("product_ids"), query.all("product_id")].concat();
    let (since, until) = (query.time("start_date")?, query.time("end_date")?);
    let all = state.book.orders().rev().filter(|order| {
        order.ticket.account == call.account
            && among(&statuses, wire::status(order))
            && among(&products, &wire::product_id(&order.ticket.symbol))
            && since.is_none_or(|since| order.created_at >= since)
            && until.is_none_or(|until| order.created_at < until)
    });
    let shown = all.map(|order| wire::order(order, wire::sums(state, order))).collect();
    let (orders, has_next, cursor) = query.page(shown)?;
    Ok(json!({"orders": orders, "sequence": "0", "has_next": has_next, "cursor": cursor}))
}

/// Answers `GET /orders/historical/fills`: the latest first.
pub(super) fn fills(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let query = call.query;
    let ids: Option<Vec<OrderId>> = query.all("order_ids").into_iter().map(wire::read_id).collect();
    let ids = ids.ok_or_else(|| Error::argument("order_ids has what is no order's"))?;
    let products = [query.all("product_ids"), query.all("product_id")].concat();
    let fills = state.book.trades().iter().rev().filter_map(|trade| {
        let order = state.book.order(trade.order)?;
        let wanted = order.ticket.account == call.account
            && (ids.is_empty() || ids.contains(&order.id))
            && among(&products, &wire::product_id(&order.ticket.symbol));
        wanted.then(|| wire::fill(trade, order))
    });
    let (fills, _, cursor) = query.page(fills.collect())?;
    Ok(json!({"fills": fills, "cursor": cursor}))
}
