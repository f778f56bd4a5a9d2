//! The owner: made on the first run, found again on every later one.

use anyhow::{Context, bail};
use trade_actors::domain::feed::Source;
use trade_actors::domain::ids::UserId;
use trade_actors::domain::risk::Limits;
use trade_actors::domain::user::{Role, UserState};
use trade_actors::ports::journal::Journal;
use trade_actors::views::Views;

use super::people::new_user_facts;
use crate::keys::MasterKey;

/// The account that runs the engine.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    /// Its id.
    pub(super) user: UserId,
    /// The source behind its webhook URL.
    pub(super) webhook: Source,
    /// Whether it was made just now.
    pub(super) is_new: bool,
}

/// Returns the owner, made now if nobody is known.
///
/// # Errors
/// When the owner cannot be recorded or the index cannot be read.
pub(super) async fn owner(
    journal: &dyn Journal,
    views: &Views,
    keys: &MasterKey,
    limits: &Limits,
) -> anyhow::Result<Owner> {
    let known = find(views)?;
    let is_new = known.is_none();
    let user = match known {
        Some(owner) => owner,
        None => {
            let (user, _, facts) = new_user_facts("Owner", Role::Operator, limits.clone(), keys);
            journal.commit(facts).await.context("the owner's account was not made")?;
            views.settled().await?;
            user
        }
    };
    let sources = views.sources_of(user)?;
    let webhook = sources.into_iter().filter(|source| source.owner == user && source.token_hash.is_some());
    let Some(webhook) = webhook.min_by_key(|source| source.created_at) else {
        bail!("the owner's account has no webhook");
    };
    Ok(Owner { user, webhook, is_new })
}

/// Returns the operator who was there first.
fn find(views: &Views) -> anyhow::Result<Option<UserId>> {
    const PAGE: usize = 256;
    let mut after = None;
    let mut first: Option<UserState> = None;
    loop {
        let page = views.users(after, PAGE)?;
        after = page.last().map(|user| user.id);
        let is_last = page.len() < PAGE;
        let operators = page.into_iter().filter(|user| user.role == Role::Operator);
        first = first.into_iter().chain(operators).min_by_key(|user| user.created_at);
        // Ids sort by time, so an operator of an earlier page was there earlier.
        if is_last || first.is_some() {
            return Ok(first.map(|owner| owner.id));
        }
    }
}
