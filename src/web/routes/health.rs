//! Whether the process lives, whether it takes signals, and the description of the API.

use serde::Serialize;
use trade_actors::engine::{Engine, Readiness};
use utoipa::ToSchema;
use warp::http::StatusCode;

use crate::web::call::{Answer, Call, json, ok};
use crate::web::openapi::document;
use crate::web::problem::Problem;

/// How the process is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `starting`, `ok`, `degraded` (a part fails; signals may be refused) or `stopping`.
    #[schema(example = "ok")]
    status: &'static str,
    version: &'static str,
    uptime_s: u64,
    /// Absent while starting.
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<Parts>,
}

/// How the parts are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Parts {
    /// Last durable record.
    log_seq: u64,
    /// Records that the index is behind the log.
    index_lag: u64,
    /// Whether everybody's trading is stopped.
    halted: bool,
    /// Whether the master key's newest version is older than a year; `trade-executor keys rotate` makes another.
    master_key_old: bool,
}

/// Tells that the process lives.
pub(crate) async fn alive(call: Call) -> Result<Answer, Problem> {
    ok(&health(&call))
}

/// Tells whether signals are taken.
pub(crate) async fn ready(call: Call) -> Result<Answer, Problem> {
    let health = health(&call);
    let status = if health.status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &health)
}

/// Describes the API.
pub(crate) async fn openapi(call: Call) -> Result<Answer, Problem> {
    ok(&document(&call.edge.base_url))
}

/// Whether the disk is full or the index fails.
fn is_degraded(engine: &Engine) -> bool {
    let progress = engine.views().progress();
    progress.index_failed() || progress.is_full(engine.clock().stamp())
}

fn health(call: &Call) -> Health {
    let engine = call.edge.web.engine.get();
    let status = match engine.map(|engine| engine.readiness()) {
        None | Some(Readiness::Starting) => "starting",
        Some(Readiness::Ready) if engine.is_some_and(is_degraded) => "degraded",
        Some(Readiness::Ready) => "ok",
        Some(Readiness::Draining) => "stopping",
    };
    let parts = engine.map(|engine| {
        let progress = engine.views().progress();
        let log_seq = progress.committed();
        Parts {
            log_seq,
            index_lag: log_seq.saturating_sub(progress.applied()),
            halted: engine.global_halt().is_some(),
            master_key_old: call.edge.web.keys.is_old(engine.clock().now()),
        }
    });
    Health {
        status,
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: call.edge.web.started.elapsed().as_secs(),
        parts,
    }
}
