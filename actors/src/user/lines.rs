//! The lines between a user's children. A line always leads to the child that lives now.

use std::sync::Arc;

use ractor::ActorRef;

use super::UserMsg;
use crate::domain::ids::UserId;
use crate::engine::{Door, Shared};
use crate::execution::ExecutionMsg;
use crate::kill_switch::KillSwitch;
use crate::portfolio::PortfolioMsg;
use crate::risk::RiskMsg;
use crate::router::RouterMsg;

/// What a user's children share.
#[derive(Debug)]
pub struct Lines {
    /// Whose.
    pub id: UserId,
    /// What actors share.
    pub shared: Arc<Shared>,
    /// Their parent.
    pub user: ActorRef<UserMsg>,
    /// Who is told of verdicts.
    pub router: ActorRef<RouterMsg>,
    /// The rules.
    pub risk: Door<RiskMsg>,
    /// The orders.
    pub execution: Door<ExecutionMsg>,
    /// The totals.
    pub portfolio: Door<PortfolioMsg>,
    /// The user's kill switch.
    pub halt: KillSwitch,
}
