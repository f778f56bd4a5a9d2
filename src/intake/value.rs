//! A body's value as it was written: numbers keep their literal text.

/// A JSON value, or a text of another format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Said to be nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A number's literal text.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Named values, in order, no name twice.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// Returns the text of a number or a text.
    pub(super) fn scalar(&self) -> Option<&str> {
        match self {
            Self::Number(text) | Self::Text(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// Returns whether the field is there but says nothing.
    pub(super) fn is_unset(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.trim_ascii().is_empty(),
            Self::List(items) => items.iter().all(Self::is_unset),
            Self::Bool(_) | Self::Number(_) | Self::Object(_) => false,
        }
    }

    /// Returns whether a text in it still holds a placeholder.
    pub(super) fn holds_placeholder(&self) -> bool {
        match self {
            Self::Text(text) => text.contains("{{"),
            Self::List(items) => items.iter().any(Self::holds_placeholder),
            Self::Object(entries) => entries.iter().any(|(_, value)| value.holds_placeholder()),
            Self::Null | Self::Bool(_) | Self::Number(_) => false,
        }
    }

    /// Returns the value as it is repeated to the sender.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(text) => text.chars().take(40).collect(),
            Self::Text(text) => super::refusal::quoted(text),
            Self::List(_) => "a list".to_owned(),
            Self::Object(_) => "an object".to_owned(),
        }
    }
}
