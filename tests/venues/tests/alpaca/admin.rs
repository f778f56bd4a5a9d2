//! The program and its administration: all that a test in another process can do.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{SOON, Venue, d, market};

async fn admin(venue: &Venue, path: &str, body: &Value) -> Value {
    let reply =
        venue.send(Method::POST, &format!("/admin{path}"), &[], Some(&body.to_string())).await.unwrap();
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    reply.json()
}

async fn look(venue: &Venue, path: &str) -> Value {
    let reply = venue.send(Method::GET, &format!("/admin{path}"), &[], None).await.unwrap();
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    reply.json()
}

#[tokio::test]
async fn accounts_prices_and_orders_are_run_from_outside() {
    let venue = Venue::start().await;
    let account = json!({"name": "second", "key_id": "K2", "secret": "S2", "token": "T2", "cash": "500",
        "multiplier": "1", "standing": {"trading_blocked": true}});
    admin(&venue, "/accounts", &account).await;
    let bearer = [("authorization", "Bearer T2")];
    let shown = venue.send(Method::GET, "/v2/account", &bearer, None).await.unwrap().json();
    assert_eq!((&shown["trading_blocked"], &shown["buying_power"]), (&json!(true), &json!("500")));
    admin(&venue, "/accounts/second", &json!({"trading_blocked": false, "multiplier": "2"})).await;
    admin(&venue, "/accounts/second/deposits", &json!({"amount": "250"})).await;
    let trade = json!({"symbol": "AAPL", "side": "buy", "qty": "1", "price": "100"});
    admin(&venue, "/accounts/second/trades", &trade).await;
    let owned = look(&venue, "/positions?account=second").await[0].clone();
    assert_eq!((&owned["cash"], &owned["positions"][0]["qty"]), (&json!("650"), &json!("1")));
    admin(&venue, "/accounts/second", &json!({"revoked": true})).await;
    assert_eq!(venue.send(Method::GET, "/v2/account", &bearer, None).await.unwrap().status, 401);

    admin(&venue, "/instruments", &json!({"symbol": "OLD", "active": false})).await;
    assert_eq!(venue.get("/v2/assets/OLD").await.json()["status"], "inactive");
    let quote =
        admin(&venue, "/prices", &json!({"symbol": "AAPL", "bid": "100", "ask": 100.5, "last": "100.2"}))
            .await;
    assert_eq!(
        (&quote["bid"], &quote["ask"], &quote["last"]),
        (&json!("100"), &json!("100.5"), &json!("100.2"))
    );

    admin(&venue, "/fills", &json!({"fill": {"mode": "manual"}, "cancel_takes_ms": 0})).await;
    venue.place(&market("buy", "3", "by hand")).await;
    let order = look(&venue, "/orders?account=K").await[0].clone();
    assert_eq!((&order["client_order_id"], &order["status"]), (&json!("by hand"), &json!("new")));
    let id = &order["id"];
    admin(&venue, &format!("/orders/{id}/fill"), &json!({"qty": "2", "price": "100.4"})).await;
    admin(&venue, &format!("/orders/{id}/end"), &json!({"status": "canceled"})).await;
    let order = look(&venue, "/orders?account=K").await[0].clone();
    assert_eq!((&order["filled_qty"], &order["status"]), (&json!("2"), &json!("canceled")));
    admin(&venue, "/fills", &json!({"symbol": "AAPL", "fill": {"mode": "parts", "parts": 2, "every_ms": 0}}))
        .await;
    admin(&venue, "/halts", &json!({"symbol": "AAPL", "halted": true})).await;
    let halted = venue.place(&market("buy", "1", "halted")).await;
    assert_eq!(
        venue.get(&format!("/v2/orders/{}", halted["id"].as_str().unwrap())).await.json()["status"],
        "new"
    );
    admin(&venue, "/oauth/clients", &json!({"client_id": "app", "client_secret": "hush"})).await;
    assert_eq!(look(&venue, "/seed").await["seed"], json!(venue.world().seed()));
}

#[tokio::test]
async fn time_faults_limits_and_streams_are_run_from_outside() {
    let venue = Venue::start().await;
    let clock = json!({"now": "2024-06-08T12:00:00Z", "hours": {"mode": "nyse"}});
    admin(&venue, "/clock", &clock).await;
    assert_eq!(look(&venue, "/clock").await["session"], "closed");
    admin(&venue, "/clock", &json!({"offset_ms": -1000, "hours": {"mode": "always_open"}})).await;
    assert_eq!(look(&venue, "/clock").await["session"], "regular");
    let closed = json!({"hours": {"mode": "closed", "next_open": "2100-01-04T14:30:00Z"}});
    admin(&venue, "/clock", &closed).await;
    assert_eq!(venue.get("/v2/clock").await.json()["next_open"], "2100-01-04T09:30:00-05:00");

    let rules = json!([
        {"on": "GET /v2/clock", "times": 1, "skip": 1, "action": {"do": "status", "status": 503, "when": "after"}},
        {"on": "GET /v2/account", "delay_ms": 1, "account": "K", "probability": "1",
            "action": {"do": "refuse", "status": 403, "code": 40310000, "message": "no"}},
        {"on": "POST /v2/orders", "client_order_id": "x", "symbol": "AAPL", "action": {"do": "duplicate"}},
        {"on": "DELETE *", "action": {"do": "silence"}},
        {"on": "PATCH *", "action": {"do": "garble"}},
        {"on": "/v2/assets/*", "action": {"do": "reset", "when": "before"}},
    ]);
    admin(&venue, "/faults", &rules).await;
    assert_eq!(venue.get("/v2/clock").await.status, 200);
    assert_eq!(venue.get("/v2/clock").await.status, 503);
    venue.get("/v2/account").await.refuses(403, 40310000, "no");
    admin(&venue, "/faults/streams", &json!({"duplicate": true, "channel": "orders"})).await;
    let faults = look(&venue, "/faults").await;
    assert_eq!((&faults["requests"][0]["fired"], &faults["streams"]["duplicate"]), (&json!(1), &json!(true)));
    venue.send(Method::DELETE, "/admin/faults", &[], None).await.unwrap();
    assert_eq!(look(&venue, "/faults").await["requests"], json!([]));
    assert_eq!(venue.get("/v2/account").await.status, 200);

    admin(&venue, "/limits", &json!({"per_minute": 2})).await;
    assert_eq!(venue.get("/v2/clock").await.header("x-ratelimit-limit"), Some("2"));
    admin(&venue, "/limits", &json!({"per_minute": null})).await;
    let rate = look(&venue, "/rates?account=K").await;
    assert_eq!(rate["total"], json!(venue.world().rate("K").total));

    let _listener = venue.listen().await;
    assert_eq!(look(&venue, "/streams?account=K").await, json!({"orders": 1, "prices": 0}));
    assert_eq!(admin(&venue, "/streams/drop", &json!({"account": "K"})).await, json!({"dropped": 1}));
    admin(&venue, "/streams/refuse", &json!({"for_ms": 1})).await;
    let entries = look(&venue, "/journal?since=2").await;
    assert_eq!(entries[0]["n"], 3);
}

#[tokio::test]
async fn spot_accounts_steps_and_pools_are_run_from_outside() {
    let venue = Venue::start().await;
    let account = json!({"name": "spot", "key_id": "K3", "secret": "S3", "kind": "spot", "settlement": "USDT",
        "cash": "1000", "holdings": {"BTC/USDT": "0.5"}, "standing": {"key": {"withdraw": true}}});
    admin(&venue, "/accounts", &account).await;
    let owned = look(&venue, "/positions?account=spot").await[0]["balances"].clone();
    let has = |asset: &str, free: &str| json!({"asset": asset, "free": free, "locked": "0"});
    assert_eq!(owned, json!([has("USDT", "1000"), has("BTC", "0.5")]));
    let too_much = json!({"symbol": "BTC/USDT", "side": "sell", "qty": "0.6", "price": "1"}).to_string();
    let path = "/admin/accounts/spot/trades";
    assert_eq!(venue.send(Method::POST, path, &[], Some(&too_much)).await.unwrap().status, 400);
    let rights = |venue: &Venue| venue.world().look(|state| state.directory.standing("spot").unwrap().key);
    assert!(rights(&venue).withdraw && rights(&venue).trade);
    admin(&venue, "/accounts/spot", &json!({"key": {"trade": false}})).await;
    assert!(!rights(&venue).withdraw && !rights(&venue).trade && rights(&venue).read);

    let steps =
        json!({"price_tick": "0.01", "qty_step": "0.00001", "qty_min": "0.0001", "notional_min": "5"});
    admin(&venue, "/instruments", &json!({"symbol": "BTC/USDT", "increments": steps})).await;
    let listed = venue.world().look(|state| state.instruments["BTC/USDT"].clone());
    assert_eq!((listed.increments.price_tick, listed.increments.qty_max), (Some(d("0.01")), None));
    assert_eq!((listed.base(), listed.quote()), ("BTC", "USDT"));

    let bounds = json!([{"count": "window", "seconds": 10, "most": 50},
        {"count": "leak", "most": "20", "per_second": "0.5"}]);
    admin(&venue, "/limits", &json!({"pool": "orders", "bounds": bounds})).await;
    let pools = look(&venue, "/limits").await;
    assert_eq!(pools["orders"], bounds);
    assert_eq!(pools["requests"], json!([{"count": "window", "seconds": 60, "most": 200}]));
}

#[tokio::test]
async fn what_is_not_understood_is_not_done() {
    let venue = Venue::start().await;
    for (path, body, status) in [
        ("/accounts", json!({"key_id": "x"}), 400),
        ("/accounts/none", json!({"revoked": true}), 404),
        ("/accounts/K", json!({"revoke": true}), 400),
        ("/prices", json!({"symbol": "NEW"}), 400),
        ("/faults", json!([{"on": "*", "action": {"do": "explode"}}]), 400),
        ("/faults", json!([{"on": "*", "time": 1}]), 400),
        ("/fills", json!({"fill": {"mode": "sometimes"}}), 400),
        ("/limits", json!({"pool": "orders"}), 400),
        ("/limits", json!({"per_minute": 1, "pool": "orders", "bounds": []}), 400),
        ("/accounts", json!({"key_id": "x", "secret": "y", "cash": "1", "kind": "futures"}), 400),
        ("/orders/99/fill", json!({"price": "1"}), 400),
        ("/orders/x/end", json!({"status": "canceled"}), 400),
        ("/nothing", json!({}), 404),
    ] {
        let path = format!("/admin{path}");
        let reply = venue.send(Method::POST, &path, &[], Some(&body.to_string())).await.unwrap();
        assert_eq!(reply.status, status, "{path}: {}", reply.text);
        assert!(reply.json()["error"].is_string());
    }
    assert!(venue.world().faults().is_empty());
    let gone = venue.send(Method::GET, "/admin/nothing", &[], None).await.unwrap();
    assert_eq!(gone.status, 404);
}

fn until_there(path: &Path) -> String {
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < SOON, "not ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::fs::read_to_string(path).unwrap()
}

fn ends(mut program: Child) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = program.try_wait().unwrap() {
            return status.code();
        }
        if start.elapsed() > SOON {
            program.kill().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn the_program_says_where_it_is_and_ends_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let (ready, journal) = (folder.path().join("ready.json"), folder.path().join("journal.jsonl"));
    let program = Command::new(env!("CARGO_BIN_EXE_venues"))
        .args(["--venue", "alpaca", "--listen", "127.0.0.1:0", "--seed", "7", "--ready-file"])
        .arg(&ready)
        .arg("--journal")
        .arg(&journal)
        .spawn()
        .unwrap();
    let urls: Value = serde_json::from_str(&until_there(&ready)).unwrap();
    let url = urls["url"].as_str().unwrap();
    let port = url.strip_prefix("http://127.0.0.1:").unwrap();
    let expected = json!({
        "url": url,
        "stream_url": format!("ws://127.0.0.1:{port}/stream"),
        "data_stream_url": format!("ws://127.0.0.1:{port}/v2/iex"),
        "admin_url": format!("http://127.0.0.1:{port}/admin"),
    });
    assert_eq!(urls, expected);
    let seed = reqwest::get(format!("{url}/admin/seed")).await.unwrap().text().await.unwrap();
    assert_eq!(seed, "{\"seed\":7}");
    assert_eq!(reqwest::get(format!("{url}/v2/account")).await.unwrap().status(), 401);
    let told = Command::new("kill").arg(program.id().to_string()).status().unwrap();
    assert!(told.success());
    assert_eq!(ends(program), Some(0));
    let noted = std::fs::read_to_string(journal).unwrap();
    assert_eq!(noted.lines().count(), 2, "a request and its answer: {noted}");
}

#[tokio::test]
async fn a_venue_that_is_dropped_is_gone() {
    let venue = Venue::start().await;
    let url = venue.url.clone();
    let mut stream = venue.listen().await;
    drop(venue);
    let end = stream.frame().await;
    assert!(!matches!(end, Some(Ok(_))), "{end:?}");
    assert!(reqwest::get(format!("{url}/v2/clock")).await.is_err());
}
