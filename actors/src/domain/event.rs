//! All that can happen. An event is the payload of a record; projections and actors follow from events alone.

mod naming;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::canonical;
use super::ids::{BrokerOrderId, ClientOrderId, ConnectionId, SignalId, SourceId, UserId};
use super::instrument::{AssetClass, Symbol};
use super::money::{Money, Net, Price, Quantity};
use super::order::{Fill, Mode, OrderStep, Ticket};
use super::portfolio::Balance;
use super::position::Position;
use super::protection::Protection;
use super::record::{Statement, Status};
use super::report::ReportedState;
use super::risk::{Decision, Denial, Limits, SourceLimits};
use super::signal::{OrderKind, Side, Signal};
use super::stages::Stages;
use super::user::{Connection, Role};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The engine came up on this log.
    EngineStarted {
        /// Its version.
        version: String,
    },
    /// The engine went down in good order.
    EngineStopped,
    /// The master key has a new version; credentials are sealed under it from now on.
    MasterKeyRotated {
        /// Its number.
        version: u32,
    },

    /// A person was added.
    UserCreated {
        /// Shown name.
        name: String,
        /// What they may do.
        role: Role,
        /// Their risk limits.
        limits: Limits,
    },
    /// A person's actors failed too often; their signals are refused until an operator resumes them.
    UserSuspended {
        /// What failed.
        reason: String,
    },
    /// An operator lifted a suspension.
    UserResumed,
    /// A broker account was connected.
    ConnectionAdded {
        /// The account.
        connection: Connection,
    },
    /// A broker account was taken away; its open orders stay with the broker.
    ConnectionRemoved {
        /// The account.
        connection: ConnectionId,
    },
    /// The owner of a broker account let this program in anew; what opened it before is replaced.
    ConnectionRenewed {
        /// The account.
        connection: ConnectionId,
    },
    /// Signals that name no account go to this one from now on.
    DefaultConnectionSet {
        /// The account.
        connection: ConnectionId,
    },
    /// A broker account could not be reached for a while, so that its owner is told.
    ConnectionLost {
        /// The account.
        connection: ConnectionId,
        /// Its shown name.
        name: String,
        /// What the last attempt came to.
        reason: String,
    },
    /// It can be reached again.
    ConnectionRestored {
        /// The account.
        connection: ConnectionId,
        /// Its shown name.
        name: String,
    },
    /// A broker told until when an account can be traded at.
    ConnectionRunway {
        /// The account.
        connection: ConnectionId,
        /// Until when; absent: no end is known any more.
        until: Option<DateTime<Utc>>,
    },
    /// A broker account can be traded at for so long only, unless its owner does something.
    SessionEnding {
        /// The account.
        connection: ConnectionId,
        /// Its shown name.
        name: String,
        /// Until when.
        until: DateTime<Utc>,
        /// Which of the warnings this is: at most so many hours are left.
        hours: u32,
    },
    /// Signals for a kind of market that name no account go to this one from now on.
    RouteSet {
        /// The kind of market.
        class: AssetClass,
        /// The account; absent: the default one.
        connection: Option<ConnectionId>,
    },
    /// Trading with real money was switched on or off at an account.
    LiveTradingSet {
        /// The account.
        connection: ConnectionId,
        /// Whether it is on.
        is_on: bool,
    },
    /// Risk limits were changed.
    LimitsChanged {
        /// All limits from now on.
        limits: Limits,
    },
    /// The limits for signals of one source were changed; absent: only the user's own hold.
    SourceLimitsChanged {
        /// Of which source.
        source: SourceId,
        /// All of them from now on.
        limits: Option<SourceLimits>,
    },
    /// A source was made.
    SourceCreated {
        /// Its id.
        source: SourceId,
        /// Shown name.
        name: String,
        /// SHA-256 of the URL's secret, in hexadecimal; absent for a source without a URL.
        token_hash: Option<String>,
    },
    /// A source's URL was replaced; the old one is dead.
    SourceRotated {
        /// Its id.
        source: SourceId,
        /// How many URLs it had before.
        version: u32,
        /// SHA-256 of the new URL's secret.
        token_hash: String,
    },
    /// The user follows a source from now on.
    SourceFollowed {
        /// Which.
        source: SourceId,
    },
    /// The user follows a source no longer.
    SourceUnfollowed {
        /// Which.
        source: SourceId,
    },

    /// A signal was accepted.
    SignalReceived {
        /// The signal.
        signal: Signal,
        /// For how many followers it is to be decided.
        recipients: u32,
        /// The delivery's body, shortened, secrets masked.
        excerpt: String,
    },
    /// The same delivery came again; nothing was done.
    SignalRepeated {
        /// The first one.
        signal: SignalId,
        /// From where.
        source: SourceId,
    },
    /// A delivery could not be read; nothing was done.
    SignalRefused {
        /// From where.
        source: SourceId,
        /// Stable code.
        code: String,
        /// The field at fault.
        field: Option<String>,
        /// What the sender reads.
        message: String,
        /// The delivery's body, shortened, secrets masked.
        excerpt: String,
    },

    /// An order was decided. From here on it is never forgotten.
    OrderCreated {
        /// What is to be done.
        ticket: Ticket,
        /// At which broker.
        broker: String,
        /// With which money.
        mode: Mode,
        /// The numbers of the decision.
        decision: Decision,
        /// Stages passed so far.
        stages: Stages,
    },
    /// A signal was denied for this user; no order exists at any broker.
    OrderDenied {
        /// What was asked for, as far as it was known.
        ticket: Ticket,
        /// At which broker it would have been.
        broker: String,
        /// With which money.
        mode: Mode,
        /// Why.
        denial: Denial,
        /// The numbers of the decision.
        decision: Decision,
        /// Stages passed so far.
        stages: Stages,
    },
    /// An order took a step.
    OrderMoved {
        /// Which order.
        order: ClientOrderId,
        /// The step.
        #[serde(flatten)]
        step: OrderStep,
        /// Stages passed since the last record.
        stages: Stages,
    },
    /// A fill changed a position; a flat one is closed.
    PositionChanged {
        /// The position now.
        position: Position,
        /// What the change took as profit.
        realized: Money,
        /// Whether it was opened by this change.
        opened: bool,
    },
    /// The broker told the account's balance.
    BalanceSeen {
        /// Which account.
        connection: ConnectionId,
        /// The balance.
        balance: Balance,
    },

    /// What protects a position was changed; absent: nothing does any more.
    ProtectionChanged {
        /// At which account.
        connection: ConnectionId,
        /// In what.
        symbol: Symbol,
        /// All that protects it from now on.
        protection: Option<Protection>,
        /// Why.
        reason: String,
    },
    /// A signal changed what exists instead of becoming an order.
    SignalApplied {
        /// Which.
        signal: SignalId,
        /// For the position in.
        symbol: Symbol,
        /// What protects the position now, in words.
        detail: String,
    },
    /// A signal was to change what exists, and could not.
    SignalDenied {
        /// Which.
        signal: SignalId,
        /// For the position in.
        symbol: Symbol,
        /// Why.
        denial: Denial,
    },
    /// A position has no working stop, and nobody watches its price.
    PositionUnprotected {
        /// At which account.
        connection: ConnectionId,
        /// In what.
        symbol: Symbol,
        /// How much of it.
        open: Quantity,
        /// Why.
        reason: String,
    },
    /// The broker holds another position than the orders made: it was changed outside, and is taken over.
    DriftFound {
        /// What the orders made.
        ours: Net,
        /// The position as the broker holds it.
        position: Position,
        /// The latest price, at which the difference counts as brought in or taken out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        price: Option<Price>,
    },
    /// Cash came or went that no order moved: a deposit, a withdrawal, a dividend.
    CashMoved {
        /// At which account.
        connection: ConnectionId,
        /// How much; negative when it went.
        amount: Money,
        /// The balance after it.
        balance: Balance,
    },

    /// Trading stops for new orders.
    TradingHalted {
        /// For whom: this user, or everybody.
        scope: Scope,
        /// Who did it.
        by: String,
        /// Why.
        reason: String,
        /// What made it necessary.
        #[serde(default)]
        cause: HaltCause,
        /// When it ends by itself; absent: when somebody resumes trading.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<DateTime<Utc>>,
    },
    /// Trading goes on.
    TradingResumed {
        /// For whom.
        scope: Scope,
        /// Who did it.
        by: String,
    },

    /// A login succeeded.
    LoginSucceeded {
        /// By which means.
        method: String,
    },
    /// A login failed.
    LoginFailed {
        /// By which means.
        method: String,
    },
    /// An API token was made.
    TokenCreated {
        /// Its public id.
        token: String,
        /// Shown name.
        name: String,
        /// What it may do.
        scopes: Vec<String>,
    },
    /// An API token was revoked.
    TokenRevoked {
        /// Its public id.
        token: String,
    },

    /// The paper broker opened an account.
    PaperOpened {
        /// Which.
        connection: ConnectionId,
        /// With how much.
        cash: Money,
    },
    /// The paper broker took an order into its book (and perhaps filled it at once).
    PaperBooked {
        /// Which account.
        connection: ConnectionId,
        /// The client's id.
        order: ClientOrderId,
        /// The paper broker's id.
        broker_order: BrokerOrderId,
        /// In what.
        symbol: Symbol,
        /// Which way.
        side: Side,
        /// How much.
        quantity: Quantity,
        /// How.
        kind: OrderKind,
        /// Where it stands.
        state: ReportedState,
        /// Executions.
        fills: Vec<Fill>,
    },
    /// An order in the paper broker's book moved.
    PaperMoved {
        /// Which account.
        connection: ConnectionId,
        /// The client's id.
        order: ClientOrderId,
        /// Where it stands.
        state: ReportedState,
        /// New executions.
        fills: Vec<Fill>,
    },
}

/// What made it necessary to stop trading.
///
/// From mild to strict: a stricter halt takes the place of a milder one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HaltCause {
    /// A person stopped it.
    #[default]
    Person,
    /// The day's loss came near its limit, or passed it.
    DailyLoss,
    /// The circuit breaker: only an operator resumes trading.
    CircuitBreaker,
}

/// Whom a halt concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One user.
    User,
    /// Everybody on this engine.
    Global,
}

/// Who caused an event from outside; absent for the engine's own doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Address.
    pub ip: Option<String>,
    /// Software.
    pub agent: Option<String>,
}

/// An event ready to be recorded.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Whose it is.
    pub user: Option<UserId>,
    /// What happened.
    pub event: Arc<Event>,
    /// What the log will say.
    pub statement: Statement,
}

impl Fact {
    /// Words an event of the engine's own doing.
    #[must_use]
    pub fn new(user: Option<UserId>, event: impl Into<Arc<Event>>) -> Self {
        Self::by(user, event, &Caller::default())
    }

    /// Words an event caused by a caller.
    #[must_use]
    pub fn by(user: Option<UserId>, event: impl Into<Arc<Event>>, caller: &Caller) -> Self {
        let event = event.into();
        let (resource_type, resource_id) = event.resource();
        let error_message = event.failure();
        let statement = Statement {
            user_id: user.map(|user| user.to_string()),
            action: event.action().to_owned(),
            resource_type: resource_type.to_owned(),
            resource_id,
            ip_address: caller.ip.clone(),
            user_agent: caller.agent.clone(),
            status: if error_message.is_some() { Status::Failure } else { Status::Success },
            error_message,
            payload: event.canonical(),
        };
        Self { user, event, statement }
    }
}

/// A committed event with its place in the log.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The record's number.
    pub seq: u64,
    /// When it was committed.
    pub at: DateTime<Utc>,
    /// Whose it is.
    pub user: Option<UserId>,
    /// What happened.
    pub event: Arc<Event>,
}

impl Event {
    /// Returns whether it changes a source, or who follows it.
    pub(crate) const fn concerns_sources(&self) -> bool {
        matches!(
            self,
            Self::SourceCreated { .. }
                | Self::SourceRotated { .. }
                | Self::SourceFollowed { .. }
                | Self::SourceUnfollowed { .. }
        )
    }

    /// Returns the event as canonical JSON (RFC 8785).
    ///
    /// All keys are ASCII and all numbers are strings or integers below 2^53, so sorting the keys is all there is to do.
    fn canonical(&self) -> Option<String> {
        serde_json::to_string(self).ok().map(|json| canonical::sorted(&json))
    }

    /// Reads an event back from a record's payload.
    ///
    /// # Errors
    /// When the payload is not an event of this version.
    pub fn parse(payload: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(payload)
    }
}
