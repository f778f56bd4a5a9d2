//! No position grows beyond its share of equity (FR-005): a signal's order is shrunk to what fits (US-006.1),
//! a person's own order is refused (US-006.4).

use super::fat_finger::override_attempt;
use super::{Denial, DenialCode, Snapshot};
use crate::domain::intent::Intent;
use crate::domain::money::{Money, Quantity};
use crate::domain::signal::Origin;

pub(super) fn rule(intent: Intent, seen: &Snapshot<'_>) -> Result<Intent, Denial> {
    let (Some(balance), Some(price), Some(instrument)) =
        (seen.balance, intent.decision.price, seen.instrument)
    else {
        return Ok(intent);
    };
    if intent.ticket.reduces {
        return Ok(intent);
    }
    let most = balance.equity.part(seen.limits.position_max_pct);
    let expected = seen.worst_position(intent.ticket.side);
    let after = (expected + intent.ticket.signed(intent.ticket.quantity)).size();
    if price.notional(after) <= most {
        return Ok(intent);
    }
    if intent.ticket.origin == Origin::Manual {
        return Err(override_attempt(&balance, seen.limits));
    }
    // What goes against the position first closes it, and only the rest opens.
    let against =
        !expected.is_flat() && expected.is_short() != intent.ticket.signed(intent.ticket.quantity).is_short();
    let held = if against { Money::ZERO } else { price.notional(expected.size()) };
    let closing = if against { expected.size() } else { Quantity::ZERO };
    let fits = (Quantity::affordable(most - held, price) + closing).floor_to(instrument.lot);
    let pct = seen.limits.position_max_pct;
    if fits.is_zero() || (price.notional(fits) < instrument.min_notional && !against) {
        return Err(Denial::new(
            DenialCode::PositionLimit,
            format!(
                "The position in {} is already at its limit of {} ({pct}% of {} equity). Nothing was sent.",
                intent.ticket.symbol,
                most.dollars(),
                balance.equity.dollars()
            ),
        ));
    }
    let fits = fits.min(intent.ticket.quantity);
    let note = format!("Position sized reduced to {fits} shares ({pct}% max rule)");
    Ok(intent.reduced_to(fits, note))
}
