use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio_tungstenite::accept_async;
use uuid::Uuid;

use trade_actors::domain::ids::UserId;
use trade_actors::domain::order::Mode;
use trade_actors::ports::broker::Broker;
use trade_actors::ports::clock::SystemClock;

use super::*;
use crate::brokers::alpaca::Alpaca;
use crate::brokers::credentials::BrokerSecret;
use crate::brokers::{House, Secrets, SecretsError};
use crate::config::AlpacaConfig;

#[derive(Debug)]
struct Drawer(Mutex<BTreeMap<ConnectionId, Auth>>);

impl Secrets for Drawer {
    fn of(
        &self,
        _: UserId,
        connection: ConnectionId,
        broker: &str,
    ) -> Result<Option<BrokerSecret>, SecretsError> {
        let keys = self.0.lock().unwrap().get(&connection).cloned();
        Ok(keys.map(|auth| BrokerSecret { broker: broker.to_owned(), mode: Mode::Paper, auth }))
    }
}

/// What the stream notes once the other end has gone away.
const GONE: &str = "gone";

/// A stream that says `lines` to everybody who has greeted it, and notes what it was told.
async fn stream(
    status: &'static str,
    lines: &'static [&'static str],
) -> (String, UnboundedReceiver<String>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/stream", listener.local_addr().unwrap());
    let (heard, hears) = unbounded_channel();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let mut socket = accept_async(tcp).await.unwrap();
            let answers = [
                json!({"stream": "authorization", "data": {"status": status, "action": "authenticate"}}),
                json!({"stream": "listening", "data": {"streams": ["trade_updates"]}}),
            ];
            for answer in answers {
                let Some(Ok(said)) = socket.next().await else { break };
                heard.send(said.to_text().unwrap().to_owned()).unwrap();
                socket.send(Message::binary(answer.to_string())).await.unwrap();
            }
            for line in lines {
                if socket.send(Message::text(*line)).await.is_err() {
                    break;
                }
            }
            // Held open until the other end goes away.
            while let Some(Ok(_)) = socket.next().await {}
            heard.send(GONE.to_owned()).unwrap_or_default();
        }
    });
    (url, hears, tasks)
}

fn account(url: String) -> (Alpaca, Arc<dyn Broker>, UnboundedReceiver<Told>) {
    let connection = ConnectionId::new(Uuid::from_u128(2));
    let secret = |text: &str| SecretString::from(text.to_owned());
    let keys = Auth::ApiKey { key_id: secret("PK"), secret: secret("hunter2") };
    let drawer = Arc::new(Drawer(Mutex::new(BTreeMap::from([(connection, keys)]))));
    let config = AlpacaConfig { paper_stream_url: url, ..AlpacaConfig::default() };
    let alpaca = Alpaca::new(&config, drawer, Arc::new(SystemClock::new())).unwrap();
    let broker = alpaca.account(UserId::new(Uuid::from_u128(1)), connection);
    let (tells, told) = unbounded_channel();
    broker.stream(Box::new(move |news| tells.send(news).unwrap_or_default()));
    (alpaca, broker, told)
}

#[tokio::test]
async fn it_says_who_it_is_and_what_it_wants() {
    let (url, mut hears, _tasks) = stream("authorized", &[]).await;
    let (_alpaca, _broker, mut told) = account(url);
    assert!(matches!(told.recv().await, Some(Told::Resumed)));
    let said: serde_json::Value = serde_json::from_str(&hears.recv().await.unwrap()).unwrap();
    assert_eq!(said, json!({"action": "auth", "key": "PK", "secret": "hunter2"}));
    let said: serde_json::Value = serde_json::from_str(&hears.recv().await.unwrap()).unwrap();
    assert_eq!(said, json!({"action": "listen", "data": {"streams": ["trade_updates"]}}));
}

#[tokio::test]
async fn news_that_cannot_be_read_have_to_be_asked_for() {
    const LINES: &[&str] = &[
        "nonsense",
        r#"{"stream":"trade_updates","data":{"event":"fill"}}"#,
        // Somebody else's order, and another stream: no news.
        r#"{"stream":"trade_updates","data":{"event":"new","order":{"id":"1","client_order_id":"x","status":"new"}}}"#,
        r#"{"stream":"listening","data":{"streams":[]}}"#,
        // A leg of a pair that is not known yet.
        r#"{"stream":"trade_updates","data":{"event":"fill","order":{"id":"2","client_order_id":"y",
            "order_class":"oco","status":"filled","qty":"1","filled_qty":"1"}}}"#,
    ];
    let (url, _hears, _tasks) = stream("authorized", LINES).await;
    let (_alpaca, _broker, mut told) = account(url);
    for _ in 0..4 {
        assert!(matches!(told.recv().await, Some(Told::Resumed)));
    }
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn a_stream_that_is_refused_tells_nothing() {
    let (url, mut hears, _tasks) = stream("unauthorized", &[]).await;
    let (_alpaca, _broker, mut told) = account(url);
    hears.recv().await.unwrap();
    // Whatever the answer called for was done before.
    assert_eq!(hears.recv().await.unwrap(), GONE);
    assert!(told.try_recv().is_err());
}

#[test]
fn a_refused_stream_is_left_alone_for_longer_than_a_broken_one() {
    let broken = Ended::Broken("closed".to_owned());
    assert_eq!((broken.pause(0), broken.pause(2)), (Duration::from_secs(1), Duration::from_secs(4)));
    assert_eq!(Ended::Unauthorized.pause(0), Duration::from_secs(30));
}
