//! Positions' exits: brings the orders that are out in line with what protects each position, after every event.

use ractor::ActorProcessingErr;

use super::watch::Gap;
use super::{ExecutionState, Key};
use crate::domain::event::Event;
use crate::domain::ids::ClientOrderId;
use crate::domain::money::{Net, Price, Quantity};
use crate::domain::order::{Order, OrderStep, Purpose, Ticket, TimeInForce};
use crate::domain::protection::{Exit, Move, Protection, Reached, View, converge, covered, exit_side};
use crate::domain::risk::{Decision, Unprotected};
use crate::domain::signal::{OrderKind, Origin};
use crate::domain::stages::Stages;
use crate::domain::waiting::for_market;
use crate::fault;

/// Most steps taken for one position at once; what is left comes with the next event.
const STEPS_MAX: usize = 16;
/// How often a refused stop is tried before the position is closed, where the user wants that.
const REFUSALS_MAX: u32 = 3;
/// How long a position may be unprotected before the user is told, in microseconds.
const GAP_TOLD_US: u64 = 2_000_000;
/// A price older than this watches nothing, in seconds.
const PRICE_AGE_MAX_S: i64 = 30;

impl ExecutionState {
    /// Looks at the exits of every position that an event concerned.
    pub(super) async fn tend_all(&mut self) -> Result<(), ActorProcessingErr> {
        if fault::is_off("protection") {
            return Ok(());
        }
        while let Some(key) = self.due.pop_first() {
            // Without a session nothing is known for certain: it is looked at when there is one.
            if !self.connections.contains_key(&key.0) {
                continue;
            }
            for _ in 0..STEPS_MAX {
                let steps = self.steps(key);
                if steps.is_empty() {
                    break;
                }
                for step in steps {
                    self.take(key, step).await?;
                }
            }
            self.due.remove(&key);
            self.guard(key).await?;
        }
        Ok(())
    }

    pub(super) fn net(&self, (connection, symbol): Key) -> Net {
        self.book.user().position(connection, symbol).map_or(Net::FLAT, |held| held.net)
    }

    fn lot(&self, (connection, symbol): Key) -> Option<Quantity> {
        Some(self.connections.get(&connection)?.market.instrument(symbol)?.lot)
    }

    fn steps(&self, key: Key) -> Vec<Move> {
        let net = self.net(key);
        let (exits, strays) = (self.book.exits(key, net), self.book.strays(key, net));
        let protection = self.book.user().protection(key.0, key.1);
        if exits.is_empty() && strays.is_empty() && protection.is_none() {
            return Vec::new();
        }
        let (Some(account), Some(lot)) = (self.connections.get(&key.0), self.lot(key)) else {
            return Vec::new();
        };
        converge(&View {
            net,
            protection,
            exits: &exits,
            strays: &strays,
            lot,
            holds: &|kind, quantity| account.broker.holds(key.1, kind, quantity),
            taken: self.book.about_to_take(key, exit_side(net)),
            may_place: self.watch.may_place(key, self.lines.shared.clock.now()),
        })
    }

    async fn take(&mut self, key: Key, step: Move) -> Result<(), ActorProcessingErr> {
        match step {
            Move::Place { quantity, kind, purpose } => self.place(key, quantity, kind, purpose, false).await,
            Move::Cancel(order) => self.cancel(order, "its position changed".to_owned()).await,
            Move::Release(order, most) => self.release(order, most).await,
            Move::Drop(order) => {
                let reason = "Nothing is left of the position to close.".to_owned();
                self.step(order, OrderStep::Canceled { reason }, Stages::default()).await
            }
        }
    }

    /// Places an order that no signal asked for: a stop, a target, an exit. `waits`: for room.
    async fn place(
        &mut self,
        key: Key,
        quantity: Quantity,
        kind: OrderKind,
        purpose: Purpose,
        waits: bool,
    ) -> Result<(), ActorProcessingErr> {
        fault::point("execution.protect");
        let user = self.book.user();
        let Some(held) = user.position(key.0, key.1) else { return Ok(()) };
        let Some(protection) = user.protection(key.0, key.1) else { return Ok(()) };
        let Some(account) = self.connections.get(&key.0) else { return Ok(()) };
        let Some(known) = user.connections.iter().find(|known| known.id == key.0) else { return Ok(()) };
        let (broker, mode) = (known.broker.clone(), known.mode);
        let market_price = account.market.quote(key.1).map(|quote| quote.price);
        let price = kind.trigger().or(kind.limit()).or(market_price).or(held.avg_px());
        let ticket = Ticket {
            id: ClientOrderId::of_exit(self.lines.id, key.0, user.exits),
            user: self.lines.id,
            signal: protection.signal,
            origin: Origin::Engine,
            connection: key.0,
            symbol: key.1,
            side: exit_side(held.net),
            quantity,
            kind,
            time_in_force: if purpose.is_protection() { TimeInForce::Gtc } else { TimeInForce::Day },
            extended_hours: false,
            purpose,
            reduces: true,
            stop_loss: None,
            take_profits: Vec::new(),
        };
        let notes = match (purpose, &protection.leave) {
            (Purpose::Protection { .. }, _) => vec!["protects the position".to_owned()],
            (_, Some(leave)) => vec![leave.clone()],
            (_, None) => vec!["a level of the position was reached".to_owned()],
        };
        let decision = Decision {
            requested: Some(quantity),
            price,
            position: Some(held.net),
            notes,
            ..Decision::default()
        };
        let now = self.lines.shared.clock.now();
        let status =
            account.market.instrument(key.1).map(|instrument| account.market.status(&instrument, now));
        let stages = Stages { decided: Some(self.lines.shared.clock.stamp()), ..Stages::default() };
        let mut events = vec![Event::OrderCreated { ticket: ticket.clone(), broker, mode, decision, stages }];
        let wait =
            status.filter(|_| kind == OrderKind::Market).and_then(|status| for_market(&ticket, status));
        let queued = wait.map(OrderStep::from).or_else(|| waits.then(super::queue::for_room));
        let is_queued = queued.is_some();
        events.extend(queued.map(|step| Event::OrderMoved {
            order: ticket.id,
            step,
            stages: Stages::default(),
        }));
        self.record(events).await?;
        if !is_queued {
            self.send(ticket);
        }
        Ok(())
    }

    /// Sends an exit that has room now.
    async fn release(&mut self, id: ClientOrderId, most: Quantity) -> Result<(), ActorProcessingErr> {
        fault::point("execution.release");
        let Some(order) = self.book.order(id) else { return Ok(()) };
        let mut ticket = order.ticket.clone();
        let mut events = Vec::new();
        let moved = |step| Event::OrderMoved { order: id, step, stages: Stages::default() };
        if most < ticket.quantity {
            let reason = "no more is left of the position".to_owned();
            ticket.quantity = most;
            events.push(moved(OrderStep::Amended { quantity: most, kind: ticket.kind, reason }));
        }
        events.push(moved(OrderStep::Released));
        self.let_go(ticket, events).await
    }

    /// Changes what protects a position.
    pub(super) async fn set_protection(
        &mut self,
        (connection, symbol): Key,
        protection: Option<Protection>,
        reason: String,
    ) -> Result<(), ActorProcessingErr> {
        let user = self.book.user();
        let same = user.protection(connection, symbol) == protection.as_ref();
        if same || user.position(connection, symbol).is_none() {
            return Ok(());
        }
        self.record(vec![Event::ProtectionChanged { connection, symbol, protection, reason }]).await
    }

    /// A price has reached a level: what the broker does not see to itself is done here.
    pub(super) async fn reached(
        &mut self,
        key: Key,
        level: Reached,
        price: Price,
    ) -> Result<(), ActorProcessingErr> {
        fault::point("execution.reached");
        let net = self.net(key);
        let Some(protection) = self.book.user().protection(key.0, key.1).cloned() else { return Ok(()) };
        if net.is_flat() || protection.leave.is_some() {
            return Ok(());
        }
        let exits = self.book.exits(key, net);
        match level {
            Reached::Stop => {
                let open = net.size().less(covered(&exits));
                if open.is_zero() || self.book.user().limits.unprotected == Unprotected::Retry {
                    return Ok(());
                }
                let stop = protection.stop.map_or_else(String::new, |stop| format!(" at {stop}"));
                let leave = format!("the stop-loss{stop} was reached: {price}");
                let protection = Protection { leave: Some(leave.clone()), ..protection };
                self.set_protection(key, Some(protection), leave).await
            }
            Reached::Target(number) => self.take_profit(key, number, &protection, &exits).await,
        }
    }

    async fn take_profit(
        &mut self,
        key: Key,
        number: u8,
        protection: &Protection,
        exits: &[Exit],
    ) -> Result<(), ActorProcessingErr> {
        let seen_to = exits.iter().any(|exit| exit.purpose.target() == Some(number));
        let (size, Some(lot)) = (self.net(key).size(), self.lot(key)) else { return Ok(()) };
        let share = protection.shares(size, lot).get(usize::from(number)).copied().unwrap_or_default();
        if seen_to || share.is_zero() {
            return Ok(());
        }
        let purpose = Purpose::Exit { target: Some(number) };
        self.place(key, share, OrderKind::Market, purpose, true).await
    }

    /// A stop that we trail ourselves has moved.
    pub(super) async fn trailed(&mut self, key: Key, stop: Price) -> Result<(), ActorProcessingErr> {
        let net = self.net(key);
        let Some(protection) = self.book.user().protection(key.0, key.1).cloned() else { return Ok(()) };
        let better =
            protection.stop.is_none_or(|known| if net.is_short() { stop < known } else { stop > known });
        if protection.trail.is_none() || !better || covered(&self.book.exits(key, net)) >= net.size() {
            return Ok(());
        }
        let protection = Protection { stop: Some(stop), ..protection };
        self.set_protection(key, Some(protection), "the stop followed the price".to_owned()).await
    }

    /// Checks that every open unit has a working stop at the broker, or is watched by us.
    async fn guard(&mut self, key: Key) -> Result<(), ActorProcessingErr> {
        let net = self.net(key);
        if net.is_flat() {
            self.watch.forget(key);
        }
        let policy = self.book.user().limits.unprotected;
        let protection = self.book.user().protection(key.0, key.1);
        let Some(protection) = protection.filter(|plan| plan.has_stop() && !net.is_flat()).cloned() else {
            self.close_gap(key);
            return Ok(());
        };
        let open = net.size().less(covered(&self.book.exits(key, net)));
        if open.is_zero() || (policy != Unprotected::Retry && self.is_priced(key)) {
            self.close_gap(key);
        } else {
            let now = self.lines.shared.clock.stamp();
            self.watch.unprotected.entry(key).or_insert(Gap { counted: now, since: now, told: false });
        }
        if policy == Unprotected::Flatten
            && protection.leave.is_none()
            && self.watch.refusals(key) >= REFUSALS_MAX
        {
            let leave = format!("the broker did not take its stop {REFUSALS_MAX} times");
            let protection = Protection { leave: Some(leave.clone()), ..protection };
            self.set_protection(key, Some(protection), leave).await?;
            self.due.insert(key);
        }
        Ok(())
    }

    /// Returns whether prices come in, so that a level can be watched; with the market closed none are needed.
    fn is_priced(&self, key: Key) -> bool {
        let Some(account) = self.connections.get(&key.0) else { return false };
        let now = self.lines.shared.clock.now();
        let fresh = |at: chrono::DateTime<chrono::Utc>| (now - at).num_seconds() <= PRICE_AGE_MAX_S;
        let closed = account
            .market
            .instrument(key.1)
            .is_some_and(|instrument| !account.market.status(&instrument, now).is_open());
        closed || account.market.quote(key.1).is_some_and(|quote| fresh(quote.at))
    }

    fn close_gap(&mut self, key: Key) {
        if let Some(gap) = self.watch.unprotected.remove(&key) {
            count_gap(gap.counted, self.lines.shared.clock.stamp());
        }
    }

    /// Counts the time without protection, tells the user, and tries again.
    pub(super) async fn watch_gaps(&mut self) -> Result<(), ActorProcessingErr> {
        let now = self.lines.shared.clock.stamp();
        let mut to_tell = Vec::new();
        for (key, gap) in &mut self.watch.unprotected {
            count_gap(gap.counted, now);
            gap.counted = now;
            if !gap.told && now.since(gap.since) >= GAP_TOLD_US {
                gap.told = true;
                to_tell.push(*key);
            }
            self.due.insert(*key);
        }
        for (connection, symbol) in to_tell {
            tracing::error!(user.id = %self.lines.id, %symbol, "a position has no working stop");
            let open = self.net((connection, symbol)).size();
            let reason = "the broker has not taken its stop, and no price comes in to watch it by".to_owned();
            self.record(vec![Event::PositionUnprotected { connection, symbol, open, reason }]).await?;
        }
        Ok(())
    }
}

fn count_gap(from: crate::domain::stages::Stamp, to: crate::domain::stages::Stamp) {
    let passed = std::time::Duration::from_micros(to.since(from));
    metrics::gauge!("trade_executor_unprotected_seconds").increment(passed.as_secs_f64());
}

/// Returns an order as an exit of its position, with no entry ahead of it.
pub(super) fn as_exit(order: &Order) -> Exit {
    let waits_for_room =
        order.queued.is_some_and(|queued| queued.cause == crate::domain::order::QueueCause::Room);
    Exit {
        order: order.ticket.id,
        purpose: order.ticket.purpose,
        kind: order.ticket.kind,
        status: order.status,
        leaves: order.leaves_qty(),
        reduces: order.ticket.reduces,
        waits_for_room,
        entry_ahead: false,
    }
}
