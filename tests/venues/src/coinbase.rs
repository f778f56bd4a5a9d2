//! Coinbase Advanced Trade: the REST API (`/api/v3/brokerage`), and its streams, all on one port.
//!
//! A symbol of the book is `BTC/USD`; Coinbase writes `BTC-USD`. Accounts are spot accounts. An account's secret is its
//! public key, as PEM or base64, or a private key that has its public half at its end, as Coinbase's own have: Ed25519,
//! or one of the curve P-256. A token is good for one request: that its nonce may come once only is unconfirmed, and
//! asked for here. Not simulated: orders with an end, brackets, TWAP, changes of orders, previews, futures, products
//! that are aliases, and the other channels. A client order id stays taken for ever, and its repeat is answered with the
//! first order. Of `/v2` there are the three lists of currencies that clients load.

mod account;
mod calls;
mod checks;
pub mod errors;
mod market;
mod orders;
mod streams;
#[cfg(test)]
mod tests;
mod token;
mod wire;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rust_decimal::Decimal;
use serde_json::json;

use crate::book::{Fee, FeeFrom, Names, Rules};
use crate::faults::Facts;
use crate::http::{Answer, Request};
use crate::instrument::Increments;
use crate::limits::{Bound, Meter};
use crate::server::{Ended, Socket, Trouble, Venue};
use crate::table::Running;
use crate::world::{Options, State, World};

use calls::{Call, PRIVATE, PUBLIC, Security};
use errors::Error;

/// Returns what Coinbase is started with if nobody says otherwise: its limits, a fee of 0.6 percent in money, and the
/// steps of BTC-USD for every symbol that is listed by its first price.
#[must_use]
pub fn options() -> Options {
    let step = |number: i64, scale: u32| Some(Decimal::new(number, scale));
    let a_second = |most| vec![Bound::Window { seconds: 1, most }];
    Options {
        per_minute: None,
        limits: [(PRIVATE.to_owned(), a_second(30)), (PUBLIC.to_owned(), a_second(10))].into(),
        rules: Rules {
            fee: Some(Fee { pct: Decimal::new(6, 1), from: FeeFrom::Cash }),
            names: Names::ForEver,
            ..Rules::crypto()
        },
        increments: Increments {
            price_tick: step(1, 2),
            qty_step: step(1, 8),
            qty_min: step(1, 8),
            qty_max: step(3400, 0),
            notional_min: step(1, 0),
        },
        ..Options::default()
    }
}

/// Starts it on the caller's runtime.
///
/// # Errors
///
/// The address is taken, or the journal's file cannot be opened.
pub async fn start(options: Options) -> io::Result<Running> {
    let world = World::new(&options)?;
    let urls = |at: &str| json!({"url": format!("http://{at}"), "stream_url": format!("ws://{at}")});
    Running::start(world, Arc::new(Manners::default()), &options.listen, urls).await
}

/// What is Coinbase's own.
#[derive(Debug, Default)]
struct Manners {
    /// The nonces that came.
    nonces: Mutex<BTreeSet<String>>,
}

impl Manners {
    /// Returns whose request it is.
    ///
    /// # Errors
    ///
    /// Nobody's, or it came before.
    fn let_in(&self, state: &State, now: DateTime<Utc>, request: &Request) -> Result<String, Error> {
        let bearer = request.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
        let said = token::read(bearer.ok_or_else(Error::unauthorized)?).ok_or_else(Error::unauthorized)?;
        let host = request.header("host").unwrap_or_default();
        let uri = format!("{} {host}{}", request.method, request.path);
        let account = said.owner(state, now, Some(&uri)).ok_or_else(Error::unauthorized)?;
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        if nonces.insert(said.nonce.clone()) { Ok(account) } else { Err(Error::unauthorized()) }
    }
}

impl Venue for Manners {
    fn facts(&self, state: &State, request: &Request) -> Facts {
        let bearer = request.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
        let name = bearer.and_then(token::read).map(|said| said.name);
        let account = name.and_then(|name| state.directory.owner_of_key(&name)).map(str::to_owned);
        let peer = request.peer.to_string();
        let meters = match calls::at(&request.method, &request.path) {
            Some((call, _)) if call.security == Security::Open => vec![Meter::weighing(PUBLIC, &peer, 1)],
            Some(_) => vec![Meter::weighing(PRIVATE, account.as_deref().unwrap_or(&peer), 1)],
            None => Vec::new(),
        };
        let body = request.body_value();
        let said = |name: &str| body.get(name).and_then(serde_json::Value::as_str);
        let route = format!("{} {}", request.method, request.path);
        let client_order_id = said("client_order_id").map(str::to_owned);
        let symbol = said("product_id").map(|product| product.replace('-', "/"));
        Facts { route, account, meters, client_order_id, symbol }
    }

    fn answer(&self, state: &mut State, now: DateTime<Utc>, request: &Request) -> Answer {
        let Some((call, id)) = calls::at(&request.method, &request.path) else {
            return Error::not_found("Not Found").answer();
        };
        let answered = calls::Query::of(request, call.names).and_then(|query| {
            let account = match call.security {
                Security::Open => String::new(),
                Security::View | Security::Trade => {
                    let account = self.let_in(state, now, request)?;
                    calls::check_rights(state, &account, call.security)?;
                    account
                }
            };
            (call.answer)(state, Call { now, account: &account, query: &query, request, id })
        });
        match answered {
            Ok(body) => Answer::json(200, &body),
            Err(error) => error.answer(),
        }
    }

    fn trouble(&self, trouble: &Trouble) -> Answer {
        errors::trouble(trouble)
    }

    fn has_stream(&self, path: &str) -> bool {
        path == "/"
    }

    fn talk(
        self: Arc<Self>,
        world: Arc<World>,
        request: Request,
        socket: Socket,
    ) -> BoxFuture<'static, Ended> {
        streams::talk(world, request, socket).boxed()
    }
}
