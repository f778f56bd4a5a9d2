//! Kraken, spot: REST `/0`, and its second WebSocket API. It has no money to try with.
//!
//! Client order ids are unique among open orders only, so that no order is ever sent a second time by itself. Every
//! order carries a deadline: a packet that comes late cannot trade any more when it is looked for.

pub mod errors;
pub mod map;
pub mod names;
pub mod news;
pub mod sign;
pub mod tier;
pub mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::de::DeserializeOwned;
use serde_json::json;

use trade_actors::domain::ids::{BrokerOrderId, ClientOrderId};
use trade_actors::domain::instrument::{Instrument, Symbol};
use trade_actors::domain::order::{Mode, Ticket};
use trade_actors::domain::portfolio::Quote;
use trade_actors::domain::report::{OrderReport, RefusalCode, ReportedState};
use trade_actors::domain::signal::OrderKind;
use trade_actors::ports::broker::Placed;

use self::names::Names;
use self::tier::Tier;
use self::wire::Answer;
use super::credentials::{Auth, Kind};
use super::http::{Reply, SetUpError};
use super::venue::call::{Call, Moment, Signed};
use super::venue::house::{Own, Usual};
use super::venue::market::quote;
use super::venue::orders;
use super::venue::pairs;
use super::venue::verdict::Verdict;
use super::venue::way::Way;
use super::venue::{Asked, Ear, Facts, Heard, Holdings, Identity, Opening, TURN, Tick, Unit, Venue};
use super::{About, Ground, House};

/// What it is called, and how one gets in.
pub const ABOUT: About = About {
    name: "kraken",
    title: "Kraken",
    ways_in: &[Kind::ApiKey],
    modes: &[Mode::Live],
    login_lasts: None,
};

/// The lane of an account's questions.
const CALLS: usize = 0;
/// The lane of an account's orders; Kraken counts them by pair, here all count as of one.
const ORDERS: usize = 1;
/// The lane of what anybody may ask.
const PUBLIC: usize = 2;

/// Where orders are placed.
const PLACE: &str = "/0/private/AddOrder";
/// Executions that one question may name.
const TRADES_MAX: usize = 20;
/// What a key must be allowed, as far as Kraken says what it calls that; what else it takes is found out by asking.
const NEEDED: [&str; 3] = ["query-funds", "query-open-trades", "modify-trades"];

/// Where it is, and the money that accounts are counted in, unless something else is configured.
const USUAL: Usual = Usual {
    live: Own { rest: "https://api.kraken.com", stream: "wss://ws-auth.kraken.com/v2" },
    paper: None,
    data: "https://api.kraken.com",
    data_stream: "wss://ws.kraken.com/v2",
    settlement: "USD",
};

/// Makes the broker.
///
/// # Errors
/// When an address is none, or the build has no usable cryptography.
pub fn open(ground: &Ground<'_>) -> Result<Arc<dyn House>, SetUpError> {
    let config = &ground.config.kraken;
    let tier = Tier::named(&config.tier);
    USUAL.open(&config.addresses(), ground, |settlement| Kraken::new(settlement, tier))
}

/// Kraken, spot.
#[derive(Debug)]
pub struct Kraken {
    /// The money that accounts are counted in.
    settlement: String,
    /// What accounts are allowed, for Kraken does not tell.
    tier: Tier,
    /// What Kraken calls what, since it was last asked what is traded.
    names: RwLock<Arc<Names>>,
}

fn refused(code: RefusalCode, said: &str) -> Verdict {
    Verdict::refused(ABOUT.title, code, said)
}

fn private(name: &str) -> Call {
    Call::post(format!("/0/private/{name}")).costing(&[(CALLS, 1)])
}

fn public(name: &str) -> Call {
    Call::get(format!("/0/public/{name}")).unsigned().costing(&[(PUBLIC, 1)])
}

async fn ask<T: DeserializeOwned>(way: &Way, call: Call) -> Result<T, Verdict> {
    let answer: Answer<T> = way.get(call).await?;
    Ok(answer.result)
}

impl Kraken {
    /// Returns it for accounts that are counted in some money.
    fn new(settlement: String, tier: Tier) -> Self {
        Self { settlement, tier, names: RwLock::default() }
    }

    /// Asks for the list of pairs, and keeps what it says of names.
    async fn list(&self, way: &Way) -> Result<BTreeMap<String, wire::Pair>, Verdict> {
        let listed = ask(way, public("AssetPairs").listing()).await?;
        let names = Arc::new(Names::of(&listed, &self.settlement));
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = names;
        Ok(listed)
    }

    /// Returns what Kraken calls what; asked for, if that is not known.
    async fn names(&self, way: &Way) -> Result<Arc<Names>, Verdict> {
        let known = || Arc::clone(&self.names.read().unwrap_or_else(PoisonError::into_inner));
        if known().is_empty() {
            self.list(way).await?;
        }
        Ok(known())
    }

    /// Finds an order by our id: among the open ones first, for it may end in between.
    async fn find(&self, way: &Way, id: ClientOrderId) -> Result<Option<(String, wire::Order)>, Verdict> {
        let asking = |list| private(list).with("trades", true).with("cl_ord_id", id).pressing().listing();
        let open: wire::Open = ask(way, asking("OpenOrders")).await?;
        if let Some(found) = last_of(open.open, id) {
            return Ok(Some(found));
        }
        let closed: wire::Closed = ask(way, asking("ClosedOrders")).await?;
        Ok(last_of(closed.closed, id))
    }

    /// Asks for the executions of an order.
    async fn executions(
        &self,
        way: &Way,
        order: &wire::Order,
    ) -> Result<Vec<(String, wire::Trade)>, Verdict> {
        let mut all = Vec::new();
        for some in order.trades.chunks(TRADES_MAX) {
            let call = private("QueryTrades").with("txid", some.join(",")).costing(&[(CALLS, 2)]);
            let found: BTreeMap<String, wire::Trade> = ask(way, call.pressing()).await?;
            all.extend(found);
        }
        Ok(all)
    }
}

/// Returns the order of this id; the last one, should there be more.
fn last_of(found: BTreeMap<String, wire::Order>, id: ClientOrderId) -> Option<(String, wire::Order)> {
    let name = id.to_string();
    let of_it = found.into_iter().filter(|(_, order)| order.cl_ord_id.as_deref() == Some(&name));
    of_it.max_by_key(|(_, order)| order.opentm)
}

impl Venue for Kraken {
    fn facts(&self) -> &'static Facts {
        self.tier.facts()
    }

    /// Questions wait for as long as it takes to have room for three. Orders do not: what is older than a few seconds is
    /// for the engine to judge again.
    fn patience(&self, call: &Call) -> Duration {
        let is_question = call.costs.iter().any(|(lane, _)| *lane == CALLS);
        if is_question { self.tier.patience() } else { TURN }
    }

    fn sign(&self, auth: Option<&Auth>, call: &Call, moment: &Moment) -> Option<Signed> {
        sign::request(auth, call, moment)
    }

    fn judge(&self, call: &Call, reply: &Reply) -> Result<(), Verdict> {
        errors::judge(call, reply)
    }

    fn locked_out(&self, reply: &Reply) -> Option<Duration> {
        errors::locked_out(reply)
    }

    /// Kraken tells whole seconds: on average it is half of one later.
    fn time<'a>(&'a self, way: &'a Way) -> Asked<'a, Option<DateTime<Utc>>> {
        Box::pin(async move {
            let told: wire::Time = ask(way, public("Time")).await?;
            let at = DateTime::from_timestamp(told.unixtime, 0);
            Ok(at.and_then(|at| at.checked_add_signed(TimeDelta::milliseconds(500))))
        })
    }

    /// A key that may withdraw is refused: whoever stole it could take everything.
    fn identify<'a>(&'a self, way: &'a Way) -> Asked<'a, Identity> {
        Box::pin(async move {
            let key: wire::KeyInfo = ask(way, private("GetApiKeyInfo")).await?;
            let may = |what: &str| key.permissions.iter().any(|permission| permission.contains(what));
            if may("withdraw") {
                let said = "this key may withdraw; make one that may only read and trade";
                return Err(refused(RefusalCode::OrderRejected, said));
            }
            if let Some(lacking) = NEEDED.iter().find(|needed| !may(needed)) {
                let said = format!(
                    "this key may not read and trade: it lacks {lacking}; allow that, and no withdrawals"
                );
                return Err(refused(RefusalCode::OrderRejected, &said));
            }
            // The other permissions show by their use.
            let nobody = private("ClosedOrders").with("cl_ord_id", uuid::Uuid::nil());
            let _: wire::Closed = ask(way, nobody).await?;
            let _: wire::Token = ask(way, private("GetWebSocketsToken")).await?;
            let known_as = way.auth().map(Auth::public).unwrap_or_default();
            Ok(Identity { account: key.iban.unwrap_or(known_as) })
        })
    }

    fn holdings<'a>(&'a self, way: &'a Way) -> Asked<'a, Holdings> {
        Box::pin(async move {
            let names = self.names(way).await?;
            let told: BTreeMap<String, wire::Balance> = ask(way, private("BalanceEx")).await?;
            let mut holdings = Holdings::default();
            for (code, held) in told {
                let Some(asset) = names.asset(&code) else { continue };
                let all = held.balance.0;
                if asset == self.settlement {
                    holdings.cash = all;
                    holdings.free = all - held.hold_trade.0 + held.credit.0 - held.credit_used.0;
                } else if let Some(symbol) = pairs::pair(asset, &self.settlement)
                    && let Some(pair) = names.pair(symbol)
                    // Less than an order may be for cannot be traded.
                    && all >= pair.least
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
            let names = self.names(way).await?;
            let known = names.pair(ticket.symbol);
            let pair = pairs::listed(known, ABOUT.title, ticket.symbol, &self.settlement)?;
            let added: Result<wire::Added, _> = ask(way, map::new_order(ticket, &pair.name)?).await;
            if matches!(&added, Err(Verdict::Lost(why)) if why.starts_with(errors::TOO_LATE))
                && let Err(verdict) = Box::pin(way.follow_time()).await
            {
                tracing::debug!(?verdict, "the venue's time is not known");
            }
            let Some(txid) = added?.txid.into_iter().next() else {
                return Err(Verdict::Lost("it answered without an order".to_owned()));
            };
            Ok(OrderReport {
                order: ticket.id,
                broker_order: BrokerOrderId::new(txid),
                state: ReportedState::Open,
                fills: Vec::new(),
                done: None,
                balance: None,
            })
        })
    }

    fn cancel<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, ()> {
        Box::pin(async move {
            let age = (way.now() - order.created_at).num_seconds();
            let call = private("CancelOrder").with("cl_ord_id", order.ticket.id);
            let call = call.costing(&[(ORDERS, map::cancel_cost(age))]).pressing();
            let canceled: wire::Canceled = ask(way, call).await?;
            if canceled.count == 0 { Err(Verdict::Missing) } else { Ok(()) }
        })
    }

    fn look_up<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, Option<OrderReport>> {
        Box::pin(async move {
            let id = order.ticket.id;
            let Some((txid, found)) = self.find(way, id).await? else { return Ok(None) };
            let trades = self.executions(way, &found).await?;
            Ok(Some(map::report(id, (&txid, &found), &trades, way.now())))
        })
    }

    fn open_orders<'a>(&'a self, way: &'a Way) -> Asked<'a, Vec<OrderReport>> {
        Box::pin(async move {
            let told: wire::Open = ask(way, private("OpenOrders").pressing().listing()).await?;
            let ours = told.open.iter().filter_map(|(txid, order)| {
                let id = orders::ours(order.cl_ord_id.as_deref()?)?;
                Some(map::report(id, (txid, order), &[], way.now()))
            });
            Ok(ours.collect())
        })
    }

    fn holds(&self, _: Symbol, kind: OrderKind) -> bool {
        match kind {
            OrderKind::Market
            | OrderKind::Limit { .. }
            | OrderKind::Stop { .. }
            | OrderKind::StopLimit { .. } => true,
            OrderKind::TrailingStop { trail } => map::offset(trail).is_some(),
            OrderKind::Oco { .. } => false,
        }
    }

    fn instruments<'a>(&'a self, way: &'a Way) -> Asked<'a, Vec<Instrument>> {
        Box::pin(async move {
            let listed = self.list(way).await?;
            let rules = |(key, row): (&String, &wire::Pair)| map::instrument(key, row, &self.settlement);
            Ok(listed.iter().filter_map(rules).collect())
        })
    }

    fn quotes<'a>(&'a self, way: &'a Way, symbols: &'a [Symbol]) -> Asked<'a, Vec<Quote>> {
        Box::pin(async move {
            let names = self.names(way).await?;
            let pairs: Vec<_> =
                symbols.iter().filter_map(|symbol| Some(names.pair(*symbol)?.name.as_str())).collect();
            if pairs.is_empty() {
                return Ok(Vec::new());
            }
            let call = public("Ticker").with("pair", pairs.join(","));
            let told: BTreeMap<String, wire::Ticker> = ask(way, call).await?;
            let first = |prices: &[super::venue::number::Num]| prices.first().map(|price| price.0);
            let read = |(name, best): (&String, &wire::Ticker)| {
                let (bid, ask) = (first(&best.b).unwrap_or_default(), first(&best.a).unwrap_or_default());
                quote(names.symbol(name)?, bid, ask, first(&best.c), way.now())
            };
            Ok(told.iter().filter_map(read).collect())
        })
    }

    fn updates<'a>(&'a self, way: &'a Way) -> Asked<'a, Opening> {
        Box::pin(async move {
            let token: wire::Token = ask(way, private("GetWebSocketsToken").pressing()).await?;
            let params = json!({
                "channel": news::EXECUTIONS, "token": token.token,
                "snap_orders": true, "snap_trades": false, "order_status": true,
            });
            let frame = json!({"method": "subscribe", "params": params, "req_id": 1});
            Ok(Opening::at(way.hosts().stream.clone()).saying(frame))
        })
    }

    fn hear(&self, ear: &mut Ear, frame: &str, now: DateTime<Utc>) -> Vec<Heard> {
        news::heard(ear, frame, &self.settlement, now)
    }

    fn keep_alive(&self) -> Option<String> {
        Some(json!({"method": "ping"}).to_string())
    }

    fn prices<'a>(&'a self, way: &'a Way) -> Asked<'a, Option<Opening>> {
        Box::pin(async move { Ok(Some(Opening::at(way.hosts().data_stream.clone()))) })
    }

    fn wish(&self, symbols: &[Symbol], is_wanted: bool) -> Vec<String> {
        let against = |symbol: &&Symbol| pairs::coin(symbol, &self.settlement).is_some();
        let pairs: Vec<_> = symbols.iter().filter(against).map(|symbol| symbol.as_str()).collect();
        if pairs.is_empty() {
            return Vec::new();
        }
        let method = if is_wanted { "subscribe" } else { "unsubscribe" };
        // Told whenever the best prices change, not only when somebody trades.
        let params = json!({"channel": news::TICKER, "symbol": pairs, "event_trigger": "bbo"});
        vec![json!({"method": method, "params": params}).to_string()]
    }

    fn read_prices(&self, _: &mut Ear, frame: &str) -> Vec<Tick> {
        news::ticks(frame, &self.settlement)
    }
}
