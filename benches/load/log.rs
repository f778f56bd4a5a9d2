//! The log alone: durable records a second by batch, and how fast a whole log is proven.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::SecondsFormat;
use ed25519_dalek::SigningKey;
use trade_actors::domain::record::{Statement, Status};
use trade_actors::ports::clock::{Clock, SystemClock};
use trade_actors::ports::log::{Entry, Log};
use trade_executor::store::segments::{Options, SegmentLog, verify};

use crate::Scale;
use crate::figures::Runs;
use crate::floor::Preallocated;
use crate::report::{Row, Section, Target};
use crate::server::data_dir;

const BATCHES: [usize; 3] = [1, 64, 512];

/// Measures it.
pub(crate) fn measure(scale: Scale) -> anyhow::Result<Section> {
    let (repetitions, during) = (scale.of(5, 2), Duration::from_millis(scale.of(2_000, 500)));
    let time = SystemClock::new().now().to_rfc3339_opts(SecondsFormat::Millis, true);
    let statement = statement();
    let mut section = Section::new(
        "log",
        "The log alone",
        "Records of a decided order, appended in batches through the one writer. The floor writes as many bytes to a \
         preallocated file and waits for\n`fdatasync`, in blocks that take turns with the log's.",
    );
    for size in BATCHES {
        let dir = data_dir()?;
        let mut log = open(&dir.path().join("log"))?;
        let entry = Entry { timestamp: &time, statement: &statement };
        let batch = vec![entry; size];
        let floor = Preallocated::new(&dir.path().join("floor"))?;
        let bytes = vec![0xa5; size * encoded_bytes(&statement, &time)];
        let (mut ours, mut theirs) = (Runs::default(), Runs::default());
        for _ in 0..repetitions {
            ours.add(size as f64 * rate(during, || log.append(&batch).map(|_| ()).context("an append"))?);
            theirs.add(size as f64 * rate(during, || floor.append(&bytes).context("a write"))?);
        }
        let target = if size == 64 { Target::AtLeast(100_000.0) } else { Target::None };
        let row = Row::new(format!("appended in batches of {size}"), "records/s", ours);
        section.row(row.floor(theirs.median()).target(target));
    }
    let records = scale.of(400_000, 50_000);
    let dir = data_dir()?;
    let mut log = open(dir.path())?;
    let batch = vec![Entry { timestamp: &time, statement: &statement }; 1_000];
    for _ in 0..records / 1_000 {
        log.append(&batch).context("an append")?;
    }
    log.checkpoint(&time).context("a checkpoint")?;
    let mut runs = Runs::default();
    for _ in 0..repetitions {
        let began = Instant::now();
        let verified = verify(dir.path(), &mut |_, _| ())?;
        ensure!(verified.records == records, "{} of {records} records were verified", verified.records);
        runs.add(records as f64 / began.elapsed().as_secs_f64());
    }
    section.row(Row::new(format!("verified, {records} records"), "records/s", runs));
    Ok(section)
}

fn open(dir: &std::path::Path) -> anyhow::Result<SegmentLog> {
    Ok(SegmentLog::open(dir, Options::default(), SigningKey::from_bytes(&[1; 32]))?.0)
}

fn rate(during: Duration, mut act: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut done = 0_u32;
    while began.elapsed() < during {
        act()?;
        done += 1;
    }
    Ok(f64::from(done) / began.elapsed().as_secs_f64())
}

fn encoded_bytes(statement: &Statement, time: &str) -> usize {
    use trade_actors::domain::record::{Hash, Record};
    let mut bytes = Vec::new();
    Record::encode(1, time, statement, Hash::default(), &mut bytes);
    bytes.len()
}

fn statement() -> Statement {
    let payload = concat!(
        r#"{"broker":"paper","decision":{"available":"200000","equity":"100000","price":"190.02","requested":"1"},"#,
        r#""event":"order_created","mode":"paper","stages":{"decided":1767623400000420,"received":1767623400000120},"#,
        r#""ticket":{"connection":"6f9f43f1-3a5c-4f0e-9a53-0f6a5e1f2c11","id":"0190b6f0-7c1e-8a52-9a53-0f6a5e1f2c12","#,
        r#""kind":{"type":"market"},"origin":"tradingview","quantity":"1","reduces":false,"side":"buy","#,
        r#""signal":"0190b6f0-7c1e-7a52-9a53-0f6a5e1f2c13","symbol":"AAPL","user":"0190b6f0-7c1e-7a52-9a53-0f6a5e1f2c14"}}"#
    );
    Statement {
        user_id: Some("0190b6f0-7c1e-7a52-9a53-0f6a5e1f2c14".into()),
        action: "ORDER_CREATED".into(),
        resource_type: "Trade".into(),
        resource_id: Some("0190b6f0-7c1e-8a52-9a53-0f6a5e1f2c12".into()),
        ip_address: None,
        user_agent: None,
        status: Status::Success,
        error_message: None,
        payload: Some(payload.into()),
    }
}
