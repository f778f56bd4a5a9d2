//! Orders that are asked for whole: with times of their own, in families whose members are each spelled out, and
//! rejected only after they were taken.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::admission::fresh;
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
            opens = self.check(&first.ticket)?;
            if class == Class::Oco {
                rest.iter().try_for_each(|rival| self.check(&rival.ticket).map(drop))?;
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
        if let Some(order) = self.orders.get_mut(&id) {
            order.legs = legs;
        }
        self.tell_taken(now, id);
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

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::account::Account;
    use crate::book::{Exits, Kind, Rules, Side, Terms, Tif};
    use crate::feed::Price;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(second)
    }

    fn book() -> Book {
        let mut book = Book::new(Rules { wash_trades: false, ..Rules::default() });
        book.open_account("a", Account::new(Decimal::from(1000), Decimal::ONE));
        book.set_price(at(0), &Price::flat("X", Decimal::from(100))).unwrap();
        book
    }

    fn ask(side: Side, qty: i64, price: i64, class: Class) -> Ask {
        let ticket = Ticket {
            account: "a".to_owned(),
            client_order_id: None,
            symbol: "X".to_owned(),
            side,
            kind: Kind::Limit { limit: Decimal::from(price) },
            tif: Tif::Day,
            size: Size::Qty(Decimal::from(qty)),
            extended_hours: false,
            class,
            exits: Exits::default(),
            terms: Terms::default(),
        };
        Ask { ticket, from: None, until: None }
    }

    fn status(book: &Book, id: OrderId) -> Status {
        book.order(id).unwrap().status
    }

    fn names(book: &mut Book) -> Vec<&'static str> {
        book.take_events().iter().map(|event| event.what.name()).collect()
    }

    #[test]
    fn a_doomed_order_is_taken_promises_nothing_and_never_trades() {
        let mut book = book();
        let doom = Doom { at: at(5), why: "no".to_owned() };
        let id = book.take(at(0), ask(Side::Buy, 1_000, 100, Class::Simple), vec![], Some(doom)).unwrap();
        assert_eq!((status(&book, id), book.next_due()), (Status::Accepted, Some(at(5))));
        assert_eq!(book.buying_power("a"), Decimal::from(1000));
        book.set_session(at(1), Session::Closed);
        book.set_session(at(2), Session::Regular);
        book.advance(at(4));
        assert_eq!(status(&book, id), Status::Accepted);
        book.advance(at(5));
        assert_eq!((status(&book, id), book.next_due()), (Status::Rejected, None));
        assert_eq!(names(&mut book), ["accepted", "rejected"]);
        assert_eq!(book.order(id).unwrap().why.as_deref(), Some("no"));
    }

    #[test]
    fn a_doomed_pair_is_rejected_as_one() {
        let mut book = book();
        let doom = Doom { at: at(5), why: "no".to_owned() };
        let rest = vec![ask(Side::Sell, 1, 90, Class::Oco)];
        let id = book.take(at(0), ask(Side::Sell, 1, 110, Class::Oco), rest, Some(doom)).unwrap();
        book.advance(at(5));
        let other = book.order(id).unwrap().legs[0];
        assert_eq!([status(&book, id), status(&book, other)], [Status::Rejected; 2]);
    }

    #[test]
    fn an_order_is_in_the_market_from_its_time_until_its_other() {
        let mut book = book();
        let later = Ask { from: Some(at(10)), until: Some(at(20)), ..ask(Side::Buy, 1, 50, Class::Simple) };
        let [late, missed] = [later.clone(), Ask { from: Some(at(30)), ..later }]
            .map(|ask| book.take(at(0), ask, vec![], None).unwrap());
        assert_eq!(status(&book, late), Status::Accepted);
        book.set_price(at(1), &Price::flat("X", Decimal::from(40))).unwrap();
        book.advance(at(9));
        assert_eq!(status(&book, late), Status::Accepted, "not even at a good price");
        book.set_price(at(9), &Price::flat("X", Decimal::from(60))).unwrap();
        book.advance(at(10));
        assert_eq!(status(&book, late), Status::New);
        book.set_price(at(20), &Price::flat("X", Decimal::from(40))).unwrap();
        assert_eq!(status(&book, late), Status::New, "what is over trades no more");
        book.advance(at(20));
        assert_eq!([status(&book, late), status(&book, missed)], [Status::Expired; 2]);
    }

    #[test]
    fn an_exit_made_smaller_stays_above_nothing_when_its_entry_shrinks() {
        let mut book = book();
        let exit = |qty| ask(Side::Sell, qty, 110, Class::Bracket);
        let entry = |qty| ask(Side::Buy, qty, 90, Class::Bracket);
        let id = book.take(at(0), entry(10), vec![exit(10), exit(10)], None).unwrap();
        let [gain, other] = book.order(id).unwrap().legs.clone().try_into().unwrap();
        let smaller = book.supersede(at(1), gain, exit(4)).unwrap();
        book.supersede(at(2), id, entry(3)).unwrap();
        assert_eq!([smaller, other].map(|leg| book.order(leg).unwrap().leaves()), [Decimal::from(3); 2]);
    }

    #[test]
    fn another_order_takes_the_place_of_one_if_it_is_worth_it() {
        let mut book = book();
        let buy = |qty, price| ask(Side::Buy, qty, price, Class::Simple);
        let old = book.take(at(0), buy(10, 90), vec![], None).unwrap();
        assert!(matches!(book.supersede(at(1), old, buy(11, 99)), Err(Refusal::BuyingPower { .. })));
        let sell = ask(Side::Sell, 1, 90, Class::Simple);
        assert_eq!(book.supersede(at(1), old, sell), Err(Refusal::Unfitting));
        let market = Ask { ticket: Ticket { kind: Kind::Market, ..buy(5, 0).ticket }, ..buy(5, 0) };
        let new = book.supersede(at(1), old, market.clone()).unwrap();
        assert_eq!([status(&book, old), status(&book, new)], [Status::Replaced, Status::Filled]);
        assert_eq!(book.order(new).unwrap().replaces, Some(old));
        assert_eq!(book.supersede(at(2), old, market), Err(Refusal::NotOpen(Status::Replaced)));
    }
}
