//! Coinbase's ways to say no: an HTTP status with words, or, for an order, a status of 200 and no success.

use serde_json::{Value, json};

use crate::book::Refusal;
use crate::http::Answer;
use crate::instrument::Misfit;
use crate::server::Trouble;

/// A refusal of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The HTTP status.
    pub status: u16,
    /// Coinbase's code.
    pub code: String,
    /// Coinbase's words.
    pub message: String,
}

impl Error {
    /// Returns a refusal.
    #[must_use]
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    /// Returns the refusal of a token.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(401, "", "Unauthorized")
    }

    /// Returns the refusal of what a key may not do.
    #[must_use]
    pub fn scopes() -> Self {
        Self::new(403, "PERMISSION_DENIED", "Missing required scopes")
    }

    /// Returns the refusal of what there is not.
    #[must_use]
    pub fn not_found(words: &str) -> Self {
        Self::new(404, "unknown", words)
    }

    /// Returns the refusal of what cannot be read.
    #[must_use]
    pub fn argument(words: impl Into<String>) -> Self {
        Self::new(400, "INVALID_ARGUMENT", words)
    }

    /// Returns it as an answer. What is said to strangers is no JSON.
    #[must_use]
    pub fn answer(&self) -> Answer {
        if self.status == 401 {
            let headers = vec![("content-type", "text/plain; charset=utf-8".to_owned())];
            return Answer { status: 401, headers, body: b"Unauthorized\n".to_vec() };
        }
        let words = &self.message;
        Answer::json(self.status, &json!({"error": self.code, "error_details": words, "message": words}))
    }
}

/// Why an order is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    error: &'static str,
    preview: &'static str,
    words: String,
}

/// What is said where there is nothing to say.
pub(super) const UNKNOWN: &str = "UNKNOWN_FAILURE_REASON";

impl Failure {
    /// Returns a failure that the order itself shows.
    #[must_use]
    pub fn new(error: &'static str, words: impl Into<String>) -> Self {
        Self { error, preview: "", words: words.into() }
    }

    /// Returns a failure that only the preview of the order shows.
    #[must_use]
    pub fn preview(preview: &'static str, words: impl Into<String>) -> Self {
        Self { error: UNKNOWN, preview, words: words.into() }
    }

    /// Returns the failure of an order that does not keep to its product's steps.
    #[must_use]
    pub fn misfit(misfit: Misfit) -> Self {
        match misfit {
            Misfit::PriceTick => Self::new("INVALID_PRICE_PRECISION", "Too many decimals in order price"),
            Misfit::QtyStep => Self::new("INVALID_SIZE_PRECISION", "Too many decimals in order amount"),
            Misfit::QtyMin => Self::preview("PREVIEW_INVALID_BASE_SIZE_TOO_SMALL", "Order size is too small"),
            Misfit::QtyMax => Self::preview("PREVIEW_INVALID_BASE_SIZE_TOO_LARGE", "Order size is too large"),
            Misfit::NotionalMin => {
                Self::preview("PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL", "Order value is too small")
            }
        }
    }

    /// Returns the book's refusal of an order.
    #[must_use]
    pub fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::BuyingPower { .. } | Refusal::Quantity { .. } => Self {
                preview: "PREVIEW_INSUFFICIENT_FUND",
                ..Self::new("INSUFFICIENT_FUND", "Insufficient balance in source account")
            },
            Refusal::WouldTake => Self::new("INVALID_LIMIT_PRICE_POST_ONLY", "Post only order would trade"),
            Refusal::UnknownAccount
            | Refusal::UnknownOrder
            | Refusal::DuplicateName
            | Refusal::WashTrade { .. }
            | Refusal::FractionalShort
            | Refusal::NothingToReduce
            | Refusal::NotOpen(_)
            | Refusal::NotReplaceable(_)
            | Refusal::Unchanged
            | Refusal::Unfitting => Self::new("INVALID_REQUEST", refusal.to_string()),
        }
    }

    /// Returns it as JSON, with the configuration that was asked for.
    #[must_use]
    pub fn body(&self, configuration: &Value) -> Value {
        json!({
            "success": false,
            "failure_reason": UNKNOWN,
            "order_id": "",
            "error_response": {
                "error": self.error,
                "message": self.words,
                "error_details": "",
                "preview_failure_reason": self.preview,
            },
            "order_configuration": configuration,
        })
    }
}

/// Returns the answer for what goes wrong on purpose. That a name was used before is no documented refusal: the code is
/// one that others report.
#[must_use]
pub fn trouble(trouble: &Trouble) -> Answer {
    match trouble {
        Trouble::Status(401) => Error::unauthorized().answer(),
        Trouble::Status(403) => Error::scopes().answer(),
        Trouble::Status(404) => Error::not_found("order with this orderID was not found").answer(),
        Trouble::Status(status) => Error::new(*status, "INTERNAL", "An internal error occurred").answer(),
        Trouble::RateLimit => Error::new(429, "rate_limit_exceeded", "too many requests").answer(),
        Trouble::Duplicate => {
            let failure = Failure::new("DUPLICATE_CLIENT_ORDER_ID", "client order id was used before");
            Answer::json(200, &failure.body(&json!({})))
        }
        Trouble::Refused { status, message, .. } => Error::new(*status, "INVALID_REQUEST", message).answer(),
    }
}
