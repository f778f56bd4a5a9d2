//! What the websocket tells, to whom, and how that goes wrong.

use serde_json::{Value, json};
use venues::feed::Price;
use venues::streams::{Channel, StreamFaults};

use crate::support::{AAPL, Venue, d, limit, market};

#[tokio::test]
async fn only_a_session_is_told_anything() {
    let venue = Venue::start().await;
    let mut stream = venue.open(None).await;
    assert_eq!(stream.hear().await, json!({"message": "waiting for session"}));
    stream.say("sor+{}").await;
    assert_eq!(stream.hear().await, json!({"message": "waiting for session"}));
    stream.say(r#"{"session":"wrong"}"#).await;
    assert_eq!(stream.hear().await, json!({"message": "waiting for session"}));
    let session = venue.session().await;
    stream.say(&json!({"session": session}).to_string()).await;
    assert_eq!(stream.hear().await["success"], "du1");
    assert_eq!(stream.args("act").await["accounts"], json!(["DU1"]));
    let status = stream.args("sts").await;
    assert_eq!((&status["authenticated"], &status["competing"]), (&json!(true), &json!(false)));
    let mut by_cookie = venue.open(Some(&format!("x=y; api={session}"))).await;
    assert_eq!(by_cookie.hear().await["topic"], "system");
    let mut wrong = venue.open(Some("api={\"session\":\"x\"}")).await;
    assert_eq!(wrong.hear().await, json!({"message": "waiting for session"}));
}

#[tokio::test]
async fn orders_are_told_whole_once_and_then_what_changes() {
    let venue = Venue::start().await;
    let id = venue.place(&limit("BUY", 10, 189.0, "before")).await;
    let mut stream = venue.listen().await;
    stream.say("sor+{}").await;
    let first = stream.args("sor").await;
    assert_eq!((&first[0]["order_ref"], first.as_array().unwrap().len()), (&json!("before"), 1));
    assert_eq!(venue.world().listening(Some("DU1"), Channel::Orders), 1);
    let number = venue.ibkr.order_of(&id).unwrap().id;
    venue.world().fill(number, Some(d("4")), d("189")).unwrap();
    let part = stream.args("sor").await[0].clone();
    assert_eq!((&part["orderId"], &part["filledQuantity"]), (&first[0]["orderId"], &json!(4.0)));
    assert_eq!((&part["acct"], part.get("ticker"), part.get("status")), (&json!("DU1"), None, None));
    venue.place(&market("BUY", 1, "new")).await;
    let new = stream.args("sor").await[0].clone();
    assert_eq!((&new["order_ref"], &new["status"]), (&json!("new"), &json!("Submitted")));
    let fill = stream.args("sor").await[0].clone();
    assert_eq!(
        (&fill["orderId"], &fill["status"], &fill["avgPrice"]),
        (&new["orderId"], &json!("Filled"), &json!("190.52"))
    );
    assert_eq!(fill.get("order_ref"), None);
    stream.say("uor+{}").await;
    stream.say("tic").await;
    assert_eq!(stream.hear().await["topic"], "tic");
    venue.place(&market("BUY", 1, "unheard")).await;
    stream.is_silent().await;
}

#[tokio::test]
async fn trades_are_replayed_and_told_twice() {
    let venue = Venue::start().await;
    venue.place(&market("BUY", 2, "before")).await;
    let mut stream = venue.listen().await;
    stream.say(r#"str+{"realtimeUpdatesOnly":false,"days":1}"#).await;
    let past = stream.args("str").await;
    assert_eq!((&past[0]["order_ref"], &past[0]["commission"]), (&json!("before"), &json!("1.0")));
    venue.place(&market("SELL", 1, "after")).await;
    let (first, second) = (stream.args("str").await[0].clone(), stream.args("str").await[0].clone());
    assert_eq!(
        (&first["side"], &first["size"], &first["price"]),
        (&json!("S"), &json!(1.0), &json!("190.50"))
    );
    assert_eq!((first.get("commission"), &second["commission"]), (None, &json!("1.0")));
    assert_eq!(first["execution_id"], second["execution_id"]);
    assert_ne!(first["execution_id"], past[0]["execution_id"]);
    let mut live = venue.listen().await;
    live.say(r#"str+{"realtimeUpdatesOnly":true}"#).await;
    live.is_silent().await;
}

#[tokio::test]
async fn prices_are_told_as_they_change_and_not_for_ever() {
    let venue = Venue::start().await;
    let mut stream = venue.listen().await;
    stream.say(&format!(r#"smd+{AAPL}+{{"fields":["31","84","86"]}}"#)).await;
    let first = stream.hear().await;
    assert_eq!((&first["topic"], &first["31"]), (&json!(format!("smd+{AAPL}")), &json!("190.51")));
    venue.world().set_price(&Price::spread("AAPL", d("190.49"), d("190.52")));
    let change = stream.hear().await;
    assert_eq!((&change["84"], change.get("86"), change.get("31")), (&json!("190.49"), None, None));
    venue.world().set_price(&Price::spread("AAPL", d("190.49"), d("190.52")));
    stream.is_silent().await;
    venue.ibkr.manage(|gateways, _| gateways.policy.daily_reset = false);
    let now = venue.world().look(|state| state.clock.now());
    for minutes in [5, 10, 15] {
        venue.world().set_now(now + chrono::TimeDelta::minutes(minutes));
        stream.say("tic").await;
        assert_eq!(stream.hear().await["alive"], true);
    }
    venue.world().set_price(&Price::flat("AAPL", d("191")));
    stream.is_silent().await;
    stream.say(&format!(r#"smd+{AAPL}+{{"fields":["31"]}}"#)).await;
    assert_eq!(stream.hear().await["31"], "191.00");
    stream.say(&format!("umd+{AAPL}+{{}}")).await;
    stream.say("tic").await;
    assert_eq!(stream.hear().await["topic"], "tic");
    venue.world().set_price(&Price::flat("AAPL", d("192")));
    stream.is_silent().await;
}

#[tokio::test]
async fn a_stream_says_when_its_session_ends_and_tells_nothing_until_it_is_back() {
    let venue = Venue::start().await;
    let mut stream = venue.listen().await;
    stream.say("sor+{}").await;
    assert_eq!(stream.args("sor").await, json!([]));
    let id = venue.place(&limit("BUY", 2, 189.0, "a")).await;
    stream.args("sor").await;
    venue.ibkr.compete("DU1");
    let status = stream.args("sts").await;
    assert_eq!((&status["authenticated"], &status["competing"]), (&json!(false), &json!(true)));
    let number = venue.ibkr.order_of(&id).unwrap().id;
    venue.world().fill(number, None, d("189")).unwrap();
    stream.say("sor+{}").await;
    assert_eq!(stream.hear().await, json!({"error": "no bridge", "code": 400, "topic": "sor"}));
    venue.post("/iserver/auth/ssodh/init", &json!({"publish": true, "compete": true})).await.ok();
    assert_eq!(stream.args("sts").await["authenticated"], true);
    stream.say(&format!(r#"smd+{AAPL}+{{"fields":["31"]}}"#)).await;
    assert_eq!(stream.hear().await, json!({"error": "No accounts", "code": 500, "topic": "smd"}));
    stream.say("sor+{}").await;
    assert_eq!(stream.args("sor").await[0]["status"], "Filled");
}

#[tokio::test]
async fn hearts_beat_and_tics_keep_a_session() {
    let venue = Venue::start().await;
    venue.ibkr.manage(|gateways, _| {
        gateways.policy.heartbeat_ms = 60;
        gateways.policy.daily_reset = false;
    });
    let mut stream = venue.listen().await;
    let beat = stream.hear().await;
    assert!(beat["hb"].as_i64().unwrap() > 1_700_000_000_000, "{beat}");
    venue.ibkr.manage(|gateways, _| gateways.policy.heartbeat_ms = 60_000);
    let now = venue.world().look(|state| state.clock.now());
    for minutes in [5, 10] {
        venue.world().set_now(now + chrono::TimeDelta::minutes(minutes));
        stream.say("tic").await;
        while stream.hear().await["topic"] != "tic" {}
    }
    assert!(venue.ibkr.standing("DU1").authenticated);
}

#[tokio::test]
async fn a_filter_silences_the_orders_of_a_stream() {
    let venue = Venue::start().await;
    let mut stream = venue.listen().await;
    stream.say("sor+{}").await;
    stream.args("sor").await;
    venue.get("/iserver/account/orders?filters=Submitted").await.ok();
    venue.place(&market("BUY", 1, "a")).await;
    venue.get("/iserver/account/orders").await.ok();
    venue.place(&market("BUY", 1, "b")).await;
    stream.is_silent().await;
    venue.get("/iserver/account/orders?force=true").await.ok();
    venue.place(&market("BUY", 1, "c")).await;
    assert_eq!(stream.args("sor").await[0]["order_ref"], "c");
}

#[tokio::test]
async fn a_first_frame_can_look_inactive() {
    let venue = Venue::start().await;
    venue.ibkr.manage(|gateways, _| gateways.policy.first_frame_inactive = true);
    let mut stream = venue.listen().await;
    stream.say("sor+{}").await;
    stream.args("sor").await;
    venue.place(&limit("BUY", 1, 189.0, "a")).await;
    let first = stream.args("sor").await[0].clone();
    assert_eq!(
        (&first["status"], &first["order_ccp_status"]),
        (&json!("Inactive"), &json!("Pending Submit"))
    );
    assert_eq!(stream.args("sor").await[0]["status"], "Submitted");
}

#[tokio::test]
async fn money_is_told_of_too() {
    let venue = Venue::start().await;
    let mut stream = venue.listen().await;
    stream.say("spl+{}").await;
    assert_eq!(stream.args("spl").await["DU1.Core"]["nl"], json!(100_000.0));
    stream.say("sld+DU1+{}").await;
    let ledger: Value = stream.hear().await;
    assert_eq!(
        (&ledger["topic"], &ledger["result"][0]["cashbalance"]),
        (&json!("sld+DU1"), &json!(100_000.0))
    );
    venue.place(&market("BUY", 10, "a")).await;
    assert_eq!(stream.args("spl").await["DU1.Core"]["upl"], json!(-0.1));
    assert_eq!(stream.hear().await["result"][0]["cashbalance"], json!(98_094.8));
    for wrong in ["sor", "sor+[]", "smd+x+{}", "sld+DU2+{}", "abc+{}"] {
        stream.say(wrong).await;
        assert_eq!(stream.hear().await["error"], "invalid arguments", "{wrong}");
    }
}

#[tokio::test]
async fn messages_go_wrong_as_asked() {
    let venue = Venue::start().await;
    let mut stream = venue.listen().await;
    stream.say("sor+{}").await;
    stream.args("sor").await;
    venue.world().set_stream_faults(StreamFaults { swallow: 1, ..StreamFaults::default() });
    venue.place(&market("BUY", 1, "a")).await;
    let fill = stream.args("sor").await[0].clone();
    assert_eq!((&fill["order_ref"], &fill["status"]), (&json!("a"), &json!("Filled")), "the first is lost");
    venue.world().set_stream_faults(StreamFaults { window: 2, ..StreamFaults::default() });
    venue.place(&market("BUY", 1, "b")).await;
    assert_eq!(stream.args("sor").await[0]["status"], "Filled", "the last first");
    assert_eq!(stream.args("sor").await[0]["status"], "Submitted");
    assert_eq!(venue.world().drop_streams(Some("DU1")), 1);
    while let Some(frame) = stream.frame().await {
        if frame.is_err() {
            return;
        }
    }
    panic!("it was closed, not cut");
}

#[tokio::test]
async fn a_late_message_still_comes() {
    let venue = Venue::start().await;
    let mut stream = venue.listen().await;
    stream.say("sor+{}").await;
    stream.args("sor").await;
    venue.world().set_stream_faults(StreamFaults { delay_ms: 250, ..StreamFaults::default() });
    let start = std::time::Instant::now();
    venue.place(&market("BUY", 1, "a")).await;
    assert_eq!(stream.args("sor").await[0]["status"], "Submitted");
    assert_eq!(stream.args("sor").await[0]["status"], "Filled");
    assert!(start.elapsed() >= std::time::Duration::from_millis(250));
}
