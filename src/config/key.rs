//! The table of keys: each key's name, what it takes, and the check.

use super::{Config, admission, brokers, engine, foreign, log, master_key, metrics, store, web};

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Section and name: `server.listen`.
    pub name: &'static str,
    /// What is allowed, in words.
    pub allowed: &'static str,
    /// Returns whether the value in a configuration is allowed.
    pub holds: fn(&Config) -> bool,
}

impl Key {
    /// Returns whether the value must not be shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        is_secret(self.name)
    }
}

/// Returns whether a key's name says that its value must not be shown.
pub(super) fn is_secret(name: &str) -> bool {
    let leaf = name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
    leaf == "dsn" || ["secret", "password", "token", "key"].iter().any(|word| leaf.ends_with(word))
}

/// Returns every key, section by section.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    let sections = [
        web::KEYS,
        metrics::KEYS,
        log::KEYS,
        store::KEYS,
        master_key::KEYS,
        admission::KEYS,
        engine::KEYS,
        foreign::PAPER,
        brokers::KEYS,
        brokers::BINANCE,
        brokers::BINANCE_USDM,
        brokers::BYBIT,
        brokers::COINBASE,
        brokers::GEMINI,
        brokers::IBKR,
        brokers::KRAKEN,
        brokers::KRAKEN_TIER,
        brokers::SCHWAB,
        foreign::RISK,
    ];
    sections.into_iter().flatten()
}
