//! Orders that wait: for their market, for others on the same symbol, for room beside protective orders.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ractor::{ActorProcessingErr, ActorRef, RpcReplyPort};

use super::{Change, ExecutionMsg, ExecutionState};
use crate::domain::calendar::MarketStatus;
use crate::domain::event::Event;
use crate::domain::ids::ClientOrderId;
use crate::domain::money::Quantity;
use crate::domain::order::{Order, OrderStatus, OrderStep, QueueCause, Ticket};
use crate::domain::protection::{exit_side, live, waiting};
use crate::domain::risk::{Approved, Denial, DenialCode};
use crate::domain::stages::Stages;
use crate::domain::waiting::for_market;
use crate::risk::RiskMsg;

/// How long a balance or a price may take to come once an order is due, in seconds.
const PASSING_S: i64 = 180;
/// How often what waits is looked at.
const PACE: Duration = Duration::from_secs(1);

/// Words the wait of an exit for the protective orders that hold what it is to sell.
pub(super) fn for_room() -> OrderStep {
    let reason = "The position's protective orders are cancelled first.".to_owned();
    OrderStep::Queued { cause: QueueCause::Room, until: None, reason }
}

fn moved(order: ClientOrderId, step: OrderStep) -> Event {
    Event::OrderMoved { order, step, stages: Stages::default() }
}

impl ExecutionState {
    /// Sees to it that what waits is looked at in time.
    pub(super) fn arm(&mut self, me: &ActorRef<ExecutionMsg>) {
        if self.watch.armed {
            return;
        }
        let now = self.lines.shared.clock.now();
        let queued = self.book.queued();
        let soonest = queued
            .iter()
            .map(|(_, until)| until.map_or(PACE, |until| (until - now).to_std().unwrap_or_default()))
            .min();
        let pause = match soonest {
            Some(pause) => pause.clamp(Duration::from_millis(10), PACE),
            None if self.watch.is_waiting() => PACE,
            None => return,
        };
        self.watch.armed = true;
        me.send_after(pause, || ExecutionMsg::Tick);
    }

    /// Looks at all that waits.
    pub(super) async fn tick(&mut self) -> Result<(), ActorProcessingErr> {
        let now = self.lines.shared.clock.now();
        for (id, until) in self.book.queued() {
            self.look_at_queued(id, until, now).await?;
        }
        let most_s = self.book.user().limits.partial_fill_timeout_s;
        for id in self.watch.overdue(most_s, now) {
            let reason = format!("the rest was not filled within {most_s} s");
            self.cancel(id, reason).await?;
        }
        self.due.extend(self.watch.to_try_again(now));
        self.watch_gaps().await
    }

    async fn look_at_queued(
        &mut self,
        id: ClientOrderId,
        until: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), ActorProcessingErr> {
        let Some(order) = self.book.order(id) else { return Ok(()) };
        let Some(queued) = order.queued.filter(|_| !self.watch.rechecking.contains(&id)) else {
            return Ok(());
        };
        match queued.cause {
            QueueCause::Room => Ok(()),
            QueueCause::Merging if until.is_none_or(|until| until <= now) => self.merge(id).await,
            QueueCause::Merging => Ok(()),
            // Not only when it is due: the hours known when it was queued may have been a calendar's guess.
            QueueCause::MarketClosed | QueueCause::MarketHalted => {
                let Some(status) = self.status(order, now) else { return Ok(()) };
                match for_market(&order.ticket, status) {
                    None => self.recheck(id),
                    Some(wait) if wait.cause != queued.cause || wait.until != queued.until => {
                        return self.record(vec![moved(id, wait.into())]).await;
                    }
                    Some(_) => {}
                }
                Ok(())
            }
        }
    }

    fn status(&self, order: &Order, now: DateTime<Utc>) -> Option<MarketStatus> {
        let account = self.connections.get(&order.ticket.connection)?;
        let instrument = account.market.instrument(order.ticket.symbol)?;
        Some(account.market.status(&instrument, now))
    }

    /// The window has ended: all that was merged becomes one order.
    async fn merge(&mut self, id: ClientOrderId) -> Result<(), ActorProcessingErr> {
        let merged = self.book.merging_with(id);
        let Some((first, others)) = merged.split_first() else { return Ok(()) };
        let mut events = Vec::new();
        let sum = merged.iter().fold(Quantity::ZERO, |sum, (_, quantity, _)| sum + *quantity);
        if !others.is_empty() {
            let reason = format!("{} signals were merged", merged.len());
            events.push(moved(first.0, OrderStep::Amended { quantity: sum, kind: first.2, reason }));
        }
        for (other, ..) in others {
            let reason = format!("Merged into the order {}", first.0);
            events.push(moved(*other, OrderStep::Canceled { reason }));
        }
        self.record(events).await?;
        self.recheck(first.0);
        Ok(())
    }

    /// Asks Risk whether an order that waited is still allowed.
    fn recheck(&mut self, id: ClientOrderId) {
        if let Some(order) = self.book.order(id)
            && self.connections.contains_key(&order.ticket.connection)
            && self.watch.rechecking.insert(id)
        {
            self.lines.risk.tell(RiskMsg::Recheck(Box::new(order.clone())));
        }
    }

    /// Risk's word on an order that waited: it goes out, perhaps smaller, or ends here.
    pub(super) async fn rechecked(
        &mut self,
        id: ClientOrderId,
        outcome: Result<Approved, Denial>,
    ) -> Result<(), ActorProcessingErr> {
        self.watch.rechecking.remove(&id);
        let Some(order) = self.book.order(id).filter(|order| order.status == OrderStatus::Queued) else {
            return Ok(());
        };
        let before = order.ticket.clone();
        let approved = match outcome {
            Ok(approved) => approved.into_intent(),
            // A balance or a price that is about to come is no reason to give an order up.
            Err(denial) if self.is_passing(order, denial.code) => return Ok(()),
            Err(denial) => {
                let (code, reason) = (denial.code.as_str().to_owned(), denial.message);
                return self.step(id, OrderStep::Rejected { code, reason }, Stages::default()).await;
            }
        };
        let mut ticket = before.clone();
        ticket.quantity = approved.ticket.quantity;
        let mut events = Vec::new();
        if ticket.quantity != before.quantity {
            let reason = approved.decision.notes.last().cloned().unwrap_or_else(|| "limits".to_owned());
            events
                .push(moved(id, OrderStep::Amended { quantity: ticket.quantity, kind: ticket.kind, reason }));
        }
        if ticket.reduces {
            events.push(moved(id, for_room()));
            return self.record(events).await;
        }
        events.push(moved(id, OrderStep::Released));
        self.let_go(ticket, events).await
    }

    /// Records that an order that waited is sent, and sends it; or that it is refused, if trading was stopped.
    pub(super) async fn let_go(
        &mut self,
        ticket: Ticket,
        events: Vec<Event>,
    ) -> Result<(), ActorProcessingErr> {
        match self.record_passing(&ticket, events).await? {
            None => {
                self.send(ticket);
                Ok(())
            }
            Some(denial) => {
                let (code, reason) = (denial.code.as_str().to_owned(), denial.message);
                self.step(ticket.id, OrderStep::Rejected { code, reason }, Stages::default()).await
            }
        }
    }

    /// Returns whether what is in an order's way may well be gone in a moment.
    fn is_passing(&self, order: &Order, code: DenialCode) -> bool {
        let now = self.lines.shared.clock.now();
        let since = order.queued.and_then(|queued| queued.until).unwrap_or(order.updated_at);
        matches!(code, DenialCode::BalanceUnknown | DenialCode::NoPrice)
            && (now - since).num_seconds() < PASSING_S
    }

    /// A person changes an order that waits; it is checked again when it goes out.
    pub(super) async fn amend(
        &mut self,
        id: ClientOrderId,
        change: Change,
        done: RpcReplyPort<bool>,
    ) -> Result<(), ActorProcessingErr> {
        let waits = self.book.order(id).is_some_and(|order| {
            order.status == OrderStatus::Queued
                && order.queued.is_some_and(|queued| queued.cause != QueueCause::Room)
                && !self.watch.rechecking.contains(&id)
        });
        if waits {
            let reason = "changed by the user".to_owned();
            let Change { quantity, kind } = change;
            self.record(vec![moved(id, OrderStep::Amended { quantity, kind, reason })]).await?;
        }
        if done.send(waits).is_err() {
            tracing::debug!("nobody waited for the change of an order");
        }
        Ok(())
    }

    /// Returns whether an exit must wait for protective orders that hold what it is to sell.
    pub(super) fn lacks_room(&self, ticket: &Ticket) -> bool {
        if !ticket.reduces {
            return false;
        }
        let key = (ticket.connection, ticket.symbol);
        let net = self.net(key);
        // What it was meant to leave may be gone since it was judged, or turned round: then there is no room at all.
        let left = if exit_side(net) == ticket.side { net.size() } else { Quantity::ZERO };
        let exits = self.book.exits(key, net);
        let ahead = live(&exits) + waiting(&exits) + self.book.about_to_take(key, ticket.side);
        ticket.quantity > left.less(ahead)
    }
}
