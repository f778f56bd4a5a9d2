//! What a reply that is no success means, and the words for it.

use std::time::Duration;

use trade_actors::domain::report::{Refusal, RefusalCode};
use trade_actors::ports::broker::BrokerError;

/// Most characters of a venue's words that are shown.
const SHOWN_MAX: usize = 200;
/// When to try again after no connection was made.
const RETRY: Duration = Duration::from_secs(1);

/// What a reply that is no success means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The venue documents that it did nothing.
    Refused(Refusal),
    /// It provably never received it, or documents that it did not take it for now.
    Unsent {
        /// Why: too many requests, or nobody there.
        code: RefusalCode,
        /// How long to wait.
        retry_after: Duration,
    },
    /// It was held back here, so that half of what the venue allows is not exceeded, or until the venue takes more.
    Held {
        /// When it may be sent.
        wait: Duration,
        /// How far apart the like of it is sent after that.
        pace: Duration,
    },
    /// Whether anything was done is not known.
    Lost(String),
    /// Too many requests: not taken, and nothing is asked until then.
    Slow(Duration),
    /// Refused because of the request's time: to be sent once more with the venue's.
    Skewed,
    /// An order with this id exists.
    Exists,
    /// There is no such thing.
    Missing,
    /// The order has ended already.
    Ended,
    /// Refused because trading in the symbol is halted.
    Halted(Refusal),
}

impl Verdict {
    /// Returns the verdict of a request that no connection was made for.
    #[must_use]
    pub const fn unreached() -> Self {
        Self::Unsent { code: RefusalCode::BrokerUnavailable, retry_after: RETRY }
    }

    /// Returns the verdict of a request that was not taken because of too many before it.
    #[must_use]
    pub const fn throttled(retry_after: Duration) -> Self {
        Self::Unsent { code: RefusalCode::RateLimitExceeded, retry_after }
    }

    /// Returns the verdict of a request that was not understood, or the like: by the venue's words.
    #[must_use]
    pub fn refused(title: &str, code: RefusalCode, said: &str) -> Self {
        Self::Refused(refusal(title, code, said))
    }

    /// Returns the verdict of what a venue does not have: nothing was sent.
    #[must_use]
    pub fn not_here(title: &str, what: &str, advice: &str) -> Self {
        let message = format!("{title} has no {what}. Nothing was sent. {advice}");
        Self::Refused(Refusal { code: RefusalCode::OrderRejected, message })
    }

    /// Returns whether it says that the credentials are refused.
    #[must_use]
    pub fn is_of_credentials(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == RefusalCode::AuthFailed)
    }

    /// Turns a verdict that the request has no use for into an error of the port.
    #[must_use]
    pub fn into_error(self, title: &str) -> BrokerError {
        match self {
            Self::Refused(refusal) | Self::Halted(refusal) => BrokerError::Refused(refusal),
            Self::Unsent { code, retry_after } => BrokerError::NotReceived { code, retry_after },
            Self::Held { wait, pace } => BrokerError::HeldBack { wait, pace },
            Self::Slow(retry_after) => {
                BrokerError::NotReceived { code: RefusalCode::RateLimitExceeded, retry_after }
            }
            Self::Lost(why) => BrokerError::Unknown(format!("{title}: {why}")),
            Self::Skewed => {
                BrokerError::Refused(refusal(title, RefusalCode::AuthFailed, "the request's time is wrong"))
            }
            Self::Missing => {
                BrokerError::Refused(refusal(title, RefusalCode::OrderRejected, "no such thing"))
            }
            Self::Exists | Self::Ended => {
                BrokerError::Unknown(format!("{title} gave an answer that does not fit the question"))
            }
        }
    }
}

/// Words a refusal: what was not done, why in the venue's words, and what to do.
#[must_use]
pub fn refusal(title: &str, code: RefusalCode, said: &str) -> Refusal {
    use RefusalCode as C;
    let shown: String = said.chars().filter(|one| !one.is_control()).take(SHOWN_MAX).collect();
    let said = if shown.is_empty() { String::new() } else { format!(" It said: {shown}.") };
    let (what, advice) = match code {
        C::InsufficientFunds => (
            "has too little free in this account",
            "Nothing was bought or sold. Add money, or send a smaller order.",
        ),
        C::InvalidSymbol => {
            ("does not trade this symbol", "Nothing was bought or sold. Check the symbol there.")
        }
        C::MarketClosed => (
            "takes no orders for this symbol now",
            "Nothing was bought or sold. Send it again when it trades.",
        ),
        C::RateLimitExceeded => {
            ("had too many requests", "Nothing was bought or sold. Wait, then send it again.")
        }
        C::AuthFailed => (
            "did not accept the credentials of this account",
            "Nothing was sent to the market. They may be revoked, expired, or lack a permission. Connect the account \
             again.",
        ),
        C::DuplicateOrder => (
            "says that it has an order of this id, and does not show it",
            "Look at the orders there before you send the signal again.",
        ),
        C::OrderRejected => {
            ("refused the order", "Nothing was bought or sold. Change the order, then send it again.")
        }
        C::BrokerUnavailable => ("cannot be reached", "Nothing was bought or sold. Try again later."),
    };
    Refusal { code, message: format!("{title} {what}.{said} {advice}").replace("..", ".") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_why_what_was_not_done_and_what_to_do() {
        let told =
            refusal("Binance", RefusalCode::InsufficientFunds, "Account has insufficient balance.\u{7}");
        assert_eq!(
            told.message,
            "Binance has too little free in this account. It said: Account has insufficient balance. Nothing was bought \
             or sold. Add money, or send a smaller order."
        );
        let long = refusal("Kraken", RefusalCode::OrderRejected, &"x".repeat(10_000));
        assert!(long.message.len() < 400);
    }

    #[test]
    fn only_a_documented_no_is_final() {
        let refused = Verdict::refused("Kraken", RefusalCode::OrderRejected, "no").into_error("Kraken");
        assert!(matches!(refused, BrokerError::Refused(_)));
        for unclear in [Verdict::Lost("reset".to_owned()), Verdict::Exists, Verdict::Ended] {
            assert!(matches!(unclear.into_error("Kraken"), BrokerError::Unknown(_)));
        }
        for later in [Verdict::unreached(), Verdict::throttled(RETRY), Verdict::Slow(RETRY)] {
            assert!(matches!(later.into_error("Kraken"), BrokerError::NotReceived { .. }));
        }
    }
}
