//! When US shares are traded: Alpaca's calendar, which knows what no rule does, and its clock, which knows today.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::America::New_York;

use trade_actors::domain::calendar::{MarketStatus, nyse};

use super::wire;

/// How long the clock's word counts.
const FRESH: TimeDelta = TimeDelta::minutes(3);

/// One day's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Day {
    /// The regular session.
    regular: (DateTime<Utc>, DateTime<Utc>),
    /// All of it, with what is before and after the regular session.
    whole: (DateTime<Utc>, DateTime<Utc>),
}

/// What is known of the hours.
#[derive(Clone, Debug, Default)]
pub struct Hours {
    days: Vec<Day>,
    /// The dates the calendar answered for.
    span: Option<(NaiveDate, NaiveDate)>,
    clock: Option<(wire::MarketClock, DateTime<Utc>)>,
}

impl Hours {
    /// Takes the calendar of the days from `span.0` to `span.1`.
    pub fn set_days(&mut self, days: &[wire::CalendarDay], span: (NaiveDate, NaiveDate)) {
        self.days = days.iter().filter_map(Day::new).collect();
        self.days.sort_by_key(|day| day.regular.0);
        self.span = Some(span);
    }

    /// Takes the clock's word.
    pub fn set_clock(&mut self, clock: wire::MarketClock, at: DateTime<Utc>) {
        self.clock = Some((clock, at));
    }

    /// Returns whether nothing is known yet.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        self.span.is_none()
    }

    /// Returns whether the market is open at `now`; before Alpaca has answered, by the exchange's rules.
    #[must_use]
    pub fn status(&self, now: DateTime<Utc>) -> MarketStatus {
        let today = now.with_timezone(&New_York).date_naive();
        let covers = self.span.is_some_and(|(from, to)| from <= today && today <= to);
        if !covers {
            return nyse(now);
        }
        // The clock knows what was decided since the calendar was made.
        if self
            .clock
            .as_ref()
            .is_some_and(|(clock, at)| clock.is_open && now < clock.next_close && now - *at < FRESH)
        {
            return MarketStatus::Open;
        }
        let within = |(from, to): (DateTime<Utc>, DateTime<Utc>)| from <= now && now < to;
        let next = self.days.iter().map(|day| day.regular.0).find(|opens| now < *opens);
        if self.days.iter().any(|day| within(day.regular)) {
            return match &self.clock {
                Some((clock, at)) if self.is_called_off(clock, *at, now) => {
                    MarketStatus::Closed { opens_at: clock.next_open }
                }
                Some(_) | None => MarketStatus::Open,
            };
        }
        let Some(opens_at) = next else { return nyse(now) };
        if self.days.iter().any(|day| within(day.whole)) {
            MarketStatus::Extended { opens_at }
        } else {
            MarketStatus::Closed { opens_at }
        }
    }

    /// Returns whether the clock, asked in the session that is on now, says that there is none.
    fn is_called_off(&self, clock: &wire::MarketClock, at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        let same = |day: &Day| day.regular.0 <= clock.timestamp && clock.timestamp < day.regular.1;
        !clock.is_open && clock.next_open > now && now - at < FRESH && self.days.iter().any(same)
    }
}

impl Day {
    fn new(day: &wire::CalendarDay) -> Option<Self> {
        let regular = (at(day.date, &day.open)?, at(day.date, &day.close)?);
        let time = |text: &Option<String>| text.as_ref().and_then(|text| at(day.date, text));
        let from = time(&day.session_open).unwrap_or(regular.0).min(regular.0);
        let to = time(&day.session_close).unwrap_or(regular.1).max(regular.1);
        Some(Self { regular, whole: (from, to) })
    }
}

/// Reads a time of a New York day: `09:30` or `0930`.
fn at(date: NaiveDate, text: &str) -> Option<DateTime<Utc>> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let (hour, minute) = digits.split_at_checked(2)?;
    let time = NaiveTime::from_hms_opt(hour.parse().ok()?, minute.parse().ok()?, 0)?;
    New_York.from_local_datetime(&date.and_time(time)).earliest().map(|time| time.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn hours() -> Hours {
        let day = |date: &str, close: &str, session_close: &str| wire::CalendarDay {
            date: date.parse().unwrap(),
            open: "09:30".to_owned(),
            close: close.to_owned(),
            session_open: Some("0400".to_owned()),
            session_close: Some(session_close.to_owned()),
        };
        let days = [
            day("2025-11-26", "16:00", "2000"),
            day("2025-11-28", "13:00", "1700"),
            day("2025-12-01", "16:00", "2000"),
        ];
        let mut hours = Hours::default();
        hours.set_days(&days, ("2025-11-24".parse().unwrap(), "2025-12-01".parse().unwrap()));
        hours
    }

    #[test]
    fn sessions_holidays_and_half_days_are_the_calendar_s() {
        let hours = hours();
        let extended = |at| MarketStatus::Extended { opens_at: utc(at) };
        let closed = |at| MarketStatus::Closed { opens_at: utc(at) };
        for (now, wanted) in [
            ("2025-11-26T08:59:59Z", closed("2025-11-26T14:30:00Z")),
            ("2025-11-26T09:00:00Z", extended("2025-11-26T14:30:00Z")),
            ("2025-11-26T14:30:00Z", MarketStatus::Open),
            ("2025-11-26T20:59:59Z", MarketStatus::Open),
            ("2025-11-26T21:00:00Z", extended("2025-11-28T14:30:00Z")),
            ("2025-11-27T01:00:00Z", closed("2025-11-28T14:30:00Z")),
            ("2025-11-27T16:00:00Z", closed("2025-11-28T14:30:00Z")),
            ("2025-11-28T17:59:59Z", MarketStatus::Open),
            ("2025-11-28T18:00:00Z", extended("2025-12-01T14:30:00Z")),
            ("2025-11-28T22:00:00Z", closed("2025-12-01T14:30:00Z")),
        ] {
            assert_eq!(hours.status(utc(now)), wanted, "{now}");
        }
    }

    #[test]
    fn without_an_answer_the_exchange_s_rules_hold() {
        for now in ["2025-11-26T15:00:00Z", "2025-11-27T15:00:00Z", "2026-02-03T15:00:00Z"] {
            assert_eq!(Hours::default().status(utc(now)), nyse(utc(now)), "{now}");
            assert_eq!(Hours::default().status(utc(now)).is_open(), now != "2025-11-27T15:00:00Z");
        }
        // Past the calendar's end.
        assert_eq!(hours().status(utc("2025-12-02T15:00:00Z")), MarketStatus::Open);
    }

    #[test]
    fn a_day_that_was_called_off_is_known_from_the_clock() {
        let mut hours = hours();
        let next_open = utc("2025-11-28T14:30:00Z");
        let clock = |asked: &str, is_open| wire::MarketClock {
            timestamp: utc(asked),
            is_open,
            next_open,
            next_close: utc("2025-11-28T18:00:00Z"),
        };
        let now = utc("2025-11-26T15:00:00Z");
        hours.set_clock(clock("2025-11-26T14:59:30Z", false), now - TimeDelta::seconds(30));
        assert_eq!(hours.status(now), MarketStatus::Closed { opens_at: next_open });
        // What it said before the opening says nothing about the session.
        hours.set_clock(clock("2025-11-26T14:29:30Z", false), utc("2025-11-26T14:29:30Z"));
        assert_eq!(hours.status(utc("2025-11-26T14:30:10Z")), MarketStatus::Open);
        // A session that is in no calendar.
        let special = wire::MarketClock {
            next_close: utc("2025-11-27T18:00:00Z"),
            ..clock("2025-11-27T15:00:00Z", true)
        };
        hours.set_clock(special, utc("2025-11-27T15:00:00Z"));
        assert_eq!(hours.status(utc("2025-11-27T15:01:00Z")), MarketStatus::Open);
        assert!(!hours.status(utc("2025-11-27T15:04:00Z")).is_open());
        // An old word does not count.
        hours.set_clock(clock("2025-11-26T14:59:30Z", false), utc("2025-11-26T14:59:30Z"));
        assert_eq!(hours.status(utc("2025-11-26T15:10:00Z")), MarketStatus::Open);
    }
}
