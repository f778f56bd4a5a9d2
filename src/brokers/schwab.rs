//! Charles Schwab: US shares and funds, with real money (Trader API for individuals, market data, and the streamer).
//!
//! Schwab takes no ids of ours and answers an order with its own. An order whose answer was lost is found by what it is,
//! and nothing is ever sent a second time. Orders that cannot be paid for are taken, and rejected a moment later.
//!
//! A login has one connection to the streamer, which is used for news of orders; prices are asked for.

mod errors;
mod ledger;
mod map;
mod sign;
mod stream;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Method, Url};
use zeroize::Zeroizing;

use trade_actors::domain::ids::ClientOrderId;
use trade_actors::domain::instrument::{Instrument, Symbol};
use trade_actors::domain::order::{Mode, Ticket};
use trade_actors::domain::portfolio::Quote;
use trade_actors::domain::report::{OrderReport, RefusalCode, ReportedState};
use trade_actors::domain::signal::OrderKind;
use trade_actors::ports::broker::{IdScope, Placed, Promises};

use self::ledger::{Before, Ledger};
use self::sign::Application;
use super::bucket::Allowance;
use super::credentials::{Auth, Kind};
use super::dial;
use super::http::{Reply, SetUpError};
use super::venue::bearer::Bearer;
use super::venue::call::{Call, Moment, Signed};
use super::venue::house::{Addresses, VenueHouse};
use super::venue::orders;
use super::venue::verdict::Verdict;
use super::venue::way::{Hosts, Way};
use super::venue::{Asked, Ear, Facts, Heard, Holdings, Hours, Identity, Lane, Opening, Scope, Tick, Venue};
use super::{About, Ground, House};

/// What it is called, and how one gets in.
pub const ABOUT: About = About {
    name: "schwab",
    title: "Charles Schwab",
    ways_in: &[Kind::Login],
    modes: &[Mode::Live],
    login_lasts: Some(TimeDelta::days(7)),
};

/// How far its clock and ours may be apart.
const SKEW: TimeDelta = TimeDelta::seconds(60);
/// How far back orders are listed; Schwab lists those of a year.
const LISTED: TimeDelta = TimeDelta::days(364);

/// Returns what does not change about it. Its allowance is the application's, whoever uses it.
///
/// Made once at every start and kept for good, for the allowance is a setting.
fn facts(requests_per_minute: u32) -> &'static Facts {
    let lane = Lane { allowance: Allowance::per_minute(requests_per_minute), scope: Scope::Address };
    Box::leak(Box::new(Facts { lanes: Box::leak(Box::new([lane])), ..USUAL }))
}

const USUAL: Facts = Facts {
    about: &ABOUT,
    lanes: &[],
    hours: Hours::NewYork,
    promises: Promises { shows_orders_at_once: false, ids: IdScope::Absent },
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
    let config = &ground.config.schwab;
    let url = |text: &str, name| Url::parse(text).map_err(|_| SetUpError::Address(name));
    let (rest, data) = (url(&config.live_url, "live_url")?, url(&config.data_url, "data_url")?);
    let application = config.app_key.clone().zip(config.app_secret.clone());
    let venue = Schwab {
        facts: facts(config.requests_per_minute),
        application: application.map(|(key, secret)| Application { key, secret }),
        login: url(&config.login_url, "login_url")?,
        ledger: Ledger::default(),
        links: Mutex::default(),
        customers: Mutex::default(),
    };
    // Where the streamer is, Schwab says.
    let hosts = Hosts { stream: rest.clone(), data_stream: data.clone(), rest, data };
    let addresses = Addresses { live: hosts, paper: None };
    VenueHouse::open(Arc::new(venue), addresses, Duration::from_millis(config.timeout_ms.into()), ground)
}

/// An account, as Schwab knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    /// Its number.
    number: String,
    /// What stands for it in paths.
    hash: String,
}

/// Charles Schwab.
#[derive(Debug)]
pub struct Schwab {
    facts: &'static Facts,
    /// What tokens are asked for with; `None`: no account can be connected.
    application: Option<Application>,
    /// Where they are asked for.
    login: Url,
    /// Which orders are ours.
    ledger: Ledger,
    /// The account of each login, by the fingerprint of its credentials.
    links: Mutex<BTreeMap<[u8; 32], Link>>,
    /// The streamer's customers by their correlation ids.
    customers: Mutex<BTreeMap<String, String>>,
}

impl Schwab {
    fn refused(code: RefusalCode, said: &str) -> Verdict {
        Verdict::refused(ABOUT.title, code, said)
    }

    /// Returns the account of a login.
    ///
    /// # Errors
    /// When it opens none, or several: which of them is meant, nobody can know.
    async fn link(&self, way: &Way) -> Result<Link, Verdict> {
        let print = way.auth().ok_or_else(errors::unauthorized)?.fingerprint();
        if let Some(link) = lock(&self.links).get(&print) {
            return Ok(link.clone());
        }
        let call = Call::get("/accounts/accountNumbers").pressing();
        let linked: Vec<wire::Numbered> = way.get(call).await?;
        let [one] = linked.as_slice() else {
            let said = format!(
                "this login opens {} accounts; log in again, and link the one that is to be traded",
                linked.len()
            );
            return Err(Self::refused(RefusalCode::OrderRejected, &said));
        };
        let is_fit = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_fit(&one.hash_value) || !is_fit(&one.account_number) {
            return Err(Verdict::Lost("it names an account in a way that cannot be used".to_owned()));
        }
        let link = Link { number: one.account_number.clone(), hash: one.hash_value.clone() };
        lock(&self.links).insert(print, link.clone());
        Ok(link)
    }

    async fn account(&self, way: &Way) -> Result<(Link, wire::Account), Verdict> {
        let link = self.link(way).await?;
        let call = Call::get(format!("/accounts/{}", link.hash)).with("fields", "positions").pressing();
        let account: wire::Wrapped = way.get(call).await?;
        Ok((link, account.securities_account))
    }

    /// Looks one of their orders up; `None`: it is not shown.
    async fn show(
        &self,
        way: &Way,
        link: &Link,
        id: i64,
        ours: ClientOrderId,
    ) -> Result<Option<OrderReport>, Verdict> {
        let call = Call::get(format!("/accounts/{}/orders/{id}", link.hash)).pressing();
        let order: wire::Order = match way.get(call).await {
            Ok(order) => order,
            Err(Verdict::Missing) => return Ok(None),
            Err(verdict) => return Err(verdict),
        };
        if order.order_id != id {
            return Err(Verdict::Lost("it answered with another order than the one asked for".to_owned()));
        }
        let report = map::report(&order, ours, way.now());
        self.ledger.note(&link.number, id, report.state == ReportedState::Open);
        Ok(Some(report))
    }

    /// Asks for all orders that were entered since a time.
    async fn list(&self, way: &Way, link: &Link, since: DateTime<Utc>) -> Result<Vec<wire::Order>, Verdict> {
        let now = way.now();
        let call = Call::get(format!("/accounts/{}/orders", link.hash))
            .with("fromEnteredTime", wire::stamp(since.clamp(now - LISTED, now)))
            .with("toEnteredTime", wire::stamp(now + SKEW))
            .pressing()
            .listing();
        way.get(call).await
    }

    /// Finds one of our orders by what it is, and remembers its id; `None`: it is not shown.
    ///
    /// # Errors
    /// When several orders are what it is: which of them is ours, nobody can know.
    async fn find(&self, way: &Way, link: &Link, order: &Placed) -> Result<Option<i64>, Verdict> {
        let words = map::words(&order.ticket)?;
        let since = order.created_at - SKEW;
        let ours = order.ticket.id;
        let ambiguous = |count: usize| {
            let said = format!(
                "it has {count} orders that could be this one, and names none of them as ours; look at the account there"
            );
            Verdict::Lost(said)
        };
        let all = self.list(way, link, since).await?;
        let fits = |shown: &&wire::Order| {
            words.fits(shown, since) && self.ledger.known(&link.number, shown.order_id).is_none()
        };
        let found: Vec<_> = all.iter().filter(fits).map(|shown| shown.order_id).collect();
        match found.as_slice() {
            [] => Ok(None),
            found if self.ledger.has_twin(&link.number, ours, &words, since) => Err(ambiguous(found.len())),
            [id] if self.ledger.claim(&link.number, *id, ours, since) => Ok(Some(*id)),
            several => Err(ambiguous(several.len())),
        }
    }

    /// Returns their id of one of our orders: the one that was told, the one that is remembered, or that of the one
    /// order that is what it is. `None`: it is not shown.
    async fn theirs(&self, way: &Way, link: &Link, order: &Placed) -> Result<Option<i64>, Verdict> {
        let ours = order.ticket.id;
        if let Some(id) = order.known_as.as_ref().and_then(|id| id.as_str().parse().ok()) {
            if self.ledger.claim(&link.number, id, ours, order.created_at - SKEW) {
                return Ok(Some(id));
            }
            return Err(Verdict::Lost("the id of this order is that of another one of ours".to_owned()));
        }
        match self.ledger.theirs(&link.number, ours) {
            Some(id) => Ok(Some(id)),
            None => self.find(way, link, order).await,
        }
    }

    async fn shown(&self, way: &Way, link: &Link, order: &Placed) -> Result<Option<OrderReport>, Verdict> {
        match self.theirs(way, link, order).await? {
            Some(id) => self.show(way, link, id, order.ticket.id).await,
            None => Ok(None),
        }
    }

    /// Sends an order, and returns its id there. It may be missing from the answer; then the order is looked for.
    async fn send(
        &self,
        way: &Way,
        link: &Link,
        placed: &Placed,
        words: &map::Words,
    ) -> Result<i64, Verdict> {
        let ticket = &placed.ticket;
        let call = Call::post(format!("/accounts/{}/orders", link.hash))
            .with_json(&words.json())
            .as_pressing_as(orders::urgency(ticket));
        let reply = way.ask(call).await?;
        let place = reply.header("location").unwrap_or_default();
        let id = place.rsplit('/').next().and_then(|id| id.parse().ok());
        if let Some(id) = id {
            let is_ours = self.ledger.claim(&link.number, id, ticket.id, placed.created_at - SKEW);
            return if is_ours {
                Ok(id)
            } else {
                Err(Verdict::Lost("it answered with another order".to_owned()))
            };
        }
        let not_shown =
            || Verdict::Lost("it took the order, told no id of it, and does not show it yet".to_owned());
        match self.find(way, link, placed).await {
            Ok(found) => found.ok_or_else(not_shown),
            // Whatever went wrong then, the order was taken.
            Err(Verdict::Lost(why)) => Err(Verdict::Lost(why)),
            Err(_) => Err(not_shown()),
        }
    }

    async fn quoted(&self, way: &Way, symbols: &[Symbol]) -> Result<Vec<(Symbol, wire::Quoted)>, Verdict> {
        let names: Vec<_> = symbols.iter().filter_map(|symbol| map::theirs(*symbol)).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let call = Call::get("/quotes").with("symbols", names.join(",")).with("fields", "quote");
        let told: wire::Quotes = way.get(call.at(&way.hosts().data)).await?;
        Ok(map::quoted(&told).collect())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing is left half done under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Venue for Schwab {
    fn facts(&self) -> &'static Facts {
        self.facts
    }

    fn sign(&self, auth: Option<&Auth>, call: &Call, _: &Moment) -> Option<Signed> {
        sign::request(self.application.as_ref(), auth, call)
    }

    fn bearer<'a>(&'a self, way: &'a Way) -> Asked<'a, Option<Bearer>> {
        Box::pin(async move {
            if self.application.is_none() {
                return Err(errors::no_application());
            }
            let asked = way.now();
            let reply = way.ask(Call::post("/token").at(&self.login).logging_in().pressing()).await?;
            let body = Zeroizing::new(reply.body);
            let given: wire::Token = way.read(&body)?;
            let until = asked + TimeDelta::seconds(given.expires_in.into());
            Ok(Some(Bearer { token: given.access_token, until }))
        })
    }

    fn judge(&self, call: &Call, reply: &Reply) -> Result<(), Verdict> {
        errors::judge(call, reply)
    }

    fn time<'a>(&'a self, _: &'a Way) -> Asked<'a, Option<DateTime<Utc>>> {
        Box::pin(async { Ok(None) })
    }

    /// Nothing can be taken out of an account over this API, so that there is no such right to look for.
    fn identify<'a>(&'a self, way: &'a Way) -> Asked<'a, Identity> {
        Box::pin(async move {
            let (link, account) = self.account(way).await?;
            if account.is_closing_only_restricted {
                let said = "this account may only close positions, and not trade";
                return Err(Self::refused(RefusalCode::OrderRejected, said));
            }
            Ok(Identity { account: link.number })
        })
    }

    fn holdings<'a>(&'a self, way: &'a Way) -> Asked<'a, Holdings> {
        Box::pin(async move {
            let (_, account) = self.account(way).await?;
            map::holdings(&account).ok_or_else(|| Verdict::Lost("it does not tell of the money".to_owned()))
        })
    }

    fn place<'a>(&'a self, way: &'a Way, ticket: &'a Ticket) -> Asked<'a, OrderReport> {
        Box::pin(async move {
            let link = match self.link(way).await {
                // Only the account's name was asked for.
                Err(Verdict::Lost(_)) => return Err(Verdict::unreached()),
                link => link?,
            };
            let (words, now) = (map::words(ticket)?, way.now());
            let placed = Placed { ticket: ticket.clone(), known_as: None, created_at: now };
            let id = match self.ledger.begin(&link.number, ticket.id, words.clone(), now) {
                Before::Unsent => match self.send(way, &link, &placed, &words).await {
                    Ok(id) => id,
                    Err(verdict) => {
                        if !matches!(verdict, Verdict::Lost(_)) {
                            self.ledger.undo(&link.number, ticket.id);
                        }
                        return Err(verdict);
                    }
                },
                Before::There(id) => id,
                Before::InDoubt => {
                    return Err(Verdict::Lost(
                        "this order was sent before, and nothing is known of it".to_owned(),
                    ));
                }
            };
            // That it was taken says nothing of what became of it; and whatever goes wrong now, it was taken.
            match self.show(way, &link, id, ticket.id).await {
                Ok(Some(report)) => Ok(report),
                Ok(None) | Err(_) => Ok(map::taken(id, ticket.id)),
            }
        })
    }

    fn cancel<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, ()> {
        Box::pin(async move {
            let link = self.link(way).await?;
            let id = self.theirs(way, &link, order).await?.ok_or(Verdict::Missing)?;
            let path = format!("/accounts/{}/orders/{id}", link.hash);
            way.ask(Call::new(Method::DELETE, path).pressing()).await.map(drop)
        })
    }

    fn look_up<'a>(&'a self, way: &'a Way, order: &'a Placed) -> Asked<'a, Option<OrderReport>> {
        Box::pin(async move {
            let link = self.link(way).await?;
            self.shown(way, &link, order).await
        })
    }

    /// Of all that is open there, those that are known as ours; after a start, those that were looked up since.
    fn open_orders<'a>(&'a self, way: &'a Way) -> Asked<'a, Vec<OrderReport>> {
        Box::pin(async move {
            let link = self.link(way).await?;
            let Some(since) = self.ledger.open_since(&link.number) else { return Ok(Vec::new()) };
            let all = self.list(way, &link, since).await?;
            let ours = all.iter().filter_map(|order| {
                let known = self.ledger.known(&link.number, order.order_id)?;
                let report = map::report(order, known.ours, way.now());
                (report.state == ReportedState::Open).then_some(report)
            });
            Ok(ours.collect())
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

    fn lists_nothing(&self) -> bool {
        true
    }

    fn instruments<'a>(&'a self, _: &'a Way) -> Asked<'a, Vec<Instrument>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn instrument<'a>(&'a self, way: &'a Way, symbol: Symbol) -> Asked<'a, Option<Instrument>> {
        Box::pin(async move {
            let told = self.quoted(way, &[symbol]).await?;
            Ok(told
                .iter()
                .find_map(|(known, told)| map::instrument(*known, told).filter(|row| row.symbol == symbol)))
        })
    }

    fn quotes<'a>(&'a self, way: &'a Way, symbols: &'a [Symbol]) -> Asked<'a, Vec<Quote>> {
        Box::pin(async move {
            let told = self.quoted(way, symbols).await?;
            let now = way.now();
            Ok(told.iter().filter_map(|(symbol, told)| map::price(*symbol, told, now)).collect())
        })
    }

    fn updates<'a>(&'a self, way: &'a Way) -> Asked<'a, Opening> {
        Box::pin(async move {
            let told: wire::Preference = way.get(Call::get("/userPreference")).await?;
            let unusable = || Verdict::Lost("it tells of no streamer that may be connected to".to_owned());
            let streamer = told.streamer_info.first().ok_or_else(unusable)?;
            let rest = &way.hosts().rest;
            let url = Url::parse(&streamer.streamer_socket_url).ok();
            let url =
                url.filter(|url| dial::is_reachable_from(url, "wss", "ws", rest)).ok_or_else(unusable)?;
            let token = way.token().await?.ok_or_else(errors::unauthorized)?;
            let correl = streamer.schwab_client_correl_id.clone();
            lock(&self.customers).insert(correl, streamer.schwab_client_customer_id.clone());
            Ok(stream::opening(url, streamer, &token))
        })
    }

    fn hear(&self, ear: &mut Ear, frame: &str, _: DateTime<Utc>) -> Vec<Heard> {
        let customer = |correl: &str| lock(&self.customers).get(correl).cloned();
        let ours = |account: &str, id| self.ledger.known(account, id).map(|known| known.ours);
        stream::hear(ear, frame, customer, ours)
    }

    /// None: the one connection that a login has is used for news of orders.
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
