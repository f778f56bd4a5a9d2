//! What the process tells of itself: lines on standard error, and measurements for Prometheus.

pub mod catalogue;

use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{LogConfig, LogFormat};

/// Upper bounds of durations, in seconds: from 10 microseconds to 10 seconds.
const SECONDS: [f64; 26] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_075, 0.000_1, 0.000_15, 0.000_25, 0.000_35, 0.000_5, 0.000_75,
    0.001, 0.001_5, 0.002_5, 0.005, 0.007_5, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0,
];
/// Upper bounds of counts of records.
const RECORDS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0];

/// The process has one recorder, however many engines run in it.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Writes the process log to standard error from now on.
///
/// # Errors
/// When something else writes it already.
pub fn log_to_stderr(config: &LogConfig, no_color: bool) -> Result<(), TryInitError> {
    let targets = config.targets().unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let registry = tracing_subscriber::registry().with(targets).with(filter_fn(is_for_the_log));
    match config.format {
        LogFormat::Json => {
            let layer = fmt::layer().json().flatten_event(true).with_writer(io::stderr);
            registry.with(layer).try_init()
        }
        LogFormat::Text => {
            let colours = io::stderr().is_terminal() && !no_color;
            registry.with(fmt::layer().with_ansi(colours).with_writer(io::stderr)).try_init()
        }
    }
}

/// Returns whether a line may be written at all, whatever is asked for.
///
/// What other people's code traces is often bytes as they are sent, and with them what opens a broker account.
#[must_use]
pub fn is_for_the_log(line: &Metadata<'_>) -> bool {
    *line.level() != Level::TRACE || line.target().starts_with("trade_")
}

/// Returns the process's measurements; the first call installs their recorder and starts every known series at zero.
///
/// # Errors
/// When something else measures already.
pub fn measurements() -> Result<PrometheusHandle, BuildError> {
    if let Some(handle) = RECORDER.get() {
        return Ok(handle.clone());
    }
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_records".to_owned()), &RECORDS)?
        .build_recorder();
    let handle = recorder.handle();
    let mut ours = false;
    let kept = RECORDER.get_or_init(|| {
        ours = true;
        handle
    });
    if ours {
        metrics::set_global_recorder(recorder)?;
        catalogue::describe();
    }
    Ok(kept.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_are_installed_once_and_start_at_zero() {
        let handle = measurements().unwrap();
        measurements().unwrap();
        let text = handle.render();
        assert!(text.contains("trade_executor_denials_total{code=\"ORDER_RATE\"} 0"), "{text}");
        assert!(text.contains("trade_executor_log_append_seconds_bucket{le=\"0.00001\"} 0"), "{text}");
        assert!(text.contains("trade_executor_build_info{version="), "{text}");
    }

    #[test]
    fn bounds_rise() {
        assert!(SECONDS.is_sorted() && RECORDS.is_sorted());
    }
}
