//! One broker account: opens the session, sends orders without waiting for one before the other, passes answers on.
//!
//! Every request runs as a task of its own: an answer is a message, and a late one is still a fact.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinSet;

use crate::domain::ids::{ClientOrderId, ConnectionId};
use crate::domain::instrument::Symbol;
use crate::domain::order::Ticket;
use crate::domain::portfolio::Balance;
use crate::domain::report::{OrderReport, RefusalCode};
use crate::domain::restart::backoff;
use crate::domain::stages::Stamp;
use crate::execution::{Answer, Connected, ExecutionMsg, Survey};
use crate::fault;
use crate::ports::broker::{Broker, BrokerError, Placed, Told};
use crate::ports::market::Market;
use crate::risk::RiskMsg;
use crate::sessions::{Life, Session};
use crate::user::UserMsg;
use crate::user::lines::Lines;

/// How often the broker is asked for all it has: new entries need a balance not older than a minute.
const POLL: Duration = Duration::from_secs(25);
/// How soon it is asked again, after no answer or one that is not the end of it.
const SURVEY_AGAIN: Duration = Duration::from_secs(5);
/// How long one question for a symbol's price may take.
const PRICE_PATIENCE: Duration = Duration::from_secs(2);
/// How often a broker is asked until when the account can be traded at.
const RUNWAY: Duration = Duration::from_secs(3_600);

/// What a connection is told.
#[derive(Debug)]
pub enum ConnectionMsg {
    /// Open the session.
    Connect,
    /// The session is open, or is not.
    Connected(Result<Balance, BrokerError>),
    /// Send an order.
    Submit(Box<Ticket>),
    /// Cancel an order.
    Cancel(Box<Placed>),
    /// Look an order up.
    LookUp(Box<Placed>),
    /// Execution is new: tell it again that the session is open.
    Resync,
    /// Ask for all the broker has, and again after a while.
    Poll,
    /// Ask for all the broker has.
    Survey,
    /// Ask for all the broker has, after a while.
    SurveySoon,
    /// That while is over.
    SurveyDue,
    /// The broker said what it has, or did not answer.
    Surveyed(Box<Result<Survey, BrokerError>>),
    /// Ask for a symbol's price.
    Quote(Symbol),
    /// Ask until when the account can be traded at.
    Runway,
    /// A request's task panicked: whether the broker heard it is not known.
    Panicked,
}

/// The actor.
#[derive(Debug)]
pub struct BrokerConnection;

/// What a connection needs.
#[derive(Debug)]
pub struct ConnectionArgs {
    /// The lines to its kin.
    pub lines: Arc<Lines>,
    /// Which account.
    pub connection: ConnectionId,
    /// The broker's client.
    pub broker: Arc<dyn Broker>,
    /// What can be traded there.
    pub market: Arc<dyn Market>,
}

/// What a connection holds.
#[derive(Debug)]
pub struct ConnectionState {
    args: ConnectionArgs,
    requests: JoinSet<()>,
    /// Orders handed to the broker and not answered for. They outlive an Execution that fails meanwhile.
    submitting: Arc<Mutex<BTreeSet<ClientOrderId>>>,
    attempts: u32,
    /// Since when the broker cannot be reached.
    down_since: Option<Stamp>,
    balance: Option<Balance>,
    session: Arc<Life>,
    /// Whether the broker is being asked for all it has, and whether it is to be asked again after a while. One question
    /// at a time: every cause to ask would else begin a chain of its own.
    surveying: bool,
    survey_armed: bool,
}

impl Actor for BrokerConnection {
    type Msg = ConnectionMsg;
    type State = ConnectionState;
    type Arguments = ConnectionArgs;

    async fn pre_start(
        &self,
        me: ActorRef<ConnectionMsg>,
        args: ConnectionArgs,
    ) -> Result<ConnectionState, ActorProcessingErr> {
        me.cast(ConnectionMsg::Connect)?;
        let session = args.lines.shared.sessions.begin(args.connection);
        Ok(ConnectionState {
            session,
            args,
            requests: JoinSet::new(),
            submitting: Arc::default(),
            attempts: 0,
            down_since: None,
            balance: None,
            surveying: false,
            survey_armed: false,
        })
    }

    async fn handle(
        &self,
        me: ActorRef<ConnectionMsg>,
        msg: ConnectionMsg,
        state: &mut ConnectionState,
    ) -> Result<(), ActorProcessingErr> {
        while state.requests.try_join_next().is_some() {}
        match msg {
            ConnectionMsg::Connect => state.connect(&me),
            ConnectionMsg::Connected(result) => state.connected(&me, result),
            ConnectionMsg::Submit(ticket) => {
                fault::point("broker_connection");
                state.submit(&me, *ticket);
            }
            ConnectionMsg::Cancel(order) => state.cancel(&me, *order),
            ConnectionMsg::LookUp(order) => state.look_up(&me, *order),
            ConnectionMsg::Resync => {
                if let Some(balance) = state.balance {
                    state.announce(&me, balance);
                }
            }
            ConnectionMsg::Survey => state.survey(&me),
            ConnectionMsg::SurveySoon => state.survey_soon(&me),
            ConnectionMsg::SurveyDue => {
                state.survey_armed = false;
                state.survey(&me);
            }
            ConnectionMsg::Surveyed(told) => state.surveyed(&me, *told),
            ConnectionMsg::Quote(symbol) => state.quote(&me, symbol),
            ConnectionMsg::Runway => state.runway(&me),
            ConnectionMsg::Poll => {
                state.survey(&me);
                me.send_after(POLL, || ConnectionMsg::Poll);
            }
            // The next life looks every open order up.
            ConnectionMsg::Panicked => return Err("a request to the broker panicked".into()),
        }
        Ok(())
    }
}

impl ConnectionState {
    /// Runs a request beside all others.
    fn request(&mut self, me: &ActorRef<ConnectionMsg>, request: impl Future<Output = ()> + Send + 'static) {
        let me = me.clone();
        self.requests.spawn(async move {
            if AssertUnwindSafe(request).catch_unwind().await.is_err()
                && me.cast(ConnectionMsg::Panicked).is_err()
            {
                tracing::debug!("the connection stopped before its request panicked");
            }
        });
    }

    fn connect(&mut self, me: &ActorRef<ConnectionMsg>) {
        let (broker, answered) = (Arc::clone(&self.args.broker), me.clone());
        self.request(me, async move {
            let result = broker.connect().await;
            if answered.cast(ConnectionMsg::Connected(result)).is_err() {
                tracing::debug!("the connection stopped while its session was opened");
            }
        });
    }

    fn connected(&mut self, me: &ActorRef<ConnectionMsg>, result: Result<Balance, BrokerError>) {
        let balance = match result {
            Ok(balance) => balance,
            Err(error) => {
                let pause = backoff(self.attempts);
                self.attempts = self.attempts.saturating_add(1);
                tracing::warn!(connection = %self.args.connection, %error, ?pause, "the broker session was not opened");
                self.is_down(&error);
                me.send_after(pause, || ConnectionMsg::Connect);
                return;
            }
        };
        self.attempts = 0;
        self.is_up();
        let lines = Arc::downgrade(&self.args.lines);
        let resumed = me.clone();
        self.args.broker.stream(Box::new(move |told| match (told, lines.upgrade()) {
            (Told::Report(report), Some(lines)) => lines.execution.tell(ExecutionMsg::Reported(report)),
            (Told::Resumed, Some(_)) => {
                if resumed.cast(ConnectionMsg::Resync).is_err() {
                    tracing::debug!("the connection stopped before its stream was resumed");
                }
            }
            (_, None) => {}
        }));
        self.announce(me, balance);
        me.send_after(POLL, || ConnectionMsg::Poll);
        self.runway(me);
    }

    /// Asks until when the account can be traded at, and again after a while.
    fn runway(&mut self, me: &ActorRef<ConnectionMsg>) {
        let (broker, user) = (Arc::clone(&self.args.broker), self.args.lines.user.clone());
        let connection = self.args.connection;
        self.request(me, async move {
            match broker.runway().await {
                Ok(until) => {
                    if user.cast(UserMsg::Runway(connection, until)).is_err() {
                        tracing::debug!("the user's actor is restarting");
                    }
                }
                Err(error) => tracing::debug!(%connection, %error, "the broker does not tell until when"),
            }
        });
        me.send_after(RUNWAY, || ConnectionMsg::Runway);
    }

    /// Takes note that the broker was reached.
    fn is_up(&mut self) {
        self.down_since = None;
        self.session.is(Session::Open);
        self.tell_user(UserMsg::Reached(self.args.connection));
    }

    /// Takes note that the broker was not reached; its owner is told when that lasts.
    fn is_down(&mut self, error: &BrokerError) {
        let (connection, shared) = (self.args.connection, &self.args.lines.shared);
        let now = shared.clock.stamp();
        let since = *self.down_since.get_or_insert(now);
        let reason = error.to_string();
        self.session.is(Session::Failed { reason: reason.clone() });
        if Duration::from_micros(now.since(since)) >= shared.offline_after {
            self.tell_user(UserMsg::Lost(connection, reason));
        }
    }

    fn tell_user(&self, msg: UserMsg) {
        if self.args.lines.user.cast(msg).is_err() {
            tracing::debug!("the user's actor is restarting");
        }
    }

    /// Execution looks open orders up first; only then the user hands over new signals.
    fn announce(&mut self, me: &ActorRef<ConnectionMsg>, balance: Balance) {
        self.balance = Some(balance);
        let (lines, connection) = (&self.args.lines, self.args.connection);
        let (broker, market) = (Arc::clone(&self.args.broker), Arc::clone(&self.args.market));
        let account = Connected { connection, actor: me.clone(), broker, market, balance };
        lines.execution.tell(ExecutionMsg::Connected(Box::new(account)));
        lines.risk.tell(RiskMsg::Balance(connection, balance));
        self.tell_user(UserMsg::Connected(connection, balance));
    }

    /// Submits an order, unless it is being submitted: the answer to that decides what comes next.
    fn submit(&mut self, me: &ActorRef<ConnectionMsg>, ticket: Ticket) {
        if !set(&self.submitting).insert(ticket.id) {
            return;
        }
        let submitting = Arc::clone(&self.submitting);
        let (broker, lines) = (Arc::clone(&self.args.broker), Arc::clone(&self.args.lines));
        let asking = me.clone();
        self.request(me, async move {
            let order = ticket.id;
            let sent = lines.shared.clock.stamp();
            let result = broker.submit(ticket).await;
            fault::point("broker_connection.answered");
            let acknowledged = lines.shared.clock.stamp();
            set(&submitting).remove(&order);
            if is_outage(&result) && asking.cast(ConnectionMsg::SurveySoon).is_err() {
                tracing::debug!("the connection stopped before its submission was answered");
            }
            lines.execution.tell(ExecutionMsg::Answered(Box::new(Answer {
                order,
                sent,
                acknowledged,
                result,
            })));
        });
    }

    fn cancel(&mut self, me: &ActorRef<ConnectionMsg>, order: Placed) {
        let (broker, lines) = (Arc::clone(&self.args.broker), Arc::clone(&self.args.lines));
        self.request(me, async move {
            fault::point("broker_connection.cancel");
            let id = order.ticket.id;
            if let Err(error) = broker.cancel(order).await {
                lines.execution.tell(ExecutionMsg::CancelFailed(id, error));
            }
        });
    }

    /// Looks an order up, unless it is being submitted: "not here" would prove nothing then, and the answer tells.
    fn look_up(&mut self, me: &ActorRef<ConnectionMsg>, order: Placed) {
        let id = order.ticket.id;
        if set(&self.submitting).contains(&id) {
            return;
        }
        let (broker, lines) = (Arc::clone(&self.args.broker), Arc::clone(&self.args.lines));
        self.request(me, async move {
            let result = broker.order(order).await.map(|found| found.map(Box::new));
            lines.execution.tell(ExecutionMsg::LookedUp(id, result));
        });
    }

    /// Asks for orders, positions and balance together. A question without an answer says nothing of any of them.
    fn survey(&mut self, me: &ActorRef<ConnectionMsg>) {
        if self.surveying {
            // What is being told may be older than the cause of this question.
            return self.survey_soon(me);
        }
        self.surveying = true;
        let (broker, lines) = (Arc::clone(&self.args.broker), Arc::clone(&self.args.lines));
        let (connection, answered) = (self.args.connection, me.clone());
        self.request(me, async move {
            let asked = lines.shared.clock.now();
            // Orders first: a fill between the answers then shows as a position too many, never as an order too few.
            let told = async {
                let orders = broker.open_orders().await?;
                let positions = broker.positions().await?;
                let balance = broker.balance().await?;
                Ok::<_, BrokerError>(Survey { connection, asked, orders, positions, balance })
            };
            if answered.cast(ConnectionMsg::Surveyed(Box::new(told.await))).is_err() {
                tracing::debug!("the connection stopped before the broker said what it has");
            }
        });
    }

    fn surveyed(&mut self, me: &ActorRef<ConnectionMsg>, told: Result<Survey, BrokerError>) {
        self.surveying = false;
        match told {
            Ok(survey) => {
                self.is_up();
                self.args.lines.execution.tell(ExecutionMsg::Surveyed(Box::new(survey)));
            }
            Err(error) => {
                let connection = self.args.connection;
                tracing::warn!(%connection, %error, "the broker did not tell what it has; asking again");
                self.is_down(&error);
                self.survey_soon(me);
            }
        }
    }

    fn survey_soon(&mut self, me: &ActorRef<ConnectionMsg>) {
        if !self.survey_armed {
            self.survey_armed = true;
            me.send_after(SURVEY_AGAIN, || ConnectionMsg::SurveyDue);
        }
    }

    fn quote(&mut self, me: &ActorRef<ConnectionMsg>, symbol: Symbol) {
        let (broker, lines) = (Arc::clone(&self.args.broker), Arc::clone(&self.args.lines));
        let connection = self.args.connection;
        self.request(me, async move {
            let asked = match tokio::time::timeout(PRICE_PATIENCE, broker.quote(symbol)).await {
                Ok(Ok(quote)) => Ok(quote),
                Ok(Err(BrokerError::Refused(refusal))) => {
                    tracing::warn!(%connection, %symbol, error = %refusal.message, "no price was told");
                    if refusal.code == RefusalCode::AuthFailed { Err(refusal) } else { Ok(None) }
                }
                // That it did not answer does not say that there is none: Risk asks again, for a while.
                Ok(Err(error)) => {
                    return tracing::warn!(%connection, %symbol, %error, "a price is not told yet");
                }
                Err(_) => return tracing::warn!(%connection, %symbol, "a price takes long to be told"),
            };
            lines.risk.tell(RiskMsg::Quoted(connection, symbol, asked));
        });
    }
}

/// Returns whether an answer may mean that the broker cannot be reached at all.
const fn is_outage(result: &Result<OrderReport, BrokerError>) -> bool {
    match result {
        Err(BrokerError::NotReceived { code, .. }) => matches!(code, RefusalCode::BrokerUnavailable),
        Err(BrokerError::Unknown(_)) => true,
        Ok(_) | Err(BrokerError::HeldBack { .. } | BrokerError::Refused(_) | BrokerError::Taken(_)) => false,
    }
}

fn set(orders: &Mutex<BTreeSet<ClientOrderId>>) -> MutexGuard<'_, BTreeSet<ClientOrderId>> {
    orders.lock().unwrap_or_else(PoisonError::into_inner)
}
