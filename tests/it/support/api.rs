//! One person's view of the HTTP API.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::{wait_for, wait_or_say, wait_until};

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// The body as JSON; null when it is none.
    pub(crate) body: Value,
}

impl Answer {
    /// Returns a text in the body.
    pub(crate) fn str(&self, field: &str) -> &str {
        self.body[field]
            .as_str()
            .unwrap_or_else(|| panic!("no text {field} in {} {}", self.status, self.text))
    }

    /// Returns the body, which must have come with this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Asserts that it is a problem in the agreed form, with this status and code.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status, "{}", self.text);
        for field in ["type", "title", "detail"] {
            assert!(self.body[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {}", self.text);
        }
    }

    /// Returns the field at fault, as a JSON pointer.
    pub(crate) fn pointer(&self) -> Option<&str> {
        self.body["errors"][0]["pointer"].as_str()
    }
}

/// One person's view of the HTTP API.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) base: String,
    pub(crate) token: String,
    pub(crate) webhook: String,
    pub(crate) http: Client,
}

impl Api {
    pub(crate) fn new(base: &str, token: &str, webhook: &str) -> Self {
        let http = Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        Self { base: base.to_owned(), token: token.to_owned(), webhook: webhook.to_owned(), http }
    }

    /// Starts a request to a path, without credentials.
    pub(crate) fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request(Method::POST, path).json(body)).await.unwrap()
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        send(self.request(Method::DELETE, path)).await.unwrap()
    }

    /// Posts a body to the webhook, as JSON.
    pub(crate) async fn signal(&self, body: &Value) -> Answer {
        self.try_signal(body).await.unwrap()
    }

    /// Posts a body to the webhook; an error is a connection that gave no answer.
    pub(crate) async fn try_signal(&self, body: &Value) -> reqwest::Result<Answer> {
        send(self.http.post(&self.webhook).json(body)).await
    }

    /// Posts any bytes to the webhook.
    pub(crate) async fn deliver(&self, media: &str, body: impl Into<reqwest::Body>) -> Answer {
        send(self.http.post(&self.webhook).header(CONTENT_TYPE, media).body(body)).await.unwrap()
    }

    /// Posts a body to the webhook again and again, as a client does that got no answer, until it is accepted.
    pub(crate) async fn insist(&self, body: &Value) -> Answer {
        wait_for("an answer to a webhook", || async {
            let answer = self.try_signal(body).await.ok()?;
            match answer.status {
                200 | 202 => Some(answer),
                429 | 503 => None,
                status => panic!("{status} {}", answer.text),
            }
        })
        .await
    }

    /// Reads what is there, as a client does that is told to come again.
    pub(crate) async fn read(&self, path: &str) -> Value {
        wait_or_say(path, || async {
            let answer = self.get(path).await;
            if answer.status == 503 { Err(format!(": {}", answer.text)) } else { Ok(answer.expect(200)) }
        })
        .await
    }

    /// Returns a list in full, page by page.
    pub(crate) async fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = None;
        loop {
            let join = if path.contains('?') { '&' } else { '?' };
            let from = cursor.map(|cursor: String| format!("&cursor={cursor}")).unwrap_or_default();
            let page = self.read(&format!("{path}{join}limit=100{from}")).await;
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = Some(next.to_owned()),
                None => return items,
            }
        }
    }

    pub(crate) async fn trades(&self) -> Vec<Value> {
        self.all("/api/v1/trades").await
    }

    /// Returns cash, equity and buying power.
    pub(crate) async fn portfolio(&self) -> Value {
        self.read("/api/v1/portfolio").await["portfolio"].clone()
    }

    /// Returns the trade that a signal became.
    pub(crate) async fn trade_of(&self, signal: &str) -> Option<Value> {
        self.trades().await.into_iter().find(|trade| trade["signal_id"] == signal)
    }

    /// Waits until every order has ended.
    pub(crate) async fn all_ended(&self) {
        wait_until("every order to have ended", || async {
            let trades = self.trades().await;
            trades.iter().all(|trade| {
                matches!(trade["status"].as_str(), Some("filled" | "rejected" | "expired" | "cancelled"))
            })
        })
        .await;
    }

    /// Waits until the order of a signal has this status, and returns it.
    pub(crate) async fn settled(&self, signal: &str, status: &str) -> Value {
        wait_or_say(&format!("the order of {signal} to be {status}"), || async {
            match self.trade_of(signal).await {
                Some(trade) if trade["status"] == status => Ok(trade),
                other => Err(format!(", but it is {other:?}")),
            }
        })
        .await
    }

    /// Makes another person, who follows their own webhook.
    pub(crate) async fn new_user(&self, name: &str) -> Self {
        let made = self.post("/api/v1/admin/users", &json!({ "name": name })).await.expect(201);
        let text =
            |field: &str| made[field].as_str().unwrap_or_else(|| panic!("no {field} in {made}")).to_owned();
        Self { token: text("api_token"), webhook: text("webhook_url"), ..self.clone() }
    }

    pub(crate) async fn users(&self, count: usize) -> Vec<Self> {
        let mut users = Vec::with_capacity(count);
        for number in 0..count {
            users.push(self.new_user(&format!("User {number}")).await);
        }
        users
    }
}

/// Sends a request and reads the answer to its end.
pub(crate) async fn send(request: RequestBuilder) -> reqwest::Result<Answer> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let text = answer.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Answer { status, headers, text, body })
}

/// Returns the body of an order that its id tells from every other.
pub(crate) fn order(id: &str, symbol: &str, action: &str, quantity: &str) -> Value {
    json!({ "id": id, "ticker": symbol, "action": action, "quantity": quantity })
}
