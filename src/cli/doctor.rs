//! `trade-executor doctor`: looks for what is wrong with this machine, its data or its settings, and says what to do.

mod accounts;
mod master_key;

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike, Utc};
use clap::Args;
use serde_json::json;
use trade_actors::ports::clock::{Clock, SystemClock};

use super::{Global, health};
use crate::config::{Config, Environment, KeysConfig};

/// Room below which the log soon cannot grow.
const FREE_MIB_MIN: u64 = 1_024;
/// How often a write is made durable to see how long it takes.
const SYNCS: usize = 20;
/// A slower disk delays every order by more than people notice.
const SYNC_SLOW: Duration = Duration::from_millis(20);

/// How to tell it.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    Mind,
    Bad,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Mind => "note",
            Self::Bad => "problem",
        }
    }
}

#[derive(Debug)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    text: String,
}

impl Finding {
    fn new(what: &'static str, verdict: Verdict, text: impl Into<String>) -> Self {
        Self { what, verdict, text: text.into() }
    }
}

/// Looks at everything; fails when something would keep the server from working.
///
/// # Errors
/// When the answer cannot be written.
pub(super) fn run(args: &DoctorArgs, global: &Global, environment: Environment) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    let mut rotate_after_days = KeysConfig::default().rotate_after_days;
    match global.settings(environment) {
        Ok(loaded) => {
            rotate_after_days = loaded.config.keys.rotate_after_days;
            let file = loaded.file.as_ref().map_or("no file".to_owned(), |path| path.display().to_string());
            findings.push(Finding::new("settings", Verdict::Good, file));
            findings.extend([address(&loaded.config), public_url(&loaded.config)]);
            findings.extend(open_files(loaded.config.server.max_connections));
        }
        Err(invalid) => {
            let told = |problem: &crate::config::Problem| {
                Finding::new("settings", Verdict::Bad, problem.to_string())
            };
            findings.extend(invalid.problems.iter().map(told));
        }
    }
    let now = SystemClock::new().now();
    findings.push(clock(now.year()));
    findings.extend(data(&global.data_dir, rotate_after_days, now));
    let mut out = io::stdout().lock();
    if args.json {
        let rows: Vec<_> = findings
            .iter()
            .map(|found| json!({ "what": found.what, "verdict": found.verdict.word(), "text": found.text }))
            .collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
    } else {
        for Finding { what, verdict, text } in &findings {
            writeln!(out, "{:<8} {what:<12} {text}", verdict.word())?;
        }
    }
    let sound = findings.iter().all(|found| found.verdict != Verdict::Bad);
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn address(config: &Config) -> Finding {
    let listen = config.server.listen;
    let local = crate::config::web::WebConfig::default().base_url(listen);
    if listen.port() != 0 && health::status(&local, "/health").is_ok() {
        return Finding::new("address", Verdict::Good, format!("a server answers on {listen}"));
    }
    match TcpListener::bind(listen) {
        Ok(_) => Finding::new("address", Verdict::Good, format!("{listen} is free")),
        Err(error) => {
            let advice = "set server.listen, or stop what listens there";
            Finding::new(
                "address",
                Verdict::Bad,
                format!("{listen} cannot be listened on ({error}); {advice}"),
            )
        }
    }
}

fn public_url(config: &Config) -> Finding {
    let url = &config.server.public_url;
    if url.starts_with("https://") {
        return Finding::new("public url", Verdict::Good, url);
    }
    let port = config.server.listen.port();
    let text = if url.is_empty() {
        format!(
            "only this machine or network can reach the webhooks; for TradingView set server.public_url to an \
             https:// address, or try one with: cloudflared tunnel --url http://127.0.0.1:{port}"
        )
    } else {
        format!(
            "{url} is not encrypted: whoever sees the traffic can log in and trade; put it behind https://"
        )
    };
    Finding::new("public url", Verdict::Mind, text)
}

fn open_files(connections: u32) -> Option<Finding> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let allowed: u64 = line.split_whitespace().next()?.parse().ok()?;
    let needed = u64::from(connections) + 256;
    Some(if allowed >= needed {
        Finding::new("open files", Verdict::Good, format!("{allowed} allowed, {needed} needed at most"))
    } else {
        let text = format!(
            "{allowed} allowed, but server.max_connections = {connections} needs {needed}; raise the limit \
             (LimitNOFILE=, ulimit -n) or lower the setting"
        );
        Finding::new("open files", Verdict::Mind, text)
    })
}

fn clock(year: i32) -> Finding {
    if year < 2026 {
        let text = format!("it is not {year}; signals would be refused as too old or too new; set the clock");
        return Finding::new("clock", Verdict::Bad, text);
    }
    Finding::new("clock", Verdict::Good, "plausible; let it be kept by NTP")
}

fn data(dir: &Path, rotate_after_days: u32, now: DateTime<Utc>) -> Vec<Finding> {
    if !dir.exists() {
        return vec![Finding::new("data", Verdict::Good, format!("{} will be made", dir.display()))];
    }
    let mut findings = vec![directory(dir)];
    findings.extend(key(&dir.join("master.key")));
    findings.extend(master_key::versions(dir, rotate_after_days, now));
    findings.extend(accounts::keys(dir));
    findings.extend(room(dir));
    findings.push(speed(dir));
    findings
}

fn directory(dir: &Path) -> Finding {
    let shown = dir.display();
    match fs::metadata(dir) {
        Ok(found) if !found.is_dir() => {
            Finding::new("data", Verdict::Bad, format!("{shown} is no directory"))
        }
        Ok(found) if found.permissions().mode() & 0o077 != 0 => {
            let text = format!("others may look into {shown}; run: chmod 700 {shown}");
            Finding::new("data", Verdict::Mind, text)
        }
        Ok(_) => Finding::new("data", Verdict::Good, format!("{shown}, for its owner alone")),
        Err(error) => Finding::new("data", Verdict::Bad, format!("{shown} cannot be looked at: {error}")),
    }
}

fn key(path: &Path) -> Option<Finding> {
    let found = fs::metadata(path).ok()?;
    let shown = path.display();
    Some(if found.permissions().mode() & 0o077 != 0 {
        let text = format!("others may read {shown}, so the server does not start; run: chmod 600 {shown}");
        Finding::new("master key", Verdict::Bad, text)
    } else if found.len() != 32 {
        let text = format!("{shown} is not 32 bytes long; put the right one back from a backup");
        Finding::new("master key", Verdict::Bad, text)
    } else {
        Finding::new("master key", Verdict::Good, "private; keep a copy apart from the backups of the data")
    })
}

fn room(dir: &Path) -> Option<Finding> {
    let ran = Command::new("df").arg("-Pk").arg(dir).output().ok()?;
    let text = String::from_utf8(ran.stdout).ok()?;
    let free_kib: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    let mib = free_kib / 1_024;
    Some(if mib >= FREE_MIB_MIN {
        Finding::new("disk", Verdict::Good, format!("{mib} MiB free"))
    } else {
        let text = format!("only {mib} MiB free; when it is full, signals are refused; make room");
        Finding::new("disk", Verdict::Bad, text)
    })
}

/// Measures how long a durable write takes: every order waits for at least one.
fn speed(dir: &Path) -> Finding {
    let path = dir.join(format!(".doctor-{}", std::process::id()));
    let timed = syncs(&path);
    let removed = fs::remove_file(&path);
    match timed.and_then(|median| removed.map(|()| median)) {
        Err(error) => Finding::new("disk sync", Verdict::Bad, format!("the data cannot be written: {error}")),
        Ok(median) if median > SYNC_SLOW => {
            let text = format!(
                "a durable write takes {median:.1?}, and every order waits for one; use a faster disk"
            );
            Finding::new("disk sync", Verdict::Mind, text)
        }
        Ok(median) => Finding::new("disk sync", Verdict::Good, format!("a durable write takes {median:.1?}")),
    }
}

fn syncs(path: &Path) -> io::Result<Duration> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut taken = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let started = Instant::now();
        file.write_all(&[0; 4_096])?;
        file.sync_data()?;
        taken.push(started.elapsed());
    }
    taken.sort();
    Ok(taken.get(SYNCS / 2).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_others_may_read_is_a_problem_with_its_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        assert!(key(&path).is_none());
        fs::write(&path, [0; 32]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let found = key(&path).unwrap();
        assert!(found.verdict == Verdict::Bad && found.text.contains("chmod 600"), "{found:?}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(key(&path).unwrap().verdict, Verdict::Good);
    }

    #[test]
    fn looking_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let findings = data(dir.path(), 365, SystemClock::new().now());
        assert!(findings.iter().any(|found| found.what == "disk sync" && found.verdict != Verdict::Bad));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_address_that_is_taken_is_a_problem() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        assert_eq!(address(&config).verdict, Verdict::Good);
        drop(taken);
        assert_eq!(clock(1970).verdict, Verdict::Bad);
        assert_eq!(public_url(&config).verdict, Verdict::Mind);
    }
}
