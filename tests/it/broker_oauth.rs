//! Broker accounts that their owners connect at the broker's own page: by whoever began it, once, and in time.

mod scene;

use std::path::Path;

use chrono::TimeDelta;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use trade_actors::ports::clock::Clock;
use trade_executor::brokers::credentials::Kind;
use venues::account::AccountChange;
use venues::faults::{Action, Rule};

use self::scene::{ALPACA, Browser, KEY, Place, SCHWAB, Scene};
use crate::brokers_api::{Said, accounts, holds, vault};
use crate::support::api::order;
use crate::support::{Api, log};

const BEGIN: &str = "/api/v1/brokers/oauth";

/// Returns a parameter of an address.
fn param(address: &str, name: &str) -> Option<String> {
    let url = Url::parse(address).unwrap();
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// Returns a parameter of an address as it stands there.
fn param_raw(address: &str, name: &str) -> String {
    let query = address.split('?').nth(1).unwrap();
    query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).unwrap().to_owned()
}

/// Asserts that no file below a folder holds one of these.
fn assert_unseen(folder: &Path, needles: &[&str]) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_unseen(&path, needles);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let found = needles.iter().find(|needle| holds(&bytes, needle));
            assert!(found.is_none(), "{} holds {found:?}", path.display());
        }
    }
}

/// From the button to an order at the broker; nothing that opens the account is anywhere to be read.
async fn connects_and_trades(place: Place, kind: Kind) {
    let said = Said::begin();
    let scene = Scene::open(place).await;
    let browser = scene.adas_browser().await;
    let wanted = json!({ "broker": place.name, "mode": place.mode, "name": "By consent" });
    let begun = browser.post(BEGIN, &wanted).await.expect(201);
    assert!(begun["expires_at"].as_str().unwrap().starts_with("2025-01-03T15:10:"), "{begun}");
    let page = begun["authorize_url"].as_str().unwrap();
    let state = param(page, "state").unwrap();
    assert_eq!(state.len(), 43, "256 bits");
    assert_eq!(param(page, "code_challenge").is_some(), place.name == "alpaca");

    let dashboard = browser.open(page).await;
    assert_eq!(dashboard.status, 200, "{dashboard:?}");
    let [_, back, end] = dashboard.passed.as_slice() else { panic!("{:?}", dashboard.passed) };
    assert!(end.ends_with("/?broker=connected"), "{end}");
    assert!(back.contains("/oauth/callback?code="), "{back}");
    assert!(dashboard.text.contains("<title>Trade Executor</title>"));
    let code = param(back, "code").unwrap();

    let made = scene.chosen().await;
    assert_eq!((&made["name"], &made["key_hint"]), (&json!("By consent"), &json!(null)));
    scene.buys("AAPL").await;
    assert_eq!(accounts(&scene.ada).await.len(), 2);
    // Again the same way back: nothing more is connected.
    let asked = scene.tokens_asked();
    browser.open(back).await.assert_says(400, "was used before");
    assert_eq!((accounts(&scene.ada).await.len(), scene.tokens_asked()), (2, asked));

    let (data, _dir) = scene.program.stop().await;
    let credentials = vault(&data);
    let (user, connection) = credentials.list().unwrap()[0];
    let secret = credentials.get(user, connection, place.name).unwrap().unwrap();
    assert_eq!(secret.auth.kind(), kind);
    drop(credentials);
    let sealed = serde_json::to_value(&secret).unwrap()["auth"].clone();
    let token = sealed["access_token"].as_str().or(sealed["refresh_token"].as_str()).unwrap();
    let seen = [token, code.as_str(), state.as_str(), "hush"];
    assert_unseen(&data, &seen[..3]);
    said.assert_without(&seen);
    assert_eq!(log::count(&data, "BROKER_CONNECTED"), 2, "the paper account, and this one");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alpaca_account_is_connected_at_alpacas_page_and_traded_at() {
    connects_and_trades(ALPACA, Kind::OAuth).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schwab_account_is_connected_at_schwabs_page_and_traded_at() {
    connects_and_trades(SCHWAB, Kind::Login).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_back_that_nobody_began_connects_nothing() {
    for place in [ALPACA, SCHWAB] {
        let scene = Scene::open(place).await;
        let browser = scene.adas_browser().await;
        let page = scene.begin(&browser).await;
        let back = scene.way_back(&browser, &page).await;
        let state = param(&back, "state").unwrap();
        for foreign in ["", "guess", &"x".repeat(43), &"x".repeat(500)] {
            let answer = browser.open(&back.replace(&state, foreign)).await;
            answer.assert_says(400, "This way back is not known");
        }
        browser.open(&back.replace("state=", "s=")).await.assert_says(400, "begin again");
        assert_eq!(scene.tokens_asked(), 0);
        scene.assert_untouched(1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_comes_back_after_ten_minutes_begins_again() {
    for place in [ALPACA, SCHWAB] {
        let scene = Scene::open(place).await;
        let browser = scene.adas_browser().await;
        let page = scene.begin(&browser).await;
        scene.clock.turn(TimeDelta::minutes(10));
        browser.open(&page).await.assert_says(400, "older than ten minutes");
        assert_eq!(scene.tokens_asked(), 0);
        scene.assert_untouched(1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_persons_browser_connects_nothing_and_uses_the_way_back_up() {
    for place in [ALPACA, SCHWAB] {
        let scene = Scene::open(place).await;
        let (ada, bob) = (scene.adas_browser().await, scene.bobs_browser().await);
        for other in [&bob, &scene.browser("Firefox")] {
            let back = scene.way_back(&ada, &scene.begin(&ada).await).await;
            other.open(&back).await.assert_says(403, "not logged in as who began");
            ada.open(&back).await.assert_says(400, "was used before");
        }
        assert_eq!(scene.tokens_asked(), 0);
        scene.assert_untouched(2).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_the_session_that_began_it_unless_a_program_did() {
    let scene = Scene::open(ALPACA).await;
    let here = scene.adas_browser().await;
    let there = scene.browser("Safari");
    there.log_in(&scene.adas_link().await).await;
    let page = scene.begin(&here).await;
    there.open(&page).await.assert_says(403, "not logged in as who began");
    // A session that ended since is nobody's any more.
    let page = scene.begin(&here).await;
    assert_eq!(here.post("/auth/logout", &json!({})).await.status, 204);
    here.open(&page).await.assert_says(400, "begin again");
    assert_eq!(scene.tokens_asked(), 0);

    let wanted = json!({ "broker": "alpaca", "mode": "paper" });
    let begun = scene.ada.post(BEGIN, &wanted).await.expect(201);
    let page = begun["authorize_url"].as_str().unwrap();
    assert!(there.open(page).await.passed[2].ends_with("/?broker=connected"));
    scene.chosen().await;
    scene.program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_says_no_is_told_that_nothing_was_done() {
    for place in [ALPACA, SCHWAB] {
        let scene = Scene::open(place).await;
        let browser = scene.adas_browser().await;
        scene.venue.world().set_setting("consent", "no").unwrap();
        let page = scene.begin(&browser).await;
        let denied = browser.open(&page).await;
        denied.assert_says(403, "<h1>You said no</h1>");
        browser.open(&denied.passed[1]).await.assert_says(400, "was used before");
        let back = scene.way_back(&browser, &scene.begin(&browser).await).await;
        let odd = back.replace("access_denied", "%3Cscript%3Ealert(1)%3C%2Fscript%3E");
        let odd = browser.open(&odd).await;
        odd.assert_says(400, "without letting this program in;");
        assert!(!odd.text.contains("alert(1)"), "{}", odd.text);
        assert_eq!(scene.tokens_asked(), 0);
        scene.assert_untouched(1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_knows_another_address_sends_nobody_back() {
    for place in [ALPACA, SCHWAB] {
        let scene = Scene::open(place).await;
        let browser = scene.adas_browser().await;
        let page = scene.begin(&browser).await;
        scene.venue.world().set_setting("redirect_uri", "https://elsewhere.test/oauth/callback").unwrap();
        let refused = browser.open(&page).await;
        assert_eq!((refused.status, refused.passed.len()), (400, 1), "{refused:?}");
        assert_eq!(scene.tokens_asked(), 0);
        scene.assert_untouched(1).await;
    }
}

/// What the browser brings back is not what the broker takes, or opens nothing that may be traded at.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_does_not_take_is_told_and_not_kept() {
    for place in [ALPACA, SCHWAB] {
        let scene = Scene::open(place).await;
        let browser = scene.adas_browser().await;
        let world = scene.venue.world();
        let begun = async || scene.way_back(&browser, &scene.begin(&browser).await).await;
        let back = begun().await;
        let made_up = back.replace(&param_raw(&back, "code"), "C0.madeup");
        browser.open(&made_up).await.assert_says(422, "did not take the code");
        let back = begun().await;
        let without = back.replace("code=", "c=");
        browser.open(&without).await.assert_says(400, "without a code");

        // The code of one way belongs to that way alone: where there is a challenge, it cannot be carried over.
        let (mine, other) = (begun().await, begun().await);
        if place.name == "alpaca" {
            let mixed = mine.replace(&param_raw(&mine, "code"), &param_raw(&other, "code"));
            browser.open(&mixed).await.assert_says(422, "did not take the code");
        }

        let back = begun().await;
        world.add_oauth_client("app", "changed");
        browser.open(&back).await.assert_says(409, "does not know this program");
        world.add_oauth_client("app", "hush");

        let back = begun().await;
        world.add_fault(Rule::on(place.tokens, Action::status(503)).times(1));
        browser.open(&back).await.assert_says(503, "could not be asked for a token");

        let back = begun().await;
        let blocked = AccountChange { trading_blocked: Some(true), ..AccountChange::default() };
        world.change_account(KEY, &blocked).unwrap();
        let said = if place.name == "alpaca" { "Alpaca did not accept this token" } else { "may not trade" };
        browser.open(&back).await.assert_says(422, said);
        scene.assert_untouched(1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_ahead_uses_nothing_up() {
    let scene = Scene::open(ALPACA).await;
    let browser = scene.adas_browser().await;
    let back = scene.way_back(&browser, &scene.begin(&browser).await).await;
    assert_eq!(browser.look_ahead(&back, Method::HEAD, "").await, 400);
    assert_eq!(browser.look_ahead(&back, Method::GET, "prefetch;prerender").await, 400);
    assert_eq!((accounts(&scene.ada).await.len(), scene.tokens_asked()), (1, 0));
    assert!(browser.open(&back).await.passed[1].ends_with("/?broker=connected"));
    scene.program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_begun_is_said_in_words() {
    let scene = Scene::with(ALPACA, |config| {
        config.brokers.alpaca.client_id.clear();
        config.brokers.alpaca.client_secret = None;
    })
    .await;
    let ada = scene.adas_browser().await;
    let wanted = |broker: &str, mode: &str| json!({ "broker": broker, "mode": mode });
    let unset = ada.post(BEGIN, &wanted("alpaca", "paper")).await;
    unset.assert_problem(409, "NOT_CONFIGURED");
    assert!(
        unset.str("detail").starts_with("the operator has not set brokers.alpaca.client_id"),
        "{unset:?}"
    );
    let plain = ada.post(BEGIN, &wanted("schwab", "live")).await;
    plain.assert_problem(409, "NOT_CONFIGURED");
    assert!(plain.str("detail").contains("the operator has not set server.public_url"), "{plain:?}");
    for (broker, mode, at) in
        [("kraken", "live", "/broker"), ("paper", "paper", "/broker"), ("nobody", "paper", "/broker")]
    {
        let answer = ada.post(BEGIN, &wanted(broker, mode)).await;
        answer.assert_problem(422, "INVALID_VALUE");
        assert_eq!(answer.pointer(), Some(at), "{}", answer.text);
    }
    let stranger = scene.browser("Firefox").post(BEGIN, &wanted("alpaca", "paper")).await;
    stranger.assert_problem(401, "UNAUTHORIZED");
    scene.assert_untouched(1).await;

    let scene = Scene::open(SCHWAB).await;
    let (ada, bob) = (scene.adas_browser().await, scene.bobs_browser().await);
    for (mode, name, at) in [("paper", "x", "/mode"), ("demo", "x", "/mode"), ("live", " x", "/name")] {
        let answer = ada.post(BEGIN, &json!({ "broker": "schwab", "mode": mode, "name": name })).await;
        answer.assert_problem(422, "INVALID_VALUE");
        assert_eq!(answer.pointer(), Some(at), "{}", answer.text);
    }
    bob.post(BEGIN, &wanted("schwab", "live")).await.assert_problem(403, "PLAN_LIMIT");
    let made = scene.ada.post("/api/v1/tokens", &json!({ "name": "t", "scopes": ["read", "trade"] })).await;
    let trader = Api { token: made.str("token").to_owned(), ..scene.ada.clone() };
    trader.post(BEGIN, &wanted("schwab", "live")).await.assert_problem(403, "SCOPE_MISSING");
    scene.assert_untouched(2).await;
}

/// Two connections to one account would trade against each other.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_connected_by_its_keys_is_not_connected_again() {
    let scene = Scene::open(ALPACA).await;
    let keys =
        json!({ "broker": "alpaca", "mode": "paper", "key_id": KEY, "secret": "a-secret-that-nobody-needs" });
    scene.ada.post("/api/v1/brokers", &keys).await.expect(201);
    let browser = scene.adas_browser().await;
    let page = scene.begin(&browser).await;
    let refused = browser.open(&page).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(refused.text.contains("is connected already") && refused.text.contains("nothing was connected"));
    assert_eq!(accounts(&scene.ada).await.len(), 2);
    let (data, _dir) = scene.program.stop().await;
    let credentials = vault(&data);
    let kept = credentials.list().unwrap();
    assert_eq!(kept.len(), 1);
    let secret = credentials.get(kept[0].0, kept[0].1, "alpaca").unwrap().unwrap();
    assert_eq!(secret.auth.kind(), Kind::ApiKey, "the keys are as they were");
}

/// Connects the account, or opens it anew; returns which of the two it was.
async fn comes_back(scene: &Scene, browser: &Browser) -> String {
    let page = browser.open(&scene.begin(browser).await).await;
    assert_eq!(page.status, 200, "{page:?}");
    param(&page.passed[2], "broker").unwrap()
}

/// An order is refused, and says what to do.
async fn is_refused(scene: &Scene, words: &str) {
    let before = scene.venue.world().orders(Some(KEY)).len();
    let late = scene.ada.signal(&order("late", "AAPL", "buy", "2")).await.expect(202);
    let refused = scene.ada.settled(late["signal_id"].as_str().unwrap(), "rejected").await;
    assert_eq!(refused["code"], "AUTH_FAILED", "{refused}");
    assert!(refused["reason"].as_str().unwrap().contains(words), "{refused}");
    assert_eq!(scene.venue.world().orders(Some(KEY)).len(), before);
}

/// The account goes on under what opens it now, with all that was open there, and with what nobody asked for before.
async fn goes_on(scene: Scene, before: &Value) {
    let after = scene.chosen().await;
    assert_eq!((&after["id"], accounts(&scene.ada).await.len()), (&before["id"], 2));
    scene.buys("MSFT").await;
    let (data, _dir) = scene.program.stop().await;
    assert_eq!(vault(&data).list().unwrap().len(), 1);
    let counts = ["BROKER_CONNECTED", "BROKER_RENEWED"].map(|action| log::count(&data, action));
    assert_eq!(counts, [2, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_was_revoked_is_given_anew() {
    let scene = Scene::open(ALPACA).await;
    let browser = scene.adas_browser().await;
    assert_eq!(comes_back(&scene, &browser).await, "connected");
    let made = scene.chosen().await;
    scene.buys("AAPL").await;
    let other = AccountChange { token: Some("another-token".to_owned()), ..AccountChange::default() };
    scene.venue.world().change_account(KEY, &other).unwrap();
    is_refused(&scene, "Connect the account again").await;
    assert_eq!(comes_back(&scene, &browser).await, "renewed");
    goes_on(scene, &made).await;
}

/// A login at Schwab ends after a week, and another one ends the first: then the same account goes on with the new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_login_takes_the_place_of_the_one_that_ended() {
    let scene = Scene::open(SCHWAB).await;
    let browser = scene.adas_browser().await;
    assert_eq!(comes_back(&scene, &browser).await, "connected");
    let made = scene.chosen().await;
    scene.buys("AAPL").await;
    scene.venue.world().set_now(scene.clock.now() + TimeDelta::days(8));
    is_refused(&scene, "log in at Schwab again").await;
    assert_eq!(comes_back(&scene, &browser).await, "renewed");
    goes_on(scene, &made).await;
}

/// A login that has not ended is ended by the next one; orders go on without one that is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_login_ahead_of_the_end_costs_no_order() {
    let scene = Scene::open(SCHWAB).await;
    let browser = scene.adas_browser().await;
    assert_eq!(comes_back(&scene, &browser).await, "connected");
    let made = scene.chosen().await;
    assert_eq!(comes_back(&scene, &browser).await, "renewed");
    // What the first login gave has ended by then.
    scene.venue.world().set_now(scene.clock.now() + TimeDelta::minutes(31));
    scene.buys("TSLA").await;
    goes_on(scene, &made).await;
}
