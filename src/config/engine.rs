//! How the actors behave.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::key::Key;

/// The actors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// After how many seconds without work a user's actors are stopped; a message wakes them.
    pub passivate_after_s: u32,
    /// After how many seconds in which a broker account cannot be reached its owner is told, once.
    pub offline_after_s: u32,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { passivate_after_s: 300, offline_after_s: 60 }
    }
}

impl EngineConfig {
    /// Returns after how long without work a user's actors are stopped.
    #[must_use]
    pub fn passivate_after(&self) -> Duration {
        Duration::from_secs(u64::from(self.passivate_after_s))
    }

    /// Returns how long a broker account cannot be reached before its owner is told.
    #[must_use]
    pub fn offline_after(&self) -> Duration {
        Duration::from_secs(u64::from(self.offline_after_s))
    }
}

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "engine.passivate_after_s",
        allowed: "a whole number of seconds from 1 to 86400",
        holds: |config| (1..=86_400).contains(&config.engine.passivate_after_s),
    },
    Key {
        name: "engine.offline_after_s",
        allowed: "a whole number of seconds from 1 to 3600",
        holds: |config| (1..=3_600).contains(&config.engine.offline_after_s),
    },
];
