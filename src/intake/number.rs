//! Numbers as people and scripts write them, read exactly: never through a binary fraction.

use rust_decimal::Decimal;

/// Largest power of ten a number may be written with.
const EXPONENT_MAX: u32 = 28;

/// Why a text is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberFault {
    /// A distance (`10%`, `-3d`), not a number.
    Relative,
    /// No number, or one with more than 28 digits, or one that two people would read differently.
    Unreadable,
}

/// Reads a number: blanks around it, a `$` before it and thousands commas are allowed.
pub(super) fn decimal(text: &str) -> Result<Decimal, NumberFault> {
    let text = text.trim_ascii();
    if let Some(rest) = text.strip_suffix(['%', 'd', 'D']) {
        let relative = decimal(rest.strip_prefix('+').unwrap_or(rest)).is_ok();
        return Err(if relative { NumberFault::Relative } else { NumberFault::Unreadable });
    }
    let text = text.strip_prefix('$').unwrap_or(text).trim_ascii_start();
    if text.contains(',') {
        return commas(text).and_then(|plain_text| plain(&plain_text));
    }
    plain(text)
}

/// Reads `5%` as 5; anything without the sign is no percentage.
pub(super) fn percentage(text: &str) -> Option<Decimal> {
    plain(text.trim_ascii().strip_suffix('%')?.trim_ascii_end()).ok()
}

/// Rewrites commas: `45,000` and `1,992.81` hold thousands, `1,61`, `0,177` and `3663,10` decimals.
fn commas(text: &str) -> Result<String, NumberFault> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, tail) = digits.split_once('.').map_or((digits, None), |(whole, tail)| (whole, Some(tail)));
    let mut groups = whole.split(',');
    let first = groups.next().unwrap_or_default();
    let rest: Vec<&str> = groups.collect();
    let grouped = (1..=3).contains(&first.len())
        && !first.starts_with('0')
        && rest.iter().all(|group| group.len() == 3);
    match (rest.as_slice(), tail) {
        ([], _) => Err(NumberFault::Unreadable),
        (groups, None) if grouped => Ok(format!("{sign}{first}{}", groups.concat())),
        (groups, Some(tail)) if grouped => Ok(format!("{sign}{first}{}.{tail}", groups.concat())),
        ([decimals], None) => Ok(format!("{sign}{first}.{decimals}")),
        ([..], _) => Err(NumberFault::Unreadable),
    }
}

/// Reads an optional sign, digits, an optional fraction and an optional power of ten.
fn plain(text: &str) -> Result<Decimal, NumberFault> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(m, e)| (m, Some(e)));
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, tail) = unsigned.split_once('.').map_or((unsigned, "0"), |(whole, tail)| (whole, tail));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let octal = whole.len() > 1 && whole.starts_with('0');
    if unsigned.is_empty() || tail.is_empty() || octal || !digits(whole) || !digits(tail) {
        return Err(NumberFault::Unreadable);
    }
    let value = Decimal::from_str_exact(mantissa).map_err(|_| NumberFault::Unreadable)?;
    exponent.map_or(Ok(value), |exponent| scaled(value, exponent).ok_or(NumberFault::Unreadable))
}

fn scaled(value: Decimal, exponent: &str) -> Option<Decimal> {
    let (down, digits) = match exponent.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, exponent.strip_prefix('+').unwrap_or(exponent)),
    };
    let power: u32 = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    if power > EXPONENT_MAX {
        return None;
    }
    let mut value = value.normalize();
    if down {
        let scale = value.scale().checked_add(power).filter(|scale| *scale <= EXPONENT_MAX)?;
        value.set_scale(scale).ok()?;
        return Some(value);
    }
    let tens = (0..power).try_fold(Decimal::ONE, |tens, _| tens.checked_mul(Decimal::TEN))?;
    value.checked_mul(tens)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Option<String> {
        decimal(text).ok().map(|value| value.normalize().to_string())
    }

    #[test]
    fn commas_are_thousands_or_decimals_as_people_write_them() {
        for (text, number) in [
            ("45,000", "45000"),
            ("1,992.81", "1992.81"),
            ("$2,345,678.50", "2345678.5"),
            ("1,61", "1.61"),
            ("0,177", "0.177"),
            ("3663,10", "3663.1"),
            (" 12 ", "12"),
            (".5", "0.5"),
            ("1e-7", "0.0000001"),
            ("2.5E+3", "2500"),
        ] {
            assert_eq!(read(text).as_deref(), Some(number), "{text}");
        }
    }

    #[test]
    fn what_two_people_would_read_differently_is_refused() {
        for text in [
            "",
            "NaN",
            "inf",
            "-",
            "+5",
            "010",
            "5.",
            "1.234,56",
            "1,00,000",
            "10 shares",
            "1.5k",
            "0x10",
            "１０",
            "1e29",
            "1e-29",
            "1e",
            "1_000",
            "--1",
            "1e+-1",
            "0.00000000000000000000000000001",
        ] {
            assert_eq!(decimal(text), Err(NumberFault::Unreadable), "{text}");
        }
        for text in ["10%", "-3d", "+2.5%", "-1 %"] {
            assert_eq!(decimal(text), Err(NumberFault::Relative), "{text}");
        }
    }

    proptest! {
        /// Every decimal is read back exactly as it was printed.
        #[test]
        fn numbers_round_trip(units in any::<i64>(), scale in 0_u32..19) {
            let value = Decimal::new(units, scale);
            prop_assert_eq!(decimal(&value.to_string()), Ok(value));
        }

        /// Thousands commas change nothing.
        #[test]
        fn grouping_is_only_spelling(units in 1_000_u64..1_000_000_000_000, cents in 0_u8..100) {
            let digits = units.to_string();
            let mut grouped = String::new();
            for (at, digit) in digits.chars().enumerate() {
                if at > 0 && (digits.len() - at) % 3 == 0 {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            prop_assert_eq!(decimal(&format!("{grouped}.{cents:02}")), decimal(&format!("{digits}.{cents:02}")));
        }

        /// Any text is answered.
        #[test]
        fn any_text_is_answered(text in ".*") {
            prop_assert!(decimal(&text).is_err() || text.is_ascii());
        }
    }
}
