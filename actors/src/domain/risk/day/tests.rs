use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::event::{Event, Scope};
use crate::domain::ids::{ConnectionId, UserId};
use crate::domain::money::{Net, Price};
use crate::domain::order::Mode;
use crate::domain::portfolio::Balance;
use crate::domain::position::Position;
use crate::domain::user::{Connection, Role, Trading, UserState};

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn money(text: &str) -> Money {
    Money::new(dec(text))
}

fn pct(text: &str) -> Percent {
    Percent::new(dec(text))
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn noon() -> DateTime<Utc> {
    at("2025-01-03T12:00:00Z")
}

fn limits(daily_pct: &str, amount: &str, breaker: &str) -> Limits {
    Limits {
        daily_loss_pct: pct(daily_pct),
        daily_loss_amount: money(amount),
        breaker_pct: pct(breaker),
        ..Limits::default()
    }
}

fn day(opening: &str, equity: &str) -> Standing {
    Standing { opening: money(opening), equity: money(equity), breached: None }
}

fn message(verdict: Verdict) -> String {
    match verdict {
        Verdict::Fine => String::new(),
        Verdict::DailyLoss { message, .. } | Verdict::Breaker { message } => message,
    }
}

#[test]
fn a_loss_near_its_amount_pauses_trading_until_midnight() {
    let limits = limits("0", "500", "0");
    assert_eq!(judge(&limits, &day("10000", "9515.01"), noon()), Verdict::Fine);
    assert_eq!(
        judge(&limits, &day("10000", "9515"), noon()),
        Verdict::DailyLoss {
            message: "Daily loss limit approaching (-$485 of -$500). Trading paused until tomorrow 00:00 UTC"
                .to_owned(),
            until: at("2025-01-04T00:00:00Z"),
        }
    );
    assert_eq!(
        message(judge(&limits, &day("10000", "9500"), noon())),
        "Daily loss limit reached (-$500). Trading disabled until tomorrow."
    );
}

#[test]
fn a_loss_of_five_per_cent_disables_trading_until_tomorrow() {
    let limits = limits("5", "0", "8");
    assert_eq!(judge(&limits, &day("100000", "95150.01"), noon()), Verdict::Fine);
    assert_eq!(
        message(judge(&limits, &day("100000", "95150"), noon())),
        "Daily loss limit approaching (-4.85% of -5%). Trading paused until tomorrow 00:00 UTC"
    );
    assert_eq!(
        message(judge(&limits, &day("100000", "95000"), noon())),
        "Daily loss limit reached (-5%). Trading disabled until tomorrow."
    );
}

#[test]
fn the_breaker_trips_at_eight_per_cent_and_has_no_end() {
    let words =
        "Emergency circuit breaker triggered (-8%). Account under review. Contact support.".to_owned();
    for (equity, tripped) in [("46000.01", false), ("46000", true), ("1", true)] {
        let verdict = judge(&limits("0", "0", "8"), &day("50000", equity), noon());
        let expected = if tripped { Verdict::Breaker { message: words.clone() } } else { Verdict::Fine };
        assert_eq!(verdict, expected, "{equity}");
    }
    let halted = Standing { breached: Some(HaltCause::DailyLoss), ..day("50000", "46000") };
    assert_eq!(judge(&limits("5", "0", "8"), &halted, noon()), Verdict::Breaker { message: words });
}

#[test]
fn of_two_limits_the_one_that_comes_first_holds() {
    let both = limits("5", "300", "0");
    assert!(message(judge(&both, &day("10000", "9700"), noon())).contains("(-$300)"));
    assert!(message(judge(&both, &day("4000", "3800"), noon())).contains("(-5%)"));
}

#[test]
fn a_day_may_begin_at_any_minute() {
    let cme = Limits { day_starts_min: 13 * 60 + 30, ..limits("5", "0", "0") };
    let lost = day("100", "95");
    for (now, until, words) in [
        ("2025-01-03T13:29:59Z", "2025-01-03T13:30:00Z", "until today 13:30 UTC."),
        ("2025-01-03T13:30:00Z", "2025-01-04T13:30:00Z", "until tomorrow 13:30 UTC."),
    ] {
        let Verdict::DailyLoss { message, until: found } = judge(&cme, &lost, at(now)) else {
            panic!("no halt at {now}")
        };
        assert_eq!(found, at(until));
        assert!(message.ends_with(words), "{message}");
        assert_eq!(day_ends(at(now), 810), at(until));
    }
    assert_ne!(day_of(at("2025-01-03T13:29:59Z"), 810), day_of(at("2025-01-03T13:30:00Z"), 810));
}

#[test]
fn without_limits_or_without_equity_nothing_fires() {
    assert_eq!(judge(&limits("0", "0", "0"), &day("100", "1"), noon()), Verdict::Fine);
    assert_eq!(judge(&limits("5", "0", "8"), &day("0", "-1"), noon()), Verdict::Fine);
    assert_eq!(judge(&limits("5", "0", "8"), &day("-100", "-200"), noon()), Verdict::Fine);
    assert!(matches!(judge(&limits("5", "1", "8"), &day("0", "-1"), noon()), Verdict::DailyLoss { .. }));
}

fn account() -> ConnectionId {
    ConnectionId::new(Uuid::from_u128(2))
}

fn told(cash: Money, equity: Money, at: DateTime<Utc>) -> Balance {
    Balance { cash, equity, buying_power: cash, at }
}

fn user(limits: Limits) -> UserState {
    let id = UserId::new(Uuid::from_u128(1));
    let mut user = UserState::new(id, "Ada".to_owned(), Role::User, limits, noon());
    let connection = Connection::new(account(), "paper", Mode::Paper);
    user.apply(&Event::ConnectionAdded { connection }, noon());
    user
}

fn see(user: &mut UserState, equity: &str, now: DateTime<Utc>) {
    let balance = told(money(equity), money(equity), now);
    user.apply(&Event::BalanceSeen { connection: account(), balance }, now);
}

fn halt(cause: HaltCause, until: Option<DateTime<Utc>>) -> Event {
    let (by, reason) = ("x".to_owned(), format!("{cause:?}"));
    Event::TradingHalted { scope: Scope::User, by, reason, cause, until }
}

const RESUMED: fn() -> Event = || Event::TradingResumed { scope: Scope::User, by: "x".to_owned() };

#[test]
fn the_first_balance_of_a_day_opens_it() {
    let mut user = user(Limits { day_starts_min: 60, ..Limits::default() });
    see(&mut user, "100", at("2025-01-03T00:59:00Z"));
    see(&mut user, "90", at("2025-01-03T01:00:00Z"));
    see(&mut user, "80", at("2025-01-04T00:59:59Z"));
    assert_eq!(user.day_opening(account(), at("2025-01-04T00:59:59Z")), Some(money("90")));
    assert_eq!(
        user.day_opening(account(), at("2025-01-04T01:00:00Z")),
        None,
        "nothing is known of the new day yet"
    );
}

#[test]
fn a_day_that_runs_goes_on_when_days_begin_at_another_hour() {
    for start in [0, 1_080] {
        let mut user = user(Limits { day_starts_min: 1_080 - start, ..Limits::default() });
        let now = at("2025-01-03T15:00:00Z");
        see(&mut user, "100", now);
        user.apply(&halt(HaltCause::DailyLoss, None), now);
        let limits = Limits { day_starts_min: start, ..Limits::default() };
        user.apply(&Event::LimitsChanged { limits }, now);
        see(&mut user, "50", now);
        let standing = user.standing(account(), money("50"), now).unwrap();
        assert_eq!((standing.opening, standing.breached), (money("100"), Some(HaltCause::DailyLoss)));
    }
}

#[test]
fn a_persons_own_halt_goes_on_when_the_days_is_over() {
    let until = at("2025-01-04T00:00:00Z");
    for own_first in [true, false] {
        let mut user = user(Limits::default());
        let mut halts = [halt(HaltCause::Person, None), halt(HaltCause::DailyLoss, Some(until))];
        if !own_first {
            halts.reverse();
        }
        for event in &halts {
            user.apply(event, noon());
        }
        assert_eq!(user.trading.cause(), Some(HaltCause::DailyLoss));
        assert_eq!(user.trading_at(until).cause(), Some(HaltCause::Person));
        assert!(!user.is_idle(), "somebody has to end it");
        user.apply(&RESUMED(), until);
        assert_eq!(user.trading.cause(), Some(HaltCause::Person));
        user.apply(&RESUMED(), until);
        assert_eq!(user.trading, Trading::Active);
    }
}

fn any_cents() -> impl Strategy<Value = Decimal> {
    (1_i64..100_000_000).prop_map(|cents| Decimal::new(cents, 2))
}

fn any_pct() -> impl Strategy<Value = Decimal> {
    prop_oneof![Just(Decimal::ZERO), (1_i64..=10_000).prop_map(|part| Decimal::new(part, 2))]
}

prop_compose! {
    fn any_limits()(daily in any_pct(), amount in prop_oneof![Just(Decimal::ZERO), any_cents()], breaker in any_pct()) -> Limits {
        Limits {
            daily_loss_pct: Percent::new(daily),
            daily_loss_amount: Money::new(amount),
            breaker_pct: Percent::new(breaker),
            ..Limits::default()
        }
    }
}

fn rank(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::Fine => 0,
        Verdict::DailyLoss { .. } => 1,
        Verdict::Breaker { .. } => 2,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// However equity goes: a day fires at most once for each cause, and never a milder one after a stricter.
    #[test]
    fn a_day_fires_once_for_each_cause(limits in any_limits(), opening in any_cents(), path in proptest::collection::vec(0_i64..20_000, 1..40)) {
        let mut user = user(limits);
        see(&mut user, &opening.to_string(), noon());
        let mut fired = Vec::new();
        for part in path {
            let equity = Money::new(opening * Decimal::new(part, 4));
            let cause = match judge(&user.limits, &user.standing(account(), equity, noon()).unwrap(), noon()) {
                Verdict::Fine => continue,
                Verdict::DailyLoss { .. } => HaltCause::DailyLoss,
                Verdict::Breaker { .. } => HaltCause::CircuitBreaker,
            };
            fired.push(cause);
            user.apply(&halt(cause, None), noon());
            // Even when somebody resumes trading the same day.
            user.apply(&RESUMED(), noon());
        }
        prop_assert!(fired.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", fired);
    }

    /// A bigger loss never gets a milder verdict.
    #[test]
    fn a_bigger_loss_is_never_judged_milder(limits in any_limits(), opening in any_cents(), a in any_cents(), b in any_cents()) {
        let opening = Money::new(opening);
        let judged = |loss| rank(&judge(&limits, &Standing { opening, equity: opening - Money::new(loss), breached: None }, noon()));
        prop_assert!(judged(a.max(b)) >= judged(a.min(b)));
    }

    /// A limit in per cent and the amount it comes to are one limit.
    #[test]
    fn per_cent_and_amount_agree(opening in any_cents(), loss in any_cents(), part in 1_i64..=10_000) {
        let opening = Money::new(opening);
        let day = Standing { opening, equity: opening - Money::new(loss), breached: None };
        let share = Percent::new(Decimal::new(part, 2));
        let none = Limits { daily_loss_pct: Percent::new(Decimal::ZERO), breaker_pct: Percent::new(Decimal::ZERO), ..Limits::default() };
        let relative = judge(&Limits { daily_loss_pct: share, ..none.clone() }, &day, noon());
        let absolute = judge(&Limits { daily_loss_amount: opening.part(share), ..none }, &day, noon());
        prop_assert_eq!(rank(&relative), rank(&absolute));
        let reached = |verdict| message(verdict).contains("reached");
        prop_assert_eq!(reached(relative), reached(absolute));
    }

    /// The last cent decides: 97 per cent pauses, a hundredth of a cent less does not, and the words say the limit
    /// is reached from the limit on.
    #[test]
    fn limits_are_exact(amount in any_cents()) {
        let limits = Limits { daily_loss_amount: Money::new(amount), daily_loss_pct: Percent::new(Decimal::ZERO), breaker_pct: Percent::new(Decimal::ZERO), ..Limits::default() };
        let lost = |loss: Decimal| judge(&limits, &Standing { opening: Money::new(amount), equity: Money::new(amount - loss), breached: None }, noon());
        let (near, bit) = (amount * dec("0.97"), Decimal::new(1, 4));
        prop_assert_eq!(lost(near - bit), Verdict::Fine);
        prop_assert!(message(lost(near)).contains("approaching"));
        prop_assert!(message(lost(amount - bit)).contains("approaching"));
        prop_assert!(message(lost(amount)).contains("reached"));
    }

    /// What is deposited or withdrawn is neither profit nor loss, whenever the day turns.
    #[test]
    fn cash_that_comes_or_goes_fires_nothing(limits in any_limits(), opening in any_cents(), moves in proptest::collection::vec((-10_000_000_i64..10_000_000, 0_i64..40_000), 1..20)) {
        let mut user = user(limits);
        let (mut now, mut cash) = (noon(), Money::new(opening));
        see(&mut user, &opening.to_string(), now);
        for (cents, seconds) in moves {
            now += TimeDelta::seconds(seconds);
            let amount = Money::new(Decimal::new(cents, 2));
            cash += amount;
            let balance = told(cash, cash, now);
            user.apply(&Event::CashMoved { connection: account(), amount, balance }, now);
            let day = user.standing(account(), cash, now).unwrap();
            prop_assert_eq!(day.pnl(), Money::ZERO);
            prop_assert_eq!(judge(&user.limits, &day, now), Verdict::Fine);
        }
    }
}

#[test]
fn shares_that_were_sold_outside_are_no_loss() {
    let mut user = user(Limits::default());
    see(&mut user, "1000", noon());
    let mut position = Position::flat(account(), "AAPL".parse().unwrap(), noon());
    let ours = Net::new(dec("90"));
    position.net = ours;
    user.apply(
        &Event::PositionChanged { position: position.clone(), realized: Money::ZERO, opened: true },
        noon(),
    );
    see(&mut user, "100", noon());
    let price = Price::new(Decimal::TEN).unwrap();
    let at_price = |user: &UserState, cash| user.equity(account(), cash, |_| Some(price));
    assert_eq!(at_price(&user, money("100")), money("1000"));
    position.net = Net::new(dec("30"));
    user.apply(&Event::DriftFound { ours, position, price: Some(price) }, noon());
    let amount = money("600");
    let balance = told(money("700"), money("1000"), noon());
    user.apply(&Event::CashMoved { connection: account(), amount, balance }, noon());
    assert_eq!(user.standing(account(), at_price(&user, money("700")), noon()).unwrap().pnl(), Money::ZERO);
}
