//! Alpaca's ways to say no.

use serde_json::{Map, Value, json};

use super::wire::Ids;
use crate::book::Refusal;
use crate::http::Answer;
use crate::server::Trouble;

/// A refusal: an HTTP status, a code and words; some bring numbers with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The HTTP status.
    pub status: u16,
    /// Alpaca's code.
    pub code: i64,
    /// Alpaca's words.
    pub message: String,
    /// Further fields of the body.
    pub details: Map<String, Value>,
}

impl Error {
    /// Returns a refusal.
    #[must_use]
    pub fn new(status: u16, code: i64, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: Map::new() }
    }

    /// Returns 422 for what is understood and wrong.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(422, 42_210_000, message)
    }

    /// Returns 422 for what is not an order.
    #[must_use]
    pub fn incomplete(message: impl Into<String>) -> Self {
        Self::new(422, 40_010_001, message)
    }

    /// Returns 403.
    #[must_use]
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(403, 40_310_000, message)
    }

    /// Returns 404.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, 40_410_000, message)
    }

    /// Returns 401.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(401, 40_110_000, "request is not authorized")
    }

    /// Returns 400 for a body that cannot be read.
    #[must_use]
    pub fn unreadable() -> Self {
        Self::new(400, 40_010_000, "request body format is invalid")
    }

    /// Returns it as the body of an answer, or of a part of one.
    #[must_use]
    pub fn body(&self) -> Value {
        let mut body = self.details.clone();
        body.insert("code".to_owned(), json!(self.code));
        body.insert("message".to_owned(), json!(self.message));
        Value::Object(body)
    }

    /// Returns it as an answer.
    #[must_use]
    pub fn answer(&self) -> Answer {
        Answer::json(self.status, &self.body())
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// Returns the book's refusal in Alpaca's words.
    #[must_use]
    pub fn of(refusal: Refusal, symbol: &str, ids: Ids) -> Self {
        match refusal {
            Refusal::UnknownAccount => Self::unauthorized(),
            Refusal::UnknownOrder => Self::not_found("order not found"),
            Refusal::DuplicateName => duplicate(),
            Refusal::BuyingPower { has, needs } => Self::forbidden("insufficient buying power")
                .with("buying_power", has.normalize().to_string())
                .with("cost_basis", needs.normalize().to_string()),
            Refusal::Quantity { requested, available, existing, held, related } => {
                let related: Vec<String> = related.iter().map(|id| ids.order(*id).to_string()).collect();
                let (requested, available) = (requested.normalize(), available.normalize());
                Self::forbidden(format!(
                    "insufficient qty available for order (requested: {requested}, available: {available})"
                ))
                .with("available", available.to_string())
                .with("existing_qty", existing.normalize().to_string())
                .with("held_for_orders", held.normalize().to_string())
                .with("related_orders", related)
                .with("symbol", symbol)
            }
            Refusal::WashTrade { with } => {
                Self::forbidden("potential wash trade detected. use complex orders")
                    .with("existing_order_id", ids.order(with).to_string())
                    .with("reject_reason", "opposite side market/stop order exists")
            }
            Refusal::FractionalShort => Self::invalid("fractional orders cannot be sold short"),
            Refusal::NothingToReduce => Self::invalid("there is nothing to reduce"),
            Refusal::NotOpen(status) => {
                Self::invalid(format!("order is already in \"{}\" state", status.name()))
            }
            Refusal::NotReplaceable(status) => {
                Self::invalid(format!("unable to replace order, order is in \"{}\" state", status.name()))
            }
            Refusal::WouldTake => Self::invalid("the order would trade at once"),
            Refusal::Unchanged => Self::invalid("order parameters are not changed"),
            Refusal::Unfitting => Self::invalid("the change does not fit the order"),
        }
    }
}

/// Returns the refusal of a client order id that was used before.
#[must_use]
pub fn duplicate() -> Error {
    Error::incomplete("client_order_id must be unique")
}

/// Returns the answer for what goes wrong on purpose.
#[must_use]
pub fn trouble(trouble: &Trouble) -> Error {
    match trouble {
        Trouble::Status(401) => Error::unauthorized(),
        Trouble::Status(403) => Error::forbidden("forbidden."),
        Trouble::Status(status) => {
            let words = match status {
                500 => "internal server error occurred",
                502 => "bad gateway",
                503 => "service unavailable",
                504 => "gateway timeout",
                _ => "something went wrong",
            };
            Error::new(*status, i64::from(*status) * 100_000 + 10_000, words)
        }
        Trouble::RateLimit => Error::new(429, 42_910_000, "rate limit exceeded"),
        Trouble::Duplicate => duplicate(),
        Trouble::Refused { status, code, message } => Error::new(*status, *code, message.clone()),
    }
}
