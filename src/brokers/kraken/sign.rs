//! Signatures: over the path, the number and the form as they are sent (HMAC-SHA512).

use chrono::{SecondsFormat, TimeDelta};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::PLACE;
use crate::brokers::credentials::Auth;
use crate::brokers::venue::call::{Call, Moment, Signed, encoded};
use crate::brokers::venue::mac;

/// How long an order may be under way: what comes later dies at the venue.
const DEADLINE: TimeDelta = TimeDelta::seconds(5);

/// Puts a request into its final form; `None`: it cannot be made with such credentials.
pub(super) fn request(auth: Option<&Auth>, call: &Call, moment: &Moment) -> Option<Signed> {
    let Some(auth) = auth else { return Some(Signed::plain(call)) };
    let Auth::ApiKey { key_id, secret } = auth else { return None };
    let mut form = vec![("nonce", moment.nonce.to_string())];
    form.extend(call.fields.iter().cloned());
    if call.path == PLACE {
        // Reckoned from when it leaves, so that what waited for its turn is not late already.
        let deadline = moment.at.checked_add_signed(DEADLINE)?;
        form.push(("deadline", deadline.to_rfc3339_opts(SecondsFormat::Millis, true)));
    }
    let body = encoded(&form);
    let signature = signature(secret.expose_secret(), &call.path, moment.nonce, &body)?;
    Signed::at(&call.path)
        .with_body("application/x-www-form-urlencoded", body)
        .with_hidden("api-key", key_id.expose_secret())?
        .with_hidden("api-sign", &signature)
}

/// Signs a body that is sent to a path; `None`: the secret is none.
pub(super) fn signature(secret: &str, path: &str, nonce: u64, body: &str) -> Option<String> {
    let key = mac::unbase64(secret)?;
    let digest = Sha256::new().chain_update(nonce.to_string()).chain_update(body).finalize();
    Some(mac::base64(&mac::sha512(&key, &[path.as_bytes(), &digest])))
}
