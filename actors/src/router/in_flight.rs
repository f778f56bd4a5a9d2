//! The signals under way and the deliveries seen lately.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use ractor::RpcReplyPort;

use super::answer;
use crate::arrival::{Arrival, Delivered, Refused};
use crate::domain::ids::{SignalId, SourceId, UserId};
use crate::domain::signal::DeliveryKey;

pub(super) type Reply = RpcReplyPort<Result<Delivered, Refused>>;

/// One signal under way.
#[derive(Debug)]
pub(super) struct InFlight {
    arrival: Arc<Arrival>,
    /// Who waits for the answer; the first is the sender, the others sent repeats.
    waiting: Vec<Reply>,
    /// Whether the signal is durable.
    durable: bool,
    to_dispatch: VecDeque<UserId>,
    unsettled: HashSet<UserId>,
    last_seq: u64,
}

impl InFlight {
    /// A signal for its owner alone: recorded together with the verdict.
    pub(super) fn single(arrival: Arc<Arrival>, user: UserId, reply: Reply) -> Self {
        let mut flight = Self::resumed(arrival);
        flight.durable = false;
        flight.waiting.push(reply);
        flight.unsettled.insert(user);
        flight
    }

    /// A signal for many: recorded first.
    pub(super) fn fan_out(arrival: Arc<Arrival>, reply: Reply) -> Self {
        let mut flight = Self::resumed(arrival);
        flight.durable = false;
        flight.waiting.push(reply);
        flight
    }

    /// A signal that is recorded already.
    pub(super) fn resumed(arrival: Arc<Arrival>) -> Self {
        Self {
            arrival,
            waiting: Vec::new(),
            durable: true,
            to_dispatch: VecDeque::new(),
            unsettled: HashSet::new(),
            last_seq: 0,
        }
    }
}

/// All signals under way, and all deliveries the index may not know yet.
#[derive(Debug, Default)]
pub(super) struct Table {
    flights: HashMap<SignalId, InFlight>,
    seen: HashMap<(SourceId, DeliveryKey), (SignalId, DateTime<Utc>)>,
    finished: VecDeque<(DateTime<Utc>, u64, SourceId, DeliveryKey)>,
}

impl Table {
    pub(super) fn len(&self) -> usize {
        self.flights.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    pub(super) fn contains(&self, signal: SignalId) -> bool {
        self.flights.contains_key(&signal)
    }

    pub(super) fn arrival(&self, signal: SignalId) -> Option<Arc<Arrival>> {
        self.flights.get(&signal).map(|flight| Arc::clone(&flight.arrival))
    }

    /// Returns the signal that a delivery repeats.
    pub(super) fn repeat(&self, source: SourceId, key: DeliveryKey, at: DateTime<Utc>) -> Option<SignalId> {
        self.seen.get(&(source, key)).filter(|(_, first)| key.repeats(*first, at)).map(|(signal, _)| *signal)
    }

    /// Answers a repeat: at once when the signal is durable, else together with the first delivery.
    pub(super) fn join(&mut self, signal: SignalId, reply: Reply) {
        match self.flights.get_mut(&signal) {
            Some(flight) if !flight.durable => flight.waiting.push(reply),
            Some(_) | None => answer(reply, Ok(Delivered { signal, duplicate: true })),
        }
    }

    pub(super) fn begin(&mut self, flight: InFlight) {
        let signal = &flight.arrival.signal;
        self.seen.insert((signal.source, signal.delivery), (signal.id, signal.received_at));
        self.flights.insert(signal.id, flight);
    }

    /// Names the followers whose verdicts are to come.
    pub(super) fn expect(&mut self, signal: SignalId, followers: Vec<UserId>) {
        if let Some(flight) = self.flights.get_mut(&signal) {
            flight.unsettled = followers.iter().copied().collect();
            flight.to_dispatch = followers.into();
        }
        if self.flights.get(&signal).is_some_and(|flight| flight.unsettled.is_empty()) {
            self.finish(signal);
        }
    }

    /// Returns the next followers and whether there are more.
    pub(super) fn next_chunk(
        &mut self,
        signal: SignalId,
        size: usize,
    ) -> Option<(Arc<Arrival>, Vec<UserId>, bool)> {
        let flight = self.flights.get_mut(&signal)?;
        let count = flight.to_dispatch.len().min(size);
        let chunk = flight.to_dispatch.drain(..count).collect();
        Some((Arc::clone(&flight.arrival), chunk, !flight.to_dispatch.is_empty()))
    }

    /// The signal is durable up to the record given: all who wait are told. Or it was refused: it is forgotten.
    pub(super) fn acknowledge(&mut self, signal: SignalId, seq: u64) {
        let Some(flight) = self.flights.get_mut(&signal) else { return };
        flight.durable = true;
        flight.last_seq = flight.last_seq.max(seq);
        for (at, reply) in flight.waiting.drain(..).enumerate() {
            answer(reply, Ok(Delivered { signal, duplicate: at > 0 }));
        }
    }

    /// A signal is recorded that is not decided yet: handed over again, it is not to be recorded again.
    pub(super) fn acknowledged_early(&mut self, signal: SignalId, seq: u64) {
        self.acknowledge(signal, seq);
        if let Some(flight) = self.flights.get_mut(&signal)
            && flight.arrival.opening.is_some()
        {
            flight.arrival = flight.arrival.recorded();
        }
    }

    /// One follower's verdict is durable, or was refused.
    pub(super) fn settle(&mut self, signal: SignalId, user: UserId, result: Result<u64, Refused>) {
        let Some(flight) = self.flights.get_mut(&signal) else { return };
        flight.unsettled.remove(&user);
        let finished = flight.unsettled.is_empty() && flight.to_dispatch.is_empty();
        match result {
            Ok(seq) => self.acknowledge(signal, seq),
            // A durable signal stays: its undecided followers are resumed from the log.
            Err(refused) if !flight.durable => self.abandon(signal, refused),
            Err(refused) => {
                tracing::error!(%signal, user.id = %user, %refused, "a follower could not be decided")
            }
        }
        if finished {
            self.finish(signal);
        }
    }

    /// Nothing was recorded: the same delivery may come again as new.
    pub(super) fn abandon(&mut self, signal: SignalId, refused: Refused) {
        let Some(flight) = self.flights.remove(&signal) else { return };
        self.seen.remove(&(flight.arrival.signal.source, flight.arrival.signal.delivery));
        for reply in flight.waiting {
            answer(reply, Err(refused));
        }
    }

    /// Every follower is decided.
    pub(super) fn finish(&mut self, signal: SignalId) {
        let Some(flight) = self.flights.remove(&signal) else { return };
        let told = &flight.arrival.signal;
        self.finished.push_back((told.received_at, flight.last_seq, told.source, told.delivery));
    }

    /// Forgets deliveries that the index knows by now.
    ///
    /// Kept for ten seconds more: an edge that looked in the index just too early finds the repeat here.
    pub(super) fn forget_old(&mut self, now: DateTime<Utc>, applied: u64) {
        while let Some((at, seq, source, key)) = self.finished.front().copied() {
            if now - at < TimeDelta::seconds(10) || seq > applied {
                return;
            }
            self.finished.pop_front();
            if self.seen.get(&(source, key)).is_some_and(|(_, first)| *first == at) {
                self.seen.remove(&(source, key));
            }
        }
    }
}
