//! Plain bodies in the specification's form: `BUY AAPL`, `BUY AAPL 10 @market`, `SELL TSLA 5 @limit 250`.

use super::Answer;
use super::number;
use super::refusal::{Refusal, RefusalCode};
use super::slots::{self, Said, Slot};
use super::value::Value;
use super::words;

/// Words that follow "buy" or "sell" in titles and sentences; `$NOW` is the way to name such a ticker.
const NO_TICKER: &str = " signal alert alarm entry exit now order orders position condition triggered trade long \
    short buy sell market limit stop it the this that all any everything more some half crypto coin stock stocks \
    dip zone call calls put puts at above below here back low high off out in on if when only and or my your our \
    term bot bull bear setup trend cross watch side both big hard fast today next new old good bad one two ";

/// Longest ticker that a single lower-case or unusual word is taken for.
const TICKER_MAX: usize = 5;

/// Reads a body of words; always answers, as this is the last format.
pub(super) fn read(text: &str) -> Answer {
    let mut tokens = text.split_ascii_whitespace();
    let word = tokens.next().filter(|word| words::verb(word).is_some());
    let Some(action) = word else {
        let detail =
            "the text asks for no order; an order begins with buy, sell or close: BUY AAPL 10 @market";
        return Some(Err(Refusal::body(RefusalCode::NoInstruction, detail)));
    };
    let Some(symbol) = tokens.next().filter(|word| is_ticker(word)) else {
        let detail = "no symbol follows the action; write it second: BUY AAPL 10 @market";
        return Some(Err(Refusal::body(RefusalCode::MissingSymbol, detail)));
    };
    let mut said = vec![said(Slot::Action, "/action", action), said(Slot::Symbol, "/symbol", symbol)];
    Some(order(&tokens.collect::<Vec<_>>(), &mut said).map(|()| said))
}

fn said(slot: Slot, pointer: &str, value: &str) -> Said {
    Said { slot, pointer: pointer.to_owned(), value: Value::Text(value.to_owned()) }
}

/// Reads `[QUANTITY] @market | @limit PRICE | @ PRICE` and `name:value` pairs; nothing may be left over.
fn order(tokens: &[&str], said_so_far: &mut Vec<Said>) -> Result<(), Refusal> {
    let mut rest = tokens;
    let mut bare = None;
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        let lower = token.to_ascii_lowercase();
        match (lower.as_str(), after.split_first()) {
            ("@market" | "@mkt" | "@m", _) => said_so_far.push(said(Slot::OrderType, "/type", "market")),
            ("@limit" | "@" | "at", Some((price, after))) => {
                rest = after;
                limit(price, said_so_far);
            }
            (text, _) if text.starts_with('@') => limit(token.trim_start_matches('@'), said_so_far),
            (text, _) if text.contains([':', '=']) => pair(token, said_so_far)?,
            (_, _) if bare.is_none() && number::decimal(token).is_ok() => bare = Some(*token),
            (_, _) => return Err(unknown()),
        }
    }
    match bare {
        // Without `@market` or `@limit` a number may be a size or a price.
        Some(_) if !said_so_far.iter().any(|said| said.slot == Slot::OrderType) => Err(unknown()),
        Some(quantity) => {
            said_so_far.push(said(Slot::Quantity, "/quantity", quantity));
            Ok(())
        }
        None => Ok(()),
    }
}

fn limit(price: &str, out: &mut Vec<Said>) {
    out.push(said(Slot::OrderType, "/type", "limit"));
    out.push(said(Slot::LimitPrice, "/price", price));
}

fn pair(token: &str, out: &mut Vec<Said>) -> Result<(), Refusal> {
    let (key, value) = token.split_once([':', '=']).ok_or_else(unknown)?;
    let slot = slots::slot(key).filter(|slot| {
        matches!(slot, Slot::Quantity | Slot::Stop { .. } | Slot::Target { .. } | Slot::Leverage | Slot::Via)
    });
    out.push(said(slot.ok_or_else(unknown)?, &format!("/{key}"), value));
    Ok(())
}

fn unknown() -> Refusal {
    let detail = "the text begins like an order but goes on in a form that is not known; write BUY AAPL, \
                  BUY AAPL 10 @market, BUY AAPL 10 @limit 180, or send JSON";
    Refusal::body(RefusalCode::UnknownFormat, detail)
}

fn is_ticker(word: &str) -> bool {
    let letters = word.trim_start_matches(['$', '#']);
    let lone = letters.bytes().all(|byte| byte.is_ascii_alphabetic());
    let lower = letters.to_ascii_lowercase();
    let listed = !word.starts_with('$') && NO_TICKER.split_ascii_whitespace().any(|word| word == lower);
    let named = letters.starts_with(|letter: char| letter.is_ascii_alphabetic());
    let pair = super::symbol::read(letters).is_ok_and(|symbol| symbol.as_str().contains('/'));
    !listed && (pair || (named && (!lone || letters.len() <= TICKER_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots_of(text: &str) -> Result<Vec<(Slot, String)>, RefusalCode> {
        let said = read(text).unwrap().map_err(|refusal| refusal.code)?;
        Ok(said
            .into_iter()
            .skip(2)
            .map(|said| (said.slot, said.value.scalar().unwrap().to_owned()))
            .collect())
    }

    #[test]
    fn the_specified_forms_are_read() {
        let text = |slot, value: &str| (slot, value.to_owned());
        assert_eq!(slots_of("buy MSFT"), Ok(vec![]));
        assert_eq!(
            slots_of("BUY MSFT 10 @market"),
            Ok(vec![text(Slot::OrderType, "market"), text(Slot::Quantity, "10")])
        );
        let limit = vec![text(Slot::OrderType, "limit"), text(Slot::LimitPrice, "180")];
        for body in ["buy MSFT @limit 180", "Buy $MSFT @ 180", "buy MSFT @180"] {
            assert_eq!(slots_of(body), Ok(limit.clone()), "{body}");
        }
    }

    #[test]
    fn prose_never_becomes_an_order() {
        use RefusalCode::{MissingSymbol, NoInstruction, UnknownFormat};
        for (body, code) in [
            ("MSFT Crossing Up 400", NoInstruction),
            ("do not buy MSFT", NoInstruction),
            ("Buy Signal", MissingSymbol),
            ("sell now", MissingSymbol),
            ("buy bitcoin", MissingSymbol),
            ("buy", MissingSymbol),
            ("buy 100", MissingSymbol),
            ("buy 10 MSFT", MissingSymbol),
            ("sell calls", MissingSymbol),
            ("buy MSFT 180", UnknownFormat),
            ("buy MSFT if it breaks 400", UnknownFormat),
            ("buy MSFT 10 20 @market", UnknownFormat),
        ] {
            assert_eq!(slots_of(body), Err(code), "{body}");
        }
    }
}
