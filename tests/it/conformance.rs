//! What every log, index and vault promises, whatever medium it is on.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use ed25519_dalek::{Signature, SigningKey};
use trade_actors::domain::record::{Hash, Record, Statement, Status};
use trade_actors::ports::log::{Checkpoint, Entry, Head, Log, LogError};
use trade_actors::ports::store::{Cell, Key, RowBatch, Store, Value, Vault};
use trade_executor::store::index::SledIndex;
use trade_executor::store::segments::{Options, SegmentLog, SegmentReader, verify};
use trade_executor::store::vault::SledVault;

const TIME: &str = "2026-01-05T14:30:00.000Z";
const CACHE_BYTES: u64 = 8 << 20;

fn key() -> SigningKey {
    SigningKey::from_bytes(&[42; 32])
}

fn open_segments(dir: &Path) -> Box<dyn Log> {
    Box::new(SegmentLog::open(dir, Options { segment_bytes: 4096 }, key()).unwrap().0)
}

fn statement(number: u64) -> Statement {
    Statement {
        user_id: number.is_multiple_of(2).then(|| format!("u{number}")),
        action: "ORDER_CREATED".into(),
        resource_type: "Order".into(),
        resource_id: Some(format!("o{number}")),
        ip_address: None,
        user_agent: None,
        status: Status::Success,
        error_message: None,
        payload: Some(format!(r#"{{"number":"{number}"}}"#)),
    }
}

fn append(log: &mut dyn Log, numbers: std::ops::RangeInclusive<u64>) -> Head {
    let statements: Vec<_> = numbers.map(statement).collect();
    let batch: Vec<_> = statements.iter().map(|statement| Entry { timestamp: TIME, statement }).collect();
    log.append(&batch).unwrap()
}

fn read(log: &dyn Log, from: u64) -> Vec<Record> {
    log.read(from).unwrap().map(Result::unwrap).collect()
}

/// Asserts that `records` are numbers `from..=to`, each linked to the one before.
fn assert_chain(records: &[Record], from: u64, to: u64) {
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), (from..=to).collect::<Vec<_>>());
    for record in records {
        assert_eq!(record.statement, statement(record.seq));
        assert_eq!(record.timestamp, TIME);
    }
    assert!(records.windows(2).all(|pair| pair[1].previous_hash == pair[0].current_hash));
    if from == 1 {
        assert!(records.first().is_none_or(|first| first.previous_hash == Hash::default()));
    }
}

/// The promises of [`Log`], for one that keeps itself in the directory it is given.
fn log_conformance(open: impl Fn(&Path) -> Box<dyn Log>) {
    a_log_keeps_order_and_chain_across_restarts(&open);
    a_log_signs_its_head_once(&open);
    a_log_is_read_while_it_is_written(&open);
}

fn a_log_keeps_order_and_chain_across_restarts(open: &impl Fn(&Path) -> Box<dyn Log>) {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    assert_eq!(log.head(), Head::default());
    assert!(read(log.as_ref(), 1).is_empty());
    assert_eq!(log.append(&[]).unwrap(), Head::default());
    let mut end = 0;
    for size in [1, 2, 64, 3, 200, 1] {
        let head = append(log.as_mut(), end + 1..=end + size);
        end += size;
        assert_eq!((head.seq, head), (end, log.head()));
        let records = read(log.as_ref(), 1);
        assert_chain(&records, 1, end);
        assert_eq!(records.last().map(|last| last.current_hash), Some(head.hash));
        drop(log);
        log = open(dir.path());
        assert_eq!(log.head(), head, "a restart changed the head");
    }
    for from in [1, 2, 67, end, end + 1, end + 100] {
        assert_chain(&read(log.as_ref(), from), from.min(end + 1), end);
    }
}

fn a_log_signs_its_head_once(open: &impl Fn(&Path) -> Box<dyn Log>) {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    assert_eq!(log.checkpoint(TIME).unwrap(), None);
    let head = append(log.as_mut(), 1..=5);
    let signed = log.checkpoint(TIME).unwrap().unwrap();
    assert_eq!((signed.head, signed.time.as_str()), (head, TIME));
    let message = Checkpoint::message(&signed.log_id, head, TIME);
    let signature = Signature::from_bytes(&signed.signature);
    assert!(key().verifying_key().verify_strict(message.as_bytes(), &signature).is_ok());
    assert_eq!(log.checkpoint(TIME).unwrap(), None);
    drop(log);
    let mut log = open(dir.path());
    assert_eq!(log.checkpoint(TIME).unwrap(), None, "a restart signed the same head again");
    append(log.as_mut(), 6..=6);
    assert_eq!(
        log.checkpoint(TIME).unwrap().map(|next| (next.log_id, next.head.seq)),
        Some((signed.log_id, 6))
    );
}

fn a_log_is_read_while_it_is_written(open: &impl Fn(&Path) -> Box<dyn Log>) {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path());
    append(log.as_mut(), 1..=150);
    let early = log.read(1).unwrap();
    let reading = std::thread::spawn(move || early.map(Result::unwrap).collect::<Vec<_>>());
    for first in (151..450).step_by(10) {
        append(log.as_mut(), first..=first + 9);
    }
    let records = reading.join().unwrap();
    assert_chain(&records, 1, records.len() as u64);
    assert!(records.len() >= 150, "records that were there when reading began are missing");
    assert_chain(&read(log.as_ref(), 1), 1, log.head().seq);
}

fn rows(rows: &[(&str, Option<&str>)]) -> Vec<(Key, Option<Cell>)> {
    rows.iter()
        .map(|(key, value)| (key.as_bytes().to_vec(), value.map(|text| text.as_bytes().to_vec().into())))
        .collect()
}

fn keys<V>(rows: Vec<(Key, V)>) -> Vec<String> {
    rows.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
}

fn bytes(cell: Option<Cell>) -> Option<Value> {
    cell.map(|cell| cell.bytes().unwrap())
}

/// The promises of [`Store`], for one that keeps itself in the directory it is given.
fn store_conformance(open: impl Fn(&Path) -> Box<dyn Store>) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.applied().unwrap(), 0);
    assert!(store.scan(b"", None, 10).unwrap().is_empty(), "a new store has rows");

    let written = rows(&[
        ("b/2", Some("2")),
        ("a/1", Some("1")),
        ("b/10", Some("10")),
        ("b", Some("b")),
        ("c/1", None),
    ]);
    store.apply(RowBatch { rows: written, applied: 3 }).unwrap();
    assert_eq!(store.applied().unwrap(), 3);
    assert_eq!(bytes(store.get(b"b/2").unwrap()), Some(b"2".to_vec()));
    assert_eq!(bytes(store.get(b"c/1").unwrap()), None);
    assert_eq!(keys(store.scan(b"", None, 10).unwrap()), ["a/1", "b", "b/10", "b/2"]);
    assert_eq!(keys(store.scan(b"b/", None, 10).unwrap()), ["b/10", "b/2"]);
    assert_eq!(keys(store.scan(b"b/", Some(b"b/10"), 10).unwrap()), ["b/2"]);
    assert_eq!(keys(store.scan(b"b/", Some(b"b/11"), 10).unwrap()), ["b/2"], "the row after need not exist");
    assert_eq!(
        keys(store.scan(b"b/", Some(b"a"), 1).unwrap()),
        ["b/10"],
        "what is before the prefix is its begin"
    );
    assert!(store.scan(b"b/", Some(b"c"), 10).unwrap().is_empty());
    assert!(store.scan(b"b/", None, 0).unwrap().is_empty());

    store.apply(RowBatch { rows: rows(&[("b/2", Some("two")), ("a/1", None)]), applied: 4 }).unwrap();
    assert_eq!(bytes(store.get(b"b/2").unwrap()), Some(b"two".to_vec()));
    assert_eq!(keys(store.scan(b"a", None, 10).unwrap()), Vec::<String>::new());
    let live = Cell::of(std::sync::Arc::new(vec![1_u8, 2]));
    store.apply(RowBatch { rows: vec![(b"live".to_vec(), Some(live))], applied: 4 }).unwrap();
    assert_eq!(*store.get(b"live").unwrap().unwrap().read::<Vec<u8>>().unwrap(), [1, 2]);
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.applied().unwrap(), 4);
    assert_eq!(bytes(store.get(b"live").unwrap()), Some(b"[1,2]".to_vec()));
    store.apply(RowBatch { rows: vec![(b"live".to_vec(), None)], applied: 4 }).unwrap();
    assert_eq!(keys(store.scan(b"", None, 10).unwrap()), ["b", "b/10", "b/2"]);

    pages_join_to_the_whole(store.as_ref());
    rows_and_applied_change_in_one_step(store.as_ref());
}

fn pages_join_to_the_whole(store: &dyn Store) {
    let many: Vec<_> = (0_u32..500)
        .map(|n| ([b"page/".as_slice(), &n.to_be_bytes()].concat(), Some(vec![1].into())))
        .collect();
    let all: Vec<_> = many.iter().map(|(key, _)| key.clone()).collect();
    store.apply(RowBatch { rows: many, applied: 5 }).unwrap();
    let mut seen: Vec<Key> = Vec::new();
    loop {
        let page = store.scan(b"page/", seen.last().map(Vec::as_slice), 37).unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 37);
        seen.extend(page.into_iter().map(|(key, _)| key));
    }
    assert_eq!(seen, all);
}

/// A reader that sees a row of batch n never sees `applied` below n.
fn rows_and_applied_change_in_one_step(store: &dyn Store) {
    let last = 300_u64;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for applied in 6..=last {
                let row = (b"step".to_vec(), Some(applied.to_be_bytes().to_vec().into()));
                store.apply(RowBatch { rows: vec![row], applied }).unwrap();
            }
        });
        let mut row = 0;
        while row < last {
            let step = bytes(store.get(b"step").unwrap());
            row = step.map_or(0, |value| u64::from_be_bytes(value.try_into().unwrap()));
            let applied = store.applied().unwrap();
            assert!(applied >= row, "row {row} was there before its marker {applied}");
        }
    });
}

/// The promises of [`Vault`], for one that keeps itself in the directory it is given.
fn vault_conformance(open: impl Fn(&Path) -> Box<dyn Vault>) {
    let dir = tempfile::tempdir().unwrap();
    let vault = open(dir.path());
    assert_eq!(vault.get(b"s/1").unwrap(), None);
    assert_eq!(vault.take(b"s/1").unwrap(), None);
    for (key, value) in [("s/2", "two"), ("s/1", "one"), ("t/1", "other"), ("s", "bare")] {
        vault.put(key.as_bytes(), Some(value.as_bytes())).unwrap();
    }
    assert_eq!(keys(vault.scan(b"s/").unwrap()), ["s/1", "s/2"]);
    assert_eq!(keys(vault.scan(b"").unwrap()), ["s", "s/1", "s/2", "t/1"]);
    vault.put(b"s/2", Some(b"new")).unwrap();
    vault.put(b"t/1", None).unwrap();
    vault.put(b"t/1", None).unwrap();
    assert_eq!(vault.take(b"s/1").unwrap().as_deref(), Some(b"one".as_slice()));
    assert_eq!(vault.take(b"s/1").unwrap(), None);
    drop(vault);
    let vault = open(dir.path());
    assert_eq!(keys(vault.scan(b"").unwrap()), ["s", "s/2"], "a restart undid a change");
    assert_eq!(vault.get(b"s/2").unwrap().as_deref(), Some(b"new".as_slice()));
    a_taken_value_has_one_winner(vault.as_ref());
    writers_do_not_block_each_other_for_ever(vault.as_ref());
}

fn a_taken_value_has_one_winner(vault: &dyn Vault) {
    for round in 0..20_u8 {
        vault.put(b"ticket", Some(&[round])).unwrap();
        let (barrier, winners) = (Barrier::new(8), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    barrier.wait();
                    if let Some(value) = vault.take(b"ticket").unwrap() {
                        assert_eq!(value, [round]);
                        winners.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(winners.into_inner(), 1, "round {round}");
    }
}

fn writers_do_not_block_each_other_for_ever(vault: &dyn Vault) {
    std::thread::scope(|scope| {
        for writer in 0..12_u8 {
            scope.spawn(move || {
                for n in 0..10_u8 {
                    vault.put(&[b'w', writer, n], Some(&[n])).unwrap();
                }
            });
        }
    });
    assert_eq!(vault.scan(b"w").unwrap().len(), 120);
}

#[test]
fn the_segment_log_conforms() {
    log_conformance(open_segments);
}

#[test]
fn the_sled_index_conforms() {
    store_conformance(|dir| Box::new(SledIndex::open(&dir.join("index"), CACHE_BYTES).unwrap()));
}

#[test]
fn the_sled_vault_conforms() {
    vault_conformance(|dir| Box::new(SledVault::open(&dir.join("vault"), CACHE_BYTES).unwrap()));
}

#[test]
fn an_index_follows_from_the_log_after_a_rebuild() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open_segments(&dir.path().join("log"));
    append(log.as_mut(), 1..=20);
    let fill = |index: &SledIndex| {
        for record in log.read(index.applied().unwrap() + 1).unwrap().map(Result::unwrap) {
            let payload = record.statement.payload.map(|payload| payload.into_bytes().into());
            let row = (record.seq.to_be_bytes().to_vec(), payload);
            index.apply(RowBatch { rows: vec![row], applied: record.seq }).unwrap();
        }
        let rows = index.scan(b"", None, 100).unwrap().into_iter();
        rows.map(|(key, cell)| (key, cell.bytes().unwrap())).collect::<Vec<_>>()
    };
    let path = dir.path().join("index");
    let before = fill(&SledIndex::open(&path, CACHE_BYTES).unwrap());
    let rebuilt = SledIndex::rebuild(&path, CACHE_BYTES).unwrap();
    assert_eq!(rebuilt.applied().unwrap(), 0);
    assert_eq!(fill(&rebuilt), before);
    assert_eq!((before.len(), rebuilt.applied().unwrap()), (20, 20));
    assert!(dir.path().join("index.broken-1").is_dir());
}

/// Returns the only segment of a small log and the offset behind its last byte that is not zero.
fn only_segment(dir: &Path) -> (std::path::PathBuf, Vec<u8>, usize) {
    let path = dir.join(format!("{:020}.seg", 1));
    let bytes = std::fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    (path, bytes, end)
}

#[test]
fn a_crash_at_any_byte_of_a_batch_keeps_every_record_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open_segments(dir.path());
    append(log.as_mut(), 1..=3);
    let (path, _, before) = only_segment(dir.path());
    append(log.as_mut(), 4..=6);
    drop(log);
    let (_, whole, after) = only_segment(dir.path());
    let mut heads = Vec::new();
    for cut in before..=after {
        let mut torn = whole.clone();
        torn[cut..].fill(0);
        std::fs::write(&path, &torn).unwrap();
        let mut log = open_segments(dir.path());
        let kept = log.head().seq;
        assert!((3..=6).contains(&kept), "cut at {cut}");
        assert_chain(&read(log.as_ref(), 1), 1, kept);
        append(log.as_mut(), kept + 1..=kept + 2);
        assert_chain(&read(log.as_ref(), 1), 1, kept + 2);
        heads.push(kept);
    }
    assert!(heads.is_sorted());
    assert_eq!((heads.first(), heads.last()), (Some(&3), Some(&6)));
}

#[test]
fn a_checkpoint_proves_that_a_tail_was_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open_segments(dir.path());
    append(log.as_mut(), 1..=5);
    let (path, shorter, _) = only_segment(dir.path());
    append(log.as_mut(), 6..=9);
    log.checkpoint(TIME).unwrap();
    drop(log);
    std::fs::write(&path, shorter).unwrap();
    let refused = SegmentLog::open(dir.path(), Options::default(), key()).unwrap_err();
    assert!(matches!(refused, LogError::Damaged { seq: 6, .. }), "{refused}");
    let found = verify(dir.path(), &mut |_, _| ()).unwrap_err().to_string();
    assert!(found.contains("record 6") && found.contains("proves more records"), "{found}");
    assert_eq!(SegmentReader::open(dir.path()).unwrap().read(1).unwrap().filter(Result::is_ok).count(), 5);
}
