//! How an application gets a bearer token: the browser's half, which says yes to everybody, and the server's.

use std::collections::BTreeMap;

use rand_chacha::rand_core::Rng as _;
use serde_json::json;

use super::errors::Error;
use crate::account::AccountChange;
use crate::http::{Answer, Request, encode, form};
use crate::world::State;

/// Codes that were given out and not yet used.
#[derive(Debug, Default)]
pub(super) struct Codes(BTreeMap<String, Granted>);

#[derive(Clone, Debug)]
struct Granted {
    client_id: String,
    redirect_uri: String,
    scope: String,
    account: String,
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
        let account = request.param("account").or_else(|| state.directory.first().map(str::to_owned));
        let account = account.filter(|account| state.directory.contains(account));
        let account = account.ok_or_else(|| Error::not_found("no such account"))?;
        let scope = request.param("scope").unwrap_or_default();
        let code = random(state);
        let join = if redirect_uri.contains('?') { '&' } else { '?' };
        let back = format!("{redirect_uri}{join}code={code}&state={}", encode(&sent_back));
        self.0.insert(code, Granted { client_id, redirect_uri, scope, account });
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
            granted.client_id == field("client_id") && granted.redirect_uri == field("redirect_uri")
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

fn random(state: &mut State) -> String {
    let mut bytes = [0; 16];
    state.rng.fill_bytes(&mut bytes);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}
