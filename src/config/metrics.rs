//! Where measurements are offered.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::key::Key;

/// Measurements for Prometheus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Whether they are offered at all.
    pub enabled: bool,
    /// Where `/metrics` is served; port 0 takes any free port.
    pub listen: SocketAddr,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { enabled: true, listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)) }
    }
}

pub(super) const KEYS: &[Key] = &[
    Key { name: "metrics.enabled", allowed: "true or false", holds: |_| true },
    Key {
        name: "metrics.listen",
        allowed: "an address and port such as 127.0.0.1:9464, another one than server.listen",
        holds: |config| {
            let (ours, server) = (config.metrics.listen, config.server.listen);
            !config.metrics.enabled || ours.port() == 0 || ours != server
        },
    },
];
