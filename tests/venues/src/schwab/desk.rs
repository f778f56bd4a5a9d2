//! What Schwab knows of its orders beyond the book, and how it names them and the accounts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use tokio::sync::Notify;

use super::oauth::Logins;
use super::wire::{Duration, Instruction, LinkBasis, OrderType, Session};
use crate::book::OrderId;

/// Everything that is only Schwab's.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// Who is logged in.
    pub(super) logins: Logins,
    /// The words each order was asked for in.
    pub(super) words: BTreeMap<OrderId, Words>,
    /// The one stream of each person, with what ends it.
    pub(super) streams: BTreeMap<String, Arc<Notify>>,
}

/// The words of an order that the book has none for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) session: Session,
    pub(super) duration: Duration,
    pub(super) order_type: OrderType,
    pub(super) instruction: Instruction,
    pub(super) basis: Option<LinkBasis>,
    /// The rule that rejects it.
    pub(super) rule: Option<&'static str>,
}

/// What an order id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// An order.
    Order(OrderId),
    /// The pair whose first order this one was.
    Pair(OrderId),
}

impl Named {
    /// Returns the order, or the first of the pair.
    pub(super) fn first(self) -> OrderId {
        match self {
            Self::Order(id) | Self::Pair(id) => id,
        }
    }
}

/// How numbers of the book look as Schwab's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    salt: u64,
    base: i64,
}

impl Ids {
    /// Returns ids that are another venue's if the salt is another.
    pub(super) fn new(salt: u64) -> Self {
        let part = i64::try_from(salt & 0xffff).unwrap_or_default();
        Self { salt, base: 1_000_000_000_000 + part * 10_000_000 }
    }

    /// Returns an order's id.
    pub(super) fn order(self, id: OrderId) -> i64 {
        self.base + 2 * i64::try_from(id.0).unwrap_or_default()
    }

    /// Returns the id of the pair that this order began: between the orders before and the order itself.
    pub(super) fn pair(self, id: OrderId) -> i64 {
        self.order(id) - 1
    }

    /// Returns what an id stands for, if it could be one.
    pub(super) fn read(self, text: &str) -> Option<Named> {
        let number = text.parse::<i64>().ok()?.checked_sub(self.base).filter(|number| *number > 0)?;
        let id = OrderId(u64::try_from((number + 1) / 2).ok()?);
        Some(if number % 2 == 0 { Named::Order(id) } else { Named::Pair(id) })
    }

    /// Returns the hash that stands for an account in paths.
    pub(super) fn hash(self, account: &str) -> String {
        let mut state = self.salt ^ hashed(account);
        (0..4).fold(String::new(), |mut hash, _| {
            state = hashed(&format!("{state:x} {account}"));
            if write!(hash, "{state:016X}").is_err() {
                unreachable!("a string takes all that is written to it");
            }
            hash
        })
    }
}

/// Returns an account's number: the name itself if it is one of eight digits, else the same one for the same name.
pub(super) fn account_number(account: &str) -> u64 {
    let own = account.parse().ok().filter(|number| (10_000_000..100_000_000).contains(number));
    own.unwrap_or_else(|| 10_000_000 + hashed(account) % 90_000_000)
}

/// FNV-1a, stirred: names that differ a little make numbers that differ a lot.
pub(super) fn hashed(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_and_foreign_ones_are_not() {
        let ids = Ids::new(7);
        for id in [1, 2, 900] {
            assert_eq!(ids.read(&ids.order(OrderId(id)).to_string()), Some(Named::Order(OrderId(id))));
            assert_eq!(ids.read(&ids.pair(OrderId(id)).to_string()), Some(Named::Pair(OrderId(id))));
        }
        assert!(ids.order(OrderId(1)) < ids.pair(OrderId(2)));
        for foreign in ["", "x", "-1", "12", "99999999999999999999"] {
            assert_eq!(ids.read(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn hashes_are_long_and_accounts_have_eight_digits() {
        let hash = Ids::new(7).hash("K");
        assert!(hash.len() == 64 && hash.bytes().all(|byte| b"0123456789ABCDEF".contains(&byte)), "{hash}");
        assert_ne!(hash, Ids::new(8).hash("K"));
        assert_ne!(hash, Ids::new(7).hash("L"));
        assert_eq!(account_number("12345678"), 12_345_678);
        assert_eq!(account_number("a").to_string().len(), 8);
    }
}
