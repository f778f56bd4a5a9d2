//! The actix system of the process: one thread that only makes arbiters, whatever runtime asks for them.

use std::io;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use actix_rt::{Arbiter, System};
use tokio::sync::oneshot;

static SYSTEM: Mutex<Option<System>> = Mutex::new(None);

/// Starts a thread for an actor, with an event loop of its own.
///
/// # Errors
/// When the thread cannot be started.
pub(super) async fn arbiter() -> io::Result<Arbiter> {
    let system = system()?;
    let (reply, made) = oneshot::channel();
    system.arbiter().spawn_fn(move || {
        if reply.send(Arbiter::try_new()).is_err() {
            tracing::debug!("nobody waited for a new thread");
        }
    });
    made.await.map_err(|_| io::Error::other("the thread that makes actors' threads is gone"))?
}

/// Stops an arbiter's actors and waits until its thread has ended.
pub(super) async fn stop(arbiter: Arbiter) {
    arbiter.stop();
    let joined = tokio::task::spawn_blocking(move || arbiter.join()).await;
    if !matches!(joined, Ok(Ok(()))) {
        tracing::warn!("an actor's thread ended in a panic");
    }
}

/// Returns the process's system, started on a thread of its own at the first call.
fn system() -> io::Result<System> {
    let mut running = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(system) = running.as_ref() {
        return Ok(system.clone());
    }
    let (tell, told) = mpsc::channel();
    thread::Builder::new().name("actix".to_owned()).spawn(move || {
        let runner = System::new();
        if tell.send(System::current()).is_ok()
            && let Err(error) = runner.run()
        {
            tracing::error!(%error, "the thread that makes actors' threads failed");
        }
    })?;
    let system = told.recv().map_err(|_| io::Error::other("the actors' system did not start"))?;
    *running = Some(system.clone());
    Ok(system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn arbiters_are_made_from_any_runtime_one_after_another() {
        for _ in 0..3 {
            let made = arbiter().await.unwrap();
            let (tell, told) = oneshot::channel();
            assert!(made.spawn_fn(move || tell.send(7).unwrap()));
            assert_eq!(told.await.unwrap(), 7);
            stop(made).await;
        }
    }
}
