use std::fs;
use std::os::unix::fs::PermissionsExt;

use chrono::TimeDelta;

use super::*;

fn key_in(dir: &Path) -> MasterKey {
    MasterKey::load_or_create(&dir.join("master.key")).unwrap()
}

fn at(day: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_600_000, 0).unwrap() + TimeDelta::days(day)
}

fn person() -> UserId {
    UserId::new(uuid::Uuid::from_u128(7))
}

#[test]
fn a_key_is_made_once_and_kept_from_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("master.key");
    let first = key_in(dir.path()).derive("x");
    assert_eq!(key_in(dir.path()).derive("x"), first);
    assert_ne!(key_in(dir.path()).derive("y"), first);
    key_in(dir.path()).make(2, at(0)).unwrap();
    for file in ["master.key", "master.key.2"] {
        let path = dir.path().join(file);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(
            MasterKey::load_or_create(&dir.path().join("master.key"))
                .unwrap_err()
                .to_string()
                .contains("chmod 600")
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert_eq!(fs::metadata(path).unwrap().len(), 32);
}

#[test]
fn what_is_derived_is_the_same_whatever_versions_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let keys = key_in(dir.path());
    let source = SourceId::new(uuid::Uuid::from_u128(3));
    let purposes = ["log-signing/v1", "csrf/v1", "owner-api-token/v1/u", "broker-account/v1/alpaca/paper/1"];
    let derived =
        |keys: &MasterKey| (purposes.map(|purpose| keys.derive(purpose)), keys.webhook_token(source, 0));
    let before = derived(&keys);
    keys.make(2, at(0)).unwrap();
    assert_eq!(derived(&keys), before);
    keys.make(3, at(1)).unwrap();
    keys.drop_version(1).unwrap();
    assert_eq!(derived(&keys), before);
    let again = key_in(dir.path());
    assert_eq!(derived(&again), before, "the root outlives the version");
    assert_eq!(
        again.credential_key(1, person()).unwrap_err(),
        NoKey::Absent(1),
        "which opens nothing any more"
    );
}

#[test]
fn a_version_is_there_after_a_restart_with_its_date_whatever_the_file_says() {
    let dir = tempfile::tempdir().unwrap();
    let keys = key_in(dir.path());
    let first = keys.credential_key(1, person()).unwrap();
    assert_eq!(keys.make(2, at(3)).unwrap(), Version { number: 2, made: at(3) });
    let second = keys.credential_key(2, person()).unwrap();
    assert_ne!(first, second);
    fs::File::options().write(true).open(keys.file(2)).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let again = key_in(dir.path());
    assert_eq!(again.newest(), 2);
    assert_eq!(again.versions().last(), Some(&Version { number: 2, made: at(3) }));
    assert_eq!(again.credential_key(1, person()).unwrap(), first);
    assert_eq!(again.credential_key(2, person()).unwrap(), second);
}

#[test]
fn the_newest_and_two_before_are_read_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let keys = key_in(dir.path());
    for number in 2..=4 {
        keys.make(number, at(i64::from(number))).unwrap();
    }
    for keys in [keys, key_in(dir.path())] {
        assert_eq!(keys.credential_key(1, person()).unwrap_err(), NoKey::TooOld(1));
        (2..=4).for_each(|number| assert!(keys.credential_key(number, person()).is_ok()));
        assert_eq!(keys.credential_key(5, person()).unwrap_err(), NoKey::Absent(5));
    }
}

#[test]
fn a_version_is_never_written_over_and_the_newest_never_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let keys = key_in(dir.path());
    let stranger = key_in(dir.path());
    keys.make(2, at(0)).unwrap();
    let kept = fs::read(keys.file(2)).unwrap();
    assert!(keys.make(2, at(1)).is_err() && stranger.make(2, at(1)).is_err());
    assert!(keys.drop_version(2).is_err());
    assert_eq!(fs::read(keys.file(2)).unwrap(), kept);
}

#[test]
fn what_a_crash_left_behind_is_no_version_and_goes_with_the_next_change() {
    let dir = tempfile::tempdir().unwrap();
    let keys = key_in(dir.path());
    for name in ["master.key.2.00ff.new", "master.key.00ff.new"] {
        fs::write(dir.path().join(name), [7; 11]).unwrap();
    }
    for name in ["master.key.02", "master.key.bak", "master.key.1", "other.2"] {
        fs::write(dir.path().join(name), [7; 40]).unwrap();
    }
    assert_eq!(key_in(dir.path()).newest(), 1);
    keys.make(2, at(0)).unwrap();
    keys.make(3, at(0)).unwrap();
    keys.drop_version(2).unwrap();
    let names =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    let left = ["master.key", "master.key.02", "master.key.1", "master.key.3", "master.key.bak", "other.2"];
    assert_eq!(names, left);
}

#[test]
fn a_file_that_is_no_key_is_refused_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    drop(key_in(dir.path()));
    for (name, length) in [("master.key.2", 32), ("master.key.3", 41), ("master.key.4", 0)] {
        let path = dir.path().join(name);
        fs::write(&path, vec![0; length]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = MasterKey::load_or_create(&dir.path().join("master.key")).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("40 bytes"), "{error}");
        fs::remove_file(path).unwrap();
    }
}
