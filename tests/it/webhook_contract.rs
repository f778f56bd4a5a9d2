//! What a webhook is answered: accepted once it is durable, or refused with a stable code and the field at fault.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::api::{order, send};
use crate::support::{Api, Server, Setup, log};

/// The alert of FR-003.
fn alert() -> Value {
    json!({
        "ticker": "AAPL",
        "action": "buy",
        "quantity": 10,
        "price": 190.00,
        "timestamp": null,
    })
}

/// Asserts that nothing was traded and the program is well.
async fn assert_untouched(server: &Server, api: &Api) {
    assert!(api.trades().await.is_empty());
    assert_eq!(log::count(&server.data, "ORDER_CREATED"), 0);
    assert_eq!(log::count(&server.data, "SIGNAL_RECEIVED"), 0);
    assert_eq!(api.get("/health").await.status, 200);
    let well = api.signal(&order("well", "AAPL", "buy", "1")).await.expect(202);
    api.settled(well["signal_id"].as_str().unwrap(), "filled").await;
}

#[tokio::test]
async fn the_specifications_alert_is_accepted_and_its_repeat_is_told_so() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let first = api.signal(&alert()).await.expect(202);
    assert_eq!(first["status"], "accepted");
    let again = api.signal(&alert()).await.expect(200);
    assert_eq!((&again["signal_id"], &again["status"]), (&first["signal_id"], &"duplicate".into()));
    let trade = api.settled(first["signal_id"].as_str().unwrap(), "filled").await;
    assert_eq!(
        (&trade["symbol"], &trade["quantity"], &trade["broker"]),
        (&"AAPL".into(), &"10".into(), &"paper".into())
    );
    assert_eq!(api.trades().await.len(), 1);
}

#[tokio::test]
async fn json_is_read_whatever_its_media_type_says() {
    let server = Setup::new().start().await;
    let api = server.owner();
    for (number, media) in ["text/plain", "text/plain; charset=utf-8", "application/json"].iter().enumerate()
    {
        let body = order(&format!("m{number}"), "AAPL", "buy", "1").to_string();
        let signal = api.deliver(media, body).await.expect(202)["signal_id"].clone();
        api.settled(signal.as_str().unwrap(), "filled").await;
    }
    let bare = api.http.post(&api.webhook).body(order("bare", "AAPL", "buy", "1").to_string());
    send(bare).await.unwrap().expect(202);
}

#[tokio::test]
async fn numbers_may_be_texts_and_optional_fields_may_be_missing() {
    let server = Setup::new().start().await;
    let api = server.owner();
    for body in [
        json!({ "id": 1, "ticker": "NASDAQ:AAPL", "action": "BUY", "quantity": "2" }),
        json!({ "id": "2", "symbol": "aapl", "action": "buy", "qty": 2 }),
        json!({ "id": "3", "ticker": "BTCUSDT", "action": "buy", "quantity": "0.01" }),
    ] {
        let signal = api.signal(&body).await.expect(202)["signal_id"].clone();
        let trade = api.settled(signal.as_str().unwrap(), "filled").await;
        let wanted = body["quantity"].as_str().unwrap_or("2");
        assert_eq!(trade["quantity"], wanted, "{body}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_its_code_and_its_field() {
    let server = Setup::new().start().await;
    let api = server.owner();
    for (body, code, pointer) in [
        (r#"{"ticker":"AAPL","action":"buy","quantity":1"#, "INVALID_JSON", None),
        (r#"{"ticker":"AAPL","action":"buy","quantity":NaN}"#, "INVALID_JSON", None),
        ("", "EMPTY_BODY", None),
        ("[1,2]", "MISSING_FIELDS", None),
        (r#"{"ticker":"AAPL","quantity":1}"#, "MISSING_ACTION", Some("/action")),
        (r#"{"action":"buy","quantity":1}"#, "MISSING_SYMBOL", Some("/ticker")),
        (r#"{"ticker":7,"action":"buy","quantity":1}"#, "", Some("/ticker")),
        (r#"{"ticker":"AAPL","action":["buy"],"quantity":1}"#, "BAD_ACTION", Some("/action")),
        (r#"{"ticker":"AAPL","action":"buy","quantity":{"a":1}}"#, "BAD_QUANTITY", Some("/quantity")),
        (r#"{"ticker":"AAPL","action":"buy","quantity":true}"#, "BAD_QUANTITY", Some("/quantity")),
        (r#"{"ticker":"AAPL","action":"buy","quantity":"NaN"}"#, "BAD_QUANTITY", Some("/quantity")),
        (r#"{"ticker":"AAPL","action":"buy","quantity":-5}"#, "BAD_QUANTITY", Some("/quantity")),
        (r#"{"ticker":"AAPL","action":"buy","quantity":0}"#, "BAD_QUANTITY", Some("/quantity")),
        (r#"{"ticker":"AAPL","action":"buy","quantity":1e300}"#, "BAD_QUANTITY", Some("/quantity")),
        (
            r#"{"ticker":"AAPL","action":"buy","quantity":99999999999999999999999999999999}"#,
            "BAD_QUANTITY",
            Some("/quantity"),
        ),
        (r#"{"ticker":"AAPL","action":"buy","quantity":1,"quantity":2}"#, "DUPLICATE_KEY", Some("/quantity")),
        (r#"{"ticker":"{{ticker}}","action":"buy","quantity":1}"#, "PLACEHOLDER_NOT_FILLED", Some("/ticker")),
        (
            r#"{"ticker":"AAPL","action":"buy","quantity":{{strategy.order.contracts}}}"#,
            "PLACEHOLDER_NOT_FILLED",
            None,
        ),
    ] {
        let answer = api.deliver("application/json", body).await;
        let said = answer.body["code"].as_str().unwrap_or_default().to_owned();
        answer.assert_problem(422, if code.is_empty() { &said } else { code });
        if pointer.is_some() {
            assert_eq!(answer.pointer(), pointer, "{body}: {}", answer.text);
        }
    }
    assert_untouched(&server, &api).await;
}

#[tokio::test]
async fn a_body_of_a_mebibyte_is_refused_before_it_is_read() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let huge =
        format!(r#"{{"ticker":"AAPL","action":"buy","quantity":1,"comment":"{}"}}"#, "x".repeat(1 << 20));
    let answer =
        send(api.http.post(&api.webhook).header("content-type", "application/json").body(huge.clone())).await;
    // A server may close the connection under a client that goes on sending.
    if let Ok(answer) = answer {
        answer.assert_problem(413, "BODY_TOO_LARGE");
    }
    let chunks: Vec<_> = huge.into_bytes().chunks(4096).map(Bytes::copy_from_slice).collect();
    let frames = chunks.into_iter().map(|chunk| Ok::<_, std::io::Error>(Frame::data(chunk)));
    let body = reqwest::Body::wrap(StreamBody::new(futures_util::stream::iter(frames)));
    let announced_nowhere = send(api.http.post(&api.webhook).body(body)).await;
    if let Ok(answer) = announced_nowhere {
        answer.assert_problem(413, "BODY_TOO_LARGE");
    }
    assert_untouched(&server, &api).await;
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let server = Setup::new().start().await;
    let api = server.owner();
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = send(api.http.request(method, &api.webhook)).await.unwrap();
        answer.assert_problem(405, "METHOD_NOT_ALLOWED");
        assert_eq!(answer.header("allow"), "POST");
    }
    assert_untouched(&server, &api).await;
}

#[tokio::test]
async fn an_unknown_token_and_a_wrong_one_look_the_same() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let body = order("x", "AAPL", "buy", "1");
    let (root, token) = api.webhook.rsplit_once('/').unwrap();
    let flipped = if token.starts_with('A') { 'B' } else { 'A' };
    let nearly = format!("{flipped}{}", &token[1..]);
    for wrong in [nearly.as_str(), &token[..token.len() - 1], "x", "%00", &"y".repeat(4000)] {
        let answer = send(api.http.post(format!("{root}/{wrong}")).json(&body)).await.unwrap();
        answer.assert_problem(404, "NOT_FOUND");
        assert!(wrong.len() < 8 || !answer.text.contains(wrong), "the token is repeated in {}", answer.text);
    }
    assert_untouched(&server, &api).await;
}

#[tokio::test]
async fn a_compressed_body_is_not_taken() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let request = api.http.post(&api.webhook).header("content-encoding", "gzip").body(vec![31_u8, 139, 8, 0]);
    send(request).await.unwrap().assert_problem(415, "ENCODING_UNSUPPORTED");
    assert_untouched(&server, &api).await;
}

#[tokio::test]
async fn a_symbol_that_is_not_traded_is_refused_by_name() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let answer = api.signal(&order("x", "ZZZZ", "buy", "1")).await;
    answer.assert_problem(422, "INVALID_SYMBOL");
    assert_eq!(answer.pointer(), Some("/ticker"));
    assert!(answer.str("detail").contains("ZZZZ"), "{}", answer.text);
    assert_untouched(&server, &api).await;
}

#[tokio::test]
async fn an_option_is_refused_by_name_and_never_becomes_a_stock_order() {
    let server = Setup::new().start().await;
    let api = server.owner();
    let answer = api.signal(&order("x", "AAPL260116C00190000", "buy", "1")).await;
    answer.assert_problem(422, "OPTION_UNSUPPORTED");
    assert_eq!(answer.pointer(), Some("/ticker"));
    assert_untouched(&server, &api).await;
}

#[tokio::test]
async fn a_refused_delivery_is_listed_with_its_reason() {
    let server = Setup::new().start().await;
    let api = server.owner();
    api.deliver("text/plain", r#"{"ticker":"AAPL","action":"buy","quantity":-5}"#)
        .await
        .assert_problem(422, "BAD_QUANTITY");
    let listed = crate::support::wait_for("the refusal in the feed", || async {
        api.all("/api/v1/signals").await.into_iter().next()
    });
    let row = listed.await;
    assert_eq!((&row["outcome"], &row["code"]), (&"refused".into(), &"BAD_QUANTITY".into()), "{row}");
    assert!(row["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{row}");
}

#[tokio::test]
async fn an_accepted_signal_survives_a_power_cut_at_once() {
    let mut server = Setup::new().fixed_port().start().await;
    let api = server.owner();
    let signal = api.signal(&order("kept", "AAPL", "buy", "1")).await.expect(202)["signal_id"].clone();
    server.kill9();
    server.start_again().await;
    api.settled(signal.as_str().unwrap(), "filled").await;
    log::Story::read(&server.data).assert_nothing_lost_or_doubled([signal.as_str().unwrap()]);
    server.assert_log_is_whole();
}

#[tokio::test]
async fn a_client_that_stalls_is_cut_off_and_holds_nobody_up() {
    let server = Setup::new().set("server.header_timeout_ms", 200).start().await;
    let api = server.owner();
    let address = server.ready("url").trim_start_matches("http://").to_owned();
    let mut stalled = tokio::net::TcpStream::connect(&address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(
        &mut stalled,
        b"POST /webhooks/tradingview/x HTTP/1.1\r\nHost: a\r\n",
    )
    .await
    .unwrap();
    api.signal(&order("quick", "AAPL", "buy", "1")).await.expect(202);
    let mut rest = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut stalled, &mut rest);
    let ended = tokio::time::timeout(Duration::from_secs(20), read).await;
    assert!(ended.is_ok(), "the connection stays open");
}
