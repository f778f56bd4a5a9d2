//! What venues say of orders, in our terms.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use trade_actors::domain::ids::ClientOrderId;
use trade_actors::domain::money::{Money, Price, Quantity};
use trade_actors::domain::order::Ticket;
use trade_actors::domain::report::Done;
use trade_actors::domain::signal::Side;

use crate::brokers::bucket::Urgency;

/// The version that ids of ours have as UUIDs.
const OUR_VERSION: usize = 8;
/// Decimals of an average price.
const AVERAGE_DP: u32 = 10;

/// Returns our id of an order by the name it was given; `None`: somebody else placed it.
#[must_use]
pub fn ours(name: &str) -> Option<ClientOrderId> {
    let id: ClientOrderId = name.parse().ok()?;
    (id.uuid().get_version_num() == OUR_VERSION).then_some(id)
}

/// Returns how pressing an order is: what leaves a position passes what enters one.
#[must_use]
pub const fn urgency(ticket: &Ticket) -> Urgency {
    if ticket.reduces { Urgency::Pressing } else { Urgency::Normal }
}

/// Returns how much of an order is done, of the quantity and the money that moved.
#[must_use]
pub fn done(quantity: Decimal, money: Decimal, at: DateTime<Utc>) -> Option<Done> {
    let average = money.checked_div(quantity).map(|price| price.round_dp(AVERAGE_DP).normalize());
    done_at(quantity, average, at)
}

/// Returns how much of an order is done, of the quantity and the average price.
#[must_use]
pub fn done_at(quantity: Decimal, average: Option<Decimal>, at: DateTime<Utc>) -> Option<Done> {
    let price = average.and_then(|price| Price::new(price).ok());
    (!quantity.is_sign_negative()).then(|| Done { quantity: Quantity::at_least_zero(quantity), price, at })
}

/// Returns what an execution cost in money, and what was kept of what was bought. A fee in a third asset counts as none:
/// it moves neither the money nor the position.
#[must_use]
pub fn fee((amount, asset): (Decimal, &str), side: Side, base: &str, settlement: &str) -> (Money, Quantity) {
    if asset == settlement {
        (Money::new(amount), Quantity::ZERO)
    } else if asset == base && side == Side::Buy {
        (Money::ZERO, Quantity::at_least_zero(amount))
    } else {
        (Money::ZERO, Quantity::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_that_we_make_are_ours() {
        assert!(ours("0193b1a4-0000-8000-8000-000000000001").is_some());
        for other in ["0193b1a4-0000-4000-8000-000000000001", "web_1", "", "x-ccxt"] {
            assert_eq!(ours(other), None, "{other}");
        }
    }

    #[test]
    fn the_average_is_the_money_by_the_quantity() {
        let dec = |text: &str| -> Decimal { text.parse().unwrap() };
        let of = |quantity, money| done(dec(quantity), dec(money), DateTime::UNIX_EPOCH);
        let half = of("0.004", "240").unwrap();
        assert_eq!(
            (half.quantity.to_string(), half.price.unwrap().to_string()),
            ("0.004".to_owned(), "60000".to_owned())
        );
        assert_eq!(of("0", "0").unwrap().price, None);
        assert_eq!(of("-1", "0"), None);
    }

    #[test]
    fn a_fee_is_money_or_a_part_of_what_was_bought() {
        let of = |asset, side| fee((Decimal::ONE, asset), side, "BTC", "USDT");
        assert_eq!(of("USDT", Side::Sell), (Money::new(Decimal::ONE), Quantity::ZERO));
        assert_eq!(of("BTC", Side::Buy), (Money::ZERO, Quantity::at_least_zero(Decimal::ONE)));
        assert_eq!(of("BNB", Side::Buy), (Money::ZERO, Quantity::ZERO));
    }
}
