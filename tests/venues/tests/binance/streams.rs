//! The user data stream tells of every step, and the market streams of every price.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use venues::account::AccountSpec;
use venues::book::FillMode;
use venues::streams::{Channel, StreamFaults};

use crate::support::{PAIR, Venue, d, limit, market};

#[tokio::test]
async fn reports_tell_of_every_step() {
    let venue = Venue::start().await;
    let mut stream = venue.listen().await;
    venue.world().set_fill_mode(None, FillMode::Parts { parts: 2, every_ms: 1 });
    let placed = venue.place(&limit("BUY", "0.01", "60010", "bought")).await;
    let new = stream.event().await;
    for (name, value) in [
        ("e", json!("executionReport")),
        ("s", json!("BTCUSDT")),
        ("c", json!("bought")),
        ("C", json!("")),
        ("S", json!("BUY")),
        ("o", json!("LIMIT")),
        ("f", json!("GTC")),
        ("q", json!("0.01000000")),
        ("p", json!("60010.00000000")),
        ("x", json!("NEW")),
        ("X", json!("NEW")),
        ("r", json!("NONE")),
        ("i", placed["orderId"].clone()),
        ("l", json!("0.00000000")),
        ("n", json!("0")),
        ("N", Value::Null),
        ("t", json!(-1)),
        ("g", json!(-1)),
        ("w", json!(true)),
    ] {
        assert_eq!(new[name], value, "{name}");
    }
    let position = stream.event().await;
    let has = |asset: &str, free: &str, locked: &str| json!({"a": asset, "f": free, "l": locked});
    assert_eq!(position["e"], "outboundAccountPosition");
    let locked =
        json!([has("USDT", "99399.90000000", "600.10000000"), has("BTC", "1.00000000", "0.00000000")]);
    assert_eq!(position["B"], locked);
    let part = stream.report().await;
    let seen = ["x", "X", "l", "z", "L", "n", "N", "t", "m", "Z", "Y"].map(|name| part[name].clone());
    let wanted = json!([
        "TRADE",
        "PARTIALLY_FILLED",
        "0.00500000",
        "0.00500000",
        "60010.00000000",
        "0.00000500",
        "BTC",
        1,
        false,
        "300.05000000",
        "300.05000000"
    ]);
    assert_eq!(json!(seen), wanted);
    let fill = stream.report().await;
    assert_eq!((&fill["X"], &fill["z"], &fill["t"]), (&json!("FILLED"), &json!("0.01000000"), &json!(2)));
    let after = stream.event().await["B"].clone();
    assert_eq!(
        after,
        json!([has("USDT", "99399.90000000", "0.00000000"), has("BTC", "1.00999000", "0.00000000")])
    );
    stream.is_silent().await;
}

#[tokio::test]
async fn a_cancel_has_a_name_of_its_own() {
    let venue = Venue::start().await;
    let mut stream = venue.listen().await;
    venue.place(&limit("BUY", "0.01", "59000", "mine")).await;
    assert_eq!(stream.report().await["x"], "NEW");
    venue.cancel("origClientOrderId=mine&newClientOrderId=its-end").await.good();
    let canceled = stream.report().await;
    let seen = ["x", "X", "c", "C"].map(|name| canceled[name].as_str().unwrap());
    assert_eq!(seen, ["CANCELED", "CANCELED", "its-end", "mine"]);
    venue.place("side=BUY&type=LIMIT&timeInForce=IOC&quantity=0.01&price=59000&newClientOrderId=brief").await;
    assert_eq!(stream.report().await["x"], "NEW");
    let expired = stream.report().await;
    let seen = ["x", "X", "c", "C", "eR"].map(|name| expired[name].as_str().unwrap());
    assert_eq!(seen, ["EXPIRED", "EXPIRED", "brief", "", "UNFILLED_IOC_QUANTITY_EXPIRED"]);
}

#[tokio::test]
async fn a_list_tells_when_it_begins_and_ends() {
    let venue = Venue::start().await;
    let mut stream = venue.listen().await;
    let params = "symbol=BTCUSDT&side=SELL&quantity=0.5&aboveType=LIMIT_MAKER&abovePrice=61000&belowType=STOP_LOSS\
        &belowStopPrice=59000&listClientOrderId=both";
    venue.call(reqwest::Method::POST, "/api/v3/orderList/oco", params).await.good();
    venue.price("61000", "61010");
    let mut told = Vec::new();
    while told.len() < 2 {
        let event = stream.event().await;
        if event["e"] == "listStatus" {
            told.push((
                event["l"].clone(),
                event["L"].clone(),
                event["C"].clone(),
                event["O"].as_array().unwrap().len(),
            ));
        }
    }
    assert_eq!(told[0], (json!("EXEC_STARTED"), json!("EXECUTING"), json!("both"), 2));
    assert_eq!(told[1], (json!("ALL_DONE"), json!("ALL_DONE"), json!("both"), 2));
}

#[tokio::test]
async fn who_does_not_sign_hears_nothing() {
    let venue = Venue::start().await;
    venue.world().add_account(AccountSpec::spot("K2", "S2", "USDT", d("1000")));
    let mut socket = venue.open("/ws-api/v3").await;
    let mut params = venue.signed_message(json!({}));
    params["signature"] = json!("0");
    let refused = socket.ask("userDataStream.subscribe.signature", params).await;
    let error = json!({"code": -1022, "msg": "Signature for this request is not valid."});
    assert_eq!((&refused["status"], &refused["error"]), (&json!(400), &error));
    let unknown = json!({"apiKey": "K9", "timestamp": venue.now(), "signature": "0"});
    let refused = socket.ask("userDataStream.subscribe.signature", unknown).await;
    assert_eq!((&refused["status"], &refused["error"]["code"]), (&json!(401), &json!(-2015)));
    let refused = socket.ask("userDataStream.subscribe", json!({})).await;
    assert_eq!(refused["error"]["code"], json!(-1002), "nobody has logged on");
    let signed = venue.signed_message(json!({}));
    let refused = socket.ask("session.logon", signed).await;
    assert_eq!(refused["status"], json!(400), "only pairs of keys log on");
    venue.place(&market("BUY", "0.01", "unheard")).await;
    let signed = venue.signed_message(json!({}));
    assert_eq!(socket.ask("userDataStream.subscribe.signature", signed.clone()).await["status"], 200);
    let again = socket.ask("userDataStream.subscribe.signature", signed).await;
    assert_eq!(again["error"]["code"], json!(-2035));
    assert_eq!(
        socket.ask("session.subscriptions", json!({})).await["result"],
        json!([{"subscriptionId": 0}])
    );
    socket.is_silent().await;
    assert_eq!(
        socket.ask("userDataStream.unsubscribe", json!({"subscriptionId": 0})).await["result"],
        json!({})
    );
    venue.place(&market("BUY", "0.01", "unheard-too")).await;
    socket.is_silent().await;
    let gone = socket.ask("userDataStream.unsubscribe", json!({"subscriptionId": 0})).await;
    assert_eq!(gone["error"]["code"], json!(-2036));
}

#[tokio::test]
async fn the_calls_of_rest_are_messages_too() {
    let venue = Venue::start().await;
    let mut socket = venue.open("/ws-api/v3?returnRateLimits=false").await;
    let time = socket.ask("time", json!({})).await;
    assert!((time["result"]["serverTime"].as_i64().unwrap() - venue.now()).abs() < 2000);
    assert_eq!(time["rateLimits"], Value::Null);
    let order = json!({"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "59000",
        "quantity": "0.01", "newClientOrderId": "by-socket"});
    let placed = socket.ask("order.place", venue.signed_message(order.clone())).await;
    assert_eq!((&placed["status"], &placed["result"]["status"]), (&json!(200), &json!("NEW")));
    let refused = socket.ask("order.place", venue.signed_message(order)).await;
    let error = json!({"code": -2010, "msg": "Duplicate order sent."});
    assert_eq!((&refused["status"], &refused["error"]), (&json!(400), &error));
    let which = json!({"symbol": "BTCUSDT", "origClientOrderId": "by-socket"});
    let found = socket.ask("order.status", venue.signed_message(which.clone())).await;
    assert_eq!(found["result"]["orderId"], placed["result"]["orderId"]);
    let canceled = socket.ask("order.cancel", venue.signed_message(which)).await;
    assert_eq!(canceled["result"]["status"], "CANCELED");
    let more = venue.signed_message(json!({"symbol": "BTCUSDT", "returnRateLimits": true}));
    let open = socket.ask("openOrders.status", more).await;
    assert_eq!(open["result"], json!([]));
    let limits = open["rateLimits"].as_array().unwrap();
    assert_eq!((&limits[0]["rateLimitType"], &limits[0]["limit"]), (&json!("REQUEST_WEIGHT"), &json!(6000)));
    let unsigned = json!({"symbol": "BTCUSDT", "timestamp": venue.now()});
    assert_eq!(socket.ask("openOrders.status", unsigned).await["error"]["code"], json!(-1102));
    assert_eq!(socket.ask("order.dance", json!({})).await["status"], json!(400));
    socket.say(&json!({"id": 1, "method": "time", "dance": 1})).await;
    assert_eq!(socket.hear().await["error"]["code"], json!(-1135));
}

#[tokio::test]
async fn best_prices_are_for_those_who_ask() {
    let venue = Venue::start().await;
    let mut raw = venue.open("/ws").await;
    raw.say(&json!({"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 1})).await;
    assert_eq!(raw.hear().await, json!({"result": null, "id": 1}));
    let mut combined = venue.open("/stream?streams=btcusdt@bookTicker/ethusdt@trade").await;
    let mut named = venue.open("/ws/ethusdt@bookTicker").await;
    // Those that ask by their address have no answer to wait for.
    while venue.world().listening(None, Channel::Prices) < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    venue.price("60001", "60002");
    let told = raw.hear().await;
    let seen = ["s", "b", "B", "a", "A"].map(|name| told[name].as_str().unwrap());
    assert_eq!(seen, ["BTCUSDT", "60001.00000000", "100.00000000", "60002.00000000", "100.00000000"]);
    let wrapped = combined.hear().await;
    assert_eq!((&wrapped["stream"], &wrapped["data"]), (&json!("btcusdt@bookTicker"), &told));
    named.is_silent().await;
    venue.price("60003", "60004");
    assert!(raw.hear().await["u"].as_u64() > told["u"].as_u64());

    raw.say(&json!({"method": "LIST_SUBSCRIPTIONS", "id": 3})).await;
    assert_eq!(raw.hear().await, json!({"result": ["btcusdt@bookTicker"], "id": 3}));
    raw.say(&json!({"method": "UNSUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 4})).await;
    assert_eq!(raw.hear().await["id"], 4);
    venue.price("60005", "60006");
    raw.is_silent().await;
    raw.say(&json!({"method": "DANCE", "id": 5})).await;
    let odd = raw.hear().await;
    assert_eq!((&odd["code"], &odd["id"]), (&json!(2), &json!(5)));
}

#[tokio::test]
async fn who_talks_too_much_is_cut_off() {
    let venue = Venue::start().await;
    let mut socket = venue.open("/ws").await;
    for id in 0..6 {
        socket.say(&json!({"method": "LIST_SUBSCRIPTIONS", "id": id})).await;
    }
    for id in 0..5 {
        assert_eq!(socket.hear().await["id"], id);
    }
    let end = socket.frame().await;
    assert!(!matches!(end, Some(Ok(message)) if message.is_text()));
}

#[tokio::test]
async fn who_does_not_answer_is_given_up() {
    let venue = Venue::start().await;
    let mut lively = venue.open("/ws").await;
    let _dead = venue.open("/ws").await;
    while venue.world().listening(None, Channel::Prices) < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut pings = 0;
    while venue.world().listening(None, Channel::Prices) == 2 {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(20)).await;
        tokio::time::resume();
        lively.pong().await;
        // Until the other one has seen what time it is too.
        tokio::time::sleep(Duration::from_millis(20)).await;
        pings += 1;
        assert!(pings < 10, "it is not given up");
    }
    assert!(pings >= 4, "a minute after the first");
    lively.say(&json!({"method": "LIST_SUBSCRIPTIONS", "id": 1})).await;
    assert_eq!(lively.hear().await["id"], 1);
}

#[tokio::test]
async fn messages_are_lost_doubled_and_late_and_streams_cut() {
    let venue = Venue::start().await;
    let mut stream = venue.listen().await;
    venue.world().set_stream_faults(StreamFaults { duplicate: true, ..StreamFaults::default() });
    venue.place(&limit("BUY", "0.01", "59000", "twice")).await;
    let (first, second) = (stream.report().await, stream.report().await);
    assert_eq!(first, second, "one event, one number");
    stream.event().await;
    venue.world().set_stream_faults(StreamFaults { swallow: 1, ..StreamFaults::default() });
    venue.place(&market("BUY", "0.01", "half-told")).await;
    assert_eq!(stream.report().await["x"], "TRADE");
    venue.world().set_stream_faults(StreamFaults { delay_ms: 150, ..StreamFaults::default() });
    let start = Instant::now();
    venue.place(&limit("BUY", "0.01", "58000", "late")).await;
    assert_eq!(stream.report().await["c"], "late");
    assert!(start.elapsed() >= Duration::from_millis(150));
    venue.world().clear_faults();
    assert_eq!(venue.world().drop_streams(Some("K")), 1);
    loop {
        match stream.frame().await {
            Some(Ok(_)) => {}
            end => break assert!(matches!(end, Some(Err(_))), "{end:?}"),
        }
    }
    venue.world().refuse_streams(60_000);
    let refused = connect_async(venue.binance.url("ws_api_url")).await.unwrap_err();
    assert!(refused.to_string().contains("503"), "{refused}");
    assert!(venue.world().account("K").unwrap().qty(PAIR) > d("1"));
}
