use chrono::TimeDelta;
use trade_actors::domain::ids::ConnectionId;
use trade_actors::domain::order::Mode;
use trade_actors::domain::risk::Limits;
use trade_actors::domain::user::{Connection, Role};
use uuid::Uuid;

use super::*;
use crate::app::people::new_user_facts;
use crate::brokers::credentials::{Auth, BrokerSecret};
use crate::store::segments::verify;

const ROWS: u128 = 5;

fn config() -> StoreConfig {
    StoreConfig { segment_bytes: 64 << 10, cache_bytes: 1 << 20, ..StoreConfig::default() }
}

/// Makes data with accounts, their credentials, and one row that belongs to none.
fn data(dir: &Path, now: DateTime<Utc>) {
    let disk = Disk::open(dir, &config()).unwrap();
    let (user, _, mut facts) = new_user_facts("Ada", Role::Operator, Limits::default(), &disk.keys);
    let id = |number| ConnectionId::new(Uuid::from_u128(number));
    facts.extend((0..ROWS).map(|number| {
        let connection = Connection::new(id(number), "alpaca", Mode::Paper);
        Fact::new(Some(user), Event::ConnectionAdded { connection })
    }));
    let disk = disk.commit(&facts, now).unwrap();
    let credentials = Credentials::new(disk.vault.clone(), Arc::clone(&disk.keys));
    for number in 0..=ROWS {
        let auth = Auth::OAuth { access_token: format!("hunter{number}").into() };
        let secret = BrokerSecret { broker: "alpaca".to_owned(), mode: Mode::Paper, auth };
        credentials.put(user, id(number), &secret).unwrap();
    }
}

fn rotated(dir: &Path, now: DateTime<Utc>) -> (bool, String) {
    let mut out = Vec::new();
    let code = rotate(dir, &config(), now, &mut out).unwrap();
    (code == ExitCode::SUCCESS, String::from_utf8(out).unwrap())
}

#[test]
fn it_says_what_was_made_how_many_rows_were_sealed_and_what_is_kept_until_when() {
    let dir = tempfile::tempdir().unwrap();
    let now = SystemClock::new().now();
    data(dir.path(), now);
    let (done, said) = rotated(dir.path(), now);
    let until = (now + TimeDelta::days(60)).format("%Y-%m-%d");
    assert!(done && said.contains("version 2 of the master key was made"), "{said}");
    assert!(said.contains("5 row(s) of credentials were sealed anew under version 2"), "{said}");
    assert!(said.contains(&format!("version 1 is kept until {until}")), "{said}");
    let (done, said) = rotated(dir.path(), now + TimeDelta::days(61));
    assert!(done && said.contains("version 1 was dropped") && said.contains("version 2 is kept"), "{said}");
    verify(&dir.path().join("log"), &mut |_, _| ()).unwrap();
}

#[test]
fn a_rotation_that_was_begun_is_finished_first() {
    let dir = tempfile::tempdir().unwrap();
    let now = SystemClock::new().now();
    data(dir.path(), now);
    let disk = Disk::open(dir.path(), &config()).unwrap();
    disk.keys.make(2, now).unwrap();
    drop(disk);
    let (done, said) = rotated(dir.path(), now);
    assert!(
        done && said.contains("begun before, was finished") && !dir.path().join("master.key.3").exists(),
        "{said}"
    );
    let (done, said) = rotated(dir.path(), now);
    assert!(done && said.contains("version 3 of the master key was made"), "{said}");
}

#[test]
fn data_that_a_server_uses_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let now = SystemClock::new().now();
    data(dir.path(), now);
    let _server = Disk::open(dir.path(), &config()).unwrap();
    let error = rotate(dir.path(), &config(), now, &mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("the server runs") && error.contains("nothing was changed"), "{error}");
    assert!(!dir.path().join("master.key.2").exists());
}
