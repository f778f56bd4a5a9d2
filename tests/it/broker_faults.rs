//! A broker that fails: what was not received is sent again, what may have been received is looked up, never both.

use std::time::Duration;

use trade_actors::domain::report::{Refusal, RefusalCode};
use trade_actors::fault;
use venues::flaky::{Asked, Fault, Script};

use crate::support::TestApp;
use crate::support::api::order;
use crate::support::log::Story;

/// Sends one signal through a broker that fails by `faults`, and returns the trade once it is `status`.
async fn through(faults: Vec<Fault>, status: &str) -> (serde_json::Value, Script) {
    let script = Script::default();
    script.next(faults);
    let program = TestApp::behind(&script).await;
    let owner = program.owner();
    let signal = owner.signal(&order("one", "AAPL", "buy", "5")).await.str("signal_id").to_owned();
    let trade = owner.settled(&signal, status).await;
    let (data, _dir) = program.stop().await;
    Story::read(&data).assert_nothing_lost_or_doubled([signal.as_str()]);
    (trade, script)
}

fn submissions(script: &Script) -> usize {
    script.journal().iter().filter(|asked| matches!(asked, Asked::Submit(_))).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_answer_was_lost_is_found_and_not_sent_again() {
    let (trade, script) = through(vec![Fault::LoseAnswer], "filled").await;
    assert_eq!(trade["filled_quantity"], "5");
    assert_eq!(submissions(&script), 1);
    assert!(script.journal().iter().any(|asked| matches!(asked, Asked::LookUp(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_request_is_sent_again_only_once_the_broker_is_known_not_to_have_it() {
    let (_, script) = through(vec![Fault::LoseRequest], "filled").await;
    let journal = script.journal();
    let looked_up = journal.iter().position(|asked| matches!(asked, Asked::LookUp(_))).unwrap();
    let sent_again = journal.iter().rposition(|asked| matches!(asked, Asked::Submit(_))).unwrap();
    assert!(looked_up < sent_again, "{journal:?}");
    assert_eq!(submissions(&script), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_cannot_be_reached_is_tried_three_times_more() {
    let (trade, script) = through(vec![Fault::Unreachable; 4], "failed").await;
    assert_eq!(
        (&trade["code"], &trade["reason"]),
        (&"BROKER_UNAVAILABLE".into(), &"Paper temporarily unavailable. Order not submitted.".into())
    );
    assert_eq!(submissions(&script), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_final_and_its_words_reach_the_user() {
    let message = "insufficient buying power".to_owned();
    let refusal = Refusal { code: RefusalCode::InsufficientFunds, message: message.clone() };
    let (trade, script) = through(vec![Fault::Refuse(refusal)], "rejected").await;
    assert_eq!((&trade["code"], &trade["reason"]), (&"INSUFFICIENT_FUNDS".into(), &message.into()));
    assert_eq!(submissions(&script), 1);
}

/// A limit order far from the market: it rests once the broker has it.
fn resting(id: &str) -> serde_json::Value {
    serde_json::json!({ "id": id, "ticker": "AAPL", "action": "buy", "quantity": 1, "order_type": "limit", "price": 175 })
}

/// Halts while the answer to a submission is outstanding, and returns the trade once it is cancelled.
async fn halted_meanwhile(fault: Fault) -> (serde_json::Value, Script) {
    let script = Script::default();
    script.next([fault]);
    let program = TestApp::behind(&script).await;
    let owner = program.owner();
    let signal = owner.signal(&resting("one")).await.str("signal_id").to_owned();
    let halt = serde_json::json!({ "active": true, "reason": "enough" });
    owner.post("/api/v1/kill-switch", &halt).await.expect(200);
    let trade = owner.settled(&signal, "cancelled").await;
    let (data, _dir) = program.stop().await;
    Story::read(&data).assert_nothing_lost_or_doubled([signal.as_str()]);
    (trade, script)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_does_not_overtake_its_order() {
    let (_, script) = halted_meanwhile(Fault::Delay(Duration::from_millis(400))).await;
    assert!(
        matches!(script.journal().as_slice(), [Asked::Submit(_), Asked::Cancel(_)]),
        "{:?}",
        script.journal()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halted_order_that_the_broker_never_had_is_not_sent_again() {
    for fault in [Fault::Unreachable, Fault::LoseRequest] {
        let (trade, script) = halted_meanwhile(fault).await;
        assert_eq!(trade["reason"], "Cancelled before the broker had it.");
        assert_eq!(submissions(&script), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_not_sent_twice_when_its_actor_fails_while_the_broker_takes_its_time() {
    let script = Script::default();
    script.next([Fault::Delay(Duration::from_millis(1_500))]);
    let program = TestApp::behind(&script).await;
    let owner = program.owner();
    let first = owner.signal(&order("one", "AAPL", "buy", "5")).await.str("signal_id").to_owned();
    fault::arm("risk", fault::Fault::Panic, 0);
    let second = owner.signal(&order("two", "TSLA", "buy", "1")).await.str("signal_id").to_owned();
    for signal in [&first, &second] {
        owner.settled(signal, "filled").await;
    }
    let (data, _dir) = program.stop().await;
    Story::read(&data).assert_nothing_lost_or_doubled([first.as_str(), second.as_str()]);
    assert_eq!(submissions(&script), 2, "{:?}", script.journal());
}
