//! A venue that is down for two minutes: what others notice of it, whom it is told, and how soon it is over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rust_decimal::Decimal;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval, sleep};
use trade_actors::domain::ids::SignalId;
use trade_actors::domain::stages::{Stages, Stamp};
use venues::account::AccountSpec;
use venues::faults::{Action, Rule, When};
use venues::feed::Price;
use venues::table::{Running, venue};
use venues::world::Options;

use crate::Scale;
use crate::client::{Call, Connection, Trader, request};
use crate::figures::{Runs, Times};
use crate::report::{Row, Section, Target};
use crate::seed::{self, Seeded, Wanted};
use crate::server::{Server, Setting, data_dir};
use crate::trail::Trail;
use crate::venue::{SECRET, Venue};

/// What is traded at the venue that goes down.
const COIN: &str = "BTC/USDT";
/// Time between two signals of the person at the other venue.
const PACE: Duration = Duration::from_millis(40);
const WARM_UP: usize = 100;
/// How long one connection is used: the server ends those that get old.
const LANE_LASTS: Duration = Duration::from_secs(20);
/// How long the accounts may take to connect, or to be back.
const BACK_WITHIN: Duration = Duration::from_secs(120);

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Size {
    users: usize,
    quiet: Duration,
    down: Duration,
    told_after_s: u32,
}

/// When something was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Before,
    Down,
    After,
}

impl Phase {
    const ALL: [Self; 3] = [Self::Before, Self::Down, Self::After];

    const fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Down => "while it is down",
            Self::After => "after",
        }
    }
}

type Stage = (&'static str, fn(&Stages) -> Option<Stamp>);

const STAGES: [Stage; 2] =
    [("durable", |stages| stages.committed), ("acknowledged by its broker", |stages| stages.acknowledged)];

/// Measures it.
pub(crate) async fn measure(scale: Scale) -> anyhow::Result<Section> {
    let size = Size {
        users: scale.of(20, 5),
        quiet: Duration::from_secs(scale.of(60, 8)),
        down: Duration::from_secs(scale.of(120, 40)),
        told_after_s: scale.of(60, 3),
    };
    let how = format!(
        "{} users trade at a simulated Bybit, one at a simulated Alpaca: that one gets a signal every {} ms. For {} s Bybit resets every \
         connection and\nhangs up its streams; everybody there gets one signal meanwhile, and one when it is back. The floor of a row is \
         the same figure before. An account\nthat cannot be reached for {} s is told to its owner. The venues share the cores.",
        size.users,
        PACE.as_millis(),
        size.down.as_secs(),
        size.told_after_s,
    );
    let mut section = Section::new("outage", "A venue that is down", how);
    let mut scene = Scene::open(size).await?;
    for phase in Phase::ALL {
        eprintln!("  {}", phase.name());
        scene.play(phase).await?;
    }
    let back = scene.back;
    let Found { times, lost, restored, traded } = scene.judge().await?;
    for (name, _) in STAGES {
        for percentile in [50.0, 99.0] {
            let of = |phase| times.get(&(name, phase)).map_or(0.0, |times: &Times| times.ms(percentile));
            for phase in Phase::ALL {
                let name = format!("the other venue's signal to {name}, {}, p{percentile}", phase.name());
                let row = Row::new(name, "ms", Runs::from_iter([of(phase)]));
                section.row(match phase {
                    Phase::Before => row,
                    Phase::Down | Phase::After => {
                        row.floor(of(Phase::Before)).target(Target::TimesFloor(1.5))
                    }
                });
            }
        }
    }
    let count = |value: usize| Runs::from_iter([value as f64]);
    let (most, least) = (Target::AtMost(size.users as f64), Target::AtLeast(size.users as f64));
    section.row(Row::new("notices of the outage", "", count(lost)).target(most));
    section.row(Row::new("notices of its end", "", count(restored)).target(least));
    section.row(Row::new("users who traded there again, without a restart", "", count(traded)).target(least));
    let back = Runs::from_iter([back.as_secs_f64()]);
    section.row(Row::new("from the venue's return until all accounts are connected", "s", back));
    Ok(section)
}

/// What the log says afterwards.
#[derive(Debug)]
struct Found {
    times: BTreeMap<(&'static str, Phase), Times>,
    lost: usize,
    restored: usize,
    traded: usize,
}

/// A server, its users, and the two venues at which they trade.
struct Scene {
    size: Size,
    dir: tempfile::TempDir,
    server: Server,
    seeded: Seeded,
    /// Which works all the time.
    alpaca: Venue,
    /// Which goes down.
    bybit: Running,
    trader: Trader,
    signals: Vec<(Phase, SignalId)>,
    back: Duration,
}

impl Scene {
    async fn open(size: Size) -> anyhow::Result<Self> {
        let dir = data_dir()?;
        let data = dir.path().join("data");
        let users = size.users + 1;
        let seeded = seed::fill(&data, Wanted { users, followers: 1, tokens: users, stop_loss_pct: 0 })?;
        let (alpaca, bybit) = (Venue::open(1).await?, down_to_be(size.users).await?);
        alpaca.show("AAPL", Decimal::ONE_HUNDRED)?;
        let mut settings = alpaca.settings();
        settings.extend(bybit_settings(&bybit));
        settings.push(("ENGINE__PASSIVATE_AFTER_S", "3600".to_owned()));
        settings.push(("ENGINE__OFFLINE_AFTER_S", size.told_after_s.to_string()));
        let server = Server::start(&data, &settings).await?;
        let webhook = seeded.webhooks.first().context("a webhook")?;
        let trader = Trader::new(server.address, webhook, 1, "AAPL");
        let (signals, back) = (Vec::new(), Duration::ZERO);
        let mut scene = Self { size, dir, server, seeded, alpaca, bybit, trader, signals, back };
        scene.connect().await?;
        let mut warm_up = Connection::open(scene.server.address).await?;
        for _ in 0..WARM_UP {
            scene.one_more(&mut warm_up, None).await?;
            sleep(PACE).await;
        }
        Ok(scene)
    }

    /// Connects everybody's account and waits until all are connected.
    async fn connect(&self) -> anyhow::Result<()> {
        let (address, mut lane) = (self.server.address, Connection::open(self.server.address).await?);
        for (at, token) in self.seeded.tokens.iter().enumerate() {
            let (broker, key) = match at.checked_sub(1) {
                None => ("alpaca", self.alpaca.accounts.first().cloned().context("an account")?),
                Some(at) => ("bybit", key(at)),
            };
            let keys =
                format!(r#"{{"broker":"{broker}","mode":"paper","key_id":"{key}","secret":"{SECRET}"}}"#);
            let made = Call::post("/api/v1/brokers".to_owned(), keys).send(&mut lane, address, token).await?;
            let id = made.get("id").and_then(Value::as_str).context("a connection's id")?;
            let chosen = Call::post(format!("/api/v1/brokers/{id}/default"), "{}".to_owned());
            chosen.send(&mut lane, address, token).await?;
        }
        self.until_connected().await?;
        Ok(())
    }

    /// Waits until every account is connected, and returns how long that took.
    async fn until_connected(&self) -> anyhow::Result<Duration> {
        let (address, began) = (self.server.address, Instant::now());
        let mut lane = Connection::open(address).await?;
        for token in &self.seeded.tokens {
            loop {
                let told = Call::get("/api/v1/brokers".to_owned()).send(&mut lane, address, token).await?;
                let all = told.get("items").and_then(Value::as_array).context("accounts")?;
                if all.iter().all(|known| known.get("connected") == Some(&Value::Bool(true))) {
                    break;
                }
                ensure!(began.elapsed() < BACK_WITHIN, "an account is not connected: {told}");
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(began.elapsed())
    }

    /// Sends one signal of the person at the venue that works.
    async fn one_more(&mut self, lane: &mut Connection, phase: Option<Phase>) -> anyhow::Result<()> {
        let status = lane.exchange(self.trader.next()).await?;
        ensure!(status == 202, "a signal was answered {status}");
        if let Some(phase) = phase {
            let told: Value = serde_json::from_slice(lane.body())?;
            let signal = told.get("signal_id").and_then(Value::as_str).context("a signal's id")?;
            self.signals.push((phase, signal.parse()?));
        }
        Ok(())
    }

    /// Has everybody at the other venue get a signal.
    async fn everybody(&self, id: &str) -> anyhow::Result<()> {
        let (address, mut lane) = (self.server.address, Connection::open(self.server.address).await?);
        let body = format!(r#"{{"ticker":"{COIN}","action":"buy","quantity":0.001,"alert_id":"{id}"}}"#);
        for webhook in self.seeded.webhooks.iter().skip(1) {
            let path = format!("/webhooks/tradingview/{webhook}");
            let status = lane.exchange(&request("POST", address, &path, "", &body)).await?;
            ensure!(status == 202, "a signal was answered {status}");
        }
        Ok(())
    }

    async fn play(&mut self, phase: Phase) -> anyhow::Result<()> {
        let lasts = match phase {
            Phase::Before => {
                self.everybody("before").await?;
                self.until_bought(1).await?;
                self.size.quiet
            }
            Phase::Down => {
                let gone = Rule::on("*", Action::Reset { when: When::Before });
                self.bybit.world().add_fault(gone);
                self.bybit.world().drop_streams(None);
                self.size.down
            }
            Phase::After => {
                self.bybit.world().clear_faults();
                self.back = self.until_connected().await?;
                self.everybody("after").await?;
                self.size.quiet
            }
        };
        let mut lane = Connection::open(self.server.address).await?;
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (began, mut is_said) = (Instant::now(), phase != Phase::Down);
        let mut renew_at = began + LANE_LASTS;
        while began.elapsed() < lasts {
            pace.tick().await;
            if Instant::now() >= renew_at {
                lane = Connection::open(self.server.address).await?;
                renew_at += LANE_LASTS;
            }
            self.one_more(&mut lane, Some(phase)).await?;
            if !is_said && began.elapsed() > lasts / 2 {
                is_said = true;
                self.everybody("down").await?;
                // It was idle meanwhile, which the server does not suffer for long.
                lane = Connection::open(self.server.address).await?;
            }
        }
        Ok(())
    }

    /// Waits until everybody at the other venue has bought so often.
    async fn until_bought(&self, times: usize) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.bought() < times * self.size.users {
            ensure!(began.elapsed() < BACK_WITHIN, "{} bought", self.bought());
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn bought(&self) -> usize {
        self.bybit.world().look(|state| state.book.trades().len())
    }

    /// Stops the server and reads its log.
    async fn judge(self) -> anyhow::Result<Found> {
        self.until_bought(2).await?;
        self.server.rest().await?;
        let traded = self.bought().saturating_sub(self.size.users);
        self.server.stop().await?;
        let trail = Trail::read(&self.dir.path().join("data"))?;
        let phases: BTreeMap<SignalId, Phase> =
            self.signals.iter().map(|(phase, signal)| (*signal, *phase)).collect();
        let mut times = BTreeMap::new();
        for (name, stage) in STAGES {
            for order in &trail.orders {
                let Some(phase) = phases.get(&order.signal) else { continue };
                let found = order.stages.received.zip(stage(&order.stages));
                let (received, at) = found.context("an order at the venue that works got nowhere")?;
                let of_phase = match times.entry((name, *phase)) {
                    std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                    std::collections::btree_map::Entry::Vacant(new) => new.insert(Times::new()?),
                };
                of_phase.add_us(at.since(received));
            }
        }
        Ok(Found { times, lost: trail.lost, restored: trail.restored, traded })
    }
}

/// Returns the key of an account at the venue that goes down.
fn key(at: usize) -> String {
    format!("BYLOAD{at:06}")
}

/// Opens the venue that goes down, with so many accounts.
async fn down_to_be(accounts: usize) -> anyhow::Result<Running> {
    let entry = venue("bybit").context("Bybit")?;
    let spec = |at| AccountSpec::spot(&key(at), SECRET, "USDT", Decimal::from(100_000));
    let options = Options { accounts: (0..accounts).map(spec).collect(), ..(entry.options)() };
    let venue = (entry.start)(options).await.context("Bybit")?;
    venue.world().set_price(&Price::flat(COIN, Decimal::from(60_000)));
    Ok(venue)
}

fn bybit_settings(venue: &Running) -> Vec<Setting> {
    let url = |name: &str| venue.url(name).to_owned();
    vec![
        ("BROKERS__BYBIT__LIVE_URL", url("url")),
        ("BROKERS__BYBIT__PAPER_URL", url("url")),
        ("BROKERS__BYBIT__DATA_URL", url("url")),
        ("BROKERS__BYBIT__LIVE_STREAM_URL", url("private_url")),
        ("BROKERS__BYBIT__PAPER_STREAM_URL", url("private_url")),
        ("BROKERS__BYBIT__DATA_STREAM_URL", url("public_url")),
    ]
}
