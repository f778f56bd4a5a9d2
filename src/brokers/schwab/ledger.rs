//! Which of Schwab's orders are ours. Schwab takes no ids of ours, so that its own are remembered here.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};

use trade_actors::domain::ids::ClientOrderId;

use super::map::Words;

/// Most orders of one account that are remembered; of more, the newest. What is asked for by its id is learned again.
const KNOWN_MAX: usize = 5_000;

/// One of their orders that is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Our id of it.
    pub(super) ours: ClientOrderId,
    /// It was not entered before.
    pub(super) since: DateTime<Utc>,
    /// Whether it may still work.
    pub(super) is_open: bool,
}

/// What became of an order before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Nothing: it may be sent.
    Unsent,
    /// They have it under this id.
    There(i64),
    /// It was sent, and nothing is known of it.
    InDoubt,
}

/// What is known of one account's orders.
#[derive(Debug, Default)]
struct Page {
    known: BTreeMap<i64, Known>,
    /// What was sent, and when, whose id there is not known.
    sent: BTreeMap<ClientOrderId, (Words, DateTime<Utc>)>,
}

/// Which of Schwab's orders are ours, by account.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<BTreeMap<String, Page>>);

impl Ledger {
    /// Notes that an order is about to be sent, if nothing is known of it.
    pub(super) fn begin(
        &self,
        account: &str,
        ours: ClientOrderId,
        words: Words,
        now: DateTime<Utc>,
    ) -> Before {
        let mut pages = self.lock();
        let page = pages.entry(account.to_owned()).or_default();
        if let Some(id) = page.theirs(ours) {
            return Before::There(id);
        }
        if page.sent.len() >= KNOWN_MAX {
            page.sent.pop_first();
        }
        if page.sent.contains_key(&ours) {
            return Before::InDoubt;
        }
        page.sent.insert(ours, (words, now));
        Before::Unsent
    }

    /// Notes that an order provably never got there, or was refused.
    pub(super) fn undo(&self, account: &str, ours: ClientOrderId) {
        self.lock().entry(account.to_owned()).or_default().sent.remove(&ours);
    }

    /// Returns whether another order of ours that is just like this one was sent since, and may be the one that is found.
    pub(super) fn has_twin(
        &self,
        account: &str,
        ours: ClientOrderId,
        words: &Words,
        since: DateTime<Utc>,
    ) -> bool {
        let pages = self.lock();
        let mut sent = pages.get(account).into_iter().flat_map(|page| &page.sent);
        sent.any(|(id, (other, at))| *id != ours && other == words && *at >= since)
    }

    /// Notes that one of their orders is one of ours; false: it is another one of ours.
    pub(super) fn claim(&self, account: &str, id: i64, ours: ClientOrderId, since: DateTime<Utc>) -> bool {
        let mut pages = self.lock();
        let page = pages.entry(account.to_owned()).or_default();
        page.sent.remove(&ours);
        let known = page.known.entry(id).or_insert(Known { ours, since, is_open: true });
        let is_mine = known.ours == ours;
        while page.known.len() > KNOWN_MAX {
            page.known.pop_first();
        }
        is_mine
    }

    /// Returns what is known of one of their orders; `None`: it is none of ours, as far as is known.
    pub(super) fn known(&self, account: &str, id: i64) -> Option<Known> {
        self.lock().get(account)?.known.get(&id).copied()
    }

    /// Returns their id of one of our orders.
    pub(super) fn theirs(&self, account: &str, ours: ClientOrderId) -> Option<i64> {
        self.lock().get(account)?.theirs(ours)
    }

    /// Notes whether one of their orders still works.
    pub(super) fn note(&self, account: &str, id: i64, is_open: bool) {
        if let Some(known) = self.lock().get_mut(account).and_then(|page| page.known.get_mut(&id)) {
            known.is_open = is_open;
        }
    }

    /// Returns since when our orders were entered that may still work; `None`: there are none.
    pub(super) fn open_since(&self, account: &str) -> Option<DateTime<Utc>> {
        let pages = self.lock();
        let open = pages.get(account)?.known.values().filter(|known| known.is_open);
        open.map(|known| known.since).min()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Page>> {
        // Nothing is left half done under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    fn theirs(&self, ours: ClientOrderId) -> Option<i64> {
        self.known.iter().rev().find(|(_, known)| known.ours == ours).map(|(id, _)| *id)
    }
}
