//! A request before it is signed, and after.

use std::fmt;

use chrono::{DateTime, Utc};
use reqwest::Method;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use crate::brokers::bucket::Urgency;
use crate::brokers::http::hidden;

/// Largest reply.
const REPLY_MAX: usize = 1 << 20;
/// Largest list of instruments.
const LIST_MAX: usize = 32 << 20;

/// A request before it is signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// How.
    pub method: Method,
    /// Where, from the venue's address on.
    pub path: String,
    /// The address, where it is another than that of accounts, or of prices for what is not signed.
    pub base: Option<Url>,
    /// Whether it asks for the token that others carry, so that it carries none.
    pub is_login: bool,
    /// Names and values, in order: in the query of what only asks, else where the venue wants them.
    pub fields: Vec<(&'static str, String)>,
    /// A body of JSON, instead of fields.
    pub json: Option<String>,
    /// Whether it says who asks.
    pub is_signed: bool,
    /// What it adds to which lane.
    pub costs: Vec<(usize, u32)>,
    /// How pressing it is.
    pub urgency: Urgency,
    /// Most bytes of the reply.
    pub limit: usize,
}

impl fmt::Debug for Call {
    /// Shows no values: some are secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("method", &self.method).field("path", &self.path).finish_non_exhaustive()
    }
}

impl Call {
    /// Returns a request that says who asks and counts one in the first lane.
    #[must_use]
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            base: None,
            is_login: false,
            fields: Vec::new(),
            json: None,
            is_signed: true,
            costs: vec![(0, 1)],
            urgency: Urgency::Normal,
            limit: REPLY_MAX,
        }
    }

    /// Returns a question.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// Returns something to be done.
    #[must_use]
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.fields.push((name, value.to_string()));
        self
    }

    /// Adds a field if there is a value.
    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Gives it a body of JSON.
    #[must_use]
    pub fn with_json(mut self, body: &serde_json::Value) -> Self {
        self.json = Some(body.to_string());
        self
    }

    /// Has it ask without saying who asks.
    #[must_use]
    pub const fn unsigned(mut self) -> Self {
        self.is_signed = false;
        self
    }

    /// Sends it to another address.
    #[must_use]
    pub fn at(mut self, base: &Url) -> Self {
        self.base = Some(base.clone());
        self
    }

    /// Has it ask for the token that others carry.
    #[must_use]
    pub const fn logging_in(mut self) -> Self {
        self.is_login = true;
        self
    }

    /// Says what it adds to which lane, instead of one to the first.
    #[must_use]
    pub fn costing(mut self, costs: &[(usize, u32)]) -> Self {
        self.costs = costs.to_vec();
        self
    }

    /// Lets it use the reserve, and pass those that wait.
    #[must_use]
    pub const fn pressing(self) -> Self {
        self.as_pressing_as(Urgency::Pressing)
    }

    /// Says how pressing it is.
    #[must_use]
    pub const fn as_pressing_as(mut self, urgency: Urgency) -> Self {
        self.urgency = urgency;
        self
    }

    /// Expects a long list.
    #[must_use]
    pub const fn listing(mut self) -> Self {
        self.limit = LIST_MAX;
        self
    }

    /// Returns the fields as a query or form, percent-encoded, in their order.
    #[must_use]
    pub fn encoded(&self) -> String {
        encoded(&self.fields)
    }
}

/// Encodes names and values as a query or form, in their order.
#[must_use]
pub fn encoded<N: AsRef<str>, V: AsRef<str>>(fields: &[(N, V)]) -> String {
    let mut out = String::new();
    for (name, value) in fields {
        if !out.is_empty() {
            out.push('&');
        }
        percent(&mut out, name.as_ref());
        out.push('=');
        percent(&mut out, value.as_ref());
    }
    out
}

/// Appends a text so that all but letters, digits and `-._~` are percent-encoded (RFC 3986).
fn percent(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for half in [byte >> 4, byte & 15] {
                out.push(HEX.get(usize::from(half)).copied().map_or('0', char::from));
            }
        }
    }
}

/// When and where a request is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The venue's time, as far as it is known.
    pub at: DateTime<Utc>,
    /// Larger than in any request with these credentials before.
    pub nonce: u64,
    /// The host, with its port if that is not the usual one.
    pub host: String,
}

impl Moment {
    /// Returns the venue's time in milliseconds since 1970.
    #[must_use]
    pub const fn millis(&self) -> i64 {
        self.at.timestamp_millis()
    }
}

/// A request as it is sent.
#[derive(Clone, Debug, Default)]
pub struct Signed {
    /// Path and query, from the venue's address on.
    pub target: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Zeroizing<Vec<u8>>,
}

impl Signed {
    /// Returns a request without headers or body.
    #[must_use]
    pub fn at(target: impl Into<String>) -> Self {
        Self { target: target.into(), ..Self::default() }
    }

    /// Returns a question as it is without a signature: the fields in the query.
    #[must_use]
    pub fn plain(call: &Call) -> Self {
        if call.fields.is_empty() {
            return Self::at(&call.path);
        }
        Self::at(format!("{}?{}", call.path, call.encoded()))
    }

    /// Gives it a body of a kind.
    #[must_use]
    pub fn with_body(mut self, kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        self.headers.insert(reqwest::header::CONTENT_TYPE, HeaderValue::from_static(kind));
        self.body = Zeroizing::new(body.into());
        self
    }

    /// Adds a header that is never shown; `None`: no header can carry it.
    #[must_use]
    pub fn with_hidden(mut self, name: &'static str, value: &str) -> Option<Self> {
        self.headers.insert(name, hidden(value)?);
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_all_odd_characters_are_encoded() {
        let call = Call::get("/x").with("b", "1 2").with("a", "\u{ff0c}&=/+").with_some("c", None::<u8>);
        assert_eq!(call.encoded(), "b=1%202&a=%EF%BC%8C%26%3D%2F%2B");
        assert_eq!(Signed::plain(&call).target, format!("/x?{}", call.encoded()));
        assert_eq!(Signed::plain(&Call::get("/y")).target, "/y");
    }

    #[test]
    fn no_value_is_shown() {
        let call = Call::post("/login").with("password", "hunter2");
        assert!(!format!("{call:?}").contains("hunter2"));
    }
}
