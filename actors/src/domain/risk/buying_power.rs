//! An order costs no more than the buying power that open orders leave.

use super::{Denial, DenialCode, Snapshot};
use crate::domain::intent::Intent;

pub(super) fn rule(intent: Intent, seen: &Snapshot<'_>) -> Result<Intent, Denial> {
    if intent.ticket.reduces {
        return Ok(intent);
    }
    let fresh = |at| (seen.now - at) <= chrono::TimeDelta::seconds(i64::from(seen.limits.balance_max_age_s));
    let Some(balance) = seen.balance.filter(|balance| fresh(balance.at)) else {
        return Err(unknown(seen));
    };
    let available = balance.buying_power - seen.reserved;
    let required = intent.decision.price.map(|price| price.notional(intent.ticket.quantity));
    match required {
        Some(required) if required > available => Err(Denial::new(
            DenialCode::InsufficientFunds,
            format!(
                "Insufficient buying power: {} available, {} required",
                available.dollars(),
                required.dollars()
            ),
        )),
        _ => Ok(intent),
    }
}

/// Words the denial of an entry at an account whose balance is not known, or too old.
pub(super) fn unknown(seen: &Snapshot<'_>) -> Denial {
    Denial::new(
        DenialCode::BalanceUnknown,
        format!(
            "The balance at {} is not known or older than {} s, so no new position is opened. Nothing was sent.",
            seen.connection.broker, seen.limits.balance_max_age_s
        ),
    )
}
