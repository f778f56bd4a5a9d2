//! A matching book: orders meet prices set from outside, and become trades, cash and positions.
//!
//! Pure: time is an argument, nothing waits, and the same calls give the same orders. What happened is handed out
//! with [`Book::take_events`], in order. The book is as deep as anybody asks: an order trades at the bid or the ask,
//! in as many parts as [`FillMode`] says, and never changes them.

mod admission;
mod amendment;
mod asked;
mod attachment;
mod family;
mod matching;
mod order;
mod reduction;
mod spot;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use admission::{Change, Refusal};
pub use asked::{Ask, Doom};
pub use order::{
    Class, Exits, Kind, Order, OrderId, Side, Size, Status, StopLoss, Terms, Ticket, Tif, Times, Trail,
    TrailLimit,
};
pub use spot::{Balance, Charge, Fee, FeeFrom, Names};

use crate::account::Account;
use crate::feed::{Feed, Price, Quote};

/// How orders fill that could.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "mode", deny_unknown_fields)]
pub enum FillMode {
    /// All at once.
    #[default]
    AtOnce,
    /// In so many parts, the first at once, the next each time this long after.
    Parts {
        /// How many; zero is one.
        parts: u32,
        /// Milliseconds between two.
        every_ms: u32,
    },
    /// Never by itself: only [`Book::fill`] fills.
    Manual,
}

/// What trades at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Session {
    /// All orders.
    #[default]
    Regular,
    /// Only orders that ask for extended hours.
    Extended,
    /// None.
    Closed,
}

/// What a trade of one of two orders does to the other, of which one ends the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rivals {
    /// It becomes as much smaller, and is canceled when the first is filled.
    #[default]
    Shrink,
    /// It expires at the first trade, or when the first one's stop is reached.
    Expire,
}

/// How strict the venue is beyond the laws of trading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Refuses an order that could trade with another of the same account.
    pub wash_trades: bool,
    /// Takes no more digits of a quantity than this.
    pub qty_scale: u32,
    /// Percent by which a market buy needs more than the ask, for a price below 50 and above.
    pub collar_pct: (Decimal, Decimal),
    /// How long an order without an end stands.
    pub gtc_for: TimeDelta,
    /// Lets an order trade through a position to the other side, and several promise the same units.
    pub crosses: bool,
    /// Whether a fraction of a unit can be sold short.
    pub fractional_shorts: bool,
    /// What a trade costs, if it does.
    pub fee: Option<Fee>,
    /// How often a client may use one name.
    pub names: Names,
    /// How an order ends that trades at once or not at all: canceled, or expired.
    pub at_once_ends: Status,
    /// What two orders do to one another, of which one ends the other.
    pub rivals: Rivals,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            wash_trades: true,
            qty_scale: 9,
            collar_pct: (Decimal::from(4), Decimal::new(25, 1)),
            gtc_for: TimeDelta::days(90),
            crosses: false,
            fractional_shorts: false,
            fee: None,
            names: Names::ForEver,
            at_once_ends: Status::Canceled,
            rivals: Rivals::Shrink,
        }
    }
}

impl Rules {
    /// Returns the rules of a market without hours: nothing is asked of an order beside what it costs, it stands until
    /// it is canceled, and its name is free again when it is over.
    #[must_use]
    pub fn crypto() -> Self {
        Self {
            wash_trades: false,
            qty_scale: 8,
            collar_pct: (Decimal::ZERO, Decimal::ZERO),
            gtc_for: TimeDelta::days(36_500),
            names: Names::WhileOpen,
            ..Self::default()
        }
    }
}

/// One trade of one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Execution {
    /// Its number in this book, counted from one.
    pub id: u64,
    /// What it traded at.
    pub price: Decimal,
    /// How much of it.
    pub qty: Decimal,
    /// The account's position afterwards; negative for a short one.
    pub position_qty: Decimal,
    /// What it cost beside the price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee: Option<Charge>,
    /// Whether the order had waited for somebody to trade with, instead of trading with who waited.
    #[serde(skip_serializing_if = "is_false")]
    pub maker: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_false(it: &bool) -> bool {
    !it
}

/// What can happen to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Taken, to wait for its market to open.
    Accepted,
    /// Taken, to wait for its entry to fill.
    Held,
    /// In the market.
    New,
    /// A part traded.
    PartialFill(Execution),
    /// The last part traded.
    Fill(Execution),
    /// A cancel is on its way.
    PendingCancel,
    /// Ended by its owner or its family.
    Canceled,
    /// Ended by time.
    Expired,
    /// Ended by another in its place.
    Replaced,
    /// Ended by the venue.
    Rejected,
    /// Its quantity fell because its rival traded.
    Restated,
}

impl What {
    /// Returns its usual name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Held => "held",
            Self::New => "new",
            Self::PartialFill(_) => "partial_fill",
            Self::Fill(_) => "fill",
            Self::PendingCancel => "pending_cancel",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
            Self::Replaced => "replaced",
            Self::Rejected => "rejected",
            Self::Restated => "restated",
        }
    }

    /// Returns the trade, if it is one.
    #[must_use]
    pub fn execution(&self) -> Option<&Execution> {
        match self {
            Self::PartialFill(execution) | Self::Fill(execution) => Some(execution),
            Self::Accepted
            | Self::Held
            | Self::New
            | Self::PendingCancel
            | Self::Canceled
            | Self::Expired
            | Self::Replaced
            | Self::Rejected
            | Self::Restated => None,
        }
    }
}

/// A trade, with what it left of its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trade {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub execution: Execution,
    /// The order.
    pub order: OrderId,
    /// How much of the order has traded, this trade included.
    pub cum_qty: Decimal,
    /// How much of it is left.
    pub leaves_qty: Decimal,
}

/// Something that happened, with the order as it was right after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number in this book, counted from one.
    pub number: u64,
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub what: What,
    /// To which order.
    pub order: Order,
    /// The orders it brought, as they were.
    pub legs: Vec<Order>,
    /// What a spot account then had of the two assets that the order trades: cash, and units.
    pub balances: Vec<Balance>,
}

/// The book.
#[derive(Clone, Debug, Default)]
pub struct Book {
    rules: Rules,
    accounts: BTreeMap<String, Account>,
    orders: BTreeMap<OrderId, Order>,
    names: BTreeMap<(String, String), OrderId>,
    open: BTreeSet<OrderId>,
    feed: Feed,
    fill_mode: FillMode,
    fill_modes: BTreeMap<String, FillMode>,
    session: Session,
    halted: BTreeSet<String>,
    steps: BTreeMap<String, Decimal>,
    cancel_takes: TimeDelta,
    doomed: bool,
    trades: Vec<Trade>,
    events: Vec<Event>,
    told: u64,
}

impl Book {
    /// Returns an empty book whose market is open.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Returns how strict the venue is.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Adds an account, or puts a fresh one in the place of an old.
    pub fn open_account(&mut self, name: &str, account: Account) {
        self.accounts.insert(name.to_owned(), account);
    }

    /// Returns an account.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.get(name)
    }

    /// Returns every account with its name, by name.
    pub fn accounts(&self) -> impl Iterator<Item = (&str, &Account)> {
        self.accounts.iter().map(|(name, account)| (name.as_str(), account))
    }

    /// Moves money in, or out if it is negative. Returns false if there is no such account.
    pub fn deposit(&mut self, name: &str, amount: Decimal) -> bool {
        self.accounts.get_mut(name).map(|account| account.cash += amount).is_some()
    }

    /// Sets how much more than its own an account may invest. Returns false if there is no such account.
    pub fn set_multiplier(&mut self, name: &str, multiplier: Decimal) -> bool {
        self.accounts.get_mut(name).map(|account| account.multiplier = multiplier).is_some()
    }

    /// Books a trade that no order of this book made, whatever orders have locked.
    ///
    /// # Errors
    ///
    /// There is no such account, or a spot account does not have that much at all.
    pub fn trade_outside(
        &mut self,
        name: &str,
        symbol: &str,
        side: Side,
        qty: Decimal,
        price: Decimal,
    ) -> Result<(), Refusal> {
        let account = self.accounts.get_mut(name).ok_or(Refusal::UnknownAccount)?;
        let (cash, units) = (account.cash - side.signed(qty) * price, account.qty(symbol) + side.signed(qty));
        if account.is_spot() && (cash < Decimal::ZERO || units < Decimal::ZERO) {
            return Err(Refusal::Unfitting);
        }
        account.trade(symbol, side, qty, price);
        Ok(())
    }

    /// Sets the smallest step of a symbol's quantity; parts of orders keep to it.
    pub fn set_step(&mut self, symbol: &str, step: Option<Decimal>) {
        match step {
            Some(step) => self.steps.insert(symbol.to_owned(), step),
            None => self.steps.remove(symbol),
        };
    }

    /// Returns an order.
    #[must_use]
    pub fn order(&self, id: OrderId) -> Option<&Order> {
        self.orders.get(&id)
    }

    /// Returns every order there ever was, the oldest first.
    pub fn orders(&self) -> impl DoubleEndedIterator<Item = &Order> {
        self.orders.values()
    }

    /// Returns the order of this name; the last one where a name may be used again.
    #[must_use]
    pub fn named(&self, account: &str, client_order_id: &str) -> Option<&Order> {
        let id = self.names.get(&(account.to_owned(), client_order_id.to_owned()))?;
        self.orders.get(id)
    }

    /// Returns the orders this one brought.
    #[must_use]
    pub fn legs(&self, order: &Order) -> Vec<Order> {
        order.legs.iter().filter_map(|id| self.orders.get(id).cloned()).collect()
    }

    /// Returns every trade there ever was, the oldest first.
    #[must_use]
    pub fn trades(&self) -> &[Trade] {
        &self.trades
    }

    /// Returns an order and its legs as they were when it was taken, until [`Book::take_events`] forgets it.
    #[must_use]
    pub fn as_taken(&self, id: OrderId) -> Option<(&Order, &[Order])> {
        let taken = self.events.iter().find(|event| {
            event.order.id == id && matches!(event.what, What::Accepted | What::Held | What::New)
        })?;
        Some((&taken.order, &taken.legs))
    }

    /// Returns the prices.
    #[must_use]
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Returns what trades at the moment.
    #[must_use]
    pub fn session(&self) -> Session {
        self.session
    }

    /// Returns whether a symbol is halted.
    #[must_use]
    pub fn is_halted(&self, symbol: &str) -> bool {
        self.halted.contains(symbol)
    }

    /// Sets how orders fill, of one symbol or, without one, of all that have no mode of their own.
    pub fn set_fill_mode(&mut self, now: DateTime<Utc>, symbol: Option<&str>, mode: FillMode) {
        match symbol {
            Some(symbol) => {
                self.fill_modes.insert(symbol.to_owned(), mode);
            }
            None => self.fill_mode = mode,
        }
        self.match_all(now);
    }

    /// Sets how long a cancel takes to work; meanwhile the order is on and may fill.
    pub fn set_cancel_takes(&mut self, takes: TimeDelta) {
        self.cancel_takes = takes;
    }

    /// Makes the book reject orders right after it has taken them, or no longer.
    pub fn set_doomed(&mut self, doomed: bool) {
        self.doomed = doomed;
    }

    /// Changes a price, and trades what trades at it. Returns none if the symbol has no price even so.
    pub fn set_price(&mut self, now: DateTime<Utc>, price: &Price) -> Option<Quote> {
        let quote = self.feed.set(price, now)?;
        self.match_symbol(now, &price.symbol);
        Some(quote)
    }

    /// Halts a symbol, or lets it trade again.
    pub fn set_halted(&mut self, now: DateTime<Utc>, symbol: &str, halted: bool) {
        if halted {
            self.halted.insert(symbol.to_owned());
        } else if self.halted.remove(symbol) {
            self.match_symbol(now, symbol);
        }
    }

    /// Returns what has happened since the last call, and forgets it.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Returns when [`Book::advance`] next has something to do, if nothing else happens first.
    #[must_use]
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        let open = self.open.iter().filter_map(|id| self.orders.get(id));
        let all = open.flat_map(|order| {
            [order.next_part_at, order.cancel_at, order.from, order.until, order.doomed_at]
        });
        all.flatten().min()
    }

    /// Does what was only waiting for time to pass: next parts, late cancels and rejections, beginnings and ends.
    pub fn advance(&mut self, now: DateTime<Utc>) {
        for id in self.open_ids() {
            let Some(order) = self.orders.get_mut(&id) else { continue };
            let part_is_due = order.next_part_at.is_some_and(|at| at <= now);
            if part_is_due {
                // From now on it waits for a price, not for time.
                order.next_part_at = None;
            }
            let starts = order.from.take_if(|at| *at <= now).is_some();
            if order.doomed_at.is_some_and(|at| at <= now) {
                self.end(now, id, Status::Rejected);
            } else if order.cancel_at.is_some_and(|at| at <= now) {
                self.end(now, id, Status::Canceled);
            } else if order.until.is_some_and(|at| at <= now)
                || (order.ticket.tif == Tif::Gtc && now - order.created_at >= self.rules.gtc_for)
            {
                self.end(now, id, Status::Expired);
            } else if part_is_due || starts {
                self.wake(now, id);
                self.match_order(now, id);
            }
        }
    }

    fn open_ids(&self) -> Vec<OrderId> {
        self.open.iter().copied().collect()
    }

    fn next_id(&self) -> OrderId {
        OrderId(self.orders.last_key_value().map_or(1, |(id, _)| id.0 + 1))
    }

    fn mode_of(&self, symbol: &str) -> FillMode {
        self.fill_modes.get(symbol).copied().unwrap_or(self.fill_mode)
    }

    fn tell(&mut self, at: DateTime<Utc>, id: OrderId, what: What) {
        let Some(order) = self.orders.get_mut(&id) else { return };
        order.times.updated = Some(at);
        let order = order.clone();
        let (legs, balances) = (self.legs(&order), self.balances_of(&order));
        self.told += 1;
        self.events.push(Event { number: self.told, at, what, order, legs, balances });
    }

    fn insert(&mut self, mut order: Order) -> OrderId {
        let id = order.id;
        if order.client_order_id.is_empty() {
            order.client_order_id = Uuid::from_u64_pair(0x7665_6e75_6573_4000, id.0).to_string();
        }
        self.names.insert((order.ticket.account.clone(), order.client_order_id.clone()), id);
        self.open.insert(id);
        self.orders.insert(id, order);
        id
    }
}
