//! Whether what opens each broker account is there and opens.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use trade_actors::domain::account::PAPER;
use trade_actors::domain::event::Event;
use trade_actors::domain::ids::{ConnectionId, UserId};
use trade_actors::ports::clock::{Clock, SystemClock};

use super::{Finding, Verdict, master_key};
use crate::keys::MasterKey;
use crate::store::segments::SegmentReader;
use crate::store::vault::SledVault;
use crate::vault::Credentials;

const WHAT: &str = "broker keys";
/// Memory for the vault's cache.
const CACHE_BYTES: u64 = 4 << 20;

/// Accounts at brokers outside, and at which.
type Accounts = BTreeMap<(UserId, ConnectionId), String>;

/// Looks whether every broker account has its keys; nothing when there is no data yet.
pub(super) fn keys(dir: &Path) -> Vec<Finding> {
    let parts = ["log", "vault", "master.key"];
    if !parts.iter().all(|part| dir.join(part).exists()) {
        return Vec::new();
    }
    let accounts = match connected(&dir.join("log")) {
        Ok(accounts) if accounts.is_empty() => {
            return vec![Finding::new(WHAT, Verdict::Good, "none needed: no account at a broker outside")];
        }
        Ok(accounts) => accounts,
        Err(error) => return vec![Finding::new(WHAT, Verdict::Bad, format!("{error:#}"))],
    };
    let opened = MasterKey::load_or_create(&dir.join("master.key")).map_err(|error| error.to_string());
    let vault = || SledVault::open(&dir.join("vault"), CACHE_BYTES).map_err(|error| error.to_string());
    match opened.and_then(|keys| Ok(Credentials::new(Arc::new(vault()?), Arc::new(keys)))) {
        Ok(credentials) => judged(&accounts, &credentials),
        Err(error) => {
            let text = format!(
                "those of {} account(s) could not be looked at: {error}; while a server runs on this data, \
                 /api/v1/brokers shows how each account is",
                accounts.len()
            );
            vec![Finding::new(WHAT, Verdict::Mind, text)]
        }
    }
}

fn judged(accounts: &Accounts, credentials: &Credentials) -> Vec<Finding> {
    let lacking = accounts.iter().filter_map(|((user, connection), broker)| {
        let why = match credentials.get(*user, *connection, broker) {
            Ok(Some(_)) => return None,
            Ok(None) => "are missing".to_owned(),
            Err(error) => format!("do not open ({error})"),
        };
        let text = format!(
            "those of the {broker} account {connection} of user {user} {why}; nothing can be sent there; put back the \
             master key or the vault it belongs to, or remove the account and connect it again"
        );
        Some(Finding::new(WHAT, Verdict::Bad, text))
    });
    let lost =
        credentials.plan(0, SystemClock::new().now()).ok().and_then(|plan| master_key::lost(&plan.lost));
    let mut findings: Vec<_> = lost.into_iter().chain(lacking).collect();
    if findings.iter().all(|found| found.verdict == Verdict::Good) {
        let text = format!("those of all {} account(s) are there and open", accounts.len());
        findings.push(Finding::new(WHAT, Verdict::Good, text));
    }
    findings
}

/// Reads the accounts from the log, which, other than its index, can be read while the server runs.
fn connected(log: &Path) -> anyhow::Result<Accounts> {
    let mut accounts = Accounts::new();
    let reader = SegmentReader::open(log)?;
    for record in reader.read(reader.first()?)? {
        let record = record.context("the log cannot be read; `trade-executor audit verify` says more")?;
        let said = &record.statement;
        if !matches!(said.action.as_str(), "BROKER_CONNECTED" | "BROKER_DISCONNECTED") {
            continue;
        }
        let Some(user) = said.user_id.as_deref().and_then(|id| id.parse::<UserId>().ok()) else { continue };
        let Some(Ok(event)) = said.payload.as_deref().map(Event::parse) else { continue };
        if let Event::ConnectionAdded { connection } = event {
            accounts.insert((user, connection.id), connection.broker);
        } else if let Event::ConnectionRemoved { connection } = event {
            accounts.remove(&(user, connection));
        }
    }
    accounts.retain(|_, broker| broker != PAPER);
    Ok(accounts)
}

#[cfg(test)]
mod tests {
    use trade_actors::domain::event::Fact;
    use trade_actors::domain::order::Mode;
    use trade_actors::domain::user::Connection;
    use uuid::Uuid;

    use super::*;
    use crate::app::Disk;
    use crate::brokers::credentials::{Auth, BrokerSecret};
    use crate::config::StoreConfig;

    fn id(number: u128) -> ConnectionId {
        ConnectionId::new(Uuid::from_u128(number))
    }

    fn disk(dir: &Path) -> Disk {
        Disk::open(dir, &StoreConfig { segment_bytes: 64 << 10, ..StoreConfig::default() }).unwrap()
    }

    fn found(dir: &Path) -> (Verdict, String) {
        let findings = keys(dir);
        assert_eq!(findings.len(), 1, "{findings:?}");
        (findings[0].verdict, findings[0].text.clone())
    }

    #[test]
    fn an_account_without_its_keys_is_a_problem() {
        let dir = tempfile::tempdir().unwrap();
        assert!(keys(dir.path()).is_empty(), "there is nothing yet");
        let user = UserId::new(Uuid::from_u128(9));
        let account = |number, broker: &str| Event::ConnectionAdded {
            connection: Connection::new(id(number), broker, Mode::Paper),
        };
        let record = |events: Vec<Event>| {
            let facts: Vec<_> = events.into_iter().map(|event| Fact::new(Some(user), event)).collect();
            drop(disk(dir.path()).commit(&facts, SystemClock::new().now()).unwrap());
        };
        record(vec![account(1, "paper")]);
        assert_eq!(found(dir.path()).0, Verdict::Good);
        record(vec![
            account(2, "alpaca"),
            account(3, "alpaca"),
            Event::ConnectionRemoved { connection: id(3) },
        ]);
        let (verdict, text) = found(dir.path());
        assert!(
            verdict == Verdict::Bad && text.contains("are missing") && text.contains(&id(2).to_string()),
            "{text}"
        );

        let opened = disk(dir.path());
        let auth = Auth::OAuth { access_token: "hunter2".into() };
        let secret = BrokerSecret { broker: "alpaca".to_owned(), mode: Mode::Paper, auth };
        Credentials::new(opened.vault.clone(), Arc::clone(&opened.keys)).put(user, id(2), &secret).unwrap();
        assert_eq!(found(dir.path()).0, Verdict::Mind, "the data is in use");
        drop(opened);
        let (verdict, text) = found(dir.path());
        assert!(verdict == Verdict::Good && text.contains("all 1 account(s)"), "{text}");

        std::fs::remove_file(dir.path().join("master.key")).unwrap();
        MasterKey::load_or_create(&dir.path().join("master.key")).unwrap();
        let (verdict, text) = found(dir.path());
        assert!(verdict == Verdict::Bad && text.contains("do not open"), "{text}");
    }
}
