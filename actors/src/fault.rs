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

    pub(super) fn due(place: &str) -> Option<Fault> {
        if !ANY.load(Ordering::Acquire) {
            return None;
        }
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
        Some(Fault::Kill) => std::process::abort(),
    }
}
