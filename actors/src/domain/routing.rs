//! Which of a person's accounts an instruction is for (FR-020).
//!
//! An account that is named counts first, then the broker that the signal names (`via`), then what holds the position
//! that is to be closed or protected, then the account chosen for the kind of market, then the default one. Nothing is
//! ever sent somewhere else because the account that was asked for is missing.

use super::instrument::{AssetClass, Symbol};
use super::risk::{Denial, DenialCode};
use super::signal::{Action, Instruction};
use super::user::{Connection, UserState};

/// Longest name of a broker or an account that a signal may ask for, in characters.
pub const VIA_MAX: usize = 40;

/// Returns the account that an instruction is for.
///
/// # Errors
/// [`DenialCode::NoConnection`] when the account or broker asked for is not connected, or nothing is.
pub fn route<'a>(user: &'a UserState, told: &Instruction) -> Result<&'a Connection, Denial> {
    if let Some(named) = told.account {
        let missing = "The order is for a broker account that is not connected any more. Nothing was sent.";
        return user
            .connections
            .iter()
            .find(|known| known.id == named)
            .ok_or_else(|| Denial::new(DenialCode::NoConnection, missing));
    }
    let usual = usual(user, told.symbol);
    let asked: Vec<_> = match &told.via {
        Some(via) => user.connections.iter().filter(|known| is_meant(known, via)).collect(),
        None => user.connections.iter().collect(),
    };
    let is_asked = |one: &&Connection| asked.iter().any(|known| known.id == one.id);
    let holder = || asked.iter().copied().find(|known| user.position(known.id, told.symbol).is_some());
    let usual = usual.filter(is_asked);
    let held = match (usual, leaves(told.action)) {
        (Some(usual), true) if user.position(usual.id, told.symbol).is_none() => holder(),
        (None, true) => holder(),
        (_, _) => None,
    };
    held.or(usual).or_else(|| asked.first().copied()).ok_or_else(|| missing(told))
}

/// Returns where a person's signals for a symbol go when they name nothing.
#[must_use]
pub fn usual(user: &UserState, symbol: Symbol) -> Option<&Connection> {
    chosen(user, AssetClass::of(symbol))
}

/// Returns where a person's signals for a kind of market go when they name nothing.
#[must_use]
pub fn chosen(user: &UserState, class: AssetClass) -> Option<&Connection> {
    let chosen = user.routes.get(&class);
    let chosen = chosen.and_then(|id| user.connections.iter().find(|known| known.id == *id));
    chosen.or_else(|| user.default_connection())
}

/// Closing and protecting are about a position, wherever it is.
const fn leaves(action: Action) -> bool {
    matches!(action, Action::Close { .. } | Action::Modify)
}

fn is_meant(known: &Connection, via: &str) -> bool {
    known.broker.eq_ignore_ascii_case(via) || (!known.name.is_empty() && known.name.eq_ignore_ascii_case(via))
}

fn missing(told: &Instruction) -> Denial {
    let message = told.via.as_ref().map_or_else(
        || "No broker account is connected. Nothing was sent. Connect one to trade.".to_owned(),
        |via| {
            format!(
                "The signal asks for {via}, and no account of that name or broker is connected. Nothing was sent. \
                 Connect one, or leave \"via\" out of the signal."
            )
        },
    );
    Denial::new(DenialCode::NoConnection, message)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::event::Event;
    use crate::domain::ids::{ConnectionId, UserId};
    use crate::domain::money::Net;
    use crate::domain::order::Mode;
    use crate::domain::position::Position;
    use crate::domain::risk::Limits;
    use crate::domain::signal::OrderKind;
    use crate::domain::user::Role;

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new(Uuid::from_u128(number as u128))
    }

    /// A person with these accounts, numbered from 1; the first is the default.
    fn person(brokers: &[&str]) -> UserState {
        let who = UserId::new(Uuid::nil());
        let mut user =
            UserState::new(who, String::new(), Role::User, Limits::default(), DateTime::UNIX_EPOCH);
        for (number, broker) in (1..).zip(brokers) {
            user.connections.push(Connection::new(id(number), *broker, Mode::Paper));
        }
        user
    }

    fn holds(user: &mut UserState, account: usize, symbol: &str) {
        let mut held = Position::flat(id(account), symbol.parse().unwrap(), DateTime::UNIX_EPOCH);
        held.net = Net::new(1.into());
        user.positions.push(held);
    }

    fn told(action: Action, symbol: &str, via: Option<&str>) -> Instruction {
        Instruction {
            action,
            symbol: symbol.parse().unwrap(),
            quantity: None,
            kind: OrderKind::Market,
            reference: None,
            stop_loss: None,
            take_profits: Vec::new(),
            account: None,
            via: via.map(str::to_owned),
            leverage: None,
        }
    }

    fn at(user: &UserState, told: &Instruction) -> Option<ConnectionId> {
        route(user, told).ok().map(|known| known.id)
    }

    const CLOSE: Action = Action::Close { fraction: None, holding: None };

    #[test]
    fn each_kind_of_market_has_its_account_and_the_default_takes_the_rest() {
        let mut user = person(&["alpaca", "kraken", "paper"]);
        assert_eq!(at(&user, &told(Action::Buy, "BTC/USD", None)), Some(id(1)));
        let set = |connection| Event::RouteSet { class: AssetClass::Crypto, connection };
        user.apply(&set(Some(id(2))), DateTime::UNIX_EPOCH);
        assert_eq!(at(&user, &told(Action::Buy, "BTC/USD", None)), Some(id(2)));
        assert_eq!(at(&user, &told(Action::Buy, "AAPL", None)), Some(id(1)));
        user.apply(&Event::ConnectionRemoved { connection: id(2) }, DateTime::UNIX_EPOCH);
        assert!(user.routes.is_empty());
        assert_eq!(at(&user, &told(Action::Buy, "BTC/USD", None)), Some(id(1)));
        user.apply(&set(Some(id(3))), DateTime::UNIX_EPOCH);
        user.apply(&set(None), DateTime::UNIX_EPOCH);
        assert_eq!(at(&user, &told(Action::Buy, "BTC/USD", None)), Some(id(1)));
    }

    #[test]
    fn a_signal_may_name_a_broker_or_an_account_and_goes_nowhere_else() {
        let mut user = person(&["alpaca", "kraken", "kraken"]);
        user.connections[2].name = "Savings".to_owned();
        assert_eq!(at(&user, &told(Action::Buy, "BTC/USD", Some("Kraken"))), Some(id(2)));
        assert_eq!(at(&user, &told(Action::Buy, "BTC/USD", Some("savings"))), Some(id(3)));
        user.routes.insert(AssetClass::Crypto, id(3));
        assert_eq!(at(&user, &told(Action::Buy, "BTC/USD", Some("kraken"))), Some(id(3)));
        let denial = route(&user, &told(Action::Buy, "BTC/USD", Some("gemini"))).unwrap_err();
        assert_eq!(denial.code, DenialCode::NoConnection);
        assert!(denial.message.contains("gemini"), "{}", denial.message);
        assert_eq!(route(&person(&[]), &told(Action::Buy, "AAPL", None)).unwrap_err().code, denial.code);
    }

    #[test]
    fn a_position_is_closed_where_it_is() {
        let mut user = person(&["alpaca", "kraken", "gemini"]);
        holds(&mut user, 2, "BTC/USD");
        assert_eq!(at(&user, &told(CLOSE, "BTC/USD", None)), Some(id(2)));
        assert_eq!(at(&user, &told(Action::Modify, "BTC/USD", None)), Some(id(2)));
        assert_eq!(
            at(&user, &told(Action::Sell, "BTC/USD", None)),
            Some(id(1)),
            "a sale is an order like another"
        );
        assert_eq!(
            at(&user, &told(CLOSE, "BTC/USD", Some("gemini"))),
            Some(id(3)),
            "what was asked for counts"
        );
        holds(&mut user, 1, "BTC/USD");
        assert_eq!(at(&user, &told(CLOSE, "BTC/USD", None)), Some(id(1)));
    }

    #[test]
    fn an_order_for_an_account_that_is_gone_goes_to_no_other() {
        let user = person(&["paper"]);
        let lost = Instruction { account: Some(id(7)), ..told(Action::Buy, "AAPL", None) };
        assert_eq!(route(&user, &lost).unwrap_err().code, DenialCode::NoConnection);
    }

    proptest! {
        #[test]
        fn a_route_is_always_an_account_of_the_person_and_of_the_broker_asked_for(
            brokers in prop::collection::vec(prop::sample::select(vec!["paper", "kraken", "alpaca"]), 0..5),
            via in prop::option::of(prop::sample::select(vec!["paper", "kraken", "gemini"])),
            crypto in 0_usize..6,
            held in 0_usize..6,
            closes in any::<bool>(),
        ) {
            let mut user = person(&brokers);
            user.routes.insert(AssetClass::Crypto, id(crypto));
            if (1..=brokers.len()).contains(&held) {
                holds(&mut user, held, "BTC/USD");
            }
            let action = if closes { CLOSE } else { Action::Buy };
            match route(&user, &told(action, "BTC/USD", via)) {
                Ok(found) => {
                    prop_assert!(user.connections.contains(found));
                    prop_assert!(via.is_none_or(|via| found.broker == via));
                }
                Err(_) => prop_assert!(brokers.iter().all(|broker| via.is_some_and(|via| via != *broker))),
            }
        }
    }
}
