//! Signatures: HMAC-SHA384 with the secret's text over the payload's base64, all of it in headers.

use reqwest::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::ExposeSecret;
use serde_json::json;

use crate::brokers::credentials::Auth;
use crate::brokers::http::hidden;
use crate::brokers::venue::call::{Call, Moment, Signed};
use crate::brokers::venue::mac;

/// The field of a request that names its nonce, where that is not the time at which it is sent.
pub(super) const NONCE: &str = "nonce";

/// Puts a request into its final form; `None`: it cannot be made with such credentials.
///
/// The body is empty. The nonce is the time in seconds, as keys with a time-based nonce want it.
pub(super) fn request(auth: Option<&Auth>, call: &Call, moment: &Moment) -> Option<Signed> {
    let Some(auth) = auth else { return Some(Signed::plain(call)) };
    let given = call.fields.iter().find(|(name, _)| *name == NONCE);
    let nonce = given.map_or_else(|| seconds(moment), |(_, nonce)| nonce.clone());
    let mut signed = Signed::at(&call.path);
    signed.headers = headers(auth, &payload(&call.path, &nonce, call.json.as_deref()))?;
    signed.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    signed.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    signed.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(signed)
}

/// Returns the headers that open the WebSocket; `None`: it cannot be opened with such credentials.
pub(super) fn handshake(auth: Option<&Auth>, moment: &Moment) -> Option<HeaderMap> {
    let nonce = seconds(moment);
    let mut headers = headers(auth?, &nonce)?;
    headers.insert("x-gemini-nonce", HeaderValue::from_str(&nonce).ok()?);
    Some(headers)
}

fn seconds(moment: &Moment) -> String {
    moment.at.timestamp().to_string()
}

/// Returns what a request says: its path, its nonce and, behind them, what else there is.
pub(super) fn payload(path: &str, nonce: &str, more: Option<&str>) -> String {
    let head = format!("{{\"request\":{},\"nonce\":{nonce}", json!(path));
    match more.and_then(|more| more.strip_prefix('{')).filter(|rest| *rest != "}") {
        Some(rest) => format!("{head},{rest}"),
        None => format!("{head}}}"),
    }
}

/// Signs a payload.
pub(super) fn signature(secret: &str, payload: &str) -> (String, String) {
    let payload = mac::base64(payload.as_bytes());
    let signature = mac::hex(&mac::sha384(secret.as_bytes(), &[payload.as_bytes()]));
    (payload, signature)
}

fn headers(auth: &Auth, text: &str) -> Option<HeaderMap> {
    let Auth::ApiKey { key_id, secret } = auth else { return None };
    let (payload, signature) = signature(secret.expose_secret(), text);
    let mut headers = HeaderMap::new();
    headers.insert("x-gemini-apikey", hidden(key_id.expose_secret())?);
    headers.insert("x-gemini-payload", hidden(&payload)?);
    headers.insert("x-gemini-signature", hidden(&signature)?);
    Some(headers)
}
