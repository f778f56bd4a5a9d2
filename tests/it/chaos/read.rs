//! Reads both sides: the engine's log and feed, and the venue's book.

use std::collections::BTreeMap;
use std::path::Path;

use rust_decimal::Decimal;
use serde_json::Value;
use trade_actors::domain::event::Event;
use trade_actors::domain::order::{Order, Purpose};
use trade_actors::domain::stages::Stages;
use venues::book::{Kind, Order as VenueOrder, OrderId};

use super::compare::{Ours, Row, Sides, Theirs};
use super::{Person, SYMBOLS};
use crate::support::log::records;
use crate::support::venue::Venue;

/// Returns each person's row of the feed for each of their signals.
pub(super) async fn feed(people: &[Person]) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for person in people {
        for row in person.api.all("/api/v1/signals").await {
            let seen = Row { outcome: text(&row["outcome"]), reason: text(&row["reason"]) };
            rows.insert(text(&row["id"]), seen);
        }
    }
    rows
}

/// Returns people's numbers by the ids that the log calls them by.
pub(super) async fn ids(people: &[Person]) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    for person in people {
        let me = person.api.read("/api/v1/me").await;
        ids.insert(me["user"]["id"].as_str().unwrap().to_owned(), person.number);
    }
    ids
}

/// Reads all that the log and the venue say.
pub(super) fn sides(data: &Path, ids: &BTreeMap<String, usize>, venue: &Venue, people: &[Person]) -> Sides {
    let mut sides = Sides::default();
    let mut orders = BTreeMap::new();
    for record in records(data) {
        let Some(event) = record.statement.payload.as_deref().and_then(|text| Event::parse(text).ok()) else {
            continue;
        };
        let user = record.statement.user_id.as_deref().and_then(|id| ids.get(id)).copied();
        take(&mut sides, &mut orders, user, &record.timestamp, event);
    }
    sides.held.retain(|_, amount| !amount.is_zero());
    sides.ours =
        orders.into_iter().map(|(id, (user, order, denied))| (id, ours(user, &order, denied))).collect();
    for person in people {
        theirs(&mut sides, venue, person);
    }
    sides
}

type Orders = BTreeMap<String, (usize, Order, bool)>;

fn take(sides: &mut Sides, orders: &mut Orders, user: Option<usize>, when: &str, event: Event) {
    let at = when.parse().unwrap();
    if let Event::SignalReceived { signal, .. } = &event {
        *sides.received.entry(signal.id.to_string()).or_default() += 1;
    }
    let Some(user) = user else { return };
    match event {
        Event::OrderCreated { ticket, broker, mode, decision, stages } => {
            let id = ticket.id.to_string();
            let known = orders.insert(
                id.clone(),
                (user, Order::new(ticket, broker, mode, decision, stages, None, at), false),
            );
            assert!(known.is_none(), "{id} was decided twice");
        }
        Event::OrderDenied { ticket, broker, mode, denial, decision, stages } => {
            let id = ticket.id.to_string();
            let order = Order::new(ticket, broker, mode, decision, stages, Some(&denial), at);
            assert!(orders.insert(id.clone(), (user, order, true)).is_none(), "{id} was decided twice");
        }
        Event::OrderMoved { order, step, .. } => {
            let (_, known, _) = orders.get_mut(&order.to_string()).unwrap();
            known.history.push(trade_actors::domain::order::HistoryLine {
                seq: 0,
                at,
                event: String::new(),
                detail: format!("{when} {step:?}"),
                step: None,
                stages: Stages::default(),
            });
            known.apply(&step, at).unwrap();
        }
        Event::PositionChanged { position, .. } => {
            sides.held.insert((user, position.symbol.to_string()), position.net.get());
        }
        Event::DriftFound { ours, position, .. } => {
            let (symbol, net) = (position.symbol.to_string(), position.net.get());
            sides
                .drifts
                .push(format!("user {user} {symbol}: {when}: took over {net} where orders made {ours:?}"));
            sides.held.insert((user, symbol), net);
        }
        Event::ProtectionChanged { symbol, protection, .. } => {
            let place = (user, symbol.to_string());
            if protection.is_some_and(|plan| plan.has_stop()) {
                sides.planned.insert(place);
            } else {
                sides.planned.remove(&place);
            }
        }
        _ => {}
    }
}

fn ours(user: usize, order: &Order, denied: bool) -> Ours {
    let (ticket, decision) = (&order.ticket, &order.decision);
    let exposure = || {
        let (price, equity) = (decision.price?.get(), decision.equity?.get());
        let limit = decision.limits.as_ref()?.position_max_pct.get();
        let after = decision.position?.get() + ticket.signed(ticket.quantity).get();
        Some(((after * price).abs(), equity * limit / Decimal::ONE_HUNDRED))
    };
    Ours {
        user,
        signal: ticket.signal.to_string(),
        symbol: ticket.symbol.to_string(),
        of_signal: ticket.purpose == Purpose::Signal,
        protects: ticket.purpose.is_protection(),
        reduces: ticket.reduces,
        denied,
        status: order.status,
        reason: order.reason.clone().unwrap_or_default(),
        quantity: ticket.quantity.get(),
        filled: order.cum_qty.get(),
        exposure: exposure(),
        told: told(user, order),
    }
}

fn told(user: usize, order: &Order) -> String {
    let ticket = &order.ticket;
    let lines: Vec<_> = order.history.iter().map(|line| line.detail.as_str()).collect();
    format!(
        "user {user}: {} {:?} {:?} {} {} for {} is {:?} with {} done: {lines:#?}",
        ticket.id,
        ticket.purpose,
        ticket.side,
        ticket.quantity.get(),
        ticket.symbol,
        ticket.signal,
        order.status,
        order.cum_qty.get()
    )
}

fn theirs(sides: &mut Sides, venue: &Venue, person: &Person) {
    let orders = venue.orders(&person.key);
    let by_id: BTreeMap<OrderId, &VenueOrder> = orders.iter().map(|order| (order.id, order)).collect();
    let is_stop = |kind: Kind| kind.stop().is_some() || matches!(kind, Kind::TrailingStop { .. });
    for order in &orders {
        let legs: Decimal =
            order.legs.iter().filter_map(|leg| by_id.get(leg)).map(|leg| leg.filled_qty).sum();
        sides.theirs.push(Theirs {
            user: person.number,
            id: order.client_order_id.clone(),
            symbol: order.ticket.symbol.clone(),
            is_leg: order.parent.is_some(),
            stops: order.status.is_open() && is_stop(order.ticket.kind),
            quantity: order.qty.unwrap_or_default(),
            filled: order.filled_qty + legs,
            told: format!("user {}: {}", person.number, venues::world::truth(order)),
        });
    }
    for (symbol, _) in SYMBOLS {
        let held = venue.held(&person.key, symbol);
        if !held.is_zero() {
            sides.held_there.insert((person.number, symbol.to_owned()), held);
        }
    }
}
