//! The kill switch, for everybody and for one user, and suspension. Leaving a position by hand stays possible.

use super::{Denial, DenialCode, Snapshot};
use crate::domain::intent::Intent;
use crate::domain::signal::Origin;
use crate::domain::user::Trading;

pub(super) fn rule(intent: Intent, seen: &Snapshot<'_>) -> Result<Intent, Denial> {
    if let Some(reason) = seen.suspended {
        return Err(Denial::new(
            DenialCode::Suspended,
            format!(
                "Trading for this account is suspended: {reason}. Nothing was sent. Ask the operator to resume it."
            ),
        ));
    }
    let halt = match (seen.global_halt, seen.trading) {
        (Some(reason), _) => Some(("for everybody by the operator", reason)),
        (None, Trading::Halted { by, reason, .. }) => Some((by.as_str(), reason.as_str())),
        (None, Trading::Active) => None,
    };
    let by_hand_out = intent.ticket.origin == Origin::Manual && intent.ticket.reduces;
    match halt {
        Some((by, reason)) if !by_hand_out => Err(Denial::new(
            DenialCode::Halted,
            format!(
                "Trading is halted ({by}: {reason}). Nothing was sent. Resume trading to take signals again."
            ),
        )),
        _ => Ok(intent),
    }
}
