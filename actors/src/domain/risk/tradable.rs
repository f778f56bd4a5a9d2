//! The symbol is traded here, has a price, and the order fits the venue's steps and minimum.

use super::{Denial, DenialCode, Snapshot};
use crate::domain::intent::Intent;

pub(super) fn rule(mut intent: Intent, seen: &Snapshot<'_>) -> Result<Intent, Denial> {
    let symbol = intent.ticket.symbol;
    let Some(instrument) = seen.instrument.filter(|instrument| instrument.tradable) else {
        return Err(Denial::new(
            DenialCode::InvalidSymbol,
            format!("{symbol} is not traded at {}. Nothing was sent.", seen.connection.broker),
        ));
    };
    let Some(price) = seen.judged_price(&intent) else {
        if let Some(refusal) = seen.locked_out {
            return Err(Denial::new(DenialCode::AuthFailed, refusal.message.clone()));
        }
        return Err(Denial::new(
            DenialCode::NoPrice,
            format!("No price is known for {symbol}, so the order cannot be checked. Nothing was sent."),
        ));
    };
    intent.decision.price = Some(price);
    let kind = intent.ticket.kind;
    if let Some(off) =
        kind.limit().into_iter().chain(kind.trigger()).find(|price| !price.on_tick(instrument.tick))
    {
        return Err(Denial::new(
            DenialCode::FatFinger,
            format!("{symbol} trades in steps of {}; {off} is not one. Nothing was sent.", instrument.tick),
        ));
    }
    if intent.decision.requested.is_none() && !intent.ticket.reduces && seen.balance.is_none() {
        // The order could not be sized at all: that it is too small would be the wrong reason.
        return Err(super::buying_power::unknown(seen));
    }
    let whole = intent.ticket.quantity.floor_to(instrument.lot);
    if whole.is_zero() || (price.notional(whole) < instrument.min_notional && !intent.ticket.reduces) {
        return Err(Denial::new(
            DenialCode::BelowMinimum,
            format!(
                "The order is too small: {symbol} trades in lots of {} worth at least {}. Nothing was sent.",
                instrument.lot,
                instrument.min_notional.dollars()
            ),
        ));
    }
    if whole != intent.ticket.quantity {
        let note = format!("quantity rounded down to {whole} (lots of {})", instrument.lot);
        return Ok(intent.reduced_to(whole, note));
    }
    Ok(intent)
}
