//! Gemini.

use std::time::Duration;

use trade_actors::domain::money::Percent;
use trade_actors::domain::order::Mode;
use trade_actors::domain::report::{RefusalCode, ReportedState};
use trade_actors::domain::signal::{OrderKind, Side, Trail};
use trade_actors::ports::broker::IdScope;
use venues::account::{AccountChange, KeyRights};
use venues::book::{FillMode, Kind, Status, Tif};
use venues::feed;
use venues::journal::{Entry, Note};

use super::desk::{
    Desk, dec, keeps_its_promises, price, refused, refuses_in_standard_codes, tries_credentials_out,
};
use super::place::{Place, led};
use crate::support::wait_until;

pub(crate) const PLACE: Place = Place {
    name: "gemini",
    mode: Mode::Paper,
    money: "USD",
    coin: "BTC/USD",
    per_coin: 1,
    key: ("account-TESTKEY", "a-secret-of-the-tests"),
    lead: |urls, config| config.gemini = led(urls, "stream_url", "stream_url"),
    orders: "POST /v1/order/new",
};

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_its_promises() {
    keeps_its_promises(PLACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_refuses_in_standard_codes() {
    refuses_in_standard_codes(PLACE, "NOPE/USD", "0.000001").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_tried_out() {
    tries_credentials_out(PLACE).await;
}

/// The stream takes no key that counts, and a key of a whole group trades for accounts that nobody named.
#[tokio::test(flavor = "multi_thread")]
async fn only_keys_of_one_account_that_carry_the_time_are_taken() {
    let desk = Desk::open(PLACE).await;
    let counts = KeyRights { counts: true, ..KeyRights::default() };
    let (_, why) = refused(desk.probe(counts).await);
    assert!(why.contains("time-based nonce"), "{why}");
    let group = Desk::open(Place { key: ("master-TESTKEY", "a-secret-of-the-tests"), ..PLACE }).await;
    let (_, why) = refused(group.probe(KeyRights::default()).await);
    assert!(why.contains("whole group"), "{why}");
}

/// Returns how often the stream was refused for its credentials.
fn refused_streams(desk: &Desk) -> usize {
    let is_it =
        |entry: &&Entry| matches!(&entry.note, Note::Answered { path, status: Some(401), .. } if path == "/");
    desk.world().journal(0).iter().filter(is_it).count()
}

/// Who is refused at the handshake has to act: until then it is tried now and then, not again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_credentials_are_refused_is_left_to_their_owner() {
    let desk = Desk::listening(PLACE).await;
    let revoked = AccountChange { revoked: Some(true), ..AccountChange::default() };
    desk.world().change_account(PLACE.key.0, &revoked).unwrap();
    desk.world().drop_streams(None);
    wait_until("the stream to be refused", || async { refused_streams(&desk) > 0 }).await;
    assert_eq!(refused(desk.broker.balance().await).0, RefusalCode::AuthFailed);
    // A stream that breaks is opened again within two seconds.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(refused_streams(&desk), 1);
}

/// A clock that is wrong is found out and followed; nothing is sent twice for it.
#[tokio::test(flavor = "multi_thread")]
async fn another_clock_is_followed() {
    let desk = Desk::listening(PLACE).await;
    desk.world().set_clock_offset(chrono::TimeDelta::seconds(40));
    let report = desk.hold("0.01").await;
    assert_eq!((desk.book().len(), report.fills.len()), (1, 1));
}

/// Ids are labels there: a repeat would be a second order.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_a_second_time_by_itself() {
    let desk = Desk::listening(PLACE).await;
    assert_eq!(desk.broker.promises().ids, IdScope::WhileOpen);
    for lost in [venues::faults::When::Before, venues::faults::When::After] {
        let before = desk.book().len();
        desk.fail_orders(venues::faults::Action::Reset { when: lost });
        assert!(desk.broker.submit(desk.rest("0.01")).await.is_err());
        let taken = usize::from(lost == venues::faults::When::After);
        assert_eq!(desk.book().len(), before + taken);
    }
}

/// An order at the market has a price, two per cent from the best: it never trades beyond it, and never rests.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_at_the_market_keeps_within_its_collar() {
    let desk = Desk::listening(PLACE).await;
    let (bid, ask) = (dec("59999.99"), dec("60000.33"));
    desk.world().set_price(&feed::Price::spread("BTC/USD", bid, ask));
    desk.hold("0.01").await;
    let sale = desk.ticket(Side::Sell, "0.01", OrderKind::Market);
    desk.broker.submit(sale).await.unwrap();
    let sent: Vec<_> = desk.book().iter().map(|order| (order.ticket.kind, order.ticket.tif)).collect();
    let limit = |text| (Kind::Limit { limit: dec(text) }, Tif::Ioc);
    assert_eq!(sent, [limit("61200.34"), limit("58799.99")]);

    // What cannot trade at once ends, and what did is counted.
    desk.world().set_fill_mode(None, FillMode::Manual);
    let ticket = desk.buy("0.01");
    let answer = desk.broker.submit(ticket.clone()).await.unwrap();
    let there = desk.book().pop().unwrap();
    if there.status.is_open() {
        desk.world().end(there.id, Status::Canceled).unwrap();
    }
    let ended = desk.reported(&ticket, &ReportedState::Canceled).await;
    assert_eq!((answer.order, ended.fills.len()), (ticket.id, 0));
}

/// Parts are told one by one, each once, also when the stream was not there for the first.
#[tokio::test(flavor = "multi_thread")]
async fn parts_are_counted_once() {
    let desk = Desk::listening(PLACE).await;
    desk.world().set_fill_mode(None, FillMode::Manual);
    let ticket = desk.rest("0.01");
    desk.broker.submit(ticket.clone()).await.unwrap();
    let id = desk.book()[0].id;
    desk.world().fill(id, Some(dec("0.004")), dec("50000")).unwrap();
    desk.world().fill(id, None, dec("49000")).unwrap();
    let told = desk.reported(&ticket, &ReportedState::Filled).await;
    let done = told.done.unwrap();
    assert_eq!((done.quantity.get(), done.price), (dec("0.01"), Some(price("49400"))));
    let found = desk.look_up(&ticket).await.unwrap().unwrap();
    assert_eq!((found.fills.len(), found.done.unwrap().quantity), (2, done.quantity));
    assert_eq!(found.fills[1].execution, told.fills[0].execution, "one execution has one id");

    let ticket = desk.rest("0.01");
    desk.broker.submit(ticket.clone()).await.unwrap();
    let id = desk.book()[1].id;
    desk.world().drop_streams(None);
    desk.world().fill(id, Some(dec("0.004")), dec("50000")).unwrap();
    desk.resumed(2).await;
    desk.world().fill(id, Some(dec("0.001")), dec("50000")).unwrap();
    // What does not continue what was told is asked for.
    desk.resumed(3).await;
    let part = desk.look_up(&ticket).await.unwrap().unwrap();
    assert_eq!((part.state, part.done.unwrap().quantity.get()), (ReportedState::Open, dec("0.005")));
}

/// An order that its id does not find is found by its trades.
#[tokio::test(flavor = "multi_thread")]
async fn trades_find_what_an_id_does_not() {
    let desk = Desk::listening(PLACE).await;
    let ticket = desk.buy("0.01");
    desk.broker.submit(ticket.clone()).await.unwrap();
    let missing = venues::faults::Action::Refuse {
        status: 404,
        code: 0,
        message: "OrderNotFound: no such order".into(),
    };
    desk.world().add_fault(venues::faults::Rule::on("POST /v1/order/status", missing).times(1));
    let found = desk.look_up(&ticket).await.unwrap().unwrap();
    assert_eq!((found.state, found.fills.len()), (ReportedState::Filled, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_market_takes_no_order() {
    let desk = Desk::listening(PLACE).await;
    desk.world().set_halted("BTC/USD", true);
    let (code, why) = refused(desk.broker.submit(desk.rest("0.01")).await);
    assert_eq!(code, RefusalCode::MarketClosed, "{why}");
}

/// A price that a signal asked for is there for the next one: a row of them would use up what anybody may ask.
#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_was_asked_for_is_kept() {
    let desk = Desk::listening(PLACE).await;
    let symbol = PLACE.coin.parse().unwrap();
    assert_eq!(desk.house.market().quote(symbol), None);
    let asked = desk.broker.quote(symbol).await.unwrap();
    assert!(asked.is_some());
    assert_eq!(desk.house.market().quote(symbol), asked);
}

/// Prices come by the stream of anybody's, for symbols that are watched.
#[tokio::test(flavor = "multi_thread")]
async fn prices_are_streamed() {
    let desk = Desk::listening(PLACE).await;
    let (market, symbol) = (desk.house.market(), PLACE.coin.parse().unwrap());
    market.watch(symbol);
    wait_until("a price of the stream", || async {
        desk.world().set_price(&feed::Price::flat("BTC/USD", dec("61000")));
        market.quote(symbol).is_some_and(|quote| quote.ask == price("61000"))
    })
    .await;
    let trail = OrderKind::TrailingStop { trail: Trail::Percent(Percent::new(dec("1"))) };
    assert!(!desk.broker.holds(symbol, trail, desk.buy("1").quantity), "somebody else is to watch it");
}
