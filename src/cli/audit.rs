//! `audit verify` and `audit export`: the log for those who check it.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use chrono::{DateTime, Days, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use trade_actors::domain::record::Record;
use trade_actors::ports::log::LogError;

use crate::store::segments::{SegmentReader, Verified, verify};

const COLUMNS: [&str; 13] = [
    "seq",
    "timestamp",
    "user_id",
    "action",
    "resource_type",
    "resource_id",
    "ip_address",
    "user_agent",
    "status",
    "error_message",
    "payload",
    "previous_hash",
    "current_hash",
];

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check every record, every link and every signed checkpoint; exit 1 if anything is wrong
    Verify {
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Write records as CSV, oldest first
    Export(ExportArgs),
}

/// Which records to export, and where to.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Write CSV (the default, and the only format)
    #[arg(long)]
    pub csv: bool,
    /// File to write; - is standard output
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
    /// Only records from this day (2026-01-31) or time (2026-01-31T14:30:00Z) on, in UTC
    #[arg(long, value_name = "TIME", value_parser = first_moment)]
    pub from: Option<DateTime<Utc>>,
    /// Only records up to this day or time, which is included
    #[arg(long, value_name = "TIME", value_parser = moment_after)]
    pub to: Option<DateTime<Utc>>,
    /// Only records of this user
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// Only records of this action, e.g. ORDER_CREATED
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,
}

/// Runs the command on the log in `<data_dir>/log`.
///
/// # Errors
/// When the log cannot be read or the output cannot be written. A damaged log is no error of `verify`: it is printed,
/// and the exit code is 1.
pub fn run(command: AuditCommand, data_dir: &Path) -> anyhow::Result<ExitCode> {
    let log = data_dir.join("log");
    if !log.is_dir() {
        bail!("there is no log in {}; say where the data is with --data-dir", data_dir.display());
    }
    match command {
        AuditCommand::Verify { json } => run_verify(&log, json),
        AuditCommand::Export(args) => run_export(&log, &args),
    }
}

fn run_verify(log: &Path, as_json: bool) -> anyhow::Result<ExitCode> {
    let bar = ProgressBar::new(0);
    let style = "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).context("the progress bar has no such field")?);
    let result = verify(log, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let (text, code) = match result {
        Ok(verified) if as_json => (verified_json(&verified).to_string(), ExitCode::SUCCESS),
        Ok(verified) => (verified_text(&verified), ExitCode::SUCCESS),
        Err(LogError::Damaged { seq, why }) if as_json => {
            (json!({ "status": "damaged", "record": seq, "why": why }).to_string(), ExitCode::FAILURE)
        }
        Err(error @ LogError::Damaged { .. }) => (error.to_string(), ExitCode::FAILURE),
        Err(error @ (LogError::Full | LogError::Broken(_))) => return Err(error.into()),
    };
    writeln!(io::stdout(), "{text}")?;
    Ok(code)
}

fn verified_json(verified: &Verified) -> serde_json::Value {
    json!({
        "status": "verified",
        "log_id": verified.log_id,
        "records": verified.records,
        "head": verified.head.hash.to_string(),
        "checkpoints": verified.checkpoints,
        "proven_to": verified.proven_to,
        "last_checkpoint": verified.last_checkpoint.as_ref().map(|checkpoint| &checkpoint.time),
        "key_ids": verified.key_ids,
        "warnings": verified.warnings,
    })
}

fn verified_text(verified: &Verified) -> String {
    let mut lines = vec![
        "the log is whole".to_owned(),
        format!("records          {}", verified.records),
        format!("head             {}", verified.head.hash),
        format!("checkpoints      {}", verified.checkpoints),
        match &verified.last_checkpoint {
            None => "last checkpoint  none: tail unproven".to_owned(),
            Some(last) => format!(
                "last checkpoint  record {} at {}, signed by {}",
                last.head.seq,
                last.time,
                verified.key_ids.last().map_or("", String::as_str)
            ),
        },
    ];
    lines.extend(verified.warnings.iter().map(|warning| format!("note             {warning}")));
    lines.join("\n")
}

fn run_export(log: &Path, args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let to_stdout = args.output.as_os_str() == "-";
    // A bar on the terminal would run through the rows.
    let quiet = to_stdout && io::stdout().is_terminal();
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    bar.set_style(ProgressStyle::with_template("{spinner} {pos} records read")?);
    if to_stdout {
        return match export(log, args, io::stdout().lock(), &bar) {
            Err(error) if is_closed_pipe(&error) => Ok(ExitCode::SUCCESS),
            answer => answer.map(|_| ExitCode::SUCCESS),
        };
    }
    let mut part = args.output.clone().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let kept = create_private(&part)
        .with_context(|| format!("{} could not be written", part.display()))
        .and_then(|file| export(log, args, io::BufWriter::new(file), &bar))
        .and_then(|rows| {
            fs::rename(&part, &args.output)
                .with_context(|| format!("{} could not be written", args.output.display()))?;
            Ok(rows)
        });
    bar.finish_and_clear();
    match kept {
        Ok(rows) => {
            writeln!(io::stderr(), "{rows} records written to {}", args.output.display())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(match fs::remove_file(&part) {
            Err(left) if left.kind() != io::ErrorKind::NotFound => {
                error.context(format!("{} is incomplete and was not removed: {left}", part.display()))
            }
            Ok(()) | Err(_) => error,
        }),
    }
}

/// Writes the records that were asked for and returns how many there were.
fn export(log: &Path, args: &ExportArgs, out: impl Write, bar: &ProgressBar) -> anyhow::Result<u64> {
    let reader = SegmentReader::open(log)?;
    let mut table = csv::Writer::from_writer(out);
    table.write_record(COLUMNS)?;
    let (from, to) = (args.from.map(stamp), args.to.map(stamp));
    let mut rows = 0;
    for record in reader.read(reader.first()?)? {
        let record = record?;
        bar.inc(1);
        // Timestamps all have one form, so their order is that of their text.
        let early = from.as_ref().is_some_and(|from| record.timestamp < *from);
        let late = to.as_ref().is_some_and(|to| record.timestamp >= *to);
        let other_user = args.user.is_some() && args.user != record.statement.user_id;
        let other_action = args.action.as_ref().is_some_and(|action| *action != record.statement.action);
        if !(early || late || other_user || other_action) {
            write_row(&mut table, &record)?;
            rows += 1;
        }
    }
    table.flush()?;
    Ok(rows)
}

fn write_row(table: &mut csv::Writer<impl Write>, record: &Record) -> csv::Result<()> {
    let said = &record.statement;
    let text = |field: &Option<String>| inert(field.as_deref().unwrap_or_default());
    table.write_record([
        record.seq.to_string(),
        inert(&record.timestamp),
        text(&said.user_id),
        inert(&said.action),
        inert(&said.resource_type),
        text(&said.resource_id),
        text(&said.ip_address),
        text(&said.user_agent),
        said.status.as_str().to_owned(),
        text(&said.error_message),
        text(&said.payload),
        record.previous_hash.to_string(),
        record.current_hash.to_string(),
    ])
}

/// Returns a cell that no spreadsheet runs as a formula.
fn inert(cell: &str) -> String {
    let risky = cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number(cell);
    if risky { format!("'{cell}") } else { cell.to_owned() }
}

fn is_number(cell: &str) -> bool {
    let unsigned = cell.strip_prefix(['+', '-']).unwrap_or(cell);
    let (whole, part) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    [whole, part]
        .iter()
        .all(|digits| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()))
}

fn create_private(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let direct = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let table = cause.downcast_ref::<csv::Error>().and_then(|error| {
            if let csv::ErrorKind::Io(error) = error.kind() { Some(error.kind()) } else { None }
        });
        direct.or(table) == Some(io::ErrorKind::BrokenPipe)
    })
}

fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Reads a day as its first moment, a time as itself.
fn first_moment(text: &str) -> Result<DateTime<Utc>, String> {
    match text.parse::<NaiveDate>() {
        Ok(day) => Ok(day.and_time(NaiveTime::MIN).and_utc()),
        Err(_) => time(text),
    }
}

/// Reads a day as the first moment of the next, a time as a millisecond later: the first moment that is not included.
fn moment_after(text: &str) -> Result<DateTime<Utc>, String> {
    let after = match text.parse::<NaiveDate>() {
        Ok(day) => day.checked_add_days(Days::new(1)).map(|next| next.and_time(NaiveTime::MIN).and_utc()),
        Err(_) => time(text)?.checked_add_signed(TimeDelta::milliseconds(1)),
    };
    after.ok_or_else(|| format!("{text} is too far in the future"))
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| "say a day like 2026-01-31 or a time like 2026-01-31T14:30:00Z".to_owned())
}

#[cfg(test)]
mod tests;
