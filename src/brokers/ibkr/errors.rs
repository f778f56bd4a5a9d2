//! The gateway's errors and ours. It has no fixed shape for them, and says many with a 200: the words decide.

use std::time::Duration;

use reqwest::Method;

use trade_actors::domain::report::{Refusal, RefusalCode as Code};

use super::{ABOUT, wire};
use crate::brokers::http::Reply;
use crate::brokers::venue::call::Call;
use crate::brokers::venue::verdict::Verdict;

/// How long the gateway is silent to who asked too often, as far as it is documented; `Retry-After` is unconfirmed.
const PENALTY: Duration = Duration::from_secs(600);
/// When to try again what the gateway documents as not taken.
const AGAIN: Duration = Duration::from_secs(1);

/// Why a reply is not what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The session has to be opened first; nothing was done.
    NoSession,
    /// Anything else.
    No(Verdict),
}

/// Closes the lanes for who asked too often; what else a reply says, [`read`] tells.
pub(super) fn judge(reply: &Reply) -> Result<(), Verdict> {
    match reply.status {
        429 => Err(Verdict::Slow(reply.retry_after().unwrap_or(PENALTY))),
        _ => Ok(()),
    }
}

/// Says what a reply means, where that is not success.
pub(super) fn read(call: &Call, reply: Reply) -> Result<Reply, Said> {
    // An answer that is a list, or an object that does not begin with an error, is none.
    let said = serde_json::from_slice::<wire::Failure>(&reply.body).ok().map(|failure| failure.error);
    if reply.is_good() && said.is_none() {
        return Ok(reply);
    }
    let said = said.unwrap_or_default();
    let has = |words: &str| said.to_ascii_lowercase().contains(words);
    if has("no bridge") || has("query /accounts first") {
        return Err(Said::NoSession);
    }
    let is_order = call.method == Method::POST
        && (call.path.ends_with("/orders") || call.path.starts_with("/iserver/reply/"));
    Err(Said::No(if is_order {
        of_order(reply.status, &said)
    } else {
        of_question(call, reply.status, &said)
    }))
}

/// Says what an error means for an order that was being placed.
fn of_order(status: u16, said: &str) -> Verdict {
    let has = |words: &str| said.to_ascii_lowercase().contains(words);
    let refused = |code| Verdict::refused(ABOUT.title, code, said);
    // Another submission took the question's place, so that the order was never transmitted; if it was, its id is taken.
    if has("reply id not found") {
        return Verdict::Unsent { code: Code::BrokerUnavailable, retry_after: AGAIN };
    }
    if has("already registered") {
        return Verdict::Exists;
    }
    if status != 200 && status != 400 || has("timeout") || has("timed out") || has("time out") {
        return Verdict::Lost(format!("HTTP status {status} {said}"));
    }
    if said.is_empty() {
        return Verdict::Lost(format!("HTTP status {status}"));
    }
    if has("insufficient") || has("initial margin") {
        return refused(Code::InsufficientFunds);
    }
    if has("contract not found") {
        return refused(Code::InvalidSymbol);
    }
    refused(Code::OrderRejected)
}

/// Says what an error means for a question.
fn of_question(call: &Call, status: u16, said: &str) -> Verdict {
    let has = |words: &str| said.to_ascii_lowercase().contains(words);
    let of_one = call.path.starts_with("/iserver/account/order/status/") || call.method == Method::DELETE;
    match status {
        401 | 410 => Verdict::Refused(logged_out()),
        404 | 503 if of_one => Verdict::Missing,
        _ if has("doesn't exist") => Verdict::Missing,
        _ if has("cannot be cancel") || has("not cancellable") => Verdict::Ended,
        200 | 400 => Verdict::refused(ABOUT.title, Code::OrderRejected, said),
        _ => Verdict::Lost(format!("HTTP status {status} {said}")),
    }
}

/// Words that a person has to log in.
pub(super) fn logged_out() -> Refusal {
    let message =
        "Nobody is logged in at the gateway of Interactive Brokers. Nothing was sent to the market. Log in \
                   there in a browser; everything goes on by itself then."
            .to_owned();
    Refusal { code: Code::AuthFailed, message }
}

/// Words that the session is used elsewhere.
pub(super) fn competing() -> Refusal {
    let message = "This login at Interactive Brokers is used elsewhere, and only one place at a time can trade with it. \
                   Nothing was sent to the market. Log out of Trader Workstation, the phone or the web site, or give \
                   this program a user name of its own there."
        .to_owned();
    Refusal { code: Code::BrokerUnavailable, message }
}

/// Words that a gateway cannot be used for an account.
pub(super) fn unfit(why: &str) -> Refusal {
    let message = format!(
        "This account cannot be used at the gateway of Interactive Brokers: {why}. Nothing was sent to the market."
    );
    Refusal { code: Code::AuthFailed, message }
}

/// Words that an order was not confirmed.
pub(super) fn unconfirmed(asked: &str) -> Refusal {
    let shown: String = asked.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect();
    let message = format!(
        "Interactive Brokers asked about this order, and this program does not answer that for you. It asked: {shown} \
         Nothing was bought or sold. Change the order, or place it there yourself."
    );
    Refusal { code: Code::OrderRejected, message }
}
