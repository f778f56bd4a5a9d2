//! Many connections at once: durable signals a second, and what an answer then takes.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::future::try_join_all;
use tokio::time::{sleep, sleep_until};

use crate::client::{Connection, Trader};
use crate::figures::{Runs, Times};
use crate::floor::Floor;
use crate::report::{Row, Section, Target};
use crate::seed::{self, Wanted};
use crate::server::{Server, data_dir};
use crate::trail::Trail;
use crate::{Scale, machine};

const USERS: usize = 512;

/// One way of driving.
#[derive(Clone, Copy, Debug)]
struct Load {
    connections: usize,
    /// How long the paper broker takes to answer.
    broker_ms: u64,
    /// Signals a second over all connections; absent: the next follows the answer at once.
    paced: Option<u32>,
}

const LOADS: [Load; 5] = [
    Load { connections: 1, broker_ms: 0, paced: None },
    Load { connections: 64, broker_ms: 0, paced: None },
    Load { connections: 512, broker_ms: 0, paced: None },
    Load { connections: 512, broker_ms: 200, paced: Some(2_000) },
    Load { connections: 512, broker_ms: 200, paced: None },
];

impl Load {
    fn name(self) -> String {
        let connections = if self.connections == 1 { "connection" } else { "connections" };
        let broker = if self.broker_ms > 0 { ", brokers take 200 ms" } else { "" };
        let paced = self.paced.map(|rate| format!(", {rate} signals/s offered")).unwrap_or_default();
        format!("{} {connections}{broker}{paced}", self.connections)
    }
}

/// What one repetition gave.
#[derive(Debug)]
struct Outcome {
    per_s: f64,
    refused: f64,
    times: Times,
    floor_per_s: f64,
    drain_s: f64,
    server_us: f64,
    client_us: f64,
    records: f64,
    written_bytes: f64,
}

/// Measures it.
pub(crate) async fn measure(scale: Scale) -> anyhow::Result<Section> {
    let (seconds, repetitions) = (scale.of(10, 3), scale.of(3, 1));
    let how = format!(
        "{USERS} users with a webhook each; for {seconds} s every connection sends the next signal when the last is answered, or at a \
         fixed rate where\none is named. Each signal is new, buys and sells take turns, and afterwards the log is verified and must hold \
         exactly one order for each\naccepted signal. The floor is the rate of a server that only parses HTTP and makes 1 KiB a request \
         durable with group commit, driven the\nsame way in the same run. Each of {repetitions} repetitions begins with new data."
    );
    let mut section = Section::new("throughput", "Many signals: durable signals a second", how);
    for load in LOADS {
        let mut outcomes = Vec::new();
        for _ in 0..repetitions {
            outcomes.push(repetition(load, Duration::from_secs(seconds)).await.with_context(|| load.name())?);
        }
        let of = |value: &dyn Fn(&Outcome) -> f64| outcomes.iter().map(value).collect::<Runs>();
        let name = load.name();
        let per_s = Row::new(format!("{name}: accepted"), "/s", of(&|o| o.per_s))
            .floor(of(&|o| o.floor_per_s).median());
        let target = if load.connections == 512 && load.paced.is_none() && load.broker_ms == 0 {
            Target::AtLeast(5_000.0)
        } else {
            Target::None
        };
        section.row(per_s.target(target));
        section.row(Row::new(format!("{name}: p50"), "ms", of(&|o| o.times.ms(50.0))));
        let target = if load.paced.is_some() { Target::AtMost(10.0) } else { Target::None };
        section.row(Row::new(format!("{name}: p99"), "ms", of(&|o| o.times.ms(99.0))).target(target));
        let refused = of(&|o| o.refused);
        if refused.median() > 0.0 {
            section.row(Row::new(format!("{name}: refused (429, 503)"), "/s", refused));
        }
        section.row(Row::new(
            format!("{name}: server's processor time a signal"),
            "µs",
            of(&|o| o.server_us),
        ));
        section.row(Row::new(format!("{name}: load's processor time a signal"), "µs", of(&|o| o.client_us)));
        section.row(Row::new(format!("{name}: records a signal"), "", of(&|o| o.records)));
        let written = of(&|o| o.written_bytes / 1024.0);
        section.row(Row::new(format!("{name}: written a signal, log, index and answers"), "KiB", written));
        section.row(Row::new(format!("{name}: until the last order is done"), "s", of(&|o| o.drain_s)));
    }
    Ok(section)
}

async fn repetition(load: Load, during: Duration) -> anyhow::Result<Outcome> {
    let dir = data_dir()?;
    let data = dir.path().join("data");
    let seeded = seed::fill(&data, Wanted { users: USERS, followers: 1, tokens: 0, stop_loss_pct: 0 })?;
    let floor = floor_per_s(dir.path(), load, during / 5).await?;
    let server = Server::start(&data, &[("PAPER__LATENCY_MS", load.broker_ms.to_string())]).await?;
    let address = server.address;
    let mut traders: Vec<_> =
        seeded.webhooks.iter().map(|token| Trader::new(address, token, 1, "AAPL")).collect();
    wake(address, &mut traders).await?;
    server.rest().await?;
    let before = (server.metrics().await?, server.cpu_s()?, machine::cpu_s(std::process::id())?);
    let written = server.written()?;

    let mut shares: Vec<Vec<Trader>> = (0..load.connections).map(|_| Vec::new()).collect();
    for (at, trader) in traders.into_iter().enumerate() {
        shares.get_mut(at % load.connections).context("a connection")?.push(trader);
    }
    let sources = shares.into_iter().map(|traders| Source::Traders { traders, at: 0 });
    let tally = drive(address, sources.collect(), load, during).await?;
    let client_s = machine::cpu_s(std::process::id())? - before.2;
    let ended = Instant::now();
    let after = server.rest().await?;
    let drain_s = ended.elapsed().as_secs_f64();
    let server_s = server.cpu_s()? - before.1;
    let written = server.written()? - written;
    let grown = |name: &str, labels: &[&str]| after.sum(name, labels) - before.0.sum(name, labels);
    let ordered = grown("trade_executor_decisions_total", &[r#"outcome="ordered""#]);
    let accepted = tally.times.len() as f64;
    if (ordered - accepted).abs() > 0.5 {
        bail!("{accepted} signals were accepted and {ordered} became orders");
    }
    let records = grown("trade_executor_log_head_seq", &[]) / accepted;
    server.stop().await?;
    Trail::read(&data)?.one_order_each()?;
    Ok(Outcome {
        per_s: accepted / tally.took.as_secs_f64(),
        refused: tally.refused as f64 / tally.took.as_secs_f64(),
        times: tally.times,
        floor_per_s: floor,
        drain_s,
        server_us: server_s * 1e6 / accepted,
        client_us: client_s * 1e6 / accepted,
        records,
        written_bytes: written / accepted,
    })
}

/// Sends every user one buy and one sell, so that all are awake and none holds anything.
async fn wake(address: SocketAddr, traders: &mut [Trader]) -> anyhow::Result<()> {
    let mut connection = Connection::open(address).await?;
    for _ in 0..2 {
        for trader in traders.iter_mut() {
            let status = connection.exchange(trader.next()).await?;
            if status != 202 {
                bail!("a signal was answered {status}: {}", String::from_utf8_lossy(connection.body()));
            }
        }
    }
    Ok(())
}

async fn floor_per_s(dir: &std::path::Path, load: Load, during: Duration) -> anyhow::Result<f64> {
    let floor = Floor::start(dir).await?;
    let sources = (0..load.connections).map(|_| Source::Fixed(floor.request("/grouped")));
    let tally = drive(floor.address(), sources.collect(), load, during).await?;
    Ok(tally.times.len() as f64 / tally.took.as_secs_f64())
}

/// What a connection sends.
#[derive(Debug)]
enum Source {
    Traders { traders: Vec<Trader>, at: usize },
    Fixed(Vec<u8>),
}

impl Source {
    fn next(&mut self) -> &[u8] {
        match self {
            Self::Traders { traders, at } => {
                *at += 1;
                let place = *at % traders.len().max(1);
                traders.get_mut(place).map(Trader::next).unwrap_or_default()
            }
            Self::Fixed(request) => request,
        }
    }
}

/// What all connections saw together.
#[derive(Debug)]
struct Tally {
    times: Times,
    refused: u64,
    took: Duration,
}

async fn drive(
    address: SocketAddr,
    sources: Vec<Source>,
    load: Load,
    during: Duration,
) -> anyhow::Result<Tally> {
    let mut clients = Vec::with_capacity(sources.len());
    for source in sources {
        clients.push((Connection::open(address).await?, source));
    }
    let tally = RefCell::new(Tally { times: Times::new()?, refused: 0, took: Duration::ZERO });
    let began = Instant::now();
    let every =
        load.paced.map(|rate| Duration::from_secs(1) * u32::try_from(load.connections).unwrap_or(1) / rate);
    let count = u32::try_from(clients.len()).unwrap_or(u32::MAX);
    let runs = clients.into_iter().zip(0_u32..).map(|((connection, source), at)| {
        let first = began + every.unwrap_or_default() * at / count;
        one(connection, source, Pace { first, every, until: began + during }, &tally)
    });
    try_join_all(runs).await?;
    tally.borrow_mut().took = began.elapsed();
    Ok(tally.into_inner())
}

/// When a connection sends.
#[derive(Clone, Copy, Debug)]
struct Pace {
    first: Instant,
    every: Option<Duration>,
    until: Instant,
}

async fn one(
    mut connection: Connection,
    mut source: Source,
    pace: Pace,
    tally: &RefCell<Tally>,
) -> anyhow::Result<()> {
    let mut due = pace.first;
    while Instant::now() < pace.until {
        let mut began = Instant::now();
        if let Some(every) = pace.every {
            if due > began {
                sleep_until(due.into()).await;
                began = Instant::now();
            } else {
                // It should have been sent already: the wait for the answer before counts too.
                began = due;
            }
            due += every;
        }
        let status = connection.exchange(source.next()).await?;
        match status {
            202 => tally.borrow_mut().times.add(began.elapsed()),
            429 | 503 => {
                tally.borrow_mut().refused += 1;
                sleep(Duration::from_millis(20)).await;
            }
            _ => bail!("a signal was answered {status}: {}", String::from_utf8_lossy(connection.body())),
        }
    }
    Ok(())
}
