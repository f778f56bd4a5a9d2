//! What is measured of every signal, looked up once instead of at every signal.

use std::fmt;
use std::time::Duration;

use metrics::{Gauge, Histogram};

use crate::domain::stages::{Stages, Stamp};

/// Handles of the measurements on a signal's way.
pub struct Meters {
    in_flight: Gauge,
    stages: Vec<(&'static str, Histogram)>,
}

impl fmt::Debug for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

impl Default for Meters {
    /// Looks the handles up; what records them has to be there already.
    fn default() -> Self {
        let stage = |name| (name, metrics::histogram!("trade_executor_stage_seconds", "stage" => name));
        Self {
            in_flight: metrics::gauge!("trade_executor_signals_in_flight"),
            stages: Stages::NAMES.into_iter().map(stage).collect(),
        }
    }
}

impl Meters {
    /// Sets how many signals are under way.
    pub fn in_flight(&self, signals: usize) {
        self.in_flight.set(f64::from(u32::try_from(signals).unwrap_or(u32::MAX)));
    }

    /// Records how long each stage of a finished order took.
    pub fn finished(&self, stages: &Stages) {
        let mut before: Option<Stamp> = None;
        for (stage, at) in stages.passed() {
            let known = self.stages.iter().find(|(name, _)| *name == stage);
            if let (Some(before), Some((_, histogram))) = (before, known) {
                histogram.record(Duration::from_micros(at.since(before)).as_secs_f64());
            }
            before = Some(at);
        }
    }
}
