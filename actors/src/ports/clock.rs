//! Time, as an input.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::stages::Stamp;
use crate::fault;

/// Tells the time.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Returns the wall clock's time.
    fn now(&self) -> DateTime<Utc>;

    /// Returns the monotonic time line's time.
    fn stamp(&self) -> Stamp;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
    anchor_us: u64,
    /// Nothing, but in tests.
    ahead: TimeDelta,
}

impl SystemClock {
    /// Anchors the monotonic time line at the wall clock's present value.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock port")]
    pub fn new() -> Self {
        let ahead = fault::ahead();
        let anchor_us = u64::try_from((Utc::now() + ahead).timestamp_micros()).unwrap_or_default();
        Self { started: std::time::Instant::now(), anchor_us, ahead }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock port")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now() + self.ahead
    }

    fn stamp(&self) -> Stamp {
        let passed = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        Stamp(self.anchor_us.saturating_add(passed))
    }
}
