//! How much may be under way before work is refused.

use serde::{Deserialize, Serialize};
use trade_actors::engine::Admission;

use super::key::Key;

/// How much may be under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdmissionConfig {
    /// Signals under way altogether; past it, HTTP 503.
    pub process: u32,
    /// Signals under way for one user; past it, HTTP 429.
    pub user: u32,
    /// Records the index may be behind the log; past it, HTTP 503.
    pub index_lag: u64,
}

impl Default for AdmissionConfig {
    fn default() -> Self {
        let Admission { process, user, index_lag } = Admission::default();
        let whole = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self { process: whole(process), user: whole(user), index_lag }
    }
}

impl AdmissionConfig {
    /// Returns the limits as the engine takes them.
    #[must_use]
    pub fn limits(&self) -> Admission {
        let size = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Admission { process: size(self.process), user: size(self.user), index_lag: self.index_lag }
    }
}

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "admission.process",
        allowed: "a whole number from 1 to 1000000",
        holds: |config| (1..=1_000_000).contains(&config.admission.process),
    },
    Key {
        name: "admission.user",
        allowed: "a whole number from 1 to 1000000",
        holds: |config| (1..=1_000_000).contains(&config.admission.user),
    },
    Key {
        name: "admission.index_lag",
        allowed: "a whole number from 1000 to 100000000",
        holds: |config| (1_000..=100_000_000).contains(&config.admission.index_lag),
    },
];
