//! The whole program within this process, so that a test can make its actors fail.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};
use trade_executor::app::{App, Options};
use trade_executor::config::Config;

use super::Api;

/// Faults are the process's: one program at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The running program. Faults armed in this process happen in it.
#[derive(Debug)]
pub(crate) struct TestApp {
    pub(crate) app: App,
    dir: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Starts with a broker that fails by script.
    pub(crate) async fn behind(script: &venues::flaky::Script) -> Self {
        let script = script.clone();
        Self::start_with(Some(Box::new(move |brokers| script.before(brokers)))).await
    }

    /// Starts with settings changed.
    pub(crate) async fn configured(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_as(None, change).await
    }

    /// Starts with something between the engine and the brokers.
    pub(crate) async fn start_with(between: Option<trade_executor::app::Between>) -> Self {
        Self::start_as(between, |_| ()).await
    }

    async fn start_as(
        between: Option<trade_executor::app::Between>,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let alone = ALONE.lock().await;
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        config.metrics.enabled = false;
        config.store.segment_bytes = 1 << 20;
        config.store.cache_bytes = 8 << 20;
        config.paper.tick_ms = 50;
        // One order a signal; tests about stops and merging ask for them.
        config.risk.stop_loss_pct = trade_actors::domain::money::Percent::new(0.into());
        config.risk.merge_window_s = 0;
        change(&mut config);
        let options = Options { between, ..Options::new(dir.path().join("data")) };
        let app = App::start(config, options).await.unwrap();
        Self { app, dir, _alone: alone }
    }

    pub(crate) fn owner(&self) -> Api {
        let ready = self.app.ready();
        Api::new(&ready.url, &ready.api_token, &ready.webhook_url)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Stops it in good order and returns where its data is, for as long as the guard lives.
    pub(crate) async fn stop(self) -> (PathBuf, TempDir) {
        let data = self.data();
        tokio::time::timeout(Duration::from_secs(30), self.app.stop()).await.expect("an orderly stop");
        (data, self.dir)
    }
}
