//! Binance, spot.

use trade_actors::domain::order::Mode;
use trade_actors::ports::broker::IdScope;

use super::desk::{Desk, keeps_its_promises, refuses_in_standard_codes, tries_credentials_out};
use super::place::{Place, led};

pub(crate) const PLACE: Place = Place {
    name: "binance",
    mode: Mode::Paper,
    money: "USDT",
    coin: "BTC/USDT",
    per_coin: 1,
    key: ("BINANCEKEY", "a-secret-of-the-tests"),
    lead: |urls, config| {
        config.binance = led(urls, "ws_api_url", "stream_url");
        config.binance.data_stream_url.push_str("/ws");
    },
    orders: "POST /api/v3/order",
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

/// A clock that is wrong is found out and followed; nothing is sent twice for it.
#[tokio::test(flavor = "multi_thread")]
async fn another_clock_is_followed() {
    let desk = Desk::listening(PLACE).await;
    desk.world().set_clock_offset(chrono::TimeDelta::seconds(40));
    let report = desk.hold("0.01").await;
    assert_eq!((desk.book().len(), report.fills.len()), (1, 1));
}
