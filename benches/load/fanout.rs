//! One signal for many: until the last follower's intent is durable.

use std::time::Instant;

use anyhow::{Context, bail, ensure};

use crate::Scale;
use crate::client::{Connection, Trader};
use crate::figures::Runs;
use crate::floor::Preallocated;
use crate::report::{Row, Section, Target};
use crate::seed::{self, Wanted};
use crate::server::{Server, data_dir};
use crate::trail::Trail;

/// Signals in one life of the server: an even count, so that nobody holds anything when it ends.
const SIGNALS: usize = 4;

/// Measures it.
pub(crate) async fn measure(scale: Scale) -> anyhow::Result<Section> {
    let (followers, lives) = (scale.of(10_000, 2_000), scale.of(4, 2));
    let how = format!(
        "{followers} users follow one source; one signal makes one order for each. Time runs from the delivery's last byte to the moment \
         the last of\ntheir intents was durable, by the flight recorder. \"Asleep\" is the first signal after a start, when nobody's actors \
         run; \"first ever\" also\nopens every paper account. The floor is the time in which as many records of 1 KiB become durable in \
         batches of 512."
    );
    let mut section = Section::new("fanout", "One signal for many followers", how);
    let dir = data_dir()?;
    let data = dir.path().join("data");
    let seeded = seed::fill(&data, Wanted { users: followers, followers, tokens: 0, stop_loss_pct: 0 })?;
    let token = seeded.webhooks.first().map(String::as_str).unwrap_or_default();
    let (mut answers, mut floor) = (Runs::default(), Runs::default());
    for life in 0..lives {
        floor.add(floor_ms(dir.path(), followers)?);
        let settings = [("ENGINE__PASSIVATE_AFTER_S", "3600".to_owned())];
        let server = Server::start(&data, &settings).await?;
        server.rest().await?;
        let sent = u64::try_from(life * SIGNALS).unwrap_or_default();
        let mut trader = Trader::new(server.address, token, 1, "AAPL").after(sent);
        let mut connection = Connection::open(server.address).await?;
        for _ in 0..SIGNALS {
            let began = Instant::now();
            let status = connection.exchange(trader.next()).await?;
            answers.add(began.elapsed().as_secs_f64() * 1e3);
            if status != 202 {
                bail!("a signal was answered {status}: {}", String::from_utf8_lossy(connection.body()));
            }
            server.rest().await?;
        }
        server.stop().await?;
    }
    let trail = Trail::read(&data)?;
    ensure!(trail.signals.len() == lives * SIGNALS, "the log holds {} signals", trail.signals.len());
    ensure!(
        trail.orders.len() == followers * trail.signals.len()
            && !trail.orders.iter().any(|order| order.denied),
        "not every follower has one order for every signal"
    );
    let mut lasts = Vec::new();
    for signal in &trail.signals {
        let decided = trail.last_us(*signal, |stages| stages.decided).context("nobody decided")?;
        let durable = trail.last_us(*signal, |stages| stages.committed).context("nothing was sent")?;
        let filled = trail.last_us(*signal, |stages| stages.filled).context("nothing was filled")?;
        lasts.push([decided, durable, filled].map(|us| us as f64 / 1e3));
    }
    let pick = |wanted: &dyn Fn(usize) -> bool, stage: usize| {
        let kept = lasts.iter().enumerate().filter(|(at, _)| wanted(*at));
        kept.filter_map(|(_, stages)| stages.get(stage).copied()).collect::<Runs>()
    };
    let floor = floor.median();
    let asleep = |at: usize| at.is_multiple_of(SIGNALS) && at > 0;
    let awake = |at: usize| !at.is_multiple_of(SIGNALS);
    let durable = |wanted| pick(wanted, 1);
    let second = Target::AtMost(1_000.0);
    section.row(Row::new("asleep: last intent durable", "ms", durable(&asleep)).floor(floor).target(second));
    section.row(Row::new("awake: last intent durable", "ms", durable(&awake)).floor(floor).target(second));
    section.row(Row::new("first ever: last intent durable", "ms", durable(&|at| at == 0)).floor(floor));
    section.row(Row::new("asleep: last decided", "ms", pick(&asleep, 0)));
    section.row(Row::new("awake: last decided", "ms", pick(&awake, 0)));
    section.row(Row::new("asleep: last filled", "ms", pick(&asleep, 2)));
    section.row(Row::new("awake: last filled", "ms", pick(&awake, 2)));
    section.row(Row::new("request to 202", "ms", answers));
    Ok(section)
}

fn floor_ms(dir: &std::path::Path, followers: usize) -> anyhow::Result<f64> {
    let file = Preallocated::new(&dir.join("floor"))?;
    let bytes = vec![0xa5; 512 << 10];
    let began = Instant::now();
    for _ in 0..followers.div_ceil(512) {
        file.append(&bytes)?;
    }
    Ok(began.elapsed().as_secs_f64() * 1e3)
}
