//! A venue, the adapter, and one account.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use secrecy::SecretString;
use serde_json::Value;
use trade_actors::domain::ids::{BrokerOrderId, ClientOrderId, ConnectionId, SignalId, UserId};
use trade_actors::domain::instrument::Symbol;
use trade_actors::domain::money::{Price, Quantity};
use trade_actors::domain::order::{Mode, Purpose, Ticket, TimeInForce};
use trade_actors::domain::report::{OrderReport, RefusalCode, ReportedState};
use trade_actors::domain::signal::{OrderKind, Origin, Side};
use trade_actors::domain::stages::Stamp;
use trade_actors::ports::broker::{Broker, BrokerError, Placed, Told};
use trade_actors::ports::clock::{Clock, SystemClock};
use trade_executor::brokers::alpaca::Alpaca;
use trade_executor::brokers::credentials::{Auth, BrokerSecret};
use trade_executor::brokers::{House, Secrets, SecretsError};
use trade_executor::config::AlpacaConfig;
use uuid::Uuid;
use venues::account::AccountSpec;
use venues::faults::{Action, Rule};
use venues::feed;
use venues::streams::Channel;
use venues::world::{Options, World, truth};

use crate::support::{wait_for, wait_until};

pub(super) const KEY: &str = "PKTEST";
pub(super) const ORDERS: &str = "POST /v2/orders";

/// Credentials in memory.
#[derive(Debug, Default)]
pub(super) struct Drawer(pub(super) Mutex<BTreeMap<ConnectionId, (Auth, Mode)>>);

impl Secrets for Drawer {
    fn of(
        &self,
        _: UserId,
        connection: ConnectionId,
        broker: &str,
    ) -> Result<Option<BrokerSecret>, SecretsError> {
        let found = self.0.lock().unwrap().get(&connection).cloned();
        Ok(found.map(|(auth, mode)| BrokerSecret { broker: broker.to_owned(), mode, auth }))
    }
}

pub(super) fn keys(secret: &str) -> Auth {
    Auth::ApiKey { key_id: SecretString::from(KEY.to_owned()), secret: SecretString::from(secret.to_owned()) }
}

/// A clock that stands at one time of day, on a time line that goes on.
#[derive(Debug)]
pub(super) struct Standing(pub(super) DateTime<Utc>, pub(super) SystemClock);

impl Clock for Standing {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }

    fn stamp(&self) -> Stamp {
        self.1.stamp()
    }
}

/// A clock whose time line stands until a test turns it on.
#[derive(Debug)]
pub(super) struct Stopped(SystemClock, AtomicU64);

impl Stopped {
    pub(super) fn new() -> Arc<Self> {
        let machine = SystemClock::new();
        let at = AtomicU64::new(machine.stamp().0);
        Arc::new(Self(machine, at))
    }

    pub(super) fn turn(&self, seconds: u64) {
        self.1.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for Stopped {
    fn now(&self) -> DateTime<Utc> {
        self.0.now()
    }

    fn stamp(&self) -> Stamp {
        Stamp(self.1.load(Ordering::SeqCst))
    }
}

/// A venue, the adapter, and one account.
pub(super) struct Desk {
    pub(super) venue: venues::alpaca::Alpaca,
    pub(super) alpaca: Alpaca,
    pub(super) drawer: Arc<Drawer>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) told: Arc<Mutex<Vec<Told>>>,
    pub(super) orders: Mutex<u16>,
}

pub(super) fn user() -> UserId {
    UserId::new(Uuid::from_u128(1))
}

pub(super) fn connection() -> ConnectionId {
    ConnectionId::new(Uuid::from_u128(2))
}

impl Desk {
    pub(super) async fn open() -> Self {
        Self::with(Options::default(), |_| {}, Arc::new(SystemClock::new())).await
    }

    /// Opens one whose adapter's time stands.
    pub(super) async fn at(clock: &Arc<Stopped>) -> Self {
        Self::with(Options::default(), |_| {}, Arc::clone(clock) as Arc<dyn Clock>).await
    }

    pub(super) async fn with(
        options: Options,
        change: impl FnOnce(&mut AlpacaConfig),
        clock: Arc<dyn Clock>,
    ) -> Self {
        let spec = AccountSpec::new(KEY, "secret", Decimal::from(100_000)).with_token("token");
        let venue = venues::alpaca::Alpaca::start(Options { accounts: vec![spec], ..options }).await.unwrap();
        venue.world().set_price(&feed::Price::flat("AAPL", Decimal::from(190)));
        let drawer = Arc::new(Drawer::default());
        drawer.0.lock().unwrap().insert(connection(), (keys("secret"), Mode::Paper));
        let alpaca = adapter(&venue, change, &drawer, clock);
        let broker = alpaca.account(user(), connection());
        Self { venue, alpaca, drawer, broker, told: Arc::default(), orders: Mutex::default() }
    }

    pub(super) fn world(&self) -> &World {
        self.venue.world()
    }

    /// Forgets all that the adapter learned, as after a start.
    pub(super) fn restart(&mut self) {
        self.alpaca = adapter(&self.venue, |_| {}, &self.drawer, Arc::new(SystemClock::new()));
        self.broker = self.alpaca.account(user(), connection());
    }

    pub(super) fn ticket(&self, side: Side, units: &str, kind: OrderKind) -> Ticket {
        let mut leg = self.orders.lock().unwrap();
        *leg += 1;
        let signal = SignalId::new(Uuid::from_u128(3));
        Ticket {
            id: ClientOrderId::derive(user(), connection(), signal, *leg),
            user: user(),
            signal,
            origin: Origin::Manual,
            connection: connection(),
            symbol: symbol("AAPL"),
            side,
            quantity: Quantity::new(units.parse().unwrap()).unwrap(),
            kind,
            time_in_force: TimeInForce::Day,
            extended_hours: false,
            purpose: Purpose::Signal,
            reduces: side == Side::Sell,
            stop_loss: None,
            take_profits: Vec::new(),
        }
    }

    pub(super) fn buy(&self, units: &str) -> Ticket {
        self.ticket(Side::Buy, units, OrderKind::Market)
    }

    /// Starts listening, and waits until the venue knows.
    pub(super) async fn listen(&self) {
        let told = Arc::clone(&self.told);
        self.broker.stream(Box::new(move |news| told.lock().unwrap().push(news)));
        wait_until("the stream to be open", || async {
            self.world().listening(Some(KEY), Channel::Orders) > 0 && self.resumed() > 0
        })
        .await;
    }

    pub(super) fn resumed(&self) -> usize {
        self.told.lock().unwrap().iter().filter(|told| matches!(told, Told::Resumed)).count()
    }

    pub(super) fn reports(&self, order: ClientOrderId) -> Vec<OrderReport> {
        let told = self.told.lock().unwrap();
        let reports = told.iter().filter_map(|told| match told {
            Told::Report(report) => Some(OrderReport::clone(report)),
            Told::Resumed => None,
        });
        reports.filter(|report| report.order == order).collect()
    }

    pub(super) async fn reported(&self, order: ClientOrderId, state: &ReportedState) -> OrderReport {
        wait_for("a report", || async {
            self.reports(order).into_iter().find(|report| report.state == *state)
        })
        .await
    }

    /// What the engine knows of an order that may have been sent.
    pub(super) fn placed(&self, id: ClientOrderId, known_as: Option<BrokerOrderId>) -> Placed {
        Placed { ticket: Ticket { id, ..self.buy("1") }, known_as, created_at: DateTime::UNIX_EPOCH }
    }

    pub(super) async fn looked_up(&self, order: ClientOrderId) -> OrderReport {
        self.broker.order(self.placed(order, None)).await.unwrap().unwrap()
    }

    /// What the venue knows of an order.
    pub(super) fn truth(&self, order: ClientOrderId) -> Value {
        truth(&self.world().order(KEY, &order.to_string()).unwrap())
    }

    /// Buys, so that there is something to sell.
    pub(super) async fn hold(&self, units: &str) {
        let bought = self.broker.submit(self.buy(units)).await.unwrap();
        wait_until("the entry to be filled", || async {
            self.looked_up(bought.order).await.state == ReportedState::Filled
        })
        .await;
    }

    pub(super) fn fail(&self, route: &str, action: Action, times: u32) {
        self.world().add_fault(Rule::on(route, action).times(times));
    }

    pub(super) fn requests(&self, method: &str, path: &str) -> usize {
        let journal = serde_json::to_value(self.world().journal(0)).unwrap();
        let entries = journal.as_array().unwrap().iter();
        entries
            .filter(|entry| {
                entry["kind"] == "received"
                    && entry["method"] == method
                    && entry["path"].as_str().is_some_and(|seen| seen.starts_with(path))
            })
            .count()
    }
}

pub(super) fn adapter(
    venue: &venues::alpaca::Alpaca,
    change: impl FnOnce(&mut AlpacaConfig),
    drawer: &Arc<Drawer>,
    clock: Arc<dyn Clock>,
) -> Alpaca {
    let mut config = settings(venue);
    change(&mut config);
    Alpaca::new(&config, Arc::clone(drawer) as Arc<dyn Secrets>, clock).unwrap()
}

pub(super) fn symbol(name: &str) -> Symbol {
    name.parse().unwrap()
}

pub(super) fn price(text: &str) -> Price {
    Price::new(text.parse().unwrap()).unwrap()
}

pub(super) fn limit(text: &str) -> OrderKind {
    OrderKind::Limit { limit: price(text) }
}

pub(super) fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(super) fn done(report: &OrderReport) -> (String, String) {
    let done = report.done.unwrap();
    (done.quantity.to_string(), done.price.unwrap().to_string())
}

pub(super) fn sums(quantity: &str, price: &str) -> (String, String) {
    (quantity.to_owned(), price.to_owned())
}

pub(super) fn unknown<T: std::fmt::Debug>(answer: Result<T, BrokerError>) -> String {
    match answer {
        Err(BrokerError::Unknown(why)) => why,
        other => panic!("{other:?}"),
    }
}

pub(super) fn refused<T: std::fmt::Debug>(answer: Result<T, BrokerError>) -> (RefusalCode, String) {
    match answer {
        Err(BrokerError::Refused(refusal)) => (refusal.code, refusal.message),
        other => panic!("{other:?}"),
    }
}

pub(super) fn not_received<T: std::fmt::Debug>(answer: Result<T, BrokerError>) -> Duration {
    match answer {
        Err(BrokerError::NotReceived { retry_after, .. }) => retry_after,
        other => panic!("{other:?}"),
    }
}

pub(super) fn held_back<T: std::fmt::Debug>(answer: Result<T, BrokerError>) -> Duration {
    match answer {
        Err(BrokerError::HeldBack { wait, .. }) => wait,
        other => panic!("{other:?}"),
    }
}

/// Returns settings under which the venue is Alpaca.
pub(super) fn settings(venue: &venues::alpaca::Alpaca) -> AlpacaConfig {
    let url = venue.urls().url;
    AlpacaConfig {
        live_url: url.clone(),
        paper_url: url.clone(),
        data_url: url.clone(),
        data_stream_url: url.replace("http://", "ws://"),
        timeout_ms: 2_000,
        ..AlpacaConfig::default()
    }
}
