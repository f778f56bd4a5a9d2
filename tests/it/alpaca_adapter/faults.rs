//! What goes wrong on the way, and what it proves.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use trade_actors::domain::ids::ConnectionId;
use trade_actors::domain::order::{Mode, Ticket};
use trade_actors::domain::report::{RefusalCode, ReportedState};
use trade_actors::domain::signal::Side;
use trade_actors::ports::broker::BrokerError;
use trade_actors::ports::clock::SystemClock;
use trade_executor::brokers::House;
use trade_executor::brokers::credentials::{Auth, BrokerSecret};
use uuid::Uuid;
use venues::account::AccountChange;
use venues::book::FillMode;
use venues::faults::{Action, When};
use venues::streams::Channel;
use venues::world::Options;

use crate::support::wait_until;

use super::desk::*;

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
    let clock = Stopped::new();
    let desk = Desk::at(&clock).await;
    let slow = Action::Status { status: 429, when: When::Before, retry_after_s: Some(7) };
    desk.fail(ORDERS, slow, 1);
    assert_eq!(not_received(desk.broker.submit(desk.buy("1")).await), Duration::from_secs(7));
    let before = desk.world().rate(KEY).total;
    clock.turn(1);
    assert_eq!(held_back(desk.broker.submit(desk.buy("1")).await), Duration::from_secs(6));
    assert_eq!(desk.world().rate(KEY).total, before);
    clock.turn(6);
    desk.broker.submit(desk.buy("1")).await.unwrap();
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
        assert_eq!(desk.broker.order(desk.placed(ticket.id, None)).await.unwrap(), None);
        desk.world().clear_faults();
    }
    // A failed look-up says nothing.
    desk.fail("GET *", Action::status(503), 1);
    unknown(desk.broker.order(desk.placed(desk.buy("1").id, None)).await);
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
    desk.broker.cancel(desk.placed(ticket.id, None)).await.unwrap();
    assert_eq!(desk.broker.submit(ticket.clone()).await.unwrap().state, ReportedState::Canceled);
    assert_eq!(desk.world().orders(Some(KEY)).len(), 1);
    // It is said to exist and does not show: that proves nothing.
    desk.fail(ORDERS, Action::Duplicate, 1);
    let taken = desk.broker.submit(desk.buy("1")).await;
    assert!(
        matches!(&taken, Err(BrokerError::Taken(refusal)) if refusal.code == RefusalCode::DuplicateOrder),
        "{taken:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_half_of_the_allowance_is_used() {
    let clock = Stopped::new();
    let desk = Arc::new(Desk::at(&clock).await);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let desk = Arc::clone(&desk);
        asking.spawn(async move { desk.broker.positions().await });
    }
    let (mut answered, mut told_to_wait) = (0, 0);
    while let Some(answer) = asking.join_next().await {
        match answer.unwrap() {
            Ok(_) => answered += 1,
            Err(BrokerError::HeldBack { .. }) => told_to_wait += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    // Fifteen at once, and five are kept for what cannot wait.
    assert_eq!((answered, told_to_wait), (15, 45));
    desk.broker.order(desk.placed(desk.buy("1").id, None)).await.unwrap();
    // 79 a minute from then on.
    clock.turn(60);
    for _ in 0..15 {
        desk.broker.positions().await.unwrap();
    }
    assert_eq!(desk.world().rate(KEY).total, 31);
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
    let token = Auth::OAuth { access_token: SecretString::from("token".to_owned()) };
    desk.drawer.0.lock().unwrap().insert(connection(), (token, Mode::Live));
    desk.alpaca.renew(connection());
    desk.broker.connect().await.unwrap();
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
    let with = |secret| BrokerSecret { broker: "alpaca".to_owned(), mode: Mode::Paper, auth: keys(secret) };
    assert!(desk.alpaca.probe(with("secret")).await.unwrap().account.starts_with("PA"));
    let (code, _) = refused(desk.alpaca.probe(with("wrong")).await);
    assert_eq!(code, RefusalCode::AuthFailed);
    for change in [
        AccountChange { trading_blocked: Some(true), ..Default::default() },
        AccountChange { trade_suspended_by_user: Some(true), ..Default::default() },
        AccountChange { account_blocked: Some(true), ..Default::default() },
        AccountChange { status: Some("ACCOUNT_CLOSED".into()), ..Default::default() },
    ] {
        desk.world().change_account(KEY, &change).unwrap();
        refused(desk.alpaca.probe(with("secret")).await);
        refused(desk.broker.connect().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_refused_again_and_again_are_asked_with_no_more_often() {
    let clock = Stopped::new();
    let desk = Desk::at(&clock).await;
    desk.world().revoke(KEY, true).unwrap();
    for _ in 0..15 {
        assert_eq!(refused(desk.broker.positions().await).0, RefusalCode::AuthFailed);
    }
    // Though the credentials are read anew for each, what was asked with them before counts.
    held_back(desk.broker.positions().await);
    assert_eq!(desk.requests("GET", "/v2/positions"), 15);
    clock.turn(1);
    assert_eq!(refused(desk.broker.positions().await).0, RefusalCode::AuthFailed);
}
