//! The brokers built in, by name.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::BoxFuture;
use trade_actors::domain::account::PAPER;
use trade_actors::domain::ids::{ConnectionId, UserId};
use trade_actors::domain::order::Mode;
use trade_actors::domain::report::{Refusal, RefusalCode};
use trade_actors::domain::runway::Runway;
use trade_actors::domain::user::Connection;
use trade_actors::ports::broker::{Broker, BrokerError, Brokers, UnknownBroker};
use trade_actors::ports::clock::Clock;
use trade_actors::ports::market::{Feed, Market};
use trade_actors::ports::store::StoreError;

use self::credentials::{BrokerSecret, Kind};
use self::http::SetUpError;
use self::probe::Probed;
use crate::config::BrokersConfig;

pub mod accounts;
pub mod alpaca;
pub mod binance;
pub mod binance_usdm;
pub mod board;
pub mod bucket;
pub mod bybit;
pub mod coinbase;
pub mod consent;
pub mod credentials;
pub mod dial;
pub mod gemini;
pub mod http;
pub mod ibkr;
pub mod kraken;
pub mod paper;
pub mod probe;
#[cfg(test)]
mod sample;
pub mod schwab;
pub mod venue;

/// The brokers outside: to add one, add its line.
pub const VENUES: &[Row] = &[
    Row { about: &alpaca::ABOUT, open: alpaca::open },
    Row { about: &binance::ABOUT, open: binance::open },
    Row { about: &binance_usdm::ABOUT, open: binance_usdm::open },
    Row { about: &bybit::ABOUT, open: bybit::open },
    Row { about: &coinbase::ABOUT, open: coinbase::open },
    Row { about: &gemini::ABOUT, open: gemini::open },
    Row { about: &kraken::ABOUT, open: kraken::open },
    Row { about: &schwab::ABOUT, open: schwab::open },
    Row { about: &ibkr::ABOUT, open: ibkr::open },
];

/// One broker outside.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What it is called, and how one gets in.
    pub about: &'static About,
    /// Makes it.
    pub open: fn(&Ground<'_>) -> Result<Arc<dyn House>, SetUpError>,
}

/// What a broker is called, and how one gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name in the API, the configuration and the log.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// The credentials it takes.
    pub ways_in: &'static [Kind],
    /// With which money it trades.
    pub modes: &'static [Mode],
    /// How long a person's login there lasts, whatever is done with it; absent: until it is taken back.
    pub login_lasts: Option<TimeDelta>,
}

/// Returns until when an account can be traded at before its owner has to do something: what its broker told, or how
/// long a login there lasts; `None`: no end is known.
#[must_use]
pub fn runway(account: &Connection) -> Option<Runway> {
    let of_login = || {
        let from = account.opened_at?;
        let until = from.checked_add_signed(about(&account.broker)?.login_lasts?)?;
        Some(Runway { from, until })
    };
    account.ends.or_else(of_login)
}

/// What a broker is made from.
#[derive(Clone, Debug)]
pub struct Ground<'a> {
    /// The addresses, and what each allows.
    pub config: &'a BrokersConfig,
    /// The sealed credentials.
    pub secrets: Arc<dyn Secrets>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// A broker outside, with all its accounts.
pub trait House: Send + Sync + Debug {
    /// Returns the account of a connection, not yet connected. Two holders of one connection share one account.
    fn account(&self, user: UserId, connection: ConnectionId) -> Arc<dyn Broker>;

    /// Has a connection read its credentials again: others took their place.
    fn renew(&self, connection: ConnectionId);

    /// Returns what can be traded, with prices and hours.
    fn market(&self) -> Arc<dyn Market>;

    /// Returns the stream of prices; one at a time is to be read.
    fn feed(&self) -> Box<dyn Feed>;

    /// Tries credentials out (FR-015): asks for their account and what they allow, and sends nothing to the market.
    ///
    /// # Errors
    /// When they do not work or allow too much, the account may not trade, or the broker cannot be asked.
    fn probe(&self, secret: BrokerSecret) -> BoxFuture<'_, Result<Probed, BrokerError>>;
}

/// Why the credentials of a connection cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The vault failed; it may work again in a moment.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// They are there and do not open; asking again does not help.
    #[error("they cannot be opened: {0}")]
    Sealed(String),
}

impl SecretsError {
    /// Returns what is told of an account at the broker called `title` that cannot be entered because of it.
    #[must_use]
    pub fn told(&self, title: &str, retry_after: Duration) -> BrokerError {
        match self {
            Self::Store(_) => BrokerError::NotReceived { code: RefusalCode::BrokerUnavailable, retry_after },
            Self::Sealed(why) => BrokerError::Refused(Refusal {
                code: RefusalCode::AuthFailed,
                message: format!(
                    "The credentials of this {title} account cannot be opened: {why}. Nothing was sent. Remove the \
                     account and connect it again, or have the operator put that key back; `trade-executor doctor` \
                     says more."
                ),
            }),
        }
    }
}

/// The sealed credentials of connections.
pub trait Secrets: Send + Sync + Debug {
    /// Returns the credentials of a connection at a broker; `None`: there are none.
    ///
    /// # Errors
    /// When they cannot be read.
    fn of(
        &self,
        user: UserId,
        connection: ConnectionId,
        broker: &str,
    ) -> Result<Option<BrokerSecret>, SecretsError>;
}

/// A program that keeps no credentials: every account outside asks to be connected.
#[derive(Clone, Copy, Debug)]
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn of(&self, _: UserId, _: ConnectionId, _: &str) -> Result<Option<BrokerSecret>, SecretsError> {
        Ok(None)
    }
}

/// The brokers outside, by name.
#[derive(Clone, Debug)]
pub struct Venues(BTreeMap<&'static str, Arc<dyn House>>);

impl Venues {
    /// Makes all of them; nothing is sent.
    ///
    /// # Errors
    /// When an address is none, or the build has no usable cryptography.
    pub fn open(ground: &Ground<'_>) -> Result<Self, SetUpError> {
        let made = VENUES.iter().map(|row| Ok((row.about.name, (row.open)(ground)?)));
        Ok(Self(made.collect::<Result<_, SetUpError>>()?))
    }

    /// Returns one of them.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn House>> {
        self.0.get(name)
    }

    /// Returns the streams of prices; one reader each.
    pub fn feeds(&self) -> impl Iterator<Item = Box<dyn Feed>> {
        self.0.values().map(|house| house.feed())
    }
}

/// Returns what a broker outside is called and how one gets in.
#[must_use]
pub fn about(name: &str) -> Option<&'static About> {
    VENUES.iter().map(|row| row.about).find(|about| about.name == name)
}

/// The brokers built in, with what each needs.
#[derive(Debug)]
pub struct BuiltIn {
    /// The paper broker.
    pub paper: paper::PaperBrokers,
    /// All others.
    pub venues: Venues,
}

impl Brokers for BuiltIn {
    fn open(
        &self,
        user: UserId,
        connection: ConnectionId,
        broker: &str,
    ) -> Result<Arc<dyn Broker>, UnknownBroker> {
        match self.venues.get(broker) {
            Some(house) => Ok(house.account(user, connection)),
            None if broker == PAPER => Ok(self.paper.account(user, connection)),
            None => Err(UnknownBroker(broker.to_owned())),
        }
    }

    fn market(&self, broker: &str) -> Option<Arc<dyn Market>> {
        match self.venues.get(broker) {
            Some(house) => Some(house.market()),
            None => (broker == PAPER).then(|| self.paper.market()),
        }
    }
}
