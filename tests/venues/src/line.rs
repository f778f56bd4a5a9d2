//! One open stream: what is said and heard on it, as JSON or msgpack, in text or binary frames.

use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use futures_util::{SinkExt, StreamExt};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::Message;

use crate::http::Request;
use crate::journal::Note;
use crate::server::{Ended, Socket};
use crate::streams::{Channel, Delivery, Inbox, Push};
use crate::world::World;

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// JSON in text frames.
    Text,
    /// JSON in binary frames.
    Binary,
    /// Msgpack, in binary frames.
    Msgpack,
}

impl Codec {
    /// Returns what a client asked for in its handshake, or else this one.
    #[must_use]
    pub fn asked(request: &Request, otherwise: Self) -> Self {
        match request.header("content-type") {
            Some("application/msgpack") => Self::Msgpack,
            Some(_) | None => otherwise,
        }
    }

    fn write(self, value: &Value) -> Message {
        let json = || value.to_string();
        match self {
            Self::Text => Message::text(json()),
            Self::Binary => Message::binary(json().into_bytes()),
            Self::Msgpack => Message::binary(
                rmp_serde::to_vec_named(&Packed { value, is_time: false }).unwrap_or_default(),
            ),
        }
    }

    fn read(self, message: &Message) -> Option<Value> {
        let bytes = match message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return None,
        };
        match self {
            Self::Text | Self::Binary => serde_json::from_slice(bytes).ok(),
            Self::Msgpack => rmp_serde::from_slice(bytes).ok(),
        }
    }
}

/// JSON as msgpack: what market data calls `t` is a time of msgpack's own.
struct Packed<'a> {
    value: &'a Value,
    is_time: bool,
}

impl Serialize for Packed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inner = |value| Packed { value, is_time: false };
        match self.value {
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&inner(item))?;
                }
                list.end()
            }
            Value::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, &Packed { value, is_time: name == "t" })?;
                }
                map.end()
            }
            Value::String(text) if self.is_time => match DateTime::parse_from_rfc3339(text) {
                Ok(time) => {
                    let mut bytes = [0; 12];
                    let (nanos, seconds) = bytes.split_at_mut(4);
                    nanos.copy_from_slice(&time.timestamp_subsec_nanos().to_be_bytes());
                    seconds.copy_from_slice(&time.timestamp().to_be_bytes());
                    serializer.serialize_newtype_struct("_ExtStruct", &(-1_i8, Bytes(&bytes)))
                }
                Err(_) => serializer.serialize_str(text),
            },
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                other.serialize(serializer)
            }
        }
    }
}

struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// How a venue finds out that nobody is there any more.
#[derive(Clone, Copy, Debug)]
struct Pings {
    every: Duration,
    within: Duration,
    /// When to ping next, or when to give up.
    next: Instant,
    sent: u64,
    /// Since when a ping waits for its pong.
    waits: Option<Instant>,
}

/// What is said again and again, so that the client knows that somebody is there.
#[derive(Clone, Debug)]
struct Beats {
    every: Duration,
    next: Instant,
    what: Value,
}

/// What is heard on a stream.
#[derive(Debug)]
pub enum Heard {
    /// The client said something.
    Said(Value),
    /// The client said something nobody can read.
    Unreadable,
    /// The venue has something to tell.
    Push(Push),
    /// It is over.
    Over(Ended),
}

/// An open stream.
#[derive(Debug)]
pub struct Line {
    world: Arc<World>,
    socket: Socket,
    codec: Codec,
    inbox: Inbox,
    name: String,
    account: Option<String>,
    pings: Option<Pings>,
    beats: Option<Beats>,
    /// What is to be told next, and not before its time.
    coming: Option<Delivery>,
}

impl Line {
    /// Opens it: from now on there is something to hear of these channels.
    pub fn open(
        world: Arc<World>,
        request: &Request,
        socket: Socket,
        codec: Codec,
        channels: &[Channel],
    ) -> Self {
        let inbox = world.act(|state, _| state.hub.join(None, channels));
        let name = request.path.clone();
        let (account, pings, beats, coming) = (None, None, None, None);
        let line = Self { world, socket, codec, inbox, name, account, pings, beats, coming };
        line.note("opened");
        line
    }

    /// Says whose stream it is: that account's orders are heard on it.
    pub fn claim(&mut self, account: &str) {
        self.world.act(|state, _| state.hub.claim(self.inbox.id, account));
        self.account = Some(account.to_owned());
        self.note("claimed");
    }

    /// Makes one more account's orders heard on it.
    pub fn claim_also(&mut self, account: &str) {
        self.world.act(|state, _| state.hub.claim_also(self.inbox.id, account));
        self.account.get_or_insert_with(|| account.to_owned());
        self.note("claimed");
    }

    /// Makes an account's orders heard on it no longer.
    pub fn disclaim(&mut self, account: &str) {
        self.world.act(|state, _| state.hub.disclaim(self.inbox.id, account));
        self.note("disclaimed");
    }

    /// Pings the client this often from now on; one that has not answered a ping in this time is given up.
    pub fn ping(&mut self, every: Duration, within: Duration) {
        self.pings = Some(Pings { every, within, next: Instant::now() + every, sent: 0, waits: None });
    }

    /// Says this from now on, this often, whatever else is said.
    pub fn beat(&mut self, every: Duration, what: Value) {
        self.beats.get_or_insert_with(|| Beats { every, next: Instant::now() + every, what });
    }

    /// Sends a message. What cannot be sent is noticed when next something is to be heard.
    pub async fn say(&mut self, value: &Value) {
        if self.socket.send(self.codec.write(value)).await.is_err() {
            self.inbox.messages.close();
        }
    }

    /// Waits for what is heard next. Given up and waited for again, nothing is lost.
    pub async fn hear(&mut self) -> Heard {
        loop {
            let next_ping = self.pings.map(|pings| pings.next);
            let next_beat = self.beats.as_ref().map(|beats| beats.next);
            let due = self.coming.as_ref().map(|delivery| delivery.due);
            let (is_time, is_beat, is_due) = (at(next_ping), at(next_beat), at(due));
            tokio::select! {
                biased;
                () = self.inbox.cut.notified() => return Heard::Over(Ended::Cut),
                () = is_time => {
                    if !self.still_there().await {
                        return Heard::Over(Ended::Closed);
                    }
                }
                () = is_beat => self.say_beat().await,
                message = self.socket.next() => match message {
                    Some(Ok(Message::Pong(payload))) => self.answered(&payload),
                    Some(Ok(message)) if message.is_text() || message.is_binary() => {
                        return self.codec.read(&message).map_or(Heard::Unreadable, Heard::Said);
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Heard::Over(Ended::Closed),
                },
                () = is_due => {
                    if let Some(delivery) = self.coming.take() {
                        return Heard::Push(delivery.push);
                    }
                }
                delivery = self.inbox.messages.recv(), if due.is_none() => match delivery {
                    Some(delivery) => self.coming = Some(delivery),
                    None => return Heard::Over(Ended::Closed),
                },
            }
        }
    }

    async fn say_beat(&mut self) {
        let Some(beats) = &mut self.beats else { return };
        beats.next = Instant::now() + beats.every;
        let what = beats.what.clone();
        self.say(&what).await;
    }

    /// Sends the next ping, unless the last one is still waiting: then it has waited too long.
    async fn still_there(&mut self) -> bool {
        let Some(pings) = &mut self.pings else { return true };
        if pings.waits.is_some() {
            return false;
        }
        let now = Instant::now();
        pings.sent += 1;
        pings.waits = Some(now);
        pings.next = now + pings.within;
        let payload = pings.sent.to_string().into_bytes();
        self.socket.send(Message::Ping(payload.into())).await.is_ok()
    }

    fn answered(&mut self, payload: &[u8]) {
        let Some(pings) = &mut self.pings else { return };
        if payload == pings.sent.to_string().as_bytes()
            && let Some(sent_at) = pings.waits.take()
        {
            pings.next = sent_at + pings.every;
        }
    }

    /// Ends it.
    pub async fn end(mut self, ended: Ended) -> Ended {
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

    /// Returns whose it was said to be first, if anybody's.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// Returns the venue.
    #[must_use]
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    fn note(&self, event: &str) {
        let note = Note::Stream { stream: self.name.clone(), event: event.to_owned() };
        self.world.act(|state, now| state.journal.note(now, self.account.as_deref(), note));
    }
}

/// Waits for a time; for ever if there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_msgpack_times() {
        let quote = json!([{"T": "q", "t": "1970-01-01T00:00:01.000000002Z", "ap": 1.5, "S": "t"}]);
        let Message::Binary(bytes) = Codec::Msgpack.write(&quote) else { panic!("not binary") };
        let time = [0xc7, 12, 0xff, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1];
        assert!(bytes.windows(time.len()).any(|window| window == time), "{bytes:x?}");
        assert_eq!(bytes.first(), Some(&0x91));
    }

    #[test]
    fn msgpack_is_read() {
        let said = rmp_serde::to_vec_named(&json!({"action": "auth", "key": "k"})).unwrap();
        assert_eq!(Codec::Msgpack.read(&Message::binary(said)), Some(json!({"action": "auth", "key": "k"})));
        assert_eq!(Codec::Binary.read(&Message::text("{")), None);
    }
}
