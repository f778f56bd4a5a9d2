//! The paper broker: made-up money at a made-up market, behind the same port as every other broker.

pub mod books;
pub mod config;
mod desk;
pub mod market;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

use trade_actors::domain::event::{Event, Fact};
use trade_actors::domain::ids::{ClientOrderId, ConnectionId, UserId};
use trade_actors::domain::instrument::Symbol;
use trade_actors::domain::money::{Money, Price, Quantity};
use trade_actors::domain::order::Ticket;
use trade_actors::domain::paper::Terms;
use trade_actors::domain::portfolio::{Balance, Quote};
use trade_actors::domain::position::Position;
use trade_actors::domain::report::{OrderReport, Refusal, RefusalCode};
use trade_actors::domain::signal::OrderKind;
use trade_actors::ports::broker::{Broker, BrokerError, IdScope, Listener, Placed, Promises, Told};
use trade_actors::ports::clock::Clock;
use trade_actors::ports::journal::{CommitError, Journal};
use trade_actors::ports::market::Market;
use trade_actors::ports::store::StoreError;

use self::books::Books;
use self::config::PaperConfig;
use self::desk::{Desk, Watch};
use self::market::SimulatedMarket;
use super::accounts::{Accounts, Hearing};

/// The broker's name.
pub const NAME: &str = "paper";

/// How long a caller waits before it tries again when the log cannot take or tell anything.
const RETRY: Duration = Duration::from_secs(1);

/// What all accounts share.
#[derive(Debug)]
struct House {
    market: Arc<SimulatedMarket>,
    journal: Arc<dyn Journal>,
    books: Arc<dyn Books>,
    clock: Arc<dyn Clock>,
    terms: Terms,
    start_cash: Money,
    latency: Duration,
}

/// Every account of the paper broker that somebody holds.
#[derive(Debug)]
pub struct PaperBrokers {
    house: Arc<House>,
    accounts: Accounts<PaperBroker>,
}

impl PaperBrokers {
    /// Returns the paper broker over a market, the log and what is known from it.
    #[must_use]
    pub fn new(
        config: &PaperConfig,
        market: Arc<SimulatedMarket>,
        journal: Arc<dyn Journal>,
        books: Arc<dyn Books>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let house = House {
            market,
            journal,
            books,
            clock,
            terms: config.terms(),
            start_cash: Money::new(config.start_cash),
            latency: Duration::from_millis(config.latency_ms),
        };
        Self { house: Arc::new(house), accounts: Accounts::default() }
    }

    /// Returns the market.
    #[must_use]
    pub fn market(&self) -> Arc<dyn Market> {
        Arc::clone(&self.house.market) as _
    }

    /// Returns the account of a connection. Two holders of one connection share one book.
    #[must_use]
    pub fn account(&self, user: UserId, connection: ConnectionId) -> Arc<dyn Broker> {
        let open = |me: &Weak<PaperBroker>| PaperBroker {
            house: Arc::clone(&self.house),
            me: me.clone(),
            user,
            connection,
            desk: AsyncMutex::default(),
            hearing: Hearing::default(),
        };
        self.accounts.open(connection, || Arc::new_cyclic(open))
    }
}

/// One account at the paper broker.
///
/// Every execution is committed to the log before it is answered or told. The account listens to prices only while
/// it has open orders.
#[derive(Debug)]
pub struct PaperBroker {
    house: Arc<House>,
    me: Weak<Self>,
    user: UserId,
    connection: ConnectionId,
    desk: AsyncMutex<Desk>,
    hearing: Hearing,
}

impl PaperBroker {
    /// Takes a place at the desk, with the account loaded and nothing half done.
    async fn desk(&self) -> Result<MutexGuard<'_, Desk>, BrokerError> {
        let mut desk = self.desk.lock().await;
        self.finish(&mut desk).await;
        if !desk.is_loaded() {
            self.load(&mut desk).await?;
        }
        Ok(desk)
    }

    /// Finishes a commit whose caller went away; what it did is told to the listener.
    async fn finish(&self, desk: &mut Desk) {
        let connection = self.connection;
        match desk.settle().await {
            Ok(events) => self.tell(desk, &events),
            Err(error) => tracing::warn!(connection.id = %connection, "paper account {connection}: {error}"),
        }
    }

    async fn load(&self, desk: &mut Desk) -> Result<(), BrokerError> {
        let unread = |_: StoreError| BrokerError::NotReceived {
            code: RefusalCode::BrokerUnavailable,
            retry_after: RETRY,
        };
        match self.house.books.load(self.connection).await.map_err(unread)? {
            Some(account) => {
                let mut reports = Vec::with_capacity(account.open.len());
                for order in account.open.keys() {
                    reports.extend(self.house.books.find(*order).await.map_err(unread)?);
                }
                desk.open(account, reports);
            }
            None => {
                desk.open_new(self.connection);
                let opened = Event::PaperOpened { connection: self.connection, cash: self.house.start_cash };
                self.record(desk, vec![opened]).await?;
            }
        }
        self.attend(desk);
        Ok(())
    }

    /// Commits events, and returns them once they are durable and applied.
    async fn record(&self, desk: &mut Desk, events: Vec<Event>) -> Result<Vec<Event>, BrokerError> {
        let facts = events.iter().map(|event| Fact::new(Some(self.user), event.clone())).collect();
        desk.begin(events, self.house.journal.commit(facts));
        desk.settle().await.map_err(|error| match error {
            CommitError::Full => {
                BrokerError::NotReceived { code: RefusalCode::BrokerUnavailable, retry_after: RETRY }
            }
            CommitError::Down(_) => BrokerError::Unknown(error.to_string()),
        })
    }

    async fn book(&self, ticket: &Ticket) -> Result<OrderReport, BrokerError> {
        let mut desk = self.desk().await?;
        if let Some(known) = self.known(&mut desk, ticket.id).await? {
            return Ok(known);
        }
        let now = self.house.clock.now();
        let listing = self.house.market.listing(ticket.symbol, now).ok_or_else(|| {
            BrokerError::Refused(Refusal {
                code: RefusalCode::InvalidSymbol,
                message: format!("{} is not traded here", ticket.symbol),
            })
        })?;
        let event = desk
            .place(ticket, &listing, &|symbol| self.price(symbol), &self.house.terms, now)
            .map_err(BrokerError::Refused)?;
        self.record(&mut desk, vec![event]).await?;
        self.attend(&mut desk);
        let booked = desk.report(ticket.id).cloned();
        let booked =
            booked.ok_or_else(|| BrokerError::Unknown("the order was booked but is not known".to_owned()))?;
        Ok(self.with_balance(&desk, booked))
    }

    /// Looks an order up: at the desk, else in what the log has told.
    async fn known(&self, desk: &mut Desk, order: ClientOrderId) -> Result<Option<OrderReport>, BrokerError> {
        let found = match desk.report(order) {
            Some(report) => Some(report.clone()),
            None => {
                let unread =
                    |_| BrokerError::NotReceived { code: RefusalCode::BrokerUnavailable, retry_after: RETRY };
                self.house.books.find(order).await.map_err(unread)?
            }
        };
        Ok(found.map(|report| self.with_balance(desk, report)))
    }

    /// Sees to it that prices are listened to while an order is open.
    fn attend(&self, desk: &mut Desk) {
        if !desk.needs_watch() {
            return;
        }
        let mut changes = self.house.market.changes();
        let me = self.me.clone();
        desk.watch(Watch::new(tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                let Some(broker) = me.upgrade() else { break };
                if broker.tick().await.is_break() {
                    break;
                }
            }
        })));
    }

    /// Puts the latest prices before the open orders; breaks off once there are none.
    async fn tick(&self) -> std::ops::ControlFlow<()> {
        use std::ops::ControlFlow;
        // What cannot be read or committed now is tried again at the next price.
        let Ok(mut desk) = self.desk().await else { return ControlFlow::Continue(()) };
        let now = self.house.clock.now();
        let moves = desk.moves(&|symbol| self.house.market.listing(symbol, now), &self.house.terms, now);
        if !moves.is_empty() {
            match self.record(&mut desk, moves).await {
                Ok(events) => self.tell(&desk, &events),
                Err(error) => {
                    let connection = self.connection;
                    tracing::warn!(connection.id = %connection, "paper account {connection}: {error}");
                }
            }
        }
        if desk.rests() {
            desk.unwatch();
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    async fn withdraw(&self, order: ClientOrderId) -> Result<(), BrokerError> {
        let mut desk = self.desk().await?;
        if let Some(event) = desk.account(self.connection).cancel(order) {
            let events = self.record(&mut desk, vec![event]).await?;
            self.tell(&desk, &events);
            return Ok(());
        }
        // It ended before: how, is told again, for the caller seems not to know.
        let Some(ended) = self.known(&mut desk, order).await? else {
            let message = format!("no order {order} is known here");
            return Err(BrokerError::Refused(Refusal { code: RefusalCode::OrderRejected, message }));
        };
        self.send(ended);
        Ok(())
    }

    fn tell(&self, desk: &Desk, events: &[Event]) {
        for event in events {
            if let Some(report) = trade_actors::domain::paper::report(event, None) {
                self.send(self.with_balance(desk, report));
            }
        }
    }

    fn send(&self, report: OrderReport) {
        self.hearing.tell(Told::Report(Box::new(report)));
    }

    fn price(&self, symbol: Symbol) -> Option<Price> {
        self.house.market.quote(symbol).map(|quote| quote.price)
    }

    fn balance_of(&self, desk: &Desk) -> Balance {
        let account = desk.account(self.connection);
        account.balance(&|symbol| self.price(symbol), &self.house.terms, self.house.clock.now())
    }

    fn with_balance(&self, desk: &Desk, report: OrderReport) -> OrderReport {
        OrderReport { balance: Some(self.balance_of(desk)), ..report }
    }

    /// Lets the simulated latency pass.
    async fn lag(&self) {
        if !self.house.latency.is_zero() {
            tokio::time::sleep(self.house.latency).await;
        }
    }
}

impl Broker for PaperBroker {
    /// The book is in the log, so what it does not hold does not exist.
    fn promises(&self) -> Promises {
        Promises { shows_orders_at_once: true, ids: IdScope::Forever }
    }

    fn holds(&self, _: Symbol, _: OrderKind, _: Quantity) -> bool {
        true
    }

    fn quote(&self, symbol: Symbol) -> BoxFuture<'_, Result<Option<Quote>, BrokerError>> {
        Box::pin(async move { Ok(self.house.market.quote(symbol)) })
    }

    fn open_orders(&self) -> BoxFuture<'_, Result<Vec<OrderReport>, BrokerError>> {
        Box::pin(async move {
            let mut desk = self.desk().await?;
            let open: Vec<_> = desk.account(self.connection).open.keys().copied().collect();
            let mut reports = Vec::with_capacity(open.len());
            for order in open {
                reports.extend(self.known(&mut desk, order).await?);
            }
            Ok(reports)
        })
    }

    fn connect(&self) -> BoxFuture<'_, Result<Balance, BrokerError>> {
        self.balance()
    }

    fn submit(&self, ticket: Ticket) -> BoxFuture<'_, Result<OrderReport, BrokerError>> {
        Box::pin(async move {
            let answer = self.book(&ticket).await;
            self.lag().await;
            answer
        })
    }

    fn cancel(&self, order: Placed) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            let answer = self.withdraw(order.ticket.id).await;
            self.lag().await;
            answer
        })
    }

    fn order(&self, order: Placed) -> BoxFuture<'_, Result<Option<OrderReport>, BrokerError>> {
        Box::pin(async move {
            let mut desk = self.desk().await?;
            self.known(&mut desk, order.ticket.id).await
        })
    }

    fn balance(&self) -> BoxFuture<'_, Result<Balance, BrokerError>> {
        Box::pin(async move { Ok(self.balance_of(&*self.desk().await?)) })
    }

    fn positions(&self) -> BoxFuture<'_, Result<Vec<Position>, BrokerError>> {
        Box::pin(async move { Ok(self.desk().await?.account(self.connection).positions.clone()) })
    }

    fn stream(&self, to: Listener) {
        self.hearing.open(to);
    }
}
