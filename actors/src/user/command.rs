//! What a person asks of their own trading.

use ractor::RpcReplyPort;

use crate::domain::event::Caller;
use crate::domain::ids::{ClientOrderId, ConnectionId, SourceId};
use crate::domain::instrument::AssetClass;
use crate::domain::protection::{ProtectionChange, Unfit};
use crate::domain::risk::{Limits, SourceLimits};
use crate::domain::user::Connection;
use crate::execution::{Change, Key};

/// What a person asks of their own trading.
#[derive(Debug)]
pub enum Command {
    /// Cancel an order.
    Cancel {
        /// Which.
        order: ClientOrderId,
        /// Why.
        reason: String,
    },
    /// Change an order that waits; answered whether it still did.
    Amend {
        /// Which.
        order: ClientOrderId,
        /// To what.
        change: Change,
        /// Gets the answer.
        reply: RpcReplyPort<bool>,
    },
    /// Change what protects a position; answered once that is recorded, or not possible.
    Protect {
        /// Which position.
        position: Key,
        /// What is to be another.
        change: ProtectionChange,
        /// Gets the answer.
        reply: RpcReplyPort<Result<(), Unfit>>,
    },
    /// Stop trading (`halt`: why) or resume it.
    Switch {
        /// Why trading stops; `None`: it goes on.
        halt: Option<String>,
        /// Who asks.
        by: String,
        /// From where.
        caller: Caller,
    },
    /// Change the risk limits.
    SetLimits {
        /// All limits from now on.
        limits: Box<Limits>,
        /// From where.
        caller: Caller,
    },
    /// Limit a source's signals.
    SetSourceLimits {
        /// Which source.
        source: SourceId,
        /// The limits from now on; absent: none.
        limits: Option<SourceLimits>,
        /// From where.
        caller: Caller,
    },
    /// Lift a suspension, and a halt that losses called for.
    Lift {
        /// Which operator asks.
        by: String,
        /// From where.
        caller: Caller,
    },
    /// Connect a broker account; its credentials are kept already.
    Connect {
        /// The account.
        connection: Box<Connection>,
        /// From where.
        caller: Caller,
    },
    /// Remove a broker account at which nothing is open.
    Disconnect {
        /// The account.
        connection: ConnectionId,
        /// From where.
        caller: Caller,
    },
    /// Switch trading with real money on or off at an account.
    GoLive {
        /// The account.
        connection: ConnectionId,
        /// Whether it is to be on.
        is_on: bool,
        /// From where.
        caller: Caller,
    },
    /// Choose where the signals for a kind of market go.
    Route {
        /// The kind of market.
        class: AssetClass,
        /// The account; absent: the default one.
        connection: Option<ConnectionId>,
        /// From where.
        caller: Caller,
    },
    /// Make a broker account the default.
    Choose {
        /// The account.
        connection: ConnectionId,
        /// From where.
        caller: Caller,
    },
}
