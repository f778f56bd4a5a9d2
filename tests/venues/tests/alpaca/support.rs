//! A running Alpaca with one account, and a client of it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use reqwest::header::HeaderMap;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use venues::account::AccountSpec;
use venues::alpaca::Alpaca;
use venues::faults::{Action, Rule};
use venues::feed::Price;
use venues::journal::{Entry, Note};
use venues::streams::Channel;
use venues::world::{Options, World};

/// Long enough for anything here; short enough to fail a test.
pub(crate) const SOON: Duration = Duration::from_secs(5);

pub(crate) fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Checks that it is a refusal of this status and code, in words like these.
    #[track_caller]
    pub(crate) fn refuses(&self, status: u16, code: i64, words: &str) {
        let body = self.json();
        assert_eq!((self.status, &body["code"]), (status, &json!(code)), "{body}");
        let message = body["message"].as_str().unwrap();
        assert!(message.contains(words), "{message:?} does not say {words:?}");
    }
}

/// A venue with the account `K`, whose secret is `S`, and a price of `AAPL`: 190.50 to 190.52.
pub(crate) struct Venue {
    pub(crate) alpaca: Alpaca,
    pub(crate) url: String,
    http: reqwest::Client,
}

impl Venue {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let alpaca = Alpaca::start(options).await.unwrap();
        println!("seed {}", alpaca.world().seed());
        alpaca.world().add_account(AccountSpec::new("K", "S", d("100000")).with_token("T"));
        alpaca.world().set_price(&Price::spread("AAPL", d("190.50"), d("190.52")));
        let url = alpaca.urls().url;
        // No connection is kept: what one request does to its own touches no other.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().build().unwrap();
        Self { alpaca, url, http }
    }

    pub(crate) fn world(&self) -> &World {
        self.alpaca.world()
    }

    /// Sends a request as somebody, or as nobody.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Result<Reply, reqwest::Error> {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).timeout(SOON);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body.to_owned());
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Reply { status, headers, text: response.text().await? })
    }

    async fn as_owner(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let keys = [("apca-api-key-id", "K"), ("apca-api-secret-key", "S")];
        let body = body.map(ToString::to_string);
        self.send(method, path, &keys, body.as_deref()).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.as_owner(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.as_owner(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Reply {
        self.as_owner(Method::PATCH, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.as_owner(Method::DELETE, path, None).await
    }

    /// Places an order that is taken. Returns the reply.
    pub(crate) async fn place(&self, body: &Value) -> Value {
        let reply = self.post("/v2/orders", body).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()
    }

    /// Tries to place an order in spite of what goes wrong. Returns the reply, if there is one.
    pub(crate) async fn try_place(&self, name: &str) -> Result<Reply, reqwest::Error> {
        let keys = [("apca-api-key-id", "K"), ("apca-api-secret-key", "S")];
        let body = market("buy", "1", name).to_string();
        self.send(Method::POST, "/v2/orders", &keys, Some(&body)).await
    }

    /// Makes the next order go wrong.
    pub(crate) fn fault(&self, action: Action) {
        self.world().add_fault(Rule::on("POST /v2/orders", action).times(1));
    }

    /// Returns whether the venue has an order of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.world().order("K", name).is_some()
    }

    /// Returns what became of the requests so far: status, cut and whether a fault was applied.
    pub(crate) fn answers(&self) -> Vec<(Option<u16>, Option<String>, bool)> {
        let entries = self.world().journal(0);
        let answered = entries.into_iter().filter_map(|Entry { note, .. }| match note {
            Note::Answered { status, cut, fault, .. } => Some((status, cut, fault.is_some())),
            Note::Received { .. } | Note::Order { .. } | Note::Outside { .. } | Note::Stream { .. } => None,
        });
        answered.collect()
    }

    /// Opens a stream.
    pub(crate) async fn open(&self, path: &str) -> Stream {
        let url = self.url.replace("http://", "ws://") + path;
        Stream(timeout(SOON, connect_async(url)).await.unwrap().unwrap().0)
    }

    /// Opens the `trade_updates` stream of the account, and waits until it listens.
    pub(crate) async fn listen(&self) -> Stream {
        let mut stream = self.open("/stream").await;
        stream.say(&json!({"action": "auth", "key": "K", "secret": "S"})).await;
        assert_eq!(stream.hear().await["data"]["status"], "authorized");
        stream.say(&json!({"action": "listen", "data": {"streams": ["trade_updates"]}})).await;
        assert_eq!(stream.hear().await["data"]["streams"], json!(["trade_updates"]));
        assert!(self.world().listening(Some("K"), Channel::Orders) >= 1);
        stream
    }
}

/// A client's end of a stream.
pub(crate) struct Stream(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Stream {
    pub(crate) async fn say(&mut self, value: &Value) {
        self.0.send(Message::text(value.to_string())).await.unwrap();
    }

    /// Returns the next frame as it came; an error when the stream is over.
    pub(crate) async fn frame(&mut self) -> Option<Result<Message, String>> {
        let next = timeout(SOON, self.0.next()).await.expect("nothing was heard");
        next.map(|frame| frame.map_err(|error| error.to_string()))
    }

    pub(crate) async fn hear(&mut self) -> Value {
        match self.frame().await {
            Some(Ok(Message::Binary(bytes))) => serde_json::from_slice(&bytes).unwrap(),
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            other => panic!("no message: {other:?}"),
        }
    }

    /// Returns the next update of an order: what happened, and the client's name for it.
    pub(crate) async fn update(&mut self) -> (String, String) {
        let update = self.hear().await;
        assert_eq!(update["stream"], "trade_updates");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&update["data"]["event"]), text(&update["data"]["order"]["client_order_id"]))
    }

    /// Checks that nothing comes for a while.
    pub(crate) async fn is_silent(&mut self) {
        let heard = timeout(Duration::from_millis(150), self.0.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    pub(crate) async fn close(mut self) {
        self.0.close(None).await.unwrap();
        while self.0.next().await.is_some() {}
    }
}

/// Returns a market order for a day.
pub(crate) fn market(side: &str, qty: &str, name: &str) -> Value {
    json!({"symbol": "AAPL", "qty": qty, "side": side, "type": "market", "time_in_force": "day", "client_order_id": name})
}

/// Returns a limit order for a day.
pub(crate) fn limit(side: &str, qty: &str, price: &str, name: &str) -> Value {
    let mut order = market(side, qty, name);
    order["type"] = json!("limit");
    order["limit_price"] = json!(price);
    order
}
