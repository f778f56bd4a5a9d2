//! What the process says of itself on standard error. (The log of events is in [`super::store`].)

use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::Targets;

use super::key::Key;

/// The process log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Least level that is written, or levels by module: `info,trade_actors=debug`.
    pub level: String,
    /// For people or for machines.
    pub format: LogFormat,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

impl LogConfig {
    /// Returns which lines are written; `None` when the text names no levels.
    #[must_use]
    pub fn targets(&self) -> Option<Targets> {
        self.level.parse().ok()
    }
}

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "log.level",
        allowed: "error, warn, info, debug or trace, also by module: \"info,trade_actors=debug\"",
        holds: |config| levels_are_known(&config.log.level),
    },
    Key { name: "log.format", allowed: "\"text\" or \"json\"", holds: |_| true },
];

/// A bare word that is no level would be taken for a module's name, and everything logged.
fn levels_are_known(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    text.split(',').all(|part| {
        let level = part.split_once('=').map_or(part, |(_, level)| level);
        LEVELS.contains(&level.trim().to_ascii_lowercase().as_str())
    })
}
