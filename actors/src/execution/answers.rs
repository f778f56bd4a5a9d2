//! What the broker says: answers, reports, look-ups, and the search for an order whose answer was lost.

use std::time::Duration;

use chrono::TimeDelta;
use ractor::{ActorProcessingErr, ActorRef};

use super::{Answer, ExecutionMsg, ExecutionState};
use crate::broker_connection::ConnectionMsg;
use crate::domain::event::Event;
use crate::domain::execution::life::{self, Before, Circumstances, Next, Unanswered};
use crate::domain::execution::{Search, protected, reported};
use crate::domain::ids::ClientOrderId;
use crate::domain::money::Price;
use crate::domain::order::{OrderStatus, OrderStep};
use crate::domain::report::{OrderReport, ReportedState};
use crate::domain::stages::Stages;
use crate::fault;
use crate::ports::broker::{BrokerError, IdScope, Placed};
use crate::risk::RiskMsg;

/// A pause that cannot be told is this one.
const SOON: Duration = Duration::from_secs(1);

impl ExecutionState {
    pub(super) async fn answered(
        &mut self,
        me: &ActorRef<ExecutionMsg>,
        answer: Answer,
    ) -> Result<(), ActorProcessingErr> {
        fault::point("execution.answered");
        self.sent.remove(&answer.order);
        let Answer { order, sent, acknowledged, result } = answer;
        let committed = self.book.committed(order);
        let stages =
            Stages { committed, sent: Some(sent), acknowledged: Some(acknowledged), ..Stages::default() };
        match result {
            Ok(report) => {
                self.attempts.remove(&order);
                self.report(&report, stages).await?;
                self.pursue_cancel(order);
                Ok(())
            }
            Err(error) => {
                let Some(known) = self.book.order(order) else { return Ok(()) };
                let failures = self.attempts.get(&order).copied().unwrap_or_default();
                let taken =
                    if let BrokerError::Taken(refusal) = &error { Some(refusal.clone()) } else { None };
                let (answer, failures_now) = match error {
                    BrokerError::NotReceived { code, retry_after } => {
                        let retry_after = TimeDelta::from_std(retry_after).unwrap_or(TimeDelta::MAX);
                        (Unanswered::NotReceived { code, retry_after }, Some(failures.saturating_add(1)))
                    }
                    BrokerError::HeldBack { wait, pace } => {
                        let delta = |time| TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
                        let (wait, pace) = (delta(wait), delta(pace));
                        (Unanswered::HeldBack { wait, pace }, Some(failures))
                    }
                    BrokerError::Unknown(reason) => (Unanswered::Lost(reason), Some(failures)),
                    BrokerError::Taken(refusal) => (Unanswered::Taken(refusal), Some(failures)),
                    BrokerError::Refused(refusal) => (Unanswered::Refused(refusal), None),
                };
                let now = self.lines.shared.clock.now();
                let (waiting, ahead) = self.book.deferred_beside(known);
                let max_age_s = self.book.user().limits.signal_max_age_s;
                let before = Before { now, failures, waiting, ahead, max_age_s };
                let next = life::unanswered(known, &before, answer);
                match failures_now {
                    Some(count) if count > 0 => self.attempts.insert(order, count),
                    Some(_) | None => self.attempts.remove(&order),
                };
                if matches!(next, Next::LookUp(..)) {
                    let search = self.searches.entry(order).or_insert_with(|| Search::new(now));
                    if let Some(refusal) = taken {
                        search.says_taken(refusal);
                    }
                }
                self.proceed(me, order, next, stages).await
            }
        }
    }

    /// Carries out what was decided about an order that the broker has not confirmed.
    async fn proceed(
        &mut self,
        me: &ActorRef<ExecutionMsg>,
        id: ClientOrderId,
        next: Next,
        stages: Stages,
    ) -> Result<(), ActorProcessingErr> {
        match next {
            Next::Nothing => Ok(()),
            Next::Step(step) => {
                self.attempts.remove(&id);
                self.searches.remove(&id);
                self.step(id, step, stages).await
            }
            Next::LookUp(step, pause) => {
                if let Some(step) = step {
                    self.step(id, step, stages).await?;
                }
                me.send_after(pause.to_std().unwrap_or(SOON), move || ExecutionMsg::LookUp(id));
                Ok(())
            }
            Next::TryAgain(step, pause) => {
                if let Some(step) = step {
                    self.step(id, step, stages).await?;
                }
                me.send_after(pause.to_std().unwrap_or(SOON), move || ExecutionMsg::SendAgain(id));
                Ok(())
            }
            Next::Send => {
                self.searches.remove(&id);
                self.send_once_more(id).await
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
        let promises =
            self.connections.get(&order.ticket.connection).map(|account| account.broker.promises());
        let seen = Circumstances {
            now: self.lines.shared.clock.now(),
            repeats_are_safe: promises.is_some_and(|promises| promises.ids == IdScope::Forever),
            proof: promises.is_some_and(|promises| promises.shows_orders_at_once),
            max_age_s: self.book.user().limits.signal_max_age_s,
        };
        let search = self.searches.entry(id).or_insert_with(|| Search::new(order.created_at));
        let next = life::not_found(order, search, result.is_ok(), &seen);
        self.proceed(me, id, next, Stages::default()).await
    }

    /// A pause is over after which an order may be sent again.
    pub(super) async fn send_again(
        &mut self,
        me: &ActorRef<ExecutionMsg>,
        id: ClientOrderId,
    ) -> Result<(), ActorProcessingErr> {
        let Some(order) = self.book.order(id) else { return Ok(()) };
        let next = life::tried_again(order);
        self.proceed(me, id, next, Stages::default()).await
    }

    /// Sends an order that the broker does not have, unless trading was stopped meanwhile.
    async fn send_once_more(&mut self, id: ClientOrderId) -> Result<(), ActorProcessingErr> {
        let Some(order) = self.book.order(id) else { return Ok(()) };
        let ticket = order.ticket.clone();
        let was_sent = order.status == OrderStatus::Unknown || self.attempts.contains_key(&id);
        let denial = if was_sent {
            let attempt = self.attempts.get(&id).copied().unwrap_or(1).saturating_add(1);
            let step = OrderStep::Retried { attempt, reason: "the broker does not have it".to_owned() };
            let event = Event::OrderMoved { order: id, step, stages: Stages::default() };
            self.record_passing(&ticket, vec![event]).await?
        } else {
            self.pass(&ticket, |halted| halted)
        };
        match denial {
            None => {
                self.send(ticket);
                Ok(())
            }
            Some(denial) => self.step(id, life::expired(&denial.message), Stages::default()).await,
        }
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
            self.tell_broker(order.ticket.connection, ConnectionMsg::Cancel(Box::new(Placed::of(order))));
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
        if self.book.order(id).is_none() {
            let views = &self.lines.shared.views;
            // As it is by the log: a report that repeats what an older row lacks would count twice.
            views.settled().await?;
            if !self.book.recall(id, views)? {
                tracing::warn!(order = %id, "the broker tells of an order that is not ours");
                return Ok(());
            }
        }
        let Some(order) = self.book.order(id) else { return Ok(()) };
        let ticket = &order.ticket;
        let held = self.book.user().position(ticket.connection, ticket.symbol);
        let balance = self.book.balance(ticket.connection);
        let now = self.lines.shared.clock.now();
        let mut stages = stages;
        // News can overtake the answer, and a look-up takes its place.
        if order.broker_order.is_none() && stages.acknowledged.is_none() {
            stages.committed = self.book.committed(id);
            stages.sent = self.sent.remove(&id);
            stages.acknowledged = Some(self.lines.shared.clock.stamp());
        }
        let executes = report.done.is_some_and(|done| done.quantity > order.cum_qty);
        if executes || !report.fills.is_empty() {
            stages.filled = stages.acknowledged.or_else(|| Some(self.lines.shared.clock.stamp()));
        }
        let connection = ticket.connection;
        let ended = order.status.is_final() && order.status != OrderStatus::Filled;
        let mut events = reported(order, held, balance, report, stages, now);
        // Not the connection's: a fill may be told before that has announced itself, and gets its stop all the same.
        let market = self.lines.shared.brokers.market(&order.broker);
        let tick =
            market.and_then(|market| Some(market.instrument(ticket.symbol)?.tick)).unwrap_or(Price::CENT);
        events.extend(protected(order, self.book.user(), tick, &events));
        if ended && report.state == ReportedState::Open {
            tracing::warn!(order = %id, "the broker works on an order that had ended; it is cancelled");
            let placed = Placed { known_as: Some(report.broker_order.clone()), ..Placed::of(order) };
            self.tell_broker(connection, ConnectionMsg::Cancel(Box::new(placed)));
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
