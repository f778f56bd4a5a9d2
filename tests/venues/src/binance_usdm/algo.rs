//! The algo service: stops that become orders when their price is reached.

use serde_json::{Value, json};

use super::orders::{end, mine};
use super::{checks, errors, wire};
use crate::binance::calls::Call;
use crate::binance::errors::Error;
use crate::book::Order;
use crate::world::State;

/// Answers `POST /fapi/v1/algoOrder`.
pub(super) fn place(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let ticket = checks::algo(state, call)?;
    let id = state.book.place(call.now, ticket).map_err(|refusal| errors::of(&refusal))?;
    Ok(state.book.order(id).map(wire::algo_placed).unwrap_or_default())
}

/// Returns the stop that is meant by its number or its name.
fn find<'a>(state: &'a State, call: Call<'_>) -> Result<Option<&'a Order>, Error> {
    let (number, name) = (call.params.whole("algoId")?, call.params.text("clientAlgoId")?);
    if number.is_none() && name.is_none() {
        return Err(Error::either("algoId", "clientAlgoId"));
    }
    let is_it = |order: &&Order| {
        order.ticket.account == call.account
            && wire::is_algo(order)
            && number.is_none_or(|number| wire::of_algo(number) == Some(order.id.0))
            && name.is_none_or(|name| order.client_order_id == name)
    };
    Ok(state.book.orders().rfind(is_it))
}

/// Answers `GET /fapi/v1/algoOrder`.
pub(super) fn one(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    find(state, call)?.map(wire::algo).ok_or_else(|| errors::code(-2013))
}

/// Answers `DELETE /fapi/v1/algoOrder`. What became an order is canceled as that.
pub(super) fn cancel(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let found = find(state, call)?.filter(|order| order.status.is_open() && !order.triggered);
    let order = found.cloned().ok_or_else(|| errors::code(-2011))?;
    end(state, call, order.id)?;
    Ok(json!({
        "algoId": wire::algo_id(&order), "clientAlgoId": order.client_order_id, "code": "200", "msg": "success",
    }))
}

/// Answers `GET /fapi/v1/openAlgoOrders`.
pub(super) fn open(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let open =
        mine(state, call)?.filter(|order| wire::is_algo(order) && order.status.is_open() && !order.triggered);
    Ok(open.map(wire::algo).collect())
}
