//! Requests in their final form. Tokens are asked for with the application's key and secret; all else carries one.

use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::brokers::credentials::Auth;
use crate::brokers::venue::call::{Call, Signed, encoded};
use crate::brokers::venue::mac;
use crate::config::Secret;

/// The application that Schwab knows this program by.
#[derive(Clone, Debug)]
pub(super) struct Application {
    /// Its key.
    pub(super) key: Secret,
    /// Its secret.
    pub(super) secret: Secret,
}

/// Puts a request into its final form; `None`: it cannot be made with such credentials.
pub(super) fn request(application: Option<&Application>, auth: Option<&Auth>, call: &Call) -> Option<Signed> {
    let Auth::Login { refresh_token } = auth? else { return None };
    if call.is_login {
        let Application { key, secret } = application?;
        let (key, secret) = (key.get().expose_secret(), secret.get().expose_secret());
        let pair = Zeroizing::new(format!("{key}:{secret}"));
        let basic = Zeroizing::new(format!("Basic {}", mac::base64(pair.as_bytes())));
        let form =
            encoded(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())]);
        let signed = Signed::at(&call.path).with_body("application/x-www-form-urlencoded", form);
        return signed.with_hidden("authorization", &basic);
    }
    Some(match &call.json {
        Some(json) => Signed::at(&call.path).with_body("application/json", json.as_bytes()),
        None => Signed::plain(call),
    })
}
