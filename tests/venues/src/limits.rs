//! How often who may ask, and how often they did.
//!
//! A request is counted in pools: at one venue every account has so many requests a minute, at another every address
//! so much weight a minute and every account so many orders in ten seconds. A pool without a bound only counts.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// The pool of requests as such: the one that [`Options::per_minute`](crate::world::Options::per_minute) bounds.
pub const REQUESTS: &str = "requests";

/// Where one request is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Which pool.
    pub pool: String,
    /// Whose share of it: an account's name, an address.
    pub who: String,
    /// How much of it.
    pub weight: u32,
}

impl Meter {
    /// Returns one of somebody's requests.
    #[must_use]
    pub fn request(who: impl ToString) -> Self {
        Self::weighing(REQUESTS, who, 1)
    }

    /// Returns so much of somebody's share of a pool.
    #[must_use]
    pub fn weighing(pool: &str, who: impl ToString, weight: u32) -> Self {
        Self { pool: pool.to_owned(), who: who.to_string(), weight }
    }
}

/// How much is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "count", deny_unknown_fields)]
pub enum Bound {
    /// More than this in one window, which begins with the first request after the last one.
    Window {
        /// How long it is.
        seconds: u32,
        /// How much fits into it.
        most: u32,
    },
    /// More than this on a counter that falls all the time. What is refused does not raise it.
    Leak {
        /// How high it may stand.
        most: Decimal,
        /// How far it falls in a second.
        per_second: Decimal,
    },
}

/// The bounds of every pool, and every counter.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pools: BTreeMap<String, Vec<Bound>>,
    counters: BTreeMap<(String, String), Vec<Counter>>,
    callers: BTreeMap<String, Caller>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    since: DateTime<Utc>,
    level: Decimal,
}

#[derive(Clone, Debug, Default)]
struct Caller {
    last_minute: VecDeque<DateTime<Utc>>,
    most: usize,
    total: u64,
    refused: u64,
}

/// How somebody stands to one bound after one more request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Of which pool.
    pub pool: String,
    /// Whose share of it.
    pub who: String,
    /// When it was counted.
    pub at: DateTime<Utc>,
    /// Which bound.
    pub bound: Bound,
    /// How much is used, this request included.
    pub used: Decimal,
    /// How much may be.
    pub limit: Decimal,
    /// When the window ends, or the counter is back at nothing.
    pub reset: DateTime<Utc>,
    /// In how many seconds there is room again; at least one.
    pub retry_after_s: i64,
    /// Whether this request was one too many.
    pub exceeded: bool,
}

impl Allowance {
    /// Returns how much is left.
    #[must_use]
    pub fn remaining(&self) -> Decimal {
        (self.limit - self.used).max(Decimal::ZERO)
    }
}

/// How often somebody asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// The most requests in any 60 seconds.
    pub most_per_minute: usize,
    /// All requests.
    pub total: u64,
    /// Those of them that were one too many.
    pub refused: u64,
}

impl Limits {
    /// Changes how many requests a minute there may be.
    pub fn set_per_minute(&mut self, per_minute: Option<u32>) {
        self.set(REQUESTS, per_minute.map(|most| Bound::Window { seconds: 60, most }).into_iter().collect());
    }

    /// Changes the bounds of a pool; what was counted in it is forgotten.
    pub fn set(&mut self, pool: &str, bounds: Vec<Bound>) {
        self.counters.retain(|(counted, _), _| counted != pool);
        self.pools.insert(pool.to_owned(), bounds);
    }

    /// Returns the bounds of every pool.
    #[must_use]
    pub fn pools(&self) -> &BTreeMap<String, Vec<Bound>> {
        &self.pools
    }

    /// Counts a request. Returns how whose it is stands to each bound.
    pub fn count(&mut self, meters: &[Meter], now: DateTime<Utc>) -> Vec<Allowance> {
        let mut counted: Vec<&str> = Vec::new();
        for meter in meters {
            if !counted.contains(&meter.who.as_str()) {
                counted.push(&meter.who);
                self.callers.entry(meter.who.clone()).or_default().count(now);
            }
        }
        let Self { pools, counters, .. } = self;
        let mut stands = Vec::new();
        for meter in meters {
            let Some(bounds) = pools.get(&meter.pool) else { continue };
            let own = counters.entry((meter.pool.clone(), meter.who.clone())).or_default();
            own.resize_with(bounds.len(), || Counter { since: now, level: Decimal::ZERO });
            let both = bounds.iter().zip(own);
            stands.extend(both.map(|(bound, counter)| counter.count(meter, *bound, now)));
        }
        if stands.iter().any(|stand: &Allowance| stand.exceeded) {
            for who in counted {
                self.callers.entry(who.to_owned()).or_default().refused += 1;
            }
        }
        stands
    }

    /// Returns how often somebody asked so far.
    #[must_use]
    pub fn rate(&self, who: &str) -> Rate {
        let rate = |caller: &Caller| Rate {
            most_per_minute: caller.most,
            total: caller.total,
            refused: caller.refused,
        };
        self.callers.get(who).map_or_else(Rate::default, rate)
    }
}

impl Caller {
    fn count(&mut self, now: DateTime<Utc>) {
        self.total += 1;
        self.last_minute.push_back(now);
        while self.last_minute.front().is_some_and(|at| now - *at >= TimeDelta::minutes(1)) {
            self.last_minute.pop_front();
        }
        self.most = self.most.max(self.last_minute.len());
    }
}

impl Counter {
    fn count(&mut self, meter: &Meter, bound: Bound, now: DateTime<Utc>) -> Allowance {
        let weight = meter.weight;
        let (used, limit, room_in, empty_in) = match bound {
            Bound::Window { seconds, most } => {
                let length = TimeDelta::seconds(seconds.into());
                if now - self.since >= length {
                    *self = Self { since: now, level: Decimal::ZERO };
                }
                self.level += Decimal::from(weight);
                let left = self.since + length - now;
                (self.level, Decimal::from(most), left, left)
            }
            Bound::Leak { most, per_second } => {
                // A clock that is set back fills nothing.
                let passed = (now - self.since).num_milliseconds().max(0);
                let gone = Decimal::from(passed) / Decimal::from(1000);
                let level = (self.level - gone * per_second).max(Decimal::ZERO);
                let used = level + Decimal::from(weight);
                *self = Self { since: now, level: if used > most { level } else { used } };
                let falls = |by: Decimal| {
                    let seconds = by.max(Decimal::ZERO).checked_div(per_second).unwrap_or(Decimal::MAX);
                    let ms = (seconds.min(Decimal::from(86_400)) * Decimal::from(1000)).ceil();
                    TimeDelta::milliseconds(i64::try_from(ms).unwrap_or(i64::MAX / 1000))
                };
                (used, most, falls(used - most), falls(self.level))
            }
        };
        let whole = room_in.num_seconds() + i64::from(room_in.subsec_nanos() > 0);
        Allowance {
            pool: meter.pool.clone(),
            who: meter.who.clone(),
            at: now,
            bound,
            used,
            limit,
            reset: now + empty_in,
            retry_after_s: whole.max(1),
            exceeded: used > limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(1) + TimeDelta::milliseconds(ms)
    }

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn the_most_of_any_minute_is_remembered() {
        let mut limits = Limits::default();
        limits.set_per_minute(Some(2));
        let mut count = |who: &str, second: i64| {
            let stands = limits.count(&[Meter::request(who)], at(second * 1000));
            (stands[0].exceeded, stands[0].remaining())
        };
        assert_eq!(count("a", 0), (false, d("1")));
        assert_eq!(count("a", 30), (false, d("0")));
        assert_eq!(count("a", 59), (true, d("0")));
        assert_eq!(count("b", 59), (false, d("1")));
        assert_eq!(count("a", 60), (false, d("1")));
        assert_eq!(count("a", 200), (false, d("1")));
        assert_eq!(limits.rate("a"), Rate { most_per_minute: 3, total: 5, refused: 1 });
    }

    #[test]
    fn one_request_counts_in_every_pool_by_its_weight() {
        let mut limits = Limits::default();
        limits.set("weight", vec![Bound::Window { seconds: 60, most: 50 }]);
        let orders = [(10, 2), (86_400, 3)].map(|(seconds, most)| Bound::Window { seconds, most });
        limits.set("orders", orders.to_vec());
        let mut order = |ms: i64| {
            let meters = [Meter::weighing("weight", "127.0.0.1", 20), Meter::weighing("orders", "a", 1)];
            let stands = limits.count(&meters, at(ms));
            let over: Vec<_> = stands.iter().filter(|stand| stand.exceeded).collect();
            over.iter().map(|stand| (stand.pool.clone(), stand.retry_after_s)).collect::<Vec<_>>()
        };
        let over = |pool: &str, seconds: i64| (pool.to_owned(), seconds);
        assert_eq!(order(0), []);
        assert_eq!(order(500), []);
        assert_eq!(order(1500), [over("weight", 59), over("orders", 9)]);
        assert_eq!(order(70_000), [over("orders", 86_330)], "the day is full");
        assert_eq!(limits.rate("a").total, 4);
        assert!(limits.count(&[Meter::weighing("free", "a", 9)], at(0)).is_empty());
        assert_eq!(limits.rate("a").total, 5, "what has no bound is counted all the same");
    }

    #[test]
    fn a_leaking_counter_falls_all_the_time() {
        let mut limits = Limits::default();
        limits.set(REQUESTS, vec![Bound::Leak { most: d("3"), per_second: d("0.5") }]);
        let mut ask = |ms: i64, weight: u32| {
            let stand = limits.count(&[Meter::weighing(REQUESTS, "k", weight)], at(ms)).remove(0);
            (stand.used, stand.exceeded, stand.retry_after_s)
        };
        assert_eq!(ask(0, 2), (d("2"), false, 1));
        assert_eq!(ask(0, 2), (d("4"), true, 2));
        assert_eq!(ask(1000, 1), (d("2.5"), false, 1), "what was refused did not raise it");
        assert_eq!(ask(60_000, 1), (d("1"), false, 1), "it does not fall below nothing");
        assert_eq!(ask(0, 1), (d("2"), false, 1), "a clock that is set back does not fill it");
    }
}
