//! Changes of what protects a position: asked for by a person, or told by a signal.

use std::sync::Arc;
use std::time::Duration;

use ractor::{ActorProcessingErr, ActorRef, RpcReplyPort};

use super::{ExecutionMsg, ExecutionState, Key};
use crate::arrival::{Arrival, Refused};
use crate::domain::event::{Event, Fact};
use crate::domain::protection::{Held, Protection, ProtectionChange, Unfit};
use crate::domain::risk::{Denial, DenialCode};
use crate::domain::routing::route;
use crate::domain::signal::Signal;
use crate::fault;
use crate::ports::journal::{CommitError, Journal};

/// How soon a change is tried again while the entry that it is meant for is on its way.
const AGAIN: Duration = Duration::from_millis(250);

impl ExecutionState {
    /// A person changes what protects a position; the answer follows once that is recorded.
    pub(super) async fn protect(
        &mut self,
        key: Key,
        change: &ProtectionChange,
        reply: RpcReplyPort<Result<(), Unfit>>,
    ) -> Result<(), ActorProcessingErr> {
        let changed = match self.changed(key, change) {
            Ok(next) => {
                self.set_protection(key, Some(next), "changed by the user".to_owned()).await?;
                Ok(())
            }
            Err(unfit) => Err(unfit),
        };
        if reply.send(changed).is_err() {
            tracing::debug!("nobody waited for the change of a protection");
        }
        Ok(())
    }

    fn changed(&self, key: Key, change: &ProtectionChange) -> Result<Protection, Unfit> {
        let user = self.book.user();
        let position = user.position(key.0, key.1).ok_or(Unfit::NoPosition)?;
        let market = self.connections.get(&key.0).map(|account| &account.market);
        change.applied_to(Held {
            position,
            protection: user.protection(key.0, key.1),
            tick: market.and_then(|market| Some(market.instrument(key.1)?.tick)),
            price: market.and_then(|market| Some(market.quote(key.1)?.price)),
        })
    }

    /// Carries a signal out that changes what protects a position, exactly once: the change and that the signal is
    /// decided are one commit.
    pub(super) async fn modify(
        &mut self,
        me: &ActorRef<ExecutionMsg>,
        arrival: Arc<Arrival>,
        again: bool,
    ) -> Result<(), ActorProcessingErr> {
        fault::point("execution.modify");
        let (signal, user, views) = (&arrival.signal, self.book.user(), &self.lines.shared.views);
        let symbol = signal.instruction.symbol;
        let place = route(user, &signal.instruction).map(|account| (account.id, symbol));
        if again && views.is_decided(signal.id, user.id)? {
            self.settle(&arrival, Ok(views.progress().committed()));
            return Ok(());
        }
        let changed = place.and_then(|key| Ok((key.0, self.change_of(key, signal)?)));
        match changed {
            Ok((connection, next)) => {
                let detail = next.to_string();
                let reason = "changed by a signal".to_owned();
                let changed = Event::ProtectionChanged { connection, symbol, protection: Some(next), reason };
                let applied = Event::SignalApplied { signal: signal.id, symbol, detail };
                self.decide(&arrival, vec![changed, applied]).await
            }
            Err(_) if self.is_early(signal) => {
                me.send_after(AGAIN, move || ExecutionMsg::Modify(arrival, again));
                Ok(())
            }
            Err(denial) => {
                let denied = Event::SignalDenied { signal: signal.id, symbol, denial };
                self.decide(&arrival, vec![denied]).await
            }
        }
    }

    fn change_of(&self, key: Key, signal: &Signal) -> Result<Protection, Denial> {
        if let Some(reason) = &self.book.user().suspended {
            return Err(Denial::suspended(reason));
        }
        let told = &signal.instruction;
        let targets = (!told.take_profits.is_empty()).then(|| told.take_profits.clone());
        let change = ProtectionChange { stop: told.stop_loss.map(Some), targets };
        self.changed(key, &change).map_err(|unfit| match unfit {
            Unfit::NoPosition => Denial::new(
                DenialCode::NoPosition,
                format!(
                    "No position in {} whose stop or targets could be changed. Nothing was changed.",
                    key.1
                ),
            ),
            Unfit::Closing | Unfit::Stop(_) | Unfit::Target(..) => {
                Denial::new(DenialCode::BadLevel, format!("{}: {unfit}.", key.1))
            }
        })
    }

    /// Returns whether the position may yet come: its entry was sent, and the signal is fresh.
    fn is_early(&self, signal: &Signal) -> bool {
        let user = self.book.user();
        let Ok(account) = route(user, &signal.instruction) else { return false };
        let key = (account.id, signal.instruction.symbol);
        let age_s = (self.lines.shared.clock.now() - signal.received_at).num_seconds();
        user.position(key.0, key.1).is_none()
            && self.book.is_growing(key)
            && age_s <= i64::from(user.limits.signal_max_age_s)
    }

    /// Commits what became of a signal, with the signal if it is not recorded yet, and applies it.
    async fn decide(&mut self, arrival: &Arrival, events: Vec<Event>) -> Result<(), ActorProcessingErr> {
        let events: Vec<_> = events.into_iter().map(Arc::new).collect();
        let facts = events.iter().map(|event| Fact::new(Some(self.lines.id), Arc::clone(event)));
        let facts = arrival.opening_fact().into_iter().chain(facts).collect();
        match self.lines.shared.ledger.commit(facts).await {
            Ok(receipt) => {
                fault::point("execution.modified");
                self.settle(arrival, Ok(receipt.last));
                for event in &events {
                    self.book.apply(event, receipt.at, None);
                    self.note(event);
                }
                self.tell(events);
                Ok(())
            }
            Err(CommitError::Full) => {
                self.settle(arrival, Err(Refused::DiskFull));
                Ok(())
            }
            // Whether it was recorded is asked of the log when the signal comes again.
            Err(error @ CommitError::Down(_)) => Err(error.into()),
        }
    }
}
