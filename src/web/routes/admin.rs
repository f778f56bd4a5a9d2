//! What operators do: add people, and lift suspensions.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trade_actors::domain::event::Fact;
use trade_actors::domain::ids::UserId;
use trade_actors::domain::user::{Role, UserState};
use utoipa::ToSchema;
use uuid::Uuid;
use warp::http::StatusCode;

use super::sources::checked_name;
use super::tokens::in_vault;
use crate::app::people::new_user_facts;
use crate::web::call::{Answer, Call, json, ok};
use crate::web::problem::Problem;
use crate::web::wire::{Halt, Page, User};

/// A person as operators see them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Person<'a> {
    #[serde(flatten)]
    user: User<'a>,
    /// Whether new orders are taken.
    trading: Halt<'a>,
    /// Why the account is suspended, if it is.
    suspended: Option<&'a str>,
    /// When they joined.
    created_at: DateTime<Utc>,
}

/// A person to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPerson {
    /// Shown name.
    #[schema(example = "Ada")]
    name: String,
}

/// A person just added.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PersonCreated<'a> {
    id: Uuid,
    name: &'a str,
    /// Their first API token; it is not shown again.
    api_token: &'a str,
    /// The address of their webhook.
    webhook_url: &'a str,
    /// A link that logs them in once, within an hour.
    login_url: &'a str,
}

/// Lists everybody, oldest first.
pub(crate) async fn list(call: Call) -> Result<Answer, Problem> {
    let limit = call.limit()?;
    let after = match call.head.query("cursor") {
        Some(text) => {
            let problem = || Problem::invalid("/cursor", "cursor must be the next_cursor of the page before");
            Some(text.parse::<UserId>().map_err(|_| problem())?)
        }
        None => None,
    };
    let engine = call.engine()?;
    let views = engine.views();
    views.settled().await?;
    let mut users = views.users(after, limit.saturating_add(1))?;
    let more = users.len() > limit;
    users.truncate(limit);
    let next_cursor = users.last().filter(|_| more).map(|user| user.id.to_string());
    let now = engine.clock().now();
    ok(&Page { items: users.iter().map(|user| person(user, now)).collect(), next_cursor })
}

/// Adds a person with a paper account and two sources.
pub(crate) async fn create(call: Call) -> Result<Answer, Problem> {
    let name = checked_name(call.json::<NewPerson>()?.name)?;
    let engine = call.engine()?;
    let keys = &call.edge.web.keys;
    let limits = call.edge.web.new_user_limits.clone();
    let (user, source, facts) = new_user_facts(&name, Role::User, limits, keys);
    let caller = call.head.caller();
    let facts = facts.into_iter().map(|fact| Fact::by(fact.user, fact.event, &caller)).collect();
    engine.commit(facts).await?;
    engine.views().settled().await?;
    engine.wake(user);
    let (token, link) =
        in_vault(&call, move |auth| Ok((auth.owner_token(user)?, auth.login_link(user)?))).await?;
    let base = &call.edge.base_url;
    let person = PersonCreated {
        id: user.uuid(),
        name: &name,
        api_token: &token,
        webhook_url: &format!("{base}/webhooks/tradingview/{}", keys.webhook_token(source, 0)),
        login_url: &format!("{base}/login/{link}"),
    };
    json(StatusCode::CREATED, &person)
}

/// Lifts a suspension, and a halt that losses called for.
pub(crate) async fn resume(call: Call) -> Result<Answer, Problem> {
    let engine = call.engine()?;
    let id: UserId = call.id()?;
    engine.views().settled().await?;
    engine.views().user(id)?.ok_or_else(Problem::not_found)?;
    let by = engine.views().user(call.user()?)?.ok_or_else(Problem::unauthorized)?.name;
    engine.lift(id, by, call.head.caller()).await?;
    engine.views().settled().await?;
    let user = engine.views().user(id)?.ok_or_else(Problem::not_found)?;
    ok(&person(&user, engine.clock().now()))
}

fn person(user: &UserState, now: DateTime<Utc>) -> Person<'_> {
    Person {
        user: User::of(user),
        trading: Halt::of(user.trading_at(now)),
        suspended: user.suspended.as_deref(),
        created_at: user.created_at,
    }
}
