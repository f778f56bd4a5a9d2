//! `trade-executor keys`: gives the master key a new version, on the data of a server that does not run.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use trade_actors::domain::event::{Event, Fact};
use trade_actors::ports::clock::{Clock, SystemClock};
use trade_actors::ports::store::Vault;

use super::{Global, say};
use crate::app::{Disk, InUse, broker_of};
use crate::config::{Environment, StoreConfig};
use crate::vault::{Credentials, Pass};

/// What to do with the master key.
#[derive(Debug, Subcommand)]
#[command(after_help = "Example:\n  trade-executor keys rotate --data-dir /var/lib/trade-executor")]
pub(super) enum KeysCommand {
    /// Make a new version of the master key and seal all broker credentials anew under it
    ///
    /// Ended at any moment, it loses nothing; run again, it goes on where it was, as does the server at its next start.
    /// Webhook addresses, API tokens, sessions and the log's signature stay as they are.
    Rotate,
}

/// Runs the command.
///
/// # Errors
/// When the settings are wrong, the server runs on the data, or the data cannot be read or written.
pub(super) fn run(
    command: &KeysCommand,
    global: &Global,
    environment: Environment,
) -> anyhow::Result<ExitCode> {
    let KeysCommand::Rotate = command;
    let loaded = global.settings(environment)?;
    let dir = &global.data_dir;
    if !dir.join("log").is_dir() || !dir.join("master.key").exists() {
        bail!("there is no data in {}; start the server once, or name another --data-dir", dir.display());
    }
    rotate(dir, &loaded.config.store, SystemClock::new().now(), &mut io::stdout().lock())
}

/// Finishes a rotation that was begun, or makes a new version and seals everything under it.
fn rotate(
    dir: &Path,
    config: &StoreConfig,
    now: DateTime<Utc>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let disk = match Disk::open(dir, config) {
        Err(error) if error.is::<InUse>() => bail!(
            "the server runs on the data in {}; nothing was changed; stop it first, or let it rotate by itself: \
             keys.rotate_after_days",
            dir.display()
        ),
        opened => opened?.catch_up(true)?,
    };
    let vault = Arc::clone(&disk.vault) as Arc<dyn Vault>;
    let credentials = Credentials::new(vault, Arc::clone(&disk.keys));
    let views = disk.views();
    credentials
        .sweep(|user, connection| Ok(broker_of(&views, user, connection)?.is_some()))
        .context("the credentials could not be looked through; nothing was changed")?;
    drop(views);
    // A rotation that was begun is finished, and is what was asked for.
    let mut pass = reseal(&disk, &credentials)?;
    let version = disk.keys.newest();
    let disk = if pass.done > 0 {
        writeln!(out, "the rotation to version {version} of the master key, begun before, was finished")?;
        disk
    } else {
        let made = credentials.rotate(now).context(
            "nothing was changed; `trade-executor doctor` says which accounts need what; put the key back that they \
             need, or remove them and connect them again",
        )?;
        let file = disk.keys.file(made.number);
        writeln!(out, "version {} of the master key was made: {}", made.number, file.display())?;
        let fact = Fact::new(None, Event::MasterKeyRotated { version: made.number });
        let disk = disk.commit(&[fact], now)?;
        pass = reseal(&disk, &credentials)?;
        disk
    };
    let dropped = credentials.drop_unneeded(now)?;
    report(&credentials, &pass, &dropped, now, out)?;
    for file in credentials.key_files() {
        say(&format!("keep a copy of {} apart from the backups of the data", file.display()));
    }
    drop(disk);
    Ok(if pass.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Seals what is behind anew, and shows how far it is.
fn reseal(disk: &Disk, credentials: &Credentials) -> anyhow::Result<Pass> {
    let bar = ProgressBar::new(0);
    let style = "sealing credentials anew {bar:40} {pos} of {len}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).context("the progress bar has no such field")?);
    let views = disk.views();
    let pass =
        credentials.reseal(&|user, connection| broker_of(&views, user, connection), &mut |done, all| {
            bar.set_length(u64::try_from(all).unwrap_or(u64::MAX));
            bar.set_position(u64::try_from(done).unwrap_or(u64::MAX));
            true
        });
    bar.finish_and_clear();
    pass.context("not all credentials were sealed anew; nothing is lost: run it again to go on")
}

fn report(
    credentials: &Credentials,
    pass: &Pass,
    dropped: &[u32],
    now: DateTime<Utc>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let plan = credentials.plan(0, now)?;
    writeln!(
        out,
        "{} row(s) of credentials were sealed anew under version {}",
        pass.done, plan.newest.number
    )?;
    for failure in &pass.failed {
        let (user, connection, why) = (failure.user, failure.connection, &failure.why);
        writeln!(out, "not those of account {connection} of user {user}, which stay as they are: {why}")?;
    }
    for version in dropped {
        writeln!(out, "version {version} was dropped: nothing needs it, and its time was over")?;
    }
    for (version, until) in &plan.kept {
        let day = until.format("%Y-%m-%d");
        writeln!(
            out,
            "version {version} is kept until {day}, for backups made before, and while a row needs it"
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
