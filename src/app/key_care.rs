//! Looks after the master key while the program runs: makes the yearly version, seals what is behind anew, drops what
//! nothing needs. One row at a time, on a thread that may block; orders and logins wait for one write at most.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use trade_actors::domain::event::{Event, Fact};
use trade_actors::domain::ids::{ConnectionId, UserId};
use trade_actors::engine::Engine;
use trade_actors::ports::store::StoreError;
use trade_actors::views::Views;

use crate::keys::schedule::{KEEP_DAYS, Plan};
use crate::vault::{Credentials, Failure, RotateError};

/// How often the versions are looked at.
const EVERY: Duration = Duration::from_secs(3_600);
/// The pause between two rows, in which others write.
const BETWEEN_ROWS: Duration = Duration::from_millis(5);
/// Most rows whose failure is told one by one.
const TOLD_MAX: usize = 20;

/// Returns the broker of an account, if the account is there.
///
/// # Errors
/// When the index fails.
pub fn broker_of(
    views: &Views,
    user: UserId,
    connection: ConnectionId,
) -> Result<Option<String>, StoreError> {
    let Some(user) = views.user(user)? else { return Ok(None) };
    let known = user.connections.iter().find(|known| known.id == connection);
    Ok(known.map(|known| known.broker.clone()))
}

/// What runs beside the engine.
#[derive(Debug)]
pub(super) struct KeyCare {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl KeyCare {
    /// Begins with a look at once.
    pub(super) fn start(credentials: Credentials, engine: &Engine, rotate_after_days: u32) -> Self {
        let (stop, stopped) = watch::channel(false);
        let worker = Worker {
            credentials,
            engine: engine.clone(),
            rotate_after_days,
            stopped,
            told: BTreeMap::new(),
            told_failures: Vec::new(),
        };
        Self { stop, task: tokio::spawn(worker.run()) }
    }

    /// Ends it after the row it is at, and lets go of the vault.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(true);
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "what looks after the master key did not end in good order");
        }
    }
}

impl Drop for KeyCare {
    /// A start that failed must leave nothing running.
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.task.abort();
    }
}

#[derive(Debug)]
struct Worker {
    credentials: Credentials,
    engine: Engine,
    rotate_after_days: u32,
    stopped: watch::Receiver<bool>,
    /// What was told of rows that nothing opens, so that it is told once.
    told: BTreeMap<u32, usize>,
    told_failures: Vec<Failure>,
}

impl Worker {
    async fn run(mut self) {
        let mut stopped = self.stopped.clone();
        loop {
            let round = tokio::task::spawn_blocking(move || {
                let made = self.round();
                (self, made)
            });
            let Ok((worker, made)) = round.await else {
                tracing::error!("looking after the master key failed; the next start goes on with it");
                return;
            };
            self = worker;
            match made {
                Ok(Some(version)) => {
                    let fact = Fact::new(None, Event::MasterKeyRotated { version });
                    if let Err(error) = self.engine.commit(vec![fact]).await {
                        tracing::error!(%error, version, "the new version of the master key is not in the log");
                    }
                    // What is behind it is sealed anew at once.
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "the master key could not be looked after; it is tried again in an hour");
                }
            }
            if tokio::time::timeout(EVERY, stopped.wait_for(|stop| *stop)).await.is_ok() {
                return;
            }
        }
    }

    /// Does what is due; returns the number of a version that was made.
    fn round(&mut self) -> Result<Option<u32>, RotateError> {
        if *self.stopped.borrow() {
            return Ok(None);
        }
        let now = self.engine.clock().now();
        let plan = self.credentials.plan(self.rotate_after_days, now)?;
        self.tell(&plan);
        if plan.is_due && plan.next.is_ok() {
            let made = self.credentials.rotate(now)?;
            let file = self.credentials.key_files().pop().unwrap_or_default();
            tracing::warn!(
                version = made.number,
                file = %file.display(),
                "the master key has a new version; keep a copy of its file elsewhere, as of the others"
            );
            return Ok(Some(made.number));
        }
        if plan.behind > 0 {
            self.reseal(&plan)?;
        }
        let dropped = self.credentials.drop_unneeded(now)?;
        if !dropped.is_empty() {
            tracing::info!(?dropped, "versions of the master key that nothing needs any more were dropped");
        }
        Ok(None)
    }

    fn reseal(&mut self, plan: &Plan) -> Result<(), StoreError> {
        let version = plan.newest.number;
        tracing::info!(
            rows = plan.behind,
            version,
            "credentials of an earlier version of the master key are sealed anew"
        );
        let (views, stopped) = (self.engine.views(), &self.stopped);
        let mut go_on = |at: usize, _| {
            if at > 0 {
                std::thread::sleep(BETWEEN_ROWS);
            }
            !*stopped.borrow()
        };
        let pass =
            self.credentials.reseal(&|user, connection| broker_of(views, user, connection), &mut go_on)?;
        tracing::info!(
            rows = pass.done,
            version,
            "credentials were sealed anew; earlier versions are kept {KEEP_DAYS} days"
        );
        for failure in pass.failed.iter().filter(|one| !self.told_failures.contains(one)).take(TOLD_MAX) {
            tracing::error!(
                user.id = %failure.user,
                connection.id = %failure.connection,
                "the credentials of an account could not be sealed anew: {}; they stay as they are",
                failure.why
            );
        }
        self.told_failures = pass.failed;
        Ok(())
    }

    fn tell(&mut self, plan: &Plan) {
        if let Err(blocked) = plan.next.as_ref()
            && plan.is_due
        {
            tracing::error!(
                "no new version of the master key is made: {blocked}; `trade-executor doctor` says more"
            );
        }
        if plan.is_old && !plan.is_due {
            tracing::warn!(
                version = plan.newest.number,
                made = %plan.newest.made.format("%Y-%m-%d"),
                "the master key is older than a year; stop the server and run: trade-executor keys rotate"
            );
        }
        if plan.lost != self.told {
            for (version, rows) in &plan.lost {
                tracing::error!(
                    version,
                    rows,
                    "credentials are sealed under a version of the master key that is not here or no longer read; \
                     their accounts cannot be entered; `trade-executor doctor` says which"
                );
            }
            self.told.clone_from(&plan.lost);
        }
    }
}
