//! Wires the edges around the engine: starts downstream first, stops in reverse.

mod banner;
mod books;
mod disk;
mod first_run;
mod key_care;
pub mod people;
mod ready;
mod runway;
mod system;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use actix::Supervisor;
use actix_rt::Arbiter;
use anyhow::Context;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use trade_actors::domain::event::{Event, Fact};
use trade_actors::engine::{Engine, Parts};
use trade_actors::hub::HubMsg;
use trade_actors::ledger::Ledger;
use trade_actors::ledger::projector::{Projector, Publish, Watched};
use trade_actors::ports::broker::Brokers;
use trade_actors::ports::clock::{Clock, SystemClock};
use trade_actors::ports::log::Log;
use trade_actors::ports::store::{Store, Vault};
use trade_actors::views::{Progress, Views};

pub use banner::Banner;
pub use disk::{Disk, InUse};
pub use key_care::broker_of;
pub use ready::Ready;

use crate::auth::Auth;
use crate::brokers::consent::Consents;
use crate::brokers::paper::PaperBrokers;
use crate::brokers::paper::market::SimulatedMarket;
use crate::brokers::probe::Prober;
use crate::brokers::{BuiltIn, Ground, Venues};
use crate::config::Config;
use crate::keys::MasterKey;
use crate::telemetry;
use crate::vault::Credentials;
use crate::web::{self, EngineSlot, Web};
use books::IndexedBooks;
use first_run::Owner;
use key_care::KeyCare;
use runway::RunwayWatch;

/// How long requests under way may take when the engine stops.
const GRACE: Duration = Duration::from_secs(10);
/// How often measurements are tidied up, so that scrapes that never come cost no memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// Puts itself between the engine and the brokers, as a test does that makes a broker fail.
pub type Between = Box<dyn FnOnce(Arc<dyn Brokers>) -> Arc<dyn Brokers> + Send>;

/// What is not a setting.
pub struct Options {
    /// Where data is kept.
    pub data_dir: PathBuf,
    /// Written when signals are taken.
    pub ready_file: Option<PathBuf>,
    /// Whether a fresh login link is made at every start, and not on the first run alone.
    pub login_link: bool,
    /// Whether a progress bar may be shown.
    pub progress: bool,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Puts itself between the engine and the brokers.
    pub between: Option<Between>,
    /// Tries broker credentials out; without one the brokers themselves are asked.
    pub prober: Option<Arc<dyn Prober>>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

impl Options {
    /// Keeps data in `data_dir`, and nothing more.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            ready_file: None,
            login_link: false,
            progress: false,
            clock: Arc::new(SystemClock::new()),
            between: None,
            prober: None,
        }
    }
}

/// A running Trade Executor.
#[derive(Debug)]
pub struct App {
    engine: Engine,
    key_care: KeyCare,
    runway: RunwayWatch,
    ready: Ready,
    doors: Doors,
    threads: Threads,
    market: Arc<SimulatedMarket>,
    auth: Arc<Auth>,
    index: Weak<dyn Store>,
    vault: Weak<dyn Vault>,
}

impl App {
    /// Starts everything; returns once signals are taken.
    ///
    /// # Errors
    /// When the data cannot be opened, an address is taken, or an actor does not start. What was started is stopped.
    pub async fn start(config: Config, options: Options) -> anyhow::Result<Self> {
        // First, as handles made before it would measure nothing.
        let measured = telemetry::measurements().context("measurements could not be set up")?;
        let (data_dir, store, progress) = (options.data_dir.clone(), config.store.clone(), options.progress);
        let disk = tokio::task::spawn_blocking(move || Disk::open(&data_dir, &store)).await??;
        let vault: Arc<dyn Vault> = Arc::clone(&disk.vault) as Arc<dyn Vault>;
        let auth =
            Arc::new(Auth::new(Arc::clone(&vault), Arc::clone(&options.clock), Arc::clone(&disk.keys)));
        let credentials = Credentials::new(Arc::clone(&vault), Arc::clone(&disk.keys));
        let secrets = Arc::new(credentials.clone());
        let ground = Ground { config: &config.brokers, secrets, clock: Arc::clone(&options.clock) };
        let venues = Venues::open(&ground)?;
        let prober = options.prober.clone().unwrap_or_else(|| Arc::new(venues.clone()));
        let slot = EngineSlot::default();
        let web = Web {
            credentials: credentials.clone(),
            prober,
            consents: Arc::new(Consents::open(&config.brokers)?),
            engine: Arc::clone(&slot),
            auth: Arc::clone(&auth),
            keys: Arc::clone(&disk.keys),
            config: Arc::new(config.server.clone()),
            new_user_limits: config.risk.clone(),
            started: Instant::now(),
        };
        let doors = Doors::open(&config, web, measured).await?;
        let disk = tokio::task::spawn_blocking(move || disk.catch_up(progress)).await??;
        let index: Arc<dyn Store> = Arc::clone(&disk.index) as Arc<dyn Store>;
        let (index_held, vault_held) = (Arc::downgrade(&index), Arc::downgrade(&vault));
        drop((index, vault));
        let threads = Threads::start().await?;
        let owner_doors = OwnerDoors { base: config.server.base_url(doors.server), metrics: doors.metrics };
        let held = Held { auth: &auth, credentials: credentials.clone(), venues };
        match raise(&config, options, disk, &threads, held, &slot, owner_doors).await {
            Ok((engine, market, ready)) => {
                let key_care = KeyCare::start(credentials, &engine, config.keys.rotate_after_days);
                let runway = RunwayWatch::start(&engine);
                let (index, vault) = (index_held, vault_held);
                Ok(Self { engine, key_care, runway, ready, doors, threads, market, auth, index, vault })
            }
            Err(error) => {
                doors.close().await;
                threads.stop().await;
                Err(error)
            }
        }
    }

    /// Stops taking signals, lets what is under way finish, signs the log's head and closes everything.
    ///
    /// The data may be opened again once this returns.
    pub async fn stop(self) {
        let Self { engine, key_care, runway, doors, threads, market, auth, index, vault, ready: _ } = self;
        drop(runway);
        key_care.stop().await;
        engine.stop().await;
        doors.close().await;
        threads.stop().await;
        drop((engine, market, auth));
        // Tasks that were told to end let go of the files a moment later.
        for _ in 0..200 {
            if index.strong_count() == 0 && vault.strong_count() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tracing::warn!("something still holds the data; it is let go when the process ends");
    }

    /// Returns how to reach it.
    #[must_use]
    pub const fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Returns the engine.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns who may enter.
    #[must_use]
    pub const fn auth(&self) -> &Arc<Auth> {
        &self.auth
    }

    /// Returns the simulated market.
    #[must_use]
    pub const fn market(&self) -> &Arc<SimulatedMarket> {
        &self.market
    }
}

/// What the edges hold before there is an engine.
#[derive(Debug)]
struct Held<'a> {
    auth: &'a Auth,
    credentials: Credentials,
    venues: Venues,
}

/// Where the owner is sent.
#[derive(Debug)]
struct OwnerDoors {
    base: String,
    metrics: Option<SocketAddr>,
}

/// Starts ledger, owner and engine on a disk that is up to date, and takes signals.
async fn raise(
    config: &Config,
    options: Options,
    disk: Disk,
    threads: &Threads,
    held: Held<'_>,
    slot: &EngineSlot,
    doors: OwnerDoors,
) -> anyhow::Result<(Engine, Arc<SimulatedMarket>, Ready)> {
    let Options { ready_file, login_link, clock, between, .. } = options;
    let keys = Arc::clone(&disk.keys);
    let (ledger, views, watched) = threads.keep(disk, Arc::clone(&clock), publisher(slot));
    let owner = first_run::owner(&ledger, &views, &keys, &config.risk).await?;
    let Held { auth, credentials, venues } = held;
    sweep(credentials, views.clone()).await?;
    let market = SimulatedMarket::new(&config.paper, Arc::clone(&clock));
    let feeds = std::iter::once(market.feed()).chain(venues.feeds()).collect();
    let brokers = brokers(config, &market, venues, &ledger, &views, &clock);
    let parts = Parts {
        ledger,
        views,
        watched,
        brokers: match between {
            Some(between) => between(brokers),
            None => brokers,
        },
        feeds,
        clock,
        admission: config.admission.limits(),
        passivate_after: config.engine.passivate_after(),
        offline_after: config.engine.offline_after(),
    };
    let engine = Engine::start(parts).await.context("the engine did not start")?;
    let login_link = login_link || ready_file.is_some() || owner.is_new;
    let opened = async {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        engine.commit(vec![Fact::new(None, Event::EngineStarted { version })]).await?;
        let ready = introduce(auth, &keys, &owner, doors, login_link)?;
        if slot.set(engine.clone()).is_err() {
            tracing::error!("the engine was known before it was started");
        }
        engine.ready();
        if owner.is_new {
            engine.wake(owner.user);
        }
        if let Some(path) = &ready_file {
            ready.write(path).with_context(|| format!("{} could not be written", path.display()))?;
        }
        tracing::info!(url = ready.url, "taking signals");
        anyhow::Ok(ready)
    };
    match opened.await {
        Ok(ready) => Ok((engine, market, ready)),
        Err(error) => {
            engine.stop().await;
            Err(error)
        }
    }
}

/// Removes credentials that belong to no connection, before anybody can connect one.
///
/// They are kept ahead of their connection, and removed behind it: a crash in between leaves them alone.
async fn sweep(credentials: Credentials, views: Views) -> anyhow::Result<()> {
    let swept = tokio::task::spawn_blocking(move || {
        credentials.sweep(|user, connection| Ok(broker_of(&views, user, connection)?.is_some()))
    });
    let swept = swept.await?.context("the credentials of broker accounts could not be looked through")?;
    if swept > 0 {
        tracing::info!(swept, "credentials that no broker account needs any more were removed");
    }
    Ok(())
}

/// Sends what the projector publishes to the hub, from when there is one.
fn publisher(slot: &EngineSlot) -> Publish {
    let slot = Arc::clone(slot);
    Arc::new(move |pushes| {
        if let Some(engine) = slot.get() {
            engine.hub(HubMsg::Publish(pushes));
        }
    })
}

fn brokers(
    config: &Config,
    market: &Arc<SimulatedMarket>,
    venues: Venues,
    ledger: &Ledger,
    views: &Views,
    clock: &Arc<dyn Clock>,
) -> Arc<dyn Brokers> {
    let books = Arc::new(IndexedBooks::new(ledger.clone(), views.clone()));
    let journal = Arc::new(ledger.clone());
    let paper = PaperBrokers::new(&config.paper, Arc::clone(market), journal, books, Arc::clone(clock));
    Arc::new(BuiltIn { paper, venues })
}

fn introduce(
    auth: &Auth,
    keys: &MasterKey,
    owner: &Owner,
    OwnerDoors { base, metrics }: OwnerDoors,
    login_link: bool,
) -> anyhow::Result<Ready> {
    let login_url =
        if login_link { Some(format!("{base}/login/{}", auth.login_link(owner.user)?)) } else { None };
    let secret = keys.webhook_token(owner.webhook.id, owner.webhook.version);
    Ok(Ready {
        metrics_url: metrics.map(|address| format!("http://{address}/metrics")),
        login_url,
        api_token: auth.owner_token(owner.user)?,
        webhook_url: format!("{base}/webhooks/tradingview/{secret}"),
        url: base,
        first_run: owner.is_new,
    })
}

/// The listeners and what serves them.
#[derive(Debug)]
struct Doors {
    server: SocketAddr,
    metrics: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Doors {
    /// Binds and serves at once: who comes early is told to come again, instead of being refused.
    async fn open(config: &Config, web: Web, measured: PrometheusHandle) -> anyhow::Result<Self> {
        let listener = bind(config.server.listen, "server.listen").await?;
        let server = listener.local_addr()?;
        let offered = if config.metrics.enabled {
            Some(bind(config.metrics.listen, "metrics.listen").await?)
        } else {
            None
        };
        let metrics = offered.as_ref().map(TcpListener::local_addr).transpose()?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = vec![tokio::spawn(web::serve(web, listener, stopped.clone()))];
        if let Some(listener) = offered {
            tasks.push(tokio::spawn(web::serve_metrics(measured.clone(), listener, stopped.clone())));
        }
        tasks.push(tokio::spawn(async move {
            let mut stopped = stopped;
            while tokio::time::timeout(UPKEEP, stopped.wait_for(|stop| *stop)).await.is_err() {
                measured.run_upkeep();
            }
        }));
        Ok(Self { server, metrics, stop, tasks })
    }

    /// Lets requests under way finish and closes the listeners.
    async fn close(mut self) {
        self.stop.send_replace(true);
        for mut task in std::mem::take(&mut self.tasks) {
            if tokio::time::timeout(GRACE, &mut task).await.is_err() {
                tracing::warn!("some connections did not end in time and were cut");
                task.abort();
            }
        }
    }
}

impl Drop for Doors {
    /// A start that failed must not leave a door open behind it.
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn bind(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("{key} = {address} cannot be listened on; choose another, or stop what listens there")
    })
}

/// The threads of the actors that block.
#[derive(Debug)]
struct Threads {
    ledger: Arbiter,
    projector: Arbiter,
}

impl Threads {
    async fn start() -> anyhow::Result<Self> {
        let context = "an actor's thread could not be started";
        let ledger = system::arbiter().await.context(context)?;
        let projector = system::arbiter().await.context(context)?;
        Ok(Self { ledger, projector })
    }

    /// Starts the actors that keep the log and its index.
    fn keep(&self, disk: Disk, clock: Arc<dyn Clock>, publish: Publish) -> (Ledger, Views, Arc<Watched>) {
        let index: Arc<dyn Store> = Arc::clone(&disk.index) as Arc<dyn Store>;
        let progress = Arc::new(Progress::new(disk.log.head().seq));
        let watched = Arc::new(Watched::default());
        let views = Views::new(Arc::clone(&index), Arc::clone(&progress));
        let (behind, seen) = (Arc::clone(&progress), Arc::clone(&watched));
        let reader = disk.reader();
        let projector = Supervisor::start_in_arbiter(&self.projector.handle(), move |_| {
            Projector::new(index, reader, behind, seen, publish)
        });
        let reopen = disk.reopen();
        let ledger = Ledger::start(&self.ledger, Box::new(disk.log), reopen, projector, progress, clock);
        (ledger, views, watched)
    }

    async fn stop(self) {
        system::stop(self.ledger).await;
        system::stop(self.projector).await;
    }
}
