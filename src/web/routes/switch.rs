//! The kill switch: one's own, and, for operators, everybody's.

use serde::{Deserialize, Serialize};
use trade_actors::arrival::Refused;
use trade_actors::domain::risk::DenialCode;
use trade_actors::domain::user::{Trading, UserState};
use utoipa::ToSchema;
use warp::http::StatusCode;

use crate::web::call::{Answer, Call, ok};
use crate::web::guard::is_operator;
use crate::web::problem::Problem;
use crate::web::wire::Halt;

/// Longest reason, in characters.
const REASON_MAX: usize = 500;

/// Whether new orders are taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KillSwitch<'a> {
    /// Whether new orders are stopped for this account, by whomever.
    active: bool,
    /// The account's own switch.
    trading: Halt<'a>,
    /// The operator's switch for everybody.
    global: Halt<'a>,
}

/// A turn of the switch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SwitchChange {
    /// True stops trading, false resumes it.
    active: bool,
    /// Why; for the record.
    #[serde(default)]
    reason: String,
    /// `user` when absent; `global` is for operators.
    #[serde(default)]
    scope: ScopeWord,
}

/// Whom the switch concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ScopeWord {
    #[default]
    User,
    Global,
}

/// Shows the switches.
pub(crate) async fn show(call: Call) -> Result<Answer, Problem> {
    let account = call.account().await?;
    let global = call.engine()?.views().global_trading()?;
    let trading = account.trading_at(call.engine()?.clock().now());
    let active = *trading != Trading::Active || global != Trading::Active;
    ok(&KillSwitch { active, trading: Halt::of(trading), global: Halt::of(&global) })
}

/// Turns a switch.
pub(crate) async fn turn(call: Call) -> Result<Answer, Problem> {
    let change: SwitchChange = call.json()?;
    if change.reason.chars().count() > REASON_MAX {
        return Err(Problem::invalid(
            "/reason",
            format!("reason must be at most {REASON_MAX} characters long"),
        ));
    }
    let global = change.scope == ScopeWord::Global;
    if global && !is_operator(&call.edge, call.principal()?)? {
        return Err(Problem::forbidden(
            "OPERATOR_ONLY",
            "only an operator stops or resumes everybody; nothing was done",
        ));
    }
    let engine = call.engine()?;
    let user = call.user()?;
    // Who did it is read without waiting for the index: stopping must never wait.
    let by = engine.views().user(user)?.ok_or_else(Problem::unauthorized)?.name;
    let reason = if change.reason.trim().is_empty() { "no reason given" } else { change.reason.trim() };
    let halt = change.active.then(|| reason.to_owned());
    let caller = call.head.caller();
    if global {
        engine.switch_all(halt, by, caller).await?;
    } else {
        match engine.switch(user, halt, by, caller).await {
            Err(Refused::HaltedByRules) => return Err(not_theirs(&call.account().await?)),
            result => result?,
        }
    }
    show(call).await
}

/// Words why a person does not resume trading that losses stopped.
fn not_theirs(account: &UserState) -> Problem {
    match account.trading.by_rules() {
        Some((cause, reason)) => Problem::new(StatusCode::CONFLICT, DenialCode::of(cause).as_str(), reason),
        // Its end is being recorded right now.
        None => Refused::HaltedByRules.into(),
    }
}
