//! What the tests of all venues have to know of each: what it trades, for whom, and how one gets there.

use rust_decimal::Decimal;
use serde_json::Value;
use trade_actors::domain::money::Price;
use trade_actors::domain::order::Mode;
use trade_executor::brokers::VENUES;
use trade_executor::brokers::credentials::{Auth, Kind};
use trade_executor::config::{BrokersConfig, VenueConfig};
use venues::account::{AccountKind, AccountSpec};
use venues::table::{Running, venue};

use super::desk::{dec, price};

/// One venue, as far as the tests of all differ in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Its name.
    pub(crate) name: &'static str,
    /// With which money.
    pub(crate) mode: Mode,
    /// The money accounts are counted in.
    pub(crate) money: &'static str,
    /// What is traded.
    pub(crate) coin: &'static str,
    /// How many units of it stand for one coin where the venues' promises speak of coins.
    pub(crate) per_coin: u32,
    /// The key's name, also the account's there, and its secret.
    pub(crate) key: (&'static str, &'static str),
    /// Has the program go to the simulator, whose addresses these are.
    pub(crate) lead: fn(&Value, &mut BrokersConfig),
    /// Where orders are placed.
    pub(crate) orders: &'static str,
}

impl Place {
    /// Returns whether shares are traded: whole ones, on margin, of a broker that takes no ids of ours and tells of
    /// symbols when it is asked.
    pub(crate) fn deals_in_shares(&self) -> bool {
        !self.coin.contains('/')
    }

    /// Returns how many shares stand for one coin.
    fn scale(&self) -> Decimal {
        Decimal::from(self.per_coin)
    }

    /// Returns how many units stand for so much of a coin.
    pub(crate) fn units(&self, coins: &str) -> Decimal {
        dec(coins) * self.scale()
    }

    /// Returns the price of a unit where a coin has this one.
    pub(crate) fn price(&self, of_coin: &str) -> Price {
        Price::new(price(of_coin).get() / self.scale()).unwrap()
    }

    /// Returns what an account there may do: where fractions are sold short, it holds contracts.
    fn kind(&self) -> AccountKind {
        let options = (venue(self.name).unwrap().options)();
        if options.rules.fractional_shorts { AccountKind::Margin } else { AccountKind::Spot }
    }

    /// Returns the account there.
    pub(crate) fn account(&self) -> AccountSpec {
        let (key, secret) = self.key;
        let spec = AccountSpec::new(key, secret, Decimal::from(100_000));
        if self.deals_in_shares() {
            return spec;
        }
        AccountSpec { kind: self.kind(), settlement: self.money.to_owned(), ..spec }
    }

    /// Returns what opens the account.
    pub(crate) async fn auth(&self, venue: &Running) -> Auth {
        let row = VENUES.iter().find(|row| row.about.name == self.name).unwrap();
        let (key, secret) = self.key;
        match row.about.ways_in {
            [Kind::Login] => super::schwab::log_in(venue, key).await,
            [Kind::Account] => Auth::Account { account: key.into() },
            _ => Auth::ApiKey { key_id: key.into(), secret: secret.into() },
        }
    }
}

/// Returns where a simulator has something, by its name there.
pub(super) fn url(urls: &Value, name: &str) -> String {
    urls[name].as_str().unwrap().to_owned()
}

/// Returns settings that lead to a simulator: accounts and prices are at its `url`, news of orders and prices as they
/// change where it says under these names. Real money and made-up money are one there.
pub(super) fn led(urls: &Value, news: &str, prices: &str) -> VenueConfig {
    let (rest, news) = (url(urls, "url"), url(urls, news));
    VenueConfig {
        live_url: rest.clone(),
        paper_url: rest.clone(),
        live_stream_url: news.clone(),
        paper_stream_url: news,
        data_url: rest,
        data_stream_url: url(urls, prices),
        ..VenueConfig::default()
    }
}
