//! Bybit v5, the spot market of a unified account. Linear and inverse futures and options are left out.
//!
//! An answer to an order only says that it arrived: whether it was taken, and what became of it, the stream and look-ups
//! tell. Names of orders are unique for ever, so that the same order sent again is refused as a duplicate. Executions are
//! told apart from orders, so that they alone count, each once by its id.

pub mod errors;
pub mod map;
pub mod sign;
pub mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::json;

use trade_actors::domain::instrument::{Instrument, Symbol};
use trade_actors::domain::order::{Mode, Ticket};
use trade_actors::domain::portfolio::Quote;
use trade_actors::domain::report::{OrderReport, RefusalCode, ReportedState};
use trade_actors::domain::signal::OrderKind;
use trade_actors::ports::broker::{IdScope, Placed, Promises};

use super::bucket::Allowance;
use super::credentials::{Auth, Kind};
use super::http::{Reply, SetUpError};
use super::venue::call::{Call, Moment, Signed};
use super::venue::house::{Own, Usual};
use super::venue::market::quote;
use super::venue::pairs;
use super::venue::verdict::Verdict;
use super::venue::way::Way;
use super::venue::{Asked, Ear, Facts, Heard, Holdings, Hours, Identity, Lane, Opening, Scope, Tick, Venue};
use super::{About, Ground, House};

/// What it is called, and how one gets in.
pub const ABOUT: About = About {
    name: "bybit",
    title: "Bybit",
    ways_in: &[Kind::ApiKey],
    modes: &[Mode::Paper, Mode::Live],
    login_lasts: None,
};

/// The lane of all requests, counted by address.
const ALL: (usize, u32) = (0, 1);
/// The lane of new orders, counted by account.
const CREATE: (usize, u32) = (1, 1);
/// The lane of cancels, counted by account.
const CANCEL: (usize, u32) = (2, 1);
/// The lane of questions about an account, counted by account. Bybit counts each kind of question by itself.
const ASK: (usize, u32) = (3, 1);
/// How long a request may be under way, in milliseconds: what comes later dies at the venue.
const WINDOW_MS: u32 = 5_000;
/// How long the words that open a stream are good.
const GREETING_MS: i64 = 10_000;
/// Most pages of a list that are read: more open orders than that an account cannot have.
const PAGES: usize = 40;
/// Most pages of one order's executions that are read.
const EXECUTION_PAGES: usize = 20;

static FACTS: Facts = Facts {
    about: &ABOUT,
    lanes: &[
        Lane { allowance: Allowance { limit: 600, window: Duration::from_secs(5) }, scope: Scope::Address },
        Lane { allowance: Allowance::per_second(20), scope: Scope::Account },
        Lane { allowance: Allowance::per_second(20), scope: Scope::Account },
        Lane { allowance: Allowance::per_second(50), scope: Scope::Account },
    ],
    hours: Hours::Always,
    promises: Promises { shows_orders_at_once: false, ids: IdScope::Forever },
    is_serial: false,
    checks_time: true,
    is_open: true,
    keeps_fees: true,
    streamed_max: 200,
    silence: Duration::from_secs(45),
};

/// Where it is, and the money that accounts are counted in, unless something else is configured.
const USUAL: Usual = Usual {
    live: Own { rest: "https://api.bybit.com", stream: "wss://stream.bybit.com/v5/private" },
    paper: Some(Own {
        rest: "https://api-testnet.bybit.com",
        stream: "wss://stream-testnet.bybit.com/v5/private",
    }),
    data: "https://api.bybit.com",
    data_stream: "wss://stream.bybit.com/v5/public/spot",
    settlement: "USDT",
};

/// Makes the broker.
///
/// # Errors
/// When an address is none, or the build has no usable cryptography.
pub fn open(ground: &Ground<'_>) -> Result<Arc<dyn House>, SetUpError> {
    USUAL.open(&ground.config.bybit, ground, |settlement| Bybit { settlement })
}

/// Bybit, spot.
#[derive(Debug)]
pub struct Bybit {
    /// The money that accounts are counted in.
    settlement: String,
}

impl Bybit {
    fn refused(code: RefusalCode, said: &str) -> Verdict {
        Verdict::refused(ABOUT.title, code, said)
    }

    /// Returns Bybit's name of a symbol.
    ///
    /// # Errors
    /// When it does not trade against the money that accounts are counted in.
    fn theirs(&self, symbol: Symbol) -> Result<String, Verdict> {
        pairs::listed(pairs::joined(symbol, &self.settlement), ABOUT.title, symbol, &self.settlement)
    }

    /// Asks for something, and returns what is in the envelope.
    async fn ask<T: DeserializeOwned>(way: &Way, call: Call) -> Result<T, Verdict> {
        let told: wire::Envelope<T> = way.get(call).await?;
        Ok(told.result)
    }

    /// Asks for all pages of a list.
    async fn pages<T: DeserializeOwned>(way: &Way, call: Call, most: usize) -> Result<Vec<T>, Verdict> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        for _ in 0..most {
            let mut asked = call.clone();
            if !cursor.is_empty() {
                asked = asked.with("cursor", &cursor);
            }
            let page: wire::Page<T> = Self::ask(way, asked).await?;
            let is_last = page.list.is_empty() || page.next_page_cursor.is_empty();
            all.extend(page.list);
            if is_last {
                return Ok(all);
            }
            cursor = page.next_page_cursor;
        }
        // A list that is cut off would say that the rest is not there.
        Err(Verdict::Lost("its list has more pages than can be read".to_owned()))
    }

    /// Asks for an order as it stands; `None`: it is not shown. What ended a while ago is only in the history.
    async fn find(way: &Way, order: &Placed) -> Result<Option<wire::Order>, Verdict> {
        for path in ["/v5/order/realtime", "/v5/order/history"] {
            let call = Call::get(path)
                .with("category", "spot")
                .with("orderLinkId", order.ticket.id)
                .costing(&[ALL, ASK])
                .pressing();
            let page = match Self::ask::<wire::Page<wire::Order>>(way, call).await {
                Ok(page) => page,
                Err(Verdict::Missing) => continue,
                Err(verdict) => return Err(verdict),
            };
            let name = order.ticket.id.to_string();
            // Bybit notes a second order of one name as rejected; the name is the first one's.
            let is_it = |found: &wire::Order| found.order_link_id == name && !found.is_repeat();
            if let Some(found) = page.list.into_iter().filter(is_it).max_by_key(|found| found.executed) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Asks for the executions of an order. It is asked by name: the number of a stop may change when it is triggered,
    /// which Bybit does not say of unified accounts.
    async fn executions(way: &Way, name: &str) -> Result<Vec<wire::Execution>, Verdict> {
        let call = Call::get("/v5/execution/list")
            .with("category", "spot")
            .with("orderLinkId", name)
            .with("limit", 100)
            .costing(&[ALL, ASK])
            .pressing();
        let all: Vec<wire::Execution> = Self::pages(way, call, EXECUTION_PAGES).await?;
        Ok(all.into_iter().filter(|execution| execution.order_link_id == name).collect())
    }

    /// Puts an order and its executions together; `None`: it is none of ours.
    async fn whole(&self, way: &Way, found: &wire::Order) -> Result<Option<OrderReport>, Verdict> {
        let executions = if found.executed.0.is_zero() {
            Vec::new()
        } else {
            Self::executions(way, &found.order_link_id).await?
        };
        Ok(map::report(found, &executions, &self.settlement))
    }
}

impl Venue for Bybit {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn sign(&self, auth: Option<&Auth>, call: &Call, moment: &Moment) -> Option<Signed> {
        sign::request(auth, call, moment)
    }

    fn judge(&self, call: &Call, reply: &Reply) -> Result<(), Verdict> {
        errors::judge(call, reply)
    }

    fn time<'a>(&'a self, way: &'a Way) -> Asked<'a, Option<DateTime<Utc>>> {
        Box::pin(async move {
            let told: wire::Envelope<wire::Time> =
                way.get(Call::get("/v5/market/time").unsigned().pressing()).await?;
            Ok(told
                .time
                .and_then(DateTime::from_timestamp_millis)
                .or_else(|| map::nanos(&told.result.time_nano)))
        })
    }

    /// A key that is good from any address ends after some months.
    fn ends<'a>(&'a self, way: &'a Way) -> Asked<'a, Option<DateTime<Utc>>> {
        Box::pin(async move {
            let key: wire::Key = Self::ask(way, Call::get("/v5/user/query-api").costing(&[ALL, ASK])).await?;
            let is_bound = key.ips.iter().any(|from| from != "*");
            Ok(key.expires_at.filter(|_| !is_bound).and_then(|at| at.parse().ok()))
        })
    }

    /// A key that may move money out is refused: whoever stole it could take everything.
    fn identify<'a>(&'a self, way: &'a Way) -> Asked<'a, Identity> {
        Box::pin(async move {
            let key: wire::Key = Self::ask(way, Call::get("/v5/user/query-api").costing(&[ALL, ASK])).await?;
            if let Some(said) = map::unfit(&key) {
                return Err(Self::refused(RefusalCode::OrderRejected, &said));
            }
            let name = way.auth().map(Auth::public).unwrap_or_default();
            Ok(Identity { account: key.user_id.map_or(name, |id| id.to_string()) })
        })
    }

    fn holdings<'a>(&'a self, way: &'a Way) -> Asked<'a, Holdings> {
        Box::pin(async move {
            let call =
                Call::get("/v5/account/wallet-balance").with("accountType", "UNIFIED").costing(&[ALL, ASK]);
            let told: wire::List<wire::Wallet> = Self::ask(way, call).await?;
            Ok(map::holdings(&told.list, &self.settlement))
        })
    }

    fn place<'a>(&'a self, way: &'a Way, ticket: &'a Ticket) -> Asked<'a, OrderReport> {
        Box::pin(async move {
            let call = map::new_order(ticket, &self.theirs(ticket.symbol)?)?;
            let taken: wire::Taken = Self::ask(way, call.costing(&[ALL, CREATE])).await?;
            map::taken(&taken, ticket.id)
        })
    }

    /// Which filter a stop is found by once it is triggered, Bybit does not say: both are asked.
    fn cancel<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, ()> {
        Box::pin(async move {
            let symbol = self.theirs(order.ticket.symbol)?;
            let mut answer = Err(Verdict::Missing);
            for filter in map::filters(order.ticket.kind) {
                let call = Call::post("/v5/order/cancel")
                    .with_json(&json!({
                        "category": "spot",
                        "symbol": symbol,
                        "orderLinkId": order.ticket.id.to_string(),
                        "orderFilter": filter,
                    }))
                    .costing(&[ALL, CANCEL])
                    .pressing();
                answer = way.ask(call).await.map(drop);
                if answer != Err(Verdict::Missing) {
                    break;
                }
            }
            answer
        })
    }

    fn look_up<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, Option<OrderReport>> {
        Box::pin(async move {
            match Self::find(way, order).await? {
                Some(found) => self.whole(way, &found).await,
                None => Ok(None),
            }
        })
    }

    fn open_orders<'a>(&'a self, way: &'a Way) -> Asked<'a, Vec<OrderReport>> {
        Box::pin(async move {
            let call = Call::get("/v5/order/realtime")
                .with("category", "spot")
                .with("limit", 50)
                .costing(&[ALL, ASK])
                .pressing()
                .listing();
            let all: Vec<wire::Order> = Self::pages(way, call, PAGES).await?;
            let mut open = Vec::new();
            // Those that ended lately are listed, too.
            for found in all.iter().filter(|found| map::state(found) == ReportedState::Open) {
                if map::is_ours(found) {
                    open.extend(self.whole(way, found).await?);
                }
            }
            Ok(open)
        })
    }

    fn holds(&self, _: Symbol, kind: OrderKind) -> bool {
        match kind {
            OrderKind::Market
            | OrderKind::Limit { .. }
            | OrderKind::Stop { .. }
            | OrderKind::StopLimit { .. } => true,
            OrderKind::TrailingStop { .. } | OrderKind::Oco { .. } => false,
        }
    }

    fn instruments<'a>(&'a self, way: &'a Way) -> Asked<'a, Vec<Instrument>> {
        Box::pin(async move {
            let call = Call::get("/v5/market/instruments-info").with("category", "spot").unsigned().listing();
            let told: wire::List<wire::Listed> = Self::ask(way, call).await?;
            Ok(told.list.iter().filter_map(|row| map::instrument(row, &self.settlement)).collect())
        })
    }

    /// One symbol is asked for by name; for more there is only the list of all.
    fn quotes<'a>(&'a self, way: &'a Way, symbols: &'a [Symbol]) -> Asked<'a, Vec<Quote>> {
        Box::pin(async move {
            let names: Vec<_> =
                symbols.iter().filter_map(|symbol| pairs::joined(*symbol, &self.settlement)).collect();
            let call = Call::get("/v5/market/tickers").with("category", "spot").unsigned();
            let call = match names.as_slice() {
                [] => return Ok(Vec::new()),
                [only] => call.with("symbol", only),
                [..] => call.listing(),
            };
            let told: wire::List<wire::Ticker> = match Self::ask(way, call).await {
                Ok(told) => told,
                Err(Verdict::Refused(refusal)) if refusal.code == RefusalCode::InvalidSymbol => {
                    return Ok(Vec::new());
                }
                Err(verdict) => return Err(verdict),
            };
            let wanted = told.list.iter().filter(|row| names.contains(&row.symbol));
            let read = |row: &wire::Ticker| {
                let symbol = pairs::split(&row.symbol, &self.settlement)?;
                quote(symbol, row.bid.0, row.ask.0, Some(row.last.0), way.now())
            };
            Ok(wanted.filter_map(read).collect())
        })
    }

    fn updates<'a>(&'a self, way: &'a Way) -> Asked<'a, Opening> {
        Box::pin(async move {
            let unknown = || Self::refused(RefusalCode::AuthFailed, "");
            let until = way.moment().millis().saturating_add(GREETING_MS);
            let frame = sign::greeting(way.auth(), until).ok_or_else(unknown)?;
            Ok(Opening::at(way.hosts().stream.clone()).saying(frame))
        })
    }

    fn hear(&self, ear: &mut Ear, frame: &str, _: DateTime<Utc>) -> Vec<Heard> {
        map::heard(ear, frame, &self.settlement)
    }

    fn keep_alive(&self) -> Option<String> {
        Some(json!({"op": "ping"}).to_string())
    }

    fn prices<'a>(&'a self, way: &'a Way) -> Asked<'a, Option<Opening>> {
        Box::pin(async move { Ok(Some(Opening::at(way.hosts().data_stream.clone()))) })
    }

    /// Bybit takes ten names at a time, which is what the driver asks for at most.
    fn wish(&self, symbols: &[Symbol], is_wanted: bool) -> Vec<String> {
        let name = |symbol: &Symbol| pairs::joined(*symbol, &self.settlement);
        let topics: Vec<_> =
            symbols.iter().filter_map(name).map(|name| format!("{}{name}", map::BEST)).collect();
        if topics.is_empty() {
            return Vec::new();
        }
        let op = if is_wanted { "subscribe" } else { "unsubscribe" };
        vec![json!({"op": op, "args": topics}).to_string()]
    }

    fn read_prices(&self, ear: &mut Ear, frame: &str) -> Vec<Tick> {
        map::tick(ear, frame, &self.settlement).into_iter().collect()
    }
}
