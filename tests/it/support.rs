//! Starts the real program and talks to it as its clients do.

pub(crate) mod api;
pub(crate) mod app;
pub(crate) mod chance;
pub(crate) mod desk;
pub(crate) mod docs;
pub(crate) mod log;
pub(crate) mod server;
pub(crate) mod socket;
pub(crate) mod venue;

use std::future::Future;
use std::time::{Duration, Instant};

pub(crate) use api::{Answer, Api};
pub(crate) use app::{TestApp, TestClock};
pub(crate) use chance::Chance;
pub(crate) use server::{Server, Setup};
pub(crate) use socket::Socket;

/// How long anything may take before the test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// How long a test waits between two looks.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// Looks again and again until there is something to see, and returns it; an error says what was seen instead.
pub(crate) async fn wait_or_say<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, String>>,
{
    let started = Instant::now();
    loop {
        match look().await {
            Ok(seen) => return seen,
            Err(instead) => assert!(started.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}{instead}"),
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Looks again and again until there is something to see, and returns it.
pub(crate) async fn wait_for<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    wait_or_say(what, || {
        let look = look();
        async move { look.await.ok_or_else(String::new) }
    })
    .await
}

/// Looks again and again until the condition holds.
pub(crate) async fn wait_until<F>(what: &str, mut holds: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    wait_or_say(what, || {
        let look = holds();
        async move { if look.await { Ok(()) } else { Err(String::new()) } }
    })
    .await;
}
