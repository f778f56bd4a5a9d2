//! Who signed what, and when.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::errors::Error;
use crate::http::Request;
use crate::signed::{Hash, Signed};
use crate::world::State;

/// The header of the key's name.
pub(super) const KEY: &str = "x-gemini-apikey";
const PAYLOAD: &str = "x-gemini-payload";
const SIGNATURE: &str = "x-gemini-signature";
const NONCE: &str = "x-gemini-nonce";
/// How many seconds a time may be off.
const WINDOW: i64 = 30;

/// The last number of every key that counts.
#[derive(Debug, Default)]
pub(super) struct Nonces(Mutex<BTreeMap<String, i64>>);

/// What a request says, beside its path and its nonce.
pub(super) type Params = Map<String, Value>;

impl Nonces {
    fn check(&self, state: &State, now: DateTime<Utc>, key: &str, nonce: i64) -> Result<(), Error> {
        if carries_time(state, key) {
            return check_time(now, nonce);
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = all.entry(key.to_owned()).or_insert(i64::MIN);
        if nonce <= *last {
            let words = format!("Nonce '{nonce}' has not increased since your last call to the Gemini API.");
            return Err(Error::bad("InvalidNonce", words));
        }
        *last = nonce;
        Ok(())
    }
}

fn carries_time(state: &State, key: &str) -> bool {
    let owner = state.directory.owner_of_key(key);
    owner.and_then(|owner| state.directory.standing(owner)).is_some_and(|standing| !standing.key.counts)
}

fn check_time(now: DateTime<Utc>, nonce: i64) -> Result<(), Error> {
    let now = now.timestamp();
    if nonce.saturating_sub(now).abs() <= WINDOW {
        return Ok(());
    }
    let words = format!("Nonce '{nonce}' is not within {WINDOW} seconds of server time '{now}'");
    Err(Error::bad("InvalidNonce", words))
}

/// Returns whose key signed a payload, and the payload.
fn signer(state: &State, request: &Request) -> Result<(String, Vec<u8>), Error> {
    let header = |name, reason: &str| {
        request.header(name).ok_or_else(|| Error::bad(reason, format!("Must provide '{name}' header")))
    };
    let key = header(KEY, "MissingApikeyHeader")?;
    let payload = header(PAYLOAD, "MissingPayloadHeader")?;
    let signature = header(SIGNATURE, "MissingSignatureHeader")?;
    let unknown = || Error::bad("InvalidApiKey", "InvalidApiKey");
    let (account, secret) = state.directory.signer(key).ok_or_else(unknown)?;
    if !is_signed(secret, payload, signature) {
        return Err(Error::bad("InvalidSignature", "InvalidSignature"));
    }
    let text = Signed::read_base64(payload).ok_or_else(|| Error::bad("InvalidJson", "no base64"))?;
    Ok((account.to_owned(), text.0))
}

/// Returns whether a secret signed a payload as it is in its header.
fn is_signed(secret: &str, payload: &str, signature: &str) -> bool {
    Signed::hmac(Hash::Sha384, secret.as_bytes(), payload.as_bytes()).hex() == signature
}

/// Returns whose a request is, and what it says.
///
/// # Errors
///
/// It is nobody's, or not of now.
pub(super) fn let_in(
    nonces: &Nonces,
    state: &State,
    now: DateTime<Utc>,
    request: &Request,
) -> Result<(String, Params), Error> {
    let (account, payload) = signer(state, request)?;
    let invalid = |_| Error::bad("InvalidJson", "The JSON in the payload is invalid");
    let mut params: Params = serde_json::from_slice(&payload).map_err(invalid)?;
    if params.remove("request").and_then(|path| path.as_str().map(str::to_owned)).as_ref()
        != Some(&request.path)
    {
        let words = "The request was submitted to an endpoint different than the one in the payload";
        return Err(Error::bad("EndpointMismatch", words));
    }
    let nonce = params.remove("nonce");
    let nonce = nonce.and_then(|nonce| match nonce {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_i64(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    });
    let nonce = nonce.ok_or_else(|| Error::bad("InvalidNonce", "A nonce must be a number"))?;
    nonces.check(state, now, request.header(KEY).unwrap_or_default(), nonce)?;
    Ok((account, params))
}

/// Returns whose a stream is; nobody's tells only what everybody may know.
///
/// # Errors
///
/// It says whose it is, and is not.
pub(super) fn stream_of(
    state: &State,
    now: DateTime<Utc>,
    request: &Request,
) -> Result<Option<String>, Error> {
    if request.header(KEY).is_none() {
        return Ok(None);
    }
    let (account, payload) = signer(state, request)?;
    let missing = || Error::bad("InvalidNonce", "A stream is opened with the time");
    let nonce = request.header(NONCE).filter(|nonce| nonce.as_bytes() == payload).ok_or_else(missing)?;
    let nonce = nonce.parse().map_err(|_| missing())?;
    if !carries_time(state, request.header(KEY).unwrap_or_default()) {
        return Err(Error::bad("InvalidNonce", "The key has no time-based nonce"));
    }
    check_time(now, nonce)?;
    Ok(Some(account))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_documentation_is_signed() {
        let payload = "ewogICAgInJlcXVlc3QiOiAiL3YxL29yZGVyL3N0YXR1cyIsCiAgICAibm9uY2UiOiAxMjM0NTYsCgogICAgIm9yZGVyX2lkI\
                       jogMTg4MzQKfQo=";
        let signature = "337cc8b4ea692cfe65b4a85fcc9f042b2e3f702ac956fd098d600ab15705775017beae402be773ceee10719ff70d710f";
        assert!(is_signed("1234abcd", payload, signature));
        assert!(!is_signed("1234abcd", payload, &signature.to_uppercase()), "its digits are lower-case");
        assert!(!is_signed("1234abcd", &payload.replace("fQo=", "fQ=="), signature));
        assert!(!is_signed("1234abce", payload, signature));
    }

    #[test]
    fn a_time_is_good_for_half_a_minute_either_way() {
        let now = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let check = |nonce| check_time(now, nonce).is_ok();
        assert!(check(1_700_000_030) && check(1_699_999_970));
        assert!(!check(1_700_000_031) && !check(1_699_999_969) && !check(1_700_000_000_000));
    }
}
