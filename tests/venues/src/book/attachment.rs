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
        let (opens, other_opens) = (self.check(&one)?, self.check(&other)?);
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
            let leg = self.shelve(now, ticket, false);
            if let Some(order) = self.orders.get_mut(&leg) {
                order.status = Status::Held;
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
            Status::Filled => self.rouse(now, &legs),
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

    fn rouse(&mut self, now: DateTime<Utc>, legs: &[OrderId]) {
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

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::super::{Change, Class, Exits, Kind, Rules, Side, Size, Terms, Tif};
    use super::*;
    use crate::account::Account;
    use crate::feed::Price;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn d(number: i64) -> Decimal {
        Decimal::from(number)
    }

    fn ticket(side: Side, kind: Kind, qty: i64) -> Ticket {
        Ticket {
            account: "a".to_owned(),
            client_order_id: None,
            symbol: "S".to_owned(),
            side,
            kind,
            tif: Tif::Gtc,
            size: Size::Qty(d(qty)),
            extended_hours: false,
            class: Class::Simple,
            exits: Exits::default(),
            terms: Terms::default(),
        }
    }

    /// A book whose one account has 1000 and may invest as much, at a price of 10.
    fn book() -> Book {
        let zero = (Decimal::ZERO, Decimal::ZERO);
        let mut book =
            Book::new(Rules { wash_trades: false, collar_pct: zero, crosses: true, ..Rules::default() });
        book.open_account("a", Account::new(d(1000), Decimal::ONE));
        book.set_price(NOW, &Price::flat("S", d(10))).unwrap();
        book
    }

    fn statuses(book: &Book) -> Vec<Status> {
        book.orders().map(|order| order.status).collect()
    }

    fn exits(qty: i64) -> Vec<Ticket> {
        let sell = |kind| ticket(Side::Sell, kind, qty);
        vec![sell(Kind::Limit { limit: d(12) }), sell(Kind::Stop { stop: d(8) })]
    }

    #[test]
    fn what_hangs_on_an_order_wakes_with_it_and_ends_with_it() {
        let mut book = book();
        let filled = book.place(NOW, ticket(Side::Buy, Kind::Market, 5)).unwrap();
        book.attach(NOW, filled, exits(5));
        assert_eq!(statuses(&book), [Status::Filled, Status::New, Status::New]);
        book.set_price(NOW, &Price::flat("S", d(12))).unwrap();
        assert_eq!(statuses(&book), [Status::Filled, Status::Filled, Status::Canceled]);
        let open = book.place(NOW, ticket(Side::Buy, Kind::Limit { limit: d(9) }, 5)).unwrap();
        let legs = book.attach(NOW, open, exits(5));
        assert_eq!(book.order(legs[0]).unwrap().status, Status::Held);
        book.cancel(NOW, open).unwrap();
        let late = book.attach(NOW, open, exits(5));
        for leg in legs.into_iter().chain(late) {
            assert_eq!(book.order(leg).unwrap().status, Status::Canceled);
        }
        assert_eq!(book.account("a").unwrap().qty("S"), Decimal::ZERO);
    }

    #[test]
    fn of_two_rivals_one_trades() {
        let mut book = book();
        let limit = |limit| ticket(Side::Buy, Kind::Limit { limit: d(limit) }, 5);
        book.place_rivals(NOW, limit(10), limit(10)).unwrap();
        assert_eq!(statuses(&book), [Status::Filled, Status::Canceled]);
        assert_eq!(book.account("a").unwrap().qty("S"), d(5));
        let dear = ticket(Side::Buy, Kind::Limit { limit: d(10) }, 500);
        assert!(book.place_rivals(NOW, limit(9), dear).is_err());
        assert_eq!(statuses(&book).len(), 2, "neither is taken");
    }

    #[test]
    fn an_order_goes_through_a_position_as_far_as_there_is_money() {
        let mut book = book();
        book.place(NOW, ticket(Side::Buy, Kind::Market, 50)).unwrap();
        let far = book.place(NOW, ticket(Side::Sell, Kind::Market, 151));
        assert!(matches!(far, Err(Refusal::BuyingPower { .. })), "{far:?}");
        book.place(NOW, ticket(Side::Sell, Kind::Market, 150)).unwrap();
        let account = book.account("a").unwrap();
        assert_eq!((account.qty("S"), account.cash), (d(-100), d(2000)));
    }

    #[test]
    fn a_change_in_place_keeps_what_has_filled_and_trades_at_once() {
        let mut book = book();
        let id = book.place(NOW, ticket(Side::Buy, Kind::Limit { limit: d(9) }, 10)).unwrap();
        book.fill(NOW, id, Some(d(4)), d(9)).unwrap();
        let change =
            |qty: i64, limit: i64| Change { qty: Some(d(qty)), limit: Some(d(limit)), ..Change::default() };
        assert_eq!(book.amend(NOW, id, &change(4, 9)), Err(Refusal::Unfitting));
        assert!(matches!(book.amend(NOW, id, &change(500, 9)), Err(Refusal::BuyingPower { .. })));
        assert_eq!(book.order(id).unwrap().leaves(), d(6), "a refused change changes nothing");
        book.amend(NOW, id, &change(7, 10)).unwrap();
        let order = book.order(id).unwrap();
        assert_eq!((order.status, order.filled_qty, order.filled_value), (Status::Filled, d(7), d(66)));
        assert_eq!(book.amend(NOW, id, &change(8, 10)), Err(Refusal::NotOpen(Status::Filled)));
    }

    #[test]
    fn what_is_taken_and_rejected_never_trades() {
        let mut book = book();
        let id = book.take_and_reject(NOW, ticket(Side::Buy, Kind::Market, 1_000_000));
        let told: Vec<&str> = book.take_events().iter().map(|event| event.what.name()).collect();
        assert_eq!(told, ["new", "rejected"]);
        assert_eq!(book.order(id).unwrap().filled_qty, Decimal::ZERO);
    }
}
