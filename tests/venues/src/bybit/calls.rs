//! Every call there is, what it takes to be let in, and what it counts as.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hyper::Method;
use serde_json::Value;

use super::errors::{self, Error};
use super::{checks, market, orders, signing};
use crate::faults::Facts;
use crate::http::Request;
use crate::limits::Meter;
use crate::world::State;

/// The pool of all requests, by address.
pub(super) const ADDRESS: &str = "address";
/// The pool of new orders, by account.
pub(super) const CREATE: &str = "create";
/// The pool of cancels, by account.
pub(super) const CANCEL: &str = "cancel";
/// The pool of questions about an account. Bybit counts each kind by itself; here they are counted together.
pub(super) const ASK: &str = "ask";

/// One call of somebody who was let in; of nobody where everybody is.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) now: DateTime<Utc>,
    pub(super) account: &'a str,
    pub(super) params: Params,
}

/// What a request says, by name.
#[derive(Debug, Default)]
pub(super) struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads the query of a question, or the JSON of what is to be done, all of whose values but `isLeverage` are text.
    fn of(request: &Request) -> Result<Self, Error> {
        if request.method == Method::GET {
            let (pairs, mut all) = (request.params(), BTreeMap::new());
            for (name, value) in pairs {
                if all.insert(name.clone(), value).is_some() {
                    return Err(Error::params(format!("{name} is there twice")));
                }
            }
            return Ok(Self(all));
        }
        if request.header("content-type").is_none_or(|kind| !kind.starts_with("application/json")) {
            return Err(Error::params("the body is no JSON"));
        }
        let fields: serde_json::Map<String, Value> =
            request.object().map_err(|_| Error::params("the body is no JSON object"))?;
        let read = |(name, value): (String, Value)| match value {
            Value::String(text) => Ok((name, text)),
            Value::Number(number) if name == "isLeverage" => Ok((name, number.to_string())),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                Err(Error::params(format!("{name} is no text")))
            }
        };
        Ok(Self(fields.into_iter().map(read).collect::<Result<_, _>>()?))
    }

    /// Returns one that is there and says something.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns one that has to be there.
    pub(super) fn need(&self, name: &str) -> Result<&str, Error> {
        self.text(name).ok_or_else(|| Error::params(format!("{name} is missing")))
    }

    fn only(&self, known: &[&str]) -> Result<(), Error> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(odd) => Err(Error::params(format!("{odd} is not known"))),
            None => Ok(()),
        }
    }
}

/// What a call takes to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Security {
    Open,
    Look,
    Trade,
}

type Answered = fn(&mut State, &Call<'_>) -> Result<Value, Error>;

#[derive(Debug)]
struct Endpoint {
    method: Method,
    path: &'static str,
    security: Security,
    pool: Option<&'static str>,
    names: &'static [&'static str],
    answer: Answered,
}

const ORDERS: &[&str] = &["category", "symbol", "orderId", "orderLinkId", "openOnly", "limit", "cursor"];

static ENDPOINTS: [Endpoint; 10] = [
    open("/v5/market/time", &[], market::time),
    open("/v5/market/instruments-info", &["category", "symbol", "limit", "cursor"], market::instruments),
    open("/v5/market/tickers", &["category", "symbol"], market::tickers),
    look("/v5/user/query-api", &[], market::key),
    look("/v5/account/wallet-balance", &["accountType", "coin"], market::wallet),
    look("/v5/order/realtime", ORDERS, orders::realtime),
    look("/v5/order/history", ORDERS, orders::history),
    look(
        "/v5/execution/list",
        &["category", "symbol", "orderId", "orderLinkId", "execType", "startTime", "limit", "cursor"],
        orders::executions,
    ),
    Endpoint {
        method: Method::POST,
        path: "/v5/order/create",
        security: Security::Trade,
        pool: Some(CREATE),
        names: &checks::NAMES,
        answer: orders::create,
    },
    Endpoint {
        method: Method::POST,
        path: "/v5/order/cancel",
        security: Security::Trade,
        pool: Some(CANCEL),
        names: &["category", "symbol", "orderId", "orderLinkId", "orderFilter"],
        answer: orders::cancel,
    },
];

const fn open(path: &'static str, names: &'static [&'static str], answer: Answered) -> Endpoint {
    Endpoint { method: Method::GET, path, security: Security::Open, pool: None, names, answer }
}

const fn look(path: &'static str, names: &'static [&'static str], answer: Answered) -> Endpoint {
    Endpoint { method: Method::GET, path, security: Security::Look, pool: Some(ASK), names, answer }
}

fn at(request: &Request) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|call| call.method == request.method && call.path == request.path)
}

/// Answers a request.
///
/// # Errors
///
/// Says why it does not.
pub(super) fn run(state: &mut State, now: DateTime<Utc>, request: &Request) -> Result<Value, Error> {
    let call = at(request).ok_or_else(|| Error { status: 404, ..Error::params("no such path") })?;
    if request.method == Method::GET && !request.body.is_empty() {
        return Err(errors::forbidden());
    }
    let account = match call.security {
        Security::Open => String::new(),
        Security::Look | Security::Trade => signing::let_in(state, now, request)?,
    };
    check_rights(state, &account, call.security)?;
    let params = Params::of(request)?;
    params.only(call.names)?;
    (call.answer)(state, &Call { now, account: &account, params })
}

fn check_rights(state: &State, account: &str, security: Security) -> Result<(), Error> {
    if security == Security::Open {
        return Ok(());
    }
    let standing = state.directory.standing(account).ok_or_else(Error::permission)?;
    let may = match security {
        Security::Open => true,
        Security::Look => standing.key.read && !standing.account_blocked,
        Security::Trade => standing.key.trade && standing.may_trade(),
    };
    if may { Ok(()) } else { Err(Error::permission()) }
}

/// Returns what a request is about, whether or not it would be answered well.
pub(super) fn facts(state: &State, request: &Request) -> Facts {
    let key = request.header(signing::KEY);
    let account = key.and_then(|key| state.directory.owner_of_key(key)).map(str::to_owned);
    let params = Params::of(request).unwrap_or_default();
    let mut meters = vec![Meter::weighing(ADDRESS, request.peer, 1)];
    if let Some(account) = &account {
        meters.push(Meter::request(account));
        meters.extend(at(request).and_then(|call| call.pool).map(|pool| Meter::weighing(pool, account, 1)));
    }
    let found = params.text("orderId").and_then(|id| state.book.order(super::wire::read_id(id)?));
    let symbol = params.text("symbol");
    Facts {
        route: format!("{} {}", request.method, request.path),
        account,
        meters,
        client_order_id: params
            .text("orderLinkId")
            .map(str::to_owned)
            .or_else(|| found.map(|order| order.client_order_id.clone())),
        symbol: symbol.map(|symbol| {
            checks::find(state, symbol).map_or_else(|| symbol.to_owned(), |listed| listed.symbol.clone())
        }),
    }
}
