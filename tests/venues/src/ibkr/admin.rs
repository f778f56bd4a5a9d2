//! The part of the administration that is only for gateways, below `/admin/ibkr`.
//!
//! | `POST` | body |
//! |---|---|
//! | `/gateways/{account}/login` | none: a human logs in |
//! | `/gateways/{account}/logout` | none: from now on a human is needed |
//! | `/gateways/{account}/compete` | none: the username is used elsewhere |
//! | `/gateways/{account}/connection` | `{"connected":false}` |
//! | `/gateways/{account}/account` | `{"fractions":true,"paper":false}` |
//! | `/policy` | any fields of [`Policy`]: `{"pacing":{"penalty_ms":500}}`, `{"unpaid":"at_once"}`, `{"failing_legs":[2]}` |
//! | `/questions` | `[{"id":"o10151","order_type":"MKT","times":1}]`: see [`Ask`] |
//! | `/data` | `{"symbol":"AAPL","availability":"N"}` |
//!
//! `DELETE /questions` ends all of them, `DELETE /pacing` lets everybody out of the penalty box. `GET` shows `/gateways`
//! and `/policy`.
//!
//! [`Policy`]: super::gateway::Policy

use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::gateway::{Gateway, Gateways, Policy};
use super::questions::Ask;
use crate::http::{Answer, Request};
use crate::world::State;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Connection {
    connected: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Properties {
    #[serde(default)]
    fractions: Option<bool>,
    #[serde(default)]
    paper: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    symbol: String,
    availability: char,
}

/// Answers a request to this part, or none if it is to another.
pub(super) fn answer(state: &State, gateways: &mut Gateways, request: &Request) -> Option<Answer> {
    let segments = request.segments();
    let ["admin", "ibkr", path @ ..] = segments.as_slice() else { return None };
    let answered = match request.method {
        Method::GET => look(gateways, path),
        Method::POST => change(state, gateways, path, request),
        Method::DELETE => match path {
            ["questions"] => {
                gateways.asks.clear();
                Ok(json!({}))
            }
            ["pacing"] => {
                gateways.forgive();
                Ok(json!({}))
            }
            _ => Err((404, "there is nothing here".to_owned())),
        },
        _ => Err((404, "there is nothing here".to_owned())),
    };
    Some(match answered {
        Ok(body) => Answer::json(200, &body),
        Err((status, error)) => Answer::json(status, &json!({"error": error})),
    })
}

type Answered = Result<Value, (u16, String)>;

fn read<T: serde::de::DeserializeOwned>(request: &Request) -> Result<T, (u16, String)> {
    request.json().map_err(|error| (400, error.to_string()))
}

fn look(gateways: &Gateways, path: &[&str]) -> Answered {
    match path {
        ["gateways"] => Ok(json!(gateways.standings())),
        ["policy"] => Ok(json!(gateways.policy)),
        _ => Err((404, "there is nothing here".to_owned())),
    }
}

fn change(state: &State, gateways: &mut Gateways, path: &[&str], request: &Request) -> Answered {
    let now = state.clock.now();
    match path {
        ["gateways", account, what] => {
            if !state.directory.contains(account) {
                return Err((404, format!("there is no account {account}")));
            }
            let gateway: &mut Gateway = gateways.desk(account, now).gateway;
            match *what {
                "login" => gateway.log_in(now),
                "logout" => gateway.log_out(),
                "compete" => gateway.compete(),
                "connection" => gateway.connect(read::<Connection>(request)?.connected),
                "account" => {
                    let Properties { fractions, paper } = read(request)?;
                    gateway.fractions = fractions.unwrap_or(gateway.fractions);
                    gateway.paper = paper.unwrap_or(gateway.paper);
                }
                _ => return Err((404, "there is nothing here".to_owned())),
            }
            Ok(json!(gateway.standing()))
        }
        ["policy"] => {
            gateways.policy = merged(&gateways.policy, &request.body_value())?;
            Ok(json!(gateways.policy))
        }
        ["questions"] => {
            gateways.asks.extend(read::<Vec<Ask>>(request)?);
            Ok(json!(gateways.asks))
        }
        ["data"] => {
            let Data { symbol, availability } = read(request)?;
            gateways.availability.insert(symbol, availability);
            Ok(json!({}))
        }
        _ => Err((404, "there is nothing here".to_owned())),
    }
}

/// Returns a policy with some fields changed; those left out stay, inside objects too.
fn merged(policy: &Policy, changes: &Value) -> Result<Policy, (u16, String)> {
    fn merge(into: &mut Value, changes: &Value) {
        match (into, changes) {
            (Value::Object(into), Value::Object(changes)) => {
                for (name, change) in changes {
                    merge(into.entry(name.clone()).or_insert(Value::Null), change);
                }
            }
            (into, change) => *into = change.clone(),
        }
    }
    let mut all = json!(policy);
    merge(&mut all, changes);
    serde_json::from_value(all).map_err(|error| (400, error.to_string()))
}
