//! A venue with all its accounts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::Url;

use trade_actors::domain::ids::{ConnectionId, UserId};
use trade_actors::domain::order::Mode;
use trade_actors::ports::broker::{Broker, BrokerError};
use trade_actors::ports::market::{Feed, Market};

use super::Venue;
use super::account::Account;
use super::market::VenueMarket;
use super::way::{self, Hosts, Means, Way};
use crate::brokers::accounts::Accounts;
use crate::brokers::credentials::{Auth, BrokerSecret};
use crate::brokers::http::{Client, SetUpError};
use crate::brokers::probe::Probed;
use crate::brokers::{Ground, House, Secrets};
use crate::config::VenueConfig;

/// What tells two ways to a venue apart: the fingerprint of the credentials, and whether the money is real.
type Key = ([u8; 32], bool);

/// A venue's addresses for both modes.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Where real money is.
    pub live: Hosts,
    /// Where made-up money is; absent: nowhere.
    pub paper: Option<Hosts>,
}

/// A venue's own addresses for one mode.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// Accounts and orders.
    pub rest: &'static str,
    /// News of orders.
    pub stream: &'static str,
}

/// Where a venue is, and the money that accounts are counted in there, as long as nothing else is configured.
#[derive(Clone, Copy, Debug)]
pub struct Usual {
    /// Where real money is.
    pub live: Own,
    /// Where made-up money is; absent: nowhere.
    pub paper: Option<Own>,
    /// Prices and instruments.
    pub data: &'static str,
    /// Prices as they change.
    pub data_stream: &'static str,
    /// The money.
    pub settlement: &'static str,
}

impl Usual {
    /// Opens a venue, which is made with the money that accounts are counted in; nothing is sent.
    ///
    /// # Errors
    /// When an address is none, or the build has no usable cryptography.
    pub fn open<V: Venue>(
        &self,
        config: &VenueConfig,
        ground: &Ground<'_>,
        venue: impl FnOnce(String) -> V,
    ) -> Result<Arc<dyn House>, SetUpError> {
        self.open_at(self.addresses(config)?, config, ground, venue)
    }

    /// Opens a venue at addresses that are partly its own doing; nothing is sent.
    ///
    /// # Errors
    /// When the build has no usable cryptography.
    pub fn open_at<V: Venue>(
        &self,
        addresses: Addresses,
        config: &VenueConfig,
        ground: &Ground<'_>,
        venue: impl FnOnce(String) -> V,
    ) -> Result<Arc<dyn House>, SetUpError> {
        let settlement = if config.settlement.is_empty() { self.settlement } else { &config.settlement };
        let timeout = Duration::from_millis(config.timeout_ms.into());
        VenueHouse::open(Arc::new(venue(settlement.to_owned())), addresses, timeout, ground)
    }

    /// Returns these addresses, or those that are configured instead; prices are always the real market's.
    ///
    /// # Errors
    /// When one is no address.
    pub fn addresses(&self, config: &VenueConfig) -> Result<Addresses, SetUpError> {
        let url = |given: &str, own: &str, name| {
            let text = if given.is_empty() { own } else { given };
            Url::parse(text).map_err(|_| SetUpError::Address(name))
        };
        let data_url = url(&config.data_url, self.data, "data_url")?;
        let data_stream = url(&config.data_stream_url, self.data_stream, "data_stream_url")?;
        let hosts = |rest: Url, stream: Url| Hosts {
            rest,
            stream,
            data: data_url.clone(),
            data_stream: data_stream.clone(),
        };
        let live = hosts(
            url(&config.live_url, self.live.rest, "live_url")?,
            url(&config.live_stream_url, self.live.stream, "live_stream_url")?,
        );
        let paper = match &self.paper {
            Some(paper) => Some(hosts(
                url(&config.paper_url, paper.rest, "paper_url")?,
                url(&config.paper_stream_url, paper.stream, "paper_stream_url")?,
            )),
            None => None,
        };
        Ok(Addresses { live, paper })
    }
}

/// What all accounts of a venue share.
#[derive(Debug)]
pub struct Shared {
    pub(super) means: Means,
    pub(super) secrets: Arc<dyn Secrets>,
    pub(super) market: Arc<VenueMarket>,
    addresses: Addresses,
    /// By credentials: two connections to one account share its allowance.
    ways: Mutex<BTreeMap<Key, Weak<Way>>>,
}

/// A venue with all its accounts.
#[derive(Debug)]
pub struct VenueHouse {
    shared: Arc<Shared>,
    accounts: Accounts<Account>,
}

impl VenueHouse {
    /// Returns a venue at its addresses; nothing is sent.
    ///
    /// # Errors
    /// When the build has no usable cryptography.
    pub fn open(
        venue: Arc<dyn Venue>,
        addresses: Addresses,
        timeout: Duration,
        ground: &Ground<'_>,
    ) -> Result<Arc<dyn House>, SetUpError> {
        let clock = Arc::clone(&ground.clock);
        let shared = way::Shared::new(venue.facts(), clock.as_ref());
        let client = if venue.may_be_here() { Client::here(timeout)? } else { Client::new(timeout)? };
        let means = Means { venue, client, clock, shared, board: Arc::default() };
        let market = VenueMarket::new(means.clone(), addresses.live.clone());
        let secrets = Arc::clone(&ground.secrets);
        let shared = Arc::new(Shared { means, secrets, market, addresses, ways: Mutex::default() });
        Ok(Arc::new(Self { shared, accounts: Accounts::default() }))
    }
}

impl Shared {
    /// Returns the way to an account.
    pub(super) fn way(&self, auth: Auth, mode: Mode) -> Arc<Way> {
        let key = (auth.fingerprint(), mode == Mode::Live);
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(way) = ways.get(&key).and_then(Weak::upgrade) {
            return way;
        }
        ways.retain(|_, way| way.strong_count() > 0);
        let hosts = match (mode, &self.addresses.paper) {
            (Mode::Paper, Some(paper)) => paper.clone(),
            (Mode::Paper, None) | (Mode::Live, _) => self.addresses.live.clone(),
        };
        let way = Arc::new(Way::new(self.means.clone(), hosts, Some((auth, mode))));
        ways.insert(key, Arc::downgrade(&way));
        way
    }
}

impl House for VenueHouse {
    fn account(&self, user: UserId, connection: ConnectionId) -> Arc<dyn Broker> {
        self.accounts.open(connection, || Account::new(Arc::clone(&self.shared), user, connection))
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
            let facts = self.shared.means.venue.facts();
            let title = facts.about.title;
            let way = self.shared.way(secret.auth, secret.mode);
            let asked = async {
                if facts.checks_time {
                    Box::pin(way.follow_time()).await?;
                }
                Box::pin(way.venue().identify(&way)).await
            };
            let identity = asked.await.map_err(|verdict| verdict.into_error(title))?;
            Ok(Probed { account: identity.account })
        })
    }
}
