//! Signatures: over the query as it is sent, with a secret (HMAC-SHA256) or an Ed25519 key.

use ed25519_dalek::Signer;
use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use super::WINDOW_MS;
use crate::brokers::credentials::Auth;
use crate::brokers::venue::call::{Call, Moment, Signed, encoded};
use crate::brokers::venue::{mac, pem};

/// Puts a request into its final form; `None`: it cannot be made with such credentials.
pub(in crate::brokers) fn request(auth: Option<&Auth>, call: &Call, moment: &Moment) -> Option<Signed> {
    let Some(auth) = auth else { return Some(Signed::plain(call)) };
    let Auth::ApiKey { key_id, secret } = auth else { return None };
    let mut query = call.encoded();
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(&format!("recvWindow={WINDOW_MS}&timestamp={}", moment.millis()));
    let signature = signature(secret.expose_secret(), &query)?;
    let signature = encoded(&[("signature", signature)]);
    Signed::at(format!("{}?{query}&{signature}", call.path))
        .with_hidden("x-mbx-apikey", key_id.expose_secret())
}

/// Puts a request into its final form that names the key and is not signed; `None`: there is no key.
pub(in crate::brokers) fn keyed(auth: Option<&Auth>, call: &Call) -> Option<Signed> {
    let Some(Auth::ApiKey { key_id, .. }) = auth else { return None };
    Signed::plain(call).with_hidden("x-mbx-apikey", key_id.expose_secret())
}

/// Returns what opens the stream of an account's orders; `None`: it cannot be opened with such credentials.
pub(super) fn subscription(auth: Option<&Auth>, moment: &Moment) -> Option<Value> {
    let Some(Auth::ApiKey { key_id, secret }) = auth else { return None };
    let (key, at) = (key_id.expose_secret(), moment.millis());
    // Sorted by name, and not encoded.
    let signature = signature(secret.expose_secret(), &format!("apiKey={key}&timestamp={at}"))?;
    let mut params = Map::new();
    params.insert("apiKey".to_owned(), key.into());
    params.insert("timestamp".to_owned(), at.into());
    params.insert("signature".to_owned(), signature.into());
    Some(Value::Object(params))
}

/// Signs a text.
pub(super) fn signature(secret: &str, text: &str) -> Option<String> {
    if secret.starts_with("-----BEGIN ") {
        let key = pem::ed25519(&pem::der(secret)?)?;
        return Some(mac::base64(&key.sign(text.as_bytes()).to_bytes()));
    }
    Some(mac::hex(&mac::sha256(secret.as_bytes(), &[text.as_bytes()])))
}
