//! Interactive Brokers, US shares, by way of the gateway of its Client Portal (version 1 of its web API).
//!
//! A gateway is a program that somebody runs on this machine and logs in to in a browser; the login is the only secret,
//! and it stays there. Credentials here are the account's number alone.
//!
//! A client order id is taken for a day, longer than anything is ever sent again after: a repeat is the same order.

pub mod errors;
pub mod gate;
pub mod map;
pub mod stream;
pub mod wire;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Method, Url};
use serde_json::json;
use tokio::time::sleep;

use trade_actors::domain::ids::{BrokerOrderId, ClientOrderId};
use trade_actors::domain::instrument::{Instrument, Symbol};
use trade_actors::domain::money::Price;
use trade_actors::domain::order::{Mode, Ticket};
use trade_actors::domain::portfolio::Quote;
use trade_actors::domain::report::{OrderReport, RefusalCode, ReportedState};
use trade_actors::domain::signal::OrderKind;
use trade_actors::ports::broker::{IdScope, Placed, Promises};

use self::gate::Gate;
use self::map::Stands;
use super::bucket::Allowance;
use super::credentials::{Auth, Kind};
use super::http::{Reply, SetUpError, hidden};
use super::venue::call::{Call, Moment, Signed};
use super::venue::house::{Addresses, VenueHouse};
use super::venue::orders;
use super::venue::verdict::Verdict;
use super::venue::way::{Hosts, Way};
use super::venue::{
    Asked, Ear, Facts, Heard, Holdings, Hours, Identity, Lane, Opening, Scope, Tick, Unit, Venue,
};
use super::{About, Ground, House};
use crate::config::stream_below;

/// What it is called, and how one gets in.
pub const ABOUT: About = About {
    name: "ibkr",
    title: "Interactive Brokers",
    ways_in: &[Kind::Account],
    modes: &[Mode::Paper, Mode::Live],
    login_lasts: None,
};

/// The lane of all requests.
const ALL: usize = 0;
/// The lane of signs of life, of which one a second is allowed.
const LIFE: usize = 1;
/// Where a gateway listens if nobody says otherwise.
const GATEWAY: &str = "https://localhost:5000/v1/api";
/// How long a login lasts at most; the gateway ends it in a night.
const LOGIN: TimeDelta = TimeDelta::hours(24);
/// Most questions about one order that are answered.
const QUESTIONS: u32 = 8;
/// How long prices take to be known after they were first asked for, and how often they are asked for until they are.
const PREFLIGHT: Duration = Duration::from_millis(500);
const PREFLIGHTS: u32 = 3;
/// Which prices are asked for: last, bid, ask, and of what kind they are.
const FIELDS: &str = "31,84,86,6509";
/// Most of our own cancels that are remembered.
const CANCELED_MAX: usize = 1_000;
/// The money that accounts are counted in.
const IN_DOLLARS: &str = "USD";

static FACTS: Facts = Facts {
    about: &ABOUT,
    // All that comes from one address counts, whichever account it is for: too much of it is silenced for ten minutes.
    // Ten in any second; of these five seconds' half, no second gets more than nine.
    lanes: &[
        Lane { allowance: Allowance { limit: 50, window: Duration::from_secs(5) }, scope: Scope::Address },
        Lane { allowance: Allowance { limit: 1, window: Duration::from_secs(3) }, scope: Scope::Address },
    ],
    hours: Hours::NewYork,
    promises: Promises { shows_orders_at_once: false, ids: IdScope::Forever },
    is_serial: false,
    checks_time: false,
    is_open: false,
    keeps_fees: false,
    streamed_max: 0,
    silence: Duration::from_secs(65),
};

/// Makes the broker.
///
/// # Errors
/// When an address is none, or the build has no usable cryptography.
pub fn open(ground: &Ground<'_>) -> Result<Arc<dyn House>, SetUpError> {
    let config = &ground.config.ibkr;
    let hosts = |rest: &str, stream: &str| {
        let rest = if rest.is_empty() { GATEWAY } else { rest };
        let url = Url::parse(rest).map_err(|_| SetUpError::Address("live_url or paper_url"))?;
        let stream = stream_below(rest, "ws", stream)
            .ok_or(SetUpError::Address("live_stream_url or paper_stream_url"))?;
        // Prices are asked for over the same session.
        Ok::<_, SetUpError>(Hosts {
            rest: url.clone(),
            stream: stream.clone(),
            data: url,
            data_stream: stream,
        })
    };
    let addresses = Addresses {
        live: hosts(&config.live_url, &config.live_stream_url)?,
        paper: Some(hosts(&config.paper_url, &config.paper_stream_url)?),
    };
    let timeout = Duration::from_millis(config.timeout_ms.into());
    VenueHouse::open(Arc::new(Ibkr::default()), addresses, timeout, ground)
}

/// Interactive Brokers.
#[derive(Debug, Default)]
pub struct Ibkr {
    /// By address: two accounts may be at one gateway.
    gates: Mutex<BTreeMap<String, Arc<Gate>>>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    conids: BTreeMap<Symbol, i64>,
    /// Orders that were canceled by us.
    canceled: BTreeSet<String>,
}

/// Returns the account that a way leads to.
fn account(way: &Way) -> String {
    way.auth().map(Auth::public).unwrap_or_default()
}

impl Ibkr {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing is left half done under this lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gate(&self, way: &Way) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(gates.entry(way.hosts().rest.to_string()).or_default())
    }

    /// Returns the number of a share; `None`: it is not traded.
    async fn conid(&self, way: &Way, symbol: Symbol) -> Result<Option<i64>, Verdict> {
        if let Some(known) = self.known().conids.get(&symbol) {
            return Ok(Some(*known));
        }
        let Some(name) = map::theirs(symbol) else { return Ok(None) };
        let call = Call::get("/trsrv/stocks").with("symbols", &name);
        let mut told: BTreeMap<String, Vec<wire::Stock>> = self.gate(way).get(way, call).await?;
        let found = map::conid(&told.remove(&name).unwrap_or_default());
        if let Some(conid) = found {
            self.known().conids.insert(symbol, conid);
        }
        Ok(found)
    }

    /// Sends an order and answers what is asked about it, while nobody else submits.
    async fn submit(&self, way: &Way, ticket: &Ticket, call: Call) -> Result<wire::Taken, Verdict> {
        let gate = self.gate(way);
        // What cannot be done is found out before it is anybody's turn.
        Box::pin(gate.ready(way)).await?;
        let _turn = gate.submitting.lock().await;
        let mut reply = Box::pin(gate.send(way, call)).await?;
        for _ in 0..QUESTIONS {
            let mut told = match way.read::<wire::Outcome>(&reply.body)? {
                wire::Outcome::List(told) => told,
                // Unanswered it is never transmitted.
                wire::Outcome::Prompt(prompt) => {
                    return Err(Verdict::Refused(errors::unconfirmed(&prompt.text)));
                }
            };
            let (Some(first), true) = (told.pop(), told.is_empty()) else {
                return Err(Verdict::Lost("it answered with another number of orders".to_owned()));
            };
            if first.id.is_empty() {
                return Ok(first);
            }
            let confirmed = map::may_confirm(&first.message_ids, ticket);
            let path = format!("/iserver/reply/{}", first.id);
            let answer = Call::post(path).with_json(&json!({"confirmed": confirmed})).pressing();
            let answered = Box::pin(gate.send(way, answer)).await;
            if !confirmed {
                // Declined or not, without a yes it is never transmitted.
                return Err(Verdict::Refused(errors::unconfirmed(&first.message.join(" "))));
            }
            reply = answered?;
        }
        Err(Verdict::Refused(errors::unconfirmed("too many questions")))
    }

    /// Asks for an order's own state; `None`: it is too old to be told.
    async fn state(
        &self,
        way: &Way,
        id: ClientOrderId,
        number: &BrokerOrderId,
    ) -> Result<Option<OrderReport>, Verdict> {
        let number = number.as_str();
        let call = Call::get(format!("/iserver/account/order/status/{number}")).pressing();
        let told: wire::One = match self.gate(way).get(way, call).await {
            Ok(told) => told,
            Err(Verdict::Missing) => return Ok(None),
            Err(verdict) => return Err(verdict),
        };
        let is_other =
            told.order_ref.as_ref().is_some_and(|name| !name.is_empty() && *name != id.to_string());
        if told.order_id.0 != number || is_other {
            return Err(Verdict::Lost("it answered with another order than the one asked for".to_owned()));
        }
        let by_us = self.known().canceled.contains(number);
        Ok(Some(map::one(&told, id, by_us, way.now())))
    }

    /// Looks for an order among those of today.
    async fn listed(&self, way: &Way, id: ClientOrderId) -> Result<Option<(OrderReport, Stands)>, Verdict> {
        let name = id.to_string();
        let all = self.gate(way).orders(way).await?;
        let found = all.iter().find(|order| order.order_ref == name);
        Ok(found.and_then(|order| {
            let by_us = self.known().canceled.contains(&order.order_id.0);
            map::listed(order, by_us, way.now())
        }))
    }

    /// Finds an order: by its number there, among those of today, or by what it has traded in the last days.
    async fn find(&self, way: &Way, order: &Placed) -> Result<Option<OrderReport>, Verdict> {
        let id = order.ticket.id;
        if let Some(number) = &order.known_as
            && let Some(found) = Box::pin(self.state(way, id, number)).await?
        {
            return Ok(Some(found));
        }
        match Box::pin(self.listed(way, id)).await? {
            Some((found, Stands::So(_))) => return Ok(Some(found)),
            Some((found, Stands::Perhaps)) => {
                let told = Box::pin(self.state(way, id, &found.broker_order)).await?;
                return Ok(Some(told.unwrap_or(found)));
            }
            None => {}
        }
        let trades = self.gate(way).trades(way).await?;
        Ok(map::from_trades(&order.ticket, &trades, way.now()))
    }

    /// Adds the executions to an order that has traded, where they can be had without waiting and are all there.
    async fn with_executions(&self, way: &Way, mut report: OrderReport) -> Result<OrderReport, Verdict> {
        let done = report.done.map(|done| done.quantity).filter(|done| !done.is_zero());
        if let (Some(done), true) = (done, report.fills.is_empty()) {
            let name = report.order.to_string();
            let trades = self.gate(way).trades_now(way).await?;
            let own = trades.iter().filter(|trade| trade.order_ref == name);
            let fills: Vec<_> = own.filter_map(|trade| map::fill(trade, way.now())).collect();
            let total = fills.iter().map(|fill| fill.quantity).sum();
            if done == total {
                report.fills = fills;
            }
        }
        Ok(report)
    }
}

impl Venue for Ibkr {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn may_be_here(&self) -> bool {
        true
    }

    /// The gateway knows who is logged in; a request says nothing of that.
    fn sign(&self, auth: Option<&Auth>, call: &Call, _: &Moment) -> Option<Signed> {
        if let Some(auth) = auth
            && !matches!(auth, Auth::Account { .. })
        {
            return None;
        }
        let signed = Signed::plain(call);
        Some(match &call.json {
            Some(json) => signed.with_body("application/json", json.as_bytes()),
            None => signed,
        })
    }

    fn judge(&self, _: &Call, reply: &Reply) -> Result<(), Verdict> {
        errors::judge(reply)
    }

    fn time<'a>(&'a self, _: &'a Way) -> Asked<'a, Option<DateTime<Utc>>> {
        Box::pin(async { Ok(None) })
    }

    fn identify<'a>(&'a self, way: &'a Way) -> Asked<'a, Identity> {
        Box::pin(async move {
            self.gate(way).ready(way).await?;
            Ok(Identity { account: account(way) })
        })
    }

    /// However well it is kept alive, a login is over after a day.
    fn ends<'a>(&'a self, way: &'a Way) -> Asked<'a, Option<DateTime<Utc>>> {
        Box::pin(async move {
            let login = self.gate(way).login(way).await?;
            let began = login.at.and_then(DateTime::from_timestamp_millis);
            Ok(began.and_then(|began| began.checked_add_signed(LOGIN)))
        })
    }

    fn holdings<'a>(&'a self, way: &'a Way) -> Asked<'a, Holdings> {
        Box::pin(async move {
            let (gate, account) = (self.gate(way), account(way));
            gate.keep(way).await?;
            let held: Vec<wire::Held> =
                gate.get(way, Call::get(format!("/portfolio2/{account}/positions"))).await?;
            let summary: wire::Summary =
                gate.get(way, Call::get(format!("/portfolio/{account}/summary"))).await?;
            let amount = |amount: &wire::Amount| {
                amount.amount.0.ok_or_else(|| Verdict::Lost("its summary lacks an amount".to_owned()))
            };
            let mut holdings = Holdings {
                cash: amount(&summary.totalcashvalue)?,
                free: amount(&summary.availablefunds)?,
                equity: Some(amount(&summary.netliquidation)?),
                most: None,
                units: Vec::new(),
            };
            for unit in held.iter().filter(|unit| unit.sec_type == "STK" && unit.currency == IN_DOLLARS) {
                let (Some(symbol), Some(net)) = (map::ours(&unit.description), unit.position.0) else {
                    continue;
                };
                if let Ok(conid) = unit.conid.0.parse() {
                    self.known().conids.entry(symbol).or_insert(conid);
                }
                if !net.is_zero() {
                    let average = unit.avg_cost.0.and_then(|cost| Price::new(cost.abs()).ok());
                    holdings.units.push(Unit { symbol, net, average });
                }
            }
            Ok(holdings)
        })
    }

    fn place<'a>(&'a self, way: &'a Way, ticket: &'a Ticket) -> Asked<'a, OrderReport> {
        Box::pin(async move {
            // What Interactive Brokers has not is refused before anything is asked.
            let account = account(way);
            map::new_order(ticket, 0, &account)?;
            let Some(conid) = Box::pin(self.conid(way, ticket.symbol)).await? else {
                return Err(Verdict::refused(ABOUT.title, RefusalCode::InvalidSymbol, ""));
            };
            let order = map::new_order(ticket, conid, &account)?;
            let mut call = Call::post(format!("/iserver/account/{account}/orders"))
                .as_pressing_as(orders::urgency(ticket));
            call.json = serde_json::to_string(&wire::NewOrders { orders: [order] }).ok();
            let taken = Box::pin(self.submit(way, ticket, call)).await?;
            if !taken.local_order_id.is_empty() && taken.local_order_id != ticket.id.to_string() {
                return Err(Verdict::Lost("it answered with another order than the one sent".to_owned()));
            }
            if taken.order_id.0 == "-1" || taken.order_status == "Failed" {
                return Err(Verdict::refused(ABOUT.title, RefusalCode::OrderRejected, ""));
            }
            if taken.order_id.0.is_empty() {
                return Err(Verdict::Lost("it did not say which order it took".to_owned()));
            }
            Ok(OrderReport {
                order: ticket.id,
                broker_order: BrokerOrderId::new(taken.order_id.0),
                // Whatever it says right away: what became of it is told by the stream or a look-up.
                state: ReportedState::Open,
                fills: Vec::new(),
                done: None,
                balance: None,
            })
        })
    }

    fn cancel<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, ()> {
        Box::pin(async move {
            let number = match &order.known_as {
                Some(number) => number.clone(),
                None => match Box::pin(self.listed(way, order.ticket.id)).await? {
                    Some((found, _)) if found.state != ReportedState::Open => return Err(Verdict::Ended),
                    Some((found, _)) => found.broker_order,
                    None => return Err(Verdict::Missing),
                },
            };
            // `-1` would cancel every order of the account.
            let number = number.as_str();
            if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Verdict::Missing);
            }
            let path = format!("/iserver/account/{}/order/{number}", account(way));
            {
                let mut known = self.known();
                if known.canceled.len() >= CANCELED_MAX {
                    known.canceled.clear();
                }
                known.canceled.insert(number.to_owned());
            }
            self.gate(way).ask(way, Call::new(Method::DELETE, path).pressing()).await.map(drop)
        })
    }

    fn look_up<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, Option<OrderReport>> {
        Box::pin(async move {
            match Box::pin(self.find(way, order)).await? {
                Some(found) => Box::pin(self.with_executions(way, found)).await.map(Some),
                None => Ok(None),
            }
        })
    }

    fn open_orders<'a>(&'a self, way: &'a Way) -> Asked<'a, Vec<OrderReport>> {
        Box::pin(async move {
            let all = self.gate(way).orders(way).await?;
            let read = |order: &wire::Listed| {
                let (report, _) = map::listed(order, false, way.now())?;
                // One that may have been refused is left out: its own look-up tells.
                (report.state == ReportedState::Open && order.status != "Inactive").then_some(report)
            };
            Ok(all.iter().filter_map(read).collect())
        })
    }

    fn holds(&self, _: Symbol, kind: OrderKind) -> bool {
        match kind {
            OrderKind::Market
            | OrderKind::Limit { .. }
            | OrderKind::Stop { .. }
            | OrderKind::StopLimit { .. }
            | OrderKind::TrailingStop { .. } => true,
            OrderKind::Oco { .. } => false,
        }
    }

    fn instruments<'a>(&'a self, _: &'a Way) -> Asked<'a, Vec<Instrument>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn lists_nothing(&self) -> bool {
        true
    }

    fn instrument<'a>(&'a self, way: &'a Way, symbol: Symbol) -> Asked<'a, Option<Instrument>> {
        Box::pin(async move {
            let found = Box::pin(self.conid(way, symbol)).await?;
            Ok(found.and_then(|_| map::share(symbol)))
        })
    }

    fn quotes<'a>(&'a self, way: &'a Way, symbols: &'a [Symbol]) -> Asked<'a, Vec<Quote>> {
        Box::pin(async move {
            let mut by_conid = BTreeMap::new();
            for symbol in symbols {
                if let Some(conid) = Box::pin(self.conid(way, *symbol)).await? {
                    by_conid.insert(conid.to_string(), *symbol);
                }
            }
            if by_conid.is_empty() {
                return Ok(Vec::new());
            }
            let conids: Vec<_> = by_conid.keys().cloned().collect();
            let call = Call::get("/iserver/marketdata/snapshot")
                .with("conids", conids.join(","))
                .with("fields", FIELDS);
            let gate = self.gate(way);
            let mut told: Vec<wire::Snapshot> = Box::pin(gate.get(way, call.clone())).await?;
            for _ in 0..PREFLIGHTS {
                if told.iter().all(|line| !line.availability.is_empty()) {
                    break;
                }
                // The first time only starts them.
                sleep(PREFLIGHT).await;
                told = Box::pin(gate.get(way, call.clone())).await?;
            }
            let read = |line: &wire::Snapshot| map::price(*by_conid.get(&line.conid.0)?, line, way.now());
            Ok(told.iter().filter_map(read).collect())
        })
    }

    fn updates<'a>(&'a self, way: &'a Way) -> Asked<'a, Opening> {
        Box::pin(async move {
            let told = Box::pin(self.gate(way).tickle(way)).await?;
            let cookie = format!("api={}", json!({"session": told.session.0}));
            let mut opening = Opening::at(way.hosts().stream.clone())
                .saying("sor+{}")
                .saying(r#"str+{"realtimeUpdatesOnly":false,"days":1}"#);
            let cookie = hidden(&cookie).ok_or_else(|| Verdict::Refused(errors::logged_out()))?;
            opening.headers.insert(reqwest::header::COOKIE, cookie);
            Ok(opening)
        })
    }

    fn hear(&self, ear: &mut Ear, frame: &str, now: DateTime<Utc>) -> Vec<Heard> {
        stream::heard(ear, frame, |number| self.known().canceled.contains(number), now)
    }

    fn keep_alive(&self) -> Option<String> {
        Some("tic".to_owned())
    }

    fn prices<'a>(&'a self, _: &'a Way) -> Asked<'a, Option<Opening>> {
        Box::pin(async { Ok(None) })
    }

    fn wish(&self, _: &[Symbol], _: bool) -> Vec<String> {
        Vec::new()
    }

    fn read_prices(&self, _: &mut Ear, _: &str) -> Vec<Tick> {
        Vec::new()
    }
}
