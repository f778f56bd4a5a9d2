//! The master key's rotation: killed anywhere it loses nothing, and what people were handed out outlives it.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use trade_actors::domain::event::{Event, Fact};
use trade_actors::domain::ids::{ConnectionId, UserId};
use trade_actors::domain::order::Mode;
use trade_actors::domain::risk::Limits;
use trade_actors::domain::user::{Connection, Role};
use trade_actors::ports::clock::{Clock, SystemClock};
use trade_executor::app::Disk;
use trade_executor::app::people::new_user_facts;
use trade_executor::brokers::credentials::{Auth, BrokerSecret};
use trade_executor::config::StoreConfig;
use trade_executor::keys::MasterKey;
use trade_executor::store::vault::SledVault;
use trade_executor::vault::Credentials;
use uuid::Uuid;

use crate::support::api::order;
use crate::support::server::program;
use crate::support::venue::{KEY, Venue, connect};
use crate::support::{Chance, Server, Setup, log, wait_for, wait_until};

const ACCOUNTS: u128 = 40;
const BROKERS: &str = "/api/v1/brokers";

fn id(number: u128) -> ConnectionId {
    ConnectionId::new(Uuid::from_u128(number))
}

fn secret(number: u128) -> BrokerSecret {
    let auth = Auth::ApiKey { key_id: format!("PK-{number}").into(), secret: format!("s-{number}").into() };
    BrokerSecret { broker: "alpaca".to_owned(), mode: Mode::Paper, auth }
}

/// Makes the data of a program with many accounts.
fn data(dir: &Path) -> UserId {
    let disk = Disk::open(dir, &StoreConfig::default()).unwrap();
    let (user, _, mut facts) = new_user_facts("Owner", Role::Operator, Limits::default(), &disk.keys);
    facts.extend((0..ACCOUNTS).map(|number| {
        let connection = Connection::new(id(number), "alpaca", Mode::Paper);
        Fact::new(Some(user), Event::ConnectionAdded { connection })
    }));
    let disk = disk.commit(&facts, SystemClock::new().now()).unwrap();
    let credentials = Credentials::new(disk.vault.clone(), Arc::clone(&disk.keys));
    (0..ACCOUNTS).for_each(|number| credentials.put(user, id(number), &secret(number)).unwrap());
    user
}

/// Opens the vault of a program that does not run.
fn vault(data: &Path) -> (Credentials, u32) {
    let keys = Arc::new(MasterKey::load_or_create(&data.join("master.key")).unwrap());
    let newest = keys.newest();
    let vault = SledVault::open(&data.join("vault"), 4 << 20).unwrap();
    (Credentials::new(Arc::new(vault), keys), newest)
}

/// Asserts that every account's credentials open; returns how many are not under the newest version.
fn behind(data: &Path, user: UserId) -> usize {
    let (credentials, newest) = vault(data);
    for number in 0..ACCOUNTS {
        let found = credentials.get(user, id(number), "alpaca").unwrap().expect("a row");
        let text = |secret: &BrokerSecret| serde_json::to_string(secret).unwrap();
        assert_eq!(text(&found), text(&secret(number)));
    }
    let rows = credentials.rows().unwrap().by_version;
    rows.iter().filter(|(version, _)| **version != newest).map(|(_, rows)| *rows).sum()
}

fn rotate(data: &Path) -> Output {
    program(data).args(["keys", "rotate"]).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn killed_at_every_step_a_rotation_loses_nothing_and_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let data_dir = home.path().join("data");
    let user = data(&data_dir);
    let places =
        ["written:0", "named:0", "made:0", "resealing:0", "resealed:0", "resealing:17", "resealed:39"];
    for place in places {
        let crash = format!("keys.{place}:0");
        let killed =
            program(&data_dir).args(["keys", "rotate"]).env("TRADE_EXECUTOR_CRASH", &crash).output().unwrap();
        assert_eq!(killed.status.code(), None, "{place}: {}", said(&killed));
        behind(&data_dir, user);
        let again = rotate(&data_dir);
        assert!(again.status.success(), "{place}: {}", said(&again));
        assert_eq!(behind(&data_dir, user), 0, "{place}: {}", said(&again));
    }
    let names =
        fs::read_dir(&data_dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let unfinished: Vec<_> = names.filter(|name| name.ends_with(".new")).collect();
    assert!(unfinished.is_empty(), "{unfinished:?}");
    let verified = program(&data_dir).args(["audit", "verify"]).output().unwrap();
    assert!(verified.status.success(), "{}", said(&verified));
}

#[test]
fn killed_at_any_moment_a_rotation_loses_nothing_and_goes_on() {
    let mut chance = Chance::new();
    let home = tempfile::tempdir().unwrap();
    let data_dir = home.path().join("data");
    let user = data(&data_dir);
    let mut midway = 0;
    for _ in 0..12 {
        let mut child = program(&data_dir)
            .args(["keys", "rotate"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(40 + chance.below(400)));
        child.kill().unwrap();
        child.wait().unwrap();
        midway += usize::from(behind(&data_dir, user) > 0);
    }
    println!("{midway} of 12 were killed between two rows");
    let again = rotate(&data_dir);
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(behind(&data_dir, user), 0);
}

/// Returns a program with an account at the venue, that has traded.
async fn trading(venue: &Venue) -> Server {
    let server = venue.setup(Setup::new().fixed_port()).start().await;
    let api = server.owner();
    connect(&api, KEY).await;
    let bought = api.signal(&order("first", "AAPL", "buy", "1")).await.str("signal_id").to_owned();
    api.settled(&bought, "filled").await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_handed_out_and_signed_survives_a_rotation() {
    let venue = Venue::open(&[KEY]).await;
    let mut server = trading(&venue).await;
    let before = server.owner();
    let running = server.run(&["keys", "rotate"]);
    assert!(!running.status.success() && said(&running).contains("the server runs"), "{}", said(&running));
    server.stop().await;
    let rotated = server.run(&["keys", "rotate"]);
    assert!(rotated.status.success(), "{}", said(&rotated));
    assert!(
        said(&rotated).contains("1 row(s) of credentials were sealed anew under version 2"),
        "{}",
        said(&rotated)
    );
    server.start_again().await;

    // The webhook and the token of before, and credentials that are read anew from the vault.
    assert_eq!(
        (server.ready("api_token"), server.ready("webhook_url")),
        (before.token.as_str(), before.webhook.as_str())
    );
    before.get("/api/v1/me").await.expect(200);
    let sold = before.signal(&order("second", "AAPL", "sell", "1")).await.str("signal_id").to_owned();
    let sold = before.settled(&sold, "filled").await;
    assert_eq!(sold["broker"], "alpaca");
    // The account is known again by the mark it was given before.
    let keys = json!({ "broker": "alpaca", "mode": "paper", "key_id": KEY, "secret": "a-secret-of-the-crash-tests" });
    before.post(BROKERS, &keys).await.assert_problem(409, "ALREADY_CONNECTED");
    assert_eq!(before.get("/health").await.expect(200)["parts"]["master_key_old"], false);
    server.stop().await;
    server.assert_log_is_whole();
    assert_eq!(log::count(&server.data, "MASTER_KEY_ROTATED"), 1);
    let verified = server.run(&["audit", "verify", "--json"]);
    let verified: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(verified["key_ids"].as_array().unwrap().len(), 1, "one key signed all of it: {verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_program_makes_the_yearly_version_and_seals_everything_anew() {
    let home = tempfile::tempdir().unwrap();
    let data_dir = home.path().join("data");
    let user = data(&data_dir);
    let long_ago = SystemTime::now() - Duration::from_secs(400 * 86_400);
    File::options().write(true).open(data_dir.join("master.key")).unwrap().set_modified(long_ago).unwrap();
    let nowhere = "http://127.0.0.1:9";
    let setup = Setup::new().data(&data_dir).set("brokers.alpaca.paper_url", nowhere);
    let mut never = setup.clone().set("keys.rotate_after_days", 0).start().await;
    wait_until("a warning", || async { never.stderr().contains("trade-executor keys rotate") }).await;
    assert_eq!(never.owner().get("/health").await.expect(200)["parts"]["master_key_old"], true);
    never.stop().await;
    assert_eq!(vault(&data_dir).1, 1);

    let mut server = setup.start().await;
    wait_until("all to be sealed anew", || async {
        server.stderr().contains("credentials were sealed anew")
    })
    .await;
    server.stop().await;
    assert_eq!((behind(&data_dir, user), vault(&data_dir).1), (0, 2));
    let told = server.stderr().matches("are sealed anew").count();
    assert_eq!(told, 1, "told once");
    assert_eq!(log::count(&data_dir, "MASTER_KEY_ROTATED"), 1);
    server.assert_log_is_whole();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_version_is_gone_says_so_and_works_again_when_it_is_put_back() {
    let venue = Venue::open(&[KEY]).await;
    let mut server = trading(&venue).await;
    server.stop().await;
    assert!(server.run(&["keys", "rotate"]).status.success());
    let (file, aside) = (server.data.join("master.key.2"), server.home().join("copy"));
    fs::rename(&file, &aside).unwrap();
    let found = said(&server.run(&["doctor"]));
    assert!(
        found.contains("1 under version 2")
            && found.contains("version 2 of the master key, which is not here"),
        "{found}"
    );
    let refused = server.run(&["keys", "rotate"]);
    assert!(!refused.status.success(), "{}", said(&refused));
    server.start_again().await;
    let api = server.owner();
    let reason = wait_for("the account to say why", || async {
        let all = api.all(BROKERS).await;
        let account = all.into_iter().find(|known| known["broker"] == "alpaca")?;
        account["reason"]
            .as_str()
            .filter(|reason| reason.contains("version 2 of the master key"))
            .map(str::to_owned)
    });
    println!("{}", reason.await);
    server.stop().await;
    fs::rename(&aside, &file).unwrap();
    server.start_again().await;
    let sold = server.owner().signal(&order("after", "AAPL", "sell", "1")).await.str("signal_id").to_owned();
    server.owner().settled(&sold, "filled").await;
    server.stop().await;
}
