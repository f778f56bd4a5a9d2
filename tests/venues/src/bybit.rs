//! Bybit v5: the REST API and the public and private streams of a unified account's spot market, on one port.
//!
//! A symbol of the book is `BTC/USDT`; Bybit writes `BTCUSDT`. Accounts are spot accounts. Not simulated are derivatives,
//! margin, RSA keys, amendments, batches, orders over the stream, pairs of orders, and conditional orders that hold
//! nothing back (`orderFilter` StopOrder); what is asked of them is refused. The topics `position` and `wallet` are
//! taken, and nothing is ever told on them. Of an execution and of the order that it moved the news come one after the
//! other, now this one first, now that one: Bybit promises no order. An order that ended is shown among the open ones for
//! ten minutes; after that only in the history.

mod calls;
mod checks;
pub mod errors;
mod market;
mod orders;
mod signing;
mod streams;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rust_decimal::Decimal;
use serde_json::json;

use crate::book::{Fee, FeeFrom, Names, Rules};
use crate::faults::Facts;
use crate::http::{Answer, Request};
use crate::instrument::Increments;
use crate::limits::{Allowance, Bound};
use crate::server::{Ended, Socket, Trouble, Venue};
use crate::table::Running;
use crate::world::{Options, State, World};

use calls::{ADDRESS, ASK, CANCEL, CREATE};
use errors::Error;

/// Where an account's stream is.
const PRIVATE: &str = "/v5/private";
/// Where prices are streamed.
const PUBLIC: &str = "/v5/public/spot";
/// How long an address is shut out that asked too often.
const SHUT_OUT: TimeDelta = TimeDelta::minutes(10);

/// Returns what Bybit is started with if nobody says otherwise: its limits, a fee of a thousandth of what a trade
/// brings, and the steps of BTCUSDT for every symbol that is listed by its first price.
#[must_use]
pub fn options() -> Options {
    let step = |number: i64, scale: u32| Some(Decimal::new(number, scale));
    let window = |seconds, most| vec![Bound::Window { seconds, most }];
    let limits =
        [(ADDRESS, window(5, 600)), (CREATE, window(1, 20)), (CANCEL, window(1, 20)), (ASK, window(1, 50))];
    Options {
        per_minute: None,
        limits: limits.into_iter().map(|(pool, bounds)| (pool.to_owned(), bounds)).collect(),
        rules: Rules {
            fee: Some(Fee { pct: Decimal::new(1, 1), from: FeeFrom::Received }),
            names: Names::ForEver,
            ..Rules::crypto()
        },
        increments: Increments {
            price_tick: step(1, 2),
            qty_step: step(1, 6),
            qty_min: None,
            qty_max: step(83, 0),
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
            "private_url": format!("ws://{at}{PRIVATE}"),
            "public_url": format!("ws://{at}{PUBLIC}"),
        })
    };
    Running::start(world, Arc::new(Manners::default()), &options.listen, urls).await
}

/// What is Bybit's own.
#[derive(Debug, Default)]
struct Manners {
    /// Addresses that are shut out, and until when.
    shut_out: Mutex<BTreeMap<String, DateTime<Utc>>>,
}

impl Manners {
    fn is_shut_out(&self, who: &str, now: DateTime<Utc>) -> bool {
        let shut_out = self.shut_out.lock().unwrap_or_else(PoisonError::into_inner);
        shut_out.get(who).is_some_and(|until| *until > now)
    }
}

impl Venue for Manners {
    fn facts(&self, state: &State, request: &Request) -> Facts {
        calls::facts(state, request)
    }

    fn answer(&self, state: &mut State, now: DateTime<Utc>, request: &Request) -> Answer {
        if self.is_shut_out(&request.peer.to_string(), now) {
            return errors::too_frequent();
        }
        match calls::run(state, now, request) {
            Ok(result) => Answer::json(200, &wire::envelope(0, "OK", result, now)),
            Err(error) => error.answer(now),
        }
    }

    fn trouble(&self, trouble: &Trouble) -> Answer {
        errors::trouble(trouble)
    }

    fn over_limit(&self, exceeded: &Allowance) -> Answer {
        if exceeded.pool == ADDRESS {
            let mut shut_out = self.shut_out.lock().unwrap_or_else(PoisonError::into_inner);
            shut_out.insert(exceeded.who.clone(), exceeded.at + SHUT_OUT);
            return errors::too_frequent();
        }
        Error::new(10_006, "Too many visits. Exceeded the API Rate Limit.").answer(exceeded.at)
    }

    /// Says how much of the account's share is left.
    fn metered(&self, answer: Answer, stands: &[Allowance], _: DateTime<Utc>) -> Answer {
        let own = stands.iter().find(|stand| [CREATE, CANCEL, ASK].contains(&stand.pool.as_str()));
        match own {
            Some(stand) => answer
                .with("x-bapi-limit", stand.limit)
                .with("x-bapi-limit-status", stand.remaining())
                .with("x-bapi-limit-reset-timestamp", stand.reset.timestamp_millis()),
            None => answer,
        }
    }

    fn has_stream(&self, path: &str) -> bool {
        path == PRIVATE || path == PUBLIC
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
