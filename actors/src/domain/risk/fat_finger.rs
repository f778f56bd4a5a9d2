//! Slips of the finger: an absurd value, a price far from the market, a burst of orders.
//!
//! A person's own order above the position limit is such a slip too: it is refused, not shrunk (US-006.4).

use super::{Denial, DenialCode, Limits, Snapshot};
use crate::domain::intent::Intent;
use crate::domain::portfolio::Balance;
use crate::domain::signal::Origin;

pub(super) fn rule(intent: Intent, seen: &Snapshot<'_>) -> Result<Intent, Denial> {
    let (ticket, limits) = (&intent.ticket, seen.limits);
    if seen.recent_orders >= limits.orders_per_minute {
        return Err(Denial::new(
            DenialCode::OrderRate,
            format!("More than {} orders within a minute. Nothing was sent.", limits.orders_per_minute),
        ));
    }
    if let Some(most) = seen.source_limits.and_then(|source| source.orders_per_minute)
        && seen.recent_from_source >= most
    {
        return Err(Denial::new(
            DenialCode::OrderRate,
            format!("More than {most} orders of this source within a minute. Nothing was sent."),
        ));
    }
    if let Some(quote) = seen.quote {
        let named = ticket.kind.limit().into_iter().chain(ticket.kind.trigger());
        if let Some(far) =
            named.into_iter().find(|price| price.distance_pct(quote.price) > limits.price_band_pct)
        {
            return Err(Denial::new(
                DenialCode::FatFinger,
                format!(
                    "{far} is more than {}% away from the last price of {} ({}). Nothing was sent.",
                    limits.price_band_pct, ticket.symbol, quote.price
                ),
            ));
        }
    }
    let Some(notional) = intent.decision.price.map(|price| price.notional(ticket.quantity)) else {
        return Ok(intent);
    };
    if ticket.reduces {
        return Ok(intent);
    }
    if let (Origin::Manual, Some(balance)) = (ticket.origin, seen.balance) {
        let most = balance.equity.part(limits.position_max_pct);
        if notional > most {
            return Err(override_attempt(&balance, limits));
        }
    }
    if notional > limits.order_max_notional {
        return Err(Denial::new(
            DenialCode::FatFinger,
            format!(
                "The order is worth {}, above the limit of {} for one order. Nothing was sent.",
                notional.dollars(),
                limits.order_max_notional.dollars()
            ),
        ));
    }
    Ok(intent)
}

/// Words the denial of a person's own order beyond the position limit.
pub(super) fn override_attempt(balance: &Balance, limits: &Limits) -> Denial {
    Denial::new(
        DenialCode::PositionLimit,
        format!(
            "Manual orders subject to risk limits. Max position: {} ({}% of {} equity)",
            balance.equity.part(limits.position_max_pct).dollars(),
            limits.position_max_pct,
            balance.equity.dollars()
        ),
    )
}
