//! How long a broker account can be traded at before its owner has to do something, and when they are told.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// How many hours before the end an owner is told, once each: two days, one day, two hours.
const TOLD_H: [i64; 3] = [48, 24, 2];
/// What is told to end so much earlier or later is told anew; less is how exactly a broker counts.
const NEWS: TimeDelta = TimeDelta::minutes(10);

/// From when until when an account can be traded at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runway {
    /// Since when the end is known.
    pub from: DateTime<Utc>,
    /// The end.
    pub until: DateTime<Utc>,
}

impl Runway {
    /// Returns how many hours before the end its owner is to be told of now; `None`: nothing, or it was told already.
    ///
    /// `told` is the last that was told. Of several that passed meanwhile the latest counts. Of what lasts a day only,
    /// nobody is told a day before. What has ended is told by the session that does not open any more.
    #[must_use]
    pub fn due(&self, told: Option<u32>, now: DateTime<Utc>) -> Option<u32> {
        if now >= self.until {
            return None;
        }
        let (lasts, left) = (self.until - self.from, self.until - now);
        let reached = |hours: &i64| left <= TimeDelta::hours(*hours) && lasts >= TimeDelta::hours(2 * *hours);
        let least = TOLD_H.into_iter().filter(reached).min().and_then(|hours| u32::try_from(hours).ok());
        least.filter(|hours| told.is_none_or(|told| *hours < told))
    }
}

/// Returns whether what a broker tells of an end differs from what is known of it.
#[must_use]
pub fn is_news(known: Option<Runway>, told: Option<DateTime<Utc>>) -> bool {
    match (known, told) {
        (None, None) => false,
        (Some(known), Some(told)) => (told - known.until).abs() >= NEWS,
        (Some(_), None) | (None, Some(_)) => true,
    }
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
        let week = Runway { from: at(0), until: at(168) };
        assert_eq!(week.due(None, at(119)), None);
        assert_eq!(week.due(None, at(120)), Some(48));
        assert_eq!(week.due(Some(48), at(121)), None);
        assert_eq!(week.due(Some(48), at(144)), Some(24));
        assert_eq!(week.due(Some(24), at(166)), Some(2));
        assert_eq!(week.due(Some(2), at(167)), None);
        assert_eq!(week.due(None, at(167)), Some(2), "a program that slept tells the latest alone");
        assert_eq!(week.due(None, at(168)), None);
    }

    #[test]
    fn of_a_session_of_a_day_an_owner_is_told_two_hours_before() {
        let day = Runway { from: at(0), until: at(24) };
        assert_eq!(day.due(None, at(0)), None, "it has just begun");
        assert_eq!(day.due(None, at(21)), None);
        assert_eq!(day.due(None, at(22)), Some(2));
    }

    #[test]
    fn an_end_that_moves_by_minutes_is_no_news() {
        let known = Some(Runway { from: at(0), until: at(24) });
        assert!(!is_news(known, Some(at(24) + TimeDelta::minutes(9))) && !is_news(None, None));
        assert!(is_news(known, Some(at(24) - TimeDelta::minutes(10))));
        assert!(is_news(known, None) && is_news(None, Some(at(24))));
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
                if let Some(hours) = (Runway { from: at(0), until: at(168) }).due(told, at(look)) {
                    all.push(hours);
                    told = Some(hours);
                }
            }
            prop_assert!(all.windows(2).all(|pair| pair[0] > pair[1]), "{:?}", all);
            prop_assert_eq!(all.last(), Some(&2));
        }
    }
}
