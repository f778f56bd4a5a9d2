//! Names of pairs, as far as they trade against the money that accounts are counted in.

use trade_actors::domain::instrument::Symbol;
use trade_actors::domain::report::RefusalCode;

use super::verdict::Verdict;

/// Returns our name of a coin that is bought with the settlement currency; `None`: it cannot be one.
#[must_use]
pub fn pair(coin: &str, settlement: &str) -> Option<Symbol> {
    format!("{coin}/{settlement}").parse().ok()
}

/// Returns the coin of one of our symbols; `None`: it trades against other money.
#[must_use]
pub fn coin<'a>(symbol: &'a Symbol, settlement: &str) -> Option<&'a str> {
    let (coin, quote) = symbol.as_str().split_once('/')?;
    (quote == settlement).then_some(coin)
}

/// Returns our name of a pair that is written without a sign between (`BTCUSDT`); `None`: it trades against other money.
#[must_use]
pub fn split(name: &str, settlement: &str) -> Option<Symbol> {
    pair(name.strip_suffix(settlement).filter(|coin| !coin.is_empty())?, settlement)
}

/// Returns one of our symbols without the sign between (`BTCUSDT`); `None`: it trades against other money.
#[must_use]
pub fn joined(symbol: Symbol, settlement: &str) -> Option<String> {
    coin(&symbol, settlement).map(|coin| format!("{coin}{settlement}"))
}

/// Returns what the venue of this title calls one of our symbols.
///
/// # Errors
/// When it has no name for it, as it trades against other money.
pub fn listed<T>(found: Option<T>, title: &str, symbol: Symbol, settlement: &str) -> Result<T, Verdict> {
    found.ok_or_else(|| {
        let said = format!("{symbol} does not trade against {settlement}");
        Verdict::refused(title, RefusalCode::InvalidSymbol, &said)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_theirs_and_ours_where_they_trade_against_our_money() {
        let btc: Symbol = "BTC/USDT".parse().unwrap();
        assert_eq!(pair("BTC", "USDT"), Some(btc));
        assert_eq!((coin(&btc, "USDT"), coin(&btc, "USD")), (Some("BTC"), None));
        assert_eq!((split("BTCUSDT", "USDT"), joined(btc, "USDT").as_deref()), (Some(btc), Some("BTCUSDT")));
        assert_eq!(joined("BTC/EUR".parse().unwrap(), "USDT"), None);
        assert_eq!(joined("AAPL".parse().unwrap(), "USDT"), None);
        assert_eq!((split("BTCEUR", "USDT"), split("USDT", "USDT")), (None, None));
    }

    #[test]
    fn what_trades_against_other_money_is_refused_with_both_names() {
        let btc: Symbol = "BTC/EUR".parse().unwrap();
        let Err(Verdict::Refused(refusal)) = listed(joined(btc, "USD"), "Kraken", btc, "USD") else {
            panic!("it is not listed")
        };
        assert_eq!(refusal.code, RefusalCode::InvalidSymbol);
        assert!(refusal.message.contains("BTC/EUR does not trade against USD"), "{}", refusal.message);
    }
}
