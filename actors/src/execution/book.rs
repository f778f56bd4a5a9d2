//! The orders that Execution works on, and the user's positions beside them.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, Utc};

use crate::domain::event::Event;
use crate::domain::ids::{ClientOrderId, ConnectionId};
use crate::domain::order::{Order, OrderStatus};
use crate::domain::portfolio::Balance;
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

    pub(super) fn open_at(&self, connection: ConnectionId) -> Vec<ClientOrderId> {
        let open = self.orders.values().filter(|order| !order.status.is_final());
        open.filter(|order| order.ticket.connection == connection).map(|order| order.ticket.id).collect()
    }

    pub(super) fn open_entries(&self) -> Vec<ClientOrderId> {
        let open = self.orders.values().filter(|order| !order.status.is_final());
        open.filter(|order| !order.ticket.reduces).map(|order| order.ticket.id).collect()
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
                order.stages.merge(stages);
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
