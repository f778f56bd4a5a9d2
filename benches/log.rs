//! Durable appends by batch size beside the disk's own floor, and verification; budget 100,000 records/s at 64.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ed25519_dalek::SigningKey;
use trade_actors::domain::record::{Statement, Status};
use trade_actors::ports::log::{Entry, Log};
use trade_executor::store::segments::{Options, SegmentLog, verify};

const TIME: &str = "2026-01-05T14:30:00.000Z";
const BATCHES: [usize; 3] = [1, 64, 512];
/// About what one of the records below takes on the disk.
const RECORD_BYTES: usize = 420;
const FLOOR_BYTES: u64 = 64 << 20;

fn statement() -> Statement {
    Statement {
        user_id: Some("0190b6f0-7c1e-7a52-9a53-0f6a5e1f2c11".into()),
        action: "ORDER_CREATED".into(),
        resource_type: "Order".into(),
        resource_id: Some("0190b6f0-7c1e-8a52-9a53-0f6a5e1f2c12".into()),
        ip_address: Some("203.0.113.7".into()),
        user_agent: None,
        status: Status::Success,
        error_message: None,
        payload: Some(
            r#"{"limit":"175.00","qty":"50","side":"buy","symbol":"AAPL","type":"limit"}"#.repeat(2),
        ),
    }
}

fn open(dir: &Path) -> SegmentLog {
    SegmentLog::open(dir, Options::default(), SigningKey::from_bytes(&[1; 32]))
        .expect("a log in a new directory")
        .0
}

fn appends(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    let statement = statement();
    for size in BATCHES {
        let batch = vec![Entry { timestamp: TIME, statement: &statement }; size];
        group.throughput(Throughput::Elements(size as u64));
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = open(dir.path());
        group.bench_function(BenchmarkId::new("log", size), |b| {
            b.iter(|| log.append(black_box(&batch)).expect("an append"));
        });
        let file = zeros(&dir.path().join("floor"));
        let bytes = vec![0xa5; size * RECORD_BYTES];
        let mut at = 0;
        group.bench_function(BenchmarkId::new("floor", size), |b| {
            b.iter(|| {
                if at + bytes.len() as u64 > FLOOR_BYTES {
                    at = 0;
                }
                file.write_all_at(black_box(&bytes), at).expect("a write");
                file.sync_data().expect("a sync");
                at += bytes.len() as u64;
            });
        });
    }
    group.finish();
}

fn verification(c: &mut Criterion) {
    let records = 100_000;
    let dir = tempfile::tempdir().expect("a directory");
    let mut log = open(dir.path());
    let statement = statement();
    let batch = vec![Entry { timestamp: TIME, statement: &statement }; 1_000];
    for _ in 0..records / 1_000 {
        log.append(&batch).expect("an append");
    }
    log.checkpoint(TIME).expect("a checkpoint");
    let mut group = c.benchmark_group("verify");
    group.sample_size(10).throughput(Throughput::Elements(records));
    group.bench_function("records", |b| {
        b.iter(|| verify(dir.path(), &mut |_, _| ()).expect("a whole log"));
    });
    group.finish();
}

/// A file whose bytes were all written, as a segment's are.
fn zeros(path: &Path) -> File {
    std::fs::write(path, vec![0; usize::try_from(FLOOR_BYTES).expect("64 MiB")]).expect("a file");
    let file = File::options().read(true).write(true).open(path).expect("the file");
    file.sync_all().expect("a sync");
    file
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50);
    targets = appends, verification
}
criterion_main!(benches);
