//! The risk rules as a person meets them: the order shrinks or is refused, and the words say why.

use serde_json::json;

use crate::support::api::order;
use crate::support::{Server, Setup, Socket, log};

/// A small account and shares at 180 dollars that never move.
async fn small_account(cash: u32) -> Server {
    let settings = format!(
        r#"
        [paper]
        start_cash = {cash}
        symbols = [
          {{ symbol = "AAPL", class = "equity", price = 180, volatility_bp = 0, spread_bp = 0 }},
          {{ symbol = "NVDA", class = "equity", price = 500, volatility_bp = 0, spread_bp = 0 }},
        ]
        "#
    );
    Setup::new().settings(&settings).start().await
}

#[tokio::test]
async fn a_signal_too_large_for_the_account_is_reduced_to_its_share() {
    let server = small_account(10_000).await;
    let api = server.owner();
    let mut screen = Socket::open(&api).await;
    screen.next_of("state.sync").await;
    let signal = api.signal(&order("big", "AAPL", "buy", "100")).await.expect(202);
    let trade = api.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
    assert_eq!((&trade["quantity"], &trade["filled_quantity"]), (&"5".into(), &"5".into()), "{trade}");
    let words = "Position sized reduced to 5 shares (10% max rule)";
    let resized = screen.next_of("risk.resized").await;
    assert_eq!((&resized["data"]["message"], &resized["data"]["trade_id"]), (&words.into(), &trade["id"]));
    let detail = api.get(&format!("/api/v1/trades/{}", trade["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(
        (&detail["decision"]["requested"], &detail["decision"]["equity"]),
        (&"100".into(), &"10000".into())
    );
    assert!(detail["decision"]["notes"].to_string().contains(words), "{detail}");

    let full = api.signal(&order("more", "AAPL", "buy", "100")).await.expect(202);
    let refused = api.settled(full["signal_id"].as_str().unwrap(), "rejected").await;
    assert_eq!(refused["code"], "POSITION_LIMIT", "{refused}");
}

#[tokio::test]
async fn an_order_that_costs_more_than_the_buying_power_is_refused_with_both_numbers() {
    let server = small_account(1_000).await;
    let api = server.owner();
    let signal = api.signal(&order("dear", "AAPL", "buy", "50")).await.expect(202);
    let trade = api.settled(signal["signal_id"].as_str().unwrap(), "rejected").await;
    assert_eq!(trade["code"], "INSUFFICIENT_FUNDS");
    assert_eq!(trade["reason"], "Insufficient buying power: $2,000 available, $9,000 required");
    assert_eq!(log::count(&server.data, "PAPER_ORDER_BOOKED"), 0);
}

#[tokio::test]
async fn an_order_by_hand_past_the_limit_is_refused_and_not_reduced() {
    let server = small_account(25_000).await;
    let api = server.owner();
    let body = json!({ "symbol": "NVDA", "side": "buy", "quantity": "200", "order_type": "market" });
    let answer = api.post("/api/v1/trades", &body).await;
    let trade =
        api.trades().await.into_iter().next().unwrap_or_else(|| panic!("{} {}", answer.status, answer.text));
    assert_eq!(trade["status"], "rejected");
    assert_eq!(
        trade["reason"], "Manual orders subject to risk limits. Max position: $2,500 (10% of $25,000 equity)",
        "{trade}"
    );
    assert_eq!(log::count(&server.data, "PAPER_ORDER_BOOKED"), 0);
}

#[tokio::test]
async fn a_limit_price_far_from_the_market_is_a_slip_of_the_finger() {
    let server = small_account(10_000).await;
    let api = server.owner();
    let body = json!({ "id": "f", "ticker": "AAPL", "action": "buy", "quantity": 1, "order_type": "limit", "price": 18 });
    let signal = api.signal(&body).await.expect(202);
    let trade = api.settled(signal["signal_id"].as_str().unwrap(), "rejected").await;
    assert_eq!(trade["code"], "FAT_FINGER", "{trade}");
}

#[tokio::test]
async fn limits_can_be_tightened_and_hold_from_then_on() {
    let server = small_account(10_000).await;
    let api = server.owner();
    let limits = api.get("/api/v1/risk").await.expect(200);
    let now = limits.get("limits").unwrap_or(&limits);
    assert_eq!(now["position_max_pct"], "10", "{limits}");
    let put = api.request(reqwest::Method::PUT, "/api/v1/risk").json(&json!({ "position_max_pct": "4" }));
    let changed = crate::support::api::send(put).await.unwrap();
    assert_eq!(changed.status, 200, "{}", changed.text);
    let signal = api.signal(&order("small", "AAPL", "buy", "100")).await.expect(202);
    let trade = api.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
    assert_eq!(trade["quantity"], "2", "4 % of 10,000 is two shares at 180");
    assert_eq!(log::count(&server.data, "LIMITS_CHANGED"), 1);
}

#[tokio::test]
async fn what_open_orders_hold_back_is_not_spent_twice() {
    let server = small_account(1_000).await;
    let api = server.owner();
    let put = api.request(reqwest::Method::PUT, "/api/v1/risk").json(&json!({ "position_max_pct": "100" }));
    crate::support::api::send(put).await.unwrap().expect(200);
    let rest = |id: &str, symbol: &str, quantity: u32, price: u32| json!({ "id": id, "ticker": symbol, "action": "buy", "quantity": quantity, "order_type": "limit", "price": price });
    let first = api.signal(&rest("one", "AAPL", 5, 170)).await.expect(202);
    api.settled(first["signal_id"].as_str().unwrap(), "submitted").await;
    let second = api.signal(&rest("two", "NVDA", 3, 490)).await.expect(202);
    let trade = api.settled(second["signal_id"].as_str().unwrap(), "rejected").await;
    assert_eq!(trade["code"], "INSUFFICIENT_FUNDS", "{trade}");
    assert_eq!(trade["reason"], "Insufficient buying power: $1,150 available, $1,470 required");
}
