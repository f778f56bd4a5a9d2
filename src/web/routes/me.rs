//! Who is asking, and tickets for their sockets.

use serde::Serialize;
use utoipa::ToSchema;
use warp::http::StatusCode;

use crate::auth::{Scope, TICKET_LIFE, Via};
use crate::web::call::{Answer, Call, json, ok};
use crate::web::problem::Problem;
use crate::web::router;
use crate::web::wire::User;

/// Who is asking.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me<'a> {
    user: User<'a>,
    /// `session` or `token`.
    via: &'static str,
    /// What the caller may do.
    scopes: &'a [Scope],
    /// `paper` or `live`: the default connection's.
    mode: Option<&'static str>,
    /// Why the account is suspended, if it is.
    suspended: Option<&'a str>,
}

/// A socket's ticket.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ticket<'a> {
    /// Opens `/ws?ticket=…` once.
    ticket: &'a str,
    /// For how many seconds.
    expires_in_s: i64,
}

/// Tells who is asking.
pub(crate) async fn show(call: Call) -> Result<Answer, Problem> {
    let account = call.account().await?;
    let principal = call.principal()?;
    let via = match &principal.via {
        Via::Session { .. } => "session",
        Via::Token { .. } => "token",
    };
    ok(&Me {
        user: User::of(&account),
        via,
        scopes: &principal.scopes,
        mode: account.default_connection().map(|connection| connection.mode.as_str()),
        suspended: account.suspended.as_deref(),
    })
}

/// Makes a ticket for one socket.
pub(crate) async fn ticket(call: Call) -> Result<Answer, Problem> {
    let ticket = call.edge.web.auth.ticket(call.principal()?.clone());
    json(StatusCode::CREATED, &Ticket { ticket: &ticket, expires_in_s: TICKET_LIFE.num_seconds() })
}

/// The table's entry; requests for sockets are answered by [`crate::web::socket`].
pub(crate) async fn socket(_: Call) -> Result<Answer, Problem> {
    Err(router::not_by_table())
}
