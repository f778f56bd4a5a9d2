//! Changing what protects an open position, as a person or a signal asks for it.

use super::{Protection, Target, exit_side, level};
use crate::domain::ids::SignalId;
use crate::domain::money::{Price, Quantity};
use crate::domain::position::Position;
use crate::domain::signal::Level;

/// Most places to take a profit at.
const TARGETS_MAX: usize = 8;

/// What is to be another from now on; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProtectionChange {
    /// The stop; `Some(None)` takes it away.
    pub stop: Option<Option<Level>>,
    /// Where to take a profit, in order; what is left of the position is shared out among them anew.
    pub targets: Option<Vec<Level>>,
}

/// Why a change is not possible.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Nothing is held there.
    #[error("there is no such position; nothing was changed")]
    NoPosition,
    /// It is about to be gone.
    #[error("the position is being closed; nothing was changed")]
    Closing,
    /// The stop is not possible.
    #[error("{0}; nothing was changed")]
    Stop(String),
    /// The target of that number is not possible.
    #[error("{1}; nothing was changed")]
    Target(usize, String),
}

/// What a change is applied to.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// The position.
    pub position: &'a Position,
    /// What protects it now.
    pub protection: Option<&'a Protection>,
    /// The venue's price step, when it is known.
    pub tick: Option<Price>,
    /// The price now, when it is known.
    pub price: Option<Price>,
}

impl ProtectionChange {
    /// Returns what protects the position after the change.
    ///
    /// # Errors
    /// When the position is being closed, or a level is between two price steps or on the wrong side of the price, so
    /// that it would be reached at once.
    pub fn applied_to(&self, held: Held<'_>) -> Result<Protection, Unfit> {
        if held.protection.is_some_and(|known| known.leave.is_some()) {
            return Err(Unfit::Closing);
        }
        let size = held.position.net.size();
        let nobody = SignalId::new(uuid::Uuid::nil());
        let mut next = held.protection.cloned().unwrap_or_else(|| Protection::new(nobody, size));
        if let Some(stop) = self.stop {
            set_stop(&mut next, stop, held)?;
        }
        if let Some(targets) = &self.targets {
            next.targets = targets_of(targets, held)?;
            next.opened = size;
        }
        Ok(next)
    }
}

impl Held<'_> {
    fn is_long(&self) -> bool {
        !self.position.net.is_short()
    }

    /// Returns a level's price, on the venue's price step.
    fn price_of(&self, said: Level, loss: bool) -> Result<Option<Price>, String> {
        let side = exit_side(self.position.net).opposite();
        let price = match (said, self.position.avg_px(), self.tick.or(self.price)) {
            (Level::At(price), _, _) => Some(price),
            (_, Some(entry), Some(tick)) => level(said, side, entry, tick, loss),
            (_, None, _) | (_, _, None) => {
                return Err("the price at which it was entered is not known".to_owned());
            }
        };
        match (price, self.tick) {
            (Some(price), Some(tick)) if !price.on_tick(tick) => {
                Err(format!("prices move in steps of {tick}"))
            }
            (price, _) => Ok(price),
        }
    }
}

fn set_stop(next: &mut Protection, stop: Option<Level>, held: Held<'_>) -> Result<(), Unfit> {
    next.trail = None;
    next.stop = match stop {
        None => None,
        Some(Level::Trailing(trail)) => {
            next.trail = Some(trail);
            next.stop = None;
            held.price.zip(held.tick).and_then(|(price, tick)| next.trailed(held.position.net, price, tick))
        }
        Some(said) => held.price_of(said, true).map_err(Unfit::Stop)?,
    };
    let beyond = |stop: Price, price: Price| if held.is_long() { stop >= price } else { stop <= price };
    match (next.stop, held.price) {
        (Some(stop), Some(price)) if beyond(stop, price) => {
            let side = if held.is_long() { "below" } else { "above" };
            Err(Unfit::Stop(format!("the stop must be {side} the price, which is {price} now")))
        }
        _ => Ok(()),
    }
}

fn targets_of(said: &[Level], held: Held<'_>) -> Result<Vec<Target>, Unfit> {
    if said.len() > TARGETS_MAX {
        return Err(Unfit::Target(TARGETS_MAX, format!("at most {TARGETS_MAX} targets")));
    }
    let behind = |target: Price, price: Price| if held.is_long() { target <= price } else { target >= price };
    let mut targets = Vec::with_capacity(said.len());
    for (place, said) in said.iter().enumerate() {
        let unfit = |detail| Unfit::Target(place, detail);
        let price = held.price_of(*said, false).map_err(unfit)?;
        let price = price.ok_or_else(|| unfit("a target cannot follow the price".to_owned()))?;
        if held.price.is_some_and(|now| behind(price, now)) {
            let side = if held.is_long() { "above" } else { "below" };
            return Err(unfit(format!("a target must be {side} the price")));
        }
        targets.push(Target { price, done: Quantity::ZERO });
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use rust_decimal::Decimal;
    use uuid::Uuid;

    use super::*;
    use crate::domain::ids::ConnectionId;
    use crate::domain::money::{Money, Net, Percent};
    use crate::domain::signal::Trail;

    fn price(value: &str) -> Price {
        Price::new(value.parse().unwrap()).unwrap()
    }

    /// A position of `net` units entered at 100, while the price is `now`.
    fn changed(net: i64, now: &str, change: &ProtectionChange) -> Result<Protection, String> {
        let connection = ConnectionId::new(Uuid::nil());
        let mut position = Position::flat(connection, "AAPL".parse().unwrap(), DateTime::UNIX_EPOCH);
        position.net = Net::new(net.into());
        position.cost = Money::new(Decimal::from(net * 100));
        let mut known = Protection::new(SignalId::new(Uuid::from_u128(7)), position.net.size());
        known.stop = Some(price(if net < 0 { "120" } else { "80" }));
        let held = Held {
            position: &position,
            protection: Some(&known),
            tick: Some(price("0.01")),
            price: Some(price(now)),
        };
        change.applied_to(held).map_err(|unfit| unfit.to_string())
    }

    fn stop(level: Level) -> ProtectionChange {
        ProtectionChange { stop: Some(Some(level)), targets: None }
    }

    #[test]
    fn a_stop_moves_to_a_price_to_the_entry_or_a_distance_from_it() {
        let five = Percent::new(5.into());
        let cases = [
            (Level::At(price("95.5")), "95.5", "104.5"),
            (Level::BreakEven, "100", "100"),
            (Level::Distance(five), "95", "105"),
        ];
        for (level, long, short) in cases {
            let short_level = if let Level::At(_) = level { Level::At(price(short)) } else { level };
            assert_eq!(changed(10, "110", &stop(level)).unwrap().stop, Some(price(long)));
            assert_eq!(changed(-10, "90", &stop(short_level)).unwrap().stop, Some(price(short)));
        }
        let trailing = changed(10, "110", &stop(Level::Trailing(Trail::Percent(five)))).unwrap();
        assert_eq!((trailing.stop, trailing.trail.is_some()), (Some(price("104.50")), true));
    }

    #[test]
    fn a_level_that_would_be_reached_at_once_is_refused() {
        let told = changed(10, "99", &stop(Level::BreakEven)).unwrap_err();
        assert_eq!(told, "the stop must be below the price, which is 99 now; nothing was changed");
        let told = changed(-10, "101", &stop(Level::BreakEven)).unwrap_err();
        assert_eq!(told, "the stop must be above the price, which is 101 now; nothing was changed");
        let targets = ProtectionChange {
            targets: Some(vec![Level::At(price("120")), Level::At(price("109"))]),
            stop: None,
        };
        assert_eq!(
            changed(10, "110", &targets).unwrap_err(),
            "a target must be above the price; nothing was changed"
        );
        let between = stop(Level::At(price("95.005")));
        assert_eq!(
            changed(10, "110", &between).unwrap_err(),
            "prices move in steps of 0.01; nothing was changed"
        );
    }

    #[test]
    fn what_is_not_named_stays_and_null_takes_away() {
        let targets =
            ProtectionChange { targets: Some(vec![Level::Distance(Percent::new(20.into()))]), stop: None };
        let next = changed(10, "110", &targets).unwrap();
        assert_eq!((next.stop, next.targets[0].price), (Some(price("80")), price("120")));
        assert_eq!(
            changed(10, "110", &ProtectionChange { stop: Some(None), targets: None }).unwrap().stop,
            None
        );
        assert_eq!(changed(10, "110", &ProtectionChange::default()).unwrap().stop, Some(price("80")));
    }
}
