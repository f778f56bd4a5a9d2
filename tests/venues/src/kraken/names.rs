//! What Kraken calls assets and pairs.

use crate::instrument::Instrument;
use crate::world::State;

/// Assets that are older than the rule that an asset is called what everybody calls it: what everybody calls them, what
/// Kraken calls them in short, and in accounts.
const OLD: [(&str, &str, &str); 8] = [
    ("BTC", "XBT", "XXBT"),
    ("DOGE", "XDG", "XXDG"),
    ("ETH", "ETH", "XETH"),
    ("LTC", "LTC", "XLTC"),
    ("XRP", "XRP", "XXRP"),
    ("USD", "USD", "ZUSD"),
    ("EUR", "EUR", "ZEUR"),
    ("GBP", "GBP", "ZGBP"),
];

/// Returns what Kraken calls an asset, in short and in accounts.
pub(super) fn asset(name: &str) -> (&str, &str) {
    OLD.iter().find(|(usual, ..)| *usual == name).map_or((name, name), |(_, short, long)| (short, long))
}

/// Returns what a pair is called in requests.
pub(super) fn pair(instrument: &Instrument) -> String {
    format!("{}{}", asset(instrument.base()).0, asset(instrument.quote()).0)
}

/// Returns what answers about a pair are keyed by: its long name, if both of its assets have one.
pub(super) fn key(instrument: &Instrument) -> String {
    let ((base, long_base), (quote, long_quote)) = (asset(instrument.base()), asset(instrument.quote()));
    if base == long_base || quote == long_quote {
        format!("{base}{quote}")
    } else {
        format!("{long_base}{long_quote}")
    }
}

/// Returns the pair of a name in a request.
pub(super) fn find<'a>(state: &'a State, name: &str) -> Option<&'a Instrument> {
    state.instruments.values().find(|listed| pair(listed) == name || key(listed) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_old_assets_make_a_long_name() {
        let names = |symbol: &str| {
            let instrument = Instrument::new(symbol);
            (pair(&instrument), key(&instrument))
        };
        let both = |pair: &str, key: &str| (pair.to_owned(), key.to_owned());
        assert_eq!(names("BTC/USD"), both("XBTUSD", "XXBTZUSD"));
        assert_eq!(names("SOL/USD"), both("SOLUSD", "SOLUSD"));
        assert_eq!(names("ETH/BTC"), both("ETHXBT", "XETHXXBT"));
        assert_eq!(names("BTC/USDT"), both("XBTUSDT", "XBTUSDT"));
    }
}
