//! The web edge: webhooks, the API, the dashboard and its sockets, on our own accept loop around warp.

mod amount;
mod assets;
mod body;
mod call;
mod cookies;
mod edge;
mod guard;
mod headers;
mod idempotency;
mod meters;
mod openapi;
mod peer;
mod problem;
mod pushed;
mod router;
mod routes;
mod server;
mod socket;
mod tasks;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tokio::net::TcpListener;
use tokio::sync::watch;
use trade_actors::domain::risk::Limits;
use trade_actors::engine::Engine;

pub use assets::ASSETS;
pub use openapi::document;
pub use server::serve_metrics;

use crate::auth::Auth;
use crate::brokers::consent::Consents;
use crate::brokers::probe::Prober;
use crate::config::web::WebConfig;
use crate::keys::MasterKey;
use crate::vault::Credentials;

/// Where the engine will be once it runs; until then its routes answer 503.
pub type EngineSlot = Arc<OnceLock<Engine>>;

/// What the web edge is made of.
#[derive(Clone, Debug)]
pub struct Web {
    /// The engine, once it runs.
    pub engine: EngineSlot,
    /// Who is who.
    pub auth: Arc<Auth>,
    /// What opens broker accounts, sealed.
    pub credentials: Credentials,
    /// Tries credentials out before they are kept.
    pub prober: Arc<dyn Prober>,
    /// The brokers' own pages, at which accounts are opened.
    pub consents: Arc<Consents>,
    /// The master key, for webhook addresses.
    pub keys: Arc<MasterKey>,
    /// Settings.
    pub config: Arc<WebConfig>,
    /// Risk limits of people who are added.
    pub new_user_limits: Limits,
    /// When the process started.
    pub started: Instant,
}

/// Serves until `stop` turns true, then finishes what is under way and closes the sockets.
pub async fn serve(web: Web, listener: TcpListener, stop: watch::Receiver<bool>) {
    let bound = listener.local_addr().unwrap_or(web.config.listen);
    let edge = Arc::new(edge::Edge::new(web, bound, router::patterns()));
    server::run(edge, listener, stop).await;
}
