//! A running Kraken with one account, and a client of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use venues::account::AccountSpec;
use venues::feed::Price;
use venues::kraken;
use venues::signed::{Hash, Signed};
use venues::table::Running;
use venues::world::World;

/// Long enough for anything here; short enough to fail a test.
const SOON: Duration = Duration::from_secs(5);
/// What is traded, as the book calls it.
pub(crate) const PAIR: &str = "BTC/USD";
/// The account's secret, in base64.
const SECRET: &str = "YS1zZWNyZXQtb2YtdGhlLXRlc3Rz";

pub(crate) fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Reply {
    /// Returns what a request that was taken says.
    #[track_caller]
    pub(crate) fn good(&self) -> Value {
        let body: Value =
            serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text));
        assert_eq!((self.status, &body["error"]), (200, &json!([])), "{}", self.text);
        body["result"].clone()
    }

    /// Checks that it is a refusal in exactly these words.
    #[track_caller]
    pub(crate) fn refuses(&self, words: &str) {
        let body: Value =
            serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text));
        assert_eq!((self.status, &body), (200, &json!({"error": [words], "result": {}})));
    }
}

/// A venue with the account `K`: 100,000 USD and 1 BTC, at 60,000 to 60,010.
pub(crate) struct Venue {
    pub(crate) kraken: Running,
    url: String,
    http: reqwest::Client,
    nonce: AtomicU64,
}

impl Venue {
    pub(crate) async fn start() -> Self {
        let venue = Self::strict().await;
        for pool in ["requests", "orders", "public"] {
            venue.world().set_limit(pool, Vec::new());
        }
        venue
    }

    /// Starts it with its limits.
    pub(crate) async fn strict() -> Self {
        let kraken = kraken::start(kraken::options()).await.unwrap();
        println!("seed {}", kraken.world().seed());
        let account = AccountSpec::spot("K", SECRET, "USD", d("100000")).holding(PAIR, Decimal::ONE);
        kraken.world().add_account(account);
        let url = kraken.url("url").to_owned();
        // No connection is kept: what one request does to its own touches no other.
        let http = reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().build().unwrap();
        let venue = Self { kraken, url, http, nonce: AtomicU64::new(1) };
        let price = Price { last: Some(d("60000")), ..Price::spread(PAIR, d("60000"), d("60010")) };
        venue.world().set_price(&price);
        venue
    }

    pub(crate) fn world(&self) -> &World {
        self.kraken.world()
    }

    /// Returns the next number.
    pub(crate) fn nonce(&self) -> u64 {
        self.nonce.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the signature of a body.
    pub(crate) fn signed(path: &str, nonce: u64, body: &str) -> String {
        let digest = Signed::sha256(format!("{nonce}{body}").as_bytes());
        let key = Signed::read_base64(SECRET).unwrap();
        Signed::hmac(Hash::Sha512, &key.0, &[path.as_bytes(), &digest.0].concat()).base64()
    }

    /// Sends a request as it is: of this kind, under this key and signature.
    pub(crate) async fn send(
        &self,
        path: &str,
        body: &str,
        kind: &str,
        (key, signature): (&str, &str),
    ) -> Result<Reply, reqwest::Error> {
        let request = self.http.post(format!("{}{path}", self.url)).timeout(SOON);
        let request = request.header("api-key", key).header("api-sign", signature);
        let response = request.header("content-type", kind).body(body.to_owned()).send().await?;
        Ok(Reply { status: response.status().as_u16(), text: response.text().await? })
    }

    /// Sends a signed form, which may be lost.
    pub(crate) async fn try_call(&self, name: &str, params: &str) -> Result<Reply, reqwest::Error> {
        let (path, nonce) = (format!("/0/private/{name}"), self.nonce());
        let join = if params.is_empty() { "" } else { "&" };
        let body = format!("nonce={nonce}{join}{params}");
        let signature = Self::signed(&path, nonce, &body);
        self.send(&path, &body, "application/x-www-form-urlencoded", ("K", &signature)).await
    }

    /// Sends a signed form.
    pub(crate) async fn call(&self, name: &str, params: &str) -> Reply {
        self.try_call(name, params).await.unwrap()
    }

    /// Asks for what everybody may know.
    pub(crate) async fn look(&self, target: &str) -> Reply {
        let response = self.http.get(format!("{}/0/public/{target}", self.url)).timeout(SOON).send().await;
        let response = response.unwrap();
        Reply { status: response.status().as_u16(), text: response.text().await.unwrap() }
    }

    /// Sends an order.
    pub(crate) async fn order(&self, params: &str) -> Reply {
        self.call("AddOrder", &format!("pair=XBTUSD&{params}")).await
    }

    /// Sends an order that is taken. Returns its number.
    pub(crate) async fn place(&self, params: &str) -> String {
        self.order(params).await.good()["txid"][0].as_str().unwrap().to_owned()
    }

    /// Returns an order by its number.
    pub(crate) async fn shown(&self, txid: &str) -> Value {
        self.call("QueryOrders", &format!("txid={txid}&trades=true")).await.good()[txid].clone()
    }

    /// Opens a socket, and hears its greeting.
    pub(crate) async fn open(&self, url: &str) -> Socket {
        let opened = timeout(SOON, connect_async(self.kraken.url(url))).await.unwrap().unwrap();
        let mut socket = Socket(opened.0);
        assert_eq!(socket.hear().await["channel"], "status");
        socket
    }

    /// Opens the stream of the account's orders. Returns it with what is open.
    pub(crate) async fn listen(&self) -> (Socket, Value) {
        let token = self.call("GetWebSocketsToken", "").await.good()["token"].clone();
        let mut socket = self.open("ws_auth_url").await;
        socket.say(&subscription(&token)).await;
        let reply = socket.hear().await;
        assert_eq!((&reply["success"], &reply["req_id"]), (&json!(true), &json!(7)), "{reply}");
        let snapshot = socket.hear().await;
        assert_eq!((&snapshot["type"], &snapshot["sequence"]), (&json!("snapshot"), &json!(1)));
        (socket, snapshot["data"].clone())
    }
}

/// Returns what asks for an account's orders.
pub(crate) fn subscription(token: &Value) -> Value {
    let params = json!({"channel": "executions", "token": token, "snap_orders": true});
    json!({"method": "subscribe", "params": params, "req_id": 7})
}

/// A client's end of a socket.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn say(&mut self, value: &Value) {
        self.0.send(Message::text(value.to_string())).await.unwrap();
    }

    /// Returns the next message, heartbeats too.
    pub(crate) async fn hear(&mut self) -> Value {
        match timeout(SOON, self.0.next()).await.expect("nothing was heard") {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            other => panic!("no message: {other:?}"),
        }
    }

    /// Returns the next news of orders: its number, and the one thing it tells.
    pub(crate) async fn news(&mut self) -> (u64, Value) {
        loop {
            let told = self.hear().await;
            if told["channel"] == "executions" {
                assert_eq!(told["data"].as_array().unwrap().len(), 1, "{told}");
                return (told["sequence"].as_u64().unwrap(), told["data"][0].clone());
            }
        }
    }
}

/// Returns a limit order that waits.
pub(crate) fn limit(side: &str, volume: &str, price: &str, name: &str) -> String {
    format!("type={side}&ordertype=limit&volume={volume}&price={price}&cl_ord_id={name}")
}

/// Returns a market order.
pub(crate) fn market(side: &str, volume: &str, name: &str) -> String {
    format!("type={side}&ordertype=market&volume={volume}&cl_ord_id={name}")
}
