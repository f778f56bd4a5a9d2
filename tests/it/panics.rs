//! An actor that fails takes nothing with it: no signal is lost, and nobody else notices.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trade_actors::fault::{self, Fault};
use trade_executor::telemetry;

use crate::support::api::order;
use crate::support::log::Story;
use crate::support::{Api, Socket, TestApp, wait_or_say, wait_until};

/// Signals that each person sends while the fault is armed.
const SIGNALS: usize = 40;

/// Returns how often actors were restarted in this process.
fn restarts() -> u64 {
    let text = telemetry::measurements().unwrap().render();
    let lines = text.lines().filter(|line| line.starts_with("trade_executor_actor_restarts_total{"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// Trades in and out, and returns the signals it was told of and how long each answer took.
async fn trade(api: Api, name: &'static str, count: usize) -> (Vec<String>, Vec<Duration>) {
    let (mut told, mut took) = (Vec::new(), Vec::new());
    for number in 0..count {
        let action = if number % 2 == 0 { "buy" } else { "sell" };
        // Shares, which may be sold before the purchase that a failure delayed.
        let symbol = if number / 2 % 2 == 0 { "AAPL" } else { "TSLA" };
        let started = Instant::now();
        let answer = api.insist(&order(&format!("{name}-{number}"), symbol, action, "1")).await;
        took.push(started.elapsed());
        told.push(answer.str("signal_id").to_owned());
    }
    (told, took)
}

/// Waits until every signal's order is filled.
async fn all_filled(api: &Api, who: &str, signals: &[String]) {
    wait_or_say(&format!("{who}'s orders to be filled"), || async {
        let trades = api.trades().await;
        let is_filled = |signal: &&String| {
            trades.iter().any(|trade| trade["signal_id"] == signal.as_str() && trade["status"] == "filled")
        };
        let open: Vec<_> = signals.iter().filter(|signal| !is_filled(signal)).collect();
        let theirs = |trade: &&Value| open.iter().any(|signal| trade["signal_id"] == signal.as_str());
        let shown: Vec<_> = trades.iter().filter(theirs).collect();
        if open.is_empty() { Ok(()) } else { Err(format!(", but {open:?} are not: {shown:?}")) }
    })
    .await;
}

fn half(took: &mut [Duration]) -> Duration {
    took.sort();
    took[took.len() / 2]
}

/// Makes an actor fail at `place` while two people trade.
async fn survives(place: &str) {
    let program = TestApp::start().await;
    let owner = program.owner();
    let (ada, bob) = (owner.new_user("Ada").await, owner.new_user("Bob").await);
    let watching = Socket::open(&ada).await;
    let (mut told, _) = trade(ada.clone(), "warm-ada", 6).await;
    let (warm, mut quiet) = trade(bob.clone(), "warm-bob", 6).await;
    told.extend(warm);

    let before = restarts();
    fault::arm(place, Fault::Panic, 3);
    let (ada_told, bob_told) = tokio::join!(
        tokio::spawn(trade(ada.clone(), "ada", SIGNALS)),
        tokio::spawn(trade(bob.clone(), "bob", SIGNALS)),
    );
    let ((ada_told, _), (bob_told, mut busy)) = (ada_told.unwrap(), bob_told.unwrap());
    // A request to the broker is a task of its own, which no supervisor restarts.
    if place != "broker_connection.answered" {
        wait_until(&format!("the fault at {place} and a restart"), || async { restarts() > before }).await;
    }
    println!("{place}: Bob's median {:?} before, {:?} during", half(&mut quiet), half(&mut busy));

    for (who, api, signals) in [("Ada", &ada, &ada_told), ("Bob", &bob, &bob_told)] {
        all_filled(api, who, signals).await;
        let next = api.insist(&order("after", "TSLA", "buy", "1")).await;
        api.settled(next.str("signal_id"), "filled").await;
        told.push(next.str("signal_id").to_owned());
    }
    told.extend(ada_told.into_iter().chain(bob_told));
    watching.close().await;
    let (data, _kept) = program.stop().await;
    Story::read(&data).assert_all_is_settled(told.iter().map(String::as_str));
}

macro_rules! survives {
    ($($name:ident: $place:literal,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            survives($place).await;
        }
    )*};
}

survives! {
    a_panic_of_the_router_loses_nothing: "router",
    a_panic_of_the_hub_loses_nothing: "hub",
    a_panic_of_the_quote_feed_loses_nothing: "quote_feed",
    a_panic_of_a_user_with_a_signal_in_hand_loses_nothing: "user.signal",
    a_panic_of_risk_loses_nothing: "risk",
    a_panic_before_an_order_is_recorded_loses_nothing: "execution.decided",
    a_panic_after_an_order_is_recorded_loses_nothing: "execution.committed",
    a_panic_before_an_order_is_sent_loses_nothing: "execution.send",
    a_panic_over_a_brokers_answer_loses_nothing: "execution.answered",
    a_panic_of_a_broker_connection_loses_nothing: "broker_connection",
    a_panic_over_an_answer_in_the_connection_loses_nothing: "broker_connection.answered",
    a_panic_of_a_position_loses_nothing: "position",
    a_panic_of_a_portfolio_loses_nothing: "portfolio",
    a_panic_of_the_ledger_before_it_writes_loses_nothing: "ledger.append",
    a_panic_of_the_ledger_after_it_wrote_loses_nothing: "ledger.appended",
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_failures_within_a_minute_suspend_one_person_until_the_operator_resumes_them() {
    let program = TestApp::start().await;
    let owner = program.owner();
    let (ada, bob) = (owner.new_user("Ada").await, owner.new_user("Bob").await);
    let mut screen = Socket::open(&ada).await;
    for number in 0..3 {
        let before = restarts();
        fault::arm("risk", Fault::Panic, 0);
        ada.insist(&order(&format!("fatal{number}"), "AAPL", "buy", "1")).await;
        wait_until("a restart", || async { restarts() > before }).await;
    }
    let told = screen.next_of("notification").await;
    assert_eq!(
        (&told["data"]["level"], &told["data"]["title"]),
        (&"error".into(), &"Trading suspended".into())
    );

    let refused = ada.insist(&order("refused", "AAPL", "buy", "1")).await;
    let trade = ada.settled(refused.str("signal_id"), "rejected").await;
    assert_eq!(trade["code"], "USER_SUSPENDED", "{trade}");
    let untouched = bob.insist(&order("untouched", "AAPL", "buy", "1")).await;
    bob.settled(untouched.str("signal_id"), "filled").await;

    let me = ada.get("/api/v1/me").await.expect(200);
    let id = me["id"].as_str().or(me["user"]["id"].as_str()).unwrap().to_owned();
    let path = format!("/api/v1/admin/users/{id}/resume");
    let denied = bob.post(&path, &json!({})).await;
    assert!(matches!(denied.status, 403 | 404), "{}", denied.text);
    let resumed = owner.post(&path, &json!({})).await;
    assert!((200..300).contains(&resumed.status), "{} {}", resumed.status, resumed.text);
    let again = ada.insist(&order("again", "AAPL", "buy", "1")).await;
    ada.settled(again.str("signal_id"), "filled").await;
}
