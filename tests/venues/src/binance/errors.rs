//! Binance's ways to say no.

use serde_json::{Value, json};

use crate::book::Refusal;
use crate::http::Answer;
use crate::instrument::Misfit;
use crate::server::Trouble;

/// A refusal: an HTTP status, a code and words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The HTTP status.
    pub status: u16,
    /// Binance's code.
    pub code: i64,
    /// Binance's words.
    pub message: String,
}

impl Error {
    /// Returns a refusal.
    #[must_use]
    pub fn new(status: u16, code: i64, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn bad(code: i64, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// Returns the refusal of a key that is unknown, revoked or not allowed that.
    #[must_use]
    pub fn key() -> Self {
        Self::new(401, -2015, "Invalid API-key, IP, or permissions for action.")
    }

    /// Returns the refusal of what is no key.
    #[must_use]
    pub fn no_key() -> Self {
        Self::new(401, -2014, "API-key format invalid.")
    }

    /// Returns the refusal of a signature.
    #[must_use]
    pub fn signature() -> Self {
        Self::bad(-1022, "Signature for this request is not valid.")
    }

    /// Returns the refusal of a time that is too long ago.
    #[must_use]
    pub fn too_late() -> Self {
        Self::bad(-1021, "Timestamp for this request is outside of the recvWindow.")
    }

    /// Returns the refusal of a time that is to come.
    #[must_use]
    pub fn too_early() -> Self {
        Self::bad(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    }

    /// Returns the refusal of a parameter that is missing or cannot be read.
    #[must_use]
    pub fn mandatory(name: &str) -> Self {
        Self::bad(-1102, format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."))
    }

    /// Returns the refusal where one of two parameters is missing.
    #[must_use]
    pub fn either(one: &str, other: &str) -> Self {
        Self::bad(-1102, format!("Param '{one}' or '{other}' must be sent, but both were empty/null!"))
    }

    /// Returns the refusal of a parameter that is there and empty.
    #[must_use]
    pub fn empty(name: &str) -> Self {
        Self::bad(-1105, format!("Parameter '{name}' was empty."))
    }

    /// Returns the refusal of parameters that nobody asked for.
    #[must_use]
    pub fn unread(read: usize, sent: usize) -> Self {
        Self::bad(
            -1104,
            format!("Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'."),
        )
    }

    /// Returns the refusal of a parameter that is there twice.
    #[must_use]
    pub fn repeated() -> Self {
        Self::bad(-1101, "Duplicate values for a parameter detected.")
    }

    /// Returns the refusal of characters that a parameter may not have.
    #[must_use]
    pub fn characters(name: &str, range: &str) -> Self {
        Self::bad(-1100, format!("Illegal characters found in parameter '{name}'; legal range is '{range}'."))
    }

    /// Returns the refusal of a parameter that this order does not take.
    #[must_use]
    pub fn not_required(name: &str) -> Self {
        Self::bad(-1106, format!("Parameter '{name}' sent when not required."))
    }

    /// Returns the refusal of too many digits.
    #[must_use]
    pub fn precision(name: &str) -> Self {
        Self::bad(-1111, format!("Parameter '{name}' has too much precision."))
    }

    /// Returns the refusal of a value.
    #[must_use]
    pub fn value(name: &str) -> Self {
        Self::bad(-1130, format!("Data sent for parameter '{name}' is not valid."))
    }

    /// Returns the refusal of a word that is none of those there are, by its code.
    #[must_use]
    pub fn word(code: i64) -> Self {
        let message = match code {
            -1115 => "Invalid timeInForce.",
            -1116 => "Invalid orderType.",
            -1117 => "Invalid side.",
            -1145 => "Invalid cancelRestrictions",
            -1158 => "Order type not supported in OCO.",
            -1165 => "A limit order in a buy OCO must be below.",
            -1166 => "A limit order in a sell OCO must be above.",
            -1168 => "At least one OCO order must be contingent.",
            -1196 => "A stop loss order in a buy OCO must be above.",
            -1197 => "A stop loss order in a sell OCO must be below.",
            -1198 => "A take profit order in a buy OCO must be below.",
            -1199 => "A take profit order in a sell OCO must be above.",
            _ => "Invalid data sent for a parameter.",
        };
        Self::bad(code, message)
    }

    /// Returns the refusal of a symbol.
    #[must_use]
    pub fn symbol() -> Self {
        Self::bad(-1121, "Invalid symbol.")
    }

    /// Returns the refusal of what a filter does not let through.
    #[must_use]
    pub fn filter(name: &str) -> Self {
        Self::bad(-1013, format!("Filter failure: {name}"))
    }

    /// Returns the refusal of an order by the matching engine.
    #[must_use]
    pub fn rejected(message: &str) -> Self {
        Self::bad(-2010, message)
    }

    /// Returns the refusal of a cancel.
    #[must_use]
    pub fn not_canceled(message: &str) -> Self {
        Self::bad(-2011, message)
    }

    /// Returns the refusal of a question about an order there is not.
    #[must_use]
    pub fn no_order() -> Self {
        Self::bad(-2013, "Order does not exist.")
    }

    /// Returns the refusal of a second order of one name.
    #[must_use]
    pub fn duplicate() -> Self {
        Self::rejected("Duplicate order sent.")
    }

    /// Returns the refusal of an order that does not keep to its symbol's steps.
    #[must_use]
    pub fn misfit(misfit: Misfit) -> Self {
        Self::filter(match misfit {
            Misfit::PriceTick => "PRICE_FILTER",
            Misfit::QtyStep | Misfit::QtyMin | Misfit::QtyMax => "LOT_SIZE",
            Misfit::NotionalMin => "NOTIONAL",
        })
    }

    /// Returns the book's refusal of an order.
    #[must_use]
    pub fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::UnknownAccount => Self::key(),
            Refusal::DuplicateName => Self::duplicate(),
            Refusal::BuyingPower { .. } | Refusal::Quantity { .. } => {
                Self::rejected("Account has insufficient balance for requested action.")
            }
            Refusal::WouldTake => Self::rejected("Order would immediately match and take."),
            Refusal::UnknownOrder
            | Refusal::WashTrade { .. }
            | Refusal::FractionalShort
            | Refusal::NothingToReduce
            | Refusal::NotOpen(_)
            | Refusal::NotReplaceable(_)
            | Refusal::Unchanged
            | Refusal::Unfitting => Self::rejected("Unsupported order combination"),
        }
    }

    /// Returns it as JSON.
    #[must_use]
    pub fn body(&self) -> Value {
        json!({"code": self.code, "msg": self.message})
    }

    /// Returns it as an answer. What a firewall says is no JSON.
    #[must_use]
    pub fn answer(&self) -> Answer {
        if matches!(self.status, 403 | 404) {
            let body = format!("<html><body><h1>{} {}</h1></body></html>", self.status, self.message);
            let headers = vec![("content-type", "text/html".to_owned())];
            return Answer { status: self.status, headers, body: body.into_bytes() };
        }
        Answer::json(self.status, &self.body())
    }
}

/// Returns the refusal for what goes wrong on purpose.
#[must_use]
pub fn trouble(trouble: &Trouble) -> Error {
    let (status, code, message) = match trouble {
        Trouble::Status(401) => return Error::key(),
        Trouble::Status(403) => (403, -1000, "Forbidden"),
        Trouble::Status(404) => (404, -1000, "Not Found"),
        Trouble::Status(418) => (418, -1003, "Way too much request weight used; IP banned."),
        Trouble::Status(status @ (408 | 504)) => (
            *status,
            -1007,
            "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
        ),
        Trouble::Status(502) => {
            (502, -1001, "Internal error; unable to process your request. Please try again.")
        }
        Trouble::Status(503) => (
            503,
            -1008,
            "Server is currently overloaded with other requests. Please try again in a few minutes.",
        ),
        Trouble::Status(status) => {
            (*status, -1000, "An unknown error occurred while processing the request.")
        }
        Trouble::RateLimit => (429, -1003, "Too many requests queued."),
        Trouble::Duplicate => return Error::duplicate(),
        Trouble::Refused { status, code, message } => return Error::new(*status, *code, message.clone()),
    };
    Error::new(status, code, message)
}
