use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use trade_actors::domain::order::Mode;
use uuid::Uuid;

use super::*;
use crate::auth::fakes::{MemoryVault, user};
use crate::brokers::credentials::{Auth, BrokerSecret};
use crate::brokers::{Secrets, SecretsError};
use crate::keys::{MasterKey, NoKey};
use crate::vault::SealError;
use trade_actors::ports::store::Vault;

const MANY: u128 = 300;

struct Case {
    dir: tempfile::TempDir,
    vault: Arc<MemoryVault>,
    store: Credentials,
}

fn at(day: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(4_000_000_000, 0).unwrap() + TimeDelta::days(day)
}

fn connection(number: u128) -> ConnectionId {
    ConnectionId::new(Uuid::from_u128(number))
}

fn secret(number: u128) -> BrokerSecret {
    let auth = Auth::ApiKey { key_id: format!("PK-{number}").into(), secret: format!("s-{number}").into() };
    BrokerSecret { broker: "alpaca".to_owned(), mode: Mode::Paper, auth }
}

fn alpaca(_: UserId, _: ConnectionId) -> Result<Option<String>, StoreError> {
    Ok(Some("alpaca".to_owned()))
}

impl Case {
    /// Credentials of several people, each with accounts.
    fn with(rows: u128) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let vault = Arc::new(MemoryVault::default());
        let case = Self { store: Self::opened(&dir, &vault), dir, vault };
        (0..rows).for_each(|number| case.put(number));
        case
    }

    fn opened(dir: &tempfile::TempDir, vault: &Arc<MemoryVault>) -> Credentials {
        let keys = MasterKey::load_or_create(&dir.path().join("master.key")).unwrap();
        Credentials::new(Arc::clone(vault) as Arc<dyn Vault>, Arc::new(keys))
    }

    /// The same data, seen by a process that has just started.
    fn restarted(self) -> Self {
        Self { store: Self::opened(&self.dir, &self.vault), ..self }
    }

    fn put(&self, number: u128) {
        self.store.put(user(number % 7), connection(number), &secret(number)).unwrap();
    }

    fn reseal(&self) -> Pass {
        self.store.reseal(&alpaca, &mut |_, _| true).unwrap()
    }

    #[track_caller]
    fn assert_all_open(&self, rows: u128) {
        for number in 0..rows {
            let found = self.store.get(user(number % 7), connection(number), "alpaca").unwrap().unwrap();
            let text = |secret: &BrokerSecret| serde_json::to_string(secret).unwrap();
            assert_eq!(text(&found), text(&secret(number)));
        }
        assert_eq!(self.store.list().unwrap().len(), usize::try_from(rows).unwrap());
    }

    fn by_version(&self) -> BTreeMap<u32, usize> {
        self.store.rows().unwrap().by_version
    }

    fn error(&self, number: u128) -> SealError {
        match self.store.get(user(number % 7), connection(number), "alpaca").unwrap_err() {
            CredentialError::Sealed(_, why) => why,
            other => panic!("{other}"),
        }
    }
}

#[test]
fn all_rows_are_sealed_anew_and_open_at_every_moment() {
    let case = Case::with(MANY);
    case.store.rotate(at(0)).unwrap();
    case.assert_all_open(MANY);
    let mut seen = Vec::new();
    let pass = case.store.reseal(&alpaca, &mut |done, all| {
        if done % 50 == 0 {
            case.assert_all_open(MANY);
        }
        seen.push((done, all));
        true
    });
    assert_eq!(pass.unwrap(), Pass { done: 300, failed: Vec::new() });
    assert_eq!((seen.len(), seen[0], seen[299]), (300, (0, 300), (299, 300)));
    assert_eq!(case.by_version(), BTreeMap::from([(2, 300)]));
    let case = case.restarted();
    case.assert_all_open(MANY);
    assert_eq!(case.reseal(), Pass::default(), "once is enough");
}

#[test]
fn ended_between_any_two_steps_it_loses_nothing_and_goes_on() {
    for steps in [0, 1, 5, 11, 12] {
        let case = Case::with(12);
        case.store.rotate(at(0)).unwrap();
        let case = case.restarted();
        let stopped = case.store.reseal(&alpaca, &mut |done, _| done < steps).unwrap();
        assert_eq!(stopped.done, steps);
        let case = case.restarted();
        case.assert_all_open(12);
        case.put(12);
        assert_eq!(case.reseal().done, 12 - steps);
        assert_eq!(case.by_version(), BTreeMap::from([(2, 13)]));
        case.assert_all_open(13);
    }
}

#[test]
fn two_versions_back_open_and_three_do_not() {
    let case = Case::with(1);
    let kept = case.vault.scan(b"").unwrap();
    case.store.keys.make(2, at(0)).unwrap();
    case.store.keys.make(3, at(1)).unwrap();
    case.assert_all_open(1);
    assert!(
        matches!(
            case.store.rotate(at(2)),
            Err(RotateError::Blocked(Blocked::Needed { version: 1, rows: 1 }))
        ),
        "it would be out of reach"
    );
    case.reseal();
    assert_eq!(case.store.rotate(at(2)).unwrap().number, 4);
    case.assert_all_open(1);
    for (key, row) in kept {
        case.vault.put(&key, Some(&row)).unwrap();
    }
    assert_eq!(case.error(0), SealError::NoKey(NoKey::TooOld(1)));
    assert_eq!(case.reseal().failed.len(), 1);
}

#[test]
fn a_version_is_dropped_at_no_row_and_after_its_days_alone() {
    let case = Case::with(3);
    case.store.rotate(at(0)).unwrap();
    assert_eq!(case.store.drop_unneeded(at(400)).unwrap(), [0_u32; 0], "rows need it");
    let kept = case.vault.scan(b"").unwrap();
    case.reseal();
    assert_eq!(case.store.drop_unneeded(at(59)).unwrap(), [0_u32; 0], "its days are not over");
    assert_eq!(case.store.drop_unneeded(at(60)).unwrap(), [1]);
    let case = case.restarted();
    case.assert_all_open(3);
    case.store.rotate(at(100)).unwrap();
    case.reseal();
    assert_eq!(case.store.drop_unneeded(at(160)).unwrap(), [2]);
    assert!(!case.store.keys.file(2).exists() && case.store.keys.file(1).exists());
    case.assert_all_open(3);
    for (key, row) in kept {
        case.vault.put(&key, Some(&row)).unwrap();
    }
    let case = case.restarted();
    assert_eq!(case.error(0), SealError::NoKey(NoKey::Absent(1)), "an old backup of the vault opens nothing");
    let told = case.store.of(user(0), connection(0), "alpaca").unwrap_err();
    assert!(
        matches!(&told, SecretsError::Sealed(why) if why.contains("version 1 of the master key")),
        "{told}"
    );
    assert_eq!(case.store.plan(365, at(160)).unwrap().lost, BTreeMap::from([(1, 3)]));
}

#[test]
fn a_row_that_was_changed_swapped_or_is_of_another_key_stays_as_it_is() {
    let case = Case::with(4);
    case.store.rotate(at(0)).unwrap();
    let key = |number: u128| super::key(user(number % 7), connection(number)).into_bytes();
    let row = |number: u128| case.vault.get(&key(number)).unwrap().unwrap();
    let (first, second) = (row(0), row(1));
    case.vault.put(&key(0), Some(&second)).unwrap();
    case.vault.put(&key(1), Some(&first)).unwrap();
    // It names the newest version, and was not sealed under it.
    let mut named = row(2);
    named[4] = 2;
    case.vault.put(&key(2), Some(&named)).unwrap();
    let pass = case.reseal();
    assert_eq!((pass.done, pass.failed.len()), (1, 2), "{pass:?}");
    assert_eq!([row(0), row(1), row(2)], [second, first, named]);
    assert_eq!([0, 1, 2].map(|number| case.error(number)), [SealError::Refused; 3]);
    let anew = row(3);
    for at in 0..anew.len() {
        let mut flipped = anew.clone();
        flipped[at] ^= 1;
        case.vault.put(&key(3), Some(&flipped)).unwrap();
        assert!(case.store.get(user(3), connection(3), "alpaca").is_err(), "byte {at}");
        assert_eq!(case.reseal().done, 0);
    }
}

#[test]
fn an_account_removed_or_connected_anew_meanwhile_stays_so() {
    let case = Case::with(3);
    case.store.rotate(at(0)).unwrap();
    let pass = case.store.reseal(
        &|owner, account| {
            // Between finding the row and sealing it.
            if account == connection(0) {
                case.store.remove(owner, account)?;
            } else if account == connection(1) {
                case.store.put(owner, account, &secret(99)).unwrap();
            }
            alpaca(owner, account)
        },
        &mut |_, _| true,
    );
    assert_eq!(pass.unwrap(), Pass { done: 1, failed: Vec::new() });
    assert_eq!(case.store.list().unwrap().len(), 2);
    let found = case.store.get(user(1), connection(1), "alpaca").unwrap().unwrap();
    assert!(serde_json::to_string(&found).unwrap().contains("s-99"));
}

#[test]
fn a_row_whose_account_is_not_there_is_left_to_the_sweep() {
    let case = Case::with(2);
    case.store.rotate(at(0)).unwrap();
    let pass = case.store.reseal(&|_, _| Ok(None), &mut |_, _| true).unwrap();
    assert_eq!(pass, Pass::default());
    assert_eq!(case.by_version(), BTreeMap::from([(1, 2)]));
}
