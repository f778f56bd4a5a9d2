//! Places where a test may make the engine fail. In release builds nothing of it is left but empty functions.

/// What happens at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The actor panics.
    Panic,
    /// The process dies at once, as by SIGKILL.
    Kill,
}

#[cfg(debug_assertions)]
mod armed {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, PoisonError};

    use super::Fault;

    static ANY: AtomicBool = AtomicBool::new(false);
    static PLACES: Mutex<BTreeMap<String, (Fault, u32)>> = Mutex::new(BTreeMap::new());

    pub(super) fn arm(place: &str, fault: Fault, skip: u32) {
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        places.insert(place.to_owned(), (fault, skip));
        ANY.store(true, Ordering::Release);
    }

    /// A crash that is due only once so many signals have come in.
    static CRASH: Mutex<Option<(u32, String, u32)>> = Mutex::new(None);
    /// Safeguards that are switched off, to show that a check sees what they prevent.
    static OFF: Mutex<Vec<String>> = Mutex::new(Vec::new());

    /// The place at which each signal comes in.
    const ROUND: &str = "router.deliver";

    /// Takes `crash`, as `place:skip:round`, and the names of safeguards to switch off.
    pub(super) fn take(crash: Option<&str>, off: Option<&str>) {
        let parts: Vec<_> = crash.unwrap_or_default().split(':').collect();
        if let [place, skip, round] = parts.as_slice()
            && let (Ok(skip), Ok(round)) = (skip.parse(), round.parse())
        {
            if round == 0 {
                arm(place, Fault::Kill, skip);
            } else {
                *CRASH.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((round, (*place).to_owned(), skip));
                ANY.store(true, Ordering::Release);
            }
        }
        let names = off.unwrap_or_default().split(',').filter(|name| !name.is_empty()).map(str::to_owned);
        OFF.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
    }

    pub(super) fn is_off(safeguard: &str) -> bool {
        OFF.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|name| name == safeguard)
    }

    fn count_round(place: &str) {
        if place != ROUND {
            return;
        }
        let mut crash = CRASH.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((round, ..)) = crash.as_mut() else { return };
        *round = round.saturating_sub(1);
        if *round == 0
            && let Some((_, place, skip)) = crash.take()
        {
            drop(crash);
            arm(&place, Fault::Kill, skip);
        }
    }

    pub(super) fn due(place: &str) -> Option<Fault> {
        if !ANY.load(Ordering::Acquire) {
            return None;
        }
        count_round(place);
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        let (fault, skip) = places.get_mut(place)?;
        if *skip > 0 {
            *skip -= 1;
            return None;
        }
        let fault = *fault;
        places.remove(place);
        Some(fault)
    }
}

/// Makes `fault` happen once at `place`, after it was passed `skip` times. Does nothing in release builds.
#[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "faults exist in debug builds only"))]
pub fn arm(place: &str, fault: Fault, skip: u32) {
    #[cfg(debug_assertions)]
    armed::arm(place, fault, skip);
}

/// Fails here if a test armed the place.
#[inline]
#[cfg_attr(not(debug_assertions), expect(unused_variables, reason = "faults exist in debug builds only"))]
pub fn point(place: &str) {
    #[cfg(debug_assertions)]
    #[expect(clippy::panic, reason = "to panic is its purpose, in tests")]
    match armed::due(place) {
        None => {}
        Some(Fault::Panic) => panic!("injected at {place}"),
        Some(Fault::Kill) => die(),
    }
}

/// Ends the process as SIGKILL does: nothing more is written, nobody is told.
#[cfg(debug_assertions)]
fn die() -> ! {
    let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    tracing::error!(?killed, "the process could not kill itself");
    std::process::abort();
}

/// Reads from the environment where the process is to crash (`TRADE_EXECUTOR_CRASH=place:skip:round`: once `round`
/// signals have come in, at once for none, after `skip` passes) and which safeguards are off (`TRADE_EXECUTOR_OFF=name,name`).
///
/// Only debug builds look: in a release build neither exists.
pub fn from_environment() {
    #[cfg(debug_assertions)]
    #[expect(clippy::disallowed_methods, reason = "no setting: for crash tests of debug builds alone")]
    armed::take(
        std::env::var("TRADE_EXECUTOR_CRASH").ok().as_deref(),
        std::env::var("TRADE_EXECUTOR_OFF").ok().as_deref(),
    );
}

/// Returns how far ahead of the machine's the clock is to be (`TRADE_EXECUTOR_AHEAD_MS`), so that a test trades in hours
/// at which New York does. Never in release builds.
#[must_use]
pub fn ahead() -> chrono::TimeDelta {
    #[cfg(debug_assertions)]
    #[expect(clippy::disallowed_methods, reason = "no setting: for tests of debug builds alone")]
    if let Some(ms) = std::env::var("TRADE_EXECUTOR_AHEAD_MS").ok().and_then(|ms| ms.parse().ok()) {
        return chrono::TimeDelta::milliseconds(ms);
    }
    chrono::TimeDelta::zero()
}

/// Returns whether a safeguard is switched off, so that a test can show what it prevents. Never in release builds.
#[inline]
#[must_use]
#[cfg_attr(
    not(debug_assertions),
    expect(unused_variables, reason = "safeguards are always on in release builds")
)]
pub fn is_off(safeguard: &str) -> bool {
    #[cfg(debug_assertions)]
    return armed::is_off(safeguard);
    #[cfg(not(debug_assertions))]
    false
}
