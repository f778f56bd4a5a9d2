//! The streamer: one socket for prices and for account activity, one connection for each person.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;

use super::Manners;
use super::activity::Teller;
use super::frames::{
    ADD_FAILED, BAD_COMMAND, Command, DENIED, DONE, Frame, NOT_FOUND, STOPPED, SUBS_FAILED, TAKEN_OVER,
    VIEW_FAILED,
};
use super::level_one::LevelOne;
use super::oauth::Login;
use super::rest::{correl, customer};
use super::show::View;
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
    let prices = world.act(|state, _| state.hub.join(None, &[Channel::Prices]));
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
        let commands = match serde_json::from_str::<Frame>(text) {
            Ok(frame) => frame.commands(),
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
        let subscribed = self.teller.is_some() || !self.level_one.is_empty();
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
            ("LEVELONE_EQUITIES", "SUBS" | "ADD" | "UNSUBS" | "VIEW") => match self.level_one.change(command)
            {
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
        let join = |account: &String| world.act(|state, _| state.hub.join(Some(account), &[Channel::Orders]));
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
