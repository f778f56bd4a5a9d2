//! What the day's loss calls for: trading stops, and every position is to be left, in one commit.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorProcessingErr;
use uuid::Uuid;

use super::ExecutionState;
use crate::domain::event::{Event, Fact, HaltCause, Scope};
use crate::domain::ids::{ConnectionId, SignalId};
use crate::domain::portfolio::Balance;
use crate::domain::protection::Protection;
use crate::kill_switch::Stop;
use crate::ports::journal::{CommitError, Journal};

/// Who the log says stopped trading when losses did.
const BY: &str = "risk";
/// Who the log says resumed trading when a halt's time was over.
const SCHEDULE: &str = "schedule";

/// What Risk ruled on a day.
#[derive(Debug)]
pub enum Ruling {
    /// The loss has come to a limit: trading stops, and positions are left.
    Halt(Breach),
    /// Positions that came after the halt are left too, for the same reason.
    Leave(String),
    /// The halt's time is over.
    Resume,
    /// The first balance of a day.
    Opened(ConnectionId, Balance),
}

/// A loss that came to a limit.
#[derive(Debug)]
pub struct Breach {
    /// To which.
    pub cause: HaltCause,
    /// What the user reads.
    pub reason: String,
    /// When trading goes on by itself.
    pub until: Option<chrono::DateTime<chrono::Utc>>,
}

impl ExecutionState {
    pub(super) async fn ruled(&mut self, ruling: Ruling) -> Result<(), ActorProcessingErr> {
        match ruling {
            Ruling::Halt(breach) => self.halt(breach).await,
            Ruling::Leave(reason) => self.record(self.leaves(&reason)).await,
            Ruling::Resume => self.resume().await,
            // A session that was just opened told it already.
            Ruling::Opened(connection, balance) if self.book.balance(connection) == Some(&balance) => Ok(()),
            Ruling::Opened(connection, balance) => {
                self.record(vec![Event::BalanceSeen { connection, balance }]).await
            }
        }
    }

    /// Stops trading, says of every position that it is to be left, and cancels open entries.
    async fn halt(&mut self, breach: Breach) -> Result<(), ActorProcessingErr> {
        let Breach { cause, reason, until } = breach;
        tracing::error!(user.id = %self.lines.id, ?cause, reason, "trading is stopped and positions are left");
        let halted = Event::TradingHalted {
            scope: Scope::User,
            by: BY.to_owned(),
            reason: reason.clone(),
            cause,
            until,
        };
        let events: Vec<_> = std::iter::once(halted).chain(self.leaves(&reason)).map(Arc::new).collect();
        let lines = Arc::clone(&self.lines);
        let commit = || {
            let facts = events.iter().map(|event| Fact::new(Some(lines.id), Arc::clone(event)));
            lines.shared.ledger.commit(facts.collect())
        };
        let mut committed = lines.halt.stop_by_rules(Stop { cause, reason: reason.clone() }, commit).await;
        // Nothing passes meanwhile, and nothing else is decided for this user until there is room.
        while matches!(committed, Err(CommitError::Full)) {
            tokio::time::sleep(Duration::from_millis(200)).await;
            committed = commit().await;
        }
        let receipt = committed?;
        if cause == HaltCause::CircuitBreaker {
            metrics::counter!("trade_executor_circuit_breakers_total").increment(1);
        }
        for event in &events {
            self.book.apply(event, receipt.at, None);
            self.note(event);
        }
        self.tell(events);
        for order in self.book.open_entries() {
            Box::pin(self.cancel(order, reason.clone())).await?;
        }
        Ok(())
    }

    /// Words that every position which is not left already is to be left now.
    fn leaves(&self, reason: &str) -> Vec<Event> {
        let user = self.book.user();
        let leave = |protection: Protection| Protection { leave: Some(reason.to_owned()), ..protection };
        let staying = user.positions.iter().filter_map(|held| {
            let known = user.protection(held.connection, held.symbol).cloned();
            let protection =
                known.unwrap_or_else(|| Protection::new(SignalId::new(Uuid::nil()), held.net.size()));
            protection.leave.is_none().then(|| (held, leave(protection)))
        });
        staying
            .map(|(held, protection)| Event::ProtectionChanged {
                connection: held.connection,
                symbol: held.symbol,
                protection: Some(protection),
                reason: reason.to_owned(),
            })
            .collect()
    }

    /// Ends a halt whose time is over, unless somebody did.
    async fn resume(&mut self) -> Result<(), ActorProcessingErr> {
        // The wish may be older than the halt that is in force now.
        let now = self.lines.shared.clock.now();
        if self.book.user().trading.until().is_none_or(|until| until > now) {
            return Ok(());
        }
        let lines = Arc::clone(&self.lines);
        let event = Arc::new(Event::TradingResumed { scope: Scope::User, by: SCHEDULE.to_owned() });
        let commit = || lines.shared.ledger.commit(vec![Fact::new(Some(lines.id), Arc::clone(&event))]);
        let Some((stop, queued)) = lines.halt.lift(commit) else { return Ok(()) };
        match queued.await {
            Ok(receipt) => {
                lines.halt.lifted(&stop);
                self.book.apply(&event, receipt.at, None);
                self.tell(vec![event]);
                Ok(())
            }
            // It stays stopped, and Risk asks again.
            Err(CommitError::Full) => Ok(()),
            Err(error @ CommitError::Down(_)) => Err(error.into()),
        }
    }
}
