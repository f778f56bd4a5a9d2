//! The user stream: orders, stops, and what they do to the account.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::{Manners, key_of_stream, orders, wire};
use crate::binance::streams::PINGS;
use crate::book::Event;
use crate::http::Request;
use crate::line::{Codec, Heard, Line};
use crate::server::{Ended, Socket};
use crate::streams::{Channel, Push};
use crate::world::World;

/// How often it is looked whether the key is still good.
const LOOK: Duration = Duration::from_millis(200);

/// Talks to a client until one side ends it, or its key does.
pub(super) async fn talk(
    manners: Arc<Manners>,
    world: Arc<World>,
    request: Request,
    socket: Socket,
) -> Ended {
    let key = key_of_stream(&request).unwrap_or_default();
    let mut line = Line::open(Arc::clone(&world), &request, socket, Codec::Text, &[Channel::Orders]);
    line.ping(PINGS.0, PINGS.1);
    let listener = || manners.listener(&key, world.look(|state| state.clock.now()));
    if let Some(account) = listener() {
        line.claim(&account);
    }
    let ended = loop {
        match timeout(LOOK, line.hear()).await {
            Ok(Heard::Over(ended)) => break ended,
            Ok(Heard::Push(Push::Order(event))) => tell(&world, &mut line, &event).await,
            Ok(Heard::Push(Push::Price { .. }) | Heard::Said(_) | Heard::Unreadable) => {}
            Err(_) if listener().is_some() => {}
            Err(_) => {
                let at = world.look(|state| state.clock.now().timestamp_millis());
                line.say(&json!({"e": "listenKeyExpired", "E": at, "listenKey": key})).await;
                break Ended::Closed;
            }
        }
    };
    line.end(ended).await
}

/// Tells of something that happened to an order: the money first, then the order, then the stop that it was.
async fn tell(world: &World, line: &mut Line, event: &Event) {
    let order = &event.order;
    let told = world.look(|state| {
        let account = state.book.account(&order.ticket.account).filter(|_| event.what.execution().is_some());
        let mut told: Vec<_> =
            account.map(|account| wire::account_update(event, state, account)).into_iter().collect();
        if wire::is_order(order) {
            told.extend(wire::order_update(event, &orders::name(state, order)));
        }
        if wire::is_algo(order) {
            told.extend(wire::algo_says(event).into_iter().map(|says| wire::algo_update(event, says)));
        }
        told
    });
    for one in told {
        line.say(&one).await;
    }
}
