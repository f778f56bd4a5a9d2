//! One account at Alpaca.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use reqwest::Method;
use tokio::task::JoinSet;

use trade_actors::domain::ids::{BrokerOrderId, ClientOrderId, ConnectionId, ExecutionId, UserId};
use trade_actors::domain::instrument::Symbol;
use trade_actors::domain::money::{Money, Price, Quantity};
use trade_actors::domain::order::{Fill, Ticket};
use trade_actors::domain::portfolio::{Balance, Quote};
use trade_actors::domain::position::Position;
use trade_actors::domain::report::{OrderReport, RefusalCode};
use trade_actors::domain::signal::OrderKind;
use trade_actors::ports::broker::{Broker, BrokerError, IdScope, Listener, Placed, Promises, Told};

use super::refusal::{Verdict, duplicate, no_credentials};
use super::session::{Service, Session, read, unexpected};
use super::tally::{Known, Missing, Tally};
use super::{NAME, Shared, map, updates, wire};
use crate::brokers::accounts::Hearing;
use crate::brokers::bucket::Urgency;
use crate::brokers::credentials::BrokerSecret;

/// When to try again after the credentials could not be read.
const RETRY: Duration = Duration::from_secs(1);
/// Orders on one page of a list: the most that Alpaca gives.
const PAGE: usize = 500;
/// Most pages of open orders.
const PAGES: usize = 20;
/// How often an order's relatives are asked for before it is left to a later look-up.
const RELATIVES: usize = 4;

/// The way to the account, as far as it is known.
#[derive(Debug, Default)]
struct Way {
    session: Option<Arc<Session>>,
    /// Its credentials were refused or replaced.
    is_suspect: bool,
}

/// One account at Alpaca.
#[derive(Debug)]
pub struct AlpacaAccount {
    shared: Arc<Shared>,
    me: Weak<Self>,
    user: UserId,
    connection: ConnectionId,
    way: Mutex<Way>,
    tally: Mutex<Tally>,
    hearing: Hearing,
    /// Reads the stream; it ends with the account.
    updates: Mutex<JoinSet<()>>,
}

/// Asks for the account, and refuses one that may not trade.
///
/// # Errors
/// See [`BrokerError`].
pub async fn fetch(session: &Session) -> Result<wire::Account, BrokerError> {
    let found = session.get(Service::Trading, "/v2/account", &[], Urgency::Normal).await?;
    let account: wire::Account =
        found.ok_or_else(|| BrokerError::Unknown("Alpaca does not show the account".to_owned()))?;
    map::closed(&account).map_or(Ok(account), |refusal| Err(BrokerError::Refused(refusal)))
}

impl AlpacaAccount {
    pub(super) fn new(shared: Arc<Shared>, user: UserId, connection: ConnectionId) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            shared,
            me: me.clone(),
            user,
            connection,
            way: Mutex::default(),
            tally: Mutex::default(),
            hearing: Hearing::default(),
            updates: Mutex::default(),
        })
    }

    /// Returns the way to the account.
    ///
    /// # Errors
    /// When its credentials are missing or cannot be read.
    pub(super) fn session(&self) -> Result<Arc<Session>, BrokerError> {
        let mut way = lock(&self.way);
        if let Way { session: Some(session), is_suspect: false } = &*way {
            return Ok(Arc::clone(session));
        }
        let found = self.shared.secrets.of(self.user, self.connection, NAME).map_err(|error| {
            tracing::warn!(connection.id = %self.connection, %error, "an Alpaca account's credentials cannot be read");
            error.told("Alpaca", RETRY)
        })?;
        let Some(BrokerSecret { auth, mode, .. }) = found else {
            way.session = None;
            return Err(BrokerError::Refused(no_credentials()));
        };
        // The same credentials lead to the same session, and with it to the count of what was asked.
        let session = self.shared.session(auth, mode);
        *way = Way { session: Some(Arc::clone(&session)), is_suspect: false };
        Ok(session)
    }

    /// Has the credentials read again, and the stream opened and the market asked with them.
    pub(super) fn renew(&self) {
        lock(&self.way).is_suspect = true;
        if self.hearing.is_open() {
            lock(&self.updates).abort_all();
            self.follow();
            let me = self.me.clone();
            lock(&self.updates).spawn(async move {
                let Some(account) = me.upgrade() else { return };
                if let Ok(session) = account.session() {
                    account.shared.market.join(&session).await;
                }
            });
        }
    }

    /// Has credentials that were refused read again at the next request: others may have taken their place.
    pub(super) fn refused(&self, error: &BrokerError) {
        if matches!(error, BrokerError::Refused(refusal) if refusal.code == RefusalCode::AuthFailed) {
            lock(&self.way).is_suspect = true;
        }
    }

    pub(super) const fn connection(&self) -> ConnectionId {
        self.connection
    }

    fn now(&self) -> DateTime<Utc> {
        self.shared.clock.now()
    }

    fn follow(&self) {
        let mut updates = lock(&self.updates);
        while updates.try_join_next().is_some() {}
        updates.spawn(updates::follow(self.me.clone(), self.connection));
    }

    /// Runs a request; credentials that it shows to be refused are forgotten.
    async fn with<T>(
        &self,
        request: impl AsyncFnOnce(&Session) -> Result<T, BrokerError>,
    ) -> Result<T, BrokerError> {
        let session = self.session()?;
        let answer = request(&session).await;
        if let Err(error) = &answer {
            self.refused(error);
        }
        answer
    }

    async fn place(&self, session: &Session, ticket: &Ticket) -> Result<OrderReport, BrokerError> {
        let order = map::new_order(ticket).map_err(BrokerError::Refused)?;
        let unsent =
            |_| BrokerError::NotReceived { code: RefusalCode::BrokerUnavailable, retry_after: RETRY };
        let body = serde_json::to_vec(&order).map_err(unsent)?;
        let urgency = if ticket.reduces { Urgency::Pressing } else { Urgency::Normal };
        match session.send(Method::POST, "/v2/orders", body, urgency).await {
            Ok(body) => {
                let placed: wire::Order = read(&body)?;
                let known = self.take(&placed).filter(|known| known.report.order == ticket.id);
                let known = known.ok_or_else(|| {
                    BrokerError::Unknown("Alpaca answered with another order than the one sent".to_owned())
                })?;
                let report = known.report.clone();
                // That it was taken is certain; what hangs on it can be learned later.
                Ok(self.complete(session, known).await.unwrap_or(report))
            }
            Err(Verdict::Exists) => match self.look_up(session, ticket.id).await {
                Ok(Some(report)) => Ok(report),
                Ok(None) | Err(_) => Err(BrokerError::Taken(duplicate())),
            },
            Err(Verdict::Halted(refusal)) => {
                self.shared.market.halt_for_now(ticket.symbol);
                Err(BrokerError::Refused(refusal))
            }
            Err(Verdict::Error(error)) => Err(error),
            Err(Verdict::Missing | Verdict::Ended | Verdict::Slow(_)) => {
                Err(BrokerError::Unknown("Alpaca gave an answer that fits no new order".to_owned()))
            }
        }
    }

    async fn find(
        &self,
        session: &Session,
        order: ClientOrderId,
    ) -> Result<Option<wire::Order>, BrokerError> {
        let id = order.to_string();
        let query = [("client_order_id", id.as_str())];
        session.get(Service::Trading, "/v2/orders:by_client_order_id", &query, Urgency::Pressing).await
    }

    pub(super) async fn look_up(
        &self,
        session: &Session,
        order: ClientOrderId,
    ) -> Result<Option<OrderReport>, BrokerError> {
        let Some(found) = self.find(session, order).await? else { return Ok(None) };
        match self.take(&found) {
            Some(known) if known.report.order == order => self.complete(session, known).await.map(Some),
            Some(_) | None => Err(BrokerError::Unknown(
                "Alpaca answered with another order than the one asked for".to_owned(),
            )),
        }
    }

    /// Asks for what an order cannot be judged without.
    async fn complete(&self, session: &Session, mut known: Known) -> Result<OrderReport, BrokerError> {
        for _ in 0..RELATIVES {
            let Some(Missing::Legs(id) | Missing::Replacement(id)) = &known.missing else { break };
            let path = order_path(id)?;
            let found: Option<wire::Order> =
                session.get(Service::Trading, &path, &[("nested", "true")], Urgency::Pressing).await?;
            let Some(next) = found.and_then(|order| self.take(&order)) else { break };
            if next == known {
                break;
            }
            known = next;
        }
        Ok(known.report)
    }

    async fn withdraw(
        &self,
        session: &Session,
        order: ClientOrderId,
        known_as: Option<BrokerOrderId>,
    ) -> Result<(), BrokerError> {
        let newest = lock(&self.tally).newest(order).or_else(|| known_as.map(|id| id.as_str().to_owned()));
        let id = match newest {
            Some(id) => id,
            None => match self.find(session, order).await? {
                Some(found) => found.id,
                None => {
                    let text = "Alpaca does not show the order, so there is nothing to cancel yet";
                    return Err(BrokerError::Unknown(text.to_owned()));
                }
            },
        };
        match session.send(Method::DELETE, &order_path(&id)?, Vec::new(), Urgency::Pressing).await {
            // Ended, or never there: a look-up tells.
            Ok(_) | Err(Verdict::Missing | Verdict::Ended) => Ok(()),
            Err(verdict) => Err(unexpected(verdict)),
        }
    }

    async fn list_open(&self, session: &Session) -> Result<Vec<OrderReport>, BrokerError> {
        let mut seen = BTreeSet::new();
        let mut open = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..PAGES {
            let mut query =
                vec![("status", "open"), ("limit", "500"), ("nested", "true"), ("direction", "asc")];
            query.extend(after.as_deref().map(|after| ("after", after)));
            let page: Vec<wire::Order> = session
                .get(Service::Trading, "/v2/orders", &query, Urgency::Pressing)
                .await?
                .unwrap_or_default();
            let is_last = page.len() < PAGE;
            let last = page.iter().filter_map(|order| order.submitted_at).max();
            let mut is_new = false;
            for order in &page {
                if seen.insert(order.id.clone()) {
                    is_new = true;
                    open.extend(self.take(order));
                }
            }
            if is_last {
                return self.listed(session, open).await;
            }
            // A moment back, for the next page begins after it and several orders may share it.
            let from = last.and_then(|last| last.checked_sub_signed(TimeDelta::microseconds(1)));
            after = from.map(|from| from.to_rfc3339_opts(SecondsFormat::Nanos, true));
            if !is_new || after.is_none() {
                break;
            }
        }
        Err(BrokerError::Unknown("Alpaca has more open orders than can be listed".to_owned()))
    }

    async fn listed(&self, session: &Session, open: Vec<Known>) -> Result<Vec<OrderReport>, BrokerError> {
        let ours: BTreeSet<_> = open.iter().map(|known| known.report.order).collect();
        lock(&self.tally).listed(&ours);
        let mut reports = std::collections::BTreeMap::new();
        for known in open {
            let report = self.complete(session, known).await?;
            reports.insert(report.order, report);
        }
        Ok(reports.into_values().collect())
    }

    /// Asks for the balance, and adds what our open orders hold back.
    ///
    /// Only what was open before and after Alpaca answered was surely taken off, so only that is added: in doubt
    /// buying power is understated.
    async fn count(&self, session: &Session) -> Result<Balance, BrokerError> {
        let before = lock(&self.tally).held();
        let account = fetch(session).await?;
        let held = if before.is_empty() {
            Money::ZERO
        } else {
            self.list_open(session).await?;
            let after = lock(&self.tally).held();
            before.iter().filter_map(|(id, held)| Some(*held.min(after.get(id)?))).sum()
        };
        Ok(map::balance(&account, held, self.now()))
    }

    fn take(&self, order: &wire::Order) -> Option<Known> {
        lock(&self.tally).take(order, self.now())
    }

    /// Takes news from the stream and passes it on; returns what has to be looked up.
    pub(super) fn hear(&self, update: &wire::TradeUpdate) -> Option<ClientOrderId> {
        let Some(known) = self.take(&update.order) else {
            // A leg of a pair that is not known yet may be ours.
            if update.order.order_class.as_deref() == Some("oco") {
                self.tell(Told::Resumed);
            }
            return None;
        };
        let mut report = known.report;
        report.fills.extend(execution(update, self.now()));
        let order = report.order;
        self.tell(Told::Report(Box::new(report)));
        known.missing.map(|_| order)
    }

    pub(super) fn tell(&self, told: Told) {
        self.hearing.tell(told);
    }
}

/// Returns the execution that an update tells of.
fn execution(update: &wire::TradeUpdate, now: DateTime<Utc>) -> Option<Fill> {
    Some(Fill {
        execution: ExecutionId::new(update.execution_id.as_ref()?),
        quantity: Quantity::new(update.qty?.0).ok()?,
        price: Price::new(update.price?.0).ok()?,
        fee: Money::ZERO,
        kept: Quantity::ZERO,
        at: update.timestamp.unwrap_or(now),
    })
}

/// Returns the path of one order; an id that is none of Alpaca's never becomes a part of it.
fn order_path(id: &str) -> Result<String, BrokerError> {
    let is_id =
        (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_id {
        Ok(format!("/v2/orders/{id}"))
    } else {
        Err(BrokerError::Unknown("the order's id is not one of Alpaca's".to_owned()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Broker for AlpacaAccount {
    fn connect(&self) -> BoxFuture<'_, Result<Balance, BrokerError>> {
        Box::pin(self.with(async |session: &Session| {
            self.list_open(session).await?;
            let balance = self.count(session).await?;
            self.shared.market.join(&self.session()?).await;
            Ok(balance)
        }))
    }

    fn submit(&self, ticket: Ticket) -> BoxFuture<'_, Result<OrderReport, BrokerError>> {
        Box::pin(async move { self.with(async |session: &Session| self.place(session, &ticket).await).await })
    }

    fn cancel(&self, order: Placed) -> BoxFuture<'_, Result<(), BrokerError>> {
        let Placed { ticket, known_as, .. } = order;
        Box::pin(
            self.with(async move |session: &Session| {
                self.withdraw(session, ticket.id, known_as.clone()).await
            }),
        )
    }

    fn order(&self, order: Placed) -> BoxFuture<'_, Result<Option<OrderReport>, BrokerError>> {
        Box::pin(self.with(async move |session: &Session| self.look_up(session, order.ticket.id).await))
    }

    fn open_orders(&self) -> BoxFuture<'_, Result<Vec<OrderReport>, BrokerError>> {
        Box::pin(self.with(async |session: &Session| self.list_open(session).await))
    }

    /// Alpaca refuses an id again even after its order was cancelled; an order may show a moment after it was taken.
    fn promises(&self) -> Promises {
        Promises { shows_orders_at_once: false, ids: IdScope::Forever }
    }

    /// Trailing stops and pairs are taken for whole shares only, all else for fractions too.
    fn holds(&self, symbol: Symbol, kind: OrderKind, quantity: Quantity) -> bool {
        let takes_fractions = match kind {
            OrderKind::Market
            | OrderKind::Limit { .. }
            | OrderKind::Stop { .. }
            | OrderKind::StopLimit { .. } => true,
            OrderKind::TrailingStop { .. } | OrderKind::Oco { .. } => false,
        };
        map::is_share(symbol) && (takes_fractions || map::is_whole(quantity))
    }

    fn quote(&self, symbol: Symbol) -> BoxFuture<'_, Result<Option<Quote>, BrokerError>> {
        Box::pin(self.with(async move |session: &Session| {
            let quotes = super::market::latest(session, &[symbol]).await?;
            Ok(quotes.into_iter().next())
        }))
    }

    fn balance(&self) -> BoxFuture<'_, Result<Balance, BrokerError>> {
        Box::pin(self.with(async |session: &Session| self.count(session).await))
    }

    fn positions(&self) -> BoxFuture<'_, Result<Vec<Position>, BrokerError>> {
        Box::pin(self.with(async |session: &Session| {
            let found = session.get(Service::Trading, "/v2/positions", &[], Urgency::Normal).await?;
            let all: Vec<wire::Position> =
                found.ok_or_else(|| BrokerError::Unknown("Alpaca does not show the positions".to_owned()))?;
            let now = self.now();
            Ok(all.iter().filter_map(|position| map::position(position, self.connection, now)).collect())
        }))
    }

    fn stream(&self, to: Listener) {
        if self.hearing.open(to) {
            self.follow();
        }
    }
}
