//! `trade-executor user`: adds people, lists them, or lets one in, on the data of a server that does not run.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::json;
use trade_actors::domain::event::Event;
use trade_actors::domain::ids::UserId;
use trade_actors::domain::user::Role;
use trade_actors::ports::clock::{Clock, SystemClock};

use super::{Global, base_url, say};
use crate::app::people::new_user_facts;
use crate::app::{Disk, InUse};
use crate::auth::Auth;
use crate::config::{Environment, Loaded};
use crate::store::segments::SegmentReader;

/// Longest name, in characters.
const NAME_MAX: usize = 64;

/// What to do with people.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  trade-executor user add Ada\n  trade-executor user list\n  \
    trade-executor user login-link Ada")]
pub(super) enum UserCommand {
    /// Add a person with a paper account; prints their login link and webhook as JSON
    Add {
        /// Shown name
        name: String,
        /// Lets them run the engine and manage people
        #[arg(long)]
        operator: bool,
    },
    /// List people; works while the server runs
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a link that logs a person in, once, within the hour
    LoginLink {
        /// Name or id
        user: String,
    },
}

/// Runs the command.
///
/// # Errors
/// When the settings are wrong, the server runs on the data, or the data cannot be read or written.
pub(super) fn run(
    command: &UserCommand,
    global: &Global,
    environment: Environment,
) -> anyhow::Result<ExitCode> {
    let loaded = global.settings(environment)?;
    let log = global.data_dir.join("log");
    if !log.is_dir() {
        bail!(
            "there is no data in {}; start the server once, or name another --data-dir",
            global.data_dir.display()
        );
    }
    match command {
        UserCommand::List { json } => list(&log, *json)?,
        UserCommand::Add { name, operator } => add(&loaded, global, name, *operator)?,
        UserCommand::LoginLink { user } => login_link(&loaded, global, user)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn open(loaded: &Loaded, data_dir: &Path, instead: &str) -> anyhow::Result<Disk> {
    match Disk::open(data_dir, &loaded.config.store) {
        Err(error) if error.is::<InUse>() => {
            bail!("the server runs on the data in {}; nothing was changed; {instead}", data_dir.display())
        }
        opened => opened?.catch_up(true),
    }
}

fn add(loaded: &Loaded, global: &Global, name: &str, operator: bool) -> anyhow::Result<()> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        bail!("a name has 1 to {NAME_MAX} characters, all of them printable; nobody was added");
    }
    if people(&global.data_dir.join("log"))?.values().any(|person| person.name.eq_ignore_ascii_case(name)) {
        bail!("there is already somebody called {name}; nobody was added; choose another name");
    }
    let instead = "add people with POST /api/v1/admin/users, or stop it first";
    let disk = open(loaded, &global.data_dir, instead)?;
    let role = if operator { Role::Operator } else { Role::User };
    let (user, source, facts) = new_user_facts(name, role, loaded.config.risk.clone(), &disk.keys);
    let clock = Arc::new(SystemClock::new());
    let disk = disk.commit(&facts, clock.now())?;
    let base = base_url(loaded);
    let secret = Auth::new(disk.vault, clock, Arc::clone(&disk.keys)).login_link(user)?;
    let added = json!({
        "id": user.to_string(),
        "name": name,
        "login_url": format!("{base}/login/{secret}"),
        "webhook_url": format!("{base}/webhooks/tradingview/{}", disk.keys.webhook_token(source, 0)),
    });
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&added)?)?;
    say(&format!("{name} was added; the login link works once, for one hour, when the server runs"));
    Ok(())
}

fn login_link(loaded: &Loaded, global: &Global, wanted: &str) -> anyhow::Result<()> {
    let found: Vec<UserId> = people(&global.data_dir.join("log"))?
        .into_iter()
        .filter(|(id, person)| person.name.eq_ignore_ascii_case(wanted) || id.to_string() == wanted)
        .map(|(id, _)| id)
        .collect();
    let user = match found.as_slice() {
        [user] => *user,
        [] => bail!("nobody is called {wanted}; `trade-executor user list` shows who is there"),
        [..] => {
            bail!("several people are called {wanted}; say the id, which `trade-executor user list` shows")
        }
    };
    let instead = "stop it first; a restart at a terminal or with --ready-file gives the owner a fresh link";
    let disk = open(loaded, &global.data_dir, instead)?;
    let secret = Auth::new(disk.vault, Arc::new(SystemClock::new()), disk.keys).login_link(user)?;
    writeln!(io::stdout(), "{}/login/{secret}", base_url(loaded))?;
    say("it works once, for one hour, when the server runs");
    Ok(())
}

fn list(log: &Path, as_json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let people = people(log)?;
    if as_json {
        let rows: Vec<_> = people
            .iter()
            .map(|(id, person)| {
                json!({
                    "id": id.to_string(),
                    "name": person.name,
                    "role": person.role,
                    "created_at": person.created_at,
                    "suspended": person.suspended,
                })
            })
            .collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
        return Ok(());
    }
    for (id, person) in people {
        let role = match person.role {
            Role::Operator => "operator",
            Role::User => "user",
        };
        let suspended = if person.suspended { "  suspended" } else { "" };
        writeln!(out, "{id}  {role:<8}  {}  {}{suspended}", person.created_at, person.name)?;
    }
    Ok(())
}

/// What the log says of a person.
#[derive(Debug)]
struct Person {
    name: String,
    role: Role,
    created_at: String,
    suspended: bool,
}

/// Reads people from the log, which, other than its index, can be read while the server runs.
fn people(log: &Path) -> anyhow::Result<BTreeMap<UserId, Person>> {
    let mut people = BTreeMap::new();
    let reader = SegmentReader::open(log)?;
    for record in reader.read(reader.first()?)? {
        let record = record.context("the log cannot be read; `trade-executor audit verify` says more")?;
        let said = &record.statement;
        if !matches!(said.action.as_str(), "USER_CREATED" | "USER_SUSPENDED" | "USER_RESUMED") {
            continue;
        }
        let Some(id) = said.user_id.as_deref().and_then(|id| id.parse::<UserId>().ok()) else { continue };
        let Some(Ok(event)) = said.payload.as_deref().map(Event::parse) else { continue };
        if let Event::UserCreated { name, role, .. } = event {
            people.insert(id, Person { name, role, created_at: record.timestamp, suspended: false });
        } else if let Some(person) = people.get_mut(&id) {
            person.suspended = matches!(event, Event::UserSuspended { .. });
        }
    }
    Ok(people)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    #[test]
    fn a_person_who_was_added_is_listed_and_a_running_server_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let loaded = load(&Sources::default()).unwrap();
        let disk = Disk::open(dir.path(), &loaded.config.store).unwrap();
        let log = dir.path().join("log");
        let (owner, _, facts) =
            new_user_facts("Owner", Role::Operator, loaded.config.risk.clone(), &disk.keys);
        let disk = disk.commit(&facts, SystemClock::new().now()).unwrap();
        assert_eq!(disk.views().user(owner).unwrap().unwrap().name, "Owner");
        let listed = people(&log).unwrap();
        assert_eq!(listed.get(&owner).map(|person| person.role), Some(Role::Operator));
        let error = open(&loaded, dir.path(), "do this instead").unwrap_err().to_string();
        assert!(error.contains("the server runs") && error.contains("do this instead"), "{error}");
    }
}
