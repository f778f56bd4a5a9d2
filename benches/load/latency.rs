//! One signal at a time: from the webhook's request to its answer, and to the broker.

use std::time::Instant;

use anyhow::bail;
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
         take turns with it. The stages are the\nflight recorder's, counted from the request's last byte."
    );
    let mut section = Section::new("latency", "One signal: webhook to answer", how);
    let of = |value: &dyn Fn(&Round) -> f64| rounds.iter().map(value).collect::<Runs>();
    let (floor_50, floor_99) =
        (of(&|round| round.floor.ms(50.0)).median(), of(&|round| round.floor.ms(99.0)).median());
    let answers = |percentile| of(&|round: &Round| round.answers.ms(percentile));
    section.row(
        Row::new("request to 202, p50", "ms", answers(50.0)).floor(floor_50).target(Target::TimesFloor(1.5)),
    );
    let p99 = Row::new("request to 202, p99 (floor: the p50)", "ms", answers(99.0));
    section.row(p99.floor(floor_50).target(Target::TimesFloor(5.0)));
    section.row(Row::new("request to 202, p99 (floor: the p99)", "ms", answers(99.0)).floor(floor_99));
    section.row(Row::new("request to 202, p99.9", "ms", answers(99.9)));
    section.row(Row::new("request to 202, longest", "ms", of(&|round| round.answers.max_ms())));
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
    let seeded = seed::fill(&data, Wanted { users: 1, followers: 1, tokens: 0 })?;
    let server = Server::start(&data, &[]).await?;
    let mut floor = Floor::start(dir.path()).await?;
    let mut connection = Connection::open(server.address).await?;
    let token = seeded.webhooks.first().map(String::as_str).unwrap_or_default();
    let mut trader = Trader::new(server.address, token, 1, "AAPL");
    let mut round = Round {
        answers: Times::new()?,
        floor: Times::new()?,
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
