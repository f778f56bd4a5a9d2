//! Kraken, spot.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rust_decimal::Decimal;
use trade_actors::domain::order::{Mode, Ticket, TimeInForce};
use trade_actors::domain::report::{RefusalCode, ReportedState};
use trade_actors::ports::broker::{BrokerError, IdScope};
use venues::book::FillMode;
use venues::faults::{Action, Rule};
use venues::limits::{Bound, REQUESTS};
use venues::table::Running;

use super::desk::{Desk, dec, keeps_its_promises, refused, refuses_in_standard_codes, tries_credentials_out};
use super::place::{Place, url};
use super::twelve::Person;
use crate::support::TestApp;

pub(crate) const PLACE: Place = Place {
    name: "kraken",
    mode: Mode::Live,
    money: "USD",
    coin: "BTC/USD",
    per_coin: 1,
    key: ("KRAKENKEY", "YS1zZWNyZXQtb2YtdGhlLXRlc3Rz"),
    lead: |urls, config| {
        let kraken = &mut config.kraken;
        (kraken.live_url, kraken.data_url) = (url(urls, "url"), url(urls, "url"));
        (kraken.live_stream_url, kraken.data_stream_url) = (url(urls, "ws_auth_url"), url(urls, "ws_url"));
    },
    orders: "POST /0/private/AddOrder",
};

/// Has the venue take all accounts for ones of the highest tier.
pub(crate) fn promote(venue: &Running) {
    let leak = |most: i64, per_second| vec![Bound::Leak { most: Decimal::from(most), per_second }];
    venue.world().set_limit(REQUESTS, leak(20, Decimal::ONE));
    venue.world().set_limit("orders", leak(180, dec("3.75")));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_its_promises() {
    keeps_its_promises(PLACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_refuses_in_standard_codes() {
    refuses_in_standard_codes(PLACE, "NOPE/USD", "0.00001").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_tried_out() {
    tries_credentials_out(PLACE).await;
}

/// An id is free again once its order has ended, so that a repeat would be a second order.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_a_second_time_by_itself() {
    let desk = Desk::listening(PLACE).await;
    assert_eq!(desk.broker.promises().ids, IdScope::WhileOpen);
    let first = desk.rest("0.01");
    desk.broker.submit(first.clone()).await.unwrap();
    let again = desk.broker.submit(first).await.unwrap();
    assert_eq!((desk.book().len(), again.order), (1, desk.broker.open_orders().await.unwrap()[0].order));
}

/// An order that comes after its deadline is none; that the clocks differ is found out, and the next one is in time.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_does_not_trade() {
    let desk = Desk::listening(PLACE).await;
    desk.world().set_clock_offset(chrono::TimeDelta::seconds(40));
    let late = desk.buy("0.01");
    let answer = desk.broker.submit(late.clone()).await;
    assert!(matches!(answer, Err(BrokerError::Unknown(_))), "{answer:?}");
    assert_eq!(desk.look_up(&late).await.unwrap(), None);
    assert_eq!(desk.hold("0.01").await.fills.len(), 1);
    assert_eq!(desk.book().len(), 1);
    // Too early is no time either: refused before anything was done, and sent once more by the right clock.
    desk.world().set_clock_offset(chrono::TimeDelta::seconds(-100));
    assert_eq!(desk.hold("0.01").await.fills.len(), 1);
    assert_eq!(desk.book().len(), 2);
}

/// Numbers rise with every request of a key, so that they arrive one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn requests_at_the_same_time_keep_their_order() {
    let desk = Desk::listening(PLACE).await;
    for _ in 0..5 {
        let answers = join_all((0..6).map(|_| desk.broker.open_orders())).await;
        for answer in answers {
            assert_eq!(answer.unwrap(), []);
        }
    }
}

/// Parts are told as they come, and each counts once, however it is heard of.
#[tokio::test(flavor = "multi_thread")]
async fn parts_of_an_order_count_once() {
    let desk = Desk::listening(PLACE).await;
    desk.world().set_fill_mode(None, FillMode::Parts { parts: 3, every_ms: 20 });
    let ticket = desk.buy("0.03");
    desk.broker.submit(ticket.clone()).await.unwrap();
    let looked_up = desk.filled(&ticket).await;
    let ended = desk.reported(&ticket, &ReportedState::Filled).await;
    assert_eq!(ended.done.unwrap().quantity.get(), dec("0.03"));
    let reports = desk.reports(&ticket);
    let mut told: Vec<_> =
        reports.iter().flat_map(|report| &report.fills).map(|fill| fill.execution.clone()).collect();
    told.sort();
    let mut found: Vec<_> = looked_up.fills.iter().map(|fill| fill.execution.clone()).collect();
    found.sort();
    assert_eq!((told.len(), &told), (3, &found));
}

/// A number that is missing means that news were missed: the stream is opened again, and orders are asked for.
#[tokio::test(flavor = "multi_thread")]
async fn news_that_were_missed_are_noticed() {
    let desk = Desk::listening(PLACE).await;
    desk.hold("0.01").await;
    desk.world().set_setting("lost_messages", 1_u32).unwrap();
    let ticket = desk.buy("0.02");
    desk.broker.submit(ticket.clone()).await.unwrap();
    desk.resumed(2).await;
    assert_eq!(desk.filled(&ticket).await.done.unwrap().quantity.get(), dec("0.02"));
}

/// An account that is locked out is left alone: asking on would lock it for longer.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_locked_out_asks_no_more() {
    let desk = Desk::listening(PLACE).await;
    let message = "EGeneral:Temporary lockout".to_owned();
    let locked = Action::Refuse { status: 200, code: 0, message };
    desk.world().add_fault(Rule::on("POST /0/private/BalanceEx", locked).times(1));
    assert_eq!(refused(desk.broker.balance().await).0, RefusalCode::AuthFailed);
    let asked = desk.world().rate(PLACE.key.0).total;
    for answer in
        [desk.broker.balance().await.map(drop), desk.broker.submit(desk.buy("0.01")).await.map(drop)]
    {
        assert!(matches!(answer, Err(BrokerError::HeldBack { .. })), "{answer:?}");
    }
    assert_eq!((desk.world().rate(PLACE.key.0).total, desk.book().len()), (asked, 0));
}

/// What Kraken does not take is refused by its name before anything is sent; what it halts is refused as halted.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_is_refused() {
    let desk = Desk::listening(PLACE).await;
    let whole = Ticket { time_in_force: TimeInForce::Fok, ..desk.rest("0.01") };
    let (code, why) = refused(desk.broker.submit(whole).await);
    assert_eq!(code, RefusalCode::OrderRejected);
    assert!(why.contains("whole or not at all") && why.contains("Nothing was sent."), "{why}");
    desk.world().set_halted(PLACE.coin, true);
    let (code, why) = refused(desk.broker.submit(desk.buy("0.01")).await);
    assert_eq!(code, RefusalCode::MarketClosed, "{why}");
    assert_eq!(desk.book(), []);
}

/// What is too small to be an order is no position: nothing could sell it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_small_to_sell_is_no_position() {
    let desk = Desk::listening(PLACE).await;
    let trade = |side, qty| venues::world::OutsideTrade {
        symbol: PLACE.coin.to_owned(),
        side,
        qty: dec(qty),
        price: dec("60000"),
    };
    let account = PLACE.key.0;
    desk.world().trade_outside(account, &trade(venues::book::Side::Buy, "0.00004999")).unwrap();
    assert_eq!(desk.broker.positions().await.unwrap(), []);
    desk.world().trade_outside(account, &trade(venues::book::Side::Buy, "0.00000001")).unwrap();
    assert_eq!(desk.broker.positions().await.unwrap()[0].net.get(), dec("0.00005"));
}

/// How long an account of the lowest tier may take from its keys to the end of its first order, and of its second.
const REASON: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(40));

/// However many questions wait for their turn: what leaves goes out at once.
#[tokio::test(flavor = "multi_thread")]
async fn no_exit_waits_for_questions() {
    let _alone = TestApp::alone().await;
    let person =
        Box::pin(Person::arrive(PLACE, |_, _, config| config.kraken.tier = "starter".to_owned())).await;
    person.buys().await;
    // Each time the stream comes back, all is asked for anew.
    for _ in 0..3 {
        person.venue.world().drop_streams(None);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    let asked = person.venue.world().rate(PLACE.key.0).total;
    let took = person.leaves().await;
    assert!(took < Duration::from_secs(2), "{took:?} after {asked} requests");
    let asked = person.venue.world().rate(PLACE.key.0);
    assert!(asked.total > 8 && asked.refused == 0, "the questions at once are used up: {asked:?}");
}

/// The lowest tier takes seven questions at once, then one in six seconds: enough to connect and to trade, and never too
/// many.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_the_lowest_tier_connects_and_trades() {
    let _alone = TestApp::alone().await;
    for tier in ["starter", "intermediate"] {
        let began = Instant::now();
        let settings: super::twelve::Settings = match tier {
            "starter" => |_, _, config| config.kraken.tier = "starter".to_owned(),
            _ => |_, _, _| (),
        };
        let person = Box::pin(Person::arrive(PLACE, settings)).await;
        person.buys().await;
        assert!(began.elapsed() < REASON.0, "{tier}: {:?}", began.elapsed());
        person.closes().await;
        assert!(began.elapsed() < REASON.1, "{tier}: {:?}", began.elapsed());
        let asked = person.venue.world().rate(PLACE.key.0);
        assert_eq!(asked.refused, 0, "{tier}: nothing was asked too often");
    }
}
