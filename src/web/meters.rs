//! What the web edge measures. Handles are made once: looking one up by name costs more than counting.

use std::time::Duration;

use metrics::{Counter, Histogram, counter, histogram};
use trade_actors::domain::signal::Origin;
use warp::http::StatusCode;

/// What became of a delivery at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Taken, and durable.
    Accepted,
    /// Taken before.
    Duplicate,
    /// Not understood, or not possible.
    Refused,
    /// Not taken for want of room or readiness.
    Unavailable,
}

impl Outcome {
    /// Every outcome.
    pub(crate) const ALL: [Self; 4] = [Self::Accepted, Self::Duplicate, Self::Refused, Self::Unavailable];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}

const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// The counters.
pub(crate) struct Meters {
    signals: Vec<(Origin, Outcome, Counter)>,
    requests: Vec<[Counter; 4]>,
    webhook_seconds: Histogram,
    pushed_seconds: Histogram,
    refused_connections: Counter,
    unrecorded: Counter,
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meters")
    }
}

impl Meters {
    /// Makes the counters, all at zero; `routes` are the patterns of the addresses in the router's order.
    #[must_use]
    pub(crate) fn new(routes: &[&'static str]) -> Self {
        let request = |route: &'static str| {
            CLASSES.map(|class| {
                counter!("trade_executor_http_requests_total", "route" => route, "status_class" => class)
            })
        };
        let signal = |origin: Origin, outcome: Outcome| {
            let (source, word) = (origin.as_str(), outcome.as_str());
            let counter = counter!("trade_executor_signals_total", "source" => source, "outcome" => word);
            (origin, outcome, counter)
        };
        let signals =
            Origin::ALL.into_iter().flat_map(|origin| Outcome::ALL.map(|outcome| signal(origin, outcome)));
        let meters = Self {
            signals: signals.collect(),
            requests: routes.iter().copied().chain(["other"]).map(request).collect(),
            webhook_seconds: histogram!("trade_executor_webhook_seconds"),
            pushed_seconds: histogram!("trade_executor_stage_seconds", "stage" => "pushed"),
            refused_connections: counter!("trade_executor_http_connections_refused_total"),
            unrecorded: counter!("trade_executor_refusals_unrecorded_total"),
        };
        meters.start();
        meters
    }

    fn start(&self) {
        self.signals.iter().for_each(|(.., counter)| counter.increment(0));
        self.requests.iter().flatten().for_each(|counter| counter.increment(0));
        self.refused_connections.increment(0);
        self.unrecorded.increment(0);
    }

    /// Counts a delivery.
    pub(crate) fn signal(&self, origin: Origin, outcome: Outcome) {
        let found = self.signals.iter().find(|(of, what, _)| (*of, *what) == (origin, outcome));
        if let Some((.., counter)) = found {
            counter.increment(1);
        }
    }

    /// Counts an answer; `route` is the pattern's place in the router, absent for unknown addresses.
    pub(crate) fn request(&self, route: Option<usize>, status: StatusCode) {
        let class = match status.as_u16() {
            0..300 => 0,
            300..400 => 1,
            400..500 => 2,
            500.. => 3,
        };
        let counters = route.and_then(|at| self.requests.get(at)).or_else(|| self.requests.last());
        if let Some(counter) = counters.and_then(|counters| counters.get(class)) {
            counter.increment(1);
        }
    }

    /// Records how long a webhook took, from its head to its answer.
    pub(crate) fn webhook(&self, took: Duration) {
        self.webhook_seconds.record(took.as_secs_f64());
    }

    /// Records how long a fill took from the log to a screen.
    pub(crate) fn pushed(&self, took: Duration) {
        self.pushed_seconds.record(took.as_secs_f64());
    }

    /// Counts a connection over the cap.
    pub(crate) fn refused_connection(&self) {
        self.refused_connections.increment(1);
    }

    /// Counts a refusal that was answered, but not recorded for want of room.
    pub(crate) fn unrecorded(&self) {
        self.unrecorded.increment(1);
    }
}
