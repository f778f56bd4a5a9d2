//! Alpaca: trading and market data, version 2, on one port.
//!
//! Bars are subscribed to and never sent: prices are set by hand, and nobody trades between.

mod checks;
mod data;
pub mod errors;
mod oauth;
mod orders;
mod positions;
mod rest;
mod stream;
pub mod wire;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::Method;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;

use crate::book::{Order, OrderId};
use crate::faults::Facts;
use crate::http::{Answer, Request};
use crate::limits::{Allowance, Meter};
use crate::server::{Ended, Server, Socket, Trouble, Venue};
use crate::world::{Options, State, World};

use errors::Error;
use rest::{Call, Proof};
use wire::Ids;

/// A running Alpaca. Dropped, it stops.
#[derive(Debug)]
pub struct Alpaca {
    world: Arc<World>,
    server: Server,
    ids: Ids,
}

/// Where to find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Urls {
    /// Trading and market data over HTTP, without the version.
    pub url: String,
    /// The `trade_updates` stream.
    pub stream_url: String,
    /// The market data stream.
    pub data_stream_url: String,
    /// The administration.
    pub admin_url: String,
}

impl Alpaca {
    /// Starts it on the caller's runtime.
    ///
    /// # Errors
    ///
    /// The address is taken, or the journal's file cannot be opened.
    pub async fn start(options: Options) -> io::Result<Self> {
        let world = World::new(&options)?;
        world.act(|state, _| {
            state.settings.declare("redirect_uri", "");
            state.settings.declare("consent", "yes");
        });
        let ids = Ids::new(world.seed());
        let venue = Arc::new(Manners { ids, codes: Mutex::default() });
        let server = Server::start(Arc::clone(&world), venue, &options.listen).await?;
        Ok(Self { world, server, ids })
    }

    /// Returns all that it knows, to be looked at and changed.
    #[must_use]
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Takes it apart: what it knows, and what serves it.
    pub(crate) fn into_parts(self) -> (Arc<World>, Server) {
        (self.world, self.server)
    }

    /// Returns where to find it.
    #[must_use]
    pub fn urls(&self) -> Urls {
        let at = self.server.address();
        Urls {
            url: format!("http://{at}"),
            stream_url: format!("ws://{at}/stream"),
            data_stream_url: format!("ws://{at}/v2/iex"),
            admin_url: format!("http://{at}/admin"),
        }
    }

    /// Returns the id that Alpaca shows for an order of the book.
    #[must_use]
    pub fn order_uuid(&self, id: OrderId) -> uuid::Uuid {
        self.ids.order(id)
    }

    /// Returns the order of the book that Alpaca shows under an id.
    #[must_use]
    pub fn order_of(&self, id: &str) -> Option<Order> {
        let id = self.ids.read_order(id)?;
        self.world.look(|state| state.book.order(id).cloned())
    }
}

/// What is Alpaca's own.
#[derive(Debug)]
struct Manners {
    ids: Ids,
    codes: Mutex<oauth::Codes>,
}

impl Venue for Manners {
    fn facts(&self, state: &State, request: &Request) -> Facts {
        let account = Proof::of(request).and_then(|proof| proof.claims(state).map(str::to_owned));
        let body = request.body_value();
        let field = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let segments = request.segments();
        let by_id = match segments.as_slice() {
            ["v2", "orders", id] => self.ids.read_order(id).and_then(|id| state.book.order(id)),
            _ => None,
        };
        let named = match segments.as_slice() {
            ["v2", "positions" | "assets", symbol] | ["v2", "stocks", symbol, ..] => {
                Some((*symbol).to_owned())
            }
            _ => None,
        };
        let is_data = segments.get(1) == Some(&"stocks");
        Facts {
            route: format!("{} {}", request.method, request.path),
            meters: account
                .iter()
                .map(|name| Meter::request(if is_data { format!("{name} data") } else { name.clone() }))
                .collect(),
            account,
            client_order_id: field("client_order_id")
                .or_else(|| request.param("client_order_id"))
                .or_else(|| by_id.map(|order| order.client_order_id.clone())),
            symbol: field("symbol").or(named).or_else(|| by_id.map(|order| order.ticket.symbol.clone())),
        }
    }

    fn answer(&self, state: &mut State, now: DateTime<Utc>, request: &Request) -> Answer {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = match (&request.method, request.path.as_str()) {
            (&Method::GET, "/oauth/authorize") => codes.authorize(state, request),
            (&Method::POST, "/oauth/token") => codes.token(state, request),
            _ => {
                let owner = Proof::of(request).and_then(|proof| proof.opens(state).map(str::to_owned));
                match owner {
                    Some(account) => {
                        rest::answer(state, Call { ids: self.ids, now, account: &account, request })
                    }
                    None => Err(Error::unauthorized()),
                }
            }
        };
        answered.unwrap_or_else(|error| error.answer())
    }

    fn trouble(&self, trouble: &Trouble) -> Answer {
        errors::trouble(trouble).answer()
    }

    /// Says to come back in a second, whenever that is too early.
    fn over_limit(&self, _exceeded: &Allowance) -> Answer {
        self.trouble(&Trouble::RateLimit).with("retry-after", 1)
    }

    /// Adds how the account stands to its limit. A refusal for too many requests says so even where there is none.
    fn metered(&self, answer: Answer, stands: &[Allowance], now: DateTime<Utc>) -> Answer {
        let refused = answer.status == 429;
        let (limit, remaining, reset) = match stands.first() {
            Some(stand) => (stand.limit, stand.remaining(), stand.reset.timestamp()),
            None if refused => (Decimal::from(200), Decimal::ZERO, now.timestamp() + 60),
            None => return answer,
        };
        answer
            .with("x-ratelimit-limit", limit)
            .with("x-ratelimit-remaining", if refused { Decimal::ZERO } else { remaining })
            .with("x-ratelimit-reset", reset)
    }

    fn has_stream(&self, path: &str) -> bool {
        matches!(path, "/stream" | "/v2/iex" | "/v2/sip")
    }

    fn talk(
        self: Arc<Self>,
        world: Arc<World>,
        request: Request,
        socket: Socket,
    ) -> BoxFuture<'static, Ended> {
        if request.path == "/stream" {
            stream::talk(world, self.ids, request, socket).boxed()
        } else {
            data::talk(world, request, socket).boxed()
        }
    }
}
