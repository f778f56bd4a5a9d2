//! Coinbase Advanced Trade: `/api/v3/brokerage`, the user stream and the market stream.
//!
//! Coinbase finds no order by our id: recent and open orders are listed, and ours is picked out. A repeated id is said
//! to return the first order, but not for how long, so that no order is ever sent a second time by itself. Coinbase has
//! no stop that ends at the market and none that trails: those are not held there. Its pair of orders, the trigger
//! bracket, ends at a limit of Coinbase's choosing, and is not used.

pub mod errors;
pub mod map;
pub mod sign;
pub mod stream;
pub mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::json;

use trade_actors::domain::instrument::{Instrument, Symbol};
use trade_actors::domain::order::{Mode, Ticket};
use trade_actors::domain::portfolio::Quote;
use trade_actors::domain::report::{OrderReport, RefusalCode};
use trade_actors::domain::signal::OrderKind;
use trade_actors::ports::broker::{IdScope, Placed, Promises};

use super::bucket::Allowance;
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
    name: "coinbase",
    title: "Coinbase",
    ways_in: &[Kind::ApiKey],
    modes: &[Mode::Live],
    login_lasts: None,
};

/// Where orders are placed.
const ORDERS: &str = "/api/v3/brokerage/orders";
/// Where orders are listed.
const LIST: &str = "/api/v3/brokerage/orders/historical/batch";
/// The lane of requests that say who asks, counted by account.
const PRIVATE: usize = 0;
/// The lane of requests that do not, counted by address.
const PUBLIC: usize = 1;
/// Entries of one page of a list.
const PAGE: u32 = 250;
/// Most pages of one list; past them nothing is known.
const PAGES: usize = 20;
/// By how much Coinbase's clock may differ from ours when orders since a time are asked for.
const SINCE: TimeDelta = TimeDelta::minutes(5);

static FACTS: Facts = Facts {
    about: &ABOUT,
    lanes: &[
        Lane { allowance: Allowance::per_second(30), scope: Scope::Account },
        Lane { allowance: Allowance::per_second(10), scope: Scope::Address },
    ],
    hours: Hours::Always,
    promises: Promises { shows_orders_at_once: false, ids: IdScope::WhileOpen },
    is_serial: false,
    checks_time: true,
    // The list of products can be had without a key, best prices of several at once cannot.
    is_open: false,
    keeps_fees: false,
    // Ten symbols a message, and eight messages a second.
    streamed_max: 60,
    // A heartbeat comes every second.
    silence: Duration::from_secs(20),
};

/// Where it is, and the money that accounts are counted in, unless something else is configured.
const USUAL: Usual = Usual {
    live: Own { rest: "https://api.coinbase.com", stream: "wss://advanced-trade-ws-user.coinbase.com" },
    paper: None,
    data: "https://api.coinbase.com",
    data_stream: "wss://advanced-trade-ws.coinbase.com",
    settlement: "USD",
};

/// Makes the broker.
///
/// # Errors
/// When an address is none, or the build has no usable cryptography.
pub fn open(ground: &Ground<'_>) -> Result<Arc<dyn House>, SetUpError> {
    USUAL.open(&ground.config.coinbase, ground, |settlement| Coinbase { settlement })
}

/// Coinbase Advanced Trade.
#[derive(Debug)]
pub struct Coinbase {
    /// The money that accounts are counted in.
    settlement: String,
}

impl Coinbase {
    fn refused(code: RefusalCode, said: &str) -> Verdict {
        Verdict::refused(ABOUT.title, code, said)
    }

    /// Returns Coinbase's name of a symbol.
    ///
    /// # Errors
    /// When it does not trade against the money that accounts are counted in.
    fn theirs(&self, symbol: Symbol) -> Result<String, Verdict> {
        pairs::listed(map::theirs(symbol, &self.settlement), ABOUT.title, symbol, &self.settlement)
    }

    /// Lists orders, page by page, until one is wanted or there are no more.
    async fn list(
        way: &Way,
        call: &Call,
        mut is_wanted: impl FnMut(&wire::Order) -> bool,
    ) -> Result<Vec<wire::Order>, Verdict> {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        for _ in 0..PAGES {
            let page = Some(&cursor).filter(|cursor| !cursor.is_empty());
            let page: wire::Orders = way.get(call.clone().with_some("cursor", page)).await?;
            let is_over = page.orders.iter().any(&mut is_wanted) || !page.has_next || page.cursor.is_empty();
            found.extend(page.orders);
            if is_over {
                return Ok(found);
            }
            cursor = page.cursor;
        }
        Err(Verdict::Lost("it lists more orders than can be read".to_owned()))
    }

    fn listing() -> Call {
        Call::get(LIST).with("limit", PAGE).pressing().listing()
    }

    fn open() -> Call {
        Self::listing().with("order_status", "OPEN")
    }

    /// Looks for an order by Coinbase's id, where that is known, else among recent and open ones; `None`: it is in none
    /// of them.
    ///
    /// The symbol is not asked for: an order for one product may be shown under another that shares its book.
    async fn find(&self, way: &Way, order: &Placed) -> Result<Option<wire::Order>, Verdict> {
        let ours = order.ticket.id.to_string();
        if let Some(known) = &order.known_as {
            let call = Call::get(format!("/api/v3/brokerage/orders/historical/{known}")).pressing();
            match way.get::<wire::Shown>(call).await {
                Ok(shown) => return Ok(Some(shown.order)),
                Err(Verdict::Missing) => {}
                Err(verdict) => return Err(verdict),
            }
        }
        let since = (order.created_at - SINCE).to_rfc3339_opts(SecondsFormat::Secs, true);
        for call in [Self::listing().with("start_date", since), Self::open()] {
            let is_it = |order: &wire::Order| order.client_order_id == ours;
            if let Some(found) = Self::list(way, &call, is_it).await?.into_iter().find(is_it) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Asks for the executions of an order.
    async fn executions(&self, way: &Way, found: &wire::Order) -> Result<Vec<wire::Trade>, Verdict> {
        let (mut fills, mut cursor) = (Vec::new(), String::new());
        for _ in 0..PAGES {
            let call = Call::get("/api/v3/brokerage/orders/historical/fills")
                .with("order_ids", &found.order_id)
                .with("limit", PAGE)
                .with_some("cursor", Some(&cursor).filter(|cursor| !cursor.is_empty()))
                .pressing()
                .listing();
            let page: wire::Trades = way.get(call).await?;
            let is_last = page.fills.is_empty() || page.cursor.is_empty();
            fills.extend(page.fills);
            if is_last {
                break;
            }
            cursor = page.cursor;
        }
        Ok(fills)
    }
}

impl Venue for Coinbase {
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
            let call = Call::get("/api/v3/brokerage/time").unsigned().costing(&[(PUBLIC, 1)]);
            let told: wire::Time = way.get(call).await?;
            Ok(told.epoch_millis.parse().ok().and_then(DateTime::from_timestamp_millis))
        })
    }

    /// A key that may transfer is refused: whoever stole it could take everything.
    fn identify<'a>(&'a self, way: &'a Way) -> Asked<'a, Identity> {
        Box::pin(async move {
            let call = Call::get("/api/v3/brokerage/key_permissions").costing(&[(PRIVATE, 1)]);
            let may: wire::Permissions = way.get(call).await?;
            if may.can_transfer {
                let said = "this key may transfer, and so withdraw; make one that may only view and trade";
                return Err(Self::refused(RefusalCode::OrderRejected, said));
            }
            if !may.can_view || !may.can_trade {
                let said = "this key may not view and trade; allow both, and nothing else";
                return Err(Self::refused(RefusalCode::OrderRejected, said));
            }
            let key = way.auth().map(Auth::public).unwrap_or_default();
            Ok(Identity { account: if may.portfolio_uuid.is_empty() { key } else { may.portfolio_uuid } })
        })
    }

    fn holdings<'a>(&'a self, way: &'a Way) -> Asked<'a, Holdings> {
        Box::pin(async move {
            let (mut holdings, mut cursor) = (Holdings::default(), String::new());
            for _ in 0..PAGES {
                let call = Call::get("/api/v3/brokerage/accounts")
                    .with("limit", PAGE)
                    .with_some("cursor", Some(&cursor).filter(|cursor| !cursor.is_empty()));
                let page: wire::Accounts = way.get(call).await?;
                for account in &page.accounts {
                    let (free, held) = (account.available_balance.value.0, account.hold.value.0);
                    if account.currency == self.settlement {
                        holdings.cash += free + held;
                        holdings.free += free;
                    } else if let Some(symbol) = pairs::pair(&account.currency, &self.settlement)
                        && !(free + held).is_zero()
                    {
                        holdings.units.push(Unit { symbol, net: free + held, average: None });
                    }
                }
                if !page.has_next || page.cursor.is_empty() {
                    return Ok(holdings);
                }
                cursor = page.cursor;
            }
            Err(Verdict::Lost("it lists more accounts than can be read".to_owned()))
        })
    }

    fn place<'a>(&'a self, way: &'a Way, ticket: &'a Ticket) -> Asked<'a, OrderReport> {
        Box::pin(async move {
            let body = map::new_order(ticket, &self.theirs(ticket.symbol)?)?;
            let call = Call::post(ORDERS).with_json(&body).as_pressing_as(orders::urgency(ticket));
            let placed: wire::Placed = way.get(call).await?;
            map::placed(placed, ticket)
        })
    }

    fn cancel<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, ()> {
        Box::pin(async move {
            let known = match &order.known_as {
                Some(known) => known.to_string(),
                None => self.find(way, order).await?.ok_or(Verdict::Missing)?.order_id,
            };
            let call = Call::post("/api/v3/brokerage/orders/batch_cancel")
                .with_json(&json!({"order_ids": [known]}))
                .pressing();
            let told: wire::Canceled = way.get(call).await?;
            let result = told.results.iter().find(|result| result.order_id == known);
            let unknown = || Verdict::Lost("it did not say whether it takes the cancel".to_owned());
            errors::canceled(result.ok_or_else(unknown)?)
        })
    }

    fn look_up<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, Option<OrderReport>> {
        Box::pin(async move {
            let Some(found) = self.find(way, order).await? else { return Ok(None) };
            let fills =
                if found.filled.0.is_zero() { Vec::new() } else { self.executions(way, &found).await? };
            map::report(&found, fills, way.now()).map(Some)
        })
    }

    fn open_orders<'a>(&'a self, way: &'a Way) -> Asked<'a, Vec<OrderReport>> {
        Box::pin(async move {
            let open = Self::list(way, &Self::open(), |_| false).await?;
            Ok(open.iter().filter_map(|order| map::standing(order, way.now())).collect())
        })
    }

    fn holds(&self, _: Symbol, kind: OrderKind) -> bool {
        match kind {
            OrderKind::Market | OrderKind::Limit { .. } | OrderKind::StopLimit { .. } => true,
            OrderKind::Stop { .. } | OrderKind::TrailingStop { .. } | OrderKind::Oco { .. } => false,
        }
    }

    fn instruments<'a>(&'a self, way: &'a Way) -> Asked<'a, Vec<Instrument>> {
        Box::pin(async move {
            let told: wire::Products = way.get(Call::get("/api/v3/brokerage/products").listing()).await?;
            Ok(told.products.iter().filter_map(|row| map::instrument(row, &self.settlement)).collect())
        })
    }

    fn quotes<'a>(&'a self, way: &'a Way, symbols: &'a [Symbol]) -> Asked<'a, Vec<Quote>> {
        Box::pin(async move {
            let names = symbols.iter().filter_map(|symbol| map::theirs(*symbol, &self.settlement));
            let call = names.fold(Call::get("/api/v3/brokerage/best_bid_ask"), |call, name| {
                call.with("product_ids", name)
            });
            if call.fields.is_empty() {
                return Ok(Vec::new());
            }
            let told: wire::Books = way.get(call).await?;
            let read = |book: &wire::Book| {
                let best = |side: &[wire::Offer]| side.first().map(|offer| offer.price.0).unwrap_or_default();
                let symbol = map::ours(&book.product_id, &self.settlement)?;
                quote(symbol, best(&book.bids), best(&book.asks), None, way.now())
            };
            Ok(told.pricebooks.iter().filter_map(read).collect())
        })
    }

    /// The stream of all products: the symbols are left out.
    fn updates<'a>(&'a self, way: &'a Way) -> Asked<'a, Opening> {
        Box::pin(async move {
            let unknown = || Self::refused(RefusalCode::AuthFailed, "");
            let jwt = sign::subscription(way.auth(), &way.moment()).ok_or_else(unknown)?;
            Ok(Opening::at(way.hosts().stream.clone())
                .saying(stream::HEARTBEATS)
                .saying(json!({"type": "subscribe", "channel": "user", "jwt": jwt})))
        })
    }

    fn hear(&self, ear: &mut Ear, frame: &str, now: DateTime<Utc>) -> Vec<Heard> {
        stream::heard(ear, frame, now)
    }

    fn prices<'a>(&'a self, way: &'a Way) -> Asked<'a, Option<Opening>> {
        Box::pin(
            async move { Ok(Some(Opening::at(way.hosts().data_stream.clone()).saying(stream::HEARTBEATS))) },
        )
    }

    fn wish(&self, symbols: &[Symbol], is_wanted: bool) -> Vec<String> {
        let name = |symbol: &Symbol| map::theirs(*symbol, &self.settlement);
        let names: Vec<_> = symbols.iter().filter_map(name).collect();
        if names.is_empty() {
            return Vec::new();
        }
        let wish = if is_wanted { "subscribe" } else { "unsubscribe" };
        vec![json!({"type": wish, "channel": "ticker", "product_ids": names}).to_string()]
    }

    fn read_prices(&self, ear: &mut Ear, frame: &str) -> Vec<Tick> {
        stream::ticks(ear, frame, &self.settlement)
    }
}
