//! The simulated Bybit is as strict as the real one where a client library does not look: bytes, limits and streams.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use venues::account::AccountSpec;
use venues::bybit;
use venues::feed::Price;
use venues::limits::Bound;
use venues::signed::{Hash, Signed};
use venues::table::Running;
use venues::world::Options;

/// Long enough for anything here; short enough to fail a test.
const SOON: Duration = Duration::from_secs(5);

/// A venue with the account `K`, whose secret is `S`: 100,000 USDT, at 60,000 to 60,010.
struct Venue {
    bybit: Running,
    http: reqwest::Client,
}

impl Venue {
    async fn start(options: Options) -> Self {
        let bybit = bybit::start(options).await.unwrap();
        bybit.world().add_account(AccountSpec::spot("K", "S", "USDT", Decimal::from(100_000)));
        bybit.world().set_price(&Price::spread("BTC/USDT", 60_000.into(), 60_010.into()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { bybit, http }
    }

    fn now(&self) -> i64 {
        self.bybit.world().look(|state| state.clock.now()).timestamp_millis()
    }

    /// Sends a request that is signed over some text; returns its HTTP status, headers and text.
    async fn send(
        &self,
        method: Method,
        target: &str,
        body: &str,
        over: &str,
    ) -> (u16, reqwest::header::HeaderMap, String) {
        let at = self.now().to_string();
        let signature = Signed::hmac(Hash::Sha256, b"S", format!("{at}K5000{over}").as_bytes()).hex();
        let mut request =
            self.http.request(method, format!("{}{target}", self.bybit.url("url"))).timeout(SOON);
        for (name, value) in [("key", "K"), ("sign", &signature), ("timestamp", &at)] {
            let name = if name == "key" { "x-bapi-api-key".to_owned() } else { format!("x-bapi-{name}") };
            request = request.header(name, value);
        }
        request = request.header("x-bapi-recv-window", "5000");
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.headers().clone(), response.text().await.unwrap())
    }

    /// Returns the code of what is answered to an order.
    async fn order(&self, body: &str) -> i64 {
        code(&self.send(Method::POST, "/v5/order/create", body, body).await.2)
    }

    /// Returns the code of what is answered to a question.
    async fn look(&self, path: &str, query: &str) -> i64 {
        code(&self.send(Method::GET, &format!("{path}?{query}"), "", query).await.2)
    }

    async fn stream(&self, name: &str) -> Stream {
        Stream(connect_async(self.bybit.url(name)).await.unwrap().0)
    }

    /// Returns what opens the private stream, signed with a secret.
    fn greeting(&self, secret: &str, lasts_ms: i64) -> Value {
        let until = self.now() + lasts_ms;
        let text = format!("GET/realtime{until}");
        let signature = Signed::hmac(Hash::Sha256, secret.as_bytes(), text.as_bytes()).hex();
        json!({"op": "auth", "args": ["K", until.to_string(), signature]})
    }
}

fn code(text: &str) -> i64 {
    let told: Value = serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"));
    told["retCode"].as_i64().unwrap()
}

struct Stream(WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>);

impl Stream {
    async fn say(&mut self, frame: Value) -> Value {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
        self.hear().await.unwrap()
    }

    async fn hear(&mut self) -> Option<Value> {
        match timeout(SOON, self.0.next()).await.unwrap()? {
            Ok(Message::Text(text)) => Some(serde_json::from_str(&text).unwrap()),
            _ => None,
        }
    }
}

const ORDER: &str = r#"{"category": "spot",  "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "50000"}"#;

#[tokio::test]
async fn what_is_signed_is_what_was_sent_byte_by_byte() {
    let venue = Venue::start(bybit::options()).await;
    assert_eq!(venue.order(ORDER).await, 0, "its blanks are signed, too");
    let tidy = ORDER.replace(' ', "");
    let (_, _, text) = venue.send(Method::POST, "/v5/order/create", ORDER, &tidy).await;
    assert_eq!(code(&text), 10_004);
    let query = "category=spot&limit=1";
    assert_eq!(venue.look("/v5/order/realtime", query).await, 0);
    let (_, _, text) =
        venue.send(Method::GET, &format!("/v5/order/realtime?{query}"), "", "limit=1&category=spot").await;
    assert_eq!(code(&text), 10_004);
    let (status, _, _) = venue.send(Method::GET, &format!("/v5/order/realtime?{query}"), "{}", "{}").await;
    assert_eq!(status, 403, "a question has no body");
}

#[tokio::test]
async fn amounts_are_text_and_only_known_fields_are_taken() {
    let venue = Venue::start(bybit::options()).await;
    for (was, is, expected) in [
        (r#""0.01""#, "0.01", 10_001),
        (r#""qty""#, r#""quantity""#, 10_001),
        ("spot", "linear", 10_001),
        ("0.01", "0.0000001", 170_137),
        ("0.01", "0.00001", 170_140),
        ("50000", "50000.001", 170_134),
        ("0.01", "84", 170_135),
        ("0.01", "5", 170_131),
        ("0.01", "-1", 170_130),
        ("BTCUSDT", "NOPEUSDT", 170_121),
        (r#""Limit""#, r#""Limit", "triggerPrice": "49000""#, 10_001),
    ] {
        assert_eq!(venue.order(&ORDER.replace(was, is)).await, expected, "{is}");
    }
    assert_eq!(venue.look("/v5/account/wallet-balance", "accountType=SPOT").await, 10_001);
    assert_eq!(venue.look("/v5/order/realtime", "category=spot&limit=51").await, 10_001);
    assert_eq!(venue.bybit.world().orders(None), []);
}

#[tokio::test]
async fn who_asks_too_often_waits_and_an_address_that_does_is_shut_out() {
    let mut options = bybit::options();
    options.limits.insert("create".to_owned(), vec![Bound::Window { seconds: 60, most: 2 }]);
    options.limits.insert("address".to_owned(), vec![Bound::Window { seconds: 5, most: 5 }]);
    let venue = Venue::start(options).await;
    assert_eq!((venue.order(ORDER).await, venue.order(ORDER).await), (0, 0));
    let (status, headers, text) = venue.send(Method::POST, "/v5/order/create", ORDER, ORDER).await;
    assert_eq!((status, code(&text)), (200, 10_006));
    assert_eq!(headers["x-bapi-limit-status"], "0");
    let reset: i64 = headers["x-bapi-limit-reset-timestamp"].to_str().unwrap().parse().unwrap();
    assert!((1..=60_000).contains(&(reset - venue.now())), "{reset}");
    assert_eq!(venue.bybit.world().orders(None).len(), 2);
    for _ in 0..2 {
        assert_eq!(venue.look("/v5/order/realtime", "category=spot").await, 0);
    }
    let shut_out = async || venue.send(Method::GET, "/v5/market/time", "", "").await;
    let (status, _, text) = shut_out().await;
    assert_eq!((status, text.as_str()), (403, "access too frequent"));
    venue.bybit.world().set_clock_offset(chrono::TimeDelta::minutes(9));
    assert_eq!(shut_out().await.0, 403, "for ten minutes");
    venue.bybit.world().set_clock_offset(chrono::TimeDelta::minutes(11));
    assert_eq!(shut_out().await.0, 200);
}

#[tokio::test]
async fn only_who_says_who_he_is_hears_of_orders() {
    let venue = Venue::start(bybit::options()).await;
    let subscribe = json!({"op": "subscribe", "args": ["order", "execution"]});
    let mut stream = venue.stream("private_url").await;
    assert_eq!(stream.say(subscribe.clone()).await["success"], false);
    for (secret, lasts) in [("wrong", 10_000), ("S", -1)] {
        let mut stream = venue.stream("private_url").await;
        assert_eq!(stream.say(venue.greeting(secret, lasts)).await["success"], false);
        assert_eq!(stream.hear().await, None, "it is closed");
    }
    let told = stream.say(venue.greeting("S", 10_000)).await;
    assert_eq!((&told["success"], &told["op"]), (&json!(true), &json!("auth")));
    assert_eq!(stream.say(json!({"op": "subscribe", "args": ["orders"]})).await["success"], false);
    assert_eq!(stream.say(subscribe).await["success"], true);
    assert_eq!(stream.say(json!({"op": "ping"})).await["op"], "pong");
    assert_eq!(venue.order(&ORDER.replace("50000", "60010")).await, 0);
    let mut topics = Vec::new();
    for _ in 0..3 {
        let frame = stream.hear().await.unwrap();
        assert_eq!(frame["data"][0]["category"], "spot");
        topics.push(frame["topic"].as_str().unwrap().to_owned());
    }
    topics.sort_unstable();
    assert_eq!(topics, ["execution", "order", "order"]);
}

#[tokio::test]
async fn best_prices_are_told_to_anybody_ten_names_at_a_time() {
    let venue = Venue::start(bybit::options()).await;
    let mut stream = venue.stream("public_url").await;
    let many: Vec<_> = (0..11).map(|number| format!("orderbook.1.X{number}USDT")).collect();
    assert_eq!(stream.say(json!({"op": "subscribe", "args": many})).await["success"], false);
    assert_eq!(
        stream.say(json!({"op": "subscribe", "args": ["orderbook.1.NOPEUSDT"]})).await["success"],
        false
    );
    assert_eq!(
        stream.say(json!({"op": "subscribe", "args": ["orderbook.1.BTCUSDT"]})).await["success"],
        true
    );
    let first = stream.hear().await.unwrap();
    assert_eq!((&first["type"], &first["data"]["b"][0][0]), (&json!("snapshot"), &json!("60000")));
    venue.bybit.world().set_price(&Price::flat("BTC/USDT", 61_000.into()));
    assert_eq!(stream.hear().await.unwrap()["data"]["a"][0][0], "61000");
    assert_eq!(stream.say(json!({"op": "ping"})).await["ret_msg"], "pong");
}
