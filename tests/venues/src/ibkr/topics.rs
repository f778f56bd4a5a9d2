//! What one stream has subscribed to, and the frames that makes.
//!
//! A stream tells nothing while its session is down: what happens then has to be asked for afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::contracts;
use super::gateway::{Desk, Standing};
use super::orders::{is_current, past_trades};
use super::portfolio;
use super::quotes;
use super::stream::waiting;
use super::{Manners, wire};
use crate::book::{Event, Order, What};
use crate::feed::Quote;
use crate::streams::Push;
use crate::world::{State, World};

/// How long prices are told of after they were last asked for.
const QUOTES_LAST: TimeDelta = TimeDelta::minutes(15);

/// A subscription to one symbol's prices.
#[derive(Debug)]
struct Line {
    symbol: String,
    fields: Vec<String>,
    told: Map<String, Value>,
    until: DateTime<Utc>,
}

/// One stream's subscriptions.
#[derive(Debug)]
pub(super) struct Topics {
    manners: Arc<Manners>,
    account: String,
    proven: bool,
    /// What was last told of each order.
    orders: Option<BTreeMap<u64, Map<String, Value>>>,
    trades: bool,
    quotes: BTreeMap<i64, Line>,
    gains: bool,
    ledger: bool,
    standing: Option<Standing>,
}

#[derive(Deserialize)]
struct Trades {
    #[serde(default, rename = "realtimeUpdatesOnly")]
    realtime_only: bool,
    #[serde(default)]
    days: Option<u8>,
}

#[derive(Deserialize)]
struct Fields {
    fields: Vec<String>,
}

impl Topics {
    pub(super) fn new(manners: Arc<Manners>, account: &str) -> Self {
        Self {
            manners,
            account: account.to_owned(),
            proven: false,
            orders: None,
            trades: false,
            quotes: BTreeMap::new(),
            gains: false,
            ledger: false,
            standing: None,
        }
    }

    /// Returns whether the account's orders are to be heard.
    pub(super) fn hears_orders(&self) -> bool {
        self.orders.is_some() || self.trades || self.gains || self.ledger
    }

    /// Returns how long it is between two heartbeats.
    pub(super) fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.manners.gateways().policy.heartbeat_ms)
    }

    fn at_desk<T>(&self, world: &World, what: impl FnOnce(&State, DateTime<Utc>, &mut Desk<'_>) -> T) -> T {
        world.look(|state| {
            let now = state.clock.now();
            let mut gateways = self.manners.gateways();
            what(state, now, &mut gateways.desk(&self.account, now))
        })
    }

    /// Takes the name of a session, if it is the right one.
    pub(super) fn greet(&mut self, world: &World, session: Option<&str>) -> Vec<Value> {
        let greeting = self.at_desk(world, |_, _, desk| {
            let right = session.is_some() && desk.gateway.session_name() == session;
            right.then(|| {
                let account = &desk.gateway.account;
                vec![
                    json!({"topic": "system", "success": account.to_lowercase(), "isFT": false, "isPaper": desk.gateway.paper}),
                    json!({"topic": "act", "args": {
                        "accounts": [account],
                        "acctProps": {account: {"supportsFractions": desk.gateway.fractions}},
                        "selectedAccount": account,
                        "isPaper": desk.gateway.paper,
                    }}),
                ]
            })
        });
        let Some(mut frames) = greeting else { return vec![waiting()] };
        self.proven = true;
        self.standing = None;
        frames.extend(self.status(world));
        frames
    }

    /// Tells how the session stands, if that has changed.
    pub(super) fn status(&mut self, world: &World) -> Vec<Value> {
        if !self.proven {
            return Vec::new();
        }
        let standing = self.at_desk(world, |_, _, desk| desk.gateway.standing());
        if self.standing == Some(standing) {
            return Vec::new();
        }
        self.standing = Some(standing);
        let Standing { authenticated, competing, connected, .. } = standing;
        let args = json!({"authenticated": authenticated, "competing": competing, "connected": connected, "message": ""});
        vec![json!({"topic": "sts", "args": args})]
    }

    /// Tells that the stream is alive.
    pub(super) fn beat(&self, world: &World) -> Vec<Value> {
        let now = world.look(|state| state.clock.now());
        vec![json!({"topic": "system", "hb": now.timestamp_millis()})]
    }

    /// Does what a client says.
    pub(super) fn command(&mut self, world: &World, text: &str) -> Vec<Value> {
        if let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(text) {
            return self.greet(world, fields.get("session").and_then(Value::as_str));
        }
        if !self.proven {
            return vec![waiting()];
        }
        if text == "tic" {
            return self.tic(world);
        }
        let (topic, rest) = text.split_once('+').unwrap_or((text, ""));
        let refused = |error: &str, code: u16| vec![json!({"error": error, "code": code, "topic": topic})];
        let (bridge, primed) = self.at_desk(world, |_, _, desk| {
            (desk.gateway.standing().authenticated, desk.gateway.session.primed)
        });
        if !bridge {
            return refused("no bridge", 400);
        }
        if topic == "smd" && !primed {
            return refused("No accounts", 500);
        }
        self.subscribe(world, topic, rest).unwrap_or_else(|| refused("invalid arguments", 400))
    }

    fn tic(&self, world: &World) -> Vec<Value> {
        self.at_desk(world, |_, now, desk| {
            if desk.gateway.standing().logged_in {
                desk.gateway.touch(now);
            }
            let session = desk.gateway.session_name();
            vec![
                json!({"topic": "tic", "alive": true, "id": session, "lastAccessed": now.timestamp_millis()}),
            ]
        })
    }

    /// Subscribes or unsubscribes; returns none for what nobody understands.
    fn subscribe(&mut self, world: &World, topic: &str, rest: &str) -> Option<Vec<Value>> {
        let none = Some(Vec::new());
        let object = |text: &str| serde_json::from_str::<Map<String, Value>>(text).ok();
        match topic {
            "sor" => {
                object(rest)?;
                self.orders = Some(BTreeMap::new());
                Some(self.first_orders(world))
            }
            "str" => {
                let asked: Trades = serde_json::from_str(rest).ok()?;
                self.trades = true;
                if asked.realtime_only {
                    none
                } else {
                    Some(self.first_trades(world, asked.days.unwrap_or(1)))
                }
            }
            "smd" => {
                let (conid, asked) = rest.split_once('+')?;
                let Fields { fields } = serde_json::from_str(asked).ok()?;
                self.first_quote(world, conid.parse().ok()?, fields)
            }
            "umd" => {
                let conid = rest.split_once('+').map_or(rest, |(conid, _)| conid);
                self.quotes.remove(&conid.parse().ok()?);
                none
            }
            "spl" => {
                self.gains = true;
                Some(self.gains(world))
            }
            "sld" => {
                let account = rest.split_once('+').map_or(rest, |(account, _)| account);
                (account == self.account).then(|| {
                    self.ledger = true;
                    self.ledger(world)
                })
            }
            "uor" => {
                self.orders = None;
                none
            }
            "utr" => {
                self.trades = false;
                none
            }
            "upl" => {
                self.gains = false;
                none
            }
            "uld" => {
                self.ledger = false;
                Some(vec![json!({"result": "unsubscribed from ledger"})])
            }
            _ => None,
        }
    }

    /// Tells of all orders of today, whole.
    fn first_orders(&mut self, world: &World) -> Vec<Value> {
        let shown: Vec<(u64, Value)> = self.at_desk(world, |state, now, desk| {
            let mine = state
                .book
                .orders()
                .filter(|order| order.ticket.account == desk.gateway.account && is_current(order, now));
            let shown = mine.map(|order| {
                let id = self.manners.ids.order(order.id);
                (id, wire::order(self.manners.ids, order, desk.gateway.meta(order.id)))
            });
            if desk.gateway.session.filtered { Vec::new() } else { shown.collect() }
        });
        if let Some(told) = &mut self.orders {
            let all = shown.iter().filter_map(|(id, order)| Some((*id, order.as_object()?.clone())));
            told.extend(all);
        }
        let args: Vec<Value> = shown.into_iter().map(|(_, order)| order).collect();
        vec![json!({"topic": "sor", "args": args})]
    }

    fn first_trades(&self, world: &World, days: u8) -> Vec<Value> {
        let args = self.at_desk(world, |state, now, desk| {
            let commission = desk.policy.commission;
            past_trades(state, desk.gateway, self.manners.ids, now, days, commission)
        });
        vec![json!({"topic": "str", "args": args})]
    }

    fn first_quote(&mut self, world: &World, conid: i64, fields: Vec<String>) -> Option<Vec<Value>> {
        let (symbol, quote, until) = self.at_desk(world, |state, now, _| {
            let symbol = contracts::of_conid(state, conid)?.symbol.clone();
            let quote = state.book.feed().quote(&symbol);
            Some((symbol, quote, now + QUOTES_LAST))
        })?;
        let line = Line { symbol: symbol.clone(), fields, told: Map::new(), until };
        self.quotes.insert(conid, line);
        Some(self.price(world, &symbol, quote))
    }

    fn gains(&self, world: &World) -> Vec<Value> {
        let args = self.at_desk(world, |state, _, desk| portfolio::gains(state, &desk.gateway.account));
        vec![json!({"topic": "spl", "args": args})]
    }

    fn ledger(&self, world: &World) -> Vec<Value> {
        let entry = self.at_desk(world, |state, now, desk| {
            let account = &desk.gateway.account;
            let mut entry = portfolio::currency_ledger(state, account, "USD", now.timestamp());
            if let Some(fields) = entry.as_object_mut() {
                fields.insert("acctCode".to_owned(), json!(account));
                fields.insert("key".to_owned(), json!("LedgerListUSD"));
            }
            entry
        });
        vec![json!({"topic": format!("sld+{}", self.account), "result": [entry]})]
    }

    /// Tells what happened.
    pub(super) fn tell(&mut self, world: &World, push: &Push) -> Vec<Value> {
        let up = self.proven && self.at_desk(world, |_, _, desk| desk.gateway.standing().authenticated);
        if !up {
            return Vec::new();
        }
        match push {
            Push::Order(event) => self.event(world, event),
            Push::Price { symbol, quote, .. } => self.price(world, symbol, Some(*quote)),
        }
    }

    fn event(&mut self, world: &World, event: &Event) -> Vec<Value> {
        let mut frames = self.order(world, event);
        if let (true, Some(execution)) = (self.trades, event.what.execution()) {
            // The commission is known a moment later.
            let both = self.at_desk(world, |_, _, desk| {
                let meta = desk.gateway.meta(event.order.id);
                let of = |commission| {
                    wire::trade(self.manners.ids, event.at, execution, &event.order, meta, commission)
                };
                [of(None), of(Some(desk.policy.commission))]
            });
            frames.extend(both.map(|trade| json!({"topic": "str", "args": [trade]})));
        }
        if event.what.execution().is_some() {
            if self.gains {
                frames.extend(self.gains(world));
            }
            if self.ledger {
                frames.extend(self.ledger(world));
            }
        }
        frames
    }

    /// Tells what has changed of an order: of a new one all, of another only that.
    fn order(&mut self, world: &World, event: &Event) -> Vec<Value> {
        let order: &Order = &event.order;
        let id = self.manners.ids.order(order.id);
        let (shown, silent, odd) = self.at_desk(world, |_, _, desk| {
            let shown = wire::order(self.manners.ids, order, desk.gateway.meta(order.id));
            (shown, desk.gateway.session.filtered, desk.policy.first_frame_inactive)
        });
        let (Some(told), Value::Object(shown), false) = (&mut self.orders, shown, silent) else {
            return Vec::new();
        };
        let new = matches!(event.what, What::New | What::Accepted | What::Held) && !told.contains_key(&id);
        let mut frames = Vec::new();
        if odd && new {
            let mut first = shown.clone();
            first.insert("status".to_owned(), json!("Inactive"));
            first.insert("order_ccp_status".to_owned(), json!("Pending Submit"));
            frames.push(json!({"topic": "sor", "args": [first]}));
            told.insert(id, first);
        }
        let before = told.insert(id, shown.clone()).unwrap_or_default();
        let always = ["acct", "conid", "orderId"];
        let changed: Map<String, Value> = shown
            .into_iter()
            .filter(|(name, value)| always.contains(&name.as_str()) || before.get(name) != Some(value))
            .collect();
        frames.push(json!({"topic": "sor", "args": [changed]}));
        frames
    }

    /// Tells what has changed of a price.
    fn price(&mut self, world: &World, symbol: &str, quote: Option<Quote>) -> Vec<Value> {
        let conid = contracts::conid(symbol);
        let Some(mut line) = self.quotes.remove(&conid) else { return Vec::new() };
        let found = self.at_desk(world, |state, now, desk| {
            let availability = desk.availability.get(symbol).copied().unwrap_or('R');
            let fields = quotes::fields(state, &line.symbol, quote, availability, &line.fields);
            (now < line.until).then_some((now, fields))
        });
        // After a quarter of an hour it ends without a word.
        let Some((now, fields)) = found else { return Vec::new() };
        let changed: Map<String, Value> =
            fields.iter().filter(|(name, value)| line.told.get(*name) != Some(value)).map(own).collect();
        line.told = fields;
        self.quotes.insert(conid, line);
        if changed.is_empty() {
            return Vec::new();
        }
        let mut frame = json!({
            "topic": format!("smd+{conid}"),
            "conid": conid,
            "conidEx": conid.to_string(),
            "server_id": "q0",
            "_updated": now.timestamp_millis(),
        });
        if let Some(fields) = frame.as_object_mut() {
            fields.extend(changed);
        }
        vec![frame]
    }
}

fn own((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}
