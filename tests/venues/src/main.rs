//! Serves a simulated venue until it is told to stop.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use venues::alpaca::Alpaca;
use venues::ibkr::Ibkr;
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
    /// Requests a minute for each account; 0 is no limit.
    #[arg(long, default_value_t = 200)]
    per_minute: u32,
    /// Streams speak JSON in text frames instead of binary ones.
    #[arg(long)]
    text_frames: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Alpaca,
    Ibkr,
}

/// The venue that is served, held until the end.
#[derive(Debug)]
enum Served {
    Alpaca(Alpaca),
    Ibkr(Ibkr),
}

impl Served {
    async fn start(kind: Kind, options: Options) -> std::io::Result<Self> {
        Ok(match kind {
            Kind::Alpaca => Self::Alpaca(Alpaca::start(options).await?),
            Kind::Ibkr => Self::Ibkr(Ibkr::start(options).await?),
        })
    }

    /// Returns where to find it, for the ready file and in a word, and what its chance began with.
    fn told(&self) -> (serde_json::Value, String, u64) {
        match self {
            Self::Alpaca(venue) => (json!(venue.urls()), venue.urls().url, venue.world().seed()),
            Self::Ibkr(venue) => (json!(venue.urls()), venue.urls().url, venue.world().seed()),
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let options = Options {
        listen: args.listen,
        journal: args.journal,
        seed: args.seed,
        per_minute: (args.per_minute > 0).then_some(args.per_minute),
        text_frames: args.text_frames,
        ..Options::default()
    };
    let mut terminated = signal(SignalKind::terminate())?;
    let venue = Served::start(args.venue, options).await.context("the venue cannot start")?;
    let (urls, url, seed) = venue.told();
    eprintln!("venues: {url} seed {seed}");
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
