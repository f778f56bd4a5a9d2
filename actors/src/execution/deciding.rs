//! Verdicts on signals: each is committed exactly once, before anything is done about it.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorProcessingErr;

use super::draft::Draft;
use super::queue::for_room;
use super::{ExecutionState, Verdict, count};
use crate::arrival::{Arrival, Refused};
use crate::domain::event::{Event, Fact};
use crate::domain::order::OrderStep;
use crate::domain::stages::Stages;
use crate::fault;
use crate::ports::journal::{CommitError, Journal, Receipt};
use crate::risk::RiskMsg;

impl ExecutionState {
    pub(super) async fn decided(
        &mut self,
        arrival: &Arrival,
        verdict: Verdict,
        again: bool,
    ) -> Result<(), ActorProcessingErr> {
        fault::point("execution.decided");
        let Verdict { outcome, wait, broker, mode, decided } = verdict;
        let (intent, denial) = match outcome {
            Ok(approved) => (approved.into_intent(), None),
            Err((denial, intent)) => (*intent, Some(denial)),
        };
        let id = intent.ticket.id;
        let views = &self.lines.shared.views;
        if self.book.knows(id) || (again && views.is_decided(arrival.signal.id, self.lines.id)?) {
            self.settle(arrival, Ok(views.progress().committed()));
            self.lines.risk.tell(RiskMsg::Release(id));
            return Ok(());
        }
        let stages = Stages { received: Some(arrival.received), decided: Some(decided), ..Stages::default() };
        let wait = wait.map(OrderStep::from).or_else(|| self.lacks_room(&intent.ticket).then(for_room));
        let waits = wait.is_some();
        let draft = Draft { intent, denial, wait, broker, mode, stages };
        if fault::is_off("commit_first") {
            self.settle(arrival, Ok(0));
            tokio::time::sleep(Duration::from_millis(200)).await;
            fault::point("execution.told_too_early");
        }
        let (events, receipt) = match self.commit_once(arrival, &draft).await {
            Ok(committed) => committed,
            Err(CommitError::Full) => {
                self.lines.risk.tell(RiskMsg::Release(id));
                self.settle(arrival, Err(Refused::DiskFull));
                return Ok(());
            }
            Err(error @ CommitError::Down(_)) => return Err(error.into()),
        };
        fault::point("execution.committed");
        let committed = self.lines.shared.clock.stamp();
        self.settle(arrival, Ok(receipt.last));
        let denied = events.iter().find_map(|event| {
            if let Event::OrderDenied { denial, .. } = &**event { Some(denial.code) } else { None }
        });
        count(arrival.signal.origin, denied);
        for event in &events {
            self.book.apply(event, receipt.at, Some(committed));
            self.note(event);
        }
        self.tell(events);
        if denied.is_none() && !waits {
            self.send(draft.intent.ticket);
        }
        Ok(())
    }

    /// Commits the verdict on a new order exactly once, even when the ledger fails on the way.
    ///
    /// After a lost answer the log itself is asked whether it holds the order, before anything is tried again.
    async fn commit_once(
        &self,
        arrival: &Arrival,
        draft: &Draft,
    ) -> Result<(Vec<Arc<Event>>, Receipt), CommitError> {
        let (shared, order) = (&self.lines.shared, draft.intent.ticket.id);
        for _ in 0..50 {
            let (events, commit) = self.pass(&draft.intent.ticket, |halted| {
                let events = draft.events(halted);
                let facts = events.iter().map(|event| Fact::new(Some(self.lines.id), Arc::clone(event)));
                let facts = arrival.opening_fact().into_iter().chain(facts).collect();
                (events, shared.ledger.commit(facts))
            });
            match commit.await {
                Ok(receipt) => return Ok((events, receipt)),
                Err(CommitError::Full) => return Err(CommitError::Full),
                Err(CommitError::Down(why)) => {
                    tracing::warn!(%order, why, "the ledger did not answer; asking the log")
                }
            }
            while shared.ledger.commit(Vec::new()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let settled = shared.views.settled().await.and_then(|()| shared.views.order(order));
            match settled {
                Ok(Some(found)) => {
                    let seq = found.history.first().map_or(0, |line| line.seq);
                    return Ok((events, Receipt { first: seq, last: seq, at: found.created_at }));
                }
                Ok(None) => {}
                Err(error) => return Err(CommitError::Down(error.to_string())),
            }
        }
        Err(CommitError::Down("the ledger failed again and again".to_owned()))
    }
}
