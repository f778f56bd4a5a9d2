//! One account's way to Alpaca: its hosts, its credentials, and how often it may ask.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::time::sleep;
use zeroize::Zeroizing;

use trade_actors::domain::report::{Refusal, RefusalCode};
use trade_actors::ports::broker::BrokerError;
use trade_actors::ports::clock::Clock;

use super::refusal::{Head, Verdict, auth_failed, judge};
use crate::brokers::bucket::{Allowance, Bucket, Urgency};
use crate::brokers::credentials::Auth;
use crate::brokers::http::{Client, Lost, Request, hidden};
use crate::config::AlpacaConfig;

/// Longest a request waits for its turn; past it, it was not sent.
const TURN: Duration = Duration::from_secs(5);
/// When to try again after no connection was made.
const RETRY: Duration = Duration::from_secs(1);
/// Largest reply.
const REPLY_MAX: usize = 1 << 20;
/// Largest list of assets.
const ASSETS_MAX: usize = 16 << 20;

const KEY_ID: HeaderName = HeaderName::from_static("apca-api-key-id");
const SECRET: HeaderName = HeaderName::from_static("apca-api-secret-key");

/// Alpaca's hosts for one mode.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// Trading by REST.
    pub trading: Url,
    /// News of orders.
    pub updates: Url,
    /// Prices by REST.
    pub data: Url,
    /// Prices as they change.
    pub data_stream: Url,
    /// Whose prices: `iex` or `sip`.
    pub feed: String,
}

/// Which of Alpaca's two REST services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Accounts, orders, assets, hours.
    Trading,
    /// Prices.
    Data,
}

/// One account's way to Alpaca.
#[derive(Debug)]
pub struct Session {
    client: Client,
    hosts: Hosts,
    credentials: Auth,
    clock: Arc<dyn Clock>,
    trading: Mutex<Bucket>,
    data: Mutex<Bucket>,
}

impl Session {
    /// Returns a session; nothing is sent.
    #[must_use]
    pub fn new(
        client: Client,
        config: &AlpacaConfig,
        hosts: Hosts,
        credentials: Auth,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let bucket =
            || Mutex::new(Bucket::new(Allowance::per_minute(config.requests_per_minute), clock.stamp()));
        let (trading, data) = (bucket(), bucket());
        Self { client, hosts, credentials, clock, trading, data }
    }

    /// Returns the hosts.
    #[must_use]
    pub const fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// Returns the client.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the credentials.
    #[must_use]
    pub const fn credentials(&self) -> &Auth {
        &self.credentials
    }

    /// Returns the clock.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    /// Asks for something; `None`: there is no such thing.
    ///
    /// # Errors
    /// See [`BrokerError`].
    pub async fn get<T: DeserializeOwned>(
        &self,
        service: Service,
        path: &str,
        query: &[(&str, &str)],
        urgency: Urgency,
    ) -> Result<Option<T>, BrokerError> {
        let limit = if path == "/v2/assets" { ASSETS_MAX } else { REPLY_MAX };
        let url = self.url(service, path, query);
        let request =
            Request { method: Method::GET, url, headers: HeaderMap::new(), body: Vec::new(), limit };
        match self.ask(service, request, urgency).await {
            Ok(body) => read(&body).map(Some),
            Err(Verdict::Missing) => Ok(None),
            Err(verdict) => Err(unexpected(verdict)),
        }
    }

    /// Sends something to trading.
    ///
    /// # Errors
    /// What the reply means.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        urgency: Urgency,
    ) -> Result<Vec<u8>, Verdict> {
        let url = self.url(Service::Trading, path, &[]);
        let request = Request { method, url, headers: HeaderMap::new(), body, limit: REPLY_MAX };
        self.ask(Service::Trading, request, urgency).await
    }

    async fn ask(
        &self,
        service: Service,
        mut request: Request,
        urgency: Urgency,
    ) -> Result<Vec<u8>, Verdict> {
        let refused = || Verdict::Error(BrokerError::Refused(auth_failed()));
        request.headers = headers(&self.credentials, !request.body.is_empty()).ok_or_else(refused)?;
        self.turn(service, urgency).await.map_err(Verdict::Error)?;
        let reply = match self.client.send(request).await {
            Ok(reply) => reply,
            Err(Lost::Unsent(why)) => {
                tracing::debug!(broker = "alpaca", %why, "a request was not sent");
                let code = RefusalCode::BrokerUnavailable;
                return Err(Verdict::Error(BrokerError::NotReceived { code, retry_after: RETRY }));
            }
            Err(Lost::Sent(why)) => {
                return Err(Verdict::Error(BrokerError::Unknown(format!("Alpaca: {why}"))));
            }
        };
        if reply.is_good() {
            return Ok(reply.body);
        }
        match judge(&Head::of(&reply), &reply.body, self.clock.now()) {
            Verdict::Slow(retry_after) => {
                self.bucket(service).close(retry_after, self.clock.stamp());
                Err(Verdict::Error(throttled(retry_after)))
            }
            verdict @ (Verdict::Error(_)
            | Verdict::Exists
            | Verdict::Missing
            | Verdict::Ended
            | Verdict::Halted(_)) => Err(verdict),
        }
    }

    /// Waits for a token.
    async fn turn(&self, service: Service, urgency: Urgency) -> Result<(), BrokerError> {
        let mut waited = Duration::ZERO;
        loop {
            let (taken, pace) = {
                let mut bucket = self.bucket(service);
                (bucket.take(1, urgency, self.clock.stamp()), bucket.pace(1))
            };
            let Err(wait) = taken else { return Ok(()) };
            waited = waited.saturating_add(wait);
            if waited > TURN {
                return Err(BrokerError::HeldBack { wait, pace });
            }
            sleep(wait).await;
        }
    }

    fn bucket(&self, service: Service) -> std::sync::MutexGuard<'_, Bucket> {
        let bucket = match service {
            Service::Trading => &self.trading,
            Service::Data => &self.data,
        };
        bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn url(&self, service: Service, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = match service {
            Service::Trading => self.hosts.trading.clone(),
            Service::Data => self.hosts.data.clone(),
        };
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

/// Returns what says who asks; `None`: Alpaca knows no such credentials, or no header can carry them.
fn headers(credentials: &Auth, has_body: bool) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    match credentials {
        Auth::ApiKey { key_id, secret } => {
            headers.insert(KEY_ID, hidden(key_id.expose_secret())?);
            headers.insert(SECRET, hidden(secret.expose_secret())?);
        }
        Auth::OAuth { access_token } => {
            let bearer = Zeroizing::new(format!("Bearer {}", access_token.expose_secret()));
            headers.insert(AUTHORIZATION, hidden(&bearer)?);
        }
        Auth::Login { .. } | Auth::Account { .. } => return None,
    }
    if has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Some(headers)
}

/// Words a request that was not sent, or not taken, because of too many before it.
const fn throttled(retry_after: Duration) -> BrokerError {
    BrokerError::NotReceived { code: RefusalCode::RateLimitExceeded, retry_after }
}

/// Reads a reply.
///
/// # Errors
/// When it is not what Alpaca documents: then nothing is known.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, BrokerError> {
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let why = match error.classify() {
            Category::Io | Category::Eof => "it ends too soon",
            Category::Syntax => "it is no JSON",
            Category::Data => "a field is missing or of another kind",
        };
        tracing::warn!(broker = "alpaca", line, column, why, "a reply cannot be read");
        BrokerError::Unknown("Alpaca answered, but not in words that can be read".to_owned())
    })
}

/// Turns a verdict that the request has no use for into an error of the port.
#[must_use]
pub fn unexpected(verdict: Verdict) -> BrokerError {
    match verdict {
        Verdict::Error(error) => error,
        Verdict::Halted(refusal) => BrokerError::Refused(refusal),
        Verdict::Slow(retry_after) => throttled(retry_after),
        Verdict::Missing => BrokerError::Refused(Refusal {
            code: RefusalCode::OrderRejected,
            message: "Alpaca has no such thing. Nothing was done.".to_owned(),
        }),
        Verdict::Exists | Verdict::Ended => {
            BrokerError::Unknown("Alpaca gave an answer that does not fit the question".to_owned())
        }
    }
}
