//! Which of a person's broker accounts signals go to (FR-020), and that limits hold at all of them together.

use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use trade_actors::domain::money::Percent;
use trade_executor::config::Config;

use crate::support::api::{Answer, order, send};
use crate::support::desk::Desk;
use crate::support::{Api, TestApp, TestClock, wait_for, wait_until};

const BROKERS: &str = "/api/v1/brokers";
const ROUTES: &str = "/api/v1/routes";

async fn put(api: &Api, path: &str, body: Value) -> Answer {
    send(api.request(Method::PUT, path).json(&body)).await.unwrap()
}

async fn start() -> TestApp {
    let desk = Desk::default();
    TestApp::start_on(tempfile::tempdir().unwrap(), |_, options| desk.serve(options)).await
}

/// Connects an account, waits for its session, and returns its id.
async fn connect(api: &Api, new: Value) -> Value {
    let made = api.post(BROKERS, &new).await.expect(201);
    wait_until("the account to be connected", || async {
        let all = api.get(BROKERS).await.expect(200);
        let all = all["items"].as_array().unwrap();
        all.iter().any(|known| known["id"] == made["id"] && known["connected"] == true)
    })
    .await;
    made["id"].clone()
}

async fn alpaca(api: &Api) -> Value {
    let secret = "aSecretOfTheTests";
    connect(
        api,
        json!({ "broker": "alpaca", "mode": "paper", "name": "Growth", "key_id": "PKROUTES", "secret": secret }),
    )
    .await
}

async fn second(api: &Api) -> Value {
    connect(api, json!({ "broker": "paper", "mode": "paper", "name": "Second" })).await
}

/// Sends a signal, and returns what its order became.
async fn trade(api: &Api, body: Value, status: &str) -> Value {
    let told = api.signal(&body).await.expect(202);
    api.settled(told["signal_id"].as_str().unwrap(), status).await
}

fn via(id: &str, symbol: &str, action: &str, via: &str) -> Value {
    let mut body = order(id, symbol, action, "1");
    body["via"] = json!(via);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_market_has_its_broker_and_a_signal_may_name_another() {
    let program = start().await;
    let api = program.owner();
    let growth = alpaca(&api).await;
    let before = api.read(ROUTES).await;
    assert_eq!((&before["equity"], &before["crypto"]), (&Value::Null, &Value::Null), "{before}");
    let after = put(&api, ROUTES, json!({ "equity": growth })).await.expect(200);
    assert_eq!((&after["equity"], &after["crypto"]), (&growth, &Value::Null));
    assert_eq!(after["default"], before["default"]);
    let shown = api.get(BROKERS).await.expect(200);
    let shown =
        shown["items"].as_array().unwrap().iter().find(|known| known["id"] == growth).unwrap().clone();
    assert_eq!((&shown["routes"], &shown["default"]), (&json!(["equity"]), &json!(false)));

    let broker = |trade: &Value| trade["broker"].clone();
    assert_eq!(broker(&trade(&api, order("s", "AAPL", "buy", "2"), "filled").await), "alpaca");
    assert_eq!(broker(&trade(&api, order("c", "BTC/USDT", "buy", "0.01"), "filled").await), "paper");
    assert_eq!(broker(&trade(&api, via("v", "AAPL", "buy", "Paper"), "filled").await), "paper");
    assert_eq!(broker(&trade(&api, via("n", "BTC/USDT", "buy", "growth"), "filled").await), "alpaca");

    // To another place than the one that was asked for nothing goes.
    let denied = trade(&api, via("k", "AAPL", "buy", "kraken"), "rejected").await;
    assert_eq!(denied["code"], "NO_BROKER", "{denied}");
    let words =
        "The signal asks for kraken, and no account of that name or broker is connected. Nothing was sent.";
    assert!(denied["reason"].as_str().unwrap().starts_with(words), "{denied}");
    let unread = api.signal(&via("u", "AAPL", "buy", &"x".repeat(41))).await;
    assert_eq!((unread.status, unread.str("code")), (422, "BAD_VIA"), "{}", unread.text);
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_is_closed_where_it_is_whatever_was_chosen_since() {
    let program = start().await;
    let api = program.owner();
    trade(&api, order("o", "AAPL", "buy", "2"), "filled").await;
    let growth = alpaca(&api).await;
    put(&api, ROUTES, json!({ "equity": growth })).await.expect(200);
    let stop = json!({ "id": "m", "ticker": "AAPL", "action": "move_stop", "stopLoss": "100" });
    api.signal(&stop).await.expect(202);
    wait_until("the stop to be moved", || async {
        api.all("/api/v1/positions").await.iter().any(|held| held["stop_loss"] == "100")
    })
    .await;
    let closed = trade(&api, json!({ "id": "x", "ticker": "AAPL", "action": "close" }), "filled").await;
    assert_eq!((&closed["broker"], &closed["side"]), (&json!("paper"), &json!("sell")), "{closed}");
    wait_until("nothing to be held", || async { api.all("/api/v1/positions").await.is_empty() }).await;
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_leads_to_an_account_of_ones_own_and_ends_with_it() {
    let program = start().await;
    let ada = program.owner();
    let bob = ada.new_user("Bob").await;
    let growth = alpaca(&ada).await;
    for body in [json!({ "equity": growth }), json!({ "crypto": null, "equity": growth })] {
        let refused = put(&bob, ROUTES, body).await;
        assert_eq!((refused.status, refused.str("code")), (422, "INVALID_VALUE"), "{}", refused.text);
    }
    put(&ada, ROUTES, json!({ "equity": growth, "crypto": growth })).await.expect(200);
    put(&ada, ROUTES, json!({ "crypto": null })).await.expect(200);
    assert_eq!(ada.read(ROUTES).await["crypto"], Value::Null);
    let program = program.restart(|| ()).await;
    let ada = program.again(&ada);
    assert_eq!(ada.read(ROUTES).await["equity"], growth);
    ada.delete(&format!("{BROKERS}/{}", growth.as_str().unwrap())).await.expect(204);
    assert_eq!(ada.read(ROUTES).await["equity"], Value::Null);
    assert_eq!(trade(&ada, order("s", "AAPL", "buy", "1"), "filled").await["broker"], "paper");
    program.stop().await;
}

/// Prices that only the test moves, without a spread, and positions as large as the account.
fn settings(config: &mut Config) {
    config.paper.start_cash = Decimal::from(50_000);
    config.paper.symbols.retain(|row| ["AAPL", "BTC/USDT"].contains(&row.symbol.as_str()));
    for row in &mut config.paper.symbols {
        (row.volatility_bp, row.spread_bp) = (0, 0);
        row.price = Decimal::from(if row.symbol.as_str() == "AAPL" { 180 } else { 1_000 });
    }
    config.risk.position_max_pct = Percent::new(Decimal::ONE_HUNDRED);
    config.risk.stop_loss_pct = Percent::new(Decimal::ZERO);
}

async fn halted(api: &Api) -> Value {
    wait_for("trading to be stopped", || async {
        let switch = api.read("/api/v1/kill-switch").await;
        (switch["active"] == true).then(|| switch["trading"].clone())
    })
    .await
}

/// A person of two accounts, with shares at the second and coins at the first.
async fn of_two_accounts() -> (TestApp, Api) {
    let program = TestApp::by_clock(&TestClock::at("2025-01-03T15:00:00Z"), settings).await;
    let api = program.owner();
    let other = second(&api).await;
    put(&api, ROUTES, json!({ "equity": other })).await.expect(200);
    (program, api)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loss_at_any_account_stops_trading_at_all_of_them() {
    let (program, api) = of_two_accounts().await;
    trade(&api, order("a", "AAPL", "buy", "200"), "filled").await;
    program.price("AAPL", "160");
    let halt = halted(&api).await;
    assert_eq!(halt["cause"], "circuit_breaker", "{halt}");
    let reason = halt["reason"].as_str().unwrap();
    assert!(reason.starts_with("Emergency circuit breaker triggered (-8%)."), "{reason}");
    assert!(reason.ends_with(" The loss is at Second."), "{reason}");
    let denied = trade(&api, order("late", "BTC/USDT", "buy", "1"), "rejected").await;
    assert_eq!(denied["code"], "ACCOUNT_UNDER_REVIEW", "{denied}");
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amount_that_may_be_lost_in_a_day_is_one_amount_for_all_accounts() {
    let (program, api) = of_two_accounts().await;
    put(&api, "/api/v1/risk", json!({ "daily_loss_amount": "1000", "daily_loss_pct": 0 })).await.expect(200);
    trade(&api, order("a", "AAPL", "buy", "100"), "filled").await;
    trade(&api, order("b", "BTC/USDT", "buy", "10"), "filled").await;
    program.price("AAPL", "174");
    program.price("BTC/USDT", "960");
    let halt = halted(&api).await;
    assert_eq!(halt["cause"], "daily_loss", "{halt}");
    let reason = halt["reason"].as_str().unwrap();
    assert!(reason.starts_with("Daily loss limit reached (-$1,000)"), "{reason}");
    assert!(reason.ends_with(" The loss is that of all paper accounts together."), "{reason}");
    program.stop().await;
}
