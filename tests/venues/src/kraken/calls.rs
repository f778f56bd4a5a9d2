//! Every call there is, and where it is counted.

use chrono::{DateTime, TimeDelta, Utc};
use hyper::Method;
use serde_json::Value;

use super::errors::Error;
use super::params::Params;
use super::{ORDERS, PUBLIC, account, checks, market, names, orders, wire};
use crate::book::Order;
use crate::faults::Facts;
use crate::http::Request;
use crate::limits::{Meter, REQUESTS};
use crate::world::State;

/// Where tokens are had.
pub(super) const TOKENS: &str = "/0/private/GetWebSocketsToken";

/// What a key has to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    /// Nothing: that it is known is enough.
    Any,
    /// To look.
    Look,
    /// To trade.
    Trade,
}

/// One call of somebody who was let in; of nobody where everybody is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) now: DateTime<Utc>,
    pub(super) account: &'a str,
    pub(super) params: &'a Params,
}

/// What a call adds to which count.
#[derive(Clone, Copy, Debug)]
enum Counts {
    /// To what anybody may ask.
    Public,
    /// So much to the account's.
    Calls(u32),
    /// A new order.
    Order,
    /// A cancel: the younger its order, the more.
    Cancel,
}

/// A call there is.
#[derive(Debug)]
pub(super) struct Endpoint {
    path: &'static str,
    /// What it takes to be let in; none where everybody is.
    pub(super) right: Option<Right>,
    names: &'static [&'static str],
    counts: Counts,
    answer: fn(&mut State, Call<'_>) -> Result<Value, Error>,
}

const OPEN: &[&str] = &["trades", "userref", "cl_ord_id"];
const CLOSED: &[&str] = &["trades", "userref", "cl_ord_id", "start", "end", "ofs"];
const BY_ID: &[&str] = &["txid", "trades"];

use Right::{Any, Look, Trade};

/// Every call there is.
static ENDPOINTS: [Endpoint; 15] = [
    public("/0/public/Time", &[], market::time),
    public("/0/public/SystemStatus", &[], market::status),
    public("/0/public/Assets", &[], market::assets),
    public("/0/public/AssetPairs", &["pair"], market::pairs),
    public("/0/public/Ticker", &["pair"], market::ticker),
    private("/0/private/BalanceEx", Look, &[], Counts::Calls(1), account::balances),
    private("/0/private/GetApiKeyInfo", Any, &[], Counts::Calls(1), account::key_info),
    private(TOKENS, Look, &[], Counts::Calls(1), |_, _| Err(Error::Method)),
    private("/0/private/OpenOrders", Look, OPEN, Counts::Calls(1), orders::open),
    private("/0/private/ClosedOrders", Look, CLOSED, Counts::Calls(1), orders::closed),
    private("/0/private/QueryOrders", Look, BY_ID, Counts::Calls(1), orders::by_id),
    private("/0/private/QueryTrades", Look, BY_ID, Counts::Calls(2), orders::trades_by_id),
    private("/0/private/TradesHistory", Look, CLOSED, Counts::Calls(2), orders::trades),
    private("/0/private/AddOrder", Trade, &checks::NAMES, Counts::Order, orders::add),
    private("/0/private/CancelOrder", Trade, &["txid", "cl_ord_id"], Counts::Cancel, orders::cancel),
];

const fn public(
    path: &'static str,
    names: &'static [&'static str],
    answer: fn(&mut State, Call<'_>) -> Result<Value, Error>,
) -> Endpoint {
    Endpoint { path, right: None, names, counts: Counts::Public, answer }
}

const fn private(
    path: &'static str,
    right: Right,
    names: &'static [&'static str],
    counts: Counts,
    answer: fn(&mut State, Call<'_>) -> Result<Value, Error>,
) -> Endpoint {
    Endpoint { path, right: Some(right), names, counts, answer }
}

/// Returns the call of a method and a path.
pub(super) fn at(method: &Method, path: &str) -> Option<&'static Endpoint> {
    let fits = |call: &&Endpoint| match call.right {
        None => *method == Method::GET,
        Some(_) => *method == Method::POST,
    };
    ENDPOINTS.iter().filter(fits).find(|call| call.path == path)
}

impl Endpoint {
    /// Answers it, if its parameters are known.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub(super) fn run(&self, state: &mut State, call: Call<'_>) -> Result<Value, Error> {
        call.params.only(self.names)?;
        (self.answer)(state, call)
    }
}

/// Checks that a key's rights are enough for a call.
///
/// # Errors
///
/// They are not.
pub(super) fn check_rights(state: &State, account: &str, right: Right) -> Result<(), Error> {
    let standing = state.directory.standing(account).ok_or(Error::Key)?;
    let may = match right {
        Right::Any => true,
        Right::Look => standing.key.read && !standing.account_blocked,
        Right::Trade => standing.key.trade && standing.may_trade(),
    };
    if may { Ok(()) } else { Err(Error::Permission) }
}

/// Returns what a request is about, and where it is counted.
pub(super) fn facts(state: &State, request: &Request, account: Option<&str>, params: &Params) -> Facts {
    let named =
        account.zip(params.raw("cl_ord_id")).and_then(|(account, name)| state.book.named(account, name));
    let numbered = params.raw("txid").and_then(|txid| state.book.order(wire::order_id(txid)?));
    let order = named.or(numbered);
    let listed = params.raw("pair").and_then(|pair| names::find(state, pair));
    let symbol = listed.map(|listed| listed.symbol.clone()).or_else(|| Some(order?.ticket.symbol.clone()));
    let now = state.clock.now();
    let counts = at(&request.method, &request.path).map_or(Counts::Public, |call| call.counts);
    let counted = |pool: &str, who: String, weight: u32| Meter::weighing(pool, who, weight);
    let of_pair = |account: &str| format!("{account} {}", symbol.as_deref().unwrap_or_default());
    let meters = match (account, counts) {
        (None, _) | (_, Counts::Public) => vec![counted(PUBLIC, request.peer.to_string(), 1)],
        (Some(account), Counts::Calls(weight)) => vec![counted(REQUESTS, account.to_owned(), weight)],
        (Some(account), Counts::Order) => {
            vec![counted(ORDERS, of_pair(account), 1), counted("account", account.to_owned(), 1)]
        }
        (Some(account), Counts::Cancel) => {
            let weight = order.map_or(0, |order| cancel_weight(order, now));
            vec![counted(ORDERS, of_pair(account), weight), counted("account", account.to_owned(), 1)]
        }
    };
    Facts {
        route: format!("{} {}", request.method, request.path),
        account: account.map(str::to_owned),
        meters,
        client_order_id: params
            .raw("cl_ord_id")
            .map(str::to_owned)
            .or_else(|| Some(order?.client_order_id.clone())),
        symbol,
    }
}

/// Returns what a cancel counts.
fn cancel_weight(order: &Order, now: DateTime<Utc>) -> u32 {
    let age = now - order.created_at;
    let steps = [(5, 8), (10, 6), (15, 5), (45, 4), (90, 2), (300, 1)];
    let step = steps.into_iter().find(|(seconds, _)| age < TimeDelta::seconds(*seconds));
    step.map_or(0, |(_, weight)| weight)
}

/// Returns the key a request came with.
pub(super) fn key_of(request: &Request) -> Option<&str> {
    request.header("api-key")
}
