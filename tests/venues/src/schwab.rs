//! Charles Schwab: the Trader API for individuals, its market data and its streamer, on one port.
//!
//! What nobody has written down is decided here, and said where it is decided. Options and other assets, transactions,
//! bars, trailing stop limits and orders for the close are not simulated: they are refused.
//!
//! Settings of its own (`/admin/settings`): `reject_after_ms`, how long an order lives that is rejected; `list_lag_ms`,
//! how old an order is when lists show it; `heartbeat_ms` and `idle_after_ms` of the streamer; `stream_url`, where
//! clients are told that it is; `redirect_uri`, the address every application is registered with; `consent`, which is `yes`,
//! or `no` for a person who does not let the application in.

mod accounts;
mod activity;
mod checks;
mod desk;
pub mod errors;
mod frames;
mod hours;
mod level_one;
mod market;
mod oauth;
mod orders;
mod rest;
mod show;
mod streamer;
mod wire;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::Method;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::book::{Order, OrderId, Rules};
use crate::faults::Facts;
use crate::http::{Answer, Request};
use crate::limits::{Allowance, Meter};
use crate::server::{Ended, Server, Socket, Trouble, Venue};
use crate::world::{Options, State, World};

use desk::{Desk, Ids};
use rest::Call;

/// A running Schwab. Dropped, it stops.
#[derive(Debug)]
pub struct Schwab {
    world: Arc<World>,
    server: Server,
    manners: Arc<Manners>,
}

/// Where to find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Urls {
    /// Everything over HTTP, without `/trader/v1`, `/marketdata/v1` or `/v1/oauth`.
    pub url: String,
    /// The streamer, which `userPreference` tells of too.
    pub stream_url: String,
    /// The administration.
    pub admin_url: String,
}

impl Schwab {
    /// Returns what it is started with: as strict as the real one, 120 requests a minute.
    #[must_use]
    pub fn options() -> Options {
        let rules = Rules {
            wash_trades: false,
            qty_scale: 0,
            // What a market order may cost more than the ask is not known.
            collar_pct: Default::default(),
            gtc_for: TimeDelta::days(180),
            ..Rules::default()
        };
        Options { per_minute: Some(120), rules, ..Options::default() }
    }

    /// Starts it on the caller's runtime.
    ///
    /// # Errors
    ///
    /// The address is taken, or the journal's file cannot be opened.
    pub async fn start(options: Options) -> io::Result<Self> {
        let world = World::new(&options)?;
        world.act(|state, _| {
            state.settings.declare("reject_after_ms", 50);
            state.settings.declare("list_lag_ms", 0);
            state.settings.declare("heartbeat_ms", 5_000);
            state.settings.declare("idle_after_ms", 30_000);
            state.settings.declare("redirect_uri", "https://127.0.0.1");
            state.settings.declare("consent", "yes");
        });
        let ids = Ids::new(world.seed());
        let manners = Arc::new(Manners { ids, desk: Mutex::default(), replies: AtomicU64::new(1) });
        let venue: Arc<dyn Venue> = Arc::<Manners>::clone(&manners);
        let server = Server::start(Arc::clone(&world), venue, &options.listen).await?;
        let schwab = Self { world, server, manners };
        schwab.world.act(|state, _| state.settings.declare("stream_url", schwab.urls().stream_url));
        Ok(schwab)
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
            stream_url: format!("ws://{at}{}", streamer::PATH),
            admin_url: format!("http://{at}/admin"),
        }
    }

    /// Returns the hash that stands for an account in paths.
    #[must_use]
    pub fn hash_of(&self, account: &str) -> String {
        self.manners.ids.hash(account)
    }

    /// Returns an account's number.
    #[must_use]
    pub fn number_of(&self, account: &str) -> String {
        desk::account_number(account).to_string()
    }

    /// Returns the order of the book that Schwab shows under an id.
    #[must_use]
    pub fn order_of(&self, id: i64) -> Option<Order> {
        let desk::Named::Order(id) = self.manners.ids.read(&id.to_string())? else { return None };
        self.world.look(|state| state.book.order(id).cloned())
    }
}

/// Returns the id that a world of this seed shows for an order of the book.
#[must_use]
pub fn order_id(seed: u64, id: OrderId) -> i64 {
    Ids::new(seed).order(id)
}

/// What is Schwab's own.
#[derive(Debug)]
struct Manners {
    ids: Ids,
    desk: Mutex<Desk>,
    replies: AtomicU64,
}

impl Manners {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what every answer carries, so that Schwab can find it again.
    fn signed(&self, answer: Answer) -> Answer {
        let number = self.replies.fetch_add(1, Ordering::Relaxed);
        answer.with("schwab-client-correlid", Uuid::from_u64_pair(0x7363_6877_6162_4000, number))
    }
}

impl Venue for Manners {
    fn facts(&self, state: &State, request: &Request) -> Facts {
        let desk = self.desk();
        let login = rest::bearer(request).and_then(|token| desk.logins.known(token));
        let segments = request.segments();
        let in_path = match segments.as_slice() {
            ["trader", "v1", "accounts", hash, ..] => {
                state.book.accounts().map(|(name, _)| name).find(|name| self.ids.hash(name) == *hash)
            }
            _ => None,
        };
        let body = request.body_value();
        let in_body = body.pointer("/orderLegCollection/0/instrument/symbol").and_then(Value::as_str);
        let by_id = match segments.as_slice() {
            ["trader", "v1", "accounts", _, "orders", id] => self.ids.read(id).map(desk::Named::first),
            _ => None,
        };
        let named = match segments.as_slice() {
            ["marketdata", "v1", symbol, "quotes"] => Some((*symbol).to_owned()),
            _ => by_id.and_then(|id| state.book.order(id)).map(|order| order.ticket.symbol.clone()),
        };
        Facts {
            route: format!("{} {}", request.method, request.path),
            account: in_path.map(str::to_owned).or_else(|| login?.accounts.first().cloned()),
            meters: login.map(|login| Meter::request(&login.app)).into_iter().collect(),
            client_order_id: None,
            symbol: in_body.map(str::to_owned).or(named),
        }
    }

    fn answer(&self, state: &mut State, now: DateTime<Utc>, request: &Request) -> Answer {
        let desk = &mut *self.desk();
        let answered = match (&request.method, request.path.as_str()) {
            (&Method::GET, "/v1/oauth/authorize") => desk.logins.authorize(state, now, request),
            (&Method::POST, "/v1/oauth/token") => desk.logins.token(state, now, request),
            _ => match rest::bearer(request).and_then(|token| desk.logins.lets_in(state, now, token)) {
                Some(login) => rest::answer(state, desk, &Call { ids: self.ids, now, login, request }),
                None => Err(errors::Error::unauthorized()),
            },
        };
        self.signed(answered.unwrap_or_else(|error| error.answer()))
    }

    fn trouble(&self, trouble: &Trouble) -> Answer {
        self.signed(errors::trouble(trouble).answer())
    }

    fn over_limit(&self, _: &Allowance) -> Answer {
        // Whether it says when to come back is not known.
        self.trouble(&Trouble::RateLimit)
    }

    fn has_stream(&self, path: &str) -> bool {
        path == streamer::PATH
    }

    fn talk(self: Arc<Self>, world: Arc<World>, _: Request, socket: Socket) -> BoxFuture<'static, Ended> {
        streamer::talk(self, world, socket).boxed()
    }
}
