//! What an account owns asset by asset, what its orders have locked of it, and what a trade costs beside its price.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{Book, Order, OrderId, Refusal, Side, Ticket};
use crate::account::{Account, base_of, quote_of};

/// What a trade costs beside its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fee {
    /// How many percent of what is traded.
    pub pct: Decimal,
    /// What it is taken from.
    pub from: FeeFrom,
}

/// What a fee is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeeFrom {
    /// From what the trade brings: units if it buys, cash if it sells.
    Received,
    /// From cash, either way.
    Cash,
}

/// A fee that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Charge {
    /// How much.
    pub amount: Decimal,
    /// Of what.
    pub asset: String,
}

impl Fee {
    /// The digits of a fee behind the point; what is finer is not taken.
    const SCALE: u32 = 8;

    /// Returns what a trade costs.
    #[must_use]
    pub fn charge(
        &self,
        account: &Account,
        symbol: &str,
        side: Side,
        qty: Decimal,
        price: Decimal,
    ) -> Charge {
        let part = self.pct / Decimal::ONE_HUNDRED;
        let (amount, asset) = match (self.from, side) {
            (FeeFrom::Received, Side::Buy) => (qty * part, base_of(symbol)),
            (FeeFrom::Received, Side::Sell) | (FeeFrom::Cash, _) => {
                (qty * price * part, account.settlement.as_str())
            }
        };
        Charge { amount: amount.trunc_with_scale(Self::SCALE).normalize(), asset: asset.to_owned() }
    }

    /// Returns what an order for so much money takes of the cash, its fee included.
    pub(super) fn on_top(&self, money: Decimal) -> Decimal {
        match self.from {
            FeeFrom::Received => money,
            FeeFrom::Cash => money + money * self.pct / Decimal::ONE_HUNDRED,
        }
    }
}

/// How often a client may use one name for an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Names {
    /// Once.
    #[default]
    ForEver,
    /// Again as soon as the order that has it is over.
    WhileOpen,
    /// As often as it likes.
    Free,
}

/// What an account has of one asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// What.
    pub asset: String,
    /// What it may spend.
    pub free: Decimal,
    /// What open orders have locked.
    pub locked: Decimal,
}

impl Book {
    /// Returns whether an account may not give an order this name.
    #[must_use]
    pub fn name_is_taken(&self, account: &str, name: &str) -> bool {
        self.named(account, name).is_some_and(|order| match self.rules.names {
            Names::ForEver => true,
            Names::WhileOpen => order.status.is_open(),
            Names::Free => false,
        })
    }

    /// Returns what an account has of everything: its cash first, then by symbol.
    ///
    /// What is locked is never more than there is, even where money was taken from below the orders.
    #[must_use]
    pub fn balances(&self, name: &str) -> Vec<Balance> {
        let Some(account) = self.accounts.get(name) else { return Vec::new() };
        let balance = |asset: &str, has: Decimal, promised: Decimal| {
            let locked = promised.min(has).max(Decimal::ZERO);
            Balance { asset: asset.to_owned(), free: has - locked, locked }
        };
        let cash = balance(&account.settlement, account.cash, self.locked_cash(name));
        let held = account
            .holdings
            .iter()
            .map(|(symbol, holding)| balance(base_of(symbol), holding.qty, self.held(name, symbol).0));
        std::iter::once(cash).chain(held).collect()
    }

    /// Returns what the spot account of an order has of the two assets it trades.
    pub(super) fn balances_of(&self, order: &Order) -> Vec<Balance> {
        let name = &order.ticket.account;
        if !self.accounts.get(name).is_some_and(Account::is_spot) {
            return Vec::new();
        }
        let (mut all, base) = (self.balances(name), base_of(&order.ticket.symbol));
        let units = all.iter().position(|balance| balance.asset == base).map(|at| all.swap_remove(at));
        let none = || Balance { asset: base.to_owned(), free: Decimal::ZERO, locked: Decimal::ZERO };
        all.truncate(1);
        all.push(units.unwrap_or_else(none));
        all
    }

    /// Returns how much cash open orders have promised.
    #[must_use]
    pub fn locked_cash(&self, account: &str) -> Decimal {
        self.reserved_but(account, None)
    }

    /// Returns whether a spot order opens, if the account has what it spends.
    pub(super) fn check_spot(
        &self,
        account: &Account,
        ticket: &Ticket,
        freed: Option<OrderId>,
    ) -> Result<bool, Refusal> {
        if ticket.side == Side::Sell {
            let (requested, existing) = (self.qty_of(ticket), account.qty(&ticket.symbol));
            let (held, related) = self.held_but(&ticket.account, &ticket.symbol, Side::Sell, freed);
            let available = (existing - held).max(Decimal::ZERO);
            let enough = requested <= available;
            let refusal = Refusal::Quantity { requested, available, existing, held, related };
            return if enough { Ok(false) } else { Err(refusal) };
        }
        let needs = self.worth_of(ticket);
        let pays = quote_of(&ticket.symbol).is_none_or(|quote| quote == account.settlement);
        let free = account.cash - self.reserved_but(&ticket.account, freed);
        let has = if pays { free.max(Decimal::ZERO) } else { Decimal::ZERO };
        if needs > has { Err(Refusal::BuyingPower { has, needs }) } else { Ok(true) }
    }

    /// Checks that the account of an order has what a trade of it takes. A margin account always has.
    pub(super) fn check_settles(&self, order: &Order, qty: Decimal, price: Decimal) -> Result<(), Refusal> {
        let (name, symbol) = (order.ticket.account.as_str(), order.ticket.symbol.as_str());
        let Some(account) = self.accounts.get(name).filter(|account| account.is_spot()) else {
            return Ok(());
        };
        match order.ticket.side {
            Side::Sell => {
                let existing = account.qty(symbol);
                let (held, related) = self.held_but(name, symbol, Side::Sell, Some(order.id));
                let available = (existing - held).max(Decimal::ZERO);
                let refusal = Refusal::Quantity { requested: qty, available, existing, held, related };
                if qty <= available { Ok(()) } else { Err(refusal) }
            }
            Side::Buy => {
                let money = qty * price;
                let needs = self.rules.fee.map_or(money, |fee| fee.on_top(money));
                let has = account.cash - self.reserved_but(name, Some(order.id));
                if needs <= has { Ok(()) } else { Err(Refusal::BuyingPower { has, needs }) }
            }
        }
    }

    /// Returns a quantity without what is finer than the symbol's steps.
    pub(super) fn cut(&self, symbol: &str, qty: Decimal) -> Decimal {
        match self.steps.get(symbol).filter(|step| !step.is_zero()) {
            Some(step) => (qty / step).trunc() * step,
            None => qty.trunc_with_scale(self.rules.qty_scale),
        }
    }
}

#[cfg(test)]
mod tests;
