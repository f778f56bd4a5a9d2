//! The streamer: logins, prices, account activity, and what goes wrong with them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use venues::account::AccountSpec;
use venues::book::{FillMode, Side};
use venues::feed::Price;
use venues::streams::{Channel, StreamFaults};

use crate::support::{Stream, Venue, d, limit, market, oco, stop, trigger};

const ROUTED: [&str; 3] = ["ExecutionRequested", "ExecutionRequestCreated", "ExecutionRequestCompleted"];

fn new() -> Vec<&'static str> {
    ["OrderCreated", "OrderAccepted"].into_iter().chain(ROUTED).collect()
}

fn payload(step: &Value) -> Value {
    serde_json::from_str(step["3"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn only_the_right_login_is_let_in() {
    let venue = Venue::start().await;
    let mut stream = venue.open().await;
    let early = json!({"keys": "AAPL", "fields": "0,1"});
    assert_eq!(stream.code("LEVELONE_EQUITIES", "SUBS", &early).await, 20, "not logged in");
    let good = stream.credentials(&venue.access);
    for (name, wrong) in [
        ("Authorization", json!(format!("Bearer {}", venue.access))),
        ("Authorization", json!("made-up")),
        ("SchwabClientChannel", json!("N8")),
        ("SchwabClientFunctionId", json!("WEB")),
    ] {
        let mut stream = venue.open().await;
        let mut parameters = good.clone();
        parameters[name] = wrong;
        assert_eq!(stream.code("ADMIN", "LOGIN", &parameters).await, 3, "{name}");
        stream.is_closed().await;
    }
    let mut stranger = venue.open().await;
    let mut login = stranger.command("ADMIN", "LOGIN", &good);
    login["SchwabClientCorrelId"] = json!("another");
    stranger.say(&json!({"requests": [login]})).await;
    assert_eq!(stranger.hear().await["response"][0]["content"]["code"], 3);
    let mut bare = venue.open().await;
    let mut login = bare.command("ADMIN", "LOGIN", &good);
    login["requestid"] = json!(7);
    bare.say(&login).await;
    let response = bare.hear().await["response"][0].clone();
    assert_eq!(
        (&response["requestid"], &response["content"]["code"]),
        (&json!("7"), &json!(0)),
        "a bare one works"
    );
    assert_eq!(bare.code("ADMIN", "LOGOUT", &json!({})).await, 0);
    bare.is_closed().await;
}

#[tokio::test]
async fn another_login_ends_the_first() {
    let venue = Venue::start().await;
    let mut first = venue.stream().await;
    let mut second = venue.stream().await;
    let told = first.hear().await;
    assert_eq!(told["notify"][0]["content"]["code"], 12, "{told}");
    first.is_closed().await;
    second.listen().await;
    venue.place(&limit("BUY", 1, 100.0)).await;
    assert_eq!(second.steps().await, new());
    venue.world().add_account(AccountSpec::new("L", "unused", d("1")));
    let (access, _) = venue.log_in("L").await;
    let preference =
        venue.with_token(&access, reqwest::Method::GET, "/trader/v1/userPreference").await.json();
    let customer = &preference["streamerInfo"][0]["schwabClientCustomerId"];
    let mine = venue.get("/trader/v1/userPreference").await.json();
    assert_ne!(
        *customer, mine["streamerInfo"][0]["schwabClientCustomerId"],
        "others have streams of their own"
    );
}

#[tokio::test]
async fn a_connection_that_asks_for_nothing_is_closed() {
    let venue = Venue::start().await;
    venue.world().set_setting("heartbeat_ms", 20).unwrap();
    let mut stream = venue.stream().await;
    let beat = match stream.frame().await {
        Some(Ok(Message::Text(text))) => serde_json::from_str::<Value>(&text).unwrap(),
        other => panic!("{other:?}"),
    };
    let ms: i64 = beat["notify"][0]["heartbeat"].as_str().unwrap().parse().unwrap();
    assert!(ms > 1_700_000_000_000, "{beat}");
    venue.world().set_setting("idle_after_ms", 100).unwrap();
    let told = stream.hear().await;
    assert_eq!(told["notify"][0]["content"]["code"], 30, "{told}");
    stream.is_closed().await;
    venue.world().set_setting("idle_after_ms", 60_000).unwrap();
    let mut stream = venue.stream().await;
    stream.listen().await;
    venue.world().set_setting("idle_after_ms", 100).unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(300) {
        assert!(matches!(stream.frame().await, Some(Ok(Message::Text(_)))), "whoever listens stays");
    }
    assert_eq!(stream.code("ACCT_ACTIVITY", "UNSUBS", &json!({"keys": "mine"})).await, 0);
    assert_eq!(stream.hear().await["notify"][0]["content"]["code"], 30);
}

#[tokio::test]
async fn prices_are_told_by_what_has_changed() {
    let venue = Venue::start().await;
    let mut stream = venue.stream().await;
    let ask = |keys: &str, fields: &str| json!({"keys": keys, "fields": fields});
    let level_one = "LEVELONE_EQUITIES";
    assert_eq!(stream.code(level_one, "SUBS", &ask("AAPL,ZZZZ", "0,1,2,3,33,34")).await, 0);
    let whole = stream.data(level_one).await;
    assert_eq!(whole.len(), 1, "what is not known is not told");
    let shown = ["key", "delayed", "1", "2", "3", "33"].map(|name| whole[0][name].clone());
    let expected = [json!("AAPL"), json!(false), json!(190.5), json!(190.52), json!(190.5), json!(190.5)];
    assert_eq!(shown, expected);
    assert!(whole[0]["34"].is_i64() && whole[0].get("4").is_none());
    venue.world().set_price(&Price::spread("AAPL", d("190.50"), d("190.60")));
    let change = stream.data(level_one).await[0].clone();
    assert_eq!((&change["2"], change.get("1"), change.get("3")), (&json!(190.6), None, None));
    venue.world().set_price(&Price::flat("MSFT", d("400")));
    assert_eq!(stream.code(level_one, "ADD", &ask("MSFT", "4")).await, 0);
    let more = stream.data(level_one).await[0].clone();
    assert_eq!((&more["key"], &more["1"], &more["4"]), (&json!("MSFT"), &json!(400.0), &json!(3)));
    assert_eq!(stream.code(level_one, "VIEW", &ask("", "1")).await, 0);
    assert_eq!(stream.code(level_one, "UNSUBS", &json!({"keys": "AAPL"})).await, 0);
    venue.world().set_price(&Price::flat("AAPL", d("191")));
    venue.world().set_price(&Price::flat("MSFT", d("401")));
    let change = stream.data(level_one).await;
    assert_eq!(change, [json!({"key": "MSFT", "delayed": false, "1": 401.0})]);
    assert_eq!(stream.code(level_one, "SUBS", &ask("AAPL", "1")).await, 0);
    assert_eq!(stream.data(level_one).await[0]["key"], "AAPL");
    venue.world().set_price(&Price::flat("MSFT", d("402")));
    stream.is_silent().await;
}

#[tokio::test]
async fn wrong_commands_have_their_codes() {
    let venue = Venue::start().await;
    let mut stream = venue.stream().await;
    let many: Vec<String> = (0..501).map(|number| format!("S{number}")).collect();
    for (service, command, parameters, code) in [
        ("LEVELONE_EQUITIES", "SUBS", json!({"keys": "", "fields": "1"}), 22),
        ("LEVELONE_EQUITIES", "SUBS", json!({"keys": "AAPL", "fields": "bid"}), 22),
        ("LEVELONE_EQUITIES", "SUBS", json!({"keys": "AAPL", "fields": "52"}), 22),
        ("LEVELONE_EQUITIES", "UNSUBS", json!({}), 23),
        ("LEVELONE_EQUITIES", "ADD", json!({"keys": "AAPL"}), 24),
        ("LEVELONE_EQUITIES", "VIEW", json!({"fields": ""}), 25),
        ("LEVELONE_EQUITIES", "SUBS", json!({"keys": many.join(","), "fields": "1"}), 19),
        ("LEVELONE_EQUITIES", "DANCE", json!({}), 21),
        ("LEVELONE_CRYPTO", "SUBS", json!({"keys": "BTC", "fields": "1"}), 21),
        ("ACCT_ACTIVITY", "ADD", json!({"keys": "mine", "fields": "0,1,2,3"}), 24),
        ("ACCT_ACTIVITY", "VIEW", json!({"fields": "0"}), 25),
        ("ACCT_ACTIVITY", "SUBS", json!({"fields": "0,1,2,3"}), 22),
    ] {
        assert_eq!(
            stream.code(service, command, &parameters).await,
            code,
            "{service} {command} {parameters}"
        );
    }
    for garbled in [json!("hello"), json!({"requests": [{"service": "ADMIN"}]}), json!([])] {
        stream.say(&garbled).await;
        assert_eq!(stream.hear().await["notify"][0]["content"]["code"], 21);
    }
    assert_eq!(venue.world().listening(None, Channel::Orders), 0);
}

#[tokio::test]
async fn the_life_of_an_order_is_told_step_by_step() {
    let venue = Venue::start().await;
    let mut stream = venue.stream().await;
    stream.listen().await;
    assert_eq!(venue.world().listening(Some("K"), Channel::Orders), 1);
    let id = venue.place(&market("BUY", 2)).await;
    let first = stream.activity().await;
    let names: Vec<&str> = first.iter().map(|step| step["2"].as_str().unwrap()).collect();
    assert_eq!(names, new());
    let numbers: Vec<u64> = first.iter().map(|step| step["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let account = venue.schwab.number_of("K");
    assert!(first.iter().all(|step| step["1"] == account && step["key"] == "mine"));
    let created = payload(&first[0]);
    assert_eq!(
        (&created["SchwabOrderID"], &created["AccountNumber"]),
        (&json!(id.to_string()), &json!(account))
    );
    assert_eq!(created["BaseEvent"]["EventType"], "OrderCreated");
    let fill = stream.activity().await;
    assert_eq!(
        fill.iter().map(|step| &step["2"]).collect::<Vec<_>>(),
        ["ExecutionCreated", "OrderFillCompleted"]
    );
    let done = payload(&fill[1])["BaseEvent"]["OrderFillCompletedEventOrderLegQuantityInfo"].clone();
    assert_eq!(done["ExecutionInfo"]["ExecutionPrice"], json!({"lo": "190520000", "signScale": 12}));
    assert_eq!(done["QuantityInfo"]["LeavesQuantity"], json!({"signScale": 12}), "zero has no digits");
}

#[tokio::test]
async fn parts_cancels_changes_and_rejections_are_told() {
    let venue = Venue::start().await;
    venue.world().set_fill_mode(None, FillMode::Manual);
    let mut stream = venue.stream().await;
    stream.listen().await;
    let id = venue.place(&limit("BUY", 4, 100.0)).await;
    assert_eq!(stream.steps().await, new());
    venue.world().fill(venue.schwab.order_of(id).unwrap().id, Some(d("1")), d("99.5")).unwrap();
    let part = stream.activity().await;
    let done = payload(&part[1])["BaseEvent"]["OrderFillCompletedEventOrderLegQuantityInfo"].clone();
    assert_eq!(part[1]["2"], "OrderFillCompleted", "a part is told like the whole");
    assert_eq!(done["QuantityInfo"]["LeavesQuantity"], json!({"lo": "3000000", "signScale": 12}));
    let changed = venue.replace(id, &limit("BUY", 3, 101.0)).await.id();
    let change = stream.activity().await;
    let names: Vec<&Value> = change.iter().map(|step| &step["2"]).collect();
    assert_eq!(names[..2], ["ChangeCreated", "ChangeAccepted"]);
    let created = payload(&change[0]);
    assert_eq!(created["SchwabOrderID"], changed.to_string());
    assert_eq!(created["BaseEvent"]["ChangeCreatedEventEquityOrder"]["ParentSchwabOrderID"], id.to_string());
    venue.cancel(changed).await;
    let canceled = stream.activity().await;
    let names: Vec<&Value> = canceled.iter().map(|step| &step["2"]).collect();
    assert_eq!(names, ["CancelAccepted", "ExecutionCreated", "OrderUROutCompleted"]);
    let out = payload(&canceled[2])["BaseEvent"]["OrderUROutCompletedEvent"].clone();
    assert_eq!(out["OutCancelType"], "ClientCancel");
    venue.place(&market("SELL", 9)).await;
    assert_eq!(stream.steps().await, ["OrderCreated"]);
    let out = stream.activity().await;
    assert_eq!(out[0]["2"], "OrderUROutCompleted");
    let out = payload(&out[0])["BaseEvent"]["OrderUROutCompletedEvent"].clone();
    assert_eq!(out["OutCancelType"], "SystemReject");
    assert_eq!(out["ValidationDetail"][0]["NgOMSRuleName"], "Position_Sys_0001");
    venue.world().set_cancel_takes(30);
    let slow = venue.place(&limit("BUY", 1, 100.0)).await;
    assert_eq!(stream.steps().await, new());
    venue.cancel(slow).await;
    assert_eq!(stream.steps().await, ["CancelAccepted"]);
    assert_eq!(stream.steps().await, ["ExecutionCreated", "OrderUROutCompleted"]);
}

#[tokio::test]
async fn stops_are_watched_and_exits_wait() {
    let venue = Venue::start().await;
    let mut stream = venue.stream().await;
    stream.listen().await;
    venue.place(&trigger(market("BUY", 1), oco(limit("SELL", 1, 200.0), stop("SELL", 1, 180.0)))).await;
    let held = ["OrderCreated", "OrderAccepted"];
    assert_eq!(stream.steps().await, new());
    for _ in 0..2 {
        assert_eq!(stream.steps().await, held);
    }
    assert_eq!(stream.steps().await, ["ExecutionCreated", "OrderFillCompleted"]);
    let mut woken = [stream.steps().await, stream.steps().await];
    woken.sort();
    assert_eq!(woken[0], ROUTED);
    assert_eq!(woken[1], ["OrderMonitorCreated"]);
    venue.world().set_price(&Price::flat("AAPL", d("179")));
    let stopped = stream.steps().await;
    assert_eq!(stopped[0], "OrderMonitorCompleted");
    assert_eq!(stopped[4..], ["ExecutionCreated", "OrderFillCompleted"]);
    assert_eq!(stream.steps().await.last().unwrap(), "OrderUROutCompleted");
}

async fn told_once(stream: &mut Stream) -> Vec<Value> {
    stream.activity().await
}

#[tokio::test]
async fn messages_are_doubled_swallowed_and_shuffled() {
    let venue = Venue::start().await;
    let mut stream = venue.stream().await;
    stream.listen().await;
    venue.world().set_stream_faults(StreamFaults { duplicate: true, ..StreamFaults::default() });
    venue.place(&limit("BUY", 1, 100.0)).await;
    let (one, other) = (told_once(&mut stream).await, told_once(&mut stream).await);
    assert_eq!(one, other, "the same under the same numbers");
    venue.world().set_stream_faults(StreamFaults { swallow: 1, ..StreamFaults::default() });
    venue.place(&market("BUY", 1)).await;
    assert_eq!(stream.steps().await, ["ExecutionCreated", "OrderFillCompleted"]);
    venue.world().set_stream_faults(StreamFaults { window: 2, ..StreamFaults::default() });
    venue.place(&market("BUY", 1)).await;
    assert_eq!(stream.steps().await, ["ExecutionCreated", "OrderFillCompleted"]);
    assert_eq!(stream.steps().await, new());
    venue.world().clear_faults();
    assert_eq!(venue.world().drop_streams(Some("K")), 2);
    let end = stream.frame().await;
    assert!(matches!(&end, Some(Err(error)) if error.to_lowercase().contains("reset")), "{end:?}");
    assert_eq!(venue.world().listening(None, Channel::Prices), 0);
}

#[tokio::test]
async fn one_stream_tells_of_every_account_of_the_login() {
    let mut venue = Venue::start().await;
    venue.world().add_account(AccountSpec::new("L", "unused", d("1000")));
    venue.world().add_account(AccountSpec::new("M", "unused", d("1000")));
    (venue.access, venue.refresh) = venue.log_in("K,L").await;
    let mut stream = venue.stream().await;
    stream.listen().await;
    for account in ["M", "L"] {
        let ticket = venues::book::Ticket {
            account: account.to_owned(),
            client_order_id: None,
            symbol: "AAPL".to_owned(),
            side: Side::Buy,
            kind: venues::book::Kind::Limit { limit: d("10") },
            tif: venues::book::Tif::Day,
            size: venues::book::Size::Qty(d("1")),
            extended_hours: false,
            class: venues::book::Class::Simple,
            exits: venues::book::Exits::default(),
            terms: venues::book::Terms::default(),
        };
        venue.world().act(|state, now| state.book.place(now, ticket)).unwrap();
    }
    let heard = stream.activity().await;
    assert_eq!(heard[0]["1"], venue.schwab.number_of("L"));
    stream.is_silent().await;
    assert_eq!(venue.world().drop_streams(Some("L")), 1, "a part of it is all of it");
    assert!(stream.frame().await.is_some_and(|end| end.is_err()));
}
