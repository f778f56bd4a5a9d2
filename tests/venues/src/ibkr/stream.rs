//! The websocket: one for all that a gateway has to tell.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_tungstenite::tungstenite::Message;

use super::Manners;
use super::topics::Topics;
use crate::http::Request;
use crate::journal::Note;
use crate::server::{Ended, Socket};
use crate::streams::{Channel, Delivery, Inbox, Push};
use crate::world::World;

/// How often a stream looks whether its session still stands, and whether a heartbeat is due.
const LOOK: Duration = Duration::from_millis(50);

/// Talks to a client until one side ends it.
pub(super) async fn talk(
    manners: Arc<Manners>,
    world: Arc<World>,
    account: String,
    request: Request,
    socket: Socket,
) -> Ended {
    let inbox = world.act(|state, _| state.hub.join(None, &[Channel::Orders, Channel::Prices]));
    let mut line = Line { world, socket, inbox, name: request.path.clone(), account, open: true, next: None };
    line.note("opened");
    let mut topics = Topics::new(manners, &line.account);
    let greeting = topics.greet(&line.world, session_of(&request).as_deref());
    line.say(greeting).await;
    let ended = run(&mut line, &mut topics).await;
    line.end(ended).await
}

async fn run(line: &mut Line, topics: &mut Topics) -> Ended {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_beat = Instant::now();
    loop {
        let heard = tokio::select! {
            heard = line.hear() => heard,
            _ = look.tick() => Heard::Nothing,
        };
        let frames = match heard {
            Heard::Over(ended) => return ended,
            Heard::Said(text) => {
                let frames = topics.command(&line.world, &text);
                if topics.hears_orders() {
                    line.claim();
                }
                frames
            }
            Heard::Push(push) => topics.tell(&line.world, &push),
            Heard::Nothing => {
                let mut frames = topics.status(&line.world);
                if last_beat.elapsed() >= topics.heartbeat() {
                    last_beat = Instant::now();
                    frames.extend(topics.beat(&line.world));
                }
                frames
            }
        };
        line.say(frames).await;
    }
}

/// Returns the session that a client names in its cookie: `api={"session":".."}`, or the bare name.
fn session_of(request: &Request) -> Option<String> {
    let cookies = request.header("cookie")?;
    let value = cookies.split(';').find_map(|cookie| cookie.trim().strip_prefix("api="))?;
    match serde_json::from_str::<Value>(value) {
        Ok(Value::Object(fields)) => fields.get("session").and_then(Value::as_str).map(str::to_owned),
        Ok(_) | Err(_) => Some(value.to_owned()),
    }
}

enum Heard {
    /// The client said something.
    Said(String),
    /// The venue has something to tell.
    Push(Push),
    /// Time has passed.
    Nothing,
    /// It is over.
    Over(Ended),
}

struct Line {
    world: Arc<World>,
    socket: Socket,
    inbox: Inbox,
    name: String,
    account: String,
    open: bool,
    /// What is told next, once it is due.
    next: Option<Delivery>,
}

impl Line {
    async fn say(&mut self, frames: Vec<Value>) {
        for frame in frames {
            let text = frame.to_string();
            // The real gateway's frames are binary.
            let message = if self.world.text_frames() {
                Message::text(text)
            } else {
                Message::binary(text.into_bytes())
            };
            if self.socket.send(message).await.is_err() {
                self.open = false;
                return;
            }
        }
    }

    /// Waits for what is heard next; may be given up at any time, for what is not due yet is kept.
    async fn hear(&mut self) -> Heard {
        if !self.open {
            return Heard::Over(Ended::Closed);
        }
        if let Some(Delivery { due, .. }) = &self.next {
            tokio::select! {
                biased;
                () = self.inbox.cut.notified() => return Heard::Over(Ended::Cut),
                () = sleep_until(*due) => {}
            }
        }
        if let Some(Delivery { push, .. }) = self.next.take() {
            return Heard::Push(push);
        }
        let delivery = tokio::select! {
            biased;
            () = self.inbox.cut.notified() => return Heard::Over(Ended::Cut),
            message = self.socket.next() => return match message {
                Some(Ok(Message::Text(text))) => Heard::Said(text.to_string()),
                Some(Ok(Message::Binary(bytes))) => Heard::Said(String::from_utf8_lossy(&bytes).into_owned()),
                Some(Ok(_)) => Heard::Nothing,
                Some(Err(_)) | None => Heard::Over(Ended::Closed),
            },
            delivery = self.inbox.messages.recv() => delivery,
        };
        if delivery.is_none() {
            return Heard::Over(Ended::Closed);
        }
        self.next = delivery;
        Heard::Nothing
    }

    /// Says whose stream it is: that account's orders are heard on it.
    fn claim(&mut self) {
        let (id, account) = (self.inbox.id, self.account.clone());
        let new = self.world.act(|state, _| {
            let before = state.hub.listening(Some(&account), Channel::Orders);
            state.hub.claim(id, &account);
            state.hub.listening(Some(&account), Channel::Orders) > before
        });
        if new {
            self.note("claimed");
        }
    }

    async fn end(mut self, ended: Ended) -> Ended {
        self.world.act(|state, _| state.hub.leave(self.inbox.id));
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
        let note = Note::Stream { stream: self.name.clone(), event: event.to_owned() };
        self.world.act(|state, now| state.journal.note(now, Some(&self.account), note));
    }
}

/// Returns what is said to who has no session.
pub(super) fn waiting() -> Value {
    json!({"message": "waiting for session"})
}
