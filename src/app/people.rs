//! What belongs to a new user: an account at the paper broker and two sources of signals.

use trade_actors::domain::event::{Event, Fact};
use trade_actors::domain::ids::{ConnectionId, SourceId, UserId};
use trade_actors::domain::order::Mode;
use trade_actors::domain::risk::Limits;
use trade_actors::domain::user::{Connection, Role};
use uuid::Uuid;

use crate::keys::{MasterKey, token_hash};

/// Name of the source behind the user's webhook URL.
pub const WEBHOOK_SOURCE: &str = "TradingView";
/// Name of the source for what the user enters by hand.
pub const DASHBOARD_SOURCE: &str = "Dashboard";

/// Returns a new user's id, the id of their webhook's source, and the facts to commit together.
///
/// User ids sort by time, so that the owner, who was first, stays first.
#[must_use]
pub fn new_user_facts(
    name: &str,
    role: Role,
    limits: Limits,
    keys: &MasterKey,
) -> (UserId, SourceId, Vec<Fact>) {
    let user = UserId::new(Uuid::now_v7());
    let webhook = SourceId::new(Uuid::new_v4());
    let dashboard = SourceId::new(Uuid::new_v4());
    let connection = Connection::new(ConnectionId::new(Uuid::new_v4()), "paper", Mode::Paper);
    let created =
        |source, name: &str, token_hash| Event::SourceCreated { source, name: name.to_owned(), token_hash };
    let webhook_hash = token_hash(&keys.webhook_token(webhook, 0));
    let events = [
        Event::UserCreated { name: name.to_owned(), role, limits },
        Event::ConnectionAdded { connection },
        created(webhook, WEBHOOK_SOURCE, Some(webhook_hash)),
        created(dashboard, DASHBOARD_SOURCE, None),
        Event::SourceFollowed { source: webhook },
        Event::SourceFollowed { source: dashboard },
    ];
    (user, webhook, events.into_iter().map(|event| Fact::new(Some(user), event)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_user_has_a_paper_account_and_follows_two_sources_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let keys = MasterKey::load_or_create(&dir.path().join("master.key")).unwrap();
        let (user, webhook, facts) = new_user_facts("Ada", Role::User, Limits::default(), &keys);
        assert!(facts.iter().all(|fact| fact.user == Some(user)));
        let actions: Vec<_> = facts.iter().map(|fact| fact.statement.action.as_str()).collect();
        assert_eq!(
            actions,
            [
                "USER_CREATED",
                "BROKER_CONNECTED",
                "SOURCE_CREATED",
                "SOURCE_CREATED",
                "SOURCE_FOLLOWED",
                "SOURCE_FOLLOWED"
            ]
        );
        let url_secret = keys.webhook_token(webhook, 0);
        let payloads: String = facts.iter().filter_map(|fact| fact.statement.payload.clone()).collect();
        assert!(payloads.contains(&token_hash(&url_secret)));
        assert!(!payloads.contains(&url_secret), "the log never holds a secret");
    }
}
