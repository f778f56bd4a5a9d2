//! Where orders meet prices.

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;

use super::{
    Book, Execution, FillMode, Kind, Order, OrderId, Refusal, Rivals, Session, Side, Size, Status, Tif,
    Trade, What,
};
use crate::feed::Quote;

impl Book {
    pub(super) fn match_all(&mut self, now: DateTime<Utc>) {
        for id in self.open_ids() {
            self.match_order(now, id);
        }
    }

    pub(super) fn match_symbol(&mut self, now: DateTime<Utc>, symbol: &str) {
        for id in self.open_ids() {
            if self.orders.get(&id).is_some_and(|order| order.ticket.symbol == symbol) {
                self.match_order(now, id);
            }
        }
    }

    /// Trades what of an order trades now.
    pub(super) fn match_order(&mut self, now: DateTime<Utc>, id: OrderId) {
        self.match_in(now, id, None);
    }

    fn match_in(&mut self, now: DateTime<Utc>, id: OrderId, auction: Option<Tif>) {
        let Some(order) = self.orders.get(&id) else { return };
        let at_once = matches!(order.ticket.tif, Tif::Ioc | Tif::Fok);
        if at_once && order.status == Status::Accepted {
            self.end(now, id, self.rules.at_once_ends);
            return;
        }
        let over = order.until.is_some_and(|until| until <= now);
        if over || !order.status.is_live() || !self.trades_now(order, auction) {
            return;
        }
        let mode = self.mode_of(&order.ticket.symbol);
        let quote = self.feed.quote(&order.ticket.symbol);
        let Some(order) = self.orders.get_mut(&id) else { return };
        let (slept, all_at_once) = (!order.is_awake(), order.ticket.tif == Tif::Fok);
        let price = quote.and_then(|quote| price_now(order, &quote));
        order.rested |= price.is_none() && order.is_awake() && order.limit().is_some();
        let woke = slept && order.triggered;
        if woke && !self.check_awake(now, id) {
            return;
        }
        if woke && self.rules.rivals == Rivals::Expire {
            self.expire_rival(now, id);
        }
        if mode == FillMode::Manual {
            return;
        }
        if let Some(price) = price {
            let whole = auction.is_some() || all_at_once;
            self.take_part(now, id, price, if whole { FillMode::AtOnce } else { mode });
        }
        if at_once && self.orders.get(&id).is_some_and(|order| order.status.is_open()) {
            self.end(now, id, self.rules.at_once_ends);
        }
    }

    fn trades_now(&self, order: &Order, auction: Option<Tif>) -> bool {
        let in_hours = match self.session {
            Session::Regular => true,
            Session::Extended => order.ticket.extended_hours,
            Session::Closed => false,
        };
        let in_auction = match order.ticket.tif {
            Tif::Opg | Tif::Cls => auction == Some(order.ticket.tif),
            Tif::Day | Tif::Gtc | Tif::Ioc | Tif::Fok => true,
        };
        in_hours && in_auction && !self.is_halted(&order.ticket.symbol)
    }

    fn take_part(&mut self, now: DateTime<Utc>, id: OrderId, price: Decimal, mode: FillMode) {
        self.measure(id, price);
        let Some(order) = self.orders.get(&id) else { return };
        if order.next_part_at.is_some_and(|at| at > now) {
            return;
        }
        let Some(whole) = order.qty.filter(|qty| *qty > Decimal::ZERO) else {
            self.end(now, id, Status::Rejected);
            return;
        };
        let (parts, every) = match mode {
            FillMode::Parts { parts, every_ms } => (parts.max(1), TimeDelta::milliseconds(every_ms.into())),
            FillMode::AtOnce | FillMode::Manual => (1, TimeDelta::zero()),
        };
        let share = whole / Decimal::from(parts);
        let stepped = self.steps.contains_key(&order.ticket.symbol);
        let share = if whole.fract().is_zero() && !stepped {
            share.trunc()
        } else {
            self.cut(&order.ticket.symbol, share)
        };
        let last = order.parts + 1 >= parts;
        let qty = if last { order.leaves() } else { share.min(order.leaves()) };
        let room = self.room(order);
        let qty = room.map_or(qty, |room| qty.min(room));
        if room.is_some_and(|room| room.is_zero()) {
            self.end(now, id, Status::Expired);
            return;
        }
        if self.check_settles(order, qty, price).is_err() {
            // What it was to be paid with is gone.
            self.end(now, id, Status::Expired);
            return;
        }
        let Some(order) = self.orders.get_mut(&id) else { return };
        order.parts += 1;
        order.next_part_at = Some(now + every);
        if qty > Decimal::ZERO {
            self.trade(now, id, qty, price);
            self.end_if_idle(now, id);
        } else {
            // Too small to be cut: the next part is the first.
            self.take_part(now + every, id, price, mode);
        }
    }

    /// Says how many units an order for an amount of money is for, once it has met a price.
    fn measure(&mut self, id: OrderId, price: Decimal) {
        let Some(order) = self.orders.get(&id) else { return };
        let (None, Size::Notional(amount)) = (order.qty, order.ticket.size) else { return };
        let qty = amount.checked_div(price).map(|qty| self.cut(&order.ticket.symbol, qty));
        if let Some(order) = self.orders.get_mut(&id) {
            order.qty = qty;
        }
    }

    /// Trades a part of an order at a price, whatever the market says.
    ///
    /// # Errors
    ///
    /// There is no such order, it is not in the market, less than that is left, or a spot account cannot pay for it.
    pub fn fill(
        &mut self,
        now: DateTime<Utc>,
        id: OrderId,
        qty: Option<Decimal>,
        price: Decimal,
    ) -> Result<(), Refusal> {
        let order = self.orders.get(&id).ok_or(Refusal::UnknownOrder)?;
        if !order.status.is_live() {
            return Err(Refusal::NotOpen(order.status));
        }
        self.measure(id, price);
        let order = self.orders.get(&id).ok_or(Refusal::UnknownOrder)?;
        let qty = qty.unwrap_or_else(|| order.leaves());
        if qty <= Decimal::ZERO || qty > order.leaves() || price < Decimal::ZERO {
            return Err(Refusal::Unfitting);
        }
        self.check_settles(order, qty, price)?;
        self.trade(now, id, qty, price);
        Ok(())
    }

    fn trade(&mut self, now: DateTime<Utc>, id: OrderId, qty: Decimal, price: Decimal) {
        let Some(order) = self.orders.get_mut(&id) else { return };
        let Some(account) = self.accounts.get_mut(&order.ticket.account) else { return };
        let (symbol, side) = (&order.ticket.symbol, order.ticket.side);
        account.trade(symbol, side, qty, price);
        let fee = self.rules.fee.map(|fee| fee.charge(account, symbol, side, qty, price));
        if let Some(charge) = &fee {
            account.pay(symbol, charge);
        }
        order.filled_qty += qty;
        order.filled_value += qty * price;
        let number = self.trades.last().map_or(1, |last| last.execution.id + 1);
        let position_qty = account.qty(&order.ticket.symbol);
        let execution = Execution { id: number, price, qty, position_qty, fee, maker: order.rested };
        let (cum_qty, leaves_qty) = (order.filled_qty, order.leaves());
        self.trades.push(Trade { at: now, execution: execution.clone(), order: id, cum_qty, leaves_qty });
        if order.leaves().is_zero() {
            order.status = Status::Filled;
            order.times.filled = Some(now);
            order.next_part_at = None;
            order.cancel_at = None;
            self.open.remove(&id);
            self.tell(now, id, What::Fill(execution));
        } else {
            if order.status == Status::New {
                order.status = Status::PartiallyFilled;
            }
            self.tell(now, id, What::PartialFill(execution));
        }
        self.after_fill(now, id, qty);
    }

    /// Opens or closes the market. What that ends, ends; what waited for it, trades.
    pub fn set_session(&mut self, now: DateTime<Utc>, session: Session) {
        if session == self.session {
            return;
        }
        let closing = self.session == Session::Regular;
        if closing {
            self.hold_auction(now, Tif::Cls);
        }
        self.session = session;
        for id in self.open_ids() {
            let Some(order) = self.orders.get(&id) else { continue };
            let over = order.status.is_live()
                && order.ticket.tif == Tif::Day
                && (session == Session::Closed || (closing && !order.ticket.extended_hours));
            if over {
                self.end(now, id, Status::Expired);
            }
        }
        for id in self.open_ids() {
            self.wake(now, id);
        }
        if session == Session::Regular {
            self.hold_auction(now, Tif::Opg);
        }
        self.match_all(now);
    }

    /// Trades the orders that are for this auction only, and ends what is left of them.
    fn hold_auction(&mut self, now: DateTime<Utc>, auction: Tif) {
        for id in self.open_ids() {
            if self.orders.get(&id).is_some_and(|order| order.ticket.tif == auction) {
                self.match_in(now, id, Some(auction));
                self.end(now, id, Status::Expired);
            }
        }
    }
}

/// Wakes an order whose stop is reached, and returns what it trades at now, if it does.
fn price_now(order: &mut Order, quote: &Quote) -> Option<Decimal> {
    let (side, on_gain) = (order.ticket.side, order.ticket.terms.on_gain);
    let reached = |stop: Decimal, rising: bool| if rising { quote.last >= stop } else { quote.last <= stop };
    let against = side == Side::Buy;
    let trails = matches!(order.ticket.kind, Kind::TrailingStop { .. });
    if trails && !order.triggered {
        let from = order.ticket.terms.trails_from;
        if order.best.is_none() && from.is_some_and(|from| !reached(from, against != on_gain)) {
            return None;
        }
        let best = order.best.unwrap_or(quote.last);
        order.best = Some(match side {
            Side::Buy => best.min(quote.last),
            Side::Sell => best.max(quote.last),
        });
    }
    if let Some(stop) = order.stop_price() {
        // What trails wakes when the price turns, whichever way it came.
        order.triggered |= reached(stop, against != (on_gain && !trails));
        if !order.triggered {
            return None;
        }
    }
    let touch = quote.touch(side);
    let good = match (order.limit(), side) {
        (None, _) => true,
        (Some(limit), Side::Buy) => touch <= limit,
        (Some(limit), Side::Sell) => touch >= limit,
    };
    good.then_some(touch)
}
