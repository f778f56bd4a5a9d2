//! Binance's errors and ours, of all its markets. What is not documented as a refusal is not known.

use std::time::Duration;

use trade_actors::domain::report::RefusalCode as Code;

use super::{ABOUT, wire};
use crate::brokers::http::Reply;
use crate::brokers::venue::verdict::{Verdict, refusal};

/// How long to wait after "too many requests" when Binance does not say.
const PAUSE: Duration = Duration::from_secs(60);

/// Says what a reply of the spot market means, where that is not success.
pub(super) fn judge(reply: &Reply) -> Result<(), Verdict> {
    judged(reply, failure)
}

/// Says what a reply means, where that is not success, by what its error code means.
pub(in crate::brokers) fn judged(
    reply: &Reply,
    failure: fn(&wire::Failure) -> Verdict,
) -> Result<(), Verdict> {
    if reply.is_good() {
        return Ok(());
    }
    let told = serde_json::from_slice::<wire::Failure>(&reply.body).ok();
    match reply.status {
        // 403: the fire wall; it and the limits are in front of all else.
        429 | 418 | 403 => Err(Verdict::Slow(reply.retry_after().unwrap_or(PAUSE))),
        500.. => Err(Verdict::Lost(format!("HTTP status {}", reply.status))),
        status => {
            Err(told.map_or_else(|| Verdict::Lost(format!("HTTP status {status}")), |told| failure(&told)))
        }
    }
}

/// Says what an error code of the spot market means.
pub(super) fn failure(told: &wire::Failure) -> Verdict {
    meaning(ABOUT.title, told)
}

/// Says what an error code means that all markets have, at the one of this title.
pub(in crate::brokers) fn meaning(title: &str, told: &wire::Failure) -> Verdict {
    let said = told.msg.as_str();
    let has = |words: &str| said.to_ascii_lowercase().contains(words);
    let refused = |code| Verdict::refused(title, code, said);
    match told.code {
        -1021 => Verdict::Skewed,
        -2013 | -2011 => Verdict::Missing,
        -1003 | -1015 | -1034 => Verdict::Slow(PAUSE),
        // What these mean for an order is not known: asked, not guessed.
        -1000 | -1001 | -1006 | -1007 | -1008 | -1016 => Verdict::Lost(said.to_owned()),
        -1002 | -1022 | -2014 | -2015 => refused(Code::AuthFailed),
        -1121 | -1220 => refused(Code::InvalidSymbol),
        -2010 if has("duplicate") => Verdict::Exists,
        -2010 if has("insufficient balance") => refused(Code::InsufficientFunds),
        -2010 if has("market is closed") => Verdict::Halted(refusal(title, Code::MarketClosed, said)),
        -2010 | -1013 | -1199..=-1100 => refused(Code::OrderRejected),
        code => Verdict::Lost(format!("error {code}: {said}")),
    }
}
