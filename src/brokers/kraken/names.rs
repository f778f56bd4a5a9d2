//! Kraken's names and ours, read from its list of pairs.
//!
//! One pair has three names there: `XXBTZUSD` where answers are keyed by it, `XBTUSD` in requests, `XBT/USD` on the old
//! stream. The new stream has our names. Only two coins are called otherwise than everywhere else.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use trade_actors::domain::instrument::Symbol;

use super::wire;
use crate::brokers::venue::pairs;

/// Coins that have a name of Kraken's own.
const ALIASES: [(&str, &str); 2] = [("XBT", "BTC"), ("XDG", "DOGE")];

/// Returns the name that everybody else has for one of Kraken's.
fn usual(name: &str) -> &str {
    ALIASES.iter().find(|(theirs, _)| *theirs == name).map_or(name, |(_, usual)| usual)
}

/// A pair that trades against our money.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pair {
    /// Its name in requests.
    pub(super) name: String,
    /// The least that an order may be for.
    pub(super) least: Decimal,
}

/// All names that are known.
#[derive(Debug, Default)]
pub(super) struct Names {
    pairs: BTreeMap<Symbol, Pair>,
    symbols: BTreeMap<String, Symbol>,
    assets: BTreeMap<String, String>,
}

impl Names {
    /// Reads Kraken's list of pairs; those that trade against other money only say what assets are called.
    pub(super) fn of(listed: &BTreeMap<String, wire::Pair>, settlement: &str) -> Self {
        let mut names = Self::default();
        for (key, row) in listed {
            let Some((base, quote)) = ours(key, row) else { continue };
            names.assets.insert(row.base.clone(), base.to_owned());
            names.assets.insert(row.quote.clone(), quote.to_owned());
            let Some(symbol) = symbol(key, row, settlement) else { continue };
            let least = row.ordermin.unwrap_or_default().0;
            names.pairs.insert(symbol, Pair { name: row.altname.clone(), least });
            for name in [key, &row.altname] {
                names.symbols.insert(name.clone(), symbol);
            }
        }
        names
    }

    /// Returns what Kraken calls a pair; `None`: it does not trade against our money.
    pub(super) fn pair(&self, symbol: Symbol) -> Option<&Pair> {
        self.pairs.get(&symbol)
    }

    /// Returns the pair of one of Kraken's names in requests and answers.
    pub(super) fn symbol(&self, name: &str) -> Option<Symbol> {
        self.symbols.get(name).copied()
    }

    /// Returns what an asset of an account is usually called; `None`: nothing that is traded, such as what is lent out
    /// (`ETH.F`).
    pub(super) fn asset(&self, code: &str) -> Option<&str> {
        self.assets.get(code).map(String::as_str)
    }

    /// Returns whether nothing is known yet.
    pub(super) fn is_empty(&self) -> bool {
        self.assets.is_empty()
    }
}

/// Returns the usual names of what a pair trades; `None`: it is none of the ordinary book.
fn ours<'a>(key: &str, row: &'a wire::Pair) -> Option<(&'a str, &'a str)> {
    let (base, quote) = row.wsname.as_deref()?.split_once('/')?;
    (!key.contains([':', '.'])).then(|| (usual(base), usual(quote)))
}

/// Returns our name of a pair; `None`: it trades against other money.
pub(super) fn symbol(key: &str, row: &wire::Pair, settlement: &str) -> Option<Symbol> {
    let (base, quote) = ours(key, row)?;
    pairs::pair(Some(base).filter(|_| quote == settlement)?, settlement)
}
