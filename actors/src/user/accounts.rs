//! A user's broker accounts: connected, removed and chosen while the engine runs.
//!
//! Risk and Execution start on the accounts there are. So both finish what they were handed and end before the accounts
//! change, and start again on the new ones: no order that was approved a moment before outlives its account.

use chrono::{DateTime, Utc};
use ractor::ActorProcessingErr;

use super::{State, refused};
use crate::arrival::Refused;
use crate::domain::account::{Obstacle, may_choose, may_connect, may_disconnect, may_go_live};
use crate::domain::event::{Caller, Event, Fact};
use crate::domain::ids::ConnectionId;
use crate::domain::instrument::AssetClass;
use crate::domain::runway::is_news;
use crate::domain::user::{Connection, UserState};
use crate::hub::{HubMsg, Place};
use crate::ports::journal::Journal;

/// What became of a command; the outer error is a failure of this actor.
type Outcome = Result<Result<(), Refused>, ActorProcessingErr>;

impl State {
    /// Records an account and opens its session.
    pub(super) async fn connect(&mut self, account: Connection, caller: &Caller) -> Outcome {
        let (id, new) = (account.id, account.clone());
        let event = Event::ConnectionAdded { connection: account };
        let outcome = self.change(event, |user| may_connect(user, &new), caller).await?;
        if outcome.is_ok()
            && let Some(user) = self.phase.user()
            && let Err(error) = self.family.connect(user, id).await
        {
            tracing::error!(%error, connection = %id, "the account's actor did not start; trying again");
            self.family.reconnect_later(id);
        }
        Ok(outcome)
    }

    /// Removes an account at which nothing is open, and closes its session.
    pub(super) async fn disconnect(&mut self, account: ConnectionId, caller: &Caller) -> Outcome {
        let event = Event::ConnectionRemoved { connection: account };
        self.change(event, |user| may_disconnect(user, account), caller).await
    }

    /// Switches trading with real money on or off at an account.
    pub(super) async fn go_live(&mut self, account: ConnectionId, is_on: bool, caller: &Caller) -> Outcome {
        let known =
            self.phase.user().and_then(|user| user.connections.iter().find(|known| known.id == account));
        if known.is_some_and(|known| known.is_live_on == is_on) {
            return Ok(Ok(()));
        }
        let event = Event::LiveTradingSet { connection: account, is_on };
        self.change(event, |user| may_go_live(user, account), caller).await
    }

    /// Records that an account answers again, if its owner was told that it did not.
    pub(super) async fn reached(&mut self, connection: ConnectionId) {
        let Some(user) = self.phase.user().filter(|user| user.lost.contains(&connection)) else { return };
        if let Some(name) = title(user, connection) {
            self.record(Event::ConnectionRestored { connection, name }).await;
        }
    }

    /// Records that an account cannot be reached, once.
    pub(super) async fn lost(&mut self, connection: ConnectionId, reason: String) {
        let Some(user) = self.phase.user().filter(|user| !user.lost.contains(&connection)) else { return };
        if let Some(name) = title(user, connection) {
            self.record(Event::ConnectionLost { connection, name, reason }).await;
        }
    }

    /// Records until when an account can be traded at, if that is news.
    pub(super) async fn runway(&mut self, connection: ConnectionId, until: Option<DateTime<Utc>>) {
        let Some(user) = self.phase.user() else { return };
        let known = user.connections.iter().find(|known| known.id == connection);
        if known.is_some_and(|known| is_news(known.ends, until)) {
            self.record(Event::ConnectionRunway { connection, until }).await;
        }
    }

    /// Records how an account is. While the log is down it comes again with the next answer, or the next failure.
    async fn record(&mut self, event: Event) {
        let fact = Fact::new(Some(self.args.id), event.clone());
        match self.args.shared.ledger.commit(vec![fact]).await {
            Ok(receipt) => self.told(vec![event.into()], receipt.at),
            Err(error) => tracing::warn!(%error, "how a broker account is could not be recorded"),
        }
    }

    /// Has the signals for a kind of market go to an account from now on, or to the default one again.
    pub(super) async fn direct(
        &mut self,
        class: AssetClass,
        connection: Option<ConnectionId>,
        caller: &Caller,
    ) -> Outcome {
        let known = self.phase.user().map(|user| user.routes.get(&class).copied());
        if known == Some(connection) {
            return Ok(Ok(()));
        }
        let may = |user: &UserState| connection.map_or(Ok(()), |id| may_choose(user, id));
        self.change(Event::RouteSet { class, connection }, may, caller).await
    }

    /// Has signals go to another account from now on.
    pub(super) async fn choose(&mut self, account: ConnectionId, caller: &Caller) -> Outcome {
        let chosen = self.phase.user().and_then(|user| user.default_connection().map(|known| known.id));
        if chosen == Some(account) {
            return Ok(Ok(()));
        }
        let event = Event::DefaultConnectionSet { connection: account };
        self.change(event, |user| may_choose(user, account), caller).await
    }

    /// Changes the accounts, if they may be changed so, while nothing is decided.
    async fn change(
        &mut self,
        event: Event,
        may: impl Fn(&UserState) -> Result<(), Obstacle>,
        caller: &Caller,
    ) -> Outcome {
        let Some(user) = self.phase.user() else { return Ok(Err(Refused::Unavailable)) };
        if let Err(obstacle) = may(user) {
            return Ok(Err(obstacle.into()));
        }
        self.family.finish_deciding().await;
        // Now the log knows whether anything is open, and it stays so until they are back.
        let Some(mut fresh) = self.read(true).await? else {
            return Err("the user is gone from the index".into());
        };
        let outcome = match may(&fresh) {
            Err(obstacle) => Err(obstacle.into()),
            Ok(()) => {
                let fact = Fact::by(Some(self.args.id), event.clone(), caller);
                self.args.shared.ledger.commit(vec![fact]).await.map_err(refused)
            }
        };
        if let Ok(receipt) = &outcome {
            if let Event::ConnectionRemoved { connection } = &event {
                self.family.disconnect(*connection).await;
            }
            fresh.apply(&event, receipt.at);
            let place = Place { as_of: receipt.last, ..Place::of(&fresh) };
            self.args.shared.hub.tell(HubMsg::Moved(self.args.id, place));
            // What this actor holds stays: facts still on their way to it are in `fresh` already.
            self.told(vec![event.into()], receipt.at);
        }
        self.revive(&fresh).await?;
        Ok(outcome.map(|_| ()))
    }
}

fn title(user: &UserState, connection: ConnectionId) -> Option<String> {
    Some(user.connections.iter().find(|known| known.id == connection)?.title().into_owned())
}
