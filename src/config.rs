//! Settings: works with none; defaults < file < environment < command line, and every problem is told at once.

mod admission;
mod brokers;
mod engine;
mod foreign;
mod key;
mod load;
mod log;
mod master_key;
mod metrics;
mod problem;
mod secret;
mod show;
mod store;
pub mod web;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use trade_actors::domain::risk::Limits;

pub use admission::AdmissionConfig;
pub use brokers::{AlpacaConfig, BrokersConfig, KrakenConfig, SchwabConfig, VenueConfig, stream_below};
pub use engine::EngineConfig;
pub use key::{Key, keys};
pub use load::{Environment, Flag, Loaded, Origin, Sources, load};
pub use log::{LogConfig, LogFormat};
pub use master_key::KeysConfig;
pub use metrics::MetricsConfig;
pub use problem::{Invalid, Problem};
pub use secret::Secret;
pub use show::{Shown, show};
pub use store::{StoreConfig, StoreKind};

use crate::brokers::paper::config::PaperConfig;
use web::WebConfig;

/// All settings, one field a concern.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The dashboard, the API and the webhooks.
    pub server: WebConfig,
    /// Measurements for Prometheus.
    pub metrics: MetricsConfig,
    /// The process log.
    pub log: LogConfig,
    /// Where data is kept.
    pub store: StoreConfig,
    /// The master key.
    pub keys: KeysConfig,
    /// How much may be under way.
    pub admission: AdmissionConfig,
    /// The actors.
    pub engine: EngineConfig,
    /// The paper broker and its market.
    pub paper: PaperConfig,
    /// The brokers outside.
    pub brokers: BrokersConfig,
    /// Risk limits of a new user.
    pub risk: Limits,
}
