//! Data directories filled without a server: users by the thousand, and a source that many of them follow.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use chrono::SecondsFormat;
use trade_actors::domain::event::{Event, Fact};
use trade_actors::domain::ids::UserId;
use trade_actors::domain::money::Percent;
use trade_actors::domain::risk::Limits;
use trade_actors::domain::user::Role;
use trade_actors::ports::clock::{Clock, SystemClock};
use trade_actors::ports::log::{Entry, Log};
use trade_actors::ports::store::Vault;
use trade_executor::app::Disk;
use trade_executor::app::people::new_user_facts;
use trade_executor::auth::Auth;
use trade_executor::config::StoreConfig;

/// Users whose facts are made durable together.
const BATCH: usize = 1_000;

/// Who is in a data directory.
#[derive(Debug)]
pub(crate) struct Seeded {
    /// The secret of each user's webhook; the first user is the operator.
    pub(crate) webhooks: Vec<String>,
    /// API tokens, for as many users as were asked for.
    pub(crate) tokens: Vec<String>,
}

/// What is wanted in a data directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// How many users.
    pub(crate) users: usize,
    /// How many of them, the first one included, follow the first one's webhook.
    pub(crate) followers: usize,
    /// How many of them have an API token.
    pub(crate) tokens: usize,
    /// The stop-loss of an entry that names none, in per cent of its price; 0: none, so that a signal is one order.
    pub(crate) stop_loss_pct: u32,
}

/// Fills a new data directory, index included, so that a server finds nothing left to do.
pub(crate) fn fill(dir: &Path, wanted: Wanted) -> anyhow::Result<Seeded> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut disk = Disk::open(dir, &StoreConfig::default())?;
    // A signal that is merged into the one before, or contradicts it, would be no order of its own.
    let limits = Limits {
        orders_per_minute: 1_000_000,
        merge_window_s: 0,
        stop_loss_pct: Percent::new(wanted.stop_loss_pct.into()),
        ..Limits::default()
    };
    let mut seeded = Seeded { webhooks: Vec::with_capacity(wanted.users), tokens: Vec::new() };
    let mut users: Vec<UserId> = Vec::with_capacity(wanted.users);
    let mut leader = None;
    let mut facts = Vec::new();
    for at in 0..wanted.users {
        let role = if at == 0 { Role::Operator } else { Role::User };
        let (user, source, made) = new_user_facts(&format!("User {at}"), role, limits.clone(), &disk.keys);
        facts.extend(made);
        let leader = *leader.get_or_insert(source);
        if at > 0 && at < wanted.followers {
            facts.push(Fact::new(Some(user), Event::SourceFollowed { source: leader }));
        }
        seeded.webhooks.push(disk.keys.webhook_token(source, 0));
        users.push(user);
        if (at + 1) % BATCH == 0 || at + 1 == wanted.users {
            append(&mut disk, &std::mem::take(&mut facts), &*clock)?;
        }
    }
    let auth = Auth::new(Arc::clone(&disk.vault) as Arc<dyn Vault>, clock, Arc::clone(&disk.keys));
    for user in users.iter().take(wanted.tokens) {
        seeded.tokens.push(auth.owner_token(*user)?);
    }
    disk.catch_up(false).context("the index was not filled")?;
    Ok(seeded)
}

fn append(disk: &mut Disk, facts: &[Fact], clock: &dyn Clock) -> anyhow::Result<()> {
    let timestamp = clock.now().to_rfc3339_opts(SecondsFormat::Millis, true);
    let entries: Vec<_> =
        facts.iter().map(|fact| Entry { timestamp: &timestamp, statement: &fact.statement }).collect();
    disk.log.append(&entries).context("the users were not recorded")?;
    Ok(())
}
