//! The WebSocket API: the calls of REST in messages, and the user data stream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::calls::{self, Call, Endpoint, Security};
use super::errors::{self, Error};
use super::params::Params;
use super::{Manners, orders, signing, streams, way_too_much, wire};
use crate::book::{Class, Event, What};
use crate::faults::Action;
use crate::http::Request;
use crate::journal::Note;
use crate::limits::{Allowance, Meter};
use crate::line::{Codec, Heard, Line};
use crate::server::{Ended, Socket, Trouble};
use crate::streams::{Channel, Push};
use crate::world::{State, World};

/// What everything costs that is only about the connection.
const OWN_WEIGHT: u32 = 2;

struct Session {
    line: Line,
    world: Arc<World>,
    manners: Arc<Manners>,
    peer: String,
    tells_limits: bool,
    since: DateTime<Utc>,
    user: Option<User>,
    listens: BTreeMap<u64, Listens>,
    last_id: Option<u64>,
}

/// Who has logged on.
#[derive(Clone)]
struct User {
    key: String,
    account: String,
    since: DateTime<Utc>,
}

/// Whose events are told, and whether that ends with the session.
struct Listens {
    account: String,
    of_session: bool,
}

/// What becomes of a message.
enum Outcome {
    Reply(Result<Value, Error>),
    Garbled,
    Silence,
    Cut,
}

/// Talks to a client until one side ends it.
pub(super) async fn talk(
    manners: Arc<Manners>,
    world: Arc<World>,
    request: Request,
    socket: Socket,
) -> Ended {
    let mut line = Line::open(Arc::clone(&world), &request, socket, Codec::Text, &[Channel::Orders]);
    line.ping(streams::PINGS.0, streams::PINGS.1);
    let mut session = Session {
        line,
        manners,
        peer: request.peer.to_string(),
        tells_limits: request.param("returnRateLimits").as_deref() != Some("false"),
        since: world.look(|state| state.clock.now()),
        world,
        user: None,
        listens: BTreeMap::new(),
        last_id: None,
    };
    let ended = loop {
        match session.line.hear().await {
            Heard::Over(ended) => break ended,
            Heard::Push(Push::Order(event)) => session.tell(&event).await,
            Heard::Push(_) => {}
            Heard::Unreadable => {
                let error = Error::new(400, -1135, "Invalid JSON Request");
                session.line.say(&json!({"id": null, "status": 400, "error": error.body()})).await;
            }
            Heard::Said(said) => {
                if !session.obey(&said).await {
                    break Ended::Cut;
                }
            }
        }
    };
    session.line.end(ended).await
}

impl Session {
    /// Does what a message asks. Returns whether the connection is to go on.
    async fn obey(&mut self, said: &Value) -> bool {
        let id = said.get("id").filter(|id| id.is_string() || id.is_number()).cloned().unwrap_or_default();
        let params = said.get("params").cloned().unwrap_or_else(|| json!({}));
        let known = ["id", "method", "params"];
        let odd =
            said.as_object().is_none_or(|fields| fields.keys().any(|name| !known.contains(&name.as_str())));
        let (outcome, stands) = match said.get("method").and_then(Value::as_str) {
            Some(method) if !odd && params.is_object() => self.call(method, &Params::said(&params)).await,
            Some(_) | None => {
                (Outcome::Reply(Err(Error::new(400, -1135, "Invalid JSON Request"))), Vec::new())
            }
        };
        let mut reply = match outcome {
            Outcome::Reply(Ok(result)) => json!({"id": id, "status": 200, "result": result}),
            Outcome::Reply(Err(error)) => self.refusal(&id, &error, &stands),
            Outcome::Garbled => json!({"id": id, "sta": null}),
            Outcome::Silence => return true,
            Outcome::Cut => return false,
        };
        let asked = params.get("returnRateLimits").and_then(Value::as_bool);
        let limits =
            stands.iter().filter_map(|stand| wire::rate_limit(&stand.pool, stand.bound, Some(stand.used)));
        if let Some(fields) = reply.as_object_mut().filter(|_| asked.unwrap_or(self.tells_limits)) {
            fields.insert("rateLimits".to_owned(), limits.collect());
        }
        self.line.say(&reply).await;
        true
    }

    fn refusal(&self, id: &Value, error: &Error, stands: &[Allowance]) -> Value {
        let mut body = error.body();
        let now = self.world.look(|state| state.clock.now());
        let until = match error.status {
            418 => self.manners.banned(&self.peer, now),
            429 => stands.iter().find(|stand| stand.exceeded).map(|stand| stand.reset),
            _ => None,
        };
        if let (Some(until), Some(fields)) = (until, body.as_object_mut()) {
            let data = json!({"serverTime": wire::time(now), "retryAfter": wire::time(until)});
            fields.insert("data".to_owned(), data);
        }
        json!({"id": id, "status": error.status, "error": body})
    }

    async fn call(&mut self, method: &str, params: &Params) -> (Outcome, Vec<Allowance>) {
        let endpoint = calls::named(method);
        let account = self.claimed(params);
        let meters = match &endpoint {
            Some(endpoint) => endpoint.meters(&self.peer, account.as_deref(), params),
            None => vec![Meter::weighing(wire::WEIGHT, &self.peer, OWN_WEIGHT)],
        };
        let path = format!("{}?{}", method, params.sorted());
        let (stands, fault, number) = self.world.act(|state, now| {
            let stands = state.limits.count(&meters, now);
            let facts = calls::facts(state, format!("WS {method}"), account.clone(), params);
            let received = Note::Received { method: "WS".to_owned(), path: path.clone() };
            let number = state.journal.note(now, account.as_deref(), received);
            let exceeded = stands.iter().any(|stand| stand.exceeded);
            let fault = if exceeded { None } else { state.faults.decide(&facts, &mut state.rng) };
            (stands, fault, number)
        });
        let (delay_ms, action) = fault.clone().unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        let acted = match stands.iter().find(|stand| stand.exceeded) {
            Some(exceeded) => Some(Err(self.manners.over(exceeded).0)),
            None if action.acts() => Some(self.act(endpoint, method, params, &action)),
            None => None,
        };
        let outcome = spoil(&action, acted);
        let (status, cut) = match &outcome {
            Outcome::Reply(Ok(_)) | Outcome::Garbled => (Some(200), None),
            Outcome::Reply(Err(error)) => (Some(error.status), None),
            Outcome::Silence => (None, Some("silence".to_owned())),
            Outcome::Cut => (None, Some("reset".to_owned())),
        };
        let answered = Note::Answered {
            request: number,
            method: "WS".to_owned(),
            path,
            body: Value::Null,
            fault: fault.map(|(ms, action)| json!({"delay_ms": ms, "action": action})),
            status,
            cut,
        };
        self.world.act(|state, now| state.journal.note(now, account.as_deref(), answered));
        (outcome, stands)
    }

    /// Returns the account that a message claims to be of.
    fn claimed(&self, params: &Params) -> Option<String> {
        let key = params.raw("apiKey").or(self.user.as_ref().map(|user| user.key.as_str()))?;
        self.world.look(|state| state.directory.owner_of_key(key).map(str::to_owned))
    }

    fn act(
        &mut self,
        endpoint: Option<&'static Endpoint>,
        method: &str,
        params: &Params,
        action: &Action,
    ) -> Result<Value, Error> {
        let world = Arc::clone(&self.world);
        let (now, banned) = world.look(|state| {
            let now = state.clock.now();
            (now, self.manners.banned(&self.peer, now))
        });
        if let Some(until) = banned {
            return Err(way_too_much(until));
        }
        let Some(endpoint) = endpoint else { return self.own(method, params, now) };
        world.act(|state, now| {
            let account = match endpoint.security {
                Security::Open => String::new(),
                Security::Look | Security::Trade => {
                    let account = self.let_in(state, now, params)?;
                    calls::check_rights(state, &account, endpoint.security)?;
                    account
                }
            };
            let shown = params.clone().without("returnRateLimits");
            state.book.set_doomed(*action == Action::Reject);
            let answered = endpoint.run(state, Call { now, account: &account, params: &shown });
            state.book.set_doomed(false);
            answered
        })
    }

    /// Returns whose a signed message is: whoever signed it, or whoever has logged on.
    fn let_in(&self, state: &State, now: DateTime<Utc>, params: &Params) -> Result<String, Error> {
        if let (Some(user), None) = (&self.user, params.raw("signature")) {
            let signer = state.directory.signer(&user.key);
            signing::check_time(params, now)?;
            return signer.map(|_| user.account.clone()).ok_or_else(Error::key);
        }
        let (account, _) = signer(state, params, now)?;
        Ok(account)
    }

    /// Does what is only about the connection.
    fn own(&mut self, method: &str, params: &Params, now: DateTime<Utc>) -> Result<Value, Error> {
        match method {
            "session.logon" => {
                params.only(&[])?;
                let signed = self.world.look(|state| signer(state, params, now));
                let (account, secret) = signed?;
                if !signing::is_pair(&secret) {
                    return Err(Error::new(400, -4056, "HMAC_SHA256 API key is not supported."));
                }
                let key = params.need("apiKey")?.to_owned();
                self.user = Some(User { key, account, since: now });
                Ok(self.status(now))
            }
            "session.status" => Ok(self.status(now)),
            "session.logout" => {
                self.user = None;
                let gone: Vec<u64> = self
                    .listens
                    .iter()
                    .filter(|(_, listens)| listens.of_session)
                    .map(|(id, _)| *id)
                    .collect();
                gone.into_iter().for_each(|id| self.unsubscribe(id));
                Ok(self.status(now))
            }
            "session.subscriptions" => {
                Ok(self.listens.keys().map(|id| json!({"subscriptionId": id})).collect())
            }
            "userDataStream.subscribe" => {
                let user = self.user.clone();
                let user = user.ok_or_else(|| {
                    Error::new(400, -1002, "You are not authorized to execute this request.")
                })?;
                self.subscribe(user.account, true)
            }
            "userDataStream.subscribe.signature" => {
                params.only(&[])?;
                let signed = self.world.look(|state| {
                    let (account, _) = signer(state, params, now)?;
                    calls::check_rights(state, &account, Security::Look)?;
                    Ok(account)
                });
                self.subscribe(signed?, false)
            }
            "userDataStream.unsubscribe" => {
                let gone: Vec<u64> = match params.whole("subscriptionId")? {
                    Some(id) if self.listens.contains_key(&id) => vec![id],
                    Some(_) => {
                        return Err(Error::new(400, -2036, "User Data Stream subscription not active."));
                    }
                    None => self.listens.keys().copied().collect(),
                };
                gone.into_iter().for_each(|id| self.unsubscribe(id));
                Ok(json!({}))
            }
            _ => Err(Error::new(400, -1000, "Unknown method.")),
        }
    }

    fn status(&self, now: DateTime<Utc>) -> Value {
        json!({
            "apiKey": self.user.as_ref().map(|user| user.key.as_str()),
            "authorizedSince": self.user.as_ref().map(|user| wire::time(user.since)),
            "connectedSince": wire::time(self.since),
            "returnRateLimits": self.tells_limits,
            "serverTime": wire::time(now),
            "userDataStream": !self.listens.is_empty(),
        })
    }

    fn subscribe(&mut self, account: String, of_session: bool) -> Result<Value, Error> {
        if self.listens.values().any(|listens| listens.account == account) {
            return Err(Error::new(400, -2035, "User Data Stream subscription already active."));
        }
        let id = self.last_id.map_or(0, |last| last + 1);
        self.last_id = Some(id);
        self.line.claim_also(&account);
        self.listens.insert(id, Listens { account, of_session });
        Ok(json!({"subscriptionId": id}))
    }

    fn unsubscribe(&mut self, id: u64) {
        if let Some(listens) = self.listens.remove(&id) {
            self.line.disclaim(&listens.account);
        }
    }

    /// Tells of something that happened to an order.
    async fn tell(&mut self, event: &Event) {
        let account = &event.order.ticket.account;
        let found = self.listens.iter().find(|(_, listens)| listens.account == *account);
        let Some((id, Some(report))) = found.map(|(id, _)| (*id, wire::report(event))) else { return };
        let list = list_status(&self.world, event);
        let balances = &event.balances;
        let position = (!balances.is_empty()).then(|| wire::account_position(event.at, balances));
        for told in std::iter::once(report).chain(list).chain(position) {
            self.line.say(&json!({"subscriptionId": id, "event": told})).await;
        }
    }
}

/// Returns what is said of the list that an order is in: once both orders are there, and once both are over.
fn list_status(world: &World, event: &Event) -> Option<Value> {
    let order = &event.order;
    if order.ticket.class != Class::Oco {
        return None;
    }
    let begins = event.what == What::New && order.parent.is_some();
    world.look(|state| {
        let pair = orders::pair_of(state, order)?;
        let params = Params::default();
        let call = Call { now: event.at, account: &order.ticket.account, params: &params };
        let mut list = orders::list_of(state, call, &pair);
        let last =
            pair.iter().filter_map(|id| state.book.order(*id)).filter_map(|order| order.times.updated).max();
        let over = list.get("listStatusType") == Some(&json!("ALL_DONE"));
        let ends = over && !order.status.is_open() && last == Some(event.at) && event.what != What::New;
        if let Some(fields) = list.as_object_mut().filter(|_| begins) {
            fields.insert("listStatusType".to_owned(), json!("EXEC_STARTED"));
            fields.insert("listOrderStatus".to_owned(), json!("EXECUTING"));
        }
        (begins || ends).then(|| wire::list_status(event.at, &list))
    })
}

/// Returns who signed a message, and with which secret.
fn signer(state: &State, params: &Params, now: DateTime<Utc>) -> Result<(String, String), Error> {
    let key = params.need("apiKey")?;
    let (account, secret) = state.directory.signer(key).ok_or_else(Error::key)?;
    params.need("timestamp")?;
    let signature = params.need("signature")?;
    if !signing::is_signed(secret, params.sorted().as_bytes(), signature) {
        return Err(Error::signature());
    }
    signing::check_time(params, now)?;
    Ok((account.to_owned(), secret.to_owned()))
}

/// Returns what becomes of an answer, or of none where the venue did not act.
fn spoil(action: &Action, acted: Option<Result<Value, Error>>) -> Outcome {
    let told = |trouble: Trouble| Outcome::Reply(Err(errors::trouble(&trouble)));
    match action {
        // A stream has no headers to lose.
        Action::Pass | Action::LoseHeader { .. } | Action::Reject => match acted {
            Some(acted) => Outcome::Reply(acted),
            None => told(Trouble::Status(500)),
        },
        Action::Status { status: 429, .. } => told(Trouble::RateLimit),
        Action::Status { status, .. } => told(Trouble::Status(*status)),
        Action::Reset { .. } => Outcome::Cut,
        Action::Silence { .. } => Outcome::Silence,
        Action::Garble => Outcome::Garbled,
        Action::Duplicate => told(Trouble::Duplicate),
        Action::Refuse { status, code, message } => {
            told(Trouble::Refused { status: *status, code: *code, message: message.clone() })
        }
    }
}
