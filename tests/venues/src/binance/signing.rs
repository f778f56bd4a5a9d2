//! Who signed what, and when.

use chrono::{DateTime, TimeDelta, Utc};
use ed25519_dalek::{Signature, VerifyingKey};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::errors::Error;
use super::params::Params;
use crate::http::Request;
use crate::signed::{Hash, Signed};

/// How a public key's PEM begins.
const PEM: &str = "-----BEGIN PUBLIC KEY-----";
/// The longest time a request may be on its way, in milliseconds.
const WINDOW_MAX: i64 = 60_000;

/// Returns the bytes that a request's signature is made of: the query as it came, and right behind it the form as it
/// came, both without the signature.
pub(super) fn payload(request: &Request) -> Vec<u8> {
    let without = |text: &str| {
        let kept = text.split('&').filter(|pair| pair.split('=').next() != Some("signature"));
        kept.collect::<Vec<_>>().join("&")
    };
    let mut payload = without(&request.query);
    payload.push_str(&without(&String::from_utf8_lossy(&request.body)));
    payload.into_bytes()
}

/// Returns whether an account's secret, or its public key, says that it signed this.
pub(super) fn is_signed(secret: &str, payload: &[u8], signature: &str) -> bool {
    match secret.trim().strip_prefix(PEM) {
        Some(rest) => verifies(rest, payload, signature).unwrap_or(false),
        None => Signed::hmac(Hash::Sha256, secret.as_bytes(), payload).hex().eq_ignore_ascii_case(signature),
    }
}

/// Returns whether an account has a pair of keys, as logging on to a session takes.
pub(super) fn is_pair(secret: &str) -> bool {
    secret.trim().starts_with(PEM)
}

fn verifies(pem: &str, payload: &[u8], signature: &str) -> Option<bool> {
    let text: String = pem.split("-----").next()?.split_whitespace().collect();
    let der = Signed::read_base64(&text)?.0;
    // The key itself is the last of what describes it.
    let (_, key) = der.split_at_checked(der.len().checked_sub(32)?)?;
    let key = VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
    let signature = Signature::from_slice(&Signed::read_base64(signature)?.0).ok()?;
    Some(key.verify_strict(payload, &signature).is_ok())
}

/// Checks that a request is neither too old nor from the future.
///
/// # Errors
///
/// It is, or it does not say when it was made.
pub(super) fn check_time(params: &Params, now: DateTime<Utc>) -> Result<(), Error> {
    let window = match params.amount("recvWindow") {
        Ok(window) => window.unwrap_or(Decimal::from(5000)),
        Err(_) => return Err(Error::mandatory("recvWindow")),
    };
    if window > Decimal::from(WINDOW_MAX) || window.normalize().scale() > 3 {
        return Err(Error::new(400, -1131, "recvWindow must be less than 60000."));
    }
    let made = params.need("timestamp")?.parse::<i64>().map_err(|_| Error::mandatory("timestamp"))?;
    // More digits than milliseconds will have for a long time are microseconds.
    let micros = if made > 100_000_000_000_000 { made } else { made.saturating_mul(1000) };
    let made = DateTime::from_timestamp_micros(micros).ok_or_else(|| Error::mandatory("timestamp"))?;
    if made >= now + TimeDelta::seconds(1) {
        return Err(Error::too_early());
    }
    let window = TimeDelta::microseconds((window * Decimal::from(1000)).to_i64().unwrap_or_default());
    if now - made > window { Err(Error::too_late()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use bytes::Bytes;
    use ed25519_dalek::{Signer as _, SigningKey};
    use hyper::{HeaderMap, Method};
    use serde_json::json;

    use super::*;

    /// Binance's own example key and secret.
    const KEY: &str = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A";
    const SECRET: &str = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j";

    fn request(query: &str, body: &str) -> Request {
        Request {
            method: Method::POST,
            path: "/api/v3/order".to_owned(),
            query: query.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    fn signed(query: &str, body: &str, signature: &str) -> bool {
        is_signed(SECRET, &payload(&request(query, body)), signature)
    }

    #[test]
    fn the_examples_of_the_documentation_are_signed() {
        let all = "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000\
                   &timestamp=1499827319559";
        let signature = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71";
        assert!(signed(all, "", signature));
        assert!(signed("", all, signature));
        assert!(signed(all, "", &signature.to_uppercase()));
        assert!(signed(&format!("{all}&signature={signature}"), "", signature));
        assert!(signed(all, &format!("signature={signature}"), signature), "wherever the signature is");
        let (query, body) = all.split_once("&quantity").unwrap();
        let mixed = "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77";
        assert!(signed(query, &format!("quantity{body}"), mixed), "nothing stands between the two");
        assert!(!signed(all, "", mixed));
        assert!(!signed(&all.replace("0.1", "0.10"), "", signature));
    }

    #[test]
    fn over_a_socket_names_are_sorted() {
        let params = Params::said(&json!({
            "symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01000000",
            "price": "52000.00", "recvWindow": 100, "timestamp": 1_645_423_376_532_i64, "apiKey": KEY,
            "signature": "is not signed",
        }));
        let signature = "aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24";
        assert!(is_signed(SECRET, params.sorted().as_bytes(), signature));
    }

    #[test]
    fn pairs_of_keys_sign_too() {
        let der =
            Signed::read_base64("MC4CAQAwBQYDK2VwBCIEIIJEYWtGBrhACmb9Dvy+qa8WEf0lQOl1s4CLIAB9m89u").unwrap();
        let key = SigningKey::from_bytes(der.0[der.0.len() - 32..].try_into().unwrap());
        let mut public = Signed::read_base64("MCowBQYDK2VwAyEA").unwrap();
        public.0.extend(key.verifying_key().to_bytes());
        let pem = format!("{PEM}\n{}\n-----END PUBLIC KEY-----\n", public.base64());
        assert!(is_pair(&pem) && !is_pair(SECRET));
        let logon = "A\u{1}EXAMPLE\u{1}SPOT\u{1}1\u{1}20240627-11:17:25.223";
        let order = "symbol=BTCUSDT&side=SELL&type=LIMIT&timeInForce=GTC&quantity=1&price=0.2&timestamp=1668481559918\
                     &recvWindow=5000";
        for (text, signature) in [
            (
                logon,
                "4MHXelVVcpkdwuLbl6n73HQUXUf1dse2PCgT1DYqW9w8AVZ1RACFGM+5UdlGPrQHrgtS3CvsRURC1oj73j8gCA==",
            ),
            (
                order,
                "inDT086KVIP8vgUfw5sV3VTkescWztiAGlf4x8FLKHM4NInsn0c1kYVLoGMO8cyjfR6vmTku2YQE0gtfVVlfCw==",
            ),
        ] {
            assert_eq!(Signed(key.sign(text.as_bytes()).to_bytes().to_vec()).base64(), signature);
            assert!(is_signed(&pem, text.as_bytes(), signature), "{text}");
            assert!(!is_signed(&pem, &text.as_bytes()[1..], signature));
            assert!(!is_signed(&pem, text.as_bytes(), &signature.to_lowercase()), "its case matters");
        }
        assert!(!is_signed("-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----", b"", "AA=="));
    }

    #[test]
    fn a_request_is_good_for_a_while() {
        let now = DateTime::from_timestamp_millis(1_700_000_000_000).unwrap();
        let check = |timestamp: &str, window: Option<&str>| {
            let mut params = json!({"timestamp": timestamp});
            if let Some(window) = window {
                params["recvWindow"] = json!(window);
            }
            check_time(&Params::said(&params), now).map_err(|error| error.code)
        };
        assert_eq!(check("1700000000000", None), Ok(()));
        assert_eq!(check("1700000000999", None), Ok(()));
        assert_eq!(check("1700000001000", None), Err(-1021));
        assert_eq!(check("1699999995000", None), Ok(()));
        assert_eq!(check("1699999994999", None), Err(-1021));
        assert_eq!(check("1699999994999", Some("5001")), Ok(()));
        assert_eq!(check("1699999999999500", Some("0.5")), Ok(()), "microseconds");
        assert_eq!(check("1699999999999499", Some("0.5")), Err(-1021));
        assert_eq!(check("1700000000000", Some("60001")), Err(-1131));
        assert_eq!(check("soon", None), Err(-1102));
        assert_eq!(check_time(&Params::default(), now).map_err(|error| error.code), Err(-1102));
    }
}
