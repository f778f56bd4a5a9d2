//! The HTTP client: one pool of connections for all accounts; every failure says whether anything was sent.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};

use super::credentials::AlpacaCredentials;
use super::refusal::Head;
use crate::brokers::dial;

/// Longest time to a connection; what takes longer was provably not sent.
const CONNECT: Duration = Duration::from_secs(4);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(50);

const KEY_ID: HeaderName = HeaderName::from_static("apca-api-key-id");
const SECRET: HeaderName = HeaderName::from_static("apca-api-secret-key");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The client cannot be made: a fault of the build.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The TLS settings.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The HTTP client.
    #[error("the HTTP client cannot be set up: {0}")]
    Http(#[from] reqwest::Error),
    /// An address.
    #[error("{0} is no address")]
    Address(&'static str),
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// No connection was made: nothing was sent.
    Unsent(String),
    /// The request, or a part of it, may have been read.
    Sent(String),
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Where.
    pub url: Url,
    /// With what; empty: nothing.
    pub body: Vec<u8>,
    /// Most bytes of the reply.
    pub limit: usize,
}

/// A reply, whatever it says.
#[derive(Debug)]
pub struct Reply {
    /// Its head.
    pub head: Head,
    /// Its body.
    pub body: Vec<u8>,
}

/// The client.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    tls: Arc<rustls::ClientConfig>,
}

impl Client {
    /// Makes a client whose requests take at most `timeout`.
    ///
    /// # Errors
    /// When the build has no usable cryptography.
    pub fn new(timeout: Duration) -> Result<Self, SetUpError> {
        let tls = dial::tls()?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .dns_resolver(dial::PublicHosts)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            // Shorter than all of it, so that a connection that hangs is known to be none.
            .connect_timeout(CONNECT.min(timeout / 2))
            .timeout(timeout)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            .user_agent(concat!("trade-executor/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, tls: Arc::new(tls) })
    }

    /// Returns the TLS settings, for the streams.
    #[must_use]
    pub fn tls(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.tls)
    }

    /// Sends a request once.
    ///
    /// # Errors
    /// When there is no whole reply; it says whether anything was sent.
    pub async fn send(&self, request: Request, credentials: &AlpacaCredentials) -> Result<Reply, Lost> {
        let headers = headers(credentials).ok_or_else(|| unsent("the credentials fit in no header"))?;
        let mut builder = self.http.request(request.method, request.url).headers(headers);
        if !request.body.is_empty() {
            builder = builder.header(CONTENT_TYPE, "application/json").body(request.body);
        }
        let mut response = Box::pin(builder.send()).await.map_err(|error| lost(&error))?;
        let text = |name: HeaderName| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let head =
            Head { status: response.status().as_u16(), retry_after: text(RETRY_AFTER), reset: text(RESET) };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| cut(&error))? {
            if body.len().saturating_add(chunk.len()) > request.limit {
                return Err(Lost::Sent(format!("the reply is longer than {} bytes", request.limit)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { head, body })
    }
}

fn headers(credentials: &AlpacaCredentials) -> Option<HeaderMap> {
    let secret = |text: &SecretString, prefix: &str| {
        let mut value = HeaderValue::from_str(&format!("{prefix}{}", text.expose_secret())).ok()?;
        value.set_sensitive(true);
        Some(value)
    };
    if !credentials.is_sendable() {
        return None;
    }
    let mut headers = HeaderMap::new();
    match credentials {
        AlpacaCredentials::ApiKey { key_id, secret: key } => {
            headers.insert(KEY_ID, secret(key_id, "")?);
            headers.insert(SECRET, secret(key, "")?);
        }
        AlpacaCredentials::OAuth { access_token } => {
            headers.insert(AUTHORIZATION, secret(access_token, "Bearer ")?);
        }
    }
    Some(headers)
}

fn unsent(why: &str) -> Lost {
    Lost::Unsent(why.to_owned())
}

/// Tells what went wrong before the reply's head. Only a connection that was never made proves that nothing was sent.
fn lost(error: &reqwest::Error) -> Lost {
    if error.is_connect() {
        unsent("no connection was made")
    } else if error.is_builder() {
        unsent("the request could not be put together")
    } else {
        cut(error)
    }
}

fn cut(error: &reqwest::Error) -> Lost {
    Lost::Sent(if error.is_timeout() { "no answer in time" } else { "the connection broke" }.to_owned())
}

#[cfg(test)]
mod tests;
