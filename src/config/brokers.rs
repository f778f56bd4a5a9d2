//! The brokers' addresses and what each allows.

use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::key::Key;
use super::secret::Secret;
use crate::brokers::dial::is_reachable;

/// The brokers, one field each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrokersConfig {
    /// Alpaca.
    pub alpaca: AlpacaConfig,
    /// Binance, spot.
    pub binance: VenueConfig,
    /// Binance, USD-M futures.
    pub binance_usdm: VenueConfig,
    /// Bybit, spot.
    pub bybit: VenueConfig,
    /// Coinbase Advanced Trade.
    pub coinbase: VenueConfig,
    /// Gemini.
    pub gemini: VenueConfig,
    /// Interactive Brokers, by way of a gateway that somebody runs and logs in to.
    pub ibkr: VenueConfig,
    /// Kraken, spot.
    pub kraken: KrakenConfig,
    /// Charles Schwab.
    pub schwab: SchwabConfig,
}

/// Makes the settings of a venue, and those of Kraken, which has one more.
///
/// Not one struct in the other: what serde flattens is read by way of a buffer, in which a number that an environment
/// variable holds stays text.
macro_rules! settings {
    ($($(#[$doc:meta])* $field:ident: $kind:ty = $usual:expr,)*) => {
        /// A venue's addresses, where they are not the usual ones, and the money it is used with.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct VenueConfig {
            $($(#[$doc])* pub $field: $kind,)*
        }

        impl Default for VenueConfig {
            fn default() -> Self {
                Self { $($field: $usual,)* }
            }
        }

        /// Kraken's addresses, and what it allows its accounts. There is no made-up money.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct KrakenConfig {
            /// Of which tier the accounts are, for Kraken does not tell: `starter`, `intermediate` or `pro`.
            pub tier: String,
            $($(#[$doc])* pub $field: $kind,)*
        }

        impl Default for KrakenConfig {
            fn default() -> Self {
                Self { tier: "intermediate".to_owned(), $($field: $usual,)* }
            }
        }

        impl KrakenConfig {
            /// Returns what every venue has.
            #[must_use]
            pub fn addresses(&self) -> VenueConfig {
                let Self { tier: _, $($field,)* } = self.clone();
                VenueConfig { $($field,)* }
            }
        }
    };
}

settings! {
    /// Trading with real money; empty: the venue's own address.
    live_url: String = String::new(),
    /// Trading with made-up money; empty: the venue's own test address, if it has one.
    paper_url: String = String::new(),
    /// News of live orders; empty: the venue's own address.
    live_stream_url: String = String::new(),
    /// News of paper orders; empty: the venue's own test address, if it has one.
    paper_stream_url: String = String::new(),
    /// Prices and instruments; empty: the venue's own address.
    data_url: String = String::new(),
    /// Prices as they change; empty: the venue's own address.
    data_stream_url: String = String::new(),
    /// The money that accounts are counted in; only what trades against it is traded. Empty: the venue's usual one.
    settlement: String = String::new(),
    /// How long a request may take, in milliseconds.
    timeout_ms: u32 = 10_000,
}

/// Alpaca's addresses and what it allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlpacaConfig {
    /// Trading with real money.
    pub live_url: String,
    /// Trading with made-up money.
    pub paper_url: String,
    /// News of live orders; empty: `/stream` at `live_url`.
    pub live_stream_url: String,
    /// News of paper orders; empty: `/stream` at `paper_url`.
    pub paper_stream_url: String,
    /// Prices by REST.
    pub data_url: String,
    /// Prices as they change; `/v2/<feed>` is added.
    pub data_stream_url: String,
    /// Whose prices: `iex`, which is free, or `sip`, which needs a subscription.
    pub feed: String,
    /// How long a request may take, in milliseconds.
    pub timeout_ms: u32,
    /// Requests that Alpaca allows an account in a minute; half of them are used.
    pub requests_per_minute: u32,
    /// The name of the application that is registered there; empty: accounts are connected with their keys only.
    pub client_id: String,
    /// The application's secret.
    pub client_secret: Option<Secret>,
    /// The page where a person lets the application in.
    pub authorize_url: String,
    /// Tokens.
    pub token_url: String,
    /// Whether that page is told a challenge that only this program can answer (PKCE).
    pub pkce: bool,
}

impl Default for AlpacaConfig {
    fn default() -> Self {
        Self {
            live_url: "https://api.alpaca.markets".to_owned(),
            paper_url: "https://paper-api.alpaca.markets".to_owned(),
            live_stream_url: String::new(),
            paper_stream_url: String::new(),
            data_url: "https://data.alpaca.markets".to_owned(),
            data_stream_url: "wss://stream.data.alpaca.markets".to_owned(),
            feed: "iex".to_owned(),
            timeout_ms: 10_000,
            requests_per_minute: 200,
            client_id: String::new(),
            client_secret: None,
            authorize_url: "https://app.alpaca.markets/oauth/authorize".to_owned(),
            token_url: "https://api.alpaca.markets/oauth/token".to_owned(),
            pkce: true,
        }
    }
}

impl AlpacaConfig {
    /// Returns the stream's address that belongs to a trading address.
    #[must_use]
    pub fn stream_of(base: &str, given: &str) -> Option<Url> {
        stream_below(base, "stream", given)
    }
}

/// Charles Schwab's addresses, and the application that is registered there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchwabConfig {
    /// The application's key; not set: no account can be connected.
    pub app_key: Option<Secret>,
    /// The application's secret.
    pub app_secret: Option<Secret>,
    /// Accounts and orders.
    pub live_url: String,
    /// Prices.
    pub data_url: String,
    /// Tokens.
    pub login_url: String,
    /// How long a request may take, in milliseconds.
    pub timeout_ms: u32,
    /// Requests that Schwab allows the application in a minute, for all accounts together; half of them are used.
    pub requests_per_minute: u32,
}

impl Default for SchwabConfig {
    fn default() -> Self {
        Self {
            app_key: None,
            app_secret: None,
            live_url: "https://api.schwabapi.com/trader/v1".to_owned(),
            data_url: "https://api.schwabapi.com/marketdata/v1".to_owned(),
            login_url: "https://api.schwabapi.com/v1/oauth".to_owned(),
            timeout_ms: 10_000,
            requests_per_minute: 120,
        }
    }
}

/// Returns the address of a stream: the given one, or a name below the address it belongs to.
#[must_use]
pub fn stream_below(base: &str, name: &str, given: &str) -> Option<Url> {
    if !given.is_empty() {
        return Url::parse(given).ok();
    }
    let mut url = Url::parse(base).ok()?;
    let scheme = if url.scheme() == "http" { "ws" } else { "wss" };
    url.set_scheme(scheme).ok()?;
    let path = format!("{}/{name}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Some(url)
}

fn is_web(url: &str) -> bool {
    is_reachable(url, "https", "http")
}

fn is_stream(url: &str) -> bool {
    is_reachable(url, "wss", "ws")
}

fn is_stream_or_empty(url: &str) -> bool {
    url.is_empty() || is_stream(url)
}

const WEB: &str = "https:// and a host such as https://api.alpaca.markets, or http:// and this machine";
const WEB_OR_EMPTY: &str = "empty, https:// and a host, or http:// and this machine";
const STREAM: &str = "wss:// and a host, or ws:// and this machine";
const STREAM_OR_EMPTY: &str = "empty, wss:// and a host, or ws:// and this machine";

fn is_web_or_empty(url: &str) -> bool {
    url.is_empty() || is_web(url)
}

/// Returns whether a text may name a currency: `USD`, `USDT`; or is empty.
fn is_currency_or_empty(text: &str) -> bool {
    text.len() <= 8 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// The keys of one venue.
macro_rules! venue {
    ($field:ident, $name:literal) => {
        &[
            Key {
                name: concat!("brokers.", $name, ".live_url"),
                allowed: WEB_OR_EMPTY,
                holds: |config| is_web_or_empty(&config.brokers.$field.live_url),
            },
            Key {
                name: concat!("brokers.", $name, ".paper_url"),
                allowed: WEB_OR_EMPTY,
                holds: |config| is_web_or_empty(&config.brokers.$field.paper_url),
            },
            Key {
                name: concat!("brokers.", $name, ".live_stream_url"),
                allowed: STREAM_OR_EMPTY,
                holds: |config| is_stream_or_empty(&config.brokers.$field.live_stream_url),
            },
            Key {
                name: concat!("brokers.", $name, ".paper_stream_url"),
                allowed: STREAM_OR_EMPTY,
                holds: |config| is_stream_or_empty(&config.brokers.$field.paper_stream_url),
            },
            Key {
                name: concat!("brokers.", $name, ".data_url"),
                allowed: WEB_OR_EMPTY,
                holds: |config| is_web_or_empty(&config.brokers.$field.data_url),
            },
            Key {
                name: concat!("brokers.", $name, ".data_stream_url"),
                allowed: STREAM_OR_EMPTY,
                holds: |config| is_stream_or_empty(&config.brokers.$field.data_stream_url),
            },
            Key {
                name: concat!("brokers.", $name, ".settlement"),
                allowed: "the upper-case code of a currency, such as \"USDT\", or nothing",
                holds: |config| is_currency_or_empty(&config.brokers.$field.settlement),
            },
            Key {
                name: concat!("brokers.", $name, ".timeout_ms"),
                allowed: "a whole number of milliseconds from 100 to 60000",
                holds: |config| (100..=60_000).contains(&config.brokers.$field.timeout_ms),
            },
        ]
    };
}

pub(super) const BINANCE: &[Key] = venue!(binance, "binance");
pub(super) const BINANCE_USDM: &[Key] = venue!(binance_usdm, "binance_usdm");
pub(super) const BYBIT: &[Key] = venue!(bybit, "bybit");
pub(super) const COINBASE: &[Key] = venue!(coinbase, "coinbase");
pub(super) const GEMINI: &[Key] = venue!(gemini, "gemini");
pub(super) const IBKR: &[Key] = venue!(ibkr, "ibkr");
pub(super) const KRAKEN: &[Key] = venue!(kraken, "kraken");

pub(super) const KRAKEN_TIER: &[Key] = &[Key {
    name: "brokers.kraken.tier",
    allowed: "\"starter\", \"intermediate\" or \"pro\"",
    holds: |config| matches!(config.brokers.kraken.tier.as_str(), "starter" | "intermediate" | "pro"),
}];

pub(super) const SCHWAB: &[Key] = &[
    Key {
        name: "brokers.schwab.app_key",
        allowed: "the key of an application that Schwab approved, together with app_secret",
        holds: |config| {
            let schwab = &config.brokers.schwab;
            schwab.app_key.as_ref().is_none_or(Secret::is_sendable)
                && schwab.app_key.is_some() == schwab.app_secret.is_some()
        },
    },
    Key {
        name: "brokers.schwab.app_secret",
        allowed: "the secret of that application",
        holds: |config| config.brokers.schwab.app_secret.as_ref().is_none_or(Secret::is_sendable),
    },
    Key {
        name: "brokers.schwab.live_url",
        allowed: WEB,
        holds: |config| is_web(&config.brokers.schwab.live_url),
    },
    Key {
        name: "brokers.schwab.data_url",
        allowed: WEB,
        holds: |config| is_web(&config.brokers.schwab.data_url),
    },
    Key {
        name: "brokers.schwab.login_url",
        allowed: WEB,
        holds: |config| is_web(&config.brokers.schwab.login_url),
    },
    Key {
        name: "brokers.schwab.timeout_ms",
        allowed: "a whole number of milliseconds from 100 to 60000",
        holds: |config| (100..=60_000).contains(&config.brokers.schwab.timeout_ms),
    },
    Key {
        name: "brokers.schwab.requests_per_minute",
        allowed: "a whole number from 20 to 10000",
        holds: |config| (20..=10_000).contains(&config.brokers.schwab.requests_per_minute),
    },
];

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "brokers.alpaca.live_url",
        allowed: WEB,
        holds: |config| is_web(&config.brokers.alpaca.live_url),
    },
    Key {
        name: "brokers.alpaca.paper_url",
        allowed: WEB,
        holds: |config| is_web(&config.brokers.alpaca.paper_url),
    },
    Key {
        name: "brokers.alpaca.live_stream_url",
        allowed: STREAM_OR_EMPTY,
        holds: |config| is_stream_or_empty(&config.brokers.alpaca.live_stream_url),
    },
    Key {
        name: "brokers.alpaca.paper_stream_url",
        allowed: STREAM_OR_EMPTY,
        holds: |config| is_stream_or_empty(&config.brokers.alpaca.paper_stream_url),
    },
    Key {
        name: "brokers.alpaca.data_url",
        allowed: WEB,
        holds: |config| is_web(&config.brokers.alpaca.data_url),
    },
    Key {
        name: "brokers.alpaca.data_stream_url",
        allowed: STREAM,
        holds: |config| is_stream(&config.brokers.alpaca.data_stream_url),
    },
    Key {
        name: "brokers.alpaca.feed",
        allowed: "\"iex\" or \"sip\"",
        holds: |config| matches!(config.brokers.alpaca.feed.as_str(), "iex" | "sip"),
    },
    Key {
        name: "brokers.alpaca.timeout_ms",
        allowed: "a whole number of milliseconds from 100 to 60000",
        holds: |config| (100..=60_000).contains(&config.brokers.alpaca.timeout_ms),
    },
    Key {
        name: "brokers.alpaca.requests_per_minute",
        allowed: "a whole number from 20 to 10000",
        holds: |config| (20..=10_000).contains(&config.brokers.alpaca.requests_per_minute),
    },
    Key {
        name: "brokers.alpaca.client_id",
        allowed: "empty, or the name of an application that is registered at Alpaca, together with client_secret",
        holds: |config| {
            let alpaca = &config.brokers.alpaca;
            alpaca.client_id.bytes().all(|byte| byte.is_ascii_graphic())
                && alpaca.client_id.is_empty() == alpaca.client_secret.is_none()
        },
    },
    Key {
        name: "brokers.alpaca.client_secret",
        allowed: "the secret of that application",
        holds: |config| config.brokers.alpaca.client_secret.as_ref().is_none_or(Secret::is_sendable),
    },
    Key {
        name: "brokers.alpaca.authorize_url",
        allowed: WEB,
        holds: |config| is_web(&config.brokers.alpaca.authorize_url),
    },
    Key {
        name: "brokers.alpaca.token_url",
        allowed: WEB,
        holds: |config| is_web(&config.brokers.alpaca.token_url),
    },
    Key { name: "brokers.alpaca.pkce", allowed: "true or false", holds: |_| true },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_where_its_trading_address_is_unless_another_is_given() {
        let stream = |base, given| AlpacaConfig::stream_of(base, given).unwrap().to_string();
        assert_eq!(stream("https://paper-api.alpaca.markets", ""), "wss://paper-api.alpaca.markets/stream");
        assert_eq!(stream("http://127.0.0.1:99/base/", ""), "ws://127.0.0.1:99/base/stream");
        assert_eq!(stream("http://127.0.0.1:99", "ws://127.0.0.1:98/x"), "ws://127.0.0.1:98/x");
    }
}
