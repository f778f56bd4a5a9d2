//! What clients say to the streamer, and the codes of what they are told.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};

/// The last field of a share's quote.
const FIELD_MAX: u16 = 51;

/// What is said of what was asked. Success is zero for every command, as clients demand: the codes from 26 on, which
/// the documentation has for it, are not used.
pub(super) const DONE: u16 = 0;
pub(super) const DENIED: u16 = 3;
pub(super) const TAKEN_OVER: u16 = 12;
pub(super) const TOO_MANY: u16 = 19;
pub(super) const NOT_FOUND: u16 = 20;
pub(super) const BAD_COMMAND: u16 = 21;
pub(super) const SUBS_FAILED: u16 = 22;
pub(super) const UNSUBS_FAILED: u16 = 23;
pub(super) const ADD_FAILED: u16 = 24;
pub(super) const VIEW_FAILED: u16 = 25;
pub(super) const STOPPED: u16 = 30;

/// Several commands, or a bare one.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Frame {
    Several(Several),
    One(Command),
}

impl Frame {
    /// Returns the commands in it.
    pub(super) fn commands(self) -> Vec<Command> {
        match self {
            Self::Several(Several { requests }) => requests,
            Self::One(command) => vec![command],
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Several {
    requests: Vec<Command>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Command {
    pub(super) service: String,
    pub(super) command: String,
    pub(super) requestid: Value,
    #[serde(rename = "SchwabClientCustomerId")]
    pub(super) customer: Option<String>,
    #[serde(rename = "SchwabClientCorrelId")]
    pub(super) correl: Option<String>,
    #[serde(default)]
    parameters: Map<String, Value>,
}

impl Command {
    /// Returns a parameter that is a text; empty if it is missing.
    pub(super) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the keys it names.
    pub(super) fn keys(&self) -> Vec<&str> {
        self.parameter("keys").split(',').map(str::trim).filter(|key| !key.is_empty()).collect()
    }

    /// Returns the fields it names, if they are fields.
    pub(super) fn fields(&self) -> Option<BTreeSet<u16>> {
        let fields = self.parameter("fields").split(',').map(|field| field.trim().parse::<u16>().ok());
        fields
            .collect::<Option<BTreeSet<_>>>()
            .filter(|fields| fields.iter().all(|field| *field <= FIELD_MAX))
    }
}
