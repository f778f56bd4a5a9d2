//! How often a broker may be asked (FR-016): half of what it publishes, and the last tokens for what cannot wait.

use std::time::Duration;

use trade_actors::domain::stages::Stamp;

/// What one token is made of: a token a minute is one of these a microsecond.
const TOKEN: u64 = 60_000_000;

/// How pressing a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Cancels, look-ups and exits: they may use the reserve.
    Pressing,
    /// Everything else.
    Normal,
}

/// A token bucket for one account. Pure: time is told to it.
///
/// Capacity and a minute's refill together stay one below half of the broker's allowance, so that no rolling minute
/// holds more, wherever it begins.
#[derive(Clone, Debug)]
pub struct Bucket {
    capacity: u64,
    reserve: u64,
    refill: u64,
    level: u64,
    at: Stamp,
    closed_until: Stamp,
}

impl Bucket {
    /// Returns a full bucket for a broker that allows `per_minute` requests.
    #[must_use]
    pub const fn new(per_minute: u32, now: Stamp) -> Self {
        let allowed = (per_minute / 2) as u64;
        let usable = if allowed > 2 { allowed - 1 } else { 2 };
        let capacity = usable.div_ceil(5);
        Self {
            capacity: capacity * TOKEN,
            reserve: capacity / 4 * TOKEN,
            refill: usable - capacity,
            level: capacity * TOKEN,
            at: now,
            closed_until: Stamp(0),
        }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// When there is none: how long to wait before asking again.
    pub fn take(&mut self, urgency: Urgency, now: Stamp) -> Result<(), Duration> {
        let passed = now.0.saturating_sub(self.at.0);
        self.at = Stamp(self.at.0.max(now.0));
        self.level = self.level.saturating_add(passed.saturating_mul(self.refill)).min(self.capacity);
        if now.0 < self.closed_until.0 {
            return Err(Duration::from_micros(self.closed_until.0 - now.0));
        }
        let needed = match urgency {
            Urgency::Pressing => TOKEN,
            Urgency::Normal => TOKEN + self.reserve,
        };
        if self.level < needed {
            return Err(Duration::from_micros((needed - self.level).div_ceil(self.refill)));
        }
        self.level -= TOKEN;
        Ok(())
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
        let bucket = Bucket::new(200, Stamp(0));
        assert_eq!((bucket.capacity / TOKEN, bucket.refill, bucket.reserve / TOKEN), (20, 79, 5));
    }

    #[test]
    fn the_last_tokens_are_for_what_cannot_wait() {
        let mut bucket = Bucket::new(200, Stamp(0));
        let normal = (0..30).filter(|_| bucket.take(Urgency::Normal, Stamp(1)).is_ok()).count();
        assert_eq!(normal, 15);
        let pressing = (0..30).filter(|_| bucket.take(Urgency::Pressing, Stamp(1)).is_ok()).count();
        assert_eq!(pressing, 5);
        let wait = bucket.take(Urgency::Pressing, Stamp(1)).unwrap_err();
        let later = Stamp(1 + u64::try_from(wait.as_micros()).unwrap());
        assert!(bucket.take(Urgency::Pressing, Stamp(later.0 - 1)).is_err());
        assert!(bucket.take(Urgency::Pressing, later).is_ok());
    }

    #[test]
    fn a_closed_bucket_gives_nothing_before_its_time() {
        let mut bucket = Bucket::new(200, Stamp(0));
        bucket.close(Duration::from_secs(30), Stamp(0));
        assert_eq!(bucket.take(Urgency::Pressing, Stamp(MINUTE / 4)), Err(Duration::from_secs(15)));
        assert_eq!(bucket.take(Urgency::Pressing, Stamp(MINUTE / 2)), Ok(()));
    }

    proptest! {
        /// However it is asked, and whatever the allowance: no rolling minute holds half of it.
        #[test]
        fn no_rolling_minute_holds_half_of_the_allowance(
            per_minute in 6_u32..1_000,
            pauses in proptest::collection::vec((0_u64..2_000_000, any::<bool>()), 1..600),
        ) {
            let mut bucket = Bucket::new(per_minute, Stamp(0));
            let (mut now, mut granted) = (0, Vec::new());
            for (pause, pressing) in pauses {
                now += pause;
                let urgency = if pressing { Urgency::Pressing } else { Urgency::Normal };
                if bucket.take(urgency, Stamp(now)).is_ok() {
                    granted.push(now);
                }
            }
            for from in &granted {
                let within = granted.iter().filter(|at| (*from..*from + MINUTE).contains(at)).count();
                prop_assert!(within < usize::try_from(per_minute / 2).unwrap(), "{within} from {from}");
            }
        }

        /// Waiting for as long as it was told always helps.
        #[test]
        fn a_wait_is_long_enough(per_minute in 6_u32..1_000, steps in 1_usize..200) {
            let mut bucket = Bucket::new(per_minute, Stamp(0));
            let mut now = 0;
            for _ in 0..steps {
                if let Err(wait) = bucket.take(Urgency::Normal, Stamp(now)) {
                    now += u64::try_from(wait.as_micros()).unwrap();
                    prop_assert!(bucket.take(Urgency::Normal, Stamp(now)).is_ok());
                }
            }
        }
    }
}
