//! The gateway's paths: who may ask for what, and the session itself.
//!
//! That a request without `User-Agent` is refused with 403, and a body that is not said to be JSON with 415, is
//! unconfirmed.

use chrono::{DateTime, Utc};
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::errors::Error;
use super::gateway::{Desk, Gateways};
use super::questions::SUPPRESSED_MAX;
use super::wire::Ids;
use super::{contracts, orders, portfolio, quotes};
use crate::http::{Answer, Request};
use crate::world::State;

/// One request to one account's gateway.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) ids: Ids,
    pub(super) now: DateTime<Utc>,
    pub(super) account: &'a str,
    /// The path below `/v1/api`.
    pub(super) path: &'a [&'a str],
    pub(super) request: &'a Request,
}

impl Call<'_> {
    /// Returns whether a query parameter says `true`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.request.param(name).is_some_and(|text| text.eq_ignore_ascii_case("true"))
    }

    /// Reads the body as a JSON object of a known shape.
    pub(super) fn body<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        self.request.object().map_err(|error| Error::bad(&format!("invalid request body: {error}")))
    }

    /// Checks that an account named somewhere is this gateway's.
    pub(super) fn own(&self, account: &str) -> Result<(), Error> {
        if account == self.account {
            Ok(())
        } else {
            Err(Error::bad(&format!("accountId is not valid: {account}")))
        }
    }
}

/// Answers a request.
pub(super) fn answer(state: &mut State, gateways: &mut Gateways, call: Call<'_>) -> Result<Answer, Error> {
    let mut desk = gateways.desk(call.account, call.now);
    if call.request.header("user-agent").is_none_or(str::is_empty) {
        return Err(Error::new(403, "Access Denied"));
    }
    let plain = call.request.header("content-type").is_none_or(|kind| !kind.starts_with("application/json"));
    if !call.request.body.is_empty() && plain {
        return Err(Error::new(415, "Unsupported Media Type"));
    }
    if !desk.gateway.pacer.admit(&desk.policy.pacing, call.now, call.path) {
        return Err(Error::too_often());
    }
    let standing = desk.gateway.standing();
    if !standing.logged_in {
        return Err(Error::unauthorized());
    }
    desk.gateway.touch(call.now);
    let needs_bridge = match call.path {
        ["iserver", "auth", ..] | ["iserver", "reauthenticate"] => false,
        ["iserver", ..] => true,
        _ => false,
    };
    if needs_bridge && !standing.authenticated {
        return Err(Error::no_bridge());
    }
    let needs_accounts =
        matches!(call.path, ["iserver", "account" | "reply" | "notification" | "marketdata", ..]);
    let needs_portfolio =
        matches!(call.path, ["portfolio" | "portfolio2", ..]) && call.path != ["portfolio", "accounts"];
    let session = &desk.gateway.session;
    if (needs_accounts && !session.primed) || (needs_portfolio && !session.portfolio) {
        return Err(Error::accounts_first());
    }
    let body = route(state, &mut desk, call)?;
    Ok(Answer::json(200, &body))
}

fn route(state: &mut State, desk: &mut Desk<'_>, call: Call<'_>) -> Result<Value, Error> {
    match (&call.request.method, call.path) {
        (&Method::POST | &Method::GET, ["iserver", "auth", "status"]) => Ok(desk.gateway.auth_status()),
        (&Method::POST, ["iserver", "auth", "ssodh", "init"]) => init(desk, call),
        (&Method::POST, ["iserver", "reauthenticate"]) => {
            desk.gateway.init(call.now, false);
            Ok(json!({"message": "triggered"}))
        }
        (&Method::POST, ["tickle"]) => Ok(tickle(desk, call)),
        (&Method::GET, ["sso", "validate"]) => Ok(validate(desk, call)),
        (&Method::POST, ["logout"]) => {
            desk.gateway.log_out();
            Ok(json!({"status": true}))
        }
        (&Method::GET, ["iserver", "accounts"]) => Ok(accounts(desk)),
        (&Method::POST, ["iserver", "questions", "suppress"]) => suppress(desk, call),
        (&Method::POST, ["iserver", "questions", "suppress", "reset"]) => {
            desk.gateway.session.suppressed.clear();
            Ok(json!({"status": "submitted"}))
        }
        (&Method::GET, ["trsrv", "stocks"]) => contracts::stocks(state, call.request),
        (&Method::GET | &Method::POST, ["iserver", "secdef", "search"]) => {
            contracts::search(state, call.request)
        }
        (&Method::POST, ["iserver", "contract", "rules"]) => {
            contracts::rules(state, call.request, call.account, desk.gateway.fractions)
        }
        (&Method::GET, ["contract", "trading-schedule"]) => {
            contracts::schedule(state, call.now, call.request)
        }
        (_, ["portfolio" | "portfolio2", ..]) => portfolio::answer(state, desk, call),
        (&Method::GET, ["iserver", "account", account, "summary"]) => {
            call.own(account)?;
            portfolio::trading_summary(state, call)
        }
        (&Method::GET, ["iserver", "account", "pnl", "partitioned"]) => {
            Ok(json!({"upnl": portfolio::gains(state, call.account)}))
        }
        (_, ["iserver", "marketdata", ..]) => quotes::answer(state, desk, call),
        (_, ["iserver", "account" | "reply" | "notification", ..]) => orders::answer(state, desk, call),
        _ => Err(Error::nowhere()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Init {
    publish: bool,
    compete: bool,
}

fn init(desk: &mut Desk<'_>, call: Call<'_>) -> Result<Value, Error> {
    let Init { publish, compete } = call.body()?;
    if !publish {
        return Err(Error::new(500, "failed to generate sso dh token"));
    }
    // Whether that worked, the status says.
    desk.gateway.init(call.now, compete);
    Ok(desk.gateway.auth_status())
}

fn tickle(desk: &Desk<'_>, call: Call<'_>) -> Value {
    json!({
        "session": desk.gateway.session_name(),
        "ssoExpires": desk.gateway.login_lasts(call.now),
        "collission": false,
        "userId": 123,
        "hmds": {"error": "no bridge"},
        "iserver": {"authStatus": desk.gateway.auth_status()},
    })
}

fn validate(desk: &Desk<'_>, call: Call<'_>) -> Value {
    json!({
        "USER_ID": 123,
        "USER_NAME": desk.gateway.account.to_lowercase(),
        "RESULT": true,
        "AUTH_TIME": desk.gateway.login_at().map(|at| at.timestamp_millis()),
        "SF_ENABLED": false,
        "IS_FREE_TRIAL": false,
        "CREDENTIAL": desk.gateway.account.to_lowercase(),
        "IP": "127.0.0.1",
        "EXPIRES": desk.gateway.login_lasts(call.now),
        "LOGIN_TYPE": if desk.gateway.paper { 2 } else { 1 },
    })
}

fn accounts(desk: &mut Desk<'_>) -> Value {
    desk.gateway.session.primed = true;
    let account = &desk.gateway.account;
    json!({
        "accounts": [account],
        "acctProps": {account: {
            "hasChildAccounts": false,
            "supportsCashQty": true,
            "noFXConv": false,
            "isProp": false,
            "supportsFractions": desk.gateway.fractions,
            "allowCustomerTime": false,
        }},
        "aliases": {account: account},
        "groups": [],
        "profiles": [],
        "selectedAccount": account,
        "serverInfo": {"serverName": "JifN19053", "serverVersion": "Build 10.25.0p, Dec 5, 2023 5:48:12 PM"},
        "sessionId": desk.gateway.session_name(),
        "isFT": false,
        "isPaper": desk.gateway.paper,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Suppress {
    message_ids: Vec<String>,
}

fn suppress(desk: &mut Desk<'_>, call: Call<'_>) -> Result<Value, Error> {
    let Suppress { message_ids } = call.body()?;
    if message_ids.len() > SUPPRESSED_MAX {
        return Err(Error::new(500, "Internal Server Error"));
    }
    desk.gateway.session.suppressed.extend(message_ids);
    Ok(json!({"status": "submitted"}))
}
