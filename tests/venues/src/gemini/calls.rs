//! Every call there is: what anybody may ask, and what takes a signature.

use chrono::{DateTime, Utc};
use hyper::Method;
use serde_json::{Value, json};

use super::checks::{self, text};
use super::errors::Error;
use super::signing::Params;
use super::wire;
use crate::book::{Order, Refusal, Status};
use crate::faults::Facts;
use crate::http::Request;
use crate::limits::Meter;
use crate::signed::Signed;
use crate::world::State;

/// What a key must be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Anything.
    Any,
    /// To trade.
    Trader,
}

/// A call that takes a signature.
#[derive(Debug)]
pub(super) struct Call {
    path: &'static str,
    role: Role,
    names: &'static [&'static str],
    answer: fn(&mut State, DateTime<Utc>, &str, &Params) -> Result<Value, Error>,
}

static CALLS: [Call; 7] = [
    Call { path: "/v1/roles", role: Role::Any, names: &[], answer: roles },
    Call { path: "/v1/balances", role: Role::Any, names: &["account"], answer: balances },
    Call {
        path: "/v1/order/new",
        role: Role::Trader,
        names: &[
            "client_order_id",
            "symbol",
            "amount",
            "price",
            "side",
            "type",
            "options",
            "stop_price",
            "account",
            "margin_order",
        ],
        answer: place,
    },
    Call { path: "/v1/order/cancel", role: Role::Trader, names: &["order_id", "account"], answer: cancel },
    Call {
        path: "/v1/order/status",
        role: Role::Any,
        names: &["order_id", "client_order_id", "include_trades", "account"],
        answer: status,
    },
    Call { path: "/v1/orders", role: Role::Any, names: &["account"], answer: orders },
    Call {
        path: "/v1/mytrades",
        role: Role::Any,
        names: &["symbol", "limit_trades", "timestamp", "account"],
        answer: trades,
    },
];

/// Returns the call of a request.
///
/// # Errors
///
/// There is none.
pub(super) fn at(request: &Request) -> Result<&'static Call, Error> {
    let found = CALLS.iter().find(|call| call.path == request.path);
    match found {
        Some(call) if request.method == Method::POST => Ok(call),
        Some(_) => Err(Error::new(405, "MethodNotAllowed", "This call is a POST")),
        None => Err(Error::no_path()),
    }
}

impl Call {
    /// Answers it.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub(super) fn run(
        &self,
        state: &mut State,
        now: DateTime<Utc>,
        account: &str,
        params: &Params,
    ) -> Result<Value, Error> {
        let standing = state.directory.standing(account);
        let may = standing.is_some_and(|standing| match self.role {
            Role::Any => !standing.account_blocked,
            Role::Trader => standing.key.trade && !standing.account_blocked,
        });
        if !may {
            let words = "To access this endpoint, you need to log in to the website and go to the settings page to \
                         assign one of these roles [Trader] to this API key";
            return Err(Error::new(403, "MissingRole", words));
        }
        if let Some(name) = params.keys().find(|name| !self.names.contains(&name.as_str())) {
            return Err(Error::bad("InvalidJson", format!("Nobody asked for {name}")));
        }
        (self.answer)(state, now, account, params)
    }
}

/// Answers what anybody may ask; `None`: it is no such question.
pub(super) fn open(state: &State, now: DateTime<Utc>, request: &Request) -> Option<Result<Value, Error>> {
    if request.method != Method::GET {
        return None;
    }
    let active = || state.instruments.values().filter(|listed| listed.active);
    let details = |listed| wire::details(listed, checks::status(state, listed));
    let quoted = |name: &str| {
        let listed = checks::instrument(state, name)?;
        let quote = state.book.feed().quote(&listed.symbol).ok_or_else(|| Error::symbol(name))?;
        Ok((listed, quote))
    };
    Some(match request.segments().as_slice() {
        ["v1", "symbols"] => Ok(active().map(|listed| wire::symbol(&listed.symbol)).collect()),
        ["v1", "symbols", "details", "all"] => Ok(active().map(details).collect()),
        ["v1", "symbols", "details", name] => checks::instrument(state, &name.to_lowercase()).map(details),
        ["v1", "pubticker", name] => quoted(name).map(|(listed, quote)| wire::ticker(listed, &quote)),
        ["v2", "ticker", name] => quoted(name).map(|(listed, quote)| {
            let last = wire::amount(quote.last);
            json!({
                "symbol": wire::symbol(&listed.symbol).to_uppercase(),
                "open": last, "high": last, "low": last, "close": last, "changes": [last],
                "bid": wire::amount(quote.bid), "ask": wire::amount(quote.ask),
                "time": now.timestamp_millis(),
            })
        }),
        _ => return None,
    })
}

/// Returns what a request is about, for the rules of what goes wrong.
pub(super) fn facts(state: &State, request: &Request, account: Option<String>, meters: Vec<Meter>) -> Facts {
    let payload = request.header("x-gemini-payload").and_then(Signed::read_base64);
    let params: Params = payload.and_then(|text| serde_json::from_slice(&text.0).ok()).unwrap_or_default();
    let by_id = number(&params).and_then(|number| state.book.order(wire::order_id(number)?));
    let listed = text(&params, "symbol").and_then(|name| checks::instrument(state, name).ok());
    Facts {
        route: format!("{} {}", request.method, request.path),
        account,
        meters,
        client_order_id: text(&params, "client_order_id")
            .map(str::to_owned)
            .or_else(|| by_id.map(|order| order.client_order_id.clone())),
        symbol: listed.map(|listed| listed.symbol.clone()),
    }
}

/// Returns the number of an order, written as one or as text.
fn number(params: &Params) -> Option<u64> {
    let given = params.get("order_id")?;
    given.as_u64().or_else(|| given.as_str()?.parse().ok())
}

fn roles(state: &mut State, _: DateTime<Utc>, account: &str, _: &Params) -> Result<Value, Error> {
    let key = state.directory.standing(account).map(|standing| standing.key).unwrap_or_default();
    Ok(json!({
        "isAuditor": !key.trade && !key.withdraw,
        "isFundManager": key.withdraw,
        "isTrader": key.trade,
    }))
}

fn balances(state: &mut State, _: DateTime<Utc>, account: &str, _: &Params) -> Result<Value, Error> {
    Ok(state.book.balances(account).iter().map(wire::balance).collect())
}

fn place(state: &mut State, now: DateTime<Utc>, account: &str, params: &Params) -> Result<Value, Error> {
    let ticket = checks::ticket(state, account, params)?;
    let name = wire::symbol(&ticket.symbol);
    let id = state.book.place(now, ticket).map_err(|refusal| Error::of(&refusal, &name))?;
    let order = state.book.order(id);
    // What is rejected right after it was taken was taken all the same.
    let taken = state.book.as_taken(id).map(|(taken, _)| taken);
    let shown = taken.filter(|_| order.is_some_and(|order| order.status == Status::Rejected)).or(order);
    Ok(shown.map(wire::order).unwrap_or_default())
}

/// Returns the order that is meant by its number or its name, not by both.
fn find<'a>(state: &'a State, account: &str, params: &Params) -> Result<&'a Order, Error> {
    let found = match (number(params), text(params, "client_order_id")) {
        (Some(number), None) => wire::order_id(number).and_then(|id| state.book.order(id)),
        (None, Some(name)) => state.book.named(account, name),
        (Some(_), Some(_)) | (None, None) => {
            let words = "One of order_id and client_order_id is to be given";
            return Err(Error::bad("MissingOrderField", words));
        }
    };
    let shown = || params.values().next().map(Value::to_string).unwrap_or_default();
    found.filter(|order| order.ticket.account == account).ok_or_else(|| Error::no_order(&shown()))
}

fn cancel(state: &mut State, now: DateTime<Utc>, account: &str, params: &Params) -> Result<Value, Error> {
    let id = find(state, account, params)?.id;
    match state.book.cancel(now, id) {
        // To cancel what is over, or about to be, changes nothing.
        Ok(()) | Err(Refusal::NotOpen(_)) => Ok(state.book.order(id).map(wire::order).unwrap_or_default()),
        Err(refusal) => Err(Error::of(&refusal, "")),
    }
}

fn status(state: &mut State, _: DateTime<Utc>, account: &str, params: &Params) -> Result<Value, Error> {
    let order = find(state, account, params)?;
    let mut shown = wire::order(order);
    if params.get("include_trades").and_then(Value::as_bool).unwrap_or_default() {
        let trades = state.book.trades().iter().filter(|trade| trade.order == order.id);
        let trades: Value = trades.map(|trade| wire::trade(trade, order)).collect();
        if let Some(fields) = shown.as_object_mut() {
            fields.insert("trades".to_owned(), trades);
        }
    }
    Ok(shown)
}

fn orders(state: &mut State, _: DateTime<Utc>, account: &str, _: &Params) -> Result<Value, Error> {
    let is_shown = |order: &&Order| order.ticket.account == account && order.status.is_open();
    Ok(state.book.orders().filter(is_shown).map(wire::order).collect())
}

fn trades(state: &mut State, _: DateTime<Utc>, account: &str, params: &Params) -> Result<Value, Error> {
    let symbol = &checks::instrument(state, text(params, "symbol").unwrap_or_default())?.symbol;
    let most = params.get("limit_trades").map_or(Some(50), Value::as_u64).filter(|most| *most <= 500);
    let most = most.ok_or_else(|| Error::bad("InvalidLimit", "At most 500 trades are shown"))?;
    let since = params.get("timestamp").map_or(Some(0), Value::as_i64);
    let since =
        since.ok_or_else(|| Error::bad("InvalidTimestampInPayload", "A timestamp is a whole number"))?;
    // Seconds, or so many that they are milliseconds.
    let since = if since > 100_000_000_000 { since } else { since.saturating_mul(1000) };
    let newest_first = state.book.trades().iter().rev().filter(|trade| trade.at.timestamp_millis() >= since);
    let mine = newest_first.filter_map(|trade| {
        let of = state.book.order(trade.order)?;
        let is_mine = of.ticket.account == account && of.ticket.symbol == *symbol;
        is_mine.then(|| wire::trade(trade, of))
    });
    Ok(mine.take(usize::try_from(most).unwrap_or(usize::MAX)).collect())
}
