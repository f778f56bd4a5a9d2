//! Kraken's errors and ours. What is not documented as a refusal is not known.

use std::time::Duration;

use chrono::DateTime;
use trade_actors::domain::report::RefusalCode as Code;

use super::{ABOUT, wire};
use crate::brokers::http::Reply;
use crate::brokers::venue::call::Call;
use crate::brokers::venue::verdict::{Verdict, refusal};

/// How long to wait after "too many requests" when Kraken does not say.
const PAUSE: Duration = Duration::from_secs(15);
/// The longest pause that is believed.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// How long an account is locked out.
const LOCKED: Duration = Duration::from_secs(900);
/// What Kraken says to an account that it has locked out.
const LOCKED_OUT: &str = "EGeneral:Temporary lockout";

/// What Kraken says of an order whose deadline is over. Either it was long under way, or the clocks differ.
pub(super) const TOO_LATE: &str = "EService:Deadline elapsed";

/// What Kraken says, by how it begins, and the code that is ours. The first that fits counts.
const REFUSALS: &[(&str, Code)] = &[
    ("EAPI:Invalid key", Code::AuthFailed),
    ("EAPI:Invalid signature", Code::AuthFailed),
    ("EAPI:Invalid nonce", Code::AuthFailed),
    ("EGeneral:Permission denied", Code::AuthFailed),
    (LOCKED_OUT, Code::AuthFailed),
    ("EAuth:", Code::AuthFailed),
    // So many orders may be open: waiting changes nothing.
    ("EOrder:Orders limit exceeded", Code::RateLimitExceeded),
    ("EOrder:Insufficient funds", Code::InsufficientFunds),
    ("EOrder:Insufficient margin", Code::InsufficientFunds),
    ("EQuery:Unknown asset pair", Code::InvalidSymbol),
    ("EQuery:Invalid asset pair", Code::InvalidSymbol),
    ("EOrder:Order minimum not met", Code::OrderRejected),
    ("EOrder:Cost minimum not met", Code::OrderRejected),
    ("EOrder:Tick size check failed", Code::OrderRejected),
    ("EOrder:Invalid price", Code::OrderRejected),
    ("EOrder:Reduce only:", Code::OrderRejected),
    ("EOrder:Margin", Code::OrderRejected),
    ("EGeneral:Invalid arguments", Code::OrderRejected),
];

/// Says what a reply means, where that is not success. Errors come with status 200, too.
pub(super) fn judge(_: &Call, reply: &Reply) -> Result<(), Verdict> {
    match reply.status {
        429 => return Err(Verdict::Slow(reply.retry_after().unwrap_or(PAUSE))),
        500.. => return Err(Verdict::Lost(format!("HTTP status {}", reply.status))),
        _ => {}
    }
    let said = errors(reply);
    let verdicts: Vec<_> = said.iter().map(|said| failure(said, reply)).collect();
    // One that says nothing certain makes all of it uncertain.
    let uncertain = verdicts.iter().find(|verdict| matches!(verdict, Verdict::Lost(_)));
    match uncertain.or(verdicts.first()) {
        Some(verdict) => Err(verdict.clone()),
        None if reply.is_good() => Ok(()),
        None => Err(Verdict::Lost(format!("HTTP status {}", reply.status))),
    }
}

/// Returns how long an account is to be left alone after a reply.
pub(super) fn locked_out(reply: &Reply) -> Option<Duration> {
    // The word is rare and the lists are long: they are not read twice for it.
    let is_short = reply.body.len() < 4_096;
    (is_short && errors(reply).iter().any(|said| said.starts_with(LOCKED_OUT))).then_some(LOCKED)
}

/// Returns what went wrong; warnings are left out.
fn errors(reply: &Reply) -> Vec<String> {
    let told = serde_json::from_slice::<wire::Envelope>(&reply.body);
    let mut said = told.map(|told| told.error).unwrap_or_default();
    said.retain(|said| !said.starts_with('W'));
    said
}

/// Says what an error means.
fn failure(said: &str, reply: &Reply) -> Verdict {
    let begins = |words: &str| said.starts_with(words);
    if said.contains("cl_ord_id not unique") {
        return Verdict::Exists;
    }
    if begins("EGeneral:Invalid arguments:deadline") {
        // It is of another time than ours: nothing was done.
        return Verdict::Skewed;
    }
    if begins("EOrder:Unknown order") {
        return Verdict::Missing;
    }
    if begins("EAPI:Rate limit") || begins("EOrder:Rate limit") || begins("EOrder:Domain rate limit") {
        return Verdict::Slow(PAUSE);
    }
    if let Some(until) = said.strip_prefix("EService:Throttled:") {
        return Verdict::Slow(pause(until, reply).unwrap_or(PAUSE));
    }
    if begins("EService:Market in ") {
        return Verdict::Halted(refusal(ABOUT.title, Code::MarketClosed, said));
    }
    match refused(said) {
        Some(code) => Verdict::refused(ABOUT.title, code, said),
        // What these mean for an order is not known: asked, not guessed. That it was too late, too, is only said.
        None => Verdict::Lost(said.to_owned()),
    }
}

/// Returns our code of a refusal; `None`: it is none that is documented.
pub(super) fn refused(said: &str) -> Option<Code> {
    REFUSALS.iter().find(|(words, _)| said.starts_with(words)).map(|(_, code)| *code)
}

/// Returns how long it is until a time that Kraken told, by its own clock.
fn pause(until: &str, reply: &Reply) -> Option<Duration> {
    let until: i64 = until.trim().parse().ok()?;
    let now = DateTime::parse_from_rfc2822(reply.header("date")?).ok()?.timestamp();
    let seconds = u64::try_from(until.checked_sub(now)?).ok()?;
    Some(Duration::from_secs(seconds.max(1)).min(PAUSE_MAX))
}
