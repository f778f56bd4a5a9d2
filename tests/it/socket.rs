//! The live connection: each event once, in order and without a gap, for the right person only.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::{order, send};
use crate::support::socket::{Socket, is_numbered, ticket};
use crate::support::{Api, Setup};

/// Trades in and out until this many signals were taken.
async fn trade(api: &Api, name: &str, count: usize) -> String {
    let mut last = String::new();
    for number in 0..count {
        let action = if number % 2 == 0 { "buy" } else { "sell" };
        let signal = api.signal(&order(&format!("{name}{number}"), "AAPL", action, "1")).await.expect(202);
        last = signal["signal_id"].as_str().unwrap().to_owned();
    }
    last
}

fn fills(signal: &str) -> impl Fn(&Value) -> bool {
    let signal = signal.to_owned();
    move |envelope| envelope["type"] == "trade.filled" && envelope["data"]["signal_id"] == signal.as_str()
}

/// Asserts that the numbered messages continue `after` without a gap, and returns the last number.
fn assert_gap_free(envelopes: &[Value], after: u64) -> u64 {
    let mut seq = after;
    for envelope in envelopes.iter().filter(|envelope| is_numbered(envelope)) {
        seq += 1;
        assert_eq!(envelope["seq"], seq, "{envelope}");
    }
    seq
}

#[tokio::test]
async fn it_begins_with_who_you_are_and_all_there_is() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let signal = trade(&api, "before", 1).await;
    api.settled(&signal, "filled").await;
    let mut socket = Socket::open(&api).await;
    let hello = socket.next().await.unwrap();
    assert_eq!((&hello["type"], &hello["v"]), (&"connection.authorized".into(), &1.into()), "{hello}");
    let sync = socket.next().await.unwrap();
    assert_eq!(sync["type"], "state.sync", "{sync}");
    let data = &sync["data"];
    assert_eq!((&data["mode"], &data["trading"]["state"]), (&"paper".into(), &"active".into()));
    assert_eq!(data["trades"][0]["signal_id"], signal.as_str());
    assert_eq!(data["positions"][0]["symbol"], "AAPL");
    assert_eq!(
        data["sources"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|source| source["webhook_url"] == api.webhook.as_str())
            .count(),
        1
    );
    assert!(sync["seq"].as_u64().unwrap() > 0 && sync["ts"].is_string());
}

#[tokio::test]
async fn an_orders_events_come_in_order_and_without_a_gap() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let mut socket = Socket::open(&api).await;
    let from = socket.next_of("state.sync").await["seq"].as_u64().unwrap();
    let signal = trade(&api, "n", 9).await;
    let seen = socket.until(fills(&signal)).await;
    assert_gap_free(&seen, from);
    let of_last: Vec<_> = seen
        .iter()
        .filter(|envelope| envelope["data"]["signal_id"] == signal.as_str())
        .map(|envelope| envelope["type"].as_str().unwrap())
        .collect();
    assert_eq!(of_last, ["trade.created", "trade.submitted", "trade.filled"]);
    assert!(seen.iter().any(|envelope| envelope["type"] == "portfolio.position.opened"));
    assert!(seen.iter().any(|envelope| envelope["type"] == "signal.received"));
    let portfolio = socket.next_of("portfolio.updated").await;
    assert!(portfolio["data"]["portfolio"]["cash"].is_string(), "{portfolio}");
}

#[tokio::test]
async fn a_client_that_comes_back_misses_nothing() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let mut socket = Socket::open(&api).await;
    let from = socket.next_of("state.sync").await["seq"].as_u64().unwrap();
    let signal = trade(&api, "a", 2).await;
    let last = assert_gap_free(&socket.until(fills(&signal)).await, from);
    socket.close().await;
    let missed = trade(&api, "b", 4).await;
    api.settled(&missed, "filled").await;
    let mut again = Socket::resume(&api, Some(last)).await;
    let seen = again.until(fills(&missed)).await;
    assert!(seen.iter().all(|envelope| envelope["type"] != "state.sync"), "it was resumed, not begun anew");
    assert_gap_free(&seen, last);
}

#[tokio::test]
async fn a_client_that_was_away_across_a_restart_gets_a_full_sync_that_goes_on_counting() {
    let mut server = Setup::new().fixed_port().start().await;
    let api = server.owner();
    let mut socket = Socket::open(&api).await;
    let from = socket.next_of("state.sync").await["seq"].as_u64().unwrap();
    let signal = trade(&api, "a", 2).await;
    let last = assert_gap_free(&socket.until(fills(&signal)).await, from);
    server.kill9();
    while socket.next().await.is_ok() {}
    server.start_again().await;
    let mut again = Socket::resume(&api, Some(last)).await;
    let sync = again.next_of("state.sync").await;
    let seq = sync["seq"].as_u64().unwrap();
    assert!(seq >= last, "{seq} after {last}");
    let next = trade(&api, "b", 1).await;
    assert_gap_free(&again.until(fills(&next)).await, seq);
}

#[tokio::test]
async fn a_ticket_opens_one_socket_and_a_stranger_none() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let query = format!("ticket={}", ticket(&api).await);
    let first = Socket::try_open(&api.base, &query, None).await.unwrap();
    assert_eq!(Socket::try_open(&api.base, &query, None).await.unwrap_err(), 401);
    for wrong in ["ticket=AAAA", "ticket=", "x=1", ""] {
        assert_eq!(Socket::try_open(&api.base, wrong, None).await.unwrap_err(), 401, "{wrong}");
    }
    let query = format!("ticket={}", ticket(&api).await);
    assert_eq!(Socket::try_open(&api.base, &query, Some("https://evil.example")).await.unwrap_err(), 403);
    let query = format!("ticket={}", ticket(&api).await);
    Socket::try_open(&api.base, &query, Some(&api.base)).await.unwrap().close().await;
    let plain = send(api.bare(Method::GET, "/ws?ticket=x")).await.unwrap();
    assert!((400..500).contains(&plain.status), "{}", plain.text);
    first.close().await;
    assert!(!server.stderr().contains("ticket="), "tickets are kept out of the log");
}

#[tokio::test]
async fn nobody_sees_another_persons_events() {
    let server = Setup::new().start().await;
    let owner = server.owner();
    let (ada, bob) = (owner.new_user("Ada").await, owner.new_user("Bob").await);
    let mut hers = Socket::open(&ada).await;
    hers.next_of("state.sync").await;
    let his = trade(&bob, "bob", 5).await;
    bob.settled(&his, "filled").await;
    let own = trade(&ada, "ada", 1).await;
    let seen = hers.until(fills(&own)).await;
    for envelope in seen.iter().filter(|envelope| is_numbered(envelope)) {
        let text = envelope.to_string();
        assert!(
            text.contains(&own) || envelope["type"].as_str().unwrap().starts_with("portfolio."),
            "{text}"
        );
    }
}

#[tokio::test]
async fn prices_come_for_the_symbols_asked_for_and_no_others() {
    let server = Setup::new().set("paper.tick_ms", 50).start().await;
    let api = server.owner();
    let mut socket = Socket::open(&api).await;
    socket.next_of("state.sync").await;
    socket.say("subscribe", json!({ "symbols": ["BTC/USDT"] })).await;
    for _ in 0..5 {
        let quote = socket.next_of("market.quote").await;
        assert_eq!(quote["data"]["symbol"], "BTC/USDT");
        assert!(quote["data"]["price"].is_string());
    }
    socket.say("unsubscribe", json!({ "symbols": ["BTC/USDT"] })).await;
    socket.say("subscribe", json!({ "symbols": ["AAPL"] })).await;
    let quotes =
        socket.until(|envelope| envelope["type"] == "market.quote" && envelope["data"]["symbol"] == "AAPL");
    quotes.await;
    for _ in 0..5 {
        assert_eq!(socket.next_of("market.quote").await["data"]["symbol"], "AAPL");
    }
}

#[tokio::test]
async fn nonsense_is_answered_and_a_flood_of_text_ends_the_connection() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let mut socket = Socket::open(&api).await;
    socket.next_of("state.sync").await;
    socket.say("dance", json!({})).await;
    let error = socket.next_of("connection.error").await;
    assert!(error["data"]["code"].is_string(), "{error}");
    socket.say("subscribe", json!({ "symbols": ["x".repeat(100_000)] })).await;
    while socket.next().await.is_ok() {}
    let signal = trade(&api, "after", 1).await;
    api.settled(&signal, "filled").await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_resumes() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let mut slow = Socket::open(&api).await;
    let from = slow.next_of("state.sync").await["seq"].as_u64().unwrap();
    let mut cut = None;
    for round in 0..40 {
        trade(&api, &format!("r{round}-"), 50).await;
        let text = reqwest::get(server.ready("metrics_url")).await.unwrap().text().await.unwrap();
        if text
            .lines()
            .any(|line| line.starts_with("trade_executor_ws_overflows_total ") && !line.ends_with(" 0"))
        {
            cut = Some(round);
            break;
        }
    }
    assert!(cut.is_some(), "2,000 signals were queued for a client that does not read");
    let mut seen = Vec::new();
    let code = loop {
        match slow.next().await {
            Ok(envelope) => seen.push(envelope),
            Err(code) => break code,
        }
    };
    assert!(matches!(code, 1013 | 1006), "closed with {code}");
    let last = assert_gap_free(&seen, from);
    let end = trade(&api, "end", 1).await;
    api.settled(&end, "filled").await;
    let mut again = Socket::resume(&api, Some(last)).await;
    let seen = again.until(|envelope| envelope["type"] == "state.sync" || fills(&end)(envelope)).await;
    if seen.iter().all(|envelope| envelope["type"] != "state.sync") {
        assert_gap_free(&seen, last);
    }
}

#[tokio::test]
async fn a_revoked_token_closes_its_sockets() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let made = api.post("/api/v1/tokens", &json!({ "name": "screen", "scopes": ["read"] })).await.expect(201);
    let secret = ["secret", "token"].iter().find_map(|field| made[*field].as_str()).unwrap();
    let screen = Api { token: secret.to_owned(), ..api.clone() };
    let mut socket = Socket::open(&screen).await;
    socket.next_of("state.sync").await;
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(send(api.request(Method::DELETE, &path)).await.unwrap().status, 204);
    let code = loop {
        if let Err(code) = socket.next().await {
            break code;
        }
    };
    assert_eq!(code, 4401);
}

#[tokio::test]
async fn a_stop_says_goodbye() {
    let mut server = Setup::new().start().await;
    let api = server.owner();
    let mut socket = Socket::open(&api).await;
    socket.next_of("state.sync").await;
    server.terminate();
    let code = loop {
        if let Err(code) = socket.next().await {
            break code;
        }
    };
    assert_eq!(code, 1001);
    assert_eq!(server.ended().await.code(), Some(0));
}
