//! Every measurement: its name, what it counts, and the label values it starts with.

use metrics::{Label, Level, Metadata, Unit};
use trade_actors::domain::risk::DenialCode;
use trade_actors::domain::signal::Origin;
use trade_actors::domain::stages::Stages;

/// What a measurement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// A distribution of durations.
    Seconds,
    /// A distribution of counts.
    Count,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct Measurement {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it says.
    pub help: &'static str,
    /// The series that are there from the start.
    pub series: Series,
}

/// The series of a measurement that are there from the start.
#[derive(Clone, Copy, Debug)]
pub enum Series {
    /// One, without labels.
    One,
    /// One for each of these labels.
    Known(fn() -> Vec<Vec<Label>>),
    /// None: their labels are known only when they come.
    Open,
}

const ACTORS: [&str; 9] = [
    "broker_connection",
    "decision",
    "hub",
    "ledger",
    "portfolio",
    "position",
    "quote_feed",
    "router",
    "user",
];

const fn of(name: &'static str, kind: Kind, help: &'static str) -> Measurement {
    Measurement { name, kind, help, series: Series::One }
}

impl Measurement {
    const fn with(self, labels: fn() -> Vec<Vec<Label>>) -> Self {
        Self { series: Series::Known(labels), ..self }
    }
}

/// Every measurement, by name.
pub const ALL: &[Measurement] = &[
    of("trade_executor_actor_restarts_total", Kind::Counter, "Actors that failed and were restarted")
        .with(|| ACTORS.iter().map(|actor| vec![Label::new("actor", *actor)]).collect()),
    of("trade_executor_build_info", Kind::Gauge, "The version that runs; always 1").with(build),
    of(
        "trade_executor_circuit_breakers_total",
        Kind::Counter,
        "Accounts that the circuit breaker locked; each waits for an operator",
    ),
    of("trade_executor_decisions_total", Kind::Counter, "Signals decided for a user, by source and outcome")
        .with(decisions),
    of("trade_executor_denials_total", Kind::Counter, "Signals denied for a user, by the rule's code")
        .with(|| DenialCode::ALL.iter().map(|code| vec![Label::new("code", code.as_str())]).collect()),
    of("trade_executor_drift_total", Kind::Counter, "Positions found changed outside"),
    of(
        "trade_executor_http_connections_refused_total",
        Kind::Counter,
        "Connections refused because there were too many",
    ),
    Measurement {
        series: Series::Open,
        ..of(
            "trade_executor_http_requests_total",
            Kind::Counter,
            "HTTP requests, by route and class of status",
        )
    },
    of("trade_executor_index_apply_seconds", Kind::Seconds, "Time to write a run of events to the index"),
    of("trade_executor_log_append_seconds", Kind::Seconds, "Time to make a batch of records durable"),
    of("trade_executor_log_batch_records", Kind::Count, "Records in a batch that was made durable together"),
    of("trade_executor_log_checkpoint_seq", Kind::Gauge, "Last record proven by a signed checkpoint"),
    of("trade_executor_log_head_seq", Kind::Gauge, "Last durable record"),
    of(
        "trade_executor_orders_total",
        Kind::Counter,
        "Orders that reached a state, by broker, type and state",
    )
    .with(orders),
    of(
        "trade_executor_protection_refused_total",
        Kind::Counter,
        "Protective orders that the broker did not take",
    ),
    of(
        "trade_executor_refusals_unrecorded_total",
        Kind::Counter,
        "Refused deliveries that could not be recorded",
    ),
    of(
        "trade_executor_signals_in_flight",
        Kind::Gauge,
        "Signals taken and not yet decided for every follower",
    ),
    Measurement {
        series: Series::Open,
        ..of(
            "trade_executor_signals_total",
            Kind::Counter,
            "Deliveries, by source and what became of them at the door",
        )
    },
    of(
        "trade_executor_stage_seconds",
        Kind::Seconds,
        "Time that a signal took to a stage from the stage before",
    )
    .with(stages),
    of(
        "trade_executor_unprotected_seconds",
        Kind::Gauge,
        "Time that open positions were without a working stop, all positions together",
    ),
    of("trade_executor_users_awake", Kind::Gauge, "Users whose actors run"),
    of("trade_executor_webhook_seconds", Kind::Seconds, "Time from a webhook's last byte to its answer"),
    of(
        "trade_executor_ws_conflations_total",
        Kind::Counter,
        "Updates replaced by a later one before they were sent",
    ),
    of("trade_executor_ws_connections", Kind::Gauge, "Open WebSocket connections"),
    of(
        "trade_executor_ws_overflows_total",
        Kind::Counter,
        "WebSocket connections closed because they were too slow",
    ),
];

/// Describes every measurement and starts its known series at zero.
pub fn describe() {
    for measurement in ALL {
        measurement.describe();
        match measurement.series {
            Series::One => measurement.start(Vec::new()),
            Series::Known(labels) => labels().into_iter().for_each(|labels| measurement.start(labels)),
            Series::Open => {}
        }
    }
    metrics::gauge!("trade_executor_build_info", build().into_iter().flatten().collect::<Vec<_>>()).set(1.0);
}

impl Measurement {
    fn describe(&self) {
        match self.kind {
            Kind::Counter => metrics::describe_counter!(self.name, self.help),
            Kind::Gauge => metrics::describe_gauge!(self.name, self.help),
            Kind::Seconds => metrics::describe_histogram!(self.name, Unit::Seconds, self.help),
            Kind::Count => metrics::describe_histogram!(self.name, self.help),
        }
    }

    fn start(&self, labels: Vec<Label>) {
        static HERE: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));
        let key = metrics::Key::from_parts(self.name, labels);
        metrics::with_recorder(|recorder| match self.kind {
            Kind::Counter => recorder.register_counter(&key, &HERE).increment(0),
            Kind::Gauge => recorder.register_gauge(&key, &HERE).set(0.0),
            // A distribution is there, empty, once it is registered.
            Kind::Seconds | Kind::Count => drop(recorder.register_histogram(&key, &HERE)),
        });
    }
}

fn build() -> Vec<Vec<Label>> {
    vec![vec![Label::new("version", env!("CARGO_PKG_VERSION"))]]
}

fn stages() -> Vec<Vec<Label>> {
    Stages::NAMES.iter().skip(1).map(|stage| vec![Label::new("stage", *stage)]).collect()
}

fn decisions() -> Vec<Vec<Label>> {
    let outcomes = |origin: Origin| {
        ["ordered", "denied"]
            .map(|outcome| vec![Label::new("source", origin.as_str()), Label::new("outcome", outcome)])
    };
    Origin::ALL.into_iter().flat_map(outcomes).collect()
}

fn orders() -> Vec<Vec<Label>> {
    const STATES: [&str; 11] = [
        "pending",
        "queued",
        "unknown",
        "accepted",
        "partially_filled",
        "pending_cancel",
        "filled",
        "cancelled",
        "rejected",
        "expired",
        "failed",
    ];
    const TYPES: [&str; 5] = ["market", "limit", "stop", "stop_limit", "trailing_stop"];
    let states = |kind: &'static str| {
        STATES.iter().map(move |state| {
            vec![Label::new("broker", "paper"), Label::new("type", kind), Label::new("state", *state)]
        })
    };
    TYPES.into_iter().flat_map(states).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Collects the names of measurements in the sources of a folder.
    fn measured_in(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                measured_in(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("telemetry.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for piece in text.split("!(").skip(1) {
                    let name = piece.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
                    found.extend(name.filter(|name| is_name(name)).map(str::to_owned));
                }
            }
        }
    }

    fn is_name(text: &str) -> bool {
        let rest = text.strip_prefix("trade_executor_");
        rest.is_some_and(|rest| rest.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()))
    }

    #[test]
    fn every_measurement_taken_is_described_and_every_one_described_is_taken() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut taken = BTreeSet::new();
        measured_in(&root.join("src"), &mut taken);
        measured_in(&root.join("actors/src"), &mut taken);
        let described: BTreeSet<_> = ALL.iter().map(|measurement| measurement.name.to_owned()).collect();
        assert_eq!(described, taken);
    }

    #[test]
    fn names_say_what_they_are() {
        assert!(ALL.is_sorted_by_key(|measurement| measurement.name));
        for Measurement { name, kind, .. } in ALL {
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            // A gauge may tell a time as well.
            assert!(name.ends_with("_seconds") || *kind != Kind::Seconds, "{name}");
        }
    }
}
