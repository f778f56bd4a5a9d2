//! One socket's queue: bounded for what must arrive, latest-wins for the rest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::domain::instrument::Symbol;
use crate::domain::push::{Body, Push};

/// Numbered messages a socket may be behind (`SECURITY-BAR` 3).
const QUEUE: usize = 256;

/// Why a socket is closed by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client reads too slowly: 1013, resume by `since`.
    Overflow,
    /// The engine stops or the socket was replaced: 1001.
    GoingAway,
    /// The session or token is not valid any more: 4401.
    Unauthorized,
}

/// What a socket's task does next.
#[derive(Debug)]
pub enum Next {
    /// Send this.
    Send(Arc<Push>),
    /// Say anew all there is: the user trades elsewhere now.
    Renew,
    /// Close.
    Close(CloseReason),
}

/// A socket's queue.
#[derive(Debug, Default)]
pub struct Outbox {
    inner: Mutex<Inner>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Arc<Push>>,
    portfolio: Option<Arc<Push>>,
    balance: Option<Arc<Push>>,
    quotes: BTreeMap<Symbol, Arc<Push>>,
    wanted: BTreeSet<Symbol>,
    moved: bool,
    closed: Option<CloseReason>,
}

impl Outbox {
    /// Queues a message, or replaces the older one of its kind.
    pub fn offer(&self, push: Arc<Push>) {
        let mut inner = self.lock();
        if inner.closed.is_some() {
            return;
        }
        let replaced = match &push.body {
            Body::Portfolio { .. } => inner.portfolio.replace(push).is_some(),
            Body::Balance { .. } => inner.balance.replace(push).is_some(),
            Body::Quote(quote) => {
                let symbol = quote.symbol;
                inner.quotes.insert(symbol, push).is_some()
            }
            Body::Trade { .. }
            | Body::Position { .. }
            | Body::Signal { .. }
            | Body::Trading { .. }
            | Body::Resized { .. }
            | Body::Notification(_) => {
                if inner.queue.len() == QUEUE {
                    inner.queue.clear();
                    inner.closed = Some(CloseReason::Overflow);
                    metrics::counter!("trade_executor_ws_overflows_total").increment(1);
                } else {
                    inner.queue.push_back(push);
                }
                false
            }
        };
        drop(inner);
        if replaced {
            metrics::counter!("trade_executor_ws_conflations_total").increment(1);
        }
        self.wake.notify_one();
    }

    /// Queues a message of the past for a client that resumes; these do not count against the bound.
    pub(super) fn offer_past(&self, push: Arc<Push>) {
        self.lock().queue.push_back(push);
        self.wake.notify_one();
    }

    /// Waits for the next message. Numbered ones come in order and before conflated ones.
    pub async fn next(&self) -> Next {
        loop {
            let waked = self.wake.notified();
            if let Some(next) = self.take() {
                return next;
            }
            waked.await;
        }
    }

    /// Returns the next message if there is one.
    pub fn take(&self) -> Option<Next> {
        let mut inner = self.lock();
        if let Some(push) = inner.queue.pop_front() {
            if inner.queue.is_empty() {
                inner.queue.shrink_to(0);
            }
            return Some(Next::Send(push));
        }
        if let Some(reason) = inner.closed {
            return Some(Next::Close(reason));
        }
        if std::mem::take(&mut inner.moved) {
            return Some(Next::Renew);
        }
        let latest = inner.portfolio.take().or_else(|| inner.balance.take());
        latest.or_else(|| inner.quotes.pop_first().map(|(_, push)| push)).map(Next::Send)
    }

    /// Asks for the prices of these symbols from now on.
    pub fn subscribe(&self, symbols: impl IntoIterator<Item = Symbol>) {
        self.lock().wanted.extend(symbols);
    }

    /// Returns how many symbols' prices are asked for.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.lock().wanted.len()
    }

    /// Asks for them no longer.
    pub fn unsubscribe(&self, symbols: impl IntoIterator<Item = Symbol>) {
        let mut inner = self.lock();
        for symbol in symbols {
            inner.wanted.remove(&symbol);
            inner.quotes.remove(&symbol);
        }
    }

    /// Returns the symbols whose prices are asked for.
    #[must_use]
    pub fn wanted(&self) -> Vec<Symbol> {
        self.lock().wanted.iter().copied().collect()
    }

    /// Drops what waits of another account, and has the socket say anew all there is.
    pub(super) fn renew(&self) {
        let mut inner = self.lock();
        inner.quotes.clear();
        inner.portfolio = None;
        inner.moved = true;
        drop(inner);
        self.wake.notify_one();
    }

    pub(super) fn wants(&self, symbol: Symbol) -> bool {
        self.lock().wanted.contains(&symbol)
    }

    /// Closes the socket once its queue is empty.
    pub fn close(&self, reason: CloseReason) {
        self.lock().closed.get_or_insert(reason);
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
