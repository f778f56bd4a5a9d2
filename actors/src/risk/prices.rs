//! What waits until it can be judged: for a symbol's price, or for the list of what is traded.

use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use ractor::ActorRef;

use super::{RiskMsg, RiskState};
use crate::arrival::{Arrival, acknowledge};
use crate::domain::order::Order;
use crate::domain::portfolio::Quote;
use crate::domain::report::Refusal;
use crate::domain::stages::Stamp;
use crate::execution::{ExecutionMsg, Key};
use crate::ports::journal::CommitError;

/// How soon a signal is looked at again while its venue has not told what is traded there.
const LISTING_PACE: Duration = Duration::from_millis(250);
/// A price older than this is asked for before a signal is judged, in seconds.
const PRICE_AGE_MAX_S: i64 = 60;
/// How soon it is looked whether a price has come; by then a signal is recorded, so that its sender gets an answer.
const LOOK: Duration = Duration::from_millis(300);
/// After how many looks a price that has not come is asked for again: the connection may have been restarting.
const LOOKS_AN_ASK: u32 = 10;
/// How long a price may take to come, in microseconds.
const PRICE_PATIENCE_US: u64 = 10_000_000;

/// What waits to be judged.
#[derive(Debug)]
pub enum Waiting {
    /// A signal; `true`: it was handed over before.
    Signal(Arc<Arrival>, bool),
    /// An order that waited for its market, or for others.
    Order(Box<Order>),
}

/// What waits for one price.
#[derive(Debug)]
pub(super) struct Unpriced {
    since: Stamp,
    looks: u32,
    waiting: Vec<Waiting>,
}

/// What the broker told of a price; an error is its refusal to deal with the account at all.
pub(super) type Told<'a> = Result<Option<Quote>, &'a Refusal>;

/// Returns a quote unless it is too old to judge by.
pub(super) fn young(quote: Option<Quote>, now: DateTime<Utc>) -> Option<Quote> {
    quote.filter(|quote| (now - quote.at).num_seconds() <= PRICE_AGE_MAX_S)
}

impl RiskState {
    /// Has it judged later: what is traded there is not known yet.
    pub(super) fn wait_for_list(me: &ActorRef<RiskMsg>, waiting: Waiting) {
        me.send_after(LISTING_PACE, move || RiskMsg::Unlisted(waiting));
    }

    /// Looks again at what waits for the list of what is traded.
    pub(super) async fn unlisted(
        &mut self,
        me: &ActorRef<RiskMsg>,
        waiting: Waiting,
    ) -> Result<(), CommitError> {
        if let Some(waiting) = self.recorded(waiting).await? {
            self.priced(me, waiting);
        }
        Ok(())
    }

    /// Has it judged once its symbol's price is known, which is asked for.
    pub(super) fn wait_for_price(&mut self, me: &ActorRef<RiskMsg>, key: Key, waiting: Waiting) {
        let since = self.lines.shared.clock.stamp();
        match self.unpriced.entry(key) {
            Entry::Occupied(mut unpriced) => unpriced.get_mut().waiting.push(waiting),
            Entry::Vacant(place) => {
                place.insert(Unpriced { since, looks: 0, waiting: vec![waiting] });
                self.lines.execution.tell(ExecutionMsg::Ask(key.0, key.1));
                me.send_after(LOOK, move || RiskMsg::PriceDue(key, since));
            }
        }
    }

    /// Looks whether a price has come: the market may have learned it. If not it is asked for again, for a while.
    pub(super) async fn price_due(
        &mut self,
        me: &ActorRef<RiskMsg>,
        key: Key,
        since: Stamp,
    ) -> Result<(), CommitError> {
        let Some(unpriced) = self.unpriced.get_mut(&key).filter(|unpriced| unpriced.since == since) else {
            return Ok(());
        };
        unpriced.looks += 1;
        let is_to_ask = unpriced.looks.is_multiple_of(LOOKS_AN_ASK);
        let waiting = std::mem::take(&mut unpriced.waiting);
        let known = self.known_price(key);
        if known.is_some() || self.lines.shared.clock.stamp().since(since) >= PRICE_PATIENCE_US {
            self.unpriced.remove(&key);
            self.judge_all(me, waiting, Ok(known));
            return Ok(());
        }
        for one in waiting {
            let recorded = self.recorded(one).await?;
            if let Some(unpriced) = self.unpriced.get_mut(&key) {
                unpriced.waiting.extend(recorded);
            }
        }
        if is_to_ask {
            self.lines.execution.tell(ExecutionMsg::Ask(key.0, key.1));
        }
        me.send_after(LOOK, move || RiskMsg::PriceDue(key, since));
        Ok(())
    }

    /// The broker has told a price, or that there is none.
    pub(super) fn quoted(&mut self, me: &ActorRef<RiskMsg>, key: Key, told: Told<'_>) {
        if let Some(unpriced) = self.unpriced.remove(&key) {
            self.judge_all(me, unpriced.waiting, told);
        }
    }

    fn judge_all(&mut self, me: &ActorRef<RiskMsg>, waiting: Vec<Waiting>, told: Told<'_>) {
        for one in waiting {
            self.judge_at(me, one, told);
        }
    }

    /// Records a signal that has to wait. `None`: it cannot be, and its sender knows.
    async fn recorded(&self, waiting: Waiting) -> Result<Option<Waiting>, CommitError> {
        match waiting {
            Waiting::Signal(arrival, again) => {
                let kept = acknowledge(arrival, &self.lines.shared, &self.lines.router).await?;
                Ok(kept.map(|arrival| Waiting::Signal(arrival, again)))
            }
            order @ Waiting::Order(_) => Ok(Some(order)),
        }
    }

    /// Returns what the market knows of a symbol's price, unless it is old.
    fn known_price(&self, (connection, symbol): Key) -> Option<Quote> {
        let market = self.lines.shared.brokers.market(&self.account(connection)?.broker)?;
        young(market.quote(symbol), self.lines.shared.clock.now())
    }
}
