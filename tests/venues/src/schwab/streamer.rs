//! The streamer: one socket for prices and for account activity, one connection for each person.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;

use super::Manners;
use super::activity::Teller;
use super::oauth::Login;
use super::rest::{correl, customer};
use super::show::View;
use super::wire::double;
use crate::feed::Quote;
use crate::journal::Note;
use crate::server::{Ended, Socket};
use crate::streams::{Channel, Delivery, Inbox, Push};
use crate::world::World;

/// Where it is.
pub(super) const PATH: &str = "/ws";
/// What its clients say they are.
pub(super) const CHANNEL: &str = "N9";
/// What its clients say they do.
pub(super) const FUNCTION: &str = "APIAPP";
/// The most symbols of a connection.
const SYMBOLS_MAX: usize = 500;
/// The last field of a share's quote.
const FIELD_MAX: u16 = 51;

/// What is said of what was asked. Success is zero for every command, as clients demand: the codes from 26 on, which
/// the documentation has for it, are not used.
const DONE: u16 = 0;
const DENIED: u16 = 3;
const TAKEN_OVER: u16 = 12;
const TOO_MANY: u16 = 19;
const NOT_FOUND: u16 = 20;
const BAD_COMMAND: u16 = 21;
const SUBS_FAILED: u16 = 22;
const UNSUBS_FAILED: u16 = 23;
const ADD_FAILED: u16 = 24;
const VIEW_FAILED: u16 = 25;
const STOPPED: u16 = 30;

/// Several commands, or a bare one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Frame {
    Several(Several),
    One(Command),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Several {
    requests: Vec<Command>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    service: String,
    command: String,
    requestid: Value,
    #[serde(rename = "SchwabClientCustomerId")]
    customer: Option<String>,
    #[serde(rename = "SchwabClientCorrelId")]
    correl: Option<String>,
    #[serde(default)]
    parameters: Map<String, Value>,
}

impl Command {
    fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn keys(&self) -> Vec<&str> {
        self.parameter("keys").split(',').map(str::trim).filter(|key| !key.is_empty()).collect()
    }

    fn fields(&self) -> Option<BTreeSet<u16>> {
        let fields = self.parameter("fields").split(',').map(|field| field.trim().parse::<u16>().ok());
        fields
            .collect::<Option<BTreeSet<_>>>()
            .filter(|fields| fields.iter().all(|field| *field <= FIELD_MAX))
    }
}

/// The prices that a connection asked for, and what it was told of each.
#[derive(Default)]
struct LevelOne {
    keys: BTreeSet<String>,
    fields: BTreeSet<u16>,
    told: BTreeMap<String, BTreeMap<u16, Value>>,
}

impl LevelOne {
    /// Returns those fields of a quote that have changed since they were last told.
    fn changes(&mut self, symbol: &str, quote: &Quote, halted: bool) -> Option<Value> {
        if !self.keys.contains(symbol) {
            return None;
        }
        let ms = quote.at.timestamp_millis();
        let all = [
            (1, double(quote.bid)),
            (2, double(quote.ask)),
            (3, double(quote.last)),
            (4, json!(3)),
            (5, json!(2)),
            (8, json!(0)),
            (12, double(quote.last)),
            (32, json!(if halted { "Halted" } else { "Normal" })),
            (33, double(quote.last)),
            (34, json!(ms)),
            (35, json!(ms)),
        ];
        let told = self.told.entry(symbol.to_owned()).or_default();
        let mut entry = Map::new();
        for (field, value) in all.into_iter().filter(|(field, _)| self.fields.contains(field)) {
            if told.get(&field) != Some(&value) {
                entry.insert(field.to_string(), value.clone());
                told.insert(field, value);
            }
        }
        if entry.is_empty() {
            return None;
        }
        entry.insert("key".to_owned(), json!(symbol));
        entry.insert("delayed".to_owned(), json!(false));
        Some(Value::Object(entry))
    }
}

/// One connection.
struct Stream {
    manners: Arc<Manners>,
    world: Arc<World>,
    socket: Socket,
    prices: Inbox,
    orders: Vec<Inbox>,
    login: Option<Login>,
    taken_over: Arc<Notify>,
    level_one: LevelOne,
    teller: Option<Teller>,
    idle_since: Option<Instant>,
}

/// What is heard.
enum Heard {
    Said(String),
    Delivery(Delivery),
    Beat,
    Idle,
    TakenOver,
    Over(Ended),
}

/// Talks to a client until one side ends it.
pub(super) async fn talk(manners: Arc<Manners>, world: Arc<World>, socket: Socket) -> Ended {
    let prices = world.act(|state, _| state.hub.join(None, Channel::Prices));
    let mut stream = Stream {
        manners,
        world,
        socket,
        prices,
        orders: Vec::new(),
        login: None,
        taken_over: Arc::default(),
        level_one: LevelOne::default(),
        teller: None,
        idle_since: Some(Instant::now()),
    };
    stream.note("opened");
    let ended = stream.run().await;
    stream.end(ended).await
}

impl Stream {
    async fn run(&mut self) -> Ended {
        let mut beat = Instant::now() + self.setting("heartbeat_ms");
        loop {
            match self.hear(beat).await {
                Heard::Over(ended) => return ended,
                Heard::Beat => {
                    beat = Instant::now() + self.setting("heartbeat_ms");
                    let now = self.now().to_string();
                    self.say(&json!({"notify": [{"heartbeat": now}]})).await;
                }
                Heard::Idle => {
                    self.notify(STOPPED, "Stop streaming due to empty subscription").await;
                    return Ended::Closed;
                }
                Heard::TakenOver => {
                    // How it is told is not known; only the code is.
                    self.notify(TAKEN_OVER, "This connection was closed because of another connection.")
                        .await;
                    return Ended::Closed;
                }
                Heard::Delivery(delivery) => self.tell(&delivery.push).await,
                Heard::Said(text) => {
                    if !self.obey(&text).await {
                        return Ended::Closed;
                    }
                }
            }
        }
    }

    async fn hear(&mut self, beat: Instant) -> Heard {
        let idle = self.idle_since.map(|since| since + self.setting("idle_after_ms"));
        let orders = &mut self.orders;
        let prices = &mut self.prices;
        let cut = Arc::clone(&prices.cut);
        loop {
            tokio::select! {
                biased;
                () = cut.notified() => return Heard::Over(Ended::Cut),
                () = self.taken_over.notified() => return Heard::TakenOver,
                message = self.socket.next() => match message {
                    Some(Ok(Message::Text(text))) => return Heard::Said(text.to_string()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Heard::Over(Ended::Closed),
                },
                delivery = poll_fn(|cx| next(prices, orders, cx)) => {
                    // A listener that the venue has removed was cut.
                    let Some(delivery) = delivery else { return Heard::Over(Ended::Cut) };
                    tokio::select! {
                        biased;
                        () = cut.notified() => return Heard::Over(Ended::Cut),
                        () = sleep_until(delivery.due) => return Heard::Delivery(delivery),
                    }
                }
                () = sleep_until(beat) => return Heard::Beat,
                () = sleep_until(idle.unwrap_or(beat)), if idle.is_some() => return Heard::Idle,
            }
        }
    }

    /// Does what a frame asks. Returns false if that was the end.
    async fn obey(&mut self, text: &str) -> bool {
        let commands = match serde_json::from_str(text) {
            Ok(Frame::Several(Several { requests })) => requests,
            Ok(Frame::One(command)) => vec![command],
            Err(_) => {
                self.notify(BAD_COMMAND, "Bad command formatting").await;
                return true;
            }
        };
        let mut responses = Vec::new();
        let mut data = Vec::new();
        let mut goes_on = true;
        for command in commands {
            let (code, message) = self.execute(&command, &mut data);
            let over = code == DENIED || (command.service == "ADMIN" && command.command == "LOGOUT");
            goes_on = goes_on && !over;
            let requestid =
                command.requestid.as_str().map_or_else(|| command.requestid.to_string(), str::to_owned);
            responses.push(json!({
                "service": command.service,
                "command": command.command,
                "requestid": requestid,
                "SchwabClientCorrelId": command.correl,
                "timestamp": self.now(),
                "content": {"code": code, "msg": message},
            }));
        }
        self.say(&json!({"response": responses})).await;
        for (service, content) in data {
            self.say_data(service, "SUBS", content).await;
        }
        let subscribed = self.teller.is_some() || !self.level_one.keys.is_empty();
        self.idle_since = if subscribed { None } else { self.idle_since.or_else(|| Some(Instant::now())) };
        goes_on
    }

    fn execute(&mut self, command: &Command, data: &mut Vec<(&'static str, Vec<Value>)>) -> (u16, String) {
        let done = || (DONE, format!("{} command succeeded", command.command));
        let name = (command.service.as_str(), command.command.as_str());
        if name == ("ADMIN", "LOGIN") {
            return self.log_in(command);
        }
        let Some(login) = self.login.clone() else {
            return (NOT_FOUND, "Stream connection not found".to_owned());
        };
        match name {
            ("ADMIN", "LOGOUT") => (DONE, "SUCCESS".to_owned()),
            ("ACCT_ACTIVITY", "SUBS") => {
                let [label] = command.keys()[..] else {
                    return (SUBS_FAILED, "SUBS command failed".to_owned());
                };
                let teller = Teller::new(label);
                let first = login.accounts.first().map(|account| teller.subscribed(account));
                data.push(("ACCT_ACTIVITY", first.into_iter().collect()));
                self.teller = Some(teller);
                self.listen(&login);
                done()
            }
            ("ACCT_ACTIVITY", "UNSUBS") => {
                self.teller = None;
                self.deafen();
                done()
            }
            ("ACCT_ACTIVITY", "ADD") => (ADD_FAILED, "ADD command failed".to_owned()),
            ("ACCT_ACTIVITY", "VIEW") => (VIEW_FAILED, "VIEW command failed".to_owned()),
            ("LEVELONE_EQUITIES", "SUBS" | "ADD" | "UNSUBS" | "VIEW") => match self.change(command) {
                Ok(keys) => {
                    let content = self.snapshot(&keys);
                    if !content.is_empty() {
                        data.push(("LEVELONE_EQUITIES", content));
                    }
                    done()
                }
                Err(code) => (code, format!("{} command failed", command.command)),
            },
            _ => (BAD_COMMAND, "Bad command formatting".to_owned()),
        }
    }

    fn log_in(&mut self, command: &Command) -> (u16, String) {
        let denied = (DENIED, "Login Denied".to_owned());
        let token = command.parameter("Authorization").to_owned();
        let manners = Arc::clone(&self.manners);
        let login = self.world.act(|state, now| manners.desk().logins.lets_in(state, now, &token));
        let Some(login) = login else { return denied };
        let right = command.customer.as_deref() == Some(&customer(&login))
            && command.correl.as_deref() == Some(&correl(&login))
            && command.parameter("SchwabClientChannel") == CHANNEL
            && command.parameter("SchwabClientFunctionId") == FUNCTION;
        if !right {
            return denied;
        }
        let before = manners.desk().streams.insert(customer(&login), Arc::clone(&self.taken_over));
        if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, &self.taken_over)) {
            before.notify_one();
        }
        if let Some(account) = login.accounts.first() {
            self.world.act(|state, _| state.hub.claim(self.prices.id, account));
        }
        self.login = Some(login);
        self.note("claimed");
        (DONE, "server=simulated;status=NP".to_owned())
    }

    /// Changes which prices are told. Returns the symbols whose prices are told from now on.
    fn change(&mut self, command: &Command) -> Result<Vec<String>, u16> {
        let failed = match command.command.as_str() {
            "SUBS" => SUBS_FAILED,
            "UNSUBS" => UNSUBS_FAILED,
            "ADD" => ADD_FAILED,
            _ => VIEW_FAILED,
        };
        let keys: Vec<String> = command.keys().into_iter().map(str::to_owned).collect();
        if command.command == "VIEW" {
            self.level_one.fields = command.fields().ok_or(failed)?;
            return Ok(Vec::new());
        }
        if keys.is_empty() {
            return Err(failed);
        }
        if command.command == "UNSUBS" {
            self.level_one.keys.retain(|key| !keys.contains(key));
            self.level_one.told.retain(|key, _| !keys.contains(key));
            return Ok(Vec::new());
        }
        let fields = command.fields().ok_or(failed)?;
        let mut all: BTreeSet<String> = keys.iter().cloned().collect();
        if command.command == "ADD" {
            all.extend(self.level_one.keys.iter().cloned());
            self.level_one.fields.extend(fields);
        } else {
            self.level_one.fields = fields;
            self.level_one.told.clear();
        }
        if all.len() > SYMBOLS_MAX {
            return Err(TOO_MANY);
        }
        self.level_one.keys = all;
        Ok(keys)
    }

    fn snapshot(&mut self, keys: &[String]) -> Vec<Value> {
        let level_one = &mut self.level_one;
        self.world.look(|state| {
            let known = keys.iter().filter_map(|key| Some((key, state.book.feed().quote(key)?)));
            known
                .filter_map(|(key, quote)| level_one.changes(key, &quote, state.book.is_halted(key)))
                .collect()
        })
    }

    async fn tell(&mut self, push: &Push) {
        let manners = Arc::clone(&self.manners);
        match push {
            Push::Price { symbol, quote, .. } => {
                let halted = self.world.look(|state| state.book.is_halted(symbol));
                if let Some(entry) = self.level_one.changes(symbol, quote, halted) {
                    self.say_data("LEVELONE_EQUITIES", "SUBS", vec![entry]).await;
                }
            }
            Push::Order(event) => {
                let Some(teller) = &mut self.teller else { return };
                let content = self.world.look(|state| {
                    let desk = manners.desk();
                    teller.tell(View { state, desk: &desk, ids: manners.ids }, event)
                });
                if !content.is_empty() {
                    self.say_data("ACCT_ACTIVITY", "SUBS", content).await;
                }
            }
        }
    }

    fn listen(&mut self, login: &Login) {
        self.deafen();
        let world = &self.world;
        let join = |account: &String| world.act(|state, _| state.hub.join(Some(account), Channel::Orders));
        self.orders = login.accounts.iter().map(join).collect();
        self.note("listens");
    }

    fn deafen(&mut self) {
        for inbox in self.orders.drain(..) {
            self.world.act(|state, _| state.hub.leave(inbox.id));
        }
    }

    fn setting(&self, name: &str) -> Duration {
        Duration::from_millis(self.world.look(|state| state.settings.number(name)).into())
    }

    fn now(&self) -> i64 {
        self.world.look(|state| state.clock.now().timestamp_millis())
    }

    async fn notify(&mut self, code: u16, message: &str) {
        let content = json!({"code": code, "msg": message});
        let note = json!({"service": "ADMIN", "timestamp": self.now(), "content": content});
        self.say(&json!({"notify": [note]})).await;
    }

    async fn say_data(&mut self, service: &str, command: &str, content: Vec<Value>) {
        let timestamp = self.now();
        let data =
            json!({"service": service, "timestamp": timestamp, "command": command, "content": content});
        self.say(&json!({"data": [data]})).await;
    }

    /// Sends a message. What cannot be sent is noticed when next something is to be heard.
    async fn say(&mut self, value: &Value) {
        if self.socket.send(Message::text(value.to_string())).await.is_err() {
            self.prices.messages.close();
        }
    }

    async fn end(mut self, ended: Ended) -> Ended {
        self.deafen();
        self.world.act(|state, _| state.hub.leave(self.prices.id));
        if let Some(login) = &self.login {
            let mut desk = self.manners.desk();
            let mine = |stream: &Arc<Notify>| Arc::ptr_eq(stream, &self.taken_over);
            if desk.streams.get(&customer(login)).is_some_and(mine) {
                desk.streams.remove(&customer(login));
            }
        }
        match ended {
            Ended::Cut => self.note("cut"),
            Ended::Closed => {
                self.note("closed");
                // The other side may be gone; then there is nobody to tell.
                self.socket.close(None).await.unwrap_or_default();
            }
        }
        ended
    }

    fn note(&self, event: &str) {
        let account = self.login.as_ref().and_then(|login| login.accounts.first());
        let note = Note::Stream { stream: PATH.to_owned(), event: event.to_owned() };
        self.world.act(|state, now| state.journal.note(now, account.map(String::as_str), note));
    }
}

/// Returns what comes next from any inbox; none if one of them was closed.
fn next(prices: &mut Inbox, orders: &mut [Inbox], cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
    for inbox in orders.iter_mut().chain([prices]) {
        if let Poll::Ready(delivery) = inbox.messages.poll_recv(cx) {
            return Poll::Ready(delivery);
        }
    }
    Poll::Pending
}
