//! Gemini's ways to say no.

use serde_json::json;

use crate::book::Refusal;
use crate::http::Answer;
use crate::server::Trouble;

/// A refusal: an HTTP status, a reason and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The HTTP status.
    pub status: u16,
    /// Gemini's reason.
    pub reason: String,
    /// Gemini's words.
    pub message: String,
}

impl Error {
    /// Returns a refusal.
    #[must_use]
    pub fn new(status: u16, reason: &str, message: impl Into<String>) -> Self {
        Self { status, reason: reason.to_owned(), message: message.into() }
    }

    /// Returns the refusal of what a request says.
    #[must_use]
    pub fn bad(reason: &str, message: impl Into<String>) -> Self {
        Self::new(400, reason, message)
    }

    /// Returns the refusal of a symbol.
    #[must_use]
    pub fn symbol(name: &str) -> Self {
        Self::bad("InvalidSymbol", format!("Supplied value '{name}' is not a valid symbol"))
    }

    /// Returns the refusal of a question about an order there is not.
    #[must_use]
    pub fn no_order(name: &str) -> Self {
        Self::new(404, "OrderNotFound", format!("Order {name} not found"))
    }

    /// Returns the refusal of a path there is not.
    #[must_use]
    pub fn no_path() -> Self {
        Self::new(404, "EndpointNotFound", "API entry point not found")
    }

    /// Returns the book's refusal of an order.
    #[must_use]
    pub fn of(refusal: &Refusal, symbol: &str) -> Self {
        match refusal {
            Refusal::BuyingPower { .. } | Refusal::Quantity { .. } => {
                let words = format!("Failed to place order on symbol '{symbol}' due to insufficient funds");
                Self::new(406, "InsufficientFunds", words)
            }
            Refusal::UnknownAccount
            | Refusal::UnknownOrder
            | Refusal::DuplicateName
            | Refusal::WashTrade { .. }
            | Refusal::FractionalShort
            | Refusal::NothingToReduce
            | Refusal::WouldTake
            | Refusal::NotOpen(_)
            | Refusal::NotReplaceable(_)
            | Refusal::Unchanged
            | Refusal::Unfitting => Self::bad("InvalidOrderType", refusal.to_string()),
        }
    }

    /// Returns it as an answer.
    #[must_use]
    pub fn answer(&self) -> Answer {
        let body = json!({"result": "error", "reason": self.reason, "message": self.message});
        Answer::json(self.status, &body)
    }
}

/// Returns the refusal for what goes wrong on purpose.
#[must_use]
pub fn trouble(trouble: &Trouble) -> Error {
    match trouble {
        Trouble::Status(401) => Error::new(401, "InvalidSignature", "InvalidSignature"),
        Trouble::Status(403) => Error::new(403, "MissingRole", "MissingRole"),
        Trouble::Status(404) => Error::no_path(),
        Trouble::Status(status @ (502 | 503)) => {
            Error::new(*status, "Maintenance", "The Gemini Exchange is currently undergoing maintenance.")
        }
        Trouble::Status(status) => {
            Error::new(*status, "System", "We are investigating technical issues with the Gemini Exchange.")
        }
        Trouble::RateLimit => Error::new(429, "RateLimit", "Requests were made too frequently"),
        Trouble::Duplicate => Error::bad("DuplicateOrder", "An order of this client_order_id exists"),
        // The words begin with the reason: `InvalidPrice: too high`.
        Trouble::Refused { status, message, .. } => {
            let (reason, words) = message.split_once(": ").unwrap_or((message, message));
            Error::new(*status, reason, words)
        }
    }
}
