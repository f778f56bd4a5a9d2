//! The Alpaca adapter against a venue that speaks Alpaca's protocol and fails when told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use secrecy::SecretString;
use serde_json::{Value, json};
use trade_actors::domain::calendar::MarketStatus;
use trade_actors::domain::ids::{ClientOrderId, ConnectionId, SignalId, UserId};
use trade_actors::domain::instrument::Symbol;
use trade_actors::domain::money::{Percent, Price, Quantity};
use trade_actors::domain::order::{Mode, Purpose, Ticket, TimeInForce};
use trade_actors::domain::report::{OrderReport, RefusalCode, ReportedState};
use trade_actors::domain::signal::{OrderKind, Origin, Side, Trail};
use trade_actors::domain::stages::Stamp;
use trade_actors::ports::broker::{Broker, BrokerError, IdScope, Told};
use trade_actors::ports::clock::{Clock, SystemClock};
use trade_actors::ports::store::StoreError;
use trade_executor::brokers::Secrets;
use trade_executor::brokers::alpaca::{Alpaca, AlpacaCredentials};
use trade_executor::config::AlpacaConfig;
use uuid::Uuid;
use venues::account::{AccountChange, AccountSpec};
use venues::book::{FillMode, Status};
use venues::clock::Hours;
use venues::faults::{Action, Rule, When};
use venues::feed;
use venues::streams::Channel;
use venues::world::{Options, World, truth};

use crate::support::{wait_for, wait_until};

const KEY: &str = "PKTEST";
const ORDERS: &str = "POST /v2/orders";

/// Credentials in memory.
#[derive(Debug, Default)]
struct Drawer(Mutex<BTreeMap<ConnectionId, (AlpacaCredentials, Mode)>>);

impl Secrets for Drawer {
    fn alpaca(
        &self,
        _: UserId,
        connection: ConnectionId,
    ) -> Result<Option<(AlpacaCredentials, Mode)>, StoreError> {
        Ok(self.0.lock().unwrap().get(&connection).cloned())
    }
}

fn keys(secret: &str) -> AlpacaCredentials {
    AlpacaCredentials::ApiKey {
        key_id: SecretString::from(KEY.to_owned()),
        secret: SecretString::from(secret.to_owned()),
    }
}

/// A clock that stands at one time of day, on a time line that goes on.
#[derive(Debug)]
struct Standing(DateTime<Utc>, SystemClock);

impl Clock for Standing {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }

    fn stamp(&self) -> Stamp {
        self.1.stamp()
    }
}

/// A venue, the adapter, and one account.
struct Desk {
    venue: venues::alpaca::Alpaca,
    alpaca: Alpaca,
    drawer: Arc<Drawer>,
    broker: Arc<dyn Broker>,
    told: Arc<Mutex<Vec<Told>>>,
    orders: Mutex<u16>,
}

fn user() -> UserId {
    UserId::new(Uuid::from_u128(1))
}

fn connection() -> ConnectionId {
    ConnectionId::new(Uuid::from_u128(2))
}

impl Desk {
    async fn open() -> Self {
        Self::with(Options::default(), |_| {}, Arc::new(SystemClock::new())).await
    }

    async fn with(options: Options, change: impl FnOnce(&mut AlpacaConfig), clock: Arc<dyn Clock>) -> Self {
        let spec = AccountSpec::new(KEY, "secret", Decimal::from(100_000)).with_token("token");
        let venue = venues::alpaca::Alpaca::start(Options { accounts: vec![spec], ..options }).await.unwrap();
        venue.world().set_price(&feed::Price::flat("AAPL", Decimal::from(190)));
        let drawer = Arc::new(Drawer::default());
        drawer.0.lock().unwrap().insert(connection(), (keys("secret"), Mode::Paper));
        let alpaca = adapter(&venue, change, &drawer, clock);
        let broker = alpaca.account(user(), connection());
        Self { venue, alpaca, drawer, broker, told: Arc::default(), orders: Mutex::default() }
    }

    fn world(&self) -> &World {
        self.venue.world()
    }

    /// Forgets all that the adapter learned, as after a start.
    fn restart(&mut self) {
        self.alpaca = adapter(&self.venue, |_| {}, &self.drawer, Arc::new(SystemClock::new()));
        self.broker = self.alpaca.account(user(), connection());
    }

    fn ticket(&self, side: Side, units: &str, kind: OrderKind) -> Ticket {
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

    fn buy(&self, units: &str) -> Ticket {
        self.ticket(Side::Buy, units, OrderKind::Market)
    }

    /// Starts listening, and waits until the venue knows.
    async fn listen(&self) {
        let told = Arc::clone(&self.told);
        self.broker.stream(Box::new(move |news| told.lock().unwrap().push(news)));
        wait_until("the stream to be open", || async {
            self.world().listening(Some(KEY), Channel::Orders) > 0 && self.resumed() > 0
        })
        .await;
    }

    fn resumed(&self) -> usize {
        self.told.lock().unwrap().iter().filter(|told| matches!(told, Told::Resumed)).count()
    }

    fn reports(&self, order: ClientOrderId) -> Vec<OrderReport> {
        let told = self.told.lock().unwrap();
        let reports = told.iter().filter_map(|told| match told {
            Told::Report(report) => Some(OrderReport::clone(report)),
            Told::Resumed => None,
        });
        reports.filter(|report| report.order == order).collect()
    }

    async fn reported(&self, order: ClientOrderId, state: &ReportedState) -> OrderReport {
        wait_for("a report", || async {
            self.reports(order).into_iter().find(|report| report.state == *state)
        })
        .await
    }

    async fn looked_up(&self, order: ClientOrderId) -> OrderReport {
        self.broker.order(order).await.unwrap().unwrap()
    }

    /// What the venue knows of an order.
    fn truth(&self, order: ClientOrderId) -> Value {
        truth(&self.world().order(KEY, &order.to_string()).unwrap())
    }

    /// Buys, so that there is something to sell.
    async fn hold(&self, units: &str) {
        let bought = self.broker.submit(self.buy(units)).await.unwrap();
        wait_until("the entry to be filled", || async {
            self.looked_up(bought.order).await.state == ReportedState::Filled
        })
        .await;
    }

    fn fail(&self, route: &str, action: Action, times: u32) {
        self.world().add_fault(Rule::on(route, action).times(times));
    }

    fn requests(&self, method: &str, path: &str) -> usize {
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

fn adapter(
    venue: &venues::alpaca::Alpaca,
    change: impl FnOnce(&mut AlpacaConfig),
    drawer: &Arc<Drawer>,
    clock: Arc<dyn Clock>,
) -> Alpaca {
    let url = venue.urls().url;
    let mut config = AlpacaConfig {
        live_url: url.clone(),
        paper_url: url.clone(),
        data_url: url.clone(),
        data_stream_url: url.replace("http://", "ws://"),
        timeout_ms: 2_000,
        ..AlpacaConfig::default()
    };
    change(&mut config);
    Alpaca::new(&config, Arc::clone(drawer) as Arc<dyn Secrets>, clock).unwrap()
}

fn symbol(name: &str) -> Symbol {
    name.parse().unwrap()
}

fn price(text: &str) -> Price {
    Price::new(text.parse().unwrap()).unwrap()
}

fn limit(text: &str) -> OrderKind {
    OrderKind::Limit { limit: price(text) }
}

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn done(report: &OrderReport) -> (String, String) {
    let done = report.done.unwrap();
    (done.quantity.to_string(), done.price.unwrap().to_string())
}

fn sums(quantity: &str, price: &str) -> (String, String) {
    (quantity.to_owned(), price.to_owned())
}

fn unknown<T: std::fmt::Debug>(answer: Result<T, BrokerError>) -> String {
    match answer {
        Err(BrokerError::Unknown(why)) => why,
        other => panic!("{other:?}"),
    }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, BrokerError>) -> (RefusalCode, String) {
    match answer {
        Err(BrokerError::Refused(refusal)) => (refusal.code, refusal.message),
        other => panic!("{other:?}"),
    }
}

fn not_received<T: std::fmt::Debug>(answer: Result<T, BrokerError>) -> Duration {
    match answer {
        Err(BrokerError::NotReceived { retry_after }) => retry_after,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_tells_balance_mode_and_promises() {
    let desk = Desk::open().await;
    let balance = desk.broker.connect().await.unwrap();
    assert_eq!((balance.cash.get(), balance.equity.get()), (dec("100000"), dec("100000")));
    assert_eq!(balance.buying_power.get(), dec("200000"));
    assert_eq!((desk.broker.name(), desk.broker.mode()), ("alpaca", Mode::Paper));
    let promises = desk.broker.promises();
    assert_eq!((promises.shows_orders_at_once, promises.ids), (false, IdScope::Forever));
}

#[tokio::test(flavor = "multi_thread")]
async fn buying_power_is_told_before_what_our_open_orders_hold() {
    let desk = Desk::open().await;
    desk.broker.submit(desk.ticket(Side::Buy, "10", limit("100"))).await.unwrap();
    assert_eq!(desk.broker.balance().await.unwrap().buying_power.get(), dec("200000"));
    // Also after a start, when only the venue knows of them.
    let mut desk = desk;
    desk.restart();
    assert_eq!(desk.broker.connect().await.unwrap().buying_power.get(), dec("200000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_order_is_taken_as_it_is() {
    let desk = Desk::open().await;
    desk.hold("100").await;
    desk.world().set_fill_mode(None, FillMode::Manual);
    let buys = [
        (limit("150"), json!({"limit_price": "150", "stop_price": null})),
        (OrderKind::Stop { trigger: price("250") }, json!({"limit_price": null, "stop_price": "250"})),
        (
            OrderKind::StopLimit { trigger: price("250"), limit: price("251.5") },
            json!({"limit_price": "251.5", "stop_price": "250"}),
        ),
        (OrderKind::Market, json!({"limit_price": null, "stop_price": null})),
    ];
    for (kind, wanted) in buys {
        let ticket = Ticket { time_in_force: TimeInForce::Gtc, ..desk.ticket(Side::Buy, "3", kind) };
        let report = desk.broker.submit(ticket.clone()).await.unwrap();
        assert_eq!((report.order, report.state.clone()), (ticket.id, ReportedState::Open), "{kind:?}");
        let seen = desk.truth(ticket.id);
        assert_eq!(
            (&seen["limit_price"], &seen["stop_price"]),
            (&wanted["limit_price"], &wanted["stop_price"])
        );
        assert_eq!((&seen["tif"], &seen["qty"], &seen["side"]), (&json!("gtc"), &json!("3"), &json!("buy")));
        desk.broker.cancel(ticket.id, Some(report.broker_order)).await.unwrap();
    }
    for trail in [Trail::Amount(price("2")), Trail::Percent(Percent::new(dec("1.5")))] {
        let ticket = desk.ticket(Side::Sell, "3", OrderKind::TrailingStop { trail });
        desk.broker.submit(ticket.clone()).await.unwrap();
        assert_eq!(desk.truth(ticket.id)["status"], "new", "{trail:?}");
        desk.broker.cancel(ticket.id, None).await.unwrap();
    }
    let fraction =
        Ticket { time_in_force: TimeInForce::Gtc, ..desk.ticket(Side::Buy, "0.5", OrderKind::Market) };
    desk.broker.submit(fraction.clone()).await.unwrap();
    assert_eq!(
        (&desk.truth(fraction.id)["tif"], &desk.truth(fraction.id)["qty"]),
        (&json!("day"), &json!("0.5"))
    );
    let early = Ticket { extended_hours: true, ..desk.ticket(Side::Buy, "1", limit("150")) };
    desk.broker.submit(early.clone()).await.unwrap();
    assert!(desk.world().order(KEY, &early.id.to_string()).unwrap().ticket.extended_hours);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_tells_every_execution_and_the_sum() {
    for text_frames in [false, true] {
        let options = Options { text_frames, ..Options::default() };
        let desk = Desk::with(options, |_| {}, Arc::new(SystemClock::new())).await;
        desk.world().set_fill_mode(None, FillMode::Manual);
        desk.listen().await;
        let ticket = desk.buy("10");
        desk.broker.submit(ticket.clone()).await.unwrap();
        let order = desk.world().order(KEY, &ticket.id.to_string()).unwrap();
        desk.world().fill(order.id, Some(dec("4")), dec("190")).unwrap();
        desk.world().fill(order.id, Some(dec("6")), dec("191")).unwrap();
        let filled = desk.reported(ticket.id, &ReportedState::Filled).await;
        assert_eq!(done(&filled), sums("10", "190.6"));
        let fills: Vec<_> = desk
            .reports(ticket.id)
            .into_iter()
            .flat_map(|report| report.fills)
            .map(|fill| (fill.quantity.to_string(), fill.price.to_string()))
            .collect();
        assert_eq!(fills, [sums("4", "190"), sums("6", "191")]);
        let looked_up = desk.looked_up(ticket.id).await;
        assert_eq!((looked_up.state.clone(), done(&looked_up)), (ReportedState::Filled, sums("10", "190.6")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_works_by_either_id_and_a_late_one_is_no_error() {
    let desk = Desk::open().await;
    desk.listen().await;
    let known = desk.broker.submit(desk.ticket(Side::Buy, "1", limit("100"))).await.unwrap();
    desk.broker.cancel(known.order, Some(known.broker_order.clone())).await.unwrap();
    desk.reported(known.order, &ReportedState::Canceled).await;
    desk.broker.cancel(known.order, Some(known.broker_order)).await.unwrap();

    let mut desk = desk;
    let other = desk.broker.submit(desk.ticket(Side::Buy, "1", limit("100"))).await.unwrap();
    desk.restart();
    desk.broker.cancel(other.order, None).await.unwrap();
    assert_eq!(desk.looked_up(other.order).await.state, ReportedState::Canceled);

    let filled = desk.broker.submit(desk.buy("1")).await.unwrap();
    desk.broker.cancel(filled.order, Some(filled.broker_order)).await.unwrap();
    assert_eq!(desk.looked_up(filled.order).await.state, ReportedState::Filled);
    unknown(desk.broker.cancel(desk.buy("1").id, None).await);
}

fn pair() -> OrderKind {
    OrderKind::Oco { limit: price("200"), trigger: price("185") }
}

#[tokio::test(flavor = "multi_thread")]
async fn either_leg_of_a_pair_fills_the_order() {
    for (last, average) in [("201", "201"), ("184", "184")] {
        let desk = Desk::open().await;
        desk.hold("10").await;
        desk.listen().await;
        let ticket = desk.ticket(Side::Sell, "10", pair());
        let report = desk.broker.submit(ticket.clone()).await.unwrap();
        assert_eq!((report.state, report.done), (ReportedState::Open, None));
        desk.world().set_price(&feed::Price::flat("AAPL", dec(last)));
        let filled = desk.reported(ticket.id, &ReportedState::Filled).await;
        assert_eq!(done(&filled), sums("10", average));
        let looked_up = desk.looked_up(ticket.id).await;
        assert_eq!((looked_up.state.clone(), done(&looked_up)), (ReportedState::Filled, sums("10", average)));
        let fills: Vec<_> = desk.reports(ticket.id).into_iter().flat_map(|report| report.fills).collect();
        assert_eq!(fills.len(), 1, "{last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_fills_by_both_legs_is_one_order_even_after_a_start() {
    let mut desk = Desk::open().await;
    desk.hold("10").await;
    desk.world().set_fill_mode(None, FillMode::Manual);
    desk.listen().await;
    let ticket = desk.ticket(Side::Sell, "10", pair());
    desk.broker.submit(ticket.clone()).await.unwrap();
    let parent = desk.world().order(KEY, &ticket.id.to_string()).unwrap();
    desk.world().fill(parent.id, Some(dec("4")), dec("200")).unwrap();
    wait_until("the first part", || async {
        desk.reports(ticket.id).last().is_some_and(|report| report.done.is_some())
    })
    .await;
    let part = desk.looked_up(ticket.id).await;
    assert_eq!((part.state.clone(), done(&part)), (ReportedState::Open, sums("4", "200")));
    desk.restart();
    let part = desk.looked_up(ticket.id).await;
    assert_eq!((part.state.clone(), done(&part)), (ReportedState::Open, sums("4", "200")));
    // The stop takes the rest, as the adapter that just started hears.
    desk.told.lock().unwrap().clear();
    desk.listen().await;
    desk.world().set_price(&feed::Price::flat("AAPL", dec("184")));
    let stop = desk.world().order(KEY, &ticket.id.to_string()).unwrap().legs[0];
    desk.world().fill(stop, None, dec("184")).unwrap();
    let filled = desk.reported(ticket.id, &ReportedState::Filled).await;
    assert_eq!(done(&filled), sums("10", "190.4"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_pair_has_no_leg_left() {
    let desk = Desk::open().await;
    desk.hold("10").await;
    desk.listen().await;
    let ticket = desk.ticket(Side::Sell, "10", pair());
    let report = desk.broker.submit(ticket.clone()).await.unwrap();
    assert_eq!(desk.broker.open_orders().await.unwrap().len(), 1);
    desk.broker.cancel(ticket.id, Some(report.broker_order)).await.unwrap();
    desk.reported(ticket.id, &ReportedState::Canceled).await;
    assert_eq!(desk.broker.open_orders().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_cut_is_opened_again_and_says_so() {
    let desk = Desk::open().await;
    desk.world().set_fill_mode(None, FillMode::Manual);
    desk.listen().await;
    let ticket = desk.buy("10");
    desk.broker.submit(ticket.clone()).await.unwrap();
    desk.world().refuse_streams(1_500);
    assert_eq!(desk.world().drop_streams(None), 1);
    // Nobody hears of this.
    let order = desk.world().order(KEY, &ticket.id.to_string()).unwrap();
    desk.world().fill(order.id, None, dec("190")).unwrap();
    wait_until("the stream to be open again", || async { desk.resumed() == 2 }).await;
    assert!(desk.reports(ticket.id).iter().all(|report| report.done.is_none()));
    assert_eq!(done(&desk.looked_up(ticket.id).await), sums("10", "190"));
    // And it tells again.
    let next = desk.buy("1");
    desk.broker.submit(next.clone()).await.unwrap();
    let order = desk.world().order(KEY, &next.id.to_string()).unwrap();
    desk.world().fill(order.id, None, dec("190")).unwrap();
    desk.reported(next.id, &ReportedState::Filled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_dropped_stops_listening() {
    let mut desk = Desk::open().await;
    desk.listen().await;
    desk.restart();
    wait_until("the stream to be closed", || async { desk.world().listening(None, Channel::Orders) == 0 })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_refusal_has_its_code() {
    let desk = Desk::open().await;
    use RefusalCode as C;
    let cases = [
        (403, 40_310_000, "insufficient buying power", C::InsufficientFunds),
        (
            403,
            40_310_000,
            "insufficient qty available for order (requested: 1, available: 0)",
            C::InsufficientFunds,
        ),
        (403, 40_310_000, "potential wash trade detected. use complex orders", C::OrderRejected),
        (403, 40_310_100, "trade denied due to pattern day trading protection", C::OrderRejected),
        (403, 40_310_000, "account not authorized to trade", C::AuthFailed),
        (401, 40_110_000, "request is not authorized", C::AuthFailed),
        (422, 40_010_001, "could not find us_equity 'NOPE'", C::InvalidSymbol),
        (422, 42_210_000, "asset NOPE is not active", C::InvalidSymbol),
        (404, 40_410_000, "asset not found for NOPE", C::InvalidSymbol),
        (422, 42_210_000, "fractional orders must be DAY orders", C::OrderRejected),
        (400, 40_010_000, "request body format is invalid", C::OrderRejected),
    ];
    for (status, code, message, wanted) in cases {
        desk.fail(ORDERS, Action::Refuse { status, code, message: message.to_owned() }, 1);
        let (code, text) = refused(desk.broker.submit(desk.buy("1")).await);
        assert_eq!(code, wanted, "{message}");
        assert!(text.contains("Nothing was bought or sold") || text.contains("nothing was sent"), "{text}");
    }
    // The venue's own: it is asked for more than there is, and for what it does not list.
    let (code, _) = refused(desk.broker.submit(desk.buy("100000")).await);
    assert_eq!(code, C::InsufficientFunds);
    let (code, _) = refused(desk.broker.submit(Ticket { symbol: symbol("NOPE"), ..desk.buy("1") }).await);
    assert_eq!(code, C::InvalidSymbol);
    assert_eq!(desk.world().orders(Some(KEY)).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_were_not_received_and_nothing_is_asked_before_the_time_is_up() {
    let desk = Desk::open().await;
    let slow = Action::Status { status: 429, when: When::Before, retry_after_s: Some(7) };
    desk.fail(ORDERS, slow, 1);
    assert_eq!(not_received(desk.broker.submit(desk.buy("1")).await), Duration::from_secs(7));
    let before = desk.world().rate(KEY).total;
    let started = Instant::now();
    let wait = not_received(desk.broker.submit(desk.buy("1")).await);
    assert!(started.elapsed() < Duration::from_secs(1) && wait > Duration::from_secs(5), "{wait:?}");
    assert_eq!(desk.world().rate(KEY).total, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_may_have_been_taken_is_unknown_and_found_by_a_look_up() {
    let desk = Desk::open().await;
    let after = When::After;
    let faults = [
        Action::status_after(503),
        Action::status_after(500),
        Action::status_after(504),
        Action::status_after(408),
        Action::Reset { when: after },
        Action::Silence { when: after },
        Action::Garble,
    ];
    for fault in faults {
        desk.fail(ORDERS, fault.clone(), 1);
        let ticket = desk.buy("1");
        unknown(desk.broker.submit(ticket.clone()).await);
        assert_eq!(desk.looked_up(ticket.id).await.state, ReportedState::Filled, "{fault:?}");
        desk.world().clear_faults();
    }
    assert_eq!(desk.world().orders(Some(KEY)).len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_may_not_have_been_taken_is_unknown_too_and_not_found() {
    let desk = Desk::open().await;
    let before = When::Before;
    for fault in [Action::status(502), Action::Reset { when: before }, Action::Silence { when: before }] {
        desk.fail(ORDERS, fault, 1);
        let ticket = desk.buy("1");
        unknown(desk.broker.submit(ticket.clone()).await);
        assert_eq!(desk.broker.order(ticket.id).await.unwrap(), None);
        desk.world().clear_faults();
    }
    // A failed look-up says nothing.
    desk.fail("GET *", Action::status(503), 1);
    unknown(desk.broker.order(desk.buy("1").id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_venue_that_cannot_be_reached_received_nothing() {
    let venue = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", venue.local_addr().unwrap());
    drop(venue);
    let desk =
        Desk::with(Options::default(), |config| config.paper_url = url, Arc::new(SystemClock::new())).await;
    not_received(desk.broker.submit(desk.buy("1")).await);
    not_received(desk.broker.connect().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_again_is_the_same_order() {
    let desk = Desk::open().await;
    let ticket = desk.ticket(Side::Buy, "5", limit("100"));
    let first = desk.broker.submit(ticket.clone()).await.unwrap();
    assert_eq!(desk.broker.submit(ticket.clone()).await.unwrap(), first);
    // Also when it has ended.
    desk.broker.cancel(ticket.id, None).await.unwrap();
    assert_eq!(desk.broker.submit(ticket.clone()).await.unwrap().state, ReportedState::Canceled);
    assert_eq!(desk.world().orders(Some(KEY)).len(), 1);
    // It is said to exist and does not show: that proves nothing.
    desk.fail(ORDERS, Action::Duplicate, 1);
    unknown(desk.broker.submit(desk.buy("1")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_half_of_the_allowance_is_used() {
    let desk = Arc::new(Desk::open().await);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let desk = Arc::clone(&desk);
        asking.spawn(async move { desk.broker.positions().await });
    }
    let (mut answered, mut told_to_wait) = (0, 0);
    while let Some(answer) = asking.join_next().await {
        match answer.unwrap() {
            Ok(_) => answered += 1,
            Err(BrokerError::NotReceived { .. }) => told_to_wait += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    // Fifteen at once, 79 a minute from then on, for as long as a request waits; five are kept.
    assert!((15..=25).contains(&answered), "{answered}");
    assert_eq!(answered + told_to_wait, 60);
    desk.broker.order(desk.buy("1").id).await.unwrap();
    assert!(desk.world().rate(KEY).most_per_minute < 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_refused_missing_or_new_are_told_apart() {
    let desk = Desk::open().await;
    desk.world()
        .change_account(KEY, &AccountChange { secret: Some("new".into()), ..Default::default() })
        .unwrap();
    let (code, text) = refused(desk.broker.connect().await);
    assert_eq!(code, RefusalCode::AuthFailed);
    assert!(text.contains("Connect the account again"), "{text}");
    // What the user gave instead is used without a start.
    desk.drawer.0.lock().unwrap().insert(connection(), (keys("new"), Mode::Paper));
    desk.broker.connect().await.unwrap();
    let token = AlpacaCredentials::OAuth { access_token: SecretString::from("token".to_owned()) };
    desk.drawer.0.lock().unwrap().insert(connection(), (token, Mode::Live));
    desk.alpaca.renew(connection());
    desk.broker.connect().await.unwrap();
    assert_eq!(desk.broker.mode(), Mode::Live);
    desk.listen().await;

    let nobody = desk.alpaca.account(user(), ConnectionId::new(Uuid::from_u128(9)));
    let (code, text) = refused(nobody.submit(desk.buy("1")).await);
    assert_eq!(code, RefusalCode::AuthFailed);
    assert!(text.starts_with("The credentials of this Alpaca account are missing."), "{text}");
    refused(nobody.connect().await);
    assert_eq!(desk.requests("POST", "/v2/orders"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_tried_out_before_they_are_kept() {
    let desk = Desk::open().await;
    let probe = desk.alpaca.probe(keys("secret"), Mode::Paper).await.unwrap();
    assert!(probe.account_number.starts_with("PA"));
    assert_eq!(probe.balance.cash.get(), dec("100000"));
    let (code, _) = refused(desk.alpaca.probe(keys("wrong"), Mode::Paper).await);
    assert_eq!(code, RefusalCode::AuthFailed);
    for change in [
        AccountChange { trading_blocked: Some(true), ..Default::default() },
        AccountChange { trade_suspended_by_user: Some(true), ..Default::default() },
        AccountChange { account_blocked: Some(true), ..Default::default() },
        AccountChange { status: Some("ACCOUNT_CLOSED".into()), ..Default::default() },
    ] {
        desk.world().change_account(KEY, &change).unwrap();
        refused(desk.alpaca.probe(keys("secret"), Mode::Paper).await);
        refused(desk.broker.connect().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn open_orders_are_ours_and_all_of_them() {
    let generous = |config: &mut AlpacaConfig| config.requests_per_minute = 10_000;
    let options = Options { per_minute: None, ..Options::default() };
    let desk = Desk::with(options, generous, Arc::new(SystemClock::new())).await;
    desk.world().set_fill_mode(None, FillMode::Manual);
    for _ in 0..505 {
        desk.broker.submit(desk.ticket(Side::Buy, "1", limit("1"))).await.unwrap();
    }
    let by_hand = json!({"symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit", "limit_price": "1",
        "time_in_force": "day"});
    let url = format!("{}/v2/orders", desk.venue.urls().url);
    let request = reqwest::Client::new().post(url).json(&by_hand);
    let placed = request.header("apca-api-key-id", KEY).header("apca-api-secret-key", "secret").send().await;
    assert_eq!(placed.unwrap().status(), 200);
    assert_eq!(desk.broker.open_orders().await.unwrap().len(), 505);
    assert_eq!(desk.world().orders(Some(KEY)).len(), 506);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_ends_at_the_venue_ends_here() {
    let desk = Desk::open().await;
    desk.world().set_fill_mode(None, FillMode::Manual);
    desk.listen().await;
    for (status, state) in
        [(Status::Expired, ReportedState::Expired), (Status::Canceled, ReportedState::Canceled)]
    {
        let ticket = desk.buy("10");
        desk.broker.submit(ticket.clone()).await.unwrap();
        let order = desk.world().order(KEY, &ticket.id.to_string()).unwrap();
        desk.world().fill(order.id, Some(dec("3")), dec("190")).unwrap();
        desk.world().end(order.id, status).unwrap();
        let ended = desk.reported(ticket.id, &state).await;
        assert_eq!(done(&ended), sums("3", "190"));
    }
    let ticket = desk.buy("10");
    desk.broker.submit(ticket.clone()).await.unwrap();
    let order = desk.world().order(KEY, &ticket.id.to_string()).unwrap();
    desk.world().end(order.id, Status::Rejected).unwrap();
    let rejected = wait_for("the rejection", || async {
        desk.reports(ticket.id).into_iter().find_map(|report| match report.state {
            ReportedState::Rejected(refusal) => Some(refusal),
            _ => None,
        })
    })
    .await;
    assert_eq!(rejected.code, RefusalCode::OrderRejected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_replaced_by_hand_is_followed() {
    let mut desk = Desk::open().await;
    desk.world().set_fill_mode(None, FillMode::Manual);
    desk.listen().await;
    let ticket = desk.ticket(Side::Buy, "10", limit("100"));
    let report = desk.broker.submit(ticket.clone()).await.unwrap();
    let url = format!("{}/v2/orders/{}", desk.venue.urls().url, report.broker_order);
    let request = reqwest::Client::new().patch(url).json(&json!({"limit_price": "101"}));
    let replaced =
        request.header("apca-api-key-id", KEY).header("apca-api-secret-key", "secret").send().await;
    assert_eq!(replaced.unwrap().status(), 200);
    assert_eq!(desk.looked_up(ticket.id).await.state, ReportedState::Open);
    desk.restart();
    assert_eq!(desk.looked_up(ticket.id).await.state, ReportedState::Open);
    desk.broker.cancel(ticket.id, Some(report.broker_order)).await.unwrap();
    assert_eq!(desk.looked_up(ticket.id).await.state, ReportedState::Canceled);
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_are_alpaca_s() {
    let desk = Desk::open().await;
    assert_eq!(desk.broker.positions().await.unwrap(), []);
    desk.hold("10").await;
    let positions = desk.broker.positions().await.unwrap();
    assert_eq!(positions.len(), 1);
    assert_eq!((positions[0].net.get(), positions[0].cost.get()), (dec("10"), dec("1900")));
    desk.fail("GET /v2/positions", Action::status(500), 1);
    unknown(desk.broker.positions().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_are_asked_for_and_streamed_when_watched() {
    let desk = Desk::open().await;
    let market = desk.alpaca.market();
    let mut feed = desk.alpaca.feed();
    assert_eq!(market.instrument(symbol("AAPL")), None, "nobody is connected");
    let quote = desk.broker.quote(symbol("AAPL")).await.unwrap().unwrap();
    assert_eq!((quote.bid, quote.price, quote.ask), (price("190"), price("190"), price("190")));
    assert_eq!(desk.broker.quote(symbol("BTC/USDT")).await.unwrap(), None);
    desk.broker.connect().await.unwrap();
    let rules = market.instrument(symbol("AAPL")).unwrap();
    assert!(rules.tradable && market.instruments().contains(&rules));
    market.watch(symbol("AAPL"));
    wait_until("the price", || async { market.quote(symbol("AAPL")).is_some() }).await;
    assert_eq!(feed.venue(), "alpaca");
    let first = feed.next().await;
    assert_eq!((first.len(), first[0].price), (1, price("190")));
    wait_until("the stream", || async { desk.world().listening(Some(KEY), Channel::Prices) > 0 }).await;
    for last in ["191", "192", "193.5"] {
        desk.world().set_price(&feed::Price::flat("AAPL", dec(last)));
    }
    wait_until("the last price", || async {
        market.quote(symbol("AAPL")).is_some_and(|quote| quote.price == price("193.5"))
    })
    .await;
    let mut told = Vec::new();
    while told.last() != Some(&price("193.5")) {
        told.extend(feed.next().await.iter().map(|quote| quote.price));
    }
    assert!(told.len() <= 3, "{told:?}");
    // Below a dollar the steps are finer.
    desk.world().set_price(&feed::Price::flat("AAPL", dec("0.5")));
    wait_until("the finer step", || async {
        market.instrument(symbol("AAPL")).is_some_and(|rules| rules.tick == price("0.0001"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prices_beyond_what_is_streamed_are_asked_for() {
    let options = Options { per_minute: None, ..Options::default() };
    let desk = Desk::with(options, |_| {}, Arc::new(SystemClock::new())).await;
    let names: Vec<_> = (0..40_u8)
        .map(|nth| format!("S{}{}", char::from(b'A' + nth / 26), char::from(b'A' + nth % 26)))
        .collect();
    for name in &names {
        desk.world().set_price(&feed::Price::flat(name, dec("10")));
    }
    desk.broker.connect().await.unwrap();
    let market = desk.alpaca.market();
    for name in &names {
        market.watch(symbol(name));
    }
    wait_until("the stream", || async { desk.world().listening(Some(KEY), Channel::Prices) > 0 }).await;
    for name in &names {
        desk.world().set_price(&feed::Price::flat(name, dec("11")));
    }
    wait_until("all new prices", || async {
        names.iter().all(|name| market.quote(symbol(name)).is_some_and(|quote| quote.price == price("11")))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_are_the_venue_s() {
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    // The day after Thanksgiving is short.
    let now = at("2025-11-28T19:00:00Z");
    let clock = Arc::new(Standing(now, SystemClock::new()));
    let desk = Desk::with(Options::default(), |_| {}, clock).await;
    desk.world().set_hours(Hours::Nyse);
    desk.world().set_now(now);
    desk.broker.connect().await.unwrap();
    let market = desk.alpaca.market();
    let rules = market.instrument(symbol("AAPL")).unwrap();
    let opens_at = at("2025-12-01T14:30:00Z");
    wait_until("the calendar", || async {
        market.status(&rules, now) == MarketStatus::Extended { opens_at }
    })
    .await;
    assert_eq!(market.status(&rules, at("2025-11-28T17:59:00Z")), MarketStatus::Open);
    assert_eq!(market.status(&rules, at("2025-11-30T17:59:00Z")), MarketStatus::Closed { opens_at });
}
