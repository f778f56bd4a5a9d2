//! Every call there is: over HTTP and, under another name, over the WebSocket API.

use chrono::{DateTime, Utc};
use hyper::Method;
use serde_json::Value;

use super::errors::Error;
use super::params::Params;
use super::wire::{ORDERS, RAW, WEIGHT};
use super::{account, checks, market, orders};
use crate::faults::Facts;
use crate::http::Request;
use crate::limits::Meter;
use crate::world::State;

/// What a call takes to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    /// Nothing.
    Open,
    /// A signature by a key that may look.
    Look,
    /// A signature by a key that may trade.
    Trade,
}

/// One call of somebody who was let in; of nobody where everybody is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) now: DateTime<Utc>,
    pub(crate) account: &'a str,
    pub(crate) params: &'a Params,
}

/// Between which times something is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    from: Option<u64>,
    until: Option<u64>,
}

impl Times {
    /// Returns whether a time is between them.
    pub(crate) fn hold(self, at: DateTime<Utc>) -> bool {
        let at = u64::try_from(at.timestamp_millis()).unwrap_or_default();
        self.from.is_none_or(|from| at >= from) && self.until.is_none_or(|until| at <= until)
    }

    /// Returns whether the oldest are wanted first.
    pub(crate) fn start_somewhere(self) -> bool {
        self.from.is_some()
    }
}

impl Call<'_> {
    /// Returns how many are wanted at most.
    pub(crate) fn most(&self) -> Result<usize, Error> {
        let most = self.params.whole("limit")?.unwrap_or(500);
        let most = usize::try_from(most).ok().filter(|most| (1..=1000).contains(most));
        most.ok_or_else(|| Error::value("limit"))
    }

    /// Returns between which times, no more than a day apart.
    pub(crate) fn times(&self) -> Result<Times, Error> {
        let (from, until) = (self.params.whole("startTime")?, self.params.whole("endTime")?);
        let apart = from.zip(until).map_or(0, |(from, until)| until.saturating_sub(from));
        if apart > 86_400_000 {
            return Err(Error::new(400, -1127, "More than 24 hours between startTime and endTime."));
        }
        Ok(Times { from, until })
    }

    /// Returns the first of what was found, or the last of it.
    pub(crate) fn page<'a, T>(&self, found: &'a [T], most: usize, first: bool) -> &'a [T] {
        let skip = if first { 0 } else { found.len().saturating_sub(most) };
        found.get(skip..(skip + most).min(found.len())).unwrap_or_default()
    }
}

/// A call there is.
#[derive(Debug)]
pub(crate) struct Endpoint {
    method: Method,
    path: &'static str,
    socket: &'static str,
    pub(crate) security: Security,
    names: &'static [&'static str],
    weight: fn(&Params) -> u32,
    orders: u32,
    pub(crate) answer: fn(&mut State, Call<'_>) -> Result<Value, Error>,
}

fn one(_: &Params) -> u32 {
    1
}

fn four(_: &Params) -> u32 {
    4
}

fn twenty(_: &Params) -> u32 {
    20
}

/// Returns what it weighs to ask for one symbol, or for all.
fn by_symbol<const ONE: u32, const ALL: u32>(params: &Params) -> u32 {
    if params.raw("symbol").is_some() { ONE } else { ALL }
}

fn by_order(params: &Params) -> u32 {
    if params.raw("orderId").is_some() { 5 } else { 20 }
}

const ONE_ORDER: &[&str] = &["symbol", "orderId", "origClientOrderId"];
const CANCEL: &[&str] = &["symbol", "orderId", "origClientOrderId", "newClientOrderId", "cancelRestrictions"];
const PAGES: &[&str] = &["symbol", "orderId", "startTime", "endTime", "fromId", "limit"];
const SYMBOLS: &[&str] = &["symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus"];

const LIST: &[&str] = &["orderListId", "origClientOrderId"];
const CANCEL_LIST: &[&str] = &["symbol", "orderListId", "listClientOrderId", "newClientOrderId"];

use Security::{Look, Open, Trade};

/// Every call there is.
static ENDPOINTS: [Endpoint; 18] = [
    call(Method::GET, "/api/v3/ping", "ping", Open, &[], (one, 0), market::ping),
    call(Method::GET, "/api/v3/time", "time", Open, &[], (one, 0), market::time),
    call(
        Method::GET,
        "/api/v3/exchangeInfo",
        "exchangeInfo",
        Open,
        SYMBOLS,
        (twenty, 0),
        market::exchange_info,
    ),
    call(
        Method::GET,
        "/api/v3/ticker/bookTicker",
        "ticker.book",
        Open,
        SYMBOLS,
        (by_symbol::<2, 4>, 0),
        market::book_ticker,
    ),
    call(
        Method::GET,
        "/api/v3/ticker/price",
        "ticker.price",
        Open,
        SYMBOLS,
        (by_symbol::<2, 4>, 0),
        market::price_ticker,
    ),
    call(Method::POST, "/api/v3/order", "order.place", Trade, &checks::NAMES, (one, 1), orders::place),
    call(Method::POST, "/api/v3/order/test", "order.test", Trade, &checks::NAMES, (one, 0), orders::test),
    call(Method::GET, "/api/v3/order", "order.status", Look, ONE_ORDER, (four, 0), orders::one),
    call(Method::DELETE, "/api/v3/order", "order.cancel", Trade, CANCEL, (one, 0), orders::cancel),
    call(
        Method::GET,
        "/api/v3/openOrders",
        "openOrders.status",
        Look,
        &["symbol"],
        (by_symbol::<6, 80>, 0),
        orders::open,
    ),
    call(
        Method::DELETE,
        "/api/v3/openOrders",
        "openOrders.cancelAll",
        Trade,
        &["symbol"],
        (one, 0),
        orders::cancel_all,
    ),
    call(Method::GET, "/api/v3/allOrders", "allOrders", Look, PAGES, (twenty, 0), orders::all),
    call(
        Method::POST,
        "/api/v3/orderList/oco",
        "orderList.place.oco",
        Trade,
        &orders::OCO_NAMES,
        (one, 2),
        orders::place_pair,
    ),
    call(Method::GET, "/api/v3/orderList", "orderList.status", Look, LIST, (four, 0), orders::list),
    call(
        Method::DELETE,
        "/api/v3/orderList",
        "orderList.cancel",
        Trade,
        CANCEL_LIST,
        (one, 0),
        orders::cancel_list,
    ),
    call(
        Method::GET,
        "/api/v3/account",
        "account.status",
        Look,
        &["omitZeroBalances"],
        (twenty, 0),
        account::account,
    ),
    call(Method::GET, "/api/v3/myTrades", "myTrades", Look, PAGES, (by_order, 0), account::trades),
    call(Method::GET, "/sapi/v1/account/apiRestrictions", "", Look, &[], (one, 0), account::restrictions),
];

const fn call(
    method: Method,
    path: &'static str,
    socket: &'static str,
    security: Security,
    names: &'static [&'static str],
    (weight, orders): (fn(&Params) -> u32, u32),
    answer: fn(&mut State, Call<'_>) -> Result<Value, Error>,
) -> Endpoint {
    Endpoint { method, path, socket, security, names, weight, orders, answer }
}

/// Returns the call of a method and a path.
pub(crate) fn at(method: &Method, path: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|call| call.method == *method && call.path == path)
}

/// Returns whether anything is at a path.
pub(crate) fn is_known(path: &str) -> bool {
    ENDPOINTS.iter().any(|call| call.path == path)
}

/// Returns the call of a name on the WebSocket API.
pub(crate) fn named(socket: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|call| call.socket == socket && !socket.is_empty())
}

impl Endpoint {
    /// Returns where it is counted.
    pub(crate) fn meters(&self, peer: &str, account: Option<&str>, params: &Params) -> Vec<Meter> {
        let mut meters =
            vec![Meter::weighing(WEIGHT, peer, (self.weight)(params)), Meter::weighing(RAW, peer, 1)];
        if let Some(account) = account {
            // What is not an order is counted all the same: how often an account asked.
            let pool = if self.orders > 0 { ORDERS } else { "account" };
            meters.push(Meter::weighing(pool, account, self.orders.max(1)));
        }
        meters
    }

    /// Answers it, if its parameters are known.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub(crate) fn run(&self, state: &mut State, call: Call<'_>) -> Result<Value, Error> {
        call.params.only(self.names)?;
        (self.answer)(state, call)
    }
}

/// Checks that a key's rights are enough for a call. Returns the account.
///
/// # Errors
///
/// They are not.
pub(crate) fn check_rights(state: &State, account: &str, security: Security) -> Result<(), Error> {
    let standing = state.directory.standing(account).ok_or_else(Error::key)?;
    let may = match security {
        Security::Open => true,
        Security::Look => standing.key.read && !standing.account_blocked,
        Security::Trade => standing.key.trade && !standing.account_blocked,
    };
    if may { Ok(()) } else { Err(Error::key()) }
}

/// Returns what a call is about, for the rules of what goes wrong.
pub(crate) fn facts(state: &State, route: String, account: Option<String>, params: &Params) -> Facts {
    let text = |name: &str| params.raw(name).map(str::to_owned);
    let number = params.raw("orderId").and_then(|number| number.parse().ok());
    let by_id = number.and_then(|number| state.book.order(super::wire::order_id(number)));
    let symbol = params.raw("symbol");
    Facts {
        route,
        account,
        meters: Vec::new(),
        client_order_id: text("origClientOrderId")
            .or_else(|| text("newClientOrderId"))
            .or_else(|| by_id.map(|order| order.client_order_id.clone())),
        symbol: symbol.map(|symbol| {
            checks::find(state, symbol).map_or_else(|| symbol.to_owned(), |listed| listed.symbol.clone())
        }),
    }
}

/// Returns the key a request came with.
pub(crate) fn key_of(request: &Request) -> Option<&str> {
    request.header("x-mbx-apikey")
}
