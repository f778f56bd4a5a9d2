//! A broker that cannot be reached: its users are told once, others notice nothing, and it comes back by itself.

use serde_json::{Value, json};
use venues::flaky::Script;

use crate::support::api::order;
use crate::support::desk::Desk;
use crate::support::{Api, Socket, TestApp, log, wait_until};

const BROKERS: &str = "/api/v1/brokers";

/// Two brokers, the second of which the script can take away, and a second until somebody is told.
async fn start(script: &Script) -> TestApp {
    let (desk, script) = (Desk::default(), script.clone());
    TestApp::start_on(tempfile::tempdir().unwrap(), |config, options| {
        config.engine.offline_after_s = 1;
        desk.serve(options);
        let lent = options.between.take().unwrap();
        options.between = Some(Box::new(move |brokers| script.before(lent(brokers))));
    })
    .await
}

/// Has a person's signals go to the second broker.
async fn moves_to_alpaca(api: &Api) {
    let keys =
        json!({ "broker": "alpaca", "mode": "paper", "name": "Growth", "key_id": "PKHEALTH", "secret": "s" });
    let made = api.post(BROKERS, &keys).await.expect(201);
    let id = made["id"].as_str().unwrap();
    api.post(&format!("{BROKERS}/{id}/default"), &json!({})).await.expect(200);
    is(api, "connected").await;
}

async fn is(api: &Api, status: &str) {
    wait_until(&format!("the account to be {status}"), || async {
        let all = api.get(BROKERS).await.expect(200);
        all["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|known| known["default"] == true && known["status"] == status)
    })
    .await;
}

async fn trade(api: &Api, id: &str, status: &str) -> Value {
    let told = api.signal(&order(id, "AAPL", "buy", "1")).await.expect(202);
    api.settled(told["signal_id"].as_str().unwrap(), status).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_told_once_harms_nobody_else_and_ends_without_a_restart() {
    let script = Script::default();
    let program = start(&script).await;
    let ada = program.owner();
    let bob = ada.new_user("Bob").await;
    moves_to_alpaca(&ada).await;
    let mut screen = Socket::open(&ada).await;
    screen.next_of("state.sync").await;
    trade(&ada, "before", "filled").await;

    script.set_down("alpaca", true);
    trade(&ada, "during", "failed").await;
    let told = screen.next_of("notification").await;
    assert_eq!((&told["data"]["title"], &told["data"]["level"]), (&json!("Broker offline"), &json!("error")));
    let words = told["data"]["message"].as_str().unwrap();
    assert!(words.starts_with("Growth cannot be reached: "), "{words}");
    is(&ada, "failed").await;
    trade(&bob, "untouched", "filled").await;

    script.set_down("alpaca", false);
    let told = screen.next_of("notification").await;
    assert_eq!(told["data"]["title"], "Broker back online", "{told}");
    is(&ada, "connected").await;
    trade(&ada, "after", "filled").await;
    let (data, _dir) = program.stop().await;
    assert_eq!((log::count(&data, "BROKER_LOST"), log::count(&data, "BROKER_RESTORED")), (1, 1));
}

/// Told before the restart, it is not told again after it, and the recovery is.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_that_lasts_through_a_restart_is_one_outage() {
    let script = Script::default();
    let program = start(&script).await;
    let ada = program.owner();
    moves_to_alpaca(&ada).await;
    trade(&ada, "before", "filled").await;
    script.set_down("alpaca", true);
    trade(&ada, "during", "failed").await;
    wait_until("the outage to be told", || async { log::count(&program.data(), "BROKER_LOST") == 1 }).await;
    let desk = Desk::default();
    let (_, dir) = program.stop().await;
    let again = script.clone();
    let program = TestApp::start_on(dir, |config, options| {
        config.engine.offline_after_s = 1;
        desk.serve(options);
        let lent = options.between.take().unwrap();
        options.between = Some(Box::new(move |brokers| again.before(lent(brokers))));
    })
    .await;
    let ada = program.owner();
    is(&ada, "failed").await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    script.set_down("alpaca", false);
    wait_until("the recovery to be told", || async { log::count(&program.data(), "BROKER_RESTORED") == 1 })
        .await;
    let (data, _dir) = program.stop().await;
    assert_eq!(log::count(&data, "BROKER_LOST"), 1);
}
