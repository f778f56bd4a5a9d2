//! The orders that Execution works on, and the user's positions beside them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, Utc};

use super::Key;
use super::tend::as_exit;
use crate::domain::event::Event;
use crate::domain::ids::{ClientOrderId, ConnectionId};
use crate::domain::money::{Net, Quantity};
use crate::domain::order::{Order, OrderStatus, Purpose, QueueCause, Ticket};
use crate::domain::portfolio::Balance;
use crate::domain::protection::{Exit, exit_side};
use crate::domain::report::RefusalCode;
use crate::domain::signal::{OrderKind, Side};
use crate::domain::stages::Stamp;
use crate::domain::user::UserState;
use crate::ports::store::StoreError;
use crate::views::Views;

/// Final orders kept for reports that come late; older ones are read from the index again.
const RECENT: usize = 32;

/// Orders and positions of one user.
#[derive(Debug)]
pub(super) struct Book {
    user: UserState,
    orders: BTreeMap<ClientOrderId, Box<Order>>,
    done: VecDeque<ClientOrderId>,
}

impl Book {
    /// Reads the working orders.
    pub(super) fn open(user: UserState, views: &Views) -> Result<Self, StoreError> {
        let mut orders = BTreeMap::new();
        for id in user.working.keys() {
            if let Some(order) = views.order(*id)? {
                orders.insert(*id, Box::new(order));
            }
        }
        Ok(Self { user, orders, done: VecDeque::new() })
    }

    pub(super) const fn user(&self) -> &UserState {
        &self.user
    }

    pub(super) fn order(&self, id: ClientOrderId) -> Option<&Order> {
        self.orders.get(&id).map(Box::as_ref)
    }

    pub(super) fn knows(&self, id: ClientOrderId) -> bool {
        self.orders.contains_key(&id)
    }

    /// Reads a final order again, for a report that comes late; returns whether it is ours.
    pub(super) fn recall(&mut self, id: ClientOrderId, views: &Views) -> Result<bool, StoreError> {
        let Some(order) = views.order(id)?.filter(|order| order.ticket.user == self.user.id) else {
            return Ok(false);
        };
        self.orders.insert(id, Box::new(order));
        self.done.push_back(id);
        Ok(true)
    }

    /// Returns the orders that the broker has not confirmed, or whose end it was asked for.
    pub(super) fn unanswered_at(&self, connection: ConnectionId) -> Vec<ClientOrderId> {
        use OrderStatus as S;
        let here = self.open_orders().filter(|order| order.ticket.connection == connection);
        here.filter(|order| matches!(order.status, S::Pending | S::Unknown | S::PendingCancel))
            .map(|order| order.ticket.id)
            .collect()
    }

    /// Returns how many other orders wait until an order's broker takes requests again, and how many of these are to be
    /// sent before it: exits are sent before entries, else the older ones first.
    pub(super) fn deferred_beside(&self, order: &Order) -> (usize, usize) {
        let code = RefusalCode::RateLimitExceeded.as_str();
        let waits = |other: &&Order| {
            other.ticket.id != order.ticket.id
                && other.ticket.connection == order.ticket.connection
                && other.status == OrderStatus::Pending
                && other.code.as_deref() == Some(code)
        };
        let rank = |order: &Order| (!order.ticket.reduces, order.created_at);
        self.open_orders()
            .filter(waits)
            .fold((0, 0), |(all, ahead), other| (all + 1, ahead + usize::from(rank(other) < rank(order))))
    }

    pub(super) fn open_entries(&self) -> Vec<ClientOrderId> {
        let open = self.orders.values().filter(|order| !order.status.is_final());
        open.filter(|order| !order.ticket.reduces).map(|order| order.ticket.id).collect()
    }

    pub(super) fn open_orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.values().map(Box::as_ref).filter(|order| !order.status.is_final())
    }

    /// Returns every position's place at an account where anything is open.
    pub(super) fn keys_at(&self, connection: ConnectionId) -> BTreeSet<Key> {
        let held = self.user.positions.iter().map(|held| (held.connection, held.symbol));
        let ordered = self.open_orders().map(Order::key);
        held.chain(ordered).filter(|key| key.0 == connection).collect()
    }

    /// Returns the orders that may take something off a position, oldest first.
    pub(super) fn exits(&self, key: Key, net: Net) -> Vec<Exit> {
        self.leaving(key, |side| net.is_flat() || side == exit_side(net))
    }

    /// Returns the orders that were to leave a position the other way round: they would add to this one.
    pub(super) fn strays(&self, key: Key, net: Net) -> Vec<Exit> {
        self.leaving(key, |side| !net.is_flat() && side != exit_side(net))
    }

    fn leaving(&self, key: Key, is_side: impl Fn(Side) -> bool) -> Vec<Exit> {
        let leaves = |ticket: &Ticket| ticket.reduces || ticket.purpose != Purpose::Signal;
        let here = self.open_orders().filter(|order| order.key() == key && leaves(&order.ticket));
        let mut leaving: Vec<_> = here.filter(|order| is_side(order.ticket.side)).collect();
        leaving.sort_by_key(|order| order.created_at);
        let as_exit = |order: &Order| Exit { entry_ahead: self.is_behind_entry(order), ..as_exit(order) };
        leaving.into_iter().map(as_exit).collect()
    }

    /// Returns whether an entry is on its way to a position: sent, and about to be answered or filled.
    pub(super) fn is_growing(&self, key: Key) -> bool {
        self.coming(key).next().is_some()
    }

    /// Returns whether an entry that is older than an exit, and may be what it is to close, is on its way.
    fn is_behind_entry(&self, exit: &Order) -> bool {
        let opens = |entry: &Order| entry.ticket.side != exit.ticket.side;
        self.coming(exit.key()).any(|entry| opens(entry) && entry.created_at <= exit.created_at)
    }

    /// Returns what orders that are no exits, but on their way on the side of one, may take off a position.
    pub(super) fn about_to_take(&self, key: Key, side: Side) -> Quantity {
        let same = self.coming(key).filter(|order| order.ticket.side == side);
        same.map(Order::leaves_qty).sum()
    }

    fn coming(&self, key: Key) -> impl Iterator<Item = &Order> {
        let sent = |order: &&Order| {
            matches!(order.status, OrderStatus::Pending | OrderStatus::Unknown)
                || (order.ticket.kind == OrderKind::Market && order.status != OrderStatus::Queued)
        };
        let entries = self.open_orders().filter(move |order| order.key() == key && !order.ticket.reduces);
        entries.filter(sent)
    }

    /// Returns the orders that wait for a time or a market, and until when.
    pub(super) fn queued(&self) -> Vec<(ClientOrderId, Option<DateTime<Utc>>)> {
        let waits = |order: &&Order| order.queued.is_some_and(|queued| queued.cause != QueueCause::Room);
        let queued = self.open_orders().filter(waits);
        queued.map(|order| (order.ticket.id, order.queued.and_then(|queued| queued.until))).collect()
    }

    /// Returns the orders that are merged with one, itself included, oldest first.
    pub(super) fn merging_with(&self, id: ClientOrderId) -> Vec<(ClientOrderId, Quantity, OrderKind)> {
        let Some(one) = self.order(id) else { return Vec::new() };
        let merging = |order: &&Order| {
            order.queued.is_some_and(|queued| queued.cause == QueueCause::Merging)
                && order.key() == one.key()
                && order.ticket.side == one.ticket.side
                && order.ticket.reduces == one.ticket.reduces
                && order.ticket.kind == one.ticket.kind
        };
        let mut merged: Vec<_> = self.open_orders().filter(merging).collect();
        merged.sort_by_key(|order| (order.created_at, order.ticket.id));
        merged.into_iter().map(|order| (order.ticket.id, order.ticket.quantity, order.ticket.kind)).collect()
    }

    pub(super) fn balance(&self, connection: ConnectionId) -> Option<&Balance> {
        self.user.balances.get(&connection).map(Box::as_ref)
    }

    pub(super) fn committed(&self, id: ClientOrderId) -> Option<Stamp> {
        self.orders.get(&id).and_then(|order| order.stages.committed)
    }

    /// Folds a committed event in.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most events concern no order")]
    pub(super) fn apply(&mut self, event: &Event, at: DateTime<Utc>, committed: Option<Stamp>) {
        self.user.apply(event, at);
        match event {
            Event::OrderCreated { ticket, broker, mode, decision, stages } => {
                let (ticket, broker, decision) = (ticket.clone(), broker.clone(), decision.clone());
                let mut order = Order::new(ticket, broker, *mode, decision, *stages, None, at);
                order.stages.committed = committed;
                self.orders.insert(order.ticket.id, Box::new(order));
            }
            Event::OrderMoved { order, step, stages } => {
                let Some(order) = self.orders.get_mut(order) else { return };
                if let Err(illegal) = order.apply(step, at) {
                    tracing::error!(order = %order.ticket.id, %illegal, "a committed step does not fit its order");
                }
                order.pass(step, stages);
                if order.status.is_final() {
                    self.done.push_back(order.ticket.id);
                }
            }
            _ => {}
        }
    }

    /// Forgets final orders beyond the last few.
    pub(super) fn tidy(&mut self) {
        while self.done.len() > RECENT {
            if let Some(id) = self.done.pop_front() {
                self.orders.remove(&id);
            }
        }
    }
}

/// Returns a status as a metric's label.
pub(super) const fn state_name(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::Pending => "pending",
        OrderStatus::Queued => "queued",
        OrderStatus::Unknown => "unknown",
        OrderStatus::Accepted => "accepted",
        OrderStatus::PartiallyFilled => "partially_filled",
        OrderStatus::PendingCancel => "pending_cancel",
        OrderStatus::Filled => "filled",
        OrderStatus::Canceled => "cancelled",
        OrderStatus::Rejected => "rejected",
        OrderStatus::Expired => "expired",
        OrderStatus::Failed => "failed",
    }
}
