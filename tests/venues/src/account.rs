//! Who may trade, and what they own.
//!
//! A margin account borrows and sells short. A spot account owns what it has, asset by asset: its cash is one currency,
//! its settlement, and a unit of `BTC/USDT` is one BTC. It spends and sells only what no open order has locked.

mod directory;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::book::{Charge, Side};
use crate::feed::Feed;

pub use directory::{AccountChange, AccountSpec, Credentials, Directory, KeyRights, Standing};

/// What cash is where nobody says.
const SETTLEMENT: &str = "USD";

/// What an account may do with what it owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// It borrows, and sells what it does not have.
    #[default]
    Margin,
    /// It does neither.
    Spot,
}

/// Returns what a unit of a symbol is: what stands before the slash.
#[must_use]
pub fn base_of(symbol: &str) -> &str {
    symbol.split_once('/').map_or(symbol, |(base, _)| base)
}

/// Returns what a symbol is paid with: what stands behind the slash.
#[must_use]
pub fn quote_of(symbol: &str) -> Option<&str> {
    symbol.split_once('/').map(|(_, quote)| quote)
}

/// A position: how many units, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// Units; negative for a short position.
    pub qty: Decimal,
    /// What they cost; negative for what a short position brought.
    pub cost: Decimal,
}

impl Holding {
    /// Returns the average price it was entered at.
    #[must_use]
    pub fn average(&self) -> Decimal {
        self.cost.checked_div(self.qty).unwrap_or_default().normalize()
    }
}

/// What one account owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Money; what was borrowed is negative.
    pub cash: Decimal,
    /// How much more than its own it may invest: 1 is a cash account.
    pub multiplier: Decimal,
    /// Open positions by symbol.
    pub holdings: BTreeMap<String, Holding>,
    /// What it may do.
    pub kind: AccountKind,
    /// What its cash is.
    pub settlement: String,
}

impl Account {
    /// Returns a margin account that owns nothing but dollars.
    #[must_use]
    pub fn new(cash: Decimal, multiplier: Decimal) -> Self {
        let settlement = SETTLEMENT.to_owned();
        Self { cash, multiplier, holdings: BTreeMap::new(), kind: AccountKind::Margin, settlement }
    }

    /// Returns a spot account that owns nothing but this much of a currency.
    #[must_use]
    pub fn spot(settlement: &str, cash: Decimal) -> Self {
        let settlement = settlement.to_owned();
        Self { kind: AccountKind::Spot, settlement, ..Self::new(cash, Decimal::ONE) }
    }

    /// Returns the account that is asked for.
    #[must_use]
    pub fn opened(spec: &AccountSpec) -> Self {
        let multiplier = match spec.kind {
            AccountKind::Margin => spec.multiplier.unwrap_or(Decimal::TWO),
            AccountKind::Spot => Decimal::ONE,
        };
        let given = spec.holdings.iter().filter(|(_, qty)| !qty.is_zero());
        let holding = |qty: &Decimal| Holding { qty: *qty, cost: Decimal::ZERO };
        Self {
            cash: spec.cash,
            multiplier,
            holdings: given.map(|(symbol, qty)| (symbol.clone(), holding(qty))).collect(),
            kind: spec.kind,
            settlement: spec.settlement.clone(),
        }
    }

    /// Returns whether it is a spot account.
    #[must_use]
    pub fn is_spot(&self) -> bool {
        self.kind == AccountKind::Spot
    }

    /// Returns how many units of a symbol it has; negative for a short position.
    #[must_use]
    pub fn qty(&self, symbol: &str) -> Decimal {
        self.holdings.get(symbol).map_or(Decimal::ZERO, |holding| holding.qty)
    }

    /// Books a trade: the cash moves by exactly price times quantity.
    pub fn trade(&mut self, symbol: &str, side: Side, qty: Decimal, price: Decimal) {
        let change = side.signed(qty);
        self.cash -= change * price;
        let mut holding = self.holdings.get(symbol).copied().unwrap_or_default();
        let after = holding.qty + change;
        let adds = holding.qty.is_zero() || (holding.qty.is_sign_negative() == change.is_sign_negative());
        if adds {
            holding.cost += change * price;
        } else if after.is_zero() || after.is_sign_negative() == holding.qty.is_sign_negative() {
            holding.cost += holding.average() * change;
        } else {
            holding.cost = after * price;
        }
        holding.qty = after;
        if after.is_zero() {
            self.holdings.remove(symbol);
        } else {
            self.holdings.insert(symbol.to_owned(), holding);
        }
    }

    /// Pays what a trade of a symbol costs beside its price, in cash or in units.
    pub fn pay(&mut self, symbol: &str, charge: &Charge) {
        if charge.asset == self.settlement {
            self.cash -= charge.amount;
        } else if let Some(holding) = self.holdings.get_mut(symbol) {
            holding.qty -= charge.amount;
            if holding.qty.is_zero() {
                self.holdings.remove(symbol);
            }
        }
    }

    /// Returns what long and what short positions are worth, the latter as a negative number.
    ///
    /// A symbol without a price is worth what it cost.
    #[must_use]
    pub fn market_values(&self, feed: &Feed) -> (Decimal, Decimal) {
        let mut sums = (Decimal::ZERO, Decimal::ZERO);
        for (symbol, holding) in &self.holdings {
            let value = feed.quote(symbol).map_or(holding.cost, |quote| quote.last * holding.qty);
            if holding.qty.is_sign_negative() {
                sums.1 += value;
            } else {
                sums.0 += value;
            }
        }
        sums
    }

    /// Returns what the account is worth.
    #[must_use]
    pub fn equity(&self, feed: &Feed) -> Decimal {
        let (long, short) = self.market_values(feed);
        self.cash + long + short
    }

    /// Returns what could be invested if no order were open: equity times the multiplier, less what is invested.
    ///
    /// Without positions that is cash times the multiplier. What a spot account holds buys nothing.
    #[must_use]
    pub fn investable(&self, feed: &Feed) -> Decimal {
        if self.is_spot() {
            return self.cash;
        }
        let (long, short) = self.market_values(feed);
        (self.cash + long + short) * self.multiplier - long + short
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(trades: &[(Side, i64, i64)]) -> Account {
        let mut account = Account::new(Decimal::from(1000), Decimal::TWO);
        for (side, qty, price) in trades {
            account.trade("A", *side, Decimal::from(*qty), Decimal::from(*price));
        }
        account
    }

    #[test]
    fn a_position_remembers_its_average_price_until_it_turns() {
        let added = after(&[(Side::Buy, 10, 10), (Side::Buy, 10, 20)]);
        assert_eq!(added.holdings["A"].average(), Decimal::from(15));
        let reduced = after(&[(Side::Buy, 10, 10), (Side::Buy, 10, 20), (Side::Sell, 5, 30)]);
        assert_eq!(reduced.holdings["A"], Holding { qty: Decimal::from(15), cost: Decimal::from(225) });
        let turned = after(&[(Side::Buy, 10, 10), (Side::Sell, 15, 12)]);
        assert_eq!(turned.holdings["A"], Holding { qty: Decimal::from(-5), cost: Decimal::from(-60) });
        assert_eq!(turned.cash, Decimal::from(1000 - 100 + 180));
        let closed = after(&[(Side::Sell, 4, 10), (Side::Buy, 4, 9)]);
        assert!(closed.holdings.is_empty());
        assert_eq!(closed.cash, Decimal::from(1004));
    }

    #[test]
    fn what_is_invested_is_not_invested_again() {
        let feed = Feed::default();
        assert_eq!(after(&[]).investable(&feed), Decimal::from(2000));
        assert_eq!(after(&[(Side::Buy, 10, 50)]).investable(&feed), Decimal::from(1500));
        assert_eq!(after(&[(Side::Sell, 10, 50)]).investable(&feed), Decimal::from(1500));
    }
}
