//! A request as the venues read it, and an answer as they give it.

use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::Bytes;
use hyper::{HeaderMap, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A request, read to its end.
#[derive(Clone, Debug)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// To what, without the query, decoded.
    pub path: String,
    /// The query as it came.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// Where it came from.
    pub peer: IpAddr,
}

impl Request {
    /// Returns a header's value, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Returns the query's names and values, decoded, in order.
    #[must_use]
    pub fn params(&self) -> Vec<(String, String)> {
        form(&self.query)
    }

    /// Returns the first value of this name in the query.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<String> {
        self.params().into_iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// Returns the parts of the path between slashes.
    #[must_use]
    pub fn segments(&self) -> Vec<&str> {
        self.path.split('/').filter(|part| !part.is_empty()).collect()
    }

    /// Returns path and query as they came.
    #[must_use]
    pub fn target(&self) -> String {
        if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) }
    }

    /// Reads the body as JSON of a known shape.
    ///
    /// # Errors
    ///
    /// It is not JSON, or not of that shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    /// Reads the body as a JSON object of a known shape; a list of its values in order is none.
    ///
    /// # Errors
    ///
    /// It is no JSON object, or not of that shape.
    pub fn object<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        let fields: serde_json::Map<String, Value> = self.json()?;
        // Read again from the text, in which a repeated field is still seen.
        drop(fields);
        self.json()
    }

    /// Returns the body as JSON, or as a string if it is none.
    #[must_use]
    pub fn body_value(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&self.body).into_owned()))
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers by name.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Returns a JSON answer.
    #[must_use]
    pub fn json(status: u16, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self { status, headers: vec![("content-type", "application/json; charset=UTF-8".to_owned())], body }
    }

    /// Returns an answer without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// Decodes names and values of a form or a query.
#[must_use]
pub fn form(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
        })
        .collect()
}

/// Undoes percent encoding; what is no encoding stays.
#[must_use]
pub fn decode(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let mut ahead = bytes.clone();
        let hex = (byte == b'%').then(|| (ahead.next(), ahead.next()));
        match hex {
            Some((Some(high), Some(low))) => match (nibble(high), nibble(low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high * 16 + low);
                    bytes = ahead;
                }
                _ => decoded.push(byte),
            },
            _ => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Encodes a value for a query.
#[must_use]
pub fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else if write!(encoded, "%{byte:02X}").is_err() {
            unreachable!("a string takes all that is written to it");
        }
        encoded
    })
}

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let odd = "a b&c=d/e:%2f+ü";
        assert_eq!(
            form(&format!("x={}&y=1+2", encode(odd))),
            [("x".to_owned(), odd.to_owned()), ("y".to_owned(), "1 2".to_owned())]
        );
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%41"), "%zzA");
    }
}
