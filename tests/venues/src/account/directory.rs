//! Who may come in, and how far.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::{AccountKind, SETTLEMENT};

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
    /// What its key may do.
    pub key: KeyRights,
}

/// What a key may do, where keys are allowed some things and not others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyRights {
    /// It may look.
    pub read: bool,
    /// It may trade.
    pub trade: bool,
    /// It may send away what the account owns.
    pub withdraw: bool,
    /// It is good from some addresses only.
    pub bound_to_ip: bool,
    /// Its requests carry a number that grows, where others carry the time.
    pub counts: bool,
}

impl Default for KeyRights {
    fn default() -> Self {
        Self { read: true, trade: true, withdraw: false, bound_to_ip: false, counts: false }
    }
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            status: "ACTIVE".to_owned(),
            trading_blocked: false,
            account_blocked: false,
            trade_suspended_by_user: false,
            shorting_enabled: true,
            key: KeyRights::default(),
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
    /// The secret half; of a pair of keys the public key, as PEM, for that is what a venue has of it.
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
    /// What it may do with what it owns; a margin account if it is left out.
    #[serde(default)]
    pub kind: AccountKind,
    /// What its cash is; dollars if it is left out.
    #[serde(default = "dollars")]
    pub settlement: String,
    /// What else it starts with: units by symbol.
    #[serde(default)]
    pub holdings: BTreeMap<String, Decimal>,
}

fn dollars() -> String {
    SETTLEMENT.to_owned()
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
            kind: AccountKind::Margin,
            settlement: dollars(),
            holdings: BTreeMap::new(),
        }
    }

    /// Returns a spot account in good standing, named after its key, whose cash is this currency.
    #[must_use]
    pub fn spot(key_id: &str, secret: &str, settlement: &str, cash: Decimal) -> Self {
        let kind = AccountKind::Spot;
        Self { kind, settlement: settlement.to_owned(), ..Self::new(key_id, secret, cash) }
    }

    /// Returns it with units of a symbol to start with.
    #[must_use]
    pub fn holding(mut self, symbol: &str, qty: Decimal) -> Self {
        self.holdings.insert(symbol.to_owned(), qty);
        self
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
    /// What its key may do.
    pub key: Option<KeyRights>,
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
        set(&mut standing.key, change.key.as_ref());
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

    /// Returns the account that this key is of and the secret its signatures are made with, unless it was revoked.
    #[must_use]
    pub fn signer(&self, key_id: &str) -> Option<(&str, &str)> {
        let mut all = self.0.iter();
        let (name, (held, _)) = all.find(|(_, (held, _))| !held.revoked && held.key_id == key_id)?;
        Some((name, &held.secret))
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
