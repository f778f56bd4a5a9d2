//! A running Binance with one account, and a client of it.

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
use venues::binance;
use venues::feed::Price;
use venues::signed::{Hash, Signed};
use venues::table::Running;
use venues::world::{Options, World};

/// Long enough for anything here; short enough to fail a test.
pub(crate) const SOON: Duration = Duration::from_secs(5);
/// What is traded, as the book calls it.
pub(crate) const PAIR: &str = "BTC/USDT";

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

    /// Returns what a request that was taken says.
    #[track_caller]
    pub(crate) fn good(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// Checks that it is a refusal of this status and code, in exactly these words.
    #[track_caller]
    pub(crate) fn refuses(&self, status: u16, code: i64, words: &str) {
        let body = self.json();
        assert_eq!((self.status, &body), (status, &json!({"code": code, "msg": words})));
    }
}

/// A venue with the account `K`, whose secret is `S`: 100,000 USDT and 1 BTC, at 60,000 to 60,010.
pub(crate) struct Venue {
    pub(crate) binance: Running,
    pub(crate) url: String,
    http: reqwest::Client,
}

impl Venue {
    pub(crate) async fn start() -> Self {
        Self::with(binance::options()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let binance = binance::start(options).await.unwrap();
        println!("seed {}", binance.world().seed());
        let account = AccountSpec::spot("K", "S", "USDT", d("100000")).holding(PAIR, Decimal::ONE);
        binance.world().add_account(account);
        let url = binance.url("url").to_owned();
        // No connection is kept: what one request does to its own touches no other.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().build().unwrap();
        let venue = Self { binance, url, http };
        venue.price("60000", "60010");
        venue
    }

    pub(crate) fn world(&self) -> &World {
        self.binance.world()
    }

    pub(crate) fn price(&self, bid: &str, ask: &str) {
        let price = Price { last: Some(d(bid)), ..Price::spread(PAIR, d(bid), d(ask)) };
        self.world().set_price(&price);
    }

    /// Returns the venue's time.
    pub(crate) fn now(&self) -> i64 {
        self.world().look(|state| state.clock.now()).timestamp_millis()
    }

    /// Sends a request as it is.
    pub(crate) async fn send(
        &self,
        method: Method,
        target: &str,
        key: Option<&str>,
        body: Option<&str>,
    ) -> Result<Reply, reqwest::Error> {
        let mut request = self.http.request(method, format!("{}{target}", self.url)).timeout(SOON);
        if let Some(key) = key {
            request = request.header("x-mbx-apikey", key);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/x-www-form-urlencoded");
            request = request.body(body.to_owned());
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Reply { status, headers, text: response.text().await? })
    }

    /// Returns parameters with a time and a signature.
    pub(crate) fn signed(&self, params: &str) -> String {
        let join = if params.is_empty() { "" } else { "&" };
        let text = format!("{params}{join}timestamp={}", self.now());
        format!("{text}&signature={}", Signed::hmac(Hash::Sha256, b"S", text.as_bytes()).hex())
    }

    /// Sends a signed request, which may be lost.
    pub(crate) async fn try_call(
        &self,
        method: Method,
        path: &str,
        params: &str,
    ) -> Result<Reply, reqwest::Error> {
        let target = format!("{path}?{}", self.signed(params));
        self.send(method, &target, Some("K"), None).await
    }

    /// Sends a signed request.
    pub(crate) async fn call(&self, method: Method, path: &str, params: &str) -> Reply {
        self.try_call(method, path, params).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str, params: &str) -> Reply {
        self.call(Method::GET, path, params).await
    }

    /// Asks for what everybody may know.
    pub(crate) async fn look(&self, target: &str) -> Reply {
        self.send(Method::GET, target, None, None).await.unwrap()
    }

    /// Sends an order.
    pub(crate) async fn order(&self, params: &str) -> Reply {
        self.call(Method::POST, "/api/v3/order", &format!("symbol=BTCUSDT&{params}")).await
    }

    /// Sends an order that is taken. Returns the reply.
    pub(crate) async fn place(&self, params: &str) -> Value {
        self.order(params).await.good()
    }

    /// Returns an order by its name.
    pub(crate) async fn named(&self, name: &str) -> Value {
        let params = format!("symbol=BTCUSDT&origClientOrderId={name}");
        self.get("/api/v3/order", &params).await.good()
    }

    pub(crate) async fn cancel(&self, params: &str) -> Reply {
        self.call(Method::DELETE, "/api/v3/order", &format!("symbol=BTCUSDT&{params}")).await
    }

    /// Returns free and locked of an asset.
    pub(crate) async fn balance(&self, asset: &str) -> (String, String) {
        let account = self.get("/api/v3/account", "").await.good();
        let all = account["balances"].as_array().unwrap();
        let has = all.iter().find(|has| has["asset"] == asset).unwrap();
        let text = |name: &str| d(has[name].as_str().unwrap()).normalize().to_string();
        (text("free"), text("locked"))
    }

    /// Opens a socket.
    pub(crate) async fn open(&self, path: &str) -> Socket {
        let url = self.url.replace("http://", "ws://") + path;
        Socket(timeout(SOON, connect_async(url)).await.unwrap().unwrap().0)
    }

    /// Returns parameters of a message with a time and a signature.
    pub(crate) fn signed_message(&self, mut params: Value) -> Value {
        params["apiKey"] = json!("K");
        params["timestamp"] = json!(self.now());
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let pairs = params.as_object().unwrap().iter().map(|(name, value)| format!("{name}={}", text(value)));
        let payload = pairs.collect::<Vec<_>>().join("&");
        params["signature"] = json!(Signed::hmac(Hash::Sha256, b"S", payload.as_bytes()).hex());
        params
    }

    /// Opens the WebSocket API, and waits until it tells of the account.
    pub(crate) async fn listen(&self) -> Socket {
        let mut socket = self.open("/ws-api/v3").await;
        let params = self.signed_message(json!({}));
        let reply = socket.ask("userDataStream.subscribe.signature", params).await;
        assert_eq!((&reply["status"], &reply["result"]), (&json!(200), &json!({"subscriptionId": 0})));
        socket
    }
}

/// A client's end of a socket.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn say(&mut self, value: &Value) {
        self.0.send(Message::text(value.to_string())).await.unwrap();
    }

    /// Returns the next frame as it came; an error when it is over.
    pub(crate) async fn frame(&mut self) -> Option<Result<Message, String>> {
        let next = timeout(SOON, self.0.next()).await.expect("nothing was heard");
        next.map(|frame| frame.map_err(|error| error.to_string()))
    }

    pub(crate) async fn hear(&mut self) -> Value {
        match self.frame().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            other => panic!("no message: {other:?}"),
        }
    }

    /// Sends a request of the WebSocket API. Returns the reply.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.say(&json!({"id": "q", "method": method, "params": params})).await;
        let reply = self.hear().await;
        assert_eq!(reply["id"], "q", "{reply}");
        reply
    }

    /// Returns the next event of the account.
    pub(crate) async fn event(&mut self) -> Value {
        let told = self.hear().await;
        assert_eq!(told["subscriptionId"], 0, "{told}");
        told["event"].clone()
    }

    /// Returns the next report of an order, past what is told beside it.
    pub(crate) async fn report(&mut self) -> Value {
        loop {
            let event = self.event().await;
            if event["e"] == "executionReport" {
                return event;
            }
        }
    }

    /// Waits for a ping, and answers it.
    pub(crate) async fn pong(&mut self) {
        let ping = self.frame().await;
        assert!(matches!(ping, Some(Ok(Message::Ping(_)))), "{ping:?}");
        // The answer is made as the ping is read, and goes out with what is sent next.
        self.0.flush().await.unwrap();
    }

    /// Checks that nothing comes for a while.
    pub(crate) async fn is_silent(&mut self) {
        let heard = timeout(Duration::from_millis(150), self.0.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    }
}

/// Returns a limit order that waits.
pub(crate) fn limit(side: &str, qty: &str, price: &str, name: &str) -> String {
    format!("side={side}&type=LIMIT&timeInForce=GTC&quantity={qty}&price={price}&newClientOrderId={name}")
}

/// Returns a market order.
pub(crate) fn market(side: &str, qty: &str, name: &str) -> String {
    format!("side={side}&type=MARKET&quantity={qty}&newClientOrderId={name}")
}
