//! The gateway's ways to say no: no fixed shape, and often with a 200.

use serde_json::{Value, json};

use crate::book::Refusal;
use crate::http::Answer;
use crate::server::Trouble;

/// A refusal: a status, words, and for some the status again in the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The HTTP status.
    pub status: u16,
    /// The gateway's words.
    pub text: String,
}

impl Error {
    /// Returns a refusal of this status.
    #[must_use]
    pub fn new(status: u16, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// Returns a 200 that says no: how orders are refused.
    #[must_use]
    pub fn reject(text: impl Into<String>) -> Self {
        Self::new(200, text)
    }

    /// Returns 400.
    #[must_use]
    pub fn bad(text: &str) -> Self {
        Self::new(400, format!("Bad Request: {text}"))
    }

    /// Returns what is said where nobody has logged in.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(401, "not authenticated")
    }

    /// Returns what is said without a brokerage session.
    #[must_use]
    pub fn no_bridge() -> Self {
        Self::bad("no bridge")
    }

    /// Returns what is said to who did not ask for the accounts before.
    #[must_use]
    pub fn accounts_first() -> Self {
        Self::new(500, "Please query /accounts first")
    }

    /// Returns what is said of a path that leads nowhere.
    #[must_use]
    pub fn nowhere() -> Self {
        Self::new(404, "Not Found")
    }

    /// Returns what is said to who asks too often.
    #[must_use]
    pub fn too_often() -> Self {
        Self::new(429, "Too Many Requests")
    }

    /// Returns it as the body of an answer.
    #[must_use]
    pub fn body(&self) -> Value {
        if self.status == 200 {
            json!({"error": self.text})
        } else {
            json!({"error": self.text, "statusCode": self.status})
        }
    }

    /// Returns it as an answer.
    #[must_use]
    pub fn answer(&self) -> Answer {
        Answer::json(self.status, &self.body())
    }

    /// Returns the book's refusal in the gateway's words; those not about funds and names are unconfirmed.
    #[must_use]
    pub fn of(refusal: &Refusal, coid: Option<&str>) -> Self {
        match refusal {
            Refusal::DuplicateName => duplicate(coid.unwrap_or_default()),
            Refusal::BuyingPower { .. } => Self::reject(poor(refusal)),
            Refusal::UnknownAccount => Self::bad("accountId is not valid"),
            Refusal::UnknownOrder => Self::reject("Order doesn't exist"),
            Refusal::FractionalShort => Self::reject("Fractional quantities cannot be sold short."),
            Refusal::NotOpen(_) | Refusal::NotReplaceable(_) => Self::reject("Order cannot be modified"),
            Refusal::Quantity { .. }
            | Refusal::WashTrade { .. }
            | Refusal::NothingToReduce
            | Refusal::Unchanged
            | Refusal::Unfitting
            | Refusal::WouldTake => Self::reject("Order couldn't be submitted: invalid order parameters"),
        }
    }
}

/// Returns why an account cannot pay for an order.
#[must_use]
pub fn poor(refusal: &Refusal) -> String {
    let (has, needs) = match refusal {
        Refusal::BuyingPower { has, needs } => (has.round_dp(2), needs.round_dp(2)),
        Refusal::UnknownAccount
        | Refusal::UnknownOrder
        | Refusal::DuplicateName
        | Refusal::Quantity { .. }
        | Refusal::WashTrade { .. }
        | Refusal::FractionalShort
        | Refusal::NothingToReduce
        | Refusal::NotOpen(_)
        | Refusal::NotReplaceable(_)
        | Refusal::Unchanged
        | Refusal::Unfitting
        | Refusal::WouldTake => return refusal.to_string(),
    };
    format!(
        "YOUR ORDER IS NOT ACCEPTED. Your Available Funds are insufficient to cover the change in margin. \
         Equity with Loan Value [{has} USD] is less than the Initial Margin [{needs} USD]"
    )
}

/// Returns the refusal of a name that was used before.
#[must_use]
pub fn duplicate(coid: &str) -> Error {
    Error::reject(format!("Order couldn't be submitted: Local order ID={coid} is already registered."))
}

/// Returns the answer for what goes wrong on purpose.
#[must_use]
pub fn trouble(trouble: &Trouble) -> Error {
    match trouble {
        Trouble::Status(401) => Error::unauthorized(),
        Trouble::Status(status) => {
            let words = match status {
                400 => "Bad Request: no bridge",
                410 => "Gone",
                500 => "Internal Server Error",
                502 => "Bad Gateway",
                503 => "Service Unavailable",
                504 => "Gateway Timeout",
                _ => "unknown",
            };
            Error::new(*status, words)
        }
        Trouble::RateLimit => Error::too_often(),
        Trouble::Duplicate => duplicate("unknown"),
        Trouble::Refused { status, message, .. } => Error::new(*status, message.clone()),
    }
}
