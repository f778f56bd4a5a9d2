//! Time for venues whose counters leak: faster at both ends.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use trade_actors::domain::stages::Stamp;
use trade_actors::ports::clock::{Clock, SystemClock};
use venues::limits::Bound;
use venues::world::World;

/// How many times faster counters leak here, at both ends. A venue that takes a question in three seconds would be asked
/// for minutes otherwise.
const HURRY: u32 = 10_000;

/// A clock by which what leaks does so in a hurry.
#[derive(Debug)]
pub(super) struct Hurried(pub(super) SystemClock);

impl Clock for Hurried {
    fn now(&self) -> DateTime<Utc> {
        self.0.now()
    }

    fn stamp(&self) -> Stamp {
        Stamp(self.0.stamp().0.saturating_mul(HURRY.into()))
    }
}

/// Lets what leaks do so in a hurry. Returns whether anything does.
pub(super) fn hurry(world: &World) -> bool {
    let faster = |bound: &Bound| match *bound {
        Bound::Leak { most, per_second } => {
            Bound::Leak { most, per_second: per_second * Decimal::from(HURRY) }
        }
        window @ Bound::Window { .. } => window,
    };
    let leaks = |bounds: &Vec<Bound>| bounds.iter().any(|bound| matches!(bound, Bound::Leak { .. }));
    let pools = world.look(|state| state.limits.pools().clone());
    for (pool, bounds) in pools.iter().filter(|(_, bounds)| leaks(bounds)) {
        world.set_limit(pool, bounds.iter().map(faster).collect());
    }
    pools.values().any(leaks)
}
