//! Binance, USD-M futures: perpetuals that are quoted in one margin asset (`/fapi`), with the user stream and the market
//! streams. What is the same as on the spot market is in [`super::binance`].
//!
//! **Money.** The engine counts an account as cash and positions that were bought with it. A futures wallet pays for no
//! position; it stands for them. So what is told as cash is what there would be if positions had been bought: the wallet
//! less each position's entry price times its signed quantity. Cash and net times price are together the wallet and the
//! unrealized profit, which is Binance's margin balance. Profit, commissions and funding arrive in the wallet, and so in
//! cash. What may be spent is what is available at leverage 1, whatever leverage is set there, which is never changed.
//!
//! **Stops** are held by Binance's algo service: orders of another kind with numbers of their own, each of which becomes an
//! order when its price is reached. They are looked up there first, and then as what they became.
//!
//! Client order ids are unique among open orders only, so that no order is ever sent a second time by itself.

pub mod errors;
pub mod map;
pub mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{Method, Url};
use rust_decimal::Decimal;

use trade_actors::domain::instrument::{Instrument, Symbol};
use trade_actors::domain::order::{Mode, Ticket};
use trade_actors::domain::portfolio::Quote;
use trade_actors::domain::report::{OrderReport, RefusalCode};
use trade_actors::domain::signal::{OrderKind, Trail};
use trade_actors::ports::broker::{IdScope, Placed, Promises};

use super::binance::{map as spot, sign, wire as told};
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
    name: "binance-usdm",
    title: "Binance USD-M futures",
    ways_in: &[Kind::ApiKey],
    modes: &[Mode::Paper, Mode::Live],
    login_lasts: None,
};

/// The lane of weights, counted by address.
const WEIGHT: usize = 0;
/// The lanes of orders, counted by account: in ten seconds, and in a minute.
const ORDERS: [usize; 2] = [1, 2];
/// Where the key of the user stream is asked for and kept.
const LISTEN_KEY: &str = "/fapi/v1/listenKey";
/// How often that key is kept: it ends after an hour.
const RENEWAL: Duration = Duration::from_secs(30 * 60);
/// Who knows what a key may do, for all markets.
const KEYS: &str = "https://api.binance.com";

static FACTS: Facts = Facts {
    about: &ABOUT,
    lanes: &[
        Lane { allowance: Allowance::per_minute(2_400), scope: Scope::Address },
        Lane { allowance: Allowance { limit: 300, window: Duration::from_secs(10) }, scope: Scope::Account },
        Lane { allowance: Allowance::per_minute(1_200), scope: Scope::Account },
    ],
    hours: Hours::Always,
    promises: Promises { shows_orders_at_once: false, ids: IdScope::WhileOpen },
    is_serial: false,
    checks_time: true,
    is_open: true,
    keeps_fees: false,
    streamed_max: 200,
    silence: Duration::from_secs(65),
};

/// Where it is, and the money that accounts are counted in, unless something else is configured.
const USUAL: Usual = Usual {
    live: Own { rest: "https://fapi.binance.com", stream: "wss://fstream.binance.com/private/ws" },
    paper: Some(Own {
        rest: "https://testnet.binancefuture.com",
        stream: "wss://fstream.binancefuture.com/private/ws",
    }),
    data: "https://fapi.binance.com",
    data_stream: "wss://fstream.binance.com/public/ws",
    settlement: "USDT",
};

/// Makes the broker.
///
/// # Errors
/// When an address is none, or the build has no usable cryptography.
pub fn open(ground: &Ground<'_>) -> Result<Arc<dyn House>, SetUpError> {
    let given = ground.config.binance.live_url.as_str();
    let keys = Url::parse(if given.is_empty() { KEYS } else { given });
    let keys = keys.map_err(|_| SetUpError::Address("binance.live_url"))?;
    USUAL.open(&ground.config.binance_usdm, ground, |settlement| BinanceUsdm { settlement, keys })
}

/// Binance, USD-M futures.
#[derive(Debug)]
pub struct BinanceUsdm {
    /// The margin that accounts are counted in.
    settlement: String,
    /// Who knows what a key may do.
    keys: Url,
}

impl BinanceUsdm {
    fn refused(said: &str) -> Verdict {
        Verdict::refused(ABOUT.title, RefusalCode::OrderRejected, said)
    }

    /// Returns Binance's name of a symbol.
    ///
    /// # Errors
    /// When it is not quoted in the margin that accounts are counted in.
    fn theirs(&self, symbol: Symbol) -> Result<String, Verdict> {
        pairs::listed(pairs::joined(symbol, &self.settlement), ABOUT.title, symbol, &self.settlement)
    }

    /// Asks for something that may not be there.
    async fn find<T: serde::de::DeserializeOwned>(way: &Way, call: Call) -> Result<Option<T>, Verdict> {
        match way.get(call.pressing()).await {
            Ok(found) => Ok(Some(found)),
            Err(Verdict::Missing) => Ok(None),
            Err(verdict) => Err(verdict),
        }
    }

    /// Asks for a stop as it stands; `None`: it is not shown.
    async fn stop(way: &Way, order: &Placed) -> Result<Option<wire::Algo>, Verdict> {
        Self::find(way, Call::get("/fapi/v1/algoOrder").with("clientAlgoId", order.ticket.id)).await
    }

    /// Puts an order and its executions together.
    async fn whole(&self, way: &Way, found: &wire::Order, ticket: &Ticket) -> Result<OrderReport, Verdict> {
        let fills = if found.executed.0.is_zero() {
            Vec::new()
        } else {
            let call = Call::get("/fapi/v1/userTrades")
                .with("symbol", &found.symbol)
                .with("orderId", found.order_id)
                .costing(&[(WEIGHT, 5)])
                .pressing();
            way.get(call).await?
        };
        Ok(map::report(found, &fills, ticket, &self.settlement, way.now()))
    }

    /// Returns a stop as what it became, if it became an order.
    async fn triggered(
        &self,
        way: &Way,
        stop: &wire::Algo,
        ticket: &Ticket,
    ) -> Result<Option<OrderReport>, Verdict> {
        let Some(number) = stop.became() else { return Ok(None) };
        let call =
            Call::get("/fapi/v1/order").with("symbol", self.theirs(ticket.symbol)?).with("orderId", number);
        match Self::find::<wire::Order>(way, call).await? {
            Some(found) => self.whole(way, &found, ticket).await.map(Some),
            None => Ok(None),
        }
    }

    /// Refuses a key that may withdraw, for whoever stole it could take everything, and one that may not trade futures.
    async fn check_key(&self, way: &Way) -> Result<(), Verdict> {
        let call = Call::get("/sapi/v1/account/apiRestrictions").at(&self.keys);
        let may: told::Restrictions = way.get(call).await?;
        if may.enable_withdrawals {
            return Err(Self::refused(
                "this key may withdraw; make one that may only read and trade futures",
            ));
        }
        if !may.enable_reading || !may.enable_futures {
            return Err(Self::refused(
                "this key may not read and trade futures; allow both, and nothing else",
            ));
        }
        Ok(())
    }
}

impl Venue for BinanceUsdm {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    /// What is about the key of the user stream names the API key and is not signed.
    fn sign(&self, auth: Option<&Auth>, call: &Call, moment: &Moment) -> Option<Signed> {
        if call.path == LISTEN_KEY { sign::keyed(auth, call) } else { sign::request(auth, call, moment) }
    }

    fn judge(&self, _: &Call, reply: &Reply) -> Result<(), Verdict> {
        errors::judge(reply)
    }

    fn time<'a>(&'a self, way: &'a Way) -> Asked<'a, Option<DateTime<Utc>>> {
        Box::pin(async move {
            let told: told::Time = way.get(Call::get("/fapi/v1/time").unsigned().pressing()).await?;
            Ok(DateTime::from_timestamp_millis(told.server_time))
        })
    }

    /// Takes accounts only whose positions net and whose margin is one asset: anything else the engine cannot count.
    fn identify<'a>(&'a self, way: &'a Way) -> Asked<'a, Identity> {
        Box::pin(async move {
            if way.is_live() {
                self.check_key(way).await?;
            }
            let account: wire::Config =
                way.get(Call::get("/fapi/v1/accountConfig").costing(&[(WEIGHT, 5)])).await?;
            if let Some(said) = map::unfit(&account) {
                return Err(Self::refused(said));
            }
            let balances: Vec<wire::Balance> =
                way.get(Call::get("/fapi/v3/balance").costing(&[(WEIGHT, 5)])).await?;
            let key = || way.auth().map(Auth::public).unwrap_or_default();
            let alias = balances.into_iter().next().map(|balance| balance.account_alias);
            Ok(Identity { account: alias.filter(|alias| !alias.is_empty()).unwrap_or_else(key) })
        })
    }

    /// Wallet and positions are asked for at once, so that one does not know of a trade that the other does not.
    ///
    /// As pressing as the dear lists of open orders that come before: where several accounts share an address, lists would
    /// else be asked for again and again, for what belongs to them found no room.
    fn holdings<'a>(&'a self, way: &'a Way) -> Asked<'a, Holdings> {
        Box::pin(async move {
            let account: wire::Account =
                way.get(Call::get("/fapi/v3/account").costing(&[(WEIGHT, 5)]).pressing()).await?;
            map::holdings(&account, &self.settlement)
        })
    }

    fn place<'a>(&'a self, way: &'a Way, ticket: &'a Ticket) -> Asked<'a, OrderReport> {
        Box::pin(async move {
            let call = map::new_order(ticket, self.theirs(ticket.symbol)?)?;
            let call = call.costing(&[(WEIGHT, 1), (ORDERS[0], 1), (ORDERS[1], 1)]);
            if map::is_stop(ticket.kind) {
                let taken: wire::Algo = way.get(call).await?;
                map::check_name(&taken.client_algo_id, ticket.id)?;
                return Ok(map::stop_report(&taken, ticket.id, way.now()));
            }
            let placed: wire::Order = way.get(call).await?;
            map::check_name(&placed.client_order_id, ticket.id)?;
            match self.whole(way, &placed, ticket).await {
                Ok(report) => Ok(report),
                // It is there; what it did, the stream or a look-up tells.
                Err(_) => Ok(map::taken(&placed, ticket.id)),
            }
        })
    }

    fn cancel<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, ()> {
        Box::pin(async move {
            let ticket = &order.ticket;
            let cancel = |path| Call::new(Method::DELETE, path).pressing();
            let plain = |symbol| cancel("/fapi/v1/order").with("symbol", symbol);
            let symbol = self.theirs(ticket.symbol)?;
            if !map::is_stop(ticket.kind) {
                return way.ask(plain(symbol).with("origClientOrderId", ticket.id)).await.map(drop);
            }
            let call = cancel("/fapi/v1/algoOrder").with("clientAlgoId", ticket.id);
            match way.ask(call).await {
                Err(Verdict::Missing) => {}
                answer => return answer.map(drop),
            }
            match Self::stop(way, order).await?.and_then(|stop| stop.became()) {
                Some(number) => way.ask(plain(symbol).with("orderId", number)).await.map(drop),
                None => Err(Verdict::Missing),
            }
        })
    }

    fn look_up<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, Option<OrderReport>> {
        Box::pin(async move {
            let ticket = &order.ticket;
            if map::is_stop(ticket.kind) {
                let Some(stop) = Self::stop(way, order).await? else { return Ok(None) };
                map::check_name(&stop.client_algo_id, ticket.id)?;
                let became = self.triggered(way, &stop, ticket).await?;
                return Ok(Some(became.unwrap_or_else(|| map::stop_report(&stop, ticket.id, way.now()))));
            }
            let call = Call::get("/fapi/v1/order")
                .with("symbol", self.theirs(ticket.symbol)?)
                .with("origClientOrderId", ticket.id);
            let Some(found) = Self::find::<wire::Order>(way, call).await? else { return Ok(None) };
            map::check_name(&found.client_order_id, ticket.id)?;
            self.whole(way, &found, ticket).await.map(Some)
        })
    }

    /// What a stop became may carry the stop's id: then it is listed once, as that.
    fn open_orders<'a>(&'a self, way: &'a Way) -> Asked<'a, Vec<OrderReport>> {
        Box::pin(async move {
            let list = |path| Call::get(path).costing(&[(WEIGHT, 40)]).pressing().listing();
            let stops: Vec<wire::Algo> = way.get(list("/fapi/v1/openAlgoOrders")).await?;
            let orders: Vec<wire::Order> = way.get(list("/fapi/v1/openOrders")).await?;
            let now = way.now();
            let mut open: Vec<_> = orders.iter().filter_map(|order| map::standing(order, now)).collect();
            for stop in stops.iter().filter_map(|stop| map::standing_stop(stop, now)) {
                if open.iter().all(|known| known.order != stop.order) {
                    open.push(stop);
                }
            }
            Ok(open)
        })
    }

    /// Short positions are held against money too, so that only what reduces a position holds nothing back.
    fn holds_back(&self, ticket: &Ticket) -> bool {
        !ticket.reduces
    }

    fn holds(&self, _: Symbol, kind: OrderKind) -> bool {
        match kind {
            OrderKind::Market
            | OrderKind::Limit { .. }
            | OrderKind::Stop { .. }
            | OrderKind::StopLimit { .. } => true,
            OrderKind::TrailingStop { trail: Trail::Percent(pct) } => map::callback(pct).is_some(),
            OrderKind::TrailingStop { trail: Trail::Amount(_) } | OrderKind::Oco { .. } => false,
        }
    }

    fn instruments<'a>(&'a self, way: &'a Way) -> Asked<'a, Vec<Instrument>> {
        Box::pin(async move {
            let told: told::ExchangeInfo<wire::Listed> =
                way.get(Call::get("/fapi/v1/exchangeInfo").unsigned().listing()).await?;
            Ok(told.symbols.iter().filter_map(|row| map::instrument(row, &self.settlement)).collect())
        })
    }

    /// One symbol is asked for by name; for more there is only the list of all.
    fn quotes<'a>(&'a self, way: &'a Way, symbols: &'a [Symbol]) -> Asked<'a, Vec<Quote>> {
        Box::pin(async move {
            let names: Vec<_> =
                symbols.iter().filter_map(|symbol| pairs::joined(*symbol, &self.settlement)).collect();
            let call = Call::get("/fapi/v1/ticker/bookTicker").unsigned();
            let best: Vec<told::Best> = match names.as_slice() {
                [] => return Ok(Vec::new()),
                [only] => match way.get(call.with("symbol", only).costing(&[(WEIGHT, 2)])).await {
                    Ok(best) => vec![best],
                    Err(Verdict::Refused(refusal)) if refusal.code == RefusalCode::InvalidSymbol => {
                        return Ok(Vec::new());
                    }
                    Err(verdict) => return Err(verdict),
                },
                [..] => way.get(call.costing(&[(WEIGHT, 5)]).listing()).await?,
            };
            let wanted = best.iter().filter(|best| names.contains(&best.symbol));
            let read = |best: &told::Best| {
                let symbol = pairs::split(&best.symbol, &self.settlement)?;
                quote(symbol, best.bid.0, best.ask.0, None, way.now())
            };
            Ok(wanted.filter_map(read).collect())
        })
    }

    /// The stream says no word when it is open: from then on it tells.
    fn updates<'a>(&'a self, way: &'a Way) -> Asked<'a, Opening> {
        Box::pin(async move {
            let key: wire::ListenKey = way.get(Call::post(LISTEN_KEY)).await?;
            let mut url = way.hosts().stream.clone();
            url.query_pairs_mut().append_pair("listenKey", &key.listen_key);
            Ok(Opening::at(url).ready().renewed(RENEWAL, Call::new(Method::PUT, LISTEN_KEY)))
        })
    }

    fn hear(&self, ear: &mut Ear, frame: &str, _: DateTime<Utc>) -> Vec<Heard> {
        map::heard(ear, frame, &self.settlement)
    }

    fn prices<'a>(&'a self, way: &'a Way) -> Asked<'a, Option<Opening>> {
        Box::pin(async move { Ok(Some(Opening::at(way.hosts().data_stream.clone()))) })
    }

    fn wish(&self, symbols: &[Symbol], is_wanted: bool) -> Vec<String> {
        vec![spot::wish(symbols, is_wanted, &self.settlement)]
    }

    fn read_prices(&self, _: &mut Ear, frame: &str) -> Vec<Tick> {
        spot::tick(frame, &self.settlement).into_iter().collect()
    }
}

/// The least and the most that a trailing stop may stay behind, in tenths of a per cent.
const CALLBACK: std::ops::RangeInclusive<Decimal> = Decimal::ONE..=Decimal::ONE_HUNDRED;
