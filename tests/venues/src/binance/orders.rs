//! Orders: placed, looked up and canceled, one by one or two of which one ends the other.

use serde_json::{Value, json};

use super::calls::Call;
use super::checks;
use super::errors::Error;
use super::params::Params;
use super::wire;
use crate::book::{Class, Order, OrderId, Refusal, Status, Ticket};
use crate::world::State;

/// Answers `POST /api/v3/order`.
pub(super) fn place(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let ticket = checks::ticket(state, call.account, call.params)?;
    let plain = matches!(call.params.need("type")?, "MARKET" | "LIMIT");
    let detail = detail(call.params, if plain { Detail::Full } else { Detail::Ack })?;
    let id = state.book.place(call.now, ticket).map_err(|refusal| Error::of(&refusal))?;
    Ok(placed(state, call, id, detail))
}

/// Answers `POST /api/v3/order/test`.
pub(super) fn test(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let ticket = checks::ticket(state, call.account, call.params)?;
    detail(call.params, Detail::Ack)?;
    // The matching engine does not see it: money is not asked for, names are.
    if ticket.client_order_id.as_ref().is_some_and(|name| state.book.name_is_taken(call.account, name)) {
        return Err(Error::duplicate());
    }
    Ok(json!({}))
}

/// How much is answered to a new order.
#[derive(Clone, Copy, Debug)]
enum Detail {
    Ack,
    Result,
    Full,
}

fn detail(params: &Params, otherwise: Detail) -> Result<Detail, Error> {
    match params.text("newOrderRespType")? {
        None => Ok(otherwise),
        Some("ACK") => Ok(Detail::Ack),
        Some("RESULT") => Ok(Detail::Result),
        Some("FULL") => Ok(Detail::Full),
        Some(_) => Err(Error::value("newOrderRespType")),
    }
}

fn placed(state: &State, call: Call<'_>, id: OrderId, detail: Detail) -> Value {
    let Some(order) = state.book.order(id) else { return Value::Null };
    // What is rejected right after it was taken was taken all the same.
    let taken = state.book.as_taken(id).map(|(taken, _)| taken);
    let order = taken.filter(|_| order.status == Status::Rejected).unwrap_or(order);
    match detail {
        Detail::Ack => wire::ack(order, call.now),
        Detail::Result => wire::result(order, call.now),
        Detail::Full => {
            let trades: Vec<_> = state.book.trades().iter().filter(|trade| trade.order == id).collect();
            wire::full(order, call.now, &trades)
        }
    }
}

/// Returns the order that is meant by its number, its name or both.
fn find<'a>(state: &'a State, call: Call<'_>) -> Result<Option<&'a Order>, Error> {
    let symbol = &checks::instrument(state, call.params)?.symbol;
    let (number, name) = (call.params.whole("orderId")?, call.params.text("origClientOrderId")?);
    let found = match (number, name) {
        (Some(number), _) => state.book.order(wire::order_id(number)),
        (None, Some(name)) => state.book.named(call.account, name),
        (None, None) => return Err(Error::either("origClientOrderId", "orderId")),
    };
    let is_it = |order: &&Order| {
        order.ticket.account == call.account
            && order.ticket.symbol == *symbol
            && name.is_none_or(|name| order.client_order_id == name)
    };
    Ok(found.filter(is_it))
}

/// Answers `GET /api/v3/order`.
pub(super) fn one(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    find(state, call)?.map(wire::order).ok_or_else(Error::no_order)
}

/// Answers `DELETE /api/v3/order`.
pub(super) fn cancel(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let only = match call.params.text("cancelRestrictions")? {
        None => None,
        Some("ONLY_NEW") => Some(true),
        Some("ONLY_PARTIALLY_FILLED") => Some(false),
        Some(_) => return Err(Error::word(-1145)),
    };
    let name = call.params.name("newClientOrderId")?.map(str::to_owned);
    let unknown = || Error::not_canceled("Unknown order sent.");
    let order = find(state, call)?.filter(|order| order.status.is_open()).ok_or_else(unknown)?;
    if only.is_some_and(|new| new != order.filled_qty.is_zero()) {
        return Err(Error::not_canceled("Order was not canceled due to cancel restrictions."));
    }
    let id = order.id;
    let listed = pair_of(state, order);
    let name = name.unwrap_or_else(|| made_up(call, id));
    end(state, call, id, &name)?;
    match listed {
        Some(pair) => Ok(ended_list(state, call, &pair, &name)),
        None => Ok(state.book.order(id).map(|order| wire::canceled(order, call.now)).unwrap_or_default()),
    }
}

/// Returns the name that Binance gives a cancel whose owner gives it none.
fn made_up(call: Call<'_>, id: OrderId) -> String {
    format!("cancel{}x{}", call.now.timestamp_micros(), id.0)
}

fn end(state: &mut State, call: Call<'_>, id: OrderId, name: &str) -> Result<(), Error> {
    match state.book.cancel_as(call.now, id, name) {
        // A cancel that is on its way already is one.
        Ok(()) | Err(Refusal::NotOpen(Status::PendingCancel)) => Ok(()),
        Err(_) => Err(Error::not_canceled("Unknown order sent.")),
    }
}

/// Returns an account's open orders, of one symbol or of all.
fn open_ids(state: &State, call: Call<'_>, symbol: Option<&str>) -> Vec<OrderId> {
    let mine = state.book.orders().filter(|order| {
        order.ticket.account == call.account
            && order.status.is_open()
            && symbol.is_none_or(|symbol| order.ticket.symbol == symbol)
    });
    mine.map(|order| order.id).collect()
}

/// Answers `GET /api/v3/openOrders`.
pub(super) fn open(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let symbol = match call.params.raw("symbol") {
        Some(_) => Some(checks::instrument(state, call.params)?.symbol.clone()),
        None => None,
    };
    let ids = open_ids(state, call, symbol.as_deref());
    Ok(ids.into_iter().filter_map(|id| state.book.order(id)).map(wire::order).collect())
}

/// Answers `GET /api/v3/allOrders`.
pub(super) fn all(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let symbol = &checks::instrument(state, call.params)?.symbol;
    let (from, most) = (call.params.whole("orderId")?, call.most()?);
    let times = call.times()?;
    let wanted = |order: &&Order| {
        order.ticket.account == call.account
            && order.ticket.symbol == *symbol
            && from.is_none_or(|from| order.id.0 >= from)
            && times.hold(order.created_at)
    };
    let found: Vec<&Order> = state.book.orders().filter(wanted).collect();
    let page = call.page(&found, most, from.is_some() || times.start_somewhere());
    Ok(page.iter().map(|order| wire::order(order)).collect())
}

/// Answers `DELETE /api/v3/openOrders`.
pub(super) fn cancel_all(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let symbol = checks::instrument(state, call.params)?.symbol.clone();
    let ids = open_ids(state, call, Some(&symbol));
    let first = *ids.first().ok_or_else(|| Error::not_canceled("Unknown order sent."))?;
    let name = made_up(call, first);
    let mut shown = Vec::new();
    for id in ids {
        let Some(order) = state.book.order(id).filter(|order| order.status.is_open()) else { continue };
        let listed = pair_of(state, order);
        end(state, call, id, &name)?;
        shown.push(match listed {
            Some(pair) => ended_list(state, call, &pair, &name),
            None => state.book.order(id).map(|order| wire::canceled(order, call.now)).unwrap_or_default(),
        });
    }
    Ok(shown.into())
}

/// Returns the two orders of the list that an order is in.
pub(super) fn pair_of(state: &State, order: &Order) -> Option<Vec<OrderId>> {
    if order.ticket.class != Class::Oco {
        return None;
    }
    let first = state.book.order(order.parent.unwrap_or(order.id))?;
    Some(std::iter::once(first.id).chain(first.legs.iter().copied()).collect())
}

fn orders_of(state: &State, ids: &[OrderId]) -> Vec<Order> {
    ids.iter().filter_map(|id| state.book.order(*id).cloned()).collect()
}

/// Returns the list that two orders are.
pub(super) fn list_of(state: &State, call: Call<'_>, ids: &[OrderId]) -> Value {
    wire::list(&orders_of(state, ids), call.now)
}

fn ended_list(state: &State, call: Call<'_>, ids: &[OrderId], name: &str) -> Value {
    let pair = orders_of(state, ids);
    let shown = |order: &Order| {
        let mut named = order.clone();
        named.canceled_as = Some(name.to_owned());
        wire::canceled(&named, call.now)
    };
    wire::list_with(wire::list(&pair, call.now), pair.iter().map(shown).collect())
}

/// The parameters of `POST /api/v3/orderList/oco`.
pub(super) const OCO_NAMES: [&str; 31] = [
    "symbol",
    "listClientOrderId",
    "side",
    "quantity",
    "aboveType",
    "aboveClientOrderId",
    "aboveIcebergQty",
    "abovePrice",
    "aboveStopPrice",
    "aboveTrailingDelta",
    "aboveTimeInForce",
    "aboveStrategyId",
    "aboveStrategyType",
    "abovePegPriceType",
    "abovePegOffsetType",
    "abovePegOffsetValue",
    "belowType",
    "belowClientOrderId",
    "belowIcebergQty",
    "belowPrice",
    "belowStopPrice",
    "belowTrailingDelta",
    "belowTimeInForce",
    "belowStrategyId",
    "belowStrategyType",
    "belowPegPriceType",
    "belowPegOffsetType",
    "belowPegOffsetValue",
    "newOrderRespType",
    "selfTradePreventionMode",
    "computeCommissionRates",
];

/// Answers `POST /api/v3/orderList/oco`.
///
/// Which of the two orders is asked for first is not written down; here it is the one above.
pub(super) fn place_pair(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let params = call.params;
    let side = checks::side(params)?;
    let (above, below) = (params.need("aboveType")?, params.need("belowType")?);
    checks::check_pair(side, above, below)?;
    let list_name = params.name("listClientOrderId")?;
    let name = list_name.map_or_else(|| format!("list{}", call.now.timestamp_micros()), str::to_owned);
    let is_taken = |order: &Order| {
        order.ticket.account == call.account
            && order.status.is_open()
            && order.ticket.terms.memo.get("listClientOrderId").and_then(Value::as_str) == Some(&name)
    };
    let taken = state.book.orders().any(is_taken);
    let leg = |prefix: &str| -> Result<Ticket, Error> {
        let own = params.below(prefix);
        let client_name = own.raw("clientOrderId").map(str::to_owned);
        let own = own
            .with("symbol", params.raw("symbol"))
            .with("side", params.raw("side"))
            .with("quantity", Some(params.need("quantity")?))
            .with("newClientOrderId", client_name.as_deref())
            .with("selfTradePreventionMode", params.raw("selfTradePreventionMode"));
        let mut ticket = checks::leg(state, call.account, &own)?;
        ticket.class = Class::Oco;
        if let Some(memo) = ticket.terms.memo.as_object_mut() {
            memo.insert("listClientOrderId".to_owned(), json!(name));
        }
        Ok(ticket)
    };
    let (above, below) = (leg("above")?, leg("below")?);
    checks::check_around(state, &above, &below)?;
    if taken {
        return Err(Error::duplicate());
    }
    let detail = detail(params, Detail::Full)?;
    let ids = state.book.place_pair(call.now, [above, below]).map_err(|refusal| Error::of(&refusal))?;
    let reports = ids.iter().map(|id| placed(state, call, *id, detail)).collect();
    Ok(wire::list_with(list_of(state, call, &ids), reports))
}

/// Returns the list that is meant by its number, its name or both.
fn find_list(state: &State, call: Call<'_>, name_is: &str) -> Result<Option<Vec<OrderId>>, Error> {
    let (number, name) = (call.params.whole("orderListId")?, call.params.text(name_is)?);
    if number.is_none() && name.is_none() {
        return Err(Error::either("orderListId", name_is));
    }
    let is_it = |order: &&Order| {
        let called = order.ticket.terms.memo.get("listClientOrderId").and_then(Value::as_str);
        order.ticket.account == call.account
            && order.ticket.class == Class::Oco
            && order.parent.is_none()
            && number.is_none_or(|number| order.id == wire::order_id(number))
            && name.is_none_or(|name| called == Some(name))
    };
    let mut all = state.book.orders();
    Ok(all.rfind(is_it).and_then(|order| pair_of(state, order)))
}

/// Answers `GET /api/v3/orderList`.
pub(super) fn list(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let pair = find_list(state, call, "origClientOrderId")?;
    let pair = pair.ok_or_else(|| Error::new(400, -2013, "Order list does not exist."))?;
    Ok(list_of(state, call, &pair))
}

/// Answers `DELETE /api/v3/orderList`.
pub(super) fn cancel_list(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let symbol = checks::instrument(state, call.params)?.symbol.clone();
    let pair = find_list(state, call, "listClientOrderId")?;
    let open = |id: &&OrderId| {
        state.book.order(**id).is_some_and(|order| order.status.is_open() && order.ticket.symbol == symbol)
    };
    let pair = pair.unwrap_or_default();
    let first = pair.iter().find(open).copied();
    let first = first.ok_or_else(|| Error::not_canceled("Unknown order list sent."))?;
    let name = call.params.name("newClientOrderId")?.map_or_else(|| made_up(call, first), str::to_owned);
    end(state, call, first, &name)?;
    Ok(ended_list(state, call, &pair, &name))
}
