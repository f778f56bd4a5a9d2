//! Bybit, spot.

use trade_actors::domain::order::{Mode, Ticket};
use trade_actors::domain::report::{OrderReport, RefusalCode, ReportedState};
use trade_actors::domain::signal::{OrderKind, Side};
use trade_actors::ports::broker::IdScope;
use trade_executor::brokers::credentials::Auth;
use venues::book::{FillMode, Status};
use venues::faults::{Action, When};
use venues::feed;

use super::desk::{
    Desk, dec, executed, keeps_its_promises, price, refused, refuses_in_standard_codes, tries_credentials_out,
};
use super::place::{Place, led};
use super::twelve::Person;
use crate::support::{TestApp, wait_for, wait_until};

pub(crate) const PLACE: Place = Place {
    name: "bybit",
    mode: Mode::Paper,
    money: "USDT",
    coin: "BTC/USDT",
    per_coin: 1,
    key: ("BYBITKEY", "a-secret-of-the-tests"),
    lead: |urls, config| config.bybit = led(urls, "private_url", "public_url"),
    orders: "POST /v5/order/create",
};

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_its_promises() {
    keeps_its_promises(PLACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_refuses_in_standard_codes() {
    refuses_in_standard_codes(PLACE, "NOPE/USDT", "0.00001").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_are_tried_out() {
    tries_credentials_out(PLACE).await;
}

/// A clock that is wrong is found out and followed; nothing is sent twice for it.
#[tokio::test(flavor = "multi_thread")]
async fn another_clock_is_followed() {
    let desk = Desk::listening(PLACE).await;
    desk.world().set_clock_offset(chrono::TimeDelta::seconds(40));
    let report = desk.hold("0.01").await;
    assert_eq!((desk.book().len(), report.fills.len()), (1, 1));
}

/// An id stays taken for ever: the same order sent again is the first one, also when that has ended.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_order_again_is_the_first_one() {
    let desk = Desk::listening(PLACE).await;
    assert_eq!(desk.broker.promises().ids, IdScope::Forever);
    let lost = desk.buy("0.01");
    desk.fail_orders(Action::Reset { when: When::After });
    assert!(desk.broker.submit(lost.clone()).await.is_err());
    desk.filled(&lost).await;
    let again = desk.broker.submit(lost.clone()).await.unwrap();
    assert_eq!(
        (again.order, again.state.clone(), executed(&again)),
        (lost.id, ReportedState::Filled, dec("0.01"))
    );
    assert_eq!(desk.book().len(), 1);
}

/// An answer only says that the order arrived; that it was refused after all, the stream and a look-up tell.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_rejected_after_the_answer_is_told() {
    let desk = Desk::listening(PLACE).await;
    let ticket = desk.rest("0.01");
    desk.fail_orders(Action::Reject);
    assert_eq!(desk.broker.submit(ticket.clone()).await.unwrap().state, ReportedState::Open);
    let refusal = |report: OrderReport| match report.state {
        ReportedState::Rejected(refusal) => Some(refusal),
        _ => None,
    };
    let told =
        wait_for("the rejection", || async { desk.reports(&ticket).into_iter().find_map(refusal) }).await;
    assert_eq!(told.code, RefusalCode::OrderRejected);
    assert!(told.message.contains("EC_Others"), "{}", told.message);
    assert_eq!(desk.look_up(&ticket).await.unwrap().and_then(refusal), Some(told));
}

/// Executions come apart from orders, in either order and perhaps twice, and count once; those that the stream missed are
/// asked for.
#[tokio::test(flavor = "multi_thread")]
async fn parts_are_counted_once() {
    let desk = Desk::listening(PLACE).await;
    desk.world().set_fill_mode(None, FillMode::Manual);
    let ticket = desk.rest("0.01");
    desk.broker.submit(ticket.clone()).await.unwrap();
    let id = desk.book()[0].id;
    desk.world().fill(id, Some(dec("0.004")), dec("50000")).unwrap();
    desk.world().fill(id, None, dec("49000")).unwrap();
    desk.reported(&ticket, &ReportedState::Filled).await;
    let told = || {
        let reports = desk.reports(&ticket);
        reports.into_iter().flat_map(|report| report.fills).map(|fill| fill.execution).collect::<Vec<_>>()
    };
    wait_until("both executions", || async { told().len() == 2 }).await;
    let found = desk.look_up(&ticket).await.unwrap().unwrap();
    let shown: Vec<_> = found.fills.iter().map(|fill| fill.execution.clone()).collect();
    assert!(told().iter().all(|execution| shown.contains(execution)), "one execution has one id");
    assert_eq!((shown.len(), executed(&found)), (2, dec("0.01")));

    // Partly done while nobody listened, and then ended: that is told with a look-up, not without what was missed.
    let ticket = desk.rest("0.01");
    desk.broker.submit(ticket.clone()).await.unwrap();
    let id = desk.book()[1].id;
    desk.world().drop_streams(None);
    desk.world().fill(id, Some(dec("0.004")), dec("50000")).unwrap();
    desk.resumed(2).await;
    let open = desk.broker.open_orders().await.unwrap();
    assert_eq!(open.iter().map(executed).collect::<Vec<_>>(), [dec("0.004")]);
    desk.world().end(id, Status::Canceled).unwrap();
    desk.resumed(3).await;
    assert!(desk.reports(&ticket).iter().all(|report| report.state != ReportedState::Canceled));
    let found = desk.look_up(&ticket).await.unwrap().unwrap();
    assert_eq!((found.state.clone(), executed(&found)), (ReportedState::Canceled, dec("0.004")));
}

/// A stop sells by itself when the price is there; one to a limit that waits in the market afterwards is still cancelled.
#[tokio::test(flavor = "multi_thread")]
async fn stops_wait_trade_and_are_cancelled() {
    let desk = Desk::listening(PLACE).await;
    desk.hold("0.1").await;
    let stop = desk.ticket(Side::Sell, "0.02", OrderKind::Stop { trigger: price("58000") });
    let kind = OrderKind::StopLimit { trigger: price("58000"), limit: price("57900") };
    let limited = desk.ticket(Side::Sell, "0.03", kind);
    for ticket in [&stop, &limited] {
        desk.broker.submit(Ticket::clone(ticket)).await.unwrap();
    }
    let at = |bid: &str, ask: &str, last: &str| feed::Price {
        last: Some(dec(last)),
        ..feed::Price::spread("BTC/USDT", dec(bid), dec(ask))
    };
    desk.world().set_price(&at("57000", "57010", "57000"));
    let sold = desk.filled(&stop).await;
    assert_eq!(sold.fills[0].price, price("57000"));
    assert_eq!(sold.fills[0].fee.get(), dec("1.14"), "of a sale the fee is money");
    desk.cancel(&limited).await.unwrap();
    desk.reported(&limited, &ReportedState::Canceled).await;
}

/// What ended a while ago is only in the history.
#[tokio::test(flavor = "multi_thread")]
async fn what_ended_long_ago_is_found() {
    let desk = Desk::listening(PLACE).await;
    let bought = desk.buy("0.01");
    desk.broker.submit(bought.clone()).await.unwrap();
    desk.filled(&bought).await;
    desk.world().set_clock_offset(chrono::TimeDelta::hours(1));
    let found = desk.look_up(&bought).await.unwrap().unwrap();
    assert_eq!((found.state.clone(), executed(&found)), (ReportedState::Filled, dec("0.01")));
    let asked = desk.world().look(|state| {
        state
            .journal
            .since(0)
            .iter()
            .filter(|entry| format!("{:?}", entry.note).contains("/v5/order/history"))
            .count()
    });
    assert!(asked > 0, "it was found there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halted_market_takes_no_order() {
    let desk = Desk::listening(PLACE).await;
    desk.world().set_halted("BTC/USDT", true);
    let (code, why) = refused(desk.broker.submit(desk.rest("0.01")).await);
    assert_eq!(code, RefusalCode::MarketClosed, "{why}");
}

/// Prices come by the stream of anybody's, for symbols that are watched.
#[tokio::test(flavor = "multi_thread")]
async fn prices_are_streamed() {
    let desk = Desk::listening(PLACE).await;
    let (market, symbol) = (desk.house.market(), PLACE.coin.parse().unwrap());
    market.watch(symbol);
    wait_until("the stream of prices", || async {
        desk.world().look(|state| state.hub.listening(None, venues::streams::Channel::Prices)) == 1
    })
    .await;
    desk.world().set_price(&feed::Price::flat("BTC/USDT", dec("61000")));
    wait_until("a price of the stream", || async {
        market.quote(symbol).is_some_and(|quote| quote.ask == price("61000"))
    })
    .await;
}

/// A key that is good from any address ends: until when is asked for, recorded, and shown to its owner.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_key_is_shown() {
    let _alone = TestApp::alone().await;
    let person = Box::pin(Person::arrive(PLACE, |_, _, _| ())).await;
    wait_until("the end of the key to be shown", || async {
        let accounts = person.api.all("/api/v1/brokers").await;
        accounts.iter().any(|known| known["can_trade_until"] == "2027-01-01T00:00:00Z")
    })
    .await;
}

/// One that is good from our address alone does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_one_address_has_no_end() {
    let mut spec = PLACE.account();
    spec.standing.key.bound_to_ip = true;
    let (key_id, secret) = PLACE.key;
    let auth = Auth::ApiKey { key_id: key_id.into(), secret: secret.into() };
    let desk = Desk::with(PLACE, spec, auth, &feed::Price::flat(PLACE.coin, dec("60000"))).await;
    assert_eq!(desk.broker.runway().await.unwrap(), None);
}
