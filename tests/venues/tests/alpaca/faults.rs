//! What goes wrong on purpose goes wrong exactly as asked, and the journal says how.

use std::io;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use venues::account::AccountSpec;
use venues::book::Status;
use venues::faults::{Action, Rule, When};
use venues::world::Options;

use crate::support::{SOON, Venue, d, market};

/// Sends an order over a connection of its own, and returns what comes back until it ends.
async fn raw(venue: &Venue, name: &str, wait: Duration) -> io::Result<Option<Vec<u8>>> {
    let body = market("buy", "1", name).to_string();
    let head = "POST /v2/orders HTTP/1.1\r\nhost: x\r\napca-api-key-id: K\r\napca-api-secret-key: S\r\n";
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    let mut stream = TcpStream::connect(venue.url.trim_start_matches("http://")).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    match timeout(wait, stream.read_to_end(&mut answer)).await {
        Ok(read) => read.map(|_| Some(answer)),
        Err(_) => Ok(None),
    }
}

#[tokio::test]
async fn an_error_before_acting_leaves_nothing_and_one_after_leaves_an_order() {
    let venue = Venue::start().await;
    for status in [500, 502, 503, 504] {
        let name = format!("before {status}");
        venue.fault(Action::status(status));
        let reply = venue.try_place(&name).await.unwrap();
        assert_eq!(
            (reply.status, reply.json()["code"].as_i64()),
            (status, Some(i64::from(status) * 100_000 + 10_000))
        );
        assert!(!venue.has(&name));
        let name = format!("after {status}");
        venue.fault(Action::status_after(status));
        assert_eq!(venue.try_place(&name).await.unwrap().status, status);
        assert!(venue.has(&name));
        assert_eq!(venue.try_place(&name).await.unwrap().status, 422, "the second time it is there");
    }
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    let venue = Venue::start().await;
    for (when, there) in [(When::Before, false), (When::After, true)] {
        let name = format!("{when:?}");
        venue.fault(Action::Reset { when });
        let error = raw(&venue, &name, SOON).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(venue.has(&name), there);
        venue.fault(Action::Reset { when });
        assert!(venue.try_place(&format!("{name} again")).await.is_err());
    }
    assert!(venue.answers().iter().all(|answer| *answer == (None, Some("reset".to_owned()), true)));
}

#[tokio::test]
async fn silence_is_silence() {
    let venue = Venue::start().await;
    for (when, there) in [(When::Before, false), (When::After, true)] {
        let name = format!("{when:?}");
        venue.fault(Action::Silence { when });
        let heard = raw(&venue, &name, Duration::from_millis(200)).await.unwrap();
        assert_eq!(heard, None, "neither an answer nor an end");
        assert_eq!(venue.has(&name), there);
    }
    assert!(venue.answers().iter().all(|answer| *answer == (None, Some("silence".to_owned()), true)));
}

#[tokio::test]
async fn a_garbled_answer_is_of_an_order_that_is_there() {
    let venue = Venue::start().await;
    venue.fault(Action::Garble);
    let reply = venue.try_place("garbled").await.unwrap();
    assert_eq!(reply.status, 200);
    assert!(serde_json::from_str::<serde_json::Value>(&reply.text).is_err());
    assert!(venue.has("garbled"));
}

#[tokio::test]
async fn refusals_say_what_they_are_told_to() {
    let venue = Venue::start().await;
    venue.fault(Action::status(401));
    venue.try_place("a").await.unwrap().refuses(401, 40110000, "request is not authorized");
    venue.fault(Action::status(403));
    venue.try_place("a").await.unwrap().refuses(403, 40310000, "forbidden.");
    venue.fault(Action::Duplicate);
    venue.try_place("a").await.unwrap().refuses(422, 40010001, "client_order_id must be unique");
    let message = "trade denied due to pattern day trading protection".to_owned();
    venue.fault(Action::Refuse { status: 403, code: 40310100, message });
    venue.try_place("a").await.unwrap().refuses(403, 40310100, "pattern day trading");
    assert!(!venue.has("a"));
    assert_eq!(venue.try_place("a").await.unwrap().status, 200);
    let expected: Vec<_> = [(401, true), (403, true), (422, true), (403, true), (200, false)].into();
    let seen: Vec<_> =
        venue.answers().into_iter().map(|(status, _, fault)| (status.unwrap(), fault)).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn an_order_that_was_taken_is_rejected_later() {
    let venue = Venue::start().await;
    let mut stream = venue.listen().await;
    venue.fault(Action::Reject);
    let taken = venue.try_place("doomed").await.unwrap();
    assert_eq!((taken.status, &taken.json()["status"]), (200, &json!("pending_new")));
    assert_eq!(stream.update().await.0, "new");
    assert_eq!(stream.update().await.0, "rejected");
    let order = venue.world().order("K", "doomed").unwrap();
    assert_eq!((order.status, order.filled_qty), (Status::Rejected, d("0")));
    assert_eq!(venue.try_place("next").await.unwrap().status, 200);
    assert_eq!(venue.world().order("K", "next").unwrap().status, Status::Filled);
}

#[tokio::test]
async fn a_429_says_when_to_come_back() {
    let venue = Venue::start().await;
    for limit in [Some(200), None] {
        venue.world().set_rate_limit(limit);
        venue.fault(Action::Status { status: 429, when: When::Before, retry_after_s: Some(7) });
        let reply = venue.try_place("a").await.unwrap();
        reply.refuses(429, 42910000, "rate limit exceeded");
        assert_eq!(reply.header("retry-after"), Some("7"));
        assert_eq!(reply.header("x-ratelimit-limit"), Some("200"));
        assert_eq!(reply.header("x-ratelimit-remaining"), Some("0"));
        assert!(reply.header("x-ratelimit-reset").unwrap().parse::<i64>().unwrap() > 1_700_000_000);
    }
}

#[tokio::test]
async fn a_delay_only_delays() {
    let venue = Venue::start().await;
    venue.world().add_fault(Rule::on("POST /v2/orders", Action::Pass).times(1).delayed(150));
    let start = Instant::now();
    assert_eq!(venue.try_place("late").await.unwrap().status, 200);
    assert!(start.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn what_was_asked_is_done_though_nobody_waits() {
    let venue = Venue::start().await;
    venue.world().add_fault(Rule::on("POST /v2/orders", Action::Pass).times(1).delayed(150));
    let heard = raw(&venue, "given up", Duration::from_millis(20)).await.unwrap();
    assert_eq!(heard, None);
    assert!(!venue.has("given up"));
    let start = Instant::now();
    while !venue.has("given up") {
        assert!(start.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(venue.answers(), [(Some(200), None, true)]);
}

#[tokio::test]
async fn rules_apply_to_what_they_name() {
    let venue = Venue::start().await;
    venue.world().add_account(AccountSpec::new("K2", "S2", d("1000")));
    let rule = Rule::on("* /v2/*", Action::status(500));
    venue.world().add_fault(rule.clone().of_account("K2"));
    venue.world().add_fault(rule.clone().of_order("unlucky"));
    venue.world().add_fault(rule.of_symbol("MSFT"));
    assert_eq!(venue.get("/v2/account").await.status, 200);
    let keys = [("apca-api-key-id", "K2"), ("apca-api-secret-key", "S2")];
    assert_eq!(venue.send(Method::GET, "/v2/account", &keys, None).await.unwrap().status, 500);
    assert_eq!(venue.try_place("lucky").await.unwrap().status, 200);
    assert_eq!(venue.try_place("unlucky").await.unwrap().status, 500);
    assert_eq!(venue.get("/v2/orders:by_client_order_id?client_order_id=unlucky").await.status, 500);
    assert_eq!(venue.get("/v2/positions/MSFT").await.status, 500);
    assert_eq!(venue.get("/v2/positions/AAPL").await.status, 200);
    let fired: Vec<u32> = venue.world().faults().iter().map(|counted| counted.fired).collect();
    assert_eq!(fired, [1, 2, 1]);
    venue.world().clear_faults();
    assert_eq!(venue.try_place("unlucky").await.unwrap().status, 200);
}

#[tokio::test]
async fn chance_is_the_same_for_the_same_seed() {
    async fn course(seed: u64) -> Vec<u16> {
        let venue = Venue::with(Options { seed: Some(seed), ..Options::default() }).await;
        venue.world().add_fault(Rule::on("GET /v2/clock", Action::status(503)).likely(d("0.5")));
        let mut course = Vec::new();
        for _ in 0..40 {
            course.push(venue.get("/v2/clock").await.status);
        }
        course
    }
    let first = course(1).await;
    assert!(first.contains(&200) && first.contains(&503), "{first:?}");
    assert_eq!(first, course(1).await);
    assert_ne!(first, course(2).await);
}

#[tokio::test]
async fn too_many_requests_are_refused_and_counted() {
    let venue = Venue::start().await;
    venue.world().set_rate_limit(Some(5));
    for left in ["4", "3", "2", "1", "0"] {
        let reply = venue.get("/v2/clock").await;
        assert_eq!((reply.status, reply.header("x-ratelimit-remaining")), (200, Some(left)));
    }
    let reply = venue.try_place("too many").await.unwrap();
    reply.refuses(429, 42910000, "rate limit exceeded");
    assert!(!venue.has("too many"));
    assert!(reply.header("retry-after").is_some());
    assert_eq!(venue.get("/v2/stocks/AAPL/quotes/latest").await.status, 200, "market data counts by itself");
    venue.world().set_rate_limit(None);
    assert_eq!(venue.get("/v2/clock").await.header("x-ratelimit-limit"), None);
    let rate = venue.world().rate("K");
    assert_eq!((rate.most_per_minute, rate.total), (7, 7));
}

#[tokio::test]
async fn the_journal_tells_the_story_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal.jsonl");
    let venue = Venue::with(Options { journal: Some(file.clone()), ..Options::default() }).await;
    venue.try_place("story").await.unwrap();
    let told = serde_json::to_value(venue.world().journal(0)).unwrap();
    let told = told.as_array().unwrap();
    let kinds: Vec<_> = told.iter().map(|entry| (&entry["kind"], &entry["event"])).collect();
    let order = json!("order");
    assert_eq!(
        kinds,
        [
            (&json!("outside"), &json!(null)),
            (&json!("received"), &json!(null)),
            (&order, &json!("new")),
            (&order, &json!("fill")),
            (&json!("answered"), &json!(null)),
        ]
    );
    assert!(told.iter().enumerate().all(|(at, entry)| entry["n"] == json!(at + 1)));
    assert_eq!(told[3]["execution"]["price"], "190.52");
    assert_eq!((&told[4]["body"]["client_order_id"], &told[4]["request"]), (&json!("story"), &told[1]["n"]));
    assert_eq!(venue.world().journal(4).len(), 1);
    let lines = std::fs::read_to_string(file).unwrap();
    let lines: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(&lines, told);
}
