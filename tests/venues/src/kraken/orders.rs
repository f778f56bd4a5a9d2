//! Orders: placed, looked up and canceled.

use serde_json::{Map, Value, json};

use super::calls::Call;
use super::errors::Error;
use super::{checks, wire};
use crate::book::{Order, Refusal, Status, Trade};
use crate::world::State;

/// How many orders or trades one page shows.
const PAGE: usize = 50;
/// How many orders one question may name.
const ORDERS_MAX: usize = 50;
/// How many trades one question may name.
const TRADES_MAX: usize = 20;

/// Answers `AddOrder`.
pub(super) fn add(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let ticket = checks::ticket(state, call)?;
    let descr = json!({"order": wire::described(state, &ticket)});
    if call.params.flag("validate")? {
        return Ok(json!({"descr": descr}));
    }
    let id = state.book.place(call.now, ticket).map_err(|refusal| Error::of(&refusal))?;
    Ok(json!({"txid": [wire::txid(id)], "descr": descr}))
}

/// Answers `CancelOrder`.
pub(super) fn cancel(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let params = call.params;
    let found = match (params.raw("txid"), params.raw("cl_ord_id")) {
        (Some(txid), None) => wire::order_id(txid).and_then(|id| state.book.order(id)),
        (None, Some(name)) => state.book.named(call.account, name),
        (None, None) | (Some(_), Some(_)) => return Err(Error::argument("txid")),
    };
    let found = found.filter(|order| order.ticket.account == call.account && order.status.is_open());
    let id = found.ok_or(Error::NoOrder)?.id;
    match state.book.cancel_as(call.now, id, "User requested") {
        // A cancel that is on its way already is one.
        Ok(()) | Err(Refusal::NotOpen(Status::PendingCancel)) => Ok(json!({"count": 1})),
        Err(_) => Err(Error::NoOrder),
    }
}

/// Returns an account's orders that are meant, the newest first.
fn meant<'a>(state: &'a State, call: Call<'a>, open: bool) -> Result<impl Iterator<Item = &'a Order>, Error> {
    if call.params.raw("userref").is_some_and(|number| number.parse::<i32>().is_err()) {
        return Err(Error::argument("userref"));
    }
    // No order here has a number of its owner's.
    let none = call.params.raw("userref").is_some();
    let name = call.params.raw("cl_ord_id");
    Ok(state.book.orders().rev().filter(move |order| {
        !none
            && order.ticket.account == call.account
            && order.status.is_open() == open
            && name.is_none_or(|name| order.client_order_id == name)
    }))
}

fn shown<'a>(state: &State, call: Call<'_>, orders: impl Iterator<Item = &'a Order>) -> Result<Value, Error> {
    let with_trades = call.params.flag("trades")?;
    let shown = orders.map(|order| (wire::txid(order.id), wire::order(state, order, with_trades)));
    Ok(Value::Object(shown.collect()))
}

/// Answers `OpenOrders`.
pub(super) fn open(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let found = meant(state, call, true)?;
    Ok(json!({"open": shown(state, call, found)?}))
}

fn page(call: Call<'_>) -> Result<usize, Error> {
    let skip = call.params.raw("ofs").unwrap_or("0");
    skip.parse().map_err(|_| Error::argument("ofs"))
}

/// Answers `ClosedOrders`.
pub(super) fn closed(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let (from, until) = (call.params.amount("start")?, call.params.amount("end")?);
    let between = |order: &&Order| {
        let at = wire::seconds(order.created_at);
        from.is_none_or(|from| at > from) && until.is_none_or(|until| at <= until)
    };
    let count = meant(state, call, false)?.filter(between).count();
    let found = meant(state, call, false)?.filter(between).skip(page(call)?).take(PAGE);
    Ok(json!({"closed": shown(state, call, found)?, "count": count}))
}

/// Answers `QueryOrders`.
pub(super) fn by_id(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let wanted = call.params.list("txid", ORDERS_MAX)?;
    let find = |txid: &&str| {
        let order = wire::order_id(txid).and_then(|id| state.book.order(id));
        order.filter(|order| order.ticket.account == call.account).ok_or(Error::NoOrder)
    };
    let found: Vec<&Order> = wanted.iter().map(find).collect::<Result<_, _>>()?;
    shown(state, call, found.into_iter())
}

/// Returns a trade as it is shown to whose it is.
fn trade(state: &State, call: Call<'_>, trade: &Trade) -> Option<(String, Value)> {
    let order = state.book.order(trade.order)?;
    let mine = order.ticket.account == call.account;
    mine.then(|| (wire::trade_id(trade.execution.id), wire::trade(state, trade, order)))
}

/// Answers `QueryTrades`.
pub(super) fn trades_by_id(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    call.params.flag("trades")?;
    let wanted = call.params.list("txid", TRADES_MAX)?;
    let find = |txid: &&str| {
        let found = state.book.trades().iter().find(|trade| wire::trade_id(trade.execution.id) == **txid);
        found.and_then(|found| trade(state, call, found)).ok_or_else(|| Error::argument("txid"))
    };
    Ok(Value::Object(wanted.iter().map(find).collect::<Result<Map<_, _>, _>>()?))
}

/// Answers `TradesHistory`.
pub(super) fn trades(state: &mut State, call: Call<'_>) -> Result<Value, Error> {
    let (from, until) = (call.params.amount("start")?, call.params.amount("end")?);
    let between = |trade: &&Trade| {
        let at = wire::seconds(trade.at);
        from.is_none_or(|from| at > from) && until.is_none_or(|until| at <= until)
    };
    let all = state.book.trades().iter().rev().filter(between);
    let all: Vec<_> = all.filter_map(|found| trade(state, call, found)).collect();
    let count = all.len();
    let found: Map<_, _> = all.into_iter().skip(page(call)?).take(PAGE).collect();
    Ok(json!({"trades": found, "count": count}))
}
