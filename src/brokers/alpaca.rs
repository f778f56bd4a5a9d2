//! Alpaca: US shares and funds, with real or made-up money (Trading API v2, Market Data API v2).

pub mod account;
pub mod client;
pub mod credentials;
pub mod hours;
pub mod map;
pub mod market;
mod prices;
pub mod refusal;
pub mod session;
pub mod tally;
pub mod updates;
pub mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use reqwest::Url;

use trade_actors::domain::ids::{ConnectionId, UserId};
use trade_actors::domain::order::Mode;
use trade_actors::ports::broker::{Broker, BrokerError};
use trade_actors::ports::clock::Clock;
use trade_actors::ports::market::{Feed, Market};

pub use self::account::AlpacaAccount;
pub use self::client::SetUpError;
pub use self::credentials::AlpacaCredentials;

use self::client::Client;
use self::market::AlpacaMarket;
use self::session::{Hosts, Session};
use super::Secrets;
use super::accounts::Accounts;
use crate::config::AlpacaConfig;

/// The broker's name.
pub const NAME: &str = "alpaca";

/// Every Alpaca account that somebody holds, and what they share.
#[derive(Debug)]
pub struct Alpaca {
    house: Arc<House>,
    accounts: Accounts<AlpacaAccount>,
}

/// What tells two ways to Alpaca apart: the fingerprint of the credentials, and whether the money is real.
type Way = ([u8; 32], bool);

/// What all accounts share.
#[derive(Debug)]
pub(super) struct House {
    config: AlpacaConfig,
    client: Client,
    live: Hosts,
    paper: Hosts,
    clock: Arc<dyn Clock>,
    secrets: Arc<dyn Secrets>,
    market: Arc<AlpacaMarket>,
    /// By credentials: two connections to one account share its allowance.
    sessions: Mutex<BTreeMap<Way, Weak<Session>>>,
}

impl Alpaca {
    /// Returns Alpaca at the configured addresses; nothing is sent.
    ///
    /// # Errors
    /// When an address is none, or the build has no usable cryptography.
    pub fn new(
        config: &AlpacaConfig,
        secrets: Arc<dyn Secrets>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SetUpError> {
        let client = Client::new(Duration::from_millis(u64::from(config.timeout_ms)))?;
        let house = House {
            live: hosts(config, &config.live_url, &config.live_stream_url)?,
            paper: hosts(config, &config.paper_url, &config.paper_stream_url)?,
            config: config.clone(),
            client,
            market: AlpacaMarket::new(Arc::clone(&clock)),
            clock,
            secrets,
            sessions: Mutex::default(),
        };
        Ok(Self { house: Arc::new(house), accounts: Accounts::default() })
    }

    /// Returns the account of a connection, not yet connected. Two holders of one connection share one account.
    #[must_use]
    pub fn account(&self, user: UserId, connection: ConnectionId) -> Arc<dyn Broker> {
        self.accounts.open(connection, || AlpacaAccount::new(Arc::clone(&self.house), user, connection))
    }

    /// Has a connection read its credentials again: they were replaced or removed.
    pub fn renew(&self, connection: ConnectionId) {
        if let Some(account) = self.accounts.held(connection) {
            account.renew();
        }
    }

    /// Returns what can be traded, with prices and hours.
    #[must_use]
    pub fn market(&self) -> Arc<dyn Market> {
        Arc::clone(&self.house.market) as Arc<dyn Market>
    }

    /// Returns the stream of prices; one at a time is to be read.
    #[must_use]
    pub fn feed(&self) -> Box<dyn Feed> {
        self.house.market.feed()
    }

    /// Tries credentials out (FR-015): asks Alpaca for their account, and sends nothing to the market. Returns what
    /// people know the account by.
    ///
    /// # Errors
    /// When they do not work, when the account may not trade, or when Alpaca cannot be asked.
    pub async fn probe(&self, credentials: AlpacaCredentials, mode: Mode) -> Result<String, BrokerError> {
        let session = self.house.session(credentials, mode);
        Ok(account::fetch(&session).await?.account_number)
    }
}

impl House {
    /// Returns the way to an account.
    fn session(&self, credentials: AlpacaCredentials, mode: Mode) -> Arc<Session> {
        let key = (credentials.fingerprint(), mode == Mode::Live);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get(&key).and_then(Weak::upgrade) {
            return session;
        }
        sessions.retain(|_, session| session.strong_count() > 0);
        let hosts = match mode {
            Mode::Live => self.live.clone(),
            Mode::Paper => self.paper.clone(),
        };
        let clock = Arc::clone(&self.clock);
        let session = Arc::new(Session::new(self.client.clone(), &self.config, hosts, credentials, clock));
        sessions.insert(key, Arc::downgrade(&session));
        session
    }
}

fn hosts(config: &AlpacaConfig, trading: &str, updates: &str) -> Result<Hosts, SetUpError> {
    let url = |text: &str, name| Url::parse(text).map_err(|_| SetUpError::Address(name));
    let mut data_stream = url(&config.data_stream_url, "brokers.alpaca.data_stream_url")?;
    let path = format!("{}/v2/{}", data_stream.path().trim_end_matches('/'), config.feed);
    data_stream.set_path(&path);
    Ok(Hosts {
        trading: url(trading, "brokers.alpaca.live_url or paper_url")?,
        updates: AlpacaConfig::stream_of(trading, updates)
            .ok_or(SetUpError::Address("brokers.alpaca.live_stream_url or paper_stream_url"))?,
        data: url(&config.data_url, "brokers.alpaca.data_url")?,
        data_stream,
        feed: config.feed.clone(),
    })
}
