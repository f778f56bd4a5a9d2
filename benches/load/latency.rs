//! One signal at a time: from the webhook's request to its answer, and to the broker.

use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::time::sleep;
use trade_actors::domain::stages::{Stages, Stamp};

use crate::Scale;
use crate::client::{Connection, Trader};
use crate::figures::{Runs, Times};
use crate::floor::Floor;
use crate::report::{Row, Section, Target};
use crate::seed::{self, Wanted};
use crate::server::{Server, data_dir};
use crate::trail::Trail;

const BLOCK: usize = 250;
const WARM_UP: usize = 500;
/// Time between two signals that do not meet: long enough for the order before to be done.
const PAUSE: Duration = Duration::from_millis(5);
/// Signals of a block that do not meet.
const APART: usize = 50;

type Stage = (&'static str, fn(&Stages) -> Option<Stamp>);

/// The stages whose time from receipt is told.
const STAGES: [Stage; 5] = [
    ("decided", |stages| stages.decided),
    ("durable", |stages| stages.committed),
    ("sent to the broker", |stages| stages.sent),
    ("acknowledged by the broker", |stages| stages.acknowledged),
    ("filled", |stages| stages.filled),
];

/// One repetition.
#[derive(Debug)]
struct Round {
    answers: Times,
    floor: Times,
    answers_apart: Times,
    floor_apart: Times,
    round_trip: Times,
    write: Times,
    stages: Vec<Times>,
    cpu_us: f64,
}

/// Measures it.
pub(crate) async fn measure(scale: Scale) -> anyhow::Result<Section> {
    let (blocks, repetitions) = (scale.of(20, 4), scale.of(5, 1));
    let mut rounds = Vec::new();
    for _ in 0..repetitions {
        rounds.push(round(blocks).await?);
    }
    let signals = rounds.iter().map(|round| round.answers.len()).sum::<u64>();
    let how = format!(
        "One connection, one request at a time, {signals} signals in {repetitions} repetitions after a warm-up; each one is new and \
         becomes an order.\nThe floor is one request to a server that writes 1 KiB, waits for `fdatasync` and answers; blocks of {BLOCK} \
         take turns with it. A signal that follows at once meets the fills of the one before in the log's queue; those {} ms apart do \
         not. The stages are the\nflight recorder's, counted from the request's last byte.",
        PAUSE.as_millis()
    );
    let mut section = Section::new("latency", "One signal: webhook to answer", how);
    let of = |value: &dyn Fn(&Round) -> f64| rounds.iter().map(value).collect::<Runs>();
    let mut answers = |name: &str, ours: fn(&Round) -> &Times, theirs: fn(&Round) -> &Times| {
        let floor = |percentile| of(&|round: &Round| theirs(round).ms(percentile)).median();
        let time = |percentile| of(&|round: &Round| ours(round).ms(percentile));
        let row = Row::new(format!("request to 202, {name}, p50"), "ms", time(50.0));
        section.row(row.floor(floor(50.0)).target(Target::TimesFloor(1.5)));
        let row = Row::new(format!("request to 202, {name}, p99 (floor: its p50)"), "ms", time(99.0));
        section.row(row.floor(floor(50.0)).target(Target::TimesFloor(5.0)));
        let row = Row::new(format!("request to 202, {name}, p99 (floor: its p99)"), "ms", time(99.0));
        section.row(row.floor(floor(99.0)));
        let longest = of(&|round| ours(round).max_ms());
        section.row(Row::new(format!("request to 202, {name}, longest"), "ms", longest));
    };
    answers("at once", |round| &round.answers, |round| &round.floor);
    answers("5 ms apart", |round| &round.answers_apart, |round| &round.floor_apart);
    for percentile in [50.0, 99.0] {
        for (at, (name, _)) in STAGES.iter().enumerate() {
            let stage = of(&|round| round.stages.get(at).map_or(0.0, |times| times.ms(percentile)));
            section.row(Row::new(format!("receipt to {name}, p{percentile}"), "ms", stage));
        }
    }
    for percentile in [50.0, 99.0] {
        let name = format!("the floor's round trip alone, p{percentile}");
        section.row(Row::new(name, "ms", of(&|round| round.round_trip.ms(percentile))));
        let name = format!("the floor's durable write alone, p{percentile}");
        section.row(Row::new(name, "ms", of(&|round| round.write.ms(percentile))));
    }
    section.row(Row::new("server's processor time a signal", "µs", of(&|round| round.cpu_us)));
    Ok(section)
}

async fn round(blocks: usize) -> anyhow::Result<Round> {
    let dir = data_dir()?;
    let data = dir.path().join("data");
    let seeded = seed::fill(&data, Wanted { users: 1, followers: 1, tokens: 0, stop_loss_pct: 0 })?;
    let server = Server::start(&data, &[]).await?;
    let mut floor = Floor::start(dir.path()).await?;
    let mut connection = Connection::open(server.address).await?;
    let token = seeded.webhooks.first().map(String::as_str).unwrap_or_default();
    let mut trader = Trader::new(server.address, token, 1, "AAPL");
    let mut round = Round {
        answers: Times::new()?,
        floor: Times::new()?,
        answers_apart: Times::new()?,
        floor_apart: Times::new()?,
        round_trip: Times::new()?,
        write: Times::new()?,
        stages: Vec::new(),
        cpu_us: 0.0,
    };
    signals(&mut connection, &mut trader, WARM_UP, None).await?;
    floor.round_trips("/durable", WARM_UP, &mut Times::new()?).await?;
    let mut cpu_s = 0.0;
    for _ in 0..blocks {
        let before = server.cpu_s()?;
        signals(&mut connection, &mut trader, BLOCK, Some(&mut round.answers)).await?;
        cpu_s += server.cpu_s()? - before;
        floor.round_trips("/durable", BLOCK, &mut round.floor).await?;
        floor.round_trips("/", BLOCK, &mut round.round_trip).await?;
        floor.writes(BLOCK, &mut round.write)?;
        for _ in 0..APART {
            sleep(PAUSE).await;
            signals(&mut connection, &mut trader, 1, Some(&mut round.answers_apart)).await?;
            sleep(PAUSE).await;
            floor.round_trips("/durable", 1, &mut round.floor_apart).await?;
        }
    }
    round.cpu_us = cpu_s * 1e6 / round.answers.len() as f64;
    server.rest().await?;
    server.stop().await?;
    let trail = Trail::read(&data)?;
    trail.one_order_each()?;
    for (_, stage) in STAGES {
        let mut times = Times::new()?;
        for order in trail.orders.iter().skip(WARM_UP) {
            if let (Some(from), Some(to)) = (order.stages.received, stage(&order.stages)) {
                times.add_us(to.since(from));
            }
        }
        round.stages.push(times);
    }
    Ok(round)
}

async fn signals(
    connection: &mut Connection,
    trader: &mut Trader,
    count: usize,
    mut times: Option<&mut Times>,
) -> anyhow::Result<()> {
    for _ in 0..count {
        let request = trader.next();
        let began = Instant::now();
        let status = connection.exchange(request).await?;
        if let Some(times) = times.as_deref_mut() {
            times.add(began.elapsed());
        }
        if status != 202 {
            bail!("a signal was answered {status}: {}", String::from_utf8_lossy(connection.body()));
        }
    }
    Ok(())
}
