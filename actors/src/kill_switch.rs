//! The kill switch as it is this instant; the log holds it for good.

use std::sync::{Arc, PoisonError, RwLock};

/// Whether trading is stopped, for one user or for everybody. It is asked last, right before an order is recorded.
///
/// An order passes while it is queued for the log, and the halt is queued while nothing passes: the log has an order
/// ahead of the halt, or it does not have it.
#[derive(Debug, Default)]
pub struct KillSwitch(RwLock<Option<Arc<str>>>);

impl KillSwitch {
    /// Returns why trading is stopped, if it is.
    #[must_use]
    pub fn reason(&self) -> Option<Arc<str>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs `queue` with why trading is stopped, if it is; that does not change meanwhile.
    pub(crate) fn pass<T>(&self, queue: impl FnOnce(Option<&str>) -> T) -> T {
        queue(self.0.read().unwrap_or_else(PoisonError::into_inner).as_deref())
    }

    /// Stops trading, and runs `queue` before anything passes.
    pub(crate) fn stop<T>(&self, reason: &str, queue: impl FnOnce() -> T) -> T {
        let mut stopped = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *stopped = Some(reason.into());
        queue()
    }

    /// Takes over what the log says.
    pub(crate) fn set(&self, reason: Option<&str>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = reason.map(Into::into);
    }
}
