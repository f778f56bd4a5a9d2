//! Orders: placed, looked up and canceled, and their trades.

use serde_json::{Value, json};

use super::{CHILD_NAMES, checks, errors, wire};
use crate::binance::calls::Call;
use crate::binance::checks::instrument;
use crate::binance::errors::Error;
use crate::book::{Order, OrderId, Refusal, Status};
use crate::world::State;

/// Answers `POST /fapi/v1/order`.
pub(super) fn place(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let ticket = checks::order(state, call)?;
    let in_full = match call.params.text("newOrderRespType")? {
        None | Some("ACK") => false,
        Some("RESULT") => true,
        Some(_) => return Err(Error::value("newOrderRespType")),
    };
    let id = state.book.place(call.now, ticket).map_err(|refusal| errors::of(&refusal))?;
    let taken = state.book.as_taken(id).map(|(taken, _)| taken);
    let order = state.book.order(id);
    // Without being asked to, Binance says no more than that it took the order.
    let shown =
        if in_full { order.filter(|order| order.status != Status::Rejected).or(taken) } else { taken };
    Ok(shown.or(order).map(|order| wire::placed(order, &order.client_order_id)).unwrap_or_default())
}

/// Returns an order's name: what a stop became may have one of its own.
pub(super) fn name(state: &State, order: &Order) -> String {
    if wire::is_algo(order) && state.settings.number(CHILD_NAMES) == 1 {
        return format!("child-{}", order.id.0);
    }
    order.client_order_id.clone()
}

/// Returns the order that is meant by its number or its name.
fn find<'a>(state: &'a State, call: Call<'_>) -> Result<Option<&'a Order>, Error> {
    let symbol = &instrument(state, call.params)?.symbol;
    let (number, wanted) = (call.params.whole("orderId")?, call.params.text("origClientOrderId")?);
    if number.is_none() && wanted.is_none() {
        return Err(Error::either("origClientOrderId", "orderId"));
    }
    let is_it = |order: &&Order| {
        order.ticket.account == call.account
            && order.ticket.symbol == *symbol
            && wire::is_order(order)
            && match number {
                Some(number) => order.id == OrderId(number),
                None => wanted == Some(name(state, order).as_str()),
            }
    };
    Ok(state.book.orders().rfind(is_it))
}

fn shown(state: &State, order: &Order) -> Value {
    wire::order(order, &name(state, order))
}

/// Answers `GET /fapi/v1/order`.
pub(super) fn one(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    find(state, call)?.map(|order| shown(state, order)).ok_or_else(|| errors::code(-2013))
}

/// Answers `DELETE /fapi/v1/order`.
pub(super) fn cancel(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let found = find(state, call)?.filter(|order| order.status.is_open());
    let id = found.map(|order| order.id).ok_or_else(|| errors::code(-2011))?;
    end(state, call, id)?;
    Ok(state.book.order(id).map(|order| shown(state, order)).unwrap_or_default())
}

/// Cancels an order. A cancel that is on its way already is one.
pub(super) fn end(state: &mut State, call: Call<'_>, id: OrderId) -> Result<(), Error> {
    match state.book.cancel(call.now, id) {
        Ok(()) | Err(Refusal::NotOpen(Status::PendingCancel)) => Ok(()),
        Err(_) => Err(errors::code(-2011)),
    }
}

/// Returns an account's orders, of one symbol or of all.
pub(super) fn mine<'a>(state: &'a State, call: Call<'a>) -> Result<impl Iterator<Item = &'a Order>, Error> {
    let symbol = match call.params.raw("symbol") {
        Some(_) => Some(instrument(state, call.params)?.symbol.clone()),
        None => None,
    };
    Ok(state.book.orders().filter(move |order| {
        order.ticket.account == call.account
            && symbol.as_ref().is_none_or(|symbol| order.ticket.symbol == *symbol)
    }))
}

/// Answers `GET /fapi/v1/openOrders`.
pub(super) fn open(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let open = mine(state, call)?.filter(|order| order.status.is_open() && wire::is_order(order));
    Ok(open.map(|order| shown(state, order)).collect())
}

/// Answers `GET /fapi/v1/allOrders`.
pub(super) fn all(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    instrument(state, call.params)?;
    let (most, times) = (call.most()?, call.times()?);
    let found: Vec<Value> = mine(state, call)?
        .filter(|order| wire::is_order(order) && times.hold(order.created_at))
        .map(|order| shown(state, order))
        .collect();
    Ok(call.page(&found, most, times.start_somewhere()).to_vec().into())
}

/// Answers `DELETE /fapi/v1/allOpenOrders`.
pub(super) fn cancel_all(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    instrument(state, call.params)?;
    let open = mine(state, call)?.filter(|order| order.status.is_open() && wire::is_order(order));
    for id in open.map(|order| order.id).collect::<Vec<_>>() {
        end(state, call, id)?;
    }
    Ok(json!({"code": 200, "msg": "The operation of cancel all open order is done."}))
}

/// Answers `GET /fapi/v1/userTrades`.
pub(super) fn trades(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let symbol = &instrument(state, call.params)?.symbol;
    let (order, from) = (call.params.whole("orderId")?, call.params.whole("fromId")?);
    let (times, most) = (call.times()?, call.most()?);
    let wanted = state.book.trades().iter().filter(|trade| {
        order.is_none_or(|order| trade.order == OrderId(order))
            && from.is_none_or(|from| trade.execution.id >= from)
            && times.hold(trade.at)
    });
    let found: Vec<Value> = wanted
        .filter_map(|trade| {
            let of = state.book.order(trade.order)?;
            let mine = of.ticket.account == call.account && of.ticket.symbol == *symbol;
            mine.then(|| wire::trade(trade, of))
        })
        .collect();
    Ok(call.page(&found, most, from.is_some() || times.start_somewhere()).to_vec().into())
}
