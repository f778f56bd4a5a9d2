//! Asked to stop, the program finishes what is under way, signs the log and ends with exit code 0.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::api::order;
use crate::support::log::Story;
use crate::support::{Setup, wait_until};

const CLIENTS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_keeps_every_acknowledged_signal() {
    let mut server = Setup::new().fixed_port().start().await;
    let people = server.owner().users(CLIENTS).await;
    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = people
        .iter()
        .cloned()
        .map(|api| {
            let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut told = Vec::new();
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let action = if number % 2 == 0 { "buy" } else { "sell" };
                    match api.try_signal(&order(&number.to_string(), "AAPL", action, "1")).await {
                        Ok(answer) if answer.status == 202 => told.push(answer.str("signal_id").to_owned()),
                        Ok(answer) => {
                            assert_eq!(answer.status, 503, "{}", answer.text);
                            assert!(!answer.header("retry-after").is_empty());
                        }
                        Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                told
            })
        })
        .collect();
    wait_until("load", || async { answered.load(Ordering::Relaxed) > 100 }).await;
    server.stop().await;
    over.store(true, Ordering::Relaxed);
    let mut told = Vec::new();
    for client in clients {
        told.extend(client.await.unwrap());
    }
    Story::read(&server.data).assert_nothing_lost_or_doubled(told.iter().map(String::as_str));
    let verified = server.run(&["audit", "verify", "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(said["proven_to"], said["records"], "the head was signed at the end: {said}");

    // Orders that were on their way to the broker are taken up at the next start.
    server.start_again().await;
    for api in &people {
        api.all_ended().await;
    }
    server.stop().await;
    Story::read(&server.data).assert_all_is_settled(told.iter().map(String::as_str));
}

#[tokio::test]
async fn a_second_program_on_the_same_data_is_turned_away() {
    let server = Setup::new().start().await;
    let second = server.run(&["--listen", "127.0.0.1:0"]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("already runs"), "{said}");
    assert_eq!(server.owner().get("/health").await.status, 200);
}

#[tokio::test]
async fn a_wrong_setting_is_named_and_ends_with_exit_code_2() {
    let data = tempfile::tempdir().unwrap();
    let mut command = crate::support::server::program(data.path());
    let ran = command.env("TRADE_EXECUTOR__SERVER__MAX_CONNECTIONS", "many").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(2), "{said}");
    assert!(
        said.contains("server.max_connections") && said.contains("TRADE_EXECUTOR__SERVER__MAX_CONNECTIONS"),
        "{said}"
    );
}
