//! Bybit's ways to say no: mostly a code in a body that comes with HTTP status 200.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::wire;
use crate::book::{Refusal, Status};
use crate::http::Answer;
use crate::instrument::Misfit;
use crate::server::Trouble;

/// A refusal: an HTTP status, a code and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The HTTP status.
    pub status: u16,
    /// Bybit's code.
    pub code: i64,
    /// Bybit's words.
    pub message: String,
}

impl Error {
    /// Returns a refusal.
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { status: 200, code, message: message.into() }
    }

    /// Returns the refusal of a parameter.
    #[must_use]
    pub fn params(words: impl std::fmt::Display) -> Self {
        Self::new(10_001, format!("params error: {words}"))
    }

    /// Returns the refusal of a request that does not say when it was made.
    #[must_use]
    pub fn timestamp() -> Self {
        Self::new(10_002, "The request time exceeds the time window range.")
    }

    /// Returns the refusal of a signature.
    #[must_use]
    pub fn signature() -> Self {
        Self::new(10_004, "error sign! please check your signature generation algorithm.")
    }

    /// Returns the refusal of a key that is not allowed that.
    #[must_use]
    pub fn permission() -> Self {
        Self::new(10_005, "Permission denied, please check your API key permissions.")
    }

    /// Returns the refusal of a symbol.
    #[must_use]
    pub fn symbol() -> Self {
        Self::new(170_121, "Invalid symbol.")
    }

    /// Returns the refusal of what is about an order there is not.
    #[must_use]
    pub fn no_order() -> Self {
        Self::new(170_213, "Order does not exist.")
    }

    /// Returns the refusal of a second order of one name.
    #[must_use]
    pub fn duplicate() -> Self {
        Self::new(170_141, "Duplicate clientOrderId.")
    }

    /// Returns the refusal of a cancel of an order that is over.
    #[must_use]
    pub fn over(status: Status) -> Self {
        if status == Status::Filled {
            Self::new(170_139, "Order has been filled.")
        } else {
            Self::new(170_142, "Order has been canceled.")
        }
    }

    /// Returns the refusal of an order that does not keep to its symbol's steps.
    #[must_use]
    pub fn misfit(misfit: Misfit) -> Self {
        match misfit {
            Misfit::PriceTick => Self::new(170_134, "Order price has too many decimals."),
            Misfit::QtyStep => Self::new(170_137, "Order quantity has too many decimals."),
            Misfit::QtyMin => Self::new(170_136, "Order quantity exceeded lower limit."),
            Misfit::QtyMax => Self::new(170_135, "Order quantity exceeded upper limit."),
            Misfit::NotionalMin => Self::new(170_140, "Order value exceeded lower limit."),
        }
    }

    /// Returns the book's refusal of an order.
    #[must_use]
    pub fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::DuplicateName => Self::duplicate(),
            Refusal::BuyingPower { .. } | Refusal::Quantity { .. } => {
                Self::new(170_131, "Insufficient balance.")
            }
            Refusal::WouldTake => {
                Self::new(170_218, "The LIMIT-MAKER order is rejected due to invalid price.")
            }
            Refusal::UnknownOrder => Self::no_order(),
            Refusal::NotOpen(status) => Self::over(*status),
            Refusal::UnknownAccount
            | Refusal::WashTrade { .. }
            | Refusal::FractionalShort
            | Refusal::NothingToReduce
            | Refusal::NotReplaceable(_)
            | Refusal::Unchanged
            | Refusal::Unfitting => Self::params(refusal),
        }
    }

    /// Returns it as an answer.
    #[must_use]
    pub fn answer(&self, now: DateTime<Utc>) -> Answer {
        Answer::json(self.status, &wire::envelope(self.code, &self.message, json!({}), now))
    }
}

fn text(status: u16, words: &str) -> Answer {
    Answer {
        status,
        headers: vec![("content-type", "text/plain".to_owned())],
        body: words.as_bytes().to_vec(),
    }
}

/// Returns what an address is told that asks too often: it is no JSON.
#[must_use]
pub fn too_frequent() -> Answer {
    text(403, "access too frequent")
}

/// Returns the answer to a question that has a body.
#[must_use]
pub fn forbidden() -> Error {
    Error { status: 403, ..Error::new(10_001, "The request could not be satisfied.") }
}

/// Returns the refusal for what goes wrong on purpose. It is of no time, for nobody asked what time it is.
#[must_use]
pub fn trouble(trouble: &Trouble) -> Answer {
    let error = match trouble {
        Trouble::Status(401) => Error { status: 401, ..Error::new(33_004, "Your api key has expired.") },
        Trouble::Status(403) => {
            return text(403, "The Amazon CloudFront distribution is configured to block access");
        }
        Trouble::Status(404) => return text(404, "404 page not found"),
        Trouble::Status(status) => Error { status: *status, ..Error::new(10_016, "Server error.") },
        Trouble::RateLimit => {
            Error { status: 429, ..Error::new(10_006, "Too many visits. Exceeded the API Rate Limit.") }
        }
        Trouble::Duplicate => Error::duplicate(),
        Trouble::Refused { status, code, message } => {
            Error { status: *status, ..Error::new(*code, message.clone()) }
        }
    };
    error.answer(DateTime::UNIX_EPOCH)
}
