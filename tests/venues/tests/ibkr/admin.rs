//! What tests do from another process.

use reqwest::Method;
use serde_json::json;

use crate::support::{Venue, market};

#[tokio::test]
async fn a_human_is_a_request_away() {
    let venue = Venue::start().await;
    let gateway = |what: &str| format!("/ibkr/gateways/DU1/{what}");
    let standing = venue.admin(Method::POST, &gateway("logout"), &json!(null)).await.ok();
    assert_eq!((&standing["logged_in"], &standing["authenticated"]), (&json!(false), &json!(false)));
    assert_eq!(venue.poke("/tickle").await.status, 401);
    let standing = venue.admin(Method::POST, &gateway("login"), &json!(null)).await.ok();
    assert_eq!(standing["authenticated"], true);
    let standing = venue.admin(Method::POST, &gateway("compete"), &json!(null)).await.ok();
    assert_eq!((&standing["competing"], &standing["authenticated"]), (&json!(true), &json!(false)));
    let all = venue.admin(Method::GET, "/ibkr/gateways", &json!(null)).await.ok();
    assert_eq!(all["DU1"], standing);
    assert_eq!(venue.admin(Method::POST, "/ibkr/gateways/DU9/login", &json!(null)).await.status, 404);
    assert_eq!(venue.admin(Method::POST, &gateway("dance"), &json!(null)).await.status, 404);
}

#[tokio::test]
async fn questions_and_policy_are_set_from_outside() {
    let venue = Venue::start().await;
    let asks = json!([{"id": "o10151", "order_type": "MKT", "coid": "a", "times": 1}]);
    venue.admin(Method::POST, "/ibkr/questions", &asks).await.ok();
    venue.place(&market("BUY", 1, "b")).await;
    assert_eq!(venue.submit(&[market("BUY", 1, "a")]).await.question().1, "o10151");
    venue.place(&market("BUY", 1, "a")).await;
    venue.admin(Method::DELETE, "/ibkr/questions", &json!(null)).await.ok();
    let changed =
        json!({"pacing": {"penalty_ms": 5}, "unpaid": "at_once", "price_pct": null, "commission": "0.35"});
    let policy = venue.admin(Method::POST, "/ibkr/policy", &changed).await.ok();
    assert_eq!((&policy["pacing"]["penalty_ms"], &policy["pacing"]["per_second"]), (&json!(5), &json!(10)));
    assert_eq!((&policy["unpaid"], &policy["price_pct"]), (&json!("at_once"), &json!(null)));
    assert_eq!(venue.admin(Method::GET, "/ibkr/policy", &json!(null)).await.ok(), policy);
    for wrong in [json!({"nothing": 1}), json!({"pacing": {"nothing": 1}}), json!({"unpaid": "never"})] {
        assert_eq!(venue.admin(Method::POST, "/ibkr/policy", &wrong).await.status, 400, "{wrong}");
    }
    assert_eq!(venue.admin(Method::POST, "/ibkr/questions", &json!([{"kind": "x"}])).await.status, 400);
    venue.admin(Method::POST, "/ibkr/data", &json!({"symbol": "AAPL", "availability": "N"})).await.ok();
    assert_eq!(venue.submit(&[market("BUY", 1, "c")]).await.question().1, "o354");
    venue.admin(Method::GET, "/clock", &json!(null)).await.ok();
}
