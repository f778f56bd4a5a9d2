//! What Execution keeps an eye on besides orders: how long things have been waiting.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::Key;
use super::book::Book;
use crate::domain::ids::{ClientOrderId, ConnectionId};
use crate::domain::money::{Money, Net};
use crate::domain::order::{Order, OrderStatus, OrderStep, Purpose};
use crate::domain::stages::Stamp;
use crate::domain::survey::Sighting;

/// Longest pause before a stop, a target or an exit that was refused is tried again.
const PAUSE_MAX_S: i64 = 60;

/// The things waited for.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Whether a tick is on its way.
    pub(super) armed: bool,
    /// Since when orders are partly filled.
    partials: BTreeMap<ClientOrderId, DateTime<Utc>>,
    /// Orders that Risk is asked about again.
    pub(super) rechecking: BTreeSet<ClientOrderId>,
    /// Positions of which a stop, a target or an exit was refused: how often, and when the next may be tried.
    refused: BTreeMap<Key, (u32, DateTime<Utc>)>,
    /// Positions without protection, since when, and whether that was told.
    pub(super) unprotected: BTreeMap<Key, Gap>,
    /// Positions that the last survey found to be others than ours: what the broker said.
    pub(super) drifted: BTreeMap<Key, Sighting<Net>>,
    /// Cash at an account that the last survey could not explain.
    pub(super) cash: BTreeMap<ConnectionId, Sighting<Money>>,
    /// When the last fill at a position was taken in.
    filled: BTreeMap<Key, DateTime<Utc>>,
}

/// A time without protection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    /// Up to when it is counted.
    pub(super) counted: Stamp,
    /// When it began.
    pub(super) since: Stamp,
    /// Whether the user was told.
    pub(super) told: bool,
}

impl Watch {
    /// Takes note of an order's step.
    pub(super) fn moved(&mut self, order: &Order, step: &OrderStep, now: DateTime<Utc>) {
        let (id, key) = (order.ticket.id, order.key());
        if order.status == OrderStatus::PartiallyFilled && order.ticket.purpose == Purpose::Signal {
            self.partials.entry(id).or_insert(now);
        } else {
            self.partials.remove(&id);
        }
        if matches!(step, OrderStep::Filled { .. }) {
            self.filled.insert(key, now);
        }
        if order.ticket.purpose != Purpose::Signal {
            if step.is_refusal() {
                let (count, next) = self.refused.entry(key).or_insert((0, now));
                *count += 1;
                *next = now + TimeDelta::seconds((1_i64 << (*count).min(6)).min(PAUSE_MAX_S));
            } else if matches!(step, OrderStep::Accepted { .. }) {
                self.refused.remove(&key);
            }
        }
        if order.status != OrderStatus::Queued {
            self.rechecking.remove(&id);
        }
    }

    /// Starts again with what a book knows, after a restart.
    pub(super) fn resume(&mut self, book: &Book) {
        for order in book.open_orders() {
            if order.status == OrderStatus::PartiallyFilled && order.ticket.purpose == Purpose::Signal {
                self.partials.entry(order.ticket.id).or_insert(order.updated_at);
            }
        }
    }

    /// Returns whether a stop, a target or an exit may be placed now.
    pub(super) fn may_place(&self, key: Key, now: DateTime<Utc>) -> bool {
        self.refused.get(&key).is_none_or(|(_, next)| now >= *next)
    }

    /// Returns how often they were refused in a row.
    pub(super) fn refusals(&self, key: Key) -> u32 {
        self.refused.get(&key).map_or(0, |(count, _)| *count)
    }

    /// Returns the positions where they may be tried again now.
    pub(super) fn to_try_again(&self, now: DateTime<Utc>) -> Vec<Key> {
        self.refused.iter().filter(|(_, (_, next))| now >= *next).map(|(key, _)| *key).collect()
    }

    /// Forgets a position that is gone.
    pub(super) fn forget(&mut self, key: Key) {
        self.refused.remove(&key);
        self.drifted.remove(&key);
    }

    /// Returns the orders that have been partly filled for longer than `most_s`.
    pub(super) fn overdue(&self, most_s: u32, now: DateTime<Utc>) -> Vec<ClientOrderId> {
        let most = TimeDelta::seconds(most_s.into());
        self.partials.iter().filter(|(_, since)| now - **since >= most).map(|(id, _)| *id).collect()
    }

    /// Returns whether a fill was taken in at a position at or after `when`.
    pub(super) fn filled_since(&self, key: Key, when: DateTime<Utc>) -> bool {
        self.filled.get(&key).is_some_and(|at| *at >= when)
    }

    /// Returns whether any fill was taken in at an account at or after `when`.
    pub(super) fn any_filled_since(&self, connection: ConnectionId, when: DateTime<Utc>) -> bool {
        self.filled.iter().any(|((at, _), filled)| *at == connection && *filled >= when)
    }

    /// Returns whether a tick is needed.
    pub(super) fn is_waiting(&self) -> bool {
        !self.partials.is_empty() || !self.refused.is_empty() || !self.unprotected.is_empty()
    }
}
