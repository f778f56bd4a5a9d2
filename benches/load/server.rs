//! The release binary as a child process.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::machine;

const START_WITHIN: Duration = Duration::from_secs(300);
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// A server is at rest when its log has not grown for this long.
const REST: Duration = Duration::from_millis(700);
const REST_WITHIN: Duration = Duration::from_secs(180);

/// A new directory on the file system of the repository.
pub(crate) fn data_dir() -> anyhow::Result<TempDir> {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).context("a data directory")
}

/// Starts `program` with as many file descriptors as the system allows.
pub(crate) fn with_many_files(program: &Path) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(r#"ulimit -n "$(ulimit -Hn)"; exec "$0" "$@""#).arg(program);
    command
}

/// A setting, as the environment names it without its prefix.
pub(crate) type Setting = (&'static str, String);

#[derive(Debug, Deserialize)]
struct Ready {
    url: String,
    metrics_url: String,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    data: PathBuf,
    /// Where it takes requests.
    pub(crate) address: SocketAddr,
    /// How long it took until it did.
    pub(crate) started_in: Duration,
    metrics: String,
    http: reqwest::Client,
}

impl Server {
    /// Starts a server on the data in `data` and returns once it takes signals.
    pub(crate) async fn start(data: &Path, settings: &[Setting]) -> anyhow::Result<Self> {
        let ready_file = data.join("ready.json");
        if ready_file.exists() {
            fs::remove_file(&ready_file)?;
        }
        let mut command = with_many_files(env!("CARGO_BIN_EXE_trade-executor").as_ref());
        command.arg("--data-dir").arg(data).arg("--ready-file").arg(&ready_file).current_dir(data);
        for (key, value) in settings {
            command.env(format!("TRADE_EXECUTOR__{key}"), value);
        }
        command.env("TRADE_EXECUTOR__SERVER__LISTEN", "127.0.0.1:0");
        command.env("TRADE_EXECUTOR__METRICS__LISTEN", "127.0.0.1:0");
        command.env("TRADE_EXECUTOR__LOG__LEVEL", "warn");
        let said = File::create(data.join("stderr.txt"))?;
        let began = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn()?;
        let ready: Ready = loop {
            if let Ok(text) = fs::read(&ready_file) {
                break serde_json::from_slice(&text)?;
            }
            if let Some(status) = child.try_wait()? {
                bail!("the server ended with {status}: {}", complaint(data));
            }
            if began.elapsed() > START_WITHIN {
                child.kill()?;
                bail!("the server was not ready after {} s: {}", START_WITHIN.as_secs(), complaint(data));
            }
            sleep(Duration::from_millis(5)).await;
        };
        let address = ready.url.trim_start_matches("http://").parse().context("the server's address")?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let started_in = began.elapsed();
        Ok(Self { child, data: data.to_owned(), address, started_in, metrics: ready.metrics_url, http })
    }

    /// Returns its resident memory in bytes.
    pub(crate) fn rss(&self) -> anyhow::Result<u64> {
        machine::rss(self.child.id())
    }

    /// Returns the processor time it used until now, in seconds.
    pub(crate) fn cpu_s(&self) -> anyhow::Result<f64> {
        machine::cpu_s(self.child.id())
    }

    /// Returns how many bytes it handed to write calls until now: log, index and answers.
    pub(crate) fn written(&self) -> anyhow::Result<f64> {
        machine::written(self.child.id())
    }

    /// Returns its measurements.
    pub(crate) async fn metrics(&self) -> anyhow::Result<Metrics> {
        let answer = self.http.get(&self.metrics).send().await?.error_for_status()?;
        Ok(Metrics(answer.text().await?))
    }

    /// Waits until nothing is under way.
    pub(crate) async fn rest(&self) -> anyhow::Result<Metrics> {
        let began = Instant::now();
        let mut last = (0.0, Instant::now());
        loop {
            let metrics = self.metrics().await?;
            let head = metrics.sum("trade_executor_log_head_seq", &[]);
            let in_flight = metrics.sum("trade_executor_signals_in_flight", &[]);
            if head.total_cmp(&last.0).is_ne() || in_flight > 0.0 {
                last = (head, Instant::now());
            } else if last.1.elapsed() >= REST {
                return Ok(metrics);
            }
            if began.elapsed() > REST_WITHIN {
                bail!(
                    "the server did not come to rest: {in_flight} signals are under way; {}",
                    complaint(&self.data)
                );
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Stops it in good order.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.child.id().to_string();
        if !Command::new("kill").args(["-TERM", &pid]).status()?.success() {
            bail!("the server could not be told to stop");
        }
        let began = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the server stopped with {status}: {}", complaint(&self.data)),
                None if began.elapsed() > STOP_WITHIN => {
                    bail!("the server does not stop: {}", complaint(&self.data))
                }
                None => sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

impl Drop for Server {
    /// A failed measurement must not leave a server behind.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None))
            && self.child.kill().is_ok()
            && self.child.wait().is_err()
        {
            eprintln!("process {} may still run", self.child.id());
        }
    }
}

/// Returns the end of what the server said.
fn complaint(data: &Path) -> String {
    let text = fs::read_to_string(data.join("stderr.txt")).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// A server's measurements.
#[derive(Debug)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// Returns the sum of the series of `name` that carry all of `labels`, written as `name="value"`.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let lines = self.0.lines().filter_map(|line| line.rsplit_once(' '));
        let ours = lines.filter(|(series, _)| {
            let (series, of) = series.split_once('{').unwrap_or((series, ""));
            series == name && labels.iter().all(|label| of.contains(label))
        });
        ours.filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
    }
}
