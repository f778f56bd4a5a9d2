//! What a user's screens are told of an event. The WebSocket `seq` counts these, so it follows from the log.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::event::{Event, HaltCause, Scope};
use super::feed::FeedRow;
use super::ids::{ConnectionId, UserId};
use super::money::{Money, Price};
use super::order::{Fill, Order, OrderStatus, OrderStep};
use super::portfolio::{Balance, Quote, Summary};
use super::position::Position;
use super::protection::Protection;

/// One message for one user's screens.
#[derive(Clone, Debug)]
pub struct Push {
    /// For whom.
    pub user: UserId,
    /// The user's count of numbered messages, this one included if it is numbered.
    pub seq: u64,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// What.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug)]
pub enum Body {
    /// An order changed.
    Trade {
        /// How.
        kind: TradeKind,
        /// The order as it is now.
        order: Arc<Order>,
        /// The execution, when it is one.
        fill: Option<Fill>,
    },
    /// A position changed.
    Position {
        /// How.
        kind: PositionKind,
        /// The position as it is now.
        position: Position,
        /// Profit taken by the change.
        realized: Money,
    },
    /// A delivery arrived, or its outcome is known.
    Signal {
        /// The feed's row.
        row: Arc<FeedRow>,
        /// Whether it was refused.
        rejected: bool,
    },
    /// Trading was stopped or goes on.
    Trading {
        /// Stopped.
        halted: bool,
        /// For whom.
        scope: Scope,
        /// By whom.
        by: String,
        /// Why.
        reason: String,
        /// What made it necessary; absent: trading goes on.
        cause: Option<HaltCause>,
        /// When it ends by itself, if it does.
        until: Option<DateTime<Utc>>,
    },
    /// An order was shrunk by the rules.
    Resized {
        /// The order.
        order: Arc<Order>,
        /// Why, in words.
        message: String,
    },
    /// Something the person should know.
    Notification(Notification),
    /// The balance, as the broker told it (not numbered; the latest counts).
    Balance {
        /// Which account.
        connection: ConnectionId,
        /// The balance.
        balance: Balance,
    },
    /// The portfolio at the latest prices (not numbered; the latest counts).
    Portfolio {
        /// The totals.
        summary: Summary,
        /// The positions.
        positions: Vec<Shown>,
    },
    /// A price (not numbered; the latest counts).
    Quote(Quote),
}

/// A position as a screen shows it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The position.
    pub position: Position,
    /// Its price, at its own broker.
    pub price: Option<Price>,
    /// The broker.
    pub broker: String,
    /// What protects it.
    pub protection: Option<Protection>,
}

/// How an order changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TradeKind {
    /// It was decided.
    Created,
    /// The broker has it.
    Submitted,
    /// A part was executed.
    Partial,
    /// All of it was executed.
    Filled,
    /// It ended before it was done.
    Cancelled,
    /// Refused, by us or by the broker.
    Rejected,
    /// It could not be sent, or its time ran out.
    Failed,
    /// Anything else.
    Updated,
}

/// How a position changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionKind {
    /// It is new.
    Opened,
    /// It is flat now.
    Closed,
    /// It grew or shrank.
    Modified,
}

/// A text for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// How much it matters.
    pub level: NotificationLevel,
    /// In a few words.
    pub title: String,
    /// What happened, what was not done, what to do.
    pub message: String,
}

/// How much a text matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotificationLevel {
    /// Good to know.
    Info,
    /// Look at it.
    Warning,
    /// Act.
    Error,
}

impl Body {
    /// Returns whether the message advances the user's `seq`.
    #[must_use]
    pub const fn is_numbered(&self) -> bool {
        !matches!(self, Self::Balance { .. } | Self::Portfolio { .. } | Self::Quote(_))
    }
}

/// Returns what the user's screens are told of `event`, in order.
///
/// `order` is the order after the event, `row` the feed's row after it, when the event concerns one.
#[must_use]
#[expect(clippy::too_many_lines, reason = "an arm an event, so that the compiler finds what a new one lacks")]
pub fn bodies(event: &Event, order: Option<&Arc<Order>>, row: Option<&Arc<FeedRow>>) -> Vec<Body> {
    let trade = |kind, fill| order.map(|order| Body::Trade { kind, order: Arc::clone(order), fill });
    let signal = |rejected| row.map(|row| Body::Signal { row: Arc::clone(row), rejected });
    match event {
        Event::OrderCreated { .. } => {
            let resized = order.and_then(|order| {
                let note =
                    order.decision.notes.iter().find(|note| note.starts_with("Position sized reduced"))?;
                Some(Body::Resized { order: Arc::clone(order), message: note.clone() })
            });
            signal(false).into_iter().chain(trade(TradeKind::Created, None)).chain(resized).collect()
        }
        Event::OrderDenied { .. } => {
            signal(true).into_iter().chain(trade(TradeKind::Rejected, None)).collect()
        }
        Event::OrderMoved { step, .. } => {
            let (kind, fill) = trade_kind(step, order.map(|order| order.status));
            let became = row.and_then(|row| signal(row.outcome.is_negative()));
            trade(kind, fill).into_iter().chain(became).collect()
        }
        Event::PositionChanged { position, realized, opened } => {
            let kind = if *opened {
                PositionKind::Opened
            } else if position.net.is_flat() {
                PositionKind::Closed
            } else {
                PositionKind::Modified
            };
            vec![Body::Position { kind, position: position.clone(), realized: *realized }]
        }
        Event::DriftFound { ours, position, .. } => {
            let kind = if position.net.is_flat() { PositionKind::Closed } else { PositionKind::Modified };
            let message = format!(
                "{} was changed outside: {ours} expected, {} held. The position was taken over as the broker holds it; \
                 nothing was traded.",
                position.symbol, position.net
            );
            vec![
                Body::Position { kind, position: position.clone(), realized: Money::ZERO },
                warning("Position changed outside", message),
            ]
        }
        Event::PositionUnprotected { symbol, open, reason, .. } => {
            vec![Body::Notification(Notification {
                level: NotificationLevel::Error,
                title: "Position without a stop".to_owned(),
                message: format!(
                    "{open} {symbol} have no working stop: {reason}. The broker is asked again; close the position \
                     if you do not want to wait."
                ),
            })]
        }
        Event::CashMoved { connection, amount, balance } => {
            let what = if *amount < Money::ZERO { "withdrawn" } else { "deposited" };
            let message =
                format!("{} {what}, outside of any order.", Money::new(amount.get().abs()).dollars());
            vec![
                Body::Balance { connection: *connection, balance: *balance },
                warning("Cash changed outside", message),
            ]
        }
        Event::BalanceSeen { connection, balance } => {
            vec![Body::Balance { connection: *connection, balance: *balance }]
        }
        Event::SignalReceived { .. } | Event::SignalRepeated { .. } | Event::SignalApplied { .. } => {
            signal(false).into_iter().collect()
        }
        Event::SignalRefused { .. } | Event::SignalDenied { .. } => signal(true).into_iter().collect(),
        Event::TradingHalted { scope, by, reason, cause, until } => {
            let alarm = (*cause != HaltCause::Person).then(|| {
                Body::Notification(Notification {
                    level: NotificationLevel::Error,
                    title: "Trading stopped".to_owned(),
                    message: reason.clone(),
                })
            });
            let (by, reason) = (by.clone(), reason.clone());
            let (cause, until) = (Some(*cause), *until);
            let halted = Body::Trading { halted: true, scope: *scope, by, reason, cause, until };
            std::iter::once(halted).chain(alarm).collect()
        }
        Event::TradingResumed { scope, by } => {
            let (by, reason, cause, until) = (by.clone(), String::new(), None, None);
            vec![Body::Trading { halted: false, scope: *scope, by, reason, cause, until }]
        }
        Event::ConnectionLost { name, reason, .. } => {
            let message = format!(
                "{name} cannot be reached: {reason}. It is tried again and again. Until it answers, new orders there are \
                 refused, and stops that the broker holds stay there."
            );
            let (level, title) = (NotificationLevel::Error, "Broker offline".to_owned());
            vec![Body::Notification(Notification { level, title, message })]
        }
        Event::ConnectionRestored { name, .. } => {
            let message = format!("{name} answers again. New orders are taken.");
            let (level, title) = (NotificationLevel::Info, "Broker back online".to_owned());
            vec![Body::Notification(Notification { level, title, message })]
        }
        Event::SessionEnding { name, until, .. } => {
            let until = until.format("%A %-d %B %H:%M UTC");
            let message = format!(
                "{name} can be traded at until {until}. Log in there again or renew its key before, or \
                 nothing is traded there from then on."
            );
            vec![warning("Broker login ends soon", message)]
        }
        Event::UserSuspended { reason } => vec![Body::Notification(Notification {
            level: NotificationLevel::Error,
            title: "Trading suspended".to_owned(),
            message: format!(
                "{reason}. New signals are refused. Ask the operator to look into it and resume."
            ),
        })],
        Event::UserResumed => vec![Body::Notification(Notification {
            level: NotificationLevel::Info,
            title: "Trading resumed".to_owned(),
            message: "The operator lifted the suspension. New signals are taken again.".to_owned(),
        })],
        Event::EngineStarted { .. }
        | Event::EngineStopped
        | Event::MasterKeyRotated { .. }
        | Event::ConnectionRunway { .. }
        | Event::UserCreated { .. }
        | Event::ConnectionAdded { .. }
        | Event::LimitsChanged { .. }
        | Event::SourceCreated { .. }
        | Event::SourceRotated { .. }
        | Event::SourceFollowed { .. }
        | Event::SourceUnfollowed { .. }
        | Event::LoginSucceeded { .. }
        | Event::LoginFailed { .. }
        | Event::ConnectionRemoved { .. }
        | Event::ConnectionRenewed { .. }
        | Event::DefaultConnectionSet { .. }
        | Event::RouteSet { .. }
        | Event::LiveTradingSet { .. }
        | Event::SourceLimitsChanged { .. }
        | Event::ProtectionChanged { .. }
        | Event::TokenCreated { .. }
        | Event::TokenRevoked { .. }
        | Event::PaperOpened { .. }
        | Event::PaperBooked { .. }
        | Event::PaperMoved { .. } => Vec::new(),
    }
}

/// Words what operators are told of an account that the circuit breaker locked.
#[must_use]
pub fn under_review(name: &str, user: UserId, reason: &str) -> Notification {
    Notification {
        level: NotificationLevel::Error,
        title: format!("Circuit breaker: {name}"),
        message: format!(
            "{reason} Every position of {name} ({user}) is being closed, and new orders are refused. Review the account, \
             then resume it."
        ),
    }
}

fn warning(title: &str, message: String) -> Body {
    Body::Notification(Notification { level: NotificationLevel::Warning, title: title.to_owned(), message })
}

fn trade_kind(step: &OrderStep, status: Option<OrderStatus>) -> (TradeKind, Option<Fill>) {
    match step {
        OrderStep::Accepted { .. } => (TradeKind::Submitted, None),
        OrderStep::Filled { fill } if status == Some(OrderStatus::Filled) => {
            (TradeKind::Filled, Some(fill.clone()))
        }
        OrderStep::Filled { fill } => (TradeKind::Partial, Some(fill.clone())),
        OrderStep::Rejected { .. } => (TradeKind::Rejected, None),
        OrderStep::Canceled { .. } => (TradeKind::Cancelled, None),
        OrderStep::Expired { .. } | OrderStep::Failed { .. } => (TradeKind::Failed, None),
        OrderStep::CancelRequested { .. }
        | OrderStep::Deferred { .. }
        | OrderStep::OutcomeLost { .. }
        | OrderStep::Queued { .. }
        | OrderStep::Released
        | OrderStep::Amended { .. }
        | OrderStep::Retried { .. } => (TradeKind::Updated, None),
    }
}
