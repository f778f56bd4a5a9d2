//! What Kraken allows an account by its tier, which it does not tell: the operator does.
//!
//! Of what is set, half is used. Half of the middle tier's questions are no more than all of the lowest one's, so that the
//! default asks too much of no account; half of the highest tier's are more.

use std::time::Duration;

use trade_actors::ports::broker::{IdScope, Promises};

use super::ABOUT;
use crate::brokers::bucket::Allowance;
use crate::brokers::venue::{Facts, Hours, Lane, Scope};

/// How far an account is verified, which decides how often it may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// The lowest.
    Starter,
    /// The usual one.
    Intermediate,
    /// The highest.
    Pro,
}

impl Tier {
    /// Returns the tier of a name in the configuration, which names no other.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "starter" => Self::Starter,
            "pro" => Self::Pro,
            _ => Self::Intermediate,
        }
    }

    /// Returns what does not change about Kraken for accounts of this tier.
    #[must_use]
    pub const fn facts(self) -> &'static Facts {
        match self {
            Self::Starter => &STARTER,
            Self::Intermediate => &INTERMEDIATE,
            Self::Pro => &PRO,
        }
    }

    /// Returns how long a question may wait for its turn: until there is room for three.
    #[must_use]
    pub const fn patience(self) -> Duration {
        let (_, falls_in) = self.calls();
        // Half of what the counter falls by is used.
        falls_in.saturating_mul(2 * 3)
    }

    /// Returns how high the count of questions may stand, and in how long it falls by one.
    const fn calls(self) -> (u32, Duration) {
        match self {
            Self::Starter => (15, Duration::from_secs(3)),
            Self::Intermediate => (20, Duration::from_secs(2)),
            Self::Pro => (20, Duration::from_secs(1)),
        }
    }

    /// Returns how high the count of orders may stand, and in how long it falls by one: by 1, 2.34 and 3.75 a second.
    const fn orders(self) -> (u32, Duration) {
        match self {
            Self::Starter => (60, Duration::from_secs(1)),
            Self::Intermediate => (125, Duration::from_millis(428)),
            Self::Pro => (180, Duration::from_millis(267)),
        }
    }

    /// Returns the lanes of questions, of orders, and of what anybody may ask.
    const fn lanes(self) -> [Lane; 3] {
        let ((calls, calls_fall), (orders, orders_fall)) = (self.calls(), self.orders());
        [
            Lane { allowance: Allowance::leaking(calls, calls_fall), scope: Scope::Account },
            Lane { allowance: Allowance::leaking(orders, orders_fall), scope: Scope::Account },
            Lane { allowance: Allowance::per_minute(60), scope: Scope::Address },
        ]
    }
}

static STARTER_LANES: [Lane; 3] = Tier::Starter.lanes();
static INTERMEDIATE_LANES: [Lane; 3] = Tier::Intermediate.lanes();
static PRO_LANES: [Lane; 3] = Tier::Pro.lanes();
static STARTER: Facts = facts(&STARTER_LANES);
static INTERMEDIATE: Facts = facts(&INTERMEDIATE_LANES);
static PRO: Facts = facts(&PRO_LANES);

const fn facts(lanes: &'static [Lane]) -> Facts {
    Facts {
        about: &ABOUT,
        lanes,
        hours: Hours::Always,
        promises: Promises { shows_orders_at_once: false, ids: IdScope::WhileOpen },
        is_serial: true,
        checks_time: true,
        is_open: true,
        keeps_fees: true,
        streamed_max: 200,
        silence: Duration::from_secs(5),
    }
}

#[cfg(test)]
mod tests {
    use trade_actors::domain::stages::Stamp;

    use super::*;
    use crate::brokers::bucket::{Bucket, Urgency};

    /// Asks as often as the lane lets through; returns how high the counter of a tier would stand at most, in
    /// thousandths of a question.
    fn fills(lane: usize, of: Tier, (most, falls_in): (u32, Duration)) -> (u64, u64) {
        let mut bucket = Bucket::new(of.lanes()[lane].allowance, Stamp(0));
        let (step, falls_us) = (100_000_u64, u64::try_from(falls_in.as_micros()).unwrap());
        let (mut level, mut highest) = (0_u64, 0);
        for round in 0..36_000_u64 {
            while bucket.take(1, Urgency::Pressing, Stamp(round * step)).is_ok() {
                level += 1_000;
            }
            highest = highest.max(level);
            level = level.saturating_sub(step * 1_000 / falls_us);
        }
        (highest, u64::from(most) * 1_000)
    }

    #[test]
    fn the_usual_tier_asks_too_much_of_no_account() {
        for tier in [Tier::Starter, Tier::Intermediate] {
            let (highest, most) = fills(0, tier, Tier::Starter.calls());
            assert!(highest <= most, "{tier:?}: {highest} of {most}");
        }
        let (highest, most) = fills(0, Tier::Pro, Tier::Starter.calls());
        assert!(highest > most, "the highest has to be told");
        for tier in [Tier::Starter, Tier::Intermediate, Tier::Pro] {
            let (highest, most) = fills(1, tier, tier.orders());
            assert!(highest * 2 <= most, "{tier:?}: {highest} of {most}");
        }
    }

    #[test]
    fn a_question_waits_until_there_is_room_for_three() {
        for tier in [Tier::Starter, Tier::Intermediate, Tier::Pro] {
            let mut bucket = Bucket::new(tier.lanes()[0].allowance, Stamp(0));
            while bucket.take(1, Urgency::Pressing, Stamp(0)).is_ok() {}
            let later = Stamp(u64::try_from(tier.patience().as_micros()).unwrap());
            let room = (0..9).filter(|_| bucket.take(1, Urgency::Pressing, later).is_ok()).count();
            assert_eq!(room, 3, "{tier:?}");
        }
    }
}
