//! The streams: heartbeats, an account's orders, best prices. Market data and orders are told on either address.
//!
//! Messages are numbered by connection, over all channels.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::{token, wire};
use crate::book::Event;
use crate::http::Request;
use crate::line::{Codec, Heard, Line};
use crate::server::{Ended, Socket};
use crate::streams::{Channel, Push};
use crate::world::World;

/// How long a client may take to say what it wants.
const FIRST: Duration = Duration::from_secs(5);
/// How long a stream stays open on which nothing is said.
const QUIET: Duration = Duration::from_secs(75);
/// How often a heart beats.
const BEAT: Duration = Duration::from_secs(1);
/// The most messages in a second that do not say who sends them.
const MESSAGES_MAX: usize = 8;
/// How many orders one message of a snapshot tells of.
const BATCH: usize = 50;

/// What a client says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    #[serde(rename = "type")]
    kind: String,
    channel: String,
    #[serde(default)]
    product_ids: Vec<String>,
    #[serde(default)]
    jwt: Option<String>,
}

struct Client {
    line: Line,
    world: Arc<World>,
    /// Products by channel; none is all.
    wishes: BTreeMap<String, BTreeSet<String>>,
    number: u64,
    beats: u64,
    said_at: Instant,
    heard: VecDeque<Instant>,
}

/// Talks to a client until one side ends it.
pub(super) async fn talk(world: Arc<World>, request: Request, socket: Socket) -> Ended {
    let channels = [Channel::Orders, Channel::Prices];
    let line = Line::open(Arc::clone(&world), &request, socket, Codec::Text, &channels);
    let opened = Instant::now();
    let mut client = Client {
        line,
        world,
        wishes: BTreeMap::new(),
        number: 0,
        beats: 0,
        said_at: opened,
        heard: VecDeque::new(),
    };
    let mut beat = opened + BEAT;
    let ended = loop {
        let heard = tokio::select! {
            heard = client.line.hear() => Some(heard),
            () = sleep_until(beat) => None,
        };
        let goes_on = match heard {
            Some(Heard::Over(ended)) => break ended,
            Some(Heard::Push(push)) => {
                client.tell(push).await;
                true
            }
            Some(Heard::Said(said)) => client.obey(said).await,
            Some(Heard::Unreadable) => {
                client.error("failed to parse message").await;
                false
            }
            None => {
                beat += BEAT;
                client.beat(opened).await
            }
        };
        if !goes_on {
            break Ended::Closed;
        }
    };
    client.line.end(ended).await
}

impl Client {
    /// Beats, where it is wished. Returns whether the stream stays open.
    async fn beat(&mut self, opened: Instant) -> bool {
        if self.wishes.contains_key("heartbeats") {
            self.beats += 1;
            let at = wire::time(self.world.look(|state| state.clock.now()));
            let event = json!({"current_time": at, "heartbeat_counter": self.beats});
            self.say("heartbeats", &json!([event])).await;
        }
        let is_idle = self.wishes.is_empty() && opened.elapsed() >= FIRST;
        !is_idle && self.said_at.elapsed() < QUIET
    }

    /// Does what a client wishes. Returns whether the stream stays open.
    async fn obey(&mut self, said: Value) -> bool {
        let Ok(said) = serde_json::from_value::<Said>(said) else {
            self.error("failed to parse message").await;
            return false;
        };
        if said.jwt.is_none() && !self.keeps_calm() {
            self.error("rate limit exceeded").await;
            return false;
        }
        let is_wish = match said.kind.as_str() {
            "subscribe" => true,
            "unsubscribe" => false,
            _ => {
                self.error("type is wrong").await;
                return true;
            }
        };
        if !["heartbeats", "user", "ticker"].contains(&said.channel.as_str()) {
            self.error("channel is not supported").await;
            return true;
        }
        if said.channel == "ticker" && said.product_ids.is_empty() {
            self.error("product_ids is empty").await;
            return true;
        }
        if said.channel == "user" && !self.claim(said.jwt.as_deref()) {
            self.error("authentication failure").await;
            return true;
        }
        let name = said.channel.clone();
        self.change(&said, is_wish);
        self.subscribed().await;
        match name.as_str() {
            "user" if is_wish => self.snapshot().await,
            "ticker" if is_wish => self.prices(&said.product_ids).await,
            _ => {}
        }
        true
    }

    fn change(&mut self, said: &Said, is_wish: bool) {
        let products = said.product_ids.iter().cloned();
        if is_wish {
            self.wishes.entry(said.channel.clone()).or_default().extend(products);
        } else {
            let gone: BTreeSet<String> = products.collect();
            if let Some(wished) = self.wishes.get_mut(&said.channel) {
                wished.retain(|product| !gone.contains(product));
                if wished.is_empty() {
                    self.wishes.remove(&said.channel);
                }
            }
        }
    }

    /// Makes an account's orders heard. Returns whether it is somebody's who may look.
    fn claim(&mut self, jwt: Option<&str>) -> bool {
        let Some(said) = jwt.and_then(token::read) else { return false };
        let account = self.world.act(|state, now| {
            let account = said.owner(state, now, None)?;
            state.directory.standing(&account).is_some_and(|standing| standing.key.read).then_some(account)
        });
        if let Some(account) = &account {
            self.line.claim(account);
        }
        account.is_some()
    }

    /// Says what is told now.
    async fn subscribed(&mut self) {
        let shown = self.wishes.iter().map(|(channel, products)| {
            let all: Vec<&String> =
                if products.is_empty() { vec![channel] } else { products.iter().collect() };
            (channel.clone(), json!(all))
        });
        let shown: serde_json::Map<String, Value> = shown.collect();
        self.say("subscriptions", &json!([{"subscriptions": shown}])).await;
    }

    /// Says which orders are open.
    async fn snapshot(&mut self) {
        let open: Vec<Value> = self.world.look(|state| {
            let account = self.line.account().unwrap_or_default();
            let mine = state.book.orders().filter(|order| {
                order.ticket.account == account
                    && order.status.is_open()
                    && self.wishes_for("user", &wire::product_id(&order.ticket.symbol))
            });
            mine.map(|order| wire::told(order, wire::sums(state, order))).collect()
        });
        if open.is_empty() {
            self.say("user", &json!([{"type": "snapshot", "orders": []}])).await;
        }
        for batch in open.chunks(BATCH) {
            self.say("user", &json!([{"type": "snapshot", "orders": batch}])).await;
        }
    }

    async fn prices(&mut self, products: &[String]) {
        let known: Vec<Value> = self.world.look(|state| {
            let symbols = products.iter().map(|product| product.replace('-', "/"));
            let quoted = symbols.filter_map(|symbol| Some((state.book.feed().quote(&symbol)?, symbol)));
            quoted.map(|(quote, symbol)| wire::ticker(&symbol, &quote)).collect()
        });
        self.say("ticker", &json!([{"type": "snapshot", "tickers": known}])).await;
    }

    fn wishes_for(&self, channel: &str, product: &str) -> bool {
        self.wishes.get(channel).is_some_and(|wished| wished.is_empty() || wished.contains(product))
    }

    async fn tell(&mut self, push: Push) {
        match push {
            Push::Order(event) => self.order(&event).await,
            Push::Price { symbol, quote, .. } => {
                if self.wishes_for("ticker", &wire::product_id(&symbol)) {
                    let tickers = [wire::ticker(&symbol, &quote)];
                    self.say("ticker", &json!([{"type": "update", "tickers": tickers}])).await;
                }
            }
        }
    }

    async fn order(&mut self, event: &Event) {
        let order = &event.order;
        if !self.wishes_for("user", &wire::product_id(&order.ticket.symbol)) {
            return;
        }
        let sums = self.world.look(|state| wire::sums(state, order));
        self.say("user", &json!([{"type": "update", "orders": [wire::told(order, sums)]}])).await;
    }

    async fn say(&mut self, channel: &str, events: &Value) {
        let at = wire::time(self.world.look(|state| state.clock.now()));
        let message = json!({
            "channel": channel, "client_id": "", "timestamp": at, "sequence_num": self.number, "events": events,
        });
        self.number += 1;
        self.said_at = Instant::now();
        self.line.say(&message).await;
    }

    async fn error(&mut self, words: &str) {
        self.line.say(&json!({"type": "error", "message": words})).await;
    }

    /// Counts a message of nobody's. Returns whether there are no more than there may be.
    fn keeps_calm(&mut self) -> bool {
        let now = Instant::now();
        self.heard.push_back(now);
        while self.heard.front().is_some_and(|at| now - *at >= Duration::from_secs(1)) {
            self.heard.pop_front();
        }
        self.heard.len() <= MESSAGES_MAX
    }
}
