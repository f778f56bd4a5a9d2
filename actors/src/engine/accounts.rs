//! What people do with their broker accounts.

use super::Engine;
use crate::arrival::Refused;
use crate::domain::event::Caller;
use crate::domain::ids::{ConnectionId, UserId};
use crate::domain::instrument::AssetClass;
use crate::domain::user::Connection;
use crate::user::Command;

impl Engine {
    /// Connects a broker account, whose credentials are kept already, and opens its session.
    ///
    /// # Errors
    /// See [`Refused`]; then nothing changed, but for an answer that did not come.
    pub async fn connect(&self, user: UserId, account: Connection, caller: Caller) -> Result<(), Refused> {
        self.command(user, Command::Connect { connection: Box::new(account), caller }).await
    }

    /// Removes a broker account at which nothing is open, once its session is closed.
    ///
    /// # Errors
    /// See [`Refused`]; then nothing changed, but for an answer that did not come.
    pub async fn disconnect(
        &self,
        user: UserId,
        connection: ConnectionId,
        caller: Caller,
    ) -> Result<(), Refused> {
        self.command(user, Command::Disconnect { connection, caller }).await
    }

    /// Switches trading with real money on or off at a broker account.
    ///
    /// # Errors
    /// See [`Refused`]; then nothing changed.
    pub async fn go_live(
        &self,
        user: UserId,
        connection: ConnectionId,
        is_on: bool,
        caller: Caller,
    ) -> Result<(), Refused> {
        self.command(user, Command::GoLive { connection, is_on, caller }).await
    }

    /// Has the signals for a kind of market go to an account, or to the default one again.
    ///
    /// # Errors
    /// See [`Refused`]; then nothing changed.
    pub async fn direct(
        &self,
        user: UserId,
        class: AssetClass,
        connection: Option<ConnectionId>,
        caller: Caller,
    ) -> Result<(), Refused> {
        self.command(user, Command::Route { class, connection, caller }).await
    }

    /// Makes a broker account the one that signals go to.
    ///
    /// # Errors
    /// See [`Refused`]; then nothing changed.
    pub async fn choose(
        &self,
        user: UserId,
        connection: ConnectionId,
        caller: Caller,
    ) -> Result<(), Refused> {
        self.command(user, Command::Choose { connection, caller }).await
    }
}
