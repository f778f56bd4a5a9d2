//! `audit verify` finds whatever was done to the log, and names the record; `audit export` gives it to a spreadsheet.

use std::fs;
use std::path::PathBuf;

use crate::support::api::order;
use crate::support::{Server, Setup, log};

/// Bytes before the first frame, and of a frame's length and hash.
const HEADER: usize = 100;
const LENGTH: usize = 4;
const HASH: usize = 32;

/// Returns a program that traded and was stopped in good order.
async fn traded() -> Server {
    let mut server = Setup::new().start().await;
    let api = server.owner();
    for number in 0..6 {
        let action = if number % 2 == 0 { "buy" } else { "sell" };
        let signal = api.signal(&order(&number.to_string(), "AAPL", action, "1")).await.expect(202);
        api.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
    }
    server.stop().await;
    server
}

fn segment(server: &Server) -> PathBuf {
    let found = fs::read_dir(server.data.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = found.filter(|path| path.extension().is_some_and(|end| end == "seg")).collect();
    found.sort();
    found.swap_remove(0)
}

/// Returns where each record's frame starts and ends.
fn frames(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let (mut at, mut found) = (HEADER, Vec::new());
    while let Some(length) = bytes.get(at..at + LENGTH) {
        let length = usize::try_from(u32::from_be_bytes(length.try_into().unwrap())).unwrap();
        if length == 0 {
            break;
        }
        let end = at + LENGTH + length + HASH;
        found.push(at..end);
        at = end;
    }
    found
}

/// Changes the log's first segment and asserts that `audit verify` names this record.
fn assert_found(
    server: &Server,
    record: usize,
    change: impl FnOnce(&mut Vec<u8>, &[std::ops::Range<usize>]),
) {
    let path = segment(server);
    let whole = fs::read(&path).unwrap();
    let mut bytes = whole.clone();
    change(&mut bytes, &frames(&whole));
    assert_ne!(bytes, whole);
    fs::write(&path, &bytes).unwrap();
    let verified = server.run(&["audit", "verify"]);
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert_eq!(verified.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("record {record}")), "not record {record}: {said}");
    let json = server.run(&["audit", "verify", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["status"], &json["record"]), (&"damaged".into(), &record.into()), "{json}");
    fs::write(&path, &whole).unwrap();
    server.assert_log_is_whole();
}

#[tokio::test]
async fn whatever_is_done_to_the_log_is_found_and_the_record_named() {
    let server = traded().await;
    server.assert_log_is_whole();
    let count = frames(&fs::read(segment(&server)).unwrap()).len();
    assert!(count > 20, "{count} records");

    let price = |bytes: &mut Vec<u8>, frames: &[std::ops::Range<usize>]| {
        let frame = &mut bytes[frames[9].clone()];
        let middle = frame.len() / 2;
        frame[middle] ^= 1;
    };
    assert_found(&server, 10, price);
    assert_found(&server, 5, |bytes, frames| {
        let (fifth, sixth) = (bytes[frames[4].clone()].to_vec(), bytes[frames[5].clone()].to_vec());
        let swapped = [sixth, fifth].concat();
        bytes[frames[4].start..frames[5].end].copy_from_slice(&swapped);
    });
    assert_found(&server, 12, |bytes, frames| {
        let removed = frames[11].clone();
        let length = removed.len();
        bytes.drain(removed);
        bytes.extend(std::iter::repeat_n(0, length));
    });
    assert_found(&server, count, |bytes, frames| bytes[frames[frames.len() - 1].clone()].fill(0));
    assert_found(&server, count - 3, |bytes, frames| bytes.truncate(frames[frames.len() - 4].start));
    assert_found(&server, 1, |bytes, _| bytes[20] ^= 1);
}

#[tokio::test]
async fn a_damaged_log_is_not_written_on() {
    let server = traded().await;
    let path = segment(&server);
    let mut bytes = fs::read(&path).unwrap();
    let frames = frames(&bytes);
    bytes[frames[frames.len() - 2].start..].fill(0);
    fs::write(&path, &bytes).unwrap();
    let ran = server.run(&["--listen", "127.0.0.1:0"]);
    assert!(!ran.status.success());
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("damaged"), "{said}");
    assert_eq!(fs::read(&path).unwrap(), bytes, "nothing was changed");
}

#[tokio::test]
async fn the_export_has_every_record_and_filters_them() {
    let server = traded().await;
    let out = server.home().join("log.csv");
    let ran = server.run(&["audit", "export", "--csv", "-o", out.to_str().unwrap()]);
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let mut table = csv::Reader::from_path(&out).unwrap();
    assert_eq!(
        table.headers().unwrap().iter().take(4).collect::<Vec<_>>(),
        ["seq", "timestamp", "user_id", "action"]
    );
    let rows: Vec<_> = table.records().map(Result::unwrap).collect();
    let records = log::records(&server.data);
    assert_eq!(rows.len(), records.len());
    for (row, record) in rows.iter().zip(&records) {
        assert_eq!((&row[0], &row[3]), (record.seq.to_string().as_str(), record.statement.action.as_str()));
        assert_eq!(&row[12], record.current_hash.to_string());
    }
    let ran = server.run(&["audit", "export", "--csv", "--action", "ORDER_CREATED"]);
    let rows: Vec<_> =
        csv::Reader::from_reader(ran.stdout.as_slice()).records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), log::count(&server.data, "ORDER_CREATED"));
    assert_eq!(rows.len(), 6);
}

#[tokio::test]
async fn the_log_holds_no_secret() {
    let mut server = Setup::new().start().await;
    let api = server.owner();
    let signal = api.signal(&order("s", "AAPL", "buy", "1")).await.expect(202);
    api.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
    let body = serde_json::json!({ "ticker": "AAPL", "action": "nonsense", "quantity": 1, "secret": "open-sesame-7" });
    api.signal(&body).await.assert_problem(422, "BAD_ACTION");
    let secrets = [
        server.ready("api_token").to_owned(),
        server.ready("webhook_url").rsplit('/').next().unwrap().to_owned(),
        server.ready("login_url").rsplit('/').next().unwrap().to_owned(),
        "open-sesame-7".to_owned(),
    ];
    server.stop().await;
    for entry in fs::read_dir(server.data.join("log")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for secret in &secrets {
            assert!(
                !bytes.windows(secret.len()).any(|part| part == secret.as_bytes()),
                "a secret is in the log"
            );
        }
    }
}
