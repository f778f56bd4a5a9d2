//! A broker that fails by script, in front of one that does not.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use trade_actors::domain::ids::{ClientOrderId, ConnectionId, UserId};
use trade_actors::domain::instrument::Symbol;
use trade_actors::domain::money::Quantity;
use trade_actors::domain::order::Ticket;
use trade_actors::domain::portfolio::{Balance, Quote};
use trade_actors::domain::position::Position;
use trade_actors::domain::report::{OrderReport, Refusal, RefusalCode};
use trade_actors::domain::signal::OrderKind;
use trade_actors::ports::broker::{Broker, BrokerError, Brokers, Listener, Placed, Promises, UnknownBroker};
use trade_actors::ports::market::Market;

/// What happens to one submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it passes.
    None,
    /// The connection is refused: the broker provably never has it.
    Unreachable,
    /// The broker documents that it did nothing.
    Refuse(Refusal),
    /// The request is lost on the way, and the sender cannot tell.
    LoseRequest,
    /// The broker takes it, and its answer is lost.
    LoseAnswer,
    /// The broker takes its time.
    Delay(Duration),
}

/// What the engine asked of the broker, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To place an order.
    Submit(ClientOrderId),
    /// To cancel an order.
    Cancel(ClientOrderId),
    /// What became of an order.
    LookUp(ClientOrderId),
}

/// The script and the journal. Cheap to clone; all clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Script(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    submissions: VecDeque<Fault>,
    /// Brokers that nobody can reach.
    down: BTreeSet<String>,
    journal: Vec<Asked>,
}

impl Script {
    /// Adds what happens to the next submissions, after those already scripted. Afterwards all pass.
    pub fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().submissions.extend(faults);
    }

    /// Makes a broker one that nobody can reach, or that all can reach again.
    pub fn set_down(&self, broker: &str, is_down: bool) {
        let mut inner = self.lock();
        if is_down {
            inner.down.insert(broker.to_owned());
        } else {
            inner.down.remove(broker);
        }
    }

    /// Says whether a request gets to a broker.
    fn reach(&self, broker: &str) -> Result<(), BrokerError> {
        match self.lock().down.contains(broker) {
            true => Err(BrokerError::NotReceived {
                code: RefusalCode::BrokerUnavailable,
                retry_after: Duration::ZERO,
            }),
            false => Ok(()),
        }
    }

    /// Returns all that was asked so far.
    #[must_use]
    pub fn journal(&self) -> Vec<Asked> {
        self.lock().journal.clone()
    }

    /// Puts the script in front of brokers.
    #[must_use]
    pub fn before(&self, brokers: Arc<dyn Brokers>) -> Arc<dyn Brokers> {
        Arc::new(FlakyBrokers { script: self.clone(), brokers })
    }

    fn submission(&self, order: ClientOrderId) -> Fault {
        let mut inner = self.lock();
        inner.journal.push(Asked::Submit(order));
        inner.submissions.pop_front().unwrap_or(Fault::None)
    }

    fn note(&self, asked: Asked) {
        self.lock().journal.push(asked);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct FlakyBrokers {
    script: Script,
    brokers: Arc<dyn Brokers>,
}

impl Brokers for FlakyBrokers {
    fn open(
        &self,
        user: UserId,
        connection: ConnectionId,
        broker: &str,
    ) -> Result<Arc<dyn Broker>, UnknownBroker> {
        let behind = self.brokers.open(user, connection, broker)?;
        Ok(Arc::new(Flaky { script: self.script.clone(), name: broker.to_owned(), behind }))
    }

    fn market(&self, broker: &str) -> Option<Arc<dyn Market>> {
        self.brokers.market(broker)
    }
}

#[derive(Debug)]
struct Flaky {
    script: Script,
    name: String,
    behind: Arc<dyn Broker>,
}

impl Broker for Flaky {
    fn connect(&self) -> BoxFuture<'_, Result<Balance, BrokerError>> {
        async move {
            self.script.reach(&self.name)?;
            self.behind.connect().await
        }
        .boxed()
    }

    fn submit(&self, ticket: Ticket) -> BoxFuture<'_, Result<OrderReport, BrokerError>> {
        async move {
            self.script.reach(&self.name)?;
            match self.script.submission(ticket.id) {
                Fault::None => self.behind.submit(ticket).await,
                Fault::Unreachable => Err(BrokerError::NotReceived {
                    code: RefusalCode::BrokerUnavailable,
                    retry_after: Duration::ZERO,
                }),
                Fault::Refuse(refusal) => Err(BrokerError::Refused(refusal)),
                Fault::LoseRequest => Err(BrokerError::Unknown("the connection was reset".to_owned())),
                Fault::LoseAnswer => match self.behind.submit(ticket).await {
                    Ok(_) => Err(BrokerError::Unknown("504 Gateway Timeout".to_owned())),
                    Err(error) => Err(error),
                },
                Fault::Delay(delay) => {
                    tokio::time::sleep(delay).await;
                    self.behind.submit(ticket).await
                }
            }
        }
        .boxed()
    }

    fn cancel(&self, order: Placed) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.script.note(Asked::Cancel(order.ticket.id));
        async move {
            self.script.reach(&self.name)?;
            self.behind.cancel(order).await
        }
        .boxed()
    }

    fn order(&self, order: Placed) -> BoxFuture<'_, Result<Option<OrderReport>, BrokerError>> {
        self.script.note(Asked::LookUp(order.ticket.id));
        async move {
            self.script.reach(&self.name)?;
            self.behind.order(order).await
        }
        .boxed()
    }

    fn open_orders(&self) -> BoxFuture<'_, Result<Vec<OrderReport>, BrokerError>> {
        async move {
            self.script.reach(&self.name)?;
            self.behind.open_orders().await
        }
        .boxed()
    }

    fn promises(&self) -> Promises {
        self.behind.promises()
    }

    fn holds(&self, symbol: Symbol, kind: OrderKind, quantity: Quantity) -> bool {
        self.behind.holds(symbol, kind, quantity)
    }

    fn quote(&self, symbol: Symbol) -> BoxFuture<'_, Result<Option<Quote>, BrokerError>> {
        self.behind.quote(symbol)
    }

    fn balance(&self) -> BoxFuture<'_, Result<Balance, BrokerError>> {
        async move {
            self.script.reach(&self.name)?;
            self.behind.balance().await
        }
        .boxed()
    }

    fn positions(&self) -> BoxFuture<'_, Result<Vec<Position>, BrokerError>> {
        async move {
            self.script.reach(&self.name)?;
            self.behind.positions().await
        }
        .boxed()
    }

    fn runway(&self) -> BoxFuture<'_, Result<Option<DateTime<Utc>>, BrokerError>> {
        async move {
            self.script.reach(&self.name)?;
            self.behind.runway().await
        }
        .boxed()
    }

    fn stream(&self, to: Listener) {
        self.behind.stream(to);
    }
}
