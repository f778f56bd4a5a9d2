//! What is too much is told, refused, and in the end punished.

use chrono::TimeDelta;
use serde_json::json;
use venues::limits::Bound;

use crate::support::{Venue, limit};

#[tokio::test]
async fn every_answer_says_what_is_used() {
    let venue = Venue::start().await;
    let used =
        |reply: &crate::support::Reply| reply.header("x-mbx-used-weight-1m").unwrap().parse::<u32>().unwrap();
    let first = used(&venue.look("/api/v3/time").await);
    for (target, weight) in [
        ("/api/v3/ping", 1),
        ("/api/v3/exchangeInfo", 20),
        ("/api/v3/ticker/bookTicker?symbol=BTCUSDT", 2),
        ("/api/v3/ticker/bookTicker", 4),
    ] {
        let before = used(&venue.look("/api/v3/time").await);
        assert_eq!(used(&venue.look(target).await) - before, weight, "{target}");
    }
    for (path, params, weight) in [
        ("/api/v3/order", "symbol=BTCUSDT&orderId=1", 4),
        ("/api/v3/openOrders", "symbol=BTCUSDT", 6),
        ("/api/v3/openOrders", "", 80),
        ("/api/v3/account", "", 20),
        ("/api/v3/myTrades", "symbol=BTCUSDT", 20),
        ("/api/v3/myTrades", "symbol=BTCUSDT&orderId=1", 5),
    ] {
        let before = used(&venue.look("/api/v3/time").await);
        assert_eq!(used(&venue.get(path, params).await) - before, weight, "{path}?{params}");
    }
    assert_eq!(first, 1);
    let reply = venue.order(&limit("BUY", "0.01", "59000", "counted")).await;
    assert_eq!(
        (reply.header("x-mbx-order-count-10s"), reply.header("x-mbx-order-count-1d")),
        (Some("1"), Some("1"))
    );
    assert!(venue.world().rate("K").total >= 7, "what an account asks is counted by its name too");
    let info = venue.look("/api/v3/exchangeInfo").await.good();
    let limits = info["rateLimits"].as_array().unwrap();
    let bound = |kind: &str, interval: &str, number: u32, limit: u32| json!({"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit});
    for wanted in [
        bound("REQUEST_WEIGHT", "MINUTE", 1, 6000),
        bound("RAW_REQUESTS", "MINUTE", 5, 61_000),
        bound("ORDERS", "SECOND", 10, 50),
        bound("ORDERS", "DAY", 1, 160_000),
    ] {
        assert!(limits.contains(&wanted), "{wanted}");
    }
}

#[tokio::test]
async fn who_goes_on_is_banned_for_a_while() {
    let venue = Venue::start().await;
    venue.world().set_rate_limit(Some(2));
    venue.look("/api/v3/ping").await.good();
    venue.look("/api/v3/ping").await.good();
    for _ in 0..5 {
        let reply = venue.look("/api/v3/ping").await;
        assert_eq!((reply.status, &reply.json()["code"]), (429, &json!(-1003)));
        let wait: u32 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait));
    }
    let banned = venue.look("/api/v3/ping").await;
    assert_eq!((banned.status, banned.header("retry-after")), (418, Some("120")));
    assert!(
        banned.json()["msg"]
            .as_str()
            .unwrap()
            .starts_with("Way too much request weight used; IP banned until ")
    );
    venue.world().set_rate_limit(None);
    assert_eq!(venue.look("/api/v3/ping").await.status, 418, "also when there is room again");
    venue.world().set_clock_offset(TimeDelta::seconds(121));
    assert_eq!(venue.look("/api/v3/ping").await.status, 200);
}

#[tokio::test]
async fn orders_have_a_limit_of_their_own() {
    let venue = Venue::start().await;
    venue.world().set_limit("orders", vec![Bound::Window { seconds: 10, most: 1 }]);
    venue.place(&limit("BUY", "0.01", "59000", "first")).await;
    let second = venue.order(&limit("BUY", "0.01", "59000", "second")).await;
    assert_eq!((second.status, &second.json()["code"]), (429, &json!(-1015)));
    assert!(second.header("retry-after").is_some());
    assert!(venue.world().order("K", "second").is_none());
    assert_eq!(venue.get("/api/v3/account", "").await.status, 200, "only orders");
    let mut socket = venue.open("/ws-api/v3").await;
    let order = venue
        .signed_message(json!({"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}));
    let third = socket.ask("order.place", order).await;
    assert_eq!((&third["status"], &third["error"]["code"]), (&json!(429), &json!(-1015)));
    assert!(third["error"]["data"]["retryAfter"].as_i64() > Some(venue.now()));
}
