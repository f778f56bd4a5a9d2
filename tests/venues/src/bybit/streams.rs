//! The streams: an account's orders and executions to who has said who he is, and best prices to anybody.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{PRIVATE, checks, signing, wire};
use crate::http::Request;
use crate::line::{Codec, Heard, Line};
use crate::server::{Ended, Socket};
use crate::streams::{Channel, Push};
use crate::world::World;

/// What the private stream tells, by name.
const TOPICS: [&str; 4] = ["order", "execution", "position", "wallet"];
/// Most names in one request for prices.
const NAMES_MAX: usize = 10;

struct Client {
    line: Line,
    world: Arc<World>,
    is_private: bool,
    account: Option<String>,
    topics: BTreeSet<String>,
}

/// Talks to a client until one side ends it.
pub(super) async fn talk(world: Arc<World>, request: Request, socket: Socket) -> Ended {
    let is_private = request.path == PRIVATE;
    let channel = if is_private { Channel::Orders } else { Channel::Prices };
    let line = Line::open(Arc::clone(&world), &request, socket, Codec::Text, &[channel]);
    let mut client = Client { line, world, is_private, account: None, topics: BTreeSet::new() };
    let ended = loop {
        match client.line.hear().await {
            Heard::Over(ended) => break ended,
            Heard::Push(Push::Order(event)) => {
                for (topic, frame) in wire::news(&event) {
                    if client.topics.contains(topic) {
                        client.line.say(&frame).await;
                    }
                }
            }
            Heard::Push(Push::Price { symbol, quote, number }) => {
                if client.topics.contains(&format!("orderbook.1.{}", wire::symbol(&symbol))) {
                    client.line.say(&wire::best(&symbol, &quote, number)).await;
                }
            }
            Heard::Unreadable => client.reply("", &Value::Null, Err("Invalid JSON".to_owned())).await,
            Heard::Said(said) => {
                if !client.obey(&said).await {
                    break Ended::Closed;
                }
            }
        }
    };
    client.line.end(ended).await
}

impl Client {
    async fn reply(&mut self, op: &str, said: &Value, answered: Result<(), String>) {
        let mut reply = json!({
            "success": answered.is_ok(),
            "ret_msg": answered.err().unwrap_or_default(),
            "op": op,
            "conn_id": "c1",
        });
        if let (Some(fields), Some(id)) = (reply.as_object_mut(), said.get("req_id")) {
            fields.insert("req_id".to_owned(), id.clone());
        }
        self.line.say(&reply).await;
    }

    /// Does what a message asks. Returns whether the stream goes on.
    async fn obey(&mut self, said: &Value) -> bool {
        let op = said.get("op").and_then(Value::as_str).unwrap_or_default();
        match op {
            "ping" if self.is_private => {
                let now = self.world.look(|state| state.clock.now()).timestamp_millis();
                self.line.say(&json!({"op": "pong", "args": [now.to_string()]})).await;
            }
            "ping" => self.line.say(&json!({"success": true, "ret_msg": "pong", "op": "ping"})).await,
            "auth" if self.is_private => {
                let entered = self.enter(said);
                let goes_on = entered.is_ok();
                self.reply(op, said, entered).await;
                return goes_on;
            }
            "subscribe" => {
                let new = self.subscribe(said);
                self.reply(op, said, new.as_ref().map(|_| ()).map_err(Clone::clone)).await;
                for frame in new.unwrap_or_default() {
                    self.line.say(&frame).await;
                }
            }
            "unsubscribe" => {
                let gone = names(said);
                self.topics.retain(|topic| gone.as_ref().is_ok_and(|gone| !gone.contains(topic)));
                self.reply(op, said, gone.map(drop)).await;
            }
            _ => self.reply(op, said, Err(format!("Unknown op {op}"))).await,
        }
        true
    }

    /// Reads who somebody says he is: the time, in milliseconds, may be a number or text.
    fn enter(&mut self, said: &Value) -> Result<(), String> {
        let args = said.get("args").and_then(Value::as_array).cloned().unwrap_or_default();
        let [Value::String(key), until, Value::String(signature)] = args.as_slice() else {
            return Err("Params Error".to_owned());
        };
        let until = until.as_str().map_or_else(|| until.to_string(), str::to_owned);
        let entered = self.world.look(|state| {
            let now = state.clock.now().timestamp_millis();
            let account = signing::stream_of(state, now, key, &until, signature)?;
            Ok::<_, super::Error>(account)
        });
        self.account = Some(entered.map_err(|error| error.message)?);
        Ok(())
    }

    /// Adds topics. Returns what is told of them at once: the best prices as they are.
    fn subscribe(&mut self, said: &Value) -> Result<Vec<Value>, String> {
        let names = names(said)?;
        let mut whole = Vec::new();
        if self.is_private {
            let account = self.account.clone().ok_or("Request not authorized")?;
            if let Some(odd) = names.iter().find(|name| !TOPICS.contains(&name.as_str())) {
                return Err(format!("error:handler not found,topic:{odd}"));
            }
            self.line.claim(&account);
        } else {
            if names.len() > NAMES_MAX {
                return Err("args size >10".to_owned());
            }
            for name in &names {
                let odd = || format!("error:handler not found,topic:{name}");
                let symbol = name.strip_prefix("orderbook.1.").ok_or_else(odd)?;
                let quote = self.world.look(|state| {
                    let listed = checks::find(state, symbol)?;
                    Some((listed.symbol.clone(), state.book.feed().quote(&listed.symbol)))
                });
                let (of, quote) = quote.ok_or_else(|| format!("Invalid symbol :[{name}]"))?;
                whole.extend(quote.map(|quote| wire::best(&of, &quote, 1)));
            }
        }
        self.topics.extend(names);
        Ok(whole)
    }
}

fn names(said: &Value) -> Result<BTreeSet<String>, String> {
    let args = said.get("args").and_then(Value::as_array).into_iter().flatten();
    let names: Option<BTreeSet<_>> = args.map(|name| name.as_str().map(str::to_owned)).collect();
    names.filter(|names| !names.is_empty()).ok_or_else(|| "Params Error".to_owned())
}
