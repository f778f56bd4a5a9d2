//! How the master key is renewed.

use serde::{Deserialize, Serialize};

use super::key::Key;
use crate::keys::schedule::OLD_DAYS;

/// The master key, under which broker credentials are sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeysConfig {
    /// After how many days a new version is made by itself; 0: never.
    pub rotate_after_days: u32,
}

impl Default for KeysConfig {
    fn default() -> Self {
        Self { rotate_after_days: u32::try_from(OLD_DAYS).unwrap_or_default() }
    }
}

pub(super) const KEYS: &[Key] = &[Key {
    name: "keys.rotate_after_days",
    allowed: "a whole number of days from 1 to 3650, or 0 for never",
    holds: |config| config.keys.rotate_after_days <= 3_650,
}];
