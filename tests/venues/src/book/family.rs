//! Orders that come together: entries with exits, and exits of which one cancels the other.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::admission::taken_as;
use super::{Book, Class, Exits, Kind, Order, OrderId, Rivals, Size, Status, StopLoss, Ticket, Times, What};

impl Book {
    /// Puts the exits of an order just inserted behind it.
    pub(super) fn bring_legs(&mut self, now: DateTime<Utc>, id: OrderId) {
        let Some(parent) = self.orders.get(&id).cloned() else { return };
        let Exits { profit, loss } = parent.ticket.exits;
        let kinds: Vec<Kind> = match parent.ticket.class {
            Class::Simple => Vec::new(),
            Class::Bracket | Class::Oto => {
                profit.map(|limit| Kind::Limit { limit }).into_iter().chain(loss.map(stopping)).collect()
            }
            Class::Oco => loss.map(stopping).into_iter().collect(),
        };
        let legs: Vec<OrderId> = kinds.into_iter().map(|kind| self.bring_leg(now, &parent, kind)).collect();
        match (parent.ticket.class, legs.as_slice()) {
            (Class::Bracket, [profit, loss]) => self.make_rivals(*profit, *loss),
            (Class::Oco, [loss]) => self.make_rivals(id, *loss),
            (Class::Simple | Class::Bracket | Class::Oto | Class::Oco, _) => {}
        }
        if let Some(parent) = self.orders.get_mut(&id) {
            parent.legs = legs;
        }
    }

    fn bring_leg(&mut self, now: DateTime<Utc>, parent: &Order, kind: Kind) -> OrderId {
        let oco = parent.ticket.class == Class::Oco;
        let ticket = Ticket {
            client_order_id: None,
            side: if oco { parent.ticket.side } else { parent.ticket.side.other() },
            kind,
            exits: Exits::default(),
            ..parent.ticket.clone()
        };
        let leg = Order {
            id: self.next_id(),
            client_order_id: String::new(),
            created_at: now,
            times: Times { updated: Some(now), ..Times::default() },
            status: if oco { parent.status } else { Status::Held },
            qty: match ticket.size {
                Size::Qty(qty) => Some(qty),
                Size::Notional(_) => None,
            },
            opens: false,
            parent: Some(parent.id),
            legs: Vec::new(),
            ticket,
            ..parent.clone()
        };
        self.insert(leg)
    }

    /// Ends an order's rival, and leaves the order itself as it is.
    pub(super) fn expire_rival(&mut self, now: DateTime<Utc>, id: OrderId) {
        let Some(rival) = self.orders.get_mut(&id).and_then(|order| order.rival.take()) else { return };
        if let Some(rival) = self.orders.get_mut(&rival) {
            rival.rival = None;
        }
        self.end(now, rival, Status::Expired);
    }

    pub(super) fn make_rivals(&mut self, one: OrderId, other: OrderId) {
        for (id, rival) in [(one, other), (other, one)] {
            if let Some(order) = self.orders.get_mut(&id) {
                order.rival = Some(rival);
            }
        }
    }

    /// Says that the exits of an order are there.
    pub(super) fn tell_legs(&mut self, now: DateTime<Utc>, id: OrderId) {
        for leg in self.legs_of(id) {
            let Some(status) = self.orders.get(&leg).map(|order| order.status) else { continue };
            self.tell(now, leg, taken_as(status));
        }
    }

    /// Trades those exits of an order that trade at once.
    pub(super) fn match_legs(&mut self, now: DateTime<Utc>, id: OrderId) {
        for leg in self.legs_of(id) {
            self.match_order(now, leg);
        }
    }

    /// Does what a trade of an order means to its family: exits wake once all of it has traded, a rival shrinks or
    /// ends.
    pub(super) fn after_fill(&mut self, now: DateTime<Utc>, id: OrderId, qty: Decimal) {
        let Some(order) = self.orders.get(&id).cloned() else { return };
        match (order.rival, self.rules.rivals) {
            (Some(rival), Rivals::Shrink) => self.shrink(now, rival, qty, order.status == Status::Filled),
            (Some(_), Rivals::Expire) => self.expire_rival(now, id),
            (None, _) => {}
        }
        if order.status != Status::Filled {
            return;
        }
        for leg in order.legs {
            let Some(exit) = self.orders.get_mut(&leg).filter(|leg| leg.status == Status::Held) else {
                continue;
            };
            exit.status = Status::New;
            self.tell(now, leg, What::New);
        }
        self.match_legs(now, id);
    }

    fn shrink(&mut self, now: DateTime<Utc>, id: OrderId, qty: Decimal, over: bool) {
        let Some(rival) = self.orders.get_mut(&id).filter(|rival| rival.status.is_open()) else { return };
        let left = rival.leaves() - qty;
        if over || left <= Decimal::ZERO {
            self.end(now, id, Status::Canceled);
            return;
        }
        rival.resize(-qty);
        self.tell(now, id, What::Restated);
    }

    /// Ends an order, and with it the exits that still wait for it and the rival.
    pub(super) fn end(&mut self, now: DateTime<Utc>, id: OrderId, status: Status) {
        let Some(order) = self.orders.get_mut(&id).filter(|order| order.status.is_open()) else { return };
        order.status = status;
        order.next_part_at = None;
        order.cancel_at = None;
        let (slot, what) = match status {
            Status::Expired => (&mut order.times.expired, What::Expired),
            Status::Rejected => (&mut order.times.failed, What::Rejected),
            Status::Accepted
            | Status::Held
            | Status::New
            | Status::PartiallyFilled
            | Status::PendingCancel
            | Status::Filled
            | Status::Canceled
            | Status::Replaced => (&mut order.times.canceled, What::Canceled),
        };
        *slot = Some(now);
        let (rival, legs) = (order.rival, order.legs.clone());
        self.open.remove(&id);
        self.tell(now, id, what);
        let with_it = if status == Status::Expired { Status::Expired } else { Status::Canceled };
        if let Some(rival) = rival {
            self.end(now, rival, with_it);
        }
        for leg in legs {
            if self.orders.get(&leg).is_some_and(|leg| leg.status == Status::Held) {
                self.end(now, leg, with_it);
            }
        }
    }

    /// Puts a new order into the place an old one had in its family. Exits that wait are for so much more.
    pub(super) fn move_family(&mut self, now: DateTime<Utc>, old: OrderId, new: OrderId, more: Decimal) {
        let whole = self.orders.get(&new).map_or(Decimal::ZERO, Order::leaves);
        let Some(order) = self.orders.get_mut(&old) else { return };
        let (parent, rival) = (order.parent, order.rival.take());
        for id in std::mem::take(&mut order.legs) {
            let Some(leg) = self.orders.get_mut(&id) else { continue };
            leg.parent = Some(new);
            if leg.status == Status::Held && !more.is_zero() {
                // One that was made smaller before stays above nothing.
                let enough = leg.leaves() + more > Decimal::ZERO;
                leg.resize(if enough { more } else { whole.min(leg.leaves()) - leg.leaves() });
                self.tell(now, id, What::Restated);
            }
        }
        if let Some(rival) = rival.and_then(|id| self.orders.get_mut(&id)) {
            rival.rival = Some(new);
        }
        if let Some(parent) = parent.and_then(|id| self.orders.get_mut(&id)) {
            for leg in parent.legs.iter_mut().filter(|leg| **leg == old) {
                *leg = new;
            }
        }
    }

    fn legs_of(&self, id: OrderId) -> Vec<OrderId> {
        self.orders.get(&id).map(|order| order.legs.clone()).unwrap_or_default()
    }
}

fn stopping(loss: StopLoss) -> Kind {
    match loss.limit {
        Some(limit) => Kind::StopLimit { stop: loss.stop, limit },
        None => Kind::Stop { stop: loss.stop },
    }
}
