//! The new WebSocket: an account's orders, and best prices, to those who ask.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{checks, signing, wire};
use crate::http::Request;
use crate::line::{Codec, Heard, Line};
use crate::server::{Ended, Socket};
use crate::streams::{Channel, Push};
use crate::world::World;

/// The stream of an account's orders.
const ORDERS: &str = "orders@account";

/// Why a message is refused: a status, a code and words.
type Refused = (u16, i64, String);

struct Client {
    line: Line,
    world: Arc<World>,
    account: Option<String>,
    names: BTreeSet<String>,
}

/// Talks to a client until one side ends it.
pub(super) async fn talk(world: Arc<World>, request: Request, socket: Socket) -> Ended {
    // Whose it is was checked before it was opened.
    let account = world.look(|state| signing::stream_of(state, state.clock.now(), &request)).ok().flatten();
    let channels = [Channel::Orders, Channel::Prices];
    let line = Line::open(Arc::clone(&world), &request, socket, Codec::Text, &channels);
    let mut client = Client { line, world, account, names: BTreeSet::new() };
    let ended = loop {
        match client.line.hear().await {
            Heard::Over(ended) => break ended,
            Heard::Push(Push::Order(event)) => {
                if client.names.contains(ORDERS) {
                    for news in wire::news(&event) {
                        client.line.say(&news).await;
                    }
                }
            }
            Heard::Push(Push::Price { symbol, quote, number }) => {
                if client.names.contains(&format!("{}@bookTicker", wire::symbol(&symbol))) {
                    client.line.say(&wire::best(&symbol, &quote, number)).await;
                }
            }
            Heard::Unreadable => {
                client.reply(&Value::Null, Err((400, -1000, "Invalid JSON".to_owned()))).await
            }
            Heard::Said(said) => {
                let answered = client.obey(&said);
                client.reply(said.get("id").unwrap_or(&Value::Null), answered).await;
            }
        }
    };
    client.line.end(ended).await
}

impl Client {
    async fn reply(&mut self, id: &Value, answered: Result<Value, Refused>) {
        let reply = match answered {
            Ok(result) => json!({"id": id, "status": 200, "result": result}),
            Err((status, code, msg)) => {
                json!({"id": id, "status": status, "error": {"code": code, "msg": msg}})
            }
        };
        self.line.say(&reply).await;
    }

    fn obey(&mut self, said: &Value) -> Result<Value, Refused> {
        let refused = |words: &str| (400, -1000, words.to_owned());
        if !said.get("id").is_some_and(Value::is_string) {
            return Err(refused("A message has an id, which is a text"));
        }
        match said.get("method").and_then(Value::as_str) {
            Some("ping" | "conninfo") => Ok(json!({})),
            Some("time") => {
                let now = self.world.look(|state| state.clock.now());
                Ok(json!({"serverTime": now.timestamp_millis()}))
            }
            Some("list_subscriptions") => Ok(json!(self.names)),
            Some(method @ ("subscribe" | "unsubscribe")) => {
                let names = said.get("params").and_then(Value::as_array).into_iter().flatten();
                let names: Option<Vec<String>> = names.map(|name| name.as_str().map(str::to_owned)).collect();
                let names = names.filter(|names| !names.is_empty());
                let names = names.ok_or_else(|| refused("params is a list of names of streams"))?;
                if method == "subscribe" { self.subscribe(names) } else { self.unsubscribe(&names) }
            }
            Some(_) | None => Err(refused("Unknown method")),
        }
    }

    fn subscribe(&mut self, names: Vec<String>) -> Result<Value, Refused> {
        for name in &names {
            match name.split_once('@') {
                Some(("orders", "account")) if self.account.is_none() => {
                    return Err((401, -1002, "Authentication required".to_owned()));
                }
                Some(("orders", "account")) => {}
                Some((symbol, "bookTicker"))
                    if self.world.look(|state| checks::instrument(state, symbol).is_ok()) => {}
                Some(_) | None => return Err((400, -1000, format!("Unknown stream {name}"))),
            }
        }
        if let Some(account) = self.account.clone().filter(|_| names.iter().any(|name| name == ORDERS)) {
            self.line.claim(&account);
        }
        self.names.extend(names);
        Ok(json!({}))
    }

    fn unsubscribe(&mut self, names: &[String]) -> Result<Value, Refused> {
        if let Some(account) = self.account.clone().filter(|_| names.iter().any(|name| name == ORDERS)) {
            self.line.disclaim(&account);
        }
        self.names.retain(|name| !names.contains(name));
        Ok(json!({}))
    }
}
