//! No new position once the day's loss has come to a limit: the rule for what comes between breach and halt.

use super::day::{Verdict, judge};
use super::{Denial, DenialCode, Snapshot};
use crate::domain::intent::Intent;

pub(super) fn rule(intent: Intent, seen: &Snapshot<'_>) -> Result<Intent, Denial> {
    if intent.ticket.reduces {
        return Ok(intent);
    }
    let days = seen.day.into_iter().chain(seen.together);
    match days.map(|day| judge(seen.limits, &day, seen.now)).max() {
        Some(Verdict::DailyLoss { message, .. }) => Err(Denial::new(DenialCode::DailyLoss, message)),
        Some(Verdict::Breaker { message }) => Err(Denial::new(DenialCode::UnderReview, message)),
        Some(Verdict::Fine) | None => Ok(intent),
    }
}
