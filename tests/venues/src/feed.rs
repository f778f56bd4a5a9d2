//! Prices, as the venue shows them: set from outside, never moving by themselves.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// What one symbol is offered and asked for, and what it traded at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Quote {
    /// What a seller gets now.
    pub bid: Decimal,
    /// What a buyer pays now.
    pub ask: Decimal,
    /// What the last trade was made at: stops look at this one.
    pub last: Decimal,
    /// Since when.
    pub at: DateTime<Utc>,
}

impl Quote {
    /// Returns what an order of this side trades at now.
    #[must_use]
    pub fn touch(&self, side: crate::book::Side) -> Decimal {
        match side {
            crate::book::Side::Buy => self.ask,
            crate::book::Side::Sell => self.bid,
        }
    }
}

/// A change of one symbol's price: what is left out follows, as [`Feed::set`] says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// The symbol.
    pub symbol: String,
    /// The new bid.
    #[serde(default)]
    pub bid: Option<Decimal>,
    /// The new ask.
    #[serde(default)]
    pub ask: Option<Decimal>,
    /// The new last price.
    #[serde(default)]
    pub last: Option<Decimal>,
}

impl Price {
    /// Returns one price for bid, ask and last.
    #[must_use]
    pub fn flat(symbol: &str, price: Decimal) -> Self {
        Self { symbol: symbol.to_owned(), bid: Some(price), ask: Some(price), last: Some(price) }
    }

    /// Returns a bid and an ask; the last price stays if it is between them.
    #[must_use]
    pub fn spread(symbol: &str, bid: Decimal, ask: Decimal) -> Self {
        Self { symbol: symbol.to_owned(), bid: Some(bid), ask: Some(ask), last: None }
    }
}

/// Every symbol's quote.
#[derive(Clone, Debug, Default)]
pub struct Feed(BTreeMap<String, Quote>);

impl Feed {
    /// Returns what is known of a symbol.
    #[must_use]
    pub fn quote(&self, symbol: &str) -> Option<Quote> {
        self.0.get(symbol).copied()
    }

    /// Changes a symbol's price. Returns none, and changes nothing, if no price at all is known then.
    ///
    /// A new last price alone moves bid and ask to it. A new spread alone takes the last price with it, as far as that
    /// is outside.
    pub fn set(&mut self, price: &Price, at: DateTime<Utc>) -> Option<Quote> {
        let known = self.quote(&price.symbol);
        let any = price.last.or(price.bid).or(price.ask);
        let last_alone = price.last.filter(|_| price.bid.is_none() && price.ask.is_none());
        let bid = price.bid.or(last_alone).or(known.map(|quote| quote.bid)).or(any)?;
        let ask = price.ask.or(last_alone).or(known.map(|quote| quote.ask)).or(any)?;
        let last = price.last.or_else(|| {
            let before = known?.last;
            Some(if before > ask {
                ask
            } else if before < bid {
                bid
            } else {
                before
            })
        });
        let quote = Quote { bid, ask, last: last.unwrap_or(bid), at };
        self.0.insert(price.symbol.clone(), quote);
        Some(quote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_price_and_the_spread_move_together() {
        let d = |number: i64| Decimal::from(number);
        let mut feed = Feed::default();
        let mut set = |price: Price| {
            let quote = feed.set(&price, DateTime::UNIX_EPOCH)?;
            Some((quote.bid, quote.ask, quote.last))
        };
        let only = |last: Option<Decimal>, bid: Option<Decimal>| Price {
            symbol: "A".to_owned(),
            bid,
            ask: None,
            last,
        };
        assert_eq!(set(only(None, None)), None);
        assert_eq!(set(Price::spread("A", d(99), d(101))), Some((d(99), d(101), d(99))));
        assert_eq!(set(only(Some(d(100)), None)), Some((d(100), d(100), d(100))));
        assert_eq!(set(Price::spread("A", d(99), d(102))), Some((d(99), d(102), d(100))));
        assert_eq!(set(Price::spread("A", d(90), d(91))), Some((d(90), d(91), d(91))));
        assert_eq!(set(only(None, Some(d(89)))), Some((d(89), d(91), d(91))));
        assert_eq!(set(Price::spread("A", d(95), d(96))), Some((d(95), d(96), d(95))));
    }
}
