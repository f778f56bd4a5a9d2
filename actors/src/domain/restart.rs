//! When a failed actor is started again, and when its user is suspended instead.

use std::time::Duration;

use super::stages::Stamp;

/// Failures within [`WINDOW`] after which a user is suspended.
const LIMIT: usize = 3;
/// The time in which they count.
const WINDOW: Duration = Duration::from_secs(60);
/// Longest pause before anything is tried again.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Start again now.
    Restart,
    /// Stop trying: an operator has to look.
    Suspend,
}

/// The failures of one user's actors.
#[derive(Clone, Debug, Default)]
pub struct Failures(Vec<Stamp>);

impl Failures {
    /// Counts a failure.
    pub fn count(&mut self, now: Stamp) -> Verdict {
        self.0.retain(|at| u128::from(now.since(*at)) < WINDOW.as_micros());
        self.0.push(now);
        if self.0.len() >= LIMIT { Verdict::Suspend } else { Verdict::Restart }
    }

    /// Forgets all failures.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// Returns the pause before attempt `attempt` (from 0): 0.1, 0.2, 0.4 … 30 s.
#[must_use]
pub fn backoff(attempt: u32) -> Duration {
    backoff_from(Duration::from_millis(100), attempt)
}

/// Returns the pause before attempt `attempt` (from 0): `first`, then twice as long each time, up to 30 s.
///
/// Doubled, so that what is back in a moment is found in a moment, and what is not is not besieged.
#[must_use]
pub fn backoff_from(first: Duration, attempt: u32) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(attempt)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn the_third_failure_within_a_minute_suspends() {
        let mut failures = Failures::default();
        assert_eq!(failures.count(Stamp(0)), Verdict::Restart);
        assert_eq!(failures.count(Stamp(30 * SECOND)), Verdict::Restart);
        assert_eq!(failures.count(Stamp(59 * SECOND)), Verdict::Suspend);
    }

    #[test]
    fn failures_far_apart_never_suspend() {
        let mut failures = Failures::default();
        for minute in 0..100 {
            assert_eq!(failures.count(Stamp(minute * 31 * SECOND)), Verdict::Restart);
        }
    }

    #[test]
    fn the_pause_grows_to_half_a_minute() {
        assert_eq!(backoff(0), Duration::from_millis(100));
        assert_eq!(backoff(3), Duration::from_millis(800));
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
        let seconds: Vec<_> = (0..7).map(|nth| backoff_from(Duration::from_secs(1), nth).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
    }
}
