//! Interactive Brokers: a gateway on this machine that a person logs in to, asked no more often than it allows.

use rust_decimal::Decimal;
use serde_json::{Value, json};
use trade_actors::domain::instrument::Symbol;
use trade_actors::domain::money::Quantity;
use trade_actors::domain::order::{Mode, Ticket, TimeInForce};
use trade_actors::domain::report::{OrderReport, RefusalCode, ReportedState};
use trade_actors::domain::signal::{OrderKind, Side, Trail};
use trade_actors::ports::broker::{BrokerError, IdScope, Placed};
use trade_actors::ports::clock::{Clock, SystemClock};
use trade_executor::brokers::credentials::Auth;
use venues::account::AccountSpec;
use venues::faults::{Action, Rule, When};
use venues::feed;

use super::desk::{Desk, dec, placed, price, refused};
use super::place::{Place, url};
use super::twelve::Person;
use crate::support::{TestApp, wait_for, wait_until};

pub(crate) const PLACE: Place = Place {
    name: "ibkr",
    mode: Mode::Paper,
    money: "USD",
    coin: "AAPL",
    per_coin: 1,
    key: ("DU1234567", ""),
    lead: |urls, config| {
        let url = url(urls, "url");
        (config.ibkr.live_url, config.ibkr.paper_url) = (url.clone(), url);
    },
    orders: "POST /v1/api/iserver/account/*/orders",
};

fn account(number: &str) -> Auth {
    Auth::Account { account: number.into() }
}

/// A gateway of an account of 100,000 dollars; AAPL is at 190.51.
async fn desk() -> Desk {
    let spec = AccountSpec::new(PLACE.key.0, PLACE.key.1, Decimal::from(100_000));
    let mut price = feed::Price::spread("AAPL", dec("190.50"), dec("190.52"));
    price.last = Some(dec("190.51"));
    Desk::with(PLACE, spec, account(PLACE.key.0), &price).await
}

async fn listening() -> Desk {
    let desk = desk().await;
    desk.listen().await;
    desk
}

/// Does to the gateway what is its own: a person's log-in, questions.
async fn manage(desk: &Desk, path: &str, body: Value) {
    let url = format!("{}/ibkr/{path}", desk.venue.url("admin_url"));
    let answer = reqwest::Client::new().post(url).json(&body).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
}

fn gateway(what: &str) -> String {
    format!("gateways/{}/{what}", PLACE.key.0)
}

/// What the engine knows of an order that was answered.
fn known(ticket: &Ticket, report: &OrderReport) -> Placed {
    Placed { known_as: Some(report.broker_order.clone()), ..placed(ticket) }
}

fn limit(desk: &Desk, side: Side, at: &str) -> Ticket {
    desk.ticket(side, "10", OrderKind::Limit { limit: price(at) })
}

#[tokio::test(flavor = "multi_thread")]
async fn it_trades_and_tells_each_execution_once() {
    let desk = listening().await;
    let balance = desk.broker.balance().await.unwrap();
    assert_eq!((balance.cash.get(), balance.equity.get()), (dec("100000"), dec("100000")));
    assert_eq!(desk.broker.positions().await.unwrap(), []);
    let bought = desk.buy("10");
    let answer = desk.broker.submit(bought.clone()).await.unwrap();
    let told = desk.reported(&bought, &ReportedState::Filled).await;
    let fee: Decimal = told.fills.iter().map(|fill| fill.fee.get()).sum();
    assert_eq!((told.done.unwrap().quantity.get(), fee), (dec("10"), dec("1")));
    let found = desk.broker.order(known(&bought, &answer)).await.unwrap().unwrap();
    assert_eq!((found.state, found.done.unwrap().quantity.get()), (ReportedState::Filled, dec("10")));
    let positions = desk.broker.positions().await.unwrap();
    assert_eq!((positions.len(), positions[0].net.get()), (1, dec("10")));
    assert_eq!(positions[0].cost.get(), dec("1905.2"));
    let sold = desk.ticket(Side::Sell, "10", OrderKind::Market);
    desk.broker.submit(sold.clone()).await.unwrap();
    desk.reported(&sold, &ReportedState::Filled).await;
    assert_eq!(desk.held(), Decimal::ZERO);
    assert_eq!(desk.broker.positions().await.unwrap(), []);
    // The stream is cut, comes back, and has missed nothing.
    let before = desk.resumptions();
    desk.world().drop_streams(None);
    let meanwhile = desk.buy("20");
    desk.broker.submit(meanwhile.clone()).await.unwrap();
    desk.resumed(before + 1).await;
    desk.reported(&meanwhile, &ReportedState::Filled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_held_there() {
    let desk = listening().await;
    desk.broker.submit(desk.buy("10")).await.unwrap();
    let (trigger, worst) = (price("150"), price("149"));
    let per_cent = trade_actors::domain::money::Percent::new(dec("5"));
    for (kind, side) in [
        (OrderKind::Limit { limit: price("150") }, Side::Buy),
        (OrderKind::Limit { limit: price("250") }, Side::Sell),
        (OrderKind::Stop { trigger }, Side::Sell),
        (OrderKind::StopLimit { trigger, limit: worst }, Side::Sell),
        (OrderKind::TrailingStop { trail: Trail::Percent(per_cent) }, Side::Sell),
        (OrderKind::TrailingStop { trail: Trail::Amount(price("3")) }, Side::Sell),
    ] {
        let ticket = desk.ticket(side, "10", kind);
        assert!(desk.broker.holds(ticket.symbol, kind, ticket.quantity));
        let answer = desk.broker.submit(ticket.clone()).await.unwrap();
        let found = desk.broker.order(known(&ticket, &answer)).await.unwrap().unwrap();
        assert_eq!(found.state, ReportedState::Open, "{kind:?}");
        desk.broker.cancel(known(&ticket, &answer)).await.unwrap();
        desk.reported(&ticket, &ReportedState::Canceled).await;
        // Once more is no error: it has ended.
        desk.broker.cancel(known(&ticket, &answer)).await.unwrap();
    }
    let before = desk.book().len();
    let ticket = desk.buy("10");
    let at_once = Ticket { time_in_force: TimeInForce::Fok, ..ticket.clone() };
    let half = Ticket { quantity: Quantity::new(dec("0.5")).unwrap(), ..ticket };
    for ticket in [at_once, half] {
        let (_, why) = refused(desk.broker.submit(ticket).await);
        assert!(why.contains("Nothing was sent."), "{why}");
    }
    assert_eq!(desk.book().len(), before);
}

/// A program that was started anew finds its orders by their ids, in the slow lists.
#[tokio::test(flavor = "multi_thread")]
async fn orders_are_found_by_our_ids() {
    let mut desk = listening().await;
    let ticket = limit(&desk, Side::Buy, "180");
    let answer = desk.broker.submit(ticket.clone()).await.unwrap();
    desk.restart();
    let open = desk.broker.open_orders().await.unwrap();
    assert_eq!(open.iter().map(|report| report.order).collect::<Vec<_>>(), [ticket.id]);
    assert_eq!(open[0].broker_order, answer.broker_order);
    desk.cancel(&ticket).await.unwrap();
    let found = desk.look_up(&ticket).await.unwrap().unwrap();
    assert_eq!(found.state, ReportedState::Canceled);
    assert_eq!(desk.look_up(&desk.buy("10")).await.unwrap(), None, "it was never sent");
    desk.cancel(&desk.buy("10")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_is_found_and_never_a_second_order() {
    let desk = listening().await;
    assert_eq!(desk.broker.promises().ids, IdScope::Forever);
    let ticket = limit(&desk, Side::Buy, "189");
    desk.fail_orders(Action::Reset { when: When::After });
    let answer = desk.broker.submit(ticket.clone()).await;
    assert!(matches!(answer, Err(BrokerError::Unknown(_))), "{answer:?}");
    // The same id once more is the same order.
    let again = desk.broker.submit(ticket.clone()).await.unwrap();
    assert_eq!((desk.book().len(), again.order, again.state), (1, ticket.id, ReportedState::Open));
    let ticket = desk.buy("10");
    desk.fail_orders(Action::Status { status: 503, retry_after_s: None, when: When::Before });
    let answer = desk.broker.submit(ticket.clone()).await;
    assert!(matches!(answer, Err(BrokerError::Unknown(_))), "{answer:?}");
    assert_eq!(desk.look_up(&ticket).await.unwrap(), None);
    desk.fail_orders(Action::Status { status: 429, retry_after_s: Some(1), when: When::Before });
    let answer = desk.broker.submit(ticket).await;
    assert!(matches!(answer, Err(BrokerError::NotReceived { .. })), "{answer:?}");
    assert_eq!(desk.book().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_questions_that_are_known_are_answered_with_yes() {
    let desk = listening().await;
    // Far from the market: the price band, which is ours to judge.
    desk.broker.submit(limit(&desk, Side::Buy, "150")).await.unwrap();
    manage(&desk, "questions", json!([{"id": "o10151", "times": 1}, {"id": "o999", "times": 2}])).await;
    let (code, why) = refused(desk.broker.submit(desk.buy("10")).await);
    assert_eq!(code, RefusalCode::OrderRejected);
    assert!(why.contains("o999") && why.contains("Nothing was bought or sold."), "{why}");
    let leaving = Ticket { reduces: true, ..desk.buy("10") };
    refused(desk.broker.submit(leaving).await);
    // A limit that the account's owner has set there: kept by what enters, not by what leaves.
    manage(&desk, "policy", json!({"size_limit": "15"})).await;
    let (_, why) = refused(desk.broker.submit(desk.buy("20")).await);
    assert!(why.contains("Size Limit"), "{why}");
    assert_eq!(desk.book().len(), 1);
    let leaving = Ticket { reduces: true, ..desk.buy("20") };
    desk.broker.submit(leaving.clone()).await.unwrap();
    desk.reported(&leaving, &ReportedState::Filled).await;
}

/// Two at once do not take the place of each other's questions.
#[tokio::test(flavor = "multi_thread")]
async fn submissions_wait_for_each_others_questions() {
    let desk = listening().await;
    let tickets: Vec<_> = (0..4).map(|_| limit(&desk, Side::Buy, "150")).collect();
    let answers =
        futures_util::future::join_all(tickets.iter().map(|ticket| desk.broker.submit(ticket.clone()))).await;
    for answer in answers {
        assert_eq!(answer.unwrap().state, ReportedState::Open);
    }
    assert_eq!(desk.book().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_refuses_in_standard_codes() {
    let desk = listening().await;
    manage(&desk, "policy", json!({"unpaid": "at_once"})).await;
    let (code, why) = refused(desk.broker.submit(desk.buy("5000")).await);
    assert_eq!(code, RefusalCode::InsufficientFunds, "{why}");
    assert!(why.contains("Nothing was bought or sold."), "{why}");
    let unknown = Ticket { symbol: "NOPE".parse().unwrap(), ..desk.buy("10") };
    assert_eq!(refused(desk.broker.submit(unknown).await).0, RefusalCode::InvalidSymbol);
    assert_eq!(desk.book(), []);
    // Taken first, and refused after: the stream has it looked up.
    manage(&desk, "policy", json!({"unpaid": "later"})).await;
    let before = desk.resumptions();
    let ticket = desk.buy("5000");
    let answer = desk.broker.submit(ticket.clone()).await.unwrap();
    desk.resumed(before + 1).await;
    let found = desk.broker.order(known(&ticket, &answer)).await.unwrap().unwrap();
    let ReportedState::Rejected(refusal) = found.state else { panic!("{:?}", found.state) };
    assert_eq!(refusal.code, RefusalCode::InsufficientFunds, "{}", refusal.message);
}

/// Nothing lists all shares: each is asked for when somebody first wants to know it.
#[tokio::test(flavor = "multi_thread")]
async fn symbols_are_learned_when_they_are_wanted() {
    let desk = listening().await;
    let market = desk.house.market();
    let (apple, nope): (Symbol, Symbol) = ("AAPL".parse().unwrap(), "NOPE".parse().unwrap());
    assert!(market.is_unsure_of(apple) && market.is_unsure_of(nope));
    assert_eq!((market.instrument(apple), market.instrument(nope)), (None, None));
    let rules = wait_for("the share", || async { market.instrument(apple) }).await;
    assert_eq!((rules.lot.get(), rules.tick.get()), (dec("1"), dec("0.01")));
    wait_until("the other one", || async { !market.is_unsure_of(nope) }).await;
    assert_eq!((market.instrument(nope), market.listed()), (None, 1));
    market.watch(apple);
    let quote = wait_for("its price", || async { market.quote(apple) }).await;
    assert_eq!(
        (quote.bid.get(), quote.ask.get(), quote.price.get()),
        (dec("190.50"), dec("190.52"), dec("190.51"))
    );
    manage(&desk, "data", json!({"symbol": "AAPL", "availability": "D"})).await;
    assert_eq!(desk.broker.quote(apple).await.unwrap(), None, "it is delayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_opened_again_and_a_login_is_asked_for() {
    let desk = listening().await;
    // The brokerage session ends; the next question opens it again.
    manage(&desk, &gateway("connection"), json!({"connected": true})).await;
    let quote = desk.broker.quote("AAPL".parse().unwrap()).await.unwrap();
    assert_eq!(quote.map(|quote| quote.ask), Some(price("190.52")));
    // An order without a session was not taken; the session is open for the next time.
    manage(&desk, &gateway("connection"), json!({"connected": true})).await;
    let ticket = desk.buy("10");
    let answer = desk.broker.submit(ticket.clone()).await;
    assert!(matches!(answer, Err(BrokerError::NotReceived { .. })), "{answer:?}");
    desk.broker.submit(ticket).await.unwrap();
    assert_eq!(desk.book().len(), 1);
    manage(&desk, &gateway("compete"), json!({})).await;
    let (code, why) = refused(desk.broker.submit(desk.buy("10")).await);
    assert!(code == RefusalCode::BrokerUnavailable && why.contains("used elsewhere"), "{why}");
    manage(&desk, &gateway("logout"), json!({})).await;
    let (code, why) = refused(desk.broker.balance().await);
    assert!(code == RefusalCode::AuthFailed && why.contains("Log in there in a browser"), "{why}");
    manage(&desk, &gateway("login"), json!({})).await;
    let again = wait_for("the session", || async { desk.broker.balance().await.ok() }).await;
    assert!(again.cash.get() < dec("100000"), "{again:?}");
    assert_eq!(desk.book().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_tried_out() {
    let desk = desk().await;
    let known_as = desk.probe_as(Mode::Paper, account(PLACE.key.0)).await;
    assert_eq!(known_as.unwrap(), PLACE.key.0);
    let (_, why) = refused(desk.probe_as(Mode::Live, account(PLACE.key.0)).await);
    assert!(why.contains("paper money"), "{why}");
    let (code, why) = refused(desk.probe_as(Mode::Paper, account("DU7654321")).await);
    assert_eq!(code, RefusalCode::AuthFailed);
    assert!(why.contains("no account of this number"), "{why}");
}

/// A signal waits for a price that takes long to be told, as the first one of a share often does.
#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_takes_long_is_waited_for() {
    let _alone = TestApp::alone().await;
    let person = Box::pin(Person::arrive(Place { per_coin: 100, ..PLACE }, |_, venue, _| {
        let slow = Rule::on("GET /v1/api/iserver/marketdata/snapshot", Action::Pass).delayed(2_500).times(2);
        venue.world().add_fault(slow);
    }))
    .await;
    person.buys().await;
}

/// A login lasts a day, however well it is kept alive; who is logged in may be asked for once a minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_ends_after_a_day() {
    let began = SystemClock::new().now();
    let desk = listening().await;
    let until = desk.broker.runway().await.unwrap().unwrap();
    let late = until - (began + chrono::TimeDelta::hours(24));
    assert!(late.abs() < chrono::TimeDelta::seconds(30), "{until}");
    let pace = desk.world().rate(PLACE.key.0);
    assert_eq!(pace.refused, 0, "{pace:?}");
}
