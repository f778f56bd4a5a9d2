//! What the subscription allows (FR-069): the Free plan trades paper money only.

use super::{Denial, DenialCode, Snapshot};
use crate::domain::intent::Intent;
use crate::domain::order::Mode;
use crate::domain::user::Plan;

pub(super) fn rule(intent: Intent, seen: &Snapshot<'_>) -> Result<Intent, Denial> {
    if seen.plan == Plan::Free && seen.connection.mode == Mode::Live {
        return Err(Denial::new(
            DenialCode::Plan,
            "The Free plan is for paper trading only. Nothing was sent. Choose another plan to trade live.",
        ));
    }
    Ok(intent)
}
