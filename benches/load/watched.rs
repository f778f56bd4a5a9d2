//! Positions whose stops only the engine watches, and the moments at which prices reach them.
//!
//! Alpaca takes no trailing stop for fractions of a share, so a Position actor moves and watches it. Everything here
//! runs in a process of its own: the venue, who sets its prices, and the server as its child.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval, sleep};
use trade_actors::domain::order::Purpose;
use venues::book::Side;

use crate::Scale;
use crate::client::{Call, Connection, request};
use crate::figures::Times;
use crate::seed::{self, Wanted};
use crate::server::{Server, data_dir};
use crate::trail::Trail;
use crate::venue::{SECRET, Venue, VenueFloor};

/// Symbols everybody holds.
const SYMBOLS: u8 = 13;
/// Whose stops are all reached at once, one symbol after another.
const BURSTS: usize = 3;
/// Connections over which positions are prepared.
const LANES: usize = 16;
/// How long each symbol's price stays the same while nothing is measured.
const PACE: Duration = Duration::from_secs(1);

/// What is reached at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Case {
    /// The stop of one position.
    One,
    /// Those of all positions in one symbol.
    Symbol,
    /// All that are left.
    All,
}

/// A distribution in short, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    pub(crate) longest: f64,
}

impl Spread {
    fn of(times: &Times) -> Self {
        Self { p50: times.ms(50.0), p95: times.ms(95.0), p99: times.ms(99.0), longest: times.max_ms() }
    }
}

/// The times from a price to what it set off, of one repetition of a case.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) case: Case,
    /// How many stops were reached.
    pub(crate) count: usize,
    /// Until the venue had the closing order.
    pub(crate) sent: Spread,
    /// Until its fill was in the log.
    pub(crate) recorded: Spread,
    /// What the venue and the disk need for the same.
    pub(crate) floor: Spread,
}

/// What was found, as one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) measured: Vec<Measured>,
    /// Closing orders that took the place of one that did not reach the venue.
    pub(crate) made_anew: usize,
    /// The server's processor time for one price told to one position, in microseconds.
    pub(crate) price_us: f64,
    /// The server's processor time for one stop, from its price to its fill, in microseconds.
    pub(crate) stop_us: f64,
    /// Resident memory of a watched position, in bytes.
    pub(crate) position_bytes: f64,
}

/// What the server itself needs.
#[derive(Clone, Copy, Debug)]
struct Needs {
    price_us: f64,
    stop_us: f64,
    position_bytes: f64,
}

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Users, each with one position a symbol.
    pub(crate) users: usize,
    /// Repetitions of [`Case::One`].
    blocks: usize,
    /// Stops reached in one of them, one after another.
    samples: usize,
    /// How long nothing but prices happens, in seconds.
    quiet_s: u32,
}

impl Size {
    /// Returns the size of a run.
    pub(crate) fn of(scale: Scale) -> Self {
        scale.of(
            Self { users: 1_000, blocks: 5, samples: 100, quiet_s: 10 },
            Self { users: 100, blocks: 2, samples: 25, quiet_s: 4 },
        )
    }

    /// Returns how many positions there are.
    pub(crate) fn positions(self) -> usize {
        self.users * usize::from(SYMBOLS)
    }

    /// Returns how many stops are reached one after another.
    pub(crate) fn singles(self) -> usize {
        self.blocks * self.samples
    }

    /// Returns how many positions are watched when the last symbol's are reached.
    pub(crate) fn least_watched(self) -> usize {
        self.positions() - self.singles() - (BURSTS - 1) * self.users
    }
}

/// Measures, and says what was found.
pub(crate) async fn run(scale: Scale) -> anyhow::Result<()> {
    let size = Size::of(scale);
    let dir = data_dir()?;
    let mut scene = Scene::open(size, dir.path()).await?;
    let (venue, moving) = (Rc::clone(&scene.venue), Rc::clone(&scene.moving));
    let Needs { price_us, stop_us, position_bytes } = tokio::select! {
        needs = scene.play() => needs?,
        never = keep_moving(&venue, &moving) => match never? {},
    };
    let (measured, made_anew) = scene.judge().await?;
    let found = Found { measured, made_anew, price_us, stop_us, position_bytes };
    println!("{}", serde_json::to_string(&found)?);
    Ok(())
}

/// Changes the prices of all symbols that are not measured, one after another, each once a second.
async fn keep_moving(venue: &Venue, moving: &RefCell<Vec<String>>) -> anyhow::Result<Infallible> {
    let mut pace = interval(PACE / u32::from(SYMBOLS));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut prices = [Decimal::new(99_99, 2), Decimal::new(99_98, 2)].into_iter().cycle();
    loop {
        let price = prices.next().context("a price")?;
        for at in 0..usize::from(SYMBOLS) {
            pace.tick().await;
            if let Some(symbol) = moving.borrow().get(at) {
                venue.show(symbol, price)?;
            }
        }
    }
}

/// When a position's stop was reached, and in which repetition.
#[derive(Clone, Copy, Debug)]
struct Trigger {
    at: DateTime<Utc>,
    group: usize,
}

/// One repetition.
#[derive(Debug)]
struct Group {
    case: Case,
    sent: Times,
    recorded: Times,
    floor: Times,
}

/// A server with its users, their positions, and what was done to them.
#[derive(Debug)]
struct Scene {
    size: Size,
    data: PathBuf,
    server: Option<Server>,
    tokens: Vec<String>,
    webhook: String,
    venue: Rc<Venue>,
    floor: VenueFloor,
    symbols: Vec<String>,
    moving: Rc<RefCell<Vec<String>>>,
    /// By account and symbol.
    triggers: BTreeMap<(String, String), Trigger>,
    groups: Vec<Group>,
}

impl Scene {
    async fn open(size: Size, dir: &Path) -> anyhow::Result<Self> {
        let data = dir.join("data");
        let symbols: Vec<_> =
            (b'A'..b'A' + SYMBOLS).map(|letter| format!("ST{}", char::from(letter))).collect();
        let venue = Rc::new(Venue::open(size.users).await?);
        for symbol in &symbols {
            venue.show(symbol, Decimal::ONE_HUNDRED)?;
        }
        let users = size.users;
        let seeded = seed::fill(&data, Wanted { users, followers: users, tokens: users, stop_loss_pct: 0 })?;
        let mut settings = venue.settings();
        settings.push(("ENGINE__PASSIVATE_AFTER_S", "3600".to_owned()));
        let server = Some(Server::start(&data, &settings).await?);
        let floor = VenueFloor::open(&venue, dir).await?;
        // The first one's price moves only to reach stops, so that it reaches one at a time.
        let moving = Rc::new(RefCell::new(symbols.iter().skip(1).cloned().collect()));
        Ok(Self {
            size,
            data,
            server,
            tokens: seeded.tokens,
            webhook: seeded.webhooks.into_iter().next().context("a webhook")?,
            venue,
            floor,
            symbols,
            moving,
            triggers: BTreeMap::new(),
            groups: Vec::new(),
        })
    }

    fn server(&self) -> anyhow::Result<&Server> {
        self.server.as_ref().context("the server was stopped")
    }

    /// Opens the positions, has them watched, and reaches all their stops.
    async fn play(&mut self) -> anyhow::Result<Needs> {
        self.connect().await?;
        self.server()?.rest().await?;
        let before = self.server()?.rss()? as f64;
        self.buy().await?;
        self.protect().await?;
        self.server()?.rest().await?;
        let position_bytes = (self.server()?.rss()? as f64 - before) / self.size.positions() as f64;
        ensure!(self.venue.holdings().len() == self.size.positions(), "not everybody holds everything");
        ensure!(!self.venue.has_open_orders(), "a stop rests at the venue: the engine does not watch it");

        let cpu_s = self.server()?.cpu_s()?;
        sleep(PACE * self.size.quiet_s).await;
        let told = self.moving.borrow().len() * self.size.users;
        let price_us = (self.server()?.cpu_s()? - cpu_s) * 1e6 / f64::from(self.size.quiet_s) / told as f64;
        ensure!(self.venue.orders(Side::Sell).is_empty(), "a position was closed whose stop was not reached");

        for block in 0..self.size.blocks {
            eprintln!("  one stop at a time, {} of {} blocks", block + 1, self.size.blocks);
            self.one_by_one(block).await?;
        }
        for symbol in self.symbols.clone().iter().skip(1).take(BURSTS) {
            eprintln!("  all stops of {symbol}");
            self.at_once(Case::Symbol, std::slice::from_ref(symbol), Decimal::new(94, 0)).await?;
        }
        eprintln!("  all stops that are left");
        let is_left = |at: &usize| !(1..=BURSTS).contains(at);
        let left = self.symbols.iter().enumerate().filter(|(at, _)| is_left(at));
        let left: Vec<_> = left.map(|(_, symbol)| symbol.clone()).collect();
        let stop_us = self.at_once(Case::All, &left, Decimal::new(80, 0)).await?;
        Ok(Needs { price_us, stop_us, position_bytes })
    }

    /// Connects everybody's account at the venue and has signals go there.
    async fn connect(&self) -> anyhow::Result<()> {
        let address = self.server()?.address;
        let people: Vec<_> = self.venue.accounts.iter().zip(&self.tokens).collect();
        try_join_all(people.chunks(people.len().div_ceil(LANES)).map(|share| async move {
            let mut lane = Connection::open(address).await?;
            for (account, token) in share {
                let keys = format!(
                    r#"{{"broker":"alpaca","mode":"paper","key_id":"{account}","secret":"{SECRET}"}}"#
                );
                let made =
                    Call::post("/api/v1/brokers".to_owned(), keys).send(&mut lane, address, token).await?;
                let id = made.get("id").and_then(Value::as_str).context("a connection's id")?;
                let chosen = Call::post(format!("/api/v1/brokers/{id}/default"), "{}".to_owned());
                chosen.send(&mut lane, address, token).await?;
            }
            anyhow::Ok(())
        }))
        .await?;
        for _ in 0..600 {
            if self.venue.streams() >= self.size.users {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("{} of {} streams are open at the venue", self.venue.streams(), self.size.users)
    }

    /// Has everybody buy half a share of each symbol.
    async fn buy(&self) -> anyhow::Result<()> {
        let address = self.server()?.address;
        let mut connection = Connection::open(address).await?;
        let path = format!("/webhooks/tradingview/{}", self.webhook);
        for (symbol, bought) in self.symbols.iter().zip(1..) {
            let body = format!(
                r#"{{"ticker":"{symbol}","action":"buy","quantity":0.5,"alert_id":"open {symbol}"}}"#
            );
            let status = connection.exchange(&request("POST", address, &path, "", &body)).await?;
            let said = String::from_utf8_lossy(connection.body());
            ensure!(status == 202, "a signal was answered {status}: {said}");
            self.venue.until_trades(self.size.users * bought).await?;
        }
        self.server()?.rest().await?;
        Ok(())
    }

    /// Gives every position a trailing stop: a cent further for each user in the first symbol, the same in the others.
    async fn protect(&self) -> anyhow::Result<()> {
        let (address, symbols) = (self.server()?.address, &self.symbols);
        let people: Vec<_> = self.tokens.iter().zip(0_i64..).collect();
        try_join_all(people.chunks(people.len().div_ceil(LANES)).map(|share| async move {
            let mut lane = Connection::open(address).await?;
            for (token, at) in share {
                for (place, symbol) in symbols.iter().enumerate() {
                    let trail = if place == 0 { Decimal::new(100 + at, 2) } else { Decimal::new(5, 0) };
                    let body = format!(r#"{{"trail_amount":"{trail}"}}"#);
                    let call = Call::put(format!("/api/v1/positions/{symbol}"), body);
                    let shown = call.send(&mut lane, address, token).await?;
                    ensure!(
                        shown.get("stop_loss").is_some_and(Value::is_string),
                        "{symbol} has no stop: {shown}"
                    );
                }
            }
            anyhow::Ok(())
        }))
        .await?;
        Ok(())
    }

    fn group(&mut self, case: Case) -> anyhow::Result<usize> {
        let group = Group { case, sent: Times::new()?, recorded: Times::new()?, floor: Times::new()? };
        self.groups.push(group);
        Ok(self.groups.len() - 1)
    }

    /// Lets the first symbol's price fall by a cent at a time; each cent reaches the stop of one user.
    async fn one_by_one(&mut self, block: usize) -> anyhow::Result<()> {
        let group = self.group(Case::One)?;
        let symbol = self.symbols.first().cloned().context("a symbol")?;
        for at in (0..self.size.samples).map(|sample| block * self.size.samples + sample) {
            let account = self.venue.accounts.get(at).cloned().context("an account")?;
            let price = Decimal::new(99_00 - i64::try_from(at)?, 2);
            let trades = self.venue.trades();
            let key = (account, symbol.clone());
            let trigger = Trigger { at: self.venue.show(&symbol, price)?, group };
            self.venue.until_trades(trades + 1).await?;
            ensure!(
                self.venue.last_trade().as_ref() == Some(&key),
                "another position than {key:?} was closed"
            );
            self.triggers.insert(key, trigger);
            // Not in step with the prices that go on meanwhile.
            sleep(Duration::from_millis(20 + u64::try_from(at * 37 % 100)?)).await;
        }
        self.server()?.rest().await?;
        let Group { floor, .. } = self.groups.get_mut(group).context("a repetition")?;
        for _ in 0..self.size.samples {
            self.floor.react(&self.venue, 1, floor).await?;
        }
        Ok(())
    }

    /// Sets prices beyond all stops of some symbols. Returns the server's processor time a stop, in microseconds.
    async fn at_once(&mut self, case: Case, symbols: &[String], price: Decimal) -> anyhow::Result<f64> {
        let group = self.group(case)?;
        self.moving.borrow_mut().retain(|symbol| !symbols.contains(symbol));
        let held = self.venue.holdings().into_keys().filter(|(_, symbol)| symbols.contains(symbol));
        let held: Vec<_> = held.collect();
        let (trades, cpu_s) = (self.venue.trades(), self.server()?.cpu_s()?);
        for symbol in symbols {
            let trigger = Trigger { at: self.venue.show(symbol, price)?, group };
            let reached = held.iter().filter(|(_, of)| of == symbol);
            self.triggers.extend(reached.map(|key| (key.clone(), trigger)));
        }
        self.venue.until_trades(trades + held.len()).await?;
        self.server()?.rest().await?;
        let used_us = (self.server()?.cpu_s()? - cpu_s) * 1e6;
        let Group { floor, .. } = self.groups.get_mut(group).context("a repetition")?;
        self.floor.react(&self.venue, held.len(), floor).await?;
        Ok(used_us / held.len() as f64)
    }

    /// Proves that every position was closed once, after its stop was reached, at the venue and in the log.
    ///
    /// Returns the times, and how many closing orders were made anew.
    async fn judge(mut self) -> anyhow::Result<(Vec<Measured>, usize)> {
        let server = self.server.take().context("the server was stopped")?;
        server.rest().await?;
        server.stop().await?;
        let trail = Trail::read(&self.data)?;
        let is_exit = |purpose| matches!(purpose, Purpose::Exit { .. });
        ensure!(trail.count(Purpose::is_protection) == 0, "a stop was sent to the venue");
        // One that never reached the venue is given up and made again: only what filled closed anything.
        let exits = trail.orders.iter().filter(|order| is_exit(order.purpose));
        let made = exits.clone().count();
        let fills: usize = exits.clone().map(|order| order.fills).sum();
        let filled: BTreeMap<_, _> =
            exits.filter_map(|order| Some((order.id.to_string(), order.filled_at?))).collect();
        let positions = self.size.positions();
        ensure!(
            (fills, filled.len()) == (positions, positions),
            "the log has {fills} fills of {} exits for {positions} positions",
            filled.len()
        );
        ensure!(self.venue.orders(Side::Buy).len() == self.size.positions(), "there were other entries");
        for order in self.venue.orders(Side::Sell) {
            let key = (order.ticket.account.clone(), order.ticket.symbol.clone());
            let reached = self.triggers.remove(&key);
            let Trigger { at, group } = reached.with_context(|| format!("{key:?} was closed twice"))?;
            let recorded = *filled.get(&order.client_order_id).context("an exit's fill is not in the log")?;
            let group = self.groups.get_mut(group).context("a repetition")?;
            ensure!(order.created_at >= at, "{key:?} was closed before its stop was reached");
            group.sent.add((order.created_at - at).to_std()?);
            group.recorded.add((recorded - at).to_std().unwrap_or_default());
        }
        ensure!(self.triggers.is_empty(), "{} stops were reached and nothing came", self.triggers.len());
        ensure!(self.venue.holdings().is_empty() && !self.venue.has_open_orders(), "something is left open");
        let measured = self.groups.iter().map(|group| {
            anyhow::Ok(Measured {
                case: group.case,
                count: usize::try_from(group.sent.len())?,
                sent: Spread::of(&group.sent),
                recorded: Spread::of(&group.recorded),
                floor: Spread::of(&group.floor),
            })
        });
        Ok((measured.collect::<anyhow::Result<_>>()?, made - positions))
    }
}
