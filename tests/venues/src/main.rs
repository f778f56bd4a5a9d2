//! Serves a simulated venue until it is told to stop.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use clap::builder::PossibleValuesParser;
use tokio::signal::unix::{SignalKind, signal};
use venues::table::{VENUES, venue};
use venues::world::Options;

/// Serves a simulated venue: a broker that does as it is told, and fails when it is told to.
#[derive(Debug, Parser)]
#[command(name = "venues")]
struct Args {
    /// Which venue.
    #[arg(long, value_parser = PossibleValuesParser::new(VENUES.map(|entry| entry.name)))]
    venue: String,
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
    /// Requests a minute for whoever the venue counts; 0 is no limit, and the venue's own if it is left out.
    #[arg(long)]
    per_minute: Option<u32>,
    /// Streams speak JSON in text frames instead of binary ones.
    #[arg(long)]
    text_frames: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let entry = venue(&args.venue).context("there is no such venue")?;
    let own = (entry.options)();
    let options = Options {
        listen: args.listen,
        journal: args.journal,
        seed: args.seed,
        per_minute: args.per_minute.map_or(own.per_minute, |most| (most > 0).then_some(most)),
        text_frames: args.text_frames,
        ..own
    };
    let mut terminated = signal(SignalKind::terminate())?;
    let venue = (entry.start)(options).await.context("the venue cannot start")?;
    let urls = venue.urls();
    let url = venue.url("url");
    eprintln!("venues: {url} seed {}", venue.world().seed());
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
