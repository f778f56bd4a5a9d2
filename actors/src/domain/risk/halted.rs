//! The kill switch, for everybody and for one user, halts that losses called for, and suspension.

use std::borrow::Cow;

use super::{Denial, DenialCode, Snapshot};
use crate::domain::event::HaltCause;
use crate::domain::intent::Intent;
use crate::domain::order::Ticket;
use crate::domain::signal::Origin;
use crate::domain::user::Trading;

/// What stops trading for a user at one moment; each may stand beside the others.
#[derive(Clone, Debug, Default)]
pub struct Halts<'a> {
    /// The operator's halt for everybody, with its reason.
    pub everybody: Option<Cow<'a, str>>,
    /// What losses called for, with the words for the user.
    pub rules: Option<(HaltCause, Cow<'a, str>)>,
    /// The user's own halt, with its reason.
    pub own: Option<Cow<'a, str>>,
}

impl Halts<'_> {
    /// Returns why an order may not be sent: the way out by hand stays open, and so does the engine's own, which stops
    /// and limits need. After a day's loss every way out does, unless a person stopped trading as well.
    #[must_use]
    pub fn denial(&self, ticket: &Ticket) -> Option<Denial> {
        if ticket.reduces && matches!(ticket.origin, Origin::Manual | Origin::Engine) {
            return None;
        }
        if let Some((cause, words)) = &self.rules
            && !(ticket.reduces && *cause == HaltCause::DailyLoss)
        {
            return Some(Denial::new(DenialCode::of(*cause), words.as_ref()));
        }
        let by = match (&self.everybody, &self.own) {
            (Some(reason), _) => format!("for everybody by the operator: {reason}"),
            (None, Some(reason)) => reason.to_string(),
            (None, None) => return None,
        };
        let message =
            format!("Trading is halted ({by}). Nothing was sent. Resume trading to take signals again.");
        Some(Denial::new(DenialCode::Halted, message))
    }
}

/// Returns a person's halt in words, if it is one.
fn of_person(trading: &Trading) -> Option<Cow<'_, str>> {
    match trading {
        Trading::Halted { cause: HaltCause::Person, by, reason, .. } => {
            Some(format!("{by}: {reason}").into())
        }
        Trading::Halted { .. } | Trading::Active => None,
    }
}

pub(super) fn rule(intent: Intent, seen: &Snapshot<'_>) -> Result<Intent, Denial> {
    if let Some(reason) = seen.suspended {
        return Err(Denial::suspended(reason));
    }
    let halts = Halts {
        everybody: seen.global_halt.map(Cow::Borrowed),
        rules: seen.trading.by_rules().map(|(cause, words)| (cause, words.into())),
        own: of_person(seen.trading).or_else(|| seen.own_halt.and_then(of_person)),
    };
    halts.denial(&intent.ticket).map_or(Ok(intent), Err)
}
