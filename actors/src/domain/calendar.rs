//! Market hours: the New York Stock Exchange's regular sessions, holidays and half days, computed for any year.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeZone, Utc, Weekday};
use chrono_tz::America::New_York;

/// Whether a market takes orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarketStatus {
    /// It does.
    Open,
    /// It does not.
    Closed {
        /// When it will.
        opens_at: DateTime<Utc>,
    },
    /// Only before or after the regular session, for orders that ask for it.
    Extended {
        /// When the regular session opens.
        opens_at: DateTime<Utc>,
    },
    /// Trading in this symbol is halted by the exchange; nobody knows for how long.
    Halted,
}

impl MarketStatus {
    /// Returns whether orders are taken.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Open)
    }
}

/// Longest run of days that is searched for the next session; the longest real closure is four.
const HORIZON_DAYS: u64 = 14;

/// Returns whether the New York Stock Exchange's regular session is on at `now`.
///
/// Closures decreed for one day (mourning, storms) follow no rule and are not known here.
#[must_use]
pub fn nyse(now: DateTime<Utc>) -> MarketStatus {
    // A session begins and ends within one day of UTC, so no other day's can be on.
    let today = now.date_naive();
    for ahead in 0..HORIZON_DAYS {
        let Some((opens_at, closes_at)) = today.checked_add_days(Days::new(ahead)).and_then(session) else {
            continue;
        };
        if now < opens_at {
            return MarketStatus::Closed { opens_at };
        }
        if now < closes_at {
            return MarketStatus::Open;
        }
    }
    MarketStatus::Closed { opens_at: DateTime::<Utc>::MAX_UTC }
}

/// Returns when the regular session of a New York day opens and closes; `None`: there is none.
fn session(day: NaiveDate) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    if is_weekend(day) || is_holiday(day) {
        return None;
    }
    let closes = if is_half_day(day) { (13, 0) } else { (16, 0) };
    Some((at(day, (9, 30))?, at(day, closes)?))
}

fn at(day: NaiveDate, (hour, minute): (u32, u32)) -> Option<DateTime<Utc>> {
    // Clocks change at 2:00 on Sundays, so a session's times exist exactly once.
    let local = day.and_time(NaiveTime::from_hms_opt(hour, minute, 0)?);
    New_York.from_local_datetime(&local).earliest().map(|time| time.with_timezone(&Utc))
}

fn is_weekend(day: NaiveDate) -> bool {
    matches!(day.weekday(), Weekday::Sat | Weekday::Sun)
}

fn is_holiday(day: NaiveDate) -> bool {
    let year = day.year();
    let fixed = |month, date| NaiveDate::from_ymd_opt(year, month, date).map(observed);
    let today = Some(day);
    match day.month() {
        // A New Year on a Saturday is not moved into the old year: the books are being closed.
        1 => {
            today == NaiveDate::from_ymd_opt(year, 1, 1)
                || (day.day() == 2 && day.weekday() == Weekday::Mon)
                || today == NaiveDate::from_weekday_of_month_opt(year, 1, Weekday::Mon, 3)
        }
        2 => today == NaiveDate::from_weekday_of_month_opt(year, 2, Weekday::Mon, 3),
        3 | 4 => today == easter(year).and_then(|sunday| sunday.checked_sub_days(Days::new(2))),
        5 => today == last_monday(year, 5),
        6 => year >= 2022 && today == fixed(6, 19),
        7 => today == fixed(7, 4),
        9 => today == NaiveDate::from_weekday_of_month_opt(year, 9, Weekday::Mon, 1),
        11 => today == thanksgiving(year),
        12 => today == fixed(12, 25),
        _ => false,
    }
}

/// Returns whether a session ends at 13:00; `day` is neither a weekend nor a holiday.
fn is_half_day(day: NaiveDate) -> bool {
    match (day.month(), day.day()) {
        (7, 3) | (12, 24) => true,
        (11, _) => day.checked_sub_days(Days::new(1)) == thanksgiving(day.year()),
        _ => false,
    }
}

/// Returns the day a fixed holiday is kept: Saturday's on Friday, Sunday's on Monday.
fn observed(day: NaiveDate) -> NaiveDate {
    let moved = match day.weekday() {
        Weekday::Sat => day.checked_sub_days(Days::new(1)),
        Weekday::Sun => day.checked_add_days(Days::new(1)),
        Weekday::Mon | Weekday::Tue | Weekday::Wed | Weekday::Thu | Weekday::Fri => Some(day),
    };
    moved.unwrap_or(day)
}

fn thanksgiving(year: i32) -> Option<NaiveDate> {
    NaiveDate::from_weekday_of_month_opt(year, 11, Weekday::Thu, 4)
}

fn last_monday(year: i32, month: u32) -> Option<NaiveDate> {
    let last = NaiveDate::from_ymd_opt(year, month, 1)?.checked_add_months(Months::new(1))?.pred_opt()?;
    last.checked_sub_days(Days::new(u64::from(last.weekday().num_days_from_monday())))
}

/// Returns Easter Sunday of a Gregorian year (the anonymous, or Meeus-Jones-Butcher, computation).
fn easter(year: i32) -> Option<NaiveDate> {
    let golden = year.rem_euclid(19);
    let (century, of_century) = (year.div_euclid(100), year.rem_euclid(100));
    let skipped_leaps = century - century.div_euclid(4);
    let moon_shift = (century - (century + 8).div_euclid(25) + 1).div_euclid(3);
    let epact = (19 * golden + skipped_leaps - moon_shift + 15).rem_euclid(30);
    let leaps = 2 * century.rem_euclid(4) + 2 * of_century.div_euclid(4);
    let to_sunday = (32 + leaps - epact - of_century.rem_euclid(4)).rem_euclid(7);
    let late = (golden + 11 * epact + 22 * to_sunday).div_euclid(451);
    let days = epact + to_sunday - 7 * late + 114;
    NaiveDate::from_ymd_opt(year, u32::try_from(days / 31).ok()?, u32::try_from(days % 31 + 1).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn closed_until(text: &str) -> MarketStatus {
        MarketStatus::Closed { opens_at: utc(text) }
    }

    #[test]
    fn the_session_is_half_past_nine_to_four_in_new_york() {
        // Winter: UTC-5. Summer: UTC-4.
        assert_eq!(nyse(utc("2025-01-15T14:29:59Z")), closed_until("2025-01-15T14:30:00Z"));
        assert_eq!(nyse(utc("2025-01-15T14:30:00Z")), MarketStatus::Open);
        assert_eq!(nyse(utc("2025-01-15T20:59:59Z")), MarketStatus::Open);
        assert_eq!(nyse(utc("2025-01-15T21:00:00Z")), closed_until("2025-01-16T14:30:00Z"));
        assert_eq!(nyse(utc("2025-07-15T13:29:59Z")), closed_until("2025-07-15T13:30:00Z"));
        assert_eq!(nyse(utc("2025-07-15T19:59:59Z")), MarketStatus::Open);
    }

    #[test]
    fn a_weekend_lasts_until_monday_across_the_clock_change() {
        assert_eq!(nyse(utc("2025-03-07T21:00:00Z")), closed_until("2025-03-10T13:30:00Z"));
        assert_eq!(nyse(utc("2025-11-01T12:00:00Z")), closed_until("2025-11-03T14:30:00Z"));
    }

    #[test]
    fn the_holidays_of_2024_to_2028_are_the_exchange_s() {
        let known: &[(i32, &[&str])] = &[
            (2021, &["01-01", "01-18", "02-15", "04-02", "05-31", "07-05", "09-06", "11-25", "12-24"]),
            (2022, &["01-17", "02-21", "04-15", "05-30", "06-20", "07-04", "09-05", "11-24", "12-26"]),
            (
                2023,
                &["01-02", "01-16", "02-20", "04-07", "05-29", "06-19", "07-04", "09-04", "11-23", "12-25"],
            ),
            (
                2024,
                &["01-01", "01-15", "02-19", "03-29", "05-27", "06-19", "07-04", "09-02", "11-28", "12-25"],
            ),
            (
                2025,
                &["01-01", "01-20", "02-17", "04-18", "05-26", "06-19", "07-04", "09-01", "11-27", "12-25"],
            ),
            (
                2026,
                &["01-01", "01-19", "02-16", "04-03", "05-25", "06-19", "07-03", "09-07", "11-26", "12-25"],
            ),
            (
                2027,
                &["01-01", "01-18", "02-15", "03-26", "05-31", "06-18", "07-05", "09-06", "11-25", "12-24"],
            ),
            (2028, &["01-17", "02-21", "04-14", "05-29", "06-19", "07-04", "09-04", "11-23", "12-25"]),
        ];
        for (year, holidays) in known {
            let closed: Vec<_> = day(&format!("{year}-01-01"))
                .iter_days()
                .take_while(|date| date.year() == *year)
                .filter(|date| !is_weekend(*date) && session(*date).is_none())
                .map(|date| date.format("%m-%d").to_string())
                .collect();
            assert_eq!(&closed, holidays, "{year}");
        }
    }

    #[test]
    fn the_half_days_of_2024_to_2027_end_at_one() {
        let known: &[(i32, &[&str])] = &[
            (2024, &["07-03", "11-29", "12-24"]),
            (2025, &["07-03", "11-28", "12-24"]),
            (2026, &["11-27", "12-24"]),
            (2027, &["11-26"]),
        ];
        for (year, half_days) in known {
            let short: Vec<_> = day(&format!("{year}-01-01"))
                .iter_days()
                .take_while(|date| date.year() == *year)
                .filter(|date| {
                    session(*date).is_some_and(|(opens, closes)| closes - opens < TimeDelta::hours(4))
                })
                .map(|date| date.format("%m-%d").to_string())
                .collect();
            assert_eq!(&short, half_days, "{year}");
        }
        assert_eq!(nyse(utc("2025-11-28T17:59:59Z")), MarketStatus::Open);
        assert_eq!(nyse(utc("2025-11-28T18:00:00Z")), closed_until("2025-12-01T14:30:00Z"));
    }

    #[test]
    fn easter_is_the_church_s() {
        for (year, date) in
            [(1961, "1961-04-02"), (2008, "2008-03-23"), (2011, "2011-04-24"), (2038, "2038-04-25")]
        {
            assert_eq!(easter(year), Some(day(date)));
        }
    }

    #[test]
    fn the_end_of_time_is_answered() {
        assert!(!nyse(DateTime::<Utc>::MAX_UTC).is_open());
        assert!(!nyse(DateTime::<Utc>::MIN_UTC).is_open());
    }

    proptest! {
        /// A closed market names a later moment within five days, and is open at it.
        #[test]
        fn a_closed_market_tells_when_it_opens(seconds in 0_i64..4_102_444_800) {
            let now = DateTime::from_timestamp(seconds, 0).unwrap();
            if let MarketStatus::Closed { opens_at } = nyse(now) {
                prop_assert!(opens_at > now && opens_at - now < TimeDelta::days(5));
                prop_assert_eq!(nyse(opens_at), MarketStatus::Open);
                prop_assert!(!nyse(opens_at - TimeDelta::nanoseconds(1)).is_open());
            }
        }

        /// No week of the year is without a session, and no session is longer than six and a half hours.
        #[test]
        fn sessions_are_regular(days in 0_u64..40_000) {
            let from = day("1970-01-01").checked_add_days(Days::new(days)).unwrap();
            let sessions: Vec<_> = from.iter_days().take(7).filter_map(session).collect();
            prop_assert!((3..=5).contains(&sessions.len()));
            prop_assert!(sessions.iter().all(|(opens, closes)| *closes - *opens <= TimeDelta::minutes(390)));
        }
    }
}
