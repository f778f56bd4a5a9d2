//! Who may trade, and what they own.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::book::Side;
use crate::feed::Feed;

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
}

impl Account {
    /// Returns an account that owns nothing but cash.
    #[must_use]
    pub fn new(cash: Decimal, multiplier: Decimal) -> Self {
        Self { cash, multiplier, holdings: BTreeMap::new() }
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
    /// Without positions that is cash times the multiplier.
    #[must_use]
    pub fn investable(&self, feed: &Feed) -> Decimal {
        let (long, short) = self.market_values(feed);
        (self.cash + long + short) * self.multiplier - long + short
    }
}

/// How the venue stands to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Standing {
    /// `ACTIVE` for one that may trade.
    pub status: String,
    /// It may not trade.
    pub trading_blocked: bool,
    /// It may do nothing.
    pub account_blocked: bool,
    /// Its owner asked not to trade.
    pub trade_suspended_by_user: bool,
    /// It may sell what it does not have.
    pub shorting_enabled: bool,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            status: "ACTIVE".to_owned(),
            trading_blocked: false,
            account_blocked: false,
            trade_suspended_by_user: false,
            shorting_enabled: true,
        }
    }
}

impl Standing {
    /// Returns whether the venue takes orders for it.
    #[must_use]
    pub fn may_trade(&self) -> bool {
        self.status == "ACTIVE"
            && !(self.trading_blocked || self.account_blocked || self.trade_suspended_by_user)
    }
}

/// How an account proves who it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The public half.
    pub key_id: String,
    /// The secret half.
    pub secret: String,
    /// A bearer token, if one was given out.
    pub token: Option<String>,
    /// Whether all of them are refused.
    pub revoked: bool,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("key_id", &self.key_id)
            .field("revoked", &self.revoked)
            .finish_non_exhaustive()
    }
}

/// A new account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountSpec {
    /// Its name in the journal, the faults and the administration; the key id if it is left out.
    #[serde(default)]
    pub name: Option<String>,
    /// The public half of its key.
    pub key_id: String,
    /// The secret half.
    pub secret: String,
    /// A bearer token that is as good as the key.
    #[serde(default)]
    pub token: Option<String>,
    /// What it starts with.
    pub cash: Decimal,
    /// How much more than its own it may invest; two if it is left out.
    #[serde(default)]
    pub multiplier: Option<Decimal>,
    /// How the venue stands to it; as well as can be if it is left out.
    #[serde(default)]
    pub standing: Standing,
}

impl AccountSpec {
    /// Returns an account in good standing, named after its key, with a multiplier of two.
    #[must_use]
    pub fn new(key_id: &str, secret: &str, cash: Decimal) -> Self {
        Self {
            name: None,
            key_id: key_id.to_owned(),
            secret: secret.to_owned(),
            token: None,
            cash,
            multiplier: None,
            standing: Standing::default(),
        }
    }

    /// Returns it with a bearer token.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.key_id)
    }
}

/// A change of an account; what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccountChange {
    /// A new secret: the old one is refused from now on.
    pub secret: Option<String>,
    /// A new bearer token: the old one is refused from now on.
    pub token: Option<String>,
    /// Whether all its credentials are refused.
    pub revoked: Option<bool>,
    /// Its status.
    pub status: Option<String>,
    /// Whether it may not trade.
    pub trading_blocked: Option<bool>,
    /// Whether it may do nothing.
    pub account_blocked: Option<bool>,
    /// Whether its owner asked not to trade.
    pub trade_suspended_by_user: Option<bool>,
    /// Whether it may sell short.
    pub shorting_enabled: Option<bool>,
    /// How much more than its own it may invest.
    pub multiplier: Option<Decimal>,
}

/// What a venue knows of who may come in.
#[derive(Clone, Debug, Default)]
pub struct Directory(BTreeMap<String, (Credentials, Standing)>);

impl Directory {
    /// Lets an account in, or changes how.
    pub fn put(&mut self, name: &str, credentials: Credentials, standing: Standing) {
        self.0.insert(name.to_owned(), (credentials, standing));
    }

    /// Returns how the venue stands to an account.
    #[must_use]
    pub fn standing(&self, name: &str) -> Option<&Standing> {
        self.0.get(name).map(|(_, standing)| standing)
    }

    /// Changes an account. Returns false if there is none of that name.
    pub fn change(&mut self, name: &str, change: &AccountChange) -> bool {
        let Some((credentials, standing)) = self.0.get_mut(name) else { return false };
        set(&mut credentials.secret, change.secret.as_ref());
        if change.token.is_some() {
            credentials.token.clone_from(&change.token);
        }
        set(&mut credentials.revoked, change.revoked.as_ref());
        set(&mut standing.status, change.status.as_ref());
        set(&mut standing.trading_blocked, change.trading_blocked.as_ref());
        set(&mut standing.account_blocked, change.account_blocked.as_ref());
        set(&mut standing.trade_suspended_by_user, change.trade_suspended_by_user.as_ref());
        set(&mut standing.shorting_enabled, change.shorting_enabled.as_ref());
        true
    }

    /// Returns the account this key belongs to, right or wrong secret, revoked or not.
    #[must_use]
    pub fn owner_of_key(&self, key_id: &str) -> Option<&str> {
        self.find(|credentials| credentials.key_id == key_id)
    }

    /// Returns the account this token belongs to, revoked or not.
    #[must_use]
    pub fn owner_of_token(&self, token: &str) -> Option<&str> {
        self.find(|credentials| credentials.token.as_deref() == Some(token))
    }

    /// Returns the account that this key and secret let in.
    #[must_use]
    pub fn let_in_by_key(&self, key_id: &str, secret: &str) -> Option<&str> {
        self.find(|held| !held.revoked && held.key_id == key_id && held.secret == secret)
    }

    /// Returns the account that this bearer token lets in.
    #[must_use]
    pub fn let_in_by_token(&self, token: &str) -> Option<&str> {
        self.find(|held| !held.revoked && held.token.as_deref() == Some(token))
    }

    /// Returns the first account, by name, that is let in at all.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.find(|held| !held.revoked)
    }

    /// Returns an account's bearer token, if it has one.
    #[must_use]
    pub fn token(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|(credentials, _)| credentials.token.as_deref())
    }

    /// Returns whether there is an account of this name that is not shut out.
    #[must_use]
    pub fn lets_in(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|(credentials, _)| !credentials.revoked)
    }

    /// Returns whether there is an account of this name.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn find(&self, is_it: impl Fn(&Credentials) -> bool) -> Option<&str> {
        self.0.iter().find(|(_, (credentials, _))| is_it(credentials)).map(|(name, _)| name.as_str())
    }
}

fn set<T: Clone>(slot: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        slot.clone_from(value);
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
