//! An order for a closed market is denied, with the time of the next opening.

use chrono_tz::America::New_York;

use super::{Denial, DenialCode, Snapshot};
use crate::domain::calendar::MarketStatus;
use crate::domain::intent::Intent;

pub(super) fn rule(intent: Intent, seen: &Snapshot<'_>) -> Result<Intent, Denial> {
    let MarketStatus::Closed { opens_at } = seen.market else { return Ok(intent) };
    let opens_at = opens_at.with_timezone(&New_York).format("%A %-I:%M%P ET");
    Err(Denial::new(
        DenialCode::MarketClosed,
        format!("The market for {} is closed until {opens_at}. Nothing was sent.", intent.ticket.symbol),
    ))
}
