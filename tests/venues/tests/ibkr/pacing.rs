//! Who asks too often waits.

use serde_json::json;
use std::time::Duration;

use reqwest::Method;

use crate::support::{Venue, market};

#[tokio::test]
async fn the_eleventh_request_of_a_second_closes_the_gateway_for_a_while() {
    let venue = Venue::start().await;
    let pacing = json!({"pacing": {"enabled": true, "penalty_ms": 300}});
    venue.admin(Method::POST, "/ibkr/policy", &pacing).await.ok();
    for _ in 0..10 {
        venue.get("/trsrv/stocks?symbols=AAPL").await.ok();
    }
    venue.submit(&[market("BUY", 1, "a")]).await.refuses(429, "Too Many Requests");
    venue.get("/trsrv/stocks?symbols=AAPL").await.refuses(429, "Too Many Requests");
    assert!(!venue.has("a"));
    let other = venue.ibkr.urls().gateway_url.replace("{account}", "DU2") + "/iserver/accounts";
    venue.send(Method::GET, &other, None).await.unwrap().ok();
    let start = std::time::Instant::now();
    while venue.get("/trsrv/stocks?symbols=AAPL").await.status == 429 {
        assert!(start.elapsed() < Duration::from_secs(5), "the box never opens");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn slow_paths_are_asked_once_in_five_seconds() {
    let venue = Venue::start().await;
    venue.ibkr.manage(|gateways, _| gateways.policy.pacing.enabled = true);
    for path in ["/iserver/account/orders", "/iserver/account/trades", "/iserver/account/pnl/partitioned"] {
        venue.get(path).await.ok();
        venue.get(path).await.refuses(429, "Too Many Requests");
    }
    venue.get("/sso/validate").await.ok();
    venue.get("/sso/validate").await.refuses(429, "");
    venue.ibkr.manage(|gateways, _| gateways.forgive());
    venue.get("/iserver/account/orders").await.ok();
    venue.ibkr.manage(|gateways, _| {
        gateways.forgive();
        gateways.policy.pacing.slow_ms = 0;
    });
    venue.get("/iserver/account/orders").await.ok();
    venue.get("/iserver/account/orders").await.ok();
}
