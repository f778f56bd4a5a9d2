//! One request on its way to a handler, and what handlers answer.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use trade_actors::domain::event::Caller;
use trade_actors::domain::ids::UserId;
use trade_actors::domain::user::UserState;
use trade_actors::engine::Engine;
use warp::http::header::{CONTENT_TYPE, HeaderValue, LOCATION, USER_AGENT};
use warp::http::{HeaderMap, Method, Response, StatusCode};

use super::edge::Edge;
use super::peer::client_address;
use super::problem::Problem;
use crate::auth::Principal;

/// What is answered.
pub(super) type Answer = Response<Bytes>;

/// Longest software name that is kept of a caller.
const AGENT_MAX: usize = 256;
/// Items of a page when none is asked for.
const PAGE: usize = 50;
/// Most items of a page.
const PAGE_MAX: usize = 200;

/// A request whose caller is known, with its whole body.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) edge: Arc<Edge>,
    pub(super) head: Head,
    /// Absent on public routes only.
    pub(super) principal: Option<Principal>,
    /// What stands in the pattern's braces, in order.
    pub(super) params: Vec<String>,
    pub(super) body: Bytes,
}

/// A request without its body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    /// The client's address, proxies looked through.
    pub(super) address: IpAddr,
}

impl Head {
    /// Returns a header's text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns a parameter of the query, percent-decoded.
    pub(super) fn query(&self, name: &str) -> Option<String> {
        query(&self.query, name)
    }

    /// Returns who calls, for the log.
    pub(super) fn caller(&self) -> Caller {
        caller(&self.headers, self.address)
    }
}

/// Returns who calls, for the log.
pub(super) fn caller(headers: &HeaderMap, address: IpAddr) -> Caller {
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    let agent = agent.map(|agent| agent.chars().take(AGENT_MAX).collect());
    Caller { ip: Some(address.to_string()), agent }
}

/// Returns the client's address, proxies looked through.
pub(super) fn address_of(edge: &Edge, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if edge.proxies.is_empty() {
        return peer.to_canonical();
    }
    let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
    client_address(peer, &lines.collect::<Vec<_>>(), &edge.proxies)
}

impl Call {
    /// Returns the engine.
    ///
    /// # Errors
    /// 503 while it is starting.
    pub(super) fn engine(&self) -> Result<&Engine, Problem> {
        self.edge.engine()
    }

    /// Returns who asks.
    ///
    /// # Errors
    /// 401 when nobody proved who they are.
    pub(super) fn principal(&self) -> Result<&Principal, Problem> {
        self.principal.as_ref().ok_or_else(Problem::unauthorized)
    }

    /// Returns whose account it is about.
    ///
    /// # Errors
    /// 401 when nobody proved who they are.
    pub(super) fn user(&self) -> Result<UserId, Problem> {
        self.principal().map(|principal| principal.user)
    }

    /// Returns the caller's account, with all their own writes in it.
    ///
    /// # Errors
    /// When the engine is not ready, or the account does not exist (any more).
    pub(super) async fn account(&self) -> Result<UserState, Problem> {
        let views = self.engine()?.views();
        views.settled().await?;
        views.user(self.user()?)?.ok_or_else(Problem::unauthorized)
    }

    /// Returns what stands in a brace of the pattern, as an id.
    ///
    /// # Errors
    /// 404 when it is no such id: then there is nothing under it.
    pub(super) fn id<T: FromStr>(&self) -> Result<T, Problem> {
        self.param().parse().map_err(|_| Problem::not_found())
    }

    /// Returns what stands in the first brace of the pattern.
    pub(super) fn param(&self) -> &str {
        self.params.first().map_or("", String::as_str)
    }

    /// Reads the JSON body.
    ///
    /// # Errors
    /// See [`super::body::json`].
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        super::body::json(&self.head.headers, &self.body)
    }

    /// Returns how many items are asked for.
    ///
    /// # Errors
    /// 422 when it is no number from 1 to the most allowed.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.head.query("limit") else { return Ok(PAGE) };
        let limit = text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
        limit.ok_or_else(|| {
            Problem::invalid("/limit", format!("limit must be a whole number from 1 to {PAGE_MAX}"))
        })
    }

    /// Returns where the page starts.
    ///
    /// # Errors
    /// 422 when it is no cursor of ours.
    pub(super) fn cursor(&self) -> Result<Option<u64>, Problem> {
        let Some(text) = self.head.query("cursor") else { return Ok(None) };
        let cursor = text.strip_prefix('c').and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let problem = || Problem::invalid("/cursor", "cursor must be the next_cursor of the page before");
        cursor.map(Some).ok_or_else(problem)
    }
}

/// Words a cursor; opaque to clients.
pub(super) fn cursor_text(next: u64) -> String {
    format!("c{next:x}")
}

/// Answers with JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Result<Answer, Problem> {
    let body = serde_json::to_vec(body).map_err(|error| Problem::internal(&error))?;
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(answer)
}

/// Answers 200 with JSON.
pub(super) fn ok(body: &impl Serialize) -> Result<Answer, Problem> {
    json(StatusCode::OK, body)
}

/// Answers 204.
pub(super) fn nothing() -> Answer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// Sends the browser elsewhere on this site.
pub(super) fn see_other(to: &'static str) -> Answer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    answer.headers_mut().insert(LOCATION, HeaderValue::from_static(to));
    answer
}

/// Returns a parameter of a query, percent-decoded.
pub(super) fn query(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(found, _)| *found == name).and_then(|(_, value)| decoded(value))
}

/// Undoes percent-encoding; `None` when what it hides is not UTF-8.
pub(super) fn decoded(text: &str) -> Option<String> {
    if !text.contains(['%', '+']) {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit =
                    || char::from(rest.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                let (high, low) = (digit()?, digit()?);
                (high << 4) | low
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn query_parameters_are_found_and_decoded() {
        assert_eq!(query("limit=5&symbol=BTC%2FUSDT&status=", "symbol").unwrap(), "BTC/USDT");
        assert_eq!(query("a+b=1&x=a+b", "x").unwrap(), "a b");
        assert_eq!(query("status=", "status").unwrap(), "");
        assert_eq!(query("xlimit=5", "limit"), None);
        assert_eq!(query("limit=%f", "limit"), None);
        assert_eq!(query("limit=%ff", "limit"), None);
    }

    proptest! {
        /// No query makes the reader fail, and plain text stays as it is.
        #[test]
        fn any_query_is_answered(text in ".{0,60}", plain in "[a-z0-9.-]{0,20}") {
            let _read = query(&text, "limit");
            prop_assert_eq!(decoded(&plain), Some(plain));
        }
    }
}
