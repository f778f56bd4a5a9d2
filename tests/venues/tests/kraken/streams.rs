//! Both addresses of the WebSocket API.

use chrono::TimeDelta;
use serde_json::json;
use venues::feed::Price;
use venues::streams::Channel;

use crate::support::{PAIR, Venue, d, limit, market, subscription};

#[tokio::test]
async fn an_order_is_told_piece_by_piece_under_rising_numbers() {
    let venue = Venue::start().await;
    let (mut socket, open) = venue.listen().await;
    assert_eq!(open, json!([]));
    let txid = venue.place(&market("buy", "0.1", "mine")).await;
    let (number, taken) = socket.news().await;
    assert_eq!(
        (number, &taken["exec_type"], &taken["cl_ord_id"]),
        (2, &json!("pending_new"), &json!("mine"))
    );
    assert_eq!((&taken["order_id"], &taken["symbol"]), (&json!(txid), &json!(PAIR)));
    let (number, new) = socket.news().await;
    assert_eq!((number, &new["order_status"], new.get("cl_ord_id")), (3, &json!("new"), None));
    let (number, trade) = socket.news().await;
    assert_eq!(
        (number, &trade["exec_type"], &trade["order_status"]),
        (4, &json!("trade"), &json!("partially_filled"))
    );
    assert_eq!((&trade["last_qty"], &trade["last_price"]), (&json!(0.1), &json!(60010.0)));
    assert_eq!(trade["fees"], json!([{"asset": "USD", "qty": 15.0025}]));
    let (number, ended) = socket.news().await;
    assert_eq!((number, &ended["exec_type"], ended.get("cum_qty")), (5, &json!("filled"), None));
}

#[tokio::test]
async fn who_begins_to_listen_hears_what_is_open_and_its_end() {
    let venue = Venue::start().await;
    let txid = venue.place(&limit("buy", "0.01", "50000", "mine")).await;
    let (mut socket, open) = venue.listen().await;
    assert_eq!((&open[0]["order_id"], &open[0]["cl_ord_id"]), (&json!(txid), &json!("mine")));
    venue.world().set_setting("lost_messages", 1_u32).unwrap();
    venue.call("CancelOrder", "cl_ord_id=mine").await.good();
    let (number, ended) = socket.news().await;
    assert_eq!(
        (number, &ended["order_status"], &ended["reason"]),
        (3, &json!("canceled"), &json!("User requested")),
        "a message before it was lost"
    );
}

#[tokio::test]
async fn only_a_fresh_token_opens_an_accounts_stream() {
    let venue = Venue::start().await;
    let refused = async |url: &str, token: &serde_json::Value| {
        let mut socket = venue.open(url).await;
        socket.say(&subscription(token)).await;
        let reply = socket.hear().await;
        assert_eq!(reply["success"], json!(false), "{reply}");
        reply["error"].as_str().unwrap().to_owned()
    };
    let token = venue.call("GetWebSocketsToken", "").await.good()["token"].clone();
    assert_eq!(refused("ws_auth_url", &json!("nobody's")).await, "ESession:Invalid session");
    assert_eq!(refused("ws_url", &token).await, "Channel not found");
    venue.world().set_clock_offset(TimeDelta::seconds(901));
    assert_eq!(refused("ws_auth_url", &token).await, "ESession:Invalid session");
    let token = venue.call("GetWebSocketsToken", "").await.good()["token"].clone();
    venue.world().revoke("K", true).unwrap();
    assert_eq!(refused("ws_auth_url", &token).await, "EGeneral:Permission denied");
    assert_eq!(venue.world().listening(Some("K"), Channel::Orders), 0);
}

#[tokio::test]
async fn prices_heartbeats_and_pongs_are_heard() {
    let venue = Venue::start().await;
    venue.world().set_setting("heartbeat_ms", 20_u32).unwrap();
    let mut socket = venue.open("ws_url").await;
    let params = json!({"channel": "ticker", "symbol": [PAIR, "NOPE/USD"], "event_trigger": "bbo"});
    socket.say(&json!({"method": "subscribe", "params": params})).await;
    let taken = socket.hear().await;
    assert_eq!((&taken["success"], &taken["result"]["symbol"]), (&json!(true), &json!(PAIR)));
    let snapshot = socket.hear().await;
    assert_eq!((&snapshot["type"], &snapshot["data"][0]["bid"]), (&json!("snapshot"), &json!(60000.0)));
    let unknown = socket.hear().await;
    assert_eq!(unknown["error"], "Currency pair not supported NOPE/USD");
    venue.world().set_price(&Price::spread(PAIR, d("60001"), d("60011")));
    socket.say(&json!({"method": "ping", "req_id": 3})).await;
    let (mut told, mut pong, mut beats) = (None, None, 0);
    while told.is_none() || pong.is_none() || beats < 2 {
        let heard = socket.hear().await;
        match (heard["channel"].as_str(), heard["method"].as_str()) {
            (Some("heartbeat"), _) => beats += 1,
            (Some("ticker"), _) => told = Some(heard["data"][0]["ask"].clone()),
            (_, Some("pong")) => pong = Some(heard["req_id"].clone()),
            _ => panic!("{heard}"),
        }
    }
    assert_eq!((told, pong), (Some(json!(60011.0)), Some(json!(3))));
}
