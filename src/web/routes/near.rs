//! "Did you mean": symbols that are traded here and look like the one asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use trade_actors::domain::instrument::Symbol;
use trade_actors::ports::market::Market;

/// Code of a refusal for a symbol that is not traded here.
pub(crate) const INVALID_SYMBOL: &str = "INVALID_SYMBOL";

/// Most suggestions.
const SHOWN: usize = 3;

/// Says that a symbol is not traded at any of these places, and which ones look like it.
pub(crate) fn not_traded(symbol: Symbol, places: &[Arc<dyn Market>]) -> String {
    let listed = places.iter().flat_map(|market| market.instruments());
    let known: BTreeSet<Symbol> = listed.map(|instrument| instrument.symbol).collect();
    let near = near(symbol.as_str(), known.iter().map(Symbol::as_str));
    let hint = if near.is_empty() {
        "check the ticker".to_owned()
    } else {
        format!("did you mean {}?", near.join(" or "))
    };
    format!("{symbol} is not traded here; nothing was ordered; {hint}")
}

/// Returns the known symbols that differ from `wanted` in separators or in at most two letters: the nearest.
fn near<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let plain = |text: &str| text.chars().filter(char::is_ascii_alphanumeric).collect::<Vec<_>>();
    let asked = plain(wanted);
    let mut found: Vec<(usize, &str)> = known
        .map(|symbol| {
            let letters = plain(symbol);
            // BTC and BTCUSD both mean BTC/USDT.
            let begins = asked.len() >= 3 && (letters.starts_with(&asked) || asked.starts_with(&letters));
            (if begins { 0 } else { distance(&asked, &letters) }, symbol)
        })
        .filter(|(distance, symbol)| *distance <= 2 && *distance < symbol.len().min(asked.len().max(1)))
        .collect();
    found.sort_unstable();
    let least = found.first().map_or(0, |(distance, _)| *distance);
    found
        .into_iter()
        .take_while(|(distance, _)| *distance == least)
        .take(SHOWN)
        .map(|(_, symbol)| symbol)
        .collect()
}

/// Returns how many letters must be changed, added or left out to make one text of the other.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (row, letter) in from.iter().enumerate() {
        let mut line = Vec::with_capacity(above.len());
        let mut left = row + 1;
        line.push(left);
        for ((diagonal, up), other) in above.iter().zip(above.iter().skip(1)).zip(to) {
            left = (diagonal + usize::from(letter != other)).min(up + 1).min(left + 1);
            line.push(left);
        }
        above = line;
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KNOWN: [&str; 6] = ["AAPL", "TSLA", "NVDA", "SPY", "BTC/USDT", "ETH/USDT"];

    #[test]
    fn slips_and_missing_separators_are_understood() {
        assert_eq!(near("APPL", KNOWN.into_iter()), ["AAPL"]);
        assert_eq!(near("BTCUSDT", KNOWN.into_iter()), ["BTC/USDT"]);
        assert_eq!(near("BTC", KNOWN.into_iter()), ["BTC/USDT"]);
        assert_eq!(near("TSAL", KNOWN.into_iter()), ["TSLA"]);
        assert_eq!(near("QQQQ", KNOWN.into_iter()), Vec::<&str>::new());
        assert_eq!(near("X", KNOWN.into_iter()), Vec::<&str>::new());
    }

    proptest! {
        /// The distance is the same both ways, and zero only between equals.
        #[test]
        fn distance_is_a_distance(a in "[A-C]{0,6}", b in "[A-C]{0,6}") {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert_eq!(distance(&a, &b) == 0, a == b);
            prop_assert!(distance(&a, &b) <= a.len().max(b.len()));
        }
    }
}
