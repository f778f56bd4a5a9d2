//! How long a broker account can be traded at before its owner has to do something, and when they are told.

use chrono::{DateTime, TimeDelta, Utc};

/// How many hours before the end an owner is told, once each: two days, one day, two hours.
const TOLD_H: [u32; 3] = [48, 24, 2];

/// Returns how many hours before the end its owner is to be told of now; `None`: nothing, or it was told already.
///
/// `told` is the last that was told. Of several that passed meanwhile the latest counts. What has ended is told by the
/// session that does not open any more.
#[must_use]
pub fn due(until: DateTime<Utc>, told: Option<u32>, now: DateTime<Utc>) -> Option<u32> {
    if now >= until {
        return None;
    }
    let reached = |hours: &u32| until - now <= TimeDelta::hours(i64::from(*hours));
    TOLD_H.into_iter().filter(reached).min().filter(|hours| told.is_none_or(|told| *hours < told))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    #[test]
    fn an_owner_is_told_two_days_one_day_and_two_hours_before() {
        let end = at(168);
        assert_eq!(due(end, None, at(119)), None);
        assert_eq!(due(end, None, at(120)), Some(48));
        assert_eq!(due(end, Some(48), at(121)), None);
        assert_eq!(due(end, Some(48), at(144)), Some(24));
        assert_eq!(due(end, Some(24), at(166)), Some(2));
        assert_eq!(due(end, Some(2), at(167)), None);
        assert_eq!(due(end, None, at(167)), Some(2), "a program that slept tells the latest alone");
        assert_eq!(due(end, None, at(168)), None);
    }

    proptest! {
        /// However often it is looked at: each is told at most once, in order, and the last in any case.
        #[test]
        fn each_is_told_once(mut looks in prop::collection::vec(0_i64..200, 1..60)) {
            looks.sort_unstable();
            looks.push(167);
            looks.sort_unstable();
            let (mut told, mut all) = (None, Vec::new());
            for look in looks {
                if let Some(hours) = due(at(168), told, at(look)) {
                    all.push(hours);
                    told = Some(hours);
                }
            }
            prop_assert!(all.windows(2).all(|pair| pair[0] > pair[1]), "{:?}", all);
            prop_assert_eq!(all.last(), Some(&2));
        }
    }
}
