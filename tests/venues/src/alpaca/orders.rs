//! Orders over HTTP.

use hyper::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::checks;
use super::errors::Error;
use super::rest::Call;
use super::wire::{self, OrderRequest, ReplaceRequest};
use crate::book::{Change, Kind, Order, OrderId, Side};
use crate::http::Answer;
use crate::world::State;

/// Answers what is below `/v2/orders`.
pub(super) fn answer(state: &mut State, call: Call<'_>) -> Result<Answer, Error> {
    let segments = call.request.segments();
    match (&call.request.method, segments.as_slice()) {
        (&Method::POST, [_, "orders"]) => place(state, call),
        (&Method::GET, [_, "orders"]) => list(state, call),
        (&Method::DELETE, [_, "orders"]) => cancel_all(state, call),
        (&Method::GET, [_, "orders:by_client_order_id"]) => by_name(state, call),
        (&Method::GET, [_, "orders", id]) => {
            let order = find(state, call, id)?;
            Ok(Answer::json(200, &shown(state, call, order)?))
        }
        (&Method::PATCH, [_, "orders", id]) => replace(state, call, id),
        (&Method::DELETE, [_, "orders", id]) => {
            let (id, symbol) = found(find(state, call, id)?);
            state.book.cancel(call.now, id).map_err(|refusal| Error::of(refusal, &symbol, call.ids))?;
            Ok(Answer::empty(204))
        }
        _ => Err(Error::not_found("endpoint not found")),
    }
}

fn place(state: &mut State, call: Call<'_>) -> Result<Answer, Error> {
    let request: OrderRequest = call.request.object().map_err(|_| Error::unreadable())?;
    let ticket = checks::ticket(state, call.now, call.account, &request)?;
    let symbol = ticket.symbol.clone();
    let placed = state.book.place(call.now, ticket);
    let id = placed.map_err(|refusal| Error::of(refusal, &symbol, call.ids))?;
    Ok(Answer::json(200, &taken(state, call, id)))
}

/// Returns the reply to an order just taken: what it was before it met a price.
pub(super) fn taken(state: &State, call: Call<'_>, id: OrderId) -> Value {
    match state.book.as_taken(id) {
        Some((order, legs)) => wire::taken(call.ids, order, legs),
        None => Value::Null,
    }
}

fn replace(state: &mut State, call: Call<'_>, id: &str) -> Result<Answer, Error> {
    let request: ReplaceRequest = call.request.object().map_err(|_| Error::unreadable())?;
    let old = find(state, call, id)?;
    let (id, symbol) = found(old);
    checks::standing(state, call.account)?;
    let trail = match (request.trail, old.ticket.kind) {
        (Some(trail), Kind::TrailingStop { .. }) if trail.0 > Decimal::ZERO => Some(trail.0),
        (Some(_), _) => return Err(Error::invalid("trail is only for trailing stop orders, and > 0")),
        (None, _) => None,
    };
    let qty = request.qty.map(|qty| qty.0);
    if qty.is_some_and(|qty| qty <= Decimal::ZERO) {
        return Err(Error::invalid("qty must be > 0"));
    }
    if qty.is_some_and(|qty| !qty.fract().is_zero()) {
        return Err(Error::invalid("qty must be an integer"));
    }
    let price = |what, amount: Option<wire::Amount>| amount.map(|it| checks::price(what, it)).transpose();
    let change = Change {
        qty,
        tif: request.time_in_force.as_deref().map(checks::tif).transpose()?,
        limit: price("limit_price", request.limit_price)?,
        stop: price("stop_price", request.stop_price)?,
        trail,
        client_order_id: checks::name(request.client_order_id.as_deref())?,
    };
    let replaced = state.book.replace(call.now, id, change);
    let new = replaced.map_err(|refusal| Error::of(refusal, &symbol, call.ids))?;
    Ok(Answer::json(200, &taken(state, call, new)))
}

fn cancel_all(state: &mut State, call: Call<'_>) -> Result<Answer, Error> {
    Ok(Answer::json(207, &cancel_each(state, call)))
}

/// Cancels every open order of the account. Returns what became of each.
pub(super) fn cancel_each(state: &mut State, call: Call<'_>) -> Vec<Value> {
    let mine = state.book.orders().filter(|order| order.ticket.account == call.account);
    let open: Vec<(OrderId, String)> = mine.filter(|order| order.status.is_open()).map(found).collect();
    let ended = open.into_iter().map(|(id, symbol)| {
        // One that its family took with it is canceled as asked.
        let gone = state.book.order(id).is_some_and(|order| !order.status.is_open());
        match if gone { Ok(()) } else { state.book.cancel(call.now, id) } {
            Ok(()) => {
                let body = state.book.order(id).map(|order| wire::order(call.ids, order, None));
                json!({"id": call.ids.order(id), "status": 200, "body": body})
            }
            Err(refusal) => {
                let error = Error::of(refusal, &symbol, call.ids);
                json!({"id": call.ids.order(id), "status": error.status, "body": error.body()})
            }
        }
    });
    ended.collect()
}

fn by_name(state: &State, call: Call<'_>) -> Result<Answer, Error> {
    let name = call.request.param("client_order_id");
    let name = name.ok_or_else(|| Error::invalid("client_order_id is required"))?;
    let order = state.book.named(call.account, &name);
    let order = order.ok_or_else(|| Error::not_found(format!("order not found for {name}")))?;
    Ok(Answer::json(200, &shown(state, call, order)?))
}

fn find<'a>(state: &'a State, call: Call<'_>, id: &str) -> Result<&'a Order, Error> {
    let order = call.ids.read_order(id).and_then(|id| state.book.order(id));
    let mine = order.filter(|order| order.ticket.account == call.account);
    mine.ok_or_else(|| Error::not_found(format!("order not found for {id}")))
}

fn found(order: &Order) -> (OrderId, String) {
    (order.id, order.ticket.symbol.clone())
}

fn shown(state: &State, call: Call<'_>, order: &Order) -> Result<Value, Error> {
    let legs = if call.flag("nested")? { state.book.legs(order) } else { Vec::new() };
    Ok(wire::order(call.ids, order, Some(&legs)))
}

fn list(state: &State, call: Call<'_>) -> Result<Answer, Error> {
    let status = call.request.param("status").unwrap_or_else(|| "open".to_owned());
    let open = match status.as_str() {
        "open" => Some(true),
        "closed" => Some(false),
        "all" => None,
        other => return Err(Error::invalid(format!("invalid status: {other}"))),
    };
    let side: Option<Side> = match call.request.param("side") {
        Some(text) => Some(wire::word(&text).ok_or_else(|| Error::invalid(format!("invalid side: {text}")))?),
        None => None,
    };
    let symbols = call.request.param("symbols").filter(|symbols| !symbols.is_empty());
    let symbols: Option<Vec<&str>> = symbols.as_ref().map(|symbols| symbols.split(',').collect());
    let (after, until) = (call.time("after")?, call.time("until")?);
    let most = call.count("limit", 50, 500)?;
    let nested = call.flag("nested")?;
    let wanted = |order: &&Order| {
        order.ticket.account == call.account
            && open.is_none_or(|open| order.status.is_open() == open)
            && side.is_none_or(|side| order.ticket.side == side)
            && symbols.as_ref().is_none_or(|symbols| symbols.contains(&order.ticket.symbol.as_str()))
            && after.is_none_or(|after| order.created_at > after)
            && until.is_none_or(|until| order.created_at < until)
    };
    let mut orders: Vec<&Order> = state.book.orders().filter(wanted).collect();
    if nested {
        // A leg whose parent is in the list is shown below it; another stands for itself.
        let listed: Vec<OrderId> = orders.iter().map(|order| order.id).collect();
        orders.retain(|order| order.parent.is_none_or(|parent| !listed.contains(&parent)));
    }
    if !call.ascending()? {
        orders.reverse();
    }
    let page = orders.into_iter().take(most).map(|order| {
        let legs = if nested { state.book.legs(order) } else { Vec::new() };
        wire::order(call.ids, order, Some(&legs))
    });
    Ok(Answer::json(200, &page.collect::<Vec<_>>()))
}
