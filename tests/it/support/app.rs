//! The whole program within this process, so that a test can make its actors fail, set prices and turn the clock.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};
use trade_actors::domain::money::{Percent, Price};
use trade_actors::domain::stages::Stamp;
use trade_actors::ports::clock::{Clock, SystemClock};
use trade_executor::app::{App, Between, Options};
use trade_executor::config::Config;

use super::Api;

/// Faults are the process's: one program at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A clock that starts when a test says, and that the test turns forward.
#[derive(Debug)]
pub(crate) struct TestClock {
    machine: SystemClock,
    ahead_ms: AtomicI64,
}

impl TestClock {
    pub(crate) fn at(start: &str) -> Arc<Self> {
        let (machine, start) = (SystemClock::new(), start.parse::<DateTime<Utc>>().unwrap());
        let ahead_ms = AtomicI64::new((start - machine.now()).num_milliseconds());
        Arc::new(Self { machine, ahead_ms })
    }

    /// Returns a clock that is right, until the test turns it.
    pub(crate) fn right() -> Arc<Self> {
        Arc::new(Self { machine: SystemClock::new(), ahead_ms: AtomicI64::new(0) })
    }

    pub(crate) fn turn(&self, by: TimeDelta) {
        self.ahead_ms.fetch_add(by.num_milliseconds(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        self.machine.now() + TimeDelta::milliseconds(self.ahead_ms.load(Ordering::SeqCst))
    }

    fn stamp(&self) -> Stamp {
        self.machine.stamp()
    }
}

/// The running program. Faults armed in this process happen in it.
#[derive(Debug)]
pub(crate) struct TestApp {
    pub(crate) app: App,
    dir: TempDir,
    config: Config,
    clock: Arc<dyn Clock>,
    _alone: Option<MutexGuard<'static, ()>>,
}

impl TestApp {
    pub(crate) async fn start() -> Self {
        Self::configured(|_| {}).await
    }

    /// Starts with a broker that fails by script.
    pub(crate) async fn behind(script: &venues::flaky::Script) -> Self {
        let script = script.clone();
        let between: Between = Box::new(move |brokers| script.before(brokers));
        Self::start_with(Some(between)).await
    }

    /// Starts with settings changed.
    pub(crate) async fn configured(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(tempfile::tempdir().unwrap(), |config, _| change(config)).await
    }

    /// Starts with something between the engine and the brokers.
    pub(crate) async fn start_with(between: Option<Between>) -> Self {
        Self::start_on(tempfile::tempdir().unwrap(), |_, options| options.between = between).await
    }

    /// Starts with other settings, by the test's own clock.
    pub(crate) async fn by_clock(clock: &Arc<TestClock>, settings: impl FnOnce(&mut Config)) -> Self {
        let clock = Arc::clone(clock) as Arc<dyn Clock>;
        Self::start_on(tempfile::tempdir().unwrap(), |config, options| {
            settings(config);
            options.clock = clock;
        })
        .await
    }

    /// Keeps all other tests' programs out, for a test that starts several of its own by [`TestApp::among_others`].
    pub(crate) async fn alone() -> MutexGuard<'static, ()> {
        ALONE.lock().await
    }

    /// Starts one of several, by the test's own clock, while the test keeps all others out.
    pub(crate) async fn among_others(clock: &Arc<TestClock>, settings: impl FnOnce(&mut Config)) -> Self {
        let clock = Arc::clone(clock) as Arc<dyn Clock>;
        let adjust = |config: &mut Config, options: &mut Options| {
            settings(config);
            options.clock = clock;
        };
        Box::pin(Self::start_with_guard(None, tempfile::tempdir().unwrap(), adjust)).await
    }

    /// Starts on the data in a folder, with other settings than the usual ones.
    pub(crate) async fn start_on(dir: TempDir, adjust: impl FnOnce(&mut Config, &mut Options)) -> Self {
        let alone = ALONE.lock().await;
        // Boxed, as it holds all settings.
        Box::pin(Self::start_with_guard(Some(alone), dir, adjust)).await
    }

    async fn start_with_guard(
        alone: Option<MutexGuard<'static, ()>>,
        dir: TempDir,
        adjust: impl FnOnce(&mut Config, &mut Options),
    ) -> Self {
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        config.metrics.enabled = false;
        config.store.segment_bytes = 1 << 20;
        config.store.cache_bytes = 8 << 20;
        config.paper.tick_ms = 50;
        // One order a signal; tests about stops and merging ask for them.
        config.risk.stop_loss_pct = Percent::new(0.into());
        config.risk.merge_window_s = 0;
        let mut options = Options::new(dir.path().join("data"));
        adjust(&mut config, &mut options);
        let clock = Arc::clone(&options.clock);
        let app = Box::pin(App::start(config.clone(), options)).await.unwrap();
        Self { app, dir, config, clock, _alone: alone }
    }

    pub(crate) fn owner(&self) -> Api {
        let ready = self.app.ready();
        Api::new(&ready.url, &ready.api_token, &ready.webhook_url)
    }

    /// Returns a person's view after a restart, which moved the program to another port.
    pub(crate) fn again(&self, before: &Api) -> Api {
        let base = self.app.ready().url.clone();
        let webhook = before.webhook.replacen(&before.base, &base, 1);
        Api { base, webhook, ..before.clone() }
    }

    pub(crate) fn metrics_url(&self) -> &str {
        self.app.ready().metrics_url.as_deref().unwrap()
    }

    /// Sets the price of a symbol of the simulated market.
    pub(crate) fn price(&self, symbol: &str, price: &str) {
        let price = Price::new(price.parse().unwrap()).unwrap();
        assert!(self.app.market().set_price(symbol.parse().unwrap(), price));
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Stops it in good order, and starts it again on the same data after `meanwhile`; prices begin anew.
    pub(crate) async fn restart(self, meanwhile: impl FnOnce()) -> Self {
        let Self { app, dir, config, clock, _alone } = self;
        tokio::time::timeout(Duration::from_secs(30), app.stop()).await.expect("an orderly stop");
        meanwhile();
        let options = Options { clock: Arc::clone(&clock), ..Options::new(dir.path().join("data")) };
        let app = Box::pin(App::start(config.clone(), options)).await.unwrap();
        Self { app, dir, config, clock, _alone }
    }

    /// Stops it in good order and returns where its data is, for as long as the guard lives.
    pub(crate) async fn stop(self) -> (PathBuf, TempDir) {
        let data = self.data();
        tokio::time::timeout(Duration::from_secs(30), self.app.stop()).await.expect("an orderly stop");
        (data, self.dir)
    }
}
