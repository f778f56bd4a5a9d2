//! Many screens: one price a second to every open WebSocket.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::sleep;

use crate::Scale;
use crate::client::{Connection, Trader};
use crate::figures::Runs;
use crate::report::{Row, Section, Target};
use crate::seed::{self, Wanted};
use crate::server::{Server, data_dir, with_many_files};
use crate::socket::Seen;

/// More than an order may be worth: every follower's actors run once and nothing stays open.
const DENIED: u32 = 1_000_000;

/// Measures it.
pub(crate) async fn measure(scale: Scale) -> anyhow::Result<Section> {
    let (counts, seconds, repetitions) =
        (scale.of([1_000, 10_000], [200, 2_000]), scale.of(20, 6), scale.of(3, 1));
    let how = format!(
        "As many users as sockets, one each, all subscribed to one symbol whose price changes once a second, for {seconds} s. The client \
         is one other\nprocess, single-threaded, on the same cores; its work is part of every delay. A delay runs from the envelope's \
         `ts` (cut to milliseconds) to\nreceipt. Memory is resident memory with all sockets open and subscribed, less that before, \
         by socket; no user's actors run meanwhile."
    );
    let mut section = Section::new("sockets", "Many screens", how);
    for count in counts {
        let mut found = Vec::new();
        for _ in 0..repetitions {
            found.push(repetition(count, seconds).await.with_context(|| format!("{count} sockets"))?);
        }
        let of = |value: &dyn Fn(&Found) -> f64| found.iter().map(value).collect::<Runs>();
        let name = format!("{count} sockets");
        section.row(Row::new(format!("{name}: delay, p50"), "ms", of(&|found| found.seen.delay_p50_ms)));
        let p99 = Row::new(format!("{name}: delay, p99"), "ms", of(&|found| found.seen.delay_p99_ms));
        section.row(p99.target(Target::AtMost(150.0)));
        section.row(Row::new(
            format!("{name}: first to last of one tick"),
            "ms",
            of(&|found| found.seen.spread_ms),
        ));
        section.row(Row::new(
            format!("{name}: ticks that reached all, share"),
            "",
            of(&|found| found.seen.whole),
        ));
        let memory =
            Row::new(format!("{name}: memory a socket"), "KiB", of(&|found| found.socket_bytes / 1024.0));
        section.row(memory.target(Target::AtMost(12.0)));
        section.row(Row::new(
            format!("{name}: server's processor time a message"),
            "µs",
            of(&|found| found.server_us),
        ));
        section.row(Row::new(format!("{name}: opened"), "/s", of(&|found| found.seen.opened_per_s)));
    }
    Ok(section)
}

/// What one repetition gave.
#[derive(Debug)]
struct Found {
    seen: Seen,
    socket_bytes: f64,
    server_us: f64,
}

async fn repetition(count: usize, seconds: u64) -> anyhow::Result<Found> {
    let dir = data_dir()?;
    let data = dir.path().join("data");
    let seeded =
        seed::fill(&data, Wanted { users: count, followers: count, tokens: count, stop_loss_pct: 0 })?;
    let tokens = dir.path().join("tokens");
    std::fs::write(&tokens, seeded.tokens.join("\n"))?;
    let token = seeded.webhooks.first().map(String::as_str).unwrap_or_default();
    open_accounts(&data, token).await?;

    let settings = [("PAPER__TICK_MS", "1000".to_owned()), ("SERVER__MAX_CONNECTIONS", "100000".to_owned())];
    let server = Server::start(&data, &settings).await?;
    server.rest().await?;
    let before = server.rss()? as f64;
    let mut command = with_many_files(&std::env::current_exe()?);
    command.args(["--inner", "sockets", &server.address.to_string()]).arg(&tokens);
    command.args([count.to_string(), seconds.to_string()]);
    let mut client = Inner(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let mut said = BufReader::new(client.0.stdout.take().context("the client says nothing")?).lines();
    let mut line = move || said.next().context("the client ended early")?.context("the client's words");
    let open = line()?;
    if open != "open" {
        bail!("the client said {open:?}");
    }
    // A few ticks, so that every socket has sent something.
    sleep(Duration::from_secs(3)).await;
    let after = server.rss()? as f64;
    let cpu_s = server.cpu_s()?;
    client.0.stdin.take().context("the client does not listen")?.write_all(b"go\n")?;
    let seen: Seen = serde_json::from_str(&line()?).context("what the client saw")?;
    let server_us = (server.cpu_s()? - cpu_s) * 1e6 / seen.messages.max(1) as f64;
    drop(client);
    server.stop().await?;
    Ok(Found { seen, socket_bytes: (after - before) / count as f64, server_us })
}

/// Opens every user's paper account: an account that is known wakes nobody when a socket opens.
async fn open_accounts(data: &std::path::Path, token: &str) -> anyhow::Result<()> {
    let server = Server::start(data, &[]).await?;
    let mut connection = Connection::open(server.address).await?;
    let status = connection.exchange(Trader::new(server.address, token, DENIED, "AAPL").next()).await?;
    if status != 202 {
        bail!("a signal was answered {status}: {}", String::from_utf8_lossy(connection.body()));
    }
    server.rest().await?;
    server.stop().await
}

/// Another process of ours; it ends with its owner.
#[derive(Debug)]
pub(crate) struct Inner(pub(crate) Child);

impl Drop for Inner {
    fn drop(&mut self) {
        if self.0.kill().is_ok() && self.0.wait().is_err() {
            eprintln!("process {} may still run", self.0.id());
        }
    }
}
