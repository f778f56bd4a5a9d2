//! Kraken spot: REST (`/0/public`, `/0/private`) and both addresses of the second WebSocket API, all on one port.
//!
//! A symbol of the book is `BTC/USD`; Kraken writes `XBTUSD` in requests, `XXBTZUSD` in answers, and `BTC/USD` on its
//! streams. Accounts are spot accounts, fees are paid in money. Of orders, margin, icebergs, orders in pairs, amendments,
//! batches, `GTD`, volumes in money and fees in coins are not simulated: what asks for them is refused. Of tiers there is
//! the lowest.
//!
//! Where Kraken does not say: a parameter that nobody knows is refused by its name; a deadline that is over already is
//! too late, and one sooner than two seconds from now or later than sixty is no argument.

mod account;
mod calls;
mod checks;
pub mod errors;
mod market;
mod names;
mod orders;
mod params;
mod signing;
mod streams;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rust_decimal::Decimal;
use serde_json::json;

use crate::book::{Fee, FeeFrom, Rules};
use crate::faults::Facts;
use crate::http::{Answer, Request};
use crate::instrument::Increments;
use crate::limits::{Allowance, Bound, REQUESTS};
use crate::server::{Ended, Socket, Trouble, Venue};
use crate::table::Running;
use crate::world::{Options, State, World};

use calls::Call;
use errors::Error;
use params::Params;

/// The pool of orders, by account and pair.
const ORDERS: &str = "orders";
/// The pool of what anybody may ask, by address.
const PUBLIC: &str = "public";
/// Where everybody listens.
const WS: &str = "/v2";
/// Where accounts listen.
const WS_AUTH: &str = "/auth/v2";
/// How long a token is good before it is used.
const TOKEN: TimeDelta = TimeDelta::seconds(900);
/// The setting of how often a stream says that it is there, in milliseconds; never if it is zero.
const HEARTBEAT: &str = "heartbeat_ms";
/// The setting of how many numbers of messages of accounts are left out next: those messages were lost.
const LOST: &str = "lost_messages";

/// Returns what Kraken is started with if nobody says otherwise: the limits of its lowest tier, a fee of a quarter of a
/// percent in money, and the steps of XBTUSD for every symbol that is listed by its first price.
#[must_use]
pub fn options() -> Options {
    let step = |number: i64, scale: u32| Some(Decimal::new(number, scale));
    let leak = |most: i64, falls: Decimal| vec![Bound::Leak { most: Decimal::from(most), per_second: falls }];
    let limits = [
        (REQUESTS.to_owned(), leak(15, Decimal::new(33, 2))),
        (ORDERS.to_owned(), leak(60, Decimal::ONE)),
        (PUBLIC.to_owned(), leak(60, Decimal::ONE)),
    ];
    Options {
        per_minute: None,
        limits: limits.into(),
        rules: Rules { fee: Some(Fee { pct: Decimal::new(25, 2), from: FeeFrom::Cash }), ..Rules::crypto() },
        increments: Increments {
            price_tick: step(1, 1),
            qty_step: step(1, 8),
            qty_min: step(5, 5),
            qty_max: None,
            notional_min: step(5, 1),
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
        state.settings.declare(HEARTBEAT, 1_000_u32);
        state.settings.declare(LOST, 0_u32);
    });
    let urls = |at: &str| {
        json!({
            "url": format!("http://{at}"),
            "ws_url": format!("ws://{at}{WS}"),
            "ws_auth_url": format!("ws://{at}{WS_AUTH}"),
        })
    };
    Running::start(world, Arc::new(Manners::default()), &options.listen, urls).await
}

/// What is Kraken's own.
#[derive(Debug, Default)]
struct Manners(Mutex<Seen>);

/// What Kraken remembers of keys.
#[derive(Debug, Default)]
struct Seen {
    /// The last number of every key.
    nonces: BTreeMap<String, u64>,
    /// Every token, with whose it is and when it was given out.
    tokens: BTreeMap<String, (String, DateTime<Utc>)>,
}

impl Manners {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whose request it is.
    fn let_in(&self, state: &State, request: &Request, params: &Params) -> Result<String, Error> {
        let key = calls::key_of(request).ok_or(Error::Key)?;
        let (account, secret) = state.directory.signer(key).ok_or(Error::Key)?;
        let nonce = params.raw("nonce").and_then(|nonce| nonce.parse::<u64>().ok()).ok_or(Error::Nonce)?;
        let signature = request.header("api-sign").ok_or(Error::Signature)?;
        if signing::signature(secret, &request.path, nonce, &request.body).as_deref() != Some(signature) {
            return Err(Error::Signature);
        }
        let mut seen = self.seen();
        let last = seen.nonces.entry(key.to_owned()).or_default();
        if nonce <= *last {
            return Err(Error::Nonce);
        }
        *last = nonce;
        Ok(account.to_owned())
    }

    /// Gives out a token that opens an account's stream.
    fn token(&self, account: &str, now: DateTime<Utc>) -> String {
        let mut seen = self.seen();
        let token = signing::token(account, seen.tokens.len());
        seen.tokens.insert(token.clone(), (account.to_owned(), now));
        token
    }

    /// Returns whose stream a token opens.
    fn owner_of(&self, token: &str, now: DateTime<Utc>) -> Option<String> {
        let seen = self.seen();
        let (account, since) = seen.tokens.get(token)?;
        (now - *since < TOKEN).then(|| account.clone())
    }
}

impl Venue for Manners {
    fn facts(&self, state: &State, request: &Request) -> Facts {
        let account = calls::key_of(request).and_then(|key| state.directory.owner_of_key(key));
        let params = Params::of(request).unwrap_or_default();
        calls::facts(state, request, account, &params)
    }

    fn answer(&self, state: &mut State, now: DateTime<Utc>, request: &Request) -> Answer {
        let answered = Params::of(request).and_then(|params| {
            let call = calls::at(&request.method, &request.path).ok_or(Error::Method)?;
            let account = match call.right {
                None => String::new(),
                Some(right) => {
                    let account = self.let_in(state, request, &params)?;
                    calls::check_rights(state, &account, right)?;
                    account
                }
            };
            if request.path == calls::TOKENS {
                params.only(&[])?;
                return Ok(json!({"token": self.token(&account, now), "expires": TOKEN.num_seconds()}));
            }
            call.run(state, Call { now, account: &account, params: &params })
        });
        match answered {
            Ok(result) => Answer::json(200, &json!({"error": [], "result": result})),
            Err(error) => error.answer(),
        }
    }

    fn trouble(&self, trouble: &Trouble) -> Answer {
        errors::trouble(trouble)
    }

    /// Kraken says neither how much is left nor when there is room again.
    fn over_limit(&self, exceeded: &Allowance) -> Answer {
        let words = if exceeded.pool == ORDERS { "EOrder" } else { "EAPI" };
        Error::Other(format!("{words}:Rate limit exceeded")).answer()
    }

    fn has_stream(&self, path: &str) -> bool {
        path == WS || path == WS_AUTH
    }

    fn talk(
        self: Arc<Self>,
        world: Arc<World>,
        request: Request,
        socket: Socket,
    ) -> BoxFuture<'static, Ended> {
        streams::talk(self, world, request, socket).boxed()
    }
}
