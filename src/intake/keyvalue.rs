//! `KEY=value` bodies: one pair a line, or separated by `;`, `&` or `,`.

use std::collections::BTreeSet;

use super::Answer;
use super::refusal::{Refusal, RefusalCode};
use super::slots::{self, Said};
use super::value::Value;
use super::words;

/// Reads a body in which every part is `KEY=value`.
pub(super) fn read(text: &str) -> Answer {
    // The coarsest separator alone counts, so that a `;` or `&` inside a note never starts a field.
    let separator = ['\n', ';', '&', ','].into_iter().find(|letter| text.contains(*letter)).unwrap_or('\n');
    let parts =
        text.split(separator).map(|part| part.trim().trim_end_matches(';')).filter(|part| !part.is_empty());
    pairs(parts.map(|part| part.split_once('=').filter(|(key, _)| is_key(key))))
}

/// Turns pairs into fields; a part that is no pair means another format.
pub(super) fn pairs<'a>(parts: impl Iterator<Item = Option<(&'a str, &'a str)>>) -> Answer {
    let mut seen = BTreeSet::new();
    let mut said = Vec::new();
    let mut twice = None;
    for part in parts {
        let (key, value) = part?;
        let key = key.trim();
        let pointer = format!("/{key}");
        if !seen.insert(words::plain(key)) && twice.is_none() {
            let detail = "this field stands twice, and nobody can tell which one counts; send it once";
            twice = Some(Refusal::field(RefusalCode::DuplicateKey, &pointer, detail));
        }
        if let Some(slot) = slots::slot(key) {
            said.push(Said { slot, pointer, value: Value::Text(unquoted(value.trim()).to_owned()) });
        }
    }
    Some(twice.map_or(Ok(said), Err))
}

fn is_key(key: &str) -> bool {
    let key = key.trim();
    !key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphanumeric() || " _-.".contains(letter))
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::slots::Slot;

    fn slots_of(text: &str) -> Vec<(Slot, String)> {
        let said = read(text).unwrap().unwrap();
        said.into_iter().map(|said| (said.slot, said.value.scalar().unwrap().to_owned())).collect()
    }

    #[test]
    fn every_separator_reads_alike() {
        let expected = [(Slot::Symbol, "SOLUSDT".to_owned()), (Slot::Signal, "BUY".to_owned())];
        for text in [
            "SYMBOL=SOLUSDT\r\nSIGNAL=BUY\r\n",
            "symbol=SOLUSDT;signal=BUY;",
            "Symbol=SOLUSDT&Signal=BUY",
            "SYMBOL = SOLUSDT, SIGNAL = \"BUY\"",
        ] {
            assert_eq!(slots_of(text), expected, "{text}");
        }
    }

    #[test]
    fn a_note_cannot_start_a_field() {
        let read = slots_of("SYMBOL=SOLUSDT\nNOTE=x&SIGNAL=SELL;QUANTITY=9\nSIGNAL=BUY");
        assert_eq!(read, [(Slot::Symbol, "SOLUSDT".to_owned()), (Slot::Signal, "BUY".to_owned())]);
    }

    #[test]
    fn a_part_without_a_key_is_another_format() {
        assert!(read("SYMBOL=SOLUSDT\nplease buy").is_none());
        assert!(read("hello").is_none());
        assert!(read("SIGNAL=BUY\nsignal=SELL").unwrap().is_err());
    }
}
