//! Orders that are changed in place: they keep their number, their name and what has traded.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::{Book, Change, Kind, OrderId, Refusal, Size, Status, Ticket, What};

impl Book {
    /// Changes an order where it stands; a new name is not taken. What trades at the new terms trades at once.
    ///
    /// # Errors
    ///
    /// Says why not; then nothing has changed.
    pub fn amend(&mut self, now: DateTime<Utc>, id: OrderId, change: &Change) -> Result<(), Refusal> {
        let old = self.orders.get(&id).cloned().ok_or(Refusal::UnknownOrder)?;
        if !old.status.is_open() || old.status == Status::PendingCancel {
            return Err(Refusal::NotOpen(old.status));
        }
        let Some(whole) = old.qty else { return Err(Refusal::NotReplaceable(old.status)) };
        let qty = change.qty.unwrap_or(whole);
        let leaves = qty - old.filled_qty;
        if leaves <= Decimal::ZERO {
            return Err(Refusal::Unfitting);
        }
        let ticket = Ticket {
            kind: fitted(old.ticket.kind, change)?,
            tif: change.tif.unwrap_or(old.ticket.tif),
            size: Size::Qty(leaves),
            ..old.ticket.clone()
        };
        let exits = old.parent.is_some() || old.rival.is_some();
        let opens = if exits { old.opens } else { self.check_worth_instead(&ticket, Some(&old))? };
        if let Some(order) = self.orders.get_mut(&id) {
            order.ticket = Ticket { size: Size::Qty(qty), ..ticket };
            order.qty = Some(qty);
            order.opens = opens;
            // A part that waits is for what there was to share before.
            order.next_part_at = None;
            order.parts = 0;
        }
        self.tell(now, id, What::Restated);
        self.match_order(now, id);
        Ok(())
    }
}

/// Returns a kind of order with its prices changed.
pub(super) fn fitted(kind: Kind, change: &Change) -> Result<Kind, Refusal> {
    use super::Trail;
    let (limit, stop, trail) = (change.limit, change.stop, change.trail);
    match kind {
        Kind::Market if limit.is_none() && stop.is_none() && trail.is_none() => Ok(kind),
        Kind::Limit { limit: old } if stop.is_none() && trail.is_none() => {
            Ok(Kind::Limit { limit: limit.unwrap_or(old) })
        }
        Kind::Stop { stop: old } if limit.is_none() && trail.is_none() => {
            Ok(Kind::Stop { stop: stop.unwrap_or(old) })
        }
        Kind::StopLimit { stop: old, limit: worst } if trail.is_none() => {
            Ok(Kind::StopLimit { stop: stop.unwrap_or(old), limit: limit.unwrap_or(worst) })
        }
        Kind::TrailingStop { trail: old } if limit.is_none() && stop.is_none() => {
            let trail = match old {
                Trail::Price(old) => Trail::Price(trail.unwrap_or(old)),
                Trail::Percent(old) => Trail::Percent(trail.unwrap_or(old)),
            };
            Ok(Kind::TrailingStop { trail })
        }
        Kind::Market
        | Kind::Limit { .. }
        | Kind::Stop { .. }
        | Kind::StopLimit { .. }
        | Kind::TrailingStop { .. } => Err(Refusal::Unfitting),
    }
}
