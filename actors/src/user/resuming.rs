//! Trading goes on: a person ends their own halt, an operator also what losses called for.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{State, refused};
use crate::arrival::Refused;
use crate::domain::event::{Caller, Event, Fact, Scope};
use crate::execution::ExecutionMsg;
use crate::ports::journal::Journal;
use crate::risk::RiskMsg;

impl State {
    /// Ends a person's own halt. What losses called for is not theirs to end.
    pub(super) async fn resume(&mut self, by: String, caller: Caller) -> Result<(), Refused> {
        let event = Arc::new(Event::TradingResumed { scope: Scope::User, by });
        let fact = Fact::by(Some(self.args.id), Arc::clone(&event), &caller);
        let resumed = self.family.kill_switch().resume(|| self.args.shared.ledger.commit(vec![fact]));
        let (ended, queued) = resumed.ok_or(Refused::HaltedByRules)?;
        let receipt = queued.await.map_err(refused)?;
        self.family.kill_switch().resumed(ended.as_ref());
        self.told(vec![event], receipt.at);
        Ok(())
    }

    /// Ends a suspension, and a halt that losses called for; a person's own halt goes on.
    pub(super) async fn lift(&mut self, by: String, caller: Caller) -> Result<(), Refused> {
        let resumed = Arc::new(Event::TradingResumed { scope: Scope::User, by });
        let suspended = self.phase.user().is_some_and(|user| user.suspended.is_some());
        let commit = |events: &[Arc<Event>]| {
            let facts = events.iter().map(|event| Fact::by(Some(self.args.id), Arc::clone(event), &caller));
            self.args.shared.ledger.commit(facts.collect())
        };
        let ended = Arc::new(Event::UserResumed);
        let both = if suspended { vec![ended, resumed] } else { vec![resumed] };
        let (events, receipt) = match self.family.kill_switch().lift(|| commit(&both)) {
            Some((stop, queued)) => {
                let receipt = queued.await.map_err(refused)?;
                self.family.kill_switch().lifted(&stop);
                (both, receipt)
            }
            None => {
                let events = vec![Arc::new(Event::UserResumed)];
                let receipt = commit(&events).await.map_err(refused)?;
                (events, receipt)
            }
        };
        self.told(events, receipt.at);
        Ok(())
    }

    /// Applies what was committed here, and tells the children.
    pub(super) fn told(&mut self, events: Vec<Arc<Event>>, at: DateTime<Utc>) {
        let events: Arc<[Arc<Event>]> = events.into();
        self.family.tell_risk(RiskMsg::Facts(Arc::clone(&events)));
        self.family.tell_execution(ExecutionMsg::Learned(Arc::clone(&events)));
        let Some(user) = self.phase.user() else { return };
        for event in &*events {
            user.apply(event, at);
        }
        self.family.tell_portfolio(&events);
    }
}
