//! What the log says, read from its files as an auditor does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use trade_actors::domain::event::Event;
use trade_actors::domain::ids::{ClientOrderId, SignalId};
use trade_actors::domain::money::Net;
use trade_actors::domain::order::{Fill, OrderStep};
use trade_actors::domain::record::Record;
use trade_actors::domain::signal::{Origin, Side};
use trade_executor::store::segments::SegmentReader;

/// Returns every record in the data directory.
pub(crate) fn records(data: &Path) -> Vec<Record> {
    let reader = SegmentReader::open(&data.join("log")).unwrap();
    reader.read(1).unwrap().map(Result::unwrap).collect()
}

/// Returns how many records have this action.
pub(crate) fn count(data: &Path, action: &str) -> usize {
    records(data).iter().filter(|record| record.statement.action == action).count()
}

/// What became of every signal, by the log alone.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// Signals, each with the number of its records.
    pub(crate) signals: BTreeMap<SignalId, usize>,
    /// Orders that were decided, by signal: approved ones, and denied ones.
    pub(crate) approved: BTreeMap<SignalId, Vec<ClientOrderId>>,
    pub(crate) denied: BTreeMap<SignalId, Vec<ClientOrderId>>,
    /// Orders that no signal asked for: stops, exits.
    pub(crate) own: BTreeSet<ClientOrderId>,
    /// Entries in the paper broker's book.
    pub(crate) booked: BTreeMap<ClientOrderId, usize>,
    /// Orders that the broker refused, or that ended before they could be sent.
    pub(crate) refused: BTreeSet<ClientOrderId>,
    /// Orders that wait for something, and were not sent yet.
    pub(crate) waiting: BTreeSet<ClientOrderId>,
    /// What the paper broker's book says is held, by owner and symbol.
    pub(crate) book: BTreeMap<(String, String), Net>,
    /// What our positions say is held, by owner and symbol.
    pub(crate) held: BTreeMap<(String, String), Net>,
}

impl Story {
    pub(crate) fn read(data: &Path) -> Self {
        let mut story = Self::default();
        let mut sides = BTreeMap::new();
        for record in records(data) {
            let owner = record.statement.user_id.unwrap_or_default();
            let event = Event::parse(record.statement.payload.as_deref().unwrap()).unwrap();
            story.take(owner, event, &mut sides);
        }
        story.book.retain(|_, net| !net.is_flat());
        story.held.retain(|_, net| !net.is_flat());
        story
    }

    fn take(&mut self, owner: String, event: Event, sides: &mut BTreeMap<ClientOrderId, (String, Side)>) {
        match event {
            Event::SignalReceived { signal, .. } => *self.signals.entry(signal.id).or_default() += 1,
            // What the engine does about a position of itself is no order of the signal.
            Event::OrderCreated { ticket, .. } if ticket.origin == Origin::Engine => {
                self.own.insert(ticket.id);
            }
            Event::OrderCreated { ticket, .. } => {
                self.approved.entry(ticket.signal).or_default().push(ticket.id)
            }
            Event::OrderDenied { ticket, .. } => {
                self.denied.entry(ticket.signal).or_default().push(ticket.id)
            }
            Event::OrderMoved { order, step, .. } => {
                use OrderStep as S;
                if matches!(step, S::Queued { .. }) {
                    self.waiting.insert(order);
                } else if !matches!(step, S::Amended { .. }) {
                    self.waiting.remove(&order);
                }
                let unsent = matches!(step, S::Canceled { .. }) && !self.booked.contains_key(&order);
                if unsent || matches!(step, S::Expired { .. } | S::Rejected { .. } | S::Failed { .. }) {
                    self.refused.insert(order);
                }
            }
            Event::PositionChanged { position, .. } => {
                self.held.insert((owner, position.symbol.to_string()), position.net);
            }
            Event::PaperBooked { order, symbol, side, fills, .. } => {
                *self.booked.entry(order).or_default() += 1;
                sides.insert(order, (symbol.to_string(), side));
                self.fill(owner, symbol.to_string(), side, &fills);
            }
            Event::PaperMoved { order, fills, .. } => {
                let (symbol, side) = sides[&order].clone();
                self.fill(owner, symbol, side, &fills);
            }
            _ => {}
        }
    }

    fn fill(&mut self, owner: String, symbol: String, side: Side, fills: &[Fill]) {
        let held = self.book.entry((owner, symbol)).or_insert(Net::new(0.into()));
        for fill in fills {
            let amount = fill.quantity.get();
            *held = *held + Net::new(if side == Side::Buy { amount } else { -amount });
        }
    }

    /// Asserts that no signal was lost or executed twice: `acknowledged` are those that a client was told of.
    #[track_caller]
    pub(crate) fn assert_nothing_lost_or_doubled<'a>(&self, acknowledged: impl IntoIterator<Item = &'a str>) {
        for id in acknowledged {
            let id: SignalId = id.parse().unwrap();
            assert_eq!(self.signals.get(&id), Some(&1), "the acknowledged signal {id} in the log");
            let decided = self.orders_of(id);
            assert_eq!(decided.len(), 1, "orders of the acknowledged signal {id}: {decided:?}");
        }
        for (signal, count) in &self.signals {
            assert_eq!(*count, 1, "records of signal {signal}");
            assert_eq!(self.orders_of(*signal).len(), 1, "orders of signal {signal}");
        }
        for (signal, orders) in self.approved.iter().chain(&self.denied) {
            assert!(self.signals.contains_key(signal), "the orders {orders:?} have no signal");
        }
        for order in self.approved.values().flatten() {
            let booked = self.booked.get(order).copied().unwrap_or_default();
            let allowed = match (self.refused.contains(order), self.waiting.contains(order)) {
                (_, true) => 0..=0,
                (true, false) => 0..=1,
                (false, false) => 1..=1,
            };
            assert!(
                allowed.contains(&booked),
                "{booked} entries of the approved order {order} in the broker's book"
            );
        }
        for order in self.denied.values().flatten() {
            assert!(!self.booked.contains_key(order), "the denied order {order} is in the broker's book");
        }
        let approved: Vec<_> = self.approved.values().flatten().collect();
        assert!(
            self.booked.keys().all(|order| approved.contains(&order) || self.own.contains(order)),
            "the broker has an order we do not know"
        );
    }

    /// Asserts the same, and that every fill in the broker's book is in our positions, once no order is open.
    #[track_caller]
    pub(crate) fn assert_all_is_settled<'a>(&self, acknowledged: impl IntoIterator<Item = &'a str>) {
        self.assert_nothing_lost_or_doubled(acknowledged);
        assert!(self.waiting.is_empty(), "{:?} still wait", self.waiting);
        assert_eq!(self.held, self.book, "our positions and the broker's book differ");
    }

    fn orders_of(&self, signal: SignalId) -> Vec<ClientOrderId> {
        [&self.approved, &self.denied]
            .into_iter()
            .filter_map(|orders| orders.get(&signal))
            .flatten()
            .copied()
            .collect()
    }
}
