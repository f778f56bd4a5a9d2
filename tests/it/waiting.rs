//! Orders that wait: for the market to open, for others on the same symbol, and for the rest of a part fill.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::support::api::{order, send};
use crate::support::app::TestClock;
use crate::support::{Api, TestApp, wait_for};

async fn signal(api: &Api, id: &str, action: &str, quantity: &str) -> String {
    api.signal(&order(id, "AAPL", action, quantity)).await.expect(202)["signal_id"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn still(config: &mut trade_executor::config::Config) {
    config.paper.symbols.iter_mut().for_each(|row| {
        row.spread_bp = 0;
        row.volatility_bp = 0;
    });
}

#[tokio::test]
async fn us_001_3_an_order_on_a_saturday_waits_for_monday_through_a_restart_and_a_change() {
    let clock = TestClock::at("2025-07-13T00:00:00Z");
    let program = TestApp::by_clock(&clock, |config| {
        still(config);
        config.paper.always_open = false;
    })
    .await;
    let api = program.owner();
    let kept = api.settled(&signal(&api, "kept", "buy", "2").await, "queued").await;
    let dropped = api.settled(&signal(&api, "dropped", "buy", "1").await, "queued").await;
    assert_eq!(kept["reason"], "Order queued for Monday 9:30am ET");
    assert_eq!(kept["queued_until"], "2025-07-14T13:30:00Z");
    let path = |trade: &Value| format!("/api/v1/trades/{}", trade["id"].as_str().unwrap());
    let change = json!({ "quantity": "3" });
    let changed =
        send(api.request(reqwest::Method::PUT, &path(&kept)).json(&change)).await.unwrap().expect(200);
    assert_eq!((&changed["quantity"], &changed["status"]), (&"3".into(), &"queued".into()));
    api.post(&format!("{}/cancel", path(&dropped)), &json!({})).await.expect(202);
    api.settled(dropped["signal_id"].as_str().unwrap(), "cancelled").await;

    let program = program.restart(|| ()).await;
    let api = program.again(&api);
    api.settled(kept["signal_id"].as_str().unwrap(), "queued").await;
    clock.turn(TimeDelta::hours(37) + TimeDelta::minutes(31));
    let filled = api.settled(kept["signal_id"].as_str().unwrap(), "filled").await;
    assert_eq!(filled["filled_quantity"], "3");
    let late = send(api.request(reqwest::Method::PUT, &path(&kept)).json(&change)).await.unwrap();
    late.assert_problem(409, "ORDER_NOT_QUEUED");
    assert_eq!(api.all("/api/v1/positions").await[0]["quantity"], "3");
}

#[tokio::test]
async fn signals_within_the_window_become_one_more_order_and_the_other_way_is_refused() {
    let program = TestApp::configured(|config| {
        still(config);
        config.risk.merge_window_s = 2;
    })
    .await;
    let api = program.owner();
    let first = signal(&api, "one", "buy", "1").await;
    let (second, third) = (signal(&api, "two", "buy", "2").await, signal(&api, "three", "buy", "3").await);
    let against = signal(&api, "against", "sell", "1").await;
    let refused = api.settled(&against, "rejected").await;
    assert_eq!(refused["code"], "CONFLICTING_SIGNAL");
    assert!(refused["reason"].as_str().unwrap().contains("contradicts"), "{refused}");
    assert_eq!(api.settled(&first, "filled").await["filled_quantity"], "1");
    let carrier = api.settled(&second, "filled").await;
    assert_eq!(carrier["filled_quantity"], "5", "{carrier}");
    let merged = api.settled(&third, "cancelled").await;
    assert_eq!(merged["reason"], format!("Merged into the order {}", carrier["id"].as_str().unwrap()));
    wait_for("six shares", || async {
        let positions = api.all("/api/v1/positions").await;
        (positions.len() == 1 && positions[0]["quantity"] == "6").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_rest_of_a_part_fill_is_cancelled_in_time() {
    let program = TestApp::configured(|config| {
        still(config);
        config.paper.liquidity = Some(4.into());
        config.paper.tick_ms = 600_000;
        config.risk.partial_fill_timeout_s = 1;
    })
    .await;
    let api = program.owner();
    let trade = api.settled(&signal(&api, "part", "buy", "10").await, "cancelled").await;
    assert_eq!((&trade["filled_quantity"], &trade["quantity"]), (&"4".into(), &"10".into()));
    assert_eq!(trade["reason"], "the rest was not filled within 1 s");
    assert_eq!(api.all("/api/v1/positions").await[0]["quantity"], "4");
}
