//! A session begins, lapses, is taken away and comes back; what it knew is then to be said again.

use chrono::TimeDelta;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{AAPL, Venue, limit, market};

#[tokio::test]
async fn accounts_come_first() {
    let venue = Venue::unasked().await;
    let first = "Please query /accounts first";
    venue.submit(&[market("BUY", 1, "a")]).await.refuses(500, first);
    venue.get("/iserver/account/orders").await.refuses(500, first);
    venue.get(&format!("/iserver/marketdata/snapshot?conids={AAPL}&fields=31")).await.refuses(500, first);
    venue.get("/portfolio/DU1/summary").await.refuses(500, first);
    let accounts = venue.get("/iserver/accounts").await.ok();
    assert_eq!((&accounts["accounts"], &accounts["selectedAccount"]), (&json!(["DU1"]), &json!("DU1")));
    assert_eq!(
        accounts["acctProps"]["DU1"],
        json!({"supportsFractions": false, "supportsCashQty": true,
        "hasChildAccounts": false, "noFXConv": false, "isProp": false, "allowCustomerTime": false})
    );
    assert_eq!(accounts["isPaper"], true);
    venue.get("/portfolio/DU1/summary").await.refuses(500, first);
    assert_eq!(venue.get("/portfolio/accounts").await.ok()[0]["accountId"], "DU1");
    venue.get("/portfolio/DU1/summary").await.ok();
    venue.place(&market("BUY", 1, "a")).await;
}

#[tokio::test]
async fn every_account_has_a_gateway_of_its_own() {
    let venue = Venue::start().await;
    let at = |account: &str, path: &str| {
        let base = venue.ibkr.urls().gateway_url.replace("{account}", account);
        format!("{base}{path}")
    };
    let second = venue.send(Method::GET, &at("DU2", "/iserver/accounts"), None).await.unwrap().ok();
    assert_eq!(second["accounts"], json!(["DU2"]));
    let body = json!({"orders": [market("BUY", 1, "mine")]}).to_string();
    let orders = at("DU2", "/iserver/account/DU2/orders");
    venue.send(Method::POST, &orders, Some(&body)).await.unwrap().ok();
    venue.place(&market("BUY", 1, "mine")).await;
    assert_eq!(venue.world().orders(Some("DU2")).len(), 1);
    assert_eq!(venue.world().orders(Some("DU1")).len(), 1);
    let wrong = venue.post("/iserver/account/DU2/orders", &json!({"orders": []})).await;
    wrong.refuses(400, "Bad Request: accountId is not valid: DU2");
    venue.ibkr.log_out("DU2");
    assert_eq!(venue.send(Method::GET, &at("DU2", "/iserver/accounts"), None).await.unwrap().status, 401);
    venue.get("/iserver/accounts").await.ok();
    assert_eq!(venue.send(Method::GET, &at("DU9", "/iserver/accounts"), None).await.unwrap().status, 404);
}

#[tokio::test]
async fn six_quiet_minutes_end_a_session_and_a_request_begins_another() {
    let venue = Venue::start().await;
    let later = |minutes: i64| {
        let now = venue.world().look(|state| state.clock.now());
        venue.world().set_now(now + TimeDelta::minutes(minutes));
    };
    venue.ibkr.manage(|gateways, _| gateways.policy.daily_reset = false);
    later(5);
    assert_eq!(venue.poke("/tickle").await.ok()["iserver"]["authStatus"]["authenticated"], true);
    later(5);
    venue.get("/iserver/accounts").await.ok();
    later(6);
    let status = venue.poke("/iserver/auth/status").await.ok();
    assert_eq!((&status["authenticated"], &status["connected"]), (&json!(false), &json!(true)));
    let refused = venue.get("/iserver/accounts").await;
    assert_eq!(
        (refused.status, refused.json()),
        (400, json!({"error": "Bad Request: no bridge", "statusCode": 400}))
    );
    let init = |publish: bool| json!({"publish": publish, "compete": true});
    assert_eq!(venue.post("/iserver/auth/ssodh/init", &init(false)).await.status, 500);
    assert_eq!(venue.post("/iserver/auth/ssodh/init", &init(true)).await.ok()["authenticated"], true);
    venue.get("/iserver/account/orders").await.refuses(500, "Please query /accounts first");
}

#[tokio::test]
async fn midnight_in_new_york_needs_a_human() {
    let venue = Venue::start().await;
    venue.world().set_now("2024-06-06T23:58:00-04:00".parse().unwrap());
    venue.ibkr.log_in("DU1");
    venue.prime().await;
    venue.world().set_now("2024-06-07T00:00:01-04:00".parse().unwrap());
    for path in ["/tickle", "/iserver/auth/status", "/iserver/auth/ssodh/init"] {
        venue.poke(path).await.refuses(401, "not authenticated");
    }
    venue.ibkr.log_in("DU1");
    assert_eq!(venue.poke("/iserver/auth/status").await.ok()["authenticated"], true);
}

#[tokio::test]
async fn a_username_is_used_once() {
    let venue = Venue::start().await;
    venue.ibkr.compete("DU1");
    let status = venue.get("/iserver/auth/status").await.ok();
    assert_eq!((&status["authenticated"], &status["competing"]), (&json!(false), &json!(true)));
    venue.submit(&[market("BUY", 1, "a")]).await.refuses(400, "no bridge");
    venue.get("/portfolio/accounts").await.ok();
    let init = |compete: bool| json!({"publish": true, "compete": compete});
    let status = venue.post("/iserver/auth/ssodh/init", &init(false)).await.ok();
    assert_eq!((&status["authenticated"], &status["competing"]), (&json!(false), &json!(true)));
    let status = venue.post("/iserver/auth/ssodh/init", &init(true)).await.ok();
    assert_eq!((&status["authenticated"], &status["competing"]), (&json!(true), &json!(false)));
}

#[tokio::test]
async fn a_gateway_without_its_servers_opens_no_session() {
    let venue = Venue::start().await;
    let admin = |connected: bool| json!({"connected": connected});
    venue.admin(Method::POST, "/ibkr/gateways/DU1/connection", &admin(false)).await.ok();
    let init = json!({"publish": true, "compete": true});
    let status = venue.post("/iserver/auth/ssodh/init", &init).await.ok();
    assert_eq!((&status["authenticated"], &status["connected"]), (&json!(false), &json!(false)));
    venue.admin(Method::POST, "/ibkr/gateways/DU1/connection", &admin(true)).await.ok();
    venue.get("/iserver/accounts").await.refuses(400, "no bridge");
    assert_eq!(venue.post("/iserver/auth/ssodh/init", &init).await.ok()["authenticated"], true);
}

#[tokio::test]
async fn logging_out_ends_all_and_a_new_login_is_a_new_session() {
    let venue = Venue::start().await;
    let before = venue.session().await;
    assert_eq!(venue.get("/sso/validate").await.ok()["LOGIN_TYPE"], 2);
    assert_eq!(venue.poke("/logout").await.ok(), json!({"status": true}));
    venue.poke("/tickle").await.refuses(401, "not authenticated");
    venue.ibkr.log_in("DU1");
    assert_ne!(venue.session().await, before);
}

#[tokio::test]
async fn a_new_session_has_forgotten_what_the_old_one_knew() {
    let venue = Venue::start().await;
    let suppress = json!({"messageIds": ["o163"]});
    venue.post("/iserver/questions/suppress", &suppress).await.ok();
    venue.place(&limit("BUY", 1, 100.0, "suppressed")).await;
    assert_eq!(venue.get("/iserver/account/orders").await.ok()["snapshot"], false);
    assert_eq!(venue.get("/iserver/account/orders").await.ok()["snapshot"], true);
    venue.ibkr.compete("DU1");
    venue.post("/iserver/auth/ssodh/init", &json!({"publish": true, "compete": true})).await.ok();
    venue.prime().await;
    assert_eq!(venue.submit(&[limit("BUY", 1, 100.0, "asked")]).await.question().1, "o163");
    let first: Value = venue.get("/iserver/account/orders").await.ok();
    assert_eq!(first, json!({"orders": [], "snapshot": false}));
}
