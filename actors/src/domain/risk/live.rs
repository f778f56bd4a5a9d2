//! Real money is traded only at accounts where its owner switched that on; what is held can always be left.

use super::{Denial, DenialCode, Snapshot};
use crate::domain::intent::Intent;
use crate::domain::order::Mode;

pub(super) fn rule(intent: Intent, seen: &Snapshot<'_>) -> Result<Intent, Denial> {
    let account = seen.connection;
    if account.mode == Mode::Live && !account.is_live_on && !intent.ticket.reduces {
        return Err(Denial::new(
            DenialCode::LiveOff,
            "Trading with real money is not switched on for this broker account. Nothing was sent. Switch it on where your \
             broker accounts are listed, then send the signal again.",
        ));
    }
    Ok(intent)
}
