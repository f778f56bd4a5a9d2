//! When Schwab trades: a day's sessions, and from when to when an order is in the market.

use chrono::{DateTime, Datelike, Days, NaiveDate, TimeDelta, Utc};
use chrono_tz::America::New_York;

use super::wire::{Duration, Session};
use crate::clock::{Hours, MarketClock, TradingDay, days_after, trading_day};

/// A span of time.
pub(super) type Span = (DateTime<Utc>, DateTime<Utc>);

/// The sessions of one day; those before and after are missing where the clock has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Day {
    pub(super) before: Option<Span>,
    pub(super) regular: Span,
    pub(super) after: Option<Span>,
}

fn of(day: &TradingDay) -> Day {
    let (opens, closes) = (day.opens(), day.closes());
    Day {
        before: Some((opens - TimeDelta::minutes(150), opens)),
        regular: (opens, closes),
        // It ends at 20:00, whenever the regular one does.
        after: Some((closes, opens + TimeDelta::minutes(630))),
    }
}

/// Returns the sessions of a date, if there are any. A market that never closes has one, from midnight to midnight.
pub(super) fn day(clock: &MarketClock, date: NaiveDate) -> Option<Day> {
    match clock.hours {
        Hours::Nyse => trading_day(date).as_ref().map(of),
        Hours::AlwaysOpen => {
            let midnight =
                |date: NaiveDate| date.and_time(chrono::NaiveTime::MIN).and_local_timezone(New_York);
            let from = midnight(date).earliest()?.to_utc();
            let until = midnight(date + Days::new(1)).earliest()?.to_utc();
            Some(Day { before: None, regular: (from, until), after: None })
        }
        Hours::Closed { next_open, next_close } => {
            let open = next_open.filter(|open| local(*open) == date)?;
            let close = next_close.unwrap_or(open + TimeDelta::minutes(390));
            Some(Day { before: None, regular: (open, close), after: None })
        }
    }
}

/// Returns New York's date.
pub(super) fn local(at: DateTime<Utc>) -> NaiveDate {
    at.with_timezone(&New_York).date_naive()
}

/// Returns when an order comes into the market, if that is later, and when it ends, if its words say that.
pub(super) fn window(
    clock: &MarketClock,
    now: DateTime<Utc>,
    session: Session,
    duration: Duration,
) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
    let later = |from: DateTime<Utc>| (from > now).then_some(from);
    let by_clock = clock.hours == Hours::Nyse;
    let days = || days_after(local(now) - Days::new(1)).map(|day| of(&day));
    let span = |pick: fn(Day) -> Option<Span>| days().filter_map(pick).find(|(_, until)| *until > now);
    let (from, until) = match session {
        Session::Am if by_clock => span(|day| day.before).unzip(),
        Session::Pm if by_clock => span(|day| day.after).unzip(),
        Session::Seamless if by_clock => {
            let whole = |day: Day| Some((day.before?.0, day.after?.1));
            (span(whole).map(|(from, _)| from), None)
        }
        Session::Normal | Session::Am | Session::Pm | Session::Seamless => (None, None),
    };
    let last = match duration {
        Duration::EndOfWeek => {
            let monday = local(now) - Days::new(local(now).weekday().num_days_from_monday().into());
            end_before(monday + Days::new(7), now)
        }
        Duration::EndOfMonth => {
            let first = local(now).with_day(1).unwrap_or_else(|| local(now));
            end_before(first + chrono::Months::new(1), now)
        }
        Duration::Day | Duration::GoodTillCancel | Duration::FillOrKill | Duration::ImmediateOrCancel => None,
    };
    (from.and_then(later), until.or(last))
}

/// Returns the end of the last day's last session before a date, or of the next if that is over.
fn end_before(date: NaiveDate, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let mut earlier = (1..=10).filter_map(|days| trading_day(date - Days::new(days)));
    let last = earlier.next().and_then(|day| of(&day).after).map(|(_, until)| until);
    let next = || days_after(date).next().and_then(|day| of(&day).after).map(|(_, until)| until);
    last.filter(|until| *until > now).or_else(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn sessions_begin_and_end_by_the_calendar() {
        let clock = MarketClock { hours: Hours::Nyse, ..MarketClock::default() };
        let at = |now: &str, session, duration| window(&clock, utc(now), session, duration);
        let wednesday_noon = "2024-06-05T16:00:00Z";
        assert_eq!(
            at(wednesday_noon, Session::Am, Duration::Day),
            (Some(utc("2024-06-06T11:00:00Z")), Some(utc("2024-06-06T13:30:00Z")))
        );
        assert_eq!(
            at("2024-06-05T12:00:00Z", Session::Am, Duration::Day),
            (None, Some(utc("2024-06-05T13:30:00Z")))
        );
        assert_eq!(
            at(wednesday_noon, Session::Pm, Duration::Day),
            (Some(utc("2024-06-05T20:00:00Z")), Some(utc("2024-06-06T00:00:00Z")))
        );
        assert_eq!(at(wednesday_noon, Session::Seamless, Duration::Day), (None, None));
        assert_eq!(
            at("2024-06-08T16:00:00Z", Session::Seamless, Duration::GoodTillCancel),
            (Some(utc("2024-06-10T11:00:00Z")), None)
        );
        assert_eq!(
            at(wednesday_noon, Session::Normal, Duration::EndOfWeek),
            (None, Some(utc("2024-06-08T00:00:00Z")))
        );
        assert_eq!(
            at(wednesday_noon, Session::Normal, Duration::EndOfMonth),
            (None, Some(utc("2024-06-29T00:00:00Z")))
        );
    }

    #[test]
    fn a_day_has_the_hours_its_clock_has() {
        let date = |text: &str| text.parse::<NaiveDate>().unwrap();
        let nyse = MarketClock { hours: Hours::Nyse, ..MarketClock::default() };
        assert_eq!(day(&nyse, date("2024-06-08")), None);
        let early = day(&nyse, date("2024-07-03")).unwrap();
        assert_eq!(early.regular.1, utc("2024-07-03T17:00:00Z"));
        assert_eq!(early.after, Some((utc("2024-07-03T17:00:00Z"), utc("2024-07-04T00:00:00Z"))));
        let open = day(&MarketClock::default(), date("2024-06-08")).unwrap();
        assert_eq!(open.regular, (utc("2024-06-08T04:00:00Z"), utc("2024-06-09T04:00:00Z")));
        let hours = Hours::Closed { next_open: Some(utc("2024-06-10T13:30:00Z")), next_close: None };
        let closed = MarketClock { hours, ..MarketClock::default() };
        assert_eq!(day(&closed, date("2024-06-08")), None);
        assert_eq!(day(&closed, date("2024-06-10")).unwrap().regular.1, utc("2024-06-10T20:00:00Z"));
    }
}
