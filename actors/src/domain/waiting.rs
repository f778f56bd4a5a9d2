//! Why an approved order is not sent at once: its market is closed or halted, or signals on one symbol are merged.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::America::New_York;

use super::calendar::MarketStatus;
use super::instrument::Symbol;
use super::money::{Percent, Price};
use super::order::{OrderStep, QueueCause, Ticket, TimeInForce};
use super::risk::{Denial, DenialCode, Limits};
use super::signal::{OrderKind, Side};

/// What an order waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// For what.
    pub cause: QueueCause,
    /// When it is looked at again, as far as that is known.
    pub until: Option<DateTime<Utc>>,
    /// What the user reads.
    pub reason: String,
}

impl From<Wait> for OrderStep {
    fn from(wait: Wait) -> Self {
        Self::Queued { cause: wait.cause, until: wait.until, reason: wait.reason }
    }
}

/// Returns what an order's market makes it wait for; `None`: it can be sent now.
///
/// The wording is the specification's (US-001.3); hours are New York's, where the exchange is.
#[must_use]
pub fn for_market(ticket: &Ticket, market: MarketStatus) -> Option<Wait> {
    match market {
        MarketStatus::Open => None,
        MarketStatus::Extended { .. } if ticket.extended_hours => None,
        MarketStatus::Closed { opens_at } | MarketStatus::Extended { opens_at } => {
            let opening = opens_at.with_timezone(&New_York).format("%A %-I:%M%P ET");
            let reason = format!("Order queued for {opening}");
            Some(Wait { cause: QueueCause::MarketClosed, until: Some(opens_at), reason })
        }
        MarketStatus::Halted => {
            let reason = format!(
                "market_halted: trading in {} is halted by the exchange. The order is sent when trading resumes.",
                ticket.symbol
            );
            Some(Wait { cause: QueueCause::MarketHalted, until: None, reason })
        }
    }
}

/// Returns whether an order may execute before and after the regular session: only when the user asked for it, and
/// only day orders with a limit, as brokers take no others then.
#[must_use]
pub const fn takes_extended_hours(limits: &Limits, kind: OrderKind, time_in_force: TimeInForce) -> bool {
    limits.extended_hours
        && matches!(kind, OrderKind::Limit { .. })
        && matches!(time_in_force, TimeInForce::Day)
}

/// The last order that opened a window in which signals on its symbol are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its direction.
    pub side: Side,
    /// When it was decided.
    pub opened_at: DateTime<Utc>,
}

/// Returns what an earlier signal on the same symbol makes a new one wait for; `None`: it goes out at once and opens a
/// window of its own.
///
/// # Errors
/// When the earlier one was in the other direction: the new one is refused.
pub fn for_others(
    symbol: Symbol,
    side: Side,
    window: Option<Window>,
    window_s: u32,
    now: DateTime<Utc>,
) -> Result<Option<Wait>, Denial> {
    let Some(window) = window else { return Ok(None) };
    let until = window.opened_at + TimeDelta::seconds(window_s.into());
    if now >= until || now < window.opened_at {
        return Ok(None);
    }
    if window.side != side {
        return Err(Denial::new(
            DenialCode::Conflict,
            format!(
                "A signal to {} {symbol} was taken less than {window_s} s ago; this one, to {}, contradicts it. \
                 Nothing was sent.",
                window.side.as_str(),
                side.as_str()
            ),
        ));
    }
    let reason = format!("Merged with the other signals to {} {symbol} within {window_s} s", side.as_str());
    Ok(Some(Wait { cause: QueueCause::Merging, until: Some(until), reason }))
}

/// Checks an order that waited for its market: whether it is still what was meant.
///
/// # Errors
/// When it waited too long, or the price has gone too far since.
pub fn still_meant(
    ticket: &Ticket,
    decided_at: DateTime<Utc>,
    decided_price: Option<Price>,
    price: Option<Price>,
    limits: &Limits,
    now: DateTime<Utc>,
) -> Result<(), Denial> {
    let waited_h = (now - decided_at).num_hours();
    if waited_h >= i64::from(limits.queue_max_age_h) {
        return Err(Denial::new(
            DenialCode::Stale,
            format!(
                "The order waited {waited_h} h for its market (limit {} h). Nothing was sent.",
                limits.queue_max_age_h
            ),
        ));
    }
    // What only leaves a position is meant at any price; a limit of its own is the user's word.
    if ticket.reduces || ticket.kind.limit().is_some() {
        return Ok(());
    }
    let (Some(decided), Some(price)) = (decided_price, price) else { return Ok(()) };
    let moved = price.distance_pct(decided);
    if moved > limits.queue_drift_pct {
        let moved = Percent::new(moved.get().round_dp(2).normalize());
        return Err(Denial::new(
            DenialCode::PriceMoved,
            format!(
                "The price of {} moved {moved}% (from {decided} to {price}) while the order waited for its market \
                 (limit {}%). Nothing was sent.",
                ticket.symbol, limits.queue_drift_pct
            ),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price(units: i64) -> Price {
        Price::new(units.into()).unwrap()
    }

    fn ticket(kind: OrderKind) -> Ticket {
        Ticket { symbol: "IBM".parse().unwrap(), kind, ..Ticket::sample() }
    }

    #[test]
    fn saturday_evenings_order_is_told_mondays_opening() {
        let saturday = "2025-07-13T00:00:00Z".parse().unwrap();
        let wait = for_market(&ticket(OrderKind::Market), super::super::calendar::nyse(saturday)).unwrap();
        assert_eq!(wait.reason, "Order queued for Monday 9:30am ET");
        assert_eq!(wait.until, "2025-07-14T13:30:00Z".parse().ok());
    }

    #[test]
    fn a_halt_is_told_by_name_and_has_no_end() {
        let wait = for_market(&ticket(OrderKind::Market), MarketStatus::Halted).unwrap();
        assert!(wait.reason.starts_with("market_halted:"));
        assert_eq!((wait.cause, wait.until), (QueueCause::MarketHalted, None));
    }

    #[test]
    fn the_same_way_is_merged_the_other_way_is_refused_and_later_is_new() {
        let opened_at = DateTime::UNIX_EPOCH;
        let at = |seconds, side| {
            let now = opened_at + TimeDelta::milliseconds(seconds);
            for_others("IBM".parse().unwrap(), side, Some(Window { side: Side::Buy, opened_at }), 5, now)
        };
        let merged = at(4_999, Side::Buy).unwrap().unwrap();
        assert_eq!(merged.until, Some(opened_at + TimeDelta::seconds(5)));
        assert_eq!(at(4_999, Side::Sell).unwrap_err().code, DenialCode::Conflict);
        assert_eq!((at(5_000, Side::Buy).unwrap(), at(5_000, Side::Sell).unwrap()), (None, None));
    }

    #[test]
    fn what_waited_too_long_or_got_too_dear_is_not_meant_any_more() {
        let (limits, decided) = (Limits::default(), DateTime::UNIX_EPOCH);
        let after = |hours, now_at| {
            let now = decided + TimeDelta::hours(hours);
            let market = ticket(OrderKind::Market);
            still_meant(&market, decided, Some(price(100)), Some(price(now_at)), &limits, now)
        };
        assert!(after(60, 103).is_ok());
        assert_eq!(after(60, 104).unwrap_err().code, DenialCode::PriceMoved);
        assert_eq!(after(96, 100).unwrap_err().code, DenialCode::Stale);
        let limit = ticket(OrderKind::Limit { limit: price(100) });
        let moved = still_meant(&limit, decided, Some(price(100)), Some(price(150)), &limits, decided);
        assert!(moved.is_ok());
    }

    proptest! {
        /// A window neither reaches back nor beyond its end, and never both merges and refuses.
        #[test]
        fn a_window_ends(ms in -10_000_i64..20_000, window_s in 0_u32..10, same: bool) {
            let opened_at = DateTime::UNIX_EPOCH;
            let side = if same { Side::Buy } else { Side::Sell };
            let now = opened_at + TimeDelta::milliseconds(ms);
            let window = Some(Window { side: Side::Buy, opened_at });
            let inside = ms >= 0 && ms < i64::from(window_s) * 1_000;
            match for_others("IBM".parse().unwrap(), side, window, window_s, now) {
                Ok(None) => prop_assert!(!inside),
                Ok(Some(wait)) => prop_assert!(inside && same && wait.until > Some(now)),
                Err(_) => prop_assert!(inside && !same),
            }
        }
    }
}
