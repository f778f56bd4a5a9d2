//! Who signed what, and when.

use chrono::{DateTime, Utc};

use super::errors::Error;
use crate::http::Request;
use crate::signed::{Hash, Signed};
use crate::world::State;

/// The header that names the key.
pub(super) const KEY: &str = "x-bapi-api-key";
/// How far a request may be ahead of the venue's time, in milliseconds.
const AHEAD: i64 = 1_000;
/// How long a request may be on its way if it does not say, in milliseconds.
const WINDOW: i64 = 5_000;

/// Returns whose a request is.
///
/// # Errors
///
/// Its key is unknown, its time is wrong, or it was signed with another secret or over other bytes.
pub(super) fn let_in(state: &State, now: DateTime<Utc>, request: &Request) -> Result<String, Error> {
    let header = |name: &str| request.header(name).filter(|value| !value.is_empty());
    let key = header(KEY).ok_or_else(|| Error::new(10_003, "API key is invalid."))?;
    let (account, secret) = signer(state, key)?;
    let at = header("x-bapi-timestamp").ok_or_else(Error::timestamp)?;
    let window = header("x-bapi-recv-window").unwrap_or_default();
    let ms = |text: &str| text.parse::<i64>().map_err(|_| Error::timestamp());
    let allowed = if window.is_empty() { WINDOW } else { ms(window)? };
    check_time(ms(at)?, allowed, now.timestamp_millis())?;
    let said = if request.body.is_empty() { request.query.as_bytes() } else { &request.body };
    let text = [at.as_bytes(), key.as_bytes(), window.as_bytes(), said].concat();
    let signature = header("x-bapi-sign").unwrap_or_default();
    if is_signed(&secret, &text, signature) { Ok(account) } else { Err(Error::signature()) }
}

/// Returns whose a stream is, by what was said first on it.
///
/// # Errors
///
/// The key is unknown, its time is over, or it was signed with another secret.
pub(super) fn stream_of(
    state: &State,
    now: i64,
    key: &str,
    until: &str,
    signature: &str,
) -> Result<String, Error> {
    let (account, secret) = signer(state, key)?;
    let good = until.parse::<i64>().is_ok_and(|until| until > now);
    if !good {
        return Err(Error::new(10_002, "Params Error: request expired"));
    }
    let text = format!("GET/realtime{until}");
    if is_signed(&secret, text.as_bytes(), signature) { Ok(account) } else { Err(Error::signature()) }
}

fn signer(state: &State, key: &str) -> Result<(String, String), Error> {
    let found = state.directory.signer(key).ok_or_else(|| Error::new(10_003, "API key is invalid."))?;
    Ok((found.0.to_owned(), found.1.to_owned()))
}

fn is_signed(secret: &str, text: &[u8], signature: &str) -> bool {
    Signed::hmac(Hash::Sha256, secret.as_bytes(), text).hex() == signature
}

fn check_time(at: i64, window: i64, now: i64) -> Result<(), Error> {
    if now.saturating_sub(window) <= at && at < now.saturating_add(AHEAD) {
        return Ok(());
    }
    let words = format!(
        "invalid request, please check your server timestamp or recv_window param. req_timestamp[{at}],\
         server_timestamp[{now}],recv_window[{window}]"
    );
    Err(Error::new(10_002, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_signatures_are_taken_and_no_others() {
        let secret = "NOT_A_REAL_SECRET_0123456789";
        let question = b"1658384314791KEYEXAMPLE00015000category=linear&symbol=BTCUSDT";
        let order = br#"1658385579423KEYEXAMPLE00015000{"category":"spot","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.01","price":"28000","timeInForce":"GTC","orderLinkId":"o-1"}"#;
        for (text, signature) in [
            (&question[..], "03feb0541f403522a7f716725862e8dbe7ff8eb97a5d8fe50a8766c35c4e626c"),
            (&order[..], "863528a5a713e304af20996ff684c8e1c882482c71765bbcff8dd96e42a1986f"),
            (
                b"GET/realtime1662350400000",
                "22b889e3c9c782c75d6f3b21488f48ec09d19ef5c45fedd83a23c8fbe5b0c258",
            ),
        ] {
            assert!(is_signed(secret, text, signature));
            assert!(!is_signed(secret, &text[1..], signature));
            assert!(!is_signed("another", text, signature));
            assert!(!is_signed(secret, text, &signature.to_uppercase()));
        }
    }

    #[test]
    fn a_request_is_good_for_a_while() {
        let check = |at: i64, window| check_time(at, window, 1_000_000).map_err(|error| error.code);
        assert_eq!(check(1_000_999, 5_000), Ok(()));
        assert_eq!(check(1_001_000, 5_000), Err(10_002));
        assert_eq!(check(995_000, 5_000), Ok(()));
        assert_eq!(check(994_999, 5_000), Err(10_002));
        assert_eq!(check(999_999, 0), Err(10_002));
    }
}
