//! Looks how long accounts can be traded at, and has their owners told in time, whether they trade or not.

use std::time::Duration;

use tokio::task::JoinHandle;
use trade_actors::domain::event::{Event, Fact};
use trade_actors::domain::user::UserState;
use trade_actors::engine::Engine;
use trade_actors::ports::store::StoreError;

use crate::brokers::runway;

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(600);
/// How many people are read at a time.
const PAGE: usize = 200;

/// What runs beside the engine; it ends with this.
#[derive(Debug)]
pub(super) struct RunwayWatch(JoinHandle<()>);

impl RunwayWatch {
    /// Begins with a look at once.
    pub(super) fn start(engine: &Engine) -> Self {
        let engine = engine.clone();
        Self(tokio::spawn(async move {
            loop {
                if let Err(error) = look(&engine).await {
                    tracing::error!(%error, "which sessions end soon could not be found out; it is looked again");
                }
                tokio::time::sleep(EVERY).await;
            }
        }))
    }
}

impl Drop for RunwayWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn look(engine: &Engine) -> Result<(), StoreError> {
    // What was told a moment ago is known then.
    engine.views().settled().await?;
    let mut after = None;
    loop {
        let people = engine.views().users(after, PAGE)?;
        let Some(last) = people.last() else { return Ok(()) };
        after = Some(last.id);
        for person in &people {
            tell(engine, person).await;
        }
    }
}

async fn tell(engine: &Engine, person: &UserState) {
    let now = engine.clock().now();
    for known in &person.connections {
        let Some(runway) = runway(known) else { continue };
        let told = person.runways.get(&known.id).copied();
        let Some(hours) = runway.due(told, now) else { continue };
        let (until, name) = (runway.until, known.title().into_owned());
        let event = Event::SessionEnding { connection: known.id, name, until, hours };
        if let Err(error) = engine.commit(vec![Fact::new(Some(person.id), event)]).await {
            tracing::error!(%error, connection.id = %known.id, "the end of a session could not be told; it is tried again");
        }
    }
}
