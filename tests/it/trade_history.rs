//! One trade tells its whole story: what the signal said, the decision with its numbers, the intent, each attempt to send
//! it with its answer, each fill, and how long each step took.

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use venues::book::FillMode;
use venues::faults::Action;

use crate::support::api::order;
use crate::support::venue::{KEY, Venue, connect};
use crate::support::{Api, TestApp, TestClock};

fn number(value: &Value) -> Decimal {
    value.as_str().unwrap_or_else(|| panic!("no number: {value}")).parse().unwrap()
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap_or_else(|| panic!("no time: {value}")).parse().unwrap()
}

fn list<'a>(detail: &'a Value, field: &str) -> &'a Vec<Value> {
    detail[field].as_array().unwrap_or_else(|| panic!("no {field} in {detail}"))
}

fn events(detail: &Value) -> Vec<&str> {
    list(detail, "history").iter().map(|line| line["event"].as_str().unwrap()).collect()
}

fn outcomes(detail: &Value) -> Vec<(u64, &str)> {
    let attempts = list(detail, "attempts").iter();
    attempts.map(|one| (one["number"].as_u64().unwrap(), one["outcome"].as_str().unwrap())).collect()
}

/// Sends a signal to buy AAPL, waits until its order has this status, and returns the trade in full.
///
/// What every order tells is checked here: signal, intent, decision.
async fn story(api: &Api, quantity: &str, status: &str) -> Value {
    let signal = api.signal(&order("one", "AAPL", "buy", quantity)).await.expect(202);
    told(api, signal["signal_id"].as_str().unwrap(), quantity, status).await
}

async fn told(api: &Api, signal: &str, quantity: &str, status: &str) -> Value {
    let trade = api.settled(signal, status).await;
    let detail = api.read(&format!("/api/v1/trades/{}", trade["id"].as_str().unwrap())).await;
    for (field, value) in trade.as_object().unwrap() {
        assert_eq!(&detail[field], value, "{field} in the list and in full");
    }
    let said = &detail["signal"];
    for (field, value) in [
        ("id", signal),
        ("origin", "tradingview"),
        ("symbol", "AAPL"),
        ("action", "buy"),
        ("order_type", "market"),
    ] {
        assert_eq!(said[field], value, "{field} of {said}");
    }
    assert_eq!(said["quantity"], quantity);
    assert_eq!(said["source"].as_str().map(str::len), Some(36));
    let excerpt: Value = serde_json::from_str(said["excerpt"].as_str().unwrap()).unwrap();
    assert_eq!(excerpt, order("one", "AAPL", "buy", quantity));
    let intent = &detail["intent"];
    assert_eq!(
        (&intent["side"], &intent["quantity"], &intent["order_type"], &intent["time_in_force"]),
        (&json!("buy"), &trade["quantity"], &json!("market"), &json!("day")),
        "{intent}"
    );
    assert!(time(&said["received_at"]) <= time(&intent["decided_at"]), "{detail}");
    let decision = &detail["decision"];
    assert_eq!(decision["requested"], quantity, "{decision}");
    for field in ["price", "equity", "available"] {
        assert!(number(&decision[field]) > Decimal::ZERO, "{field} of {decision}");
    }
    assert!(decision["limits"].is_object(), "{decision}");
    assert!(list(&detail, "history").is_sorted_by_key(|line| time(&line["at"])), "{detail}");
    detail
}

/// Asserts that these stages were passed, and that each but the first took a time that adds up to the whole.
fn timed(detail: &Value, stages: &[&str]) {
    let at =
        |name: &str| detail["stages"][name].as_u64().unwrap_or_else(|| panic!("no stage {name} in {detail}"));
    let took = detail["latencies"].as_object().unwrap();
    for name in stages {
        assert!(at(name) == 0 || took.contains_key(*name), "no latency of {name} in {detail}");
    }
    let last = detail["stages"].as_object().unwrap().values().map(|at| at.as_u64().unwrap()).max();
    assert_eq!(Some(took.values().map(|took| took.as_u64().unwrap()).sum()), last, "{detail}");
}

/// Asserts that an attempt has its times, and that they fit.
fn clocked(attempt: &Value) {
    let (sent, answered) = (time(&attempt["sent_at"]), time(&attempt["answered_at"]));
    assert!(sent <= answered && attempt["latency_us"].as_u64().is_some_and(|took| took > 0), "{attempt}");
}

const SENT: [&str; 6] = ["received", "decided", "committed", "sent", "acknowledged", "filled"];

async fn at_alpaca(venue: &Venue, clock: &std::sync::Arc<TestClock>) -> (TestApp, Api) {
    let program = venue.program(clock).await;
    let api = program.owner();
    connect(&api, KEY).await;
    (program, api)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_filled_in_parts_tells_each_fill() {
    let venue = Venue::open(&[KEY]).await;
    venue.world().set_fill_mode(None, FillMode::Parts { parts: 3, every_ms: 100 });
    let (program, api) = at_alpaca(&venue, &TestClock::right()).await;
    let detail = story(&api, "9", "filled").await;
    let fills = list(&detail, "fills");
    assert_eq!(fills.len(), 3, "{detail}");
    for fill in fills {
        assert_eq!((&fill["quantity"], &fill["price"]), (&json!("3"), &json!("200")), "{fill}");
        assert_eq!(fill["fee"], "0", "{fill}");
        assert!(fill["execution_id"].as_str().is_some_and(|id| !id.is_empty()), "{fill}");
    }
    assert!(fills.is_sorted_by_key(|fill| time(&fill["at"])), "{detail}");
    assert_eq!(outcomes(&detail), [(1, "accepted")]);
    clocked(&detail["attempts"][0]);
    timed(&detail, &SENT);
    assert_eq!(
        events(&detail),
        ["ORDER_CREATED", "ORDER_SUBMITTED", "TRADE_EXECUTED", "TRADE_EXECUTED", "TRADE_EXECUTED"]
    );
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_sent_again_tells_both_attempts() {
    let venue = Venue::open(&[KEY]).await;
    let clock = TestClock::right();
    let (program, api) = at_alpaca(&venue, &clock).await;
    venue.fail_orders(Action::status(503), Some(1));
    let signal = api.signal(&order("one", "AAPL", "buy", "5")).await.expect(202);
    let signal = signal["signal_id"].as_str().unwrap();
    api.settled(signal, "unknown").await;
    // Long enough to be sure, and within the time in which a signal may be sent.
    venue.searched(&clock, TimeDelta::seconds(6)).await;
    let detail = told(&api, signal, "5", "filled").await;
    assert_eq!(outcomes(&detail), [(1, "not_found"), (2, "accepted")], "{detail}");
    let attempts = list(&detail, "attempts");
    attempts.iter().for_each(clocked);
    assert!(attempts[0]["detail"].as_str().unwrap().contains("HTTP 503"), "{detail}");
    assert!(time(&attempts[0]["settled_at"]) > time(&attempts[0]["answered_at"]), "{detail}");
    assert!(time(&attempts[0]["answered_at"]) < time(&attempts[1]["sent_at"]), "{detail}");
    assert_eq!(
        events(&detail),
        ["ORDER_CREATED", "ORDER_UNKNOWN", "ORDER_RETRIED", "ORDER_SUBMITTED", "TRADE_EXECUTED"]
    );
    assert_eq!((detail["reason"].as_str(), list(&detail, "fills").len()), (None, 1));
    timed(&detail, &SENT);
    assert_eq!((venue.submissions(), venue.orders(KEY).len()), (2, 1));
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_answer_was_lost_tells_that_it_was_found() {
    let venue = Venue::open(&[KEY]).await;
    // Nothing but the look-up tells of it.
    venue.world().refuse_streams(60_000);
    let (program, api) = at_alpaca(&venue, &TestClock::right()).await;
    venue.fail_orders(Action::status_after(504), Some(1));
    let detail = story(&api, "5", "filled").await;
    assert_eq!(outcomes(&detail), [(1, "found")], "{detail}");
    let attempt = &detail["attempts"][0];
    clocked(attempt);
    assert!(attempt["detail"].as_str().unwrap().contains("HTTP 504"), "{detail}");
    assert!(time(&attempt["settled_at"]) > time(&attempt["answered_at"]), "{detail}");
    assert_eq!(events(&detail), ["ORDER_CREATED", "ORDER_UNKNOWN", "ORDER_SUBMITTED", "TRADE_EXECUTED"]);
    assert_eq!((detail["reason"].as_str(), list(&detail, "fills").len()), (None, 1));
    // The broker's word came with the look-up, a second or more after the lost answer.
    timed(&detail, &SENT);
    assert!(detail["latencies"]["acknowledged"].as_u64().unwrap() > 1_000_000, "{detail}");
    assert_eq!((venue.submissions(), venue.orders(KEY).len()), (1, 1));
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_risk_denied_tells_the_numbers_and_was_never_sent() {
    let venue = Venue::open(&[KEY]).await;
    let (program, api) = at_alpaca(&venue, &TestClock::right()).await;
    let detail = story(&api, "2500", "rejected").await;
    assert_eq!(detail["reason"], "Insufficient buying power: $200,000 available, $500,000 required");
    assert_eq!(
        (number(&detail["decision"]["available"]), number(&detail["decision"]["price"])),
        (200_000.into(), 200.into())
    );
    assert!(list(&detail, "attempts").is_empty() && list(&detail, "fills").is_empty(), "{detail}");
    assert_eq!(events(&detail), ["ORDER_DENIED"]);
    timed(&detail, &["received", "decided"]);
    assert_eq!(venue.submissions(), 0);
    program.stop().await;
}

#[tokio::test]
async fn an_order_that_waited_for_its_market_tells_when_it_was_queued_and_sent() {
    let clock = TestClock::at("2025-07-13T00:00:00Z");
    let program = TestApp::by_clock(&clock, |config| {
        config.paper.symbols.iter_mut().for_each(|row| (row.spread_bp, row.volatility_bp) = (0, 0));
        config.paper.always_open = false;
    })
    .await;
    let api = program.owner();
    let detail = story(&api, "2", "queued").await;
    assert!(list(&detail, "attempts").is_empty(), "{detail}");
    assert_eq!(list(&detail, "history")[1]["detail"], "Order queued for Monday 9:30am ET");
    let signal = detail["signal_id"].as_str().unwrap();
    clock.turn(TimeDelta::hours(37) + TimeDelta::minutes(31));
    let detail = told(&api, signal, "2", "filled").await;
    assert_eq!(
        events(&detail),
        ["ORDER_CREATED", "ORDER_QUEUED", "ORDER_RELEASED", "ORDER_SUBMITTED", "TRADE_EXECUTED"]
    );
    let at = |line: usize| time(&list(&detail, "history")[line]["at"]);
    assert!(at(2) - at(1) > TimeDelta::hours(37), "{detail}");
    assert_eq!((outcomes(&detail), list(&detail, "fills").len()), (vec![(1, "accepted")], 1));
    clocked(&detail["attempts"][0]);
    timed(&detail, &SENT);
    program.stop().await;
}
