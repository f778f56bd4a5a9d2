//! Both addresses of the WebSocket API: best prices to everybody, and an account's orders to who has its token.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{HEARTBEAT, LOST, Manners, WS_AUTH, wire};
use crate::book::Order;
use crate::http::Request;
use crate::line::{Codec, Heard, Line};
use crate::server::{Ended, Socket};
use crate::streams::{Channel, Push};
use crate::world::World;

struct Client {
    line: Line,
    world: Arc<World>,
    manners: Arc<Manners>,
    is_private: bool,
    /// Whose orders are told.
    account: Option<String>,
    /// Whose prices are told.
    symbols: BTreeSet<String>,
    /// The number of the last message of an account.
    sequence: u64,
}

/// Talks to a client until one side ends it.
pub(super) async fn talk(
    manners: Arc<Manners>,
    world: Arc<World>,
    request: Request,
    socket: Socket,
) -> Ended {
    let channels = [Channel::Orders, Channel::Prices];
    let line = Line::open(Arc::clone(&world), &request, socket, Codec::Text, &channels);
    let is_private = request.path == WS_AUTH;
    let (account, symbols, sequence) = (None, BTreeSet::new(), 0);
    let mut client = Client { line, world, manners, is_private, account, symbols, sequence };
    let hello = json!({"api_version": "v2", "connection_id": 1, "system": "online", "version": "2.0.0"});
    client.line.say(&json!({"channel": "status", "type": "update", "data": [hello]})).await;
    let ended = loop {
        match client.line.hear().await {
            Heard::Over(ended) => break ended,
            Heard::Push(Push::Order(event)) => {
                for told in wire::told(&event) {
                    client.tell("update", vec![told]).await;
                }
            }
            Heard::Push(Push::Price { symbol, quote, .. }) => {
                if client.symbols.contains(&symbol) {
                    client.tick("update", vec![wire::tick(&symbol, &quote)]).await;
                }
            }
            Heard::Unreadable => {
                client.line.say(&json!({"error": "Malformed request", "success": false})).await;
            }
            Heard::Said(said) => client.obey(&said).await,
        }
    };
    client.line.end(ended).await
}

impl Client {
    /// Tells of orders, under the next number.
    async fn tell(&mut self, kind: &str, data: Vec<Value>) {
        let lost = self.world.act(|state, _| {
            let lost = state.settings.number(LOST);
            state.settings.set(LOST, json!(0));
            lost
        });
        self.sequence += 1 + u64::from(lost);
        let sequence = self.sequence;
        self.line
            .say(&json!({"channel": "executions", "type": kind, "data": data, "sequence": sequence}))
            .await;
    }

    async fn tick(&mut self, kind: &str, data: Vec<Value>) {
        self.line.say(&json!({"channel": "ticker", "type": kind, "data": data})).await;
    }

    /// Does what a message asks, and answers.
    async fn obey(&mut self, said: &Value) {
        let now = wire::rfc3339(self.world.look(|state| state.clock.now()));
        let method = said.get("method").and_then(Value::as_str).unwrap_or_default();
        let stamped = |mut reply: Value| {
            if let Some(fields) = reply.as_object_mut() {
                fields.insert("method".to_owned(), json!(method));
                fields.insert("time_in".to_owned(), json!(now));
                fields.insert("time_out".to_owned(), json!(now));
                if let Some(number) = said.get("req_id") {
                    fields.insert("req_id".to_owned(), number.clone());
                }
            }
            reply
        };
        let params = said.get("params").cloned().unwrap_or_default();
        let channel = params.get("channel").and_then(Value::as_str).unwrap_or_default();
        let refused = |words: &str| json!({"success": false, "error": words});
        match (method, channel) {
            ("ping", _) => {
                let mut pong = stamped(json!({}));
                if let Some(fields) = pong.as_object_mut() {
                    fields.insert("method".to_owned(), json!("pong"));
                }
                self.line.say(&pong).await;
            }
            ("subscribe", "executions") if self.is_private => match self.join(&params) {
                Ok(open) => {
                    let result = json!({"channel": "executions"});
                    self.line.say(&stamped(json!({"success": true, "result": result}))).await;
                    self.tell("snapshot", open).await;
                    self.beat();
                }
                Err(words) => self.line.say(&stamped(refused(words))).await,
            },
            ("subscribe" | "unsubscribe", "ticker") if !self.is_private => {
                for symbol in symbols(&params) {
                    let reply = self.wish(&symbol, method == "subscribe");
                    let reply = reply.unwrap_or_else(|words| refused(&words));
                    self.line.say(&stamped(reply)).await;
                    self.show(&symbol, method == "subscribe", &params).await;
                }
            }
            ("subscribe" | "unsubscribe", _) => {
                self.line.say(&stamped(refused("Channel not found"))).await;
            }
            _ => self.line.say(&stamped(refused("Unknown method"))).await,
        }
    }

    /// Begins to say that it is there.
    fn beat(&mut self) {
        let every = self.world.look(|state| state.settings.number(HEARTBEAT));
        if every > 0 {
            self.line.beat(Duration::from_millis(every.into()), json!({"channel": "heartbeat"}));
        }
    }

    /// Begins to tell an account's orders. Returns those that are open, if they are wanted.
    fn join(&mut self, params: &Value) -> Result<Vec<Value>, &'static str> {
        if self.account.is_some() {
            return Err("Already subscribed");
        }
        let token = params.get("token").and_then(Value::as_str).ok_or("Token(s) not found")?;
        let now = self.world.look(|state| state.clock.now());
        let account = self.manners.owner_of(token, now).ok_or("ESession:Invalid session")?;
        if !self.world.look(|state| state.directory.lets_in(&account)) {
            return Err("EGeneral:Permission denied");
        }
        self.line.claim(&account);
        let wanted = params.get("snap_orders").and_then(Value::as_bool).unwrap_or(true);
        let mine = |order: &&Order| order.ticket.account == account && order.status.is_open();
        let open = self.world.look(|state| {
            let open = state.book.orders().filter(mine).filter(|_| wanted);
            open.map(|order| wire::told_whole(order, "new", None)).collect()
        });
        self.account = Some(account);
        Ok(open)
    }

    /// Begins to tell a pair's prices, or ends it.
    fn wish(&mut self, symbol: &str, is_wanted: bool) -> Result<Value, String> {
        if !self.world.look(|state| state.instruments.contains_key(symbol)) {
            return Err(format!("Currency pair not supported {symbol}"));
        }
        let is_new =
            if is_wanted { self.symbols.insert(symbol.to_owned()) } else { self.symbols.remove(symbol) };
        let words = if is_wanted { "Already subscribed" } else { "Subscription Not Found" };
        if !is_new {
            return Err(words.to_owned());
        }
        Ok(json!({"success": true, "result": {"channel": "ticker", "symbol": symbol, "snapshot": true}}))
    }

    /// Shows a pair's prices to who begins to listen.
    async fn show(&mut self, symbol: &str, is_wanted: bool, params: &Value) {
        let wanted = params.get("snapshot").and_then(Value::as_bool).unwrap_or(true);
        if !is_wanted || !self.symbols.contains(symbol) {
            return;
        }
        self.beat();
        let quote = self.world.look(|state| state.book.feed().quote(symbol)).filter(|_| wanted);
        if let Some(quote) = quote {
            self.tick("snapshot", vec![wire::tick(symbol, &quote)]).await;
        }
    }
}

/// Returns the pairs that are meant.
fn symbols(params: &Value) -> Vec<String> {
    let named = params.get("symbol").and_then(Value::as_array).into_iter().flatten();
    named.filter_map(Value::as_str).map(str::to_owned).collect()
}
