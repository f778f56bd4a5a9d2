//! Who trades real money, and where.

use super::*;

#[test]
fn the_free_plan_trades_paper_money_only() {
    let live = fine().with(|case| case.connection.mode = Mode::Live);
    assert_eq!(live.denied(), DenialCode::Plan);
    assert_eq!(live.with(|case| case.plan = Plan::Basic).denied(), DenialCode::LiveOff);
}

#[test]
fn real_money_is_traded_only_where_that_is_switched_on_and_what_is_held_can_be_left() {
    let off = fine().with(|case| (case.plan, case.connection.mode) = (Plan::Basic, Mode::Live));
    assert_eq!(off.denied(), DenialCode::LiveOff);
    assert!(off.clone().with(|case| case.connection.is_live_on = true).review().is_ok());
    assert!(off.holding("10").closing().review().is_ok());
}
