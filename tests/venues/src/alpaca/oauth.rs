//! How an application gets a bearer token: the browser's half, which says yes to everybody, and the server's.
//!
//! Settings of its own: `redirect_uri`, the address every application is registered with (empty: any), and `consent`, which
//! is `yes`, or `no` for a person who does not let the application in. That a challenge (PKCE) is honoured is decided here:
//! Alpaca says nothing of it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand_chacha::rand_core::Rng as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::errors::Error;
use crate::account::AccountChange;
use crate::http::{Answer, Request, encode, form};
use crate::world::State;

/// The rights an application may ask for.
const SCOPES: [&str; 3] = ["account:write", "trading", "data"];

/// Codes that were given out and not yet used.
#[derive(Debug, Default)]
pub(super) struct Codes(BTreeMap<String, Granted>);

#[derive(Clone, Debug)]
struct Granted {
    client_id: String,
    redirect_uri: String,
    scope: String,
    account: String,
    /// What the one who brings the code must know the origin of.
    challenge: Option<String>,
}

impl Codes {
    /// Answers `GET /oauth/authorize` as if the user had agreed: sends the browser back with a code.
    ///
    /// Whose account it is, the parameter `account` says, which Alpaca does not have; else it is the first.
    pub(super) fn authorize(&mut self, state: &mut State, request: &Request) -> Result<Answer, Error> {
        let param = |name: &str| {
            request.param(name).ok_or_else(|| Error::new(400, 40_010_000, format!("{name} is required")))
        };
        let (client_id, redirect_uri, sent_back) =
            (param("client_id")?, param("redirect_uri")?, param("state")?);
        if param("response_type")? != "code" {
            return Err(Error::new(400, 40_010_000, "unsupported response_type"));
        }
        if !state.oauth_clients.contains_key(&client_id) {
            return Err(Error::new(401, 40_110_000, "invalid_client"));
        }
        let registered = state.settings.text("redirect_uri");
        if !registered.is_empty() && registered != redirect_uri {
            return Err(Error::new(400, 40_010_000, "invalid redirect_uri"));
        }
        if request.param("env").is_some_and(|env| !["live", "paper"].contains(&env.as_str())) {
            return Err(Error::new(400, 40_010_000, "invalid env"));
        }
        let scope = request.param("scope").unwrap_or_default();
        if scope.split_whitespace().any(|right| !SCOPES.contains(&right)) {
            return Err(Error::new(400, 40_010_000, "invalid scope"));
        }
        let challenge = request.param("code_challenge");
        if challenge.is_some() && request.param("code_challenge_method").as_deref() != Some("S256") {
            return Err(Error::new(400, 40_010_000, "invalid code_challenge_method"));
        }
        let join = if redirect_uri.contains('?') { '&' } else { '?' };
        if state.settings.text("consent") == "no" {
            let back = format!("{redirect_uri}{join}error=access_denied&state={}", encode(&sent_back));
            return Ok(Answer::empty(302).with("location", back));
        }
        let account = request.param("account").or_else(|| state.directory.first().map(str::to_owned));
        let account = account.filter(|account| state.directory.contains(account));
        let account = account.ok_or_else(|| Error::not_found("no such account"))?;
        let code = random(state);
        let back = format!("{redirect_uri}{join}code={code}&state={}", encode(&sent_back));
        self.0.insert(code, Granted { client_id, redirect_uri, scope, account, challenge });
        Ok(Answer::empty(302).with("location", back))
    }

    /// Answers `POST /oauth/token`: a code is good once, for the application and the address it was made for.
    pub(super) fn token(&mut self, state: &mut State, request: &Request) -> Result<Answer, Error> {
        let fields: BTreeMap<String, String> =
            form(&String::from_utf8_lossy(&request.body)).into_iter().collect();
        let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
        let is_form = request
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        if !is_form || field("grant_type") != "authorization_code" {
            return Err(Error::new(400, 40_010_000, "unsupported_grant_type"));
        }
        let secret = state.oauth_clients.get(field("client_id")).map(String::as_str);
        if secret.is_none_or(|secret| secret != field("client_secret")) {
            return Err(Error::new(401, 40_110_000, "invalid_client"));
        }
        let fits = |granted: &Granted| {
            let meets = match &granted.challenge {
                Some(challenge) => *challenge == s256(field("code_verifier")),
                // A verifier without a challenge: somebody took the challenge out on the way.
                None => !fields.contains_key("code_verifier"),
            };
            meets && granted.client_id == field("client_id") && granted.redirect_uri == field("redirect_uri")
        };
        let granted = self.0.remove(field("code")).filter(fits);
        let granted = granted.ok_or_else(|| Error::new(400, 40_010_000, "invalid_grant"))?;
        let token = match state.directory.token(&granted.account) {
            Some(token) => token.to_owned(),
            None => {
                let token = random(state);
                let change = AccountChange { token: Some(token.clone()), ..AccountChange::default() };
                state.directory.change(&granted.account, &change);
                token
            }
        };
        let body = json!({"access_token": token, "token_type": "bearer", "scope": granted.scope});
        Ok(Answer::json(200, &body))
    }
}

fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

fn random(state: &mut State) -> String {
    let mut bytes = [0; 16];
    state.rng.fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}
