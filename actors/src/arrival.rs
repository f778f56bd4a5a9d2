//! A signal on its way through the actors, and the answers its sender may get.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use ractor::ActorRef;

use crate::domain::account::Obstacle;
use crate::domain::event::{Caller, Event, Fact};
use crate::domain::ids::{SignalId, SourceId, UserId};
use crate::domain::signal::{DeliveryKey, Instruction, Origin, Signal};
use crate::domain::stages::Stamp;
use crate::engine::Shared;
use crate::ports::journal::{CommitError, Journal};
use crate::router::RouterMsg;

/// A delivery that was read, before anything is recorded.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// From which source.
    pub source: SourceId,
    /// Whose source that is.
    pub owner: UserId,
    /// By which door.
    pub origin: Origin,
    /// What it says.
    pub instruction: Instruction,
    /// What recognises a repeat.
    pub key: DeliveryKey,
    /// When its last byte was read.
    pub received_at: DateTime<Utc>,
    /// The same on the monotonic time line.
    pub received: Stamp,
    /// The body, shortened, secrets masked.
    pub excerpt: String,
    /// Who sent it.
    pub caller: Caller,
}

/// What a sender is told of an accepted delivery. It is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The signal it is.
    pub signal: SignalId,
    /// Whether the same delivery had come before: then nothing was done now.
    pub duplicate: bool,
}

/// Why a delivery, or any command, was not taken. Sending it again later is safe in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The engine is not ready yet.
    #[error("the engine is starting; nothing was done; send it again in a moment")]
    Starting,
    /// The engine is stopping.
    #[error("the engine is stopping; nothing was done; send it again in a moment")]
    Draining,
    /// Too much is under way for this user.
    #[error("too many signals are under way for this account; nothing was done; slow down and send it again")]
    UserBusy,
    /// Too much is under way altogether.
    #[error("the engine is at its limit; nothing was done; send it again in a moment")]
    Overloaded,
    /// The disk is full.
    #[error(
        "the log's disk is full, so nothing can be recorded and nothing was done; free space and send it again"
    )]
    DiskFull,
    /// The index cannot be read.
    #[error("the index cannot be read at present; nothing was done; send it again in a moment")]
    Unavailable,
    /// Losses stopped trading: that is not the person's to end.
    #[error(
        "a loss limit stopped trading; nothing was changed; it ends by itself, or an operator lifts it after a review"
    )]
    HaltedByRules,
    /// It may not be, as the account is.
    #[error(transparent)]
    Obstacle(#[from] Obstacle),
    /// The answer did not come: whether it was taken is not known, but the same delivery is never executed twice.
    #[error("the engine did not answer in time; send the same delivery again: it is never executed twice")]
    Unanswered,
}

/// A signal for one follower.
#[derive(Debug)]
pub struct Arrival {
    /// The signal.
    pub signal: Signal,
    /// When it was received, on the monotonic time line.
    pub received: Stamp,
    /// What is still to be recorded of it, in the same commit as its verdict.
    pub opening: Option<Opening>,
}

/// The part of a signal that only its first record holds.
#[derive(Debug)]
pub struct Opening {
    /// Whose source it came from.
    pub owner: UserId,
    /// For how many followers it is to be decided.
    pub recipients: u32,
    /// The body, shortened, secrets masked.
    pub excerpt: String,
    /// Who sent it.
    pub caller: Caller,
}

impl Arrival {
    /// Returns the fact that the signal was received, if it is not recorded yet.
    #[must_use]
    pub fn opening_fact(&self) -> Option<Fact> {
        self.opening.as_ref().map(|opening| opening.fact(&self.signal))
    }

    /// Returns the same signal as one that is recorded.
    #[must_use]
    pub fn recorded(&self) -> Arc<Self> {
        Arc::new(Self { signal: self.signal.clone(), received: self.received, opening: None })
    }
}

/// Records a signal whose verdict takes longer, so that its sender gets an answer in time.
///
/// `None`: the disk is full, and its sender is told that nothing was done. It must not be decided any more: the sender
/// may send it again, which would be another signal.
///
/// # Errors
/// When it is not known whether it was recorded: the log is asked when the signal comes again.
pub(crate) async fn acknowledge(
    arrival: Arc<Arrival>,
    shared: &Shared,
    router: &ActorRef<RouterMsg>,
) -> Result<Option<Arc<Arrival>>, CommitError> {
    let Some(opening) = &arrival.opening else { return Ok(Some(arrival)) };
    let id = arrival.signal.id;
    let (told, kept) = match shared.ledger.commit(vec![opening.fact(&arrival.signal)]).await {
        Ok(receipt) => (RouterMsg::Acknowledged(id, receipt.last), Some(arrival.recorded())),
        Err(CommitError::Full) => (RouterMsg::Settled(id, opening.owner, Err(Refused::DiskFull)), None),
        Err(error @ CommitError::Down(_)) => return Err(error),
    };
    if router.cast(told).is_err() {
        tracing::debug!("the router is restarting; it resumes from the log");
    }
    Ok(kept)
}

impl Opening {
    /// Words the fact that `signal` was received.
    #[must_use]
    pub fn fact(&self, signal: &Signal) -> Fact {
        let event = Event::SignalReceived {
            signal: signal.clone(),
            recipients: self.recipients,
            excerpt: self.excerpt.clone(),
        };
        Fact::by(Some(self.owner), event, &self.caller)
    }
}
