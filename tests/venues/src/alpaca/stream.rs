//! The `trade_updates` stream at `/stream`.
//!
//! The server-sent events of `GET /v2/events/trades` are not simulated: our client replays gaps from the orders.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::rest::Proof;
use super::wire::{self, Ids};
use crate::http::Request;
use crate::line::{Codec, Heard, Line};
use crate::server::{Ended, Socket};
use crate::streams::{Channel, Push};
use crate::world::World;

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
enum Frame {
    Auth { key: String, secret: String },
    Authenticate { data: Authentication },
    Listen { data: Streams },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Authentication {
    Key(KeyPair),
    Token(Token),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyPair {
    key_id: String,
    secret_key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    oauth_token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Streams {
    streams: Vec<String>,
}

/// Talks to a client until one side ends it.
pub(super) async fn talk(world: Arc<World>, ids: Ids, request: Request, socket: Socket) -> Ended {
    let otherwise = if world.text_frames() { Codec::Text } else { Codec::Binary };
    let codec = Codec::asked(&request, otherwise);
    let mut line = Line::open(world, &request, socket, codec, &[Channel::Orders]);
    let mut owner: Option<String> = None;
    let mut listens = false;
    let ended = loop {
        match line.hear().await {
            Heard::Over(ended) => break ended,
            Heard::Push(Push::Order(event)) if listens => {
                if let Some(update) = wire::update(ids, &event) {
                    line.say(&update).await;
                }
            }
            Heard::Push(_) => {}
            Heard::Unreadable => line.say(&refused("invalid message")).await,
            Heard::Said(said) => match serde_json::from_value(said) {
                Ok(Frame::Auth { key, secret }) => {
                    owner = authorize(&mut line, &Proof::Key(key, secret)).await;
                }
                Ok(Frame::Authenticate { data }) => {
                    let proof = match data {
                        Authentication::Key(pair) => Proof::Key(pair.key_id, pair.secret_key),
                        Authentication::Token(token) => Proof::Token(token.oauth_token),
                    };
                    owner = authorize(&mut line, &proof).await;
                }
                Ok(Frame::Listen { data }) => match &owner {
                    Some(owner) => {
                        listens = data.streams.iter().any(|stream| stream == "trade_updates");
                        if listens {
                            line.claim(owner);
                        }
                        let known: &[&str] = if listens { &["trade_updates"] } else { &[] };
                        line.say(&json!({"stream": "listening", "data": {"streams": known}})).await;
                    }
                    None => line.say(&authorization("unauthorized", "listen")).await,
                },
                Err(_) => line.say(&refused("invalid message")).await,
            },
        }
    };
    line.end(ended).await
}

async fn authorize(line: &mut Line, proof: &Proof) -> Option<String> {
    let owner = line.world().look(|state| proof.opens(state).map(str::to_owned));
    let status = if owner.is_some() { "authorized" } else { "unauthorized" };
    line.say(&authorization(status, "authenticate")).await;
    owner
}

fn authorization(status: &str, action: &str) -> Value {
    json!({"stream": "authorization", "data": {"status": status, "action": action}})
}

fn refused(message: &str) -> Value {
    json!({"action": "error", "data": {"error_message": message}})
}
