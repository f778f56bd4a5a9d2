//! What of a body may be shown and logged: its beginning, with secrets masked and control characters escaped.

use super::words;

/// Most bytes of the text that [`redact`] returns.
pub const SHOWN_MAX: usize = 2048;

/// Stands for a secret.
const MASK: &str = "***";

/// Names of fields whose values are secrets.
const SECRETS: [&str; 17] = [
    "secret",
    "passphrase",
    "apikey",
    "apisecret",
    "key",
    "token",
    "licence",
    "license",
    "licenceid",
    "licenseid",
    "password",
    "passwd",
    "pass",
    "auth",
    "authorization",
    "signature",
    "pin",
];

/// Returns at most [`SHOWN_MAX`] bytes of a body that are safe to store and show.
///
/// The values of fields such as `secret`, `passphrase` or `key` are masked in any format and even when the
/// body is not valid; so is the licence number that begins a comma body.
#[must_use]
pub fn redact(body: &[u8]) -> String {
    let read = body.get(..body.len().min(SHOWN_MAX * 2)).unwrap_or_default();
    let text = unescaped(&String::from_utf8_lossy(read));
    let mut out = String::with_capacity(text.len().min(SHOWN_MAX));
    let mut rest = text.as_str();
    let licence = rest.trim_start().find(|letter: char| !letter.is_ascii_digit()).unwrap_or(0);
    if licence > 0 && rest.trim_start().get(licence..).is_some_and(|rest| rest.trim_start().starts_with(','))
    {
        out.push_str(MASK);
        rest = rest.trim_start().get(licence..).unwrap_or_default();
    }
    while !rest.is_empty() {
        let end = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        out.push_str(word);
        rest = after;
        if is_secret(word)
            && let Some((between, after)) = value_after(rest)
        {
            escape(between, &mut out);
            out.push_str(MASK);
            rest = after;
            continue;
        }
        let mut letters = rest.chars();
        if let Some(letter) = letters.next() {
            escape(letter.encode_utf8(&mut [0; 4]), &mut out);
        }
        rest = letters.as_str();
    }
    if out.len() > SHOWN_MAX || body.len() > read.len() {
        let end = (0..=SHOWN_MAX - '…'.len_utf8()).rev().find(|end| out.is_char_boundary(*end)).unwrap_or(0);
        out.truncate(end);
        out.push('…');
    }
    out
}

const fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-')
}

fn is_secret(word: &str) -> bool {
    let name = words::plain(word);
    SECRETS.contains(&name.as_str())
        || ["secret", "token", "password", "passphrase", "apikey", "key"]
            .iter()
            .any(|end| name.ends_with(end))
}

/// Splits `": "value", …` into what stands before the value and what follows it.
fn value_after(rest: &str) -> Option<(&str, &str)> {
    let quote = |letter: char| matches!(letter, '"' | '\'' | '\\' | '\u{201c}' | '\u{201d}');
    let sign = rest.trim_start_matches(|letter: char| quote(letter) || letter.is_whitespace());
    let after = sign.strip_prefix([':', '='])?.trim_start();
    let value = after.trim_start_matches(quote);
    let before = rest.get(..rest.len() - value.len())?;
    let quoted = value.len() < after.len();
    // A secret that is an object or list hides all that follows: where it ends is not known for certain.
    if value.starts_with(['{', '[']) {
        return Some((before, ""));
    }
    let mut escaped = false;
    let end = value.find(|letter: char| {
        let ends = match (quoted, letter) {
            (true, '"' | '\'' | '\u{201d}') => !escaped,
            (true, _) => false,
            (false, letter) => matches!(letter, ',' | ';' | '&' | '}' | ']' | '\n'),
        };
        escaped = letter == '\\' && !escaped;
        ends
    });
    Some((before, value.get(end.unwrap_or(value.len())..)?))
}

/// Writes `\u0061` as `a`, so that no escaped name hides a secret.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\u") {
        out.push_str(before);
        let code =
            after.get(..4).and_then(|code| u32::from_str_radix(code, 16).ok()).and_then(char::from_u32);
        match (code, after.get(4..)) {
            (Some(letter), Some(after)) if is_name(letter) => {
                out.push(letter);
                rest = after;
            }
            (_, _) => {
                out.push_str("\\u");
                rest = after;
            }
        }
    }
    out + rest
}

/// Appends text with control and direction-changing characters escaped.
fn escape(text: &str, out: &mut String) {
    for letter in text.chars() {
        let hidden = matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if letter.is_control() || hidden {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_are_masked_in_every_format() {
        for body in [
            r#"{"secret": "hunter2", "ticker": "MSFT"}"#,
            r#"{"apiKey":"hunter2","ticker":"MSFT"}"#,
            r#"{"s\u0065cret":"hunter2","ticker":"MSFT"}"#,
            r#"{"passphrase" : "a\"hunter2", "ticker":"MSFT"}"#,
            r#"{"m":"{\"token\":\"hunter2\"}","ticker":"MSFT"}"#,
            r#"{"ticker":"MSFT","auth":{"name":"x","pass":["hunter2"]}}"#,
            "{“secret”: “hunter2”, “ticker”: “MSFT”}",
            "TICKER=MSFT\nWEBHOOK_SECRET=hunter2\nSIGNAL=BUY",
            "ticker=MSFT&key=hunter2&action=buy",
            "{'password': 'hunter2', 'ticker': 'MSFT'}",
        ] {
            let shown = redact(body.as_bytes());
            assert!(!shown.contains("hunter2") && shown.contains(MASK) && shown.contains("MSFT"), "{shown}");
        }
        assert_eq!(redact(b"60001234,buy,EURUSD"), "***,buy,EURUSD");
    }

    #[test]
    fn the_rest_stays_readable() {
        assert_eq!(redact(b"{\"note\": \"a\x07b\",\n\"qty\": 1}"), "{\"note\": \"a\\u{7}b\",\\n\"qty\": 1}");
        assert!(redact(&vec![b'A'; 1_000_000]).ends_with('…'));
    }

    proptest! {
        /// Whatever arrives, what is shown is short and holds no control character.
        #[test]
        fn any_bytes_become_a_short_plain_text(body in prop::collection::vec(any::<u8>(), 0..5000)) {
            let shown = redact(&body);
            prop_assert!(shown.len() <= SHOWN_MAX && !shown.chars().any(char::is_control));
        }

        /// No secret survives, whatever its value and its neighbours.
        #[test]
        fn no_secret_survives(secret in "[a-zA-Z0-9!#$%*+/=?^_.:-]{8,40}", note in ".{0,20}") {
            let secret = format!("Zq{secret}qZ");
            let body = serde_json::json!({"note": note, "passphrase": secret, "ticker": "MSFT"}).to_string();
            prop_assert!(!redact(body.as_bytes()).contains(&secret));
        }
    }
}
