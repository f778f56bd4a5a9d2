//! `Idempotency-Key`: the same request again gets the first one's answer and does nothing.
//!
//! Kept in memory and bounded, for requests whose repetition does no harm after a restart. Orders do not rely on it:
//! their key goes into the log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use trade_actors::domain::ids::UserId;
use warp::http::StatusCode;

use super::call::Answer;
use super::problem::Problem;

/// Answers kept; the oldest goes first.
const KEPT: usize = 4_096;
/// The longest key.
const KEY_MAX: usize = 255;

/// What a key belongs to: the same key of another person or address is another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    user: UserId,
    path: String,
    key: String,
}

#[derive(Debug)]
struct Entry {
    body: [u8; 32],
    /// Absent while the first request is under way.
    answer: Option<Answer>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: BTreeMap<Slot, Entry>,
    order: VecDeque<Slot>,
}

/// Answers by key.
#[derive(Debug, Default)]
pub(crate) struct Stored(Mutex<Inner>);

/// What to do with a request.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It is the first: carry it out, and keep its answer.
    First(Running),
    /// It was carried out before: this was the answer.
    Again(Answer),
}

/// A request under way; dropped without an answer, its key is free again.
#[derive(Debug)]
pub(crate) struct Running {
    stored: Arc<Stored>,
    slot: Option<Slot>,
}

/// Returns whether a text may be a key: printable and not too long.
///
/// # Errors
/// When it may not.
pub(crate) fn check_key(key: &str) -> Result<(), Problem> {
    if !key.is_empty() && key.len() <= KEY_MAX && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let detail = format!(
        "Idempotency-Key must be 1 to {KEY_MAX} printable characters without blanks; nothing was done"
    );
    Err(Problem::new(StatusCode::BAD_REQUEST, "IDEMPOTENCY_KEY_INVALID", detail))
}

/// Returns the problem of a key that was used for another request.
#[must_use]
pub(crate) fn reused() -> Problem {
    let detail = "this Idempotency-Key was used for another request; nothing was done; use a fresh key for each request";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED", detail)
}

impl Stored {
    /// Says whose turn a request is.
    ///
    /// # Errors
    /// 422 when the key was used for another body, 409 while the first request is under way.
    pub(crate) fn turn(
        self: &Arc<Self>,
        user: UserId,
        path: &str,
        key: &str,
        body: &[u8],
    ) -> Result<Turn, Problem> {
        check_key(key)?;
        let slot = Slot { user, path: path.to_owned(), key: key.to_owned() };
        let hash: [u8; 32] = Sha256::digest(body).into();
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match inner.entries.get(&slot) {
            Some(entry) if entry.body != hash => Err(reused()),
            Some(Entry { answer: Some(answer), .. }) => Ok(Turn::Again(answer.clone())),
            Some(Entry { answer: None, .. }) => {
                let detail =
                    "the first request with this Idempotency-Key is still under way; ask again in a moment";
                Err(Problem::new(StatusCode::CONFLICT, "STILL_RUNNING", detail).retry_after(1))
            }
            None => {
                if inner.order.len() >= KEPT
                    && let Some(oldest) = inner.order.pop_front()
                {
                    inner.entries.remove(&oldest);
                }
                inner.order.push_back(slot.clone());
                inner.entries.insert(slot.clone(), Entry { body: hash, answer: None });
                Ok(Turn::First(Running { stored: Arc::clone(self), slot: Some(slot) }))
            }
        }
    }
}

impl Running {
    /// Keeps the answer for repeats, if it is one that a repeat may rely on.
    pub(crate) fn done(mut self, answer: &Answer) {
        let lasting = !answer.status().is_server_error() && answer.status() != StatusCode::TOO_MANY_REQUESTS;
        if !lasting {
            return;
        }
        let Some(slot) = self.slot.take() else { return };
        let mut inner = self.stored.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = inner.entries.get_mut(&slot) {
            entry.answer = Some(answer.clone());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        let mut inner = self.stored.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.entries.remove(&slot);
        inner.order.retain(|other| *other != slot);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use warp::http::Response;

    use super::*;
    use crate::auth::fakes::user;

    fn answer(status: u16) -> Answer {
        Response::builder().status(status).body(Bytes::from_static(b"{}")).unwrap()
    }

    fn first(stored: &Arc<Stored>, key: &str, body: &[u8]) -> Running {
        match stored.turn(user(1), "/x", key, body).unwrap() {
            Turn::First(running) => running,
            Turn::Again(_) => panic!("was done before"),
        }
    }

    #[test]
    fn a_repeat_gets_the_first_answer_and_another_body_is_refused() {
        let stored = Arc::new(Stored::default());
        let running = first(&stored, "k", b"1");
        assert_eq!(stored.turn(user(1), "/x", "k", b"1").unwrap_err().status, 409);
        running.done(&answer(201));
        assert!(
            matches!(stored.turn(user(1), "/x", "k", b"1").unwrap(), Turn::Again(kept) if kept.status() == 201)
        );
        assert_eq!(stored.turn(user(1), "/x", "k", b"2").unwrap_err().code, "IDEMPOTENCY_KEY_REUSED");
    }

    #[test]
    fn the_key_is_ones_own_and_of_one_address() {
        let stored = Arc::new(Stored::default());
        first(&stored, "k", b"1").done(&answer(201));
        assert!(matches!(stored.turn(user(2), "/x", "k", b"2").unwrap(), Turn::First(_)));
        assert!(matches!(stored.turn(user(1), "/y", "k", b"2").unwrap(), Turn::First(_)));
    }

    #[test]
    fn what_failed_or_broke_off_may_be_tried_again() {
        let stored = Arc::new(Stored::default());
        first(&stored, "k", b"1").done(&answer(503));
        drop(first(&stored, "k", b"1"));
        first(&stored, "k", b"2").done(&answer(200));
    }

    #[test]
    fn the_store_is_bounded_and_keys_are_plain() {
        let stored = Arc::new(Stored::default());
        for number in 0..=KEPT {
            first(&stored, &number.to_string(), b"").done(&answer(200));
        }
        drop(first(&stored, "0", b"another"));
        assert!(check_key("").is_err() && check_key("a b").is_err() && check_key(&"a".repeat(256)).is_err());
    }
}
