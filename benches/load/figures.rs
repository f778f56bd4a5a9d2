//! Numbers: repetitions with their noise, distributions, and how they are written.

use std::fmt;
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;

/// One figure, measured several times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs(Vec<f64>);

impl Runs {
    /// Adds a repetition.
    pub(crate) fn add(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// Returns all repetitions times a factor.
    pub(crate) fn scaled(&self, factor: f64) -> Self {
        self.0.iter().map(|value| value * factor).collect()
    }

    /// Returns the median; 0 when nothing was measured.
    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        match (self.0.get(middle), middle.checked_sub(1).and_then(|below| self.0.get(below))) {
            (Some(upper), Some(lower)) if self.0.len().is_multiple_of(2) => f64::midpoint(*lower, *upper),
            (Some(middle), _) => *middle,
            (None, _) => 0.0,
        }
    }
}

impl FromIterator<f64> for Runs {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut runs = Self::default();
        values.into_iter().for_each(|value| runs.add(value));
        runs
    }
}

impl fmt::Display for Runs {
    /// Median, and least to most when there were several.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", short(self.median()))?;
        match self.0.as_slice() {
            [first, .., last] => write!(f, " ({}-{})", short(*first), short(*last)),
            [] | [_] => Ok(()),
        }
    }
}

/// Writes a number with about three digits.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    if size >= 10_000.0 {
        let mut text = format!("{value:.0}");
        let digits = text.len();
        for place in (1..digits).filter(|place| (digits - place).is_multiple_of(3)).rev() {
            text.insert(place, ',');
        }
        return text.replacen("-,", "-", 1);
    }
    if size >= 100.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// A distribution of times, kept in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Times {
    /// Begins an empty one.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, 600_000_000, 3).context("a histogram")?))
    }

    /// Adds a time.
    pub(crate) fn add(&mut self, time: Duration) {
        self.add_us(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Adds a time in microseconds.
    pub(crate) fn add_us(&mut self, time: u64) {
        self.0.saturating_record(time.max(1));
    }

    /// Returns a percentile in milliseconds.
    pub(crate) fn ms(&self, percentile: f64) -> f64 {
        self.0.value_at_percentile(percentile) as f64 / 1_000.0
    }

    /// Returns the longest in milliseconds.
    pub(crate) fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1_000.0
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> u64 {
        self.0.len()
    }
}
