//! What the broker says: answers, reports, look-ups, and the search for an order whose answer was lost.

use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef};

use super::{Answer, ExecutionMsg, ExecutionState};
use crate::broker_connection::ConnectionMsg;
use crate::domain::event::Event;
use crate::domain::execution::{Found, Search, protected, reported, resend_after};
use crate::domain::ids::ClientOrderId;
use crate::domain::order::{Order, OrderStatus, OrderStep};
use crate::domain::report::{OrderReport, ReportedState};
use crate::domain::stages::Stages;
use crate::fault;
use crate::ports::broker::{BrokerError, IdScope};
use crate::risk::RiskMsg;

impl ExecutionState {
    pub(super) async fn answered(
        &mut self,
        me: &ActorRef<ExecutionMsg>,
        answer: Answer,
    ) -> Result<(), ActorProcessingErr> {
        fault::point("execution.answered");
        let Answer { order, sent, acknowledged, result } = answer;
        let committed = self.book.committed(order);
        let mut stages =
            Stages { committed, sent: Some(sent), acknowledged: Some(acknowledged), ..Stages::default() };
        match result {
            Ok(report) => {
                self.attempts.remove(&order);
                if !report.fills.is_empty() {
                    stages.filled = Some(acknowledged);
                }
                self.report(&report, stages).await?;
                self.pursue_cancel(order);
                Ok(())
            }
            Err(BrokerError::NotReceived { .. }) if self.is_canceling(order) => self.never_sent(order).await,
            Err(BrokerError::NotReceived { retry_after }) => {
                let attempts = self.attempts.entry(order).or_default();
                let pause = resend_after(*attempts).and_then(|pause| pause.to_std().ok());
                *attempts += 1;
                let Some(pause) = pause else {
                    self.attempts.remove(&order);
                    let broker = self.book.order(order).map_or("the broker", |order| order.broker.as_str());
                    let reason = format!("{broker} temporarily unavailable. Order not submitted.");
                    return self.step(order, OrderStep::Failed { reason }, stages).await;
                };
                me.send_after(pause.max(retry_after), move || ExecutionMsg::SendAgain(order));
                Ok(())
            }
            Err(BrokerError::Refused(refusal)) => {
                self.attempts.remove(&order);
                let (code, reason) = (refusal.code.as_str().to_owned(), refusal.message);
                self.step(order, OrderStep::Rejected { code, reason }, stages).await
            }
            Err(BrokerError::Unknown(reason)) => {
                self.step(order, OrderStep::OutcomeLost { reason }, stages).await?;
                self.searches.entry(order).or_insert_with(|| Search::new(self.lines.shared.clock.now()));
                me.send_after(Duration::from_secs(1), move || ExecutionMsg::LookUp(order));
                Ok(())
            }
        }
    }

    pub(super) async fn looked_up(
        &mut self,
        me: &ActorRef<ExecutionMsg>,
        id: ClientOrderId,
        result: Result<Option<Box<OrderReport>>, BrokerError>,
    ) -> Result<(), ActorProcessingErr> {
        fault::point("execution.looked_up");
        let Some(order) = self.book.order(id) else { return Ok(()) };
        if let Ok(Some(report)) = result {
            self.searches.remove(&id);
            self.report(&report, Stages::default()).await?;
            self.pursue_cancel(id);
            return Ok(());
        }
        if !matches!(order.status, OrderStatus::Pending | OrderStatus::Unknown | OrderStatus::PendingCancel) {
            return Ok(());
        }
        let now = self.lines.shared.clock.now();
        let account = self.connections.get(&order.ticket.connection);
        let proof = account.is_some_and(|account| account.broker.promises().shows_orders_at_once);
        let search = self.searches.entry(id).or_insert_with(|| Search::new(order.created_at));
        match search.unseen(result.is_ok(), proof, now) {
            Found::AskAgain(pause) => {
                let pause = pause.to_std().unwrap_or(Duration::from_secs(1));
                me.send_after(pause, move || ExecutionMsg::LookUp(id));
                Ok(())
            }
            Found::NeverSeen => {
                self.searches.remove(&id);
                self.never_seen(id).await
            }
        }
    }

    /// The broker never had the order: it is sent while its signal is fresh, else it expires (`DESIGN` 4.4).
    async fn never_seen(&mut self, id: ClientOrderId) -> Result<(), ActorProcessingErr> {
        if self.is_canceling(id) {
            return self.never_sent(id).await;
        }
        let Some(order) = self.book.order(id) else { return Ok(()) };
        let account = self.connections.get(&order.ticket.connection);
        let ids = account.map_or(IdScope::Absent, |account| account.broker.promises().ids);
        if order.status == OrderStatus::Unknown && ids != IdScope::Forever {
            let why = "this broker does not tell a repeat from a second order; look at the account there";
            return self.expire(id, why).await;
        }
        let age = self.lines.shared.clock.now() - order.created_at;
        let limit_s = i64::from(self.book.user().limits.signal_max_age_s);
        if age.num_seconds() <= limit_s {
            return self.send_again(id).await;
        }
        self.expire(id, &format!("its signal is {} s old", age.num_seconds())).await
    }

    /// Sends an order that the broker does not have, unless it is no longer wanted.
    pub(super) async fn send_again(&mut self, id: ClientOrderId) -> Result<(), ActorProcessingErr> {
        if self.is_canceling(id) {
            return self.never_sent(id).await;
        }
        let unsent = |order: &&Order| matches!(order.status, OrderStatus::Pending | OrderStatus::Unknown);
        let Some(order) = self.book.order(id).filter(unsent) else { return Ok(()) };
        let ticket = order.ticket.clone();
        let was_sent = order.status == OrderStatus::Unknown || self.attempts.contains_key(&id);
        match self.pass(&ticket, |halted| halted) {
            Some(denial) => self.expire(id, &denial.message).await,
            None => {
                if was_sent {
                    let attempt = self.attempts.get(&id).copied().unwrap_or(1).saturating_add(1);
                    let reason = "the broker does not have it".to_owned();
                    self.step(id, OrderStep::Retried { attempt, reason }, Stages::default()).await?;
                }
                self.send(ticket);
                Ok(())
            }
        }
    }

    async fn expire(&mut self, id: ClientOrderId, why: &str) -> Result<(), ActorProcessingErr> {
        let reason = format!("The broker never had this order, and it was not sent again: {why}.");
        self.step(id, OrderStep::Expired { reason }, Stages::default()).await
    }

    async fn never_sent(&mut self, id: ClientOrderId) -> Result<(), ActorProcessingErr> {
        let reason = "Cancelled before the broker had it.".to_owned();
        self.step(id, OrderStep::Canceled { reason }, Stages::default()).await
    }

    pub(super) async fn cancel(
        &mut self,
        id: ClientOrderId,
        reason: String,
    ) -> Result<(), ActorProcessingErr> {
        let open = self
            .book
            .order(id)
            .filter(|order| !order.status.is_final() && order.status != OrderStatus::PendingCancel);
        let Some(order) = open else { return Ok(()) };
        fault::point("execution.cancel");
        if order.status == OrderStatus::Queued {
            return self.step(id, OrderStep::Canceled { reason }, Stages::default()).await;
        }
        let answered = !matches!(order.status, OrderStatus::Pending | OrderStatus::Unknown);
        self.step(id, OrderStep::CancelRequested { reason }, Stages::default()).await?;
        // A cancel must not overtake its order: until the broker has answered for that, the cancel waits.
        if answered {
            self.pursue_cancel(id);
        }
        Ok(())
    }

    fn is_canceling(&self, id: ClientOrderId) -> bool {
        self.book.order(id).is_some_and(|order| order.status == OrderStatus::PendingCancel)
    }

    /// Asks the broker to cancel an order that it has and that is to be cancelled.
    fn pursue_cancel(&self, id: ClientOrderId) {
        if self.is_canceling(id)
            && let Some(order) = self.book.order(id)
        {
            let known_as = order.broker_order.clone();
            self.tell_broker(order.ticket.connection, ConnectionMsg::Cancel(id, known_as));
        }
    }

    /// Takes in what a broker says of an order.
    pub(super) async fn report(
        &mut self,
        report: &OrderReport,
        stages: Stages,
    ) -> Result<(), ActorProcessingErr> {
        fault::point("execution.report");
        let id = report.order;
        if self.book.order(id).is_none() && !self.book.recall(id, &self.lines.shared.views)? {
            tracing::warn!(order = %id, "the broker tells of an order that is not ours");
            return Ok(());
        }
        let Some(order) = self.book.order(id) else { return Ok(()) };
        let ticket = &order.ticket;
        let held = self.book.user().position(ticket.connection, ticket.symbol);
        let balance = self.book.balance(ticket.connection);
        let now = self.lines.shared.clock.now();
        let mut stages = stages;
        if stages.filled.is_none() && !report.fills.is_empty() {
            stages.filled = Some(self.lines.shared.clock.stamp());
        }
        let connection = ticket.connection;
        let ended = order.status.is_final() && order.status != OrderStatus::Filled;
        let mut events = reported(order, held, balance, report, stages, now);
        let market = self.connections.get(&connection).map(|account| &account.market);
        if let Some(instrument) = market.and_then(|market| market.instrument(ticket.symbol)) {
            events.extend(protected(order, self.book.user(), &instrument, &events));
        }
        if ended && report.state == ReportedState::Open {
            tracing::warn!(order = %id, "the broker works on an order that had ended; it is cancelled");
            let known_as = Some(report.broker_order.clone());
            self.tell_broker(connection, ConnectionMsg::Cancel(id, known_as));
        }
        // A balance that is recorded reaches Risk with the other facts.
        let recorded = events.iter().any(|event| matches!(event, Event::BalanceSeen { .. }));
        self.record(events).await?;
        if let Some(balance) = report.balance.filter(|_| !recorded) {
            self.lines.risk.tell(RiskMsg::Balance(connection, balance));
        }
        Ok(())
    }
}
