//! Families whose members are orders in their own right: each with its own terms, put together by whoever places them.

use chrono::{DateTime, Utc};

use super::{Book, Order, OrderId, Refusal, Status, Ticket, What};

impl Book {
    /// Takes two orders of which one cancels the other.
    ///
    /// # Errors
    ///
    /// Says why one of them is not taken; then neither is.
    pub fn place_rivals(
        &mut self,
        now: DateTime<Utc>,
        one: Ticket,
        other: Ticket,
    ) -> Result<(OrderId, OrderId), Refusal> {
        for ticket in [&one, &other] {
            let name = ticket.client_order_id.as_ref();
            if name.is_some_and(|name| self.named(&ticket.account, name).is_some()) {
                return Err(Refusal::DuplicateName);
            }
        }
        let (opens, other_opens) = (self.check_worth(&one)?, self.check_worth(&other)?);
        let (one, other) = (self.admit(now, one, opens), self.admit(now, other, other_opens));
        self.make_rivals(one, other);
        self.match_order(now, one);
        self.match_order(now, other);
        Ok((one, other))
    }

    /// Puts orders behind another, to wake once all of it has traded. Two of them are rivals.
    ///
    /// If it has traded already they wake at once; if it is over without that, so are they.
    pub fn attach(&mut self, now: DateTime<Utc>, parent: OrderId, tickets: Vec<Ticket>) -> Vec<OrderId> {
        let Some(status) = self.orders.get(&parent).map(|order| order.status) else { return Vec::new() };
        let mut legs = Vec::new();
        for ticket in tickets {
            let leg = self.shelve(now, ticket, Status::Held, false);
            if let Some(order) = self.orders.get_mut(&leg) {
                order.parent = Some(parent);
            }
            legs.push(leg);
        }
        if let [one, other] = legs.as_slice() {
            self.make_rivals(*one, *other);
        }
        if let Some(order) = self.orders.get_mut(&parent) {
            order.legs.extend(&legs);
        }
        for leg in &legs {
            self.tell(now, *leg, What::Held);
        }
        match status {
            Status::Filled => self.wake(now, &legs),
            Status::Canceled | Status::Expired | Status::Replaced | Status::Rejected => {
                for leg in &legs {
                    self.end(now, *leg, Status::Canceled);
                }
            }
            Status::Accepted
            | Status::Held
            | Status::New
            | Status::PartiallyFilled
            | Status::PendingCancel => {}
        }
        legs
    }

    /// Takes an order without asking whether the account can pay for it, and rejects it right after.
    pub fn take_and_reject(&mut self, now: DateTime<Utc>, ticket: Ticket) -> OrderId {
        let id = self.admit(now, ticket, false);
        self.end(now, id, Status::Rejected);
        id
    }

    fn wake(&mut self, now: DateTime<Utc>, legs: &[OrderId]) {
        let is_held = |order: &&mut Order| order.status == Status::Held;
        for leg in legs {
            let Some(order) = self.orders.get_mut(leg).filter(is_held) else { continue };
            order.status = Status::New;
            self.tell(now, *leg, What::New);
        }
        for leg in legs {
            self.match_order(now, *leg);
        }
    }
}
