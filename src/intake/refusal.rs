//! Why a body is not an instruction, in a stable code and in words for the trader who wrote the alert.

use serde::Serialize;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The stable name of a refusal; never renamed once released.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        pub enum RefusalCode {
            $($(#[$doc])* $name,)*
        }

        impl RefusalCode {
            /// Every code, for documentation and for metrics that start at zero.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the code as the API and the logs write it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

codes! {
    /// Nothing but blanks.
    EmptyBody = "EMPTY_BODY",
    /// Begins like JSON and is none.
    InvalidJson = "INVALID_JSON",
    /// JSON, but neither a symbol nor an action, or no object at all.
    MissingFields = "MISSING_FIELDS",
    /// The same field twice.
    DuplicateKey = "DUPLICATE_KEY",
    /// Nested deeper than any alert needs.
    TooDeep = "TOO_DEEP",
    /// No symbol.
    MissingSymbol = "MISSING_SYMBOL",
    /// A symbol no venue writes so.
    BadSymbol = "BAD_SYMBOL",
    /// No action.
    MissingAction = "MISSING_ACTION",
    /// An action that is unknown or not carried out here.
    BadAction = "BAD_ACTION",
    /// Two fields that contradict each other.
    ConflictingFields = "CONFLICTING_FIELDS",
    /// A size that is no size.
    BadQuantity = "BAD_QUANTITY",
    /// A price, level or leverage that is no usable number.
    BadNumber = "BAD_NUMBER",
    /// A broker or account whose name is none.
    BadVia = "BAD_VIA",
    /// An order type that is unknown or does not go with the prices given.
    BadOrderType = "BAD_ORDER_TYPE",
    /// An order type that needs a price, without one.
    MissingPrice = "MISSING_PRICE",
    /// A `{{placeholder}}` that TradingView left as it was.
    PlaceholderNotFilled = "PLACEHOLDER_NOT_FILLED",
    /// A stop that would trigger at once.
    StopWrongSide = "STOP_WRONG_SIDE",
    /// A target that would be a loss.
    TargetWrongSide = "TARGET_WRONG_SIDE",
    /// A price given as a distance where only a price is understood.
    RelativePriceUnsupported = "RELATIVE_PRICE_UNSUPPORTED",
    /// Sent too long ago, or dated in the future.
    Stale = "STALE",
    /// An option contract.
    OptionUnsupported = "OPTION_UNSUPPORTED",
    /// Clearly meant as an order, in a form that is not known.
    UnknownFormat = "UNKNOWN_FORMAT",
    /// Asks for nothing.
    NoInstruction = "NO_INSTRUCTION",
}

impl std::fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why nothing will be traded for a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// The stable name of the reason.
    pub code: RefusalCode,
    /// Where, as a JSON pointer such as `/quantity`; absent when it is the body as a whole.
    pub field: Option<String>,
    /// What is wrong, what is allowed and what to do.
    pub detail: String,
    /// Whether the body asked for nothing, so that silence is the right answer.
    pub nothing_asked: bool,
}

impl Refusal {
    /// Returns a refusal of the body as a whole.
    pub(super) fn body(code: RefusalCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            field: None,
            detail: detail.into(),
            nothing_asked: matches!(code, RefusalCode::NoInstruction),
        }
    }

    /// Returns a refusal of one field.
    pub(super) fn field(code: RefusalCode, pointer: &str, detail: impl Into<String>) -> Self {
        Self { field: Some(pointer.to_owned()), ..Self::body(code, detail) }
    }
}

/// Returns a value short enough to be repeated to its sender, without control characters.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(40).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("\"{}\"", shown.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_written_alike_in_text_and_in_json() {
        for code in RefusalCode::ALL {
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{code}\""));
        }
    }

    #[test]
    fn a_repeated_value_is_short_and_shows_its_control_characters() {
        assert_eq!(quoted("A\0B"), "\"A\\0B\"");
        assert!(quoted(&"x".repeat(1000)).len() < 50);
    }
}
