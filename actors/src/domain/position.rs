//! What is held in one symbol at one account, folded from fills.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::ConnectionId;
use super::instrument::Symbol;
use super::money::{Money, Net, Price, Quantity};
use super::order::Fill;
use super::signal::Side;

/// A position. Flat ones are dropped by their holder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// At which account.
    pub connection: ConnectionId,
    /// In what.
    pub symbol: Symbol,
    /// How much: long above zero, short below.
    pub net: Net,
    /// What the open quantity cost (negative when short: what was received).
    pub cost: Money,
    /// Profit or loss already taken since the position was opened, fees included.
    pub realized: Money,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
}

impl Position {
    /// Returns an empty position.
    #[must_use]
    pub const fn flat(connection: ConnectionId, symbol: Symbol, at: DateTime<Utc>) -> Self {
        Self { connection, symbol, net: Net::FLAT, cost: Money::ZERO, realized: Money::ZERO, opened_at: at }
    }

    /// Returns the average price paid for what is open.
    #[must_use]
    pub fn avg_px(&self) -> Option<Price> {
        let px = self.cost.get().checked_div(self.net.get())?;
        Price::new(px.round_dp(8)).ok()
    }

    /// Returns what the position would gain if it were closed at `price`.
    #[must_use]
    pub fn unrealized(&self, price: Price) -> Money {
        self.net.value(price) - self.cost
    }

    /// Returns the position after a fill.
    ///
    /// The part that goes against the position closes it at its average cost; the rest opens.
    #[must_use]
    pub fn after(mut self, side: Side, fill: &Fill) -> Self {
        self.realized -= fill.fee;
        let against = match side {
            Side::Buy => self.net.is_short(),
            Side::Sell => !self.net.is_flat() && !self.net.is_short(),
        };
        let closing = if against { fill.quantity.min(self.net.size()) } else { Quantity::ZERO };
        if !closing.is_zero() {
            let all = closing == self.net.size();
            let part = if all { self.cost } else { self.cost_of(closing) };
            let moved = signed(side, closing);
            // What comes in (sell) or goes out (buy) against what that part had cost.
            self.realized += -moved.value(fill.price) - part;
            self.cost -= part;
            self.net = self.net + moved;
        }
        let opening = fill.quantity.less(closing);
        if !opening.is_zero() {
            if self.net.is_flat() {
                self.opened_at = fill.at;
            }
            let moved = signed(side, opening);
            self.net = self.net + moved;
            self.cost += moved.value(fill.price);
        }
        // It was paid for with the rest, so that the cost stays.
        if side == Side::Buy && !self.net.is_short() {
            self.net = self.net + Net::new(-fill.kept.min(self.net.size()).get());
        }
        self
    }

    fn cost_of(&self, part: Quantity) -> Money {
        let share = self.cost.get().saturating_mul(part.get()).checked_div(self.net.size().get());
        Money::new(share.unwrap_or_default())
    }
}

fn signed(side: Side, quantity: Quantity) -> Net {
    match side {
        Side::Buy => Net::new(quantity.get()),
        Side::Sell => Net::new(-quantity.get()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::ExecutionId;
    use proptest::prelude::*;
    use rust_decimal::Decimal;
    use uuid::Uuid;

    fn fill(quantity: i64, price: i64) -> Fill {
        Fill {
            execution: ExecutionId::new("e"),
            quantity: Quantity::new(Decimal::from(quantity)).unwrap(),
            price: Price::new(Decimal::from(price)).unwrap(),
            fee: Money::ZERO,
            kept: Quantity::ZERO,
            at: DateTime::UNIX_EPOCH,
        }
    }

    fn flat() -> Position {
        Position::flat(ConnectionId::new(Uuid::nil()), "AAPL".parse().unwrap(), DateTime::UNIX_EPOCH)
    }

    fn money(value: i64) -> Money {
        Money::new(Decimal::from(value))
    }

    #[test]
    fn a_partial_close_takes_its_share_of_the_cost() {
        let position = flat().after(Side::Buy, &fill(100, 10)).after(Side::Sell, &fill(40, 15));
        assert_eq!(position.realized, money(200));
        assert_eq!(position.avg_px(), Price::new(Decimal::TEN).ok());
        assert_eq!(position.unrealized(Price::new(Decimal::from(12)).unwrap()), money(120));
    }

    #[test]
    fn a_fee_kept_of_what_was_bought_is_paid_for_and_not_held() {
        let kept = Quantity::new(Decimal::new(1, 1)).unwrap();
        let position = flat().after(Side::Buy, &Fill { kept, ..fill(100, 10) });
        assert_eq!((position.net.get(), position.cost), (Decimal::new(999, 1), money(1_000)));
        let all = Fill { quantity: position.net.size(), ..fill(1, 10) };
        let closed = position.after(Side::Sell, &all);
        assert!(closed.net.is_flat() && closed.cost == Money::ZERO);
        assert_eq!(closed.realized, money(-1));
        let short = flat().after(Side::Sell, &fill(10, 10)).after(Side::Buy, &Fill { kept, ..fill(4, 10) });
        assert_eq!(short.net, Net::new(Decimal::from(-6)));
    }

    #[test]
    fn a_short_gains_when_the_price_falls() {
        let position = flat().after(Side::Sell, &fill(10, 100));
        assert_eq!(position.unrealized(Price::new(Decimal::from(90)).unwrap()), money(100));
        assert_eq!(position.after(Side::Buy, &fill(10, 80)).realized, money(200));
    }

    #[test]
    fn a_sale_beyond_the_position_turns_it_round() {
        let position = flat().after(Side::Buy, &fill(10, 100)).after(Side::Sell, &fill(15, 110));
        assert_eq!(position.net, Net::new(Decimal::from(-5)));
        assert_eq!(position.realized, money(100));
        assert_eq!(position.avg_px(), Price::new(Decimal::from(110)).ok());
    }

    fn any_fills() -> impl Strategy<Value = Vec<(bool, i64, i64)>> {
        proptest::collection::vec((any::<bool>(), 1_i64..500, 1_i64..1000), 1..20)
    }

    proptest! {
        /// Whatever is bought and sold, cash out plus what is held is what was gained.
        #[test]
        fn profit_is_cash_plus_holdings(fills in any_fills(), last in 1_i64..1000) {
            let mut position = flat();
            let mut cash = Money::ZERO;
            for (buy, quantity, price) in fills {
                let side = if buy { Side::Buy } else { Side::Sell };
                let fill = fill(quantity, price);
                cash -= signed(side, fill.quantity).value(fill.price);
                position = position.after(side, &fill);
            }
            let price = Price::new(Decimal::from(last)).unwrap();
            let gained = position.realized + position.unrealized(price);
            let error = (gained - (cash + position.net.value(price))).get().abs();
            prop_assert!(error < Decimal::new(1, 12), "off by {error}");
        }

        /// A fill split in two makes the same position.
        #[test]
        fn a_split_fill_is_the_same_fill(fills in any_fills(), a in 1_i64..500, b in 1_i64..500, price in 1_i64..1000, buy: bool) {
            let side = if buy { Side::Buy } else { Side::Sell };
            let mut before = flat();
            for (buy, quantity, price) in fills {
                before = before.after(if buy { Side::Buy } else { Side::Sell }, &fill(quantity, price));
            }
            let whole = before.clone().after(side, &fill(a + b, price));
            let split = before.after(side, &fill(a, price)).after(side, &fill(b, price));
            prop_assert_eq!(whole.net, split.net);
            prop_assert!((whole.cost - split.cost).get().abs() < Decimal::new(1, 12));
            prop_assert!((whole.realized - split.realized).get().abs() < Decimal::new(1, 12));
        }
    }
}
