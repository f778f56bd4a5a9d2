//! Schwab over HTTP: who asks, and where it goes.

use chrono::{DateTime, Utc};
use hyper::Method;
use serde_json::json;
use uuid::Uuid;

use super::desk::{Desk, Ids, account_number, hashed};
use super::errors::Error;
use super::oauth::Login;
use super::streamer;
use super::{accounts, market, orders};
use crate::http::{Answer, Request};
use crate::world::State;

/// One request of somebody who was let in.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    pub(super) ids: Ids,
    pub(super) now: DateTime<Utc>,
    pub(super) login: Login,
    pub(super) request: &'a Request,
}

impl Call<'_> {
    /// Returns the account of this hash, if the login is linked to it. A plain number is none.
    ///
    /// That it is a 404 is decided here.
    pub(super) fn account(&self, hash: &str) -> Result<&str, Error> {
        let mut mine = self.login.accounts.iter();
        let found = mine.find(|name| self.ids.hash(name) == hash);
        found.map(String::as_str).ok_or_else(|| Error::not_found("Account not found"))
    }

    /// Returns whether positions are asked for.
    pub(super) fn wants_positions(&self) -> Result<bool, Error> {
        match self.request.param("fields").as_deref() {
            None | Some("") => Ok(false),
            Some("positions") => Ok(true),
            Some(other) => Err(Error::invalid(format!("invalid fields: {other}"))),
        }
    }
}

/// Returns the bearer token that came with a request.
pub(super) fn bearer(request: &Request) -> Option<&str> {
    request.header("authorization")?.strip_prefix("Bearer ")
}

/// Answers a request of somebody who was let in.
pub(super) fn answer(state: &mut State, desk: &mut Desk, call: &Call<'_>) -> Result<Answer, Error> {
    let segments = call.request.segments();
    let method = &call.request.method;
    match segments.as_slice() {
        ["trader", "v1", "accounts", "accountNumbers"] if method == Method::GET => {
            let mine = call.login.accounts.iter();
            let pairs = mine.map(|name| {
                json!({"accountNumber": account_number(name).to_string(), "hashValue": call.ids.hash(name)})
            });
            Ok(Answer::json(200, &pairs.collect::<Vec<_>>()))
        }
        ["trader", "v1", "accounts"] if method == Method::GET => accounts::list(state, desk, call),
        ["trader", "v1", "accounts", hash] if method == Method::GET => accounts::one(state, desk, call, hash),
        ["trader", "v1", "accounts", _, "orders" | "previewOrder", ..] | ["trader", "v1", "orders"] => {
            orders::answer(state, desk, call)
        }
        ["trader", "v1", "userPreference"] if method == Method::GET => Ok(preference(state, call)),
        ["marketdata", "v1", ..] if method == Method::GET => market::answer(state, desk, call),
        _ => Err(Error::not_found("Not found")),
    }
}

/// Returns the name of a person among the streamer's.
pub(super) fn customer(login: &Login) -> String {
    let name = login.accounts.first().map(String::as_str).unwrap_or_default();
    format!("{:064X}", hashed(&format!("customer {name}")))
}

/// Returns what a person's requests to the streamer are known by.
pub(super) fn correl(login: &Login) -> String {
    let name = login.accounts.first().map(String::as_str).unwrap_or_default();
    Uuid::from_u64_pair(hashed(&format!("correl {name}")), 0x8000_0000_0000_0001).to_string()
}

fn preference(state: &State, call: &Call<'_>) -> Answer {
    let mine = call.login.accounts.iter().enumerate();
    let accounts: Vec<_> = mine
        .map(|(at, name)| {
            let number = account_number(name);
            json!({
                "accountNumber": number.to_string(),
                "primaryAccount": at == 0,
                "type": "BROKERAGE",
                "nickName": name,
                "accountColor": "Green",
                "displayAcctId": format!("...{:03}", number % 1000),
                "autoPositionEffect": false,
            })
        })
        .collect();
    let streamer = json!({
        "streamerSocketUrl": state.settings.text("stream_url"),
        "schwabClientCustomerId": customer(&call.login),
        "schwabClientCorrelId": correl(&call.login),
        "schwabClientChannel": streamer::CHANNEL,
        "schwabClientFunctionId": streamer::FUNCTION,
    });
    let offers = json!([{"level2Permissions": true, "mktDataPermission": "NP"}]);
    Answer::json(200, &json!({"accounts": accounts, "streamerInfo": [streamer], "offers": offers}))
}
