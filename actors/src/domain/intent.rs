//! A signal sized for one user: what would be done if every rule agreed.

use uuid::Uuid;

use super::ids::{ClientOrderId, ConnectionId, UserId};
use super::instrument::Instrument;
use super::money::{Net, Percent, Quantity};
use super::order::{Purpose, Ticket, TimeInForce};
use super::risk::{Decision, Denial, DenialCode, Snapshot};
use super::signal::{Action, Holding, Side, Signal};
use super::user::UserState;

/// What one user would do about a signal.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// The order.
    pub ticket: Ticket,
    /// The numbers used so far.
    pub decision: Decision,
    /// Whether the signal asks to close, and not merely to sell or to buy.
    pub closes: bool,
}

impl Intent {
    /// Returns the order's shape before it is sized, so that even a denial can be shown.
    #[must_use]
    pub fn draft(user: UserId, signal: &Signal, seen: &Snapshot<'_>) -> Self {
        let told = &signal.instruction;
        let expected = seen.expected_position();
        let side = match told.action {
            Action::Buy => Side::Buy,
            Action::Sell => Side::Sell,
            Action::Close { .. } if seen.position.is_short() => Side::Buy,
            Action::Close { .. } | Action::Modify => Side::Sell,
        };
        let ticket = asked(user, seen.connection.id, signal, side);
        let decision = Decision {
            requested: told.quantity,
            equity: seen.balance.map(|balance| balance.equity),
            available: seen.balance.map(|balance| balance.buying_power - seen.reserved),
            reserved: Some(seen.reserved),
            position: Some(expected),
            day_opening: seen.day.map(|day| day.opening),
            day_pnl: seen.day.map(|day| day.pnl()),
            limits: Some(Box::new(seen.in_force())),
            ..Decision::default()
        };
        let mut draft = Self { ticket, decision, closes: matches!(told.action, Action::Close { .. }) };
        // A denial is explained by the price as well.
        draft.decision.price = seen.judged_price(&draft);
        draft
    }

    /// Returns what was asked for, for a denial that comes before anything is known of account or market.
    #[must_use]
    pub fn refused(user: &UserState, signal: &Signal) -> Self {
        let told = &signal.instruction;
        let connection = user.default_connection().map_or(ConnectionId::new(Uuid::nil()), |known| known.id);
        let side = if told.action == Action::Buy { Side::Buy } else { Side::Sell };
        let ticket = asked(user.id, connection, signal, side);
        let decision = Decision { requested: told.quantity, ..Decision::default() };
        Self { ticket, decision, closes: false }
    }

    /// Sizes a draft: what the signal says, else what the limits allow.
    ///
    /// # Errors
    /// When there is nothing to close or no way to size the order.
    pub fn size(mut self, signal: &Signal, seen: &Snapshot<'_>) -> Result<Self, Denial> {
        let Some(instrument) = seen.instrument else { return Ok(self) };
        let price = self.decision.price;
        match signal.instruction.action {
            Action::Close { fraction, holding } => {
                self.ticket.quantity = closing(signal, seen, &instrument, fraction, holding)?;
                self.ticket.reduces = true;
            }
            // It orders nothing, and so is never sized.
            Action::Modify => {}
            Action::Buy | Action::Sell => {
                if signal.instruction.quantity.is_none() {
                    let (Some(price), Some(balance)) = (price, seen.balance) else { return Ok(self) };
                    let budget = balance.equity.part(seen.limits.position_max_pct);
                    self.ticket.quantity = Quantity::affordable(budget, price).floor_to(instrument.size_step);
                    self.decision.notes.push(format!(
                        "the signal names no quantity: sized to {}% of equity",
                        seen.limits.position_max_pct
                    ));
                }
                self.ticket.reduces =
                    reduces(self.ticket.side, self.ticket.quantity, seen.worst_position(self.ticket.side));
            }
        }
        Ok(self)
    }

    /// Shrinks the order, saying why.
    #[must_use]
    pub fn reduced_to(mut self, quantity: Quantity, note: String) -> Self {
        self.ticket.quantity = quantity;
        self.decision.notes.push(note);
        self
    }
}

/// Returns a signal's order as it is before any number is known but the signal's own.
fn asked(user: UserId, connection: ConnectionId, signal: &Signal, side: Side) -> Ticket {
    let told = &signal.instruction;
    Ticket {
        id: ClientOrderId::derive(user, connection, signal.id, 0),
        user,
        signal: signal.id,
        origin: signal.origin,
        connection,
        symbol: told.symbol,
        side,
        quantity: told.quantity.unwrap_or(Quantity::ZERO),
        kind: told.kind,
        time_in_force: TimeInForce::Day,
        extended_hours: false,
        purpose: Purpose::Signal,
        reduces: false,
        stop_loss: told.stop_loss,
        take_profits: told.take_profits.clone(),
    }
}

/// Returns whether an order only makes a position smaller.
fn reduces(side: Side, quantity: Quantity, position: Net) -> bool {
    let against = match side {
        Side::Buy => position.is_short(),
        Side::Sell => !position.is_flat() && !position.is_short(),
    };
    against && quantity <= position.size()
}

fn closing(
    signal: &Signal,
    seen: &Snapshot<'_>,
    instrument: &Instrument,
    fraction: Option<Percent>,
    holding: Option<Holding>,
) -> Result<Quantity, Denial> {
    let symbol = signal.instruction.symbol;
    let position = seen.position;
    // What other orders are closing already is not closed twice; what they may yet open is not closed ahead.
    let expected = seen.expected_position();
    let closable = if expected.is_short() == position.is_short() { expected.size() } else { Quantity::ZERO };
    let other_way = match holding {
        Some(Holding::Long) => position.is_short(),
        Some(Holding::Short) => !position.is_short(),
        None => false,
    };
    if position.is_flat() || other_way {
        let what = match holding {
            Some(Holding::Long) => "long position",
            Some(Holding::Short) => "short position",
            None => "position",
        };
        return Err(Denial::new(
            DenialCode::NoPosition,
            format!("No {what} in {symbol} to close. Nothing was sent."),
        ));
    }
    let all = position.size().min(closable);
    if all.is_zero() {
        return Err(Denial::new(
            DenialCode::NoPosition,
            format!("The position in {symbol} is being closed by other orders already. Nothing was sent."),
        ));
    }
    let asked = fraction.map(|part| all.part(part)).or(signal.instruction.quantity).unwrap_or(all).min(all);
    // A remainder smaller than one lot could never be closed later, so the last close takes it along.
    Ok(if asked == all { all } else { asked.floor_to(instrument.lot) })
}
