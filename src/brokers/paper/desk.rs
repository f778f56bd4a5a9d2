//! One account's working state: its book, the orders lately seen, and the commit under way.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;

use trade_actors::domain::event::Event;
use trade_actors::domain::ids::{ClientOrderId, ConnectionId};
use trade_actors::domain::instrument::Symbol;
use trade_actors::domain::money::Price;
use trade_actors::domain::order::Ticket;
use trade_actors::domain::paper::{Listing, PaperAccount, Terms, Trails, report};
use trade_actors::domain::report::{OrderReport, Refusal};
use trade_actors::ports::journal::{CommitError, Receipt};

/// How many ended orders are kept at hand; older ones are looked up.
const RECENT: usize = 64;

/// A commit that the log answers.
type Commit = BoxFuture<'static, Result<Receipt, CommitError>>;

/// The working state of one account.
#[derive(Debug, Default)]
pub(super) struct Desk {
    account: Option<PaperAccount>,
    trails: Trails,
    reports: BTreeMap<ClientOrderId, Box<OrderReport>>,
    ended: VecDeque<ClientOrderId>,
    under_way: Option<UnderWay>,
    watch: Option<Watch>,
}

/// Events handed to the log whose commit is not answered.
///
/// It stays here while it is awaited: a caller that goes away leaves it to the next one, and nothing that became
/// durable is missed.
struct UnderWay {
    events: Vec<Event>,
    commit: Commit,
}

impl fmt::Debug for UnderWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnderWay").field("events", &self.events).finish_non_exhaustive()
    }
}

/// A task that listens to prices; it ends with its owner.
#[derive(Debug)]
pub(super) struct Watch(JoinHandle<()>);

impl Watch {
    pub(super) const fn new(task: JoinHandle<()>) -> Self {
        Self(task)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Desk {
    pub(super) const fn is_loaded(&self) -> bool {
        self.account.is_some()
    }

    /// Takes over an account with what is known of its open orders.
    pub(super) fn open(&mut self, account: PaperAccount, reports: Vec<OrderReport>) {
        self.reports = reports.into_iter().map(|report| (report.order, Box::new(report))).collect();
        self.ended.clear();
        self.account = Some(account);
    }

    pub(super) fn open_new(&mut self, connection: ConnectionId) {
        self.open(PaperAccount::new(connection), Vec::new());
    }

    /// Drops what is known: the log may say otherwise.
    pub(super) fn forget(&mut self) {
        self.account = None;
        self.reports.clear();
        self.ended.clear();
    }

    /// Returns the account; an empty one while none is loaded.
    pub(super) fn account(&self, connection: ConnectionId) -> Cow<'_, PaperAccount> {
        self.account.as_ref().map_or_else(|| Cow::Owned(PaperAccount::new(connection)), Cow::Borrowed)
    }

    /// Returns what was last told of an order, with all its executions.
    pub(super) fn report(&self, order: ClientOrderId) -> Option<&OrderReport> {
        self.reports.get(&order).map(Box::as_ref)
    }

    /// Returns whether no order is open.
    pub(super) fn rests(&self) -> bool {
        self.account.as_ref().is_some_and(|account| account.open.is_empty())
    }

    pub(super) fn needs_watch(&self) -> bool {
        !self.rests() && self.watch.as_ref().is_none_or(|watch| watch.0.is_finished())
    }

    pub(super) fn watch(&mut self, watch: Watch) {
        self.watch = Some(watch);
    }

    pub(super) fn unwatch(&mut self) {
        self.watch = None;
    }

    /// Decides on a new order.
    ///
    /// # Errors
    /// When the book refuses it; nothing happened.
    pub(super) fn place(
        &mut self,
        ticket: &Ticket,
        listing: &Listing,
        price_of: &dyn Fn(Symbol) -> Option<Price>,
        terms: &Terms,
        now: DateTime<Utc>,
    ) -> Result<Event, Refusal> {
        let mut trails = std::mem::take(&mut self.trails);
        let placed =
            self.account(ticket.connection).place(ticket, listing, price_of, &mut trails, terms, now);
        self.trails = trails;
        placed
    }

    /// Decides what the latest prices do to the open orders.
    pub(super) fn moves(
        &mut self,
        listing_of: &dyn Fn(Symbol) -> Option<Listing>,
        terms: &Terms,
        now: DateTime<Utc>,
    ) -> Vec<Event> {
        let Some(account) = &self.account else { return Vec::new() };
        account.tick(&mut self.trails, listing_of, terms, now)
    }

    /// Notes a commit that was started; [`Desk::settle`] finishes it.
    pub(super) fn begin(&mut self, events: Vec<Event>, commit: Commit) {
        self.under_way = Some(UnderWay { events, commit });
    }

    /// Waits for the commit under way, applies its events and returns them; none, when there is none.
    ///
    /// May be given up and called again.
    ///
    /// # Errors
    /// When the log did not take the events, or may not have: then the account is forgotten and loaded again.
    pub(super) async fn settle(&mut self) -> Result<Vec<Event>, CommitError> {
        let Some(under_way) = &mut self.under_way else { return Ok(Vec::new()) };
        let outcome = (&mut under_way.commit).await;
        let events = self.under_way.take().map(|done| done.events).unwrap_or_default();
        match outcome {
            Ok(receipt) => {
                self.apply(&events, receipt.at);
                Ok(events)
            }
            Err(CommitError::Full) => {
                if events.iter().any(|event| matches!(event, Event::PaperOpened { .. })) {
                    self.forget();
                }
                Err(CommitError::Full)
            }
            Err(CommitError::Down(why)) => {
                self.forget();
                Err(CommitError::Down(why))
            }
        }
    }

    fn apply(&mut self, events: &[Event], at: DateTime<Utc>) {
        let Some(account) = &mut self.account else { return };
        for event in events {
            account.apply(event, at);
            let (Event::PaperBooked { order, .. } | Event::PaperMoved { order, .. }) = event else {
                continue;
            };
            let before = self.reports.remove(order);
            if let Some(now) = report(event, before.map(|before| *before)) {
                self.reports.insert(*order, Box::new(now));
            }
            if !account.open.contains_key(order) {
                self.ended.push_back(*order);
            }
        }
        self.trails.retain(account);
        while self.ended.len() > RECENT {
            if let Some(oldest) = self.ended.pop_front() {
                self.reports.remove(&oldest);
            }
        }
    }
}
