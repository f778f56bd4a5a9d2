//! How a fill of an entry changes what protects its position.

use super::{Protection, Target};
use crate::domain::money::{Net, Price, Quantity};
use crate::domain::order::{Purpose, Ticket};
use crate::domain::position::Position;
use crate::domain::risk::Limits;
use crate::domain::signal::{Level, Side};

/// Returns the price of a level for a position of `entry` in the direction of `side`; `None`: it trails.
///
/// `loss` says that the level lies on the losing side of the entry.
#[must_use]
pub fn level(level: Level, side: Side, entry: Price, tick: Price, loss: bool) -> Option<Price> {
    match level {
        Level::At(price) => Some(price),
        Level::BreakEven => Some(entry.on_step(tick)),
        Level::Distance(far) => {
            let below = (side == Side::Buy) == loss;
            Some(entry.shifted(if below { far.negated() } else { far }, tick))
        }
        Level::Trailing(_) => None,
    }
}

/// Returns what protects a position after a fill of `ticket` that made `after` of `before`; `None`: as before.
///
/// `complete` says that the order is done: distances are measured from its average price once more then, and not at
/// every fill, which would move the stop by a cent each time.
#[must_use]
pub fn after_fill(
    ticket: &Ticket,
    before: Net,
    after: &Position,
    known: Option<&Protection>,
    limits: &Limits,
    tick: Price,
    complete: bool,
) -> Option<Protection> {
    let opens = after.net.is_short() == (ticket.side == Side::Sell);
    if after.net.is_flat() || !opens {
        return None;
    }
    let same_way = !before.is_flat() && before.is_short() == after.net.is_short();
    if ticket.purpose != Purpose::Signal || ticket.reduces {
        // It was to leave a position that was gone when it was filled. Nobody asked for what it opened instead.
        let leave = Some("an order that was to leave the position came when it was gone".to_owned());
        let next = Protection { leave, ..Protection::new(ticket.signal, after.net.size()) };
        return (!same_way).then_some(next);
    }
    let grown = if same_way { after.net.size().less(before.size()) } else { after.net.size() };
    if grown.is_zero() {
        return None;
    }
    let known = known.filter(|_| same_way);
    let mut next = known.cloned().unwrap_or_else(|| Protection::new(ticket.signal, grown));
    if known.is_some() {
        next.opened += grown;
    }
    let entry = after.avg_px()?;
    if known.is_none_or(|known| known.signal != ticket.signal) || complete {
        set_levels(&mut next, ticket, entry, limits, tick);
    }
    // A target of earlier that the stop has passed would be refused beside it, and the stop with it.
    let short = after.net.is_short();
    if let Some(stop) = next.stop {
        next.targets.retain(|target| if short { target.price < stop } else { target.price > stop });
    }
    (known != Some(&next)).then_some(next)
}

fn set_levels(next: &mut Protection, ticket: &Ticket, entry: Price, limits: &Limits, tick: Price) {
    let side = ticket.side;
    match ticket.stop_loss {
        Some(Level::Trailing(trail)) => {
            next.trail = Some(trail);
            let net = if side == Side::Buy { Net::new(1.into()) } else { Net::new((-1).into()) };
            next.stop = next.trailed(net, entry, tick).or(next.stop);
        }
        Some(said) => {
            next.trail = None;
            next.stop = level(said, side, entry, tick, true);
        }
        // What the user set for the position by hand stays when more is bought.
        None if next.has_stop() && next.signal != ticket.signal => {}
        None if limits.stop_loss_pct.get().is_zero() => {}
        None => next.stop = level(Level::Distance(limits.stop_loss_pct), side, entry, tick, true),
    }
    if !ticket.take_profits.is_empty() {
        let done: Vec<_> = next.targets.iter().map(|target| target.done).collect();
        let prices = ticket.take_profits.iter().filter_map(|said| level(*said, side, entry, tick, false));
        next.targets = prices
            .zip(done.into_iter().chain(std::iter::repeat(Quantity::ZERO)))
            .map(|(price, done)| Target { price, done })
            .collect();
    }
}
