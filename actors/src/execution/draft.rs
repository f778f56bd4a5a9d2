//! A decision that is not yet recorded.

use std::borrow::Cow;
use std::sync::Arc;

use crate::domain::event::Event;
use crate::domain::intent::Intent;
use crate::domain::order::{Mode, OrderStep, Ticket};
use crate::domain::risk::{Denial, Halts};
use crate::domain::stages::Stages;
use crate::kill_switch::Stops;

/// The verdict on a signal, until the kill switches are asked.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) intent: Intent,
    pub(super) denial: Option<Denial>,
    pub(super) wait: Option<OrderStep>,
    pub(super) broker: String,
    pub(super) mode: Mode,
    pub(super) stages: Stages,
}

impl Draft {
    /// Words the decision; `halted` is what the kill switches say.
    pub(super) fn events(&self, halted: Option<Denial>) -> Vec<Arc<Event>> {
        let Intent { ticket, decision, .. } = self.intent.clone();
        let (broker, mode, stages, order) = (self.broker.clone(), self.mode, self.stages, ticket.id);
        let Some(denial) = self.denial.clone().or(halted) else {
            let created = Event::OrderCreated { ticket, broker, mode, decision, stages };
            let queued =
                self.wait.clone().map(|step| Event::OrderMoved { order, step, stages: Stages::default() });
            return std::iter::once(created).chain(queued).map(Arc::new).collect();
        };
        vec![Arc::new(Event::OrderDenied { ticket, broker, mode, denial, decision, stages })]
    }
}

/// What the kill switches say of an order.
pub(super) fn halted(ticket: &Ticket, everybody: &Stops, own: &Stops) -> Option<Denial> {
    let halts = Halts {
        everybody: everybody.person.as_deref().map(Cow::Borrowed),
        rules: own.rules.as_ref().map(|stop| (stop.cause, stop.reason.as_str().into())),
        own: own.person.as_deref().map(Cow::Borrowed),
    };
    halts.denial(ticket)
}
