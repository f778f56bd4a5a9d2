//! The dashboard, the API and the webhooks: where they listen, who is trusted, and how much is taken in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::key::Key;

/// The dashboard, the API and the webhooks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// Where they are served; port 0 takes any free port.
    pub listen: SocketAddr,
    /// The address by which people and TradingView reach them, such as `https://trade.example.com`; empty: `listen`.
    pub public_url: String,
    /// Other origins whose pages may use the API with a session: `https://panel.example.com`.
    pub allowed_origins: Vec<String>,
    /// Addresses or networks of reverse proxies whose `X-Forwarded-For` is believed: `10.0.0.0/8`.
    pub trusted_proxies: Vec<String>,
    /// Most connections at once; one more is answered with 503.
    pub max_connections: u32,
    /// How long a client may take to send a request's head, in milliseconds.
    pub header_timeout_ms: u32,
    /// How long a request may take altogether, in milliseconds.
    pub request_timeout_ms: u32,
    /// Largest body of an API request, in bytes.
    pub body_max_bytes: u32,
    /// Largest body of a webhook, in bytes.
    pub webhook_body_max_bytes: u32,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: String::new(),
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            max_connections: 16_384,
            header_timeout_ms: 5_000,
            request_timeout_ms: 10_000,
            body_max_bytes: 64 << 10,
            webhook_body_max_bytes: 16 << 10,
        }
    }
}

impl WebConfig {
    /// Returns the address that people are given, without a slash at its end; `bound` is the listener's.
    #[must_use]
    pub fn base_url(&self, bound: SocketAddr) -> String {
        if !self.public_url.is_empty() {
            return self.public_url.trim_end_matches('/').to_owned();
        }
        // Nobody can open "any address".
        let host = if bound.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { bound.ip() };
        format!("http://{}", SocketAddr::new(host, bound.port()))
    }

    /// Returns whether browsers reach it by TLS, so that cookies must never travel without it.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.public_url.starts_with("https://")
    }

    /// Returns the networks of trusted proxies.
    #[must_use]
    pub fn proxies(&self) -> Vec<Network> {
        self.trusted_proxies.iter().filter_map(|text| Network::parse(text)).collect()
    }

    /// Returns how long a client may take to send a request's head.
    #[must_use]
    pub fn header_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.header_timeout_ms))
    }

    /// Returns how long a request may take altogether.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.request_timeout_ms))
    }
}

/// A range of addresses: `10.0.0.0/8`, `::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    base: u128,
    mask: u128,
}

impl Network {
    /// Reads an address, or a network in the form `address/bits`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let size = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(size);
        if bits > size {
            return None;
        }
        let mask = u128::MAX.checked_shl(size - bits).unwrap_or(0);
        Some(Self { base: widened(address) & mask, mask })
    }

    /// Returns whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        widened(address) & self.mask == self.base
    }
}

/// Returns an address on one line with all others: IPv4 as its mapped IPv6 address.
const fn widened(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// Returns whether a text is an origin: scheme and host, and nothing after them.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|host| {
        !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']'))
    })
}

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "server.listen",
        allowed: "an address and port such as 127.0.0.1:8080; port 0 takes any free port",
        holds: |_| true,
    },
    Key {
        name: "server.public_url",
        allowed: "empty, or http:// or https:// and a host without a path, such as https://trade.example.com",
        holds: |config| {
            let url = &config.server.public_url;
            url.is_empty() || is_origin(url.strip_suffix('/').unwrap_or(url))
        },
    },
    Key {
        name: "server.allowed_origins",
        allowed: "a list of http:// or https:// and a host without a path, such as https://panel.example.com",
        holds: |config| config.server.allowed_origins.iter().all(|origin| is_origin(origin)),
    },
    Key {
        name: "server.trusted_proxies",
        allowed: "a list of addresses or networks such as 10.0.0.0/8 or ::1",
        holds: |config| config.server.trusted_proxies.iter().all(|text| Network::parse(text).is_some()),
    },
    Key {
        name: "server.max_connections",
        allowed: "a whole number from 1 to 1000000",
        holds: |config| (1..=1_000_000).contains(&config.server.max_connections),
    },
    Key {
        name: "server.header_timeout_ms",
        allowed: "a whole number of milliseconds from 100 to 60000",
        holds: |config| (100..=60_000).contains(&config.server.header_timeout_ms),
    },
    Key {
        name: "server.request_timeout_ms",
        allowed: "a whole number of milliseconds from 3000 to 120000",
        holds: |config| (3_000..=120_000).contains(&config.server.request_timeout_ms),
    },
    Key {
        name: "server.body_max_bytes",
        allowed: "a whole number from 1024 to 1048576",
        holds: |config| (1_024..=1_048_576).contains(&config.server.body_max_bytes),
    },
    Key {
        name: "server.webhook_body_max_bytes",
        allowed: "a whole number from 1024 to 262144",
        holds: |config| (1_024..=262_144).contains(&config.server.webhook_body_max_bytes),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contains(network: &str, address: &str) -> bool {
        Network::parse(network).unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        assert!(contains("10.0.0.0/8", "10.255.1.2") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("127.0.0.1", "127.0.0.1") && !contains("127.0.0.1", "127.0.0.2"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"), "a proxy may speak IPv6 for IPv4");
        assert!(contains("2001:db8::/32", "2001:db8::1") && !contains("2001:db8::/32", "2001:db9::1"));
        assert!(contains("0.0.0.0/0", "8.8.8.8") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::/0", "2001:db8::1"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "example.com", "10.0.0.0/-1"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_base_url_can_be_opened() {
        let local = WebConfig::default();
        assert_eq!(local.base_url("0.0.0.0:80".parse().unwrap()), "http://127.0.0.1:80");
        assert_eq!(local.base_url("[::1]:8080".parse().unwrap()), "http://[::1]:8080");
        let public = WebConfig { public_url: "https://t.example.com/".to_owned(), ..WebConfig::default() };
        assert_eq!(public.base_url("0.0.0.0:80".parse().unwrap()), "https://t.example.com");
        assert!(public.is_https() && !local.is_https());
    }

    #[test]
    fn origins_have_no_path() {
        assert!(is_origin("https://t.example.com:8443") && is_origin("http://[::1]:80"));
        for text in ["t.example.com", "https://", "https://a/b", "ftp://a", "https://a b", "null"] {
            assert!(!is_origin(text), "{text}");
        }
    }

    proptest! {
        /// A network holds the address it was made of.
        #[test]
        fn a_network_holds_its_base(address: std::net::Ipv4Addr, bits in 0_u32..=32) {
            let held = contains(&format!("{address}/{bits}"), &address.to_string());
            prop_assert!(held);
        }
    }
}
