//! The market streams: best prices, to those who ask.
//!
//! Names of other streams are taken, as Binance takes any name, and nothing is ever told on them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::wire;
use crate::feed::Quote;
use crate::http::Request;
use crate::line::{Codec, Heard, Line};
use crate::server::{Ended, Socket};
use crate::streams::{Channel, Push};
use crate::world::World;

/// How often the client is pinged, and how long it may take to answer.
pub(crate) const PINGS: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(60));
/// The most streams on one connection.
const STREAMS_MAX: usize = 1024;
/// The most messages a client may send in a second.
const MESSAGES_MAX: usize = 5;

/// What is wrong with a message, and its number if it has one.
type Refused = (i64, String);

/// What is said of a price.
pub(crate) type Told = fn(&str, &Quote, u64) -> Value;

struct Client {
    line: Line,
    names: BTreeSet<String>,
    combined: bool,
    heard: VecDeque<Instant>,
}

/// Talks to a client until one side ends it, of prices in these words.
pub(crate) async fn talk(world: Arc<World>, request: Request, socket: Socket, told: Told) -> Ended {
    let combined = request.path == "/stream";
    let asked = if combined {
        request.param("streams").unwrap_or_default()
    } else {
        request.path.strip_prefix("/ws/").unwrap_or_default().to_owned()
    };
    let names = asked.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let mut line = Line::open(world, &request, socket, Codec::Text, &[Channel::Prices]);
    line.ping(PINGS.0, PINGS.1);
    let mut client = Client { line, names, combined, heard: VecDeque::new() };
    let ended = loop {
        let (answered, id) = match client.line.hear().await {
            Heard::Over(ended) => break ended,
            Heard::Push(Push::Price { symbol, quote, number }) => {
                let name = format!("{}@bookTicker", wire::symbol(&symbol).to_lowercase());
                if client.names.contains(&name) {
                    let event = told(&symbol, &quote, number);
                    client.tell(&name, event).await;
                }
                continue;
            }
            Heard::Push(_) => continue,
            Heard::Unreadable => {
                let words = "Invalid JSON: expected value at line 1 column 1".to_owned();
                (Err((3, words)), Value::Null)
            }
            Heard::Said(said) => {
                let id = said.get("id").cloned().unwrap_or_default();
                (client.obey(&said), id)
            }
        };
        if !client.keeps_calm() {
            break Ended::Closed;
        }
        let reply = match answered {
            Ok(result) => json!({"result": result, "id": id}),
            Err((code, words)) => json!({"code": code, "msg": words, "id": id}),
        };
        client.line.say(&reply).await;
    };
    client.line.end(ended).await
}

impl Client {
    fn obey(&mut self, said: &Value) -> Result<Value, Refused> {
        let refused = |words: &str| (2, format!("Invalid request: {words}"));
        let id = said.get("id").ok_or_else(|| refused("request ID must be an unsigned integer"))?;
        if !(id.is_null() || id.is_i64() || id.is_u64() || id.as_str().is_some_and(|id| id.len() <= 36)) {
            return Err(refused("request ID must be an unsigned integer"));
        }
        let fields = said.as_object().map(|fields| fields.len()).unwrap_or_default();
        let known = ["method", "params", "id"].iter().filter(|name| said.get(**name).is_some()).count();
        if fields > known {
            return Err(refused("too many parameters"));
        }
        let method = said.get("method").and_then(Value::as_str);
        let method = method.ok_or_else(|| refused("missing field `method` at line 1 column 1"))?;
        let params = said.get("params").and_then(Value::as_array).cloned().unwrap_or_default();
        let names = || -> Result<BTreeSet<String>, Refused> {
            let names = params.iter().map(|name| name.as_str().map(str::to_owned));
            names.collect::<Option<_>>().ok_or_else(|| refused("property name must be a string"))
        };
        match method {
            "SUBSCRIBE" => {
                let names = names()?;
                if self.names.union(&names).count() > STREAMS_MAX {
                    return Err(refused("too many streams"));
                }
                self.names.extend(names);
                Ok(Value::Null)
            }
            "UNSUBSCRIBE" => {
                let names = names()?;
                self.names.retain(|name| !names.contains(name));
                Ok(Value::Null)
            }
            "LIST_SUBSCRIPTIONS" => Ok(json!(self.names)),
            "GET_PROPERTY" | "SET_PROPERTY" => self.property(method, &params),
            other => Err(refused(&format!(
                "unknown variant `{other}`, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, `LIST_SUBSCRIPTIONS`, \
                 `SET_PROPERTY`, `GET_PROPERTY` at line 1 column 1"
            ))),
        }
    }

    fn property(&mut self, method: &str, params: &[Value]) -> Result<Value, Refused> {
        let name = params.first().and_then(Value::as_str);
        let name = name.ok_or((2, "Invalid request: property name must be a string".to_owned()))?;
        if name != "combined" {
            return Err((0, "Unknown property".to_owned()));
        }
        if method == "GET_PROPERTY" {
            return Ok(json!(self.combined));
        }
        let value = params.get(1).and_then(Value::as_bool);
        self.combined = value.ok_or((1, "Invalid value type: expected Boolean".to_owned()))?;
        Ok(Value::Null)
    }

    async fn tell(&mut self, name: &str, event: Value) {
        let event = if self.combined { json!({"stream": name, "data": event}) } else { event };
        self.line.say(&event).await;
    }

    /// Counts a message. Returns whether the client sends no more than it may.
    fn keeps_calm(&mut self) -> bool {
        let now = Instant::now();
        self.heard.push_back(now);
        while self.heard.front().is_some_and(|at| now - *at >= Duration::from_secs(1)) {
            self.heard.pop_front();
        }
        self.heard.len() <= MESSAGES_MAX
    }
}
