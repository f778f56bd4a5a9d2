//! The edge from outside, over a real connection, before there is an engine.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::{Client, Method, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::guard::Access;
use super::router::{ROUTES, Verb};
use super::*;
use crate::auth::Scope;
use crate::auth::fakes::{fixture, user};

struct Served {
    url: String,
    address: SocketAddr,
    web: Web,
    stop: watch::Sender<bool>,
    ended: JoinHandle<()>,
    client: Client,
}

async fn serving(config: WebConfig) -> Served {
    let it = fixture();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let web = Web {
        engine: EngineSlot::default(),
        credentials: Credentials::new(it.vault, it.keys.clone()),
        prober: Arc::new(crate::brokers::probe::fakes::Unasked),
        consents: Arc::new(
            crate::brokers::consent::Consents::open(&crate::config::BrokersConfig::default()).unwrap(),
        ),
        auth: Arc::new(it.auth),
        keys: it.keys,
        config: Arc::new(config),
        new_user_limits: trade_actors::domain::risk::Limits::default(),
        started: Instant::now(),
    };
    let (stop, stopped) = watch::channel(false);
    let ended = tokio::spawn(serve(web.clone(), listener, stopped));
    let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    Served { url: format!("http://{address}"), address, web, stop, ended, client }
}

impl Served {
    async fn ask(&self, method: Method, path: &str) -> Response {
        self.client.request(method, format!("{}{path}", self.url)).send().await.unwrap()
    }

    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }
}

fn path(pattern: &str) -> String {
    let fill = |part: &str| if part.starts_with('{') { "x".to_owned() } else { part.to_owned() };
    pattern.split('/').map(fill).collect::<Vec<_>>().join("/")
}

async fn code(response: Response) -> String {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: serde_json::Value = response.json().await.unwrap();
    problem["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_not_public_answers_401_to_a_stranger() {
    let served = serving(WebConfig::default()).await;
    for route in ROUTES.iter().filter(|route| route.access != Access::Public) {
        let method = match route.method {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
            Verb::Delete => Method::DELETE,
        };
        let answer = served.ask(method, &path(route.pattern)).await;
        assert_eq!(answer.status(), 401, "{}", route.pattern);
        assert_eq!(code(answer).await, "UNAUTHORIZED");
    }
}

#[tokio::test]
async fn until_the_engine_runs_its_routes_say_when_to_come_back() {
    let served = serving(WebConfig::default()).await;
    let token = served.web.auth.create_token(user(1), "t", &Scope::ALL).unwrap().secret;
    let hook = served.ask(Method::POST, "/webhooks/tradingview/x").await;
    assert_eq!((hook.status().as_u16(), hook.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    assert_eq!(code(hook).await, "STARTING");
    let trades =
        served.client.get(format!("{}/api/v1/trades", served.url)).bearer_auth(&token).send().await.unwrap();
    assert_eq!((trades.status().as_u16(), code(trades).await.as_str()), (503, "STARTING"));
    assert_eq!(served.ask(Method::GET, "/ready").await.status(), 503);
    let health: serde_json::Value = served.ask(Method::GET, "/health").await.json().await.unwrap();
    assert_eq!(health["status"], "starting");
}

#[tokio::test]
async fn every_answer_carries_the_security_headers_and_its_id() {
    let served = serving(WebConfig::default()).await;
    for (path, status) in
        [("/health", 200), ("/nothing", 404), ("/assets/app.css", 200), ("/", 303), ("/ws", 426)]
    {
        let answer = served.ask(Method::GET, path).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["x-frame-options"], "DENY", "{path}");
        assert!(answer.headers().contains_key("x-request-id"), "{path}");
        assert!(
            answer.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'")
        );
    }
    let answer = served.ask(Method::GET, "/nothing").await;
    let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let problem: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(problem["request_id"], id);
}

#[tokio::test]
async fn a_wrong_method_and_a_long_body_are_problems_too() {
    let served = serving(WebConfig::default()).await;
    for (method, path, allow) in [
        (Method::GET, "/webhooks/tradingview/x", "POST"),
        (Method::DELETE, "/api/v1/trades", "GET, POST"),
        (Method::POST, "/ws", "GET"),
    ] {
        let answer = served.ask(method, path).await;
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["allow"].to_str().unwrap()),
            (405, allow),
            "{path}"
        );
        assert_eq!(code(answer).await, "METHOD_NOT_ALLOWED");
    }
    let token = served.web.auth.create_token(user(1), "t", &Scope::ALL).unwrap().secret;
    let trades = || served.client.post(format!("{}/api/v1/tokens", served.url)).bearer_auth(&token);
    let long = trades().body(vec![b' '; 70_000]).send().await.unwrap();
    assert_eq!((long.status().as_u16(), code(long).await.as_str()), (413, "BODY_TOO_LARGE"));
    let media = trades().body("{}").send().await.unwrap();
    assert_eq!((media.status().as_u16(), code(media).await.as_str()), (415, "MEDIA_TYPE_UNSUPPORTED"));
    let packed = trades().header("content-encoding", "gzip").body("x").send().await.unwrap();
    assert_eq!((packed.status().as_u16(), code(packed).await.as_str()), (415, "ENCODING_UNSUPPORTED"));
}

#[tokio::test]
async fn a_ticket_is_single_use_and_short_heads_only_are_read() {
    let served = serving(WebConfig::default()).await;
    let token = served.web.auth.create_token(user(1), "t", &[Scope::Read]).unwrap().secret;
    let ticket = served.client.post(format!("{}/api/v1/ws-ticket", served.url)).bearer_auth(&token);
    let ticket: serde_json::Value = ticket.send().await.unwrap().json().await.unwrap();
    let ticket = ticket["ticket"].as_str().unwrap();
    assert_eq!(served.web.auth.redeem(ticket).unwrap().user, user(1));
    assert_eq!(served.web.auth.redeem(ticket), None);
    let head = format!("GET /health HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "a".repeat(20_000));
    assert!(served.raw(head.as_bytes()).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn an_asset_is_sent_once() {
    let served = serving(WebConfig::default()).await;
    let first = served.ask(Method::GET, "/assets/main.js").await;
    assert_eq!(first.headers()["content-type"], "text/javascript; charset=utf-8");
    let tag = first.headers()["etag"].clone();
    let again = served.client.get(format!("{}/assets/main.js", served.url)).header("if-none-match", tag);
    assert_eq!(again.send().await.unwrap().status(), 304);
    assert_eq!(served.ask(Method::GET, "/assets/index.html").await.status(), 404);
}

#[tokio::test]
async fn over_the_cap_a_connection_is_told_to_come_back() {
    let served = serving(WebConfig { max_connections: 1, ..WebConfig::default() }).await;
    let mut first = TcpStream::connect(served.address).await.unwrap();
    first.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut some = [0; 64];
    assert!(first.read(&mut some).await.unwrap() > 0);
    let answer = served.raw(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())));
    assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
}

#[tokio::test]
async fn stopping_ends_the_loop_and_frees_the_address() {
    let served = serving(WebConfig::default()).await;
    assert_eq!(served.ask(Method::GET, "/health").await.status(), 200);
    served.stop.send(true).unwrap();
    served.ended.await.unwrap();
    assert!(TcpListener::bind(served.address).await.is_ok());
}
