//! Schwab's errors and ours. What is not documented as a refusal is not known.

use std::time::Duration;

use reqwest::Method;
use trade_actors::domain::report::{Refusal, RefusalCode as Code};

use super::{ABOUT, wire};
use crate::brokers::http::Reply;
use crate::brokers::venue::call::Call;
use crate::brokers::venue::verdict::{Verdict, refusal};

/// How long to wait after "too many requests" when Schwab does not say.
const PAUSE: Duration = Duration::from_secs(60);
/// What a person is to do about a login that has ended.
const LOG_IN: &str = "log in at Schwab again; a login lasts seven days at most, and a newer one ends it";
/// What the operator is to do about an application that is not known there.
const APPLICATION: &str = "it does not know this program's application; its operator is to look at brokers.schwab.app_key \
                           and app_secret";

/// Says what a reply means, where that is not success.
pub(super) fn judge(call: &Call, reply: &Reply) -> Result<(), Verdict> {
    if reply.is_good() {
        return Ok(());
    }
    let status = reply.status;
    let correlation = reply.header("schwab-client-correlid").unwrap_or_default();
    tracing::info!(broker = ABOUT.name, status, correlation, "a request failed");
    let told = serde_json::from_slice::<wire::Failure>(&reply.body).ok();
    if status == 429 {
        return Err(Verdict::Slow(reply.retry_after().unwrap_or(PAUSE)));
    }
    if call.is_login {
        return Err(login(status, told.as_ref()));
    }
    Err(match status {
        401 | 403 => unauthorized(),
        // Nothing changes about an order that ended; that is what a cancel that comes too late is told by.
        400 if call.method == Method::DELETE => Verdict::Ended,
        404 if call.method != Method::POST => Verdict::Missing,
        400 | 404 => told.map_or_else(|| lost(status), |told| failure(status, &said(&told))),
        status => lost(status),
    })
}

fn lost(status: u16) -> Verdict {
    Verdict::Lost(format!("HTTP status {status}"))
}

/// Returns the verdict of a login that has ended.
pub(super) fn unauthorized() -> Verdict {
    Verdict::refused(ABOUT.title, Code::AuthFailed, LOG_IN)
}

/// Returns the verdict of a program that has no application.
pub(super) fn no_application() -> Verdict {
    Verdict::refused(ABOUT.title, Code::AuthFailed, APPLICATION)
}

/// Says why no token was given.
fn login(status: u16, told: Option<&wire::Failure>) -> Verdict {
    let is_of_application = told.is_some_and(|told| told.error == "invalid_client");
    match status {
        400 | 401 if is_of_application => no_application(),
        400 | 401 | 403 => unauthorized(),
        status => lost(status),
    }
}

/// Says what a refused request is refused for. Schwab has no codes, only words.
fn failure(status: u16, said: &str) -> Verdict {
    let words = said.to_ascii_lowercase();
    if ["timeout", "timed out", "time-out"].iter().any(|word| words.contains(word)) {
        return Verdict::Lost(said.to_owned());
    }
    let code = if words.contains("symbol") { Code::InvalidSymbol } else { Code::OrderRejected };
    // An account that is not found was not linked, or is no longer.
    let code = if status == 404 { Code::AuthFailed } else { code };
    Verdict::refused(ABOUT.title, code, said)
}

/// Returns the words of a failure.
fn said(told: &wire::Failure) -> String {
    let one = |error: &serde_json::Value| match error.as_str() {
        Some(text) => Some(text.to_owned()),
        None => error.get("detail").or(error.get("title"))?.as_str().map(str::to_owned),
    };
    let details: Vec<String> = told.errors.iter().filter_map(one).collect();
    let parts = [&details.join("; "), &told.message, &told.fault.faultstring, &told.error_description];
    parts.into_iter().find(|part| !part.is_empty()).cloned().unwrap_or_default()
}

/// Says why an order was rejected after it was taken.
pub(super) fn rejected(description: &str) -> Refusal {
    let words = description.to_ascii_lowercase();
    let is_of_funds = words.contains("enough available cash") || words.contains("buying power");
    let code = if is_of_funds { Code::InsufficientFunds } else { Code::OrderRejected };
    refusal(ABOUT.title, code, description)
}
