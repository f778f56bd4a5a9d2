//! What a server's own log says of its orders afterwards: nothing is asked of the server while it is measured.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use trade_actors::domain::event::Event;
use trade_actors::domain::ids::{ClientOrderId, SignalId};
use trade_actors::domain::order::{OrderStep, Purpose};
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
    /// Its name at the broker.
    pub(crate) id: ClientOrderId,
    /// What it was for.
    pub(crate) purpose: Purpose,
    /// How many fills it had.
    pub(crate) fills: usize,
    /// When its last fill became durable, to the millisecond.
    pub(crate) filled_at: Option<DateTime<Utc>>,
}

/// The orders in a log.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    /// Every signal, in the order of the log.
    pub(crate) signals: Vec<SignalId>,
    /// Every order, in the order of the log.
    pub(crate) orders: Vec<Passed>,
    /// How often an account could not be reached.
    pub(crate) lost: usize,
    /// How often one could be reached again.
    pub(crate) restored: usize,
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
            trail.lost += usize::from(payload.contains(r#""event":"connection_lost""#));
            trail.restored += usize::from(payload.contains(r#""event":"connection_restored""#));
            // Most records concern no order; reading them all as events takes longer than the measurement.
            if [r#""event":"order_"#, r#""event":"signal_received""#]
                .iter()
                .any(|kind| payload.contains(kind))
            {
                trail.fold(Event::parse(payload)?, &record.timestamp, &mut places)?;
            }
        }
        Ok(trail)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most events concern no order")]
    fn fold(
        &mut self,
        event: Event,
        time: &str,
        places: &mut BTreeMap<ClientOrderId, usize>,
    ) -> anyhow::Result<()> {
        let (ticket, stages, denied) = match event {
            Event::SignalReceived { signal, .. } => {
                self.signals.push(signal.id);
                return Ok(());
            }
            Event::OrderCreated { ticket, stages, .. } => (ticket, stages, false),
            Event::OrderDenied { ticket, stages, .. } => (ticket, stages, true),
            Event::OrderMoved { order, step, stages } => {
                if let Some(known) = places.get(&order).and_then(|at| self.orders.get_mut(*at)) {
                    known.stages.merge(&stages);
                    if matches!(step, OrderStep::Filled { .. }) {
                        known.fills += 1;
                        known.filled_at = Some(DateTime::parse_from_rfc3339(time)?.to_utc());
                    }
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        places.insert(ticket.id, self.orders.len());
        let (signal, id, purpose) = (ticket.signal, ticket.id, ticket.purpose);
        self.orders.push(Passed { signal, stages, denied, id, purpose, fills: 0, filled_at: None });
        Ok(())
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

    /// Returns how many orders there are for a purpose.
    pub(crate) fn count(&self, is_meant: impl Fn(Purpose) -> bool) -> usize {
        self.orders.iter().filter(|order| !order.denied && is_meant(order.purpose)).count()
    }

    /// Returns the longest time from receipt to a stage over all orders of a signal, in microseconds.
    pub(crate) fn last_us(&self, signal: SignalId, stage: fn(&Stages) -> Option<Stamp>) -> Option<u64> {
        let orders = self.orders.iter().filter(|order| order.signal == signal);
        orders.filter_map(|order| Some(stage(&order.stages)?.since(order.stages.received?))).max()
    }
}
