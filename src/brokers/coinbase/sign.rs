//! A fresh token for every request: a JWT, signed with an Ed25519 key (EdDSA) or one of the curve P-256 (ES256).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use ed25519_dalek::{Signer, SigningKey};
use secrecy::ExposeSecret;
use serde::Serialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::brokers::credentials::Auth;
use crate::brokers::venue::call::{Call, Moment, Signed};
use crate::brokers::venue::{mac, pem};

/// How long a token is good, in seconds: as long as Coinbase allows.
const GOOD_S: i64 = 120;

/// By how much a token is dated back: what is known of Coinbase's clock is off by as much as an answer takes, and a
/// token of a time to come is refused.
const BACK: TimeDelta = TimeDelta::seconds(2);

/// The head of a token, in the order in which it is written.
#[derive(Serialize)]
struct Head<'a> {
    alg: &'static str,
    kid: &'a str,
    nonce: &'a str,
    typ: &'static str,
}

/// What a token says, in the order in which it is written.
#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    iss: &'static str,
    nbf: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
}

/// What tokens are signed with.
enum Key {
    Ed25519(SigningKey),
    P256(EcdsaKeyPair),
}

impl Key {
    /// Reads a secret: PEM of either kind, or base64 of an Ed25519 key with or without its public half.
    fn read(secret: &str) -> Option<Self> {
        if let Some(der) = pem::der(secret) {
            let p256 = || EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).ok();
            return pem::ed25519(&der).map(Self::Ed25519).or_else(|| p256().map(Self::P256));
        }
        let bytes = mac::unbase64(secret)?;
        if let Ok(pair) = <&[u8; 64]>::try_from(bytes.as_slice()) {
            return SigningKey::from_keypair_bytes(pair).ok().map(Self::Ed25519);
        }
        let seed = Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).ok()?);
        Some(Self::Ed25519(SigningKey::from_bytes(&seed)))
    }

    const fn alg(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::P256(_) => "ES256",
        }
    }

    fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Ed25519(key) => Some(key.sign(text).to_bytes().to_vec()),
            Self::P256(pair) => pair.sign(&SystemRandom::new(), text).ok().map(|made| made.as_ref().to_vec()),
        }
    }
}

/// Puts a request into its final form; `None`: it cannot be made with such credentials.
///
/// The token names method, host and path; the query is not signed.
pub(super) fn request(auth: Option<&Auth>, call: &Call, moment: &Moment) -> Option<Signed> {
    let mut sent = Signed::plain(call);
    if let Some(body) = &call.json {
        sent = sent.with_body("application/json", body.as_bytes());
    }
    let Some(auth) = auth else { return Some(sent) };
    let uri = format!("{} {}{}", call.method, moment.host, call.path);
    let token = Zeroizing::new(format!("Bearer {}", *fresh(auth, Some(&uri), moment)?));
    sent.with_hidden("authorization", &token)
}

/// Returns the token that opens the stream of an account's orders; `None`: none can be made with such credentials.
pub(super) fn subscription(auth: Option<&Auth>, moment: &Moment) -> Option<String> {
    Some(fresh(auth?, None, moment)?.to_string())
}

fn fresh(auth: &Auth, uri: Option<&str>, moment: &Moment) -> Option<Zeroizing<String>> {
    let earlier = Moment { at: moment.at.checked_sub_signed(BACK)?, ..moment.clone() };
    token(auth, uri, &earlier, &Uuid::new_v4().simple().to_string())
}

/// Makes a token with a given nonce.
pub(super) fn token(
    auth: &Auth,
    uri: Option<&str>,
    moment: &Moment,
    nonce: &str,
) -> Option<Zeroizing<String>> {
    let Auth::ApiKey { key_id, secret } = auth else { return None };
    let (name, key) = (key_id.expose_secret(), Key::read(secret.expose_secret())?);
    let now = moment.at.timestamp();
    let head = Head { alg: key.alg(), kid: name, nonce, typ: "JWT" };
    let claims = Claims { sub: name, iss: "cdp", nbf: now, exp: now.checked_add(GOOD_S)?, uri };
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let (head, claims) = (serde_json::to_vec(&head).ok()?, serde_json::to_vec(&claims).ok()?);
    let signed = format!("{}.{}", encode(&head), encode(&claims));
    let signature = encode(&key.sign(signed.as_bytes())?);
    Some(Zeroizing::new(format!("{signed}.{signature}")))
}
