//! A user's broker accounts: connected, removed and chosen while the engine runs.

use std::sync::Arc;

use ractor::ActorProcessingErr;

use super::{State, refused};
use crate::arrival::Refused;
use crate::domain::account::{may_choose, may_connect, may_disconnect};
use crate::domain::event::{Caller, Event, Fact};
use crate::domain::ids::ConnectionId;
use crate::domain::user::Connection;
use crate::ports::journal::Journal;
use crate::risk::RiskMsg;

/// What became of a command; the outer error is a failure of this actor.
type Outcome = Result<Result<(), Refused>, ActorProcessingErr>;

impl State {
    /// Records an account and opens its session.
    pub(super) async fn connect(&mut self, account: Connection, caller: &Caller) -> Outcome {
        let Some(user) = self.phase.user() else { return Ok(Err(Refused::Unavailable)) };
        if let Err(obstacle) = may_connect(user, &account) {
            return Ok(Err(obstacle.into()));
        }
        let id = account.id;
        if let Err(refused) = self.enter(Event::ConnectionAdded { connection: account }, caller).await? {
            return Ok(Err(refused));
        }
        if let Some(user) = self.phase.user()
            && let Err(error) = self.family.connect(user, id).await
        {
            tracing::error!(%error, connection = %id, "the account's actor did not start; trying again");
            self.family.reconnect_later(id);
        }
        Ok(Ok(()))
    }

    /// Has signals go to another account from now on.
    pub(super) async fn choose(&mut self, account: ConnectionId, caller: &Caller) -> Outcome {
        let Some(user) = self.phase.user() else { return Ok(Err(Refused::Unavailable)) };
        if let Err(obstacle) = may_choose(user, account) {
            return Ok(Err(obstacle.into()));
        }
        if user.default_connection().is_some_and(|known| known.id == account) {
            return Ok(Ok(()));
        }
        self.enter(Event::DefaultConnectionSet { connection: account }, caller).await
    }

    /// Removes an account at which nothing is open.
    ///
    /// Risk may have approved an order there that is not recorded yet. So both finish what they were handed and end;
    /// then the log knows whether anything is open, and it stays so until they are back.
    pub(super) async fn disconnect(&mut self, account: ConnectionId, caller: &Caller) -> Outcome {
        let Some(user) = self.phase.user() else { return Ok(Err(Refused::Unavailable)) };
        if let Err(obstacle) = may_disconnect(user, account) {
            return Ok(Err(obstacle.into()));
        }
        self.family.finish_deciding().await;
        let Some(mut fresh) = self.read(true).await? else {
            return Err("the user is gone from the index".into());
        };
        let mut outcome = may_disconnect(&fresh, account).map_err(Refused::from);
        if outcome.is_ok() {
            let event = Event::ConnectionRemoved { connection: account };
            outcome = self.enter(event.clone(), caller).await?;
            if outcome.is_ok() {
                fresh.apply(&event, self.args.shared.clock.now());
                self.family.disconnect(account).await;
            }
        }
        // What this actor holds stays: facts that are still on their way to it are in `fresh` already.
        self.revive(&fresh).await?;
        Ok(outcome)
    }

    /// Records a fact about the accounts, and tells it to those who ask which they are.
    async fn enter(&mut self, event: Event, caller: &Caller) -> Outcome {
        let event = Arc::new(event);
        let fact = Fact::by(Some(self.args.id), Arc::clone(&event), caller);
        let receipt = match self.args.shared.ledger.commit(vec![fact]).await {
            Ok(receipt) => receipt,
            Err(error) => return Ok(Err(refused(error))),
        };
        let events = Arc::from([Arc::clone(&event)]);
        self.family.tell_risk(RiskMsg::Facts(Arc::clone(&events)));
        if let Some(user) = self.phase.user() {
            user.apply(&event, receipt.at);
            self.family.follow(user, &events).await?;
        }
        Ok(Ok(()))
    }
}
