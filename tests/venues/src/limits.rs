//! How often an account may ask, and how often it did.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

/// The limit and the count of every account.
#[derive(Clone, Debug)]
pub struct Limits {
    per_minute: Option<u32>,
    callers: BTreeMap<String, Caller>,
}

#[derive(Clone, Debug, Default)]
struct Caller {
    last_minute: VecDeque<DateTime<Utc>>,
    window: DateTime<Utc>,
    in_window: u32,
    most: usize,
    total: u64,
}

/// How one account stands to its limit after one more request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// How many requests a minute.
    pub limit: u32,
    /// How many are left of this minute's.
    pub remaining: u32,
    /// When the next minute begins, in seconds since 1970.
    pub reset: i64,
    /// Whether this request was one too many.
    pub exceeded: bool,
}

/// How often an account asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// The most requests in any 60 seconds.
    pub most_per_minute: usize,
    /// All requests.
    pub total: u64,
}

impl Limits {
    /// Returns a limit of so many requests a minute for each account, or none.
    #[must_use]
    pub fn new(per_minute: Option<u32>) -> Self {
        Self { per_minute, callers: BTreeMap::new() }
    }

    /// Changes the limit.
    pub fn set(&mut self, per_minute: Option<u32>) {
        self.per_minute = per_minute;
    }

    /// Counts a request. Returns how the account stands to its limit, if there is one.
    pub fn count(&mut self, account: &str, now: DateTime<Utc>) -> Option<Allowance> {
        let caller = self.callers.entry(account.to_owned()).or_default();
        caller.total += 1;
        caller.last_minute.push_back(now);
        while caller.last_minute.front().is_some_and(|at| now - *at >= TimeDelta::minutes(1)) {
            caller.last_minute.pop_front();
        }
        caller.most = caller.most.max(caller.last_minute.len());
        let limit = self.per_minute?;
        if now - caller.window >= TimeDelta::minutes(1) {
            caller.window = now;
            caller.in_window = 0;
        }
        caller.in_window += 1;
        Some(Allowance {
            limit,
            remaining: limit.saturating_sub(caller.in_window),
            reset: (caller.window + TimeDelta::minutes(1)).timestamp(),
            exceeded: caller.in_window > limit,
        })
    }

    /// Returns how often an account asked so far.
    #[must_use]
    pub fn rate(&self, account: &str) -> Rate {
        self.callers
            .get(account)
            .map_or_else(Rate::default, |caller| Rate { most_per_minute: caller.most, total: caller.total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_of_any_minute_is_remembered() {
        let mut limits = Limits::new(Some(2));
        let at = |second: i64| DateTime::UNIX_EPOCH + TimeDelta::days(1) + TimeDelta::seconds(second);
        assert!(!limits.count("a", at(0)).unwrap().exceeded);
        assert_eq!(limits.count("a", at(30)).unwrap().remaining, 0);
        assert!(limits.count("a", at(59)).unwrap().exceeded);
        assert!(!limits.count("b", at(59)).unwrap().exceeded);
        assert!(!limits.count("a", at(60)).unwrap().exceeded);
        assert!(!limits.count("a", at(200)).unwrap().exceeded);
        assert_eq!(limits.rate("a"), Rate { most_per_minute: 3, total: 5 });
    }
}
