//! The flight recorder: when a signal passed each stage, on one monotonic time line.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Microseconds on the process's monotonic time line, which starts at the wall clock's value at process start.
///
/// Differences within one process are exact; across a restart they are as good as the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(pub u64);

impl Stamp {
    /// Returns the wall clock's time, as good as it was when the process started.
    #[must_use]
    pub fn time(self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(i64::try_from(self.0).ok()?)
    }

    /// Returns the microseconds since `earlier`, at least zero.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// When each stage was passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stages {
    /// The last byte of the delivery was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Stamp>,
    /// Risk gave its verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Stamp>,
    /// Signal and verdict were durable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committed: Option<Stamp>,
    /// The order was handed to the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Stamp>,
    /// The broker answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Stamp>,
    /// The last fill was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filled: Option<Stamp>,
}

impl Stages {
    /// Names of the stages in order, for metrics that start at zero.
    pub const NAMES: [&'static str; 7] =
        ["received", "decided", "committed", "sent", "acknowledged", "filled", "pushed"];

    /// Returns whether none is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Fills the stages that are known only to `later`.
    pub fn merge(&mut self, later: &Self) {
        self.received = self.received.or(later.received);
        self.decided = self.decided.or(later.decided);
        self.committed = self.committed.or(later.committed);
        self.sent = self.sent.or(later.sent);
        self.acknowledged = self.acknowledged.or(later.acknowledged);
        self.filled = later.filled.or(self.filled);
    }

    /// Returns the passed stages with their names, in order.
    pub fn passed(&self) -> impl Iterator<Item = (&'static str, Stamp)> {
        [self.received, self.decided, self.committed, self.sent, self.acknowledged, self.filled]
            .into_iter()
            .zip(Self::NAMES)
            .filter_map(|(stamp, name)| stamp.map(|stamp| (name, stamp)))
    }
}
