//! What a server's own log says of its orders afterwards: nothing is asked of the server while it is measured.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use trade_actors::domain::event::Event;
use trade_actors::domain::ids::{ClientOrderId, SignalId};
use trade_actors::domain::stages::{Stages, Stamp};
use trade_executor::store::segments::{SegmentReader, verify};

/// One order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed {
    /// Which signal asked for it.
    pub(crate) signal: SignalId,
    /// When it passed each stage.
    pub(crate) stages: Stages,
    /// Whether it was denied.
    pub(crate) denied: bool,
}

/// The orders in a log.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// Every signal, in the order of the log.
    pub(crate) signals: Vec<SignalId>,
    /// Every order, in the order of the log.
    pub(crate) orders: Vec<Passed>,
}

impl Trail {
    /// Proves the log of a stopped server and reads it.
    pub(crate) fn read(data: &Path) -> anyhow::Result<Self> {
        let dir = data.join("log");
        verify(&dir, &mut |_, _| ()).context("the log is not whole")?;
        let mut trail = Self::default();
        let mut places: BTreeMap<ClientOrderId, usize> = BTreeMap::new();
        for record in SegmentReader::open(&dir)?.read(1)? {
            let record = record?;
            let Some(payload) = record.statement.payload.as_deref() else { continue };
            // Most records concern no order; reading them all as events takes longer than the measurement.
            if [r#""event":"order_"#, r#""event":"signal_received""#]
                .iter()
                .any(|kind| payload.contains(kind))
            {
                trail.fold(Event::parse(payload)?, &mut places);
            }
        }
        Ok(trail)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most events concern no order")]
    fn fold(&mut self, event: Event, places: &mut BTreeMap<ClientOrderId, usize>) {
        let (ticket, stages, denied) = match event {
            Event::SignalReceived { signal, .. } => return self.signals.push(signal.id),
            Event::OrderCreated { ticket, stages, .. } => (ticket, stages, false),
            Event::OrderDenied { ticket, stages, .. } => (ticket, stages, true),
            Event::OrderMoved { order, stages, .. } => {
                let known = places.get(&order).and_then(|at| self.orders.get_mut(*at));
                return known.into_iter().for_each(|known| known.stages.merge(&stages));
            }
            _ => return,
        };
        places.insert(ticket.id, self.orders.len());
        self.orders.push(Passed { signal: ticket.signal, stages, denied });
    }

    /// Says so when not every signal became exactly one order.
    pub(crate) fn one_order_each(&self) -> anyhow::Result<()> {
        let denied = self.orders.iter().filter(|order| order.denied).count();
        if denied > 0 || self.orders.len() != self.signals.len() {
            bail!(
                "{} signals became {} orders, {denied} of them denied",
                self.signals.len(),
                self.orders.len()
            );
        }
        Ok(())
    }

    /// Returns the longest time from receipt to a stage over all orders of a signal, in microseconds.
    pub(crate) fn last_us(&self, signal: SignalId, stage: fn(&Stages) -> Option<Stamp>) -> Option<u64> {
        let orders = self.orders.iter().filter(|order| order.signal == signal);
        orders.filter_map(|order| Some(stage(&order.stages)?.since(order.stages.received?))).max()
    }
}
