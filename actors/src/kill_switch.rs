//! The kill switch as it is this instant; the log holds it for good.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::domain::event::HaltCause;
use crate::domain::user::Trading;

/// Whether trading is stopped, for one user or for everybody. It is asked last, right before an order is recorded.
///
/// An order passes while it is queued for the log, and the halt is queued while nothing passes: the log has an order
/// ahead of the halt, or it does not have it.
#[derive(Debug, Default)]
pub struct KillSwitch(RwLock<Stops>);

/// Who stopped trading, and why: a person and the loss limits each by themselves.
#[derive(Clone, Debug, Default)]
pub struct Stops {
    /// A person's reason.
    pub person: Option<Arc<str>>,
    /// The halt that losses called for.
    pub rules: Option<Arc<Stop>>,
}

/// A halt that losses called for.
#[derive(Debug, PartialEq, Eq)]
pub struct Stop {
    /// What made it necessary.
    pub cause: HaltCause,
    /// What the user reads.
    pub reason: String,
}

impl KillSwitch {
    /// Returns why a person stopped trading, if one did.
    #[must_use]
    pub fn reason(&self) -> Option<Arc<str>> {
        self.read().person.clone()
    }

    /// Runs `queue` with why trading is stopped, if it is; that does not change meanwhile.
    pub(crate) fn pass<T>(&self, queue: impl FnOnce(&Stops) -> T) -> T {
        queue(&self.read())
    }

    /// Stops trading as a person asks, and runs `queue` before anything passes.
    pub(crate) fn stop<T>(&self, reason: &str, queue: impl FnOnce() -> T) -> T {
        let mut stops = self.write();
        stops.person = Some(reason.into());
        queue()
    }

    /// Stops trading as losses call for, and runs `queue` before anything passes.
    pub(crate) fn stop_by_rules<T>(&self, stop: Stop, queue: impl FnOnce() -> T) -> T {
        let mut stops = self.write();
        stops.rules = Some(Arc::new(stop));
        queue()
    }

    /// Runs `queue`, which ends the halt that losses called for, if there is one.
    ///
    /// [`Self::lifted`] lets orders pass once the end is durable.
    pub(crate) fn lift<T>(&self, queue: impl FnOnce() -> T) -> Option<(Arc<Stop>, T)> {
        let stops = self.write();
        stops.rules.as_ref().map(|stop| (Arc::clone(stop), queue()))
    }

    /// Lets orders pass again, unless another halt has come meanwhile.
    pub(crate) fn lifted(&self, stop: &Arc<Stop>) {
        let mut stops = self.write();
        if stops.rules.as_ref().is_some_and(|now| Arc::ptr_eq(now, stop)) {
            stops.rules = None;
        }
    }

    /// Runs `queue`, which ends a person's halt, unless losses called for one: that is not theirs to end.
    ///
    /// [`Self::resumed`] lets orders pass once the end is durable.
    pub(crate) fn resume<T>(&self, queue: impl FnOnce() -> T) -> Option<(Option<Arc<str>>, T)> {
        let stops = self.write();
        stops.rules.is_none().then(|| (stops.person.clone(), queue()))
    }

    /// Lets orders pass again, unless a person has stopped them once more meanwhile.
    pub(crate) fn resumed(&self, ended: Option<&Arc<str>>) {
        let mut stops = self.write();
        if stops.person.as_ref().zip(ended).is_some_and(|(now, ended)| Arc::ptr_eq(now, ended)) {
            stops.person = None;
        }
    }

    /// Takes over a person's halt that the log has.
    pub(crate) fn restore(&self, reason: &str) {
        self.write().person = Some(reason.into());
    }

    /// Takes over what the log says when a user's actors start.
    ///
    /// A person's halt is never lifted by that: one that could not be recorded holds on until trading is resumed.
    pub(crate) fn take_over(&self, trading: &Trading, own: Option<&Trading>) {
        let mut stops = self.write();
        stops.rules =
            trading.by_rules().map(|(cause, reason)| Arc::new(Stop { cause, reason: reason.to_owned() }));
        for halt in [Some(trading), own].into_iter().flatten() {
            if let Trading::Halted { cause: HaltCause::Person, reason, .. } = halt {
                stops.person = Some(reason.as_str().into());
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Stops> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Stops> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
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
                    let one_more = |stops: &Stops| {
                        if stops.person.is_none() {
                            write("order");
                        }
                        stops.person.is_none()
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
        let (ended, ()) = switch.resume(|| ()).unwrap();
        switch.resumed(ended.as_ref());
        assert!(switch.pass(|stops| stops.person.is_none()));
    }

    fn stop(reason: &str) -> Stop {
        Stop { cause: HaltCause::DailyLoss, reason: reason.to_owned() }
    }

    #[test]
    fn a_person_does_not_end_what_losses_called_for() {
        let switch = KillSwitch::default();
        switch.stop_by_rules(stop("enough"), || ());
        assert_eq!(switch.resume(|| 1), None);
        switch.stop("lunch", || ());
        let (lifted, ()) = switch.lift(|| ()).unwrap();
        switch.lifted(&lifted);
        assert_eq!(switch.lift(|| ()), None);
        assert!(switch.pass(|stops| stops.rules.is_none() && stops.person.is_some()));
    }

    #[test]
    fn a_person_s_halt_that_came_meanwhile_is_not_ended() {
        let switch = KillSwitch::default();
        switch.stop("lunch", || ());
        let (lunch, ()) = switch.resume(|| ()).unwrap();
        switch.stop("lunch", || ());
        switch.resumed(lunch.as_ref());
        assert_eq!(switch.reason().as_deref(), Some("lunch"));
        let (lunch, ()) = switch.resume(|| ()).unwrap();
        switch.resumed(lunch.as_ref());
        assert_eq!(switch.reason(), None);
    }

    #[test]
    fn a_halt_that_came_meanwhile_is_not_lifted() {
        let switch = KillSwitch::default();
        switch.stop_by_rules(stop("first"), || ());
        let (first, ()) = switch.lift(|| ()).unwrap();
        switch.stop_by_rules(stop("second"), || ());
        switch.lifted(&first);
        assert_eq!(switch.pass(|stops| stops.rules.clone()), Some(Arc::new(stop("second"))));
        switch.stop("lunch", || ());
    }
}
