//! What all requests share.

use std::net::SocketAddr;
use std::sync::Arc;

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
