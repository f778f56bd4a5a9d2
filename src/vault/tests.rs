use uuid::Uuid;

use super::*;
use crate::auth::fakes::{MemoryVault, fixture, user};
use crate::brokers::credentials::Auth;
use trade_actors::domain::order::Mode;

fn connection(number: u128) -> ConnectionId {
    ConnectionId::new(Uuid::from_u128(number))
}

fn secret(text: &str) -> BrokerSecret {
    let auth = Auth::ApiKey { key_id: format!("PK-{text}").into(), secret: text.into() };
    BrokerSecret { broker: "alpaca".to_owned(), mode: Mode::Paper, auth }
}

fn texts(found: Option<BrokerSecret>) -> Option<String> {
    found.map(|secret| serde_json::to_string(&secret).unwrap())
}

fn store() -> (Credentials, Arc<MemoryVault>) {
    let it = fixture();
    (Credentials::new(it.vault.clone(), it.keys.clone()), it.vault)
}

#[test]
fn credentials_come_back_to_their_connection_alone() {
    let (store, vault) = store();
    let (ada, bob) = (user(1), user(2));
    store.put(ada, connection(1), &secret("hunter-1")).unwrap();
    store.put(ada, connection(2), &secret("hunter-2")).unwrap();
    store.put(bob, connection(3), &secret("hunter-3")).unwrap();
    let got = |user, number| texts(store.get(user, connection(number), "alpaca").unwrap());
    assert_eq!(got(ada, 1), texts(Some(secret("hunter-1"))));
    assert_eq!(got(bob, 3), texts(Some(secret("hunter-3"))));
    assert_eq!((got(ada, 3), got(bob, 1)), (None, None));
    let all = [(ada, connection(1)), (ada, connection(2)), (bob, connection(3))];
    assert_eq!(store.list().unwrap(), all);
    let rows = format!("{:?} {store:?}", vault.0.lock().unwrap());
    let stored: Vec<u8> = vault.0.lock().unwrap().values().flatten().copied().collect();
    assert!(!rows.contains("hunter") && !stored.windows(6).any(|window| window == b"hunter"));

    store.put(ada, connection(1), &secret("hunter-4")).unwrap();
    assert_eq!(got(ada, 1), texts(Some(secret("hunter-4"))));
    store.remove(ada, connection(1)).unwrap();
    store.remove(ada, connection(1)).unwrap();
    assert_eq!(got(ada, 1), None);
}

#[test]
fn a_row_moved_to_another_person_or_connection_opens_nothing() {
    let (store, vault) = store();
    store.put(user(1), connection(1), &secret("one")).unwrap();
    let row = vault.0.lock().unwrap().values().next().unwrap().clone();
    for (other, number) in [(user(1), 2), (user(2), 1)] {
        vault.put(key(other, connection(number)).as_bytes(), Some(&row)).unwrap();
        let error = store.get(other, connection(number), "alpaca").unwrap_err();
        assert!(matches!(error, CredentialError::Sealed(_, SealError::Refused)), "{error}");
    }
    let error = store.get(user(1), connection(1), "kraken").unwrap_err();
    assert!(matches!(error, CredentialError::Sealed(_, SealError::Refused)), "{error}");
}

#[test]
fn another_master_key_opens_nothing() {
    let (store, vault) = store();
    store.put(user(1), connection(1), &secret("one")).unwrap();
    let other = Credentials::new(vault, fixture().keys);
    let error = other.get(user(1), connection(1), "alpaca").unwrap_err();
    assert!(matches!(error, CredentialError::Sealed(_, SealError::Refused)), "{error}");
    assert!(!error.to_string().contains("one\""), "{error}");
}

#[test]
fn the_same_credentials_sealed_twice_are_two_rows() {
    let (store, vault) = store();
    let row = || vault.0.lock().unwrap().values().next().unwrap().clone();
    store.put(user(1), connection(1), &secret("one")).unwrap();
    let first = row();
    store.put(user(1), connection(1), &secret("one")).unwrap();
    assert_ne!(first, row());
}

#[test]
fn what_no_connection_needs_is_swept() {
    let (store, vault) = store();
    store.put(user(1), connection(1), &secret("one")).unwrap();
    store.put(user(1), connection(2), &secret("two")).unwrap();
    vault.put(b"token/x", Some(b"y")).unwrap();
    let failed = store.sweep(|_, _| Err(StoreError("the index is away".to_owned())));
    assert!(failed.is_err() && store.list().unwrap().len() == 2, "what is not known is kept");
    assert_eq!(store.sweep(|_, there| Ok(there == connection(2))).unwrap(), 1);
    assert_eq!(store.list().unwrap(), [(user(1), connection(2))]);
    assert!(vault.get(b"token/x").unwrap().is_some());
}
