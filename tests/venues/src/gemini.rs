//! Gemini: the REST API v1 and the new WebSocket, on one port.
//!
//! A symbol of the book is `BTC/USD`; Gemini writes `btcusd`. Accounts are spot accounts, and fees are taken of their
//! cash. The requests of a key carry the time, or, if its rights say so, a number; only the first kind opens the WebSocket. Not
//! simulated are master keys, orders at the market, which not every symbol has, orders that only wait, heartbeats, orders
//! over the WebSocket and the older WebSocket.

mod calls;
mod checks;
pub mod errors;
mod signing;
mod stream;
mod wire;

use std::io;
use std::sync::Arc;

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

use errors::Error;
use signing::Nonces;

/// The pool of what anybody may ask, by address.
const PUBLIC: &str = "public";

/// Returns what Gemini is started with if nobody says otherwise: its limits, its fee, and the steps of BTCUSD for every
/// symbol that is listed by its first price.
#[must_use]
pub fn options() -> Options {
    let step = |scale: u32| Some(Decimal::new(1, scale));
    let public = vec![Bound::Window { seconds: 60, most: 120 }];
    Options {
        per_minute: Some(600),
        limits: [(PUBLIC.to_owned(), public)].into(),
        rules: Rules {
            fee: Some(Fee { pct: Decimal::new(4, 1), from: FeeFrom::Cash }),
            names: Names::Free,
            ..Rules::crypto()
        },
        increments: Increments {
            price_tick: step(2),
            qty_step: step(8),
            qty_min: step(5),
            ..Increments::default()
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

/// What is Gemini's own.
#[derive(Debug, Default)]
struct Manners {
    nonces: Nonces,
}

impl Venue for Manners {
    fn facts(&self, state: &State, request: &Request) -> Facts {
        let key = request.header(signing::KEY);
        let account = key.and_then(|key| state.directory.owner_of_key(key)).map(str::to_owned);
        let meter = match &account {
            Some(account) => Meter::request(account),
            None => Meter::weighing(PUBLIC, request.peer, 1),
        };
        calls::facts(state, request, account, vec![meter])
    }

    fn answer(&self, state: &mut State, now: DateTime<Utc>, request: &Request) -> Answer {
        let answered = match calls::open(state, now, request) {
            Some(answered) => answered,
            None => calls::at(request).and_then(|call| {
                let (account, params) = signing::let_in(&self.nonces, state, now, request)?;
                call.run(state, now, &account, &params)
            }),
        };
        match answered {
            Ok(body) => Answer::json(200, &body),
            Err(error) => error.answer(),
        }
    }

    fn trouble(&self, trouble: &Trouble) -> Answer {
        errors::trouble(trouble).answer()
    }

    fn has_stream(&self, path: &str) -> bool {
        path == "/"
    }

    fn refused_stream(&self, state: &State, now: DateTime<Utc>, request: &Request) -> Option<Answer> {
        signing::stream_of(state, now, request).err().map(|error| Error { status: 401, ..error }.answer())
    }

    fn talk(
        self: Arc<Self>,
        world: Arc<World>,
        request: Request,
        socket: Socket,
    ) -> BoxFuture<'static, Ended> {
        stream::talk(world, request, socket).boxed()
    }
}
