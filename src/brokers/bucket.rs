//! How often a broker may be asked (FR-016): half of what it publishes, and the last tokens for what cannot wait.

use std::time::Duration;

use trade_actors::domain::stages::Stamp;

/// How pressing a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Cancels, look-ups and exits: they may use the reserve.
    Pressing,
    /// Everything else.
    Normal,
}

/// How much a broker lets be asked in a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// How many requests, or how much weight of them.
    pub limit: u32,
    /// In how long.
    pub window: Duration,
}

impl Allowance {
    /// Returns an allowance by the minute.
    #[must_use]
    pub const fn per_minute(limit: u32) -> Self {
        Self { limit, window: Duration::from_secs(60) }
    }

    /// Returns an allowance by the second.
    #[must_use]
    pub const fn per_second(limit: u32) -> Self {
        Self { limit, window: Duration::from_secs(1) }
    }

    /// Returns what a broker allows that keeps a counter which may stand at most so high, and falls by one in so long.
    ///
    /// Of such a counter half may be used at once, and what comes after that half as fast as it falls. This is the
    /// window for which a [`Bucket`] is just that.
    #[must_use]
    pub const fn leaking(most: u32, falls_in: Duration) -> Self {
        let at_once = most / 2;
        Self { limit: 10 * at_once + 2, window: falls_in.saturating_mul(8 * at_once) }
    }
}

/// A token bucket for one account or address. Pure: time is told to it.
///
/// Capacity and a window's refill together stay one below half of the broker's allowance, so that no rolling window
/// holds more, wherever it begins.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// What one token is made of: a token a window is one of these a microsecond.
    token: u64,
    capacity: u64,
    reserve: u64,
    refill: u64,
    level: u64,
    at: Stamp,
    closed_until: Stamp,
}

impl Bucket {
    /// Returns a full bucket for what a broker allows.
    #[must_use]
    pub fn new(allowance: Allowance, now: Stamp) -> Self {
        let token = u64::try_from(allowance.window.as_micros()).unwrap_or(u64::MAX).max(1);
        let allowed = u64::from(allowance.limit / 2);
        let usable = if allowed > 2 { allowed - 1 } else { 2 };
        let capacity = usable.div_ceil(5);
        Self {
            token,
            capacity: capacity.saturating_mul(token),
            reserve: (capacity / 4).saturating_mul(token),
            refill: usable - capacity,
            level: capacity.saturating_mul(token),
            at: now,
            closed_until: Stamp(0),
        }
    }

    /// Takes the tokens of one request. One that costs more than there can ever be takes all there can be.
    ///
    /// # Errors
    /// When there are too few: how long to wait before asking again.
    pub fn take(&mut self, cost: u32, urgency: Urgency, now: Stamp) -> Result<(), Duration> {
        let passed = now.0.saturating_sub(self.at.0);
        self.at = Stamp(self.at.0.max(now.0));
        self.level = self.level.saturating_add(passed.saturating_mul(self.refill)).min(self.capacity);
        if now.0 < self.closed_until.0 {
            return Err(Duration::from_micros(self.closed_until.0 - now.0));
        }
        let cost = u64::from(cost).saturating_mul(self.token).min(self.capacity - self.reserve);
        let needed = match urgency {
            Urgency::Pressing => cost,
            Urgency::Normal => cost + self.reserve,
        };
        if self.level < needed {
            return Err(Duration::from_micros((needed - self.level).div_ceil(self.refill)));
        }
        self.level -= cost;
        Ok(())
    }

    /// Returns how far apart requests of this cost are, once all that could be asked at once is used up.
    #[must_use]
    pub fn pace(&self, cost: u32) -> Duration {
        let cost = u64::from(cost).saturating_mul(self.token).min(self.capacity - self.reserve);
        Duration::from_micros(cost.div_ceil(self.refill))
    }

    /// Closes the bucket: the broker said that it had too many requests.
    pub fn close(&mut self, wait: Duration, now: Stamp) {
        let until = now.0.saturating_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX));
        self.closed_until = Stamp(self.closed_until.0.max(until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: u64 = 60_000_000;

    #[test]
    fn the_usual_allowance_is_twenty_at_once_and_seventy_nine_a_minute() {
        let bucket = Bucket::new(Allowance::per_minute(200), Stamp(0));
        assert_eq!(
            (bucket.capacity / bucket.token, bucket.refill, bucket.reserve / bucket.token),
            (20, 79, 5)
        );
    }

    #[test]
    fn the_last_tokens_are_for_what_cannot_wait() {
        let mut bucket = Bucket::new(Allowance::per_minute(200), Stamp(0));
        let normal = (0..30).filter(|_| bucket.take(1, Urgency::Normal, Stamp(1)).is_ok()).count();
        assert_eq!(normal, 15);
        let pressing = (0..30).filter(|_| bucket.take(1, Urgency::Pressing, Stamp(1)).is_ok()).count();
        assert_eq!(pressing, 5);
        let wait = bucket.take(1, Urgency::Pressing, Stamp(1)).unwrap_err();
        let later = Stamp(1 + u64::try_from(wait.as_micros()).unwrap());
        assert!(bucket.take(1, Urgency::Pressing, Stamp(later.0 - 1)).is_err());
        assert!(bucket.take(1, Urgency::Pressing, later).is_ok());
    }

    #[test]
    fn a_closed_bucket_gives_nothing_before_its_time() {
        let mut bucket = Bucket::new(Allowance::per_minute(200), Stamp(0));
        bucket.close(Duration::from_secs(30), Stamp(0));
        assert_eq!(bucket.take(1, Urgency::Pressing, Stamp(MINUTE / 4)), Err(Duration::from_secs(15)));
        assert_eq!(bucket.take(1, Urgency::Pressing, Stamp(MINUTE / 2)), Ok(()));
    }

    proptest! {
        /// However it is asked, at whatever weight, and whatever the allowance: no rolling window holds half of it.
        #[test]
        fn no_rolling_window_holds_half_of_the_allowance(
            limit in 6_u32..1_000,
            seconds in 1_u64..120,
            asked in proptest::collection::vec((0_u64..20, 1_u32..30, any::<bool>()), 1..600),
        ) {
            let window = Duration::from_secs(seconds);
            let mut bucket = Bucket::new(Allowance { limit, window }, Stamp(0));
            // As much as a request may cost at most.
            let dearest = u32::try_from((bucket.capacity - bucket.reserve) / bucket.token).unwrap();
            let (mut now, mut granted) = (0, Vec::new());
            for (pause, cost, pressing) in asked {
                now += pause * seconds * 1_000_000 / 600;
                let urgency = if pressing { Urgency::Pressing } else { Urgency::Normal };
                if bucket.take(cost, urgency, Stamp(now)).is_ok() {
                    granted.push((now, cost.min(dearest)));
                }
            }
            for (from, _) in &granted {
                let within = |(at, _): &&(u64, u32)| (*from..*from + seconds * 1_000_000).contains(at);
                let weight: u32 = granted.iter().filter(within).map(|(_, cost)| cost).sum();
                prop_assert!(weight < limit / 2, "{weight} from {from}");
            }
        }

        /// However it is asked: a counter that leaks is never filled by more than half, and by half at once.
        #[test]
        fn a_leaking_counter_is_filled_by_half(
            most in 8_u32..200,
            seconds in 1_u64..10,
            asked in proptest::collection::vec((0_u64..5_000_000, 1_u32..9), 1..300),
        ) {
            let mut bucket = Bucket::new(Allowance::leaking(most, Duration::from_secs(seconds)), Stamp(0));
            prop_assert_eq!(bucket.capacity / bucket.token, u64::from(most / 2));
            let falls_in = seconds * 1_000_000;
            // In millionths of what one request adds, times the seconds in which that much is gone.
            let (mut now, mut level) = (0, 0_u64);
            for (pause, cost) in asked {
                now += pause;
                level = level.saturating_sub(pause);
                let cost = u64::from(cost).min((bucket.capacity - bucket.reserve) / bucket.token);
                if bucket.take(u32::try_from(cost).unwrap(), Urgency::Pressing, Stamp(now)).is_ok() {
                    level += cost * falls_in;
                }
                prop_assert!(level <= u64::from(most / 2) * falls_in, "{level} at {now}");
            }
        }

        /// Waiting for as long as it was told always helps.
        #[test]
        fn a_wait_is_long_enough(per_minute in 6_u32..1_000, steps in 1_usize..200) {
            let mut bucket = Bucket::new(Allowance::per_minute(per_minute), Stamp(0));
            let mut now = 0;
            for _ in 0..steps {
                if let Err(wait) = bucket.take(1, Urgency::Normal, Stamp(now)) {
                    now += u64::try_from(wait.as_micros()).unwrap();
                    prop_assert!(bucket.take(1, Urgency::Normal, Stamp(now)).is_ok());
                }
            }
        }
    }
}
