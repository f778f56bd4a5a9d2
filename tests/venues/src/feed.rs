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

/// A change of one symbol's price. What is left out stays, or follows `last` where nothing is known yet.
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

    /// Returns a bid and an ask; the last price stays, or is the bid where there was none.
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
    pub fn set(&mut self, price: &Price, at: DateTime<Utc>) -> Option<Quote> {
        let known = self.quote(&price.symbol);
        let any = price.last.or(price.bid).or(price.ask);
        let last = price.last.or(known.map(|quote| quote.last)).or(any)?;
        // A new last price alone moves bid and ask with it: a book never trades outside its own spread.
        let moved = |side: Option<Decimal>, before: Option<Decimal>| match (side, price.last) {
            (Some(side), _) => Some(side),
            (None, Some(last)) if price.bid.is_none() && price.ask.is_none() => Some(last),
            (None, _) => before,
        };
        let bid = moved(price.bid, known.map(|quote| quote.bid)).or(any)?;
        let ask = moved(price.ask, known.map(|quote| quote.ask)).or(any)?;
        let quote = Quote { bid, ask, last, at };
        self.0.insert(price.symbol.clone(), quote);
        Some(quote)
    }
}
