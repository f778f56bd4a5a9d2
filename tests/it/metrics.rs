//! The measurements are well named, start at zero and name nobody.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::api::order;
use crate::support::{Server, Setup};

async fn scrape(server: &Server) -> String {
    let answer = reqwest::get(server.ready("metrics_url")).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

/// Splits a sample into its name, its labels and its value.
fn sample(line: &str) -> (&str, &str, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    (name, labels.trim_end_matches('}'), value.parse().unwrap_or_else(|_| panic!("{line}")))
}

/// Returns the type that each measurement is declared with.
fn types(text: &str) -> BTreeMap<&str, &str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    lines.map(|line| line.split_once(' ').unwrap()).collect()
}

#[tokio::test]
async fn names_follow_the_rules_and_every_measurement_is_explained() {
    let server = Setup::new().start().await;
    let text = scrape(&server).await;
    let types = types(&text);
    let helps: BTreeSet<_> =
        text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    assert!(types.len() >= 10, "{text}");
    for (name, kind) in &types {
        assert!(name.starts_with("trade_executor_"), "{name}");
        assert!(
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
            "{name}"
        );
        assert_eq!(name.ends_with("_total"), *kind == "counter", "{name} is a {kind}");
        assert!(helps.contains(name), "{name} is not explained");
        assert!(
            !name.contains("_ms") && !name.ends_with("_p99"),
            "{name}: base units, and no computed quantiles"
        );
        assert_ne!(*kind, "summary", "{name}: summaries cannot be added up over instances");
    }
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, _, _) = sample(line);
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end).filter(|name| types.contains_key(name)));
        assert!(types.contains_key(family.unwrap_or(name)), "{line} has no type");
    }
}

#[tokio::test]
async fn known_series_start_at_zero() {
    let server = Setup::new().start().await;
    let text = scrape(&server).await;
    for series in [
        "trade_executor_decisions_total{source=\"tradingview\",outcome=\"ordered\"} 0",
        "trade_executor_decisions_total{source=\"tradingview\",outcome=\"denied\"} 0",
        "trade_executor_denials_total{code=\"INSUFFICIENT_FUNDS\"} 0",
        "trade_executor_orders_total{broker=\"paper\",type=\"market\",state=\"filled\"} 0",
        "trade_executor_actor_restarts_total{actor=\"router\"} 0",
        "trade_executor_stage_seconds_count{stage=\"filled\"} 0",
        "trade_executor_ws_connections 0",
        "trade_executor_users_awake ",
    ] {
        assert!(text.contains(series), "{series} is not in\n{text}");
    }
    assert!(
        text.contains("trade_executor_signals_total{source=\"tradingview\",outcome=\"accepted\"} 0"),
        "{text}"
    );
}

#[tokio::test]
async fn trading_is_counted_and_names_nobody() {
    let server = Setup::new().start().await;
    let api = server.owner().new_user("Ada").await;
    for (id, symbol, quantity) in [("a", "SPY", "100000"), ("b", "TSLA", "1000"), ("c", "BTC/USDT", "0.001")]
    {
        api.signal(&order(id, symbol, "buy", quantity)).await.expect(202);
    }
    api.signal(&order("d", "AAPL", "buy", "2")).await.expect(202);
    let signal = api.signal(&order("d", "AAPL", "buy", "2")).await.expect(200);
    api.settled(signal["signal_id"].as_str().unwrap(), "filled").await;
    let text = scrape(&server).await;
    let me = api.get("/api/v1/me").await.text;
    let id = me.split('"').find(|part| part.len() == 36 && part.matches('-').count() == 4).unwrap();
    for private in [id, "AAPL", "BTC", "Ada", &api.token, signal["signal_id"].as_str().unwrap()] {
        assert!(!text.contains(private), "{private} is in the measurements");
    }
    let value = |series: &str| {
        let line =
            text.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("no {series}"));
        sample(line).2
    };
    assert!(value("trade_executor_orders_total{broker=\"paper\",type=\"market\",state=\"filled\"}") >= 1.0);
    assert!(value("trade_executor_denials_total{code=\"INSUFFICIENT_FUNDS\"}") >= 1.0);
    assert!(value("trade_executor_log_head_seq") > 0.0);
    assert!(value("trade_executor_log_append_seconds_count") > 0.0);
    assert!(value("trade_executor_stage_seconds_count{stage=\"filled\"}") >= 1.0);
    let mut bounded = BTreeMap::<&str, BTreeSet<&str>>::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, labels, _) = sample(line);
        bounded.entry(name).or_default().insert(labels);
    }
    for (name, series) in bounded {
        assert!(series.len() <= 600, "{name} has {} series", series.len());
    }
}
