//! JSON bodies: FR-003's own fields and the dialects of charting and bot services.
//!
//! `serde_json` alone decides what is JSON; a small walk over the text it found valid keeps each number's
//! literal digits, finds fields that stand twice and limits the depth.

use std::collections::BTreeSet;

use serde::de::IgnoredAny;

use super::Answer;
use super::refusal::{Refusal, RefusalCode};
use super::slots::{self, Said, Slot};
use super::value::Value;

/// Deepest nesting of objects and lists that is read.
const DEPTH_MAX: usize = 16;

/// Reads a body that is JSON, or begins as only JSON does.
pub(super) fn read(text: &str) -> Answer {
    let begins = text.starts_with(['{', '[', '"', '\u{201c}']);
    if !begins && serde_json::from_str::<IgnoredAny>(text).is_err() {
        return None;
    }
    Some(parse(text, "").and_then(|value| {
        let Value::Object(entries) = value else {
            return Err(Refusal::body(
                RefusalCode::MissingFields,
                "the body is JSON but no object; send one order as {\"ticker\": …, \"action\": …}",
            ));
        };
        let mut said = Vec::with_capacity(entries.len());
        collect(entries, "", &mut said)?;
        Ok(said)
    }))
}

/// Reads one JSON text; `pointer` is where it stands in the body.
fn parse(text: &str, pointer: &str) -> Result<Value, Refusal> {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return Err(invalid(text, pointer, error.line(), error.column()));
    }
    let mut path = pointer.to_owned();
    Walk { rest: text }.value(DEPTH_MAX, &mut path)
}

fn invalid(text: &str, pointer: &str, line: usize, column: usize) -> Refusal {
    let (code, hint) = if text.contains("{{") {
        let hint = "it still holds a {{placeholder}} that TradingView did not fill: use a strategy alert";
        (RefusalCode::PlaceholderNotFilled, hint)
    } else if text.contains("NaN") {
        (
            RefusalCode::InvalidJson,
            "a script wrote NaN for a missing value: leave such fields out or send null",
        )
    } else if text.contains(['\u{201c}', '\u{201d}']) {
        (RefusalCode::InvalidJson, "it uses curly quotation marks: JSON needs straight ones")
    } else {
        (RefusalCode::InvalidJson, "it is never repaired, because a repaired order may be another order")
    };
    let field = (!pointer.is_empty()).then(|| pointer.to_owned());
    let detail = format!("the body is not valid JSON (line {line}, column {column}); {hint}");
    Refusal { field, ..Refusal::body(code, detail) }
}

/// A walk over a text that is known to be JSON.
struct Walk<'a> {
    rest: &'a str,
}

impl<'a> Walk<'a> {
    fn value(&mut self, depth: usize, path: &mut String) -> Result<Value, Refusal> {
        let Some(depth) = depth.checked_sub(1) else {
            let detail =
                format!("the body is nested deeper than {DEPTH_MAX} levels; send the order's fields flat");
            return Err(Refusal::body(RefusalCode::TooDeep, detail));
        };
        match self.peek() {
            Some('{') => self.object(depth, path),
            Some('[') => self.list(depth, path),
            Some('"') => self.text().map(Value::Text),
            Some(_) | None => Ok(self.literal()),
        }
    }

    fn object(&mut self, depth: usize, path: &mut String) -> Result<Value, Refusal> {
        let mut entries: Vec<(String, Value)> = Vec::new();
        let mut seen = BTreeSet::new();
        self.take('{');
        while self.peek() == Some('"') {
            let key = self.text()?;
            let length = path.len();
            push_pointer(path, &key);
            if !seen.insert(key.clone()) {
                let detail = "this field stands twice, and nobody can tell which one counts; send it once";
                return Err(Refusal::field(RefusalCode::DuplicateKey, path, detail));
            }
            self.take(':');
            let value = self.value(depth, path)?;
            path.truncate(length);
            entries.push((key, value));
            self.take(',');
        }
        self.take('}');
        Ok(Value::Object(entries))
    }

    fn list(&mut self, depth: usize, path: &mut String) -> Result<Value, Refusal> {
        let mut items = Vec::new();
        self.take('[');
        while !matches!(self.peek(), Some(']') | None) {
            let length = path.len();
            push_pointer(path, &items.len().to_string());
            items.push(self.value(depth, path)?);
            path.truncate(length);
            self.take(',');
        }
        self.take(']');
        Ok(Value::List(items))
    }

    fn text(&mut self) -> Result<String, Refusal> {
        let mut escaped = false;
        let mut bytes = self.rest.bytes().enumerate().skip(1);
        let end = bytes.find_map(|(at, byte)| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends.then_some(at + 1)
        });
        let (token, rest) = end.and_then(|end| self.rest.split_at_checked(end)).unwrap_or((self.rest, ""));
        self.rest = rest;
        serde_json::from_str(token).map_err(|_| {
            let detail = "the body holds a text that is no Unicode; JSON allows none such";
            Refusal::body(RefusalCode::InvalidJson, detail)
        })
    }

    fn literal(&mut self) -> Value {
        let end = self.rest.find([',', ']', '}', ' ', '\t', '\r', '\n']).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        match token {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            number => Value::Number(number.to_owned()),
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.chars().next()
    }

    fn take(&mut self, letter: char) {
        self.peek();
        self.rest = self.rest.strip_prefix(letter).unwrap_or(self.rest);
    }
}

fn push_pointer(path: &mut String, key: &str) {
    path.push('/');
    for letter in key.chars() {
        match letter {
            '~' => path.push_str("~0"),
            '/' => path.push_str("~1"),
            letter => path.push(letter),
        }
    }
}

/// Finds the known fields, in groups and in JSON texts too.
fn collect(entries: Vec<(String, Value)>, pointer: &str, out: &mut Vec<Said>) -> Result<(), Refusal> {
    for (key, value) in entries {
        let Some(slot) = slots::slot(&key) else { continue };
        let mut path = pointer.to_owned();
        push_pointer(&mut path, &key);
        match (slot, value) {
            (Slot::Group | Slot::Signal | Slot::OrderType, Value::Object(inner)) => {
                collect(inner, &path, out)?
            }
            (Slot::Bar, Value::Object(inner)) => collect_bar(inner, &path, out),
            (Slot::Message, Value::Text(text)) if text.trim_ascii_start().starts_with('{') => {
                message(&text, &path, out)?;
            }
            (Slot::Message, value) if !value.holds_placeholder() => {}
            (Slot::Group | Slot::Bar, _) => {}
            // Inside a group an `id` names the strategy's order, not the delivery.
            (Slot::Id, _) if !pointer.is_empty() => {}
            (slot, value) => out.push(Said { slot, pointer: path, value }),
        }
    }
    Ok(())
}

fn message(text: &str, path: &str, out: &mut Vec<Said>) -> Result<(), Refusal> {
    match parse(text, path)? {
        // One level only: a text within a text is nobody's order.
        Value::Object(inner) => collect(
            inner.into_iter().filter(|(key, _)| slots::slot(key) != Some(Slot::Message)).collect(),
            path,
            out,
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => Ok(()),
    }
}

/// Takes a bar's time and close; its volume and other prices are no part of an order.
fn collect_bar(entries: Vec<(String, Value)>, pointer: &str, out: &mut Vec<Said>) {
    for (key, value) in entries {
        let slot = match slots::slot(&key) {
            Some(Slot::Time | Slot::SentAt | Slot::BarTime) => Slot::BarTime,
            Some(Slot::ClosePrice) => Slot::ClosePrice,
            Some(_) | None => continue,
        };
        let mut path = pointer.to_owned();
        push_pointer(&mut path, &key);
        out.push(Said { slot, pointer: path, value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn code(text: &str) -> Option<RefusalCode> {
        read(text).and_then(Result::err).map(|refusal| refusal.code)
    }

    #[test]
    fn a_number_keeps_every_digit_it_was_written_with() {
        let said = read(r#"{"price": 0.10000000000000000001, "qty": 1e-3}"#).unwrap().unwrap();
        let texts: Vec<_> = said.iter().map(|said| said.value.scalar().unwrap().to_owned()).collect();
        assert_eq!(texts, ["0.10000000000000000001", "1e-3"]);
    }

    #[test]
    fn the_same_field_twice_is_refused_wherever_it_stands() {
        let refusal = read(r#"{"extra": {"a/b": 1, "a\u002fb": 2}}"#).unwrap().unwrap_err();
        assert_eq!(
            (refusal.code, refusal.field.as_deref()),
            (RefusalCode::DuplicateKey, Some("/extra/a~1b"))
        );
    }

    #[test]
    fn depth_is_limited() {
        let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(code(&nested(14)), None);
        assert_eq!(code(&nested(15)), Some(RefusalCode::TooDeep));
        assert_eq!(code(&nested(50_000)), Some(RefusalCode::TooDeep));
    }

    #[test]
    fn what_is_not_quite_json_is_never_repaired() {
        for text in [
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":01}",
            "{'a':1}",
            "{\"a\":1} {\"b\":2}",
            "\"a\": 1",
            "{\"a\":\"\\ud800\"}",
        ] {
            assert_eq!(code(text), Some(RefusalCode::InvalidJson), "{text}");
        }
        assert_eq!(code("{\"qty\": {{strategy.order.contracts}}}"), Some(RefusalCode::PlaceholderNotFilled));
        assert!(read("buy AAPL").is_none());
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".*".prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::btree_map(".*", inner, 0..5)
                    .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    fn as_serde(value: Value) -> serde_json::Value {
        match value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => value.into(),
            Value::Number(text) => text.parse::<i64>().unwrap().into(),
            Value::Text(text) => text.into(),
            Value::List(items) => items.into_iter().map(as_serde).collect(),
            Value::Object(entries) => {
                entries.into_iter().map(|(key, value)| (key, as_serde(value))).collect()
            }
        }
    }

    proptest! {
        /// The walk sees exactly what `serde_json` sees, however the text is laid out.
        #[test]
        fn the_walk_agrees_with_serde_json(value in any_json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                prop_assert_eq!(as_serde(parse(&text, "").unwrap()), value.clone());
            }
        }

        /// Any text is answered.
        #[test]
        fn any_text_is_answered(text in r#"[\[\]{}":,0-9a-z\\. -]{0,60}"#) {
            let accepted = read(&text).is_some_and(|read| read.is_ok());
            prop_assert!(!accepted || serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
    }
}
