//! One webhook body through the parser: bytes to instruction; budget 50 us.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use trade_executor::intake::{read_webhook, redact};

const BODIES: [(&str, &str); 4] = [
    (
        "own",
        r#"{"ticker":"NASDAQ:MSFT","action":"buy","quantity":12,"type":"limit","price":401.25,"stopLoss":395,"takeProfit":415}"#,
    ),
    (
        "strategy",
        r#"{"passphrase":"example","time":"2026-03-02T14:31:07Z","ticker":"SOLUSDT","bar":{"time":"2026-03-02T14:30:00Z","open":141.2,"high":141.9,"low":140.8,"close":141.5,"volume":93112},"strategy":{"order_action":"sell","order_contracts":25,"order_price":141.5,"market_position":"short","prev_market_position":"flat"}}"#,
    ),
    ("key=value", "SYMBOL=SOLUSDT\nSIGNAL=BUY\nVOLUME=2.5\nORDER_TYPE=LIMIT\nPRICE=141.5\nSTOP_LOSS=138\n"),
    ("text", "BUY MSFT 12 @limit 401.25"),
];

fn intake(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("intake");
    group.throughput(Throughput::Elements(1));
    for (name, body) in BODIES {
        group.bench_function(name, |bencher| bencher.iter(|| read_webhook(black_box(body.as_bytes()))));
    }
    group.bench_function("redact", |bencher| bencher.iter(|| redact(black_box(BODIES[1].1.as_bytes()))));
    group.finish();
}

criterion_group!(benches, intake);
criterion_main!(benches);
