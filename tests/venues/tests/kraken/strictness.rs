//! What Kraken does not take, in its words.

use serde_json::json;
use venues::account::{AccountChange, KeyRights};
use venues::http::encode;

use crate::support::{PAIR, Venue, limit, market};

const FORM: &str = "application/x-www-form-urlencoded";
const PATH: &str = "/0/private/BalanceEx";

#[tokio::test]
async fn only_what_is_signed_as_it_came_is_let_in() {
    let venue = Venue::start().await;
    let send = async |body: &str, kind: &str, key: &str, signature: &str| {
        venue.send(PATH, body, kind, (key, signature)).await.unwrap()
    };
    let good = Venue::signed(PATH, 50, "nonce=50");
    send("nonce=50", FORM, "K", &good).await.good();
    send("nonce=50", FORM, "K", &good).await.refuses("EAPI:Invalid nonce");
    let lower = Venue::signed(PATH, 49, "nonce=49");
    send("nonce=49", FORM, "K", &lower).await.refuses("EAPI:Invalid nonce");
    let other = Venue::signed(PATH, 51, "nonce=51");
    send("nonce=52", FORM, "K", &other).await.refuses("EAPI:Invalid signature");
    send("nonce=51&a=1", FORM, "K", &other).await.refuses("EAPI:Invalid signature");
    send("nonce=51", FORM, "X", &other).await.refuses("EAPI:Invalid key");
    send("nonce=51", "text/plain", "K", &other).await.refuses("EGeneral:Invalid arguments");
    send("a=1", FORM, "K", &other).await.refuses("EAPI:Invalid nonce");
    // What was refused has used up no number; JSON is as good as a form.
    let body = json!({"nonce": "51"}).to_string();
    let json = Venue::signed(PATH, 51, &body);
    send(&body, "application/json", "K", &json).await.good();
    venue.world().revoke("K", true).unwrap();
    let last = Venue::signed(PATH, 60, "nonce=60");
    send("nonce=60", FORM, "K", &last).await.refuses("EAPI:Invalid key");
}

#[tokio::test]
async fn a_key_does_what_it_may() {
    let venue = Venue::start().await;
    let rights = KeyRights { trade: false, withdraw: true, ..KeyRights::default() };
    let change = AccountChange { key: Some(rights), ..AccountChange::default() };
    venue.world().change_account("K", &change).unwrap();
    venue.order(&market("buy", "0.01", "a")).await.refuses("EGeneral:Permission denied");
    let info = venue.call("GetApiKeyInfo", "").await.good();
    assert_eq!(
        info["permissions"],
        json!(["query-funds", "query-open-trades", "query-closed-trades", "withdraw-funds"])
    );
    let rights = KeyRights { read: false, ..KeyRights::default() };
    let change = AccountChange { key: Some(rights), ..AccountChange::default() };
    venue.world().change_account("K", &change).unwrap();
    venue.call("BalanceEx", "").await.refuses("EGeneral:Permission denied");
    venue.call("GetWebSocketsToken", "").await.refuses("EGeneral:Permission denied");
}

#[tokio::test]
async fn orders_that_make_no_sense_are_refused_by_what_is_wrong() {
    let venue = Venue::start().await;
    let argument = |name: &str| format!("EGeneral:Invalid arguments:{name}");
    for (params, words) in [
        ("ordertype=market&volume=1".to_owned(), argument("type")),
        ("type=hold&ordertype=market&volume=1".to_owned(), argument("type")),
        ("type=buy&ordertype=iceberg&volume=1".to_owned(), argument("ordertype")),
        ("type=buy&ordertype=market".to_owned(), argument("volume")),
        ("type=buy&ordertype=market&volume=-1".to_owned(), argument("volume")),
        ("type=buy&ordertype=market&volume=0.123456789".to_owned(), argument("volume")),
        ("type=buy&ordertype=market&volume=1&price=1".to_owned(), argument("price")),
        ("type=buy&ordertype=limit&volume=1".to_owned(), argument("price")),
        ("type=buy&ordertype=stop-loss-limit&volume=1&price=1".to_owned(), argument("price2")),
        ("type=sell&ordertype=trailing-stop&volume=0.01&price=500".to_owned(), argument("price")),
        ("type=sell&ordertype=trailing-stop&volume=0.01&price=%2B1.555%25".to_owned(), argument("price")),
        ("type=buy&ordertype=market&volume=1&oflags=fcib".to_owned(), argument("oflags")),
        ("type=buy&ordertype=market&volume=1&timeinforce=IOC".to_owned(), argument("timeinforce")),
        ("type=buy&ordertype=market&volume=1&leverage=2".to_owned(), argument("leverage")),
        ("type=buy&ordertype=market&volume=1&volume=2".to_owned(), argument("volume")),
        (market("buy", "1", "Big_Name"), argument("cl_ord_id")),
        (market("buy", "1", &"a".repeat(19)), argument("cl_ord_id")),
        (limit("buy", "0.00004", "60000", "a"), "EOrder:Order minimum not met".to_owned()),
        (limit("buy", "0.00005", "9000", "a"), "EOrder:Cost minimum not met".to_owned()),
        (limit("buy", "0.01", "60000.05", "a"), "EOrder:Tick size check failed".to_owned()),
        (limit("buy", "0.01", "0", "a"), "EOrder:Invalid price".to_owned()),
        (limit("buy", "1.7", "59000", "a"), "EOrder:Insufficient funds".to_owned()),
        (limit("sell", "1.1", "61000", "a"), "EOrder:Insufficient funds".to_owned()),
    ] {
        venue.order(&params).await.refuses(&words);
    }
    venue.call("AddOrder", "pair=NOPEUSD&type=buy").await.refuses("EQuery:Unknown asset pair");
    venue.call("Fly", "").await.refuses("EGeneral:Unknown method");
    assert_eq!(venue.world().orders(None), []);
}

#[tokio::test]
async fn a_name_is_taken_while_its_order_is_open() {
    let venue = Venue::start().await;
    let name = "0193b1a4-0000-8000-8000-000000000001";
    let order = limit("buy", "0.01", "50000", name);
    venue.place(&order).await;
    venue.order(&order).await.refuses("EGeneral:Invalid arguments:cl_ord_id not unique");
    assert_eq!(venue.call("CancelOrder", &format!("cl_ord_id={name}")).await.good(), json!({"count": 1}));
    venue.call("CancelOrder", &format!("cl_ord_id={name}")).await.refuses("EOrder:Unknown order");
    venue.place(&order).await;
    assert_eq!(venue.world().orders(None).len(), 2, "a second order of the same name");
}

#[tokio::test]
async fn an_order_is_not_later_than_its_deadline() {
    let venue = Venue::start().await;
    let order = async |seconds: i64| {
        let now = venue.world().look(|state| state.clock.now());
        let deadline = encode(&(now + chrono::TimeDelta::seconds(seconds)).to_rfc3339());
        venue.order(&format!("{}&deadline={deadline}", limit("buy", "0.01", "50000", "a"))).await
    };
    order(0).await.refuses("EService:Deadline elapsed");
    order(1).await.refuses("EGeneral:Invalid arguments:deadline");
    order(62).await.refuses("EGeneral:Invalid arguments:deadline");
    assert_eq!(venue.world().orders(None), []);
    order(5).await.good();
}

#[tokio::test]
async fn a_dry_run_and_a_halted_pair_make_no_order() {
    let venue = Venue::start().await;
    let order = limit("buy", "0.01", "50000", "a");
    let dry = venue.order(&format!("{order}&validate=true")).await.good();
    assert_eq!(dry, json!({"descr": {"order": "buy 0.01000000 XBTUSD @ limit 50000.0"}}));
    venue.world().set_halted(PAIR, true);
    venue.order(&order).await.refuses("EService:Market in cancel_only mode");
    assert_eq!(venue.look("AssetPairs?pair=XBTUSD").await.good()["XXBTZUSD"]["status"], "cancel_only");
    assert_eq!(venue.world().orders(None), []);
}

#[tokio::test]
async fn counters_leak_and_cancels_of_young_orders_are_dear() {
    let venue = Venue::strict().await;
    for _ in 0..15 {
        venue.call("BalanceEx", "").await.good();
    }
    venue.call("BalanceEx", "").await.refuses("EAPI:Rate limit exceeded");
    // Orders are counted by themselves: one, and eight for a cancel at once.
    for _ in 0..6 {
        venue.place(&limit("buy", "0.01", "50000", "a")).await;
        venue.call("CancelOrder", "cl_ord_id=a").await.good();
    }
    venue.place(&limit("buy", "0.01", "50000", "a")).await;
    venue.call("CancelOrder", "cl_ord_id=a").await.refuses("EOrder:Rate limit exceeded");
    venue.look("Time").await.good();
}
