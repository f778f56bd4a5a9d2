use std::fs::OpenOptions;
use std::io::Write;

use proptest::prelude::*;
use tempfile::TempDir;
use trade_actors::domain::record::{Hash, Statement, Status};

use super::*;

const TIME: &str = "2026-01-05T14:30:00.000Z";
const SMALL: Options = Options { segment_bytes: 4096 };

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn statement(text: &str) -> Statement {
    Statement {
        user_id: Some("u1".into()),
        action: "TRADE_EXECUTED".into(),
        resource_type: "Trade".into(),
        resource_id: None,
        ip_address: None,
        user_agent: None,
        status: Status::Success,
        error_message: None,
        payload: Some(text.into()),
    }
}

fn append(log: &mut SegmentLog, texts: &[String]) -> Result<Head, LogError> {
    let statements: Vec<_> = texts.iter().map(|text| statement(text)).collect();
    let batch: Vec<_> = statements.iter().map(|statement| Entry { timestamp: TIME, statement }).collect();
    log.append(&batch)
}

fn texts(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| format!("payload {n}")).collect()
}

fn payloads(dir: &Path) -> Vec<String> {
    let records = SegmentReader::open(dir).unwrap().read(1).unwrap();
    records.map(|record| record.unwrap().statement.payload.unwrap()).collect()
}

fn check(dir: &Path) -> Result<Verified, LogError> {
    verify(dir, &mut |_, _| ())
}

fn damaged_at(result: Result<Verified, LogError>) -> u64 {
    match result {
        Err(LogError::Damaged { seq, .. }) => seq,
        other => panic!("not damaged: {other:?}"),
    }
}

/// A closed log of `records` records in batches of three, with its checkpoint.
fn written(records: u64, options: Options) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = SegmentLog::open(dir.path(), options, key()).unwrap();
    for first in (0..records).step_by(3) {
        append(&mut log, &texts(first..(first + 3).min(records))).unwrap();
    }
    log.checkpoint(TIME).unwrap();
    dir
}

fn files(dir: &Path) -> Vec<PathBuf> {
    scan::segments(dir).unwrap().into_values().collect()
}

/// The end of the last record in a segment.
fn end_of(path: &Path, first: u64) -> u64 {
    let mut scan = scan::Scan::open(path, first).unwrap();
    while let scan::Step::Record(_) = scan.step().unwrap() {}
    scan.at()
}

fn fail_when_full(path: &Path, bytes: u64) -> io::Result<File> {
    if path.with_file_name("full").exists() {
        // As a disk that fills in the middle: part of the file is there.
        fs::write(path, [0; 100])?;
        return Err(io::Error::from(io::ErrorKind::StorageFull));
    }
    spare::zeros(path, bytes)
}

#[test]
fn records_cross_segments_and_verify() {
    let dir = written(200, SMALL);
    assert!(files(dir.path()).len() > 5);
    assert_eq!(payloads(dir.path()), texts(0..200));
    let verified = check(dir.path()).unwrap();
    assert_eq!((verified.records, verified.proven_to, verified.checkpoints), (200, Some(200), 1));
    assert!(verified.warnings.is_empty());
}

#[test]
fn a_log_without_records_reads_as_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = SegmentLog::open(dir.path(), SMALL, key()).unwrap();
    assert_eq!((payloads(dir.path()).len(), check(dir.path()).unwrap().records), (0, 0));
    append(&mut log, &texts(0..150)).unwrap();
    assert_eq!(files(dir.path()).len(), 1, "the empty segment was kept beside the one that replaced it");
    assert_eq!(payloads(dir.path()), texts(0..150));
}

#[test]
fn every_segment_has_its_full_length_from_the_start() {
    let dir = written(200, SMALL);
    assert!(files(dir.path()).iter().all(|path| path.metadata().unwrap().len() == SMALL.segment_bytes));
}

#[test]
fn a_batch_longer_than_a_segment_gets_one_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = SegmentLog::open(dir.path(), SMALL, key()).unwrap();
    append(&mut log, &texts(0..2)).unwrap();
    append(&mut log, &texts(2..150)).unwrap();
    append(&mut log, &texts(150..151)).unwrap();
    assert_eq!(files(dir.path()).len(), 3);
    drop(log);
    assert_eq!(payloads(dir.path()), texts(0..151));
    let (log, opened) = SegmentLog::open(dir.path(), SMALL, key()).unwrap();
    assert_eq!((log.head().seq, opened.torn_bytes), (151, 0));
}

#[test]
fn a_second_writer_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = SegmentLog::open(dir.path(), SMALL, key()).unwrap();
    let refused = SegmentLog::open(dir.path(), SMALL, key()).unwrap_err();
    assert!(refused.to_string().contains("another process"), "{refused}");
    drop(first);
    assert!(SegmentLog::open(dir.path(), SMALL, key()).is_ok());
}

#[test]
fn a_full_disk_refuses_whole_batches_and_recovers_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = SegmentLog::open_with(dir.path(), SMALL, key(), fail_when_full).unwrap();
    fs::write(dir.path().join("full"), "").unwrap();
    let mut kept = Vec::new();
    let refused = loop {
        let next = texts(kept.len() as u64..kept.len() as u64 + 4);
        match append(&mut log, &next) {
            Ok(_) => kept.extend(next),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, LogError::Full));
    assert!(matches!(append(&mut log, &texts(0..9)), Err(LogError::Full)));
    assert_eq!(log.head().seq, kept.len() as u64);
    assert!(!dir.path().join("spare.tmp").exists(), "a half-made segment was left behind");
    assert_eq!(payloads(dir.path()), kept);
    fs::remove_file(dir.path().join("full")).unwrap();
    append(&mut log, &["room again".to_owned()]).unwrap();
    kept.push("room again".to_owned());
    assert_eq!(payloads(dir.path()), kept);
    assert_eq!(check(dir.path()).unwrap().records, kept.len() as u64);
}

#[test]
fn a_log_that_cannot_begin_for_want_of_room_begins_later() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("full"), "").unwrap();
    let refused = SegmentLog::open_with(dir.path(), SMALL, key(), fail_when_full).unwrap_err();
    assert!(matches!(refused, LogError::Full));
    fs::remove_file(dir.path().join("full")).unwrap();
    assert!(SegmentLog::open_with(dir.path(), SMALL, key(), fail_when_full).is_ok());
}

#[test]
fn after_a_failed_write_every_append_is_refused_until_the_log_is_opened_again() {
    let dir = written(3, SMALL);
    let (mut log, _) = SegmentLog::open(dir.path(), SMALL, key()).unwrap();
    let writable = std::mem::replace(&mut log.file, File::open(&files(dir.path())[0]).unwrap());
    assert!(matches!(append(&mut log, &texts(3..4)), Err(LogError::Broken(_))));
    log.file = writable;
    assert!(matches!(append(&mut log, &texts(3..4)), Err(LogError::Broken(_))));
    assert_eq!(log.head().seq, 3);
    drop(log);
    let (mut log, _) = SegmentLog::open(dir.path(), SMALL, key()).unwrap();
    assert_eq!(append(&mut log, &texts(3..4)).unwrap().seq, 4);
}

#[test]
fn a_torn_tail_is_cut_back_to_the_last_whole_record_at_every_offset() {
    let dir = written(4, SMALL);
    fs::remove_file(dir.path().join("checkpoints")).unwrap();
    let path = files(dir.path()).remove(0);
    let before = end_of(&path, 1);
    let (mut log, _) = SegmentLog::open(dir.path(), SMALL, key()).unwrap();
    append(&mut log, &texts(4..7)).unwrap();
    drop(log);
    let (whole, after) = (fs::read(&path).unwrap(), end_of(&path, 1));
    let frame = usize::try_from((after - before) / 3).unwrap();
    for lost in [0, 0xa5] {
        for cut in usize::try_from(before).unwrap()..usize::try_from(after).unwrap() {
            let mut torn = whole.clone();
            // What did not reach the disk is zeros or, when later pages did, anything.
            torn[cut..usize::try_from(after).unwrap()].fill(lost);
            fs::write(&path, &torn).unwrap();
            let kept = 4 + (cut - usize::try_from(before).unwrap()) / frame;
            let (mut log, opened) = SegmentLog::open(dir.path(), SMALL, key()).unwrap();
            assert_eq!(log.head().seq, kept as u64, "cut at {cut}");
            assert_eq!(log.read(1).unwrap().map(Result::unwrap).count(), kept);
            let remains = lost != 0 || !(cut - usize::try_from(before).unwrap()).is_multiple_of(frame);
            // A cut within a length's leading zeros leaves nothing to cut off.
            assert!(remains || opened.torn_bytes == 0, "cut at {cut}");
            append(&mut log, &["next".to_owned()]).unwrap();
            drop(log);
            assert_eq!(check(dir.path()).unwrap().records, kept as u64 + 1, "cut at {cut}");
        }
    }
}

#[test]
fn a_tail_cut_below_a_checkpoint_is_refused_and_nothing_is_changed() {
    let dir = written(6, SMALL);
    let path = files(dir.path()).remove(0);
    let end = usize::try_from(end_of(&path, 1)).unwrap();
    let mut cut = fs::read(&path).unwrap();
    cut[end - 40..end].fill(0);
    fs::write(&path, &cut).unwrap();
    match SegmentLog::open(dir.path(), SMALL, key()) {
        Err(LogError::Damaged { seq, why }) => {
            assert_eq!(seq, 6);
            assert!(why.contains("proves 6 records"), "{why}");
        }
        other => panic!("accepted: {other:?}"),
    }
    assert_eq!(fs::read(&path).unwrap(), cut);
    assert_eq!(damaged_at(check(dir.path())), 6);
}

#[test]
fn a_log_that_was_written_anew_does_not_match_its_checkpoint() {
    let dir = written(6, SMALL);
    let path = files(dir.path()).remove(0);
    let id = scan::Scan::open(&path, 1).unwrap().header().log_id;
    let mut bytes = Header { log_id: id, after: Head::default() }.encode();
    let mut head = Head::default();
    for text in texts(10..16) {
        head =
            frame::push(&mut bytes, head, &Entry { timestamp: TIME, statement: &statement(&text) }).unwrap();
    }
    bytes.resize(4096, 0);
    fs::write(&path, bytes).unwrap();
    assert!(matches!(SegmentLog::open(dir.path(), SMALL, key()), Err(LogError::Damaged { seq: 6, .. })));
    assert_eq!(damaged_at(check(dir.path())), 1);
}

#[test]
fn removing_all_segments_or_the_newest_is_found() {
    let dir = written(100, SMALL);
    fs::remove_file(files(dir.path()).pop().unwrap()).unwrap();
    let seq = damaged_at(check(dir.path()));
    assert!((80..=100).contains(&seq), "{seq}");
    assert!(matches!(SegmentLog::open(dir.path(), SMALL, key()), Err(LogError::Damaged { .. })));
    for path in files(dir.path()) {
        fs::remove_file(path).unwrap();
    }
    assert_eq!(damaged_at(check(dir.path())), 1);
    assert!(matches!(SegmentLog::open(dir.path(), SMALL, key()), Err(LogError::Damaged { seq: 1, .. })));
}

#[test]
fn removing_a_segment_in_the_middle_is_found_by_verify_and_by_readers() {
    let dir = written(100, SMALL);
    let (first, path) = scan::segments(dir.path()).unwrap().into_iter().nth(1).unwrap();
    fs::remove_file(path).unwrap();
    assert_eq!(damaged_at(check(dir.path())), first);
    let mut records = SegmentReader::open(dir.path()).unwrap().read(1).unwrap();
    assert_eq!(records.by_ref().take_while(Result::is_ok).count() as u64, first - 1);
    assert!(records.next().is_none(), "a reader goes on after an error");
}

#[test]
fn swapped_and_removed_records_are_found() {
    let dir = written(6, SMALL);
    let path = files(dir.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    let frame = (usize::try_from(end_of(&path, 1)).unwrap() - HEADER_BYTES) / 6;
    let at = |record: usize| HEADER_BYTES + (record - 1) * frame;
    let mut swapped = whole.clone();
    swapped[at(2)..at(3)].copy_from_slice(&whole[at(3)..at(4)]);
    swapped[at(3)..at(4)].copy_from_slice(&whole[at(2)..at(3)]);
    fs::write(&path, &swapped).unwrap();
    assert_eq!(damaged_at(check(dir.path())), 2);
    let mut removed = whole.clone();
    removed.drain(at(4)..at(5));
    removed.resize(whole.len(), 0);
    fs::write(&path, &removed).unwrap();
    assert_eq!(damaged_at(check(dir.path())), 4);
}

#[test]
fn a_checkpoint_by_an_unknown_key_is_found() {
    let dir = written(6, SMALL);
    fs::write(dir.path().join("public-keys"), "").unwrap();
    match check(dir.path()) {
        Err(LogError::Damaged { seq: 1, why }) => assert!(why.contains("not known"), "{why}"),
        other => panic!("accepted: {other:?}"),
    }
}

#[test]
fn without_a_checkpoint_the_tail_is_called_unproven() {
    let dir = written(3, SMALL);
    fs::remove_file(dir.path().join("checkpoints")).unwrap();
    let verified = check(dir.path()).unwrap();
    assert_eq!(verified.proven_to, None);
    assert!(verified.warnings[0].contains("tail unproven"));
}

#[test]
fn a_torn_checkpoint_is_a_warning_and_another_line_is_damage() {
    let dir = written(3, SMALL);
    let mut file = OpenOptions::new().append(true).open(dir.path().join("checkpoints")).unwrap();
    file.write_all(b"{\"log_id\":").unwrap();
    assert!(check(dir.path()).unwrap().warnings[0].contains("last checkpoint"));
    file.write_all(b"\n").unwrap();
    assert_eq!(damaged_at(check(dir.path())), 4);
}

#[test]
fn a_checkpoint_is_signed_once_a_head_even_across_restarts() {
    let dir = written(3, SMALL);
    let (mut log, _) = SegmentLog::open(dir.path(), SMALL, key()).unwrap();
    assert_eq!(log.checkpoint(TIME).unwrap(), None);
    append(&mut log, &texts(3..4)).unwrap();
    assert_eq!(log.checkpoint(TIME).unwrap().unwrap().head, log.head());
}

#[test]
fn a_log_verifies_after_records_that_are_kept_elsewhere() {
    let dir = written(60, SMALL);
    let first = files(dir.path()).remove(0);
    let mut scan = scan::Scan::open(&first, 1).unwrap();
    while let scan::Step::Record(_) = scan.step().unwrap() {}
    fs::remove_file(first).unwrap();
    assert_eq!(damaged_at(check(dir.path())), 1);
    let verified = verify_after(dir.path(), scan.head(), &mut |_, _| ()).unwrap();
    assert_eq!(verified.records, 60 - scan.head().seq);
    assert_eq!(SegmentReader::open(dir.path()).unwrap().first().unwrap(), scan.head().seq + 1);
    let other = Head { seq: scan.head().seq, hash: Hash([1; 32]) };
    assert!(verify_after(dir.path(), other, &mut |_, _| ()).is_err());
}

#[test]
fn a_reader_beside_a_writer_sees_a_growing_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = SegmentLog::open(dir.path(), SMALL, key()).unwrap();
    let path = dir.path().to_owned();
    let writer = std::thread::spawn(move || {
        for first in (0..600).step_by(5) {
            append(&mut log, &texts(first..first + 5)).unwrap();
        }
    });
    let mut seen = 0;
    while seen < 600 {
        let now = payloads(&path);
        assert!(now.len() >= seen, "the log shrank");
        seen = now.len();
        assert_eq!(now, texts(0..seen as u64));
        check(&path).unwrap();
        assert!(seen == 600 || !writer.is_finished() || payloads(&path).len() == 600, "the writer fell");
    }
    writer.join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever byte of a log is changed, verification names a record at or before the change.
    #[test]
    fn no_byte_can_be_changed_unseen(place in any::<prop::sample::Index>(), flip in 1_u8..=255) {
        let dir = written(12, Options { segment_bytes: 1024 });
        let (first, path) = {
            let all: Vec<_> = scan::segments(dir.path()).unwrap().into_iter().collect();
            all[place.index(all.len())].clone()
        };
        let mut bytes = fs::read(&path).unwrap();
        let at = place.index(bytes.len());
        let mut scan = scan::Scan::open(&path, first).unwrap();
        while let scan::Step::Record(_) = scan.step().unwrap() {
            if scan.at() > at as u64 { break }
        }
        let changed = if scan.at() > at as u64 { scan.head().seq } else { scan.head().seq + 1 };
        bytes[at] ^= flip;
        fs::write(&path, bytes).unwrap();
        let named = damaged_at(check(dir.path()));
        prop_assert!(named <= changed && named >= first.min(changed), "{named} for a change in {changed}");
    }

    /// However it is batched and wherever it restarts, what was appended is what is read.
    #[test]
    fn a_log_holds_exactly_what_was_appended(batches in prop::collection::vec((prop::collection::vec(".{0,40}", 0..6), any::<bool>()), 1..12)) {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = SegmentLog::open(dir.path(), Options { segment_bytes: 900 }, key()).unwrap();
        let mut all = Vec::new();
        for (texts, restart) in batches {
            append(&mut log, &texts).unwrap();
            all.extend(texts);
            if restart {
                log.checkpoint(TIME).unwrap();
                drop(log);
                log = SegmentLog::open(dir.path(), Options { segment_bytes: 900 }, key()).unwrap().0;
            }
            prop_assert_eq!(log.head().seq, all.len() as u64);
        }
        let from = all.len() as u64 / 2 + 1;
        let half: Vec<_> = log.read(from).unwrap().map(|record| record.unwrap().statement.payload.unwrap()).collect();
        prop_assert_eq!(&half, &all[all.len() / 2..]);
        prop_assert_eq!(payloads(dir.path()), all);
        prop_assert!(check(dir.path()).is_ok());
    }
}
