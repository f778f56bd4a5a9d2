//! Binance, spot: `/api/v3`, the WebSocket API's user stream, and the market streams.
//!
//! Client order ids are unique among open orders only, so that no order is ever sent a second time by itself.

pub mod errors;
pub mod map;
pub mod sign;
pub mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::Method;
use serde_json::json;

use trade_actors::domain::instrument::{Instrument, Symbol};
use trade_actors::domain::money::Percent;
use trade_actors::domain::order::{Mode, Ticket};
use trade_actors::domain::portfolio::Quote;
use trade_actors::domain::report::{OrderReport, RefusalCode};
use trade_actors::domain::signal::{OrderKind, Trail};
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
use super::venue::{
    Asked, Ear, Facts, Heard, Holdings, Hours, Identity, Lane, Opening, Scope, Tick, Unit, Venue,
};
use super::{About, Ground, House};

/// What it is called, and how one gets in.
pub const ABOUT: About = About {
    name: "binance",
    title: "Binance",
    ways_in: &[Kind::ApiKey],
    modes: &[Mode::Paper, Mode::Live],
    login_lasts: None,
};

/// The lane of weights, counted by address.
const WEIGHT: usize = 0;
/// The lane of orders, counted by account.
const ORDERS: usize = 1;
/// How long a request may be under way, in milliseconds: what comes later dies at the venue.
const WINDOW_MS: u32 = 3_000;
/// The least and the most that a trailing stop may follow at, in hundredths of a per cent.
const TRAIL_BIPS: std::ops::RangeInclusive<u32> = 10..=2_000;

static FACTS: Facts = Facts {
    about: &ABOUT,
    lanes: &[
        Lane { allowance: Allowance::per_minute(6_000), scope: Scope::Address },
        Lane { allowance: Allowance { limit: 50, window: Duration::from_secs(10) }, scope: Scope::Account },
    ],
    hours: Hours::Always,
    promises: Promises { shows_orders_at_once: false, ids: IdScope::WhileOpen },
    is_serial: false,
    checks_time: true,
    is_open: true,
    keeps_fees: true,
    streamed_max: 200,
    silence: Duration::from_secs(65),
};

/// Where it is, and the money that accounts are counted in, unless something else is configured.
const USUAL: Usual = Usual {
    live: Own { rest: "https://api.binance.com", stream: "wss://ws-api.binance.com:443/ws-api/v3" },
    paper: Some(Own {
        rest: "https://testnet.binance.vision",
        stream: "wss://ws-api.testnet.binance.vision/ws-api/v3",
    }),
    data: "https://api.binance.com",
    data_stream: "wss://stream.binance.com:9443/ws",
    settlement: "USDT",
};

/// Makes the broker.
///
/// # Errors
/// When an address is none, or the build has no usable cryptography.
pub fn open(ground: &Ground<'_>) -> Result<Arc<dyn House>, SetUpError> {
    USUAL.open(&ground.config.binance, ground, |settlement| Binance { settlement })
}

/// Binance, spot.
#[derive(Debug)]
pub struct Binance {
    /// The money that accounts are counted in.
    settlement: String,
}

impl Binance {
    fn refused(code: RefusalCode, said: &str) -> Verdict {
        Verdict::refused(ABOUT.title, code, said)
    }

    /// Returns Binance's name of a symbol.
    ///
    /// # Errors
    /// When it does not trade against the money that accounts are counted in.
    fn theirs(&self, symbol: Symbol) -> Result<String, Verdict> {
        pairs::listed(pairs::joined(symbol, &self.settlement), ABOUT.title, symbol, &self.settlement)
    }

    /// Asks for an order as it stands; `None`: it is not shown.
    async fn find(&self, way: &Way, order: &Placed) -> Result<Option<wire::Order>, Verdict> {
        let call = Call::get("/api/v3/order")
            .with("symbol", self.theirs(order.ticket.symbol)?)
            .with("origClientOrderId", order.ticket.id)
            .costing(&[(WEIGHT, 4)])
            .pressing();
        match way.get(call).await {
            Ok(found) => Ok(Some(found)),
            Err(Verdict::Missing) => Ok(None),
            Err(verdict) => Err(verdict),
        }
    }

    /// Asks for the executions of an order.
    async fn executions(&self, way: &Way, found: &wire::Order) -> Result<Vec<wire::Trade>, Verdict> {
        let call = Call::get("/api/v3/myTrades")
            .with("symbol", &found.symbol)
            .with("orderId", found.order_id)
            .costing(&[(WEIGHT, 20)])
            .pressing();
        way.get(call).await
    }
}

impl Venue for Binance {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn sign(&self, auth: Option<&Auth>, call: &Call, moment: &Moment) -> Option<Signed> {
        sign::request(auth, call, moment)
    }

    fn judge(&self, _: &Call, reply: &Reply) -> Result<(), Verdict> {
        errors::judge(reply)
    }

    fn time<'a>(&'a self, way: &'a Way) -> Asked<'a, Option<DateTime<Utc>>> {
        Box::pin(async move {
            let told: wire::Time = way.get(Call::get("/api/v3/time").unsigned()).await?;
            Ok(DateTime::from_timestamp_millis(told.server_time))
        })
    }

    /// A key that may withdraw is refused: whoever stole it could take everything.
    fn identify<'a>(&'a self, way: &'a Way) -> Asked<'a, Identity> {
        Box::pin(async move {
            if way.is_live() {
                let may: wire::Restrictions = way.get(Call::get("/sapi/v1/account/apiRestrictions")).await?;
                if may.enable_withdrawals {
                    let said = "this key may withdraw; make one that may only read and trade";
                    return Err(Self::refused(RefusalCode::OrderRejected, said));
                }
                if !may.enable_reading || !may.enable_spot_and_margin_trading {
                    let said = "this key may not read and trade; allow both, and nothing else";
                    return Err(Self::refused(RefusalCode::OrderRejected, said));
                }
            }
            let account: wire::Account =
                way.get(Call::get("/api/v3/account").costing(&[(WEIGHT, 20)])).await?;
            if !account.can_trade {
                return Err(Self::refused(RefusalCode::OrderRejected, "this account may not trade"));
            }
            let key = way.auth().map(Auth::public).unwrap_or_default();
            Ok(Identity { account: account.uid.map_or(key, |uid| uid.to_string()) })
        })
    }

    fn holdings<'a>(&'a self, way: &'a Way) -> Asked<'a, Holdings> {
        Box::pin(async move {
            let call = Call::get("/api/v3/account")
                .with("omitZeroBalances", true)
                .costing(&[(WEIGHT, 20)])
                .pressing();
            let account: wire::Account = way.get(call).await?;
            let mut holdings = Holdings::default();
            for balance in account.balances {
                let all = balance.free.0 + balance.locked.0;
                if balance.asset == self.settlement {
                    (holdings.cash, holdings.free) = (all, balance.free.0);
                } else if let Some(symbol) = pairs::pair(&balance.asset, &self.settlement)
                    && !all.is_zero()
                {
                    holdings.units.push(Unit { symbol, net: all, average: None });
                }
            }
            Ok(holdings)
        })
    }

    fn place<'a>(&'a self, way: &'a Way, ticket: &'a Ticket) -> Asked<'a, OrderReport> {
        Box::pin(async move {
            let call = map::new_order(ticket, self.theirs(ticket.symbol)?)?;
            let placed: wire::Order = way.get(call.costing(&[(WEIGHT, 1), (ORDERS, 1)])).await?;
            map::report(&placed, ticket.id, &placed.fills, ticket, &self.settlement, way.now())
        })
    }

    fn cancel<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, ()> {
        Box::pin(async move {
            let call = Call::new(Method::DELETE, "/api/v3/order")
                .with("symbol", self.theirs(order.ticket.symbol)?)
                .with("origClientOrderId", order.ticket.id)
                .pressing();
            way.ask(call).await.map(drop)
        })
    }

    fn look_up<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, Option<OrderReport>> {
        Box::pin(async move {
            let Some(found) = self.find(way, order).await? else { return Ok(None) };
            let fills =
                if found.executed.0.is_zero() { Vec::new() } else { self.executions(way, &found).await? };
            let ticket = &order.ticket;
            map::report(&found, ticket.id, &fills, ticket, &self.settlement, way.now()).map(Some)
        })
    }

    fn open_orders<'a>(&'a self, way: &'a Way) -> Asked<'a, Vec<OrderReport>> {
        Box::pin(async move {
            let call = Call::get("/api/v3/openOrders").costing(&[(WEIGHT, 80)]).pressing().listing();
            let open: Vec<wire::Order> = way.get(call).await?;
            Ok(open.iter().filter_map(|order| map::standing(order, way.now())).collect())
        })
    }

    fn holds(&self, _: Symbol, kind: OrderKind) -> bool {
        match kind {
            OrderKind::Market
            | OrderKind::Limit { .. }
            | OrderKind::Stop { .. }
            | OrderKind::StopLimit { .. } => true,
            OrderKind::TrailingStop { trail: Trail::Percent(pct) } => bips(pct).is_some(),
            OrderKind::TrailingStop { trail: Trail::Amount(_) } | OrderKind::Oco { .. } => false,
        }
    }

    fn instruments<'a>(&'a self, way: &'a Way) -> Asked<'a, Vec<Instrument>> {
        Box::pin(async move {
            let call = Call::get("/api/v3/exchangeInfo").unsigned().costing(&[(WEIGHT, 20)]).listing();
            let told: wire::ExchangeInfo<wire::Listed> = way.get(call).await?;
            Ok(told.symbols.iter().filter_map(|row| map::instrument(row, &self.settlement)).collect())
        })
    }

    fn quotes<'a>(&'a self, way: &'a Way, symbols: &'a [Symbol]) -> Asked<'a, Vec<Quote>> {
        Box::pin(async move {
            let names: Vec<_> =
                symbols.iter().filter_map(|symbol| pairs::joined(*symbol, &self.settlement)).collect();
            if names.is_empty() {
                return Ok(Vec::new());
            }
            let call = Call::get("/api/v3/ticker/bookTicker")
                .with("symbols", json!(names))
                .unsigned()
                .costing(&[(WEIGHT, 4)]);
            let told: Vec<wire::Best> = way.get(call).await?;
            let read = |best: &wire::Best| {
                let symbol = pairs::split(&best.symbol, &self.settlement)?;
                quote(symbol, best.bid.0, best.ask.0, None, way.now())
            };
            Ok(told.iter().filter_map(read).collect())
        })
    }

    fn updates<'a>(&'a self, way: &'a Way) -> Asked<'a, Opening> {
        Box::pin(async move {
            let unknown = || Self::refused(RefusalCode::AuthFailed, "");
            let params = sign::subscription(way.auth(), &way.moment()).ok_or_else(unknown)?;
            let frame =
                json!({"id": "orders", "method": "userDataStream.subscribe.signature", "params": params});
            Ok(Opening::at(way.hosts().stream.clone()).saying(frame))
        })
    }

    fn hear(&self, _: &mut Ear, frame: &str, _: DateTime<Utc>) -> Vec<Heard> {
        map::heard(frame, &self.settlement)
    }

    fn prices<'a>(&'a self, way: &'a Way) -> Asked<'a, Option<Opening>> {
        Box::pin(async move { Ok(Some(Opening::at(way.hosts().data_stream.clone()))) })
    }

    fn wish(&self, symbols: &[Symbol], is_wanted: bool) -> Vec<String> {
        vec![map::wish(symbols, is_wanted, &self.settlement)]
    }

    fn read_prices(&self, _: &mut Ear, frame: &str) -> Vec<Tick> {
        map::tick(frame, &self.settlement).into_iter().collect()
    }
}

/// Returns a distance in hundredths of a per cent; `None`: Binance follows at no such distance.
fn bips(distance: Percent) -> Option<u32> {
    use rust_decimal::prelude::ToPrimitive;
    let bips = distance.get().checked_mul(100.into())?;
    bips.is_integer().then(|| bips.to_u32())?.filter(|bips| TRAIL_BIPS.contains(bips))
}
