//! The errors that only the futures market has. What is not documented as a refusal is not known.

use std::time::Duration;

use trade_actors::domain::report::RefusalCode as Code;

use super::{ABOUT, map};
use crate::brokers::binance::{errors, wire};
use crate::brokers::http::Reply;
use crate::brokers::venue::verdict::{Verdict, refusal};

/// When to try again after Binance had too much to do.
const RETRY: Duration = Duration::from_secs(1);
/// The code of a venue that has too much to do: what it did not take it has not done.
const OVERLOADED: i64 = -1008;

/// Says what a reply means, where that is not success.
pub(super) fn judge(reply: &Reply) -> Result<(), Verdict> {
    // It comes with a status that means, with any other code, that nothing is known.
    let told = serde_json::from_slice::<wire::Failure>(&reply.body).ok();
    match told.filter(|told| told.code == OVERLOADED) {
        Some(told) if !reply.is_good() => Err(failure(&told)),
        Some(_) | None => errors::judged(reply, failure),
    }
}

/// Says what an error code means.
pub(super) fn failure(told: &wire::Failure) -> Verdict {
    let said = told.msg.as_str();
    let refused = |code, said| Verdict::refused(ABOUT.title, code, said);
    match told.code {
        OVERLOADED => Verdict::throttled(RETRY),
        // The matching engine's own look at the time.
        -5028 => Verdict::Skewed,
        // It was canceled or ended, and is no longer kept.
        -2026 => Verdict::Missing,
        -4116 => Verdict::Exists,
        -2018 | -2019 | -2024 => refused(Code::InsufficientFunds, said),
        -4140 | -4141 => Verdict::Halted(refusal(ABOUT.title, Code::MarketClosed, said)),
        -4061 => refused(Code::OrderRejected, map::HEDGED),
        // Prices and quantities that do not fit the symbol, limits of orders and positions, and what would open where it
        // was only to reduce.
        -2021 | -2022 | -2025 | -2027 | -4030..=-4001 | -4045 | -4120 | -4131 | -4164 | -5021 | -5022 => {
            refused(Code::OrderRejected, said)
        }
        _ => errors::meaning(ABOUT.title, told),
    }
}
