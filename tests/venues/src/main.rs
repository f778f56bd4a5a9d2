//! Serves a simulated venue until it is told to stop.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use venues::alpaca::Alpaca;
use venues::schwab::Schwab;
use venues::world::Options;

/// Serves a simulated venue: a broker that does as it is told, and fails when it is told to.
#[derive(Debug, Parser)]
#[command(name = "venues")]
struct Args {
    /// Which venue.
    #[arg(long, value_enum)]
    venue: Kind,
    /// Where to listen; port 0 is any free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Written as JSON, once requests are answered: where to find what.
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// The journal is also appended to this file, a JSON line each.
    #[arg(long)]
    journal: Option<PathBuf>,
    /// What the venue's chance begins with.
    #[arg(long)]
    seed: Option<u64>,
    /// Requests a minute for each account or application, the venue's own number if it is left out; 0 is no limit.
    #[arg(long)]
    per_minute: Option<u32>,
    /// Streams speak JSON in text frames instead of binary ones.
    #[arg(long)]
    text_frames: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Alpaca,
    Schwab,
}

/// A venue that runs.
enum Running {
    Alpaca(Alpaca),
    Schwab(Schwab),
}

impl Running {
    async fn start(kind: Kind, options: Options) -> std::io::Result<Self> {
        Ok(match kind {
            Kind::Alpaca => Self::Alpaca(Alpaca::start(options).await?),
            Kind::Schwab => Self::Schwab(Schwab::start(options).await?),
        })
    }

    fn urls(&self) -> Value {
        match self {
            Self::Alpaca(venue) => json!(venue.urls()),
            Self::Schwab(venue) => json!(venue.urls()),
        }
    }

    fn seed(&self) -> u64 {
        match self {
            Self::Alpaca(venue) => venue.world().seed(),
            Self::Schwab(venue) => venue.world().seed(),
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let own = match args.venue {
        Kind::Alpaca => Options::default(),
        Kind::Schwab => Schwab::options(),
    };
    let options = Options {
        listen: args.listen,
        journal: args.journal,
        seed: args.seed,
        per_minute: args.per_minute.map_or(own.per_minute, |limit| (limit > 0).then_some(limit)),
        text_frames: args.text_frames,
        ..own
    };
    let mut terminated = signal(SignalKind::terminate())?;
    let venue = Running::start(args.venue, options).await.context("the venue cannot start")?;
    let urls = venue.urls();
    eprintln!(
        "venues: {} seed {}",
        urls.get("url").and_then(Value::as_str).unwrap_or_default(),
        venue.seed()
    );
    if let Some(path) = args.ready_file {
        write_whole(&path, &urls.to_string()).context("the ready file cannot be written")?;
    }
    tokio::select! {
        _ = terminated.recv() => {}
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    Ok(())
}

/// Writes a file that is there whole or not at all.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".tmp");
    let mut file = std::fs::File::create(&unfinished)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(unfinished, path)
}
