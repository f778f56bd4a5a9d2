//! What prices mean for one open position: which of them call for something, and which say nothing new.

use super::{Protection, Reached};
use crate::domain::instrument::Instrument;
use crate::domain::money::{Price, Quantity};
use crate::domain::position::Position;

/// One position under its plan, as prices find it.
///
/// Prices come many times a second, changes of position or plan now and then. What depends on those alone is
/// reckoned once, and a price that calls for nothing is not judged again when it is told again.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    position: Option<Position>,
    plan: Option<Protection>,
    /// What is open of each target's share; absent until it is needed, and the market has told the lot.
    shares: Option<Vec<Quantity>>,
    /// The last price, if it called for nothing.
    settled: Option<Price>,
}

/// What a price means for a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Where the trailing stop stands now, if it has moved enough to be recorded.
    pub trailed: Option<Price>,
    /// The level that is reached.
    pub reached: Option<Reached>,
}

impl Guard {
    /// Returns the guard of a position (absent: it is flat) under a plan.
    #[must_use]
    pub const fn new(position: Option<Position>, plan: Option<Protection>) -> Self {
        Self { position, plan, shares: None, settled: None }
    }

    /// Has the next price judged though it is the last one again, by the market's rules as they are then.
    pub fn unsettle(&mut self) {
        self.shares = None;
        self.settled = None;
    }

    /// Returns what a price means; `None`: nothing that was not known before, or nothing is held.
    ///
    /// A price that calls for something is judged each time it is told, for what was told of it may have been lost.
    pub fn judge(&mut self, price: Price, instrument: impl FnOnce() -> Option<Instrument>) -> Option<Judged> {
        let position = self.position.as_ref()?;
        // Flat ones are guarded for a while, in case the strategy comes back.
        if position.net.is_flat() || self.settled == Some(price) {
            return None;
        }
        self.settled = Some(price);
        let Some(plan) = self.plan.as_ref().filter(|plan| plan.leave.is_none()) else {
            return Some(Judged::default());
        };
        let mut judged = Judged::default();
        if plan.trail.is_some() || self.shares.is_none() {
            let Some(instrument) = instrument() else {
                self.settled = None;
                return Some(judged);
            };
            // The price step is asked for each time: at some venues it changes with the price.
            let stop = plan.trailed(position.net, price, instrument.tick);
            judged.trailed = stop.filter(|stop| is_a_step(plan.stop, *stop));
            self.shares.get_or_insert_with(|| plan.shares(position.net.size(), instrument.lot));
        }
        judged.reached = plan.reached(position.net, price, self.shares.as_deref().unwrap_or_default());
        if judged != Judged::default() {
            self.settled = None;
        }
        Some(judged)
    }
}

/// Returns whether a trailed stop has moved enough to be recorded: by a thousandth, or a record a price would drown
/// the log.
fn is_a_step(known: Option<Price>, stop: Price) -> bool {
    known.is_none_or(|known| {
        stop.distance_pct(known).get() >= rust_decimal::Decimal::from_parts(1, 0, 0, false, 1)
    })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;
    use rust_decimal::Decimal;
    use uuid::Uuid;

    use super::*;
    use crate::domain::ids::{ConnectionId, SignalId};
    use crate::domain::instrument::AssetClass;
    use crate::domain::money::{Money, Net};
    use crate::domain::protection::Target;
    use crate::domain::signal::Trail;

    fn price(units: i64) -> Price {
        Price::new(units.into()).unwrap()
    }

    fn lots(units: i64) -> Quantity {
        Quantity::at_least_zero(units.into())
    }

    fn held(net: i64) -> Position {
        Position {
            connection: ConnectionId::new(Uuid::nil()),
            symbol: "TSLA".parse().unwrap(),
            net: Net::new(net.into()),
            cost: Money::ZERO,
            realized: Money::ZERO,
            opened_at: DateTime::UNIX_EPOCH,
        }
    }

    fn plan(stop: Option<i64>, trail: Option<i64>, targets: &[i64]) -> Protection {
        Protection {
            stop: stop.map(price),
            trail: trail.map(|far| Trail::Amount(price(far))),
            targets: targets.iter().map(|at| Target { price: price(*at), done: Quantity::ZERO }).collect(),
            ..Protection::new(SignalId::new(Uuid::nil()), lots(10))
        }
    }

    fn rules() -> Option<Instrument> {
        Some(Instrument {
            symbol: "TSLA".parse().unwrap(),
            class: AssetClass::Equity,
            tick: Price::new(Decimal::new(1, 2)).unwrap(),
            lot: lots(1),
            size_step: lots(1),
            min_notional: Money::ZERO,
            tradable: true,
        })
    }

    fn unasked() -> Option<Instrument> {
        panic!("the market was asked")
    }

    const NOTHING: Option<Judged> = Some(Judged { trailed: None, reached: None });

    #[test]
    fn a_price_that_calls_for_nothing_is_judged_once() {
        let mut guard = Guard::new(Some(held(10)), Some(plan(Some(90), None, &[110])));
        assert_eq!(guard.judge(price(100), rules), NOTHING);
        assert_eq!(guard.judge(price(100), unasked), None);
        assert_eq!(guard.judge(price(101), unasked), NOTHING, "the lot is known");
    }

    #[test]
    fn the_first_price_after_a_change_of_plan_is_judged_though_it_is_the_last_again() {
        let mut guard = Guard::new(Some(held(10)), Some(plan(Some(90), None, &[])));
        assert_eq!(guard.judge(price(100), rules), NOTHING);
        guard = Guard::new(Some(held(10)), Some(plan(Some(100), None, &[])));
        let reached = Some(Judged { trailed: None, reached: Some(Reached::Stop) });
        assert_eq!(guard.judge(price(100), rules), reached);
    }

    #[test]
    fn what_a_price_calls_for_is_told_until_it_is_done() {
        let mut guard = Guard::new(Some(held(10)), Some(plan(Some(90), None, &[110])));
        let reached = Some(Judged { trailed: None, reached: Some(Reached::Target(0)) });
        assert_eq!((guard.judge(price(110), rules), guard.judge(price(110), rules)), (reached, reached));
        let mut guard = Guard::new(Some(held(10)), Some(plan(Some(90), Some(5), &[])));
        let trailed = Some(Judged { trailed: Some(price(95)), reached: None });
        assert_eq!((guard.judge(price(100), rules), guard.judge(price(100), rules)), (trailed, trailed));
    }

    #[test]
    fn without_the_markets_rules_a_price_waits_for_them() {
        let mut guard = Guard::new(Some(held(10)), Some(plan(Some(90), None, &[])));
        assert_eq!(guard.judge(price(80), || None), NOTHING);
        let reached = Some(Judged { trailed: None, reached: Some(Reached::Stop) });
        assert_eq!(guard.judge(price(80), rules), reached);
    }

    #[test]
    fn a_flat_position_has_nothing_to_lose() {
        let mut guard = Guard::new(Some(held(0)), Some(plan(Some(90), None, &[])));
        assert_eq!(guard.judge(price(80), unasked), None);
        assert_eq!(Guard::new(None, None).judge(price(80), unasked), None);
    }

    proptest! {
        /// Whatever prices come, what is told is what a guard without memory would tell; what is left out is nothing.
        #[test]
        fn what_is_not_judged_again_calls_for_nothing(
            net in prop_oneof![-10_i64..0, 1_i64..=10],
            stop in prop::option::of(80_i64..120),
            trail in prop::option::of(1_i64..10),
            targets in prop::collection::vec(80_i64..120, 0..3),
            prices in prop::collection::vec(80_i64..120, 1..40),
        ) {
            let fresh = Guard::new(Some(held(net)), Some(plan(stop, trail, &targets)));
            let mut guard = fresh.clone();
            for at in prices {
                let whole = fresh.clone().judge(price(at), rules);
                match guard.judge(price(at), rules) {
                    None => prop_assert_eq!(whole, NOTHING),
                    told => prop_assert_eq!(told, whole),
                }
            }
        }
    }
}
