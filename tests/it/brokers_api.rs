//! Broker accounts through the API: connected when their keys work, sealed, chosen, removed, and nobody else's.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use trade_actors::domain::event::Event;
use trade_actors::domain::ids::{ConnectionId, UserId};
use trade_actors::domain::order::Mode;
use trade_executor::brokers::credentials::{Auth, BrokerSecret};
use trade_executor::keys::MasterKey;
use trade_executor::store::vault::SledVault;
use trade_executor::telemetry::is_for_the_log;
use trade_executor::vault::Credentials;
use venues::account::{AccountChange, AccountSpec};

use crate::support::api::order;
use crate::support::desk::{Desk, Says};
use crate::support::log::{self, Story};
use crate::support::{Answer, Api, TestApp, wait_for, wait_until};

const BROKERS: &str = "/api/v1/brokers";
/// Recognised wherever it turns up.
const KEY: &str = "PKSEEDEDKEYNAME4F7Q2X";
const SECRET: &str = "seededSecretThatMustNotBeSeen8841";

async fn start(desk: &Desk) -> TestApp {
    TestApp::start_on(tempfile::tempdir().unwrap(), |_, options| desk.serve(options)).await
}

fn keys(key_id: &str) -> Value {
    json!({ "broker": "alpaca", "mode": "paper", "key_id": key_id, "secret": SECRET })
}

pub(crate) async fn accounts(api: &Api) -> Vec<Value> {
    api.get(BROKERS).await.expect(200)["items"].as_array().unwrap().clone()
}

pub(crate) fn path(account: &Value) -> String {
    format!("{BROKERS}/{}", account["id"].as_str().unwrap())
}

pub(crate) async fn connected(api: &Api, account: &Value) -> Value {
    wait_for("a session to be open", || async {
        let all = accounts(api).await;
        all.into_iter().find(|known| known["id"] == account["id"] && known["connected"] == true)
    })
    .await
}

/// Opens the vault of a program that does not run.
pub(crate) fn vault(data: &Path) -> Credentials {
    let keys = MasterKey::load_or_create(&data.join("master.key")).unwrap();
    Credentials::new(Arc::new(SledVault::open(&data.join("vault"), 4 << 20).unwrap()), Arc::new(keys))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_connected_chosen_traded_at_and_removed() {
    let program = start(&Desk::default()).await;
    let api = program.owner();
    let paper = connected(&api, &accounts(&api).await[0]).await;
    assert_eq!(
        (&paper["broker"], &paper["name"], &paper["default"], &paper["key_hint"], &paper["status"]),
        (&json!("paper"), &json!("Paper account"), &json!(true), &Value::Null, &json!("connected"))
    );
    let mut wanted = keys(KEY);
    wanted["name"] = json!("Ada's Alpaca");
    let made = api.post(BROKERS, &wanted).await.expect(201);
    assert_eq!(
        (&made["broker"], &made["mode"], &made["name"], &made["default"], &made["key_hint"]),
        (&json!("alpaca"), &json!("paper"), &json!("Ada's Alpaca"), &json!(false), &json!("7Q2X"))
    );
    connected(&api, &made).await;

    let chosen = api.post(&format!("{}/default", path(&made)), &json!({})).await.expect(200);
    assert_eq!(chosen["default"], true);
    let order_of = accounts(&api).await.into_iter().map(|known| known["default"] == true).collect::<Vec<_>>();
    assert_eq!(order_of, [true, false], "the default comes first, and is one");
    let bought = api.signal(&order("buy", "AAPL", "buy", "2")).await.str("signal_id").to_owned();
    assert_eq!(api.settled(&bought, "filled").await["broker"], "alpaca");
    let refused = api.delete(&path(&made)).await;
    refused.assert_problem(409, "ACCOUNT_IN_USE");
    assert!(refused.str("detail").contains("0 order(s) and 1 position(s)"), "{}", refused.text);
    let sold = api.signal(&order("sell", "AAPL", "sell", "2")).await.str("signal_id").to_owned();
    api.settled(&sold, "filled").await;

    assert_eq!(api.delete(&path(&made)).await.status, 204);
    api.delete(&path(&made)).await.assert_problem(404, "NOT_FOUND");
    let left = accounts(&api).await;
    assert_eq!((left.len(), &left[0]["id"], &left[0]["default"]), (1, &paper["id"], &json!(true)));
    api.delete(&path(&paper)).await.assert_problem(409, "LAST_ACCOUNT");
    let after = api.signal(&order("after", "AAPL", "buy", "1")).await.str("signal_id").to_owned();
    assert_eq!(api.settled(&after, "filled").await["broker"], "paper");

    let (data, _dir) = program.stop().await;
    let story = Story::read(&data);
    story.assert_nothing_lost_or_doubled([bought.as_str(), sold.as_str(), after.as_str()]);
    let actions: Vec<_> = log::records(&data).into_iter().map(|record| record.statement.action).collect();
    let said = ["BROKER_CONNECTED", "BROKER_CHOSEN", "BROKER_DISCONNECTED"];
    let counts = said.map(|action| actions.iter().filter(|known| *known == action).count());
    assert_eq!(counts, [2, 1, 1], "each is in the trail");
    assert_eq!(vault(&data).list().unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn real_money_is_traded_once_that_is_confirmed_in_words_and_not_after_it_is_switched_off() {
    let program = start(&Desk::default()).await;
    let api = program.owner();
    let paper = accounts(&api).await[0].clone();
    let mut live = keys(KEY);
    live["mode"] = json!("live");
    let made = api.post(BROKERS, &live).await.expect(201);
    assert_eq!((&made["mode"], &made["live_trading"]), (&json!("live"), &json!(false)));
    connected(&api, &made).await;
    api.post(&format!("{}/default", path(&made)), &json!({})).await.expect(200);
    let says = async |id: &str, action: &str, status: &str| {
        let signal = api.signal(&order(id, "AAPL", action, "2")).await.str("signal_id").to_owned();
        api.settled(&signal, status).await
    };
    let denied = says("off", "buy", "rejected").await;
    assert_eq!(denied["code"], "LIVE_TRADING_OFF");
    assert!(denied["reason"].as_str().unwrap().contains("Nothing was sent."), "{denied}");

    let switch = |account: &Value, body: Value| {
        let request = api.request(reqwest::Method::PUT, &format!("{}/live", path(account))).json(&body);
        async { crate::support::api::send(request).await.unwrap() }
    };
    for wrong in [json!({"on": true}), json!({"on": true, "confirm": "yes"})] {
        let answer = switch(&made, wrong).await;
        answer.assert_problem(422, "INVALID_VALUE");
        assert_eq!(answer.pointer(), Some("/confirm"));
        assert!(answer.str("detail").contains("nothing was changed"), "{}", answer.text);
    }
    let words = json!({"on": true, "confirm": "trade real money"});
    switch(&paper, words.clone()).await.assert_problem(409, "PAPER_ACCOUNT");
    assert_eq!(switch(&made, words.clone()).await.expect(200)["live_trading"], true);
    switch(&made, words).await.expect(200);
    assert_eq!(says("on", "buy", "filled").await["mode"], "live");

    assert_eq!(switch(&made, json!({"on": false})).await.expect(200)["live_trading"], false);
    assert_eq!(says("off again", "buy", "rejected").await["code"], "LIVE_TRADING_OFF");
    says("out", "close", "filled").await;
    let (data, _dir) = program.stop().await;
    let counts = ["LIVE_TRADING_ON", "LIVE_TRADING_OFF"].map(|action| log::count(&data, action));
    assert_eq!(counts, [1, 1], "each change is in the trail, once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_at_an_account_just_connected_is_protected() {
    let desk = Desk::default();
    let program = TestApp::start_on(tempfile::tempdir().unwrap(), |config, options| {
        config.risk.stop_loss_pct = trade_actors::domain::money::Percent::new(2.into());
        desk.serve(options);
    })
    .await;
    let api = program.owner();
    let made = api.post(BROKERS, &keys(KEY)).await.expect(201);
    api.post(&format!("{}/default", path(&made)), &json!({})).await.expect(200);
    let bought = api.signal(&order("buy", "AAPL", "buy", "2")).await.str("signal_id").to_owned();
    api.settled(&bought, "filled").await;
    let is_stop = |trade: &Value| {
        trade["purpose"] == "protection" && trade["status"] == "submitted" && trade["broker"] == "alpaca"
    };
    wait_until("a stop at the broker", || async { api.trades().await.iter().any(is_stop) }).await;
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_paper_account_may_go_when_another_is_there_and_another_may_come() {
    let program = start(&Desk::default()).await;
    let api = program.owner();
    let first = accounts(&api).await.remove(0);
    let second = api.post(BROKERS, &json!({ "broker": "paper", "mode": "paper" })).await.expect(201);
    connected(&api, &second).await;
    assert_eq!(api.delete(&path(&first)).await.status, 204);
    let left = accounts(&api).await;
    assert_eq!((left.len(), &left[0]["id"], &left[0]["default"]), (1, &second["id"], &json!(true)));
    let bought = api.signal(&order("buy", "AAPL", "buy", "1")).await.str("signal_id").to_owned();
    api.settled(&bought, "filled").await;
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_work_is_refused_in_clear_words_and_leaves_nothing_behind() {
    let desk = Desk::default();
    let program = TestApp::start_on(tempfile::tempdir().unwrap(), |config, options| {
        config.server.request_timeout_ms = 3_000;
        desk.serve(options);
    })
    .await;
    let api = program.owner();
    for (says, status, code) in [
        (Says::WrongKeys, 422, "AUTH_FAILED"),
        (Says::Closed, 422, "ACCOUNT_REFUSED"),
        (Says::Nonsense, 503, "BROKER_UNAVAILABLE"),
        (Says::Nothing, 503, "BROKER_UNAVAILABLE"),
    ] {
        desk.says(says);
        let answer = api.post(BROKERS, &keys(KEY)).await;
        answer.assert_problem(status, code);
        assert!(answer.text.contains("nothing was kept or connected"), "{}", answer.text);
        assert!(!answer.text.contains(KEY) && !answer.text.contains(SECRET), "{}", answer.text);
        assert_eq!(answer.header("retry-after").is_empty(), status == 422, "{}", answer.text);
    }
    desk.says(Says::Yes);
    let asked = desk.asked();
    let mut live = keys(KEY);
    live["mode"] = json!("live");
    let free = api.new_user("Bob").await;
    let answer = free.post(BROKERS, &live).await;
    answer.assert_problem(403, "PLAN_LIMIT");
    assert!(answer.str("detail").contains("the Free plan is for paper trading only"), "{}", answer.text);
    let unknown = api.post(BROKERS, &json!({ "broker": "nobody", "mode": "paper" })).await;
    unknown.assert_problem(422, "INVALID_VALUE");
    assert!(unknown.str("detail").contains("paper, alpaca"), "{}", unknown.text);
    let extra = json!({ "broker": "alpaca", "mode": "paper", "password": SECRET });
    let answer = api.post(BROKERS, &extra).await;
    answer.assert_problem(422, "INVALID_VALUE");
    assert!(!answer.text.contains(SECRET), "{}", answer.text);
    assert_eq!(desk.asked(), asked, "no keys are sent anywhere for nothing");

    let made = api.post(BROKERS, &keys(KEY)).await.expect(201);
    api.post(BROKERS, &keys(KEY)).await.assert_problem(409, "ALREADY_CONNECTED");
    let (data, _dir) = program.stop().await;
    assert_eq!(log::count(&data, "BROKER_CONNECTED"), 3, "two people's paper accounts, and this one");
    let kept: Vec<_> = vault(&data).list().unwrap().into_iter().map(|(_, id)| id.to_string()).collect();
    assert_eq!(kept, [made["id"].as_str().unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_touches_another_persons_accounts() {
    let program = start(&Desk::default()).await;
    let ada = program.owner();
    let bob = ada.new_user("Bob").await;
    let hers = ada.post(BROKERS, &keys(KEY)).await.expect(201);
    let his = bob.post(BROKERS, &keys(KEY)).await.expect(201);
    for (api, other) in [(&ada, &his), (&bob, &hers)] {
        api.delete(&path(other)).await.assert_problem(404, "NOT_FOUND");
        api.post(&format!("{}/default", path(other)), &json!({})).await.assert_problem(404, "NOT_FOUND");
        assert!(accounts(api).await.iter().all(|known| known["id"] != other["id"]));
    }
    assert_eq!((accounts(&ada).await.len(), accounts(&bob).await.len()), (2, 2));
    let made =
        ada.post("/api/v1/tokens", &json!({ "name": "t", "scopes": ["read", "trade"] })).await.expect(201);
    let trader = Api { token: made["token"].as_str().unwrap().to_owned(), ..ada.clone() };
    assert_eq!(accounts(&trader).await.len(), 2);
    trader.post(BROKERS, &keys("PKANOTHERKEY1")).await.assert_problem(403, "SCOPE_MISSING");
    trader.delete(&path(&hers)).await.assert_problem(403, "SCOPE_MISSING");
    trader.post(&format!("{}/default", path(&hers)), &json!({})).await.assert_problem(403, "SCOPE_MISSING");
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_order_outlives_the_account_it_was_for() {
    let desk = Desk::default();
    let program = start(&desk).await;
    let api = program.owner();
    let mut signals = Vec::new();
    for round in 0..6 {
        let made = api.post(BROKERS, &keys(&format!("PKROUNDOFKEYS{round}"))).await.expect(201);
        api.post(&format!("{}/default", path(&made)), &json!({})).await.expect(200);
        connected(&api, &made).await;
        let send = |number: usize| {
            let (api, side) = (api.clone(), if number.is_multiple_of(2) { "buy" } else { "sell" });
            async move { api.signal(&order(&format!("{round}-{number}"), "AAPL", side, "1")).await }
        };
        let (sent, removed) = tokio::join!(futures_util::future::join_all((0..8).map(send)), async {
            api.delete(&path(&made)).await
        });
        assert!(matches!(removed.status, 204 | 409), "{}", removed.text);
        signals.extend(sent.into_iter().map(|answer| answer.str("signal_id").to_owned()));
        api.all_ended().await;
    }
    let (data, _dir) = program.stop().await;
    let mut gone = Vec::new();
    for record in log::records(&data) {
        match Event::parse(record.statement.payload.as_deref().unwrap()).unwrap() {
            Event::ConnectionRemoved { connection } => gone.push(connection),
            Event::OrderCreated { ticket, .. } => {
                assert!(!gone.contains(&ticket.connection), "{}", ticket.id)
            }
            _ => {}
        }
    }
    Story::read(&data).assert_nothing_lost_or_doubled(signals.iter().map(String::as_str));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_a_crash_left_behind_are_swept_and_those_in_use_are_kept() {
    let desk = Desk::default();
    let program = start(&desk).await;
    let made = program.owner().post(BROKERS, &keys(KEY)).await.expect(201);
    let (data, dir) = program.stop().await;
    let store = vault(&data);
    let kept = store.list().unwrap();
    let (user, _) = kept[0];
    let auth = Auth::ApiKey { key_id: KEY.into(), secret: SECRET.into() };
    let secret = BrokerSecret { broker: "alpaca".to_owned(), mode: Mode::Paper, auth };
    let stranger = UserId::new(uuid::Uuid::from_u128(7));
    for owner in [user, stranger] {
        store.put(owner, ConnectionId::new(uuid::Uuid::from_u128(1)), &secret).unwrap();
    }
    assert_eq!(store.list().unwrap().len(), 3);
    drop(store);
    let program = TestApp::start_on(dir, |_, options| desk.serve(options)).await;
    let api = program.owner();
    assert_eq!(accounts(&api).await[1]["status"], "asleep");
    api.signal(&order("wakes", "AAPL", "buy", "1")).await.expect(202);
    connected(&api, &made).await;
    let (data, _dir) = program.stop().await;
    assert_eq!(vault(&data).list().unwrap(), kept);
}

/// All that the program logs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Said {
    pub(crate) fn begin() -> Self {
        let said = Self::default();
        let sink = said.clone();
        let lines = tracing_subscriber::fmt::layer().with_writer(move || sink.clone());
        let logged = tracing_subscriber::registry().with(filter_fn(is_for_the_log)).with(lines).try_init();
        // With all tests in one process, another one may have come first.
        if let Err(error) = logged {
            eprintln!("the log is not looked through: {error}");
        }
        said
    }

    #[track_caller]
    pub(crate) fn assert_without(&self, needles: &[&str]) {
        let said = String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned();
        assert!(!said.is_empty());
        for line in said.lines() {
            assert!(!needles.iter().any(|needle| line.contains(needle)), "the log says: {line}");
        }
    }
}

pub(crate) fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// Asserts that no file below a folder holds the keys.
fn assert_unseen(folder: &Path, what: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_unseen(&path, what);
        } else {
            let bytes = fs::read(&path).unwrap();
            for needle in [KEY, SECRET] {
                assert!(!holds(&bytes, needle), "{what}: {} holds {needle}", path.display());
            }
        }
    }
}

fn assert_unsaid(answer: &Answer) {
    let said = format!("{:?} {}", answer.headers, answer.text);
    assert!(!said.contains(KEY) && !said.contains(SECRET), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_are_in_no_file_no_log_line_and_no_answer() {
    let said = Said::begin();
    let desk = Desk::default();
    let program = start(&desk).await;
    let api = program.owner();
    for (says, status) in [
        (Says::WrongKeys, 422),
        (Says::Closed, 422),
        (Says::Nonsense, 503),
        (Says::Yes, 201),
        (Says::Yes, 409),
    ] {
        desk.says(says);
        let answer = api.post(BROKERS, &keys(KEY)).await;
        assert_eq!(answer.status, status, "{}", answer.text);
        assert_unsaid(&answer);
    }
    let token = json!({ "broker": "alpaca", "mode": "paper", "access_token": SECRET });
    let held = api.post(BROKERS, &token).await;
    assert_unsaid(&held);
    held.expect(201);
    assert_unseen(&program.data(), "while it runs");
    let (data, dir) = program.stop().await;
    assert_unseen(&data, "after it stopped");

    let program = TestApp::start_on(dir, |_, options| desk.serve(options)).await;
    let api = program.owner();
    api.signal(&order("wakes", "AAPL", "buy", "1")).await.expect(202);
    for account in accounts(&api).await.iter().filter(|known| known["broker"] == "alpaca") {
        connected(&api, account).await;
        assert_unsaid(&api.get(BROKERS).await);
        let removed = api.delete(&path(account)).await;
        assert_unsaid(&removed);
        assert_eq!(removed.status, 204, "{}", removed.text);
    }
    for path in ["/api/v1/me", "/api/v1/trades", "/health", "/api/openapi.json"] {
        assert_unsaid(&api.get(path).await);
    }
    let (data, _dir) = program.stop().await;
    assert_unseen(&data, "after all was removed");
    assert_eq!(vault(&data).list().unwrap(), []);
    said.assert_without(&[KEY, SECRET]);
}

/// Starts on the data in a folder, with Alpaca at a venue of the test's own.
async fn at_venue(dir: TempDir, url: &str) -> TestApp {
    TestApp::start_on(dir, |config, _| {
        let alpaca = &mut config.brokers.alpaca;
        alpaca.paper_url = url.to_owned();
        alpaca.data_url = url.to_owned();
        alpaca.data_stream_url = url.replace("http://", "ws://");
        alpaca.timeout_ms = 2_000;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_adapter_tries_keys_out_and_opens_its_session_with_the_sealed_ones() {
    let said = Said::begin();
    let venue = venues::alpaca::Alpaca::start(venues::world::Options::default()).await.unwrap();
    venue.world().add_account(AccountSpec::new(KEY, SECRET, 5_000.into()));
    let url = venue.urls().url;
    let program = at_venue(tempfile::tempdir().unwrap(), &url).await;
    let api = program.owner();
    let mut wrong = keys(KEY);
    wrong["secret"] = json!("seededSecretThatIsWrong");
    api.post(BROKERS, &wrong).await.assert_problem(422, "AUTH_FAILED");
    let made = api.post(BROKERS, &keys(KEY)).await.expect(201);
    connected(&api, &made).await;
    api.post(&format!("{}/default", path(&made)), &json!({})).await.expect(200);
    wait_until("its cash", || async { api.portfolio().await["cash"] == "5000" }).await;
    let (_, dir) = program.stop().await;

    let revoked = AccountChange { revoked: Some(true), ..AccountChange::default() };
    venue.world().change_account(KEY, &revoked).unwrap();
    let program = at_venue(dir, &url).await;
    let api = program.owner();
    api.signal(&order("wakes", "AAPL", "buy", "1")).await.expect(202);
    let failed = wait_for("the session to be refused", || async {
        let all = accounts(&api).await;
        all.into_iter().find(|known| known["id"] == made["id"] && known["status"] == "failed")
    })
    .await;
    assert!(failed["reason"].as_str().unwrap().contains("did not accept the credentials"), "{failed}");
    assert_eq!(failed["connected"], false);
    drop(venue);
    let mut other = keys("PKTHEVENUEISDOWN1");
    other["secret"] = json!("anything");
    api.post(BROKERS, &other).await.assert_problem(503, "BROKER_UNAVAILABLE");
    api.all_ended().await;
    assert_eq!(api.delete(&path(&made)).await.status, 204);
    let (data, _dir) = program.stop().await;
    assert_unseen(&data, "after it was removed");
    assert_eq!(vault(&data).list().unwrap(), []);
    said.assert_without(&[KEY, SECRET, "seededSecretThatIsWrong"]);
}
