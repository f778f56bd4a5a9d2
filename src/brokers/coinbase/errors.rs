//! Coinbase's errors and ours. What is not documented as a refusal is not known.

use std::time::Duration;

use reqwest::Method;
use trade_actors::domain::report::RefusalCode as Code;

use super::{ABOUT, ORDERS, wire};
use crate::brokers::http::Reply;
use crate::brokers::venue::call::Call;
use crate::brokers::venue::verdict::{Verdict, refusal};

/// How long to wait after "too many requests" when Coinbase does not say: it counts by the second.
const PAUSE: Duration = Duration::from_secs(2);

/// Says what a reply means, where that is not success.
pub(super) fn judge(call: &Call, reply: &Reply) -> Result<(), Verdict> {
    if reply.is_good() {
        return if call.path == ORDERS { taken(&reply.body) } else { Ok(()) };
    }
    let told = serde_json::from_slice::<wire::Failure>(&reply.body).ok();
    let lost = || Verdict::Lost(format!("HTTP status {}", reply.status));
    let said = told.as_ref().map(words).unwrap_or_default();
    Err(match (reply.status, &told) {
        (429, _) => Verdict::Slow(reply.retry_after().unwrap_or(PAUSE)),
        (401, _) | (403, Some(_)) => Verdict::refused(ABOUT.title, Code::AuthFailed, &said),
        (404, _) if call.method == Method::GET => Verdict::Missing,
        (400..=499, Some(told)) => failure(told, "").unwrap_or_else(lost),
        _ => lost(),
    })
}

/// Says whether an order was taken: `success` alone tells, for the status is 200 either way, and a reason may stand
/// beside a success.
fn taken(body: &[u8]) -> Result<(), Verdict> {
    let unread = |_| Verdict::Lost("it answered, but not in words that can be read".to_owned());
    let told: wire::Placed = serde_json::from_slice(body).map_err(unread)?;
    if told.success {
        return Ok(());
    }
    let why = told.error_response.unwrap_or_default();
    let lost = || Verdict::Lost("it did not take the order, and did not say why".to_owned());
    Err(failure(&why, &told.failure_reason).unwrap_or_else(lost))
}

/// Says what the reasons of a failure mean, the most telling first; `None`: none of them is a documented refusal.
fn failure(told: &wire::Failure, reason: &str) -> Option<Verdict> {
    let said = words(told);
    let reasons = [&told.new_order_failure_reason, &told.error, &told.preview_failure_reason];
    let mut reasons = reasons.into_iter().map(String::as_str).chain([reason]);
    reasons.find_map(|reason| meaning(reason, &said))
}

/// Says what one reason means; `None`: it is not a documented refusal.
///
/// That `DUPLICATE_CLIENT_ORDER_ID` says what it seems to is unconfirmed, and so is `INVALID_ARGUMENT`, with which such
/// interfaces refuse what they cannot read.
fn meaning(reason: &str, said: &str) -> Option<Verdict> {
    let said = if said.is_empty() { reason } else { said };
    let refused = |code| Some(Verdict::refused(ABOUT.title, code, said));
    let is_preview = reason.starts_with("PREVIEW_");
    match reason.strip_prefix("PREVIEW_").unwrap_or(reason) {
        "INSUFFICIENT_FUND" | "INSUFFICIENT_FUNDS" => refused(Code::InsufficientFunds),
        "INVALID_PRODUCT_ID" => refused(Code::InvalidSymbol),
        "ORDER_ENTRY_DISABLED" => Some(Verdict::Halted(refusal(ABOUT.title, Code::MarketClosed, said))),
        "DUPLICATE_CLIENT_ORDER_ID" => Some(Verdict::Exists),
        "PERMISSION_DENIED" => refused(Code::AuthFailed),
        "INVALID_SIZE_PRECISION"
        | "INVALID_PRICE_PRECISION"
        | "UNSUPPORTED_ORDER_CONFIGURATION"
        | "INVALID_SIDE"
        | "INVALID_LIMIT_PRICE"
        | "INVALID_LIMIT_PRICE_POST_ONLY"
        | "INVALID_NO_LIQUIDITY"
        | "INVALID_REQUEST"
        | "INVALID_ARGUMENT"
        | "INELIGIBLE_PAIR"
        | "INVALID_LEDGER_BALANCE"
        | "COMMANDER_REJECTED_NEW_ORDER" => refused(Code::OrderRejected),
        _ if is_preview => refused(Code::OrderRejected),
        _ => None,
    }
}

/// Returns what Coinbase says in words, or the first reason that it names.
fn words(told: &wire::Failure) -> String {
    let all = [&told.message, &told.error_details, &told.preview_failure_reason, &told.error];
    all.into_iter().find(|text| !text.is_empty()).cloned().unwrap_or_default()
}

/// Returns the standard code of the reason why an order failed after it was taken.
pub(super) fn code(reason: &str) -> Code {
    match meaning(reason, "") {
        Some(Verdict::Refused(refusal) | Verdict::Halted(refusal)) => refusal.code,
        _ => Code::OrderRejected,
    }
}

/// Says what became of a cancel. The reasons are unconfirmed: whatever says that there is nothing to cancel has the
/// order looked up.
pub(super) fn canceled(told: &wire::CancelResult) -> Result<(), Verdict> {
    if told.success {
        return Ok(());
    }
    match told.failure_reason.as_str() {
        // It is on its way.
        "DUPLICATE_CANCEL_REQUEST" => Ok(()),
        "UNKNOWN_CANCEL_ORDER" => Err(Verdict::Missing),
        "INVALID_CANCEL_REQUEST" | "COMMANDER_REJECTED_CANCEL_ORDER" => Err(Verdict::Ended),
        other => Err(Verdict::Lost(format!("it did not take the cancel: {other}"))),
    }
}
