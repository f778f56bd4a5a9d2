//! Orders of every kind, from submission to their end.

use std::sync::Arc;

use serde_json::json;
use trade_actors::domain::money::Percent;
use trade_actors::domain::order::{Ticket, TimeInForce};
use trade_actors::domain::report::{RefusalCode, ReportedState};
use trade_actors::domain::signal::{OrderKind, Side, Trail};
use trade_actors::ports::broker::IdScope;
use trade_actors::ports::clock::SystemClock;
use trade_executor::config::AlpacaConfig;
use venues::book::{FillMode, Status};
use venues::faults::Action;
use venues::feed;
use venues::world::Options;

use crate::support::{wait_for, wait_until};

use super::desk::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_tells_balance_and_promises() {
    let desk = Desk::open().await;
    let balance = desk.broker.connect().await.unwrap();
    assert_eq!((balance.cash.get(), balance.equity.get()), (dec("100000"), dec("100000")));
    assert_eq!(balance.buying_power.get(), dec("200000"));
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
        desk.broker.cancel(desk.placed(ticket.id, Some(report.broker_order))).await.unwrap();
    }
    for trail in [Trail::Amount(price("2")), Trail::Percent(Percent::new(dec("1.5")))] {
        let ticket = desk.ticket(Side::Sell, "3", OrderKind::TrailingStop { trail });
        desk.broker.submit(ticket.clone()).await.unwrap();
        assert_eq!(desk.truth(ticket.id)["status"], "new", "{trail:?}");
        desk.broker.cancel(desk.placed(ticket.id, None)).await.unwrap();
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
    desk.broker.cancel(desk.placed(known.order, Some(known.broker_order.clone()))).await.unwrap();
    desk.reported(known.order, &ReportedState::Canceled).await;
    desk.broker.cancel(desk.placed(known.order, Some(known.broker_order))).await.unwrap();

    let mut desk = desk;
    let other = desk.broker.submit(desk.ticket(Side::Buy, "1", limit("100"))).await.unwrap();
    desk.restart();
    desk.broker.cancel(desk.placed(other.order, None)).await.unwrap();
    assert_eq!(desk.looked_up(other.order).await.state, ReportedState::Canceled);

    let filled = desk.broker.submit(desk.buy("1")).await.unwrap();
    desk.broker.cancel(desk.placed(filled.order, Some(filled.broker_order))).await.unwrap();
    assert_eq!(desk.looked_up(filled.order).await.state, ReportedState::Filled);
    unknown(desk.broker.cancel(desk.placed(desk.buy("1").id, None)).await);
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
    desk.broker.cancel(desk.placed(ticket.id, Some(report.broker_order))).await.unwrap();
    desk.reported(ticket.id, &ReportedState::Canceled).await;
    assert_eq!(desk.broker.open_orders().await.unwrap(), []);
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
        "client_order_id": "904837e3-3b76-47ec-b432-046db621571b", "time_in_force": "day"});
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
    desk.broker.cancel(desk.placed(ticket.id, Some(report.broker_order))).await.unwrap();
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
