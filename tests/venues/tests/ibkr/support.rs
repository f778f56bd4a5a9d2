//! Running gateways of two accounts, and a client of them.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use venues::account::AccountSpec;
use venues::faults::{Action, Rule};
use venues::feed::Price;
use venues::ibkr::Ibkr;
use venues::world::{Options, World};

/// Long enough for anything here; short enough to fail a test.
pub(crate) const SOON: Duration = Duration::from_secs(5);

/// AAPL's number.
pub(crate) const AAPL: i64 = 265_598;

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
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    /// Returns the body of an answer that says yes.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        let body = self.json();
        let refused = body.get("error").is_some_and(|error| !error.is_null());
        assert!(self.status == 200 && !refused, "{} {body}", self.status);
        body
    }

    /// Checks that it is a refusal of this status, in words like these.
    #[track_caller]
    pub(crate) fn refuses(&self, status: u16, words: &str) {
        let body = self.json();
        let error = body["error"].as_str().unwrap_or_else(|| panic!("no refusal: {body}"));
        assert_eq!(self.status, status, "{body}");
        assert!(error.contains(words), "{error:?} does not say {words:?}");
    }

    /// Returns the question it asks: its number and its kind.
    #[track_caller]
    pub(crate) fn question(&self) -> (String, String) {
        let body = self.ok();
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no question: {body}")).to_owned();
        assert!(body[0]["message"][0].is_string(), "{body}");
        (text(&body[0]["id"]), text(&body[0]["messageIds"][0]))
    }
}

/// Gateways of `DU1` and `DU2` without pacing, with a price of `AAPL`: 190.50 to 190.52.
pub(crate) struct Venue {
    pub(crate) ibkr: Ibkr,
    pub(crate) url: String,
    http: reqwest::Client,
}

impl Venue {
    /// Starts them, and asks for the accounts of the first.
    pub(crate) async fn start() -> Self {
        let venue = Self::unasked().await;
        venue.prime().await;
        venue
    }

    /// Starts them.
    pub(crate) async fn unasked() -> Self {
        let ibkr = Ibkr::start(Options::default()).await.unwrap();
        println!("seed {}", ibkr.world().seed());
        for name in ["DU1", "DU2"] {
            ibkr.world().add_account(AccountSpec::new(name, "", d("100000")));
        }
        ibkr.world()
            .set_price(&Price { last: Some(d("190.51")), ..Price::spread("AAPL", d("190.50"), d("190.52")) });
        ibkr.manage(|gateways, _| gateways.policy.pacing.enabled = false);
        let url = ibkr.urls().url;
        // No connection is kept: what one request does to its own touches no other.
        let http = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .no_proxy()
            .user_agent("test")
            .build()
            .unwrap();
        Self { ibkr, url, http }
    }

    /// Asks for what has to be asked for first.
    pub(crate) async fn prime(&self) {
        self.get("/iserver/accounts").await.ok();
        self.get("/portfolio/accounts").await.ok();
    }

    pub(crate) fn world(&self) -> &World {
        self.ibkr.world()
    }

    /// Sends a request to some URL.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        body: Option<&str>,
    ) -> Result<Reply, reqwest::Error> {
        let mut request = self.http.request(method, url).timeout(SOON);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        let response = request.send().await?;
        Ok(Reply { status: response.status().as_u16(), text: response.text().await? })
    }

    async fn at(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let body = body.map(ToString::to_string);
        self.send(method, &format!("{}{path}", self.url), body.as_deref()).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.at(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.at(Method::POST, path, Some(body)).await
    }

    /// Posts without a body.
    pub(crate) async fn poke(&self, path: &str) -> Reply {
        self.at(Method::POST, path, None).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.at(Method::DELETE, path, None).await
    }

    /// Asks the administration for something.
    pub(crate) async fn admin(&self, method: Method, path: &str, body: &Value) -> Reply {
        let url = format!("{}{path}", self.ibkr.urls().admin_url);
        self.send(method, &url, Some(&body.to_string())).await.unwrap()
    }

    /// Submits orders.
    pub(crate) async fn submit(&self, orders: &[Value]) -> Reply {
        self.post("/iserver/account/DU1/orders", &json!({"orders": orders})).await
    }

    /// Places an order that raises no question. Returns its id.
    #[track_caller]
    pub(crate) fn place<'a>(&'a self, order: &'a Value) -> impl Future<Output = String> + 'a {
        let at = std::panic::Location::caller();
        async move {
            let reply = self.submit(std::slice::from_ref(order)).await.json();
            let id = reply[0]["order_id"].as_str();
            id.unwrap_or_else(|| panic!("not placed at {at}: {reply}")).to_owned()
        }
    }

    pub(crate) async fn reply(&self, id: &str, confirmed: bool) -> Reply {
        self.post(&format!("/iserver/reply/{id}"), &json!({"confirmed": confirmed})).await
    }

    pub(crate) async fn state(&self, id: &str) -> Value {
        self.get(&format!("/iserver/account/order/status/{id}")).await.ok()
    }

    /// Makes the next submission go wrong.
    pub(crate) fn fault(&self, action: Action) {
        self.world().add_fault(Rule::on("POST /v1/api/iserver/account/*/orders", action).times(1));
    }

    /// Returns whether the venue has an order of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.world().order("DU1", name).is_some()
    }

    /// Returns the session's name.
    pub(crate) async fn session(&self) -> String {
        self.poke("/tickle").await.ok()["session"].as_str().unwrap().to_owned()
    }

    /// Opens the websocket with a cookie, or without one.
    pub(crate) async fn open(&self, cookie: Option<&str>) -> Stream {
        let mut request = self.ibkr.urls().stream_url.into_client_request().unwrap();
        if let Some(cookie) = cookie {
            request.headers_mut().insert("cookie", cookie.parse().unwrap());
        }
        Stream(timeout(SOON, connect_async(request)).await.unwrap().unwrap().0)
    }

    /// Opens the websocket as it should be, and hears the greeting.
    pub(crate) async fn listen(&self) -> Stream {
        let cookie = format!("api={}", json!({"session": self.session().await}));
        let mut stream = self.open(Some(&cookie)).await;
        assert_eq!(stream.hear().await["topic"], "system");
        assert_eq!(stream.hear().await["topic"], "act");
        assert_eq!(stream.hear().await["args"]["authenticated"], true);
        stream
    }
}

/// A client's end of the websocket.
pub(crate) struct Stream(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Stream {
    pub(crate) async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// Returns the next frame; an error when the stream is over.
    pub(crate) async fn frame(&mut self) -> Option<Result<Message, String>> {
        let next = timeout(SOON, self.0.next()).await.expect("nothing was heard");
        next.map(|frame| frame.map_err(|error| error.to_string()))
    }

    pub(crate) async fn hear(&mut self) -> Value {
        match self.frame().await {
            Some(Ok(Message::Binary(bytes))) => serde_json::from_slice(&bytes).unwrap(),
            other => panic!("no message: {other:?}"),
        }
    }

    /// Returns what the next frame of a topic says.
    pub(crate) async fn args(&mut self, topic: &str) -> Value {
        let frame = self.hear().await;
        assert_eq!(frame["topic"], topic, "{frame}");
        frame["args"].clone()
    }

    /// Checks that nothing comes for a while.
    pub(crate) async fn is_silent(&mut self) {
        let heard = timeout(Duration::from_millis(200), self.0.next()).await;
        assert!(heard.is_err(), "{heard:?}");
    }
}

/// Returns a market order for a day.
pub(crate) fn market(side: &str, qty: u32, name: &str) -> Value {
    json!({"conid": AAPL, "orderType": "MKT", "side": side, "quantity": qty, "tif": "DAY", "cOID": name})
}

/// Returns a limit order for a day.
pub(crate) fn limit(side: &str, qty: u32, price: f64, name: &str) -> Value {
    with(market(side, qty, name), json!({"orderType": "LMT", "price": price}))
}

/// Returns an order with some fields changed; null takes a field away.
pub(crate) fn with(mut order: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("no fields") };
    for (name, value) in changes {
        if value.is_null() {
            order.as_object_mut().unwrap().remove(&name);
        } else {
            order[name] = value;
        }
    }
    order
}

/// Returns an entry at 190 with an exit on each side.
pub(crate) fn bracket(name: &str) -> Vec<Value> {
    let exit = |changes: Value| {
        let base = with(market("SELL", 3, name), json!({"cOID": null, "parentId": name, "tif": "GTC"}));
        with(base, changes)
    };
    vec![
        limit("BUY", 3, 190.0, name),
        exit(json!({"orderType": "LMT", "price": 195.0})),
        exit(json!({"orderType": "STP", "price": 185.0})),
    ]
}
