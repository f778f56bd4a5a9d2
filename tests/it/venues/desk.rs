//! A simulated venue, its adapter, and one account of 100,000 in the money it is counted in; BTC is at 60,000.
//!
//! Where shares are traded instead, one of them is a hundredth of that, and so is its price: the same money moves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use trade_actors::domain::ids::{ClientOrderId, ConnectionId, SignalId, UserId};
use trade_actors::domain::instrument::Instrument;
use trade_actors::domain::money::{Percent, Price, Quantity};
use trade_actors::domain::order::{Mode, Purpose, Ticket, TimeInForce};
use trade_actors::domain::report::{OrderReport, RefusalCode, ReportedState};
use trade_actors::domain::signal::{OrderKind, Origin, Side, Trail};
use trade_actors::ports::broker::{Broker, BrokerError, Placed, Told};
use trade_actors::ports::clock::{Clock, SystemClock};
use trade_executor::brokers::credentials::{Auth, BrokerSecret};
use trade_executor::brokers::{Ground, House, Secrets, SecretsError, VENUES};
use trade_executor::config::BrokersConfig;
use uuid::Uuid;
use venues::account::{AccountChange, AccountSpec, KeyRights};
use venues::book::{Order, Status};
use venues::faults::{Action, Rule};
use venues::feed;
use venues::table::{Running, venue};
use venues::world::{Options, World};

use super::hurry::{Hurried, hurry};
use super::place::Place;
use crate::support::{wait_for, wait_until};

/// The same credentials for every connection.
#[derive(Debug)]
struct Drawer(Mutex<BrokerSecret>);

impl Secrets for Drawer {
    fn of(&self, _: UserId, _: ConnectionId, _: &str) -> Result<Option<BrokerSecret>, SecretsError> {
        Ok(Some(self.0.lock().unwrap().clone()))
    }
}

pub(super) struct Desk {
    place: Place,
    pub(super) venue: Running,
    pub(super) house: Arc<dyn House>,
    pub(super) broker: Arc<dyn Broker>,
    clock: Arc<dyn Clock>,
    drawer: Arc<Drawer>,
    told: Arc<Mutex<Vec<Told>>>,
    legs: Mutex<u16>,
    /// When each order was decided.
    decided: Mutex<BTreeMap<ClientOrderId, DateTime<Utc>>>,
}

fn user() -> UserId {
    UserId::new(Uuid::from_u128(1))
}

fn connection() -> ConnectionId {
    ConnectionId::new(Uuid::from_u128(2))
}

pub(super) fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(super) fn price(text: &str) -> Price {
    Price::new(dec(text)).unwrap()
}

impl Desk {
    pub(super) async fn open(place: Place) -> Self {
        let price = feed::Price::flat(place.coin, place.price("60000").get());
        Self::started(place, place.account(), None, &price).await
    }

    /// Opens it with an account, what opens that, and a price.
    pub(super) async fn with(place: Place, spec: AccountSpec, auth: Auth, price: &feed::Price) -> Self {
        Self::started(place, spec, Some(auth), price).await
    }

    async fn started(place: Place, spec: AccountSpec, auth: Option<Auth>, price: &feed::Price) -> Self {
        let entry = venue(place.name).unwrap();
        let options = Options { accounts: vec![spec], ..(entry.options)() };
        let venue = (entry.start)(options).await.unwrap();
        venue.world().set_price(price);
        let auth = match auth {
            Some(auth) => auth,
            None => place.auth(&venue).await,
        };
        let secret = BrokerSecret { broker: place.name.to_owned(), mode: place.mode, auth };
        let drawer = Arc::new(Drawer(Mutex::new(secret)));
        let system = SystemClock::new();
        let clock: Arc<dyn Clock> =
            if hurry(venue.world()) { Arc::new(Hurried(system)) } else { Arc::new(system) };
        let house = house(&place, &venue, &drawer, &clock);
        let broker = house.account(user(), connection());
        let (told, legs, decided) = (Arc::default(), Mutex::default(), Mutex::default());
        Self { place, venue, house, broker, clock, drawer, told, legs, decided }
    }

    /// Opens it with the session open and the stream listened to.
    pub(super) async fn listening(place: Place) -> Self {
        let desk = Self::open(place).await;
        desk.listen().await;
        desk
    }

    /// Opens the session, and listens to the stream.
    pub(super) async fn listen(&self) {
        self.broker.connect().await.unwrap();
        let told = Arc::clone(&self.told);
        self.broker.stream(Box::new(move |news| told.lock().unwrap().push(news)));
        self.resumed(1).await;
    }

    /// How many times the stream was opened, or may have missed something.
    pub(super) fn resumptions(&self) -> usize {
        self.told.lock().unwrap().iter().filter(|told| matches!(told, Told::Resumed)).count()
    }

    /// Waits until the stream was opened so many times.
    pub(super) async fn resumed(&self, times: usize) {
        wait_until("the stream to be open", || async { self.resumptions() >= times }).await;
    }

    pub(super) fn world(&self) -> &World {
        self.venue.world()
    }

    /// Forgets all that the adapter learned, as after a start.
    pub(super) fn restart(&mut self) {
        self.house = house(&self.place, &self.venue, &self.drawer, &self.clock);
        self.broker = self.house.account(user(), connection());
    }

    pub(super) fn ticket(&self, side: Side, units: &str, kind: OrderKind) -> Ticket {
        let mut leg = self.legs.lock().unwrap();
        *leg += 1;
        let signal = SignalId::new(Uuid::from_u128(3));
        let id = ClientOrderId::derive(user(), connection(), signal, *leg);
        self.decided.lock().unwrap().insert(id, SystemClock::new().now());
        Ticket {
            id,
            user: user(),
            signal,
            origin: Origin::Manual,
            connection: connection(),
            symbol: self.place.coin.parse().unwrap(),
            side,
            quantity: Quantity::new(self.place.units(units)).unwrap(),
            kind,
            time_in_force: TimeInForce::Gtc,
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

    /// Buys far below the market, so that the order rests.
    pub(super) fn rest(&self, units: &str) -> Ticket {
        self.ticket(Side::Buy, units, OrderKind::Limit { limit: self.place.price("50000") })
    }

    /// Buys, and waits until it is held.
    pub(super) async fn hold(&self, units: &str) -> OrderReport {
        let ticket = self.buy(units);
        self.broker.submit(ticket.clone()).await.unwrap();
        self.filled(&ticket).await
    }

    /// Looks an order up until it is filled.
    pub(super) async fn filled(&self, ticket: &Ticket) -> OrderReport {
        wait_for("the order to be filled", || async {
            let found = self.look_up(ticket).await.unwrap();
            found.filter(|report| report.state == ReportedState::Filled)
        })
        .await
    }

    pub(super) async fn look_up(&self, ticket: &Ticket) -> Result<Option<OrderReport>, BrokerError> {
        self.broker.order(self.placed(ticket)).await
    }

    pub(super) async fn cancel(&self, ticket: &Ticket) -> Result<(), BrokerError> {
        self.broker.cancel(self.placed(ticket)).await
    }

    /// Returns what the engine knows of an order that may have been sent. Where the broker takes ids of ours, they are
    /// all it needs.
    pub(super) fn placed(&self, ticket: &Ticket) -> Placed {
        let placed = placed(ticket);
        if !self.place.deals_in_shares() {
            return placed;
        }
        Placed { created_at: self.decided.lock().unwrap()[&ticket.id], ..placed }
    }

    /// Returns the rules of what is traded.
    async fn rules(&self) -> Instrument {
        let (market, symbol) = (self.house.market(), self.place.coin.parse().unwrap());
        if !self.place.deals_in_shares() {
            return market.instrument(symbol).unwrap();
        }
        assert!(
            market.instrument(symbol).is_some() || market.is_unsure_of(symbol),
            "it was not asked for yet"
        );
        wait_for("the rules", || async { market.instrument(symbol) }).await
    }

    /// Buys, and waits for the stream's news of it. What a broker of shares does at once is in its answer: there, the
    /// market comes to an order that rests.
    async fn hears_of_a_fill(&self, units: &str) -> Ticket {
        if !self.place.deals_in_shares() {
            let ticket = self.buy(units);
            self.broker.submit(ticket.clone()).await.unwrap();
            self.reported(&ticket, &ReportedState::Filled).await;
            return ticket;
        }
        let ticket = self.rest(units);
        assert_eq!(self.broker.submit(ticket.clone()).await.unwrap().state, ReportedState::Open);
        self.set_price("50000");
        let told = self.reported(&ticket, &ReportedState::Filled).await;
        assert_eq!(told.done.unwrap().quantity, ticket.quantity);
        self.set_price("60000");
        ticket
    }

    /// Moves the market.
    pub(super) fn set_price(&self, of_coin: &str) {
        self.world().set_price(&feed::Price::flat(self.place.coin, self.place.price(of_coin).get()));
    }

    /// Returns why an order is refused: in the answer, or a moment later by the stream.
    async fn refusal(&self, ticket: Ticket) -> (RefusalCode, String) {
        let answer = self.broker.submit(ticket.clone()).await;
        if answer.is_err() || !self.place.deals_in_shares() {
            return refused(answer);
        }
        wait_for("the rejection", || async {
            let told = self.told.lock().unwrap();
            told.iter().find_map(|told| match told {
                Told::Report(report) if report.order == ticket.id => match &report.state {
                    ReportedState::Rejected(refusal) => Some((refusal.code, refusal.message.clone())),
                    _ => None,
                },
                Told::Report(_) | Told::Resumed => None,
            })
        })
        .await
    }

    /// Returns all news of an order so far.
    pub(super) fn reports(&self, ticket: &Ticket) -> Vec<OrderReport> {
        let told = self.told.lock().unwrap();
        let reports = told.iter().filter_map(|told| match told {
            Told::Report(report) => Some(OrderReport::clone(report)),
            Told::Resumed => None,
        });
        reports.filter(|report| report.order == ticket.id).collect()
    }

    /// Waits for news of an order in such a state.
    pub(super) async fn reported(&self, ticket: &Ticket, state: &ReportedState) -> OrderReport {
        wait_for("news of the order", || async {
            self.reports(ticket).into_iter().find(|report| report.state == *state)
        })
        .await
    }

    /// The venue's orders, the oldest first.
    pub(super) fn book(&self) -> Vec<Order> {
        self.world().orders(Some(self.place.key.0))
    }

    /// How many units the account holds at the venue.
    pub(super) fn held(&self) -> Decimal {
        self.world().account(self.place.key.0).map_or(Decimal::ZERO, |account| account.qty(self.place.coin))
    }

    /// How much money the account has at the venue.
    pub(super) fn cash(&self) -> Decimal {
        self.world().account(self.place.key.0).unwrap().cash
    }

    /// Has the next orders go wrong.
    pub(super) fn fail_orders(&self, action: Action) {
        self.world().add_fault(Rule::on(self.place.orders, action).times(1));
    }

    /// Tries other credentials out.
    pub(super) async fn probe_as(&self, mode: Mode, auth: Auth) -> Result<String, BrokerError> {
        let secret = BrokerSecret { broker: self.place.name.to_owned(), mode, auth };
        self.house.probe(secret).await.map(|probed| probed.account)
    }

    /// Tries the account's credentials out, which the venue lets do so much.
    pub(super) async fn probe(&self, rights: KeyRights) -> Result<String, BrokerError> {
        self.probe_with(AccountChange { key: Some(rights), ..AccountChange::default() }).await
    }

    /// Tries the account's credentials out after the venue changed something about it.
    pub(super) async fn probe_with(&self, change: AccountChange) -> Result<String, BrokerError> {
        self.world().change_account(self.place.key.0, &change).unwrap();
        let secret = self.drawer.0.lock().unwrap().clone();
        let live = BrokerSecret { mode: Mode::Live, ..secret };
        self.house.probe(live).await.map(|probed| probed.account)
    }
}

fn house(place: &Place, venue: &Running, drawer: &Arc<Drawer>, clock: &Arc<dyn Clock>) -> Arc<dyn House> {
    let mut config = BrokersConfig::default();
    (place.lead)(venue.urls(), &mut config);
    let secrets = Arc::clone(drawer) as Arc<dyn Secrets>;
    let ground = Ground { config: &config, secrets, clock: Arc::clone(clock) };
    let row = VENUES.iter().find(|row| row.about.name == place.name).unwrap();
    (row.open)(&ground).unwrap()
}

/// What the engine knows of an order that may have been sent.
pub(super) fn placed(ticket: &Ticket) -> Placed {
    Placed { ticket: ticket.clone(), known_as: None, created_at: long_ago() }
}

fn long_ago() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

/// How much of an order is done: as the venue tells in all, or by its executions where it tells only those.
pub(super) fn executed(report: &OrderReport) -> Decimal {
    let fills = report.fills.iter().map(|fill| fill.quantity.get());
    report.done.map_or_else(|| fills.sum(), |done| done.quantity.get())
}

pub(super) fn refused<T: std::fmt::Debug>(answer: Result<T, BrokerError>) -> (RefusalCode, String) {
    match answer {
        Err(BrokerError::Refused(refusal)) => (refusal.code, refusal.message),
        other => panic!("{other:?}"),
    }
}

/// The kinds of order that need no position, each far enough from the market to rest.
pub(super) fn resting(place: &Place) -> Vec<(OrderKind, Side)> {
    let (trigger, limit) = (place.price("55000"), place.price("54900"));
    vec![
        (OrderKind::Limit { limit: place.price("50000") }, Side::Buy),
        (OrderKind::Limit { limit: place.price("70000") }, Side::Sell),
        (OrderKind::Stop { trigger }, Side::Sell),
        (OrderKind::StopLimit { trigger, limit }, Side::Sell),
        (OrderKind::TrailingStop { trail: Trail::Percent(Percent::new(dec("5"))) }, Side::Sell),
        (OrderKind::TrailingStop { trail: Trail::Amount(place.price("3000")) }, Side::Sell),
    ]
}

/// What every venue keeps of: connects, trades, tells, and loses nothing.
pub(super) async fn keeps_its_promises(place: Place) {
    let mut desk = Desk::listening(place).await;
    let balance = desk.broker.balance().await.unwrap();
    assert_eq!((balance.cash.get(), balance.equity.get()), (dec("100000"), dec("100000")));
    assert_eq!(desk.broker.positions().await.unwrap(), []);
    let rules = desk.rules().await;
    assert!(rules.tradable);

    // Bought, told by the stream, and counted as the venue counts.
    let bought = desk.buy("0.1");
    desk.broker.submit(bought.clone()).await.unwrap();
    let looked_up = desk.filled(&bought).await;
    if !place.deals_in_shares() {
        desk.reported(&bought, &ReportedState::Filled).await;
    }
    assert_eq!(executed(&looked_up), bought.quantity.get());
    let kept: Decimal = looked_up.fills.iter().map(|fill| fill.kept.get()).sum();
    assert_eq!(desk.held(), bought.quantity.get() - kept, "what the venue kept as its fee is known");
    let fees: Decimal = looked_up.fills.iter().map(|fill| fill.fee.get()).sum();
    assert_eq!(desk.cash(), dec("94000") - fees);
    let positions = desk.broker.positions().await.unwrap();
    assert_eq!(positions.iter().map(|held| held.net.get()).collect::<Vec<_>>(), [desk.held().normalize()]);

    every_kind(&desk, &rules.lot).await;

    // All of it is sold, as far as the venue's steps go.
    let all = positions[0].net.size().floor_to(rules.lot);
    let sold = Ticket { quantity: all, ..desk.ticket(Side::Sell, "1", OrderKind::Market) };
    desk.broker.submit(sold.clone()).await.unwrap();
    desk.filled(&sold).await;
    assert!(desk.held() < rules.lot.get(), "{}", desk.held());
    assert_eq!(desk.broker.positions().await.unwrap(), [], "what cannot be traded is no position");

    a_cancel(&mut desk).await;
    what_is_lost_is_found(&desk).await;
    the_stream_comes_back(&desk).await;
}

/// Each kind is placed and canceled, or refused by name before anything is sent.
async fn every_kind(desk: &Desk, lot: &Quantity) {
    for (kind, side) in resting(&desk.place) {
        let ticket = desk.ticket(side, "0.01", kind);
        assert!(ticket.quantity.floor_to(*lot) == ticket.quantity);
        let before = desk.book().len();
        let answer = desk.broker.submit(ticket.clone()).await;
        if desk.broker.holds(ticket.symbol, kind, ticket.quantity) {
            assert_eq!(answer.unwrap().state, ReportedState::Open, "{kind:?}");
            assert_eq!(desk.book().len(), before + 1, "{kind:?}");
            let open = desk.broker.open_orders().await.unwrap();
            assert_eq!(open.iter().map(|report| report.order).collect::<Vec<_>>(), [ticket.id], "{kind:?}");
            desk.cancel(&ticket).await.unwrap();
            desk.reported(&ticket, &ReportedState::Canceled).await;
        } else {
            let (_, why) = refused(answer);
            assert!(why.contains("Nothing was sent."), "{why}");
            assert_eq!(desk.book().len(), before, "{kind:?}");
        }
    }
    assert_eq!(desk.broker.open_orders().await.unwrap(), []);
}

async fn a_cancel(desk: &mut Desk) {
    let ticket = desk.rest("0.01");
    let answer = desk.broker.submit(ticket.clone()).await.unwrap();
    let held = desk.broker.balance().await.unwrap();
    let missing = held.cash.get() - held.buying_power.get();
    if desk.place.deals_in_shares() {
        let most = Decimal::TWO * held.cash.get();
        assert!(held.buying_power > held.cash && held.buying_power.get() <= most, "it borrows as much again");
    } else {
        assert!(
            missing <= dec("5"),
            "but for its fee, what our own order holds back is for Risk to take off"
        );
    }
    // A program that was started anew knows nothing but what the engine tells it.
    desk.restart();
    let mut known = desk.placed(&ticket);
    if desk.place.deals_in_shares() {
        known.known_as = Some(answer.broker_order);
    }
    desk.broker.cancel(known.clone()).await.unwrap();
    let found = wait_for("the cancel", || async {
        let found = desk.broker.order(known.clone()).await.unwrap();
        found.filter(|found| found.state == ReportedState::Canceled)
    });
    assert_eq!(executed(&found.await), Decimal::ZERO);
    // Once more is no error: it has ended.
    desk.broker.cancel(known).await.unwrap();
    assert_eq!(desk.look_up(&desk.buy("0.01")).await.unwrap(), None, "it was never sent");
    *desk = Desk::listening(desk.place).await;
}

/// An order that the venue took and whose answer was lost is not known, and found by a look-up; it is one order.
async fn what_is_lost_is_found(desk: &Desk) {
    let ticket = desk.buy("0.01");
    desk.fail_orders(Action::Reset { when: venues::faults::When::After });
    let answer = desk.broker.submit(ticket.clone()).await;
    assert!(matches!(answer, Err(BrokerError::Unknown(_))), "{answer:?}");
    let found = desk.filled(&ticket).await;
    assert_eq!(executed(&found), ticket.quantity.get());
    assert_eq!(desk.book().len(), 1);
    // One that the venue never took: nothing is said of it, and later it is not found.
    let ticket = desk.buy("0.01");
    desk.fail_orders(Action::Reset { when: venues::faults::When::Before });
    let answer = desk.broker.submit(ticket.clone()).await;
    assert!(matches!(answer, Err(BrokerError::Unknown(_))), "{answer:?}");
    assert_eq!(desk.look_up(&ticket).await.unwrap(), None);
    // Too many requests: not taken, and to be sent again after a while.
    desk.fail_orders(Action::Status {
        status: 429,
        retry_after_s: Some(1),
        when: venues::faults::When::Before,
    });
    let answer = desk.broker.submit(desk.buy("0.01")).await;
    assert!(matches!(answer, Err(BrokerError::NotReceived { .. })), "{answer:?}");
    assert_eq!(desk.book().len(), 1);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
}

async fn the_stream_comes_back(desk: &Desk) {
    desk.world().drop_streams(None);
    desk.resumed(2).await;
    desk.hears_of_a_fill("0.02").await;
}

/// What a venue refuses, in which of the standard codes.
pub(super) async fn refuses_in_standard_codes(place: Place, no_such: &str, too_small: &str) {
    let desk = Desk::listening(place).await;
    let (code, why) = desk.refusal(desk.buy("5")).await;
    assert_eq!(code, RefusalCode::InsufficientFunds, "{why}");
    assert!(why.contains("Nothing was bought or sold."), "{why}");
    let unknown = Ticket { symbol: no_such.parse().unwrap(), ..desk.buy("0.01") };
    assert_eq!(refused(desk.broker.submit(unknown).await).0, RefusalCode::InvalidSymbol);
    let (code, why) = refused(desk.broker.submit(desk.buy(too_small)).await);
    assert_eq!(code, RefusalCode::OrderRejected, "{why}");
    if place.deals_in_shares() {
        // It takes what cannot be paid for, and rejects it.
        assert_eq!(desk.book().iter().map(|order| order.status).collect::<Vec<_>>(), [Status::Rejected]);
    } else {
        assert_eq!(desk.book(), []);
    }
}

/// Credentials that can do more than trade, or less, are refused with the reason; wrong ones are.
pub(super) async fn tries_credentials_out(place: Place) {
    let desk = Desk::open(place).await;
    let good = KeyRights::default();
    let known_as = desk.probe(good).await.unwrap();
    assert!(!known_as.is_empty());
    let (_, why) = refused(desk.probe(KeyRights { withdraw: true, ..good }).await);
    assert!(why.contains("withdraw"), "{why}");
    let (_, why) = refused(desk.probe(KeyRights { trade: false, ..good }).await);
    assert!(why.contains("trade"), "{why}");
    let change = AccountChange { key: Some(good), revoked: Some(true), ..AccountChange::default() };
    desk.world().change_account(place.key.0, &change).unwrap();
    assert_eq!(refused(desk.broker.connect().await).0, RefusalCode::AuthFailed);
}
