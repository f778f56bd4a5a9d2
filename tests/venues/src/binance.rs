//! Binance spot: the REST API (`/api/v3`), the WebSocket API with the user data stream, and the market streams, all on
//! one port.
//!
//! A symbol of the book is `BTC/USDT`; Binance writes `BTCUSDT`. Accounts are spot accounts. An account whose secret is
//! the PEM of a public key signs with Ed25519, any other with HMAC-SHA256; RSA keys, which Binance takes too, are not
//! simulated, nor are order amendments, cancel-replace, OTO lists, pegged orders and Binance's other data streams.
//! An iceberg is shown as one and trades as a whole. Counting windows begin with the first request instead of at full
//! minutes. How many times somebody may go on after a 429 before a ban, Binance does not say: here it is five times.

pub(crate) mod account;
mod api;
pub(crate) mod calls;
pub(crate) mod checks;
pub mod errors;
pub(crate) mod market;
mod orders;
pub(crate) mod params;
mod signing;
pub(crate) mod streams;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rust_decimal::Decimal;
use serde_json::json;

use crate::book::{Fee, FeeFrom, Rivals, Rules, Status};
use crate::faults::Facts;
use crate::http::{Answer, Request};
use crate::instrument::Increments;
use crate::limits::{Allowance, Bound, Meter};
use crate::server::{Ended, Socket, Trouble, Venue};
use crate::table::Running;
use crate::world::{Options, State, World};

use calls::{Call, Security};
use errors::Error;
use params::Params;
use wire::{ORDERS, RAW, WEIGHT};

/// Where the WebSocket API is.
const API: &str = "/ws-api/v3";
/// How many requests too many are forgiven.
const STRIKES: u32 = 5;
/// How long the first ban is.
const BAN: TimeDelta = TimeDelta::minutes(2);

/// Returns what Binance is started with if nobody says otherwise: its limits, a fee of a thousandth of what a trade
/// brings, and the steps of BTCUSDT for every symbol that is listed by its first price.
#[must_use]
pub fn options() -> Options {
    let step = |number: i64, scale: u32| Some(Decimal::new(number, scale));
    let window = |seconds, most| Bound::Window { seconds, most };
    let limits = [
        (RAW.to_owned(), vec![window(300, 61_000)]),
        (ORDERS.to_owned(), vec![window(10, 50), window(86_400, 160_000)]),
    ];
    Options {
        per_minute: Some(6000),
        limits: limits.into(),
        rules: Rules {
            fee: Some(Fee { pct: Decimal::new(1, 1), from: FeeFrom::Received }),
            at_once_ends: Status::Expired,
            rivals: Rivals::Expire,
            ..Rules::crypto()
        },
        increments: Increments {
            price_tick: step(1, 2),
            qty_step: step(1, 5),
            qty_min: step(1, 5),
            qty_max: step(9000, 0),
            notional_min: step(5, 0),
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
    let urls = |at: &str| {
        json!({
            "url": format!("http://{at}"),
            "ws_api_url": format!("ws://{at}{API}"),
            "stream_url": format!("ws://{at}"),
        })
    };
    Running::start(world, Arc::new(Manners::default()), &options.listen, urls).await
}

/// What is Binance's own, at all its markets.
#[derive(Debug, Default)]
pub(crate) struct Manners {
    bans: Mutex<BTreeMap<String, Ban>>,
}

/// How an address behaved after it was told to wait.
#[derive(Clone, Copy, Debug, Default)]
struct Ban {
    strikes: u32,
    last: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
}

impl Manners {
    /// Returns how long an address is still banned, if it is.
    pub(crate) fn banned(&self, who: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let bans = self.bans.lock().unwrap_or_else(PoisonError::into_inner);
        bans.get(who)?.until.filter(|until| *until > now)
    }

    /// Returns the refusal of a request that was one too many, and when there is room again.
    pub(crate) fn over(&self, exceeded: &Allowance) -> (Error, DateTime<Utc>) {
        let limit = exceeded.limit;
        let Bound::Window { seconds, .. } = exceeded.bound else {
            return (errors::trouble(&Trouble::RateLimit), exceeded.reset);
        };
        if exceeded.pool == ORDERS {
            let words = format!("Too many new orders; current limit is {limit} orders per {seconds} SECOND.");
            return (Error::new(429, -1015, words), exceeded.reset);
        }
        let mut bans = self.bans.lock().unwrap_or_else(PoisonError::into_inner);
        let ban = bans.entry(exceeded.who.clone()).or_default();
        if exceeded.at - ban.last > BAN {
            *ban = Ban::default();
        }
        ban.strikes += 1;
        ban.last = exceeded.at;
        if ban.strikes > STRIKES {
            let until = *ban.until.get_or_insert(exceeded.at + BAN);
            return (way_too_much(until), until);
        }
        let words = format!(
            "Too much request weight used; current limit is {limit} request weight per {seconds} SECOND. Please use \
             WebSocket Streams for live updates to avoid polling the API."
        );
        (Error::new(429, -1003, words), exceeded.reset)
    }

    /// Returns whose request it is, if it is signed as it should be.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub(crate) fn let_in(
        state: &State,
        now: DateTime<Utc>,
        request: &Request,
        params: &Params,
    ) -> Result<String, Error> {
        let (account, secret) = Self::signer(state, request)?;
        params.need("timestamp")?;
        let signature = params.need("signature")?;
        if !signing::is_signed(secret, &signing::payload(request), signature) {
            return Err(Error::signature());
        }
        signing::check_time(params, now)?;
        Ok(account.to_owned())
    }

    /// Returns whose key a request names, and the secret that goes with it.
    ///
    /// # Errors
    ///
    /// It names none, or nobody's.
    pub(crate) fn signer<'a>(state: &'a State, request: &Request) -> Result<(&'a str, &'a str), Error> {
        let key = calls::key_of(request).filter(|key| {
            (1..=64).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        let key = key.ok_or_else(Error::no_key)?;
        state.directory.signer(key).ok_or_else(Error::key)
    }

    /// Says how much weight the address has used, and how many orders the account has placed.
    pub(crate) fn told(answer: Answer, stands: &[Allowance]) -> Answer {
        stands.iter().fold(answer, |answer, stand| {
            let Bound::Window { seconds, .. } = stand.bound else { return answer };
            match (stand.pool.as_str(), seconds) {
                (WEIGHT, 60) => {
                    answer.with("x-mbx-used-weight", stand.used).with("x-mbx-used-weight-1m", stand.used)
                }
                (ORDERS, 10) => answer.with("x-mbx-order-count-10s", stand.used),
                (ORDERS, 60) => answer.with("x-mbx-order-count-1m", stand.used),
                (ORDERS, 86_400) => answer.with("x-mbx-order-count-1d", stand.used),
                _ => answer,
            }
        })
    }
}

/// Returns the refusal of an address that is banned.
pub(crate) fn way_too_much(until: DateTime<Utc>) -> Error {
    let until = wire::time(until);
    let words = format!(
        "Way too much request weight used; IP banned until {until}. Please use WebSocket Streams for live updates to \
         avoid bans."
    );
    Error::new(418, -1003, words)
}

impl Venue for Manners {
    fn facts(&self, state: &State, request: &Request) -> Facts {
        let key = calls::key_of(request);
        let account = key.and_then(|key| state.directory.owner_of_key(key)).map(str::to_owned);
        let params = Params::of(request).unwrap_or_default();
        let route = format!("{} {}", request.method, request.path);
        let peer = request.peer.to_string();
        let meters = match calls::at(&request.method, &request.path) {
            Some(call) => call.meters(&peer, account.as_deref(), &params),
            None => vec![Meter::weighing(WEIGHT, &peer, if request.path == API { 2 } else { 1 })],
        };
        Facts { meters, ..calls::facts(state, route, account, &params) }
    }

    fn answer(&self, state: &mut State, now: DateTime<Utc>, request: &Request) -> Answer {
        if let Some(until) = self.banned(&request.peer.to_string(), now) {
            return way_too_much(until).answer().with("retry-after", (until - now).num_seconds().max(1));
        }
        let Some(call) = calls::at(&request.method, &request.path) else {
            let status = if calls::is_known(&request.path) { 405 } else { 404 };
            return Error::new(status, -1000, "Not Found").answer();
        };
        let answered = Params::of(request).and_then(|params| {
            let account = match call.security {
                Security::Open => String::new(),
                Security::Look | Security::Trade => {
                    let account = Self::let_in(state, now, request, &params)?;
                    calls::check_rights(state, &account, call.security)?;
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
        let (error, until) = self.over(exceeded);
        error.answer().with("retry-after", (until - exceeded.at).num_seconds().max(1))
    }

    fn metered(&self, answer: Answer, stands: &[Allowance], _now: DateTime<Utc>) -> Answer {
        Self::told(answer, stands)
    }

    fn has_stream(&self, path: &str) -> bool {
        path == API || path == "/ws" || path == "/stream" || path.starts_with("/ws/")
    }

    fn talk(
        self: Arc<Self>,
        world: Arc<World>,
        request: Request,
        socket: Socket,
    ) -> BoxFuture<'static, Ended> {
        if request.path == API {
            api::talk(self, world, request, socket).boxed()
        } else {
            streams::talk(world, request, socket, wire::ticker_event).boxed()
        }
    }
}
