//! The kill switch stops new orders at once, cancels open entries, survives a restart, and says who did it.

use serde_json::json;

use crate::support::api::order;
use crate::support::{Setup, Socket, log, wait_until};

#[tokio::test]
async fn halted_a_person_gets_no_new_orders_until_they_resume() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let state = api.get("/api/v1/kill-switch").await.expect(200);
    assert_eq!(state["active"], false, "{state}");
    let halted =
        api.post("/api/v1/kill-switch", &json!({ "active": true, "reason": "lunch" })).await.expect(200);
    assert_eq!(halted["active"], true, "{halted}");

    let signal = api.signal(&order("h", "AAPL", "buy", "1")).await.expect(202);
    let trade = api.settled(signal["signal_id"].as_str().unwrap(), "rejected").await;
    assert_eq!(trade["code"], "TRADING_HALTED");
    assert!(trade["reason"].as_str().unwrap().contains("lunch"), "{trade}");

    api.post("/api/v1/kill-switch", &json!({ "active": false, "reason": "back" })).await.expect(200);
    let signal = api.signal(&order("r", "AAPL", "buy", "1")).await.expect(202);
    api.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
    assert_eq!(
        (log::count(&server.data, "TRADING_HALTED"), log::count(&server.data, "TRADING_RESUMED")),
        (1, 1)
    );
}

#[tokio::test]
async fn halting_cancels_open_entries_and_leaves_positions() {
    let server = Setup::new().still_market().start().await;
    let api = server.owner();
    let bought = api.signal(&order("b", "TSLA", "buy", "2")).await.expect(202);
    api.settled(bought["signal_id"].as_str().unwrap(), "filled").await;
    let resting = json!({ "id": "l", "ticker": "AAPL", "action": "buy", "quantity": 1, "order_type": "limit", "price": 190 });
    let resting = api.signal(&resting).await.expect(202);
    api.settled(resting["signal_id"].as_str().unwrap(), "submitted").await;
    api.post("/api/v1/kill-switch", &json!({ "active": true, "reason": "enough" })).await.expect(200);
    let trade = api.settled(resting["signal_id"].as_str().unwrap(), "cancelled").await;
    assert!(trade["reason"].as_str().is_some_and(|reason| reason.contains("enough")), "{trade}");
    let positions = api.all("/api/v1/positions").await;
    assert_eq!((positions.len(), &positions[0]["symbol"]), (1, &"TSLA".into()));
}

#[tokio::test]
async fn one_persons_switch_stops_nobody_else() {
    let server = Setup::new().start().await;
    let owner = server.owner();
    let (ada, bob) = (owner.new_user("Ada").await, owner.new_user("Bob").await);
    ada.post("/api/v1/kill-switch", &json!({ "active": true, "reason": "mine" })).await.expect(200);
    let signal = bob.signal(&order("b", "AAPL", "buy", "1")).await.expect(202);
    bob.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
    assert_eq!(bob.get("/api/v1/kill-switch").await.expect(200)["active"], false);
}

#[tokio::test]
async fn a_halt_survives_a_power_cut() {
    let mut server = Setup::new().fixed_port().start().await;
    let api = server.owner();
    api.post("/api/v1/kill-switch", &json!({ "active": true, "reason": "storm" })).await.expect(200);
    server.kill9();
    server.start_again().await;
    assert_eq!(api.get("/api/v1/kill-switch").await.expect(200)["active"], true);
    let signal = api.signal(&order("s", "AAPL", "buy", "1")).await.expect(202);
    let trade = api.settled(signal["signal_id"].as_str().unwrap(), "rejected").await;
    assert_eq!(trade["code"], "TRADING_HALTED");
}

/// The halt is durable, and the process dies before the first entry is cancelled.
#[tokio::test]
async fn entries_that_a_crash_kept_open_are_cancelled_when_the_account_is_back() {
    let setup = Setup::new().still_market().variable("TRADE_EXECUTOR_CRASH", "execution.cancel:0:1");
    let mut server = setup.start().await;
    let api = server.owner();
    let resting = json!({ "id": "l", "ticker": "AAPL", "action": "buy", "quantity": 1, "order_type": "limit", "price": 190 });
    let resting = api.signal(&resting).await.expect(202);
    api.settled(resting["signal_id"].as_str().unwrap(), "submitted").await;
    let halt = api.request(reqwest::Method::POST, "/api/v1/kill-switch");
    drop(halt.json(&json!({ "active": true, "reason": "enough" })).send().await);
    wait_until("the crash", || {
        let crashed = server.has_crashed();
        async move { crashed }
    })
    .await;
    assert_eq!(log::count(&server.data, "TRADING_HALTED"), 1);
    assert_eq!(log::count(&server.data, "ORDER_CANCEL_REQUESTED"), 0);
    server.calm();
    server.start_again().await;
    let trade = server.owner().settled(resting["signal_id"].as_str().unwrap(), "cancelled").await;
    assert!(trade["reason"].as_str().is_some_and(|reason| reason.contains("enough")), "{trade}");
}

#[tokio::test]
async fn screens_are_told_who_halted_and_why() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let mut screen = Socket::open(&api).await;
    // What happens before the full state is sent is part of that state.
    screen.next_of("state.sync").await;
    api.post("/api/v1/kill-switch", &json!({ "active": true, "reason": "fire drill" })).await.expect(200);
    let halted = screen.next_of("risk.halted").await;
    assert_eq!((&halted["data"]["scope"], &halted["data"]["reason"]), (&"user".into(), &"fire drill".into()));
    assert!(halted["data"]["by"].as_str().is_some_and(|by| !by.is_empty()), "{halted}");
    api.post("/api/v1/kill-switch", &json!({ "active": false, "reason": "over" })).await.expect(200);
    screen.next_of("risk.resumed").await;
    let mut fresh = Socket::open(&api).await;
    assert_eq!(fresh.next_of("state.sync").await["data"]["trading"]["state"], "active");
}

#[tokio::test]
async fn no_order_is_sent_after_the_switch_was_answered() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let load = {
        let api = api.clone();
        tokio::spawn(async move {
            for number in 0..200 {
                let action = if number % 2 == 0 { "buy" } else { "sell" };
                api.signal(&order(&format!("n{number}"), "AAPL", action, "1")).await.expect(202);
            }
        })
    };
    wait_until("trades", || async { api.trades().await.len() > 20 }).await;
    api.post("/api/v1/kill-switch", &json!({ "active": true, "reason": "now" })).await.expect(200);
    load.await.unwrap();
    let records = log::records(&server.data);
    let halted = records.iter().position(|record| record.statement.action == "TRADING_HALTED").unwrap();
    let after: Vec<_> =
        records[halted..].iter().filter(|record| record.statement.action == "ORDER_CREATED").collect();
    assert!(after.is_empty(), "{} orders were decided after the halt was recorded", after.len());
}
