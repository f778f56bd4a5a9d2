//! What can be traded: symbols and the venue's rules for their orders.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::money::{Money, Price, Quantity};

/// Longest symbol, in bytes.
pub const SYMBOL_MAX: usize = 23;

/// A ticker or pair: `AAPL`, `BRK.B`, `BTC/USDT`. Upper case, `A-Z 0-9 . - / ! :` only.
///
/// Kept inline, so that it is copied, never allocated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Symbol {
    bytes: [u8; SYMBOL_MAX],
    len: u8,
}

/// Why a text is not a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SymbolError {
    /// No characters.
    #[error("is empty")]
    Empty,
    /// More than [`SYMBOL_MAX`] characters.
    #[error("is longer than 23 characters")]
    TooLong,
    /// A character no venue uses, such as a look-alike letter.
    #[error("may hold only letters, digits and . - / ! :")]
    BadCharacter,
}

impl Symbol {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes
            .get(..usize::from(self.len))
            .and_then(|text| std::str::from_utf8(text).ok())
            .unwrap_or_default()
    }
}

impl FromStr for Symbol {
    type Err = SymbolError;

    /// Takes a symbol in any case; blanks are not trimmed.
    fn from_str(text: &str) -> Result<Self, SymbolError> {
        if text.is_empty() {
            return Err(SymbolError::Empty);
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-/!:".contains(&byte)) {
            return Err(SymbolError::BadCharacter);
        }
        let mut bytes = [0; SYMBOL_MAX];
        let len = u8::try_from(text.len()).map_err(|_| SymbolError::TooLong)?;
        let room = bytes.get_mut(..text.len()).ok_or(SymbolError::TooLong)?;
        room.copy_from_slice(text.as_bytes());
        room.make_ascii_uppercase();
        Ok(Self { bytes, len })
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Symbol({})", self.as_str())
    }
}

impl Serialize for Symbol {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Symbol {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Symbol;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a symbol such as AAPL or BTC/USDT")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Symbol, E> {
                text.parse().map_err(|reason| E::custom(format_args!("symbol {reason}")))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The kind of market an instrument trades on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssetClass {
    /// Listed shares and funds: exchange hours apply.
    Equity,
    /// Coins: always open.
    Crypto,
}

impl AssetClass {
    /// Every class.
    pub const ALL: [Self; 2] = [Self::Equity, Self::Crypto];

    /// Returns the class that a symbol's form tells: pairs are coins.
    #[must_use]
    pub fn of(symbol: Symbol) -> Self {
        if symbol.as_str().contains('/') { Self::Crypto } else { Self::Equity }
    }

    /// Returns the word used in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Equity => "equity",
            Self::Crypto => "crypto",
        }
    }
}

/// A venue's rules for one symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instrument {
    /// Its name here.
    pub symbol: Symbol,
    /// Its market.
    pub class: AssetClass,
    /// Smallest price step.
    pub tick: Price,
    /// Smallest quantity step.
    pub lot: Quantity,
    /// Step of quantities that we choose ourselves: whole shares, even where the venue takes fractions.
    pub size_step: Quantity,
    /// Smallest order value the venue takes.
    pub min_notional: Money,
    /// Whether the venue takes orders for it now.
    pub tradable: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn symbols_are_upper_case_and_copied_inline() {
        let symbol: Symbol = "btc/usdt".parse().unwrap();
        assert_eq!(symbol.as_str(), "BTC/USDT");
        assert_eq!(size_of::<Symbol>(), 24);
        assert_eq!(serde_json::to_string(&symbol).unwrap(), "\"BTC/USDT\"");
    }

    #[test]
    fn look_alikes_and_injections_are_no_symbols() {
        for text in
            ["", "\u{0410}\u{0410}PL", "AAPL\0", "AAPL'; DROP", "A A", "ABCDEFGHIJKLMNOPQRSTUVWX", "*"]
        {
            assert!(text.parse::<Symbol>().is_err(), "{text:?}");
        }
    }

    proptest! {
        /// What parses prints as itself, in upper case.
        #[test]
        fn a_symbol_round_trips(text in "[A-Za-z0-9./!:-]{1,23}") {
            let symbol: Symbol = text.parse().unwrap();
            prop_assert_eq!(symbol.as_str(), text.to_ascii_uppercase());
            prop_assert_eq!(symbol, serde_json::from_str(&serde_json::to_string(&symbol).unwrap()).unwrap());
        }

        /// No text at all makes the parser panic.
        #[test]
        fn any_text_is_answered(text in ".*") {
            let answer = text.parse::<Symbol>();
            prop_assert!(answer.is_err() || text.is_ascii());
        }
    }
}
