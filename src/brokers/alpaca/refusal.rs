//! Alpaca's errors and ours: what was provably not done, and what is not known.
//!
//! One of their codes has many causes, so the message decides. Whatever is not documented as a refusal is unknown.

use std::time::Duration;

use chrono::{DateTime, Utc};

use trade_actors::domain::report::{Refusal, RefusalCode};
use trade_actors::ports::broker::BrokerError;

use super::wire;
use crate::brokers::http::Reply;

/// How long to wait after "too many requests" when Alpaca does not say.
const PAUSE: Duration = Duration::from_secs(5);
/// Longest wait that is believed.
const PAUSE_MAX: Duration = Duration::from_secs(120);
/// Most characters of theirs that are shown.
const SHOWN_MAX: usize = 200;

/// The head of a reply, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`.
    pub retry_after: Option<String>,
    /// `X-RateLimit-Reset`, in seconds since 1970.
    pub reset: Option<String>,
}

impl Head {
    /// Returns the head of a reply.
    #[must_use]
    pub fn of(reply: &Reply) -> Self {
        let text = |name| reply.header(name).map(str::to_owned);
        Self { status: reply.status, retry_after: text("retry-after"), reset: text("x-ratelimit-reset") }
    }
}

/// What a reply that is no success means.
#[derive(Debug)]
pub enum Verdict {
    /// Final, as the port says it.
    Error(BrokerError),
    /// Too many requests: not accepted, and nothing is asked until then.
    Slow(Duration),
    /// An order with this id exists.
    Exists,
    /// There is no such thing.
    Missing,
    /// The order has ended already.
    Ended,
    /// Refused because trading in the symbol is halted.
    Halted(Refusal),
}

/// Judges a reply that is no success.
#[must_use]
pub fn judge(head: &Head, body: &[u8], now: DateTime<Utc>) -> Verdict {
    let told = serde_json::from_slice::<wire::Failure>(body).ok();
    let text = told.as_ref().map_or_else(String::new, |told| told.message.to_ascii_lowercase());
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["timeout", "timed out", "time-out"]) {
        return lost(head.status);
    }
    match head.status {
        429 => Verdict::Slow(pause(head, now)),
        401 => Verdict::Error(BrokerError::Refused(auth_failed())),
        403 if told.is_none() && is_forbidden(body) => Verdict::Error(BrokerError::Refused(auth_failed())),
        // What Alpaca documents comes with a message; the rest may be anybody's on the way.
        400 | 403 | 404 | 422 => match told {
            Some(told) => documented(head.status, &told, &has),
            None => lost(head.status),
        },
        _ => lost(head.status),
    }
}

fn documented(status: u16, told: &wire::Failure, has: &dyn Fn(&[&str]) -> bool) -> Verdict {
    use RefusalCode as C;
    if has(&["client_order_id must be unique"]) {
        return Verdict::Exists;
    }
    if status == 422 && has(&["is already in", "not cancelable", "not cancellable"]) {
        return Verdict::Ended;
    }
    let names_symbol = has(&["asset", "symbol", "could not find us_equity"]);
    if status == 404 {
        return if names_symbol { refused(C::InvalidSymbol, told) } else { Verdict::Missing };
    }
    let code = if has(&["insufficient"]) {
        C::InsufficientFunds
    } else if status == 403
        && has(&["not authorized", "unauthorized", "forbidden", "verification failed", "access key"])
    {
        return Verdict::Error(BrokerError::Refused(auth_failed()));
    } else if names_symbol
        && has(&["could not find", "not found", "not active", "not tradable", "invalid symbol"])
    {
        C::InvalidSymbol
    } else if has(&["market is closed", "market closed", "only accepted between", "not open"]) {
        C::MarketClosed
    } else {
        C::OrderRejected
    };
    // Never the bare word: a symbol may be called so.
    if has(&["halted", "trading halt", "a halt"]) {
        return Verdict::Halted(refusal(code, told));
    }
    refused(code, told)
}

fn refused(code: RefusalCode, told: &wire::Failure) -> Verdict {
    Verdict::Error(BrokerError::Refused(refusal(code, told)))
}

fn refusal(code: RefusalCode, told: &wire::Failure) -> Refusal {
    use RefusalCode as C;
    let advice = match code {
        C::InsufficientFunds => {
            "Nothing was bought or sold. Lower the quantity, or free funds or shares first."
        }
        C::InvalidSymbol => "Nothing was bought or sold. Check the symbol at alpaca.markets.",
        C::MarketClosed => "Nothing was bought or sold. Send it when the market is open.",
        C::OrderRejected
        | C::RateLimitExceeded
        | C::AuthFailed
        | C::DuplicateOrder
        | C::BrokerUnavailable => {
            "Nothing was bought or sold. Change the order as it says before you send it again."
        }
    };
    Refusal { code, message: format!("Alpaca refused: {}. {advice}", shown(&told.message)) }
}

/// Returns the refusal of credentials that do not work.
#[must_use]
pub fn auth_failed() -> Refusal {
    Refusal {
        code: RefusalCode::AuthFailed,
        message: "Alpaca did not accept the credentials of this account, so nothing was sent to the market. They \
                  may have been replaced or revoked, or be those of the other mode (paper or live). Connect the \
                  account again with new ones."
            .to_owned(),
    }
}

/// Returns the refusal of an account without credentials.
#[must_use]
pub fn no_credentials() -> Refusal {
    Refusal {
        code: RefusalCode::AuthFailed,
        message: "The credentials of this Alpaca account are missing. Nothing was sent. Connect it again."
            .to_owned(),
    }
}

/// Returns the refusal of an order as a repeat of one that Alpaca does not show.
#[must_use]
pub fn duplicate() -> Refusal {
    Refusal {
        code: RefusalCode::DuplicateOrder,
        message: "Alpaca says that it has this order already, but does not show it. It was not sent again. Look at \
                  the account at alpaca.markets before you send the signal again."
            .to_owned(),
    }
}

fn lost(status: u16) -> Verdict {
    let text = match status {
        200..=299 => "Alpaca answered, but not in words that can be read".to_owned(),
        _ => format!("Alpaca answered with HTTP {status}, which says nothing about the order"),
    };
    Verdict::Error(BrokerError::Unknown(text))
}

/// Returns whether a page says that access is refused; Alpaca's gateway answers so in HTML.
fn is_forbidden(body: &[u8]) -> bool {
    let text =
        String::from_utf8_lossy(body.get(..body.len().min(4096)).unwrap_or_default()).to_ascii_lowercase();
    text.contains("forbidden") || text.contains("not authorized") || text.contains("unauthorized")
}

/// Returns how long Alpaca wants to be left alone.
fn pause(head: &Head, now: DateTime<Utc>) -> Duration {
    let seconds = |text: &Option<String>| text.as_ref().and_then(|text| text.trim().parse::<u64>().ok());
    let until_reset = || {
        let reset = i64::try_from(seconds(&head.reset)?).ok()?;
        u64::try_from(reset.saturating_sub(now.timestamp())).ok()
    };
    let told = seconds(&head.retry_after).or_else(until_reset).map(Duration::from_secs);
    told.unwrap_or(PAUSE).clamp(Duration::from_secs(1), PAUSE_MAX)
}

/// Returns their words as they may be shown: one line, not too long, without a full stop.
fn shown(text: &str) -> String {
    let clean: String = text.chars().filter(|letter| !letter.is_control()).take(SHOWN_MAX).collect();
    clean.trim().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16) -> Head {
        Head { status, ..Head::default() }
    }

    fn code(status: u16, body: &str) -> String {
        match judge(&head(status), body.as_bytes(), DateTime::UNIX_EPOCH) {
            Verdict::Error(BrokerError::Refused(refusal)) => refusal.code.as_str().to_owned(),
            Verdict::Error(BrokerError::Unknown(_)) => "unknown".to_owned(),
            Verdict::Error(BrokerError::NotReceived { .. }) => "not received".to_owned(),
            Verdict::Error(BrokerError::HeldBack { .. }) => "held back".to_owned(),
            Verdict::Error(BrokerError::Taken(_)) => "taken".to_owned(),
            Verdict::Slow(_) => "slow".to_owned(),
            Verdict::Exists => "exists".to_owned(),
            Verdict::Missing => "missing".to_owned(),
            Verdict::Ended => "ended".to_owned(),
            Verdict::Halted(refusal) => format!("halted {}", refusal.code.as_str()),
        }
    }

    #[test]
    fn every_documented_error_has_its_code() {
        let table: &[(u16, i64, &str, &str)] = &[
            (403, 40_310_000, "insufficient buying power", "INSUFFICIENT_FUNDS"),
            (
                403,
                40_310_000,
                "insufficient qty available for order (requested: 10, available: 0)",
                "INSUFFICIENT_FUNDS",
            ),
            (403, 40_310_000, "potential wash trade detected. use complex orders", "ORDER_REJECTED"),
            (422, 42_210_000, "potential wash trade detected. use complex orders", "ORDER_REJECTED"),
            (403, 40_310_100, "trade denied due to pattern day trading protection", "ORDER_REJECTED"),
            (401, 40_110_000, "request is not authorized", "AUTH_FAILED"),
            (
                401,
                40_110_000,
                "access key verification failed : access key not found (Code = 40110000)",
                "AUTH_FAILED",
            ),
            (403, 40_310_000, "account not authorized to trade", "AUTH_FAILED"),
            (403, 40_310_000, "forbidden.", "AUTH_FAILED"),
            (422, 40_010_001, "client_order_id must be unique", "exists"),
            (422, 40_010_001, "could not find us_equity 'NOPE'", "INVALID_SYMBOL"),
            (422, 42_210_000, "asset \"NOPE\" not found", "INVALID_SYMBOL"),
            (422, 42_210_000, "asset NOPE is not active", "INVALID_SYMBOL"),
            (422, 42_210_000, "asset NOPE is not tradable", "INVALID_SYMBOL"),
            (404, 40_410_000, "asset not found for NOPE", "INVALID_SYMBOL"),
            (404, 40_410_000, "order not found for 1", "missing"),
            (404, 40_410_000, "position does not exist", "missing"),
            (
                422,
                42_210_000,
                "invalid limit_price 190.123. sub-penny increment does not fulfill minimum pricing criteria",
                "ORDER_REJECTED",
            ),
            (422, 42_210_000, "fractional orders must be DAY orders", "ORDER_REJECTED"),
            (422, 42_210_000, "fractional orders cannot be sold short", "ORDER_REJECTED"),
            (422, 42_210_000, "extended hours order must be DAY or GTC limit orders", "ORDER_REJECTED"),
            (400, 40_010_000, "request body format is invalid", "ORDER_REJECTED"),
            (422, 40_010_001, "qty or notional is required", "ORDER_REJECTED"),
            (422, 40_010_001, "us_equity orders not allowed for account", "ORDER_REJECTED"),
            (422, 42_210_000, "order is already in \"filled\" state", "ended"),
            (422, 42_210_000, "trading in AAPL is halted", "halted ORDER_REJECTED"),
            (403, 40_310_000, "Trading halt: market is closed for AAPL", "halted MARKET_CLOSED"),
            (422, 42_210_000, "asset HALT not found", "INVALID_SYMBOL"),
            (422, 42_210_000, "asset AAPL is not tradable: halted", "halted INVALID_SYMBOL"),
            (429, 42_910_000, "rate limit exceeded", "slow"),
            (500, 50_010_000, "internal server error occurred", "unknown"),
            (503, 50_310_000, "service unavailable", "unknown"),
            (408, 40_810_000, "request timeout", "unknown"),
            (400, 40_010_000, "upstream request timed out", "unknown"),
            (409, 40_910_000, "conflict", "unknown"),
        ];
        for (status, number, message, wanted) in table {
            let body = serde_json::json!({"code": number, "message": message}).to_string();
            assert_eq!(code(*status, &body), *wanted, "{status} {message}");
            let body = serde_json::json!({"message": message}).to_string();
            assert_eq!(code(*status, &body), *wanted, "without a code: {status} {message}");
        }
    }

    #[test]
    fn what_cannot_be_read_proves_nothing() {
        for (status, body) in
            [(400, ""), (404, "<html>"), (422, "{}"), (403, "<html>blocked</html>"), (502, "<html>")]
        {
            assert_eq!(code(status, body), "unknown", "{status} {body:?}");
        }
        assert_eq!(code(401, "<html>"), "AUTH_FAILED");
        assert_eq!(code(403, "<h1>403 Forbidden</h1>"), "AUTH_FAILED");
    }

    #[test]
    fn the_wait_is_what_alpaca_says() {
        let now = DateTime::from_timestamp(1_000, 0).unwrap();
        let wait = |retry_after: Option<&str>, reset: Option<&str>| {
            let head = Head {
                status: 429,
                retry_after: retry_after.map(str::to_owned),
                reset: reset.map(str::to_owned),
            };
            let Verdict::Slow(wait) = judge(&head, b"", now) else { panic!() };
            wait.as_secs()
        };
        assert_eq!(wait(Some("7"), Some("1030")), 7);
        assert_eq!(wait(None, Some("1030")), 30);
        assert_eq!(wait(None, Some("900")), 5);
        assert_eq!(wait(None, None), 5);
        assert_eq!(wait(Some("999999"), None), 120);
        assert_eq!(wait(Some("0"), None), 1);
    }

    #[test]
    fn their_words_are_shown_on_one_line() {
        let body =
            serde_json::json!({"code": 1, "message": format!("bad\r\n\u{1b}[31mthing.{}", "x".repeat(900))});
        let Verdict::Error(BrokerError::Refused(refusal)) =
            judge(&head(422), body.to_string().as_bytes(), DateTime::UNIX_EPOCH)
        else {
            panic!()
        };
        assert!(refusal.message.starts_with("Alpaca refused: bad[31mthing."));
        assert!(refusal.message.len() < 400 && !refusal.message.contains(['\n', '\u{1b}']));
    }
}
