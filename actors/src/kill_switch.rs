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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn nothing_is_queued_behind_the_halt() {
        for _ in 0..200 {
            let (switch, log) = (&KillSwitch::default(), Mutex::new(Vec::new()));
            let write = |line| log.lock().unwrap().push(line);
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    let one_more = |stopped: Option<&str>| {
                        if stopped.is_none() {
                            write("order");
                        }
                        stopped.is_none()
                    };
                    scope.spawn(move || while switch.pass(one_more) {});
                }
                scope.spawn(|| switch.stop("enough", || write("halt")));
            });
            assert_eq!(log.into_inner().unwrap().last(), Some(&"halt"));
        }
    }

    #[test]
    fn the_reason_is_told_until_trading_goes_on() {
        let switch = KillSwitch::default();
        assert_eq!(switch.reason(), None);
        switch.stop("lunch", || ());
        assert_eq!(switch.reason().as_deref(), Some("lunch"));
        switch.set(None);
        assert!(switch.pass(|stopped| stopped.is_none()));
    }
}
