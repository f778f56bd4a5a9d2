//! What a record says of an event beside the event itself: the action, the thing it happened to, whether it failed.

use super::{Event, OrderStep};

impl Event {
    /// Returns the record's action (FR-052, FR-053 and the engine's own).
    #[must_use]
    pub const fn action(&self) -> &'static str {
        match self {
            Self::EngineStarted { .. } => "ENGINE_STARTED",
            Self::EngineStopped => "ENGINE_STOPPED",
            Self::MasterKeyRotated { .. } => "MASTER_KEY_ROTATED",
            Self::UserCreated { .. } => "USER_CREATED",
            Self::UserSuspended { .. } => "USER_SUSPENDED",
            Self::UserResumed => "USER_RESUMED",
            Self::ConnectionAdded { .. } => "BROKER_CONNECTED",
            Self::ConnectionRemoved { .. } => "BROKER_DISCONNECTED",
            Self::ConnectionRenewed { .. } => "BROKER_RENEWED",
            Self::DefaultConnectionSet { .. } => "BROKER_CHOSEN",
            Self::ConnectionLost { .. } => "BROKER_LOST",
            Self::ConnectionRestored { .. } => "BROKER_RESTORED",
            Self::ConnectionRunway { .. } => "BROKER_RUNWAY",
            Self::SessionEnding { .. } => "BROKER_SESSION_ENDING",
            Self::RouteSet { .. } => "BROKER_ROUTED",
            Self::LiveTradingSet { is_on: true, .. } => "LIVE_TRADING_ON",
            Self::LiveTradingSet { is_on: false, .. } => "LIVE_TRADING_OFF",
            Self::LimitsChanged { .. } => "LIMITS_CHANGED",
            Self::SourceLimitsChanged { .. } => "SOURCE_LIMITS_CHANGED",
            Self::SourceCreated { .. } => "SOURCE_CREATED",
            Self::SourceRotated { .. } => "SOURCE_ROTATED",
            Self::SourceFollowed { .. } => "SOURCE_FOLLOWED",
            Self::SourceUnfollowed { .. } => "SOURCE_UNFOLLOWED",
            Self::SignalReceived { .. } => "SIGNAL_RECEIVED",
            Self::SignalRepeated { .. } => "SIGNAL_REPEATED",
            Self::SignalRefused { .. } => "SIGNAL_REFUSED",
            Self::OrderCreated { .. } => "ORDER_CREATED",
            Self::OrderDenied { .. } => "ORDER_DENIED",
            Self::OrderMoved { step, .. } => match step {
                OrderStep::Accepted { .. } => "ORDER_SUBMITTED",
                OrderStep::Filled { .. } => "TRADE_EXECUTED",
                OrderStep::Rejected { .. } => "ORDER_REJECTED",
                OrderStep::CancelRequested { .. } => "ORDER_CANCEL_REQUESTED",
                OrderStep::Canceled { .. } => "ORDER_CANCELLED",
                OrderStep::Expired { .. } => "ORDER_EXPIRED",
                OrderStep::Queued { .. } => "ORDER_QUEUED",
                OrderStep::Released => "ORDER_RELEASED",
                OrderStep::Amended { .. } => "ORDER_AMENDED",
                OrderStep::Retried { .. } => "ORDER_RETRIED",
                OrderStep::Deferred { .. } => "ORDER_DEFERRED",
                OrderStep::OutcomeLost { .. } => "ORDER_UNKNOWN",
                OrderStep::Failed { .. } => "ORDER_FAILED",
            },
            Self::PositionChanged { position, opened, .. } => {
                if *opened {
                    "POSITION_OPENED"
                } else if position.net.is_flat() {
                    "POSITION_CLOSED"
                } else {
                    "POSITION_MODIFIED"
                }
            }
            Self::BalanceSeen { .. } => "BALANCE_SEEN",
            Self::ProtectionChanged { .. } => "PROTECTION_CHANGED",
            Self::PositionUnprotected { .. } => "POSITION_UNPROTECTED",
            Self::SignalApplied { .. } => "SIGNAL_APPLIED",
            Self::SignalDenied { .. } => "SIGNAL_DENIED",
            Self::DriftFound { .. } => "DRIFT_FOUND",
            Self::CashMoved { .. } => "CASH_MOVED",
            Self::TradingHalted { .. } => "TRADING_HALTED",
            Self::TradingResumed { .. } => "TRADING_RESUMED",
            Self::LoginSucceeded { .. } => "LOGIN_SUCCESS",
            Self::LoginFailed { .. } => "LOGIN_FAILED",
            Self::TokenCreated { .. } => "TOKEN_CREATED",
            Self::TokenRevoked { .. } => "TOKEN_REVOKED",
            Self::PaperOpened { .. } => "PAPER_ACCOUNT_OPENED",
            Self::PaperBooked { .. } => "PAPER_ORDER_BOOKED",
            Self::PaperMoved { .. } => "PAPER_ORDER_MOVED",
        }
    }

    /// Returns the kind and id of the thing it happened to.
    #[must_use]
    pub fn resource(&self) -> (&'static str, Option<String>) {
        match self {
            Self::EngineStarted { .. } | Self::EngineStopped => ("Engine", None),
            Self::MasterKeyRotated { version } => ("MasterKey", Some(version.to_string())),
            Self::UserCreated { .. } | Self::UserSuspended { .. } | Self::UserResumed => ("User", None),
            Self::ConnectionAdded { connection } => ("BrokerConnection", Some(connection.id.to_string())),
            Self::ConnectionRemoved { connection }
            | Self::ConnectionLost { connection, .. }
            | Self::ConnectionRestored { connection, .. }
            | Self::ConnectionRunway { connection, .. }
            | Self::SessionEnding { connection, .. }
            | Self::ConnectionRenewed { connection }
            | Self::DefaultConnectionSet { connection }
            | Self::LiveTradingSet { connection, .. } => ("BrokerConnection", Some(connection.to_string())),
            Self::RouteSet { class, .. } => ("Route", Some(class.as_str().to_owned())),
            Self::LimitsChanged { .. } => ("Limits", None),
            Self::SourceLimitsChanged { source, .. } => ("Limits", Some(source.to_string())),
            Self::SourceCreated { source, .. }
            | Self::SourceRotated { source, .. }
            | Self::SourceFollowed { source }
            | Self::SourceUnfollowed { source } => ("Source", Some(source.to_string())),
            Self::SignalReceived { signal, .. } => ("Signal", Some(signal.id.to_string())),
            Self::SignalRepeated { signal, .. }
            | Self::SignalApplied { signal, .. }
            | Self::SignalDenied { signal, .. } => ("Signal", Some(signal.to_string())),
            Self::SignalRefused { source, .. } => ("Source", Some(source.to_string())),
            Self::OrderCreated { ticket, .. } | Self::OrderDenied { ticket, .. } => {
                ("Trade", Some(ticket.id.to_string()))
            }
            Self::OrderMoved { order, .. } => ("Trade", Some(order.to_string())),
            Self::PositionChanged { position, .. } | Self::DriftFound { position, .. } => {
                ("Position", Some(position.symbol.to_string()))
            }
            Self::ProtectionChanged { symbol, .. } | Self::PositionUnprotected { symbol, .. } => {
                ("Position", Some(symbol.to_string()))
            }
            Self::BalanceSeen { connection, .. } | Self::CashMoved { connection, .. } => {
                ("BrokerConnection", Some(connection.to_string()))
            }
            Self::TradingHalted { .. } | Self::TradingResumed { .. } => ("Trading", None),
            Self::LoginSucceeded { .. } | Self::LoginFailed { .. } => ("Session", None),
            Self::TokenCreated { token, .. } | Self::TokenRevoked { token } => ("Token", Some(token.clone())),
            Self::PaperOpened { connection, .. } => ("PaperAccount", Some(connection.to_string())),
            Self::PaperBooked { order, .. } | Self::PaperMoved { order, .. } => {
                ("PaperOrder", Some(order.to_string()))
            }
        }
    }

    /// Returns why it is a failure, when it is one.
    pub(super) fn failure(&self) -> Option<String> {
        match self {
            Self::SignalRefused { message, .. } => Some(message.clone()),
            Self::OrderDenied { denial, .. } | Self::SignalDenied { denial, .. } => {
                Some(denial.message.clone())
            }
            Self::UserSuspended { reason } | Self::PositionUnprotected { reason, .. } => Some(reason.clone()),
            Self::LoginFailed { .. } => Some("login failed".to_owned()),
            Self::OrderMoved { step, .. } => match step {
                OrderStep::Rejected { reason, .. }
                | OrderStep::Expired { reason, .. }
                | OrderStep::Deferred { reason, .. }
                | OrderStep::OutcomeLost { reason }
                | OrderStep::Failed { reason, .. } => Some(reason.clone()),
                OrderStep::Accepted { .. }
                | OrderStep::Filled { .. }
                | OrderStep::Queued { .. }
                | OrderStep::Released
                | OrderStep::Amended { .. }
                | OrderStep::Retried { .. }
                | OrderStep::CancelRequested { .. }
                | OrderStep::Canceled { .. } => None,
            },
            Self::EngineStarted { .. }
            | Self::EngineStopped
            | Self::MasterKeyRotated { .. }
            | Self::UserCreated { .. }
            | Self::UserResumed
            | Self::ConnectionAdded { .. }
            | Self::ConnectionRemoved { .. }
            | Self::ConnectionRenewed { .. }
            | Self::DefaultConnectionSet { .. }
            | Self::ConnectionLost { .. }
            | Self::ConnectionRestored { .. }
            | Self::ConnectionRunway { .. }
            | Self::SessionEnding { .. }
            | Self::RouteSet { .. }
            | Self::LiveTradingSet { .. }
            | Self::LimitsChanged { .. }
            | Self::SourceLimitsChanged { .. }
            | Self::SourceCreated { .. }
            | Self::SourceRotated { .. }
            | Self::SourceFollowed { .. }
            | Self::SourceUnfollowed { .. }
            | Self::SignalReceived { .. }
            | Self::SignalRepeated { .. }
            | Self::SignalApplied { .. }
            | Self::OrderCreated { .. }
            | Self::PositionChanged { .. }
            | Self::BalanceSeen { .. }
            | Self::ProtectionChanged { .. }
            | Self::DriftFound { .. }
            | Self::CashMoved { .. }
            | Self::TradingHalted { .. }
            | Self::TradingResumed { .. }
            | Self::LoginSucceeded { .. }
            | Self::TokenCreated { .. }
            | Self::TokenRevoked { .. }
            | Self::PaperOpened { .. }
            | Self::PaperBooked { .. }
            | Self::PaperMoved { .. } => None,
        }
    }
}
