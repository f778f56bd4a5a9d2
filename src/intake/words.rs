//! The words for actions and order types, in the spellings that alerts use.

use trade_actors::domain::signal::{Holding, Side};

/// What an action word asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// An order; `position` when the word says which position it is meant to lead to.
    Open {
        /// Buy or sell.
        side: Side,
        /// Long or short, when the word says so.
        position: Option<Holding>,
    },
    /// Leave the position.
    Close {
        /// Which one, when the word says so.
        holding: Option<Holding>,
    },
    /// Leave a part of the position that the word does not name.
    Reduce {
        /// Which one.
        holding: Holding,
    },
    /// Give the open position another stop or other targets.
    Modify {
        /// Whether the word itself names the stop: the entry price.
        break_even: bool,
    },
    /// Nothing.
    Nothing,
    /// Something that is understood but not carried out.
    Unsupported,
}

/// An order type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KindWord {
    /// At the market's price.
    Market,
    /// At a price or better.
    Limit,
    /// At the market's price once a price trades.
    Stop,
    /// At a price or better once a price trades.
    StopLimit,
    /// A stop that follows.
    TrailingStop,
}

/// Returns a name without case, blanks, dots, dashes and underscores.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .filter(|letter| !matches!(letter, '_' | '-' | '.' | ' ' | '\t' | '\r' | '\n'))
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

/// Reads an action word, and the order type some words carry (`buylimit`).
pub(super) fn verb(text: &str) -> Option<(Verb, Option<KindWord>)> {
    use Holding::{Long, Short};
    let word = plain(text);
    let open = |side, position| Verb::Open { side, position };
    let close = |holding| Verb::Close { holding };
    let read = match word.as_str() {
        "buy" => open(Side::Buy, None),
        "long" | "bto" | "buytoopen" | "buylong" | "enterlong" | "entrylong" | "longenter" | "longentry"
        | "longopen" | "openlong" | "golong" | "bullentry" => open(Side::Buy, Some(Long)),
        "sell" => open(Side::Sell, None),
        "short" | "sto" | "selltoopen" | "sellshort" | "entershort" | "entryshort" | "shortenter"
        | "shortentry" | "shortopen" | "openshort" | "goshort" | "bearentry" => open(Side::Sell, Some(Short)),
        "close" | "exit" | "flat" | "flatten" | "closeposition" | "exitposition" | "closelongshort" => {
            close(None)
        }
        "closelong" | "longclose" | "exitlong" | "longexit" | "stc" | "selltoclose" | "bullexit" => {
            close(Some(Long))
        }
        "closeshort" | "shortclose" | "exitshort" | "shortexit" | "buytoclose" | "cover" | "buytocover"
        | "covershort" | "bearexit" => close(Some(Short)),
        "reducelong" => Verb::Reduce { holding: Long },
        "reduceshort" => Verb::Reduce { holding: Short },
        "modify" | "modifystop" | "movestop" | "movestoploss" | "movesl" | "setstop" | "setsl"
        | "updatestop" | "updatestoploss" | "updatesl" | "raisestop" | "lowerstop" | "trailstop"
        | "updatetp" | "movetp" | "settp" => Verb::Modify { break_even: false },
        "breakeven" | "be" | "movetobe" | "movetobreakeven" | "stoptobe" | "stoptobreakeven" | "sltobe"
        | "setbreakeven" => Verb::Modify { break_even: true },
        "hold" | "none" | "wait" | "test" | "ping" | "heartbeat" | "neutral" | "nosignal" | "noaction"
        | "info" => Verb::Nothing,
        "cancel" | "cancelall" | "cancelorder" | "cancelorders" | "update" | "closeall" | "exitall"
        | "flattenall" | "reverse" | "flip" | "add" | "cancellong" | "cancelshort" => Verb::Unsupported,
        _ => return with_kind(&word),
    };
    Some((read, None))
}

fn with_kind(word: &str) -> Option<(Verb, Option<KindWord>)> {
    let (side, kind) = match word {
        "buymarket" => (Side::Buy, KindWord::Market),
        "sellmarket" => (Side::Sell, KindWord::Market),
        "buylimit" => (Side::Buy, KindWord::Limit),
        "selllimit" => (Side::Sell, KindWord::Limit),
        "buystop" => (Side::Buy, KindWord::Stop),
        "sellstop" => (Side::Sell, KindWord::Stop),
        _ => return None,
    };
    Some((Verb::Open { side, position: None }, Some(kind)))
}

/// Reads an order type (FR-004).
pub(super) fn kind(text: &str) -> Option<KindWord> {
    Some(match plain(text).as_str() {
        "market" | "mkt" | "m" => KindWord::Market,
        "limit" | "lmt" | "l" => KindWord::Limit,
        "stop" | "stp" | "stopmarket" | "stoploss" | "stoplossmarket" | "slm" => KindWord::Stop,
        "stoplimit" | "stplmt" | "stoplosslimit" | "sl" => KindWord::StopLimit,
        "trailingstop" | "trailingstopmarket" | "trailstop" | "trailing" | "trail" => KindWord::TrailingStop,
        _ => return None,
    })
}

/// Reads the name of a position; `Ok(None)` is flat.
pub(super) fn position(text: &str) -> Option<Option<Holding>> {
    match plain(text).as_str() {
        "long" | "bullish" | "bull" => Some(Some(Holding::Long)),
        "short" | "bearish" | "bear" => Some(Some(Holding::Short)),
        "flat" | "closed" => Some(None),
        _ => None,
    }
}

/// Reads yes or no.
pub(super) fn flag(text: &str) -> Option<bool> {
    match plain(text).as_str() {
        "true" | "yes" | "1" | "on" => Some(true),
        "false" | "no" | "0" | "off" | "" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_does_not_change_a_word() {
        for text in ["enter_long", "ENTER-LONG", "Enter Long", "enterlong"] {
            assert_eq!(
                verb(text),
                Some((Verb::Open { side: Side::Buy, position: Some(Holding::Long) }, None)),
                "{text}"
            );
        }
        assert_eq!(kind("Stop-Limit"), Some(KindWord::StopLimit));
        assert_eq!(verb("buy the dip"), None);
    }

    #[test]
    fn a_word_may_carry_the_order_type() {
        let sell = Verb::Open { side: Side::Sell, position: None };
        assert_eq!(verb("SELLLIMIT"), Some((sell, Some(KindWord::Limit))));
    }
}
