//! A signal that waited too long (through an outage, say) is not acted on: its price is gone.

use super::{Denial, DenialCode, Snapshot};
use crate::domain::intent::Intent;

pub(super) fn rule(intent: Intent, seen: &Snapshot<'_>) -> Result<Intent, Denial> {
    let age_s = (seen.now - seen.received_at).num_seconds();
    if age_s <= i64::from(seen.limits.signal_max_age_s) {
        return Ok(intent);
    }
    Err(Denial::new(
        DenialCode::Stale,
        format!(
            "The signal was {age_s} s old when it could be acted on (limit {} s). Nothing was sent.",
            seen.limits.signal_max_age_s
        ),
    ))
}
