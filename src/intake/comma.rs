//! Comma bodies of bridges to trading terminals: `LICENCE,buylimit,EURUSD,price=1.08,sl=1.07`.

use super::Answer;
use super::keyvalue;
use super::number;
use super::refusal::{Refusal, RefusalCode};
use super::slots::{Said, Slot};
use super::value::Value;
use super::words::{self, Verb};

/// Reads a body whose first or second part is an action word and whose next part is the symbol.
pub(super) fn read(text: &str) -> Answer {
    let mut parts = text.split(',').map(str::trim);
    let first = parts.next()?;
    let licence = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
    let action = if licence { parts.next()? } else { first };
    let Some((verb, _)) = words::verb(action) else {
        // Only such bridges begin with a number and a comma: an order was meant.
        let detail = "the action after the licence is not carried out here; use buy, sell, buylimit, selllimit, \
                      buystop, sellstop, closelong or closeshort";
        return licence.then(|| Err(Refusal::field(RefusalCode::BadAction, "/action", detail)));
    };
    let symbol = parts.next()?;
    let closes = matches!(verb, Verb::Close { .. });
    let rest = match keyvalue::pairs(parts.map(|part| part.split_once('='))) {
        Some(Ok(rest)) => rest,
        Some(Err(refusal)) => return Some(Err(refusal)),
        None => {
            let detail = "after the symbol every part must be written key=value, such as sl=1.07";
            return Some(Err(Refusal::body(RefusalCode::UnknownFormat, detail)));
        }
    };
    if let Some(bare) = ambiguous(&rest) {
        let detail = "without a price beside it a whole number may be a price or a distance in pips; \
                      write price=… or the level with its decimals";
        return Some(Err(Refusal::field(RefusalCode::RelativePriceUnsupported, &bare.pointer, detail)));
    }
    let text = |slot, pointer: &str, value: &str| Said {
        slot,
        pointer: pointer.to_owned(),
        value: Value::Text(value.to_owned()),
    };
    let mut said = vec![text(Slot::Action, "/action", action), text(Slot::Symbol, "/symbol", symbol)];
    said.extend(rest.into_iter().map(|part| {
        // `CLOSE,…,SIDE=BUY` names the side of the position, not of an order.
        let slot = if closes && part.slot == Slot::Action { Slot::PositionSide } else { part.slot };
        Said { slot, ..part }
    }));
    Some(Ok(said))
}

/// Finds a stop or target that may be a distance: whole, positive, and no price to compare it with.
fn ambiguous(said: &[Said]) -> Option<&Said> {
    let priced = |said: &Said| {
        matches!(
            said.slot,
            Slot::Price | Slot::EntryPrice | Slot::LimitPrice | Slot::StopPrice | Slot::ClosePrice
        )
    };
    if said.iter().any(priced) {
        return None;
    }
    said.iter().find(|said| {
        let level =
            matches!(said.slot, Slot::Stop { percent: false, .. } | Slot::Target { percent: false, .. });
        let number = said.value.scalar().and_then(|text| number::decimal(text).ok());
        level && number.is_some_and(|number| number.is_integer() && !number.is_zero())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_licence_is_not_part_of_the_order() {
        let said = read("12345,buylimit,USDJPY,price=151.20,sl=150.9").unwrap().unwrap();
        let texts: Vec<_> = said.iter().map(|said| said.value.scalar().unwrap()).collect();
        assert_eq!(texts, ["buylimit", "USDJPY", "151.20", "150.9"]);
    }

    #[test]
    fn a_level_that_may_be_pips_is_refused() {
        let refusal = read("12345,buy,USDJPY,sl=30").unwrap().unwrap_err();
        assert_eq!(refusal.code, RefusalCode::RelativePriceUnsupported);
        assert!(read("12345,buy,USDJPY,sl=150.9").unwrap().is_ok());
    }

    #[test]
    fn prose_with_commas_is_another_format() {
        assert!(read("well, buy, I think").is_none());
        assert!(read("buy AAPL, now").is_none());
        assert!(read("buy,AAPL,now").unwrap().is_err());
        assert_eq!(read("12345,newsltplong,USDJPY").unwrap().unwrap_err().code, RefusalCode::BadAction);
    }
}
