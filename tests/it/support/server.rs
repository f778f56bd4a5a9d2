//! The real binary as a child process.

use std::fs::{self, File, OpenOptions};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use super::{Api, DEADLINE, POLL};

/// How to start it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    data: Option<PathBuf>,
    fixed_port: bool,
    environment: Vec<(String, String)>,
    settings: String,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Keeps data here instead of in a folder of its own.
    pub(crate) fn data(mut self, data: &Path) -> Self {
        self.data = Some(data.to_owned());
        self
    }

    /// Keeps the port across restarts, so that clients find it again.
    pub(crate) const fn fixed_port(mut self) -> Self {
        self.fixed_port = true;
        self
    }

    /// Sets a setting, named as in the file: `engine.passivate_after_s`.
    pub(crate) fn set(mut self, key: &str, value: impl ToString) -> Self {
        let name = format!("TRADE_EXECUTOR__{}", key.to_ascii_uppercase().replace('.', "__"));
        self.environment.push((name, value.to_string()));
        self
    }

    /// Sets a variable of the environment that is no setting.
    pub(crate) fn variable(mut self, name: &str, value: impl ToString) -> Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    /// Adds lines to the settings file.
    pub(crate) fn settings(mut self, lines: &str) -> Self {
        self.settings.push_str(lines);
        self
    }

    /// Lists symbols whose prices never move, so that a test can do sums.
    pub(crate) fn still_market(self) -> Self {
        self.settings(
            r#"
            [paper]
            symbols = [
              { symbol = "AAPL", class = "equity", price = 200, volatility_bp = 0, spread_bp = 0 },
              { symbol = "TSLA", class = "equity", price = 250, volatility_bp = 0, spread_bp = 0 },
              { symbol = "SPY", class = "equity", price = 500, volatility_bp = 0, spread_bp = 0 },
              { symbol = "BTC/USDT", class = "crypto", price = 50000, volatility_bp = 0, spread_bp = 0 },
            ]
            "#,
        )
    }

    /// Starts it and waits until it takes signals.
    pub(crate) async fn start(self) -> Server {
        let mut server = self.spawn();
        server.wait_ready().await;
        server
    }

    /// Starts it and returns at once.
    pub(crate) fn spawn(self) -> Server {
        let home = Arc::new(tempfile::tempdir().unwrap());
        let data = self.data.clone().unwrap_or_else(|| home.path().join("data"));
        // Free now, and the system gives it to nobody else for a while.
        let port = if self.fixed_port { free_port() } else { 0 };
        let mut server = Server { setup: self, home, data, port, child: None, ready: None };
        server.launch();
        server
    }
}

/// The running program. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    setup: Setup,
    home: Arc<TempDir>,
    pub(crate) data: PathBuf,
    port: u16,
    child: Option<Child>,
    ready: Option<Value>,
}

impl Server {
    fn launch(&mut self) {
        let settings = self.home.path().join("settings.toml");
        fs::write(&settings, &self.setup.settings).unwrap();
        let stderr = OpenOptions::new().create(true).append(true).open(self.stderr_path()).unwrap();
        let mut command = program(&self.data);
        command
            .args(["--listen", &format!("127.0.0.1:{}", self.port)])
            .arg("--config")
            .arg(settings)
            .arg("--ready-file")
            .arg(self.ready_path())
            .env("TRADE_EXECUTOR__METRICS__LISTEN", "127.0.0.1:0")
            // One order a signal; tests about stops and merging ask for them.
            .env("TRADE_EXECUTOR__RISK__STOP_LOSS_PCT", "0")
            .env("TRADE_EXECUTOR__RISK__MERGE_WINDOW_S", "0")
            .env("TRADE_EXECUTOR__STORE__SEGMENT_BYTES", "1048576")
            .env("TRADE_EXECUTOR__STORE__CACHE_BYTES", "8388608")
            .envs(self.setup.environment.iter().cloned())
            .stdout(Stdio::null())
            .stderr(stderr);
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits until it takes signals.
    pub(crate) async fn wait_ready(&mut self) {
        let started = Instant::now();
        loop {
            if let Some(ready) =
                fs::read(self.ready_path()).ok().and_then(|text| serde_json::from_slice(&text).ok())
            {
                self.ready = Some(ready);
                return;
            }
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "it ended with {ended:?} instead of starting:\n{}", self.stderr());
            assert!(started.elapsed() < DEADLINE, "not ready after {DEADLINE:?}:\n{}", self.stderr());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Returns what the ready file says.
    pub(crate) fn ready(&self, key: &str) -> &str {
        let ready = self.ready.as_ref().unwrap();
        ready[key].as_str().unwrap_or_else(|| panic!("no {key} in {ready}"))
    }

    pub(crate) fn ready_keys(&self) -> Vec<&str> {
        self.ready.as_ref().unwrap().as_object().unwrap().keys().map(String::as_str).collect()
    }

    /// Returns the owner's view.
    pub(crate) fn owner(&self) -> Api {
        Api::new(self.ready("url"), self.ready("api_token"), self.ready("webhook_url"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Kills it as a power cut does: it gets no chance to do anything.
    pub(crate) fn kill9(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        self.ready = None;
        if let Err(error) = fs::remove_file(self.ready_path()) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        }
    }

    /// Returns whether it ended by itself, and takes note of it.
    pub(crate) fn has_crashed(&mut self) -> bool {
        let Some(child) = self.child.as_mut() else { return true };
        if child.try_wait().unwrap().is_none() {
            return false;
        }
        self.child = None;
        self.ready = None;
        fs::remove_file(self.ready_path()).ok();
        true
    }

    /// Has it crash nowhere when it starts again.
    pub(crate) fn calm(&mut self) {
        self.setup.environment.retain(|(name, _)| name != "TRADE_EXECUTOR_CRASH");
    }

    /// Starts it again on the same data.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.child.is_none());
        self.launch();
        self.wait_ready().await;
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        assert!(signal(self.pid(), "TERM").success());
    }

    /// Waits until it ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let started = Instant::now();
        let mut child = self.child.take().unwrap();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > DEADLINE {
                child.kill().unwrap();
                panic!("still running {DEADLINE:?} after it was asked to stop:\n{}", self.stderr());
            }
            tokio::time::sleep(POLL).await;
        };
        self.ready = None;
        fs::remove_file(self.ready_path()).ok();
        status
    }

    /// Stops it in good order, which it must do with exit code 0.
    pub(crate) async fn stop(&mut self) {
        self.terminate();
        let status = self.ended().await;
        assert_eq!(status.code(), Some(0), "{status}:\n{}", self.stderr());
    }

    /// Stops it in good order and starts it again.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// Runs another command on the same data.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        program(&self.data).args(arguments).output().unwrap()
    }

    /// Asserts that `audit verify` finds nothing.
    #[track_caller]
    pub(crate) fn assert_log_is_whole(&self) {
        let verified = self.run(&["audit", "verify"]);
        let said = String::from_utf8_lossy(&verified.stdout);
        assert_eq!(verified.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&verified.stderr));
        assert!(said.starts_with("the log is whole"), "{said}");
    }

    /// Returns what it wrote to standard error, in all its lives.
    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.stderr_path()).unwrap()
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    fn stderr_path(&self) -> PathBuf {
        self.home.path().join("stderr.log")
    }

    fn ready_path(&self) -> PathBuf {
        self.home.path().join("ready.json")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().ok();
        }
        if std::thread::panicking() {
            let said = fs::read_to_string(self.stderr_path()).unwrap_or_default();
            let lines: Vec<_> = said.lines().collect();
            println!("its last lines:\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// Returns the binary, told where its data is, in an environment without settings of the tester.
pub(crate) fn program(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trade-executor"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TRADE_EXECUTOR__") {
            command.env_remove(name);
        }
    }
    command.env_remove("PORT").arg("--data-dir").arg(data).stdin(Stdio::null());
    command
}

/// Sends a signal to a process that this test started.
pub(crate) fn signal(pid: u32, name: &str) -> ExitStatus {
    Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap()
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Returns a file for the output of another program.
pub(crate) fn output_file(path: &Path) -> File {
    File::create(path).unwrap()
}
