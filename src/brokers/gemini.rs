//! Gemini: the REST API v1, with the new WebSocket for news of orders and for prices.
//!
//! A key must be of one account, with a time-based nonce, for the WebSocket takes no other; it may trade, and not manage
//! funds. Fees are taken of the money that is paid or received, and are told by look-ups only: the stream is silent
//! about them. Whether an id of ours is refused a second time is not documented, so that no order is ever sent a second
//! time by itself. The older WebSocket of order events, which is archived, is not spoken.

pub mod errors;
pub mod map;
pub mod sign;
pub mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde_json::json;
use serde_json::value::RawValue;

use trade_actors::domain::instrument::{Instrument, Symbol};
use trade_actors::domain::money::{Percent, Price};
use trade_actors::domain::order::{Mode, Ticket};
use trade_actors::domain::portfolio::Quote;
use trade_actors::domain::report::{OrderReport, RefusalCode};
use trade_actors::domain::signal::{OrderKind, Side};
use trade_actors::ports::broker::{IdScope, Placed, Promises};

use super::bucket::{Allowance, Urgency};
use super::credentials::{Auth, Kind};
use super::http::{Reply, SetUpError};
use super::venue::call::{Call, Moment, Signed};
use super::venue::house::{Own, Usual};
use super::venue::market::quote;
use super::venue::orders;
use super::venue::pairs;
use super::venue::verdict::Verdict;
use super::venue::way::Way;
use super::venue::{
    Asked, Ear, Facts, Heard, Holdings, Hours, Identity, Lane, Opening, Scope, Tick, Unit, Venue,
};
use super::{About, Ground, House};

/// What it is called, and how one gets in.
pub const ABOUT: About = About {
    name: "gemini",
    title: "Gemini",
    ways_in: &[Kind::ApiKey],
    modes: &[Mode::Paper, Mode::Live],
    login_lasts: None,
};

/// The lane of questions that anybody may ask, counted by address.
const PUBLIC: usize = 0;
/// The lane of an account's requests.
const PRIVATE: usize = 1;
/// How far from the best price, in per cent, a market order may trade: it is sent as a limit order that trades at once or
/// not at all, for Gemini's own market orders exist for some symbols only.
const COLLAR_PCT: Decimal = Decimal::TWO;
/// The age past which a price is asked for again before a market order is sent.
const FRESH: TimeDelta = TimeDelta::seconds(10);
/// Trades that are searched for an order that its id does not find.
const TRADES: u32 = 500;

static FACTS: Facts = Facts {
    about: &ABOUT,
    lanes: &[
        Lane { allowance: Allowance::per_minute(120), scope: Scope::Address },
        Lane { allowance: Allowance::per_minute(600), scope: Scope::Account },
    ],
    hours: Hours::Always,
    promises: Promises { shows_orders_at_once: false, ids: IdScope::WhileOpen },
    // Whether a nonce that is a time may be earlier than the last one is not documented.
    is_serial: true,
    checks_time: true,
    is_open: true,
    keeps_fees: true,
    streamed_max: 200,
    silence: Duration::from_secs(65),
};

/// Where it is, and the money that accounts are counted in, unless something else is configured.
const USUAL: Usual = Usual {
    live: Own { rest: "https://api.gemini.com", stream: "wss://ws.gemini.com" },
    paper: Some(Own { rest: "https://api.sandbox.gemini.com", stream: "wss://ws.sandbox.gemini.com" }),
    data: "https://api.gemini.com",
    data_stream: "wss://ws.gemini.com",
    settlement: "USD",
};

/// Makes the broker.
///
/// # Errors
/// When an address is none, or the build has no usable cryptography.
pub fn open(ground: &Ground<'_>) -> Result<Arc<dyn House>, SetUpError> {
    let config = &ground.config.gemini;
    let mut addresses = USUAL.addresses(config)?;
    // A market order is sent with a price, and in the sandbox that is the sandbox's.
    if let Some(paper) = &mut addresses.paper
        && config.data_url.is_empty()
    {
        paper.data = paper.rest.clone();
    }
    USUAL.open_at(addresses, config, ground, |settlement| Gemini { settlement })
}

/// Gemini.
#[derive(Debug)]
pub struct Gemini {
    /// The money that accounts are counted in.
    settlement: String,
}

/// Returns a question that anybody may ask.
fn asking(path: impl Into<String>) -> Call {
    Call::get(path).unsigned().costing(&[(PUBLIC, 1)])
}

/// Returns an account's request.
fn telling(path: &str) -> Call {
    Call::post(path).costing(&[(PRIVATE, 1)])
}

impl Gemini {
    fn refused(code: RefusalCode, said: &str) -> Verdict {
        Verdict::refused(ABOUT.title, code, said)
    }

    /// Returns Gemini's name of a symbol.
    ///
    /// # Errors
    /// When it does not trade against the money that accounts are counted in.
    fn theirs(&self, symbol: Symbol) -> Result<String, Verdict> {
        pairs::listed(map::theirs(symbol, &self.settlement), ABOUT.title, symbol, &self.settlement)
    }

    /// Asks for the prices of one symbol; `None`: nobody buys or sells.
    async fn ticker(&self, way: &Way, symbol: Symbol, urgency: Urgency) -> Result<Option<Quote>, Verdict> {
        let path = format!("/v1/pubticker/{}", self.theirs(symbol)?);
        let told: wire::Ticker = way.get(asking(path).as_pressing_as(urgency)).await?;
        Ok(quote(symbol, told.bid.0, told.ask.0, Some(told.last.0), way.now()))
    }

    /// Returns the price that a market order is sent with: the best one, and a little worse.
    ///
    /// Prices that are known are the real market's; the sandbox is asked for its own.
    async fn collar(&self, way: &Way, ticket: &Ticket) -> Result<Price, Verdict> {
        let (symbol, now) = (ticket.symbol, way.now());
        let known = way.board().quote(symbol).filter(|known| way.is_live() && now - known.at < FRESH);
        let found = match known {
            Some(known) => Some(known),
            None => self.ticker(way, symbol, orders::urgency(ticket)).await?,
        };
        let none = || Self::refused(RefusalCode::MarketClosed, "nobody offers a price for it");
        let best = found.ok_or_else(none)?;
        let tick = match way.board().instrument(symbol) {
            Some((instrument, _)) => instrument.tick,
            None => {
                let call = asking(format!("/v1/symbols/details/{}", self.theirs(symbol)?));
                let told: wire::Details = way.get(call).await?;
                let unknown = || Self::refused(RefusalCode::InvalidSymbol, "its price steps are not known");
                map::instrument(&told, &self.settlement).ok_or_else(unknown)?.tick
            }
        };
        Ok(match ticket.side {
            Side::Buy => best.ask.shifted(Percent::new(COLLAR_PCT), tick),
            Side::Sell => best.bid.shifted(Percent::new(-COLLAR_PCT), tick),
        })
    }

    /// Asks for an order by one of its ids; `None`: it is not shown.
    async fn status(&self, way: &Way, by: (&str, &str)) -> Result<Option<wire::Order>, Verdict> {
        let call =
            telling("/v1/order/status").with_json(&json!({by.0: by.1, "include_trades": true})).pressing();
        match way.ask(call).await {
            Ok(reply) => Ok(wire::orders(way, &reply.body)?.into_iter().next_back()),
            Err(Verdict::Missing) => Ok(None),
            Err(verdict) => Err(verdict),
        }
    }

    /// Asks for an order: by Gemini's id where it is known, else by ours, else by the trades that carry ours.
    async fn find(&self, way: &Way, order: &Placed) -> Result<Option<wire::Order>, Verdict> {
        let id = order.ticket.id.to_string();
        if let Some(known) = &order.known_as {
            return self.status(way, ("order_id", known.as_str())).await;
        }
        if let Some(found) = self.status(way, ("client_order_id", &id)).await? {
            return Ok(Some(found));
        }
        let since = (order.created_at - TimeDelta::seconds(1)).timestamp().max(0);
        let query =
            json!({"symbol": self.theirs(order.ticket.symbol)?, "limit_trades": TRADES, "timestamp": since});
        let call = telling("/v1/mytrades").with_json(&query).pressing().listing();
        let trades: Vec<wire::Trade> = way.get(call).await?;
        let mine = trades.iter().find(|trade| trade.client_order_id.as_deref() == Some(id.as_str()));
        match mine.and_then(|trade| trade.order_id.as_deref()) {
            Some(known) => self.status(way, ("order_id", known)).await,
            None => Ok(None),
        }
    }

    async fn balances(&self, way: &Way, call: Call) -> Result<Vec<wire::Balance>, Verdict> {
        way.get(call.with_json(&json!({}))).await
    }
}

impl Venue for Gemini {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn sign(&self, auth: Option<&Auth>, call: &Call, moment: &Moment) -> Option<Signed> {
        sign::request(auth, call, moment)
    }

    fn judge(&self, call: &Call, reply: &Reply) -> Result<(), Verdict> {
        errors::judge(call, reply)
    }

    /// Every answer carries the time, to the second; a nonce may be thirty off.
    fn time<'a>(&'a self, way: &'a Way) -> Asked<'a, Option<DateTime<Utc>>> {
        Box::pin(async move {
            let reply = way.ask(asking("/v1/symbols")).await?;
            let told = reply.header("date").and_then(|date| DateTime::parse_from_rfc2822(date).ok());
            Ok(told.map(|at| at.to_utc()))
        })
    }

    /// A key that may move money away is refused: whoever stole it could take everything. So is one that counts its
    /// requests, which shows when two requests carry the same time.
    fn identify<'a>(&'a self, way: &'a Way) -> Asked<'a, Identity> {
        Box::pin(async move {
            let refused = |said| Err(Self::refused(RefusalCode::OrderRejected, said));
            let key = way.auth().map(Auth::public).unwrap_or_default();
            if key.starts_with("master-") {
                return refused("this key is of a whole group; make one of the account that is to trade");
            }
            let nonce = way.moment().at.timestamp();
            let asked = async {
                let may: wire::Roles = way.get(telling("/v1/roles").with(sign::NONCE, nonce)).await?;
                self.balances(way, telling("/v1/balances").with(sign::NONCE, nonce)).await?;
                Ok(may)
            };
            let may = match asked.await {
                Ok(may) => may,
                Err(Verdict::Skewed) => {
                    return refused("this key counts its requests; make one with a time-based nonce");
                }
                Err(verdict) => return Err(verdict),
            };
            if may.is_fund_manager {
                return refused("this key may withdraw; make one that is Trader, and not Fund Manager");
            }
            if !may.is_trader {
                return refused("this key may not trade; make one that is Trader, and nothing else");
            }
            Ok(Identity { account: key })
        })
    }

    fn holdings<'a>(&'a self, way: &'a Way) -> Asked<'a, Holdings> {
        Box::pin(async move {
            let mut holdings = Holdings::default();
            for balance in self.balances(way, telling("/v1/balances")).await? {
                if balance.currency == self.settlement {
                    (holdings.cash, holdings.free) = (balance.amount.0, balance.available.0);
                } else if let Some(symbol) = pairs::pair(&balance.currency, &self.settlement)
                    && !balance.amount.0.is_zero()
                {
                    holdings.units.push(Unit { symbol, net: balance.amount.0, average: None });
                }
            }
            Ok(holdings)
        })
    }

    fn place<'a>(&'a self, way: &'a Way, ticket: &'a Ticket) -> Asked<'a, OrderReport> {
        Box::pin(async move {
            let symbol = self.theirs(ticket.symbol)?;
            let collar = match ticket.kind {
                OrderKind::Market => Some(self.collar(way, ticket).await?),
                OrderKind::Limit { .. }
                | OrderKind::Stop { .. }
                | OrderKind::StopLimit { .. }
                | OrderKind::TrailingStop { .. }
                | OrderKind::Oco { .. } => None,
            };
            let order = map::new_order(ticket, &symbol, collar)?;
            let call = telling("/v1/order/new").with_json(&order).as_pressing_as(orders::urgency(ticket));
            let placed: wire::Order = way.get(call).await?;
            map::report(&placed, ticket, &self.settlement, way.now())
        })
    }

    fn cancel<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, ()> {
        Box::pin(async move {
            let known = match &order.known_as {
                Some(known) => known.as_str().to_owned(),
                None => self.find(way, order).await?.ok_or(Verdict::Missing)?.order_id,
            };
            let call = telling("/v1/order/cancel").with_json(&json!({"order_id": known})).pressing();
            way.ask(call).await.map(drop)
        })
    }

    fn look_up<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, Option<OrderReport>> {
        Box::pin(async move {
            let Some(found) = self.find(way, order).await? else { return Ok(None) };
            map::report(&found, &order.ticket, &self.settlement, way.now()).map(Some)
        })
    }

    fn open_orders<'a>(&'a self, way: &'a Way) -> Asked<'a, Vec<OrderReport>> {
        Box::pin(async move {
            let call = telling("/v1/orders").pressing().listing();
            let open: Vec<wire::Order> = way.get(call).await?;
            Ok(open.iter().filter_map(|order| map::standing(order, way.now())).collect())
        })
    }

    /// Gemini wants the limit of a stop on its far side.
    fn holds(&self, _: Symbol, kind: OrderKind) -> bool {
        match kind {
            OrderKind::Market | OrderKind::Limit { .. } => true,
            OrderKind::StopLimit { trigger, limit } => trigger != limit,
            OrderKind::Stop { .. } | OrderKind::TrailingStop { .. } | OrderKind::Oco { .. } => false,
        }
    }

    /// The list of all symbols at once is not in Gemini's reference, and is what its own pages ask for; one by one they
    /// would take longer than the allowance has minutes.
    fn instruments<'a>(&'a self, way: &'a Way) -> Asked<'a, Vec<Instrument>> {
        Box::pin(async move {
            let told: Vec<Box<RawValue>> = way.get(asking("/v1/symbols/details/all").listing()).await?;
            let rows = told.iter().filter_map(|row| serde_json::from_str::<wire::Details>(row.get()).ok());
            Ok(rows.filter_map(|row| map::instrument(&row, &self.settlement)).collect())
        })
    }

    fn quotes<'a>(&'a self, way: &'a Way, symbols: &'a [Symbol]) -> Asked<'a, Vec<Quote>> {
        Box::pin(async move {
            let mut quotes = Vec::new();
            for symbol in symbols {
                match self.ticker(way, *symbol, Urgency::Normal).await {
                    Ok(found) => quotes.extend(found),
                    Err(Verdict::Refused(refusal)) if refusal.code == RefusalCode::InvalidSymbol => {}
                    Err(verdict) => return Err(verdict),
                }
            }
            Ok(quotes)
        })
    }

    fn updates<'a>(&'a self, way: &'a Way) -> Asked<'a, Opening> {
        Box::pin(async move {
            let unknown = || Self::refused(RefusalCode::AuthFailed, "");
            let headers = sign::handshake(way.auth(), &way.moment()).ok_or_else(unknown)?;
            let opening = Opening { headers, ..Opening::at(way.hosts().stream.clone()) };
            Ok(opening.saying(map::subscription(map::ORDERS, true, &["orders@account".to_owned()])))
        })
    }

    fn hear(&self, ear: &mut Ear, frame: &str, now: DateTime<Utc>) -> Vec<Heard> {
        map::heard(ear, frame, now)
    }

    fn keep_alive(&self) -> Option<String> {
        Some(json!({"id": "ping", "method": "ping"}).to_string())
    }

    fn prices<'a>(&'a self, way: &'a Way) -> Asked<'a, Option<Opening>> {
        Box::pin(async move { Ok(Some(Opening::at(way.hosts().data_stream.clone()))) })
    }

    fn wish(&self, symbols: &[Symbol], is_wanted: bool) -> Vec<String> {
        let name = |symbol: &Symbol| map::theirs(*symbol, &self.settlement);
        let streams: Vec<_> =
            symbols.iter().filter_map(name).map(|name| format!("{name}@bookTicker")).collect();
        if streams.is_empty() {
            return Vec::new();
        }
        vec![map::subscription("prices", is_wanted, &streams).to_string()]
    }

    fn read_prices(&self, _: &mut Ear, frame: &str) -> Vec<Tick> {
        map::tick(frame, &self.settlement).into_iter().collect()
    }
}
