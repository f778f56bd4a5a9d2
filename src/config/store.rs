//! Where the log, its index and the vault are kept, and in how much memory.

use serde::{Deserialize, Serialize};

use super::key::Key;

/// Where data is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// What keeps it.
    pub kind: StoreKind,
    /// Memory for the index's cache, in bytes.
    pub cache_bytes: u64,
    /// Length of a file of the event log, in bytes.
    pub segment_bytes: u64,
}

/// What keeps the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// Files in the data directory of one instance.
    #[default]
    Embedded,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { kind: StoreKind::Embedded, cache_bytes: 64 << 20, segment_bytes: 64 << 20 }
    }
}

pub(super) const KEYS: &[Key] = &[
    Key { name: "store.kind", allowed: "\"embedded\"", holds: |_| true },
    Key {
        name: "store.cache_bytes",
        allowed: "a number of bytes from 1048576 (1 MiB) to 17179869184 (16 GiB)",
        holds: |config| (1 << 20..=16 << 30).contains(&config.store.cache_bytes),
    },
    Key {
        name: "store.segment_bytes",
        allowed: "a number of bytes from 65536 (64 KiB) to 1073741824 (1 GiB)",
        holds: |config| (64 << 10..=1 << 30).contains(&config.store.segment_bytes),
    },
];
