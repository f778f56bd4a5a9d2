//! What all requests share.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use trade_actors::domain::event::Fact;
use trade_actors::engine::Engine;

use super::Web;
use super::cookies::Cookies;
use super::headers::RequestIds;
use super::idempotency::Stored;
use super::meters::Meters;
use super::problem::Problem;
use super::pushed::Pushed;
use super::tasks::Tasks;
use crate::config::web::Network;

/// Refusals that may wait for the log at once; past it they are counted, not recorded.
const RECORDING_MAX: usize = 1_024;
/// Failed logins recorded in a minute; more are counted, not recorded.
const FAILURES_MAX: u32 = 120;

/// What all requests share.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) web: Web,
    /// The address that people are given, without a slash at its end.
    pub(super) base_url: String,
    pub(super) proxies: Vec<Network>,
    pub(super) cookies: Cookies,
    pub(super) meters: Meters,
    pub(super) ids: RequestIds,
    pub(super) pushed: Pushed,
    pub(super) stored: Arc<Stored>,
    pub(super) tasks: Tasks,
    recording: Arc<Semaphore>,
    /// Since when, and how many, failed logins were recorded.
    failures: Mutex<(Instant, u32)>,
}

impl Edge {
    pub(super) fn new(web: Web, bound: SocketAddr, patterns: Vec<&'static str>) -> Self {
        Self {
            base_url: web.config.base_url(bound),
            proxies: web.config.proxies(),
            cookies: Cookies::new(web.config.is_https()),
            meters: Meters::new(&patterns),
            ids: RequestIds::new(),
            pushed: Pushed::default(),
            stored: Arc::default(),
            tasks: Tasks::default(),
            recording: Arc::new(Semaphore::new(RECORDING_MAX)),
            failures: Mutex::new((Instant::now(), 0)),
            web,
        }
    }

    /// Returns the engine.
    ///
    /// # Errors
    /// 503 while it is starting.
    pub(super) fn engine(&self) -> Result<&Engine, Problem> {
        self.web.engine.get().ok_or_else(Problem::starting)
    }

    /// Records a failed login; of a flood of them, so many a minute, since anybody can cause them.
    pub(super) fn record_failure(&self, engine: &Engine, fact: Fact) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.0.elapsed() >= Duration::from_secs(60) {
            *failures = (Instant::now(), 0);
        }
        failures.1 = failures.1.saturating_add(1);
        let room = failures.1 <= FAILURES_MAX;
        drop(failures);
        if room {
            self.record(engine, vec![fact]);
        } else {
            self.meters.unrecorded();
        }
    }

    /// Records facts after the answer is out; what cannot wait is counted.
    pub(super) fn record(&self, engine: &Engine, facts: Vec<Fact>) {
        let Ok(room) = Arc::clone(&self.recording).try_acquire_owned() else {
            self.meters.unrecorded();
            return;
        };
        let engine = engine.clone();
        self.tasks.spawn(async move {
            if let Err(error) = engine.commit(facts).await {
                tracing::warn!(%error, "a refusal was answered, but not recorded");
            }
            drop(room);
        });
    }
}
