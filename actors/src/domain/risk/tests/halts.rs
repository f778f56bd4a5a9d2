//! Halts, the daily loss, and what one source may do.

use super::day::Standing;
use super::*;

#[test]
fn a_halt_stops_everything_but_leaving_by_hand() {
    for case in [
        fine().with(|case| case.trading = halted("owner")),
        fine().with(|case| case.global_halt = Some("maintenance".to_owned())),
    ] {
        assert_eq!(case.denied(), DenialCode::Halted);
        assert_eq!(case.clone().manual().denied(), DenialCode::Halted);
        assert_eq!(case.clone().closing().holding("5").denied(), DenialCode::Halted);
        assert!(case.closing().holding("5").manual().review().is_ok());
    }
}

#[test]
fn a_halt_is_told_with_who_and_why() {
    let case = fine().with(|case| case.trading = halted("owner"));
    assert_eq!(
        case.message(),
        "Trading is halted (owner: lunch). Nothing was sent. Resume trading to take signals again."
    );
}

fn by_rules(cause: HaltCause, reason: &str) -> Trading {
    Trading::Halted {
        by: "risk".to_owned(),
        reason: reason.to_owned(),
        at: DateTime::UNIX_EPOCH,
        cause,
        until: None,
    }
}

#[test]
fn after_a_days_loss_every_exit_is_open_and_the_halt_speaks_for_itself() {
    let words = "Daily loss limit reached (-5%). Trading disabled until tomorrow.";
    let case = fine().with(|case| case.trading = by_rules(HaltCause::DailyLoss, words));
    assert_eq!((case.denied(), case.message()), (DenialCode::DailyLoss, words.to_owned()));
    assert_eq!(case.clone().manual().denied(), DenialCode::DailyLoss);
    assert!(case.clone().closing().holding("5").review().is_ok());
    assert!(case.clone().closing().holding("5").manual().review().is_ok());
    // The person's own halt stops signals still, though the day's loss stands in its place.
    let both = case.with(|case| case.own_halt = Some(halted("owner")));
    assert_eq!(both.closing().holding("5").denied(), DenialCode::Halted);
}

#[test]
fn a_locked_account_is_left_by_hand_alone() {
    let words = "Emergency circuit breaker triggered (-8%). Account under review. Contact support.";
    let case = fine().with(|case| case.trading = by_rules(HaltCause::CircuitBreaker, words));
    assert_eq!((case.denied(), case.message()), (DenialCode::UnderReview, words.to_owned()));
    assert_eq!(case.clone().closing().holding("5").denied(), DenialCode::UnderReview);
    assert!(case.closing().holding("5").manual().review().is_ok());
}

fn lost(amount: &str, breached: Option<HaltCause>) -> Case {
    let opening = money("10000");
    fine().with(|case| case.day = Some(Standing { opening, equity: opening - money(amount), breached }))
}

#[test]
fn no_entry_slips_in_between_a_loss_and_its_halt() {
    assert!(lost("484.99", None).review().is_ok());
    assert_eq!(lost("485", None).denied(), DenialCode::DailyLoss);
    assert_eq!(
        lost("500", None).message(),
        "Daily loss limit reached (-5%). Trading disabled until tomorrow."
    );
    assert_eq!(lost("800", None).denied(), DenialCode::UnderReview);
    assert!(lost("800", None).closing().holding("5").review().is_ok());
}

#[test]
fn what_an_operator_lifted_does_not_stop_the_same_day_again() {
    assert!(lost("600", Some(HaltCause::DailyLoss)).review().is_ok());
    assert_eq!(lost("800", Some(HaltCause::DailyLoss)).denied(), DenialCode::UnderReview);
    assert!(lost("2000", Some(HaltCause::CircuitBreaker)).review().is_ok());
}

#[test]
fn a_decision_keeps_the_numbers_of_its_day() {
    let decision = lost("484.99", None).review().unwrap().decision;
    assert_eq!((decision.day_opening, decision.day_pnl), (Some(money("10000")), Some(money("-484.99"))));
    let limits = decision.limits.unwrap();
    assert_eq!((limits.daily_loss, limits.breaker), (Some(money("500")), Some(money("800"))));
}

#[test]
fn the_stricter_of_user_and_source_holds() {
    let limited = SourceLimits {
        position_max_pct: Some(Percent::new(dec("4"))),
        order_max_notional: Some(money("5000000")),
        orders_per_minute: Some(3),
    };
    let limits = Limits::default().within(&limited);
    assert_eq!(limits.position_max_pct, Percent::new(dec("4")));
    assert_eq!(limits.order_max_notional, Limits::default().order_max_notional);
    let case = fine().with(|case| case.from_source = (Some(limited), 2));
    assert_eq!(case.review().unwrap().decision.limits.unwrap().orders_per_minute, 3);
    let many = case.with(|case| case.from_source.1 = 3);
    assert_eq!(many.denied(), DenialCode::OrderRate);
    assert_eq!(many.message(), "More than 3 orders of this source within a minute. Nothing was sent.");
}
