//! One person's WebSocket.

use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::DEADLINE;
use super::api::{Api, send};

/// An open WebSocket.
#[derive(Debug)]
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    /// Opens one with a fresh ticket.
    pub(crate) async fn open(api: &Api) -> Self {
        Self::resume(api, None).await
    }

    /// Opens one that continues after message `since`.
    pub(crate) async fn resume(api: &Api, since: Option<u64>) -> Self {
        let ticket = ticket(api).await;
        let since = since.map(|seq| format!("&since={seq}")).unwrap_or_default();
        Self::try_open(&api.base, &format!("ticket={ticket}{since}"), None).await.unwrap()
    }

    /// Opens one with this query; an error is the HTTP status of the refusal.
    pub(crate) async fn try_open(base: &str, query: &str, origin: Option<&str>) -> Result<Self, u16> {
        let url = format!("{}/ws?{query}", base.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", HeaderValue::from_str(origin).unwrap());
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Returns the next envelope, or the code with which the server closed.
    pub(crate) async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let message = tokio::time::timeout(DEADLINE, self.0.next()).await.expect("a message in time");
            match message {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(frame))) => return Err(frame.map_or(1005, |frame| frame.code.into())),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("not a text: {other:?}"),
                Some(Err(_)) | None => return Err(1006),
            }
        }
    }

    /// Returns the next envelope of a type; others are passed over.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Value {
        let search = async {
            loop {
                let envelope = self
                    .next()
                    .await
                    .unwrap_or_else(|code| panic!("closed with {code} before a {kind} came"));
                if envelope["type"] == kind {
                    return envelope;
                }
            }
        };
        // Prices and totals go on coming, so each single message being in time is not enough.
        tokio::time::timeout(DEADLINE, search).await.unwrap_or_else(|_| panic!("no {kind} came in time"))
    }

    /// Returns the envelopes up to and with the first for which `last` holds.
    pub(crate) async fn until(&mut self, last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut seen: Vec<Value> = Vec::new();
        loop {
            let envelope =
                self.next().await.unwrap_or_else(|code| panic!("closed with {code} after {seen:?}"));
            let done = last(&envelope);
            seen.push(envelope);
            if done {
                return seen;
            }
        }
    }

    pub(crate) async fn say(&mut self, kind: &str, data: Value) {
        let text = json!({ "type": kind, "data": data }).to_string();
        self.0.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn close(mut self) {
        self.0.close(None).await.ok();
    }
}

/// Returns a fresh ticket.
pub(crate) async fn ticket(api: &Api) -> String {
    let answer = send(api.request(Method::POST, "/api/v1/ws-ticket")).await.unwrap();
    assert!((200..300).contains(&answer.status), "{}", answer.text);
    answer.str("ticket").to_owned()
}

/// Tells the types whose `seq` counts up by one.
pub(crate) fn is_numbered(envelope: &Value) -> bool {
    let kind = envelope["type"].as_str().unwrap();
    ["trade.", "portfolio.position.", "signal.", "risk."].iter().any(|start| kind.starts_with(start))
        || kind == "notification"
}
