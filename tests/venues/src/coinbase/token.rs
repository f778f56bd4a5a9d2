//! Who made a token, and for what.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use ed25519_dalek::{Signature, VerifyingKey};
use serde::Deserialize;

use crate::signed::Signed;
use crate::world::State;

/// How long a token may be good, in seconds.
const GOOD_S: i64 = 120;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    alg: String,
    kid: String,
    nonce: String,
    typ: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    sub: String,
    iss: String,
    nbf: i64,
    exp: i64,
    #[serde(default)]
    iat: Option<i64>,
    #[serde(default)]
    aud: Option<Vec<String>>,
    #[serde(default)]
    uri: Option<String>,
    #[serde(default)]
    uris: Option<Vec<String>>,
}

/// A token, as far as it can be read without anybody's key.
#[derive(Debug)]
pub(super) struct Token {
    /// The key that it says it was made with.
    pub(super) name: String,
    /// What makes it unlike any other.
    pub(super) nonce: String,
    alg: String,
    claims: Claims,
    signed: String,
    signature: Vec<u8>,
}

/// Reads a token; none if it is not written as one.
pub(super) fn read(text: &str) -> Option<Token> {
    let (signed, signature) = text.rsplit_once('.')?;
    let (head, claims) = signed.split_once('.')?;
    let bytes = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let head: Head = serde_json::from_slice(&bytes(head)?).ok()?;
    let claims: Claims = serde_json::from_slice(&bytes(claims)?).ok()?;
    let is_hex = head.nonce.len() >= 16 && head.nonce.bytes().all(|byte| byte.is_ascii_hexdigit());
    if head.typ != "JWT" || !is_hex || claims.sub != head.kid {
        return None;
    }
    let (signature, signed) = (bytes(signature)?, signed.to_owned());
    Some(Token { name: head.kid, nonce: head.nonce, alg: head.alg, claims, signed, signature })
}

impl Token {
    /// Returns whose token it is, if it is good now and for this; a stream's is for nothing in particular.
    pub(super) fn owner(&self, state: &State, now: DateTime<Utc>, uri: Option<&str>) -> Option<String> {
        let (account, key) = state.directory.signer(&self.name)?;
        let good = self.is_of_its_time(now.timestamp()) && self.is_known_kind() && self.is_for(uri);
        (good && verifies(&self.alg, key, self.signed.as_bytes(), &self.signature)?)
            .then(|| account.to_owned())
    }

    fn is_of_its_time(&self, now: i64) -> bool {
        let Claims { nbf, exp, iat, .. } = self.claims;
        nbf <= now && now < exp && exp - nbf <= GOOD_S && iat.is_none_or(|iat| iat <= now)
    }

    /// Returns whether its issuer and audience go together, as in the tokens of the vendor and of others.
    fn is_known_kind(&self) -> bool {
        let audience = self.claims.aud.as_deref();
        match self.claims.iss.as_str() {
            "cdp" => audience.is_none_or(|audience| audience == ["cdp_service"]),
            "coinbase-cloud" => audience.is_some_and(|audience| audience == ["retail_rest_api_proxy"]),
            _ => false,
        }
    }

    /// Returns whether it names this request; some clients leave a scheme that is not `https` before the host.
    fn is_for(&self, uri: Option<&str>) -> bool {
        let named = match (&self.claims.uri, self.claims.uris.as_deref()) {
            (Some(uri), None) => Some(uri.replacen("http://", "", 1)),
            (None, Some([uri])) => Some(uri.replacen("http://", "", 1)),
            (None, None) => None,
            (Some(_), Some(_)) | (None, Some(_)) => return false,
        };
        named.as_deref() == uri
    }
}

/// Returns whether a key's public half says that it signed this; none if it is no such key.
fn verifies(alg: &str, key: &str, text: &[u8], signature: &[u8]) -> Option<bool> {
    let body: String = match key.contains("-----") {
        true => key.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect(),
        false => key.to_owned(),
    };
    let bytes = Signed::read_base64(&body)?.0;
    let last = |length: usize| Some(bytes.split_at_checked(bytes.len().checked_sub(length)?)?.1);
    match alg {
        "EdDSA" => {
            let public = VerifyingKey::from_bytes(last(32)?.try_into().ok()?).ok()?;
            Some(public.verify_strict(text, &Signature::from_slice(signature).ok()?).is_ok())
        }
        "ES256" => {
            let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, last(65)?);
            Some(public.verify(text, signature).is_ok())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test key of Coinbase's own SDK.
    const KEY: &str =
        "k0BUni0p0vZG1BdpVjS6ogBJ7kxm630AJ2dN+tuputDOKsRAwgyrpEQLeBtS1znTmzPX6Xr2eOWpzx6nW8knkA==";
    const NAME: &str = "organizations/test-organization/apiKeys/test-api-key";
    const URI: &str = "GET api.coinbase.com/api/v3/brokerage/accounts";

    fn token(claims: &str) -> String {
        let head = format!(
            r#"{{"alg":"EdDSA","kid":"{NAME}","nonce":"00112233445566778899aabbccddeeff","typ":"JWT"}}"#
        );
        format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims))
    }

    fn claims(uri: &str) -> String {
        format!(r#"{{"sub":"{NAME}","iss":"cdp","nbf":1700000000,"exp":1700000120{uri}}}"#)
    }

    #[test]
    fn the_known_token_verifies_and_no_other() {
        let signed = token(&claims(&format!(r#","uri":"{URI}""#)));
        let known = "VKxvz0b5LzwhWX-Fz9sB1un4A3tuMxE5h_BbeY_tyyiZjwfoH7TDfKQYpucjbLrQcAjvRpEL1hXPGIS0SB3YAA";
        let read = read(&format!("{signed}.{known}")).unwrap();
        let verifies = |text: &str| verifies("EdDSA", KEY, text.as_bytes(), &read.signature);
        assert_eq!((read.name.as_str(), verifies(&signed)), (NAME, Some(true)));
        assert_eq!(verifies(&token(&claims(""))), Some(false));
        assert!(read.is_for(Some(URI)) && !read.is_for(None) && !read.is_for(Some("GET x/y")));
        assert!(read.is_of_its_time(1_700_000_000) && read.is_of_its_time(1_700_000_119));
        assert!(!read.is_of_its_time(1_699_999_999) && !read.is_of_its_time(1_700_000_120));
    }

    #[test]
    fn what_others_write_is_read_and_what_nobody_writes_is_not() {
        let with = |claims: &str| read(&format!("{}.AAAA", token(claims)));
        let cdp =
            with(&claims(&format!(r#","aud":["cdp_service"],"iat":1700000000,"uris":["{URI}"]"#))).unwrap();
        assert!(cdp.is_known_kind() && cdp.is_for(Some(URI)));
        let plain = with(&claims(r#","uri":"GET http://127.0.0.1:1/x""#)).unwrap();
        assert!(plain.is_for(Some("GET 127.0.0.1:1/x")));
        let cloud = claims(r#","aud":["retail_rest_api_proxy"]"#).replace("\"cdp\"", "\"coinbase-cloud\"");
        assert!(with(&cloud).unwrap().is_known_kind());
        assert!(!with(&claims(r#","aud":["retail_rest_api_proxy"]"#)).unwrap().is_known_kind());
        assert!(with(&claims(r#","extra":1"#)).is_none());
        assert!(with(&claims("").replace(NAME, "somebody")).is_none(), "the names differ");
        assert!(read("no token").is_none());
    }
}
