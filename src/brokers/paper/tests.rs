use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::join_all;
use rust_decimal::Decimal;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use uuid::Uuid;

use super::*;
use crate::brokers::{BuiltIn, Ground, NoSecrets, VENUES, Venues, about, sample};
use crate::config::BrokersConfig;
use trade_actors::domain::money::{Net, Quantity};
use trade_actors::domain::paper::{PaperAccount, report};
use trade_actors::domain::report::ReportedState;
use trade_actors::domain::signal::{OrderKind, Side};
use trade_actors::domain::stages::Stamp;
use trade_actors::ports::broker::{Brokers, UnknownBroker};
use trade_actors::ports::journal::Receipt;

#[derive(Debug)]
struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    fn stamp(&self) -> Stamp {
        Stamp(0)
    }
}

/// A log in memory that can be full, down or slow, with its own index.
#[derive(Debug)]
struct Log {
    events: Arc<Mutex<Vec<Event>>>,
    full: AtomicBool,
    /// The events are kept, but the answer says otherwise.
    answer_lost: AtomicBool,
    /// Commits wait for a permit.
    gate: Arc<Semaphore>,
    loads: AtomicUsize,
}

impl Log {
    fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}

impl Journal for Log {
    fn commit(&self, facts: Vec<Fact>) -> BoxFuture<'static, Result<Receipt, CommitError>> {
        if self.full.load(Ordering::SeqCst) {
            return async { Err(CommitError::Full) }.boxed();
        }
        // Handed over: from here on it is kept, whether anybody waits for the answer or not.
        self.events.lock().unwrap().extend(facts.iter().map(|fact| Event::clone(&fact.event)));
        let (gate, lost) = (Arc::clone(&self.gate), self.answer_lost.load(Ordering::SeqCst));
        async move {
            gate.acquire().await.unwrap().forget();
            if lost {
                return Err(CommitError::Down("gone".to_owned()));
            }
            Ok(Receipt { first: 1, last: 1, at: DateTime::UNIX_EPOCH })
        }
        .boxed()
    }
}

impl Books for Log {
    fn load(&self, connection: ConnectionId) -> BoxFuture<'_, Result<Option<PaperAccount>, StoreError>> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let mut account = PaperAccount::new(connection);
        let events = self.events();
        events.iter().for_each(|event| account.apply(event, DateTime::UNIX_EPOCH));
        let opened = events.iter().any(|event| matches!(event, Event::PaperOpened { .. }));
        async move { Ok(opened.then_some(account)) }.boxed()
    }

    fn find(&self, order: ClientOrderId) -> BoxFuture<'_, Result<Option<OrderReport>, StoreError>> {
        let about = |event: &&Event| matches!(event, Event::PaperBooked { order: id, .. } | Event::PaperMoved { order: id, .. } if *id == order);
        let found = self.events().iter().filter(about).fold(None, |before, event| report(event, before));
        async move { Ok(found) }.boxed()
    }
}

struct Floor {
    log: Arc<Log>,
    market: Arc<SimulatedMarket>,
    config: PaperConfig,
    brokers: PaperBrokers,
}

fn brokers(config: &PaperConfig, market: &Arc<SimulatedMarket>, log: &Arc<Log>) -> PaperBrokers {
    PaperBrokers::new(
        config,
        Arc::clone(market),
        Arc::clone(log) as Arc<dyn Journal>,
        Arc::clone(log) as Arc<dyn Books>,
        Arc::new(Stopped),
    )
}

impl Floor {
    fn new(change: impl FnOnce(&mut PaperConfig)) -> Self {
        let mut config = PaperConfig::default();
        config.symbols.iter_mut().for_each(|row| row.spread_bp = 0);
        change(&mut config);
        let log = Arc::new(Log {
            events: Arc::default(),
            full: AtomicBool::new(false),
            answer_lost: AtomicBool::new(false),
            gate: Arc::new(Semaphore::new(100_000)),
            loads: AtomicUsize::new(0),
        });
        let market = SimulatedMarket::new(&config, Arc::new(Stopped));
        let brokers = brokers(&config, &market, &log);
        let floor = Self { log, market, config, brokers };
        floor.price("100");
        floor
    }

    fn price(&self, to: &str) {
        self.market.set_price("AAPL".parse().unwrap(), Price::new(to.parse().unwrap()).unwrap());
    }

    fn account(&self) -> Arc<dyn Broker> {
        self.brokers.account(UserId::new(Uuid::from_u128(1)), ConnectionId::new(Uuid::from_u128(2)))
    }

    /// The process starts again: nothing is left but the log.
    fn restart(&mut self) {
        self.brokers = brokers(&self.config, &self.market, &self.log);
    }
}

fn ticket(id: u128, side: Side, units: i64, kind: OrderKind) -> Ticket {
    Ticket {
        id: ClientOrderId::new(Uuid::from_u128(id)),
        side,
        quantity: Quantity::new(Decimal::from(units)).unwrap(),
        kind,
        ..sample::ticket()
    }
}

fn buy(id: u128, units: i64) -> Ticket {
    ticket(id, Side::Buy, units, OrderKind::Market)
}

fn limit(id: u128, units: i64, at: &str) -> Ticket {
    ticket(id, Side::Buy, units, OrderKind::Limit { limit: Price::new(at.parse().unwrap()).unwrap() })
}

fn money(units: i64) -> Money {
    Money::new(Decimal::from(units))
}

fn listen(account: &Arc<dyn Broker>) -> UnboundedReceiver<OrderReport> {
    let (to, reports) = mpsc::unbounded_channel();
    account.stream(Box::new(move |told| {
        if let Told::Report(report) = told {
            drop(to.send(*report));
        }
    }));
    reports
}

#[tokio::test]
async fn an_account_is_opened_once_with_the_starting_cash() {
    let mut floor = Floor::new(|_| {});
    let balance = floor.account().connect().await.unwrap();
    assert_eq!((balance.cash, balance.buying_power), (money(100_000), money(200_000)));
    floor.restart();
    assert_eq!(floor.account().connect().await.unwrap(), balance);
    assert_eq!(floor.log.events().len(), 1);
}

#[tokio::test]
async fn a_fill_is_in_the_log_before_it_is_answered() {
    let floor = Floor::new(|_| {});
    let account = floor.account();
    account.connect().await.unwrap();
    floor.log.gate.forget_permits(100_000);
    let mut answer = account.submit(buy(1, 10));
    assert!((&mut answer).now_or_never().is_none(), "no answer before the log's");
    floor.log.gate.add_permits(1);
    let report = answer.await.unwrap();
    assert_eq!(report.state, ReportedState::Filled);
    assert_eq!(report.balance.unwrap().cash, money(99_000));
    assert_eq!(report.balance.unwrap().buying_power, money(199_000));
    assert_eq!(account.positions().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_same_id_is_one_order_before_and_after_a_restart() {
    let mut floor = Floor::new(|_| {});
    let first = floor.account().submit(buy(1, 10)).await.unwrap();
    assert_eq!(floor.account().submit(buy(1, 10)).await.unwrap(), first);
    floor.restart();
    assert_eq!(floor.account().submit(buy(1, 10)).await.unwrap(), first);
    assert_eq!(floor.account().order(placed(first.order)).await.unwrap(), Some(first));
    assert_eq!(floor.account().order(placed(ClientOrderId::new(Uuid::from_u128(9)))).await.unwrap(), None);
}

#[tokio::test]
async fn two_callers_at_once_never_spend_the_same_money() {
    let floor = Floor::new(|config| config.leverage = Decimal::ONE);
    let account = floor.account();
    let answers = join_all((0..100).map(|id| account.submit(buy(id, 100)))).await;
    let taken = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(taken, 10);
    assert_eq!(account.balance().await.unwrap().cash, Money::ZERO);
    let refused = answers.into_iter().find_map(Result::err).unwrap();
    assert!(matches!(refused, BrokerError::Refused(Refusal { code: RefusalCode::InsufficientFunds, .. })));
}

#[tokio::test]
async fn two_holders_of_a_connection_share_one_book() {
    let floor = Floor::new(|_| {});
    let (one, other) = (floor.account(), floor.account());
    one.submit(buy(1, 10)).await.unwrap();
    assert_eq!(other.positions().await.unwrap(), one.positions().await.unwrap());
    assert_eq!(floor.log.loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_resting_order_fills_when_its_price_comes_and_is_told() {
    let floor = Floor::new(|_| {});
    let account = floor.account();
    let mut reports = listen(&account);
    let booked = account.submit(limit(1, 10, "95")).await.unwrap();
    assert_eq!((booked.state, booked.fills.len()), (ReportedState::Open, 0));
    floor.price("94");
    let told = reports.recv().await.unwrap();
    assert_eq!((told.state.clone(), told.fills.len()), (ReportedState::Filled, 1));
    assert_eq!(told.balance.unwrap().cash, money(100_000 - 940));
    assert_eq!(account.order(placed(told.order)).await.unwrap(), Some(told));
}

#[tokio::test]
async fn parts_are_told_one_by_one_and_looked_up_together_across_a_restart() {
    let mut floor = Floor::new(|config| config.liquidity = Some(Decimal::from(4)));
    let booked = floor.account().submit(buy(1, 10)).await.unwrap();
    assert_eq!((booked.state, booked.fills.len()), (ReportedState::Open, 1));
    floor.restart();
    let account = floor.account();
    let mut reports = listen(&account);
    account.connect().await.unwrap();
    for (to, state) in [("101", ReportedState::Open), ("102", ReportedState::Filled)] {
        floor.price(to);
        let told = reports.recv().await.unwrap();
        assert_eq!((told.state, told.fills.len()), (state, 1));
    }
    assert_eq!(account.order(placed(booked.order)).await.unwrap().unwrap().fills.len(), 3);
}

/// What the engine knows of an order that may have been sent.
fn placed(id: ClientOrderId) -> Placed {
    let ticket = Ticket { id, ..sample::ticket() };
    Placed { ticket, known_as: None, created_at: DateTime::UNIX_EPOCH }
}

#[tokio::test]
async fn a_cancel_is_told_and_a_second_one_repeats_the_outcome() {
    let floor = Floor::new(|_| {});
    let account = floor.account();
    let mut reports = listen(&account);
    let order = account.submit(limit(1, 10, "95")).await.unwrap().order;
    for _ in 0..2 {
        account.cancel(placed(order)).await.unwrap();
        assert_eq!(reports.recv().await.unwrap().state, ReportedState::Canceled);
    }
    let unknown = account.cancel(placed(ClientOrderId::new(Uuid::from_u128(9)))).await;
    assert!(matches!(unknown, Err(BrokerError::Refused(_))));
}

#[tokio::test]
async fn prices_are_listened_to_only_while_an_order_is_open() {
    let floor = Floor::new(|_| {});
    let listeners = || floor.market.listeners();
    let account = floor.account();
    account.submit(buy(1, 10)).await.unwrap();
    assert_eq!(listeners(), 0, "a filled order needs no prices");
    let mut reports = listen(&account);
    account.submit(limit(2, 10, "95")).await.unwrap();
    account.submit(limit(3, 10, "94")).await.unwrap();
    assert_eq!(listeners(), 1, "one task is enough for all orders");
    floor.price("93");
    reports.recv().await.unwrap();
    reports.recv().await.unwrap();
    while listeners() > 0 {
        tokio::task::yield_now().await;
    }
    account.submit(limit(4, 10, "90")).await.unwrap();
    assert_eq!(listeners(), 1);
    drop(account);
    while listeners() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_full_disk_means_that_nothing_happened() {
    let floor = Floor::new(|_| {});
    let account = floor.account();
    account.connect().await.unwrap();
    floor.log.full.store(true, Ordering::SeqCst);
    assert!(matches!(account.submit(buy(1, 10)).await, Err(BrokerError::NotReceived { .. })));
    floor.log.full.store(false, Ordering::SeqCst);
    assert!(account.positions().await.unwrap().is_empty());
    assert_eq!(account.submit(buy(1, 10)).await.unwrap().state, ReportedState::Filled);
}

#[tokio::test]
async fn an_account_that_could_not_be_opened_is_opened_later() {
    let floor = Floor::new(|_| {});
    floor.log.full.store(true, Ordering::SeqCst);
    assert!(floor.account().connect().await.is_err());
    floor.log.full.store(false, Ordering::SeqCst);
    assert_eq!(floor.account().connect().await.unwrap().cash, money(100_000));
}

#[tokio::test]
async fn a_lost_answer_of_the_log_is_unknown_until_the_log_is_read_again() {
    let floor = Floor::new(|_| {});
    let account = floor.account();
    account.connect().await.unwrap();
    floor.log.answer_lost.store(true, Ordering::SeqCst);
    assert!(matches!(account.submit(buy(1, 10)).await, Err(BrokerError::Unknown(_))));
    floor.log.answer_lost.store(false, Ordering::SeqCst);
    let found = account.order(placed(ClientOrderId::new(Uuid::from_u128(1)))).await.unwrap().unwrap();
    assert_eq!(found.state, ReportedState::Filled);
    assert_eq!(account.positions().await.unwrap()[0].net, Net::new(Decimal::TEN));
}

#[tokio::test]
async fn a_caller_that_goes_away_loses_nothing() {
    let floor = Floor::new(|_| {});
    let account = floor.account();
    account.connect().await.unwrap();
    let mut reports = listen(&account);
    floor.log.gate.forget_permits(100_000);
    assert!(account.submit(buy(1, 10)).now_or_never().is_none());
    floor.log.gate.add_permits(100);
    let again = account.submit(buy(1, 10)).await.unwrap();
    assert_eq!(again.state, ReportedState::Filled);
    assert_eq!(account.positions().await.unwrap()[0].net, Net::new(Decimal::TEN));
    assert_eq!(reports.recv().await.unwrap().order, again.order, "what nobody waited for is told");
}

#[tokio::test]
async fn what_is_not_traded_here_is_refused() {
    let floor = Floor::new(|_| {});
    let nope = Ticket { symbol: "NOPE".parse().unwrap(), ..buy(1, 10) };
    let refused = floor.account().submit(nope).await;
    assert!(matches!(refused, Err(BrokerError::Refused(Refusal { code: RefusalCode::InvalidSymbol, .. }))));
}

#[tokio::test]
async fn many_ended_orders_are_looked_up_when_they_are_no_longer_at_hand() {
    let floor = Floor::new(|_| {});
    let account = floor.account();
    let first = account.submit(buy(1_000, 1)).await.unwrap();
    for id in 0..100 {
        account.submit(buy(id, 1)).await.unwrap();
    }
    assert_eq!(account.order(placed(first.order)).await.unwrap().unwrap().fills, first.fills);
}

#[test]
fn brokers_are_opened_by_name() {
    let floor = Floor::new(|_| {});
    let (user, connection) = (UserId::new(Uuid::nil()), ConnectionId::new(Uuid::nil()));
    let config = BrokersConfig::default();
    let ground = Ground { config: &config, secrets: Arc::new(NoSecrets), clock: Arc::new(Stopped) };
    let built_in = BuiltIn { paper: floor.brokers, venues: Venues::open(&ground).unwrap() };
    let at_once = |name: &str| built_in.open(user, connection, name).unwrap().promises().shows_orders_at_once;
    assert!(at_once("paper"));
    for row in VENUES {
        assert!(!at_once(row.about.name), "{}", row.about.name);
        assert!(built_in.market(row.about.name).is_some());
        assert_eq!(about(row.about.name), Some(row.about));
    }
    let unknown = built_in.open(user, connection, "nope").unwrap_err();
    assert_eq!(unknown, UnknownBroker("nope".to_owned()));
}
