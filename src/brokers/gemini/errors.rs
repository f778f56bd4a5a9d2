//! Gemini's errors and ours. What is not documented as a refusal is not known.

use std::time::Duration;

use trade_actors::domain::report::RefusalCode as Code;

use super::{ABOUT, wire};
use crate::brokers::http::Reply;
use crate::brokers::venue::call::Call;
use crate::brokers::venue::verdict::{Verdict, refusal};

/// How long to wait after "too many requests" when Gemini does not say.
const PAUSE: Duration = Duration::from_secs(10);

/// Says what a reply means, where that is not success.
pub(super) fn judge(_: &Call, reply: &Reply) -> Result<(), Verdict> {
    if reply.is_good() {
        return Ok(());
    }
    let told = serde_json::from_slice::<wire::Failure>(&reply.body).ok();
    Err(match (reply.status, told) {
        (429, _) => Verdict::Slow(reply.retry_after().unwrap_or(PAUSE)),
        // What these mean for an order is not known: asked, not guessed.
        (status @ (408 | 500..), _) => Verdict::Lost(format!("HTTP status {status}")),
        (_, Some(told)) => failure(&told.reason, &told.message),
        (401 | 403, None) => Verdict::refused(ABOUT.title, Code::AuthFailed, ""),
        (status, None) => Verdict::Lost(format!("HTTP status {status}")),
    })
}

/// Says what a reason means.
pub(super) fn failure(reason: &str, said: &str) -> Verdict {
    let said = if said.is_empty() { reason } else { said };
    let refused = |code| Verdict::refused(ABOUT.title, code, said);
    match reason {
        "InvalidNonce" => Verdict::Skewed,
        "OrderNotFound" => Verdict::Missing,
        "DuplicateOrder" => Verdict::Exists,
        "RateLimit" => Verdict::Slow(PAUSE),
        "InvalidSignature"
        | "InvalidApiKey"
        | "MissingRole"
        | "MissingApikeyHeader"
        | "MissingPayloadHeader"
        | "MissingSignatureHeader"
        | "EndpointMismatch"
        | "NoSSL" => refused(Code::AuthFailed),
        "InsufficientFunds" => refused(Code::InsufficientFunds),
        "InvalidSymbol" | "UnknownInstrument" => refused(Code::InvalidSymbol),
        "MarketNotOpen" => Verdict::Halted(refusal(ABOUT.title, Code::MarketClosed, said)),
        reason if is_refusal(reason) => refused(Code::OrderRejected),
        reason => Verdict::Lost(format!("{reason}: {said}")),
    }
}

/// Returns the code of an order's refusal, or of its end, that the stream tells.
pub(super) fn code(reason: &str) -> Code {
    match failure(reason, "") {
        Verdict::Refused(refusal) | Verdict::Halted(refusal) => refusal.code,
        Verdict::Exists => Code::DuplicateOrder,
        Verdict::Unsent { .. }
        | Verdict::Held { .. }
        | Verdict::Lost(_)
        | Verdict::Slow(_)
        | Verdict::Skewed
        | Verdict::Missing
        | Verdict::Ended => Code::OrderRejected,
    }
}

/// Returns whether a reason is one of those for which Gemini takes no order.
fn is_refusal(reason: &str) -> bool {
    matches!(
        reason,
        "InvalidPrice"
            | "InvalidQuantity"
            | "InvalidSide"
            | "InvalidOrderType"
            | "InvalidStopPrice"
            | "LimitPriceOffTick"
            | "InvalidTotalSpend"
            | "InsufficientLiquidity"
            | "ConflictingOptions"
            | "UnsupportedOption"
            | "ClientOrderIdTooLong"
    )
}
