//! The same delivery is one order, however often and however fast it comes.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::api::order;
use crate::support::{Setup, log, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_delivery_a_hundred_times_at_once_makes_one_order() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let body = order("once", "AAPL", "buy", "3");
    let posts = (0..100).map(|_| {
        let (api, body) = (api.clone(), body.clone());
        tokio::spawn(async move { api.signal(&body).await })
    });
    let answers: Vec<_> = join_all(posts).await.into_iter().map(Result::unwrap).collect();
    let accepted = answers.iter().filter(|answer| answer.status == 202).count();
    let repeated =
        answers.iter().filter(|answer| answer.status == 200 && answer.body["status"] == "duplicate").count();
    assert_eq!((accepted, repeated), (1, 99), "{answers:?}");
    let ids: BTreeSet<_> = answers.iter().map(|answer| answer.str("signal_id")).collect();
    assert_eq!(ids.len(), 1);
    api.settled(answers[0].str("signal_id"), "filled").await;
    assert_eq!(api.trades().await.len(), 1);
    log::Story::read(&server.data).assert_nothing_lost_or_doubled(ids);
}

#[tokio::test]
async fn a_body_without_an_id_is_a_repeat_while_it_is_young() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let body = json!({ "ticker": "AAPL", "action": "buy", "quantity": 1 });
    let first = api.signal(&body).await.expect(202);
    let again = api.signal(&body).await.expect(200);
    assert_eq!(first["signal_id"], again["signal_id"]);
    let other = json!({ "ticker": "AAPL", "action": "buy", "quantity": 2 });
    let second = api.signal(&other).await.expect(202);
    assert_ne!(first["signal_id"], second["signal_id"]);
    api.settled(second["signal_id"].as_str().unwrap(), "filled").await;
    assert_eq!(api.trades().await.len(), 2);
}

#[tokio::test]
async fn the_same_id_at_another_persons_source_is_another_signal() {
    let server = Setup::new().start().await;
    let owner = server.owner();
    let other = owner.new_user("Ada").await;
    let body = order("same", "AAPL", "buy", "1");
    let ours = owner.signal(&body).await.expect(202);
    let theirs = other.signal(&body).await.expect(202);
    assert_ne!(ours["signal_id"], theirs["signal_id"]);
    other.settled(theirs["signal_id"].as_str().unwrap(), "filled").await;
}

#[tokio::test]
async fn repeats_are_shown_and_never_hidden() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let body = order("seen", "AAPL", "buy", "1");
    let signal = api.signal(&body).await.expect(202)["signal_id"].clone();
    for _ in 0..3 {
        api.signal(&body).await.expect(200);
    }
    wait_until("three repeats in the feed", || async {
        let feed = api.all("/api/v1/signals").await;
        feed.iter().any(|row| row["id"] == signal && row["repeats"] == 3)
    })
    .await;
    assert_eq!(log::count(&server.data, "SIGNAL_REPEATED"), 3);
}

#[tokio::test]
async fn a_repeat_after_a_restart_or_a_power_cut_is_still_a_repeat() {
    let mut server = Setup::new().fixed_port().start().await;
    let api = server.owner();
    let body = order("kept", "AAPL", "buy", "1");
    let nameless = json!({ "ticker": "TSLA", "action": "buy", "quantity": 1 });
    let first = api.signal(&body).await.expect(202);
    let second = api.signal(&nameless).await.expect(202);
    server.restart().await;
    assert_eq!(api.signal(&body).await.expect(200)["signal_id"], first["signal_id"]);
    server.kill9();
    server.start_again().await;
    assert_eq!(api.signal(&body).await.expect(200)["signal_id"], first["signal_id"]);
    let again = api.signal(&nameless).await;
    // Within its sixty seconds it is a repeat; a slow machine may have taken longer.
    assert!(again.status == 202 || again.body["signal_id"] == second["signal_id"], "{}", again.text);
    assert_eq!(log::count(&server.data, "ORDER_CREATED"), if again.status == 202 { 3 } else { 2 });
}
