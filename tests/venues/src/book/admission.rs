//! What the book takes: new orders, changes of them, and their ends.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use thiserror::Error;

use super::amendment::fitted;
use super::{
    Book, Class, Kind, Order, OrderId, Session, Side, Size, Status, Ticket, Tif, Times, TrailLimit, What,
};

/// Why the book says no. The venue has its own words for each.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such account.
    #[error("no such account")]
    UnknownAccount,
    /// There is no such order.
    #[error("no such order")]
    UnknownOrder,
    /// The account has had an order of that name before.
    #[error("the client order id was used before")]
    DuplicateName,
    /// It costs more than there is.
    #[error("insufficient buying power: {has} of {needs}")]
    BuyingPower {
        /// What could be invested.
        has: Decimal,
        /// What the order would need.
        needs: Decimal,
    },
    /// It closes more than is free to close.
    #[error("insufficient quantity: {available} of {requested}")]
    Quantity {
        /// What the order is for.
        requested: Decimal,
        /// What no other order has promised.
        available: Decimal,
        /// What there is.
        existing: Decimal,
        /// What other orders have promised.
        held: Decimal,
        /// Those orders.
        related: Vec<OrderId>,
    },
    /// It could trade with another order of the same account.
    #[error("it could trade with an order of the same account")]
    WashTrade {
        /// That order.
        with: OrderId,
    },
    /// It opens a short position with a fraction of a unit.
    #[error("fractions cannot be sold short")]
    FractionalShort,
    /// There is no position that it could make smaller, and it is to do nothing else.
    #[error("there is nothing to reduce")]
    NothingToReduce,
    /// It would trade with who waits, and is not to.
    #[error("it would trade at once")]
    WouldTake,
    /// It is over, or about to be.
    #[error("the order is {}", .0.name())]
    NotOpen(Status),
    /// It is not in the market yet, or has no quantity yet.
    #[error("the order cannot be replaced yet")]
    NotReplaceable(Status),
    /// The change changes nothing.
    #[error("nothing is changed")]
    Unchanged,
    /// The change does not fit this kind of order, or leaves nothing to trade.
    #[error("the change does not fit the order")]
    Unfitting,
}

/// A change of an order; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The whole quantity, what has filled included.
    pub qty: Option<Decimal>,
    /// How long it stands.
    pub tif: Option<Tif>,
    /// The worst price.
    pub limit: Option<Decimal>,
    /// What wakes it.
    pub stop: Option<Decimal>,
    /// How far a trailing stop stays behind, in its own measure.
    pub trail: Option<Decimal>,
    /// The new order's name.
    pub client_order_id: Option<String>,
}

impl Book {
    /// Takes an order, its exits with it, and trades what trades at once.
    ///
    /// # Errors
    ///
    /// Says why it is not taken; then nothing has changed.
    pub fn place(&mut self, now: DateTime<Utc>, ticket: Ticket) -> Result<OrderId, Refusal> {
        let opens = self.check(&ticket)?;
        let id = self.admit(now, ticket, opens);
        self.match_order(now, id);
        self.match_legs(now, id);
        Ok(id)
    }

    /// Puts an order into the book, its exits with it, and trades nothing yet.
    pub(super) fn admit(&mut self, now: DateTime<Utc>, ticket: Ticket, opens: bool) -> OrderId {
        let id = self.shelve(now, ticket, opens);
        self.bring_legs(now, id);
        self.tell_taken(now, id);
        self.tell_legs(now, id);
        if self.doomed {
            self.end(now, id, Status::Rejected);
        }
        id
    }

    /// Takes two orders of which one ends the other, and trades what trades at once. The second is shown as a leg of the
    /// first.
    ///
    /// # Errors
    ///
    /// Says why they are not taken; then nothing has changed.
    pub fn place_pair(&mut self, now: DateTime<Utc>, pair: [Ticket; 2]) -> Result<[OrderId; 2], Refusal> {
        let [first, second] = pair;
        let opens = (self.check(&first)?, self.check(&second)?);
        if first.client_order_id.is_some() && first.client_order_id == second.client_order_id {
            return Err(Refusal::DuplicateName);
        }
        let (one, other) = (self.shelve(now, first, opens.0), self.shelve(now, second, opens.1));
        self.make_rivals(one, other);
        if let Some(order) = self.orders.get_mut(&one) {
            order.legs = vec![other];
        }
        if let Some(order) = self.orders.get_mut(&other) {
            order.parent = Some(one);
        }
        for id in [one, other] {
            self.tell_taken(now, id);
        }
        if self.doomed {
            self.end(now, one, Status::Rejected);
        }
        for id in [one, other] {
            self.match_order(now, id);
        }
        Ok([one, other])
    }

    /// Checks an order as [`Book::place`] would, and takes nothing.
    ///
    /// # Errors
    ///
    /// Says why it would not be taken.
    pub fn check(&self, ticket: &Ticket) -> Result<bool, Refusal> {
        if ticket.client_order_id.as_ref().is_some_and(|name| self.name_is_taken(&ticket.account, name)) {
            return Err(Refusal::DuplicateName);
        }
        let opens = self.check_worth(ticket)?;
        self.check_wash(ticket)?;
        let touch = self.feed.quote(&ticket.symbol).map(|quote| quote.touch(ticket.side));
        let takes = ticket.kind.limit().zip(touch).is_some_and(|(limit, touch)| match ticket.side {
            Side::Buy => limit >= touch,
            Side::Sell => limit <= touch,
        });
        if ticket.terms.post_only && takes { Err(Refusal::WouldTake) } else { Ok(opens) }
    }

    /// Puts an order into the book and tells nobody.
    pub(super) fn shelve(&mut self, now: DateTime<Utc>, ticket: Ticket, opens: bool) -> OrderId {
        let status = if self.waits(&ticket) { Status::Accepted } else { Status::New };
        self.insert(fresh(self.next_id(), now, ticket, status, opens))
    }

    pub(super) fn tell_taken(&mut self, now: DateTime<Utc>, id: OrderId) {
        let Some(status) = self.orders.get(&id).map(|order| order.status) else { return };
        self.tell(now, id, taken_as(status));
    }

    /// Returns whether an order would first wait for its market to open.
    pub(super) fn waits(&self, ticket: &Ticket) -> bool {
        match self.session {
            Session::Regular => ticket.tif == Tif::Opg,
            Session::Extended => !ticket.extended_hours,
            Session::Closed => true,
        }
    }

    /// Cancels an order, at once or after the time a cancel takes.
    ///
    /// # Errors
    ///
    /// There is no such order, or it is over.
    pub fn cancel(&mut self, now: DateTime<Utc>, id: OrderId) -> Result<(), Refusal> {
        let takes = self.cancel_takes;
        let order = self.orders.get_mut(&id).ok_or(Refusal::UnknownOrder)?;
        if !order.status.is_open() || order.status == Status::PendingCancel {
            return Err(Refusal::NotOpen(order.status));
        }
        if takes.is_zero() {
            self.end(now, id, Status::Canceled);
        } else {
            order.status = Status::PendingCancel;
            order.cancel_at = Some(now + takes);
            self.tell(now, id, What::PendingCancel);
        }
        Ok(())
    }

    /// Cancels an order as [`Book::cancel`] does, and remembers what its owner calls that.
    ///
    /// # Errors
    ///
    /// There is no such order, or it is over.
    pub fn cancel_as(&mut self, now: DateTime<Utc>, id: OrderId, name: &str) -> Result<(), Refusal> {
        let order = self.orders.get_mut(&id).ok_or(Refusal::UnknownOrder)?;
        let before = order.canceled_as.replace(name.to_owned());
        let canceled = self.cancel(now, id);
        if let (Err(_), Some(order)) = (&canceled, self.orders.get_mut(&id)) {
            order.canceled_as = before;
        }
        canceled
    }

    /// Ends an order the way the venue does by itself: expired, rejected or canceled, without asking its owner.
    ///
    /// # Errors
    ///
    /// There is no such order, it is over, or that is no end.
    pub fn force(&mut self, now: DateTime<Utc>, id: OrderId, end: Status) -> Result<(), Refusal> {
        let order = self.orders.get(&id).ok_or(Refusal::UnknownOrder)?;
        if !order.status.is_open() {
            return Err(Refusal::NotOpen(order.status));
        }
        if !matches!(end, Status::Canceled | Status::Expired | Status::Rejected) {
            return Err(Refusal::Unfitting);
        }
        self.end(now, id, end);
        Ok(())
    }

    /// Puts a changed order in the place of another. The new one is for what had not traded yet.
    ///
    /// # Errors
    ///
    /// Says why not; then nothing has changed.
    pub fn replace(&mut self, now: DateTime<Utc>, id: OrderId, change: Change) -> Result<OrderId, Refusal> {
        let old = self.orders.get(&id).cloned().ok_or(Refusal::UnknownOrder)?;
        let ticket = self.changed(&old, &change)?;
        let new = self.next_id();
        let order = Order {
            id: new,
            client_order_id: change.client_order_id.unwrap_or_default(),
            created_at: now,
            times: Times { updated: Some(now), ..Times::default() },
            status: if old.status == Status::Held { Status::Held } else { Status::New },
            qty: match ticket.size {
                Size::Qty(qty) => Some(qty),
                Size::Notional(_) => None,
            },
            filled_qty: Decimal::ZERO,
            filled_value: Decimal::ZERO,
            replaces: Some(id),
            triggered: false,
            best: None,
            parts: 0,
            next_part_at: None,
            rested: false,
            ticket,
            ..old.clone()
        };
        Ok(self.take_place(now, &old, order))
    }

    /// Puts an order into the place of another, which ends.
    pub(super) fn take_place(&mut self, now: DateTime<Utc>, old: &Order, order: Order) -> OrderId {
        let more = order.leaves() - old.leaves();
        let status = order.status;
        let new = self.insert(order);
        self.move_family(now, old.id, new, more);
        if let Some(old) = self.orders.get_mut(&old.id) {
            old.status = Status::Replaced;
            old.replaced_by = Some(new);
            old.times.replaced = Some(now);
            old.next_part_at = None;
        }
        self.open.remove(&old.id);
        self.tell(now, old.id, What::Replaced);
        self.tell(now, new, taken_as(status));
        self.match_order(now, new);
        new
    }

    fn changed(&self, old: &Order, change: &Change) -> Result<Ticket, Refusal> {
        match old.status {
            Status::New | Status::PartiallyFilled | Status::Held => {}
            Status::Accepted | Status::PendingCancel => return Err(Refusal::NotReplaceable(old.status)),
            Status::Filled | Status::Canceled | Status::Expired | Status::Replaced | Status::Rejected => {
                return Err(Refusal::NotOpen(old.status));
            }
        }
        let Size::Qty(whole) = old.ticket.size else { return Err(Refusal::NotReplaceable(old.status)) };
        let name = change.client_order_id.as_deref();
        if name.is_some_and(|name| self.name_is_taken(&old.ticket.account, name)) {
            return Err(Refusal::DuplicateName);
        }
        let leaves = change.qty.unwrap_or(whole) - old.filled_qty;
        if leaves <= Decimal::ZERO {
            return Err(Refusal::Unfitting);
        }
        let mut ticket = old.ticket.clone();
        ticket.client_order_id.clone_from(&change.client_order_id);
        ticket.tif = change.tif.unwrap_or(ticket.tif);
        ticket.kind = fitted(ticket.kind, change)?;
        if leaves == old.leaves() && ticket.tif == old.ticket.tif && ticket.kind == old.ticket.kind {
            return Err(Refusal::Unchanged);
        }
        ticket.size = Size::Qty(leaves);
        if old.parent.is_none() && old.rival.is_none() {
            self.check_worth_instead(&ticket, Some(old))?;
        } else if leaves > old.leaves() {
            return Err(Refusal::Unfitting);
        }
        Ok(ticket)
    }

    /// Returns whether the order opens a position, if the account can pay for it or has it to sell.
    pub(super) fn check_worth(&self, ticket: &Ticket) -> Result<bool, Refusal> {
        self.check_worth_instead(ticket, None)
    }

    pub(super) fn check_worth_instead(
        &self,
        ticket: &Ticket,
        instead_of: Option<&Order>,
    ) -> Result<bool, Refusal> {
        let account = self.accounts.get(&ticket.account).ok_or(Refusal::UnknownAccount)?;
        let freed = instead_of.map(|old| old.id);
        if let Some(checked) = self.check_terms(account, ticket) {
            return checked.map(|()| false);
        }
        if account.is_spot() {
            return self.check_spot(account, ticket, freed);
        }
        let position = account.qty(&ticket.symbol);
        let closes = match ticket.side {
            Side::Sell => position > Decimal::ZERO,
            Side::Buy => position < Decimal::ZERO,
        };
        let qty = self.qty_of(ticket);
        if closes && self.rules.crosses {
            return self.check_crossing(ticket, qty, position.abs(), freed);
        }
        if closes {
            let existing = position.abs();
            let (held, related) = self.held_but(&ticket.account, &ticket.symbol, ticket.side, freed);
            let available = (existing - held).max(Decimal::ZERO);
            if qty > available {
                return Err(Refusal::Quantity { requested: qty, available, existing, held, related });
            }
            return Ok(false);
        }
        let fractional = !qty.fract().is_zero() || matches!(ticket.size, Size::Notional(_));
        if ticket.side == Side::Sell && fractional && !self.rules.fractional_shorts {
            return Err(Refusal::FractionalShort);
        }
        let needs = self.worth_of(ticket);
        let has = account.investable(&self.feed) - self.reserved_but(&ticket.account, freed);
        if needs > has {
            return Err(Refusal::BuyingPower { has: has.max(Decimal::ZERO), needs });
        }
        Ok(true)
    }

    /// Returns whether an order goes through its position to the other side, if the account can pay for that part.
    fn check_crossing(
        &self,
        ticket: &Ticket,
        qty: Decimal,
        existing: Decimal,
        freed: Option<OrderId>,
    ) -> Result<bool, Refusal> {
        let beyond = qty - existing;
        if beyond <= Decimal::ZERO {
            return Ok(false);
        }
        if ticket.side == Side::Sell && !beyond.fract().is_zero() && !self.rules.fractional_shorts {
            return Err(Refusal::FractionalShort);
        }
        let account = self.accounts.get(&ticket.account).ok_or(Refusal::UnknownAccount)?;
        let worth = |size| self.worth_of(&Ticket { size: Size::Qty(size), ..ticket.clone() });
        let needs = worth(beyond);
        let closed = worth(existing);
        let has = account.investable(&self.feed) + closed - self.reserved_but(&ticket.account, freed);
        if needs > has {
            return Err(Refusal::BuyingPower { has: has.max(Decimal::ZERO), needs });
        }
        Ok(true)
    }

    /// Returns what an account can still invest, its open orders counted as invested.
    #[must_use]
    pub fn buying_power(&self, account: &str) -> Decimal {
        let investable =
            self.accounts.get(account).map_or(Decimal::ZERO, |account| account.investable(&self.feed));
        (investable - self.reserved_but(account, None)).max(Decimal::ZERO)
    }

    /// Returns how many units of a position open orders have promised, and which orders those are.
    ///
    /// Two orders of which one cancels the other promise the same units once.
    #[must_use]
    pub fn held(&self, account: &str, symbol: &str) -> (Decimal, Vec<OrderId>) {
        let position = self.accounts.get(account).map_or(Decimal::ZERO, |account| account.qty(symbol));
        let closing = if position < Decimal::ZERO { Side::Buy } else { Side::Sell };
        self.held_but(account, symbol, closing, None)
    }

    pub(super) fn held_but(
        &self,
        account: &str,
        symbol: &str,
        closing: Side,
        but: Option<OrderId>,
    ) -> (Decimal, Vec<OrderId>) {
        let mut related = Vec::new();
        let mut held = Decimal::ZERO;
        let freed_rival = but.and_then(|id| self.order(id)).and_then(|order| order.rival);
        for order in self.open.iter().filter_map(|id| self.orders.get(id)) {
            let ticket = &order.ticket;
            let counts = ticket.account == account
                && ticket.symbol == symbol
                && ticket.side == closing
                && !order.opens
                && order.status != Status::Held
                && order.doomed_at.is_none()
                && Some(order.id) != but
                && Some(order.id) != freed_rival;
            if counts {
                if order.rival.is_none_or(|rival| !related.contains(&rival)) {
                    held += if order.qty.is_some() { order.leaves() } else { self.qty_of(ticket) };
                }
                related.push(order.id);
            }
        }
        (held, related)
    }

    pub(super) fn reserved_but(&self, account: &str, but: Option<OrderId>) -> Decimal {
        let counts = |order: &&Order| {
            order.ticket.account == account && order.opens && order.status.is_open() && Some(order.id) != but
        };
        let open = self.open.iter().filter_map(|id| self.orders.get(id)).filter(counts);
        open.map(|order| {
            let own = self.left_of(order);
            // Of two of which one ends the other, the dearer counts.
            match order.rival.and_then(|id| self.orders.get(&id)).filter(counts) {
                Some(rival) if rival.id < order.id => (own - self.left_of(rival)).max(Decimal::ZERO),
                Some(_) | None => own,
            }
        })
        .sum()
    }

    /// Returns what the rest of an order takes of the buying power.
    fn left_of(&self, order: &Order) -> Decimal {
        let size = order.qty.map_or(order.ticket.size, |_| Size::Qty(order.leaves()));
        self.worth_of(&Ticket { size, ..order.ticket.clone() })
    }

    /// Returns how many units a ticket is for, at the price of now where it is for an amount of money.
    pub(super) fn qty_of(&self, ticket: &Ticket) -> Decimal {
        match ticket.size {
            Size::Qty(qty) => qty,
            Size::Notional(amount) => self
                .feed
                .quote(&ticket.symbol)
                .and_then(|quote| amount.checked_div(quote.touch(ticket.side)))
                .map_or(Decimal::ZERO, |qty| self.cut(&ticket.symbol, qty)),
        }
    }

    /// Returns what a ticket that opens a position takes of the buying power, with a fee that cash pays.
    pub(super) fn worth_of(&self, ticket: &Ticket) -> Decimal {
        let worth = self.price_of(ticket);
        self.rules.fee.map_or(worth, |fee| fee.on_top(worth))
    }

    fn price_of(&self, ticket: &Ticket) -> Decimal {
        let qty = match ticket.size {
            Size::Notional(amount) => return amount,
            Size::Qty(qty) => qty,
        };
        let touch = self.feed.quote(&ticket.symbol).map_or(Decimal::ZERO, |quote| quote.ask);
        let collar = |price: Decimal| {
            let (below, above) = self.rules.collar_pct;
            let pct = if price < Decimal::from(50) { below } else { above };
            price + price * pct / Decimal::ONE_HUNDRED
        };
        let limit_after = match ticket.terms.trail_limit {
            Some(TrailLimit::At(limit)) => Some(limit),
            Some(TrailLimit::Off(_)) | None => None,
        };
        let price = match (ticket.kind, ticket.side) {
            (Kind::Limit { limit } | Kind::StopLimit { limit, .. }, _) => limit,
            (Kind::TrailingStop { .. }, _) if limit_after.is_some() => limit_after.unwrap_or(touch),
            (Kind::Stop { stop }, Side::Buy) => collar(stop),
            (Kind::Stop { stop }, Side::Sell) => stop,
            (Kind::Market | Kind::TrailingStop { .. }, Side::Buy) => collar(touch),
            (Kind::Market | Kind::TrailingStop { .. }, Side::Sell) => touch,
        };
        price * qty
    }

    fn check_wash(&self, ticket: &Ticket) -> Result<(), Refusal> {
        if !self.rules.wash_trades || ticket.class != Class::Simple {
            return Ok(());
        }
        let open = self.open.iter().filter_map(|id| self.orders.get(id));
        let mut others = open.filter(|order| {
            let other = &order.ticket;
            other.account == ticket.account
                && other.symbol == ticket.symbol
                && other.side != ticket.side
                && other.class == Class::Simple
        });
        match others.find(|other| could_meet(ticket, &other.ticket)) {
            Some(other) => Err(Refusal::WashTrade { with: other.id }),
            None => Ok(()),
        }
    }
}

/// Returns a new order that nothing has happened to.
pub(super) fn fresh(id: OrderId, now: DateTime<Utc>, ticket: Ticket, status: Status, opens: bool) -> Order {
    Order {
        id,
        client_order_id: ticket.client_order_id.clone().unwrap_or_default(),
        created_at: now,
        times: Times { updated: Some(now), ..Times::default() },
        status,
        qty: match ticket.size {
            Size::Qty(qty) => Some(qty),
            Size::Notional(_) => None,
        },
        filled_qty: Decimal::ZERO,
        filled_value: Decimal::ZERO,
        opens,
        parent: None,
        legs: Vec::new(),
        rival: None,
        replaces: None,
        replaced_by: None,
        triggered: false,
        canceled_as: None,
        best: None,
        rested: false,
        why: None,
        from: None,
        until: None,
        doomed_at: None,
        parts: 0,
        next_part_at: None,
        cancel_at: None,
        ticket,
    }
}

/// Returns what is told of an order that was taken in this status.
pub(super) fn taken_as(status: Status) -> What {
    match status {
        Status::Held => What::Held,
        Status::Accepted => What::Accepted,
        Status::New
        | Status::PartiallyFilled
        | Status::PendingCancel
        | Status::Filled
        | Status::Canceled
        | Status::Expired
        | Status::Replaced
        | Status::Rejected => What::New,
    }
}

/// Returns whether two orders of different sides could trade with one another. Stops that sleep do not.
fn could_meet(a: &Ticket, b: &Ticket) -> bool {
    match (a.kind, b.kind) {
        (Kind::Limit { limit: one }, Kind::Limit { limit: other }) => match a.side {
            Side::Buy => one >= other,
            Side::Sell => one <= other,
        },
        (Kind::Market | Kind::Limit { .. }, Kind::Market | Kind::Limit { .. }) => true,
        (Kind::Stop { .. } | Kind::StopLimit { .. } | Kind::TrailingStop { .. }, _)
        | (_, Kind::Stop { .. } | Kind::StopLimit { .. } | Kind::TrailingStop { .. }) => false,
    }
}
