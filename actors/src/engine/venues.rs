//! Where a person trades, and what is known there: symbols, prices and hours are their own broker's.

use std::sync::Arc;

use super::Engine;
use crate::domain::account::PAPER;
use crate::domain::feed::Source;
use crate::domain::ids::ConnectionId;
use crate::domain::instrument::Symbol;
use crate::domain::money::Price;
use crate::domain::user::UserState;
use crate::ports::broker::Brokers;
use crate::ports::market::{Market, Nowhere};
use crate::ports::store::StoreError;

impl Engine {
    /// Returns the market of a broker; one that is not built in lists nothing.
    #[must_use]
    pub fn market_at(&self, broker: &str) -> Arc<dyn Market> {
        self.shared.brokers.market(broker).unwrap_or_else(|| Arc::new(Nowhere))
    }

    /// Returns the market that a person's signals go to: of their default account, or paper where there is none.
    #[must_use]
    pub fn market_of(&self, user: &UserState) -> Arc<dyn Market> {
        self.market_at(user.venue())
    }

    /// Returns a symbol's price at one of a person's accounts.
    #[must_use]
    pub fn price(&self, user: &UserState, connection: ConnectionId, symbol: Symbol) -> Option<Price> {
        let account = user.connections.iter().find(|known| known.id == connection)?;
        Some(self.shared.brokers.market(&account.broker)?.quote(symbol)?.price)
    }

    /// Returns where a person could trade, when it is certain that a symbol is traded at none of these places.
    #[must_use]
    pub fn untraded(&self, user: &UserState, symbol: Symbol) -> Option<Vec<Arc<dyn Market>>> {
        untraded(&*self.shared.brokers, user, symbol)
    }

    /// Returns where a source's signals could be traded, when it is certain that this symbol is not.
    ///
    /// Of several followers each one's own rules judge it. A source's owner always follows it.
    ///
    /// # Errors
    /// When the store fails.
    pub fn nobody_trades(
        &self,
        source: &Source,
        symbol: Symbol,
    ) -> Result<Option<Vec<Arc<dyn Market>>>, StoreError> {
        let Some(owner) = self.shared.views.glance(source.owner)? else { return Ok(None) };
        let Some(places) = self.untraded(&owner, symbol) else { return Ok(None) };
        let alone = self.shared.views.followers(source.id, None, 2)? == [source.owner];
        Ok(alone.then_some(places))
    }
}

/// A list that is not loaded yet says nothing about any symbol.
fn untraded(brokers: &dyn Brokers, user: &UserState, symbol: Symbol) -> Option<Vec<Arc<dyn Market>>> {
    let paper_alone = user.connections.is_empty().then_some(PAPER);
    let mut names: Vec<&str> = user.connections.iter().map(|known| known.broker.as_str()).collect();
    names.extend(paper_alone);
    names.sort_unstable();
    names.dedup();
    let places: Vec<_> = names.into_iter().filter_map(|name| brokers.market(name)).collect();
    if places.is_empty() || places.iter().any(|place| place.instrument(symbol).is_some()) {
        return None;
    }
    places.iter().all(|place| !place.is_unsure_of(symbol)).then_some(places)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use uuid::Uuid;

    use super::*;
    use crate::domain::calendar::MarketStatus;
    use crate::domain::ids::UserId;
    use crate::domain::instrument::{AssetClass, Instrument};
    use crate::domain::money::{Money, Quantity};
    use crate::domain::order::Mode;
    use crate::domain::portfolio::Quote;
    use crate::domain::risk::Limits;
    use crate::domain::user::{Connection, Role};
    use crate::ports::broker::{Broker, UnknownBroker};

    #[derive(Debug)]
    struct Lists(&'static [&'static str]);

    impl Market for Lists {
        fn instrument(&self, symbol: Symbol) -> Option<Instrument> {
            self.instruments().into_iter().find(|known| known.symbol == symbol)
        }

        fn instruments(&self) -> Vec<Instrument> {
            let one = Quantity::new(1.into()).unwrap();
            let listed = self.0.iter().map(|symbol| Instrument {
                symbol: symbol.parse().unwrap(),
                class: AssetClass::Equity,
                tick: Price::new(1.into()).unwrap(),
                lot: one,
                size_step: one,
                min_notional: Money::ZERO,
                tradable: true,
            });
            listed.collect()
        }

        fn listed(&self) -> usize {
            self.0.len()
        }

        fn quote(&self, _: Symbol) -> Option<Quote> {
            None
        }

        fn status(&self, _: &Instrument, _: DateTime<Utc>) -> MarketStatus {
            MarketStatus::Open
        }
    }

    #[derive(Debug)]
    struct Street;

    impl Brokers for Street {
        fn open(&self, _: UserId, _: ConnectionId, broker: &str) -> Result<Arc<dyn Broker>, UnknownBroker> {
            Err(UnknownBroker(broker.to_owned()))
        }

        fn market(&self, broker: &str) -> Option<Arc<dyn Market>> {
            match broker {
                "paper" => Some(Arc::new(Lists(&["AAPL", "BTC/USDT"]))),
                "far" => Some(Arc::new(Lists(&["AAPL", "IBM"]))),
                "asleep" => Some(Arc::new(Lists(&[]))),
                _ => None,
            }
        }
    }

    /// Returns whether it is certain that somebody with accounts at these brokers cannot trade a symbol.
    fn hopeless(brokers: &[&str], symbol: &str) -> bool {
        let id = UserId::new(Uuid::nil());
        let mut user = UserState::new(id, String::new(), Role::User, Limits::default(), DateTime::UNIX_EPOCH);
        for (number, broker) in (1..).zip(brokers) {
            let id = ConnectionId::new(Uuid::from_u128(number));
            user.connections.push(Connection::new(id, *broker, Mode::Paper));
        }
        untraded(&Street, &user, symbol.parse().unwrap()).is_some()
    }

    #[test]
    fn a_symbol_is_hopeless_when_no_account_of_the_person_lists_it() {
        assert!(hopeless(&["paper"], "IBM") && hopeless(&["far"], "BTC/USDT"));
        assert!(hopeless(&["paper", "far"], "XYZ"));
        assert!(!hopeless(&["far"], "IBM") && !hopeless(&["paper", "far"], "IBM"));
        assert!(!hopeless(&["far", "paper"], "BTC/USDT"));
    }

    #[test]
    fn a_list_that_is_not_loaded_yet_condemns_no_symbol() {
        assert!(!hopeless(&["asleep"], "XYZ") && !hopeless(&["paper", "asleep"], "XYZ"));
    }

    #[test]
    fn without_an_account_the_paper_market_counts_and_an_unknown_broker_says_nothing() {
        assert!(hopeless(&[], "IBM") && !hopeless(&[], "AAPL"));
        assert!(!hopeless(&["gone"], "IBM"));
    }
}
