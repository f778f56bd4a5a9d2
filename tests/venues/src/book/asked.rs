//! Orders that are asked for whole: with times of their own, in families whose members are each spelled out, and
//! rejected only after they were taken.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::admission::{fresh, taken_as};
use super::{Book, Class, Order, OrderId, Refusal, Session, Size, Status, Ticket, What};

/// An order with times of its own. The exits of its ticket are not looked at: they are asked for beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The order.
    pub ticket: Ticket,
    /// Not in the market before.
    pub from: Option<DateTime<Utc>>,
    /// Over then.
    pub until: Option<DateTime<Utc>>,
}

/// A rejection that comes after an order was taken, without any check of what it is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doom {
    /// When.
    pub at: DateTime<Utc>,
    /// The venue's words.
    pub why: String,
}

impl Book {
    /// Takes an order and what its class brings: two exits of a bracket, one of an entry, or the rival of a pair.
    ///
    /// # Errors
    ///
    /// Says why it is not taken; then nothing has changed. One that is doomed is always taken.
    pub fn take(
        &mut self,
        now: DateTime<Utc>,
        first: Ask,
        rest: Vec<Ask>,
        doom: Option<Doom>,
    ) -> Result<OrderId, Refusal> {
        let class = first.ticket.class;
        let mut opens = false;
        if doom.is_none() {
            opens = self.check_worth(&first.ticket)?;
            if class == Class::Oco {
                rest.iter().try_for_each(|rival| self.check_worth(&rival.ticket).map(drop))?;
            }
        }
        let id = self.insert_asked(now, first, opens, None, doom.as_ref());
        let mut legs = Vec::new();
        for leg in rest {
            let doom = doom.as_ref().filter(|_| class == Class::Oco);
            legs.push(self.insert_asked(now, leg, false, Some(id), doom));
        }
        match (class, legs.as_slice()) {
            (Class::Bracket, [one, other]) => self.make_rivals(*one, *other),
            // Both of a doomed pair are rejected: neither ends the other.
            (Class::Oco, [other]) if doom.is_none() => self.make_rivals(id, *other),
            (Class::Simple | Class::Bracket | Class::Oto | Class::Oco, _) => {}
        }
        let mut status = Status::New;
        if let Some(order) = self.orders.get_mut(&id) {
            order.legs = legs;
            status = order.status;
        }
        self.tell(now, id, taken_as(status));
        self.tell_legs(now, id);
        if self.doomed {
            self.end(now, id, Status::Rejected);
        }
        self.match_order(now, id);
        self.match_legs(now, id);
        Ok(id)
    }

    /// Puts another order in the place of one, for all that it asks, whatever has traded before.
    ///
    /// # Errors
    ///
    /// Says why not; then nothing has changed.
    pub fn supersede(&mut self, now: DateTime<Utc>, id: OrderId, ask: Ask) -> Result<OrderId, Refusal> {
        let old = self.orders.get(&id).cloned().ok_or(Refusal::UnknownOrder)?;
        if !old.status.is_open() {
            return Err(Refusal::NotOpen(old.status));
        }
        if old.status == Status::PendingCancel || old.doomed_at.is_some() {
            return Err(Refusal::NotReplaceable(old.status));
        }
        let Size::Qty(qty) = ask.ticket.size else { return Err(Refusal::Unfitting) };
        let same = ask.ticket.account == old.ticket.account
            && ask.ticket.symbol == old.ticket.symbol
            && ask.ticket.side == old.ticket.side;
        if !same || qty <= Decimal::ZERO {
            return Err(Refusal::Unfitting);
        }
        let opens = if old.parent.is_none() && old.rival.is_none() {
            self.check_worth_instead(&ask.ticket, Some(&old))?
        } else if qty > old.leaves() {
            return Err(Refusal::Unfitting);
        } else {
            old.opens
        };
        let status = if old.status == Status::Held { Status::Held } else { self.status_of(now, &ask) };
        let ticket = Ticket { class: old.ticket.class, ..ask.ticket };
        let order = Order {
            from: ask.from,
            until: ask.until,
            parent: old.parent,
            legs: old.legs.clone(),
            rival: old.rival,
            replaces: Some(id),
            ..fresh(self.next_id(), now, ticket, status, opens)
        };
        Ok(self.take_place(now, &old, order))
    }

    /// Puts an order that waited for its market into it, if that is open for it now.
    pub(super) fn wake(&mut self, now: DateTime<Utc>, id: OrderId) {
        let session = self.session;
        let Some(order) = self.orders.get_mut(&id) else { return };
        let open =
            session == Session::Regular || (session == Session::Extended && order.ticket.extended_hours);
        let due = order.doomed_at.is_none() && order.from.is_none_or(|from| from <= now);
        if open && due && order.status == Status::Accepted {
            order.status = Status::New;
            self.tell(now, id, What::New);
        }
    }

    fn status_of(&self, now: DateTime<Utc>, ask: &Ask) -> Status {
        let waits = self.waits(&ask.ticket) || ask.from.is_some_and(|from| from > now);
        if waits { Status::Accepted } else { Status::New }
    }

    fn insert_asked(
        &mut self,
        now: DateTime<Utc>,
        ask: Ask,
        opens: bool,
        parent: Option<OrderId>,
        doom: Option<&Doom>,
    ) -> OrderId {
        let status = match (doom, parent, ask.ticket.class) {
            (Some(_), ..) => Status::Accepted,
            (None, Some(_), Class::Bracket | Class::Oto) => Status::Held,
            (None, ..) => self.status_of(now, &ask),
        };
        let order = Order {
            from: ask.from,
            until: ask.until,
            parent,
            why: doom.map(|doom| doom.why.clone()),
            doomed_at: doom.map(|doom| doom.at),
            ..fresh(self.next_id(), now, ask.ticket, status, opens)
        };
        self.insert(order)
    }
}
