//! Binance USD-M futures: the REST API (`/fapi`), the algo service, and the private and public streams, all on one port.
//!
//! A symbol of the book is `BTC/USDT`; Binance writes `BTCUSDT`, and every one is a perpetual. Accounts are margin accounts
//! whose multiplier is the leverage, the same for all symbols: the book's cash is the wallet less what the positions cost.
//! The mark price is the last one. Margin is checked, and nobody is liquidated; there is no funding. What is the same as on
//! the spot market is [`crate::binance`]'s. Not simulated are hedge mode beyond its refusals, multi-assets mode, isolated
//! margin, `closePosition`, changes of leverage, amendments, batches and the WebSocket API.
//!
//! A stop is one order of the book that is shown as two: at the algo service, and, once its price was reached, as an order
//! with a number of its own. Of one that was reached and then rests, the stream tells nothing until it trades or ends.
//!
//! Settings: `dual_side_position` and `multi_assets_margin` (1: the account is in that mode), `child_names` (1: what a stop
//! became does not carry the stop's name), `listen_key_ms` (how long a key of the user stream is good).

mod account;
mod algo;
mod calls;
mod checks;
mod errors;
mod market;
mod orders;
mod stream;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::binance::calls::{Call, Security, check_rights, key_of};
use crate::binance::errors::Error;
use crate::binance::params::Params;
use crate::binance::wire::{ORDERS, WEIGHT};
use crate::binance::{Manners as Common, account::number_of, streams, way_too_much};
use crate::book::{Fee, FeeFrom, Rules, Status};
use crate::faults::Facts;
use crate::http::{Answer, Request};
use crate::instrument::Increments;
use crate::limits::{Allowance, Bound, Meter};
use crate::server::{Ended, Socket, Trouble, Venue};
use crate::signed::{Hash, Signed};
use crate::table::Running;
use crate::world::{Options, State, World};

/// Where keys of the user stream are.
const LISTEN_KEY: &str = "/fapi/v1/listenKey";
/// Where the user stream is.
const PRIVATE: &str = "/private/ws";
/// Where prices are streamed.
const PUBLIC: &str = "/public";
/// Says that positions do not net.
const DUAL: &str = "dual_side_position";
/// Says that all assets are margin.
const MULTI: &str = "multi_assets_margin";
/// Says that what a stop became has another name.
const CHILD_NAMES: &str = "child_names";
/// How long a key of the user stream is good, in milliseconds.
const KEY_MS: &str = "listen_key_ms";

/// Returns what it is started with if nobody says otherwise: its limits, a fee of a twentieth of a percent in money, and the
/// steps of BTCUSDT for every symbol that is listed by its first price.
#[must_use]
pub fn options() -> Options {
    let step = |number: i64, scale: u32| Some(Decimal::new(number, scale));
    let window = |seconds, most| Bound::Window { seconds, most };
    Options {
        per_minute: Some(2400),
        limits: [(ORDERS.to_owned(), vec![window(10, 300), window(60, 1200)])].into(),
        rules: Rules {
            fee: Some(Fee { pct: Decimal::new(5, 2), from: FeeFrom::Cash }),
            at_once_ends: Status::Expired,
            crosses: true,
            fractional_shorts: true,
            ..Rules::crypto()
        },
        increments: Increments {
            price_tick: step(1, 1),
            qty_step: step(1, 3),
            qty_min: step(1, 3),
            qty_max: step(1000, 0),
            notional_min: step(100, 0),
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
    world.act(|state, _| {
        for name in [DUAL, MULTI, CHILD_NAMES] {
            state.settings.declare(name, 0_u32);
        }
        state.settings.declare(KEY_MS, 3_600_000_u32);
    });
    let urls = |at: &str| {
        json!({
            "url": format!("http://{at}"),
            "private_url": format!("ws://{at}{PRIVATE}"),
            "public_url": format!("ws://{at}{PUBLIC}/ws"),
        })
    };
    Running::start(world, Arc::new(Manners::default()), &options.listen, urls).await
}

/// What is the futures market's own.
#[derive(Debug, Default)]
struct Manners {
    common: Common,
    /// Keys of the user stream by account, and until when each is good.
    keys: Mutex<BTreeMap<String, (String, DateTime<Utc>)>>,
}

impl Manners {
    /// Gives, keeps or ends an account's key of the user stream. Only the API key has to be named.
    fn listen_key(&self, state: &State, now: DateTime<Utc>, request: &Request) -> Result<Value, Error> {
        let (account, _) = Common::signer(state, request)?;
        check_rights(state, account, Security::Look)?;
        Params::of(request)?.only(&["listenKey"])?;
        let until = now + TimeDelta::milliseconds(state.settings.number(KEY_MS).into());
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let known = keys.get_mut(account).filter(|(_, until)| *until > now);
        match request.method.as_str() {
            "POST" => {
                let made = format!("{account}{now}");
                let new = || Signed::hmac(Hash::Sha256, b"listen key", made.as_bytes()).hex();
                let key = known.map_or_else(new, |(key, _)| key.clone());
                keys.insert(account.to_owned(), (key.clone(), until));
                Ok(json!({"listenKey": key}))
            }
            "PUT" => {
                let (key, end) = known.ok_or_else(errors::no_listen_key)?;
                *end = until;
                Ok(json!({"listenKey": key}))
            }
            _ => keys.remove(account).map(|_| json!({})).ok_or_else(errors::no_listen_key),
        }
    }

    /// Returns whose key of the user stream this is, if it is good.
    fn listener(&self, key: &str, now: DateTime<Utc>) -> Option<String> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |(_, (known, until)): &(&String, &(String, DateTime<Utc>))| known == key && *until > now;
        keys.iter().find(is_it).map(|(account, _)| account.clone())
    }
}

/// Returns the key of the user stream that a request for the stream names.
fn key_of_stream(request: &Request) -> Option<String> {
    let named = request.path.strip_prefix(PRIVATE)?;
    match named.strip_prefix('/') {
        Some(key) => Some(key.to_owned()),
        None => request.param("listenKey"),
    }
}

impl Venue for Manners {
    fn facts(&self, state: &State, request: &Request) -> Facts {
        let account = key_of(request).and_then(|key| state.directory.owner_of_key(key)).map(str::to_owned);
        let params = Params::of(request).unwrap_or_default();
        let peer = request.peer.to_string();
        let meters = match calls::at(&request.method, &request.path) {
            Some(call) => call.meters(&peer, account.as_deref(), &params),
            None => vec![Meter::weighing(WEIGHT, &peer, 1)],
        };
        let route = format!("{} {}", request.method, request.path);
        Facts { meters, ..calls::facts(state, route, account, &params) }
    }

    fn answer(&self, state: &mut State, now: DateTime<Utc>, request: &Request) -> Answer {
        if let Some(until) = self.common.banned(&request.peer.to_string(), now) {
            return way_too_much(until).answer().with("retry-after", (until - now).num_seconds().max(1));
        }
        if request.path == LISTEN_KEY {
            return match self.listen_key(state, now, request) {
                Ok(body) => Answer::json(200, &body),
                Err(error) => error.answer(),
            };
        }
        let Some(call) = calls::at(&request.method, &request.path) else {
            let status = if calls::is_known(&request.path) { 405 } else { 404 };
            return Error::new(status, -5000, "Path is invalid").answer();
        };
        let answered = Params::of(request).and_then(|params| {
            let account = match call.security {
                Security::Open => String::new(),
                Security::Look | Security::Trade => {
                    let account = Common::let_in(state, now, request, &params)?;
                    check_rights(state, &account, call.security)?;
                    account
                }
            };
            call.run(state, Call { now, account: &account, params: &params })
        });
        match answered {
            Ok(body) => Answer::json(200, &body),
            Err(error) => error.answer(),
        }
    }

    fn trouble(&self, trouble: &Trouble) -> Answer {
        errors::trouble(trouble).answer()
    }

    fn over_limit(&self, exceeded: &Allowance) -> Answer {
        let (error, until) = self.common.over(exceeded);
        error.answer().with("retry-after", (until - exceeded.at).num_seconds().max(1))
    }

    fn metered(&self, answer: Answer, stands: &[Allowance], _: DateTime<Utc>) -> Answer {
        Common::told(answer, stands)
    }

    fn has_stream(&self, path: &str) -> bool {
        let is_below =
            |root: &str| path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
        is_below(PRIVATE) || is_below("/public/ws") || path == "/public/stream"
    }

    fn refused_stream(&self, _: &State, now: DateTime<Utc>, request: &Request) -> Option<Answer> {
        let key = key_of_stream(request).filter(|_| request.path.starts_with(PRIVATE));
        let is_good =
            !request.path.starts_with(PRIVATE) || key.is_some_and(|key| self.listener(&key, now).is_some());
        (!is_good).then(|| errors::no_listen_key().answer())
    }

    fn talk(
        self: Arc<Self>,
        world: Arc<World>,
        request: Request,
        socket: Socket,
    ) -> BoxFuture<'static, Ended> {
        if request.path.starts_with(PRIVATE) {
            return stream::talk(self, world, request, socket).boxed();
        }
        let path = request.path.strip_prefix(PUBLIC).unwrap_or_default().to_owned();
        streams::talk(world, Request { path, ..request }, socket, wire::ticker_event).boxed()
    }
}

/// Returns what Binance knows an account by.
fn alias(account: &str) -> String {
    format!("sim{:x}", number_of(account))
}
