//! `trade-executor serve`: runs the server until it is told to stop.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Global, say};
use crate::app::{App, Banner, Options};
use crate::config::{Config, Environment};
use crate::telemetry;

/// How to run the server.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ServeArgs {
    /// Write addresses, login link and API token to this file as JSON when signals are taken
    #[arg(long, value_name = "FILE")]
    pub(super) ready_file: Option<PathBuf>,
}

impl ServeArgs {
    /// Fills what was not said from what was said before the command's name.
    #[must_use]
    pub(super) fn or(self, before: Self) -> Self {
        Self { ready_file: self.ready_file.or(before.ready_file) }
    }
}

/// Runs the server.
///
/// # Errors
/// When the settings are wrong or the server cannot start.
pub(super) fn run(global: &Global, args: ServeArgs, environment: Environment) -> anyhow::Result<ExitCode> {
    let no_color = environment.no_color();
    let loaded = global.settings(environment)?;
    telemetry::log_to_stderr(&loaded.config.log, no_color).context("the process log could not be set up")?;
    let terminal = io::stderr().is_terminal();
    let mut options = Options::new(&global.data_dir);
    options.ready_file = args.ready_file;
    options.login_link = terminal || io::stdout().is_terminal();
    options.progress = terminal;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(loaded.config, options, terminal && !no_color));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    served.map(|()| ExitCode::SUCCESS)
}

async fn serve(config: Config, options: Options, colours: bool) -> anyhow::Result<()> {
    // Before anything is started, so that a signal during the start is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let data_dir = options.data_dir.clone();
    let app = App::start(config, options).await?;
    let data_dir = std::path::absolute(&data_dir).unwrap_or(data_dir);
    say(&Banner { ready: app.ready(), data_dir: &data_dir, colours }.to_string());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: what is under way is finished first");
    let stopping = Box::pin(app.stop());
    tokio::select! {
        () = stopping => tracing::info!("stopped"),
        _ = interrupt.recv() => anyhow::bail!("stopped at once; what was under way is resumed at the next start"),
    }
    Ok(())
}
