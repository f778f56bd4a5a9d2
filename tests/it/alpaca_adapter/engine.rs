//! The whole program, trading at the venue through the adapter.

use std::sync::Arc;

use trade_actors::domain::ids::{ConnectionId, UserId};
use trade_actors::domain::order::Mode;
use trade_actors::ports::broker::{Broker, Brokers, UnknownBroker};
use trade_actors::ports::clock::SystemClock;
use trade_actors::ports::market::Market;
use trade_executor::brokers::alpaca::Alpaca;
use trade_executor::brokers::credentials::{Auth, BrokerSecret};
use trade_executor::brokers::{House, Secrets, SecretsError};
use venues::faults::{Action, Rule, When};

use super::desk::{Desk, KEY, ORDERS, settings};
use crate::support::TestApp;
use crate::support::api::order;

/// The same credentials for everybody.
#[derive(Debug)]
struct Shared;

impl Secrets for Shared {
    fn of(&self, _: UserId, _: ConnectionId, broker: &str) -> Result<Option<BrokerSecret>, SecretsError> {
        let auth = Auth::ApiKey { key_id: KEY.into(), secret: "secret".into() };
        Ok(Some(BrokerSecret { broker: broker.to_owned(), mode: Mode::Paper, auth }))
    }
}

/// Alpaca under every name.
#[derive(Debug)]
struct Everywhere(Alpaca);

impl Brokers for Everywhere {
    fn open(
        &self,
        user: UserId,
        connection: ConnectionId,
        _: &str,
    ) -> Result<Arc<dyn Broker>, UnknownBroker> {
        Ok(self.0.account(user, connection))
    }

    fn market(&self, _: &str) -> Option<Arc<dyn Market>> {
        Some(self.0.market())
    }
}

/// Sends one signal to a venue at which the next order meets `fault`; returns how many orders the venue has then.
async fn through(fault: Option<Action>) -> usize {
    let desk = Desk::open().await;
    let alpaca = Alpaca::new(&settings(&desk.venue), Arc::new(Shared), Arc::new(SystemClock::new())).unwrap();
    if let Some(fault) = fault {
        desk.world().add_fault(Rule::on(ORDERS, fault).times(1));
    }
    let program = TestApp::start_with(Some(Box::new(move |_| Arc::new(Everywhere(alpaca))))).await;
    let owner = program.owner();
    let signal = owner.signal(&order("one", "AAPL", "buy", "5")).await.str("signal_id").to_owned();
    let trade = owner.settled(&signal, "filled").await;
    assert_eq!((&trade["filled_quantity"], &trade["average_price"]), (&"5".into(), &"190".into()));
    let orders = desk.world().orders(Some(KEY));
    assert_eq!(trade["client_order_id"], orders[0].client_order_id.as_str());
    assert_eq!(desk.world().account(KEY).unwrap().qty("AAPL"), 5.into());
    program.stop().await;
    orders.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_becomes_one_order_at_the_venue() {
    assert_eq!(through(None).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_answer_was_lost_is_one_order_at_the_venue() {
    assert_eq!(through(Some(Action::Reset { when: When::After })).await, 1);
    assert_eq!(through(Some(Action::status_after(503))).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_lost_is_sent_again_once_it_is_known_to_be() {
    assert_eq!(through(Some(Action::status(504))).await, 1);
}
