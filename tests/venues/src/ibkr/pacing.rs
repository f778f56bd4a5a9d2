//! How often a gateway may be asked, and how long it is silent to who asks more often.
//!
//! Too many requests altogether put all of the gateway's paths into the box; too many for one path put that path there.
//! Which of both a path's own limit does is unconfirmed.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// How often is too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pacing {
    /// Whether anybody counts.
    pub enabled: bool,
    /// Requests a second, of all kinds together.
    pub per_second: usize,
    /// How many milliseconds must be between two requests to a slow path: orders, trades, accounts, profit and loss.
    pub slow_ms: i64,
    /// How many milliseconds must be between two looks at the login.
    pub validate_ms: i64,
    /// For how many milliseconds who asked too often is refused.
    pub penalty_ms: i64,
}

impl Default for Pacing {
    fn default() -> Self {
        Self { enabled: true, per_second: 10, slow_ms: 5000, validate_ms: 60_000, penalty_ms: 600_000 }
    }
}

/// What one gateway was asked lately.
#[derive(Clone, Debug, Default)]
pub struct Pacer {
    all: VecDeque<DateTime<Utc>>,
    paths: BTreeMap<&'static str, VecDeque<DateTime<Utc>>>,
    boxed: BTreeMap<&'static str, DateTime<Utc>>,
}

/// What stands for all paths.
const ALL: &str = "*";

impl Pacer {
    /// Counts a request. Returns whether it may pass.
    pub fn admit(&mut self, pacing: &Pacing, now: DateTime<Utc>, segments: &[&str]) -> bool {
        if !pacing.enabled {
            return true;
        }
        let own = limit_of(pacing, segments);
        let penalty = TimeDelta::milliseconds(pacing.penalty_ms);
        // Shortened while it lasts, a penalty is as long as it is now.
        self.boxed.retain(|_, since| now - *since < penalty);
        if self.boxed.contains_key(ALL) || own.is_some_and(|(path, ..)| self.boxed.contains_key(path)) {
            return false;
        }
        if !count(&mut self.all, now, pacing.per_second, 1000) {
            self.boxed.insert(ALL, now);
            return false;
        }
        let Some((path, most, within_ms)) = own else { return true };
        let fits = count(self.paths.entry(path).or_default(), now, most, within_ms);
        if !fits {
            self.boxed.insert(path, now);
        }
        fits
    }

    /// Forgets all that was counted, and lets everybody out of the box.
    pub fn forgive(&mut self) {
        *self = Self::default();
    }
}

fn count(seen: &mut VecDeque<DateTime<Utc>>, now: DateTime<Utc>, most: usize, within_ms: i64) -> bool {
    let within = TimeDelta::milliseconds(within_ms);
    seen.retain(|at| now - *at < within);
    seen.push_back(now);
    seen.len() <= most
}

/// Returns a path's own limit, if it has one: its name, how many, within how many milliseconds.
fn limit_of(pacing: &Pacing, segments: &[&str]) -> Option<(&'static str, usize, i64)> {
    match segments {
        ["iserver", "account", "orders"] => Some(("orders", 1, pacing.slow_ms)),
        ["iserver", "account", "trades"] => Some(("trades", 1, pacing.slow_ms)),
        ["iserver", "account", "pnl", "partitioned"] => Some(("pnl", 1, pacing.slow_ms)),
        ["portfolio", "accounts"] => Some(("accounts", 1, pacing.slow_ms)),
        ["iserver", "marketdata", "snapshot"] => Some(("snapshot", 10, 1000)),
        ["tickle"] => Some(("tickle", 1, 1000)),
        ["sso", "validate"] => Some(("validate", 1, pacing.validate_ms)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(1) + TimeDelta::milliseconds(ms)
    }

    #[test]
    fn the_eleventh_request_of_a_second_closes_the_box() {
        let pacing = Pacing { penalty_ms: 3000, ..Pacing::default() };
        let mut pacer = Pacer::default();
        for n in 0..10 {
            assert!(pacer.admit(&pacing, at(n), &["iserver", "accounts"]));
        }
        assert!(!pacer.admit(&pacing, at(10), &["iserver", "accounts"]));
        assert!(
            !pacer.admit(&pacing, at(2000), &["tickle"]),
            "not in the box any longer than said, but until then"
        );
        assert!(pacer.admit(&pacing, at(3010), &["tickle"]));
    }

    #[test]
    fn a_slow_path_has_its_own_box() {
        let pacing = Pacing { penalty_ms: 60_000, ..Pacing::default() };
        let mut pacer = Pacer::default();
        let orders = ["iserver", "account", "orders"];
        assert!(pacer.admit(&pacing, at(0), &orders));
        assert!(pacer.admit(&pacing, at(5000), &orders));
        assert!(!pacer.admit(&pacing, at(9999), &orders));
        assert!(!pacer.admit(&pacing, at(20_000), &orders), "in the box");
        assert!(pacer.admit(&pacing, at(20_001), &["iserver", "account", "trades"]));
        let shorter = Pacing { penalty_ms: 10, ..pacing };
        assert!(pacer.admit(&shorter, at(20_002), &orders));
    }
}
