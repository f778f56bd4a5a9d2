//! What a broker says it has, beside what its orders made: found once, it is looked at again before it is believed.

use chrono::{DateTime, TimeDelta, Utc};

use super::ids::ConnectionId;
use super::instrument::Symbol;
use super::money::{Money, Net};
use super::portfolio::Balance;
use super::position::Position;

/// Cents that fees and rounding may make, which no order tells of.
const NOISE: Money = Money::new(rust_decimal::Decimal::ONE);

/// How much later a difference must be found again: what two questions at one moment find is one sight.
const APART: TimeDelta = TimeDelta::seconds(4);

/// A difference that was found, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting<T> {
    found: T,
    since: DateTime<Utc>,
}

impl<T: PartialEq> Sighting<T> {
    /// Returns whether a difference is to be believed: it was found before, and has not changed since.
    ///
    /// # Errors
    /// Not yet; holds what to compare the next survey with.
    pub fn confirmed(seen: Option<Self>, found: T, asked: DateTime<Utc>) -> Result<(), Self> {
        match seen {
            Some(seen) if seen.found == found && asked - seen.since >= APART => Ok(()),
            Some(seen) if seen.found == found => Err(seen),
            Some(_) | None => Err(Self { found, since: asked }),
        }
    }
}

/// Returns the positions that are others at the broker than ours at an account: ours and theirs.
#[must_use]
pub fn differences(
    connection: ConnectionId,
    ours: &[Position],
    theirs: &[Position],
) -> Vec<(Symbol, Net, Net)> {
    let ours = || ours.iter().filter(|held| held.connection == connection);
    let at = |symbol| theirs.iter().find(|held| held.symbol == symbol).map_or(Net::FLAT, |held| held.net);
    let known = ours().map(|held| (held.symbol, held.net, at(held.symbol)));
    let unknown = theirs
        .iter()
        .filter(|held| !held.net.is_flat() && ours().all(|known| known.symbol != held.symbol))
        .map(|held| (held.symbol, Net::FLAT, held.net));
    known.chain(unknown).filter(|(_, ours, theirs)| ours != theirs).collect()
}

/// Returns the cash that came or went without an order; `None`: none to speak of.
#[must_use]
pub fn cash_moved(known: &Balance, told: &Balance) -> Option<Money> {
    let moved = told.cash - known.cash;
    let size = Money::new(moved.get().abs());
    (size > NOISE).then_some(moved)
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;
    use uuid::Uuid;

    use super::*;

    fn held(symbol: &str, net: i64) -> Position {
        let connection = ConnectionId::new(Uuid::nil());
        let mut position = Position::flat(connection, symbol.parse().unwrap(), DateTime::UNIX_EPOCH);
        position.net = Net::new(Decimal::from(net));
        position
    }

    #[test]
    fn what_is_more_less_gone_or_new_is_different() {
        let ours = [held("AAPL", 10), held("TSLA", 5), held("NVDA", -3)];
        let theirs = [held("AAPL", 10), held("TSLA", 2), held("SPY", 1)];
        let net = |units: i64| Net::new(Decimal::from(units));
        let found = differences(ConnectionId::new(Uuid::nil()), &ours, &theirs);
        let symbol = |text: &str| text.parse::<Symbol>().unwrap();
        assert_eq!(
            found,
            [
                (symbol("TSLA"), net(5), net(2)),
                (symbol("NVDA"), net(-3), Net::FLAT),
                (symbol("SPY"), Net::FLAT, net(1)),
            ]
        );
    }

    #[test]
    fn a_difference_is_believed_when_it_is_found_again_later_and_has_not_changed() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let first = Sighting::confirmed(None, 5, at(0)).unwrap_err();
        assert_eq!(Sighting::confirmed(Some(first), 5, at(0)), Err(first), "the same moment");
        assert_eq!(Sighting::confirmed(Some(first), 5, at(4)), Ok(()));
        let other = Sighting::confirmed(Some(first), 6, at(4)).unwrap_err();
        assert_eq!(Sighting::confirmed(Some(other), 6, at(7)), Err(other));
    }

    #[test]
    fn a_deposit_is_told_from_a_fee() {
        let balance = |cash: i64| Balance {
            cash: Money::new(Decimal::new(cash, 2)),
            equity: Money::ZERO,
            buying_power: Money::ZERO,
            at: DateTime::UNIX_EPOCH,
        };
        assert_eq!(cash_moved(&balance(10_000), &balance(9_957)), None);
        assert_eq!(cash_moved(&balance(10_000), &balance(510_000)), Some(Money::new(Decimal::from(5_000))));
    }
}
