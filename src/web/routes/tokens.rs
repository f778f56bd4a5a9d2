//! API tokens.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trade_actors::domain::event::{Event, Fact};
use utoipa::ToSchema;
use warp::http::StatusCode;

use super::sources::checked_name;
use crate::auth::{Auth, AuthError, Scope};
use crate::web::call::{Answer, Call, json, nothing, ok};
use crate::web::problem::Problem;
use crate::web::wire::{Page, Token};

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTokenRequest {
    /// Shown name.
    #[schema(example = "Backtest script")]
    name: String,
    /// What it may do; `read` when absent.
    #[serde(default = "read_only")]
    scopes: Vec<Scope>,
}

/// A token just made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenCreated<'a> {
    id: &'a str,
    name: &'a str,
    scopes: &'a [Scope],
    /// The secret; it is not shown again.
    token: &'a str,
}

fn read_only() -> Vec<Scope> {
    vec![Scope::Read]
}

/// Lists the caller's tokens, without their secrets.
pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let user = call.user()?;
    let tokens = in_vault(&call, move |auth| auth.list_tokens(user)).await?;
    ok(&Page::whole(tokens.iter().map(Token::of).collect()))
}

/// Makes a token. It may do no more than the caller.
pub(crate) async fn create(call: Call) -> Result<Answer, Problem> {
    let NewTokenRequest { name, scopes } = call.json()?;
    let name = checked_name(name)?;
    if scopes.is_empty() {
        return Err(Problem::invalid("/scopes", "scopes must name at least one of read, trade, manage"));
    }
    let principal = call.principal()?;
    if let Some(scope) = scopes.iter().find(|scope| !principal.may(**scope)) {
        let detail =
            format!("you may not give the scope \"{}\", which you lack; nothing was made", scope.as_str());
        return Err(Problem::forbidden("SCOPE_MISSING", detail));
    }
    // The account must exist, and the engine be there to record it, before anything is made.
    let account = call.account().await?;
    let (user, shown, given) = (account.id, name.clone(), scopes.clone());
    let token = in_vault(&call, move |auth| auth.create_token(user, &shown, &given)).await?;
    let words = scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
    let event = Event::TokenCreated { token: token.id.clone(), name: name.clone(), scopes: words };
    let recorded = call.engine()?.commit(vec![Fact::by(Some(user), event, &call.head.caller())]).await;
    if let Err(error) = recorded {
        // What is not recorded must not exist.
        let id = token.id.clone();
        in_vault(&call, move |auth| auth.revoke_token(user, &id)).await?;
        return Err(error.into());
    }
    let made = TokenCreated { id: &token.id, name: &name, scopes: &scopes, token: &token.secret };
    json(StatusCode::CREATED, &made)
}

/// Revokes a token at once.
pub(crate) async fn revoke(call: Call) -> Result<Answer, Problem> {
    let (user, id) = (call.user()?, call.param().to_owned());
    let engine = call.engine()?.clone();
    let wanted = id.clone();
    if !in_vault(&call, move |auth| auth.revoke_token(user, &wanted)).await? {
        return Err(Problem::not_found());
    }
    engine.commit(vec![Fact::by(Some(user), Event::TokenRevoked { token: id }, &call.head.caller())]).await?;
    Ok(nothing())
}

/// Runs what syncs to disk where it may block.
pub(crate) async fn in_vault<T: Send + 'static>(
    call: &Call,
    work: impl FnOnce(&Auth) -> Result<T, AuthError> + Send + 'static,
) -> Result<T, Problem> {
    let auth = Arc::clone(&call.edge.web.auth);
    let done = tokio::task::spawn_blocking(move || work(&auth)).await;
    Ok(done.map_err(|error| Problem::internal(&error))??)
}
