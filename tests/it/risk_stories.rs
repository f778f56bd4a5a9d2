//! The stories of US-001 and US-006 about risk, by their numbers and in their words.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::TimeDelta;
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use trade_actors::domain::event::Event;
use trade_executor::config::Config;

use crate::support::api::{Answer, order, send};
use crate::support::{Api, Socket, TestApp, TestClock, log, wait_for, wait_until};

const LIMIT_REACHED: &str = "Daily loss limit reached (-5%). Trading disabled until tomorrow.";
const BREAKER: &str = "Emergency circuit breaker triggered (-8%). Account under review. Contact support.";

/// A Friday in session hours.
fn friday() -> Arc<TestClock> {
    TestClock::at("2025-01-03T15:00:00Z")
}

/// Prices that only the test moves, without a spread, and positions as large as the account.
fn settings(config: &mut Config, cash: i64) {
    config.paper.start_cash = Decimal::from(cash);
    config.paper.symbols.retain(|row| ["AAPL", "NVDA", "SPY"].contains(&row.symbol.as_str()));
    for row in &mut config.paper.symbols {
        (row.volatility_bp, row.spread_bp) = (0, 0);
        row.price = Decimal::from(match row.symbol.as_str() {
            "AAPL" => 180,
            _ => 500,
        });
    }
}

fn whole_account(config: &mut Config, cash: i64) {
    settings(config, cash);
    config.risk.position_max_pct = trade_actors::domain::money::Percent::new(Decimal::ONE_HUNDRED);
}

async fn put(api: &Api, path: &str, body: Value) -> Answer {
    send(api.request(Method::PUT, path).json(&body)).await.unwrap()
}

/// Sends a signal, and returns the trade it became once that has this status.
async fn trade(api: &Api, id: &str, symbol: &str, action: &str, quantity: &str, status: &str) -> Value {
    let signal = api.signal(&order(id, symbol, action, quantity)).await.expect(202);
    api.settled(signal["signal_id"].as_str().unwrap(), status).await
}

/// Waits until losses stopped trading, and returns the halt as the person sees it.
async fn halted(api: &Api) -> Value {
    wait_for("trading to be stopped", || async {
        let switch = api.read("/api/v1/kill-switch").await;
        (switch["active"] == true).then(|| switch["trading"].clone())
    })
    .await
}

async fn until_active(api: &Api) {
    wait_until("trading to go on", || async { api.read("/api/v1/kill-switch").await["active"] == false })
        .await;
}

/// Returns the symbols whose positions the log says are to be left for this reason.
fn left(program: &TestApp, reason: &str) -> BTreeSet<String> {
    let events = log::records(&program.data())
        .into_iter()
        .filter_map(|record| Event::parse(record.statement.payload.as_deref().unwrap_or_default()).ok());
    events
        .filter_map(|event| match event {
            Event::ProtectionChanged { symbol, protection, .. } => {
                (protection?.leave.as_deref() == Some(reason)).then(|| symbol.to_string())
            }
            _ => None,
        })
        .collect()
}

/// Waits until nothing is held any more, here and at the broker.
async fn until_flat(api: &Api) {
    wait_until("every position to be closed", || async { api.all("/api/v1/positions").await.is_empty() })
        .await;
}

fn names(symbols: &[&str]) -> BTreeSet<String> {
    symbols.iter().map(|symbol| (*symbol).to_owned()).collect()
}

#[tokio::test]
async fn us_006_1_a_signal_is_reduced_to_ten_per_cent_of_the_account() {
    let program = TestApp::by_clock(&friday(), |config| settings(config, 10_000)).await;
    let api = program.owner();
    let mut screen = Socket::open(&api).await;
    screen.next_of("state.sync").await;
    let trade = trade(&api, "big", "AAPL", "buy", "100", "filled").await;
    assert_eq!((&trade["filled_quantity"], &trade["average_price"]), (&"5".into(), &"180".into()), "{trade}");
    let resized = screen.next_of("risk.resized").await;
    assert_eq!(resized["data"]["message"], "Position sized reduced to 5 shares (10% max rule)");
}

#[tokio::test]
async fn us_006_3_a_loss_near_its_limit_pauses_trading_until_midnight() {
    let clock = friday();
    let program = TestApp::by_clock(&clock, |config| whole_account(config, 10_000)).await;
    let api = program.owner();
    let limits = json!({ "daily_loss_amount": "500", "daily_loss_pct": 0 });
    put(&api, "/api/v1/risk", limits).await.expect(200);
    let mut screen = Socket::open(&api).await;
    screen.next_of("state.sync").await;
    trade(&api, "held", "SPY", "buy", "1", "filled").await;
    // Each takes ten shares at 180: two lose 160 dollars, and the third stands at 165 when the day reaches 485.
    for (number, low) in [(1, "164"), (2, "164"), (3, "163.5")] {
        program.price("AAPL", "180");
        trade(&api, &format!("in{number}"), "AAPL", "buy", "10", "filled").await;
        program.price("AAPL", low);
        if number < 3 {
            trade(&api, &format!("out{number}"), "AAPL", "sell", "10", "filled").await;
            assert_eq!(api.read("/api/v1/kill-switch").await["active"], false);
        }
    }
    let words = "Daily loss limit approaching (-$485 of -$500). Trading paused until tomorrow 00:00 UTC";
    let halt = halted(&api).await;
    assert_eq!((&halt["reason"], &halt["cause"]), (&words.into(), &"daily_loss".into()), "{halt}");
    assert_eq!((&halt["by"], &halt["until"]), (&"risk".into(), &"2025-01-04T00:00:00Z".into()));
    assert_eq!(screen.next_of("risk.halted").await["data"]["reason"], words);
    assert_eq!(screen.next_of("notification").await["data"]["message"], words);
    assert_eq!(left(&program, words), names(&["AAPL", "SPY"]));
    until_flat(&api).await;
    assert_eq!(api.portfolio().await["cash"], "9515");
    let denied = trade(&api, "late", "NVDA", "buy", "1", "rejected").await;
    assert_eq!((&denied["code"], &denied["reason"]), (&"DAILY_LOSS_LIMIT".into(), &words.into()));

    // The day turns while the account is awake: trading goes on by itself.
    clock.turn(TimeDelta::hours(8) + TimeDelta::minutes(59));
    assert_eq!(api.read("/api/v1/kill-switch").await["active"], true, "a minute before midnight");
    clock.turn(TimeDelta::minutes(1));
    until_active(&api).await;
    let resumed = screen.next_of("risk.resumed").await;
    assert_eq!(resumed["data"]["by"], "schedule", "{resumed}");
    // The broker is asked for the balance every 25 seconds; the first answer of the day opens it.
    wait_until("the new day to be opened", || async {
        api.read("/api/v1/risk").await["usage"]["day_opening"] == "9515"
    })
    .await;
    trade(&api, "next", "NVDA", "buy", "1", "filled").await;
    assert_eq!(
        (log::count(&program.data(), "TRADING_HALTED"), log::count(&program.data(), "TRADING_RESUMED")),
        (1, 1)
    );
}

#[tokio::test]
async fn us_006_4_an_order_by_hand_past_the_limit_is_refused_and_logged() {
    let program = TestApp::by_clock(&friday(), |config| settings(config, 25_000)).await;
    let api = program.owner();
    let body = json!({ "symbol": "NVDA", "side": "buy", "quantity": "200", "order_type": "market" });
    api.post("/api/v1/trades", &body).await;
    let words = "Manual orders subject to risk limits. Max position: $2,500 (10% of $25,000 equity)";
    let trades = api.trades().await;
    assert_eq!((&trades[0]["status"], &trades[0]["reason"]), (&"rejected".into(), &words.into()));
    let records = log::records(&program.data());
    let denied = records.iter().find(|record| record.statement.action == "ORDER_DENIED").unwrap();
    assert_eq!(denied.statement.error_message.as_deref(), Some(words));
    let payload: Value = serde_json::from_str(denied.statement.payload.as_deref().unwrap()).unwrap();
    assert!(payload.to_string().contains(r#""day_opening":"25000""#), "the numbers used are kept: {payload}");
    assert_eq!(log::count(&program.data(), "PAPER_ORDER_BOOKED"), 0);
}

#[tokio::test]
async fn us_006_5_the_circuit_breaker_sells_everything_and_locks_the_account() {
    let clock = friday();
    let program = TestApp::by_clock(&clock, |config| {
        whole_account(config, 50_000);
        (config.metrics.enabled, config.metrics.listen) = (true, "127.0.0.1:0".parse().unwrap());
    })
    .await;
    let operator = program.owner();
    let ada = operator.new_user("Ada").await;
    let (mut watching, mut screen) = (Socket::open(&operator).await, Socket::open(&ada).await);
    screen.next_of("state.sync").await;
    watching.next_of("state.sync").await;
    trade(&ada, "a", "AAPL", "buy", "200", "filled").await;
    trade(&ada, "s", "SPY", "buy", "1", "filled").await;
    let resting = json!({ "id": "r", "ticker": "NVDA", "action": "buy", "quantity": 1, "order_type": "limit", "price": 480 });
    let resting = ada.signal(&resting).await.expect(202)["signal_id"].as_str().unwrap().to_owned();
    ada.settled(&resting, "submitted").await;

    program.price("AAPL", "160");
    let halt = halted(&ada).await;
    assert_eq!((&halt["reason"], &halt["cause"]), (&BREAKER.into(), &"circuit_breaker".into()), "{halt}");
    assert_eq!(halt["until"], Value::Null);
    assert_eq!(screen.next_of("notification").await["data"]["message"], BREAKER);
    let alert = watching.next_of("notification").await;
    assert_eq!(
        (&alert["data"]["title"], &alert["data"]["level"]),
        (&"Circuit breaker: Ada".into(), &"error".into())
    );
    assert!(alert["data"]["message"].as_str().unwrap().starts_with(BREAKER), "{alert}");
    assert_eq!(left(&program, BREAKER), names(&["AAPL", "SPY"]));
    until_flat(&ada).await;
    assert_eq!(ada.portfolio().await["cash"], "46000");
    ada.settled(&resting, "cancelled").await;
    let measured = reqwest::get(program.metrics_url()).await.unwrap().text().await.unwrap();
    assert!(measured.contains("trade_executor_circuit_breakers_total 1"), "{measured}");

    // No night, no restart and no wish of the person lifts it.
    let program = program.restart(|| clock.turn(TimeDelta::days(3))).await;
    let (operator, ada) = (program.again(&operator), program.again(&ada));
    let denied = trade(&ada, "late", "NVDA", "buy", "1", "rejected").await;
    assert_eq!((&denied["code"], &denied["reason"]), (&"ACCOUNT_UNDER_REVIEW".into(), &BREAKER.into()));
    let refused = ada.post("/api/v1/kill-switch", &json!({ "active": false, "reason": "please" })).await;
    refused.assert_problem(409, "ACCOUNT_UNDER_REVIEW");
    assert_eq!(refused.body["detail"], BREAKER);

    let me = ada.get("/api/v1/me").await.expect(200)["user"]["id"].as_str().unwrap().to_owned();
    let lifted = operator.post(&format!("/api/v1/admin/users/{me}/resume"), &json!({})).await.expect(200);
    assert_eq!(lifted["trading"]["state"], "active", "{lifted}");
    trade(&ada, "next", "NVDA", "buy", "1", "filled").await;
    assert_eq!(log::count(&program.data(), "TRADING_RESUMED"), 1);
    assert_eq!(log::count(&program.data(), "USER_RESUMED"), 0, "nobody was suspended");
}

#[tokio::test]
async fn us_001_2_an_order_beyond_the_buying_power_is_refused_with_both_numbers() {
    let program = TestApp::by_clock(&friday(), |config| {
        whole_account(config, 20_000);
        config.paper.leverage = Decimal::ONE;
    })
    .await;
    let api = program.owner();
    let trade = trade(&api, "dear", "SPY", "buy", "100", "rejected").await;
    assert_eq!(trade["reason"], "Insufficient buying power: $20,000 available, $50,000 required");
    assert_eq!(log::count(&program.data(), "PAPER_ORDER_BOOKED"), 0);
}

#[tokio::test]
async fn us_001_5_a_loss_of_five_per_cent_disables_trading_until_tomorrow() {
    let clock = friday();
    let program = TestApp::by_clock(&clock, |config| whole_account(config, 100_000)).await;
    let api = program.owner();
    trade(&api, "a", "AAPL", "buy", "250", "filled").await;
    program.price("AAPL", "170");
    wait_until("the loss to be shown", || async {
        api.read("/api/v1/risk").await["usage"]["day_pnl"] == "-2500"
    })
    .await;
    let risk = api.read("/api/v1/risk").await;
    for (name, value) in [
        ("day_opening", "100000"),
        ("day_pnl_pct", "-2.5"),
        ("daily_loss_limit", "5000"),
        ("daily_loss_used_pct", "50"),
        ("breaker_limit", "8000"),
        ("breaker_used_pct", "31.25"),
    ] {
        assert_eq!(risk["usage"][name], value, "{name} in {risk}");
    }
    assert_eq!(risk["trading"]["state"], "active");

    program.price("AAPL", "160");
    let halt = halted(&api).await;
    assert_eq!((&halt["reason"], &halt["cause"]), (&LIMIT_REACHED.into(), &"daily_loss".into()), "{halt}");
    assert_eq!(left(&program, LIMIT_REACHED), names(&["AAPL"]));
    until_flat(&api).await;
    assert_eq!(api.portfolio().await["cash"], "95000");
    let risk = api.read("/api/v1/risk").await;
    assert_eq!(
        (&risk["trading"]["cause"], &risk["trading"]["until"]),
        (&"daily_loss".into(), &"2025-01-04T00:00:00Z".into())
    );
    let refused = api.post("/api/v1/kill-switch", &json!({ "active": false, "reason": "please" })).await;
    refused.assert_problem(409, "DAILY_LOSS_LIMIT");

    // The prices are back where they were after a restart; the halt stays.
    let program = program.restart(|| {}).await;
    let api = program.again(&api);
    let denied = trade(&api, "late", "NVDA", "buy", "1", "rejected").await;
    assert_eq!((&denied["code"], &denied["reason"]), (&"DAILY_LOSS_LIMIT".into(), &LIMIT_REACHED.into()));
    // The day turns while nothing runs.
    let program = program.restart(|| clock.turn(TimeDelta::hours(10))).await;
    let api = program.again(&api);
    until_active(&api).await;
    trade(&api, "next", "NVDA", "buy", "1", "filled").await;
    let usage = api.read("/api/v1/risk").await["usage"].clone();
    assert_eq!((&usage["day_opening"], &usage["day_pnl"]), (&"95000".into(), &"0".into()), "a new day");
    let records = log::records(&program.data());
    let halts: Vec<_> = records
        .iter()
        .map(|record| record.statement.action.as_str())
        .filter(|action| action.starts_with("TRADING_"))
        .collect();
    assert_eq!(halts, ["TRADING_HALTED", "TRADING_RESUMED"]);
}

#[tokio::test]
async fn limits_of_one_source_hold_beside_the_persons_own_and_outlive_a_restart() {
    let program = TestApp::by_clock(&friday(), |config| settings(config, 10_000)).await;
    let api = program.owner();
    let sources = api.all("/api/v1/sources").await;
    let source = sources.iter().find(|source| source["webhook_url"] == api.webhook.as_str()).unwrap();
    assert_eq!(
        source["limits"],
        json!({ "position_max_pct": null, "order_max_notional": null, "orders_per_minute": null })
    );
    let path = format!("/api/v1/sources/{}/limits", source["id"].as_str().unwrap());
    for (body, field) in [
        (json!({ "position_max_pct": 0 }), "/position_max_pct"),
        (json!({ "order_max_notional": "-1" }), "/order_max_notional"),
        (json!({ "orders_per_minute": 0 }), "/orders_per_minute"),
    ] {
        let refused = put(&api, &path, body).await;
        refused.assert_problem(422, "INVALID_VALUE");
        assert_eq!(refused.pointer(), Some(field));
    }
    let nobodys = "/api/v1/sources/00000000-0000-0000-0000-000000000001/limits";
    put(&api, nobodys, json!({})).await.assert_problem(404, "NOT_FOUND");
    let limits = json!({ "position_max_pct": "4", "orders_per_minute": 2 });
    let changed = put(&api, &path, limits).await.expect(200);
    assert_eq!(changed["limits"]["position_max_pct"], "4", "{changed}");

    let program = program.restart(|| {}).await;
    let api = program.again(&api);
    let small = trade(&api, "small", "AAPL", "buy", "100", "filled").await;
    assert_eq!(small["quantity"], "2", "4 % of 10,000 is two shares at 180");
    let detail = api.read(&format!("/api/v1/trades/{}", small["id"].as_str().unwrap())).await;
    assert_eq!(detail["decision"]["limits"]["position_max_pct"], "4", "{detail}");
    trade(&api, "two", "AAPL", "sell", "2", "filled").await;
    let third = trade(&api, "three", "AAPL", "buy", "1", "rejected").await;
    assert_eq!(third["code"], "ORDER_RATE", "{third}");
    put(&api, &path.clone(), json!({})).await.expect(200);
    trade(&api, "four", "AAPL", "buy", "1", "filled").await;
    assert_eq!(log::count(&program.data(), "SOURCE_LIMITS_CHANGED"), 2);
}
