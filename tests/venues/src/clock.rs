//! What time it is at the venue, and when its market is open.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc, Weekday};
use chrono_tz::America::New_York;
use serde::{Deserialize, Serialize};

use crate::book::Session;

/// When the market is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "mode", deny_unknown_fields)]
pub enum Hours {
    /// Always.
    #[default]
    AlwaysOpen,
    /// Not now: it opens and closes when it says, or as if it were New York's if it does not.
    Closed {
        /// When it opens next.
        #[serde(default)]
        next_open: Option<DateTime<Utc>>,
        /// When it closes after that.
        #[serde(default)]
        next_close: Option<DateTime<Utc>>,
    },
    /// By the New York Stock Exchange's calendar.
    Nyse,
}

/// The venue's clock: the machine's, moved by an offset.
#[derive(Clone, Copy, Debug, Default)]
pub struct MarketClock {
    /// How far the venue's time is ahead of the machine's.
    pub offset: TimeDelta,
    /// When the market is open.
    pub hours: Hours,
}

/// A day on which New York trades, in New York's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradingDay {
    /// The day.
    pub date: NaiveDate,
    /// When regular trading ends: 16:00, or 13:00 before some holidays.
    pub close: NaiveTime,
}

impl TradingDay {
    /// Returns when regular trading begins.
    #[must_use]
    pub fn opens(&self) -> DateTime<Utc> {
        at(self.date, hm(9, 30))
    }

    /// Returns when regular trading ends.
    #[must_use]
    pub fn closes(&self) -> DateTime<Utc> {
        at(self.date, self.close)
    }

    /// Returns the day trades of this day are settled.
    #[must_use]
    pub fn settles(&self) -> NaiveDate {
        days_after(self.date).next().map_or(self.date, |day| day.date)
    }
}

impl MarketClock {
    /// Returns the machine's time as the venue sees it.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        #[expect(clippy::disallowed_methods, reason = "this is where the simulator asks for the time")]
        let real = Utc::now();
        real + self.offset
    }

    /// Makes the venue believe that it is now this time.
    pub fn set_now(&mut self, now: DateTime<Utc>) {
        self.offset += now - self.now();
    }

    /// Returns what trades at a time.
    #[must_use]
    pub fn session(&self, now: DateTime<Utc>) -> Session {
        match self.hours {
            Hours::AlwaysOpen => Session::Regular,
            Hours::Closed { next_open: Some(open), next_close } if open <= now => {
                if next_close.is_none_or(|close| now < close) { Session::Regular } else { Session::Closed }
            }
            Hours::Closed { .. } => Session::Closed,
            Hours::Nyse => nyse(now),
        }
    }

    /// Returns when the market opens and closes next.
    #[must_use]
    pub fn next(&self, now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
        let from = now.with_timezone(&New_York).date_naive();
        let days = || days_after(from - Days::new(1));
        let open = days().map(|day| day.opens()).find(|open| *open > now).unwrap_or(now);
        let close = days().map(|day| day.closes()).find(|close| *close > now).unwrap_or(now);
        match self.hours {
            Hours::AlwaysOpen | Hours::Nyse => (open, close),
            Hours::Closed { next_open, next_close } => {
                let open = next_open.filter(|at| *at > now).unwrap_or(open);
                (open, next_close.unwrap_or_else(|| close.max(open + TimeDelta::minutes(390))))
            }
        }
    }

    /// Returns New York's time of day, if it is a trading day or the market never closes.
    #[must_use]
    pub fn time_of_day(&self, now: DateTime<Utc>) -> Option<NaiveTime> {
        match self.hours {
            Hours::AlwaysOpen | Hours::Closed { .. } => None,
            Hours::Nyse => Some(now.with_timezone(&New_York).time()),
        }
    }
}

fn nyse(now: DateTime<Utc>) -> Session {
    let local = now.with_timezone(&New_York);
    let Some(day) = trading_day(local.date_naive()) else { return Session::Closed };
    let time = local.time();
    if time >= hm(9, 30) && time < day.close {
        Session::Regular
    } else if time >= hm(4, 0) && time < hm(20, 0) {
        Session::Extended
    } else {
        Session::Closed
    }
}

/// Returns the trading days after a date, in order, without end.
pub fn days_after(date: NaiveDate) -> impl Iterator<Item = TradingDay> {
    date.iter_days().skip(1).filter_map(trading_day)
}

/// Returns the day, if New York trades on it.
#[must_use]
pub fn trading_day(date: NaiveDate) -> Option<TradingDay> {
    if matches!(date.weekday(), Weekday::Sat | Weekday::Sun) || is_holiday(date) {
        return None;
    }
    let close = if closes_early(date) { hm(13, 0) } else { hm(16, 0) };
    Some(TradingDay { date, close })
}

/// Days on which New York did not trade outside its rules: mourning and weather.
const UNPLANNED: [(i32, u32, u32); 5] =
    [(2007, 1, 2), (2012, 10, 29), (2012, 10, 30), (2018, 12, 5), (2025, 1, 9)];

fn is_holiday(date: NaiveDate) -> bool {
    let (year, month, day) = (date.year(), date.month(), date.day());
    let nth = (day - 1) / 7 + 1;
    let last_week = day + 7 > 31;
    let monday = date.weekday() == Weekday::Mon;
    let planned = match month {
        1 => (monday && nth == 3) || day == 1 || (monday && day == 2),
        2 => monday && nth == 3,
        5 => monday && last_week,
        6 => year >= 2022 && observed(date, 19),
        7 => observed(date, 4),
        9 => monday && nth == 1,
        11 => date.weekday() == Weekday::Thu && nth == 4,
        12 => observed(date, 25),
        _ => false,
    };
    planned || good_friday(year) == Some(date) || UNPLANNED.contains(&(year, month, day))
}

/// Returns whether a holiday of this month is kept on a date: on its day, or the weekday beside its weekend.
fn observed(date: NaiveDate, holiday: u32) -> bool {
    let day = date.day();
    day == holiday
        || (day + 1 == holiday && date.weekday() == Weekday::Fri)
        || (day == holiday + 1 && date.weekday() == Weekday::Mon)
}

fn closes_early(date: NaiveDate) -> bool {
    let before_weekend = date.weekday() == Weekday::Fri;
    match (date.month(), date.day()) {
        (7, 3) | (12, 24) => !before_weekend,
        (11, day) => before_weekend && (23..=29).contains(&day),
        _ => false,
    }
}

/// Returns the Friday before Easter, by the Gregorian rule.
fn good_friday(year: i32) -> Option<NaiveDate> {
    let golden = year % 19;
    let century = year / 100;
    let skipped = century - century / 4 - (8 * century + 13) / 25;
    let epact = (skipped + 19 * golden + 15) % 30;
    let moon = epact - (epact / 28) * (1 - (29 / (epact + 1)) * ((21 - golden) / 11));
    let weekday = (year + year / 4 + moon + 2 - century + century / 4) % 7;
    let after_march_28 = moon - weekday;
    let easter = NaiveDate::from_ymd_opt(year, 3, 28)? + TimeDelta::days(after_march_28.into());
    Some(easter - Days::new(2))
}

fn hm(hour: u32, minute: u32) -> NaiveTime {
    NaiveTime::from_hms_opt(hour, minute, 0).unwrap_or_default()
}

fn at(date: NaiveDate, time: NaiveTime) -> DateTime<Utc> {
    let local = date.and_time(time);
    New_York
        .from_local_datetime(&local)
        .earliest()
        .map_or_else(|| local.and_utc(), |local| local.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed_weekdays(year: i32) -> Vec<String> {
        let first = NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
        let days = first.iter_days().take_while(|day| day.year() == year);
        days.filter(|day| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun))
            .filter(|day| trading_day(*day).is_none())
            .map(|day| day.format("%m-%d").to_string())
            .collect()
    }

    #[test]
    fn holidays_are_those_the_exchange_published() {
        let published = |days: &str| days.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            closed_weekdays(2024),
            published("01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25")
        );
        assert_eq!(
            closed_weekdays(2025),
            published("01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25")
        );
        assert_eq!(
            closed_weekdays(2026),
            published("01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25")
        );
        assert_eq!(closed_weekdays(2022), published("01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26"));
        assert_eq!(
            closed_weekdays(2027),
            published("01-01 01-18 02-15 03-26 05-31 06-18 07-05 09-06 11-25 12-24")
        );
    }

    #[test]
    fn some_days_end_at_one() {
        let early = |text: &str| trading_day(text.parse().unwrap()).unwrap().close == hm(13, 0);
        assert!(early("2024-07-03") && early("2024-11-29") && early("2024-12-24") && early("2025-07-03"));
        assert!(!early("2024-11-22") && !early("2026-07-02") && !early("2024-12-26"));
    }

    #[test]
    fn the_clock_knows_what_comes_next() {
        let clock = MarketClock { hours: Hours::Nyse, ..MarketClock::default() };
        let utc = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let wednesday = utc("2024-06-05T15:00:00Z");
        assert_eq!(clock.session(wednesday), Session::Regular);
        assert_eq!(clock.next(wednesday), (utc("2024-06-06T13:30:00Z"), utc("2024-06-05T20:00:00Z")));
        assert_eq!(clock.session(utc("2024-06-05T13:29:59Z")), Session::Extended);
        assert_eq!(clock.session(utc("2024-06-05T23:59:59Z")), Session::Extended);
        assert_eq!(clock.session(utc("2024-06-06T00:00:00Z")), Session::Closed);
        let friday_night = utc("2024-11-30T02:00:00Z");
        assert_eq!(clock.session(friday_night), Session::Closed);
        assert_eq!(clock.next(friday_night), (utc("2024-12-02T14:30:00Z"), utc("2024-12-02T21:00:00Z")));
    }
}
