//! Signatures: HMAC-SHA256 over the time, the key, the window, and the query or body as it is sent.
//!
//! Bybit takes RSA keys, too; this program does not.

use reqwest::Method;
use reqwest::header::HeaderValue;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::WINDOW_MS;
use crate::brokers::credentials::Auth;
use crate::brokers::venue::call::{Call, Moment, Signed};
use crate::brokers::venue::mac;

/// Puts a request into its final form; `None`: it cannot be made with such credentials.
pub(super) fn request(auth: Option<&Auth>, call: &Call, moment: &Moment) -> Option<Signed> {
    let (signed, text) = if call.method == Method::GET {
        // A body with a question is answered with 403.
        (Signed::plain(call), call.encoded())
    } else {
        let body = call.json.clone().unwrap_or_else(|| "{}".to_owned());
        (Signed::at(&call.path).with_body("application/json", body.clone()), body)
    };
    let Some(auth) = auth else { return Some(signed) };
    let (key, secret) = parts(auth)?;
    let at = moment.millis().to_string();
    let window = WINDOW_MS.to_string();
    let signature =
        mac::sha256(secret.as_bytes(), &[at.as_bytes(), key.as_bytes(), window.as_bytes(), text.as_bytes()]);
    let mut signed =
        signed.with_hidden("x-bapi-api-key", key)?.with_hidden("x-bapi-sign", &mac::hex(&signature))?;
    signed.headers.insert("x-bapi-timestamp", HeaderValue::from_str(&at).ok()?);
    signed.headers.insert("x-bapi-recv-window", HeaderValue::from(WINDOW_MS));
    Some(signed)
}

/// Returns what opens the stream of an account's orders, good until a time in milliseconds; `None`: it cannot be opened
/// with such credentials.
pub(super) fn greeting(auth: Option<&Auth>, until: i64) -> Option<Value> {
    let (key, secret) = parts(auth?)?;
    let signature = mac::sha256(secret.as_bytes(), &[format!("GET/realtime{until}").as_bytes()]);
    Some(json!({"op": "auth", "args": [key, until, mac::hex(&signature)]}))
}

fn parts(auth: &Auth) -> Option<(&str, &str)> {
    let Auth::ApiKey { key_id, secret } = auth else { return None };
    let secret = secret.expose_secret();
    (!secret.starts_with("-----BEGIN ")).then(|| (key_id.expose_secret(), secret))
}
