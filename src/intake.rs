//! Reads what arrives from outside: the bytes of a webhook in, one instruction or a refusal out; no clock, no
//! I/O.
//!
//! The content type never decides: TradingView sends `text/plain` as soon as a body is not valid JSON. The
//! formats of [`FORMATS`] are asked in turn. Each turns its spelling into the same named fields, and one
//! reading of those fields decides what is meant; whatever two people could read differently is refused.

mod action;
mod comma;
mod fields;
mod identity;
mod json;
mod keyvalue;
mod levels;
mod number;
mod order;
mod prices;
mod redact;
mod refusal;
mod slots;
mod symbol;
mod text;
mod value;
mod words;

#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::Serialize;
use trade_actors::domain::signal::Instruction;

pub use identity::{Identity, MAX_LAG_S, MAX_LEAD_S};
pub use redact::{SHOWN_MAX, redact};
pub use refusal::{Refusal, RefusalCode};

/// A format's answer: the fields or a refusal, or nothing when the body is in another spelling.
type Answer = Option<Result<Vec<slots::Said>, Refusal>>;

/// One spelling of orders.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Its name, as `parse` shows it.
    pub name: &'static str,
    /// Answers with the fields or a refusal when the body is in this spelling.
    read: fn(&str) -> Answer,
}

/// Every format, in the order in which they are asked; the last one always answers.
pub const FORMATS: [Format; 4] = [
    Format { name: "json", read: json::read },
    Format { name: "key=value", read: keyvalue::read },
    Format { name: "comma", read: comma::read },
    Format { name: "text", read: text::read },
];

/// Which part of the body supplied a part of the instruction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReceiptStep {
    /// The part of the instruction, such as `stop_loss`.
    pub field: &'static str,
    /// What it was read as.
    pub read_as: String,
    /// The JSON pointer of the field it was read from; empty when it follows from several.
    pub from: String,
}

/// An instruction as it was read, and what else the body says about its delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The name of the [`Format`] that read it.
    pub format: &'static str,
    /// What to do.
    pub instruction: Instruction,
    /// Which delivery it is.
    pub identity: Identity,
    /// When it was sent, if the body says so; never the time of a bar.
    pub sent_at: Option<DateTime<Utc>>,
    /// Oldest age to act on, in seconds, if the body names one.
    pub max_lag_s: Option<u32>,
    /// Where each part came from.
    pub receipt: Vec<ReceiptStep>,
}

impl Reading {
    /// Judges the age of the body: at most its own `max_lag`, otherwise [`MAX_LAG_S`], and never more than
    /// [`MAX_LEAD_S`] in the future. A body that does not say when it was sent is fresh.
    ///
    /// # Errors
    /// [`RefusalCode::Stale`].
    pub fn check_fresh(&self, received_at: DateTime<Utc>) -> Result<(), Refusal> {
        identity::check_fresh(self.sent_at, self.max_lag_s, received_at)
    }
}

/// Reads the body of a webhook.
///
/// # Errors
/// When the body asks for nothing, or for something that cannot be carried out with certainty.
pub fn read_webhook(body: &[u8]) -> Result<Reading, Refusal> {
    let text = std::str::from_utf8(body).map_err(|_| {
        Refusal::body(RefusalCode::UnknownFormat, "the body is not UTF-8 text; send JSON in UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii();
    if text.is_empty() {
        let detail = "the body is empty; write the order into the alert's message field";
        return Err(Refusal::body(RefusalCode::EmptyBody, detail));
    }
    let answer = FORMATS.iter().find_map(|format| (format.read)(text).map(|said| (format.name, said)));
    let (format, said) =
        answer.ok_or_else(|| Refusal::body(RefusalCode::UnknownFormat, "no format knows this body"))?;
    let said = said?;
    let (instruction, receipt) = order::read(&said)?;
    Ok(Reading {
        format,
        instruction,
        identity: Identity::read(&said),
        sent_at: identity::sent_at(&said),
        max_lag_s: identity::max_lag_s(&said)?,
        receipt,
    })
}
