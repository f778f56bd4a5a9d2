//! The HTTP client: one pool of connections for all accounts; every failure says whether anything was sent.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Url};

use super::dial;

/// Longest time to a connection; what takes longer was provably not sent.
const CONNECT: Duration = Duration::from_secs(4);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(50);

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
    /// The headers; secret ones are marked so.
    pub headers: HeaderMap,
    /// With what; empty: nothing.
    pub body: Vec<u8>,
    /// Most bytes of the reply.
    pub limit: usize,
}

/// A reply, whatever it says.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Returns whether it says that all went well.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// Returns a header's value, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns how long it asks to wait: `Retry-After` in seconds.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.header(RETRY_AFTER.as_str())?.trim().parse().ok().map(Duration::from_secs)
    }
}

/// Returns a header's value that is never shown; `None`: no header can carry the text.
#[must_use]
pub fn hidden(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
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
        Self::with(timeout, dial::tls()?)
    }

    /// Makes one that also takes the certificates that programs on this machine signed themselves.
    ///
    /// # Errors
    /// When the build has no usable cryptography.
    pub fn here(timeout: Duration) -> Result<Self, SetUpError> {
        Self::with(timeout, dial::here::tls()?)
    }

    fn with(timeout: Duration, tls: rustls::ClientConfig) -> Result<Self, SetUpError> {
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
    pub async fn send(&self, request: Request) -> Result<Reply, Lost> {
        let mut builder = self.http.request(request.method, request.url).headers(request.headers);
        if !request.body.is_empty() {
            builder = builder.body(request.body);
        }
        let mut response = Box::pin(builder.send()).await.map_err(|error| lost(&error))?;
        let (status, headers) = (response.status().as_u16(), std::mem::take(response.headers_mut()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| cut(&error))? {
            if body.len().saturating_add(chunk.len()) > request.limit {
                return Err(Lost::Sent(format!("the reply is longer than {} bytes", request.limit)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers, body })
    }
}

/// Tells what went wrong before the reply's head. Only a connection that was never made proves that nothing was sent.
fn lost(error: &reqwest::Error) -> Lost {
    if error.is_connect() {
        Lost::Unsent("no connection was made".to_owned())
    } else if error.is_builder() {
        Lost::Unsent("the request could not be put together".to_owned())
    } else {
        cut(error)
    }
}

fn cut(error: &reqwest::Error) -> Lost {
    Lost::Sent(if error.is_timeout() { "no answer in time" } else { "the connection broke" }.to_owned())
}

#[cfg(test)]
mod tests;
