//! `trade-executor config`: checks the settings, or shows what holds and where it was said.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::{Global, say};
use crate::config::{Environment, show};

/// What to do with the settings.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Tell everything that is wrong with the settings; exit 2 if anything is
    Check,
    /// Show every setting that holds, and where it was said
    Show {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// When the settings are wrong, or the answer cannot be written.
pub(super) fn run(
    command: &ConfigCommand,
    global: &Global,
    environment: Environment,
) -> anyhow::Result<ExitCode> {
    let loaded = global.settings(environment)?;
    match command {
        ConfigCommand::Check => {
            let file = loaded.file.as_ref().map(|path| format!(" ({})", path.display()));
            say(&format!("the settings are good{}", file.unwrap_or_default()));
        }
        ConfigCommand::Show { json: true } => {
            let rows: Vec<_> = show(&loaded)
                .into_iter()
                .map(|row| json!({ "key": row.key, "value": row.value, "origin": row.origin.to_string() }))
                .collect();
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&rows)?)?;
        }
        ConfigCommand::Show { json: false } => {
            let mut out = io::stdout().lock();
            for row in show(&loaded) {
                writeln!(out, "{:<32} {:<28} # {}", row.key, row.value, row.origin)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
