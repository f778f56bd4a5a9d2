//! Coinbase Advanced Trade.

use trade_actors::domain::money::Quantity;
use trade_actors::domain::order::{Mode, Ticket};
use trade_actors::domain::report::{OrderReport, RefusalCode, ReportedState};
use trade_actors::domain::signal::{OrderKind, Side};
use trade_actors::ports::broker::{BrokerError, IdScope};
use venues::book::{FillMode, Kind};
use venues::faults::{Action, Rule};
use venues::world::Instrument;

use super::desk::{
    Desk, dec, keeps_its_promises, price, refused, refuses_in_standard_codes, tries_credentials_out,
};
use super::place::{Place, led};
use crate::support::wait_for;

/// The test keys of Coinbase's own SDK: each has its public half at its end, which is what the venue has of it.
pub(crate) const PLACE: Place = Place {
    name: "coinbase",
    mode: Mode::Live,
    money: "USD",
    coin: "BTC/USD",
    per_coin: 1,
    key: (
        "organizations/test-organization/apiKeys/test-api-key",
        "k0BUni0p0vZG1BdpVjS6ogBJ7kxm630AJ2dN+tuputDOKsRAwgyrpEQLeBtS1znTmzPX6Xr2eOWpzx6nW8knkA==",
    ),
    lead: |urls, config| config.coinbase = led(urls, "stream_url", "stream_url"),
    orders: "POST /api/v3/brokerage/orders",
};

const P256: &str = "-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIKwf3Uox30cRWzRBOPoPOH5p0Gpb0Dt8zUKXUEM5fMkGoAoGCCqGSM49
AwEHoUQDQgAEbAtpLlSZYVOwYICz+uEyxcS29vRIujiES/gQ1DC7FV4zK4JuYE9v
qDyGZQYjdXHLM7I6f/QnnOITL+dXYWBHRA==
-----END EC PRIVATE KEY-----
";

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

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_other_kind_trades_and_listens_too() {
    let desk = Desk::listening(Place { key: (PLACE.key.0, P256), ..PLACE }).await;
    let ticket = desk.buy("0.01");
    desk.broker.submit(ticket.clone()).await.unwrap();
    desk.reported(&ticket, &ReportedState::Filled).await;
    // A secret that is no key: nothing is sent.
    let desk = Desk::open(Place { key: (PLACE.key.0, "hunter2"), ..PLACE }).await;
    assert_eq!(refused(desk.broker.connect().await).0, RefusalCode::AuthFailed);
}

/// For how long an id stays taken is not promised, so that a repeat is never sent by itself; now it is the first order.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_id_is_the_first_order() {
    let desk = Desk::listening(PLACE).await;
    assert_eq!(desk.broker.promises().ids, IdScope::WhileOpen);
    let ticket = desk.rest("0.01");
    let first = desk.broker.submit(ticket.clone()).await.unwrap();
    let again = desk.broker.submit(ticket.clone()).await.unwrap();
    assert_eq!((desk.book().len(), again.broker_order), (1, first.broker_order.clone()));
    // Where it is refused as a repeat instead, the order is looked up.
    desk.fail_orders(Action::Duplicate);
    let found = desk.broker.submit(ticket.clone()).await.unwrap();
    assert_eq!((desk.book().len(), found.broker_order), (1, first.broker_order));
    desk.fail_orders(Action::Duplicate);
    let taken = desk.broker.submit(desk.rest("0.01")).await;
    assert!(matches!(taken, Err(BrokerError::Taken(_))), "{taken:?}");
}

fn told(reports: &[OrderReport]) -> Vec<(String, String, String)> {
    let fills = reports.iter().flat_map(|report| &report.fills);
    fills
        .map(|fill| {
            (
                fill.execution.to_string(),
                fill.quantity.get().to_string(),
                fill.fee.get().normalize().to_string(),
            )
        })
        .collect()
}

/// The stream tells totals and a look-up executions: both give the same execution the same name, and its fee.
#[tokio::test(flavor = "multi_thread")]
async fn an_execution_has_one_name_however_it_is_learned() {
    let desk = Desk::listening(PLACE).await;
    desk.world().set_fill_mode(None, FillMode::Manual);
    let ticket = desk.ticket(Side::Buy, "0.01", OrderKind::Limit { limit: price("60000") });
    desk.broker.submit(ticket.clone()).await.unwrap();
    let order = desk.book()[0].id;
    desk.world().fill(order, Some(dec("0.004")), dec("60000")).unwrap();
    desk.world().fill(order, None, dec("59990")).unwrap();
    desk.reported(&ticket, &ReportedState::Filled).await;
    let streamed = told(&desk.reports(&ticket));
    let fill = |name: &str, quantity: &str, fee: &str| (name.to_owned(), quantity.to_owned(), fee.to_owned());
    assert_eq!(streamed, [fill("total-0.004", "0.004", "1.44"), fill("total-0.01", "0.006", "2.15964")]);
    let looked_up = desk.look_up(&ticket).await.unwrap().unwrap();
    assert_eq!(told(std::slice::from_ref(&looked_up)), streamed);
    assert_eq!(looked_up.done.unwrap().price, Some(price("59994")));
    assert_eq!(desk.cash(), dec("100000") - dec("599.94") - dec("3.59964"));
}

/// An answer of status 200 that cannot be read says nothing; one without success and without a reason neither.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_says_nothing_is_looked_up() {
    let desk = Desk::listening(PLACE).await;
    for action in [Action::Garble, Action::status_after(500), Action::status_after(503)] {
        let ticket = desk.buy("0.01");
        desk.fail_orders(action);
        let answer = desk.broker.submit(ticket.clone()).await;
        assert!(matches!(answer, Err(BrokerError::Unknown(_))), "{answer:?}");
        assert_eq!(desk.filled(&ticket).await.done.unwrap().quantity.get(), dec("0.01"));
    }
    assert_eq!(desk.book().len(), 3);
    // One that is rejected after it was taken is told as such.
    let ticket = desk.buy("0.01");
    desk.fail_orders(Action::Reject);
    desk.broker.submit(ticket.clone()).await.unwrap();
    let found = wait_for("the rejection", || async {
        let found = desk.look_up(&ticket).await.unwrap().unwrap();
        matches!(found.state, ReportedState::Rejected(_)).then_some(found)
    });
    let ReportedState::Rejected(refusal) = found.await.state else { panic!("it was not rejected") };
    assert_eq!(refusal.code, RefusalCode::OrderRejected);
}

/// Orders that are looked for lie on any page of a long list, and those placed elsewhere are nobody's here.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_found_on_any_page() {
    let desk = Desk::listening(PLACE).await;
    let oldest = desk.rest("0.001");
    desk.broker.submit(oldest.clone()).await.unwrap();
    let many =
        Instrument::stepped("ETH/USD", desk.world().look(|state| state.instruments["BTC/USD"].increments));
    desk.world().list(many);
    desk.world().act(|state, now| {
        let like = state.book.orders().next().unwrap().ticket.clone();
        for number in 0..300 {
            let name = Some(format!("by-hand-{number}"));
            state.book.place(now, venues::book::Ticket { client_order_id: name, ..like.clone() }).unwrap();
        }
    });
    assert_eq!(desk.look_up(&oldest).await.unwrap().unwrap().order, oldest.id);
    let open = desk.broker.open_orders().await.unwrap();
    assert_eq!(open.iter().map(|report| report.order).collect::<Vec<_>>(), [oldest.id]);
    assert_eq!(desk.look_up(&desk.rest("0.001")).await.unwrap(), None);
    // A list that breaks off says nothing about any order.
    let broken = Rule::on("GET /api/v3/brokerage/orders/historical/batch", Action::status(500));
    desk.world().add_fault(broken.after(1).times(1));
    let answer = desk.look_up(&oldest).await;
    assert!(matches!(answer, Err(BrokerError::Unknown(_))), "{answer:?}");
}

/// A stop is written in the direction in which it loses.
#[tokio::test(flavor = "multi_thread")]
async fn a_stop_limit_waits_for_its_price() {
    let desk = Desk::listening(PLACE).await;
    desk.hold("0.1").await;
    let stop =
        |trigger: &str, limit: &str| OrderKind::StopLimit { trigger: price(trigger), limit: price(limit) };
    let sell = desk.ticket(Side::Sell, "0.1", stop("58000", "57000"));
    desk.broker.submit(sell.clone()).await.unwrap();
    let kind = desk.book().last().unwrap().ticket.kind;
    assert_eq!(kind, Kind::StopLimit { stop: dec("58000"), limit: dec("57000") });
    desk.world().set_price(&venues::feed::Price::flat("BTC/USD", dec("57900")));
    assert_eq!(desk.filled(&sell).await.done.unwrap().price, Some(price("57900")));
    let buy = desk.ticket(Side::Buy, "0.01", stop("59000", "59500"));
    desk.broker.submit(buy.clone()).await.unwrap();
    desk.world().set_price(&venues::feed::Price::flat("BTC/USD", dec("59100")));
    assert_eq!(desk.filled(&buy).await.done.unwrap().price, Some(price("59100")));
    // On the wrong side of the market it is refused, as Coinbase does, with its words.
    let passed = desk.ticket(Side::Buy, "0.01", stop("50000", "50100"));
    let (code, why) = refused(desk.broker.submit(passed).await);
    assert_eq!(code, RefusalCode::OrderRejected);
    assert!(why.contains("Stop price must be above the last price"), "{why}");
}

/// Prices are asked for with the account's key, and streamed without one; coins that are not traded are left out.
#[tokio::test(flavor = "multi_thread")]
async fn prices_are_asked_for_and_streamed() {
    let desk = Desk::listening(PLACE).await;
    let symbol = PLACE.coin.parse().unwrap();
    let quote = desk.broker.quote(symbol).await.unwrap().unwrap();
    assert_eq!((quote.price, quote.bid), (price("60000"), price("60000")));
    let market = desk.house.market();
    market.watch(symbol);
    desk.world().set_price(&venues::feed::Price::spread("BTC/USD", dec("61000"), dec("61010")));
    wait_for("the new price", || async { market.quote(symbol).filter(|quote| quote.ask == price("61010")) })
        .await;
    // A coin that Coinbase does not trade against dollars is worth nothing here, and spoils nothing.
    let given = venues::world::OutsideTrade {
        symbol: "DUST/USD".to_owned(),
        side: venues::book::Side::Buy,
        qty: dec("3"),
        price: dec("0"),
    };
    desk.world().trade_outside(PLACE.key.0, &given).unwrap();
    assert_eq!(desk.broker.balance().await.unwrap().equity.get(), dec("100000"));
    assert_eq!(desk.broker.positions().await.unwrap(), []);
}

/// A clock that is wrong is found out when the session is opened, and followed.
#[tokio::test(flavor = "multi_thread")]
async fn another_clock_is_followed() {
    for seconds in [-300, 300] {
        let desk = Desk::open(PLACE).await;
        desk.world().set_clock_offset(chrono::TimeDelta::seconds(seconds));
        desk.broker.connect().await.unwrap();
        desk.hold("0.01").await;
        let all = Ticket {
            quantity: Quantity::new(dec("0.01")).unwrap(),
            ..desk.ticket(Side::Sell, "1", OrderKind::Market)
        };
        desk.broker.submit(all.clone()).await.unwrap();
        desk.filled(&all).await;
    }
}
