//! Interactive Brokers' Client Portal Gateway, version 1 of its web API, for US shares.
//!
//! A real gateway is a program beside its user's, logged in as one username. Here one process is many: below
//! `/gw/{account}/v1/api` is that account's, below `/v1/api` the first account's. Routes of faults are those of the
//! latter: `POST /v1/api/iserver/account/*/orders`. There is no password: a new account's gateway is logged in, and
//! [`Ibkr::log_out`] and [`Ibkr::log_in`] are what a human does in a browser. Not simulated: OAuth, other accounts of
//! the same username, what is no share, history, scanners, alerts.

pub mod admin;
mod contracts;
pub mod errors;
pub mod gateway;
mod orders;
pub mod pacing;
mod placing;
mod portfolio;
pub mod questions;
mod quotes;
mod request;
mod rest;
mod stream;
mod topics;
pub mod wire;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;

pub use contracts::conid;

use crate::book::{Order, OrderId, Rules};
use crate::faults::Facts;
use crate::http::{Answer, Request};
use crate::limits::Meter;
use crate::server::{Ended, Server, Socket, Trouble, Venue};
use crate::world::{Options, State, World};

use gateway::{Gateways, Standing};
use questions::Ask;
use rest::Call;
use wire::Ids;

/// A running gateway of each account. Dropped, it stops.
#[derive(Debug)]
pub struct Ibkr {
    world: Arc<World>,
    server: Server,
    manners: Arc<Manners>,
}

/// Where to find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Urls {
    /// The first account's gateway: what a client's base URL is.
    pub url: String,
    /// Its websocket.
    pub stream_url: String,
    /// Any account's gateway: put the account's name for `{account}`, and `/ws` behind it for the websocket.
    pub gateway_url: String,
    /// The administration.
    pub admin_url: String,
}

impl Ibkr {
    /// Starts it on the caller's runtime. Limits by minute and the book's rules are the gateway's own.
    ///
    /// # Errors
    ///
    /// The address is taken, or the journal's file cannot be opened.
    pub async fn start(options: Options) -> io::Result<Self> {
        let rules = Rules {
            wash_trades: false,
            qty_scale: 4,
            collar_pct: (Decimal::ZERO, Decimal::ZERO),
            crosses: true,
            ..options.rules
        };
        let options = Options { rules, per_minute: None, ..options };
        let world = World::new(&options)?;
        let manners = Arc::new(Manners { ids: Ids::new(world.seed()), gateways: Mutex::default() });
        let venue: Arc<dyn Venue> = Arc::clone(&manners) as Arc<dyn Venue>;
        let server = Server::start(Arc::clone(&world), venue, &options.listen).await?;
        Ok(Self { world, server, manners })
    }

    /// Returns all that it knows, to be looked at and changed.
    #[must_use]
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Returns what it is made of; the gateways' own goes on with the server.
    pub(crate) fn into_parts(self) -> (Arc<World>, Server) {
        (self.world, self.server)
    }

    /// Returns where to find it.
    #[must_use]
    pub fn urls(&self) -> Urls {
        let at = self.server.address();
        Urls {
            url: format!("http://{at}/v1/api"),
            stream_url: format!("ws://{at}/v1/api/ws"),
            gateway_url: format!("http://{at}/gw/{{account}}/v1/api"),
            admin_url: format!("http://{at}/admin"),
        }
    }

    /// Does something to the gateways at the venue's time.
    pub fn manage<T>(&self, what: impl FnOnce(&mut Gateways, DateTime<Utc>) -> T) -> T {
        self.world.act(|_, now| what(&mut self.manners.gateways(), now))
    }

    /// Logs an account in at its gateway, as a human does.
    pub fn log_in(&self, account: &str) {
        self.manage(|gateways, now| gateways.of(account, now).log_in(now));
    }

    /// Logs an account out: from now on a human is needed.
    pub fn log_out(&self, account: &str) {
        self.manage(|gateways, now| gateways.of(account, now).log_out());
    }

    /// Lets an account's username be used elsewhere.
    pub fn compete(&self, account: &str) {
        self.manage(|gateways, now| gateways.of(account, now).compete());
    }

    /// Makes the gateways ask something more.
    pub fn ask(&self, ask: Ask) {
        self.manage(|gateways, _| gateways.asks.push(ask));
    }

    /// Returns how an account's session stands.
    #[must_use]
    pub fn standing(&self, account: &str) -> Standing {
        self.manage(|gateways, now| gateways.desk(account, now).gateway.standing())
    }

    /// Returns the id that the gateways show for an order of the book.
    #[must_use]
    pub fn order_id(&self, id: OrderId) -> u64 {
        self.manners.ids.order(id)
    }

    /// Returns the order of the book that the gateways show under an id.
    #[must_use]
    pub fn order_of(&self, id: &str) -> Option<Order> {
        let id = self.manners.ids.read_order(id)?;
        self.world.look(|state| state.book.order(id).cloned())
    }
}

/// What is Interactive Brokers' own. Its lock is taken only inside the world's.
#[derive(Debug)]
struct Manners {
    ids: Ids,
    gateways: Mutex<Gateways>,
}

impl Manners {
    fn gateways(&self) -> MutexGuard<'_, Gateways> {
        self.gateways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the account of a path's gateway and the path below its `/v1/api`, if there is such a gateway.
fn at_gateway<'a>(state: &State, segments: &'a [&'a str]) -> Option<(String, &'a [&'a str])> {
    match segments {
        ["gw", account, "v1", "api", path @ ..] => {
            state.directory.contains(account).then(|| ((*account).to_owned(), path))
        }
        ["v1", "api", path @ ..] => state.directory.first().map(|first| (first.to_owned(), path)),
        _ => None,
    }
}

impl Venue for Manners {
    fn facts(&self, state: &State, request: &Request) -> Facts {
        let segments = request.segments();
        let found = at_gateway(state, &segments);
        let path = found.as_ref().map_or(segments.as_slice(), |(_, path)| path);
        let route = match &found {
            Some(_) => format!("{} /v1/api/{}", request.method, path.join("/")),
            None => format!("{} {}", request.method, request.path),
        };
        let account = found.as_ref().map(|(account, _)| account.clone());
        let body = request.body_value();
        let first = body.pointer("/orders/0").unwrap_or(&body);
        let number = match path {
            ["iserver", "account", "order", "status", id] | ["iserver", "account", _, "order", id] => {
                self.ids.read_order(id)
            }
            _ => None,
        };
        let gateways = self.gateways();
        let gateway = account.as_deref().and_then(|account| gateways.known(account));
        let coid = first.get("cOID").and_then(Value::as_str).map(str::to_owned);
        let coid = coid.or_else(|| gateway?.meta(number?)?.coid.clone());
        let coid = coid.or_else(|| match path {
            ["iserver", "reply", id] => orders::asked_about(gateway?, id),
            _ => None,
        });
        let by_conid = first.get("conid").and_then(Value::as_i64);
        let by_conid = by_conid.and_then(|conid| contracts::of_conid(state, conid));
        let of_order = || Some(state.book.order(number?)?.ticket.symbol.clone());
        Facts {
            route,
            meters: account.as_ref().map(Meter::request).into_iter().collect(),
            account,
            client_order_id: coid,
            symbol: by_conid.map(|found| found.symbol.clone()).or_else(of_order),
        }
    }

    fn answer(&self, state: &mut State, now: DateTime<Utc>, request: &Request) -> Answer {
        let segments = request.segments();
        let Some((account, path)) = at_gateway(state, &segments) else {
            return errors::Error::nowhere().answer();
        };
        let call = Call { ids: self.ids, now, account: &account, path, request };
        let answered = rest::answer(state, &mut self.gateways(), call);
        answered.unwrap_or_else(|error| error.answer())
    }

    fn trouble(&self, trouble: &Trouble) -> Answer {
        errors::trouble(trouble).answer()
    }

    fn administer(&self, world: &World, request: &Request) -> Option<Answer> {
        world.act(|state, _| admin::answer(state, &mut self.gateways(), request))
    }

    fn has_stream(&self, path: &str) -> bool {
        path.ends_with("/v1/api/ws")
    }

    fn talk(
        self: Arc<Self>,
        world: Arc<World>,
        request: Request,
        socket: Socket,
    ) -> BoxFuture<'static, Ended> {
        let segments = request.segments();
        let found = world.look(|state| at_gateway(state, &segments).map(|(account, _)| account));
        match found {
            Some(account) => stream::talk(self, world, account, request, socket).boxed(),
            None => std::future::ready(Ended::Closed).boxed(),
        }
    }
}
