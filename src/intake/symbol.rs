//! Symbols as every chart writes them, brought to one form: `BINANCE:BTCUSDT.P` is `BTC/USDT`.

use trade_actors::domain::instrument::{Symbol, SymbolError};

/// Quotes that end no share's ticker: whatever stands before them is the base.
const STABLE: [&str; 3] = ["FDUSD", "USDT", "USDC"];

/// Quotes that a known base must stand before, because shares end like them too (`GBTC`).
const OTHER_QUOTES: [&str; 16] = [
    "EUR", "GBP", "JPY", "CHF", "CAD", "AUD", "NZD", "TRY", "BRL", "MXN", "SGD", "HKD", "ZAR", "BTC", "ETH",
    "BNB",
];

/// Currencies, metals and coins that are bases of pairs.
const BASES: &str = " USD EUR GBP JPY CHF CAD AUD NZD TRY XAU XAG XPT XPD BTC XBT ETH BNB SOL XRP ADA DOGE DOT LTC \
    BCH LINK AVAX MATIC POL TRX UNI ATOM XLM XMR ETC FIL NEAR APT ARB OP INJ SUI SEI TIA ICP HBAR VET ALGO AAVE MKR \
    SNX CRV LDO RUNE EGLD SAND MANA AXS GRT FTM EOS XTZ DASH ZEC NEO IOTA KSM COMP YFI SUSHI CAKE PEPE SHIB WIF BONK \
    TON TAO FET RNDR IMX STX KAS WLD ";

/// Exchanges on which everything is a pair.
const COIN_VENUES: &str = " BINANCE BINANCEUS BYBIT OKX KUCOIN KRAKEN COINBASE BITGET MEXC GATE GATEIO BITSTAMP \
    BITFINEX GEMINI HUOBI HTX BITMEX DERIBIT CRYPTOCOM PHEMEX BINGX ";

/// Why a text is no symbol that is traded here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SymbolFault {
    /// The characters.
    #[error(transparent)]
    Text(#[from] SymbolError),
    /// An option contract.
    #[error("is an option contract, and options are not traded here")]
    Option,
}

/// Reads a symbol: any case, blanks around it, `$` or `#` before it, with or without its exchange.
pub(super) fn read(text: &str) -> Result<Symbol, SymbolFault> {
    let text = text.trim_ascii().trim_start_matches(['$', '#']).to_ascii_uppercase();
    let (venue, name) = match text.split_once(':') {
        // `BTC/USDT:USDT` names the currency the contract settles in; a dated contract is another one.
        Some((pair, settled)) if pair.contains('/') && is_venue(settled) => ("", pair),
        Some((venue, name)) if is_venue(venue) => (venue, name),
        Some(_) => return Err(SymbolError::BadCharacter.into()),
        None => ("", text.as_str()),
    };
    // Punctuation around a ticker is a sentence's: `AAPL.` is no name of a share.
    let whole = name.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '/')
        && name.ends_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '!');
    if name.contains(':') || (!whole && !name.is_empty()) {
        return Err(SymbolError::BadCharacter.into());
    }
    if venue == "OPRA" || is_option(name) {
        return Err(SymbolFault::Option);
    }
    if let Some((base, quote)) = pair(name, is_in(COIN_VENUES, venue)) {
        return Ok(format!("{base}/{quote}").parse()?);
    }
    match name {
        "GOLD" if venue.is_empty() || venue == "TVC" => Ok("XAU/USD".parse()?),
        "SILVER" if venue.is_empty() || venue == "TVC" => Ok("XAG/USD".parse()?),
        name => Ok(name.parse()?),
    }
}

fn is_venue(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_in(list: &str, word: &str) -> bool {
    !word.is_empty() && list.split_ascii_whitespace().any(|known| known == word)
}

fn pair(name: &str, coins_only: bool) -> Option<(&str, &str)> {
    let contract = [".PERP", "-PERP", ".P", "-SWAP", "PERP"]
        .into_iter()
        .find_map(|ending| name.strip_suffix(ending))
        .and_then(|rest| parts(rest, coins_only));
    // `BTCPERP` and `BAC.P` are names of their own: an ending goes only when a pair stays.
    contract.or_else(|| parts(name, coins_only))
}

fn parts(name: &str, coins_only: bool) -> Option<(&str, &str)> {
    let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if let Some((base, quote)) = name.split_once(['/', '-', '_']) {
        let known =
            STABLE.contains(&quote) || OTHER_QUOTES.contains(&quote) || quote == "USD" || quote == "BUSD";
        return (word(base) && known).then_some((base, quote));
    }
    if !word(name) {
        return None;
    }
    let before = |quote: &str| name.strip_suffix(quote).filter(|base| !base.is_empty());
    if let Some(pair) = STABLE.into_iter().find_map(|quote| Some((before(quote)?, quote))) {
        return Some(pair);
    }
    // `SHIBUSD` is SHIB/USD although it ends with BUSD.
    if let Some(base) = before("BUSD").filter(|base| is_in(BASES, base)) {
        return Some((base, "BUSD"));
    }
    if let Some(base) = before("USD") {
        return (base.len() >= 3 || coins_only || is_in(BASES, base)).then_some((base, "USD"));
    }
    OTHER_QUOTES.into_iter().find_map(|quote| {
        let base = before(quote)?;
        (is_in(BASES, base) || (coins_only && base.len() >= 2)).then_some((base, quote))
    })
}

/// Recognises option contracts: `AAPL250117C00190000`, `NIFTY21JAN2521500CE`, `BTC-27DEC24-50000-C`.
fn is_option(name: &str) -> bool {
    let digit = |letter: char| letter.is_ascii_digit();
    if let Some(stem) = name.strip_suffix("CE").or_else(|| name.strip_suffix("PE")) {
        let strike = stem.chars().rev().take_while(|letter| digit(*letter)).count();
        if strike >= 4 && stem.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
            return true;
        }
    }
    if let Some(stem) = name.strip_suffix("-C").or_else(|| name.strip_suffix("-P")) {
        return stem.ends_with(digit);
    }
    let (root, tail) = name.split_at(name.find(digit).unwrap_or(name.len()));
    let Some((expiry, strike)) = tail.split_once(['C', 'P']) else { return false };
    let root = root.trim_ascii_end();
    !root.is_empty()
        && root.len() <= 6
        && expiry.len() == 6
        && expiry.chars().all(digit)
        && strike.starts_with(digit)
        && strike.chars().all(|letter| digit(letter) || letter == '.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_form_for_every_spelling() {
        for (text, symbol) in [
            ("BINANCE:SOLUSDT.P", "SOL/USDT"),
            ("okx:sol-usdt-swap", "SOL/USDT"),
            ("SOL/USDT:USDT", "SOL/USDT"),
            ("sol_usdc", "SOL/USDC"),
            ("ARBUSD", "ARB/USD"),
            ("SOLBUSD", "SOL/BUSD"),
            ("COINBASE:OPUSD", "OP/USD"),
            ("BYBIT:10000SATSUSDT.P", "10000SATS/USDT"),
            ("USDCUSDT", "USDC/USDT"),
            ("ETHBTC", "ETH/BTC"),
            ("BINANCE:WBTCBTC", "WBTC/BTC"),
            ("SOLUSDTPERP", "SOL/USDT"),
            ("SOLPERP", "SOLPERP"),
            ("FX:GBPJPY", "GBP/JPY"),
            ("xauusd", "XAU/USD"),
            ("gold", "XAU/USD"),
            ("NYSE:GOLD", "GOLD"),
            ("NASDAQ:AMZN", "AMZN"),
            (" $tsla ", "TSLA"),
            ("NYSE:BRK.B", "BRK.B"),
            ("NYSE:BAC.P", "BAC.P"),
            ("BRK-B", "BRK-B"),
            ("GBTC", "GBTC"),
            ("ETHE", "ETHE"),
            ("BUSD", "BUSD"),
            ("PYUSD", "PYUSD"),
            ("CME_MINI:ES1!", "ES1!"),
            ("RELIANCE", "RELIANCE"),
        ] {
            assert_eq!(read(text).map(|symbol| symbol.to_string()), Ok(symbol.to_owned()), "{text}");
        }
    }

    #[test]
    fn option_contracts_are_told_by_name() {
        for text in [
            "MSFT260116C00400000",
            "MSFT  260116P00400000",
            "OPRA:MSFT260116C400.0",
            "BANKNIFTY26JAN2648000PE",
            "ETH-26DEC25-4000-P",
        ] {
            assert_eq!(read(text), Err(SymbolFault::Option), "{text}");
        }
    }

    #[test]
    fn what_no_venue_writes_is_refused() {
        for text in [
            "",
            "*",
            "A B",
            "MSFT\0",
            "ТSLA",
            "A:B:C",
            "SOL/USDT:USDT-260925",
            ":A",
            "A:",
            "MSFT;",
            "MSFT.",
            "-",
            "/",
            "BTCUSDT_250926",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        /// A symbol in its one form is read as itself.
        #[test]
        fn the_form_is_final(text in "([A-Z]{2,8}:)?[A-Z0-9]{1,6}[./-]?[A-Z]{1,5}") {
            if let Ok(symbol) = read(&text) {
                prop_assert_eq!(read(symbol.as_str()), Ok(symbol));
            }
        }

        /// Any text is answered.
        #[test]
        fn any_text_is_answered(text in ".*") {
            prop_assert!(read(&text).is_err() || text.is_ascii());
        }
    }
}
