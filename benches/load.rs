//! The whole path under load: the release binary as a child, driven over loopback beside the machine's own floor.
//!
//! `cargo bench --bench load [-- section ... --quick]` prints a table; without `--quick` it also writes
//! `docs/PERFORMANCE.md`. Nothing here is asserted of time: a figure is reported, not judged by the exit code.

#![expect(clippy::float_arithmetic, reason = "ratios of measurements are not money")]

#[path = "load/client.rs"]
mod client;
#[path = "load/fanout.rs"]
mod fanout;
#[path = "load/figures.rs"]
mod figures;
#[path = "load/floor.rs"]
mod floor;
#[path = "load/latency.rs"]
mod latency;
#[path = "load/log.rs"]
mod log;
#[path = "load/machine.rs"]
mod machine;
#[path = "load/memory.rs"]
mod memory;
#[path = "load/outage.rs"]
mod outage;
#[path = "load/report.rs"]
mod report;
#[path = "load/seed.rs"]
mod seed;
#[path = "load/server.rs"]
mod server;
#[path = "load/socket.rs"]
mod socket;
#[path = "load/sockets.rs"]
mod sockets;
#[path = "load/stops.rs"]
mod stops;
#[path = "load/throughput.rs"]
mod throughput;
#[path = "load/trail.rs"]
mod trail;
#[path = "load/venue.rs"]
mod venue;
#[path = "load/watched.rs"]
mod watched;

use anyhow::{Context, bail};

use report::{Report, Section};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Whether only a first impression is wanted.
    pub(crate) quick: bool,
}

impl Scale {
    /// Returns the amount for this run.
    pub(crate) fn of<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

const SECTIONS: [&str; 8] =
    ["latency", "throughput", "log", "memory", "sockets", "fanout", "stops", "outage"];

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some((first, rest)) = words.split_first()
        && first == "--inner"
    {
        return runtime.block_on(inner(rest));
    }
    let mut quick = false;
    let mut wanted = Vec::new();
    for word in &words {
        match word.as_str() {
            "--quick" => quick = true,
            // Cargo's own way of saying that this is a benchmark.
            "--bench" => {}
            // `cargo test --benches` only wants to know that it starts.
            "--test" => return Ok(()),
            section if SECTIONS.contains(&section) => wanted.push(section),
            other => bail!("{other:?} is not known; known are {} and --quick", SECTIONS.join(", ")),
        }
    }
    if wanted.is_empty() {
        wanted = SECTIONS.to_vec();
    }
    let scale = Scale { quick };
    let mut report = Report::new(scale)?;
    report.print_head();
    for name in wanted {
        eprintln!("measuring {name} ...");
        let section =
            runtime.block_on(run(name, scale)).with_context(|| format!("{name} was not measured"))?;
        report.add(section)?;
    }
    report.close()
}

async fn run(name: &str, scale: Scale) -> anyhow::Result<Section> {
    match name {
        "latency" => latency::measure(scale).await,
        "throughput" => throughput::measure(scale).await,
        "log" => log::measure(scale),
        "memory" => memory::measure(scale).await,
        "sockets" => sockets::measure(scale).await,
        "fanout" => fanout::measure(scale).await,
        "stops" => stops::measure(scale).await,
        "outage" => outage::measure(scale).await,
        other => bail!("no section is called {other:?}"),
    }
}

/// What this binary does as its own child: load and floor must not share a process with what records them.
async fn inner(words: &[String]) -> anyhow::Result<()> {
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["floor", file] => floor::serve(file.as_ref()).await,
        ["stops", size] => watched::run(Scale { quick: *size == "quick" }).await,
        ["sockets", address, tokens, count, seconds] => {
            socket::run(address.parse()?, tokens.as_ref(), count.parse()?, seconds.parse()?).await
        }
        other => bail!("no inner part is called {other:?}"),
    }
}
