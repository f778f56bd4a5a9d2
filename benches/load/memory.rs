//! Memory a user takes: asleep, awake with nothing to do, and holding a position.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::sleep;

use crate::Scale;
use crate::client::{Connection, Trader};
use crate::figures::Runs;
use crate::report::{Row, Section, Target};
use crate::seed::{self, Wanted};
use crate::server::{Server, Setting, data_dir};

const MIB: f64 = (1_u64 << 20) as f64;
/// More than an order may be worth: it is denied, so it wakes its user and leaves nothing open.
const DENIED: u32 = 1_000_000;

/// What was found at one number of users.
#[derive(Debug, Default)]
struct Found {
    asleep: Runs,
    asleep_small_cache: Runs,
    start_s: Runs,
}

/// Measures it.
pub(crate) async fn measure(scale: Scale) -> anyhow::Result<Section> {
    let (few, many) = (scale.of(10_000, 1_000), scale.of(100_000, 10_000));
    let (awake, repetitions) = (scale.of(5_000, 500), scale.of(3, 1));
    let how = format!(
        "Resident memory of the server (`VmRSS`), at rest, over data directories with 1, {few} and {many} users and a complete index. \
         A passivated user\nis the slope between two of them, once with the index's cache held to 1 MiB so that the cache does not count \
         as users. One signal for {awake}\nfollowers that is denied wakes them with nothing to do; one that is filled leaves each a position."
    );
    let mut section = Section::new("memory", "Memory a user", how);
    let mut found = Vec::new();
    let mut last = None;
    for users in [1, few, many] {
        let dir = data_dir()?;
        let data = dir.path().join("data");
        let seeded = seed::fill(&data, Wanted { users, followers: awake, tokens: 0, stop_loss_pct: 0 })?;
        let mut at = Found::default();
        for _ in 0..repetitions {
            asleep(&data, &mut at).await?;
        }
        found.push((users as f64, at));
        last = Some((dir, data, seeded));
    }
    let [(one, none), (fewer, some), (more, all)] = found.as_slice() else {
        bail!("three sizes were measured")
    };
    for (users, at) in [(one, none), (fewer, some), (more, all)] {
        let users = if *users > 1.0 { format!("{users} users") } else { "1 user".to_owned() };
        section.row(Row::new(format!("{users} asleep"), "MiB", scaled(&at.asleep, MIB)));
        section.row(Row::new(
            format!("{users} asleep, cache of 1 MiB"),
            "MiB",
            scaled(&at.asleep_small_cache, MIB),
        ));
        section.row(Row::new(format!("{users}: until signals are taken"), "s", at.start_s.clone()));
    }
    let slope =
        |upper: &Runs, lower: &Runs, users: f64| Runs::from_iter([(upper.median() - lower.median()) / users]);
    let per_user = slope(&all.asleep_small_cache, &some.asleep_small_cache, more - fewer);
    let name = format!("a passivated user, between {fewer} and {more}, cache of 1 MiB");
    section.row(Row::new(name, "bytes", per_user).target(Target::AtMost(200.0)));
    let name = format!("a passivated user, between 1 and {more}, cache of 1 MiB");
    section.row(Row::new(
        name,
        "bytes",
        slope(&all.asleep_small_cache, &none.asleep_small_cache, more - one),
    ));
    let name = format!("a passivated user, between {fewer} and {more}, default cache");
    section.row(Row::new(name, "bytes", slope(&all.asleep, &some.asleep, more - fewer)));

    let (_dir, data, seeded) = last.context("the largest directory")?;
    let token = seeded.webhooks.first().map(String::as_str).unwrap_or_default();
    resident(&mut section, &data, token, awake).await?;
    Ok(section)
}

async fn asleep(data: &Path, found: &mut Found) -> anyhow::Result<()> {
    let small: &[Setting] = &[("STORE__CACHE_BYTES", (1_u32 << 20).to_string())];
    for (settings, is_small) in [(&[] as &[Setting], false), (small, true)] {
        let server = Server::start(data, settings).await?;
        server.rest().await?;
        let rss = server.rss()? as f64;
        if is_small {
            found.asleep_small_cache.add(rss);
        } else {
            found.asleep.add(rss);
            found.start_s.add(server.started_in.as_secs_f64());
        }
        server.stop().await?;
    }
    Ok(())
}

/// Wakes users, then lets them hold something, then lets them sleep again.
async fn resident(section: &mut Section, data: &Path, token: &str, awake: usize) -> anyhow::Result<()> {
    let count = awake as f64;
    let server = Server::start(data, &[("ENGINE__PASSIVATE_AFTER_S", "3600".to_owned())]).await?;
    server.rest().await?;
    let before = server.rss()? as f64;
    send(&server, &mut Trader::new(server.address, token, DENIED, "AAPL"), 1).await?;
    let users = server.rest().await?.sum("trade_executor_users_awake", &[]);
    if users < count {
        bail!("{users} users are awake instead of {count}");
    }
    let idle = server.rss()? as f64;
    let one = |value: f64| Runs::from_iter([value]);
    let row = Row::new("a resident idle user", "KiB", one((idle - before) / count / 1024.0));
    section.row(row.target(Target::AtMost(48.0)));
    let row = Row::new(format!("all users, {awake} of them awake and idle"), "MiB", one(idle / MIB));
    section.row(row.target(Target::AtMost(512.0)));
    let mut trader = Trader::new(server.address, token, 1, "AAPL").after(10);
    send(&server, &mut trader, 1).await?;
    server.rest().await?;
    let holding = server.rss()? as f64;
    section.row(Row::new("a resident user with a position", "KiB", one((holding - before) / count / 1024.0)));
    section.row(Row::new(format!("all users, {awake} of them with a position"), "MiB", one(holding / MIB)));
    // Closes the positions, so that the next start finds nothing to watch.
    send(&server, &mut trader, 1).await?;
    server.rest().await?;
    server.stop().await?;

    let server = Server::start(data, &[("ENGINE__PASSIVATE_AFTER_S", "2".to_owned())]).await?;
    server.rest().await?;
    let before = server.rss()? as f64;
    let mut trader = Trader::new(server.address, token, DENIED, "AAPL").after(20);
    for time in ["once", "twice", "three times"] {
        send(&server, &mut trader, 1).await?;
        server.rest().await?;
        wait_until_asleep(&server).await?;
        let after = server.rss()? as f64;
        let name = format!("a user who was awake {time} and is passivated");
        section.row(Row::new(name, "KiB", one((after - before) / count / 1024.0)));
    }
    server.stop().await
}

async fn wait_until_asleep(server: &Server) -> anyhow::Result<()> {
    for _ in 0..240 {
        if server.metrics().await?.sum("trade_executor_users_awake", &[]) < 1.0 {
            return Ok(());
        }
        sleep(Duration::from_millis(500)).await;
    }
    bail!("idle users were not passivated within two minutes")
}

async fn send(server: &Server, trader: &mut Trader, count: usize) -> anyhow::Result<()> {
    let mut connection = Connection::open(server.address).await?;
    for _ in 0..count {
        let status = connection.exchange(trader.next()).await?;
        if status != 202 {
            bail!("a signal was answered {status}: {}", String::from_utf8_lossy(connection.body()));
        }
    }
    Ok(())
}

fn scaled(runs: &Runs, by: f64) -> Runs {
    runs.scaled(1.0 / by)
}
