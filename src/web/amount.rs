//! Amounts in bodies, as the domain takes them; one that it does not take is refused by its field.

use rust_decimal::Decimal;
use trade_actors::domain::money::{AmountError, Percent, Price};
use trade_actors::domain::signal::Trail;

use super::body::Number;
use super::problem::Problem;

/// Reads the amount in the field that `pointer` names.
///
/// # Errors
/// When the domain does not take it.
pub(crate) fn amount<T>(
    pointer: &str,
    Number(value): Number,
    read: fn(Decimal) -> Result<T, AmountError>,
) -> Result<T, Problem> {
    let name = pointer.trim_start_matches('/');
    read(value).map_err(|why| Problem::invalid(pointer, format!("{name} {why}; nothing was done")))
}

/// Reads how far a stop trails, from the fields `trail_amount` and `trail_percent`; `None`: it does not.
///
/// # Errors
/// When both are given, or the one that is cannot be.
pub(crate) fn trail(far: Option<Number>, percent: Option<Number>) -> Result<Option<Trail>, Problem> {
    let refused = |detail: &str| Err(Problem::invalid("/trail_percent", detail));
    match (far, percent) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => refused("give trail_amount or trail_percent, not both; nothing was done"),
        (Some(far), None) => Ok(Some(Trail::Amount(amount("/trail_amount", far, Price::new)?))),
        (None, Some(Number(percent))) if percent > Decimal::ZERO && percent < Decimal::ONE_HUNDRED => {
            Ok(Some(Trail::Percent(Percent::new(percent.normalize()))))
        }
        (None, Some(_)) => refused("trail_percent must be above 0 and below 100; nothing was done"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<Number> {
        Some(Number(text.parse().unwrap()))
    }

    #[test]
    fn a_stop_trails_by_an_amount_or_by_a_share() {
        assert_eq!(trail(None, None).unwrap(), None);
        let amount = Trail::Amount(Price::new("2.5".parse().unwrap()).unwrap());
        assert_eq!(trail(number("2.50"), None).unwrap(), Some(amount));
        let share = Trail::Percent(Percent::new("2".parse().unwrap()));
        assert_eq!(trail(None, number("2.0")).unwrap(), Some(share));
    }

    #[test]
    fn what_is_no_distance_is_refused_by_its_field() {
        let refused = |far, percent| trail(far, percent).unwrap_err().errors.remove(0).pointer;
        assert_eq!(refused(number("0"), None), "/trail_amount");
        for percent in ["0", "-1", "100"] {
            assert_eq!(refused(None, number(percent)), "/trail_percent", "{percent}");
        }
        assert_eq!(refused(number("1"), number("1")), "/trail_percent");
    }
}
