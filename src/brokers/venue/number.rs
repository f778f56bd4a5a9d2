//! Amounts as venues write them: text or a JSON number, read digit by digit and never through a float.

use rust_decimal::Decimal;
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

/// An amount; `0` where the venue writes an empty text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Num(pub Decimal);

impl<'de> Deserialize<'de> for Num {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get().trim_matches('"');
        if text.is_empty() {
            return Ok(Self::default());
        }
        parse(text).map(Self).ok_or_else(|| D::Error::custom("is no number"))
    }
}

/// Reads a number, also one with an exponent; digits past what a decimal holds are dropped.
#[must_use]
pub fn parse(text: &str) -> Option<Decimal> {
    if text.contains(['e', 'E']) {
        return Decimal::from_scientific(text).ok();
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_numbers_are_read_to_the_last_digit() {
        let read = |json: &str| serde_json::from_str::<Num>(json).map(|num| num.0.to_string()).ok();
        assert_eq!(read("\"0.10000000\"").as_deref(), Some("0.10000000"));
        assert_eq!(read("0.1234567890123456789").as_deref(), Some("0.1234567890123456789"));
        assert_eq!(read("1e-8").as_deref(), Some("0.00000001"));
        assert_eq!(read("\"\"").as_deref(), Some("0"));
        assert_eq!(read("\"x\""), None);
        assert_eq!(read("null"), None);
        assert_eq!(read("true"), None);
    }
}
