//! The kill switch, for everybody and for one user, halts that losses called for, and suspension.
//!
//! Leaving a position by hand stays possible, and so do the engine's own exits; after a day's loss every exit does.

use super::{Denial, DenialCode, Snapshot};
use crate::domain::event::HaltCause;
use crate::domain::intent::Intent;
use crate::domain::signal::Origin;
use crate::domain::user::Trading;

pub(super) fn rule(intent: Intent, seen: &Snapshot<'_>) -> Result<Intent, Denial> {
    if let Some(reason) = seen.suspended {
        return Err(Denial::suspended(reason));
    }
    let exits = intent.ticket.reduces;
    if exits && matches!(intent.ticket.origin, Origin::Manual | Origin::Engine) {
        return Ok(intent);
    }
    if let Some(reason) = seen.global_halt {
        return Err(stopped("for everybody by the operator", reason));
    }
    match seen.trading {
        Trading::Active => Ok(intent),
        Trading::Halted { cause: HaltCause::DailyLoss, .. } if exits => Ok(intent),
        Trading::Halted { cause: HaltCause::Person, by, reason, .. } => Err(stopped(by, reason)),
        Trading::Halted { cause, reason, .. } => Err(Denial::new(DenialCode::of(*cause), reason)),
    }
}

fn stopped(by: &str, reason: &str) -> Denial {
    Denial::new(
        DenialCode::Halted,
        format!(
            "Trading is halted ({by}: {reason}). Nothing was sent. Resume trading to take signals again."
        ),
    )
}
