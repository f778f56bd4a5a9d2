//! Bybit's errors and ours. They come with HTTP status 200; what is not documented as a refusal is not known.

use std::time::Duration;

use trade_actors::domain::report::RefusalCode as Code;

use super::{ABOUT, wire};
use crate::brokers::http::Reply;
use crate::brokers::venue::call::Call;
use crate::brokers::venue::verdict::{Verdict, refusal};

/// How long to wait after "too many requests" when Bybit does not say: the longest window that it counts in.
const PAUSE: Duration = Duration::from_secs(5);
/// The longest that its word on when to ask again is followed.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long an address is shut out that asked too often.
const SHUT_OUT: Duration = Duration::from_secs(600);
/// When an account may ask again, in milliseconds since 1970.
const RESET: &str = "x-bapi-limit-reset-timestamp";

/// Says what a reply means, where that is not success.
pub(super) fn judge(_: &Call, reply: &Reply) -> Result<(), Verdict> {
    let told = serde_json::from_slice::<wire::Judged>(&reply.body).ok();
    match (reply.status, told) {
        (200, Some(told)) if told.ret_code == 0 => Ok(()),
        (200, Some(told)) => Err(failure(&told, pause(reply, told.time))),
        (429, told) => Err(Verdict::Slow(pause(reply, told.and_then(|told| told.time)))),
        (401, told) => {
            let said = told.map_or_else(|| "the key is not accepted".to_owned(), |told| told.ret_msg);
            Err(Verdict::refused(ABOUT.title, Code::AuthFailed, &said))
        }
        // The wall in front of all else: too many requests of this address, or an address of a country it does not serve.
        (403, _) if String::from_utf8_lossy(&reply.body).to_ascii_lowercase().contains("too frequent") => {
            Err(Verdict::Slow(reply.retry_after().unwrap_or(SHUT_OUT)))
        }
        (403, _) => {
            let said = "it does not serve the country of this machine's address";
            Err(Verdict::refused(ABOUT.title, Code::AuthFailed, said))
        }
        (status, _) => Err(Verdict::Lost(format!("HTTP status {status}"))),
    }
}

/// Returns how long to wait after too many requests.
fn pause(reply: &Reply, now: Option<i64>) -> Duration {
    let reset = reply.header(RESET).and_then(|text| text.trim().parse::<i64>().ok());
    let left = reset.zip(now).and_then(|(reset, now)| u64::try_from(reset.saturating_sub(now)).ok());
    let left = left.map(|ms| Duration::from_millis(ms.max(1)).min(PAUSE_MAX));
    reply.retry_after().or(left).unwrap_or(PAUSE)
}

/// Says what a code means.
fn failure(told: &wire::Judged, pause: Duration) -> Verdict {
    let said = told.ret_msg.as_str();
    let refused = |code| Verdict::refused(ABOUT.title, code, said);
    match told.ret_code {
        10_002 => Verdict::Skewed,
        10_003 | 10_004 | 10_005 | 10_007 | 10_008 | 10_009 | 10_010 | 10_024 | 10_027 | 33_004 => {
            refused(Code::AuthFailed)
        }
        10_006 | 10_429 | 20_003 | 170_222 => Verdict::Slow(pause),
        10_014 | 110_072 | 170_141 => Verdict::Exists,
        110_001 | 170_213 | 170_143 => Verdict::Missing,
        110_008 | 110_010 | 170_139 | 170_142 | 170_190 => Verdict::Ended,
        10_029 | 170_121 => refused(Code::InvalidSymbol),
        10_001 if said.to_ascii_lowercase().contains("symbol") => refused(Code::InvalidSymbol),
        110_004 | 110_006 | 110_007 | 110_012 | 110_014 | 110_044 | 110_045 | 110_051 | 110_052 | 110_053
        | 170_131 => refused(Code::InsufficientFunds),
        110_063 | 110_066 | 110_074 | 170_151 | 170_157 => {
            Verdict::Halted(refusal(ABOUT.title, Code::MarketClosed, said))
        }
        10_001
        | 110_003
        | 110_009
        | 110_017
        | 110_020
        | 110_094
        | 170_124
        | 170_130
        | 170_132..=170_137
        | 170_140
        | 170_148
        | 170_149
        | 170_193
        | 170_194
        | 170_210
        | 170_218 => refused(Code::OrderRejected),
        // Overload, time-outs, and whatever is new: what they mean for an order is not known, so that it is asked for.
        code => Verdict::Lost(format!("error {code}: {said}")),
    }
}
