//! Killed at any moment, the program loses no accepted signal and executes none twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::support::api::order;
use crate::support::log::Story;
use crate::support::{Answer, Api, Chance, Setup};

const CLIENTS: usize = 8;
const WEBHOOKS: usize = 2_000;
const KILLS: usize = 20;
/// How long a client waits for a server that is being restarted.
const GIVE_UP: Duration = Duration::from_secs(120);

/// Returns the body of a client's alert: in and out of several symbols, now and then one that must be denied.
fn alert(client: usize, number: usize) -> Value {
    const SYMBOLS: [(&str, &str); 5] =
        [("AAPL", "2"), ("TSLA", "1"), ("NVDA", "1"), ("SPY", "1"), ("ETH/USDT", "0.01")];
    let (symbol, quantity) = SYMBOLS[number / 2 % SYMBOLS.len()];
    // Coins cannot be sold short, and a sale may overtake a purchase that a crash delayed.
    let action = if number.is_multiple_of(2) || symbol == "ETH/USDT" { "buy" } else { "sell" };
    let quantity = if number % 37 == 36 { "3000" } else { quantity };
    order(&format!("c{client}-{number}"), symbol, action, quantity)
}

/// Posts one alert until it is answered, as often as it takes.
async fn post(api: &Api, body: &Value) -> Answer {
    let started = std::time::Instant::now();
    loop {
        match api.try_signal(body).await {
            Ok(answer) if matches!(answer.status, 200 | 202) => return answer,
            Ok(answer) if matches!(answer.status, 429 | 503) => {
                assert!(!answer.header("retry-after").is_empty(), "{}", answer.text);
            }
            Ok(answer) => panic!("{} {}", answer.status, answer.text),
            Err(_) => {}
        }
        assert!(started.elapsed() < GIVE_UP, "no answer to {body}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One client: posts its share, repeats some of what was answered already, and returns every signal it was told of.
async fn client(api: Api, number: usize, answered: Arc<AtomicUsize>) -> Vec<String> {
    let mut told = Vec::with_capacity(WEBHOOKS / CLIENTS);
    for alert_number in 0..WEBHOOKS / CLIENTS {
        let body = alert(number, alert_number);
        let signal = post(&api, &body).await.str("signal_id").to_owned();
        if alert_number % 50 == 49 {
            assert_eq!(post(&api, &body).await.str("signal_id"), signal, "a repeat is the same signal");
        }
        told.push(signal);
        answered.fetch_add(1, Ordering::Relaxed);
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_twenty_times_under_load_it_loses_nothing_and_doubles_nothing() {
    let mut chance = Chance::new();
    let mut server = Setup::new().fixed_port().start().await;
    let people = server.owner().users(CLIENTS).await;
    let answered = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = people
        .iter()
        .enumerate()
        .map(|(number, api)| tokio::spawn(client(api.clone(), number, Arc::clone(&answered))))
        .collect();

    for kill in 0..KILLS {
        let due = kill * WEBHOOKS / (KILLS + 1) + usize::try_from(chance.below(60)).unwrap();
        while answered.load(Ordering::Relaxed) < due
            && !clients.iter().any(tokio::task::JoinHandle::is_finished)
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_micros(chance.below(20_000))).await;
        server.kill9();
        server.start_again().await;
        server.assert_log_is_whole();
    }

    let mut told = Vec::with_capacity(WEBHOOKS);
    for client in clients {
        told.extend(client.await.unwrap());
    }
    assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), WEBHOOKS, "each alert is a signal of its own");
    for api in &people {
        api.all_ended().await;
    }
    server.stop().await;
    server.assert_log_is_whole();
    let story = Story::read(&server.data);
    println!("{} booked, {} denied", story.booked.len(), story.denied.len());
    assert!(story.refused.is_empty(), "restarts are quick, so nothing expires: {:?}", story.refused);
    assert_eq!(story.signals.len(), WEBHOOKS, "no signal that nobody sent");
    story.assert_all_is_settled(told.iter().map(String::as_str));
}
