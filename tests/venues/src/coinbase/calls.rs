//! Every call there is.

use chrono::{DateTime, Utc};
use hyper::Method;
use serde_json::Value;

use super::errors::Error;
use super::{account, market, orders};
use crate::http::Request;
use crate::world::State;

/// The pool of requests that say whose they are, by account.
pub(super) const PRIVATE: &str = "private";
/// The pool of requests that do not, by address.
pub(super) const PUBLIC: &str = "public";
/// The longest page.
const PAGE_MAX: usize = 250;
/// How long a page is if nobody says.
const PAGE: usize = 100;

/// What a call takes to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// Nothing.
    Open,
    /// A token of a key that may look.
    View,
    /// A token of a key that may trade.
    Trade,
}

/// One call of somebody who was let in; of nobody where everybody is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) now: DateTime<Utc>,
    pub(super) account: &'a str,
    pub(super) query: &'a Query,
    pub(super) request: &'a Request,
    /// What the path names.
    pub(super) id: &'a str,
}

/// The names and values of a query; lists repeat their name.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query of a request.
    ///
    /// # Errors
    ///
    /// It has a name that the call does not know.
    pub(super) fn of(request: &Request, names: &[&str]) -> Result<Self, Error> {
        let params = request.params();
        match params.iter().find(|(name, _)| !names.contains(&name.as_str())) {
            Some((name, _)) => Err(Error::argument(format!("unknown parameter {name}"))),
            None => Ok(Self(params)),
        }
    }

    /// Returns all values of a name, in order.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Returns the value of a name that may be there once.
    ///
    /// # Errors
    ///
    /// It is there more often.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Error> {
        match self.all(name)[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => Err(Error::argument(format!("{name} is repeated"))),
        }
    }

    /// Returns a time, if it is asked for.
    ///
    /// # Errors
    ///
    /// It is none.
    pub(super) fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, Error> {
        let read = |text: &str| DateTime::parse_from_rfc3339(text).map(|at| at.to_utc());
        let unread = |_| Error::argument(format!("{name} is no time"));
        self.one(name)?.map(read).transpose().map_err(unread)
    }

    /// Returns the page of a list that is asked for, whether there are more, and how to ask for them.
    ///
    /// # Errors
    ///
    /// Length or cursor are none.
    pub(super) fn page(&self, all: Vec<Value>) -> Result<(Vec<Value>, bool, String), Error> {
        let number = |name: &str| -> Result<Option<usize>, Error> {
            let text = self.one(name)?.filter(|text| !text.is_empty());
            text.map(str::parse).transpose().map_err(|_| Error::argument(format!("{name} is wrong")))
        };
        let length = number("limit")?.unwrap_or(PAGE);
        if !(1..=PAGE_MAX).contains(&length) {
            return Err(Error::argument("limit is wrong"));
        }
        let (begin, many) = (number("cursor")?.unwrap_or_default(), all.len());
        let page: Vec<_> = all.into_iter().skip(begin).take(length).collect();
        let end = begin + page.len();
        let more = end < many;
        Ok((page, more, if more { end.to_string() } else { String::new() }))
    }
}

/// A call there is.
#[derive(Debug)]
pub(super) struct Endpoint {
    method: Method,
    path: &'static str,
    pub(super) security: Security,
    pub(super) names: &'static [&'static str],
    pub(super) answer: fn(&mut State, Call<'_>) -> Result<Value, Error>,
}

const PAGES: &[&str] = &["limit", "cursor"];
const PRODUCTS: &[&str] = &["product_ids", "product_type"];
const LIST: &[&str] =
    &["order_status", "product_ids", "product_id", "start_date", "end_date", "limit", "cursor"];
const FILLS: &[&str] = &["order_ids", "product_ids", "product_id", "limit", "cursor"];

use Security::{Open, Trade, View};

/// Every call there is; what ends with a slash names something after it.
static ENDPOINTS: [Endpoint; 16] = [
    get("/api/v3/brokerage/time", Open, &[], market::time),
    get("/api/v3/brokerage/market/products", Open, PRODUCTS, market::products),
    get("/api/v3/brokerage/products", View, PRODUCTS, market::products),
    get("/api/v3/brokerage/products/", View, &[], market::product),
    get("/api/v3/brokerage/best_bid_ask", View, &["product_ids"], market::best),
    get("/api/v3/brokerage/accounts", View, PAGES, account::accounts),
    get("/api/v3/brokerage/key_permissions", View, &[], account::permissions),
    get("/api/v3/brokerage/transaction_summary", View, &[], account::summary),
    post("/api/v3/brokerage/orders", orders::place),
    post("/api/v3/brokerage/orders/batch_cancel", orders::cancel),
    get("/api/v3/brokerage/orders/historical/batch", View, LIST, orders::list),
    get("/api/v3/brokerage/orders/historical/fills", View, FILLS, orders::fills),
    get("/api/v3/brokerage/orders/historical/", View, &[], orders::one),
    get("/v2/currencies", Open, &[], market::currencies),
    get("/v2/currencies/crypto", Open, &[], market::coins),
    get("/v2/exchange-rates", Open, &[], market::rates),
];

type Handler = fn(&mut State, Call<'_>) -> Result<Value, Error>;

const fn get(
    path: &'static str,
    security: Security,
    names: &'static [&'static str],
    answer: Handler,
) -> Endpoint {
    Endpoint { method: Method::GET, path, security, names, answer }
}

const fn post(path: &'static str, answer: Handler) -> Endpoint {
    Endpoint { method: Method::POST, path, security: Trade, names: &[], answer }
}

/// Returns the call at a path, and what the path names.
pub(super) fn at<'a>(method: &Method, path: &'a str) -> Option<(&'static Endpoint, &'a str)> {
    let mut all = ENDPOINTS.iter().filter(|call| call.method == *method);
    all.find_map(|call| {
        let rest = path.strip_prefix(call.path)?;
        let fits =
            if call.path.ends_with('/') { !rest.is_empty() && !rest.contains('/') } else { rest.is_empty() };
        fits.then_some((call, rest))
    })
}

/// Checks that a key may do what is asked.
///
/// # Errors
///
/// It may not.
pub(super) fn check_rights(state: &State, account: &str, security: Security) -> Result<(), Error> {
    let standing = state.directory.standing(account).ok_or_else(Error::unauthorized)?;
    let may = match security {
        Open => true,
        View => standing.key.read && !standing.account_blocked,
        Trade => standing.key.trade && standing.may_trade(),
    };
    if may { Ok(()) } else { Err(Error::scopes()) }
}
