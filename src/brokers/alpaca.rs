//! Alpaca: US shares and funds, with real or made-up money (Trading API v2, Market Data API v2).

pub mod account;
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

use futures_util::future::BoxFuture;
use reqwest::Url;

use trade_actors::domain::ids::{ConnectionId, UserId};
use trade_actors::domain::order::Mode;
use trade_actors::ports::broker::{Broker, BrokerError};
use trade_actors::ports::clock::Clock;
use trade_actors::ports::market::{Feed, Market};

pub use self::account::AlpacaAccount;
use self::market::AlpacaMarket;
use self::session::{Hosts, Session};
use super::accounts::Accounts;
use super::credentials::{Auth, BrokerSecret, Kind};
use super::http::{Client, SetUpError};
use super::probe::Probed;
use super::{About, Ground, House, Secrets};
use crate::config::AlpacaConfig;

/// The broker's name.
pub const NAME: &str = "alpaca";

/// What it is called, and how one gets in.
pub const ABOUT: About = About {
    name: NAME,
    title: "Alpaca",
    ways_in: &[Kind::ApiKey, Kind::OAuth],
    modes: &[Mode::Paper, Mode::Live],
    login_lasts: None,
};

/// Makes the broker.
///
/// # Errors
/// When an address is none, or the build has no usable cryptography.
pub fn open(ground: &Ground<'_>) -> Result<Arc<dyn House>, SetUpError> {
    let (secrets, clock) = (Arc::clone(&ground.secrets), Arc::clone(&ground.clock));
    Ok(Arc::new(Alpaca::new(&ground.config.alpaca, secrets, clock)?))
}

/// Every Alpaca account that somebody holds, and what they share.
#[derive(Debug)]
pub struct Alpaca {
    shared: Arc<Shared>,
    accounts: Accounts<AlpacaAccount>,
}

/// What tells two ways to Alpaca apart: the fingerprint of the credentials, and whether the money is real.
type Way = ([u8; 32], bool);

/// What all accounts share.
#[derive(Debug)]
pub(super) struct Shared {
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
        let shared = Shared {
            live: hosts(config, &config.live_url, &config.live_stream_url)?,
            paper: hosts(config, &config.paper_url, &config.paper_stream_url)?,
            config: config.clone(),
            client,
            market: AlpacaMarket::new(Arc::clone(&clock)),
            clock,
            secrets,
            sessions: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared), accounts: Accounts::default() })
    }
}

impl House for Alpaca {
    fn account(&self, user: UserId, connection: ConnectionId) -> Arc<dyn Broker> {
        self.accounts.open(connection, || AlpacaAccount::new(Arc::clone(&self.shared), user, connection))
    }

    fn renew(&self, connection: ConnectionId) {
        if let Some(account) = self.accounts.held(connection) {
            account.renew();
        }
    }

    fn market(&self) -> Arc<dyn Market> {
        Arc::clone(&self.shared.market) as Arc<dyn Market>
    }

    fn feed(&self) -> Box<dyn Feed> {
        self.shared.market.feed()
    }

    fn probe(&self, secret: BrokerSecret) -> BoxFuture<'_, Result<Probed, BrokerError>> {
        Box::pin(async move {
            let session = self.shared.session(secret.auth, secret.mode);
            Ok(Probed { account: account::fetch(&session).await?.account_number })
        })
    }
}

impl Shared {
    /// Returns the way to an account.
    fn session(&self, credentials: Auth, mode: Mode) -> Arc<Session> {
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
