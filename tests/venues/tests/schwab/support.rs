//! A running Schwab with one account, an application that is logged in to it, and a client of both.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
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
use venues::faults::{Action, Rule};
use venues::feed::Price;
use venues::schwab::Schwab;
use venues::world::{Options, World};

/// Long enough for anything here; short enough to fail a test.
pub(crate) const SOON: Duration = Duration::from_secs(5);
/// Where the browser is sent back to.
pub(crate) const BACK: &str = "https://127.0.0.1";

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

    /// Returns the id at the end of the place where a new order is.
    pub(crate) fn id(&self) -> i64 {
        assert_eq!((self.status, self.text.as_str()), (201, ""));
        self.header("location").unwrap().rsplit_once('/').unwrap().1.parse().unwrap()
    }

    /// Checks that it is the trader's refusal of this status, with words like these among its errors.
    #[track_caller]
    pub(crate) fn refuses(&self, status: u16, words: &str) {
        let body = self.json();
        assert_eq!(self.status, status, "{body}");
        assert!(body["message"].is_string() && body["errors"].is_array(), "{body}");
        assert!(self.text.contains(words), "{body} does not say {words:?}");
    }
}

/// A venue with the account `K`, an application logged in to it, and a price of `AAPL`: 190.50 to 190.52.
pub(crate) struct Venue {
    pub(crate) schwab: Schwab,
    pub(crate) url: String,
    pub(crate) hash: String,
    pub(crate) access: String,
    pub(crate) refresh: String,
    http: reqwest::Client,
}

impl Venue {
    pub(crate) async fn start() -> Self {
        Self::with(Options { per_minute: None, ..Schwab::options() }).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let schwab = Schwab::start(options).await.unwrap();
        println!("seed {}", schwab.world().seed());
        schwab.world().add_account(AccountSpec::new("K", "unused", d("100000")));
        schwab.world().add_oauth_client("app", "hush");
        schwab.world().set_price(&Price::spread("AAPL", d("190.50"), d("190.52")));
        let (url, hash) = (schwab.urls().url, schwab.hash_of("K"));
        let http = reqwest::Client::builder()
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        let (access, refresh) = (String::new(), String::new());
        let mut venue = Self { schwab, url, hash, access, refresh, http };
        (venue.access, venue.refresh) = venue.log_in("K").await;
        venue
    }

    pub(crate) fn world(&self) -> &World {
        self.schwab.world()
    }

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

    /// Sends a request with an access token.
    pub(crate) async fn with_token(&self, token: &str, method: Method, path: &str) -> Reply {
        let bearer = format!("Bearer {token}");
        self.send(method, path, &[("authorization", bearer.as_str())], None).await.unwrap()
    }

    async fn as_owner(&self, method: Method, path: &str, body: Option<&Value>) -> Reply {
        let bearer = format!("Bearer {}", self.access);
        let body = body.map(ToString::to_string);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.send(method, path, &headers, body.as_deref()).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.as_owner(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.as_owner(Method::POST, path, Some(body)).await
    }

    fn orders(&self) -> String {
        format!("/trader/v1/accounts/{}/orders", self.hash)
    }

    /// Asks for an order.
    pub(crate) async fn ask(&self, order: &Value) -> Reply {
        self.post(&self.orders(), order).await
    }

    /// Asks for an order that is taken. Returns its id.
    pub(crate) async fn place(&self, order: &Value) -> i64 {
        let reply = self.ask(order).await;
        assert_eq!(reply.status, 201, "{}", reply.text);
        reply.id()
    }

    /// Returns an order.
    pub(crate) async fn order(&self, id: i64) -> Value {
        let reply = self.get(&format!("{}/{id}", self.orders())).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()
    }

    /// Waits until an order has this status. Returns it.
    pub(crate) async fn until(&self, id: i64, status: &str) -> Value {
        let start = Instant::now();
        loop {
            let order = self.order(id).await;
            if order["status"] == status {
                return order;
            }
            assert!(start.elapsed() < SOON, "{order}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn replace(&self, id: i64, order: &Value) -> Reply {
        self.as_owner(Method::PUT, &format!("{}/{id}", self.orders()), Some(order)).await
    }

    pub(crate) async fn cancel(&self, id: i64) -> Reply {
        self.as_owner(Method::DELETE, &format!("{}/{id}", self.orders()), None).await
    }

    /// Returns the account's orders of the last hour, the newest first.
    pub(crate) async fn list(&self, more: &str) -> Vec<Value> {
        let now = self.world().look(|state| state.clock.now());
        let time = |minutes| {
            (now + chrono::TimeDelta::minutes(minutes)).format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
        };
        let query = format!("fromEnteredTime={}&toEnteredTime={}{more}", time(-60), time(1));
        let reply = self.get(&format!("{}?{query}", self.orders())).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json().as_array().unwrap().clone()
    }

    /// Logs in as the owner of accounts. Returns the access token and the refresh token.
    pub(crate) async fn log_in(&self, accounts: &str) -> (String, String) {
        let code = self.code(accounts).await;
        let form = format!("grant_type=authorization_code&code={code}&redirect_uri={BACK}");
        let reply = self.token(&form).await;
        assert_eq!(reply.status, 200, "{}", reply.text);
        tokens(&reply)
    }

    /// Returns a code as it stands in the address the browser is sent to, still encoded.
    pub(crate) async fn code(&self, accounts: &str) -> String {
        let path = format!(
            "/v1/oauth/authorize?response_type=code&client_id=app&redirect_uri={BACK}&account={accounts}"
        );
        let reply = self.send(Method::GET, &path, &[], None).await.unwrap();
        assert_eq!(reply.status, 302, "{}", reply.text);
        let back = reply.header("location").unwrap().strip_prefix("https://127.0.0.1?code=").unwrap();
        back.split_once("&session=").unwrap().0.to_owned()
    }

    /// Asks for tokens as the application.
    pub(crate) async fn token(&self, form: &str) -> Reply {
        let basic = format!("Basic {}", BASE64_STANDARD.encode("app:hush"));
        self.token_as(&basic, form).await
    }

    pub(crate) async fn token_as(&self, authorization: &str, form: &str) -> Reply {
        let headers =
            [("authorization", authorization), ("content-type", "application/x-www-form-urlencoded")];
        self.send(Method::POST, "/v1/oauth/token", &headers, Some(form)).await.unwrap()
    }

    /// Makes the next order go wrong.
    pub(crate) fn fault(&self, action: Action) {
        self.world().add_fault(Rule::on("POST /trader/v1/accounts/*/orders", action).times(1));
    }

    /// Opens the streamer, not logged in.
    pub(crate) async fn open(&self) -> Stream {
        let url = self.schwab.urls().stream_url;
        let socket = timeout(SOON, connect_async(url.as_str())).await.unwrap().unwrap().0;
        let info = self.get("/trader/v1/userPreference").await.json()["streamerInfo"][0].clone();
        assert_eq!(info["streamerSocketUrl"], url);
        Stream { socket, info, requests: 0 }
    }

    /// Opens the streamer and logs in.
    pub(crate) async fn stream(&self) -> Stream {
        let mut stream = self.open().await;
        let parameters = stream.credentials(&self.access);
        let response = stream.request("ADMIN", "LOGIN", &parameters).await;
        assert_eq!(response["content"]["code"], 0, "{response}");
        stream
    }
}

pub(crate) fn tokens(reply: &Reply) -> (String, String) {
    let body = reply.json();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}

/// A client's end of the streamer.
pub(crate) struct Stream {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    info: Value,
    requests: u32,
}

impl Stream {
    pub(crate) fn credentials(&self, token: &str) -> Value {
        json!({
            "Authorization": token,
            "SchwabClientChannel": self.info["schwabClientChannel"],
            "SchwabClientFunctionId": self.info["schwabClientFunctionId"],
        })
    }

    /// Returns a command in the streamer's envelope.
    pub(crate) fn command(&mut self, service: &str, command: &str, parameters: &Value) -> Value {
        self.requests += 1;
        json!({
            "service": service,
            "command": command,
            "requestid": self.requests.to_string(),
            "SchwabClientCustomerId": self.info["schwabClientCustomerId"],
            "SchwabClientCorrelId": self.info["schwabClientCorrelId"],
            "parameters": parameters,
        })
    }

    pub(crate) async fn say(&mut self, value: &Value) {
        self.socket.send(Message::text(value.to_string())).await.unwrap();
    }

    /// Sends a command. Returns the response to it, which is the next thing said that is no heartbeat.
    pub(crate) async fn request(&mut self, service: &str, command: &str, parameters: &Value) -> Value {
        let command = self.command(service, command, parameters);
        self.say(&json!({"requests": [command]})).await;
        let heard = self.hear().await;
        let response = heard["response"][0].clone();
        for name in ["service", "command", "requestid", "SchwabClientCorrelId"] {
            assert_eq!(response[name], command[name], "{heard}");
        }
        assert!(response["timestamp"].is_i64(), "{heard}");
        response
    }

    /// Returns the code a command is answered with.
    pub(crate) async fn code(&mut self, service: &str, command: &str, parameters: &Value) -> i64 {
        self.request(service, command, parameters).await["content"]["code"].as_i64().unwrap()
    }

    /// Subscribes to account activity, and waits until it is told.
    pub(crate) async fn listen(&mut self) {
        let parameters = json!({"keys": "mine", "fields": "0,1,2,3"});
        assert_eq!(self.code("ACCT_ACTIVITY", "SUBS", &parameters).await, 0);
        let first = self.activity().await;
        assert_eq!(
            (first.len(), &first[0]["2"], &first[0]["key"]),
            (1, &json!("SUBSCRIBED"), &json!("mine"))
        );
    }

    /// Returns the next frame as it came; an error when the stream is over.
    pub(crate) async fn frame(&mut self) -> Option<Result<Message, String>> {
        let next = timeout(SOON, self.socket.next()).await.expect("nothing was heard");
        next.map(|frame| frame.map_err(|error| error.to_string()))
    }

    /// Returns the next thing said that is no heartbeat.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            match self.frame().await {
                Some(Ok(Message::Text(text))) => {
                    let heard: Value = serde_json::from_str(&text).unwrap();
                    if heard["notify"][0]["heartbeat"].is_null() {
                        return heard;
                    }
                }
                other => panic!("no message: {other:?}"),
            }
        }
    }

    /// Returns what is told next of a service.
    pub(crate) async fn data(&mut self, service: &str) -> Vec<Value> {
        let heard = self.hear().await;
        let data = &heard["data"][0];
        assert_eq!((&data["service"], &data["command"]), (&json!(service), &json!("SUBS")), "{heard}");
        data["content"].as_array().unwrap().clone()
    }

    pub(crate) async fn activity(&mut self) -> Vec<Value> {
        self.data("ACCT_ACTIVITY").await
    }

    /// Returns the names of what happened next.
    pub(crate) async fn steps(&mut self) -> Vec<String> {
        self.activity().await.iter().map(|step| step["2"].as_str().unwrap().to_owned()).collect()
    }

    /// Checks that nothing comes for a while.
    pub(crate) async fn is_silent(&mut self) {
        let heard = timeout(Duration::from_millis(150), self.hear()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    /// Waits until the venue has closed it.
    pub(crate) async fn is_closed(&mut self) {
        while let Some(Ok(frame)) = self.frame().await {
            assert!(frame.is_close(), "{frame:?}");
        }
    }
}

/// Returns a market order for a day.
pub(crate) fn market(instruction: &str, quantity: u32) -> Value {
    json!({
        "session": "NORMAL", "duration": "DAY", "orderType": "MARKET", "orderStrategyType": "SINGLE",
        "orderLegCollection": [{
            "instruction": instruction, "quantity": quantity,
            "instrument": {"symbol": "AAPL", "assetType": "EQUITY"},
        }],
    })
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

/// Returns a limit order for a day.
pub(crate) fn limit(instruction: &str, quantity: u32, price: f64) -> Value {
    with(market(instruction, quantity), json!({"orderType": "LIMIT", "price": price}))
}

/// Returns a stop order for a day.
pub(crate) fn stop(instruction: &str, quantity: u32, price: f64) -> Value {
    with(market(instruction, quantity), json!({"orderType": "STOP", "stopPrice": price}))
}

/// Returns two orders of which one ends the other.
pub(crate) fn oco(one: Value, other: Value) -> Value {
    json!({"orderStrategyType": "OCO", "childOrderStrategies": [one, other]})
}

/// Returns an order that brings another.
pub(crate) fn trigger(entry: Value, child: Value) -> Value {
    with(entry, json!({"orderStrategyType": "TRIGGER", "childOrderStrategies": [child]}))
}
