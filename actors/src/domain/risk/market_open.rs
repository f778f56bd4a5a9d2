//! An order executes outside of the regular session only where the user asked for that; otherwise it waits.

use super::{Denial, Snapshot};
use crate::domain::calendar::MarketStatus;
use crate::domain::intent::Intent;
use crate::domain::waiting::takes_extended_hours;

#[expect(clippy::unnecessary_wraps, reason = "a rule like the others")]
pub(super) fn rule(mut intent: Intent, seen: &Snapshot<'_>) -> Result<Intent, Denial> {
    let ticket = &intent.ticket;
    let extended = matches!(seen.market, MarketStatus::Extended { .. });
    intent.ticket.extended_hours =
        extended && takes_extended_hours(seen.limits, ticket.kind, ticket.time_in_force);
    Ok(intent)
}
