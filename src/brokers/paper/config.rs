//! Settings of the paper broker and its simulated market.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use trade_actors::domain::instrument::{AssetClass, Instrument, Symbol};
use trade_actors::domain::money::{LARGEST, Money, Price, Quantity};
use trade_actors::domain::paper::Terms;

/// The paper broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PaperConfig {
    /// Where the random walk of the prices starts; the same seed makes the same prices.
    pub seed: u64,
    /// Cash of a new account, in dollars.
    pub start_cash: Decimal,
    /// Largest exposure, in multiples of equity.
    pub leverage: Decimal,
    /// How long an answer takes, in milliseconds.
    pub latency_ms: u64,
    /// Most units of one order that one price fills; absent: all at once.
    pub liquidity: Option<Decimal>,
    /// Time between two prices, in milliseconds.
    pub tick_ms: u64,
    /// Whether equities trade at night, on weekends and on holidays too.
    pub always_open: bool,
    /// What is traded.
    pub symbols: Vec<PaperSymbol>,
}

/// One symbol of the simulated market.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaperSymbol {
    /// Its name, e.g. `AAPL` or `BTC/USDT`.
    pub symbol: Symbol,
    /// Its market.
    pub class: AssetClass,
    /// First price.
    pub price: Decimal,
    /// Smallest price step.
    #[serde(default = "cent")]
    pub tick: Decimal,
    /// Smallest quantity step; absent: 1 share, or 0.00000001 coins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lot: Option<Decimal>,
    /// Smallest value of an order.
    #[serde(default = "one")]
    pub min_notional: Decimal,
    /// Furthest one price is from the one before, in hundredths of a per cent.
    #[serde(default = "calm")]
    pub volatility_bp: u32,
    /// Distance of bid and ask, in hundredths of a per cent.
    #[serde(default = "narrow")]
    pub spread_bp: u32,
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("paper.{key} is not usable: {allowed}")]
pub struct Problem {
    /// Which, e.g. `symbols.AAPL.price`.
    pub key: String,
    /// What is allowed.
    pub allowed: &'static str,
}

const LARGEST_BP: u32 = 1_000;

const fn cent() -> Decimal {
    Decimal::from_parts(1, 0, 0, false, 2)
}

const fn one() -> Decimal {
    Decimal::ONE
}

const fn calm() -> u32 {
    2
}

const fn narrow() -> u32 {
    2
}

impl Default for PaperConfig {
    fn default() -> Self {
        use AssetClass::{Crypto, Equity};
        let symbols = [
            ("AAPL", Equity, 190),
            ("AMZN", Equity, 185),
            ("GOOGL", Equity, 175),
            ("META", Equity, 500),
            ("MSFT", Equity, 410),
            ("NVDA", Equity, 500),
            ("QQQ", Equity, 480),
            ("SPY", Equity, 560),
            ("TSLA", Equity, 250),
            ("BTC/USDT", Crypto, 65_000),
            ("ETH/USDT", Crypto, 3_400),
            ("SOL/USDT", Crypto, 150),
        ];
        let symbols =
            symbols.into_iter().filter_map(|(name, class, price)| PaperSymbol::new(name, class, price));
        Self {
            seed: 1,
            start_cash: Decimal::from(100_000),
            leverage: Decimal::TWO,
            latency_ms: 0,
            liquidity: None,
            tick_ms: 500,
            always_open: true,
            symbols: symbols.collect(),
        }
    }
}

impl PaperConfig {
    /// Returns every setting that cannot be used.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut check = |good: bool, key: &str, allowed| {
            if !good {
                problems.push(Problem { key: key.to_owned(), allowed });
            }
        };
        let amount = "an amount from 0 to 1000000000000";
        let positive = "a number above 0, up to 1000000000000";
        let fits = |value: Decimal| value > Decimal::ZERO && value <= LARGEST;
        check(self.start_cash >= Decimal::ZERO && self.start_cash <= LARGEST, "start_cash", amount);
        let leverage = Decimal::ONE..=Decimal::ONE_HUNDRED;
        check(leverage.contains(&self.leverage), "leverage", "a number from 1 to 100");
        check(self.liquidity.is_none_or(fits), "liquidity", positive);
        check(self.latency_ms <= 60_000, "latency_ms", "milliseconds from 0 to 60000");
        check((1..=86_400_000).contains(&self.tick_ms), "tick_ms", "milliseconds from 1 to 86400000");
        check(!self.symbols.is_empty(), "symbols", "at least one symbol");
        for (at, row) in self.symbols.iter().enumerate() {
            let key = |field: &str| format!("symbols.{}.{field}", row.symbol);
            check(fits(row.price), &key("price"), positive);
            check(fits(row.tick) && row.tick <= row.price, &key("tick"), "a number above 0, up to the price");
            check(row.lot.is_none_or(fits), &key("lot"), positive);
            check(
                row.min_notional >= Decimal::ZERO && row.min_notional <= LARGEST,
                &key("min_notional"),
                amount,
            );
            check(row.volatility_bp <= LARGEST_BP, &key("volatility_bp"), "a whole number from 0 to 1000");
            check(row.spread_bp <= LARGEST_BP, &key("spread_bp"), "a whole number from 0 to 1000");
            let twice = self.symbols.iter().take(at).any(|other| other.symbol == row.symbol);
            check(!twice, &key("symbol"), "each symbol once");
        }
        problems
    }

    /// Returns the house's terms.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms {
            leverage: self.leverage,
            liquidity: self.liquidity.and_then(|units| Quantity::new(units).ok()),
        }
    }
}

impl PaperSymbol {
    fn new(name: &str, class: AssetClass, price: u32) -> Option<Self> {
        Some(Self {
            symbol: name.parse().ok()?,
            class,
            price: Decimal::from(price),
            tick: cent(),
            lot: None,
            min_notional: one(),
            volatility_bp: match class {
                AssetClass::Equity => calm(),
                AssetClass::Crypto => calm() + 1,
            },
            spread_bp: narrow(),
        })
    }

    /// Returns the venue's rules; `None` when a number cannot be used.
    #[must_use]
    pub fn instrument(&self) -> Option<Instrument> {
        let lot = self.lot.unwrap_or(match self.class {
            AssetClass::Equity => Decimal::ONE,
            AssetClass::Crypto => Decimal::from_parts(1, 0, 0, false, 8),
        });
        Some(Instrument {
            symbol: self.symbol,
            class: self.class,
            tick: Price::new(self.tick).ok()?,
            lot: Quantity::new(lot).ok()?,
            size_step: Quantity::new(lot).ok()?,
            min_notional: Money::new(self.min_notional),
            tradable: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_usable_and_open_on_sundays() {
        let config = PaperConfig::default();
        assert_eq!(config.problems(), []);
        assert_eq!(config.symbols.len(), 12);
        assert!(config.always_open);
        assert!(config.symbols.iter().all(|row| row.instrument().is_some()));
    }

    #[test]
    fn every_unusable_setting_is_named_at_once() {
        let mut config = PaperConfig { leverage: Decimal::ZERO, tick_ms: 0, ..PaperConfig::default() };
        config.liquidity = Some(Decimal::NEGATIVE_ONE);
        config.symbols.truncate(1);
        config.symbols[0].price = Decimal::ZERO;
        config.symbols.push(config.symbols[0].clone());
        let keys: Vec<_> = config.problems().into_iter().map(|problem| problem.key).collect();
        let aapl = ["symbols.AAPL.price", "symbols.AAPL.tick"];
        let wanted =
            [&["leverage", "liquidity", "tick_ms"], &aapl[..], &aapl[..], &["symbols.AAPL.symbol"]].concat();
        assert_eq!(keys, wanted);
    }

    #[test]
    fn a_symbol_needs_a_name_a_class_and_a_price_only() {
        let text = r#"{"seed": 7, "symbols": [{"symbol": "DOGE/USDT", "class": "crypto", "price": 0.12, "tick": "0.00001"}]}"#;
        let config: PaperConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.problems(), []);
        let instrument = config.symbols[0].instrument().unwrap();
        assert_eq!(instrument.lot.to_string(), "0.00000001");
        assert!(
            serde_json::from_str::<PaperConfig>(r#"{"sed": 7}"#).is_err(),
            "a misspelt key is not ignored"
        );
    }
}
