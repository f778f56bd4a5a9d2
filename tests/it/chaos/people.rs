//! Who trades, at which accounts.

use std::sync::Arc;

use rust_decimal::Decimal;
use venues::book::{Kind, Order as VenueOrder, OrderId};
use venues::world::World;

use crate::support::{Api, Chance};

/// Something that is traded, and the price it begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Good {
    pub(super) symbol: &'static str,
    pub(super) price: i64,
    /// Of how many units, of which of their decimals, quantities are multiples.
    pub(super) unit: (i64, u32),
}

/// What is true of all accounts at a venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    pub(super) goods: &'static [Good],
    /// Decimals of a price.
    pub(super) price_dp: u32,
    /// What is less than this is no position, as nothing could sell it; zero where nothing is ever left over.
    pub(super) lot: (i64, u32),
    /// What an order has to be worth at least: nothing can protect or leave a position that is worth less.
    pub(super) least: (i64, u32),
    /// Whether stops rest there; else the program watches prices itself.
    pub(super) holds_stops: bool,
    /// Whether it takes no names of ours, so that of a person's orders no two may look the same.
    pub(super) is_nameless: bool,
}

/// An account at a venue.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// Its number, which no other account has.
    pub(super) number: usize,
    /// What the program knows it by.
    pub(super) connection: String,
    /// What the venue knows it by.
    pub(super) name: String,
    /// At which broker it is.
    pub(super) broker: &'static str,
    pub(super) manner: Manner,
    pub(super) world: Arc<World>,
}

impl Account {
    pub(super) fn goods(&self) -> &'static [Good] {
        self.manner.goods
    }

    pub(super) fn lot(&self) -> Decimal {
        Decimal::new(self.manner.lot.0, self.manner.lot.1)
    }

    /// Returns how much it holds, but for what nothing could sell.
    pub(super) fn held(&self, symbol: &str) -> Decimal {
        let held = self.world.account(&self.name).map_or(Decimal::ZERO, |account| account.qty(symbol));
        whole(held, self.lot())
    }

    /// Returns whether nothing could sell a position, for it is worth less than an order has to be.
    pub(super) fn is_too_small(&self, symbol: &str) -> bool {
        self.held(symbol).abs() * self.last(symbol) < Decimal::new(self.manner.least.0, self.manner.least.1)
    }

    /// Returns how much of a position working stops would sell.
    pub(super) fn stopped(&self, symbol: &str) -> Decimal {
        let orders = self.world.orders(Some(&self.name));
        let stops = orders.iter().filter(|order| order.ticket.symbol == symbol && stops(order));
        stops.map(VenueOrder::leaves).sum()
    }

    /// Returns the last price there.
    pub(super) fn last(&self, symbol: &str) -> Decimal {
        self.world.look(|state| state.book.feed().quote(symbol).unwrap().last)
    }

    /// Returns what the venue calls an order towards the program, where that is not the program's own name for it.
    pub(super) fn shown(&self, id: OrderId) -> Option<String> {
        self.manner.is_nameless.then(|| venues::schwab::order_id(self.world.seed(), id).to_string())
    }
}

/// Returns whether an order of the venue is a working stop.
pub(super) fn stops(order: &VenueOrder) -> bool {
    let kind = order.ticket.kind;
    order.status.is_open() && (kind.stop().is_some() || matches!(kind, Kind::TrailingStop { .. }))
}

/// Returns what of an amount can be traded.
pub(super) fn whole(amount: Decimal, lot: Decimal) -> Decimal {
    if lot.is_zero() { amount } else { amount - amount % lot }
}

/// One person: their view of the program, and their accounts.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) number: usize,
    pub(super) api: Api,
    /// The default one first.
    pub(super) accounts: Vec<Account>,
    /// Whether shares and coins each have their account; else a person of two accounts names one in each signal.
    pub(super) by_class: bool,
}

impl Person {
    /// Returns the account that the next signal is for.
    pub(super) fn choose(&self, chance: &mut Chance) -> &Account {
        match self.accounts.as_slice() {
            [only] => only,
            several => chance.pick(several),
        }
    }

    /// Returns the account to which a signal goes that names none.
    pub(super) fn usual(&self, symbol: &str) -> &Account {
        let is_coin = |symbol: &str| symbol.contains('/');
        let fits = |account: &&Account| is_coin(account.goods()[0].symbol) == is_coin(symbol);
        let chosen = self.accounts.iter().find(|account| self.by_class && fits(account));
        chosen.unwrap_or(&self.accounts[0])
    }

    /// Returns the account's broker where a signal has to name it.
    pub(super) fn via(&self, account: &Account) -> Option<&'static str> {
        (self.accounts.len() > 1 && !self.by_class).then_some(account.broker)
    }
}
