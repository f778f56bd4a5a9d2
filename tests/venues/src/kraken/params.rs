//! The parameters of a request, in its query, its form or its JSON, and how they are read.

use rust_decimal::Decimal;
use serde_json::{Map, Value};

use super::errors::Error;
use crate::http::{Request, form};

/// The parameters of a request, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Returns those of a request.
    ///
    /// # Errors
    ///
    /// One is there twice, or the body is not what it says it is.
    pub(super) fn of(request: &Request) -> Result<Self, Error> {
        let kind = request.header("content-type").unwrap_or_default();
        let body = String::from_utf8_lossy(&request.body);
        let all = if request.body.is_empty() {
            request.params()
        } else if kind.starts_with("application/json") {
            let fields: Map<String, Value> = request.json().map_err(|_| Error::argument(""))?;
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            fields.iter().map(|(name, value)| (name.clone(), text(value))).collect()
        } else if kind.starts_with("application/x-www-form-urlencoded") {
            form(&body)
        } else {
            return Err(Error::argument(""));
        };
        let repeated = all
            .iter()
            .enumerate()
            .find(|(at, (name, _))| all.iter().skip(at + 1).any(|(other, _)| other == name));
        match repeated {
            Some((_, (name, _))) => Err(Error::argument(name)),
            None => Ok(Self(all)),
        }
    }

    /// Checks that all of them are known.
    ///
    /// # Errors
    ///
    /// Says the first that is not.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Error> {
        let unknown = self.0.iter().find(|(name, _)| name != "nonce" && !known.contains(&name.as_str()));
        unknown.map_or(Ok(()), |(name, _)| Err(Error::argument(name)))
    }

    /// Returns one as it is.
    pub(super) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Returns one that has to be there.
    pub(super) fn need(&self, name: &str) -> Result<&str, Error> {
        self.raw(name).filter(|value| !value.is_empty()).ok_or_else(|| Error::argument(name))
    }

    /// Returns an amount, if it is there: a plain number.
    pub(super) fn amount(&self, name: &str) -> Result<Option<Decimal>, Error> {
        let plain = |text: &&str| {
            text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
                && text.bytes().any(|byte| byte.is_ascii_digit())
        };
        match self.raw(name) {
            None => Ok(None),
            Some(text) => {
                let read = Some(text).filter(plain).and_then(|text| text.parse().ok());
                read.map(Some).ok_or_else(|| Error::argument(name))
            }
        }
    }

    /// Returns whether something is wanted: as the languages of clients write it.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Error> {
        match self.raw(name) {
            None | Some("false" | "False") => Ok(false),
            Some("true" | "True") => Ok(true),
            Some(_) => Err(Error::argument(name)),
        }
    }

    /// Returns a list that has to be there: between commas, and no longer than this.
    pub(super) fn list(&self, name: &str, most: usize) -> Result<Vec<&str>, Error> {
        let all: Vec<&str> = self.need(name)?.split(',').collect();
        if all.len() > most { Err(Error::argument(name)) } else { Ok(all) }
    }
}
