//! Kraken's ways to say no: words in an answer that is as good as any other.

use serde_json::{Value, json};

use crate::book::Refusal;
use crate::http::Answer;
use crate::instrument::Misfit;
use crate::server::Trouble;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The key is unknown or revoked.
    Key,
    /// The signature is not the key's.
    Signature,
    /// The number is missing, or not above the last one.
    Nonce,
    /// The key may not do that.
    Permission,
    /// There is no such call.
    Method,
    /// A parameter is missing or makes no sense.
    Argument(String),
    /// There is no such pair.
    Pair,
    /// There is no such order, or it is over.
    NoOrder,
    /// The order comes too late.
    TooLate,
    /// No orders are taken for the pair.
    Closed,
    /// The account has too little.
    Funds,
    /// The client's name for the order is that of another open one.
    Duplicate,
    /// Any other, in Kraken's words.
    Other(String),
}

impl Error {
    /// Returns the refusal of a parameter.
    #[must_use]
    pub fn argument(name: &str) -> Self {
        Self::Argument(name.to_owned())
    }

    /// Returns the refusal of an order that does not keep to its pair's steps.
    #[must_use]
    pub fn misfit(misfit: Misfit) -> Self {
        match misfit {
            Misfit::PriceTick => Self::Other("EOrder:Tick size check failed".to_owned()),
            Misfit::QtyMin => Self::Other("EOrder:Order minimum not met".to_owned()),
            Misfit::NotionalMin => Self::Other("EOrder:Cost minimum not met".to_owned()),
            Misfit::QtyStep | Misfit::QtyMax => Self::argument("volume"),
        }
    }

    /// Returns the book's refusal of an order.
    #[must_use]
    pub fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::UnknownAccount => Self::Key,
            Refusal::DuplicateName => Self::Duplicate,
            Refusal::BuyingPower { .. } | Refusal::Quantity { .. } => Self::Funds,
            Refusal::UnknownOrder | Refusal::NotOpen(_) => Self::NoOrder,
            Refusal::WashTrade { .. }
            | Refusal::FractionalShort
            | Refusal::NothingToReduce
            | Refusal::WouldTake
            | Refusal::NotReplaceable(_)
            | Refusal::Unchanged
            | Refusal::Unfitting => Self::Argument(String::new()),
        }
    }

    /// Returns Kraken's words.
    #[must_use]
    pub fn words(&self) -> String {
        let words = match self {
            Self::Key => "EAPI:Invalid key",
            Self::Signature => "EAPI:Invalid signature",
            Self::Nonce => "EAPI:Invalid nonce",
            Self::Permission => "EGeneral:Permission denied",
            Self::Method => "EGeneral:Unknown method",
            Self::Argument(name) if name.is_empty() => "EGeneral:Invalid arguments",
            Self::Argument(name) => return format!("EGeneral:Invalid arguments:{name}"),
            Self::Pair => "EQuery:Unknown asset pair",
            Self::NoOrder => "EOrder:Unknown order",
            Self::TooLate => "EService:Deadline elapsed",
            Self::Closed => "EService:Market in cancel_only mode",
            Self::Funds => "EOrder:Insufficient funds",
            Self::Duplicate => "EGeneral:Invalid arguments:cl_ord_id not unique",
            Self::Other(words) => words,
        };
        words.to_owned()
    }

    /// Returns it as JSON.
    #[must_use]
    pub fn body(&self) -> Value {
        json!({"error": [self.words()], "result": {}})
    }

    /// Returns it as an answer.
    #[must_use]
    pub fn answer(&self) -> Answer {
        Answer::json(200, &self.body())
    }
}

/// Returns the answer for what goes wrong on purpose. What stands in front of Kraken speaks no JSON.
#[must_use]
pub fn trouble(trouble: &Trouble) -> Answer {
    match trouble {
        Trouble::Status(status) => {
            let headers = vec![("content-type", "text/html".to_owned())];
            let body = format!("<html><body><h1>{status}</h1></body></html>").into_bytes();
            Answer { status: *status, headers, body }
        }
        Trouble::RateLimit => Answer::json(429, &Error::Other("EAPI:Rate limit exceeded".to_owned()).body()),
        Trouble::Duplicate => Error::Duplicate.answer(),
        Trouble::Refused { status, message, .. } => {
            Answer::json(*status, &Error::Other(message.clone()).body())
        }
    }
}
