//! What to do next about a position's exits. Never may they take more off the position than there is of it.

use super::Protection;
use crate::domain::ids::ClientOrderId;
use crate::domain::money::{Net, Quantity};
use crate::domain::order::{OrderStatus, Purpose};
use crate::domain::signal::OrderKind;

/// An order on the other side of a position, not final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Which.
    pub order: ClientOrderId,
    /// What it is for.
    pub purpose: Purpose,
    /// How it executes.
    pub kind: OrderKind,
    /// Where it stands.
    pub status: OrderStatus,
    /// What it may still take off the position.
    pub leaves: Quantity,
    /// Whether it may only reduce the position.
    pub reduces: bool,
    /// Whether it waits for protective orders to make room.
    pub waits_for_room: bool,
    /// Whether an entry that is older is on its way, so that there may be more for it to close in a moment.
    pub entry_ahead: bool,
}

/// A position's exits as they are.
#[expect(missing_debug_implementations, reason = "it borrows a function")]
pub struct View<'a> {
    /// The position.
    pub net: Net,
    /// What protects it.
    pub protection: Option<&'a Protection>,
    /// The orders on its other side, oldest first.
    pub exits: &'a [Exit],
    /// Orders that were to leave a position the other way round, before it turned: they would add to this one.
    pub strays: &'a [Exit],
    /// Smallest quantity step.
    pub lot: Quantity,
    /// Whether the broker can hold such an order by itself.
    pub holds: &'a dyn Fn(OrderKind, Quantity) -> bool,
    /// What orders that are no exits, and are about to be filled, may take off the position.
    pub taken: Quantity,
    /// Whether new orders may be placed now: not right after the broker refused one.
    pub may_place: bool,
}

/// A step towards what protects the position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Place an order on the other side.
    Place {
        /// How much.
        quantity: Quantity,
        /// How.
        kind: OrderKind,
        /// What for.
        purpose: Purpose,
    },
    /// Cancel an order.
    Cancel(ClientOrderId),
    /// Send a waiting order, for at most so much.
    Release(ClientOrderId, Quantity),
    /// End a waiting order: nothing is left for it to take.
    Drop(ClientOrderId),
}

/// One protective order that should be out.
struct Wanted {
    kind: OrderKind,
    target: Option<u8>,
    quantity: Quantity,
}

impl Exit {
    /// Returns whether the broker has it, or may have it.
    const fn is_out(&self) -> bool {
        !matches!(self.status, OrderStatus::Queued) && !self.status.is_final()
    }

    /// Returns whether a cancel can be asked for now.
    const fn can_cancel(&self) -> bool {
        matches!(self.status, OrderStatus::Accepted | OrderStatus::PartiallyFilled)
    }

    const fn waits(&self) -> bool {
        matches!(self.status, OrderStatus::Queued) && self.waits_for_room
    }

    /// Returns whether it waits, and nothing that it may close is on its way.
    const fn is_idle(&self) -> bool {
        self.waits() && !self.entry_ahead
    }

    const fn is_ending(&self) -> bool {
        matches!(self.status, OrderStatus::PendingCancel)
    }
}

/// Returns what all orders that are out may still take off the position.
#[must_use]
pub fn live(exits: &[Exit]) -> Quantity {
    sum(exits.iter().filter(|exit| exit.is_out()))
}

/// Returns what all orders that wait for room are to take off the position.
#[must_use]
pub fn waiting(exits: &[Exit]) -> Quantity {
    sum(exits.iter().filter(|exit| exit.waits()))
}

/// Returns how much of the position a stop at the broker, or an order on its way out, takes care of.
#[must_use]
pub fn covered(exits: &[Exit]) -> Quantity {
    sum(exits.iter().filter(|exit| match exit.kind {
        OrderKind::Market => exit.is_out(),
        OrderKind::Stop { .. }
        | OrderKind::StopLimit { .. }
        | OrderKind::TrailingStop { .. }
        | OrderKind::Oco { .. } => exit.can_cancel(),
        OrderKind::Limit { .. } => false,
    }))
}

fn sum<'a>(exits: impl Iterator<Item = &'a Exit>) -> Quantity {
    exits.fold(Quantity::ZERO, |sum, exit| sum + exit.leaves)
}

/// Returns the steps that bring a position's exits closer to its plan; none: they are as planned, or an answer is
/// waited for.
#[must_use]
pub fn converge(view: &View<'_>) -> Vec<Move> {
    let mut moves = end_strays(view);
    moves.extend(if view.net.is_flat() {
        wind_up(view)
    } else if view.protection.is_some_and(|protection| protection.leave.is_some()) {
        leave(view)
    } else {
        keep(view)
    });
    moves
}

/// What was to leave the position before it turned round must not add to it now.
fn end_strays(view: &View<'_>) -> Vec<Move> {
    let dropped = view.strays.iter().filter(|exit| exit.is_idle()).map(|exit| Move::Drop(exit.order));
    let canceled = view.strays.iter().filter(|exit| exit.can_cancel()).map(|exit| Move::Cancel(exit.order));
    dropped.chain(canceled).collect()
}

/// The position stays: what waits for room gets it, and the rest is protected.
fn keep(view: &View<'_>) -> Vec<Move> {
    let mut moves = make_room(view);
    trim(view, &mut moves);
    if moves.iter().any(|step| matches!(step, Move::Release(..))) {
        return moves;
    }
    protect(view, &mut moves);
    moves
}

/// The position is flat: its protection must not open a new one.
fn wind_up(view: &View<'_>) -> Vec<Move> {
    let exits = view.exits;
    let mut moves: Vec<_> = exits
        .iter()
        .filter(|exit| (exit.purpose != Purpose::Signal || exit.reduces) && exit.can_cancel())
        .map(|exit| Move::Cancel(exit.order))
        .collect();
    moves.extend(exits.iter().filter(|exit| exit.is_idle()).map(|exit| Move::Drop(exit.order)));
    moves
}

/// The position is to be left: all that rests is cancelled, then what is left is sold at the market.
fn leave(view: &View<'_>) -> Vec<Move> {
    let is_way_out = |exit: &&Exit| exit.kind == OrderKind::Market;
    let mut moves: Vec<_> =
        view.exits.iter().filter(|exit| exit.waits()).map(|exit| Move::Drop(exit.order)).collect();
    let resting: Vec<_> = view.exits.iter().filter(|exit| exit.is_out() && !is_way_out(exit)).collect();
    moves.extend(resting.iter().filter(|exit| exit.can_cancel()).map(|exit| Move::Cancel(exit.order)));
    // One that waits for its market counts as well: it is a way out already.
    let under_way = sum(view.exits.iter().filter(is_way_out).filter(|exit| !exit.waits()));
    // A venue that keeps its fee of what is bought leaves less than a step over: with that the order would be refused.
    let rest = view.net.size().less(under_way).less(view.taken).floor_to(view.lot);
    if view.may_place && resting.is_empty() && !rest.is_zero() {
        let purpose = Purpose::Exit { target: None };
        moves.push(Move::Place { quantity: rest, kind: OrderKind::Market, purpose });
    }
    moves
}

/// Lets orders go that wait for room, and cancels what is in their way.
fn make_room(view: &View<'_>) -> Vec<Move> {
    let mut free = view.net.size().less(live(view.exits)).less(view.taken).floor_to(view.lot);
    let mut moves = Vec::new();
    let in_the_way = |exit: &&Exit| exit.purpose.is_protection() && exit.is_out();
    let blocked = view.exits.iter().any(|exit| in_the_way(&exit));
    let mut lacking = Quantity::ZERO;
    for exit in view.exits.iter().filter(|exit| exit.waits()) {
        if exit.leaves <= free {
            moves.push(Move::Release(exit.order, exit.leaves));
            free = free.less(exit.leaves);
        } else if exit.entry_ahead || !view.taken.is_zero() {
            free = Quantity::ZERO;
        } else if blocked {
            lacking += exit.leaves.less(free);
            free = Quantity::ZERO;
        } else if free.is_zero() {
            moves.push(Move::Drop(exit.order));
        } else {
            moves.push(Move::Release(exit.order, free));
            free = Quantity::ZERO;
        }
    }
    let mut coming = sum(view.exits.iter().filter(in_the_way).filter(|exit| exit.is_ending()));
    for exit in view.exits.iter().rev().filter(in_the_way).filter(|exit| exit.can_cancel()) {
        if coming >= lacking {
            break;
        }
        moves.push(Move::Cancel(exit.order));
        coming += exit.leaves;
    }
    moves
}

/// A position that was made smaller outside must not be closed by more than there is of it.
fn trim(view: &View<'_>, moves: &mut Vec<Move>) {
    let resting = || view.exits.iter().filter(|exit| exit.is_out() && !exit.purpose.is_protection());
    let mut out = sum(resting());
    for exit in view.exits.iter().rev().filter(|exit| exit.is_out() && !exit.purpose.is_protection()) {
        if out <= view.net.size() {
            return;
        }
        if exit.can_cancel() {
            cancel(moves, exit);
        }
        out = out.less(exit.leaves);
    }
}

/// Brings the protective orders in line with the plan.
fn protect(view: &View<'_>, moves: &mut Vec<Move>) {
    let waiting = waiting(view.exits);
    let others = sum(view.exits.iter().filter(|exit| exit.is_out() && !exit.purpose.is_protection()));
    let wanted = view.protection.map_or_else(Vec::new, |protection| {
        wanted(protection, view.net.size().less(others).less(waiting), view.lot, view.holds)
    });
    let ours = || view.exits.iter().filter(|exit| exit.purpose.is_protection() && exit.is_out());
    let fits =
        |exit: &Exit, wanted: &Wanted| exit.kind == wanted.kind && exit.purpose.target() == wanted.target;
    for stray in ours().filter(|exit| exit.can_cancel() && !wanted.iter().any(|wanted| fits(exit, wanted))) {
        cancel(moves, stray);
    }
    let mut room = view.net.size().less(live(view.exits)).less(waiting);
    for wanted in &wanted {
        let (mut have, mut working) = (Quantity::ZERO, Vec::new());
        for exit in ours().filter(|exit| !exit.is_ending() && fits(exit, wanted)) {
            have += exit.leaves;
            working.push(exit);
        }
        // Too much is out: the latest go first, until what is out fits; the rest of them is placed again.
        while have > wanted.quantity
            && let Some(exit) = working.pop()
        {
            have = have.less(exit.leaves);
            if exit.can_cancel() {
                cancel(moves, exit);
            }
        }
        let lacking = wanted.quantity.less(have).min(room).floor_to(view.lot);
        if view.may_place && !lacking.is_zero() {
            let purpose = Purpose::Protection { target: wanted.target };
            moves.push(Move::Place { quantity: lacking, kind: wanted.kind, purpose });
            room = room.less(lacking);
        }
    }
}

fn cancel(moves: &mut Vec<Move>, exit: &Exit) {
    let step = Move::Cancel(exit.order);
    if !moves.contains(&step) {
        moves.push(step);
    }
}

/// Returns the orders that protect `size` units at the broker; what it cannot hold is left out.
fn wanted(
    protection: &Protection,
    size: Quantity,
    lot: Quantity,
    holds: &dyn Fn(OrderKind, Quantity) -> bool,
) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    let mut left = size;
    // Beside a trailing stop no target can rest: both would hold the same units.
    let trailing = protection.trail.map(|trail| OrderKind::TrailingStop { trail });
    if let Some(kind) = trailing.filter(|kind| holds(*kind, size)) {
        return vec![Wanted { kind, target: None, quantity: size }];
    }
    // A trailing stop that we move ourselves must not move orders at the broker with every price.
    let stop = if trailing.is_some() { None } else { protection.stop };
    for ((target, share), number) in protection.targets.iter().zip(protection.shares(size, lot)).zip(0_u8..) {
        let kind = match stop {
            Some(trigger) => OrderKind::Oco { limit: target.price, trigger },
            None if trailing.is_none() => OrderKind::Limit { limit: target.price },
            None => continue,
        };
        if !share.is_zero() && holds(kind, share) {
            wanted.push(Wanted { kind, target: Some(number), quantity: share });
            left = left.less(share);
        }
    }
    if let Some(trigger) = stop
        && !left.is_zero()
        && holds(OrderKind::Stop { trigger }, left)
    {
        wanted.push(Wanted { kind: OrderKind::Stop { trigger }, target: None, quantity: left });
    }
    wanted
}
