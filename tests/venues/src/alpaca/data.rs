//! Market data: the latest quotes over HTTP, and the streams at `/v2/iex` and `/v2/sip`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use super::errors::Error;
use super::rest::{Call, Proof};
use super::wire;
use crate::feed::Quote;
use crate::http::{Answer, Request};
use crate::line::{Codec, Heard, Line};
use crate::server::{Ended, Socket};
use crate::streams::{Channel, Push};
use crate::world::{State, World};

/// How long a stream may take to say whose it is.
const AUTH_WITHIN: Duration = Duration::from_secs(10);
/// The most symbols of a stream without a subscription.
const SYMBOLS_MAX: usize = 30;

/// Answers what is below `/v2/stocks`.
pub(super) fn answer(state: &State, call: Call<'_>) -> Result<Answer, Error> {
    match call.request.param("feed").as_deref() {
        None | Some("iex") => {}
        Some("sip") => return Err(Error::invalid("subscription does not permit querying recent SIP data")),
        Some(feed) => return Err(Error::invalid(format!("invalid feed: {feed}"))),
    }
    match call.request.segments().as_slice() {
        [_, "stocks", "quotes", "latest"] => {
            let symbols = call.request.param("symbols").filter(|symbols| !symbols.is_empty());
            let symbols = symbols.ok_or_else(|| Error::new(400, 40_010_000, "symbols is required"))?;
            let known = symbols.split(',').filter_map(|symbol| {
                let quote = state.book.feed().quote(symbol)?;
                Some((symbol.to_owned(), wire::quote(&quote)))
            });
            Ok(Answer::json(200, &json!({"quotes": known.collect::<Map<_, _>>()})))
        }
        [_, "stocks", symbol, "quotes", "latest"] => {
            let quote = state.book.feed().quote(symbol);
            let quote = quote.ok_or_else(|| Error::not_found(format!("no quote found for {symbol}")))?;
            Ok(Answer::json(200, &json!({"symbol": symbol, "quote": wire::quote(&quote)})))
        }
        _ => Err(Error::not_found("endpoint not found")),
    }
}

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
enum Frame {
    Auth { key: String, secret: String },
    Subscribe(Channels),
    Unsubscribe(Channels),
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Channels {
    quotes: BTreeSet<String>,
    trades: BTreeSet<String>,
    bars: BTreeSet<String>,
}

impl Channels {
    fn shown(&self) -> Value {
        json!([{"T": "subscription", "trades": self.trades, "quotes": self.quotes, "bars": self.bars}])
    }

    fn symbols(&self) -> usize {
        self.quotes.union(&self.trades).chain(&self.bars).collect::<BTreeSet<_>>().len()
    }

    fn add(&mut self, more: Self) {
        self.quotes.extend(more.quotes);
        self.trades.extend(more.trades);
        self.bars.extend(more.bars);
    }

    fn remove(&mut self, less: &Self) {
        self.quotes.retain(|symbol| !less.quotes.contains(symbol));
        self.trades.retain(|symbol| !less.trades.contains(symbol));
        self.bars.retain(|symbol| !less.bars.contains(symbol));
    }
}

struct Client {
    line: Line,
    channels: Channels,
    authenticated: bool,
    free: bool,
}

/// Talks to a client until one side ends it.
pub(super) async fn talk(world: Arc<World>, request: Request, socket: Socket) -> Ended {
    let codec = Codec::asked(&request, Codec::Text);
    let free = request.path == "/v2/iex";
    let mut line = Line::open(world, &request, socket, codec, &[Channel::Prices]);
    line.say(&json!([{"T": "success", "msg": "connected"}])).await;
    let mut client = Client { line, channels: Channels::default(), authenticated: false, free };
    let until = Instant::now() + AUTH_WITHIN;
    let ended = loop {
        let heard = if client.authenticated {
            client.line.hear().await
        } else {
            let Ok(heard) = timeout_at(until, client.line.hear()).await else {
                client.line.say(&error(404, "auth timeout")).await;
                break Ended::Closed;
            };
            heard
        };
        let answered = match heard {
            Heard::Over(ended) => break ended,
            Heard::Push(Push::Price { symbol, quote, number }) => {
                client.tell(&symbol, &quote, number).await;
                continue;
            }
            Heard::Push(_) => continue,
            Heard::Unreadable => Err((400, "invalid syntax")),
            Heard::Said(said) => client.obey(said).await,
        };
        if let Err((code, message)) = answered {
            client.line.say(&error(code, message)).await;
            if matches!(code, 402 | 406) {
                break Ended::Closed;
            }
        }
    };
    client.line.end(ended).await
}

impl Client {
    async fn obey(&mut self, said: Value) -> Result<(), (u16, &'static str)> {
        match serde_json::from_value(said) {
            Ok(Frame::Auth { .. }) if self.authenticated => Err((403, "already authenticated")),
            Ok(Frame::Auth { key, secret }) => {
                let proof = Proof::Key(key, secret);
                let found = self.line.world().look(|state| {
                    let owner = proof.opens(state)?;
                    let others = state.hub.listening(Some(owner), Channel::Prices);
                    Some((owner.to_owned(), others))
                });
                let (owner, others) = found.ok_or((402, "auth failed"))?;
                if self.free && others > 0 {
                    return Err((406, "connection limit exceeded"));
                }
                self.line.claim(&owner);
                self.authenticated = true;
                self.line.say(&json!([{"T": "success", "msg": "authenticated"}])).await;
                Ok(())
            }
            Ok(_) if !self.authenticated => Err((401, "not authenticated")),
            Ok(Frame::Subscribe(more)) => {
                let mut all = std::mem::take(&mut self.channels);
                let before = Channels {
                    quotes: all.quotes.clone(),
                    trades: all.trades.clone(),
                    bars: all.bars.clone(),
                };
                all.add(more);
                if self.free && all.symbols() > SYMBOLS_MAX {
                    self.channels = before;
                    return Err((405, "symbol limit exceeded"));
                }
                self.channels = all;
                self.line.say(&self.channels.shown()).await;
                Ok(())
            }
            Ok(Frame::Unsubscribe(less)) => {
                self.channels.remove(&less);
                self.line.say(&self.channels.shown()).await;
                Ok(())
            }
            Err(_) => Err((400, "invalid syntax")),
        }
    }

    async fn tell(&mut self, symbol: &str, quote: &Quote, number: u64) {
        let wants = |symbols: &BTreeSet<String>| symbols.contains(symbol) || symbols.contains("*");
        let mut messages = Vec::new();
        if wants(&self.channels.quotes) {
            let mut message = wire::quote(quote);
            label(&mut message, "q", symbol);
            messages.push(message);
        }
        if wants(&self.channels.trades) {
            let price = wire::number(quote.last);
            let mut message = json!({
                "i": number, "x": "V", "p": price, "s": 100, "c": ["@"], "z": "C", "t": wire::time(quote.at),
            });
            label(&mut message, "t", symbol);
            messages.push(message);
        }
        if !messages.is_empty() {
            self.line.say(&Value::Array(messages)).await;
        }
    }
}

fn label(message: &mut Value, kind: &str, symbol: &str) {
    if let Some(fields) = message.as_object_mut() {
        fields.insert("T".to_owned(), json!(kind));
        fields.insert("S".to_owned(), json!(symbol));
    }
}

fn error(code: u16, message: &str) -> Value {
    json!([{"T": "error", "code": code, "msg": message}])
}
