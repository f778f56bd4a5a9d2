//! Reads both sides: the engine's log and feed, and the venue's book.

use std::collections::BTreeMap;
use std::path::Path;

use rust_decimal::Decimal;
use serde_json::Value;
use trade_actors::domain::event::Event;
use trade_actors::domain::ids::ConnectionId;
use trade_actors::domain::order::{Order, OrderStatus, Purpose};
use trade_actors::domain::signal::Side;
use trade_actors::domain::stages::Stages;
use venues::book::{Order as VenueOrder, OrderId, Side as VenueSide, Status};

use super::compare::{Ours, Row, Sides, Theirs};
use super::people::{Account, Person, stops, whole};
use crate::support::log::records;

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

/// Reads all that the log and the venues say.
pub(super) fn sides(data: &Path, people: &[Person]) -> Sides {
    let accounts = || people.iter().flat_map(|person| &person.accounts);
    let mut sides = Sides {
        lots: accounts().map(|account| (account.number, account.lot())).collect(),
        watched: accounts()
            .filter(|account| !account.manner.holds_stops)
            .map(|account| account.number)
            .collect(),
        ..Sides::default()
    };
    let numbers: Numbers = accounts().map(|account| (account.connection.clone(), account.number)).collect();
    let mut orders = BTreeMap::new();
    for record in records(data) {
        let Some(event) = record.statement.payload.as_deref().and_then(|text| Event::parse(text).ok()) else {
            continue;
        };
        take(&mut sides, &mut orders, &numbers, &record.timestamp, event);
    }
    sides.held.retain(|_, amount| !amount.is_zero());
    let mut names = Names::new();
    let mut unnamed = Vec::new();
    for (id, (account, order, denied)) in &orders {
        if let Some(theirs) = &order.broker_order {
            names.insert((*account, theirs.as_str().to_owned()), id.clone());
        } else if order.status == OrderStatus::Rejected && !denied {
            unnamed.push((*account, order.clone()));
        }
    }
    sides.ours = orders
        .into_iter()
        .map(|(id, (account, order, denied))| (id, ours(account, &order, denied)))
        .collect();
    for account in accounts() {
        theirs(&mut sides, account, &names, &mut unnamed);
    }
    sides
}

/// Orders by their ids, with the numbers of their accounts, and whether they were denied.
type Orders = BTreeMap<String, (usize, Order, bool)>;
/// Accounts' numbers by the ids that the log calls them by.
type Numbers = BTreeMap<String, usize>;
/// Our ids of orders by what the venue of an account calls them.
type Names = BTreeMap<(usize, String), String>;
/// Orders that a venue rejected, with the numbers of their accounts, of which the log has no name of the venue's.
type Unnamed = Vec<(usize, Order)>;

fn take(sides: &mut Sides, orders: &mut Orders, numbers: &Numbers, when: &str, event: Event) {
    let at = when.parse().unwrap();
    if let Event::SignalReceived { signal, .. } = &event {
        *sides.received.entry(signal.id.to_string()).or_default() += 1;
    }
    let number = |connection: ConnectionId| numbers.get(&connection.to_string()).copied();
    match event {
        Event::OrderCreated { ticket, broker, mode, decision, stages } => {
            let (id, account) = (ticket.id.to_string(), number(ticket.connection).unwrap());
            let known = orders.insert(
                id.clone(),
                (account, Order::new(ticket, broker, mode, decision, stages, None, at), false),
            );
            assert!(known.is_none(), "{id} was decided twice");
        }
        Event::OrderDenied { ticket, broker, mode, denial, decision, stages } => {
            let (id, account) = (ticket.id.to_string(), number(ticket.connection).unwrap());
            let order = Order::new(ticket, broker, mode, decision, stages, Some(&denial), at);
            assert!(orders.insert(id.clone(), (account, order, true)).is_none(), "{id} was decided twice");
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
            let Some(account) = number(position.connection) else { return };
            sides.held.insert((account, position.symbol.to_string()), position.net.get());
        }
        Event::DriftFound { ours, position, .. } => {
            let Some(account) = number(position.connection) else { return };
            let (symbol, net) = (position.symbol.to_string(), position.net.get());
            if sides.differ(account, ours.get(), net) {
                let told = format!("{symbol}: {when}: took over {net} where orders made {ours:?}");
                sides.drifts.push((account, told));
            }
            sides.held.insert((account, symbol), net);
        }
        Event::ProtectionChanged { connection, symbol, protection, .. } => {
            let Some(account) = number(connection) else { return };
            let place = (account, symbol.to_string());
            if protection.is_some_and(|plan| plan.has_stop()) {
                sides.planned.insert(place);
            } else {
                sides.planned.remove(&place);
            }
        }
        _ => {}
    }
}

fn ours(account: usize, order: &Order, denied: bool) -> Ours {
    let (ticket, decision) = (&order.ticket, &order.decision);
    let exposure = || {
        let (price, equity) = (decision.price?.get(), decision.equity?.get());
        let limit = decision.limits.as_ref()?.position_max_pct.get();
        let after = decision.position?.get() + ticket.signed(ticket.quantity).get();
        Some(((after * price).abs(), equity * limit / Decimal::ONE_HUNDRED))
    };
    Ours {
        account,
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
        told: told(account, order),
    }
}

fn told(account: usize, order: &Order) -> String {
    let ticket = &order.ticket;
    let lines: Vec<_> = order.history.iter().map(|line| line.detail.as_str()).collect();
    format!(
        "account {account}: {} {:?} {:?} {} {} for {} is {:?} with {} done: {lines:#?}",
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

/// Returns our id of an order at a venue that takes no names: the one beside which our log has the venue's own, or, for
/// an order that was rejected before it did anything, whose number nobody wrote down, that of one which is the same.
fn ours_of(
    account: usize,
    shown: String,
    order: &VenueOrder,
    names: &Names,
    unnamed: &mut Unnamed,
) -> String {
    if let Some(ours) = names.get(&(account, shown.clone())) {
        return ours.clone();
    }
    let is_same = |(at, ours): &(usize, Order)| {
        let side = if ours.ticket.side == Side::Buy { VenueSide::Buy } else { VenueSide::Sell };
        let same = (*at, ours.ticket.symbol.as_str(), side, Some(ours.ticket.quantity.get()));
        same == (account, order.ticket.symbol.as_str(), order.ticket.side, order.qty)
    };
    let at = unnamed.iter().position(is_same);
    let at = at.filter(|_| order.status == Status::Rejected && order.filled_qty.is_zero());
    at.map_or(shown, |at| unnamed.remove(at).1.ticket.id.to_string())
}

fn theirs(sides: &mut Sides, account: &Account, names: &Names, unnamed: &mut Unnamed) {
    let orders = account.world.orders(Some(&account.name));
    let by_id: BTreeMap<OrderId, &VenueOrder> = orders.iter().map(|order| (order.id, order)).collect();
    for order in &orders {
        let legs: Decimal =
            order.legs.iter().filter_map(|leg| by_id.get(leg)).map(|leg| leg.filled_qty).sum();
        // Where it takes no names of ours, the one that our log has for its own.
        let shown = account.shown(order.id);
        let named = shown.map(|shown| ours_of(account.number, shown, order, names, unnamed));
        sides.theirs.push(Theirs {
            account: account.number,
            id: named.unwrap_or_else(|| order.client_order_id.clone()),
            symbol: order.ticket.symbol.clone(),
            is_leg: order.parent.is_some(),
            stops: stops(order),
            quantity: order.qty.unwrap_or_default(),
            filled: order.filled_qty + legs,
            told: format!("{} at {}: {}", account.number, account.broker, venues::world::truth(order)),
        });
    }
    for good in account.goods() {
        let held =
            account.world.account(&account.name).map_or(Decimal::ZERO, |account| account.qty(good.symbol));
        if !whole(held, account.lot()).is_zero() {
            let place = (account.number, good.symbol.to_owned());
            if account.is_too_small(good.symbol) {
                sides.too_small.insert(place.clone());
            }
            sides.held_there.insert(place, held);
        }
    }
}
