//! What makes two deliveries the same one, and how old a delivery may be.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use trade_actors::domain::ids::SourceId;
use trade_actors::domain::signal::DeliveryKey;

use super::number;
use super::refusal::{Refusal, RefusalCode};
use super::slots::{Said, Slot};

/// Oldest body that is acted on when it names no limit itself, in seconds.
pub const MAX_LAG_S: u32 = 90;

/// Farthest a sender's clock may run ahead, in seconds.
pub const MAX_LEAD_S: u32 = 30;

/// What a body says about which delivery it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The alert's own id: alone enough, however late the repeat.
    Alert(String),
    /// An id that names an order of the strategy, and the times that tell its trades apart.
    IdAndTime {
        /// The id.
        id: String,
        /// The bar's and the alert's times, as written.
        times: Vec<String>,
    },
    /// An id without a time.
    Id(String),
    /// A time and no id: the same bytes are the same delivery, however late.
    TimedBody,
    /// Neither: the same bytes within [`DeliveryKey::WINDOW_S`] are the same delivery.
    Body,
}

impl Identity {
    /// Returns the key under which the delivery of this body from this source is remembered.
    #[must_use]
    pub fn key(&self, source: SourceId, body: &[u8]) -> DeliveryKey {
        let start = Sha256::new()
            .chain_update(b"trade-executor/delivery/v1\0")
            .chain_update(source.uuid().as_bytes());
        // Lengths stand before texts, so that no two identities ever hash the same bytes.
        let text = |hash: Sha256, text: &str| {
            hash.chain_update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes()).chain_update(text)
        };
        match self {
            Self::Alert(id) => DeliveryKey::Named(first_half(text(start.chain_update(b"alert"), id))),
            Self::IdAndTime { id, times } => {
                let hash = text(start.chain_update(b"id+time"), id);
                DeliveryKey::Named(first_half(times.iter().fold(hash, |hash, time| text(hash, time))))
            }
            Self::Id(id) => DeliveryKey::Named(first_half(text(start.chain_update(b"id"), id))),
            Self::TimedBody => {
                DeliveryKey::Named(first_half(start.chain_update(b"timed").chain_update(body)))
            }
            Self::Body => DeliveryKey::Bytes(first_half(start.chain_update(b"body").chain_update(body))),
        }
    }

    /// Reads the identity.
    ///
    /// An `id` with a time names a trade only together with it: `{{strategy.order.id}}` is a name such as `Long`
    /// that every trade of a strategy repeats. An `id` alone is taken at its word.
    pub(super) fn read(said: &[Said]) -> Self {
        let texts = |slot: fn(Slot) -> bool| {
            said.iter()
                .filter(move |said| slot(said.slot))
                .filter_map(|said| said.value.scalar())
                .map(|text| text.trim_ascii().to_owned())
                .filter(|text| !text.is_empty())
        };
        if let Some(id) = texts(|slot| slot == Slot::AlertId).min() {
            return Self::Alert(id);
        }
        let mut times: Vec<String> = texts(is_time).collect();
        times.sort();
        match (texts(|slot| slot == Slot::Id).min(), times.is_empty()) {
            (Some(id), false) => Self::IdAndTime { id, times },
            (Some(id), true) => Self::Id(id),
            (None, false) => Self::TimedBody,
            (None, true) => Self::Body,
        }
    }
}

const fn is_time(slot: Slot) -> bool {
    matches!(slot, Slot::SentAt | Slot::Time | Slot::BarTime)
}

fn first_half(hash: Sha256) -> u128 {
    hash.finalize().iter().take(16).fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

/// Reads when the body was sent.
///
/// `timenow`, `timestamp` and their like are send times. `bar_time` and a `time` inside `bar` are the opening
/// of a bar, which on a daily chart is hours old, and never make a body stale. A bare `time` may be either:
/// on a full minute it is taken for a bar's (`{{time}}`), otherwise for a send time (`{{timenow}}` has
/// seconds).
pub(super) fn sent_at(said: &[Said]) -> Option<DateTime<Utc>> {
    let times = |slot: Slot| {
        said.iter()
            .filter(move |said| said.slot == slot)
            .filter_map(|said| said.value.scalar())
            .filter_map(time)
    };
    let bare = times(Slot::Time).filter(|time| time.timestamp_millis().rem_euclid(60_000) != 0);
    // Of several times the oldest counts, whatever their order.
    times(Slot::SentAt).min().or_else(|| bare.min())
}

/// Reads a time with its zone, or the seconds or milliseconds since 1970.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim_ascii();
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number: i64 = text.parse().ok()?;
        return match text.len() {
            10 => DateTime::from_timestamp(number, 0),
            13 => DateTime::from_timestamp_millis(number),
            _ => None,
        };
    }
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.with_timezone(&Utc))
}

/// Reads `max_lag`: whole seconds, the strictest of several; nothing or zero means not set.
pub(super) fn max_lag_s(said: &[Said]) -> Result<Option<u32>, Refusal> {
    let mut strictest: Option<u32> = None;
    for said in said.iter().filter(|said| said.slot == Slot::MaxLag && !said.value.is_unset()) {
        let number = said.value.scalar().and_then(|text| number::decimal(text).ok());
        let whole = number.filter(|number| number.is_integer()).and_then(|number| u32::try_from(number).ok());
        let Some(seconds) = whole else {
            let detail = format!("max_lag is {}; send whole seconds such as 300", said.value.shown());
            return Err(Refusal::field(RefusalCode::BadNumber, &said.pointer, detail));
        };
        if seconds > 0 {
            strictest = Some(strictest.map_or(seconds, |other| other.min(seconds)));
        }
    }
    Ok(strictest)
}

/// Judges the age of a body.
pub(super) fn check_fresh(
    sent_at: Option<DateTime<Utc>>,
    max_lag_s: Option<u32>,
    received_at: DateTime<Utc>,
) -> Result<(), Refusal> {
    let Some(sent_at) = sent_at else {
        return match max_lag_s {
            None => Ok(()),
            Some(_) => {
                let detail = "max_lag is set, but no field says when the alert was sent; add \"timestamp\": \"{{timenow}}\"";
                Err(Refusal::body(RefusalCode::Stale, detail))
            }
        };
    };
    let age_ms = (received_at - sent_at).num_milliseconds();
    let limit_s = max_lag_s.unwrap_or(MAX_LAG_S);
    if age_ms > i64::from(limit_s) * 1000 {
        let detail = format!(
            "the alert was sent at {sent_at} and came {} s later; at most {limit_s} s are allowed, because a late \
             order meets another market. A bar's time belongs in \"bar_time\", the time of sending is {{{{timenow}}}}",
            age_ms / 1000
        );
        return Err(Refusal::body(RefusalCode::Stale, detail));
    }
    if age_ms < -i64::from(MAX_LEAD_S) * 1000 {
        let detail = format!(
            "the alert is dated {sent_at}, {} s after it came; correct the sender's or this machine's clock",
            -age_ms / 1000
        );
        return Err(Refusal::body(RefusalCode::Stale, detail));
    }
    Ok(())
}
