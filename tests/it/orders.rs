//! An order's life at the paper broker, as the API shows it.

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::support::api::order;
use crate::support::{Setup, wait_for};

#[tokio::test]
async fn a_market_order_is_filled_and_moves_cash_and_position() {
    let server = Setup::new().still_market().start().await;
    let api = server.owner();
    let signal = api.signal(&order("m", "AAPL", "buy", "10")).await.expect(202);
    let trade = api.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
    for (field, value) in [
        ("symbol", "AAPL"),
        ("side", "buy"),
        ("order_type", "market"),
        ("quantity", "10"),
        ("filled_quantity", "10"),
        ("average_price", "200"),
        ("broker", "paper"),
        ("mode", "paper"),
    ] {
        assert_eq!(trade[field], value, "{field} of {trade}");
    }
    let portfolio = wait_for("the cash to move", || async {
        let portfolio = api.portfolio().await;
        (portfolio["cash"] != "100000").then_some(portfolio)
    });
    let portfolio = portfolio.await;
    assert_eq!(
        (&portfolio["cash"], &portfolio["equity"]),
        (&"98000".into(), &"100000".into()),
        "{portfolio}"
    );
    let positions = api.all("/api/v1/positions").await;
    assert_eq!(
        (positions.len(), &positions[0]["quantity"], &positions[0]["side"]),
        (1, &"10".into(), &"long".into())
    );

    let close = api.signal(&json!({ "id": "c", "ticker": "AAPL", "action": "close" })).await.expect(202);
    let closed = api.settled(close["signal_id"].as_str().unwrap(), "filled").await;
    assert_eq!((&closed["side"], &closed["quantity"]), (&"sell".into(), &"10".into()));
    assert!(api.all("/api/v1/positions").await.is_empty());
}

#[tokio::test]
async fn a_trade_tells_its_stages_and_its_history() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let signal = api.signal(&order("t", "AAPL", "buy", "1")).await.expect(202);
    let trade = api.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
    let detail = api.get(&format!("/api/v1/trades/{}", trade["id"].as_str().unwrap())).await.expect(200);
    let stage =
        |name: &str| detail["stages"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {detail}"));
    let stages = ["decided", "committed", "sent", "acknowledged", "filled"].map(stage);
    assert!(stages.is_sorted(), "{detail}");
    let history = detail["history"].as_array().unwrap();
    assert!(history.len() >= 2, "{detail}");
    assert!(history.is_sorted_by_key(|line| line["at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap()));
}

#[tokio::test]
async fn a_limit_order_rests_until_it_is_cancelled() {
    let server = Setup::new().still_market().start().await;
    let api = server.owner();
    let body = json!({ "id": "l", "ticker": "AAPL", "action": "buy", "quantity": 3, "order_type": "limit", "price": 190 });
    let signal = api.signal(&body).await.expect(202);
    let trade = api.settled(signal["signal_id"].as_str().unwrap(), "submitted").await;
    assert_eq!((&trade["limit_price"], &trade["filled_quantity"]), (&"190".into(), &"0".into()));
    let path = format!("/api/v1/trades/{}/cancel", trade["id"].as_str().unwrap());
    let answer = api.post(&path, &json!({})).await;
    assert!(matches!(answer.status, 200 | 202), "{} {}", answer.status, answer.text);
    api.settled(signal["signal_id"].as_str().unwrap(), "cancelled").await;
    assert!(api.all("/api/v1/positions").await.is_empty());
    let portfolio = api.portfolio().await;
    assert_eq!((&portfolio["cash"], &portfolio["buying_power"]), (&"100000".into(), &"200000".into()));
}

#[tokio::test]
async fn a_limit_order_at_the_market_fills_at_its_price_or_better() {
    let server = Setup::new().still_market().start().await;
    let api = server.owner();
    let body = json!({ "id": "l", "ticker": "AAPL", "action": "buy", "quantity": 3, "order_type": "limit", "price": 205 });
    let signal = api.signal(&body).await.expect(202);
    let trade = api.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
    assert_eq!(trade["average_price"], "200");
}

#[tokio::test]
async fn a_stop_order_waits_for_its_price_and_survives_a_restart() {
    let mut server = Setup::new().fixed_port().still_market().start().await;
    let api = server.owner();
    let bought = api.signal(&order("b", "TSLA", "buy", "4")).await.expect(202);
    api.settled(bought["signal_id"].as_str().unwrap(), "filled").await;
    let body = json!({ "id": "s", "ticker": "TSLA", "action": "sell", "quantity": 4, "order_type": "stop", "stop_price": 240 });
    let signal = api.signal(&body).await.expect(202);
    let trade = api.settled(signal["signal_id"].as_str().unwrap(), "submitted").await;
    assert_eq!((&trade["order_type"], &trade["stop_price"]), (&"stop".into(), &"240".into()));
    server.restart().await;
    assert_eq!(api.trade_of(signal["signal_id"].as_str().unwrap()).await.unwrap()["status"], "submitted");
    let path = format!("/api/v1/trades/{}/cancel", trade["id"].as_str().unwrap());
    let answer = api.post(&path, &json!({})).await;
    assert!(matches!(answer.status, 200 | 202), "{} {}", answer.status, answer.text);
    api.settled(signal["signal_id"].as_str().unwrap(), "cancelled").await;
}

#[tokio::test]
async fn a_thin_market_fills_an_order_piece_by_piece() {
    let settings = "[paper]\nliquidity = 3\ntick_ms = 50\n";
    let server = Setup::new().settings(settings).start().await;
    let api = server.owner();
    let signal = api.signal(&order("p", "AAPL", "buy", "10")).await.expect(202);
    let trade = api.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
    let detail = api.get(&format!("/api/v1/trades/{}", trade["id"].as_str().unwrap())).await.expect(200);
    let fills = detail["history"].as_array().unwrap().iter().filter(|line| {
        line["event"].as_str().is_some_and(|event| event.contains("EXECUTED") || event.contains("fill"))
    });
    assert!(fills.count() >= 4, "{detail}");
    assert_eq!(trade["filled_quantity"], "10");
}

#[tokio::test]
async fn an_order_by_hand_is_filled_once_per_idempotency_key() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let body = json!({ "symbol": "AAPL", "side": "buy", "quantity": "2", "order_type": "market" });
    let post = |key: &'static str, body: &serde_json::Value| {
        let request =
            api.request(reqwest::Method::POST, "/api/v1/trades").header("idempotency-key", key).json(body);
        crate::support::api::send(request)
    };
    let first = post("k1", &body).await.unwrap();
    assert_eq!(first.status, 201, "{}", first.text);
    let again = post("k1", &body).await.unwrap();
    assert!((200..300).contains(&again.status), "{} {}", again.status, again.text);
    assert_eq!(first.body["signal_id"], again.body["signal_id"]);
    post("k1", &json!({ "symbol": "TSLA", "side": "buy", "quantity": "2" }))
        .await
        .unwrap()
        .assert_problem(422, "IDEMPOTENCY_KEY_REUSED");
    let trade = api.settled(first.str("signal_id"), "filled").await;
    assert_eq!(trade["quantity"], "2");
    post("k2", &body).await.unwrap();
    let trades = wait_for("the second order", || async {
        let trades = api.trades().await;
        (trades.len() == 2).then_some(trades)
    });
    trades.await;
}
